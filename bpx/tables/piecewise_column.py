"""Columns with the inputs of ``--numbers piecewise``: numbers with bins between quantiles, and pairs of categories."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any, Self, final

import numpy as np

from bpx.files.header import are_texts, check_entries, is_finite, of_type
from bpx.tables.column_encoders import CategoryColumn, Matrix, NumberColumn, Unseen, without_overflow
from bpx.tables.table import Table

# Rows that are encoded at once, so that what is computed of them stays in a core's cache.
BLOCK = 4096


@final
@dataclass(frozen=True)
class PiecewiseColumn:
    """The input of `number`, and ``clip((x - lo) / (hi - lo), 0, 1) - 0.5`` for each pair of neighbouring `edges`.

    Where training rows had missing values, one input more is 1 for these, else 0.
    """

    number: NumberColumn
    edges: tuple[float, ...]

    @property
    def name(self) -> str:
        """The column's name."""
        return self.number.name

    @property
    def inputs(self) -> list[str]:
        """The names of the inputs."""
        bins = [f"{self.name} bin {j}" for j in range(1, len(self.edges))]
        return [self.name, *bins, *([f"{self.name} missing"] if self.number.had_missing else [])]

    def encode(self, table: Table, out: Matrix, unseen: Unseen) -> None:
        """Fill `out` (n, inputs) from the table; TableError where the column holds text or infinite numbers."""
        values, missing = self.number.known(table, unseen)
        out[:, 0] = self.number.standardised(values)
        if self.number.had_missing:
            out[:, -1] = missing
        if self.edges:
            for start in range(0, len(values), BLOCK):
                rows = slice(start, start + BLOCK)
                out[rows, 1 : len(self.edges)] = bins_of(values[rows], np.array(self.edges)).T

    def to_json(self) -> dict[str, Any]:
        """As plain JSON."""
        return self.number.to_json() | {"kind": "piecewise", "edges": list(self.edges)}

    @classmethod
    def from_json(cls, entry: Any) -> Self:
        """The column that `to_json` described; FileFormatError for anything else."""
        rest = {name: value for name, value in entry.items() if name != "edges"}
        number = NumberColumn.from_json(rest)
        check_entries(entry, "encoding", **dict.fromkeys(rest), edges=_are_edges)
        return cls(number, tuple(float(edge) for edge in entry["edges"]))


def bins_of(values: np.ndarray[Any, Any], edges: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """``clip((x - lo) / (hi - lo), 0, 1) - 0.5``, shape (bins, n), of values (n,); nothing overflows."""
    lowest, highest = edges[:-1, None], edges[1:, None]
    inside: np.ndarray[Any, Any] = np.clip(values, lowest, highest)
    with np.errstate(over="ignore"):
        too_wide = np.isinf(highest - lowest)
    if np.any(too_wide):
        half = np.where(too_wide, 0.5, 1.0)
        inside, lowest, highest = inside * half, lowest * half, highest * half
    inside -= lowest
    inside /= highest - lowest
    inside -= 0.5
    return inside


def edges_between(values: np.ndarray[Any, Any], bins: int) -> tuple[float, ...]:
    """The different ones of the ``bins + 1`` quantiles of these known numbers; none where bins would say nothing.

    These are columns of one or two different numbers, of which the standardised input says all.
    """
    if bins < 1 or not has_three(values):
        return ()
    part = without_overflow(values)
    with np.errstate(under="ignore"):
        found = np.unique(np.quantile(values * part, np.linspace(0.0, 1.0, bins + 1)) / part)
    return tuple(found.tolist())


def has_three(values: np.ndarray[Any, Any]) -> bool:
    """Whether there are at least three different numbers."""
    if len(values) == 0:
        return False
    low, high = values.min(), values.max()
    return bool(np.any((values != low) & (values != high)))


def _are_edges(value: Any) -> bool:
    """A check for `check_entries`: none, or at least two finite numbers that increase."""
    if not isinstance(value, list) or len(value) == 1 or not all(map(is_finite, value)):
        return False
    return all(float(low) < float(high) for low, high in pairwise(value))


@final
@dataclass(frozen=True)
class PairColumn:
    """Two categories as one input, -1 for the first and 1 for the second, 0 for others and missing values.

    Where training rows had missing values, one input more is 1 for these, else 0.
    """

    name: str
    categories: tuple[str, str]
    missing: bool

    @property
    def inputs(self) -> list[str]:
        """The names of the inputs."""
        return [f"{self.name}={self.categories[1]}", *([f"{self.name} missing"] if self.missing else [])]

    def encode(self, table: Table, out: Matrix, unseen: Unseen) -> None:
        """Fill `out` (n, inputs) from the table, which holds the column as text."""
        each = np.empty((table.n_rows, 2 + self.missing), dtype=out.dtype)
        CategoryColumn(self.name, self.categories, self.missing, other=False).encode(table, each, unseen)
        out[:, 0] = each[:, 1] - each[:, 0]
        out[:, 1:] = each[:, 2:]

    def to_json(self) -> dict[str, Any]:
        """As plain JSON."""
        return {"kind": "pair"} | asdict(self) | {"categories": list(self.categories)}

    @classmethod
    def from_json(cls, entry: Any) -> Self:
        """The column that `to_json` described; FileFormatError for anything else."""
        check_entries(
            entry, "encoding", kind=None, name=of_type(str), missing=of_type(bool),
            categories=lambda v: are_texts(v) and len(v) == 2 and v[0] != v[1],
        )  # fmt: skip
        first, second = entry["categories"]
        return cls(entry["name"], (first, second), entry["missing"])
