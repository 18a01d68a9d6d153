"""Where the nodes of a network diagram stand, in points."""

from __future__ import annotations

from itertools import pairwise

__all__ = ["Layout", "elided"]

WIDTH = 565.0  # points, of a figure 800 pixels wide at 100 per inch
# What numbers need: height of a node and of an edge's label; width of a label on two lines and on three.
NODE, INPUT, LABEL, WIDE_LABEL, NARROW_LABEL = 108.0, 54.0, 30.0, 96.0, 62.0
HEADING = 24.0


def elided(size: int, most: int) -> list[int]:
    """The units that are drawn: all, or the first ones and the last."""
    return list(range(size)) if size <= most else [*range(most - 2), size - 1]


class Layout:
    """Columns of nodes from left to right."""

    def __init__(self, sizes: list[int], shown: list[list[int]], traced: bool) -> None:
        self.sizes, self.shown, self.traced = sizes, shown, traced
        self.whole = all(len(units) == size for units, size in zip(shown, sizes, strict=True))
        self.font = 9.0
        self.narrow = len(sizes) > 3

    def needed(self) -> float:
        """Height that numbers need between title and caption."""
        nodes = [INPUT * self.sizes[0], *(NODE * size for size in self.sizes[1:])]
        # Two columns of labels fit between two columns of nodes, though not all in step.
        per_gap = [n * m for n, m in pairwise(self.sizes)]
        label = (LABEL if not self.narrow else 1.4 * LABEL) if self.traced else 0.6 * LABEL
        return HEADING + max(210.0, *nodes, max(0.72 * label * edges for edges in per_gap))

    def readable(self) -> bool:
        """Whether numbers can be read in a figure of our own."""
        return self.whole and len(self.sizes) <= (4 if self.traced else 5) and self.needed() <= 620.0

    def fits(self, width: float, height: float) -> bool:
        """Whether numbers can be read in an axes of this size."""
        return width >= 0.93 * WIDTH and height >= self.needed() + 60.0

    def height(self, with_numbers: bool) -> float:
        """Inches of a figure of our own."""
        if with_numbers:
            return min(12.0, (self.needed() + 90.0) / 72)
        most = max(len(units) + (len(units) < size) for units, size in zip(self.shown, self.sizes, strict=True))
        return min(6.5, max(3.6, 1.3 + 0.42 * most))

    def arrange(self, width: float, above: float, below: float, with_numbers: bool, traced: bool) -> None:
        """Give each node its place; sets `x`, `at`, `ellipsis` and `radius`."""
        columns = len(self.sizes)
        top, bottom = above - HEADING, below + 4.0
        if not self.whole:
            top -= 12.0
        room = top - bottom
        slots = [len(u) + (len(u) < n) for u, n in zip(self.shown, self.sizes, strict=True)]
        if with_numbers:
            self.radius = [20.0 if not traced else 24.0, *([35.0 if traced else 15.0] * (columns - 1))]
        else:
            self.radius = [max(3.0, min(13.0, 0.36 * room / max(slots)))] * columns
        left = self.radius[0] + (8.0 if with_numbers else 40.0)
        right = self.radius[-1] + (86.0 if with_numbers and traced else 44.0)
        step = (width - left - right) / (columns - 1)
        self.x = [left + step * column for column in range(columns)]
        self.at: list[dict[int, tuple[float, float]]] = []
        self.ellipsis: list[tuple[float, float]] = []
        for column, units in enumerate(self.shown):
            # A bias stands below its node, so the node stands a little higher in its slot.
            lift = 8.0 if with_numbers and column else 0.0
            pitch = room / slots[column]
            if not with_numbers:
                pitch = min(pitch, 44.0)
            start = bottom + room / 2 + pitch * (slots[column] - 1) / 2
            heights = [start - pitch * slot + lift for slot in range(slots[column])]
            gap = len(units) < self.sizes[column]
            kept = [*heights[:-2], heights[-1]] if gap else heights
            self.at.append({unit: (self.x[column], y) for unit, y in zip(units, kept, strict=True)})
            self.ellipsis.append((self.x[column], heights[-2] if gap else 0.0))
