"""The regions of a decision boundary: a colour for each class, and names where there are too many for colours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from bpx.plotting.arguments import HostArray
from bpx.plotting.style import CLASS_COLOURS, INK, shortened, tint

# Strengths of the tints: pale for the first classes, stronger once the colours are used up. No two of the first 24 are
# closer to each other than the closest two of the first 8.
STRENGTHS = (0.34, 0.7, 0.9)
# A region narrower than this share of the grid gets no name.
NARROWEST = 0.03


def region_colour(c: int) -> tuple[float, float, float]:
    """The colour of the region of a class; there are 24."""
    around, position = divmod(c, len(CLASS_COLOURS))
    return tint(CLASS_COLOURS[position], STRENGTHS[around % len(STRENGTHS)])


def write_names(ax: Axes, xx0: HostArray, xx1: HostArray, regions: HostArray, names: Sequence[str]) -> list[Any]:
    """Write the name of each class where its region is widest."""
    written = []
    for c, name in enumerate(names):
        row, column, depth = _deepest(regions == c)
        if 2 * depth >= NARROWEST * len(regions):
            frame = {"boxstyle": "round,pad=0.15", "facecolor": "white", "edgecolor": "none", "alpha": 0.75}
            text = ax.text(
                xx0[row, column], xx1[row, column], shortened(name, 14), ha="center", va="center", fontsize=9,
                color=INK, bbox=frame, zorder=5, clip_on=True,
            )  # fmt: skip
            text.set_in_layout(False)
            written.append(text)
    return written


def _deepest(inside: HostArray) -> tuple[int, int, int]:
    """The row and column of a mask's cell that is farthest from its edge, and the distance in cells."""
    last, depth = inside, 0
    while inside.any():
        last, depth = inside, depth + 1
        padded = np.pad(inside, 1)
        inside = inside & padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    if not depth:
        return 0, 0, 0
    cells = np.argwhere(last)
    # Of several cells the one closest to their centre.
    row, column = cells[np.argmin(np.sum((cells - cells.mean(axis=0)) ** 2, axis=1))]
    return int(row), int(column), depth
