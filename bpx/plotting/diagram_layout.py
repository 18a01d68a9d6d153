"""Where the nodes of a network diagram stand, in points."""

from __future__ import annotations

from itertools import pairwise
from math import hypot

# The height of a node and of an input with numbers, and of the columns' headings.
NODE, INPUT, HEADING = 99.0, 54.0, 24.0
# Inches; a page is not higher.
TALLEST = 10.0
FONT_SIZE = 9.0


def drawn_units(size: int, most: int) -> list[int]:
    """The units that are drawn: all, or the first ones and the last, few enough to tell them apart."""
    return list(range(size)) if size <= most else [*range(max(1, most - 4)), size - 1]


class NodeLayout:
    """Columns of nodes from left to right.

    `arrange` sets `x`, each column's; `at`, the middle of each drawn unit by its number; `radius`, each column's;
    `ellipsis`, where units are left out; and `crowded`, whether headings need two lines.
    """

    def __init__(self, sizes: list[int], shown: list[list[int]], traced: bool) -> None:
        self.sizes, self.shown, self.traced = sizes, shown, traced
        self.complete = all(len(units) == size for units, size in zip(shown, sizes, strict=True))
        self.narrow = len(sizes) > 3
        # With one for the ellipsis.
        self._slots = [len(units) + (len(units) < size) for units, size in zip(shown, sizes, strict=True)]

    def needed_height(self) -> float:
        """Height that numbers need between title and caption."""
        nodes = [INPUT * self.sizes[0], *(NODE * size for size in self.sizes[1:])]
        # Two columns of labels fit between two columns of nodes, though not all in step.
        label = (62.0 if self.narrow else 22.0) if self.traced else 13.0
        return HEADING + max(210.0, *nodes, *(label * n * m for n, m in pairwise(self.sizes)))

    def attempts(self, numbers: bool | str) -> list[tuple[str, float]]:
        """What to try in turn, until nothing collides: how many numbers, and the inches of a figure of our own."""
        without = ("none", min(6.5, max(3.6, 1.3 + 0.42 * max(self._slots))))
        needed = self.needed_height()
        promising = self.complete and len(self.sizes) <= (4 if self.traced else 5) and needed <= 620.0
        if numbers is False or (numbers == "auto" and not promising):
            return [without]
        height = (needed + 95.0) / 72
        heights = [min(TALLEST, height), min(TALLEST, 1.25 * height), TALLEST]
        tries = [("all", inches) for inches in heights]
        if self.traced:
            tries += [("short", heights[0]), ("short", heights[2])]
        return [*tries, without] if numbers == "auto" else tries[:2]

    def arrange(self, width: float, above: float, below: float, texts: list[dict[int, str]]) -> None:
        """Give each node its place between these heights, and a size that its text fits in."""
        columns, with_numbers = len(self.sizes), any(texts)
        self.crowded = width / columns < 130.0
        top = above - HEADING - (12.0 if self.crowded or not self.complete else 0.0)
        bottom = below + 4.0
        room = top - bottom
        if with_numbers:
            self.radius = self._radii(texts)
            left, right = self.radius[0] + 8.0, self.radius[-1] + (88.0 if self.traced else 44.0)
        else:
            self.radius = [max(3.0, min(13.0, 0.36 * room / max(self._slots)))] * columns
            left, right = self.radius[0] + 40.0, self.radius[-1] + 44.0
        step = (width - left - right) / (columns - 1)
        self.x = [left + step * column for column in range(columns)]
        self.at: list[dict[int, tuple[float, float]]] = []
        self.ellipsis: list[tuple[float, float] | None] = []
        # A bias stands below its node, so the node stands a little higher in its slot.
        lift = 8.0 if with_numbers else 0.0
        for x, units, size, slots in zip(self.x, self.shown, self.sizes, self._slots, strict=True):
            pitch = room / slots if with_numbers else min(room / slots, 44.0)
            start = bottom + room / 2 + pitch * (slots - 1) / 2 + lift
            places = [(x, start - pitch * slot) for slot in range(slots)]
            self.ellipsis.append(places.pop(-2) if len(units) < size else None)
            self.at.append(dict(zip(units, places, strict=True)))

    def _radii(self, texts: list[dict[int, str]]) -> list[float]:
        """Each column's, for the longest of its lines: one line in an input, three in the other nodes of a trace."""
        lengths = [max((_length(line) for t in c.values() for line in t.split("\n")), default=0.0) for c in texts]
        half = [0.31 * FONT_SIZE * length + 2.0 for length in lengths]
        others = [hypot(h, 17.0) + 2.0 if self.traced else 15.0 for h in half[1:]]
        return [max(20.0, hypot(half[0], 6.0) + 2.0), *others]


def _length(line: str) -> float:
    """How long a line is, in letters: a minus sign is broader than a digit."""
    return len(line) + 0.35 * line.count("\N{MINUS SIGN}")
