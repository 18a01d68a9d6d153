"""Which of a table's columns a network is trained on, and which of them are categories."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from typing import Any

import numpy as np

from bpx.cli.output import MistakeError
from bpx.tables.parsing import number
from bpx.tables.table import Column, Table, listed

Note = Callable[[str], Any]

_DATE = re.compile(r"\d{4}-\d{1,2}-\d{1,2}([T ].*)?|\d{1,2}[./]\d{1,2}[./]\d{2,4}( .*)?")
_COMMA = re.compile(r"[-+]?\d+(\.\d{3})*,\d+|[-+]?\d{1,3}(,\d{3})+(\.\d+)?")
# A column with no more different texts than this holds categories, even if each row has a text of its own.
FEWEST_IDS = 20


def choose_columns(table: Table, target: str, categorical: Collection[str], note: Note) -> tuple[Table, list[str]]:
    """The columns that say something about the rows, and the names of those that are categories.

    `note` gets a sentence on what is left out and why.
    """
    left_out: dict[str, list[str]] = {}
    categories = []
    for column in table.without([target]).columns.values():
        reason = _useless(column)
        if reason is None and column.texts is not None and column.name not in categorical:
            _refuse_odd_cells(table, column)
            reason = _like_an_id(column)
        # It goes up by one from row to row, as an index does.
        counts_rows = column.numbers is not None and table.n_rows > 2 and bool(np.all(np.diff(column.numbers) == 1.0))
        if counts_rows and column.name.startswith("Unnamed:"):
            reason = "has no name and counts the rows"
        if reason is not None:
            left_out.setdefault(reason, []).append(column.name)
        elif column.texts is not None:
            categories.append(column.name)
            if _are_dates([text for text in column.texts[:200].tolist() if text is not None]):
                words = "holds dates, taken as categories; numbers (year, month, days since) tell more"
                note(f"column {column.name!r} {words}")
        elif counts_rows:
            note(f"column {column.name!r} counts the rows; leave it out with --drop if it is an id")
    for reason, names in left_out.items():
        several = len(names) > 1
        note(f"left out: {'columns' if several else 'column'} {listed(names)}, {'each ' if several else ''}{reason}")
    gone = {name for names in left_out.values() for name in names} | {target}
    kept = table.without(gone)
    if not kept.columns:
        raise MistakeError(
            f"{table.source}: expected a column besides the target {target!r} that tells rows apart, got none"
        )
    return kept, categories


def few_odd_cells(counts: Counter[str]) -> list[str]:
    """The few texts in a column that otherwise holds numbers; empty for a column of text."""
    odd = [text for text in counts if number(text) is None]
    of_odd, of_all = sum(counts[text] for text in odd), sum(counts.values())
    few = of_odd <= 0.1 * of_all or len(odd) <= 2  # one or two may be frequent: "?" for a missing value
    return odd if odd and few and len(counts) - len(odd) > FEWEST_IDS else []


def with_commas(counts: Counter[str]) -> str:
    """The message for a column of numbers such as ``1,5`` or ``100,000``; empty for any other column."""
    found = [text for text in counts if _COMMA.fullmatch(text)]
    others = sum(number(text) is None for text in counts) - len(found)
    if not found or (others and len(found) <= 0.5 * len(counts)):
        return ""
    return (
        f"holds numbers with commas, such as {found[0]!r}; save the table with decimal points and without thousands"
        " separators"
    )


def _refuse_odd_cells(table: Table, column: Column) -> None:
    """Raise MistakeError for a few texts in a column of numbers: a mistake in the file, not categories."""
    assert column.texts is not None
    counts = Counter(text for text in column.texts.tolist() if text is not None)
    odd, name = few_odd_cells(counts), repr(column.name)
    if commas := with_commas(counts):
        raise MistakeError(f"{table.source}: column {name} {commas}, or give --drop {name}")
    if odd:
        row = next(i for i, text in enumerate(column.texts) if text in odd)
        text = column.texts[row]
        raise MistakeError(
            f"{table.where(row)}: column {name} holds numbers, got {text!r:.60}"
            f"{f' (and {len(odd) - 1} other texts)' if len(odd) > 1 else ''}; mend it, or read it as missing with"
            f" --na {text!r:.60}, or give --categorical {name} or --drop {name}"
        )


def _useless(column: Column) -> str | None:
    """Why a column says nothing about the rows; None where it does."""
    if np.all(column.missing):
        return "has no value in any row"
    values = column.numbers if column.texts is None else column.texts
    first = values[0]  # type: ignore[index]
    return "has one value in all rows" if np.all(values == first) else None


def _like_an_id(column: Column) -> str | None:
    """Why a column of text holds no categories: most rows have a text of their own; None where it does."""
    assert column.texts is not None
    texts = [text for text in column.texts.tolist() if text is not None]
    different = len(set(texts))
    if different > FEWEST_IDS and different > 0.5 * len(texts):
        if _are_dates(texts):
            return (
                "looks like dates that mostly differ (give their year, month or days since as columns of numbers, or"
                f" --categorical {column.name!r})"
            )
        return f"has its own text in most rows, like an id (--categorical {column.name!r} keeps it)"
    return None


def _are_dates(texts: Sequence[str]) -> bool:
    """Whether the first texts are dates."""
    return bool(texts) and all(_DATE.fullmatch(text) for text in texts[:200])
