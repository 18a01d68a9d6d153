"""Grids of images: weights of hidden units, and samples with labels and predictions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize

from bpx.backend.select import to_host
from bpx.errors import ShapeError
from bpx.errors.values import check_count
from bpx.network.data_frames import as_host_array
from bpx.network.mlp import MLP
from bpx.plotting.arguments import label_column, network, numbers, received
from bpx.plotting.decorations import add_colorbar
from bpx.plotting.image_grid import WRONG, ImageGrid
from bpx.plotting.style import DIVERGING, INK, canvas

RIGHT = "#0072B2"


class HiddenWeightsDisplay:
    """The weights into each unit of a layer as images; made by `from_network`.

    Parameters
    ----------
    weights : array of shape (units, height, width)
        One image per unit.
    units : sequence of int, optional
        Numbers of the units, for their labels; None counts from 0.
    title : str
        Title above the images.

    Attributes
    ----------
    images_ : list of matplotlib AxesImage
        One per unit, all in the same scale, which is centred on 0.
    text_ : list of matplotlib Text
        The numbers of the units, if they fit.
    colorbar_ : matplotlib Colorbar or None
    ax_, figure_ : matplotlib Axes and Figure
    """

    def __init__(self, *, weights: Any, units: Sequence[int] | None = None, title: str = "") -> None:
        self.weights = numbers(weights, "weights")
        if self.weights.ndim != 3 or not self.weights.size:
            raise ShapeError(f"weights: expected shape (units, height, width), got {self.weights.shape}")
        self.units = list(range(len(self.weights))) if units is None else list(units)
        self.title = title

    @classmethod
    def from_network(
        cls, net: MLP, layer: int = 0, shape: tuple[int, int] | None = None, *, member: int | None = None,
        max_units: int = 100, ax: Axes | None = None, **kwargs: Any,
    ) -> HiddenWeightsDisplay:  # fmt: skip
        """Draw the columns of a layer's W as images.

        Parameters
        ----------
        net : MLP
            On any backend.
        layer : int
            0 is the first hidden layer; negative numbers count from the last.
        shape : (int, int), optional
            Height and width of an image; None if it is square.
        member : int, optional
            Which network of a stack.
        max_units : int
            The most units to draw; of more, the first ones.
        ax : matplotlib Axes, optional
            None makes a figure.
        **kwargs
            For `plot`.

        Returns
        -------
        HiddenWeightsDisplay
        """
        net = network(net, member, "HiddenWeightsDisplay(weights=images).plot() takes images made of its coefs_")
        layers = len(net.sizes) - 1
        if not isinstance(layer, (int, np.integer)):
            hint = "; the shape of an image is shape=" if isinstance(layer, tuple) else ""
            raise TypeError(f"layer: expected a layer's number, got {received(layer)}{hint}")
        if not -layers <= layer < layers:
            raise ValueError(f"layer: expected 0..{layers - 1}, got {layer}")
        layer %= layers
        W = net.backend.to_host(net.params[f"{layer}.W"])
        images = W.T.reshape(W.shape[1], *_image_shape(W.shape[0], shape, "weights into a unit"))
        count = min(check_count("max_units", max_units), len(images))
        of = f"{count} of the {len(images)}" if count < len(images) else f"the {count}"
        kind = "output" if layer == layers - 1 else "hidden"
        where = f"{kind} unit{'s' if len(images) > 1 else ''}" + (f" of layer {layer + 1}" if layers > 2 else "")
        title = f"Weights into {of} {where}" if len(images) > 1 else f"Weights into the {where}"
        return cls(weights=images[:count], title=title).plot(ax=ax, **kwargs)

    def plot(
        self, ax: Axes | None = None, *, columns: int | None = None, cmap: Any = DIVERGING, colorbar: bool = True,
        limit: float | None = None, title: str | None = None,
    ) -> HiddenWeightsDisplay:  # fmt: skip
        """Draw the images.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            None makes a figure.
        columns : int, optional
            Images in a row; None chooses.
        cmap : str or matplotlib Colormap
            In "gray" the signs differ in a greyscale print, too.
        colorbar : bool
            Whether to draw a colour bar beside the images.
        limit : float, optional
            The colours range from -limit to limit; None is the largest size of a weight.
        title : str, optional
            None is the display's title.

        Returns
        -------
        HiddenWeightsDisplay
            This display.
        """
        finite = np.abs(self.weights[np.isfinite(self.weights)])
        largest = limit if limit is not None else (float(finite.max()) if finite.size else 0.0)
        norm = Normalize(-(largest or 1.0), largest or 1.0)
        grid = ImageGrid(len(self.weights), self.weights.shape[1:], columns, labelled=True, own=ax is None)
        with canvas(ax, grid.figure_height) as (self.figure_, self.ax_):
            title = self.title if title is None else title
            self.images_ = grid.draw(self.ax_, self.weights, title, {"cmap": cmap, "norm": norm})
            self.colorbar_: Any = None
            if colorbar:
                look: Any = {"label": "weight", "shrink": 0.8, "pad": 0.02}
                self.colorbar_ = add_colorbar(self.ax_, self.images_[0], own=ax is None, **look)
            self.text_ = grid.label(self.ax_, [str(unit) for unit in self.units], [INK] * len(self.units))
        return self


class ImageGridDisplay:
    """Samples as images, with labels; made by `from_images`.

    Parameters
    ----------
    images : array of shape (n, height, width) or (n, height, width, 3)
        Colours are in [0, 1].
    labels : sequence of n, optional
        Written above the images.
    predictions : sequence of n, optional
        Written above the images; with labels, right ones in blue, and wrong ones in orange with the label.
    title : str
        Title above the images.

    Attributes
    ----------
    images_ : list of matplotlib AxesImage
        One per sample.
    text_ : list of matplotlib Text
        The labels, if they fit.
    ax_, figure_ : matplotlib Axes and Figure
    """

    def __init__(self, *, images: Any, labels: Any = None, predictions: Any = None, title: str = "") -> None:
        self.images = numbers(images, "images")
        if self.images.ndim not in (3, 4) or (self.images.ndim == 4 and self.images.shape[3] != 3):
            raise ShapeError(
                f"images: expected shape (n, height, width) or (n, height, width, 3), got {self.images.shape}"
            )
        if not self.images.size:
            raise ShapeError(f"images: expected at least one image, got shape {self.images.shape}")
        self.labels = None if labels is None else label_column(labels, "labels", len(self.images))
        self.predictions = None if predictions is None else label_column(predictions, "predictions", len(self.images))
        self.title = title

    @classmethod
    def from_images(
        cls, X: Any, shape: Any = None, labels: Any = None, predictions: Any = None, *,
        max_images: int = 100, title: str = "", ax: Axes | None = None, **kwargs: Any,
    ) -> ImageGridDisplay:  # fmt: skip
        """Draw rows of `X` as images.

        Parameters
        ----------
        X : array of shape (n, n_pixels), (n, height, width) or (n, height, width, 3)
            On the host or on any device. Colours are in [0, 1], or integers up to 255.
        shape : (int, int) or (int, int, 3), optional
            The shape of an image, for flat rows; None if it is square. ``from_images(X, y)`` means ``labels=y``.
        labels, predictions : sequences of n, optional
            Written above the images; with both, wrong predictions are orange and followed by the label.
        max_images : int
            The most images to draw; of more, the first ones.
        title : str
            Title above the images.
        ax : matplotlib Axes, optional
            None makes a figure.
        **kwargs
            For `plot`.

        Returns
        -------
        ImageGridDisplay
        """
        rows = numbers(X, "X")
        if rows.ndim < 2 or not rows.size:
            hint = "; of one image pass X[None]" if rows.size else ""
            raise ShapeError(f"X: expected images of shape (n, n_pixels), got shape {rows.shape}{hint}")
        # A tuple of integers is meant as a shape, a list or an array of integers where it fits.
        fits = _whole_numbers(shape) and (isinstance(shape, tuple) or math.prod(shape) == math.prod(rows.shape[1:]))
        if shape is not None and not fits:
            if labels is not None or np.shape(to_host(shape))[:1] != rows.shape[:1]:
                raise ShapeError(
                    f"shape: expected (height, width) of an image of {math.prod(rows.shape[1:])} pixels,"
                    f" got {received(shape)}; labels and predictions go by name, as in from_images(X, labels=y,"
                    " predictions=p)"
                )
            shape, labels = None, shape
        if rows.ndim == 2:
            rows = rows.reshape(len(rows), *_image_shape(rows.shape[1], shape, "pixels of an image"))
        elif shape is not None and tuple(shape) != rows.shape[1:]:
            raise ShapeError(f"shape: expected {rows.shape[1:]}, that of X's images, got {tuple(shape)}")
        if rows.ndim == 4 and _integers(X):
            rows = rows / 255.0
        count = min(check_count("max_images", max_images), len(rows))
        if labels is not None:
            labels = label_column(labels, "labels", len(rows))[:count]
        if predictions is not None:
            predictions = label_column(predictions, "predictions", len(rows))[:count]
        if not title and count < len(rows) and (labels is None or predictions is None):
            title = f"{count} of {len(rows)} images"
        return cls(images=rows[:count], labels=labels, predictions=predictions, title=title).plot(ax=ax, **kwargs)

    def plot(
        self, ax: Axes | None = None, *, columns: int | None = None, cmap: Any = "gray", title: str | None = None
    ) -> ImageGridDisplay:
        """Draw the images, all in the same scale.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            None makes a figure.
        columns : int, optional
            Images in a row; None chooses.
        cmap : str or matplotlib Colormap
            For images without colours; "gray_r" draws large values in black.
        title : str, optional
            None is the display's title.

        Returns
        -------
        ImageGridDisplay
            This display.
        """
        texts, colours = self._captions()
        grid = ImageGrid(len(self.images), self.images.shape[1:3], columns, labelled=bool(texts), own=ax is None)
        images, look = np.clip(self.images, 0, 1), {}
        if self.images.ndim == 3:
            finite = self.images[np.isfinite(self.images)]
            low, high = (finite.min(), finite.max()) if finite.size else (0.0, 1.0)
            images, look = self.images, {"cmap": cmap, "norm": Normalize(low, high if high > low else low + 1.0)}
        with canvas(ax, grid.figure_height) as (self.figure_, self.ax_):
            self.images_ = grid.draw(self.ax_, images, self._title() if title is None else title, look)
            self.text_ = grid.label(self.ax_, texts, colours) if texts else []
        return self

    def _title(self) -> str:
        """The title; without one of the user's it explains the captions."""
        if self.title or self.predictions is None or self.labels is None:
            return self.title
        right = int(np.count_nonzero(self.predictions == self.labels))
        return f"Predictions, {right} of {len(self.images)} right (orange: wrong, and what it is)"

    def _captions(self) -> tuple[list[str], list[str]]:
        """The texts above the images, and their colours."""
        if self.predictions is None or self.labels is None:
            column = self.labels if self.labels is not None else self.predictions
            texts = [] if column is None else [str(label) for label in column]
            return texts, [INK] * len(texts)
        pairs = list(zip(self.labels.tolist(), self.predictions.tolist(), strict=True))
        return (
            [f"{guess}" if guess == label else f"{guess}, is {label}" for label, guess in pairs],
            [RIGHT if guess == label else WRONG for label, guess in pairs],
        )


