"""Delimited text: CSV, TSV and the like, parsed by pyarrow (extra ``tables``) and written by Python's csv module.

All cells are read as text, so that a column keeps its spelling unless every cell of it is a number. Python writes,
because pyarrow would quote every name and every text.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import re
import zlib
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from bpx.tables.parquet_table import library
from bpx.tables.parsing import number
from bpx.tables.table import Column, Table, TableError, column_from_array, refuse_equal_names, text_array

SEPARATORS = (",", ";", "\t", "|")
# Python limits a field to 131 072 characters by default, which a long text may exceed; C's long bounds this limit.
_LONGEST_FIELD = 2**31 - 1
# The first line; a name in quotes may hold a line break.
_FIRST_LINE = re.compile(r'(?:"[^"]*+"|[^\r\n])*+')
_ORDER_MARKS = {
    "utf-16": (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE), "utf-32": (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE),
}  # fmt: skip
# The first bytes of other kinds of files, and what to say of each.
_OTHERS = {
    b"PK\x03\x04": "a zip archive or a spreadsheet (export it as CSV, or give it the name that it is: .npz)",
    b"PAR1": "a Parquet file (give it a name that ends in .parquet)",
    b"\x93NUMPY": "a NumPy array (save it with its column names: numpy.savez)",
    b"\x1f\x8b": "a gzip archive (give it a name that ends in .gz)",
    b"\xff\xfe": "UTF-16 text (save it as UTF-8, or give --encoding utf-16)",
    b"\xfe\xff": "UTF-16 text (save it as UTF-8, or give --encoding utf-16)",
}


def read(
    content: bytes,
    source: str,
    *,
    packed: bool,
    separator: str | None,
    encoding: str | None,
    missing: Collection[str],
    as_text: Collection[str],
) -> Table:
    """Read a table whose first line names the columns.

    `packed` says whether gzip compressed it; the other arguments are those of `bpx.tables.reading.read`.

    Raises
    ------
    TableError, ImportError
    """
    text = _decoded(content, source, packed, encoding)
    match = _FIRST_LINE.match(text)
    first = match[0] if match else ""
    if separator is None:  # the most frequent one outside quotes
        separator = max(SEPARATORS, key=re.sub('"[^"]*"', "", first).count)
    elif len(separator) != 1 or not separator.isascii() or separator in '\0"\r\n':
        raise TableError(f"--sep: expected one ASCII character, or tab, got {separator!r}")
    header = _header(first, source, separator)
    names = [name.strip() or f"Unnamed: {i}" for i, name in enumerate(header)]  # as pandas calls it
    refuse_equal_names(names, source)
    cells = _parsed(text, source, separator, header)
    columns = [
        _column(name, column, missing, as_text, source) for name, column in zip(names, cells.columns, strict=True)
    ]
    return Table(source, columns, cells.num_rows, lambda row: f"line {_last_lines(text, separator)[row + 1]}")


def _decoded(content: bytes, source: str, packed: bool, encoding: str | None) -> str:
    """The file's text; TableError says what kind of file it is where it is no text."""
    if packed and content:
        try:
            content = gzip.decompress(content)
        except (gzip.BadGzipFile, zlib.error, EOFError) as error:
            raise TableError(f"{source}: expected a gzip archive, got a damaged one ({error})") from error
    if not content.strip():
        raise TableError(f"{source}: expected a line of column names and rows below it, got an empty file")
    for magic, kind in _OTHERS.items():
        if content.startswith(magic) and not (encoding and magic[0] >= 0xFE):
            raise TableError(f"{source}: expected a table as text, got {kind}")
    if encoding is None and b"\0" in content[:4096]:
        raise TableError(f"{source}: expected a table as text, got binary data; give a CSV, Parquet or npz file")
    # Python would assume the machine's byte order.
    codec = codecs.lookup(encoding or "utf-8").name
    if codec in _ORDER_MARKS and not content.startswith(_ORDER_MARKS[codec]):
        raise TableError(
            f"{source}: expected {encoding} text, which begins with a byte order mark, got text without; give"
            f" --encoding {codec}-le or {codec}-be"
        )
    try:
        return content.decode(encoding or "utf-8").removeprefix("\ufeff")
    except UnicodeError as error:
        reason = getattr(error, "reason", error)
        raise TableError(
            f"{source}: expected {encoding or 'UTF-8'} text, got other bytes ({reason}); save it as UTF-8, or name its"
            " encoding, such as --encoding latin-1"
        ) from error


def _header(line: str, source: str, separator: str) -> list[str]:
    """The cells of the first line."""
    if "\0" in line:
        raise TableError(f"{source}, line 1: expected column names, got a NUL character in one; is this a text file?")
    try:
        header = next(csv.reader(io.StringIO(line, newline=""), delimiter=separator), [])
    except csv.Error as error:
        raise TableError(f"{source}, line 1: {error}; mend the line") from error
    if not header:
        raise TableError(f"{source}, line 1: expected column names, got an empty line; leave it out")
    return header


