"""Reading a file as a table: CSV and Parquet by pyarrow (extra ``tables``), npz by NumPy; its name says which."""

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
        Its ending says what kind of file it is.
    missing : collection of str
        Spellings of a missing value, besides the empty cell.
    usual : bool
        Whether pandas' spellings (``NA``, ``NaN``, ``null``, ...) are missing values too. In a Parquet file, which has
        missing values of its own, they are always text.
    as_text : collection of str
        Columns that are read as text even if all cells are numbers, so that ``1`` and ``1.0`` keep their spelling.
    drop : collection of str
        Columns to leave out, whatever they hold.
    separator, encoding : str, optional
        Of a text file. None: the most frequent of comma, semicolon, tab and ``|`` in the first line, and UTF-8.
    content : bytes, optional
        CSV that has been read already; `path` is then its name in messages.

    Returns
    -------
    Table
        With all columns but those in `drop`.

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
        table[name]  # an error names a column that is not there
    return table.without(drop)


def _opened(path: str) -> BinaryIO:
    """Open a file; TableError for a folder or a device."""
    try:
        return atomic.open_regular(path)[0]
    except FileFormatError as error:
        raise TableError(f"{path}: {error}") from error
