"""A heat map: a matrix as an image with its numbers in the cells."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.patches import Rectangle

from bpx.plotting.arguments import HostArray
from bpx.plotting.style import contrasting, shortened

# The smallest and largest font size in a cell, in points; the longest name beside the cells, in letters.
SMALLEST, LARGEST, LONGEST_NAME = 7.0, 11.0, 22


def draw_cells(ax: Axes, values: HostArray, cmap: Any) -> Any:
    """Draw the image; cells that are not finite are hatched."""
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    norm = Normalize(low, high if high > low else low + 1.0)
    image = ax.imshow(np.ma.masked_invalid(values), cmap=cmap, norm=norm, interpolation="nearest", aspect="auto")
    hatched: Any = {"facecolor": "white", "edgecolor": "#aaaaaa", "hatch": "///", "linewidth": 0}
    for row, column in np.argwhere(~np.isfinite(values)):
        ax.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, **hatched))
    ax.set_xticks(np.arange(values.shape[1] + 1) - 0.5, minor=True)
    ax.set_yticks(np.arange(values.shape[0] + 1) - 0.5, minor=True)
    ax.grid(True, which="minor", color="white", linewidth=1.0)
    ax.tick_params(which="both", length=0)
    ax.spines[:].set_visible(False)
    return image


def name_cells(ax: Axes, columns: list[str], rows: list[str]) -> None:
    """Write shortened names below and beside the cells; those below are slanted if they would collide."""
    size = 10.0 if max(len(columns), len(rows)) <= 14 else 8.5
    ax.set_xticks(range(len(columns)), [shortened(name, LONGEST_NAME) for name in columns], fontsize=size)
    ax.set_yticks(range(len(rows)), [shortened(name, LONGEST_NAME) for name in rows], fontsize=size)
    figure: Any = ax.get_figure(root=True)
    figure.draw_without_rendering()
    room = ax.get_window_extent().width / len(columns)
    if max(label.get_window_extent().width for label in ax.get_xticklabels()) > 0.92 * room:
        for label in ax.get_xticklabels():
            label.set(rotation=40, ha="right", rotation_mode="anchor")


def write_cells(ax: Axes, image: Any, texts: list[list[str]]) -> HostArray:
    """Write a text in every cell, in the largest size that fits all; an empty text if it could not be read."""
    values = image.get_array()
    colours = image.cmap(image.norm(values))
    box, points = ax.get_window_extent(), 72 / ax.get_figure(root=True).dpi
    height, width = box.height * points / values.shape[0], box.width * points / values.shape[1]
    readable = height >= SMALLEST and width >= 0.5 * SMALLEST  # else not even a digit fits
    written = np.empty(values.shape, dtype=object)
    for at in np.ndindex(*values.shape):
        text, masked = texts[at[0]][at[1]] if readable else "", np.ma.is_masked(values[at])
        look: dict[str, Any] = {"color": "black" if masked else contrasting(colours[at][:3])}
        if masked and text:
            look["bbox"] = {"facecolor": "white", "edgecolor": "none", "pad": 1.0}
        written[at] = ax.text(at[1], at[0], text, ha="center", va="center", fontsize=LARGEST, linespacing=1.1, **look)
    figure: Any = ax.get_figure(root=True)
    figure.draw_without_rendering()
    size = _fitting_size(ax, written)
    if size < SMALLEST:  # try the first lines alone
        for text in written.flat:
            text.set_text(text.get_text().partition("\n")[0])
        size = _fitting_size(ax, written)
    for text in written.flat:
        text.set(fontsize=max(size, SMALLEST), text=text.get_text() if size >= SMALLEST else "")
    return written


def _fitting_size(ax: Axes, written: HostArray) -> float:
    """The font size at which all texts fit into their cells; they now have the largest size."""
    extents = [text.get_window_extent() for text in written.flat if text.get_text()]
    box = ax.get_window_extent()
    widest = max((extent.width for extent in extents), default=1.0)
    highest = max((extent.height for extent in extents), default=1.0)
    across, down = 0.88 * box.width / written.shape[1], 0.84 * box.height / written.shape[0]
    return float(LARGEST * min(1.0, across / widest, down / highest))
