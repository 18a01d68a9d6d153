"""Decision boundaries over two features: the classes' regions, or a single output's value."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.lines import Line2D

from bpx.errors import ShapeError
from bpx.faces.plotting.arrays import HostArray, host, network, numbers
from bpx.faces.plotting.style import COLOURS, INK, MARKERS, SEQUENTIAL, canvas, grid, tint
from bpx.network.mlp import MLP

__all__ = ["DecisionBoundaryDisplay"]

# Numbers of a layer that are computed at once.
BUDGET = 4_000_000
# How far the plane reaches beyond the points, as a share of their span.
MARGIN = 0.08
# Names stand in a legend up to here.
MOST_NAMES = 20


class DecisionBoundaryDisplay:
    """What a network answers over a plane; made by `from_network` or `from_estimator`.

    Parameters
    ----------
    xx0, xx1 : arrays of shape (r, r)
        The grid, as ``numpy.meshgrid`` gives it.
    response : array of shape (r, r, n_classes) or (r, r), or of a stack (K, r, r, n_classes) or (K, r, r)
        One score per class, of which the largest decides; or one value.
    by_class : bool
        Which of the two.
    X, y : arrays of shape (n, 2) and (n,), optional
        Points to draw, and their classes (numbers from 0) or values.
    class_names, feature_names : sequences of str, optional
    note : str, optional
        Stands in the title.

    Attributes
    ----------
    surface_ : matplotlib AxesImage or QuadContourSet
    boundaries_ : list of matplotlib QuadContourSet
        For each network those classes' that have a boundary.
    points_ : list of matplotlib PathCollection
        One per class.
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
        self.X = None if X is None else _two_columns(X)
        self.y = None if y is None else np.asarray(y)
        if self.y is not None and (self.X is None or self.y.shape != (len(self.X),)):
            raise ShapeError(
                f"y: expected one target for each row of X, {0 if self.X is None else len(self.X)},"
                f" got shape {self.y.shape}"
            )
        if class_names is not None and self.n_classes not in (None, len(class_names)):
            raise ValueError(f"class_names: expected {self.n_classes} names, got {len(class_names)}")
        self.class_names = [str(name) for name in class_names or [f"class {c}" for c in range(self.n_classes or 0)]]
        self.feature_names = [str(name) for name in feature_names or ("feature 1", "feature 2")]
        self.note = note

    @classmethod
    def from_network(
        cls, net: MLP, X: Any, y: Any = None, *, features: tuple[int, int] | None = None, member: int | None = None,
        output: int | None = None, threshold: float | None = None, grid_resolution: int = 200,
        class_names: Sequence[Any] | None = None, feature_names: Sequence[Any] | None = None, ax: Axes | None = None,
        **kwargs: Any,
    ) -> DecisionBoundaryDisplay:  # fmt: skip
        """Draw what a network answers around the samples of `X`.

        Parameters
        ----------
        net : MLP
            With several outputs the largest decides; one sigmoid output decides at one half; another single output is
            drawn as a value. Of a stack the regions are those of the mean output, with each network's boundary.
        X : array of shape (n, n_in)
            Samples, which are drawn as points; on the host or any device.
        y : array of shape (n,), (n, 1) or one-hot (n, n_out), optional
            Class numbers from 0, or values for a single output.
        features : (int, int), optional
            Columns to draw over where the network has more than two inputs; the others are held at their median.
        member : int, optional
            Of a stack, draw this network alone.
        output : int, optional
            Draw the value of this output and no classes.
        threshold : float, optional
            Makes two classes of a single output.
        grid_resolution : int
            Points of the grid on each side.
        class_names, feature_names : sequences of str, optional
            The names of all classes, and of the two features or of all.
        ax : matplotlib Axes, optional
            None makes a figure.
        **kwargs
            For `plot`.

        Returns
        -------
        DecisionBoundaryDisplay

        Raises
        ------
        TypeError, ValueError, ShapeError
        """
        net = network(net)
        if member is not None:
            net = net.member(member)
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
        grid_ = _Plane(points, features, grid_resolution, feature_names if feature_names is not None else _columns(X))
        answers = grid_.answer(lambda rows: net.backend.to_host(net(rows)), max(net.sizes) * (net.stack or 1))
        if by_class and n_out == 1:
            answers = np.concatenate([threshold - answers, answers - threshold], axis=-1)
        response = answers if by_class else answers[..., output or 0]
        targets = None if y is None else _targets(y, len(points), n_out, by_class, output)
        return cls(
            xx0=grid_.xx0, xx1=grid_.xx1, response=response, by_class=by_class, X=grid_.points, y=targets,
            class_names=class_names, feature_names=grid_.names, note=grid_.note,
        ).plot(ax=ax, **kwargs)  # fmt: skip

    @classmethod
    def from_estimator(
        cls, estimator: Any, X: Any, y: Any = None, *, features: tuple[int, int] | None = None,
        grid_resolution: int = 200, class_names: Sequence[Any] | None = None,
        feature_names: Sequence[Any] | None = None, ax: Axes | None = None, **kwargs: Any,
    ) -> DecisionBoundaryDisplay:  # fmt: skip
        """Draw what a fitted estimator or pipeline, bpx's or scikit-learn's, answers around the samples of `X`.

        Parameters
        ----------
        estimator : classifier with ``predict_proba`` and ``classes_``, or regressor of one target
            Fitted.
        X : array or data frame of shape (n, n_features)
            Samples; a data frame's column names are the axes' labels.
        y : array of shape (n,), optional
            Class labels, or values.
        features, grid_resolution, class_names, feature_names, ax, **kwargs
            As for `from_network`.

        Returns
        -------
        DecisionBoundaryDisplay

        Raises
        ------
        TypeError, ValueError, ShapeError
        """
        if isinstance(estimator, MLP) or not hasattr(estimator, "predict"):
            hint = "; use from_network" if isinstance(estimator, MLP) else ""
            raise TypeError(f"estimator: expected a fitted estimator, got {type(estimator).__name__}{hint}")
        classes = getattr(estimator, "classes_", None)
        ask = estimator.predict if classes is None else estimator.predict_proba
        points, columns = numbers(X, "X"), _columns(X)
        grid_ = _Plane(points, features, grid_resolution, feature_names if feature_names is not None else columns)

        def answer(rows: HostArray) -> HostArray:
            # In the kind of table that it was fitted on, which scikit-learn would otherwise warn about.
            table = rows if columns is None else type(X)(dict(zip(columns, rows.T, strict=True)))
            found = np.asarray(host(ask(table)), dtype=np.float64)
            return found[:, None] if found.ndim == 1 else found

        answers = grid_.answer(answer, 64)
        if classes is None and answers.shape[-1] > 1:
            raise ValueError(f"estimator: expected one target, got {answers.shape[-1]}; draw a network's output=")
        targets = None if y is None else np.asarray(host(y)).reshape(-1)
        if targets is not None and classes is not None:
            targets = _numbered(targets, np.asarray(classes))
        return cls(
            xx0=grid_.xx0, xx1=grid_.xx1, response=answers[..., 0] if classes is None else answers,
            by_class=classes is not None, X=grid_.points, y=targets, feature_names=grid_.names, note=grid_.note,
            class_names=class_names if class_names is not None or classes is None else list(classes),
        ).plot(ax=ax, **kwargs)  # fmt: skip

    def plot(
        self, ax: Axes | None = None, *, legend: bool = True, point_size: float = 34.0, title: str | None = None,
        value_label: str = "output",
    ) -> DecisionBoundaryDisplay:  # fmt: skip
        """Draw regions or values, boundaries and points.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            None makes a figure.
        legend : bool
            Legend of the classes, or colour bar of the values.
        point_size : float
            Area of a point in square points; make it smaller for many.
        title : str, optional
            None says what is drawn; "" leaves it out.
        value_label : str
            Of the colour bar.

        Returns
        -------
        DecisionBoundaryDisplay
            This display.
        """
        with canvas(ax) as (self.figure_, self.ax_):
            self.boundaries_: list[Any] = []
            self.points_: list[Any] = []
            self.legend_ = self.colorbar_ = None
            if self.by_class:
                self._draw_classes()
                if legend:
                    self._class_legend()
            else:
                self._draw_values()
                if legend:
                    self.colorbar_ = self.figure_.colorbar(self.surface_, ax=self.ax_, label=value_label)
            if title is None:
                of = "" if self.stack is None else f" of the mean of {self.stack} networks"
                kind = "Predicted class" if self.by_class else "Output"
                title = f"{kind}{of}{', ' + self.note if self.note else ''}"
            self.ax_.set_title(title, wrap=True)
            self.ax_.set(xlabel=self.feature_names[0], ylabel=self.feature_names[1])
            grid(self.ax_)
            self.ax_.grid(False)
            self.ax_.set_xlim(self.xx0.min(), self.xx0.max())
            self.ax_.set_ylim(self.xx1.min(), self.xx1.max())
        return self

    # ------------------------------------------------------------------ inside

    def _draw_classes(self) -> None:
        """Pale regions, a line where the decision changes, and points by class."""
        assert self.n_classes is not None
        mean = self.response if self.stack is None else np.mean(self.response, axis=0)
        count = self.n_classes
        shades = ListedColormap([tint(COLOURS[c % len(COLOURS)], 0.34) for c in range(count)])
        step = [(axis.max() - axis.min()) / (axis.shape[0] - 1) / 2 for axis in (self.xx0, self.xx1)]
        self.surface_ = self.ax_.imshow(
            np.argmax(mean, axis=-1), origin="lower", cmap=shades, vmin=-0.5, vmax=count - 0.5, aspect="auto",
            extent=(self.xx0.min() - step[0], self.xx0.max() + step[0], self.xx1.min() - step[1],
                    self.xx1.max() + step[1]),
        )  # fmt: skip
        for k in range(self.stack or 1):
            look = {"colors": INK, "linewidths": 1.6}
            if self.stack is not None:
                few = self.stack <= len(COLOURS)
                look = {"colors": COLOURS[k] if few else INK, "linewidths": 1.4, "alpha": 1.0 if few else 0.25}
            self._draw_boundary(self.response if self.stack is None else self.response[k], look)
        if self.X is None:
            return
        for c in range(count) if self.y is not None else ():
            x0, x1 = self.X[self.y == c].T
            colour = COLOURS[c % len(COLOURS)]
            self.points_.append(
                self.ax_.scatter(
                    x0, x1, s=self._size(), color=colour, marker=MARKERS[c % len(MARKERS)], linewidths=0.8,
                    edgecolors="white" if colour == "#000000" else "black", label=self.class_names[c], zorder=3,
                )
            )  # fmt: skip
        if self.y is None:
            self.points_.append(self.ax_.scatter(*self.X.T, s=14, color=INK, zorder=3))

    def _size(self) -> float:
        """The area of a point: smaller where there are many."""
        return 34.0 if self.X is None or len(self.X) <= 300 else 14.0

    def _draw_boundary(self, scores: HostArray, look: dict[str, Any]) -> None:
        """The lines at which a class's score exceeds all others'."""
        count = scores.shape[-1]
        for c in range(1 if count == 2 else count):
            margin = scores[..., c] - np.max(np.delete(scores, c, axis=-1), axis=-1)
            if margin.min() < 0 < margin.max():
                drawn = self.ax_.contour(self.xx0, self.xx1, margin, levels=[0.0], **look)
                drawn.set_linestyle("solid")
                self.boundaries_.append(drawn)

    def _draw_values(self) -> None:
        """Filled contours of the output, and points in the same colours."""
        values = self.response if self.stack is None else np.mean(self.response, axis=0)
        finite = values[np.isfinite(values)]
        low, high = (finite.min(), finite.max()) if finite.size else (0.0, 1.0)
        if self.y is not None:
            low, high = min(low, self.y.min()), max(high, self.y.max())
        levels = np.linspace(low, high if high > low else low + 1.0, 21)
        self.surface_ = self.ax_.contourf(self.xx0, self.xx1, values, levels=levels, cmap=SEQUENTIAL)
        if self.X is not None:
            shown = {"color": "white"} if self.y is None else {
                "c": self.y, "cmap": SEQUENTIAL, "vmin": levels[0], "vmax": levels[-1],
            }  # fmt: skip
            self.points_.append(
                self.ax_.scatter(*self.X.T, s=self._size(), edgecolors="white", linewidths=1.0, zorder=3, **shown)
            )

    def _class_legend(self) -> None:
        """Names of the classes with their point or, without points, their region's colour; beside the plane."""
        assert self.n_classes is not None
        drawn = self.y is not None
        handles = [
            Line2D(
                [], [], linestyle="none", marker=MARKERS[c % len(MARKERS)] if drawn else "s",
                markersize=7 if drawn else 10, markeredgecolor="black" if drawn else INK, markeredgewidth=0.8,
                color=COLOURS[c % len(COLOURS)] if drawn else tint(COLOURS[c % len(COLOURS)], 0.34), label=name,
            )
            for c, name in enumerate(_shortened(self.class_names)[:MOST_NAMES])
        ]  # fmt: skip
        few = self.stack is not None and self.stack <= len(COLOURS)
        for k in range(self.stack or 0) if few else ():
            handles.append(Line2D([], [], color=COLOURS[k], label=f"network {k}"))
        if not few and self.boundaries_:
            label = "boundary" if self.stack is None else f"{self.stack} boundaries"
            handles.append(Line2D([], [], color=INK, alpha=1.0 if self.stack is None else 0.5, label=label))
        self.legend_ = self.ax_.legend(handles=handles, loc="upper left", bbox_to_anchor=(1.0, 1.0), borderaxespad=0.4)


