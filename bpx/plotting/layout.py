"""Where the nodes of a network diagram stand, in points."""

from __future__ import annotations

from itertools import pairwise
from math import hypot

__all__ = ["Layout", "elided"]

# The height of a node and of an input with numbers.
NODE, INPUT = 99.0, 54.0
HEADING = 24.0
# Inches; a page is not higher.
TALLEST = 10.0


def elided(size: int, most: int) -> list[int]:
    """The units that are drawn: all, or, fewer so that they can be told apart, the first ones and the last."""
    return list(range(size)) if size <= most else [*range(max(1, most - 4)), size - 1]


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
        label = (62.0 if self.narrow else 22.0) if self.traced else 13.0
        return HEADING + max(210.0, *nodes, max(label * edges for edges in per_gap))

    def attempts(self, numbers: bool | str) -> list[tuple[str, float]]:
        """What to try in turn, until nothing collides: how many numbers, and the inches of a figure of our own."""
        most = max(len(units) + (len(units) < size) for units, size in zip(self.shown, self.sizes, strict=True))
        without = ("none", min(6.5, max(3.6, 1.3 + 0.42 * most)))
        if numbers is False or (numbers == "auto" and not self._may_have_numbers()):
            return [without]
        height = (self.needed() + 95.0) / 72
        high = [min(TALLEST, height), min(TALLEST, 1.25 * height), TALLEST]
        tries = [("all", inches) for inches in high] + ([("short", high[0]), ("short", high[2])] if self.traced else [])
        return [*tries, without] if numbers == "auto" else tries[:2]

    def _may_have_numbers(self) -> bool:
        """Whether it is worth trying."""
        return self.whole and len(self.sizes) <= (4 if self.traced else 5) and self.needed() <= 620.0

    def arrange(self, width: float, above: float, below: float, texts: list[dict[int, str]]) -> None:
        """Give each node its place, and a size that its text fits in; sets `x`, `at`, `ellipsis` and `radius`."""
        columns, with_numbers = len(self.sizes), any(texts)
        top, bottom = above - HEADING, below + 4.0
        self.crowded = width / columns < 130.0
        if not self.whole or self.crowded:  # headings of two lines
            top -= 12.0
        room = top - bottom
        slots = [len(u) + (len(u) < n) for u, n in zip(self.shown, self.sizes, strict=True)]
        if with_numbers:
            lengths = [max((_length(line) for t in c.values() for line in t.split("\n")), default=0.0) for c in texts]
            # Half the width of the longest line, and half the height of three.
            half = [0.31 * self.font * length + 2.0 for length in lengths]
            self.radius = [
                max(20.0, hypot(half[0], 6.0) + 2.0),
                *(hypot(h, 17.0) + 2.0 if self.traced else 15.0 for h in half[1:]),
            ]
        else:
            self.radius = [max(3.0, min(13.0, 0.36 * room / max(slots)))] * columns
        left = self.radius[0] + (8.0 if with_numbers else 40.0)
        right = self.radius[-1] + (88.0 if with_numbers and self.traced else 44.0)
        step = (width - left - right) / (columns - 1)
        self.x = [left + step * column for column in range(columns)]
        self.at: list[dict[int, tuple[float, float]]] = []
        self.ellipsis: list[tuple[float, float]] = []
        for column, units in enumerate(self.shown):
            # A bias stands below its node, so the node stands a little higher in its slot.
            lift = 8.0 if with_numbers else 0.0
            pitch = room / slots[column]
            if not with_numbers:
                pitch = min(pitch, 44.0)
            start = bottom + room / 2 + pitch * (slots[column] - 1) / 2
            heights = [start - pitch * slot + lift for slot in range(slots[column])]
            gap = len(units) < self.sizes[column]
            kept = [*heights[:-2], heights[-1]] if gap else heights
            self.at.append({unit: (self.x[column], y) for unit, y in zip(units, kept, strict=True)})
            self.ellipsis.append((self.x[column], heights[-2] if gap else 0.0))


def _length(line: str) -> float:
    """How long a line is, in letters: a minus sign is broader than a digit."""
    return len(line) + 0.35 * line.count("\N{MINUS SIGN}")
