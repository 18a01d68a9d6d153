"""What a table's columns are taken for: numbers, categories, dates, quantities, or nothing to learn from."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, final

import numpy as np

from bpx.cli.output import MistakeError
from bpx.tables import dates, quantities
from bpx.tables.derived_column import Form
from bpx.tables.parsing import number
from bpx.tables.table import Column, Table, listed

Note = Callable[[str], Any]

NUMBERS, CATEGORIES, DROP = "numbers", "categories", "drop"
LEFT_OUT = "left out"
NUMBERS_ROWS = "numbers the rows"
_DATE = re.compile(
    r"\d{4}-\d{1,2}(-\d{1,2}([T ].*)?)?|\d{1,2}[./-]\d{1,2}[./-]\d{2,4}( .*)?|\d{1,2}/\d{4}"
    r"|\d{1,2}\.?[ -][A-Za-z]{3,9}\.?[ -]\d{2,4}|[A-Za-z]{3,9}\.? \d{1,2},? \d{4}|[A-Za-z]{3,9}[ -]\d{4}"
)
_COMMA = re.compile(r"[-+]?\d+(\.\d{3})*,\d+|[-+]?\d{1,3}(,\d{3})+(\.\d+)?")
# What pandas, R and databases call the index of a table's rows; pandas calls a column without a name so, too.
_INDEX = re.compile(r"Unnamed: 0(\.\d+)?|__index_level_\d+__")
_ID = re.compile(r"(?i:(.*[\W_])?(id|uuid|guid|rownames?|row_?(nr|num|number|index|id))|index)|.*[a-z](ID|Id)")
# A column with no more different texts than this holds categories, even if each row has a text of its own.
FEWEST_IDS = 20
# Different texts of a column in which numbers in unclear forms are looked for.
MOST_LOOKED_AT = 1000


@final
@dataclass(frozen=True)
class Wishes:
    """What the user says of columns: names of `categorical` ones, of `inputs` whatever they look like, and dates."""

    categorical: Collection[str] = ()
    inputs: Collection[str] = ()
    dates: str = NUMBERS


@final
@dataclass
class Taken:
    """What one column is taken for."""

    name: str
    taken_as: str
    missing: int = 0
    remark: str = ""
    example: str = ""
    inputs: int = 0


@final
@dataclass
class Choice:
    """The columns of the inputs; the names of categorical ones; how others are read as numbers; what each is."""

    table: Table
    categories: list[str] = field(default_factory=list)
    forms: dict[str, Form] = field(default_factory=dict)
    taken: dict[str, Taken] = field(default_factory=dict)


def row_numbers(table: Table) -> list[str]:
    """The names of the columns that number the rows, from 0 or 1, in whatever order; asked before rows are left out."""
    n, found = table.n_rows, []
    for column in table.columns.values():
        values = column.numbers
        if values is None or n <= FEWEST_IDS or np.any(column.missing) or values.max() - values.min() != n - 1:
            continue
        if values.min() in (0.0, 1.0) and np.array_equal(np.sort(values), np.arange(n) + values.min()):
            found.append(column.name)
    return found


def choose_columns(
    table: Table, away: Sequence[str], wishes: Wishes, note: Note, numbering: Collection[str] = ()
) -> Choice:
    """The columns that say something about the rows, and how each is read.

    `away` are the target and others that are no inputs; `numbering` those that `row_numbers` found. `note` gets a
    sentence on what is left out and why.
    """
    choice, candidates = Choice(table), table.without(away)
    left_out: dict[str, list[str]] = {}
    spare: list[str] = []  # they number the rows under a name of their own
    for column in candidates.columns.values():
        name, forced = column.name, column.name in {*wishes.inputs, *wishes.categorical}
        missing = column.missing
        taken = Taken(name, NUMBERS, int(np.count_nonzero(missing)), example=_example(column, missing))
        choice.taken[name] = taken
        reason = _useless(column, missing)
        if reason is None and not forced and (reason := _index(column, table, numbering)):
            spare += [name] if reason.startswith(NUMBERS_ROWS) else []
        elif reason is None and column.texts is not None:
            reason = _text(table, column, wishes, choice, note)
        elif reason is None and not forced:
            _note_numbers(column, table.n_rows, note)
        if reason is not None:
            left_out.setdefault(reason, []).append(name)
            taken.taken_as, taken.remark = LEFT_OUT, reason
    gone = {name for names in left_out.values() for name in names}
    if spare and len(gone) == len(candidates.columns):  # there is no other input: the x of a curve, say
        gone -= {*spare}
        left_out = {reason: [name for name in names if name in gone] for reason, names in left_out.items()}
        for name in spare:
            choice.taken[name].taken_as, choice.taken[name].remark = NUMBERS, f"{NUMBERS_ROWS}; no other input is left"
        note(f"column {listed(spare)} {NUMBERS_ROWS}, and is an input because no other column is left")
    for reason, names in left_out.items():
        if names:
            several = len(names) > 1
            note(f"left out: {'columns' if several else 'column'} {listed(names)}, {'each ' * several}{reason}")
    choice.table = candidates.without(gone)
    if not choice.table.columns:
        besides = f" besides the target {away[0]!r}" if away else ""
        raise MistakeError(f"{table.source}: expected a column{besides} that tells rows apart, got none")
    return choice


def few_odd_cells(counts: Counter[str]) -> list[str]:
    """The few texts in a column that otherwise holds numbers; empty for a column of text."""
    odd = [text for text in counts if number(text) is None]
    of_odd, of_all = sum(counts[text] for text in odd), sum(counts.values())
    few = of_odd <= 0.1 * of_all or len(odd) <= 2  # one or two may be frequent: "?" for a missing value
    return odd if odd and few and len(counts) - len(odd) > FEWEST_IDS else []


def with_commas(counts: Counter[str]) -> str:
    """The message for a column of numbers such as ``1,5`` or ``100,000``; empty for any other column."""
    found = [text for text in counts if _COMMA.fullmatch(text)]
    if not found:
        return ""
    others = sum(number(text) is None for text in counts) - len(found)
    if others and len(found) <= 0.5 * len(counts):
        return ""
    return (
        f"holds numbers with commas, such as {found[0]!r}; save the table with decimal points and without thousands"
        " separators, or say what commas are with --decimal or --thousands"
    )


def _index(column: Column, table: Table, numbering: Collection[str]) -> str | None:
    """Why a column is the index of the rows, and says nothing about them; None where it is not."""
    force = f"(--input {column.name!r} keeps it)"
    unnamed, is_id = _INDEX.fullmatch(column.name), table.n_rows > FEWEST_IDS and _ID.fullmatch(column.name)
    whole = unique = False
    if unnamed or is_id or column.name in table.index:
        values = _present(column)
        whole = column.numbers is not None and all(value == value // 1 for value in values)
        unique = len(set(values)) == len(values)
    if unnamed and (whole or unique):
        counts = column.numbers is not None and bool(np.all(np.diff(column.numbers) == 1.0))
        return f"has no name {'and counts the rows' if counts else 'and is the index of a data frame'} {force}"
    if column.name in table.index and unique:
        return f"is the index of a data frame {force}"
    if column.name in numbering:
        return f"{NUMBERS_ROWS} {force}"
    if is_id and whole and unique:
        return f"is named as an id and has a number of its own in each row {force}"
    return None


def _text(table: Table, column: Column, wishes: Wishes, choice: Choice, note: Note) -> str | None:
    """Decide on a column of text; the reason where it is left out."""
    assert column.texts is not None
    name, taken = column.name, choice.taken[column.name]
    counts = Counter(column.texts.tolist())
    counts.pop(None, None)
    if name in wishes.categorical:
        choice.categories.append(name)
        taken.taken_as = CATEGORIES
        return None
    when = dates.find(counts)
    if isinstance(when, dates.Dates) and wishes.dates != CATEGORIES:
        if wishes.dates == DROP:
            return "holds dates or times (--dates numbers keeps it)"
        choice.forms[name] = when
        taken.taken_as, taken.remark = "date" if when.order != "time" else "time", when.in_words()
        note(
            f"column {name!r} holds {'times' if when.order == 'time' else 'dates'} ({when.in_words()}), taken as"
            " numbers; --dates categories or --dates drop for anything else"
        )
        return None
    form = quantities.find(counts)
    if form is not None:
        choice.forms[name] = form
        taken.taken_as, taken.remark = NUMBERS, form.in_words()
        note(f"column {name!r} holds numbers {form.in_words()}: {min(counts)!r} is read as {form.read(min(counts)):g}")
        return None
    _refuse_odd_cells(table, column, counts)
    some = list(counts)[:MOST_LOOKED_AT]
    taken.taken_as = CATEGORIES
    if when == "ambiguous":
        taken.remark = "dates whose day and month cannot be told apart"
        note(
            f"column {name!r} holds dates in which day and month cannot be told apart, such as {min(counts)!r}, taken"
            " as text; write them as 2024-12-31"
        )
    elif odd := dates.mostly_dates(some):
        taken.remark = "dates and other texts"
        note(
            f"column {name!r} holds dates, but for {', '.join(map(repr, odd))}; taken as text; mend them, or name what"
            " is a missing value with --na"
        )
    elif _are_dates(some[:200]):
        taken.remark = "dates"
        note(f"column {name!r} holds dates, taken as categories; numbers (year, month, days since) tell more")
    elif seen := quantities.mostly_numbers(some):
        taken.remark = "numbers in several or unclear forms"
        note(
            f"column {name!r} looks like numbers that are written in several or unclear ways, such as"
            f" {', '.join(map(repr, seen))}, taken as text; write them in one unit or as plain numbers, or"
            " name what is a missing value with --na"
        )
    if name not in wishes.inputs and (reason := _like_an_id(name, counts)):
        return reason
    choice.categories.append(name)
    return None


def _note_numbers(column: Column, n_rows: int, note: Note) -> None:
    """Say which columns of numbers may be ids."""
    values = column.numbers
    assert values is not None
    if n_rows > 2 and bool(np.all(np.diff(values) == 1.0)):
        note(f"column {column.name!r} counts the rows; leave it out with --id if it is an id")
    elif _eight_digits(values):
        note(f"column {column.name!r} looks like dates without separators, taken as numbers; write them as 2024-12-31")
    elif _ID.fullmatch(column.name):
        note(
            f"column {column.name!r} is named as an id and is taken as a number; give --id {column.name!r} to leave it"
            f" out, or --categorical {column.name!r}"
        )


def _eight_digits(values: np.ndarray[Any, Any]) -> bool:
    """Whether all numbers are dates such as 20241231."""
    known = values[~np.isnan(values)]
    if np.min(known) < 1900_01_01 or np.max(known) > 2100_12_31:
        return False
    month, day = known // 100 % 100, known % 100
    return bool(np.all((known == known // 1) & (month >= 1) & (month <= 12) & (day >= 1) & (day <= 31)))


def _refuse_odd_cells(table: Table, column: Column, counts: Counter[str]) -> None:
    """Raise MistakeError for a few texts in a column of numbers: a mistake in the file, not categories."""
    assert column.texts is not None
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


def _useless(column: Column, missing: np.ndarray[Any, Any]) -> str | None:
    """Why a column says nothing about the rows; None where it does."""
    if np.all(missing):
        return "has no value in any row"
    values = column.numbers if column.texts is None else column.texts
    first = values[0]  # type: ignore[index]
    return "has one value in all rows" if np.all(values == first) else None


def _like_an_id(name: str, counts: Counter[str]) -> str | None:
    """Why a column of text holds no categories: most rows have a text of their own; None where it does."""
    if len(counts) > FEWEST_IDS and len(counts) > 0.5 * sum(counts.values()):
        if _are_dates(list(counts)[:200]):
            return (
                "looks like dates that mostly differ (give their year, month or days since as columns of numbers, or"
                f" --categorical {name!r})"
            )
        return f"has its own text in most rows, like an id (--categorical {name!r} keeps it)"
    return None


def _are_dates(texts: Sequence[str]) -> bool:
    """Whether the texts are dates."""
    return bool(texts) and all(_DATE.fullmatch(text) for text in texts)


def _present(column: Column) -> list[Any]:
    """The values that are not missing."""
    values = column.numbers if column.texts is None else column.texts
    assert values is not None
    present: list[Any] = values[~column.missing].tolist()
    return present


def _example(column: Column, missing: np.ndarray[Any, Any]) -> str:
    """The first value that is not missing, as text."""
    place = int(np.argmin(missing))
    if missing[place]:
        return ""
    if column.texts is None:
        assert column.numbers is not None
        return f"{column.numbers[place]:g}"
    return " ".join(f"{column.texts[place]:.30}".split())