class _Plane:
    """The grid over two features, the others held at their median."""

    def __init__(
        self, points: HostArray, features: tuple[int, int] | None, resolution: int, names: Sequence[Any] | None
    ) -> None:
        if points.ndim != 2 or not len(points):
            raise ShapeError(f"X: expected samples of shape (n, 2), got {points.shape}")
        if not np.all(np.isfinite(points)):
            raise ValueError("X: expected finite numbers, got NaN or infinity; remove or impute them")
        width = points.shape[1]
        if features is None and width != 2:
            raise ShapeError(
                f"X: a plane has two features, this has {width}; "
                + (
                    "draw its answers over the one feature instead"
                    if width < 2
                    else "choose two with features=(0, 1), which holds the others at their median, or train on two"
                )
            )
        chosen = (0, 1) if features is None else tuple(features)
        if len(chosen) != 2 or chosen[0] == chosen[1] or not all(0 <= f < width for f in chosen):
            raise ValueError(f"features: expected two different columns in 0..{width - 1}, got {features}")
        if resolution < 2:
            raise ValueError(f"grid_resolution: expected at least 2, got {resolution}")
        self.points = points[:, chosen]
        low, high = self.points.min(axis=0), self.points.max(axis=0)
        pad = np.where(high > low, MARGIN * (high - low), 1.0)
        sides = [np.linspace(low[i] - pad[i], high[i] + pad[i], resolution) for i in (0, 1)]
        self.xx0, self.xx1 = np.meshgrid(*sides)
        self._rows = np.tile(np.median(points, axis=0), (self.xx0.size, 1))
        self._rows[:, chosen[0]], self._rows[:, chosen[1]] = self.xx0.ravel(), self.xx1.ravel()
        if names is not None and len(names) not in (2, width):
            raise ValueError(f"feature_names: expected 2 or {width} names, got {len(names)}")
        if names is None:
            names = [f"feature {f + 1}" for f in chosen]
        self.names = [names[f] for f in chosen] if len(names) == width else list(names)
        self.note = "" if width == 2 else "other features at their median"

    def answer(self, ask: Callable[[HostArray], HostArray], widest: int) -> HostArray:
        """The answers over the grid, shape (..., r, r, n_out), in chunks that bound memory."""
        size = max(1, BUDGET // max(1, widest))
        parts = [ask(self._rows[i : i + size]) for i in range(0, len(self._rows), size)]
        answers = np.concatenate(parts, axis=-2).astype(np.float64)
        return answers.reshape(*answers.shape[:-2], *self.xx0.shape, answers.shape[-1])


def _two_columns(X: Any) -> HostArray:
    """Points of a plane."""
    points = numbers(X, "X")
    if points.ndim != 2 or points.shape[1] != 2:
        raise ShapeError(f"X: expected points of shape (n, 2), got {points.shape}")
    return points


def _columns(X: Any) -> list[str] | None:
    """A data frame's column names."""
    return [str(name) for name in X.columns] if hasattr(X, "columns") else None


def _targets(y: Any, n: int, n_out: int, by_class: bool, output: int | None) -> HostArray:
    """Targets as class numbers or as values, shape (n,)."""
    targets = numbers(y, "y")
    if targets.ndim == 0 or len(targets) != n:
        got = "a single number" if targets.ndim == 0 else len(targets)
        raise ShapeError(f"y: expected {n} targets, one for each row of X, got {got}")
    if targets.ndim == 2 and targets.shape[1] > 1:
        if targets.shape[1] != n_out:
            raise ShapeError(f"y: expected shape ({n},) or ({n}, {n_out}), got {targets.shape}")
        return targets.argmax(axis=1) if by_class else targets[:, output or 0]
    targets = targets.reshape(n)
    if not by_class:
        return targets if n_out == 1 else np.asarray(targets == (output or 0), dtype=np.float64)
    allowed = max(n_out, 2)
    if not np.all(np.isin(targets, np.arange(allowed))):
        raise ValueError(f"y: expected class numbers in 0..{allowed - 1}, got values from {targets.min():g} to"
                         f" {targets.max():g}; with other labels, numpy.unique(y, return_inverse=True)")  # fmt: skip
    return targets.astype(np.int64)


def _numbered(targets: HostArray, classes: HostArray) -> HostArray:
    """Labels as positions in the estimator's classes."""
    positions = {label: i for i, label in enumerate(classes.tolist())}
    unknown = sorted({str(label) for label in targets.tolist() if label not in positions})
    if unknown:
        raise ValueError(f"y: expected the classes {list(positions)}, got {unknown[:5]} too")
    return np.array([positions[label] for label in targets.tolist()])


def _shortened(names: list[str]) -> list[str]:
    """Names that leave room for the plane."""
    return [name if len(name) <= 20 else name[:19] + "…" for name in names]
