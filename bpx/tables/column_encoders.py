"""How the values of one column become inputs of a network."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any, Self, final

import numpy as np

from bpx.files.header import are_texts, check_entries, is_finite, of_type
from bpx.tables.parsing import canonical, number
from bpx.tables.table import Table, TableError

Matrix = np.ndarray[Any, Any]


@dataclass
class Unseen:
    """What an encoding met that its training rows did not have: the number of rows by column, and an example."""

    categories: dict[str, int] = field(default_factory=dict)
    missing: dict[str, int] = field(default_factory=dict)
    examples: dict[str, str] = field(default_factory=dict)


@final
@dataclass(frozen=True)
class NumberColumn:
    """One input, ``(x - mean) / scale``, with the median for a missing x; mean 0 and scale 1 leave numbers as they are.

    `had_missing` says whether the training rows had missing values.
    """

    name: str
    median: float
    mean: float
    scale: float
    had_missing: bool

    @property
    def inputs(self) -> list[str]:
        """The names of the inputs."""
        return [self.name]

    def encode(self, table: Table, out: Matrix, unseen: Unseen) -> None:
        """Fill `out` (n, 1) from the table; TableError where the column holds text or infinite numbers."""
        values, _ = self.known(table, unseen)
        out[:, 0] = self.standardised(values)

    def standardised(self, values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """``(x - mean) / scale``, infinite only where that is too large for a float."""
        part = without_overflow(values)
        return (values * part - self.mean * part) / (self.scale * part)

    def known(self, table: Table, unseen: Unseen) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        """The column's numbers with the median for a missing one, and a mask of these, both (n,)."""
        values = self._values(table)
        refuse_infinite(table, self.name, values)
        missing = np.isnan(values)
        if not self.had_missing and np.any(missing):
            unseen.missing[self.name] = int(np.count_nonzero(missing))
        values[missing] = self.median
        return values, missing

    def _values(self, table: Table) -> np.ndarray[Any, Any]:
        """The column's numbers, a copy; text is read as numbers where all of it can be."""
        column = table[self.name]
        if column.numbers is not None:
            return column.numbers.copy()
        assert column.texts is not None
        values = [np.nan if text is None else number(text) for text in column.texts.tolist()]
        if None in values:
            row = values.index(None)
            raise TableError(
                f"{table.where(row)}: column {self.name!r} held numbers in training, got {column.texts[row]!r:.60};"
                " mend it, or name it as missing with --na"
            )
        return np.array(values, dtype=np.float64)

    def to_json(self) -> dict[str, Any]:
        """As plain JSON."""
        return {"kind": "number"} | asdict(self)

    @classmethod
    def from_json(cls, entry: Any) -> Self:
        """The column that `to_json` described; FileFormatError for anything else."""
        check_entries(
            entry, "encoding", kind=None, name=of_type(str), median=is_finite, mean=is_finite,
            scale=lambda v: is_finite(v) and v > 0, had_missing=of_type(bool),
        )  # fmt: skip
        return cls(**{name: value for name, value in entry.items() if name != "kind"})


@final
@dataclass(frozen=True)
class CategoryColumn:
    """One input per category, then one for "missing" and one for "other", where training rows had such values."""

    name: str
    categories: tuple[str, ...]
    missing: bool
    other: bool

    @property
    def inputs(self) -> list[str]:
        """The names of the inputs."""
        names = [f"{self.name}={category}" for category in self.categories]
        return names + [f"{self.name} {word}" for word in ("missing", "other") if getattr(self, word)]

    def encode(self, table: Table, out: Matrix, unseen: Unseen) -> None:
        """Fill `out` (n, inputs) from the table, which holds the column as text."""
        texts = table[self.name].texts
        assert texts is not None
        # 1.0 in one file is 1 in another, unless both are categories.
        spelled = {canonical(category): j for j, category in reversed([*enumerate(self.categories)])}
        spelled |= {category: j for j, category in enumerate(self.categories)}
        other = len(self.categories) + self.missing if self.other else -1
        place: dict[str | None, int] = {None: len(self.categories) if self.missing else -1}
        for text, count in Counter(texts.tolist()).items():
            if text is None:
                if not self.missing:
                    unseen.missing[self.name] = count
                continue
            place[text] = spelled.get(text, spelled.get(canonical(text), other))
            if place[text] < 0:
                unseen.categories[self.name] = unseen.categories.get(self.name, 0) + count
                unseen.examples.setdefault(self.name, text)
        where = np.array([place[text] for text in texts.tolist()], dtype=np.int64)
        out[...] = 0
        rows = np.flatnonzero(where >= 0)
        out[rows, where[rows]] = 1

    def to_json(self) -> dict[str, Any]:
        """As plain JSON."""
        return {"kind": "category"} | asdict(self) | {"categories": list(self.categories)}

    @classmethod
    def from_json(cls, entry: Any) -> Self:
        """The column that `to_json` described; FileFormatError for anything else."""
        check_entries(
            entry, "encoding", kind=lambda v: v == "category", name=of_type(str), missing=of_type(bool),
            other=of_type(bool), categories=are_texts,
        )  # fmt: skip
        return cls(entry["name"], tuple(entry["categories"]), entry["missing"], entry["other"])


def without_overflow(values: np.ndarray[Any, Any]) -> float:
    """What to multiply numbers by so that no difference or sum of two is infinite: 1, or a power of two."""
    return 0.25 if np.max(np.abs(values), initial=0.0) > 2.0**1000 else 1.0


def refuse_infinite(table: Table, name: str, values: np.ndarray[Any, Any]) -> None:
    """Raise TableError where a column holds an infinite number."""
    infinite = np.isinf(values)
    if np.any(infinite):
        raise TableError(
            f"{table.where(int(np.argmax(infinite)))}: column {name!r} holds an infinite or far too large number; mend"
            " it, or name it as missing with --na"
        )
