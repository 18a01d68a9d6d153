"""Data frames of pandas, polars and pyarrow: conversion to arrays of numbers, and column names for messages."""

from __future__ import annotations

from datetime import date, time, timedelta
from typing import Any

import numpy as np

_LIBRARIES = ("pandas", "polars", "pyarrow")
_DATES = (date, time, timedelta, np.datetime64, np.timedelta64)  # base classes of pandas' own, except Period


def is_frame(x: Any) -> bool:
    """Whether `x` is a frame, or a column of one, in memory; a data set on disk is not."""
    return package_of(x) in _LIBRARIES and hasattr(x, "__array__")


def check_in_memory(x: Any, name: str) -> None:
    """TypeError for a polars LazyFrame, whose values have not been computed."""
    if type(x).__name__ == "LazyFrame" and package_of(x) == "polars":
        argument = name.partition(" of ")[0]
        raise TypeError(f"{name}: expected numbers in memory, got a LazyFrame; give {argument}.collect()")


def column_names(x: Any) -> list[str] | None:
    """Names of a frame's columns; None for anything else."""
    if type(x) is np.ndarray:  # a shortcut: a prediction may take as little as 20 microseconds
        return None
    if not is_frame(x) or getattr(x, "ndim", 2) == 1:
        return None
    names = x.column_names if hasattr(x, "column_names") else getattr(x, "columns", None)
    return None if names is None else [str(name) for name in names]


def rows_between(x: Any, start: int, stop: int) -> Any:
    """Rows by position, whatever the frame's index is."""
    return x.iloc[start:stop] if hasattr(x, "iloc") else x[start:stop]


def as_host_array(x: Any) -> np.ndarray[Any, Any]:
    """`x` as an array on the host; missing values of nullable columns become NaN.

    Frames are converted column by column, except pandas frames with NumPy's numbers only: NumPy would turn nullable
    columns, and booleans beside numbers, into objects, and polars would turn dates into numbers. A column of integers
    without missing values stays integer; a frame with a column that is not numeric becomes an array of objects.
    """
    if column_names(x) is None:
        return _column_array(x)
    if hasattr(x, "iloc") and all(isinstance(dtype, np.dtype) and dtype.kind in "iuf" for dtype in x.dtypes):
        return np.asarray(x)
    columns = [_column_array(_column(x, i)) for i in range(x.shape[1])]
    if not all(column.dtype.kind in "biuf" for column in columns):
        columns = [column.astype(object) for column in columns]
    return np.column_stack(columns) if columns else np.empty(x.shape)


def _column_array(x: Any) -> np.ndarray[Any, Any]:
    """A column, or anything that is no frame, as an array."""
    dtype: Any = getattr(x, "dtype", None)
    if package_of(x) == "pandas" and hasattr(dtype, "numpy_dtype") and dtype.kind in "biuf":
        if dtype.kind != "f" and not x.isna().any():
            return np.asarray(x.to_numpy(dtype=dtype.numpy_dtype))
        return np.asarray(x.to_numpy(dtype=np.float64, na_value=np.nan))
    array = np.asarray(x)
    # polars and pyarrow convert booleans with missing values to objects: True, False and None.
    return array.astype(np.float64) if array.dtype.kind == "O" and _type_name(x) in ("bool", "Boolean") else array


def check_no_dates(x: Any, name: str) -> None:
    """TypeError for an array or a column of dates or times, whose numbers would depend on its unit."""
    if isinstance(x, (list, tuple)):
        try:
            x = np.asarray(x)
        except (RuntimeError, TypeError, ValueError):  # rows of different lengths, or a list of device arrays
            return
    names, where = column_names(x), ""
    if names is None:
        found = _are_dates(x)
    else:
        dtypes = list(getattr(x, "dtypes", ())) or x.schema.types
        others = (i for i, dtype in enumerate(dtypes) if getattr(dtype, "kind", "O") not in "biufc")
        first = next((i for i in others if _are_dates(_column(x, i))), None)
        found = first is not None
        if first is not None:
            where = f" in column {names[first]!r} ({_type_name(_column(x, first))})"
    if found:
        raise TypeError(
            f"{name}: expected numbers, got dates or times{where}; make numbers of them first, such as"
            " days since a date that you choose"
        )


def _are_dates(column: Any) -> bool:
    """Whether a column or an array holds dates or times, or one among other objects."""
    library = package_of(column)
    if library == "polars" and column.dtype.is_temporal():
        return True
    if library == "pyarrow":
        from pyarrow.types import is_temporal

        return bool(is_temporal(column.type))
    dtype = getattr(column, "dtype", None)
    if library == "pandas" and getattr(dtype, "kind", "") == "O":
        column = np.asarray(getattr(dtype, "categories", column))
        dtype = column.dtype
    kind = getattr(dtype, "kind", "")
    if kind != "O" or not isinstance(column, np.ndarray):
        return kind in ("m", "M")
    return any(isinstance(value, _DATES) or type(value).__name__ == "Period" for value in column.flat)


def non_numeric_column(x: Any) -> str:
    """Name and type of a frame's first column that is not numeric, for a message; empty if `x` is no frame."""
    for i, name in enumerate(column_names(x) or []):
        column = _column(x, i)
        if _column_array(column).dtype.kind not in "biuf":
            return f" in column {name!r} ({_type_name(column)})"
    return ""


def _column(x: Any, i: int) -> Any:
    """A frame's column by position."""
    return x.iloc[:, i] if hasattr(x, "iloc") else x.to_series(i) if hasattr(x, "to_series") else x.column(i)


def _type_name(column: Any) -> str:
    """The name of a column's type in its library."""
    return str(getattr(column, "dtype", None) or getattr(column, "type", ""))


def package_of(x: Any) -> str:
    """Name of the top-level package that an object's class comes from."""
    return type(x).__module__.partition(".")[0]
