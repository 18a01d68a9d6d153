"""One column's code: how its values become inputs of a network."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any, final

import numpy as np

from bpx.tables.parsing import canonical, number
from bpx.tables.table import Column, Table, TableError

__all__ = ["CategoryColumn", "NumberColumn", "Unseen", "texts_of"]

Matrix = np.ndarray[Any, Any]


@dataclass
class Unseen:
    """What applying an encoding met that training had not: counts by column."""

    categories: dict[str, int] = field(default_factory=dict)
    missing: dict[str, int] = field(default_factory=dict)
    examples: dict[str, str] = field(default_factory=dict)


@final
@dataclass(frozen=True)
class NumberColumn:
    """``(x - mean) / scale``, the median for a missing x; mean 0 and scale 1 where numbers stay as they are."""

    name: str
    median: float
    mean: float
    scale: float
    had_missing: bool

    @property
    def width(self) -> int:
        """Inputs that it fills."""
        return 1

    @property
    def inputs(self) -> list[str]:
        """Their names."""
        return [self.name]

    def encode(self, table: Table, out: Matrix, unseen: Unseen) -> None:
        """Fill `out` (n, 1) from the table.

        Raises
        ------
        TableError
        """
        values = self._values(table)
        infinite = np.isinf(values)
        if np.any(infinite):
            raise TableError(
                f"{table.where(int(np.argmax(infinite)))}: column {self.name!r} holds an infinite or far too large"
                " number; mend it, or name it as missing with --na"
            )
        missing = np.isnan(values)
        if not self.had_missing and np.any(missing):
            unseen.missing[self.name] = int(np.count_nonzero(missing))
        values[missing] = self.median
        out[:, 0] = (values - self.mean) / self.scale

    def _values(self, table: Table) -> np.ndarray[Any, Any]:
        """The column's numbers, a copy; text is read as numbers where all of it can be."""
        column = table[self.name]
        if column.numbers is not None:
            return column.numbers.copy()
        assert column.texts is not None
        values = np.full(table.n_rows, np.nan)
        for row, text in enumerate(column.texts.tolist()):
            value = np.nan if text is None else number(text)
            if value is None:
                raise TableError(
                    f"{table.where(row)}: column {self.name!r} held numbers in training, got {text!r:.60}; mend it, or"
                    " name it as missing with --na"
                )
            values[row] = value
        return values

    def to_json(self) -> dict[str, Any]:
        """As plain JSON."""
        return {"kind": "number"} | asdict(self)


@final
@dataclass(frozen=True)
class CategoryColumn:
    """One input per category, then "missing" and "other" where training had such rows."""

    name: str
    categories: tuple[str, ...]
    missing: bool
    other: bool

    @property
    def width(self) -> int:
        """Inputs that it fills."""
        return len(self.categories) + self.missing + self.other

    @property
    def inputs(self) -> list[str]:
        """Their names."""
        more = [*(["missing"] if self.missing else []), *(["other"] if self.other else [])]
        return [f"{self.name}={category}" for category in self.categories] + [f"{self.name} {word}" for word in more]

    def encode(self, table: Table, out: Matrix, unseen: Unseen) -> None:
        """Fill `out` (n, width) from the table, which holds the column as text."""
        texts = texts_of(table[self.name])
        place: dict[str, int] = {}
        for j, category in enumerate(self.categories):  # 1.0 of one file is 1 of another, unless both are categories
            place.setdefault(canonical(category), j)
        place |= {category: j for j, category in enumerate(self.categories)}
        other = len(self.categories) + self.missing if self.other else -1
        counts = Counter(texts.tolist())
        column = {None: len(self.categories) if self.missing else -1}
        for text, count in counts.items():
            if text is None:
                if not self.missing:
                    unseen.missing[self.name] = count
                continue
            found = place.get(text, place.get(canonical(text), None))
            column[text] = other if found is None else found
            if found is None and not self.other:
                unseen.categories[self.name] = unseen.categories.get(self.name, 0) + count
                unseen.examples.setdefault(self.name, text)
        where = np.array([column[text] for text in texts.tolist()], dtype=np.int64)
        out[...] = 0
        rows = np.flatnonzero(where >= 0)
        out[rows, where[rows]] = 1

    def to_json(self) -> dict[str, Any]:
        """As plain JSON."""
        return {"kind": "category"} | asdict(self) | {"categories": list(self.categories)}


def texts_of(column: Column) -> np.ndarray[Any, Any]:
    """The column's texts; one without any value counts as text."""
    if column.texts is not None:
        return column.texts
    assert column.numbers is not None
    texts = np.full(len(column.numbers), None, dtype=object)
    if not np.all(np.isnan(column.numbers)):
        raise TypeError(f"{column.name}: a category column is read as text")
    return texts
