"""Decision boundaries over two features: the regions of the classes, or the value of a single output."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from bpx.backend.select import to_host
from bpx.errors import ShapeError
from bpx.network.data_frames import as_host_array
from bpx.network.mlp import MLP
from bpx.plotting.arguments import HostArray, network, numbers
from bpx.plotting.decorations import add_colorbar, add_legend, set_title
from bpx.plotting.feature_grid import FeatureGrid, class_positions, columns, target_values
from bpx.plotting.regions import region_colour, write_names
from bpx.plotting.style import CLASS_COLOURS, INK, MARKERS, SEQUENTIAL, canvas, shortened, style_ticks

# The most classes that the legend lists.
MOST_NAMES = 20
# The networks of a stack; black is for the boundary of their mean.
NETWORK_COLOURS = CLASS_COLOURS[:-1]


class DecisionBoundaryDisplay:
    """A network's outputs over two features; made by `from_network` or `from_estimator`.

    Parameters
    ----------
    xx0, xx1 : arrays of shape (r, r)
        The grid, as from ``numpy.meshgrid``.
    response : array of shape (r, r, n_classes) or (r, r), or for a stack (K, r, r, n_classes) or (K, r, r)
        One score per class, of which the largest decides; or one value.
    by_class : bool
        Whether `response` has one score per class.
    X, y : arrays of shape (n, 2) and (n,), optional
        Points to draw, and their class numbers (from 0) or values.
    class_names, feature_names : sequences of str, optional
        None: "class 0", ..., and "feature 1", "feature 2".
    note : str, optional
        Added to the title.

    Attributes
    ----------
    surface_ : matplotlib AxesImage or QuadContourSet
        The regions of the classes, or the values.
    boundaries_ : list of matplotlib QuadContourSet
        For each network one per class with a boundary.
    points_ : list of matplotlib PathCollection
        One per class.
    names_ : list of matplotlib Text
        The names in the regions, where there are more classes than colours.
    legend_, colorbar_ : matplotlib Legend and Colorbar, or None
    ax_, figure_ : matplotlib Axes and Figure
    """

    def __init__(
        self, *, xx0: Any, xx1: Any, response: Any, by_class: bool = True, X: Any = None, y: Any = None,
        class_names: Sequence[Any] | None = None, feature_names: Sequence[Any] | None = None, note: str = "",
    ) -> None:  # fmt: skip
        self.xx0, self.xx1 = numbers(xx0, "xx0"), numbers(xx1, "xx1")
        self.response, self.by_class = numbers(response, "response"), by_class
        expected = 3 if by_class else 2
        plane = self.response.shape[:-1] if by_class else self.response.shape
        if self.response.ndim not in (expected, expected + 1) or plane[-2:] != self.xx0.shape:
            raise ShapeError(
                f"response: expected shape {(*self.xx0.shape, 'n_classes') if by_class else self.xx0.shape}, with a"
                f" stack's K in front, got {self.response.shape}"
            )
        self.stack = self.response.shape[0] if self.response.ndim > expected else None
        self.n_classes = self.response.shape[-1] if by_class else None
        self.X = None if X is None else numbers(X, "X")
        if self.X is not None and (self.X.ndim != 2 or self.X.shape[1] != 2):
            raise ShapeError(f"X: expected points of shape (n, 2), got {self.X.shape}")
        self.y = None if y is None else as_host_array(to_host(y)) if by_class else numbers(y, "y")
        count = 0 if self.X is None else len(self.X)
        if self.y is not None and (self.X is None or self.y.shape != (count,)):
            raise ShapeError(f"y: expected one target for each row of X, {count}, got shape {self.y.shape}")
        if class_names is not None and self.n_classes not in (None, len(class_names)):
            raise ValueError(f"class_names: expected {self.n_classes} names, got {len(class_names)}")
        if class_names is None:
            class_names = [f"class {c}" for c in range(self.n_classes or 0)]
        self.class_names = [str(name) for name in class_names]
        self.feature_names = ["feature 1", "feature 2"] if feature_names is None else [str(n) for n in feature_names]
        self.note = note

    @classmethod
    def from_network(
        cls, net: MLP, X: Any, y: Any = None, *, features: tuple[int, int] | None = None, member: int | None = None,
        output: int | None = None, threshold: float | None = None, grid_resolution: int = 200,
        class_names: Sequence[Any] | None = None, feature_names: Sequence[Any] | None = None, ax: Axes | None = None,
        **kwargs: Any,
    ) -> DecisionBoundaryDisplay:  # fmt: skip
        """Draw a network's outputs around the samples of `X`.

        Parameters
        ----------
        net : MLP
            Of several outputs the largest decides, one sigmoid output decides at one half, and any other single output
            is drawn as a value. For a stack the regions are those of the mean output; each network has its boundary.
        X : array of shape (n, n_in)
            Samples, on the host or on any device, that are drawn as points.
        y : array of shape (n,), (n, 1) or one-hot (n, n_out), optional
            Class numbers from 0, or values for a single output.
        features : (int, int), optional
            The two columns to draw over if the network has more than two inputs; the others are held at their median.
        member : int, optional
            Draw this network of a stack alone.
        output : int, optional
            Draw the value of this output in place of classes.
        threshold : float, optional
            Turn a single output into two classes, below the threshold and from it on.
        grid_resolution : int
            Points on each side of the grid.
        class_names, feature_names : sequences of str, optional
            Names of all classes, and of the two features or of all.
        ax : matplotlib Axes, optional
            None makes a figure.
        **kwargs
            For `plot`.

        Returns
        -------
        DecisionBoundaryDisplay
        """
        net = network(net, member, stacks=True)
        points, n_out = numbers(X, "X"), net.sizes[-1]
        if points.ndim != 2 or points.shape[1] != net.sizes[0] or not len(points):
            raise ShapeError(
                f"X: expected samples of the network's {net.sizes[0]} inputs, shape (n, {net.sizes[0]}), got"
                f" {points.shape}"
            )
        if output is not None and not 0 <= output < n_out:
            raise ValueError(f"output: expected one of the network's {n_out} outputs, from 0, got {output}")
        if threshold is None and n_out == 1 and output is None and net.output.name == "sigmoid":
            threshold = 0.5
        by_class = output is None and (n_out > 1 or threshold is not None)
        grid = FeatureGrid(points, features, grid_resolution, columns(X) if feature_names is None else feature_names)
        outputs = grid.outputs(lambda rows: net.backend.to_host(net(rows)), max(net.sizes) * (net.stack or 1))
        if by_class and n_out == 1:
            outputs = np.concatenate([threshold - outputs, outputs - threshold], axis=-1)
        return cls(
            **grid.for_display(),
            response=outputs if by_class else outputs[..., output or 0],
            by_class=by_class,
            y=None if y is None else target_values(y, len(points), n_out, by_class, output),
            class_names=class_names,
        ).plot(ax=ax, **kwargs)

    @classmethod
    def from_estimator(
        cls, estimator: Any, X: Any, y: Any = None, *, features: tuple[int, int] | None = None,
        grid_resolution: int = 200, class_names: Sequence[Any] | None = None,
        feature_names: Sequence[Any] | None = None, ax: Axes | None = None, **kwargs: Any,
    ) -> DecisionBoundaryDisplay:  # fmt: skip
        """Draw the predictions of a fitted estimator or pipeline, bpx's or scikit-learn's, around the samples of `X`.

        Parameters
        ----------
        estimator : classifier with ``predict_proba`` and ``classes_``, or regressor of one target
            Fitted, of any library.
        X : array or data frame of shape (n, n_features)
            Samples; the column names of a data frame label the axes.
        y : array of shape (n,), optional
            Class labels, or values.
        features : (int, int), optional
            The two columns to draw over if there are more; the others are held at their median.
        grid_resolution : int
            Points on each side of the grid.
        class_names, feature_names : sequences of str, optional
            Used in place of the names that the estimator and the data frame have.
        ax : matplotlib Axes, optional
            None makes a figure.
        **kwargs
            For `plot`.

        Returns
        -------
        DecisionBoundaryDisplay
        """
        if isinstance(estimator, MLP) or not hasattr(estimator, "predict"):
            hint = "; use from_network" if isinstance(estimator, MLP) else ""
            raise TypeError(f"estimator: expected a fitted estimator, got {type(estimator).__name__}{hint}")
        classes = getattr(estimator, "classes_", None)
        points, names = numbers(X, "X"), columns(X)
        grid = FeatureGrid(points, features, grid_resolution, names if feature_names is None else feature_names)

        def predict(rows: HostArray) -> HostArray:
            # A frame of the same kind as X: scikit-learn would warn about any other.
            table = rows
            if names is not None:
                make = getattr(type(X), "from_pydict", type(X))  # of pyarrow; else the class of pandas or polars
                table = make(dict(zip(names, rows.T, strict=True)))
            found = estimator.predict(table) if classes is None else estimator.predict_proba(table)
            found = np.asarray(to_host(found), dtype=np.float64)
            return found[:, None] if found.ndim == 1 else found

        response = grid.outputs(predict, 64)
        if classes is None and response.shape[-1] > 1:
            raise ValueError(f"estimator: expected one target, got {response.shape[-1]}; draw a network's output=")
        wanted = None if y is None else as_host_array(to_host(y)).reshape(-1)
        if wanted is not None and classes is not None:
            wanted = class_positions(wanted, np.asarray(classes))
        return cls(
            **grid.for_display(),
            response=response[..., 0] if classes is None else response,
            by_class=classes is not None,
            y=wanted,
            class_names=classes if class_names is None else class_names,
        ).plot(ax=ax, **kwargs)

    def plot(
        self, ax: Axes | None = None, *, legend: bool = True, point_size: float | None = None, title: str | None = None,
        value_label: str = "output",
    ) -> DecisionBoundaryDisplay:  # fmt: skip
        """Draw regions or values, boundaries and points.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            None makes a figure.
        legend : bool
            Whether to draw the legend of the classes, or the colour bar of the values.
        point_size : float, optional
            Area of a point in square points; None is 34, or 14 for more than 300 points.
        title : str, optional
            None is a description of the picture; "" leaves it out.
        value_label : str
            Label of the colour bar.

        Returns
        -------
        DecisionBoundaryDisplay
            This display.
        """
        with canvas(ax) as (self.figure_, self.ax_):
            self.boundaries_: list[Any] = []
            self.points_: list[Any] = []
            self.names_: list[Any] = []
            self.surface_: Any = None
            self.legend_: Any = None
            self.colorbar_: Any = None
            many = self.X is not None and len(self.X) > 300
            self._size = point_size if point_size is not None else 14.0 if many else 34.0
            mean = self.response if self.stack is None else np.mean(self.response, axis=0)
            if self.by_class:
                self._draw_classes(mean)
                if legend:
                    self._draw_legend(own=ax is None)
            else:
                self._draw_values(mean)
                if legend:
                    self.colorbar_ = add_colorbar(self.ax_, self.surface_, own=ax is None, label=value_label)
            set_title(self.ax_, self._title() if title is None else title, own=ax is None)
            self.ax_.set(
                xlabel=self.feature_names[0], ylabel=self.feature_names[1],
                xlim=(self.xx0.min(), self.xx0.max()), ylim=(self.xx1.min(), self.xx1.max()),
            )  # fmt: skip
            style_ticks(self.ax_)
        return self

    # ------------------------------------------------------------------ inside

    def _title(self) -> str:
        """A description of the picture."""
        kind = "Predicted class" if self.by_class else "Output"
        points = " (area) and target (points)" if self.y is not None and not self.by_class else ""
        of = "" if self.stack is None else f", mean of {self.stack} networks"
        return f"{kind}{points}{of}{', ' + self.note if self.note else ''}"

    def _draw_classes(self, scores: HostArray) -> None:
        """Draw pale regions, lines where the decision changes, and points by class."""
        count, regions = scores.shape[-1], np.argmax(scores, axis=-1)
        left, right, bottom, top = self.xx0.min(), self.xx0.max(), self.xx1.min(), self.xx1.max()
        half_x, half_y = (right - left) / (len(regions) - 1) / 2, (top - bottom) / (len(regions) - 1) / 2
        self.surface_ = self.ax_.imshow(
            regions, origin="lower", cmap=ListedColormap([region_colour(c) for c in range(count)]), vmin=-0.5,
            vmax=count - 0.5, aspect="auto", extent=(left - half_x, right + half_x, bottom - half_y, top + half_y),
        )  # fmt: skip
        if count > len(CLASS_COLOURS):
            self.names_ = write_names(self.ax_, self.xx0, self.xx1, regions, self.class_names)
        for k in range(self.stack or 0):
            look = {"colors": NETWORK_COLOURS[k]} if self._few() else {"colors": INK, "alpha": 0.22}
            self._draw_boundary(self.response[k], linewidths=1.5, **look)
        self._draw_boundary(scores, colors=INK, linewidths=self._boundary_width())
        if self.y is None and self.X is not None:
            self.points_.append(self.ax_.scatter(*self.X.T, s=14, color=INK, zorder=3))
        elif self.X is not None:
            for c in range(count):
                colour = CLASS_COLOURS[c % len(CLASS_COLOURS)]
                self.points_.append(
                    self.ax_.scatter(
                        *self.X[self.y == c].T, s=self._size, color=colour, marker=MARKERS[c % len(MARKERS)],
                        linewidths=0.8, edgecolors="#999999" if colour == "#000000" else "black", zorder=3,
                    )
                )  # fmt: skip

    def _few(self) -> bool:
        """Whether it is a stack so small that each network has its own colour."""
        return self.stack is not None and self.stack <= len(NETWORK_COLOURS)

    def _boundary_width(self) -> float:
        """The width of the boundary, in points; that of a stack's mean is broader than those of its networks."""
        return 1.6 if self.stack is None else 3.0

    def _draw_boundary(self, scores: HostArray, **look: Any) -> None:
        """Draw the lines at which a class's score begins to exceed all others."""
        count = scores.shape[-1]
        for c in range(1 if count == 2 else count):
            margin = scores[..., c] - np.max(np.delete(scores, c, axis=-1), axis=-1)
            if margin.min() < 0 < margin.max():
                drawn = self.ax_.contour(self.xx0, self.xx1, margin, levels=[0.0], linestyles="solid", **look)
                self.boundaries_.append(drawn)

    def _draw_values(self, values: HostArray) -> None:
        """Draw filled contours of the output, and points in the same colours."""
        finite = values[np.isfinite(values)]
        low, high = (finite.min(), finite.max()) if finite.size else (0.0, 1.0)
        if self.y is not None:
            low, high = min(low, self.y.min()), max(high, self.y.max())
        levels = MaxNLocator(16).tick_values(low, high if high > low else low + 1.0)
        self.surface_ = self.ax_.contourf(self.xx0, self.xx1, values, levels=levels, cmap=SEQUENTIAL)
        if self.X is not None:
            look: dict[str, Any] = {"color": "white"}
            if self.y is not None:
                look = {"c": self.y, "cmap": SEQUENTIAL, "vmin": levels[0], "vmax": levels[-1]}
            self.points_.append(
                self.ax_.scatter(*self.X.T, s=self._size, edgecolors="white", linewidths=1.0, zorder=3, **look)
            )

    def _draw_legend(self, own: bool) -> None:
        """Draw the legend: each class with its marker or, without points, the colour of its region."""
        names = [shortened(name, 20) for name in self.class_names[:MOST_NAMES]]
        handles: list[Any] = [Patch(facecolor=region_colour(c), edgecolor=INK) for c in range(len(names))]
        scale = 1.0
        if self.y is not None:
            handles, scale = self.points_[:MOST_NAMES], 7.0 / self._size**0.5
        elif self.X is not None:
            handles, names = [*handles, self.points_[0]], [*names, "sample"]
        if self.boundaries_:
            handles.append(Line2D([], [], color=INK, linewidth=self._boundary_width()))
            names.append("decision boundary" if self.stack is None else "boundary of the mean")
        if self._few():
            handles += [Line2D([], [], color=NETWORK_COLOURS[k]) for k in range(self.stack or 0)]
            names += [f"network {k}" for k in range(self.stack or 0)]
        elif self.stack is not None:
            handles.append(Line2D([], [], color=INK, linewidth=1.5, alpha=0.4))
            names.append(f"{self.stack} networks")
        self.legend_ = add_legend(
            self.ax_, handles, names, own=own, beside=True, markerscale=scale, scatteryoffsets=[0.5]
        )
