"""A table: columns of equal length, each of numbers or of text."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Any, final

import numpy as np

from bpx.errors import FileFormatError
from bpx.tables.parsing import composed, text_of

Numbers = np.ndarray[Any, np.dtype[np.float64]]
Texts = np.ndarray[Any, np.dtype[np.object_]]


class TableError(FileFormatError):
    """A table is not what it should be; the message begins with its file and says what to do."""


@final
@dataclass(frozen=True)
class Column:
    """One column, of numbers or of text.

    Attributes
    ----------
    name : str
    numbers : float64 array of shape (n,), or None
        NaN for a missing value. None for a column of text.
    texts : object array of shape (n,), or None
        A str for each row, None for a missing value. None for a column of numbers.
    spellings : frozenset of str
        The spellings of missing values that a column of text has in its file.
    dtype : str
        What a column of text is in a file with types: "bool", "date", "timestamp", or NumPy's name of a number's type;
        else "".
    cells : pyarrow.ChunkedArray or NumPy array of length n, or None
        What the file holds, with its type or spelling, for a column that is to be written again.
    """

    name: str
    numbers: Numbers | None = None
    texts: Texts | None = None
    spellings: frozenset[str] = frozenset()
    dtype: str = ""
    cells: Any = None

    @property
    def missing(self) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """A mask of shape (n,), True where a value is missing."""
        if self.numbers is not None:
            return np.isnan(self.numbers)
        assert self.texts is not None
        return np.array([text is None for text in self.texts.tolist()], dtype=np.bool_)

    def rows(self, which: Any) -> Column:
        """Some of the rows, by indices or a mask."""
        numbers = None if self.numbers is None else self.numbers[which]
        texts = None if self.texts is None else self.texts[which]
        cells = self.cells
        if cells is not None:
            cells = cells.take(np.arange(len(cells))[which])
        return replace(self, numbers=numbers, texts=texts, cells=cells)


@final
class _Columns(dict[str, Column]):
    """Columns by name in any Unicode form; iteration gives names as their file spells them."""

    def __init__(self, columns: Iterable[Column]) -> None:
        super().__init__((column.name, column) for column in columns)
        self._spelled = {composed(name): name for name in self if not name.isascii()}

    def spelled(self, name: str) -> str:
        """The name as the file spells it."""
        return name if name.isascii() else self._spelled.get(composed(name), name)

    def __getitem__(self, name: str) -> Column:
        return super().__getitem__(self.spelled(name))

    def __contains__(self, name: object) -> bool:
        return super().__contains__(self.spelled(name) if isinstance(name, str) else name)


@final
class Table:
    """Columns by name.

    Parameters
    ----------
    source : str
        The file's name, for messages.
    columns : sequence of Column
        All with `n_rows` rows.
    n_rows : int
    place : function, optional
        The place of a row (counted from 0) in the file, for messages, such as ``"line 8"``.
    index : collection of str
        The columns that the file says are a data frame's index.
    notes : sequence of str
        What the user should know of how the file was read.
    """

    def __init__(
        self, source: str, columns: Sequence[Column], n_rows: int, place: Callable[[int], str] | None = None,
        index: Collection[str] = (), notes: Sequence[str] = (),
    ) -> None:  # fmt: skip
        self.source, self.n_rows, self.index, self.notes = source, n_rows, frozenset(index), tuple(notes)
        self.columns = _Columns(columns)
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
        """A hint for an unknown name: the most similar column, or else the list of columns."""
        folded = {other.casefold(): other for other in self.names}
        close = get_close_matches(name.casefold(), folded, n=1)
        return f"did you mean {folded[close[0]]!r}?" if close else f"it has {listed(self.names)}"

    def where(self, row: int) -> str:
        """The file and the place of a row, for messages."""
        return f"{self.source}, {self._place(row)}"

    def rows(self, which: Any) -> Table:
        """Some of the rows, by indices or a mask; messages still name their places in the file."""
        kept = np.arange(self.n_rows)[which]
        columns = [column.rows(which) for column in self.columns.values()]
        return Table(self.source, columns, len(kept), lambda row: self._place(int(kept[row])), self.index)

    def of(self, columns: Sequence[Column]) -> Table:
        """A table of other columns for the same rows; messages still name their places in the file."""
        return Table(self.source, columns, self.n_rows, self._place, self.index)

    def without(self, names: Iterable[str]) -> Table:
        """The table without these columns."""
        left_out = {self.columns.spelled(name) for name in names}
        return self.of([column for name, column in self.columns.items() if name not in left_out])


def column_from_array(
    name: str, values: np.ndarray[Any, Any], missing: Collection[str], as_text: Collection[str], source: str
) -> Column:
    """A 1-D array as a column; `missing`, `as_text` and `source` are as for `bpx.tables.reading.read`.

    Raises
    ------
    TableError
        If it holds neither numbers nor text nor dates.
    """
    kind = values.dtype.kind
    if kind in "iuf" and name not in as_text:
        return Column(name, numbers=values.astype(np.float64))
    if kind in "iufb":
        texts = text_array(None if v != v else text_of(v) for v in values.tolist())
        return Column(name, texts=texts, dtype=values.dtype.name)
    dtype = ""
    if kind == "M":
        dtype = "date" if np.datetime_data(values.dtype)[0] == "D" else "timestamp"
        values = np.datetime_as_string(values)
    elif kind == "S":
        values = np.char.decode(values, "utf-8")
    elif kind not in "UOT":
        raise TableError(f"{source}: column {name!r} holds {values.dtype}, neither numbers nor text; leave it out")
    cells = [None if v is None or v != v else str(v).strip() for v in values.tolist()]
    known = text_array(_in_one_form([None if text is None or text in missing else text for text in cells]))
    spellings = frozenset(text for text in cells if text in missing and text is not None)
    return Column(name, texts=known, spellings=spellings, dtype=dtype)


def _in_one_form(texts: list[str | None]) -> list[str | None]:
    """Texts in two Unicode forms both as the first of them; all others stay as they are."""
    first: dict[str, str] = {}
    return [text if text is None or text.isascii() else first.setdefault(composed(text), text) for text in texts]


def text_array(values: Iterable[str | None]) -> np.ndarray[Any, Any]:
    """Texts, None for a missing one, as an object array of shape (n,)."""
    return np.array([*values, None], dtype=object)[:-1]


def listed(names: Sequence[str], most: int = 12) -> str:
    """Quoted names with commas between them; of many only the first ones."""
    first = ", ".join(repr(name) for name in names[:most])
    return first + (f" and {len(names) - most} more" if len(names) > most else "")


def refuse_equal_names(names: Sequence[str], source: str) -> None:
    """Raise TableError where two columns have one name, in whichever Unicode form."""
    first: dict[str, int] = {}
    for i, name in enumerate(names):
        if first.setdefault(composed(name), i) < i:
            raise TableError(
                f"{source}: expected names that differ, got {name!r} for columns {first[composed(name)] + 1} and"
                f" {i + 1}; rename one, or leave them out with --drop {name!r}"
            )


def without_dropped(names: Sequence[str], drop: Collection[str], source: str) -> list[int]:
    """The places of the columns that are not in `drop`; TableError for an unknown name, and for equal ones left."""
    known, dropped = {composed(name) for name in names}, {composed(name) for name in drop}
    for name in drop:
        if composed(name) not in known:
            Table(source, [Column(one) for one in names], 0)[name]
    kept = [i for i, name in enumerate(names) if composed(name) not in dropped]
    refuse_equal_names([names[i] for i in kept], source)
    return kept
