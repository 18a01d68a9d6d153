"""A file as a table, by the ending of its name: CSV and Parquet by pyarrow (extra ``tables``), npz by NumPy."""

from __future__ import annotations

import io
import os
from collections.abc import Collection
from typing import BinaryIO

from bpx.errors import FileFormatError
from bpx.files import atomic
from bpx.tables import csv_table, npz_table, parquet_table
from bpx.tables.parsing import MISSING
from bpx.tables.table import Table, TableError

TEXT = (".csv", ".tsv", ".txt", ".tab", ".data", ".csv.gz", ".tsv.gz", ".txt.gz")
PARQUET = (".parquet", ".pq")


def read(
    path: atomic.Path,
    *,
    missing: Collection[str] = (),
    usual: bool = True,
    as_text: Collection[str] = (),
    drop: Collection[str] = (),
    separator: str | None = None,
    encoding: str | None = None,
    content: bytes | None = None,
) -> Table:
    """Read a table from a CSV, Parquet or npz file.

    Parameters
    ----------
    path : str or path-like
        Its ending names the form.
    missing : collection of str
        Spellings of a missing value; an empty cell is one too.
    usual : bool
        Whether pandas' spellings (``NA``, ``NaN``, ``null``, ...) are missing values as well. In a Parquet file, which
        knows missing values itself, they are texts like any other.
    as_text : collection of str
        Columns that stay text even where all cells are numbers, so that ``1`` and ``1.0`` stay as they are written.
    drop : collection of str
        Columns that the table does not get, whatever they hold.
    separator, encoding : str, optional
        Of a text file. None: the one of comma, semicolon, tab and ``|`` that the first line has most of, and UTF-8.
    content : bytes, optional
        The file's content, as CSV, where it has been read from elsewhere; `path` is then its name in messages.

    Raises
    ------
    TableError
        If the file is not such a table, or a column to drop is not there.
    ImportError
        For anything but npz without pyarrow.
    OSError
        If there is no such file, or it cannot be read.
    """
    source = os.fspath(path)
    ending = source.lower() if content is None else ".csv"
    given = {"", *missing}
    missing = given | MISSING if usual else given
    with _opened(source) if content is None else io.BytesIO(content) as file:
        if ending.endswith(".npz"):
            table = npz_table.read(file, source, missing, as_text, drop)
        elif ending.endswith(PARQUET):
            table = parquet_table.read(file, source, given, as_text, drop)
        elif ending.endswith(TEXT):
            if separator is None and ending.endswith((".tsv", ".tab", ".tsv.gz")):
                separator = "\t"
            table = csv_table.read(
                file.read(), source, packed=ending.endswith(".gz"), separator=separator, encoding=encoding,
                missing=missing, as_text=as_text,
            )  # fmt: skip
        else:
            raise TableError(
                f"{source}: expected a name that ends in .csv, .tsv, .txt (also with .gz), .parquet or .npz; rename the"
                " file, or export it as one of these"
            )
    for name in drop:
        table[name]  # says which one is not there
    return table.without(drop)


def _opened(path: str) -> BinaryIO:
    """The open file; a folder or a device is refused."""
    try:
        return atomic.open_regular(path)[0]
    except FileFormatError as error:
        raise TableError(f"{path}: {error}") from error
