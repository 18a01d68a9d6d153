"""Output for people and for programs: tables of text, and values without NaN and infinity for JSON."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, final

__all__ = ["TextTable", "aligned", "to_json"]


def aligned(rows: Collection[Sequence[str]], align: str = "<", indent: str = "", rule: bool = False) -> str:
    """Rows of cells as lines with columns of equal width.

    `align` has "<" (left) or ">" (right) for each column; its last sign holds for the remaining columns. With `rule` a
    line of dashes follows the first row, the header.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    signs = align.ljust(len(widths), align[-1])
    lines = [
        indent + "  ".join(f"{cell:{sign}{width}}" for cell, sign, width in zip(row, signs, widths, strict=True))
        for row in rows
    ]
    if rule:
        lines.insert(1, indent + "  ".join("-" * width for width in widths))
    return "\n".join(line.rstrip() for line in lines)


@final
class TextTable:
    """A header and rows of strings; the first column is aligned left, the others right."""

    def __init__(self, header: Sequence[str]) -> None:
        self.header = tuple(header)
        self.rows: list[tuple[str, ...]] = []

    def add(self, *cells: str) -> None:
        """Add a row with as many cells as the header."""
        self.rows.append(cells)

    def to_text(self, indent: str = "") -> str:
        """Aligned columns with a rule under the header."""
        return aligned([self.header, *self.rows], "<>", indent, rule=True)

    def to_markdown(self) -> str:
        """A GitHub-flavoured Markdown table."""
        header, *rows = (f"| {' | '.join(row)} |" for row in (self.header, *self.rows))
        return "\n".join([header, "|:---" + "|---:" * (len(self.header) - 1) + "|", *rows])

    def to_latex(self) -> str:
        """A LaTeX tabular; cells are set as they are, the header may hold mathematics between dollars."""
        columns = "l" + "r" * (len(self.header) - 1)
        header, *rows = (" & ".join(row) + r" \\" for row in (self.header, *self.rows))
        begin, end = rf"\begin{{tabular}}{{{columns}}}", r"\end{tabular}"
        return "\n".join([begin, r"\hline", header, r"\hline", *rows, r"\hline", end])


def to_json(value: Any, not_finite: Callable[[float], Any] = lambda _: None) -> Any:
    """Nested data as lists, dicts with text as keys, and plain values.

    JSON has no NaN and no infinity: they become ``not_finite(value)``, by default None.
    """
    if isinstance(value, Mapping):
        return {str(name): to_json(one, not_finite) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_json(one, not_finite) for one in value]
    return not_finite(value) if isinstance(value, float) and not math.isfinite(value) else value
