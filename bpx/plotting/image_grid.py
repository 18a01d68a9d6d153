"""A grid of images with a title and labels."""

from __future__ import annotations

import math
from typing import Any

from matplotlib.axes import Axes

from bpx.errors.values import check_count
from bpx.plotting.arguments import HostArray
from bpx.plotting.decorations import set_title
from bpx.plotting.style import width_in_points

# The gap between images and the height of a label, as shares of an image's longer side; the smallest font in points.
GAP, LABEL, SMALLEST = 0.08, 0.3, 6.0
WRONG = "#D55E00"  # a label in this colour is bold


class ImageGrid:
    """The positions of images in rows from the top left, in units of an image's longer side."""

    def __init__(self, count: int, shape: tuple[int, ...], columns: int | None, *, labelled: bool, own: bool) -> None:
        self.own, longer = own, max(shape)
        self.height, self.width = shape[0] / longer, shape[1] / longer
        self.above = LABEL * max(self.height, 0.4) if labelled else 0.0
        cell_width, cell_height = self.width + GAP, self.height + GAP + self.above
        # Wider than high, like a page.
        wanted = math.sqrt(1.5 * count * cell_height / cell_width)
        self.columns = _columns(count, wanted) if columns is None else check_count("columns", columns)
        rows = math.ceil(count / self.columns)
        self.across, self.down = self.columns * cell_width, rows * cell_height
        self.figure_height = min(7.6, max(2.2, 0.6 + min(6.6 * self.down / self.across, 1.9 * rows)))

    def _corner(self, k: int) -> tuple[float, float]:
        """Left and top of image `k`; downwards is positive."""
        row, column = divmod(k, self.columns)
        return column * (self.width + GAP), row * (self.height + GAP + self.above) + self.above

    def draw(self, ax: Axes, images: HostArray, title: str, look: dict[str, Any]) -> list[Any]:
        """Draw the images, each with its own pixels, and the title."""
        drawn = []
        for k, image in enumerate(images):
            left, top = self._corner(k)
            extent = (left, left + self.width, top + self.height, top)
            drawn.append(ax.imshow(image, extent=extent, interpolation="nearest", **look))
        ax.set(xlim=(-GAP, self.across), ylim=(self.down, -GAP / 2), aspect="equal")
        ax.set_axis_off()
        ax.get_figure(root=True).draw_without_rendering()  # the layout says how wide the images are
        fits = not self.own or width_in_points(ax) > 7.2 * len(title)
        set_title(ax, title, own=self.own, loc="left" if fits else "center")
        return drawn

    def label(self, ax: Axes, texts: list[str], colours: list[str]) -> list[Any]:
        """Write texts above the images, as large as fits; none if they could not be read."""
        ax.get_figure(root=True).draw_without_rendering()  # the layout says how large an image is
        unit = width_in_points(ax) / (self.across + GAP)
        longest = max((len(text) for text in texts), default=1)
        size = min(11.0, 0.78 * self.above * unit, (self.width + 0.6 * GAP) * unit / (0.62 * longest))
        if size < SMALLEST:
            return []
        labels = []
        for k, (text, colour) in enumerate(zip(texts, colours, strict=True)):
            left, top = self._corner(k)
            look: Any = {"color": colour, "fontweight": "bold" if colour == WRONG else "normal", "fontsize": size}
            labels.append(ax.text(left + self.width / 2, top - 0.03, text, ha="center", va="bottom", **look))
        return labels


def _columns(count: int, wanted: float) -> int:
    """A number of columns close to the wanted one that fills the last row best."""
    choices = range(max(1, round(0.7 * wanted)), max(1, min(count, round(1.35 * wanted))) + 1)
    return min(choices, key=lambda columns: (-count % columns, abs(columns - wanted)))
