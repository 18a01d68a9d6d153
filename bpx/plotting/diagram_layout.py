"""The positions of the nodes of a network diagram, in points."""

from __future__ import annotations

from itertools import pairwise
from math import hypot

# The heights of a node and of an input with numbers, and of the headings.
NODE, INPUT, HEADING = 99.0, 54.0, 24.0
# The greatest height of a figure in inches: that of a page.
TALLEST = 10.0
FONT_SIZE = 9.0


def drawn_units(size: int, most: int) -> list[int]:
    """The units that are drawn: all, or for a large layer the first ones and the last."""
    return list(range(size)) if size <= most else [*range(max(1, most - 4)), size - 1]


class NodeLayout:
    """Columns of nodes from left to right.

    `arrange` sets, for each column, its position `x`, the centres `at` of its units by their numbers, the `radius` of
    its nodes and the position `ellipsis` of the ellipsis; and `crowded`, whether headings need two lines.
    """

    def __init__(self, sizes: list[int], shown: list[list[int]], traced: bool) -> None:
        self.sizes, self.shown, self.traced = sizes, shown, traced
        self.complete = all(len(units) == size for units, size in zip(shown, sizes, strict=True))
        self.narrow = len(sizes) > 3
        # Units, and one for the ellipsis.
        self._slots = [len(units) + (len(units) < size) for units, size in zip(shown, sizes, strict=True)]

    def needed_height(self) -> float:
        """The height that numbers need between title and caption."""
        nodes = [INPUT * self.sizes[0], *(NODE * size for size in self.sizes[1:])]
        # About two columns of labels fit between two columns of nodes.
        label = (62.0 if self.narrow else 22.0) if self.traced else 13.0
        return HEADING + max(210.0, *nodes, *(label * n * m for n, m in pairwise(self.sizes)))

    def attempts(self, numbers: bool | str) -> list[tuple[str, float]]:
        """What to try until nothing collides: the level of detail, and the height of an own figure in inches."""
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
        """Set the position of each node between these heights, and its radius by its text."""
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
        # A node stands a little higher in its slot, because its bias stands below.
        lift = 8.0 if with_numbers else 0.0
        for x, units, size, slots in zip(self.x, self.shown, self.sizes, self._slots, strict=True):
            pitch = room / slots if with_numbers else min(room / slots, 44.0)
            start = bottom + room / 2 + pitch * (slots - 1) / 2 + lift
            places = [(x, start - pitch * slot) for slot in range(slots)]
            self.ellipsis.append(places.pop(-2) if len(units) < size else None)
            self.at.append(dict(zip(units, places, strict=True)))

    def _radii(self, texts: list[dict[int, str]]) -> list[float]:
        """The radius of each column for its longest line; inputs have one line, other nodes of a trace three."""
        lengths = [max((_length(line) for t in c.values() for line in t.split("\n")), default=0.0) for c in texts]
        half = [0.31 * FONT_SIZE * length + 2.0 for length in lengths]
        others = [hypot(h, 17.0) + 2.0 if self.traced else 15.0 for h in half[1:]]
        return [max(20.0, hypot(half[0], 6.0) + 2.0), *others]


def _length(line: str) -> float:
    """The length of a line in digits; a minus sign is wider than a digit."""
    return len(line) + 0.35 * line.count("\N{MINUS SIGN}")
