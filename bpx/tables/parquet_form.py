"""Parquet files as tables, by pyarrow (extra ``stream``)."""

from __future__ import annotations

import io
from collections.abc import Collection, Mapping
from typing import Any, BinaryIO

import numpy as np

from bpx.errors import how_to_install
from bpx.tables.npz_table import column_of
from bpx.tables.parsing import text_of
from bpx.tables.table import Column, Table, TableError

__all__ = ["check_installed", "read", "to_bytes"]


def _library() -> Any:
    """pyarrow with its part for Parquet; its absence names the extra."""
    try:
        import pyarrow.parquet
    except ModuleNotFoundError as error:
        command = how_to_install("stream", "pyarrow")
        raise ImportError(f"Parquet files need pyarrow: {command}; CSV and npz do not") from error
    return pyarrow


def check_installed() -> None:
    """Raise ImportError, which names the extra, where pyarrow is not there."""
    _library()


def read(
    file: BinaryIO, source: str, missing: Collection[str], as_text: Collection[str], drop: Collection[str]
) -> Table:
    """Read the columns of a file; those in `drop` are not looked at.

    Raises
    ------
    TableError, ImportError
    """
    pyarrow = _library()
    try:
        table = pyarrow.parquet.ParquetFile(file).read()
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise TableError(
            f"{source}: expected a Parquet file, got a damaged one or one of another kind ({reason})"
        ) from (error)
    names = table.column_names
    for name in names:
        if names.count(name) > 1:
            raise TableError(f"{source}: expected names that differ, got {name!r} twice; rename a column")
    columns = [
        Column(name, texts=np.full(table.num_rows, None, dtype=object))
        if name in drop
        else _column(pyarrow, name, table.column(name), missing, as_text, source)
        for name in names
    ]
    return Table(source, columns, table.num_rows)


def _column(
    pyarrow: Any, name: str, values: Any, missing: Collection[str], as_text: Collection[str], source: str
) -> Column:
    """One column, whatever its Arrow type."""
    types = pyarrow.types
    if types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    kind = values.type
    if types.is_null(kind):
        return Column(name, numbers=np.full(len(values), np.nan))
    if types.is_integer(kind) or types.is_floating(kind):
        if name not in as_text:
            return column_of(name, values.cast(pyarrow.float64(), safe=False).to_numpy(), missing, as_text, source)
    elif types.is_decimal(kind):
        values = values.cast(pyarrow.float64())
        return column_of(name, values.to_numpy(), missing, as_text, source)
    elif types.is_boolean(kind):
        return column_of(name, _objects(values, lambda v: "true" if v else "false"), missing, as_text, source)
    elif types.is_date(kind) or types.is_timestamp(kind) or types.is_time(kind):
        return column_of(name, _objects(values, lambda v: v.isoformat()), missing, as_text, source)
    elif not (types.is_string(kind) or types.is_large_string(kind) or getattr(types, "is_string_view", bool)(kind)):
        raise TableError(
            f"{source}: column {name!r} holds {kind}, neither numbers nor text; leave it out with --drop, or turn it"
            " into numbers first"
        )
    return column_of(name, _objects(values, text_of), missing, as_text, source)


def _objects(values: Any, text: Any) -> np.ndarray[Any, Any]:
    """Arrow values as texts, None where missing."""
    array = np.empty(len(values), dtype=object)
    array[:] = [None if v is None else text(v) for v in values.to_pylist()]
    return array


def to_bytes(columns: Mapping[str, np.ndarray[Any, Any]]) -> bytes:
    """Columns as a Parquet file."""
    pyarrow = _library()
    buffer = io.BytesIO()
    table = {name: pyarrow.array(values.tolist() if values.dtype.kind == "O" else values)
             for name, values in columns.items()}  # fmt: skip
    pyarrow.parquet.write_table(pyarrow.table(table), buffer)
    return buffer.getvalue()
