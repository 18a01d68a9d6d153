"""Where the images of a grid stand, with their title and labels."""

from __future__ import annotations

import math
from typing import Any

from matplotlib.axes import Axes

from bpx.plotting.arrays import HostArray, whole
from bpx.plotting.frame import title as heading
from bpx.plotting.style import INK, wide

__all__ = ["WRONG", "Tiles"]

# Between images, as a share of an image's longer side; above one with a label; the smallest text that is drawn.
GAP, LABEL, SMALLEST = 0.08, 0.3, 6.0
WRONG = "#D55E00"  # a label in this colour is bold


class Tiles:
    """Where images stand: in rows, in units of an image's longer side, from the top left."""

    def __init__(self, count: int, shape: tuple[int, ...], columns: int | None, *, labelled: bool, own: bool) -> None:
        columns = None if columns is None else whole(columns, "columns", 1)
        self.own, longer = own, max(shape)
        self.high, self.width = shape[0] / longer, shape[1] / longer
        self.above = LABEL * max(self.high, 0.4) if labelled else 0.0
        cell_width, cell_height = self.width + GAP, self.high + GAP + self.above
        # Rather broad than high, as the page is.
        self.columns = columns or _columns(count, math.sqrt(1.5 * count * cell_height / cell_width))
        self.rows = math.ceil(count / self.columns)
        self.across, self.down = self.columns * cell_width, self.rows * cell_height
        self.figure_height = min(7.6, max(2.2, 0.6 + min(6.6 * self.down / self.across, 1.9 * self.rows)))

    def corner(self, k: int) -> tuple[float, float]:
        """Left and top of image `k`; downwards is positive."""
        row, column = divmod(k, self.columns)
        return column * (self.width + GAP), row * (self.high + GAP + self.above) + self.above

    def draw(self, ax: Axes, images: HostArray, look: dict[str, Any]) -> list[Any]:
        """The images, each with its own pixels."""
        drawn = []
        for k, image in enumerate(images):
            left, top = self.corner(k)
            extent = (left, left + self.width, top + self.high, top)
            drawn.append(ax.imshow(image, extent=extent, interpolation="nearest", **look))
        ax.set(xlim=(-GAP, self.across), ylim=(self.down, -GAP / 2))
        ax.set_aspect("equal")
        ax.set_axis_off()
        return drawn

    def title(self, ax: Axes, text: str) -> None:
        """The title: in the middle where it is broader than the images."""
        ax.get_figure(root=True).draw_without_rendering()  # lays out, which tells how broad
        heading(ax, text, own=self.own, loc="left" if not self.own or wide(ax) > 7.2 * len(text) else "center")

    def label(self, ax: Axes, texts: list[str], colours: list[str] | None = None) -> list[Any]:
        """Texts above the images, as large as there is room for; none where that could not be read."""
        figure = ax.get_figure(root=True)
        figure.draw_without_rendering()  # lays out, which tells how large an image is
        unit = wide(ax) / (self.across + GAP)
        longest = max((len(text) for text in texts), default=1)
        size = min(11.0, 0.78 * self.above * unit, (self.width + 0.6 * GAP) * unit / (0.62 * longest))
        if size < SMALLEST:
            return []
        labels = []
        for k, text in enumerate(texts):
            left, top = self.corner(k)
            colour = colours[k] if colours else INK
            weight = "bold" if colour == WRONG else "normal"
            labels.append(
                ax.text(left + self.width / 2, top - 0.03, text, ha="center", va="bottom", fontsize=size, color=colour,
                        fontweight=weight)
            )  # fmt: skip
        return labels


def _columns(count: int, wanted: float) -> int:
    """About as many columns as wanted, so that the last row is as full as can be."""
    choices = range(max(1, round(0.7 * wanted)), max(1, min(count, round(1.35 * wanted))) + 1)
    return min(choices, key=lambda columns: (-count % columns, abs(columns - wanted)))
