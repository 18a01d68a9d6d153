"""A text file before it is parsed: unpacked, decoded, and cut at the line that names the columns."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import re
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import final

from bpx.tables.table import TableError

SEPARATORS = (",", ";", "\t", "|")
# Python limits a field to 131 072 characters by default, which a long text may exceed; C's long bounds this limit.
_LONGEST_FIELD = 2**31 - 1
# A line; a cell in quotes may hold a line break.
_LINE = re.compile(rb'(?:"[^"]*+"|[^\r\n])*+')
_BREAK = re.compile(rb"\r\n|\r|\n|\Z")
_SEP = re.compile(rb'"?sep=(.)"?', re.IGNORECASE)
# What pandas, R and people put before a comment where no --comment is given.
_COMMENTS = (b"#", b"%", b"//")
_ORDER_MARKS = {
    "utf-16": (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE), "utf-32": (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE),
}  # fmt: skip
# The first bytes of other kinds of files, and what to say of each.
_OTHERS = {
    b"PK\x03\x04": "a zip archive or a spreadsheet (export it as CSV, or give it the name that it is: .npz)",
    b"PAR1": "a Parquet file (give it a name that ends in .parquet)",
    b"ARROW1": "an Arrow file (give it a name that ends in .arrow)",
    b"\x93NUMPY": "a NumPy array (save it with its column names: numpy.savez)",
    b"\x1f\x8b": "a gzip archive (give it a name that ends in .gz)",
    b"\xff\xfe": "UTF-16 text (save it as UTF-8, or give --encoding utf-16)",
    b"\xfe\xff": "UTF-16 text (save it as UTF-8, or give --encoding utf-16)",
}


@final
@dataclass(frozen=True)
class Text:
    """A table as UTF-8.

    Attributes
    ----------
    content : bytes
        From the line of names on, without comments.
    header : bytes
        The line of names, with which `content` begins.
    separator : str
    before : int
        The number of lines above the line of names.
    lines : list of int, or None
        The number of each line in the file, where comments were left out.
    notes : tuple of str
    """

    content: bytes
    header: bytes
    separator: str
    before: int
    lines: list[int] | None
    notes: tuple[str, ...]

    @property
    def body(self) -> memoryview:
        """The bytes below the line of names."""
        end = _BREAK.match(self.content, len(self.header))
        return memoryview(self.content)[end.end() if end else len(self.header) :]

    def line(self, number: int) -> int:
        """The number in the file of a line of `content`, counted from 1."""
        if self.lines is None:
            return number + self.before
        return self.lines[number - 1] if number <= len(self.lines) else self.lines[-1] + number - len(self.lines)

    def last_lines(self, *, empty: bool = False) -> list[int]:
        """The number of the last line of each record, the names first; `empty` counts empty lines as records."""
        reader = csv.reader(self.strings(), delimiter=self.separator)
        with long_fields():
            return [self.line(reader.line_num) for row in reader if row or empty]

    def of(self, content: bytes, lines: list[int], notes: Sequence[str]) -> Text:
        """Other content, whose lines have the given numbers in the file."""
        match = _LINE.match(content)
        return Text(content, match[0] if match else b"", self.separator, 0, lines, tuple(notes))

    def strings(self) -> io.StringIO:
        """The text, for Python's csv module."""
        return io.StringIO(self.content.decode("utf-8", "replace"), newline="")


@contextmanager
def long_fields() -> Iterator[None]:
    """Let Python's csv module read fields of any length."""
    limit = csv.field_size_limit(_LONGEST_FIELD)
    try:
        yield
    finally:
        csv.field_size_limit(limit)


