"""A table: columns of equal length, each of numbers or of text."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, final

import numpy as np

from bpx.errors import FileFormatError

Numbers = np.ndarray[Any, np.dtype[np.float64]]
Texts = np.ndarray[Any, np.dtype[np.object_]]


class TableError(FileFormatError):
    """A table is not what it should be; the message begins with its file and says what to do."""


@final
@dataclass(frozen=True)
class Column:
    """One column: either `numbers` or `texts` is there.

    Attributes
    ----------
    numbers : float64 array of shape (n,), or None
        NaN where a value is missing.
    texts : object array of shape (n,), or None
        str, or None where a value is missing.
    spellings : frozenset of str
        Of the missing values that a column of text held.
    """

    name: str
    numbers: Numbers | None = None
    texts: Texts | None = None
    spellings: frozenset[str] = frozenset()

    @property
    def missing(self) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """Where a value is missing."""
        if self.numbers is not None:
            return np.isnan(self.numbers)
        assert self.texts is not None
        return np.array([text is None for text in self.texts.tolist()], dtype=np.bool_)

    def rows(self, which: Any) -> Column:
        """Some of the rows, by indices or a mask."""
        numbers = None if self.numbers is None else self.numbers[which]
        return Column(self.name, numbers, None if self.texts is None else self.texts[which], self.spellings)


@final
class Table:
    """Columns by name; messages use `source`, the file's name, and `place(i)`, where row i is, such as ``"line 8"``."""

    def __init__(
        self, source: str, columns: Sequence[Column], n_rows: int, place: Callable[[int], str] | None = None
    ) -> None:
        self.source, self.n_rows = source, n_rows
        self.columns = {column.name: column for column in columns}
        self._place = place or (lambda row: f"row {row + 1}")

    @property
    def names(self) -> list[str]:
        """The columns' names, in order."""
        return list(self.columns)

    def __getitem__(self, name: str) -> Column:
        if name not in self.columns:
            raise TableError(f"{self.source}: no column {name!r}; {self.nearest(name)}")
        return self.columns[name]

    def nearest(self, name: str) -> str:
        """A name that is likely meant in place of one that is not there, else the names that there are."""
        folded = {other.casefold(): other for other in self.names}
        close = get_close_matches(name.casefold(), folded, n=1)
        return f"did you mean {folded[close[0]]!r}?" if close else f"it has {listed(self.names)}"

    def where(self, row: int) -> str:
        """File and place of a row."""
        return f"{self.source}, {self._place(row)}"

    def rows(self, which: Any) -> Table:
        """Some of the rows, by indices or a mask; each remembers where it was."""
        kept = np.arange(self.n_rows)[which]
        columns = [column.rows(which) for column in self.columns.values()]
        return Table(self.source, columns, len(kept), lambda row: self._place(int(kept[row])))

    def without(self, names: Iterable[str]) -> Table:
        """The other columns."""
        left_out = set(names)
        columns = [column for name, column in self.columns.items() if name not in left_out]
        return Table(self.source, columns, self.n_rows, self._place)


def listed(names: Sequence[str], most: int = 12) -> str:
    """Names with commas, the first few where there are many."""
    first = ", ".join(repr(name) for name in names[:most])
    return first + (f" and {len(names) - most} more" if len(names) > most else "")


def refuse_equal_names(names: Sequence[str], source: str) -> None:
    """Raise TableError where two columns have one name."""
    for i, name in enumerate(names):
        first = names.index(name)
        if first < i:
            raise TableError(
                f"{source}: expected names that differ, got {name!r} for columns {first + 1} and {i + 1}; rename one"
            )
