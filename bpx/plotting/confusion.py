"""Which classes are taken for which."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from bpx.errors import ShapeError
from bpx.network.mlp import MLP
from bpx.plotting.arrays import HostArray, got, labels, network, numbers
from bpx.plotting.cells import draw_cells, name_ticks, write_cells
from bpx.plotting.frame import colour_bar
from bpx.plotting.frame import title as heading
from bpx.plotting.style import SEQUENTIAL, canvas

__all__ = ["ConfusionMatrixDisplay"]

SHARES = {
    "true": "share of the true class",
    "pred": "share of the predicted class",
    "all": "share of all samples",
}


class ConfusionMatrixDisplay:
    """A confusion matrix; made by `from_predictions`, `from_network` or `from_estimator`.

    Parameters
    ----------
    confusion_matrix : array of shape (n_classes, n_classes)
        Rows are the true classes: counts, or shares.
    display_labels : sequence of str, optional
        Names of the classes.
    normalize : {"true", "pred", "all"}, optional
        What the shares are of.
    accuracy, n_samples : float and int, optional
        Stand in the title.

    Attributes
    ----------
    im_ : matplotlib AxesImage
    text_ : array of shape (n_classes, n_classes) of matplotlib Text, or None
    colorbar_ : matplotlib Colorbar or None
    ax_, figure_ : matplotlib Axes and Figure
    """

    def __init__(
        self, confusion_matrix: Any, *, display_labels: Sequence[Any] | None = None, normalize: str | None = None,
        accuracy: float | None = None, n_samples: float | None = None,
    ) -> None:  # fmt: skip
        self.confusion_matrix = numbers(confusion_matrix, "confusion_matrix")
        shape = self.confusion_matrix.shape
        if len(shape) != 2 or shape[0] != shape[1] or not shape[0]:
            raise ShapeError(f"confusion_matrix: expected a square matrix, got shape {shape}")
        names = range(shape[0]) if display_labels is None else list(display_labels)
        if len(names) != shape[0]:
            raise ValueError(f"display_labels: expected {shape[0]} names, one per class, got {len(names)}")
        self.display_labels = [str(name) for name in names]
        self.normalize, self.accuracy, self.n_samples = normalize, accuracy, n_samples

    @classmethod
    def from_predictions(
        cls, y_true: Any, y_pred: Any, *, labels: Sequence[Any] | None = None, sample_weight: Any = None,
        normalize: str | None = None, display_labels: Sequence[Any] | None = None, ax: Axes | None = None,
        **kwargs: Any,
    ) -> ConfusionMatrixDisplay:  # fmt: skip
        """Count and draw.

        Parameters
        ----------
        y_true, y_pred : arrays of shape (n,)
            Labels of any kind, on the host or any device.
        labels : sequence, optional
            The classes in the order wanted; samples of other classes are left out. None: all that occur, sorted.
        sample_weight : array of shape (n,), optional
            Sums of weights are shown in place of counts.
        normalize : {"true", "pred", "all"}, optional
            Shares of the row, of the column or of all, in place of counts.
        display_labels : sequence of str, optional
            Names of the classes.
        ax : matplotlib Axes, optional
            None makes a figure.
        **kwargs
            For `plot`.

        Returns
        -------
        ConfusionMatrixDisplay

        Raises
        ------
        TypeError, ValueError, ShapeError
        """
        if normalize is not None and normalize not in SHARES:
            raise ValueError(f"normalize: expected None or one of {', '.join(SHARES)}, got {normalize!r}")
        truth, guess = _pair(y_true, y_pred)
        classes = _classes(truth, guess, labels)
        position = {label: i for i, label in enumerate(classes)}
        at = [(position.get(t), position.get(g)) for t, g in zip(truth.tolist(), guess.tolist(), strict=True)]
        kept = np.array([None not in pair for pair in at], dtype=np.bool_)
        if not np.any(kept):
            raise ValueError(f"labels: expected classes that occur in both y_true and y_pred, got {got(classes)}")
        rows = np.array([pair for pair in at if None not in pair], dtype=np.int64)
        matrix: HostArray
        if sample_weight is None:
            matrix = np.zeros((len(classes),) * 2, dtype=np.int64)
            np.add.at(matrix, tuple(rows.T), 1)
        else:
            weight = numbers(sample_weight, "sample_weight")
            if weight.shape != truth.shape:
                raise ShapeError(f"sample_weight: expected shape {truth.shape}, got {weight.shape}")
            matrix = np.zeros((len(classes),) * 2)
            np.add.at(matrix, tuple(rows.T), weight[kept])
        total = matrix.sum()
        shown: HostArray = matrix
        if normalize is not None:
            over = {"true": matrix.sum(axis=1, keepdims=True), "pred": matrix.sum(axis=0, keepdims=True), "all": total}
            shown = np.divide(matrix, over[normalize], where=over[normalize] != 0, out=np.zeros(matrix.shape))
        return cls(
            shown, display_labels=classes if display_labels is None else display_labels, normalize=normalize,
            accuracy=float(np.trace(matrix) / total) if total > 0 else None, n_samples=float(total),
        ).plot(ax=ax, **kwargs)  # fmt: skip

    @classmethod
    def from_network(
        cls, net: MLP, X: Any, y: Any, *, threshold: float = 0.5, ax: Axes | None = None, **kwargs: Any
    ) -> ConfusionMatrixDisplay:
        """Count what a network answers: its largest output, or whether its only one reaches a threshold.

        Parameters
        ----------
        net : MLP
            Not a stack: choose one with ``net.member(k)``.
        X : array of shape (n, n_in)
            Samples, as the network takes them.
        y : array of shape (n,)
            Class numbers from 0.
        threshold : float
            Of a single output.
        ax : matplotlib Axes, optional
            None makes a figure.
        **kwargs
            For `from_predictions` and `plot`.

        Returns
        -------
        ConfusionMatrixDisplay

        Raises
        ------
        TypeError, ValueError, ShapeError
        """
        net = network(net)
        if net.stack is not None:
            raise ValueError(f"net: a stack of {net.stack} networks; choose one with net.member(0)")
        output = np.atleast_2d(net.backend.to_host(net(X)))
        guess = output.argmax(axis=1) if net.sizes[-1] > 1 else (output[:, 0] >= threshold).astype(np.int64)
        truth = labels(y, "y")
        if truth.dtype.kind == "f" and np.all(truth == np.round(truth)):
            truth = truth.astype(np.int64)
        kwargs.setdefault("labels", range(max(2, net.sizes[-1])))
        unknown = np.setdiff1d(truth, list(kwargs["labels"]))
        if unknown.size and len(kwargs["labels"]) >= net.sizes[-1]:
            raise ValueError(
                f"y: expected class numbers in 0..{max(2, net.sizes[-1]) - 1}, got {unknown[:5].tolist()} too"
            )
        return cls.from_predictions(truth, guess, ax=ax, **kwargs)

    @classmethod
    def from_estimator(
        cls, estimator: Any, X: Any, y: Any, *, ax: Axes | None = None, **kwargs: Any
    ) -> ConfusionMatrixDisplay:
        """Count what a fitted classifier predicts.

        Parameters
        ----------
        estimator : classifier or pipeline
            bpx's, scikit-learn's or another with ``predict``.
        X : array of shape (n, n_features)
            Samples, as the classifier takes them.
        y : array of shape (n,)
            True labels.
        ax : matplotlib Axes, optional
            None makes a figure.
        **kwargs
            For `from_predictions` and `plot`.

        Returns
        -------
        ConfusionMatrixDisplay

        Raises
        ------
        TypeError, ValueError, ShapeError
        """
        if isinstance(estimator, MLP) or not hasattr(estimator, "predict"):
            hint = "; use from_network" if isinstance(estimator, MLP) else ""
            raise TypeError(f"estimator: expected a fitted classifier, got {type(estimator).__name__}{hint}")
        return cls.from_predictions(y, estimator.predict(X), ax=ax, **kwargs)

    def plot(
        self, ax: Axes | None = None, *, include_values: bool = True, values_format: str | None = None,
        cmap: Any = SEQUENTIAL, colorbar: bool = True, title: str | None = None, im_kw: dict[str, Any] | None = None,
        text_kw: dict[str, Any] | None = None,
    ) -> ConfusionMatrixDisplay:  # fmt: skip
        """Draw the matrix.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            None makes a figure.
        include_values : bool
            Numbers in the cells, where they can be read.
        values_format : str, optional
            Such as ".1%"; None: counts, or two decimals.
        cmap : str or matplotlib Colormap
            From few samples to many.
        colorbar : bool
            Whether it stands beside the matrix.
        title : str, optional
            None gives the accuracy; "" leaves it out.
        im_kw, text_kw : dict, optional
            For the image's and the texts' ``set``.

        Returns
        -------
        ConfusionMatrixDisplay
            This display.
        """
        matrix = self.confusion_matrix
        with canvas(ax, 5.0 if len(matrix) <= 6 else 6.4) as (self.figure_, self.ax_):
            self.im_ = draw_cells(self.ax_, matrix, cmap, 0.0, max(float(np.nanmax(matrix)), 1e-12))
            self.im_.set(**(im_kw or {}))
            self.ax_.set(xlabel="predicted class", ylabel="true class")
            heading(self.ax_, self._title() if title is None else title, own=ax is None)
            what = SHARES.get(self.normalize or "", "samples")
            if self.normalize is not None and self._per_cent():
                what += ", in the cells per cent"
            self.colorbar_ = colour_bar(self.ax_, self.im_, own=ax is None, label=what, pad=0.02) if colorbar else None
            if self.colorbar_ is not None and np.all(matrix == np.round(matrix)):
                self.colorbar_.locator = MaxNLocator(integer=True, steps=[1, 2, 5, 10])
                self.colorbar_.update_ticks()
            name_ticks(self.ax_, self.display_labels, self.display_labels)
            self.text_ = None
            if include_values:
                texts = [[self._value(value, values_format) for value in row] for row in matrix]
                self.text_ = write_cells(self.ax_, self.im_, texts, text_kw)
        return self

    def _title(self) -> str:
        """The accuracy in words."""
        if self.accuracy is None or self.n_samples is None:
            return "Confusion matrix"
        samples = f"{self.n_samples:,.6g}".replace(",", " ")
        return f"Confusion matrix: {self.accuracy:.1%} of {samples} samples right"

    def _per_cent(self) -> bool:
        """Whether shares are written as per cent, which takes less room."""
        return len(self.confusion_matrix) > 10

    def _value(self, value: float, values_format: str | None) -> str:
        """A count as it is, a share or a sum of weights with two decimals."""
        if values_format is not None:
            return format(int(value) if values_format.endswith("d") else value, values_format)
        if self.normalize is not None:
            return f"{100 * value:.0f}" if self._per_cent() else f"{value:.2f}"
        return f"{value:.0f}" if value == round(value) else f"{value:.2f}"


def _pair(y_true: Any, y_pred: Any) -> tuple[HostArray, HostArray]:
    """Both columns, of equal length."""
    truth, guess = labels(y_true, "y_true"), labels(y_pred, "y_pred")
    if truth.shape != guess.shape:
        raise ShapeError(
            f"y_pred: expected as many labels as y_true, {len(truth)}, got {len(guess)}; predict the same rows"
        )
    if not len(truth):
        raise ValueError("y_true: expected at least one label, got none")
    for name, column in (("y_true", truth), ("y_pred", guess)):
        if column.dtype.kind == "f" and np.any(column != np.round(column)):
            raise ValueError(f"{name}: expected class labels, got numbers with fractions, as of a regression")
    return truth, guess


def _classes(truth: HostArray, guess: HostArray, wanted: Sequence[Any] | None) -> list[Any]:
    """The classes in order."""
    if wanted is not None:
        try:
            classes = labels(wanted, "labels").tolist()
        except ShapeError as error:
            raise ShapeError(f"labels: expected a list of classes, got {got(wanted)}") from error
        if len(set(classes)) != len(classes) or not classes:
            raise ValueError(f"labels: expected at least one class, each once, got {got(classes)}")
        return list(classes)
    found = {*truth.tolist(), *guess.tolist()}
    try:
        return sorted(found)
    except TypeError as error:
        kinds = sorted({type(label).__name__ for label in found})
        raise TypeError(
            f"y_true, y_pred: expected labels of one kind, got {' and '.join(kinds)}; convert one of them"
        ) from error
