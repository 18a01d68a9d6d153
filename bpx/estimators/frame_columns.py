"""The columns of a frame or an array as those of a `Table`: numbers, or categories as text."""

from __future__ import annotations

from numbers import Number
from typing import Any

import numpy as np

from bpx.network.data_frames import package_of
from bpx.tables.parsing import same_spelling, text_of
from bpx.tables.table import Column, text_array

HostArray = np.ndarray[Any, Any]


def as_frame(X: Any) -> Any:
    """A frame of pandas, polars or pyarrow as it is, a frame of another library as a pyarrow table; else X."""
    if package_of(X) in ("pandas", "polars", "pyarrow", "numpy"):
        return X
    if hasattr(X, "__arrow_c_stream__"):
        import pyarrow

        return pyarrow.table(X)
    if hasattr(X, "__dataframe__"):
        from pyarrow.interchange import from_dataframe

        return from_dataframe(X)
    return X


def frame_column(frame: Any, i: int) -> tuple[HostArray, bool]:
    """A column of a frame, and whether its type says that it holds categories.

    Numbers are float64 with NaN for a missing value, others an array of objects with None for one.
    """
    library = package_of(frame)
    if library == "polars":
        series = frame.to_series(i)
        if series.dtype.is_numeric():
            return np.asarray(series.cast(float).to_numpy()), False
        return text_array(series.to_list()), str(series.dtype) not in ("Object", "Null")
    if library == "pyarrow":
        from pyarrow import float64, types

        column, kind = frame.column(i), frame.column(i).type
        if types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind):
            values = column.to_pylist() if types.is_float16(kind) else column.cast(float64(), safe=False)
            return np.array(values, dtype=np.float64), False
        return text_array(column.to_pylist()), not types.is_null(kind)
    series = frame.iloc[:, i]
    kind = getattr(series.dtype, "kind", "O")
    if kind in "iuf":
        return np.asarray(series.to_numpy(dtype=np.float64, na_value=np.nan)), False
    values = series.astype(object).where(series.notna(), None).to_numpy(dtype=object)
    own_type = not isinstance(series.dtype, np.dtype) and not str(series.dtype).startswith("decimal")
    return values, kind == "b" or own_type


def column_of(name: str, values: HostArray, categories: bool) -> Column:
    """An array (n,) as a column; with `categories` as one of text, whatever it holds.

    Objects are a column of numbers if all of them are, booleans apart.

    Raises
    ------
    ValueError
        For infinite or complex numbers.
    TypeError
        For other objects than numbers, booleans and text.
    """
    if values.dtype.kind == "c":
        raise ValueError(f"Complex data not supported: column {name!r}")
    if values.dtype.kind in "iuf" and not categories:
        return Column(name, numbers=_finite(name, values.astype(np.float64)))
    cells = [None if _is_missing(cell) else cell for cell in values.tolist()]
    known = [cell for cell in cells if cell is not None]
    for cell in known:
        if not isinstance(cell, (str, bytes, Number, np.bool_)) or isinstance(cell, (complex, np.complexfloating)):
            raise TypeError(
                f"X: column {name!r}: each value's argument must be a string or a number, got {cell!r:.60} of type"
                f" {type(cell).__name__}; turn it into one of these"
            )
    if not categories and not any(isinstance(cell, (str, bytes, bool, np.bool_)) for cell in known):
        return Column(name, numbers=_finite(name, np.array([_as_float(cell) for cell in cells], dtype=np.float64)))
    return Column(name, texts=text_array(None if cell is None else _text(cell) for cell in cells))


def _is_missing(cell: Any) -> bool:
    """Whether it is None, NaN, or pandas' NA or NaT."""
    if cell is None or type(cell).__name__ in ("NAType", "NaTType"):
        return True
    return isinstance(cell, (float, np.floating)) and bool(np.isnan(cell))


def _text(cell: Any) -> str:
    """A value as text, in the spelling that one from a file has."""
    cell = cell.item() if isinstance(cell, np.generic) else cell
    return same_spelling((cell.decode() if isinstance(cell, bytes) else text_of(cell)).strip())


def _as_float(cell: Any) -> float:
    """A number or None as a float; infinity for an integer that is too large."""
    try:
        return np.nan if cell is None else float(cell)
    except OverflowError:
        return np.inf


def _finite(name: str, values: HostArray) -> HostArray:
    """The numbers; ValueError where one is infinite."""
    infinite = np.isinf(values)
    if np.any(infinite):
        row = int(np.argmax(infinite))
        raise ValueError(
            f"X: column {name!r}, row {row} (counted from 0): expected finite numbers or NaN, got an infinite or far"
            " too large one; mend it, or make it NaN"
        )
    return values