def _image_shape(size: int, shape: tuple[int, ...] | None, what: str) -> tuple[int, ...]:
    """The shape of an image of `size` numbers; ShapeError if it does not fit."""
    if shape is None:
        side = math.isqrt(size)
        if side * side != size:
            low = next(i for i in range(side, 0, -1) if size % i == 0)
            raise ShapeError(
                f"shape: the {size} {what} make no square; give height and width, such as shape=({low}, {size // low})"
            )
        return side, side
    if not _whole_numbers(shape):
        raise ShapeError(f"shape: expected (height, width) with {size} {what}, got {received(shape)}")
    shape = tuple(int(side) for side in shape)
    if math.prod(shape) != size:
        raise ShapeError(f"shape: expected (height, width) with {size} {what}, got {shape}: {math.prod(shape)}")
    return shape


def _whole_numbers(shape: Any) -> bool:
    """Whether it is a sequence of two or three integers."""
    if not isinstance(shape, (tuple, list, np.ndarray)) or len(shape) not in (2, 3):
        return False
    return all(isinstance(side, (int, np.integer)) for side in shape)


def _integers(X: Any) -> bool:
    """Whether the images consist of integers."""
    given = [to_host(part) for part in X] if isinstance(X, (list, tuple)) else to_host(X)
    return as_host_array(given).dtype.kind in "iu"
