"""From an encoding with one input per number to the one with bins between quantiles beside each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from bpx.tables.column_encoders import CategoryColumn, NumberColumn
from bpx.tables.derived_column import DerivedColumn
from bpx.tables.piecewise_column import PairColumn, PiecewiseColumn, edges_between, has_three
from bpx.tables.table import Table

Plain = NumberColumn | CategoryColumn | DerivedColumn
Encoder = Plain | PiecewiseColumn | PairColumn


def with_bins(table: Table, columns: Sequence[Plain], bins: int, max_inputs: int) -> list[Encoder]:
    """The columns, learned from this table, with at most `bins` bins each, fewer where inputs would exceed a number.

    A number of which training rows had missing values has an input that says so, and two categories are one input.
    If there were more than `max_inputs` inputs, all columns get the same number of bins that keeps to it, if need be
    none: what is there besides bins stays.
    """
    known = {where: values[~np.isnan(values)] for where, values in _numbers(table, columns)}
    made = [_as_pair(column) for column in columns]
    rest = sum(len(_binned(column, {}).inputs) for column in made)
    edges = {where: edges_between(values, bins) for where, values in known.items()}
    if rest + sum(max(len(one) - 1, 0) for one in edges.values()) > max_inputs:
        binned = sum(has_three(values) for values in known.values())
        bins = max(max_inputs - rest, 0) // max(binned, 1)
        edges = {where: edges_between(values, bins) for where, values in known.items()}
    return [_binned(column, edges) for column in made]


def _numbers(table: Table, columns: Sequence[Plain]) -> Iterator[tuple[tuple[str, str], np.ndarray[Any, Any]]]:
    """The table's numbers: of each column, or of each part of a derived one, by the names of both."""
    for column in columns:
        if isinstance(column, NumberColumn):
            yield (column.name, column.name), _of(table, column)
        elif isinstance(column, DerivedColumn):
            parts = table.of(column.form.columns(table, column.name))
            for part in column.columns:
                yield (column.name, part.name), _of(parts, part)


def _of(table: Table, column: NumberColumn | PiecewiseColumn) -> np.ndarray[Any, Any]:
    """A column's numbers."""
    numbers = table[column.name].numbers
    assert numbers is not None
    return numbers


def _binned(column: Encoder, edges: dict[tuple[str, str], tuple[float, ...]]) -> Encoder:
    """The column with bins between these edges."""
    if isinstance(column, NumberColumn):
        return PiecewiseColumn(column, edges.get((column.name, column.name), ()))
    if isinstance(column, DerivedColumn):
        parts = [part for part in column.columns if isinstance(part, NumberColumn)]
        return replace(
            column,
            columns=tuple(PiecewiseColumn(part, edges.get((column.name, part.name), ())) for part in parts),
        )
    return column


def _as_pair(column: Plain) -> Encoder:
    """Two categories as one input; another column as it is."""
    if isinstance(column, CategoryColumn) and len(column.categories) == 2 and not column.other:
        return PairColumn(column.name, (column.categories[0], column.categories[1]), column.missing)
    return column
