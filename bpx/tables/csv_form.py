"""Delimited text: CSV, TSV and the like, by Python's csv module, a block of rows at a time."""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections.abc import Callable, Collection, Iterator
from itertools import chain
from typing import Any, BinaryIO, final

import numpy as np

from bpx.tables.parsing import number, same_spelling
from bpx.tables.table import Column, Table, TableError

__all__ = ["SEPARATORS", "read"]

BLOCK = 20_000
# Python's own limit of a field, 131 072 characters, is a long text's length; no more than C's long holds everywhere.
LONGEST = 2**31 - 1
# Comes after a file's last line, to see whether a quotation mark is still open there: of private characters.
END = "\ue000\ue001\ue002"
SEPARATORS = (",", ";", "\t", "|")
# How files of other kinds begin, and what they are.
_OTHERS = {
    b"PK\x03\x04": "a zip archive or a spreadsheet (export it as CSV, or give it the name that it is: .npz)",
    b"PAR1": "a Parquet file (give it a name that ends in .parquet)",
    b"\x93NUMPY": "a NumPy array (save it with its column names: numpy.savez)",
    b"\x1f\x8b": "a gzip archive (give it a name that ends in .gz)",
    b"\xff\xfe": "UTF-16 text (save it as UTF-8, or give --encoding utf-16)",
    b"\xfe\xff": "UTF-16 text (save it as UTF-8, or give --encoding utf-16)",
}


def read(
    open_file: Callable[[], BinaryIO],
    source: str,
    *,
    packed: bool,
    separator: str | None,
    encoding: str | None,
    missing: Collection[str],
    as_text: Collection[str],
) -> Table:
    """Read a table whose first line names the columns.

    Parameters
    ----------
    open_file : callable
        Opens the file anew: it is read twice where a column begins with numbers and goes on with text.
    source : str
        The file's name, for messages.
    packed : bool
        Whether it is compressed by gzip.
    separator : str or None
        None: the one of `SEPARATORS` that the first line has most of.
    encoding : str or None
        None: UTF-8, with or without a byte order mark.
    missing : collection of str
        Spellings of a missing value.
    as_text : collection of str
        Columns that stay text even where all cells are numbers.

    Raises
    ------
    TableError
    """

    def attempt(texts: Collection[str]) -> _Rows:
        with open_file() as raw:
            _refuse_other_kinds(raw, source, packed, encoding)
            file: Any = gzip.GzipFile(fileobj=raw) if packed else raw
            with io.TextIOWrapper(file, encoding=encoding or "utf-8-sig", newline="") as lines:
                rows = _Rows(source, separator, missing, texts)
                try:
                    limit = csv.field_size_limit(LONGEST)
                    try:
                        rows.read(lines)
                    finally:
                        csv.field_size_limit(limit)
                except UnicodeError as error:
                    raise TableError(
                        f"{source}: expected {encoding or 'UTF-8'} text, got other bytes ({error.reason}); save it as"
                        " UTF-8, or name its encoding, such as --encoding latin-1"
                        if isinstance(error, UnicodeDecodeError)
                        else f"{source}: expected {encoding or 'UTF-8'} text ({error})"
                    ) from error
                except (gzip.BadGzipFile, zlib.error, EOFError) as error:
                    raise TableError(f"{source}: expected a gzip archive, got a damaged one ({error})") from error
                return rows

    rows = attempt(as_text)
    if rows.mixed:  # their first cells are gone; read again, now as text from the first row on
        rows = attempt({*as_text, *rows.mixed})
    return rows.table()


def _refuse_other_kinds(file: BinaryIO, source: str, packed: bool, encoding: str | None) -> None:
    """Say what a file is that is no text; the file is then at its beginning again."""
    first = file.read(4096)
    file.seek(0)
    if not first.strip():
        raise TableError(f"{source}: expected a line of column names and rows below it, got an empty file")
    if packed:
        return
    for magic, kind in _OTHERS.items():
        if first.startswith(magic) and not (encoding and magic[0] >= 0xFE):
            raise TableError(f"{source}: expected a table as text, got {kind}")
    if b"\0" in first and encoding is None:
        raise TableError(f"{source}: expected a table as text, got binary data; give a CSV, Parquet or npz file")


