"""The network as nodes and edges, with the numbers of a training step on them."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import wrap
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Circle

from bpx.errors import ShapeError
from bpx.network.mlp import MLP
from bpx.plotting.arrays import got, network, numbers, whole
from bpx.plotting.layout import Layout, elided
from bpx.plotting.placement import overlap, place
from bpx.plotting.style import COLOURS, INK, canvas, tint
from bpx.plotting.wording import Wording

__all__ = ["NetworkDisplay"]

POSITIVE, NEGATIVE, ZERO = COLOURS[0], "#D55E00", "#888888"
DASHED = (0, (4, 2))
BARE = {"boxstyle": "square,pad=0.05", "facecolor": "white", "edgecolor": "none"}


class NetworkDisplay:
    """A network diagram; made by `from_trace` or `from_network`.

    Parameters
    ----------
    weights : list of arrays of shape (n_in, n_out)
        One per layer.
    biases : list of arrays of shape (n_out,) or None, optional
    names : list of str, optional
        The layers' activations.
    trace : StepTrace, optional
        The step whose numbers stand in the diagram.
    sample : int
        Which sample of a trace of several.

    Attributes
    ----------
    nodes_ : list of dict from unit to matplotlib Circle
        One dict for the inputs and one per layer; elided units are left out.
    node_text_, bias_text_, output_text_ : lists of dict from unit to matplotlib Text
        What stands in a node, below it, and beside an output; empty where numbers are left out.
    edges_, edge_text_ : lists of dict from (input, unit) to matplotlib Line2D and Text
        One dict per layer.
    title_, caption_ : matplotlib Text
    ax_, figure_ : matplotlib Axes and Figure
    """

    def __init__(
        self, *, weights: Sequence[Any], biases: Sequence[Any] | None = None, names: Sequence[str] | None = None,
        trace: Any = None, sample: int = 0,
    ) -> None:  # fmt: skip
        self.weights = [numbers(W, "weights") for W in weights]
        if not self.weights or any(W.ndim != 2 or not W.size for W in self.weights):
            raise ShapeError("weights: expected at least one array of shape (n_in, n_out)")
        self.sizes = [self.weights[0].shape[0], *(W.shape[1] for W in self.weights)]
        if any(W.shape[0] != n for W, n in zip(self.weights, self.sizes[:-1], strict=True)):
            raise ShapeError(f"weights: expected layers that fit, got shapes {[W.shape for W in self.weights]}")
        given = [None] * len(self.weights) if biases is None else list(biases)
        self.biases = [None if b is None else numbers(b, "biases") for b in given]
        wrong = [b is not None and b.shape != (n,) for b, n in zip(self.biases, self.sizes[1:], strict=True)]
        if any(wrong):
            raise ShapeError(f"biases: expected one of shape (n_out,), or None, for each of layers {self.sizes[1:]}")
        self.names = [""] * len(self.weights) if names is None else [str(name) for name in names]
        self.trace, self.sample = trace, sample
        if trace is not None:
            count = 1 if np.ndim(trace.x) == 1 else len(trace.x)
            if not isinstance(sample, (int, np.integer)) or not 0 <= sample < count:
                raise ValueError(f"sample: expected one of the trace's {count} samples, from 0, got {got(sample)}")

    @classmethod
    def from_trace(cls, trace: Any, *, sample: int = 0, ax: Axes | None = None, **kwargs: Any) -> NetworkDisplay:
        """Draw one step of back-propagation: every number on its node or edge.

        Parameters
        ----------
        trace : StepTrace
            What `bpx.trace` returned.
        sample : int
            Of a trace of several samples, the one whose z, a and delta stand in the nodes; gradients are the batch's.
        ax : matplotlib Axes, optional
            None makes a figure.
        **kwargs
            For `plot`.

        Returns
        -------
        NetworkDisplay

        Raises
        ------
        TypeError, ValueError
        """
        if not hasattr(trace, "layers") or not hasattr(trace, "learning_rate"):
            hint = "; use from_network" if isinstance(trace, MLP) else ""
            raise TypeError(f"trace: expected what bpx.trace returns, got {type(trace).__name__}{hint}")
        layers = trace.layers
        return cls(
            weights=[layer.W for layer in layers], biases=[layer.b for layer in layers],
            names=[layer.name for layer in layers], trace=trace, sample=sample,
        ).plot(ax=ax, **kwargs)  # fmt: skip

    @classmethod
    def from_network(
        cls, net: MLP, *, member: int | None = None, ax: Axes | None = None, **kwargs: Any
    ) -> NetworkDisplay:
        """Draw a network's weights and biases.

        Parameters
        ----------
        net : MLP
            On any backend.
        member : int, optional
            Which network of a stack.
        ax : matplotlib Axes, optional
            None makes a figure.
        **kwargs
            For `plot`.

        Returns
        -------
        NetworkDisplay

        Raises
        ------
        TypeError, ValueError
        """
        net = network(net, "NetworkDisplay(weights=e.coefs_, biases=e.intercepts_).plot() draws an estimator e")
        if member is not None:
            net = net.member(member)
        if net.stack is not None:
            raise ValueError(f"net: a stack of {net.stack} networks; choose one with member=0")
        host = {name: net.backend.to_host(view) for name, view in net.params.items()}
        layers = range(len(net.sizes) - 1)
        return cls(
            weights=[host[f"{i}.W"] for i in layers], biases=[host.get(f"{i}.b") for i in layers],
            names=[activation.name for activation in (*net.hidden, net.output)],
        ).plot(ax=ax, **kwargs)  # fmt: skip

    def plot(
        self, ax: Axes | None = None, *, numbers: bool | str = "auto", decimals: int = 4, max_units: int = 9,
        title: str | None = None, caption: bool = True,
    ) -> NetworkDisplay:  # fmt: skip
        """Draw the diagram.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            None makes a figure, as high as the numbers need.
        numbers : bool or "auto"
            Whether numbers stand in the diagram; "auto": where they can be read.
        decimals : int
            Of the numbers.
        max_units : int
            Of a layer with more, the first ones and the last are drawn, with an ellipsis between.
        title : str, optional
            None says what it is; "" leaves it out.
        caption : bool
            Whether a line below says how to read it.

        Returns
        -------
        NetworkDisplay
            This display.
        """
        if not isinstance(numbers, (bool, np.bool_, str)) or numbers not in (True, False, "auto"):
            raise ValueError(f"numbers: expected True, False or 'auto', got {got(numbers)}")
        if whole(max_units, "max_units", 1) < 3:
            raise ValueError(f"max_units: expected at least 3, the first two and the last, got {max_units}")
        self.shown = [elided(size, max_units) for size in self.sizes]
        layout = Layout(self.sizes, self.shown, traced=self.trace is not None)
        attempts = layout.attempts(numbers)
        self._words = Wording(self, decimals, numbers is not False)
        with canvas(ax, attempts[0][1], "none") as (self.figure_, self.ax_):
            if ax is None:
                self.ax_.set_position((0.01, 0.01, 0.98, 0.98))
            others = set(self.ax_.get_children())
            for i, (level, height) in enumerate(attempts):
                if ax is None:
                    self.figure_.set_size_inches(8.0, height)
                self._draw(layout, level, title, caption)
                if i == len(attempts) - 1 or not self._collides(layout):
                    break
                for artist in set(self.ax_.get_children()) - others:
                    artist.remove()
        return self

    # ------------------------------------------------------------------ inside

    def _draw(self, layout: Layout, level: str, title: str | None, caption: bool) -> None:
        """The whole diagram with all numbers, with fewer or without."""
        self._texts = self._words.write(level)
        self.ax_.set_aspect("auto")  # an attempt before may have narrowed it
        self.figure_.draw_without_rendering()
        box, points = self.ax_.get_window_extent(), 72 / self.figure_.dpi
        width, height = box.width * points, box.height * points
        self.ax_.set(xlim=(0, width), ylim=(0, height), aspect="equal")
        self.ax_.set_axis_off()
        above, below = self._frame_texts(width, height, title, caption)
        layout.arrange(width, above, below, self._texts["nodes"])
        self._draw_nodes(layout)
        self._draw_edges(layout, level != "none")
        self._draw_headings(layout, above)
        for text in self.ax_.texts:  # a layout engine must not make room for what stands inside
            text.set_in_layout(False)

    def _collides(self, layout: Layout) -> bool:
        """Whether texts cover each other or a node, or leave the axes."""
        inverse = self.ax_.transData.inverted()
        inside = [text for texts in self.node_text_ for text in texts.values()]
        loose = [text for text in self.ax_.texts if text.get_text() and text not in inside]
        boxes = np.array([inverse.transform(_extent(text).get_points()).ravel() for text in loose])
        shared = overlap(boxes[:, None, :], boxes[None, :, :])
        np.fill_diagonal(shared, 0.0)
        nodes = np.array(self._node_boxes(layout))
        (left, right), (bottom, top) = self.ax_.get_xlim(), self.ax_.get_ylim()
        outside = (boxes[:, :2] < (left - 1, bottom - 1)) | (boxes[:, 2:] > (right + 1, top + 1))
        return bool(np.any(shared > 1.0) or np.any(overlap(boxes[:, None, :], nodes) > 1.0) or np.any(outside))

    def _frame_texts(self, width: float, height: float, title: str | None, caption: bool) -> tuple[float, float]:
        """Title and caption; where the space between them begins and ends."""
        title = self._words.title() if title is None else title
        room = int(width / 5.0)
        text = (
            "\n".join(part for line in self._words.caption().split("\n") for part in wrap(line, room))
            if caption
            else ""
        )
        size = 12.0 if len(title) * 7.2 <= width else max(9.0, width / (0.6 * len(title)))
        title = "\n".join(wrap(title, int(width / (0.6 * size))))
        self.title_ = self.ax_.text(2, height - 2, title, fontsize=size, fontweight="bold", va="top")
        self.caption_ = self.ax_.text(2, 2, text, fontsize=9, va="bottom", linespacing=1.4)
        lines = [len(part.split("\n")) if part else 0 for part in (title, text)]
        return height - 2 - 1.65 * size * lines[0], 6.0 + 13.0 * lines[1]

    def _draw_nodes(self, layout: Layout) -> None:
        """Circles with their texts, biases below, targets beside."""
        self.nodes_: list[dict[int, Any]] = [{} for _ in self.sizes]
        self.node_text_: list[dict[int, Any]] = [{} for _ in self.sizes]
        self.bias_text_: list[dict[int, Any]] = [{} for _ in self.weights]
        self.output_text_: list[dict[int, Any]] = [{}]
        for column, units in enumerate(self.shown):
            fill = tint("#56B4E9", 0.22) if 0 < column < len(self.sizes) - 1 else tint("#E69F00", 0.2)
            fill = tint("#888888", 0.15) if column == 0 else fill
            radius = layout.radius[column]
            for unit in units:
                x, y = layout.at[column][unit]
                patch = Circle((x, y), radius, facecolor=fill, edgecolor=INK, linewidth=1.2, zorder=3)
                self.nodes_[column][unit] = self.ax_.add_patch(patch)
                style: dict[str, Any] = {"fontsize": layout.font, "zorder": 5, "linespacing": 1.15}
                if unit in self._texts["nodes"][column]:
                    text = self._texts["nodes"][column][unit]
                    self.node_text_[column][unit] = self.ax_.text(x, y, text, ha="center", va="center", **style)
                if column and unit in self._texts["biases"][column - 1]:
                    text = self._texts["biases"][column - 1][unit]
                    self.bias_text_[column - 1][unit] = self.ax_.text(
                        x, y - radius - 3, text, ha="center", va="top", bbox=BARE, **style
                    )
                if column == len(self.sizes) - 1 and unit in self._texts["outputs"][0]:
                    self.output_text_[0][unit] = self.ax_.text(
                        x + radius + 6, y, self._texts["outputs"][0][unit], ha="left", va="center", **style
                    )
            if len(units) < self.sizes[column]:
                self.ax_.text(*layout.ellipsis[column], "⋮", ha="center", va="center", fontsize=18, color=INK)

    def _draw_edges(self, layout: Layout, with_numbers: bool) -> None:
        """Lines by sign and size of the weight, with their labels where these cover least."""
        self.edges_: list[dict[Any, Any]] = [{} for _ in self.weights]
        self.edge_text_: list[dict[Any, Any]] = [{} for _ in self.weights]
        taken = self._boxes(layout)
        for k, W in enumerate(self.weights):
            shown = W[np.ix_(self.shown[k], self.shown[k + 1])]
            finite = np.abs(shown[np.isfinite(shown)])
            largest = float(finite.max(initial=0.0)) or 1.0
            thickest = 2.6 if with_numbers or shown.size <= 30 else 1.6
            for i in self.shown[k]:
                for j in self.shown[k + 1]:
                    w = float(W[i, j])
                    colour = POSITIVE if w > 0 else NEGATIVE if w < 0 else ZERO
                    share = min(1.0, abs(w) / largest) if np.isfinite(w) else 1.0
                    (self.edges_[k][i, j],) = self.ax_.plot(
                        *zip(layout.at[k][i], layout.at[k + 1][j], strict=True), color=colour, zorder=1,
                        linestyle=DASHED if w < 0 else "-", linewidth=0.5 + thickest * share,
                        alpha=1.0 if with_numbers else 0.35 + 0.65 * share,
                    )  # fmt: skip
            if self._texts["edges"][k]:
                self._label_edges(layout, k, taken)

    def _label_edges(self, layout: Layout, k: int, taken: list[Any]) -> None:
        """The labels of one layer's edges."""
        keys = list(self._texts["edges"][k])
        ends = np.array([[layout.at[k][i], layout.at[k + 1][j]] for i, j in keys])
        labels = []
        for key in keys:
            colour = self.edges_[k][key].get_color()
            frame = {"boxstyle": "round,pad=0.18", "facecolor": "white", "edgecolor": colour, "linewidth": 0.9}
            text = self._texts["edges"][k][key].replace(" → ", "\n→ " if layout.narrow else " → ")
            labels.append(
                self.ax_.text(0, 0, text, ha="center", va="center", fontsize=layout.font - 0.5, zorder=4, bbox=frame,
                              linespacing=1.1)
            )  # fmt: skip
        points = 72 / self.figure_.dpi
        extents = [label.get_window_extent() for label in labels]
        pad = 2 * 0.18 * (layout.font - 0.5) + 1
        sizes = np.array([[e.width * points + pad, e.height * points + pad] for e in extents])
        way = ends[:, 1] - ends[:, 0]
        unit = way / np.linalg.norm(way, axis=1, keepdims=True)
        starts = ends[:, 0] + unit * layout.radius[k]
        stops = ends[:, 1] - unit * layout.radius[k + 1]
        places = place(starts, stops, sizes, np.array(taken))
        for key, label, at, half in zip(keys, labels, places, sizes / 2, strict=True):
            label.set_position(tuple(at))
            taken.append((*(at - half), *(at + half)))  # in the way of the next layer's
            self.edge_text_[k][key] = label

    def _boxes(self, layout: Layout) -> list[Any]:
        """The boxes of nodes and of the texts that are there, in points."""
        boxes = self._node_boxes(layout)
        inverse = self.ax_.transData.inverted()
        for text in [t for part in (*self.bias_text_, *self.output_text_) for t in part.values()]:
            (left, bottom), (right, top) = inverse.transform(_extent(text).get_points())
            boxes.append((left, bottom, right, top))
        return boxes

    def _node_boxes(self, layout: Layout) -> list[Any]:
        """The boxes of nodes: a cross of two is nearer to a circle than the square around it."""
        boxes = []
        for column, units in enumerate(self.shown):
            r = layout.radius[column]
            for unit in units:
                x, y = layout.at[column][unit]
                boxes += [(x - r, y - 0.6 * r, x + r, y + 0.6 * r), (x - 0.6 * r, y - r, x + 0.6 * r, y + r)]
        return boxes

    def _draw_headings(self, layout: Layout, above: float) -> None:
        """The layers' names over the columns."""
        last = len(self.sizes) - 1
        for column, size in enumerate(self.sizes):
            kind = "inputs" if column == 0 else "output" if column == last else "hidden"
            if kind == "hidden" and last > 2:
                kind = f"hidden {column}"
            name = f": {self.names[column - 1]}" if column and self.names[column - 1] else ""
            if layout.crowded:
                name = name.replace(": ", "\n")
            count = f"\n{size} {'unit' if size == 1 else 'units'}" if column and not layout.whole else ""
            kind = f"{size} inputs" if column == 0 and not layout.whole else kind
            self.ax_.text(
                layout.x[column], above - 4, f"{kind}{name}{count}", ha="center", va="top",
                fontsize=9.0 if layout.crowded else 10.5,
                fontweight="bold", color="#444444",
            )  # fmt: skip


def _extent(text: Any) -> Any:
    """The box of a text with its frame, in pixels."""
    box, frame = text.get_window_extent(), text.get_bbox_patch()
    # The frame itself is fitted to its text only when it is drawn.
    return box if frame is None else box.padded(frame.get_boxstyle().pad * text.get_fontsize() * text.figure.dpi / 72)
