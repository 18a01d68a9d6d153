"""Delimited text: CSV, TSV and the like, parsed by pyarrow (extra ``tables``) and written by Python's csv module.

pyarrow infers which columns hold numbers; all others are read as text, so that they keep their spelling. Python writes,
because pyarrow would quote every name and every text.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from bpx.tables import csv_text
from bpx.tables.arrow import library, spelled
from bpx.tables.csv_text import Text
from bpx.tables.parsing import USUAL, Style, composed, number
from bpx.tables.table import Column, Table, TableError, column_from_array, text_array, without_dropped

# How much of a file shows which columns hold numbers.
_HEAD = 1 << 18
# Bytes that are parsed at once.
_PIECE = 1 << 25
_NOT_CLOSED = "a quotation mark is not closed; close it, or leave it out"


def read(
    content: bytes,
    source: str,
    *,
    packed: bool,
    separator: str | None,
    encoding: str | None,
    missing: Collection[str],
    as_text: Collection[str],
    drop: Collection[str] = (),
    keep: Collection[str] = (),
    style: Style = USUAL,
    comment: str | None = None,
) -> Table:
    """Read a table whose first line names the columns.

    `packed` says whether gzip compressed it; the other arguments are those of `bpx.tables.reading.read`.

    Raises
    ------
    TableError, ImportError
    """
    text = csv_text.prepare(content, source, packed=packed, separator=separator, encoding=encoding, comment=comment)
    del content
    as_text, keep = {composed(name) for name in as_text}, {composed(name) for name in keep}
    loaded: Text | dict[int, Any] = text
    while isinstance(loaded, Text):  # mended, if it comes back
        text, header = loaded, _header(loaded, source)
        names = [name.strip() or f"Unnamed: {i}" for i, name in enumerate(header)]  # as pandas calls it
        which = without_dropped(names, drop, source)
        spelled_out = {i for i in which if composed(names[i]) in as_text | keep}
        loaded = _load(text, source, header, which or [0], spelled_out, missing, style)
    columns, n_records = loaded, len(next(iter(loaded.values())))
    kept, notes, place = np.arange(n_records), list(text.notes), _places(text, n_records)
    if len(repeated := _repeated(columns, header)):
        kept = np.setdiff1d(kept, repeated)
        columns = {i: cells.take(kept) for i, cells in columns.items()}
        count = "1 line that repeats" if len(repeated) == 1 else f"{len(repeated)} lines that repeat"
        notes.append(f"left out: {count} the column names ({place(int(repeated[0]))})")
    del text, loaded  # their memory is that of the file
    made = []
    for i in which:
        cells, name = columns.pop(i), names[i]
        column = _column(name, cells, missing, composed(name) in as_text, source, style)
        made.append(replace(column, cells=cells) if composed(name) in keep else column)
        del cells
    return Table(source, made, len(kept), lambda row: place(int(kept[row])), notes=notes)


def _places(text: Text, n_rows: int) -> Callable[[int], str]:
    """The place of a row for messages; the text itself is kept only where lines have to be counted anew."""
    breaks = text.content.count(b"\n") + (not text.content.endswith(b"\n"))
    only_in_pairs = text.content.count(b"\r") == text.content.count(b"\r\n")
    if b'"' not in text.content and only_in_pairs and breaks == n_rows + 1:
        before, lines = text.before, text.lines
        return lambda row: f"line {row + 2 + before if lines is None else lines[row + 1]}"
    one_column = text.separator not in text.header.decode("utf-8", "replace")
    return lambda row: f"line {text.last_lines(empty=one_column)[row + 1]}"


def _header(text: Text, source: str) -> list[str]:
    """The cells of the line of names."""
    line, place = text.header.decode("utf-8"), f"{source}, line {text.line(1)}"
    if "\0" in line:
        raise TableError(f"{place}: expected column names, got a NUL character in one; is this a text file?")
    try:
        header = next(csv.reader(io.StringIO(line, newline=""), delimiter=text.separator), [])
    except csv.Error as error:
        raise TableError(f"{place}: {error}; mend the line") from error
    if b'"' not in text.header:
        return header
    # To see that both readers mean the same line.
    pyarrow, width, last = library("csv"), len(header), _last(text.separator, len(header))
    ragged: list[Any] = []
    try:
        cells = _parse(pyarrow, text.header + f"\n{last}\n".encode(), text.separator, width, ragged)
        same = cells.num_rows == 1 and [column[0].as_py() for column in cells.columns] == header
    except pyarrow.ArrowInvalid:
        same = False
    if not same:
        closed = bool(ragged) and ragged[-1].text == last
        reason = "quotation marks in the column names are not in order; mend the line" if closed else _NOT_CLOSED
        raise TableError(f"{place}: {reason}")
    return header


def _last(separator: str, width: int) -> str:
    """A line with a field too many, to end a file with: it shows whether a quotation mark before it is open."""
    return separator.join(['""'] * (width + 1))


def _parse(
    pyarrow: Any, data: Any, separator: str, width: int, ragged: list[Any], *, which: Sequence[int] | None = None,
    types: Mapping[int, Any] | None = None, missing: Collection[str] = (), decimal: str = ".", threads: bool = False,
    quoted: bool = True,
) -> Any:  # fmt: skip
    """The cells of some columns, as text, or as `types` says and pyarrow infers; rows of another width to `ragged`."""

    def note(row: Any) -> str:
        ragged.append(row)
        return "skip"

    which = range(width) if which is None else which
    types = dict.fromkeys(which, pyarrow.large_string()) if types is None else types
    return pyarrow.csv.read_csv(
        pyarrow.BufferReader(pyarrow.py_buffer(data)),
        # One thread counts rows. One block, because no cell may be longer than a block.
        read_options=pyarrow.csv.ReadOptions(
            use_threads=threads, block_size=1 << 22 if threads else min(max(len(data), 1), 2**31 - 1),
            column_names=[str(i) for i in range(width)],
        ),
        parse_options=pyarrow.csv.ParseOptions(
            delimiter=separator, newlines_in_values=quoted, invalid_row_handler=note, ignore_empty_lines=width > 1
        ),
        convert_options=pyarrow.csv.ConvertOptions(
            include_columns=[str(i) for i in which], column_types={str(i): kind for i, kind in types.items()},
            null_values=sorted(missing), strings_can_be_null=False, check_utf8=False, decimal_point=decimal,
        ),
    )  # fmt: skip


def _load(
    text: Text, source: str, header: list[str], which: Sequence[int], as_text: Collection[int],
    missing: Collection[str], style: Style,
) -> dict[int, Any] | Text:  # fmt: skip
    """The cells of columns, as numbers where all are numbers, else as text; or the mended text, to be read anew."""
    pyarrow, width, quoted = library("csv"), len(header), b'"' in text.content
    last = _last(text.separator, width)
    data: Any = _ended(text.body, last) if quoted else text.body
    options: dict[str, Any] = {"missing": missing, "decimal": style.decimal}
    numeric = _numeric(pyarrow, data, text, width, options) - set(as_text)
    # Where text comes after the first rows, everything is read anew as text.
    for numbers in (numeric, set[int]()) if numeric else (numeric,):
        types = {i: pyarrow.float64() if i in numbers else pyarrow.large_string() for i in which}
        ragged: list[Any] = []
        try:
            # By pieces, because pyarrow takes several times the memory of what it is reading.
            tables = [
                _parse(
                    pyarrow, piece, text.separator, width, ragged, which=which, types=types, threads=True,
                    quoted=quoted, **options,
                )
                for piece in _pieces(data, quoted)
            ]  # fmt: skip
        except pyarrow.ArrowInvalid:  # text among numbers, a cell that is longer than a block, or no rows
            continue
        if tables and [row.text for row in ragged] == [last] * quoted:
            table = pyarrow.concat_tables(tables)
            return {i: table.column(str(i)) for i in which}
        break
    return _load_carefully(text, source, header, which)


def _pieces(data: Any, quoted: bool) -> Iterator[Any]:
    """Parts that end with a line, where no line break can be within a cell."""
    start = 0
    while start < len(data):
        stop = len(data) if quoted else min(start + _PIECE, len(data))
        while stop < len(data) and data[stop - 1] != 10:  # "\\n"
            stop += 1
        yield data[start:stop]
        start = stop


def _numeric(pyarrow: Any, data: Any, text: Text, width: int, options: dict[str, Any]) -> set[int]:
    """The columns that hold numbers in the first rows."""
    head = bytes(data[:_HEAD])
    if len(head) < len(data):
        head = head[: head.rfind(b"\n") + 1] or head
    try:
        table = _parse(pyarrow, head, text.separator, width, [], types={}, **options)
    except pyarrow.ArrowInvalid:
        return set()
    return {i for i, column in enumerate(table.columns) if _is_numeric(pyarrow, column.type)}


def _is_numeric(pyarrow: Any, kind: Any) -> bool:
    """Whether pyarrow found numbers, or nothing at all."""
    return kind in (pyarrow.int64(), pyarrow.float64(), pyarrow.null())


def _ended(data: Any, last: str) -> bytes:
    """Data with `last` as its last line."""
    return bytes(data) + (b"" if data[-1:] in (b"\n", b"\r", b"") else b"\n") + last.encode() + b"\n"


def _load_carefully(text: Text, source: str, header: list[str], which: Sequence[int]) -> dict[int, Any] | Text:
    """The cells as text, by one thread; ragged lines are mended where nothing is lost, else refused."""
    pyarrow, width, separator = library("csv"), len(header), text.separator
    # pyarrow accepts a quotation mark that is never closed. A last line with one field too many is reported as other
    # ragged lines are, unless a quotation mark is open, which makes it part of a cell.
    last, ragged = _last(separator, width), []  # type: str, list[Any]
    table = _parse(pyarrow, _ended(text.body, last), separator, width, ragged, which=which)
    closed = bool(ragged) and ragged[-1].text == last
    last_record = table.num_rows + len(ragged)  # the first row is record 1
    wrong = ragged[:-1] if closed or (ragged and ragged[-1].number >= last_record) else ragged
    if wrong and closed and (mended := _mended(text, header)) is not None:
        return mended
    if wrong:
        line, got = text.last_lines(empty=width == 1)[wrong[0].number], wrong[0].actual_columns
        shifted = got == width + 1 and len(wrong) > 1 and not table.num_rows
        raise TableError(
            f"{source}, line {line}: expected {width} field{'s' if width > 1 else ''}, as many as there are column"
            f" names, got {got}; {_why_ragged(separator, width, got, shifted=shifted)}"
        )
    if not closed:
        line = text.last_lines(empty=True)[-2] + 1
        raise TableError(f"{source}, line {line}: {_NOT_CLOSED}")
    return {i: table.column(str(i)) for i in which}


def _mended(text: Text, header: list[str]) -> Text | None:
    """The text without separators at the ends of lines and without lines of spaces; None if that does not mend it."""
    rows, ends, longest = [], [], 0
    with csv_text.long_fields():
        reader = csv.reader(text.strings(), delimiter=text.separator)
        for row in reader:
            if len(row) > 1 or any(cell.strip() for cell in row):
                rows.append(row)
                ends.append(reader.line_num)
                longest = max(longest, len(row))
    width = len(header)
    while width and not header[width - 1].strip() and any(len(row) < len(header) for row in rows):
        width -= 1
    if width < 2 or any(len(row) < width or any(cell.strip() for cell in row[width:]) for row in rows):
        return None
    buffer, lines = io.StringIO(), []  # type: io.StringIO, list[int]
    writer = csv.writer(buffer, delimiter=text.separator, lineterminator="\n")
    for row, end in zip(rows, ends, strict=True):
        writer.writerow(row[:width])
        inner = sum(cell.count("\n") for cell in row[:width])
        lines += [text.line(line) for line in range(end - inner, end + 1)]
    notes = [*text.notes]
    if longest > width:
        notes.append("separators at the ends of lines, without a cell after them, were left out")
    return text.of(buffer.getvalue().encode(), lines, notes)


def _why_ragged(separator: str, width: int, got: int, *, shifted: bool) -> str:
    """What to do about a row with too many or too few fields; `shifted`: all rows have one more."""
    name = "a tab" if separator == "\t" else repr(separator)
    if width == 1:
        return f"fields were separated at {name}; give another with --sep"
    if shifted:
        return f"give the first column a name, too, or put quotes around fields that hold {name}, or give --sep"
    return f"put quotes around a field that holds {name}, or give --sep" if got > width else "complete the line"


def _repeated(columns: Mapping[int, Any], header: list[str]) -> Any:
    """The rows that are the column names again."""
    pyarrow = library("compute")
    if len(columns) < 2 or any(_is_numeric(pyarrow, cells.type) for cells in columns.values()):
        return np.arange(0)
    rows = None
    for i, cells in columns.items():
        found = cells if rows is None else cells.take(rows)
        same = np.flatnonzero(pyarrow.compute.equal(found, header[i]).to_numpy())
        rows = same if rows is None else rows[same]
        if not len(rows):
            break
    return rows


def _column(name: str, cells: Any, missing: Collection[str], as_text: bool, source: str, style: Style) -> Column:
    """A column of numbers if every cell is a number or missing, else one of text."""
    pyarrow = library("compute")
    if _is_numeric(pyarrow, cells.type):
        return Column(name, numbers=cells.cast(pyarrow.float64()).to_numpy())
    if not as_text and style.is_usual:
        gaps = pyarrow.compute.is_in(cells, value_set=pyarrow.array(sorted(missing), cells.type))
        present = pyarrow.compute.if_else(gaps, pyarrow.scalar(None, cells.type), cells)
        try:
            return Column(name, numbers=present.cast(pyarrow.float64()).to_numpy())
        except pyarrow.ArrowInvalid:  # text, or numbers that only Python reads, such as " +1 "
            pass
    encoded = cells.combine_chunks().dictionary_encode()
    different, places = encoded.dictionary.to_pylist(), encoded.indices.to_numpy()
    if not style.is_usual:
        plain = [cell if cell.strip() in missing else style.plain(cell) for cell in different]
        different = different if None in plain else plain
        style = style if None in plain else USUAL
    if not as_text and style.is_usual:
        values = [np.nan if (text := cell.strip()) in missing else number(text) for cell in different]
        if None not in values:
            return Column(name, numbers=np.array(values, dtype=np.float64)[places])
    return column_from_array(name, text_array(different), missing, {name} if as_text else (), source).rows(places)


def to_text(columns: Mapping[str, Any], separator: str = ",") -> str:
    """Columns as CSV text: numbers in the fewest digits that identify them, a missing value as an empty cell.

    A column is a NumPy array or one of pyarrow's.
    """
    buffer = io.StringIO()
    writer = csv.writer(buffer, delimiter=separator, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*map(spelled, columns.values()), strict=True))
    return buffer.getvalue()