@final
class _Rows:
    """The rows of one pass through a file; ``mixed`` are the columns whose first cells were lost as numbers."""

    def __init__(self, source: str, separator: str | None, missing: Collection[str], as_text: Collection[str]) -> None:
        self._source, self._separator = source, separator
        self._missing, self._as_text = frozenset(missing), as_text
        self._names: list[str] = []
        self._lines: list[int] = []
        self._columns: list[_Cells] = []
        self.mixed: set[str] = set()

    def read(self, lines: Any) -> None:
        """Read all of it."""
        first = lines.readline()
        # A name in quotes may hold a line's end.
        while first.count('"') % 2 and (more := lines.readline()):
            first += more
        separator = self._separator or _separator(first)
        header = next(self._parsed([first], separator), [])
        self._names = self._check_names([name.strip() for name in header])
        self._columns = [_Cells(name in self._as_text, self._missing) for name in self._names]
        reader = csv.reader(chain(lines, [END]), delimiter=separator)
        width, above, block = len(self._names), first.count("\n") or 1, []
        line = above
        try:
            for row in reader:
                if row and row[-1].endswith(END):
                    if row != [END]:  # all that follows a mark would else be one cell
                        raise TableError(
                            f"{self._source}, line {line + 1}: a quotation mark is not closed; close it, or leave it"
                            " out"
                        )
                    break
                line = reader.line_num + above
                if len(row) != width:
                    if not row:
                        continue
                    raise TableError(
                        f"{self._source}, line {reader.line_num + above}: expected"
                        f" {width} field{'s' if width > 1 else ''}, as many as there are column"
                        f" names, got {len(row)}; {_why_ragged(separator, width, row)}"
                    )
                block.append(row)
                self._lines.append(reader.line_num + above)
                if len(block) == BLOCK:
                    self._take(block)
                    block = []
        except csv.Error as error:
            raise TableError(f"{self._source}, line {reader.line_num + above}: {error}; mend the line") from error
        self._take(block)
        self.mixed = {name for name, cells in zip(self._names, self._columns, strict=True) if cells.lost}

    def _take(self, block: list[list[str]]) -> None:
        """A block of rows to its columns."""
        for cells, column in zip(zip(*block, strict=True), self._columns, strict=False):
            column.extend(cells)

    def _parsed(self, lines: list[str], separator: str) -> Iterator[list[str]]:
        """Rows of these lines."""
        try:
            yield from csv.reader(lines, delimiter=separator)
        except csv.Error as error:
            raise TableError(f"{self._source}, line 1: {error}") from error
        except TypeError as error:
            raise TableError(f"--sep: expected one character, or tab, got {separator!r}") from error

    def _check_names(self, names: list[str]) -> list[str]:
        """The columns' names; an empty one is called as pandas calls it."""
        names = [name or f"Unnamed: {i}" for i, name in enumerate(names)]
        seen: dict[str, int] = {}
        for i, name in enumerate(names):
            if name in seen:
                raise TableError(
                    f"{self._source}: expected names that differ, got {name!r} for columns {seen[name] + 1} and"
                    f" {i + 1}; rename one"
                )
            seen[name] = i
        return names

    def table(self) -> Table:
        """What was read."""
        columns = [cells.column(name) for name, cells in zip(self._names, self._columns, strict=True)]
        return Table(self._source, columns, len(self._lines), lambda row: f"line {self._lines[row]}")


@final
class _Cells:
    """One column as it grows: numbers for as long as all its cells are."""

    def __init__(self, as_text: bool, missing: frozenset[str]) -> None:
        self._is_text = as_text
        self._missing = missing
        # Then a marker such as -999 is looked for before a cell is read as a number.
        self._numeric_markers = any(number(cell) is not None for cell in missing - {"nan", "NaN", "-nan", "-NaN"})
        self._blocks: list[Any] = []
        self._texts: list[str | None] = []
        self._known: dict[str, str | None] = {}
        self.lost = False

    def extend(self, cells: tuple[str, ...]) -> None:
        """Add a block's cells."""
        if not self._is_text:
            try:
                self._blocks.append(self._numbers(cells))
                return
            except ValueError:
                self.lost = any(np.any(~np.isnan(block)) for block in self._blocks)
                self._texts = [None] * sum(map(len, self._blocks))
                self._blocks, self._is_text = [], True
        known = self._known
        for cell in cells:
            if cell not in known:  # equal texts are one object: a column of few categories takes little memory
                text = cell.strip()
                known[cell] = None if text in self._missing else same_spelling(text)
            self._texts.append(known[cell])

    def _numbers(self, cells: tuple[str, ...]) -> Any:
        """The cells as float64, NaN where missing; ValueError where one is text."""
        if not self._numeric_markers:
            try:
                values = np.fromiter(map(float, cells), np.float64, len(cells))
            except ValueError:
                pass
            else:
                if "_" not in "".join(cells):
                    return values
        values = np.empty(len(cells))
        for i, cell in enumerate(cells):
            text = cell.strip()
            value = np.nan if text in self._missing else number(text)
            if value is None:
                raise ValueError(text)
            values[i] = value
        return values

    def column(self, name: str) -> Column:
        """The whole column."""
        if not self._is_text:
            return Column(name, numbers=np.concatenate([np.empty(0), *self._blocks]))
        texts = np.empty(len(self._texts), dtype=object)
        texts[:] = self._texts
        gaps = frozenset(cell.strip() for cell, text in self._known.items() if text is None)
        return Column(name, texts=texts, spellings=gaps)


def _separator(line: str) -> str:
    """The separator that a line has most of outside quotes; a comma where it has none."""
    outside = "".join(line.split('"')[::2])
    return max(SEPARATORS, key=outside.count)


def _why_ragged(separator: str, width: int, row: list[str]) -> str:
    """What to look at where a row has another number of fields."""
    name = "a tab" if separator == "\t" else repr(separator)
    if width == 1:
        return f"fields were separated at {name}; give another with --sep"
    return f"put quotes around a field that holds {name}, or give --sep" if len(row) > width else "complete the line"