def prepare(
    content: bytes, source: str, *, packed: bool, separator: str | None, encoding: str | None, comment: str | None
) -> Text:
    """Unpack and decode a file, and find its line of names and its separator; arguments as for `csv_table.read`.

    Raises
    ------
    TableError
        Says what kind of file it is where it is no text.
    """
    content = _decoded(content, source, packed, encoding)
    if content[-64:].rstrip().endswith(b"\x1a"):  # the end of a file of MS-DOS
        content = content[: content.rindex(b"\x1a")]
    lines = None
    if comment is not None:
        content, lines = _without_comments(content, comment.encode())
    notes, first, before = [], True, 0
    start, line = 0, b""
    for start, end, line in _lines(content):  # noqa: B007
        bare = line.strip()
        if first and separator is None and (match := _SEP.fullmatch(bare)):
            separator = match[1].decode("ascii", "replace")
        elif bare and not (comment is None and _is_comment(line, content[end : end + 65536])):
            break
        elif bare:
            number = before + 1 if lines is None else lines[before]
            notes.append(f"line {number}, {bare[:40].decode('utf-8', 'replace')!r}, was read as a comment")
        first = first and not bare
        before += 1 + line.count(b"\n")
    else:
        raise TableError(f"{source}: expected a line of column names and rows below it, got an empty file")
    content = content[start:] if start else content
    if lines is not None:
        lines, before = lines[before:], 0
    if separator is None:
        separator = _separator(content)
    elif len(separator) != 1 or not separator.isascii() or separator in '\0"\r\n':
        raise TableError(f"--sep: expected one ASCII character, or tab, got {separator!r}")
    return Text(content, _names_in(line, separator), separator, before, lines, tuple(notes))


def _names_in(line: bytes, separator: str) -> bytes:
    """The record of names in a line up to a break that is in no quotation marks or between two stray ones."""
    reader = csv.reader(io.StringIO(line.decode("utf-8", "replace"), newline=""), delimiter=separator)
    try:
        with long_fields():
            next(reader, None)
    except csv.Error:  # `csv_table` says what is wrong
        return line
    return b"".join(line.splitlines(keepends=True)[: reader.line_num]).rstrip(b"\r\n")


def _lines(content: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Start, end and text of each line."""
    start = 0
    while start < len(content):
        match = _LINE.match(content, start)
        line = match[0] if match else b""
        after = _BREAK.match(content, start + len(line))
        end = after.end() if after else len(content)
        yield start, end, line
        start = end


def _is_comment(line: bytes, below: bytes) -> bool:
    """Whether a first line begins as a comment does, and has other fields than what is below it."""
    if not line.startswith(_COMMENTS):
        return False
    others = (other for _, _, other in _lines(below))
    following = next((other for other in others if other.strip() and not other.startswith(_COMMENTS)), b"")
    counts = [(line.count(one.encode()), following.count(one.encode())) for one in SEPARATORS]
    return any(there for _, there in counts) and not any(here == there > 0 for here, there in counts)


def _without_comments(content: bytes, comment: bytes) -> tuple[bytes, list[int]]:
    """The content without lines that begin with `comment`, and the numbers of the other lines."""
    numbered = [
        (i, line) for i, line in enumerate(content.splitlines(keepends=True), 1) if not line.startswith(comment)
    ]
    return b"".join(line for _, line in numbered), [i for i, _ in numbered]


def _separator(content: bytes) -> str:
    """The separator of the first lines: as often in each, else the most frequent one in the names, outside quotes."""
    lines: list[bytes] = []
    some = content[:65536]
    for _, end, line in _lines(some):
        if line.strip() and (end < len(some) or len(some) == len(content) or not lines):
            lines.append(re.sub(rb'"[^"]*"', b"", line))
        if len(lines) == 20:
            break
    counts = {one: [line.count(one.encode()) for line in lines] for one in SEPARATORS}
    regular = [one for one in SEPARATORS if counts[one][0] and len(set(counts[one])) == 1 and len(lines) > 1]
    return max(regular or SEPARATORS, key=lambda one: counts[one][0])


def _decoded(content: bytes, source: str, packed: bool, encoding: str | None) -> bytes:
    """The file's text in UTF-8, without a byte order mark."""
    if packed and content:
        try:
            content = gzip.decompress(content)
        except (gzip.BadGzipFile, zlib.error, EOFError) as error:
            raise TableError(f"{source}: expected a gzip archive, got a damaged one ({error})") from error
    if not content[:4096].strip() and not content.strip():
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
    if codec == "utf-8" and content.isascii():
        return content
    try:
        text = content.decode(codec)
        if codec == "utf-8":
            return content.removeprefix(codecs.BOM_UTF8)
        return text.removeprefix("\ufeff").encode()
    except UnicodeError as error:
        reason = getattr(error, "reason", error)
        raise TableError(
            f"{source}: expected {encoding or 'UTF-8'} text, got other bytes ({reason}); save it as UTF-8, or name its"
            " encoding, such as --encoding latin-1"
        ) from error
