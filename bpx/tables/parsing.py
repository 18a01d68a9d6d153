"""What the text in a table's cell means: nothing, a number, or itself."""

from __future__ import annotations

import math

# The spellings of a missing value that pandas reads as one.
MISSING = frozenset(
    {
        "", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A", "NA",
        "NULL", "NaN", "None", "n/a", "nan", "null",
    }
)  # fmt: skip
_BOOLEANS = {spelling: word for word in ("true", "false") for spelling in (word, word.title(), word.upper())}


def number(cell: str) -> float | None:
    """The cell as a number; None where it is none. Python's ``1_000`` is no number of a table's."""
    try:
        return None if "_" in cell else float(cell)
    except ValueError:
        return None


def same_spelling(cell: str) -> str:
    """``True`` and ``TRUE`` as ``true``, which other programs' files write; anything else as it is."""
    return _BOOLEANS.get(cell, cell)


def text_of(value: object) -> str:
    """A number as a table would spell it: integers without a decimal point, booleans as words."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and math.isfinite(value) and value == int(value) and abs(value) < 2**53:
        return str(int(value))
    return str(value)


def canonical(cell: str) -> str:
    """One spelling for all that mean the same number (``1``, ``1.0``, ``01``); other text as it is."""
    value = number(cell)
    # Larger integers are not all numbers of their own in floating point.
    return cell if value is None or not abs(value) < 2**53 else text_of(value)
