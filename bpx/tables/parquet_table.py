"""Parquet and Arrow files, and folders of Parquet files, as pyarrow's tables (extra ``tables``); Parquet written."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from typing import Any, BinaryIO

import numpy as np

from bpx.tables.arrow import library
from bpx.tables.table import TableError

PARQUET = (".parquet", ".pq")


def read(file: BinaryIO, source: str) -> Any:
    """The table in a Parquet file.

    Raises
    ------
    TableError, ImportError
    """
    pyarrow = library("parquet")
    try:
        return _checked(pyarrow.parquet.ParquetFile(file).read())
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise TableError(
            f"{source}: expected a Parquet file, got a damaged one or one of another kind ({_reason(error)})"
        ) from error


def read_arrow(file: BinaryIO, source: str) -> Any:
    """The table in a Feather file, or in one of Arrow's files or streams.

    Raises
    ------
    TableError, ImportError
    """
    pyarrow = library("feather")
    content = pyarrow.py_buffer(file.read())
    try:
        start = content[:6].to_pybytes()
        if start.startswith(b"FEA1"):
            return _checked(pyarrow.feather.read_table(pyarrow.BufferReader(content)))
        library("ipc")
        opened = pyarrow.ipc.open_file if start == b"ARROW1" else pyarrow.ipc.open_stream
        return _checked(opened(pyarrow.BufferReader(content)).read_all())
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise TableError(
            f"{source}: expected an Arrow or Feather file, got a damaged one or one of another kind ({_reason(error)})"
        ) from error


def read_folder(path: str) -> Any:
    """The table in a folder of Parquet files, with a column for each part of a folder's name such as ``year=2024``.

    Raises
    ------
    TableError
        If there are none, or one has other columns than the first; the message names the file and the column.
    ImportError
    """
    files = sorted(
        os.path.join(folder, name)
        for folder, _, names in os.walk(path)
        for name in names
        if name.lower().endswith(PARQUET) and not name.startswith((".", "_"))
    )
    if not files:
        raise TableError(f"{path}: expected a file or a folder of Parquet files, got a folder without any")
    pyarrow = library("dataset")
    library("parquet")
    first: Any = None
    for file in files:
        try:
            schema = pyarrow.parquet.read_schema(file)
        except (pyarrow.ArrowException, OSError, ValueError) as error:
            raise TableError(f"{file}: expected a Parquet file, got another ({_reason(error)})") from error
        first = schema if first is None else first
        _refuse_other_columns(first, schema, files[0], file)
    try:
        return pyarrow.dataset.dataset(
            files, schema=None, format="parquet", partitioning=pyarrow.dataset.partitioning(flavor="hive")
        ).to_table()
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise TableError(f"{path}: expected a folder of Parquet files, got a damaged one ({_reason(error)})") from error


def _refuse_other_columns(first: Any, schema: Any, first_file: str, file: str) -> None:
    """Raise TableError where two files of one table do not have the same columns."""
    for one, other, has, lacks in ((first, schema, first_file, file), (schema, first, file, first_file)):
        for name in one.names:
            if name not in other.names:
                raise TableError(
                    f"{lacks}: no column {name!r}, which {has} of the same folder has; give files of the same columns"
                )
    for name in first.names:
        types = [schema_of.field(name).type for schema_of in (first, schema) if schema_of.names.count(name) == 1]
        if len(types) == 2 and types[0] != types[1]:
            raise TableError(
                f"{file}: column {name!r} holds {types[1]}, but {types[0]} in {first_file} of the same folder; write"
                " it with the same type in all files"
            )


def _checked(table: Any) -> Any:
    """The table, whose buffers are as long as they say; ArrowInvalid otherwise."""
    table.validate(full=True)
    return table


def _reason(error: Exception) -> str:
    """The first line of a message."""
    return (str(error).splitlines() or [type(error).__name__])[0]


def to_bytes(columns: Mapping[str, Any]) -> bytes:
    """Columns, NumPy's or pyarrow's, as a Parquet file; pyarrow's keep their type."""
    pyarrow = library("parquet")
    buffer = io.BytesIO()
    arrays = [
        pyarrow.array(values.tolist() if values.dtype.kind == "O" else values)
        if isinstance(values, np.ndarray)
        else values
        for values in columns.values()
    ]
    pyarrow.parquet.write_table(pyarrow.table(arrays, names=list(columns)), buffer)
    return buffer.getvalue()
