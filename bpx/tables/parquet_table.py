"""Parquet files as tables, by pyarrow (extra ``tables``)."""

from __future__ import annotations

import importlib
import io
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any, BinaryIO

import numpy as np

from bpx.errors import how_to_install
from bpx.tables.parsing import text_of
from bpx.tables.table import Column, Table, TableError, column_from_array, refuse_equal_names, text_array


def library(part: str) -> Any:
    """Import pyarrow and its module `part`; the ImportError without pyarrow names the extra."""
    try:
        importlib.import_module(f"pyarrow.{part}")
        return importlib.import_module("pyarrow")
    except ModuleNotFoundError as error:
        command = how_to_install("tables", "pyarrow")
        raise ImportError(f"CSV and Parquet tables need pyarrow: {command}; npz tables do not") from error


def read(
    file: BinaryIO, source: str, missing: Collection[str], as_text: Collection[str], drop: Collection[str]
) -> Table:
    """Read the columns of a file; arguments as for `bpx.tables.reading.read`. Columns in `drop` may hold anything.

    Raises
    ------
    TableError, ImportError
    """
    pyarrow = library("parquet")
    try:
        table = pyarrow.parquet.ParquetFile(file).read()
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise TableError(
            f"{source}: expected a Parquet file, got a damaged one or one of another kind ({reason})"
        ) from error
    refuse_equal_names(table.column_names, source)
    columns = [
        Column(name, texts=text_array([None] * table.num_rows))
        if name in drop
        else _column(pyarrow, name, table.column(name), missing, as_text, source)
        for name in table.column_names
    ]
    return Table(source, columns, table.num_rows, index=_index(table.schema))


def _index(schema: Any) -> list[str]:
    """The columns that were a pandas frame's index, as the file's metadata say."""
    try:
        entries = (schema.pandas_metadata or {}).get("index_columns", [])
        return [name for name in entries if isinstance(name, str)]
    except (ValueError, AttributeError, TypeError):  # metadata that make no sense say nothing
        return []


def _column(
    pyarrow: Any, name: str, values: Any, missing: Collection[str], as_text: Collection[str], source: str
) -> Column:
    """A column of any Arrow type that means numbers, text, dates or times."""
    types = pyarrow.types
    if types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    kind = values.type
    numeric = types.is_null(kind) or types.is_integer(kind) or types.is_floating(kind)
    if types.is_null(kind) or types.is_decimal(kind) or (name not in as_text and numeric):
        numbers = values.cast(pyarrow.float64(), safe=False).to_numpy()
        return column_from_array(name, numbers, missing, as_text, source)
    if types.is_date(kind) or types.is_timestamp(kind) or types.is_time(kind):
        texts = (None if v is None else v.isoformat() for v in values.to_pylist())
        dtype = "date" if types.is_date(kind) else "timestamp" if types.is_timestamp(kind) else ""
    elif (
        types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind) or types.is_string(kind)
        or types.is_large_string(kind) or getattr(types, "is_string_view", bool)(kind)
    ):  # fmt: skip
        texts = (None if v is None else text_of(v) for v in values.to_pylist())
        dtype = np.dtype(kind.to_pandas_dtype()).name if numeric or types.is_boolean(kind) else ""
    else:
        raise TableError(
            f"{source}: column {name!r} holds {kind}, neither numbers nor text; leave it out with --drop, or turn it"
            " into numbers first"
        )
    return replace(column_from_array(name, text_array(texts), missing, as_text, source), dtype=dtype)


def to_bytes(columns: Mapping[str, np.ndarray[Any, Any]]) -> bytes:
    """Columns as a Parquet file."""
    pyarrow = library("parquet")
    buffer = io.BytesIO()
    arrays = [pyarrow.array(values.tolist() if values.dtype.kind == "O" else values) for values in columns.values()]
    pyarrow.parquet.write_table(pyarrow.table(arrays, names=list(columns)), buffer)
    return buffer.getvalue()
