"""How a table's columns become numbers: learned from training rows, kept as plain JSON, applied to any rows.

In a column of numbers the median replaces a missing value; then the mean of the training rows is subtracted, and the
result is divided by their standard deviation. A column of text has one input for each category, and one for "missing"
and one for "other" if training rows had such values. A category that training did not have is "other", or, without that
input, sets none of them to 1.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any, final

import numpy as np

from bpx.errors import FileFormatError
from bpx.tables.column_encoders import CategoryColumn, NumberColumn, Unseen, column_from_json, refuse_infinite
from bpx.tables.derived_column import DerivedColumn, Form
from bpx.tables.parsing import same_spelling
from bpx.tables.table import Column, Table, TableError, listed


@final
class Encoding:
    """The inputs of a network, column by column."""

    def __init__(self, columns: Sequence[NumberColumn | CategoryColumn | DerivedColumn]) -> None:
        self.columns = tuple(columns)

    @property
    def width(self) -> int:
        """The number of inputs."""
        return len(self.inputs)

    @property
    def inputs(self) -> list[str]:
        """The names of the inputs, such as ``age`` and ``sex=female``."""
        return [name for column in self.columns for name in column.inputs]

    @property
    def names(self) -> list[str]:
        """The names of the columns that a table must have."""
        return [column.name for column in self.columns]

    @property
    def as_text(self) -> list[str]:
        """The names of the columns that have to be read as text."""
        return [column.name for column in self.columns if isinstance(column, CategoryColumn)]

    def encode(self, table: Table, dtype: str = "float64") -> tuple[np.ndarray[Any, Any], Unseen]:
        """The inputs of a table's rows, shape (n, width), and what training rows did not have.

        Columns are found by name, in any order.

        Raises
        ------
        TableError
            If a column is missing, or holds text where training had numbers.
        """
        lacking = [name for name in self.names if name not in table.columns]
        if lacking:
            instead = table.nearest(lacking[0]) if len(lacking) == 1 else f"it has {listed(table.names)}"
            columns = f"column{'s' if len(lacking) > 1 else ''} {listed(lacking)}"
            raise TableError(f"{table.source}: no {columns}, which the model was trained on; {instead}")
        X = np.empty((table.n_rows, self.width), dtype=dtype)
        unseen, start = Unseen(), 0
        for column in self.columns:
            stop = start + len(column.inputs)
            column.encode(table, X[:, start:stop], unseen)
            start = stop
        return X, unseen

    def to_json(self) -> list[dict[str, Any]]:
        """As plain JSON."""
        return [column.to_json() for column in self.columns]

    @classmethod
    def from_json(cls, entries: Any) -> Encoding:
        """The encoding that `to_json` described; FileFormatError for anything else."""
        if not isinstance(entries, list) or not entries:
            raise FileFormatError("encoding: expected a list of columns, got none")
        return cls([_from_json(entry) for entry in entries])


def _from_json(entry: Any) -> NumberColumn | CategoryColumn | DerivedColumn:
    """The column of an entry; FileFormatError for anything else."""
    is_derived = isinstance(entry, dict) and entry.get("kind") == "derived"
    return DerivedColumn.from_json(entry) if is_derived else column_from_json(entry)


def learn(
    table: Table, categorical: Collection[str], *, standardise: bool = True, max_categories: int = 100,
    forms: Mapping[str, Form] | None = None,
) -> Encoding:  # fmt: skip
    """Learn the encoding of a table's columns from its rows.

    Parameters
    ----------
    table : Table
        The training rows.
    categorical : collection of str
        The columns that hold categories; the others hold numbers.
    standardise : bool
        Whether numbers get mean 0 and standard deviation 1.
    max_categories : int
        The commonest categories of a column, this many, get an input each; the rest are "other".
    forms : mapping of str to Quantity or Dates, optional
        Columns of text that are read as numbers, and how they are written.

    Raises
    ------
    TableError
        For an infinite number; the message names its row.
    """
    return Encoding(
        [
            _learn_categories(column, max_categories)
            if column.name in categorical
            else _learn_derived(table, column, forms[column.name], standardise)
            if forms and column.name in forms
            else _learn_numbers(table, column, standardise)
            for column in table.columns.values()
        ]
    )


def _learn_categories(column: Column, most: int) -> CategoryColumn:
    """The commonest categories, in alphabetical order."""
    assert column.texts is not None
    spelled = Counter(column.texts.tolist())
    missing = spelled.pop(None, 0) > 0
    counts: Counter[str] = Counter()
    for text, count in spelled.items():
        counts[same_spelling(text)] += count
    ranked = sorted(counts, key=lambda text: (-counts[text], text))
    return CategoryColumn(column.name, tuple(sorted(ranked[:most])), missing, len(ranked) > most)


def _learn_numbers(table: Table, column: Column, standardise: bool) -> NumberColumn:
    """The median, and the mean and standard deviation once it has replaced missing values."""
    assert column.numbers is not None
    values = column.numbers
    refuse_infinite(table, column.name, values)
    missing = np.isnan(values)
    median = float(np.median(values[~missing])) if not np.all(missing) else 0.0
    mean, scale = mean_and_scale(np.where(missing, median, values)) if standardise else (0.0, 1.0)
    return NumberColumn(column.name, median, mean, scale, bool(np.any(missing)))


def _learn_derived(table: Table, column: Column, form: Form, standardise: bool) -> DerivedColumn:
    """The parts that differ in the training rows, each as a column of numbers."""
    parts = form.columns(table, column.name)
    known = [part.numbers[~part.missing] for part in parts if part.numbers is not None]
    kept = [part for part, values in zip(parts, known, strict=True) if np.any(values != values[:1])] or parts[:1]
    derived = table.of(kept)
    return DerivedColumn(column.name, form, tuple(_learn_numbers(derived, part, standardise) for part in kept))


def mean_and_scale(values: np.ndarray[Any, Any]) -> tuple[float, float]:
    """Mean and standard deviation, or 1 where that is 0; scaled by the largest value, so that no square overflows."""
    largest = float(np.max(np.abs(values))) or 1.0
    scale = largest * float(np.std(values / largest))
    return largest * float(np.mean(values / largest)), scale if scale > 0.0 else 1.0
