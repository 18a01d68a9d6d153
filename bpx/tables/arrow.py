"""Arrow's tables, by pyarrow (extra ``tables``): how their columns are read, and written as text or as NumPy arrays."""

from __future__ import annotations

import importlib
from collections.abc import Collection, Iterable
from dataclasses import replace
from typing import Any

import numpy as np

from bpx.errors import how_to_install
from bpx.tables.parsing import composed, text_of
from bpx.tables.table import Column, Table, TableError, column_from_array, text_array, without_dropped


def library(part: str) -> Any:
    """Import pyarrow and its module `part`; the ImportError without pyarrow names the extra."""
    try:
        importlib.import_module(f"pyarrow.{part}")
        return importlib.import_module("pyarrow")
    except ModuleNotFoundError as error:
        command = how_to_install("tables", "pyarrow")
        raise ImportError(f"CSV and Parquet tables need pyarrow: {command}; npz tables do not") from error


def to_table(
    table: Any, source: str, missing: Collection[str], as_text: Collection[str], drop: Collection[str],
    keep: Collection[str],
) -> Table:  # fmt: skip
    """A pyarrow table's columns; arguments as for `bpx.tables.reading.read`. Columns in `drop` may hold anything.

    Raises
    ------
    TableError
    """
    pyarrow = library("compute")
    as_text, keep = {composed(name) for name in as_text}, {composed(name) for name in keep}
    columns = []
    for i in without_dropped(table.column_names, drop, source):
        name, values = table.column_names[i], table.column(i)
        try:
            column = _column(pyarrow, name, values, missing, composed(name) in as_text, source)
        except (pyarrow.ArrowException, ValueError, OverflowError) as error:
            if isinstance(error, TableError):
                raise
            reason = " ".join(str(error).split())
            raise TableError(
                f"{source}: column {name!r} of {values.type} cannot be read ({reason:.200}); leave it out with --drop"
            ) from error
        columns.append(replace(column, cells=values) if composed(name) in keep else column)
    return Table(source, columns, table.num_rows, index=_index(table.schema))


def _index(schema: Any) -> list[str]:
    """The columns that were a pandas frame's index, as the file's metadata say."""
    try:
        entries = (schema.pandas_metadata or {}).get("index_columns", [])
        return [name for name in entries if isinstance(name, str)]
    except (ValueError, AttributeError, TypeError):  # metadata that make no sense say nothing
        return []


def _column(pyarrow: Any, name: str, values: Any, missing: Collection[str], as_text: bool, source: str) -> Column:
    """A column of any Arrow type that means numbers, text, dates or times."""
    types, named = pyarrow.types, {name} if as_text else set()
    if types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    kind = values.type
    numeric = types.is_null(kind) or types.is_integer(kind) or types.is_floating(kind)
    if types.is_null(kind) or types.is_decimal(kind) or (numeric and not as_text):
        numbers = values.cast(pyarrow.float64(), safe=False).to_numpy()
        return column_from_array(name, numbers, missing, named, source)
    if types.is_date(kind) or types.is_timestamp(kind) or types.is_time(kind):
        # Python's times have microseconds.
        if types.is_timestamp(kind) and kind.unit == "ns":
            values = values.cast(pyarrow.timestamp("us", kind.tz), safe=False)
        elif types.is_time64(kind):
            values = values.cast(pyarrow.time64("us"), safe=False)
        texts: Iterable[str | None] = (None if v is None else v.isoformat() for v in values.to_pylist())
        dtype = "date" if types.is_date(kind) else "timestamp" if types.is_timestamp(kind) else ""
    elif numeric or types.is_boolean(kind) or is_text(pyarrow, kind):
        texts = (None if v is None else text_of(v) for v in values.to_pylist())
        dtype = np.dtype(kind.to_pandas_dtype()).name if numeric or types.is_boolean(kind) else ""
    else:
        raise TableError(
            f"{source}: column {name!r} holds {kind}, neither numbers nor text; leave it out with --drop, or turn it"
            " into numbers first"
        )
    return replace(column_from_array(name, text_array(texts), missing, named, source), dtype=dtype)


def is_text(pyarrow: Any, kind: Any) -> bool:
    """Whether an Arrow type is text of any kind."""
    types = pyarrow.types
    return bool(types.is_string(kind) or types.is_large_string(kind) or getattr(types, "is_string_view", bool)(kind))


def values_of(column: Any) -> list[Any]:
    """A column of NumPy's or pyarrow's as numbers, booleans and texts, as JSON has them; None for a missing value."""
    if isinstance(column, np.ndarray):
        return list(column.tolist())
    plain = (bool, int, float, str)
    return [v if v is None or isinstance(v, plain) else str(v) for v in column.to_pylist()]


def spelled(column: Any) -> list[Any]:
    """A column of NumPy's or pyarrow's for a text file; floats have the fewest digits that identify them."""
    if isinstance(column, np.ndarray):
        # str of a float32 has fewer digits than str of the float64 that tolist would make of it.
        return [*map(str, column)] if column.dtype.kind == "f" else list(column.tolist())
    pyarrow = library("compute")
    values = column.to_pylist()
    if pyarrow.types.is_boolean(column.type):
        return [None if v is None else text_of(v) for v in values]
    if pyarrow.types.is_floating(column.type):
        of_type = column.type.to_pandas_dtype()
        return [None if v is None else str(of_type(v)) for v in values]
    return list(values)


def to_array(column: Any) -> np.ndarray[Any, Any]:
    """A column of pyarrow's as a NumPy array; with missing values, floats of numbers, and texts of other types."""
    pyarrow = library("compute")
    kind = column.type
    if column.null_count == 0 or pyarrow.types.is_floating(kind) or pyarrow.types.is_timestamp(kind):
        array = np.asarray(column.to_numpy())
        if array.dtype.kind != "O":
            return array
    return text_array(None if v is None else str(v) for v in spelled(column))
