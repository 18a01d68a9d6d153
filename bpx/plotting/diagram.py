"""A network as a diagram of nodes and edges, with the numbers of a training step on them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from textwrap import wrap
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Circle

from bpx.errors import ShapeError
from bpx.errors.values import check_count
from bpx.network.mlp import MLP
from bpx.plotting.arguments import HostArray, network, numbers, received
from bpx.plotting.diagram_layout import FONT_SIZE, NodeLayout, drawn_units
from bpx.plotting.diagram_text import DiagramLabels, DiagramText
from bpx.plotting.label_placement import overlap, place_labels
from bpx.plotting.style import COLOURS, INK, canvas, tint

POSITIVE, NEGATIVE, ZERO = COLOURS[0], "#D55E00", "#888888"
DASHED = (0, (4, 2))
BARE = {"boxstyle": "square,pad=0.05", "facecolor": "white", "edgecolor": "none"}
FRAME = {"boxstyle": "round,pad=0.18", "facecolor": "white", "linewidth": 0.9}
INPUT_FILL, HIDDEN_FILL, OUTPUT_FILL = tint("#888888", 0.15), tint("#56B4E9", 0.22), tint("#E69F00", 0.2)
CROSS = (-1.0, -0.6, 1.0, 0.6), (-0.6, -1.0, 0.6, 1.0)


class NetworkDisplay:
    """A network diagram; made by `from_trace` or `from_network`.

    Parameters
    ----------
    weights : list of arrays of shape (n_in, n_out)
        One per layer.
    biases : list of arrays of shape (n_out,) or None, optional
        One per layer, None for a layer without.
    names : list of str, optional
        The names of the layers' activations.
    trace : StepTrace, optional
        The step whose numbers are shown.
    sample : int
        Which sample of a trace of several.

    Attributes
    ----------
    nodes_ : list of dict from unit to matplotlib Circle
        One dict for the inputs and one per layer, with the units that are drawn.
    node_text_, bias_text_, output_text_ : lists of dict from unit to matplotlib Text
        The texts in a node, below it, and beside an output; empty if numbers are left out.
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
                raise ValueError(f"sample: expected one of the trace's {count} samples, from 0, got {received(sample)}")

    @classmethod
    def from_trace(cls, trace: Any, *, sample: int = 0, ax: Axes | None = None, **kwargs: Any) -> NetworkDisplay:
        """Draw one step of back-propagation: every number on its node or edge.

        Parameters
        ----------
        trace : StepTrace
            The result of `bpx.trace`.
        sample : int
            Which of several samples: its z, a and delta are shown. The gradients are those of the batch.
        ax : matplotlib Axes, optional
            None makes a figure.
        **kwargs
            For `plot`.

        Returns
        -------
        NetworkDisplay
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
        """
        hint = "NetworkDisplay(weights=e.coefs_, biases=e.intercepts_).plot() draws an estimator e"
        net = network(net, member, hint)
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
            Whether to show numbers; "auto" shows them if they can be read.
        decimals : int
            Decimals of the numbers.
        max_units : int
            At least 3. Of a larger layer the first units and the last are drawn, with an ellipsis between.
        title : str, optional
            None is a description of the diagram; "" leaves it out.
        caption : bool
            Whether to explain the diagram below it.

        Returns
        -------
        NetworkDisplay
            This display.
        """
        if not isinstance(numbers, (bool, np.bool_, str)) or numbers not in (True, False, "auto"):
            raise ValueError(f"numbers: expected True, False or 'auto', got {received(numbers)}")
        check_count("max_units", max_units, 3)  # the first two and the last
        self.shown = [drawn_units(size, max_units) for size in self.sizes]
        self._layout = NodeLayout(self.sizes, self.shown, traced=self.trace is not None)
        text = DiagramText(self, decimals, numbers is not False)
        attempts = self._layout.attempts(numbers)
        with canvas(ax, attempts[0][1], "none") as (self.figure_, self.ax_):
            if ax is None:
                self.ax_.set_position((0.01, 0.01, 0.98, 0.98))
            others = set(self.ax_.get_children())
            for level, height in attempts:
                for artist in set(self.ax_.get_children()) - others:  # of the previous attempt
                    artist.remove()
                if ax is None:
                    self.figure_.set_size_inches(8.0, height)
                words = text.caption(level) if caption else ""
                self._draw(text.labels(level), text.title() if title is None else title, words)
                if not self._collides():
                    break
        return self

    # ------------------------------------------------------------------ inside

    def _draw(self, labels: DiagramLabels, title: str, caption: str) -> None:
        """Draw the whole diagram with these labels."""
        self.ax_.set_aspect("auto")  # a previous attempt may have narrowed the axes
        self.figure_.draw_without_rendering()
        box, points = self.ax_.get_window_extent(), 72 / self.figure_.dpi
        width, height = box.width * points, box.height * points
        self.ax_.set(xlim=(0, width), ylim=(0, height), aspect="equal")
        self.ax_.set_axis_off()
        above, below = self._draw_title_and_caption(width, height, title, caption)
        self._layout.arrange(width, above, below, labels.nodes)
        self._draw_nodes(labels)
        self._draw_edges(labels)
        self._draw_headings(above)
        for text in self.ax_.texts:  # a layout engine must not reserve space for texts inside
            text.set_in_layout(False)

    def _collides(self) -> bool:
        """Whether texts overlap each other or a node, or leave the axes."""
        inside = [text for texts in self.node_text_ for text in texts.values()]
        boxes = self._boxes(text for text in self.ax_.texts if text.get_text() and text not in inside)
        shared = overlap(boxes[:, None, :], boxes[None, :, :])
        np.fill_diagonal(shared, 0.0)
        (left, right), (bottom, top) = self.ax_.get_xlim(), self.ax_.get_ylim()
        outside = (boxes[:, :2] < (left - 1, bottom - 1)) | (boxes[:, 2:] > (right + 1, top + 1))
        covers = np.any(shared > 1.0) or np.any(overlap(boxes[:, None, :], self._node_boxes()) > 1.0)
        return bool(covers or np.any(outside))

    def _draw_title_and_caption(self, width: float, height: float, title: str, caption: str) -> tuple[float, float]:
        """Draw both, wrapped; returns the upper and the lower end of the space between them."""
        caption = "\n".join(part for line in caption.split("\n") for part in wrap(line, int(width / 5.0)))
        size = 12.0 if len(title) * 7.2 <= width else max(9.0, width / (0.6 * len(title)))
        title = "\n".join(wrap(title, int(width / (0.6 * size))))
        self.title_ = self.ax_.text(2, height - 2, title, fontsize=size, fontweight="bold", va="top")
        self.caption_ = self.ax_.text(2, 2, caption, fontsize=9, va="bottom", linespacing=1.4)
        return height - 2 - 1.65 * size * len(title.splitlines()), 6.0 + 13.0 * len(caption.splitlines())

    def _draw_nodes(self, labels: DiagramLabels) -> None:
        """Draw the nodes with their texts, biases below and targets beside them."""
        self.nodes_: list[dict[int, Any]] = [{} for _ in self.sizes]
        self.node_text_: list[dict[int, Any]] = [{} for _ in self.sizes]
        self.bias_text_: list[dict[int, Any]] = [{} for _ in self.weights]
        self.output_text_: list[dict[int, Any]] = [{}]
        write, last = self.ax_.text, len(self.sizes) - 1
        look: dict[str, Any] = {"fontsize": FONT_SIZE, "zorder": 5, "linespacing": 1.15}
        for column, radius in enumerate(self._layout.radius):
            fill = INPUT_FILL if column == 0 else OUTPUT_FILL if column == last else HIDDEN_FILL
            for unit, (x, y) in self._layout.at[column].items():
                patch = Circle((x, y), radius, facecolor=fill, edgecolor=INK, linewidth=1.2, zorder=3)
                self.nodes_[column][unit] = self.ax_.add_patch(patch)
                if text := labels.nodes[column].get(unit):
                    self.node_text_[column][unit] = write(x, y, text, ha="center", va="center", **look)
                if column and (text := labels.biases[column - 1].get(unit)):
                    below: Any = {"ha": "center", "va": "top", "bbox": BARE}
                    self.bias_text_[column - 1][unit] = write(x, y - radius - 3, text, **below, **look)
                if column == last and (text := labels.outputs.get(unit)):
                    self.output_text_[0][unit] = write(x + radius + 6, y, text, ha="left", va="center", **look)
            if place := self._layout.ellipsis[column]:
                write(*place, "⋮", ha="center", va="center", fontsize=18, color=INK)

    def _draw_edges(self, labels: DiagramLabels) -> None:
        """Draw the edges by sign and size of the weight, with labels where they cover least."""
        self.edges_: list[dict[Any, Any]] = [{} for _ in self.weights]
        self.edge_text_: list[dict[Any, Any]] = [{} for _ in self.weights]
        texts = [text for part in (*self.bias_text_, *self.output_text_) for text in part.values()]
        taken = np.concatenate([self._node_boxes(), self._boxes(texts)])
        with_numbers = any(labels.edges)
        for k, W in enumerate(self.weights):
            drawn = W[np.ix_(self.shown[k], self.shown[k + 1])]
            largest = float(np.abs(drawn[np.isfinite(drawn)]).max(initial=0.0)) or 1.0
            thickest = 2.6 if with_numbers or drawn.size <= 30 else 1.6
            for i, start in self._layout.at[k].items():
                for j, end in self._layout.at[k + 1].items():
                    w = float(W[i, j])
                    share = min(1.0, abs(w) / largest) if np.isfinite(w) else 1.0
                    (self.edges_[k][i, j],) = self.ax_.plot(
                        *zip(start, end, strict=True), color=POSITIVE if w > 0 else NEGATIVE if w < 0 else ZERO,
                        linestyle=DASHED if w < 0 else "-", linewidth=0.5 + thickest * share,
                        alpha=1.0 if with_numbers else 0.35 + 0.65 * share, zorder=1,
                    )  # fmt: skip
            if labels.edges[k]:
                taken = np.concatenate([taken, self._label_edges(labels.edges[k], k, taken)])

    def _label_edges(self, texts: dict[Any, str], k: int, taken: HostArray) -> HostArray:
        """Label one layer's edges; returns the boxes of the labels, which later labels avoid."""
        size = FONT_SIZE - 0.5
        for key, text in texts.items():
            frame = FRAME | {"edgecolor": self.edges_[k][key].get_color()}
            text = text.replace(" → ", "\n→ ") if self._layout.narrow else text
            self.edge_text_[k][key] = self.ax_.text(
                0, 0, text, ha="center", va="center", fontsize=size, zorder=4, bbox=frame, linespacing=1.1
            )
        boxes = self._boxes(self.edge_text_[k].values())
        sizes = boxes[:, 2:] - boxes[:, :2] + 1
        ends = np.array([[self._layout.at[k][i], self._layout.at[k + 1][j]] for i, j in texts])
        way = ends[:, 1] - ends[:, 0]
        way /= np.linalg.norm(way, axis=1, keepdims=True)
        starts, stops = ends[:, 0] + way * self._layout.radius[k], ends[:, 1] - way * self._layout.radius[k + 1]
        middles = place_labels(starts, stops, sizes, taken)
        for label, middle in zip(self.edge_text_[k].values(), middles, strict=True):
            label.set_position(tuple(middle))
        return np.concatenate([middles - sizes / 2, middles + sizes / 2], axis=1)

    def _boxes(self, texts: Iterable[Any]) -> HostArray:
        """The boxes of texts with their frames, in points, shape (m, 4): left, bottom, right, top."""
        inverse = self.ax_.transData.inverted()
        return np.array([inverse.transform(_extent(text).get_points()).ravel() for text in texts]).reshape(-1, 4)

    def _node_boxes(self) -> HostArray:
        """The boxes of nodes, two crossed ones for each: they are closer to a circle than one square."""
        crosses = []
        for places, r in zip(self._layout.at, self._layout.radius, strict=True):
            middles = np.tile(list(places.values()), 2)
            crosses += [middles + r * np.array(CROSS[0]), middles + r * np.array(CROSS[1])]
        return np.concatenate(crosses)

    def _draw_headings(self, above: float) -> None:
        """Write the names of the layers over the columns."""
        last, crowded, complete = len(self.sizes) - 1, self._layout.crowded, self._layout.complete
        for column, (x, size) in enumerate(zip(self._layout.x, self.sizes, strict=True)):
            if column == 0:
                heading = "inputs" if complete else f"{size} inputs"
            else:
                heading = "output" if column == last else f"hidden {column}" if last > 2 else "hidden"
                if name := self.names[column - 1]:
                    heading += f"\n{name}" if crowded else f": {name}"
                if not complete:
                    heading += f"\n{size} {'unit' if size == 1 else 'units'}"
            look: Any = {"fontsize": 9.0 if crowded else 10.5, "fontweight": "bold", "color": "#444444"}
            self.ax_.text(x, above - 4, heading, ha="center", va="top", **look)


def _extent(text: Any) -> Any:
    """The box of a text with its frame, in pixels."""
    box, frame = text.get_window_extent(), text.get_bbox_patch()
    # The frame is fitted to its text only when it is drawn.
    return box if frame is None else box.padded(frame.get_boxstyle().pad * text.get_fontsize() * text.figure.dpi / 72)
