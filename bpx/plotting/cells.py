"""A matrix as an image with its numbers in the cells."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.patches import Rectangle

from bpx.plotting.arrays import HostArray
from bpx.plotting.style import contrasting, shortened

__all__ = ["draw_cells", "name_ticks", "write_cells"]

# The smallest and the largest text in a cell, in points; the length that a class's name is cut to.
SMALLEST, LARGEST, LONGEST_NAME = 7.0, 11.0, 22


def draw_cells(ax: Axes, values: HostArray, cmap: Any, low: float, high: float) -> Any:
    """The image; what is not finite is hatched."""
    norm = Normalize(low, high if high > low else low + 1.0)
    shown = np.ma.masked_invalid(values)
    image = ax.imshow(shown, cmap=cmap, norm=norm, interpolation="nearest", aspect="auto")
    for row, column in np.argwhere(~np.isfinite(values)):
        ax.add_patch(
            Rectangle((column - 0.5, row - 0.5), 1, 1, facecolor="white", edgecolor="#aaaaaa", hatch="///", linewidth=0)
        )
    ax.set_xticks(np.arange(values.shape[1] + 1) - 0.5, minor=True)
    ax.set_yticks(np.arange(values.shape[0] + 1) - 0.5, minor=True)
    ax.grid(True, which="minor", color="white", linewidth=1.0)
    ax.tick_params(which="both", length=0)
    ax.spines[:].set_visible(False)
    return image


def name_ticks(ax: Axes, columns: list[str], rows: list[str]) -> None:
    """Names below and beside the cells, cut to a length; those below stand at a slant where they would collide."""
    cut = [[shortened(name, LONGEST_NAME) for name in names] for names in (columns, rows)]
    size = 10.0 if max(len(columns), len(rows)) <= 14 else 8.5
    ax.set_xticks(range(len(columns)), cut[0], fontsize=size)
    ax.set_yticks(range(len(rows)), cut[1], fontsize=size)
    figure: Any = ax.get_figure(root=True)
    figure.draw_without_rendering()
    room = ax.get_window_extent().width / len(columns)
    if max(label.get_window_extent().width for label in ax.get_xticklabels()) > 0.92 * room:
        ax.set_xticks(range(len(columns)), cut[0], fontsize=size, rotation=40, ha="right", rotation_mode="anchor")


def write_cells(ax: Axes, image: Any, texts: list[list[str]], look: dict[str, Any] | None = None) -> HostArray:
    """A text in every cell, as large as all have room for; an empty one where it could not be read."""
    written = np.empty((len(texts), len(texts[0])), dtype=object)
    box, points = ax.get_window_extent(), 72 / ax.get_figure(root=True).dpi
    height, width = box.height * points / written.shape[0], box.width * points / written.shape[1]
    if "fontsize" not in (look or {}) and (height < SMALLEST or width < 0.5 * SMALLEST):
        # Not even a digit could be read, and thousands of texts are slow to lay out.
        texts = [[""] * written.shape[1]] * written.shape[0]
    colours = image.cmap(image.norm(image.get_array()))
    for at in np.ndindex(*written.shape):
        masked = np.ma.is_masked(image.get_array()[at])
        style: dict[str, Any] = {"color": "black" if masked else contrasting(colours[at][:3])}
        if masked and texts[at[0]][at[1]]:
            style["bbox"] = {"facecolor": "white", "edgecolor": "none", "pad": 1.0}
        style |= {"ha": "center", "va": "center", "fontsize": LARGEST, "linespacing": 1.1} | (look or {})
        written[at] = ax.text(at[1], at[0], texts[at[0]][at[1]], **style)
    if "fontsize" in (look or {}):
        return written
    figure: Any = ax.get_figure(root=True)
    figure.draw_without_rendering()
    size = _size(ax, written)
    if size < SMALLEST:  # the first lines alone
        for text in written.flat:
            text.set_text(text.get_text().partition("\n")[0])
        size = _size(ax, written)
    for text in written.flat:
        text.set_fontsize(max(size, SMALLEST))
        if size < SMALLEST:
            text.set_text("")
    return written


def _size(ax: Axes, written: HostArray) -> float:
    """The font size at which all texts fit into their cells."""
    extents = [text.get_window_extent() for text in written.flat if text.get_text()]
    box = ax.get_window_extent()
    room = 0.88 * box.width / written.shape[1], 0.84 * box.height / written.shape[0]
    widest = max((extent.width for extent in extents), default=1.0)
    highest = max((extent.height for extent in extents), default=1.0)
    return float(LARGEST * min(1.0, room[0] / widest, room[1] / highest))
