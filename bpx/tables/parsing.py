"""What the text in a cell of a table means: a missing value, a number, or text."""

from __future__ import annotations

import math
import re
import unicodedata
from dataclasses import dataclass
from typing import final

# The spellings that pandas reads as a missing value.
MISSING = frozenset(
    {
        "", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A", "NA",
        "NULL", "NaN", "None", "n/a", "nan", "null",
    }
)  # fmt: skip
_BOOLEANS = {spelling: word for word in ("true", "false") for spelling in (word, word.title(), word.upper())}


def number(cell: str) -> float | None:
    """The cell as a number; None if it is not one. ``1_000`` is a number in Python, but not in a table.

    A true minus sign (U+2212), as typesetters write it, is a minus.
    """
    try:
        return None if "_" in cell else float(cell.replace("\N{MINUS SIGN}", "-"))
    except ValueError:
        return None


def same_spelling(cell: str) -> str:
    """``true`` for ``True`` and ``TRUE``, and the like: other programs write them so; other text in Unicode's NFC."""
    return _BOOLEANS.get(cell) or composed(cell)


def composed(text: str) -> str:
    """The text in Unicode's form NFC: a letter with an accent may be one code point or two, and is the same."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def text_of(value: object) -> str:
    """A value as text in a table: integers without a decimal point, booleans as ``true`` and ``false``."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and math.isfinite(value) and value == int(value) and abs(value) < 2**53:
        return str(int(value))
    return str(value)


def canonical(cell: str) -> str:
    """One spelling for texts that mean the same number (1, 1.0, 01) or boolean; other text stays as it is."""
    value = number(cell)
    # Beyond 2^53 two different integers may be the same float.
    return same_spelling(cell) if value is None or not abs(value) < 2**53 else text_of(value)


@final
@dataclass(frozen=True)
class Style:
    """How a text file writes numbers: the decimal mark, and what separates thousands (nothing by default)."""

    decimal: str = "."
    thousands: str = ""

    @property
    def is_usual(self) -> bool:
        """Whether numbers are written as programs write them."""
        return self == USUAL

    def plain(self, cell: str) -> str | None:
        """The cell's number as programs write it; None for what is no number in this style."""
        body, mark = cell.strip(), re.escape(self.decimal)
        if self.thousands:
            if self.thousands == " ":
                body = re.sub("[\u00a0\u2009\u202f]", " ", body)
            groups = rf"([-+\u2212]?\d{{1,3}}(?:{re.escape(self.thousands)}\d{{3}})+)((?:{mark}\d*)?(?:[eE][-+]?\d+)?)"
            if match := re.fullmatch(groups, body):
                body = match[1].replace(self.thousands, "") + match[2]
        if self.decimal != ".":
            if "." in body:
                return None
            body = body.replace(self.decimal, ".")
        return None if number(body) is None else body


USUAL = Style()
