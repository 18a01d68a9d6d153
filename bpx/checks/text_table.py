"""Tables as text, Markdown and LaTeX: the one form in which every check shows its numbers."""

from __future__ import annotations

from typing import final

__all__ = ["Table"]


@final
class Table:
    """A header and rows of strings; the first column is aligned left, the others right."""

    def __init__(self, header: tuple[str, ...]) -> None:
        self.header = header
        self.rows: list[tuple[str, ...]] = []

    def add(self, *cells: str) -> None:
        """Add a row with as many cells as the header."""
        self.rows.append(cells)

    def to_text(self, indent: str = "") -> str:
        """Columns padded to equal width, a rule under the header."""
        lines = [self.header, *self.rows]
        widths = [max(len(line[i]) for line in lines) for i in range(len(self.header))]

        def pad(line: tuple[str, ...]) -> str:
            cells = [line[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(line[1:], widths[1:], strict=True))]
            return (indent + "  ".join(cells)).rstrip()

        return "\n".join([pad(self.header), indent + "  ".join("-" * w for w in widths), *map(pad, self.rows)])

    def to_markdown(self) -> str:
        """A GitHub-flavoured Markdown table."""
        rule = "|".join([":---", *("---:" for _ in self.header[1:])])
        body = [" | ".join(row) for row in (self.header, *self.rows)]
        return "\n".join([f"| {body[0]} |", f"|{rule}|", *(f"| {row} |" for row in body[1:])])

    def to_latex(self) -> str:
        """A LaTeX tabular; cells are set as they are, the header may hold mathematics between dollars."""
        columns = "l" + "r" * (len(self.header) - 1)
        lines = [" & ".join(row) + r" \\" for row in (self.header, *self.rows)]
        return "\n".join(
            [
                rf"\begin{{tabular}}{{{columns}}}",
                r"\hline",
                lines[0],
                r"\hline",
                *lines[1:],
                r"\hline",
                r"\end{tabular}",
            ]
        )
