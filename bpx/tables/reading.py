"""Reading a file as a table: npz by NumPy, all others by pyarrow (extra ``tables``); its name says which."""

from __future__ import annotations

import io
import os
from collections.abc import Collection
from typing import Any, BinaryIO

from bpx.errors import FileFormatError
from bpx.files import atomic
from bpx.tables import arrow, csv_table, npz_table, parquet_table
from bpx.tables.parsing import MISSING, USUAL, Style
from bpx.tables.table import Table, TableError

TEXT = (".csv", ".tsv", ".txt", ".tab", ".data", ".csv.gz", ".tsv.gz", ".txt.gz")
ARROW = (".arrow", ".feather", ".ipc")


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
    keep: Collection[str] = (),
    style: Style = USUAL,
    comment: str | None = None,
) -> Table:
    """Read a table from a text, Parquet, Arrow, Feather or npz file, or from a folder of Parquet files.

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
    keep : collection of str
        Columns whose `Column.cells` are wanted, to write them again as they are.
    style : Style
        How a text file writes numbers.
    comment : str, optional
        Lines of a text file that begin with it are left out.

    Returns
    -------
    Table
        With all columns but those in `drop`.

    Raises
    ------
    TableError
        If the file is not such a table, or a column to drop is not there.
    ImportError
        Without pyarrow, for anything but npz.
    OSError
        If there is no such file, or it cannot be read.
    """
    source = os.fspath(path)
    ending = source.lower() if content is None else ".csv"
    given = {"", *missing}
    missing = given | MISSING if usual else given
    if content is None and os.path.isdir(source):
        return arrow.to_table(parquet_table.read_folder(source), source, given, as_text, drop, keep)
    with _opened(source) if content is None else io.BytesIO(content) as file:
        if ending.endswith(".npz"):
            return npz_table.read(file, source, missing, as_text, drop, keep)
        if ending.endswith(parquet_table.PARQUET):
            return arrow.to_table(parquet_table.read(file, source), source, given, as_text, drop, keep)
        if ending.endswith(ARROW):
            return arrow.to_table(parquet_table.read_arrow(file, source), source, given, as_text, drop, keep)
        if ending.endswith(TEXT):
            if separator is None and ending.endswith((".tsv", ".tab", ".tsv.gz")):
                separator = "\t"
            return csv_table.read(
                file.read(), source, packed=ending.endswith(".gz"), separator=separator, encoding=encoding,
                missing=missing, as_text=as_text, drop=drop, keep=keep, style=style, comment=comment,
            )  # fmt: skip
    raise TableError(
        f"{source}: expected a name that ends in .csv, .tsv, .txt (also with .gz), .parquet, .arrow, .feather or .npz;"
        " rename the file, or export it as one of these"
    )


def from_frame(
    frame: Any, *, missing: Collection[str] = (), as_text: Collection[str] = (), drop: Collection[str] = (),
    source: str = "table",
) -> Table:  # fmt: skip
    """A data frame of pandas, polars, pyarrow or any library that has ``__arrow_c_stream__``.

    Parameters
    ----------
    frame : object
        With Arrow's interchange protocol, such as ``pandas.DataFrame`` (pandas 2.2 on) and ``polars.DataFrame``
        (after polars 1.5).
    missing, as_text, drop : collection of str
        As for `read`.
    source : str
        Its name in messages.

    Raises
    ------
    TableError
        If it is no such frame, or holds what is neither numbers nor text.
    ImportError
        Without pyarrow.
    """
    if not hasattr(frame, "__arrow_c_stream__"):
        raise TableError(
            f"{source}: expected a frame of pandas, polars or pyarrow, got {type(frame).__name__}; turn"
            " it into one, or install a newer version of its library"
        )
    pyarrow = arrow.library("compute")
    try:
        table = pyarrow.RecordBatchReader.from_stream(frame).read_all()
    except (pyarrow.ArrowException, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise TableError(f"{source}: the frame cannot be read ({reason:.200}); leave that column out") from error
    return arrow.to_table(table, source, {"", *missing}, as_text, drop, ())


def _opened(path: str) -> BinaryIO:
    """Open a file; TableError for a folder or a device."""
    try:
        return atomic.open_regular(path)[0]
    except FileFormatError as error:
        raise TableError(f"{path}: {error}") from error