def _parsed(text: str, source: str, separator: str, header: list[str]) -> Any:
    """The cells below the header as a pyarrow table of texts."""
    pyarrow, width = library("csv"), len(header)
    # pyarrow accepts a quotation mark that is never closed. Add a last line with one field too many: it is reported as
    # other ragged lines are, unless a quotation mark is open, which makes it part of a cell.
    last = separator.join(['""'] * (width + 1))
    ragged: list[Any] = []

    def keep(row: Any) -> str:
        ragged.append(row)
        return "skip"

    names = [str(i) for i in range(width)]
    data = f"{text}\n{last}\n".encode()
    not_closed = "a quotation mark is not closed; close it, or leave it out"
    try:
        table = pyarrow.csv.read_csv(
            io.BytesIO(data),
            # One thread, which counts rows. One block, because no cell may be longer than a block.
            read_options=pyarrow.csv.ReadOptions(
                use_threads=False, block_size=min(len(data), 2**31 - 1), column_names=names
            ),
            parse_options=pyarrow.csv.ParseOptions(
                delimiter=separator, newlines_in_values=True, invalid_row_handler=keep
            ),
            convert_options=pyarrow.csv.ConvertOptions(
                column_types=dict.fromkeys(names, pyarrow.large_string()), strings_can_be_null=False
            ),
        )
    except pyarrow.ArrowInvalid as error:  # the open quotation mark is in the header, which takes all that follows
        raise TableError(f"{source}, line 1: {not_closed}") from error
    # The header is read as a row, to see that both readers mean the same line.
    closed = bool(ragged) and ragged[-1].text == last
    if not table.num_rows or [column[0].as_py() for column in table.columns] != header:
        reason = "quotation marks in the column names are not in order; mend the line" if closed else not_closed
        raise TableError(f"{source}, line 1: {reason}")
    table = table.slice(1)
    last_record = table.num_rows + len(ragged)  # the header is record 0
    wrong = ragged[:-1] if closed or (ragged and ragged[-1].number > last_record) else ragged
    if wrong:
        line, got = _last_lines(text, separator)[wrong[0].number - 1], wrong[0].actual_columns
        raise TableError(
            f"{source}, line {line}: expected {width} field{'s' if width > 1 else ''}, as many as there are column"
            f" names, got {got}; {_why_ragged(separator, width, got)}"
        )
    if not closed:
        line = _last_lines(text, separator, empty=True)[-2] + 1
        raise TableError(f"{source}, line {line}: {not_closed}")
    return table


def _last_lines(text: str, separator: str, *, empty: bool = False) -> list[int]:
    """The number of the last line of each record, the header first; `empty` counts empty lines as records."""
    limit = csv.field_size_limit(_LONGEST_FIELD)
    try:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
        return [reader.line_num for row in reader if row or empty]
    finally:
        csv.field_size_limit(limit)


def _why_ragged(separator: str, width: int, got: int) -> str:
    """What to do about a row with too many or too few fields."""
    name = "a tab" if separator == "\t" else repr(separator)
    if width == 1:
        return f"fields were separated at {name}; give another with --sep"
    return f"put quotes around a field that holds {name}, or give --sep" if got > width else "complete the line"


def _column(name: str, cells: Any, missing: Collection[str], as_text: Collection[str], source: str) -> Column:
    """A column of numbers if every cell is a number or missing, else one of text."""
    pyarrow = library("compute")
    if name not in as_text:
        gaps = pyarrow.compute.is_in(cells, value_set=pyarrow.array(sorted(missing), cells.type))
        present = pyarrow.compute.if_else(gaps, pyarrow.scalar(None, cells.type), cells)
        try:
            return Column(name, numbers=present.cast(pyarrow.float64()).to_numpy())
        except pyarrow.ArrowInvalid:  # text, or numbers that only Python reads, such as " +1 "
            pass
    encoded = cells.combine_chunks().dictionary_encode()
    different, places = encoded.dictionary.to_pylist(), encoded.indices.to_numpy()
    if name not in as_text:
        values = [np.nan if (text := cell.strip()) in missing else number(text) for cell in different]
        if None not in values:
            return Column(name, numbers=np.array(values, dtype=np.float64)[places])
    return column_from_array(name, text_array(different), missing, as_text, source).rows(places)


def to_text(columns: Mapping[str, np.ndarray[Any, Any]], separator: str = ",") -> str:
    """Columns as CSV text: numbers in the fewest digits that identify them, a missing value as an empty cell."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, delimiter=separator, lineterminator="\n")
    writer.writerow(columns)
    # str of a float32 has fewer digits than str of the float64 that tolist would make of it.
    lists = [map(str, values) if values.dtype.kind == "f" else values.tolist() for values in columns.values()]
    writer.writerows(zip(*lists, strict=True))
    return buffer.getvalue()
