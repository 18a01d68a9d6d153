"""Decision boundaries over two features: the classes' regions, or a single output's value."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from bpx.errors import ShapeError
from bpx.network.data_frames import plain
from bpx.network.mlp import MLP
from bpx.plotting.arrays import HostArray, host, network, numbers
from bpx.plotting.frame import colour_bar
from bpx.plotting.frame import legend as write_legend
from bpx.plotting.frame import title as heading
from bpx.plotting.plane import Plane, columns, numbered, targets
from bpx.plotting.regions import region_colour, write_names
from bpx.plotting.style import CLASS_COLOURS, INK, MARKERS, SEQUENTIAL, canvas, grid, shortened

__all__ = ["DecisionBoundaryDisplay"]

# Names stand in a legend up to here.
MOST_NAMES = 20
# Of a stack's networks: black is the boundary of their mean.
NETWORKS = CLASS_COLOURS[:-1]


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
    names_ : list of matplotlib Text
        Of more than 7 classes the names, in their regions.
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
        self.y = None if y is None else plain(host(y)) if by_class else numbers(y, "y")
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
        grid_ = Plane(points, features, grid_resolution, feature_names if feature_names is not None else columns(X))
        answers = grid_.answer(lambda rows: net.backend.to_host(net(rows)), max(net.sizes) * (net.stack or 1))
        if by_class and n_out == 1:
            answers = np.concatenate([threshold - answers, answers - threshold], axis=-1)
        response = answers if by_class else answers[..., output or 0]
        wanted = None if y is None else targets(y, len(points), n_out, by_class, output)
        return cls(
            xx0=grid_.xx0, xx1=grid_.xx1, response=response, by_class=by_class, X=grid_.points, y=wanted,
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
        features : (int, int), optional
            Columns to draw over where there are more than two.
        grid_resolution : int
            Points of the grid on each side.
        class_names, feature_names : sequences of str, optional
            Other names than the estimator's and the data frame's.
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
        if isinstance(estimator, MLP) or not hasattr(estimator, "predict"):
            hint = "; use from_network" if isinstance(estimator, MLP) else ""
            raise TypeError(f"estimator: expected a fitted estimator, got {type(estimator).__name__}{hint}")
        classes = getattr(estimator, "classes_", None)
        ask = estimator.predict if classes is None else estimator.predict_proba
        points, names = numbers(X, "X"), columns(X)
        grid_ = Plane(points, features, grid_resolution, feature_names if feature_names is not None else names)

        def answer(rows: HostArray) -> HostArray:
            # In the kind of table that it was fitted on, which scikit-learn would otherwise warn about.
            made = getattr(type(X), "from_pydict", type(X))  # that of pyarrow
            table = rows if names is None else made(dict(zip(names, rows.T, strict=True)))
            found = np.asarray(host(ask(table)), dtype=np.float64)
            return found[:, None] if found.ndim == 1 else found

        answers = grid_.answer(answer, 64)
        if classes is None and answers.shape[-1] > 1:
            raise ValueError(f"estimator: expected one target, got {answers.shape[-1]}; draw a network's output=")
        wanted = None if y is None else plain(host(y)).reshape(-1)
        if wanted is not None and len(wanted) != len(points):
            raise ShapeError(f"y: expected {len(points)} targets, one for each row of X, got {len(wanted)}")
        if wanted is not None and classes is not None:
            wanted = numbered(wanted, np.asarray(classes))
        return cls(
            xx0=grid_.xx0, xx1=grid_.xx1, response=answers[..., 0] if classes is None else answers,
            by_class=classes is not None, X=grid_.points, y=wanted, feature_names=grid_.names, note=grid_.note,
            class_names=class_names if class_names is not None or classes is None else list(classes),
        ).plot(ax=ax, **kwargs)  # fmt: skip

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
            Legend of the classes, or colour bar of the values.
        point_size : float, optional
            Area of a point in square points; None is 34, or 14 for more than 300.
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
            self.legend_: Any = None
            self.colorbar_: Any = None
            self.surface_: Any = None
            self.names_: list[Any] = []
            many = self.X is not None and len(self.X) > 300
            self._size = point_size if point_size is not None else 14.0 if many else 34.0
            if self.by_class:
                self._draw_classes()
                if legend:
                    self._class_legend(own=ax is None)
            else:
                self._draw_values()
                if legend:
                    self.colorbar_ = colour_bar(self.ax_, self.surface_, own=ax is None, label=value_label)
            if title is None:
                of = "" if self.stack is None else f", mean of {self.stack} networks"
                kind = "Predicted class" if self.by_class else "Output"
                kind += " (area) and target (points)" if self.y is not None and not self.by_class else ""
                title = f"{kind}{of}{', ' + self.note if self.note else ''}"
            heading(self.ax_, title, own=ax is None)
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
        shades = ListedColormap([region_colour(c) for c in range(count)])
        step = [(axis.max() - axis.min()) / (axis.shape[0] - 1) / 2 for axis in (self.xx0, self.xx1)]
        self.surface_ = self.ax_.imshow(
            np.argmax(mean, axis=-1), origin="lower", cmap=shades, vmin=-0.5, vmax=count - 0.5, aspect="auto",
            extent=(self.xx0.min() - step[0], self.xx0.max() + step[0], self.xx1.min() - step[1],
                    self.xx1.max() + step[1]),
        )  # fmt: skip
        if count > len(CLASS_COLOURS):
            self.names_ = write_names(self.ax_, self.xx0, self.xx1, np.argmax(mean, axis=-1), self.class_names)
        for k in range(self.stack or 0):
            colour, opacity = (NETWORKS[k], 1.0) if self._few() else (INK, 0.22)
            self._draw_boundary(self.response[k], colors=colour, linewidths=1.5, alpha=opacity)
        self._draw_boundary(mean, colors=INK, linewidths=1.6 if self.stack is None else 3.0)
        if self.X is None:
            return
        for c in range(count) if self.y is not None else ():
            x0, x1 = self.X[self.y == c].T
            colour = CLASS_COLOURS[c % len(CLASS_COLOURS)]
            self.points_.append(
                self.ax_.scatter(
                    x0, x1, s=self._size, color=colour, marker=MARKERS[c % len(MARKERS)], linewidths=0.8,
                    edgecolors=_edge(colour), label=self.class_names[c], zorder=3,
                )
            )  # fmt: skip
        if self.y is None:
            self.points_.append(self.ax_.scatter(*self.X.T, s=14, color=INK, zorder=3))

    def _few(self) -> bool:
        """Whether each network of a stack has a colour of its own."""
        return self.stack is not None and self.stack <= len(NETWORKS)

    def _draw_boundary(self, scores: HostArray, **look: Any) -> None:
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
        levels = MaxNLocator(16).tick_values(low, high if high > low else low + 1.0)
        self.surface_ = self.ax_.contourf(self.xx0, self.xx1, values, levels=levels, cmap=SEQUENTIAL)
        if self.X is not None:
            shown: dict[str, Any] = {"color": "white"}
            if self.y is not None:
                shown = {"c": self.y, "cmap": SEQUENTIAL, "vmin": levels[0], "vmax": levels[-1]}
            self.points_.append(
                self.ax_.scatter(*self.X.T, s=self._size, edgecolors="white", linewidths=1.0, zorder=3, **shown)
            )

    def _class_legend(self, own: bool) -> None:
        """Names of the classes with their point or, without points, their region's colour; beside the plane."""
        assert self.n_classes is not None
        drawn = self.y is not None
        handles = [
            Line2D(
                [], [], linestyle="none", marker=MARKERS[c % len(MARKERS)] if drawn else "s",
                markersize=7 if drawn else 10, markeredgecolor=_edge(colour), markeredgewidth=0.8,
                color=colour if drawn else region_colour(c), label=shortened(name, 20),
            )
            for c, name in enumerate(self.class_names[:MOST_NAMES])
            for colour in [CLASS_COLOURS[c % len(CLASS_COLOURS)]]
        ]  # fmt: skip
        if self.y is None and self.X is not None:
            handles.append(Line2D([], [], linestyle="none", marker="o", markersize=4, color=INK, label="sample"))
        if self.boundaries_:
            of = "decision boundary" if self.stack is None else "boundary of the mean"
            handles.append(Line2D([], [], color=INK, linewidth=1.6 if self.stack is None else 3.0, label=of))
        if self._few():
            handles += [Line2D([], [], color=NETWORKS[k], label=f"network {k}") for k in range(self.stack or 0)]
        elif self.stack is not None:
            handles.append(Line2D([], [], color=INK, linewidth=1.5, alpha=0.4, label=f"{self.stack} networks"))
        names = [str(handle.get_label()) for handle in handles]
        self.legend_ = write_legend(self.ax_, handles, names, own=own, beside=True)


def _edge(colour: str) -> str:
    """The edge of a point."""
    return "#999999" if colour == "#000000" else "black"


def _two_columns(X: Any) -> HostArray:
    """Points of a plane."""
    points = numbers(X, "X")
    if points.ndim != 2 or points.shape[1] != 2:
        raise ShapeError(f"X: expected points of shape (n, 2), got {points.shape}")
    return points
