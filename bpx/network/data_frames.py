"""Data frames of pandas, polars and pyarrow, and their columns, as arrays of numbers; their names for messages."""

from __future__ import annotations

from datetime import date, time, timedelta
from typing import Any

import numpy as np

__all__ = ["check_in_memory", "check_no_dates", "column_names", "is_frame", "plain", "rows_between", "without_numbers"]

_LIBRARIES = ("pandas", "polars", "pyarrow")
_DATES = (date, time, timedelta, np.datetime64, np.timedelta64)  # those of pandas are among them, but for Period


def is_frame(x: Any) -> bool:
    """Whether it is a frame or a column of one, which lie in memory; a data set on disk is none."""
    return _library(x) in _LIBRARIES and hasattr(x, "__array__")


def check_in_memory(x: Any, name: str) -> None:
    """Refuse a frame of polars that has not been computed.

    Raises
    ------
    TypeError
    """
    if type(x).__name__ == "LazyFrame" and _library(x) == "polars":
        argument = name.partition(" of ")[0]
        raise TypeError(f"{name}: expected numbers in memory, got a LazyFrame; give {argument}.collect()")


def column_names(x: Any) -> list[str] | None:
    """Of a frame's columns; None for anything else."""
    if type(x) is np.ndarray:  # what most are, and one row is answered in 20 microseconds
        return None
    if not is_frame(x) or getattr(x, "ndim", 2) == 1:
        return None
    names = x.column_names if hasattr(x, "column_names") else getattr(x, "columns", None)
    return None if names is None else [str(name) for name in names]


def rows_between(x: Any, start: int, stop: int) -> Any:
    """Some rows by their places, whatever the index."""
    return x.iloc[start:stop] if hasattr(x, "iloc") else x[start:stop]


def plain(x: Any) -> np.ndarray[Any, Any]:
    """`x` as an array on the host; missing values of nullable columns are NaN.

    NumPy would make objects of pandas' nullable columns, and polars numbers of dates beside numbers. A column of
    integers without missing values stays integers.
    """
    library = _library(x)
    if library == "pandas" and hasattr(x, "iloc"):
        dtypes = [x.dtype] if x.ndim == 1 else list(x.dtypes)
        kinds = {dtype.kind for dtype in dtypes}
        # Of booleans beside numbers pandas makes objects, too.
        objects = any(hasattr(dtype, "numpy_dtype") for dtype in dtypes) or ("b" in kinds and len(kinds) > 1)
        if objects and kinds <= set("biuf"):
            if x.ndim == 1 and dtypes[0].kind in "biu" and not x.isna().any():
                return np.asarray(x.to_numpy(dtype=dtypes[0].numpy_dtype))
            return np.asarray(x.to_numpy(dtype=np.float64, na_value=np.nan))
        if x.ndim == 2 and any(hasattr(dtype, "categories") for dtype in dtypes):
            return _side_by_side(x)
    if library == "pyarrow" and hasattr(x, "column_names"):
        return _side_by_side(x) if x.num_columns else np.empty(x.shape)
    if library == "polars" and column_names(x) is not None and _dates(x) is not None:
        return _side_by_side(x)
    array = np.asarray(x)
    # Of booleans with missing values polars and pyarrow make objects: True, False and None.
    missing = array.dtype.kind == "O" and library in ("polars", "pyarrow") and _type_name(x) in ("bool", "Boolean")
    return array.astype(np.float64) if missing else array


def check_no_dates(x: Any, name: str) -> None:
    """Refuse an array or a column of dates or times, whose numbers depend on the unit that it happens to have.

    Raises
    ------
    TypeError
    """
    where = _dates(x)
    if where is not None:
        raise TypeError(
            f"{name}: expected numbers, got dates or times{where}; make numbers of them first, such as"
            " days since a date that you choose"
        )


def _dates(x: Any) -> str | None:
    """Where there are dates or times, in words: a frame's first such column, else ""; None where there are none."""
    if isinstance(x, (list, tuple)):
        try:
            x = np.asarray(x)
        except (RuntimeError, TypeError, ValueError):  # rows of different lengths, or arrays of a device
            return None
    if column_names(x) is None:
        return "" if _are_dates(x) else None
    dtypes = list(getattr(x, "dtypes", ())) or x.schema.types
    for i, dtype in enumerate(dtypes):
        if getattr(dtype, "kind", "O") not in "biufc":
            column = _column(x, i)
            if _are_dates(column):
                return f" in column {(column_names(x) or [])[i]!r} ({_type_name(column)})"
    return None


def _are_dates(column: Any) -> bool:
    """Whether a column or an array holds a date or a time, be it among other objects."""
    library = _library(column)
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


def _side_by_side(x: Any) -> np.ndarray[Any, Any]:
    """A frame column by column; of objects where a column holds no numbers."""
    columns = [plain(_column(x, i)) for i in range(x.shape[1])]
    if not all(column.dtype.kind in "biuf" for column in columns):
        columns = [column.astype(object) for column in columns]
    return np.column_stack(columns)


def _column(x: Any, i: int) -> Any:
    """A frame's column by its place."""
    return x.iloc[:, i] if hasattr(x, "iloc") else x.to_series(i) if hasattr(x, "to_series") else x.column(i)


def _type_name(column: Any) -> str:
    """What a column's library calls what it holds."""
    return str(getattr(column, "dtype", None) or getattr(column, "type", ""))


def without_numbers(x: Any) -> str:
    """A frame's first column that holds no numbers, in words; empty where `x` is no frame."""
    names = column_names(x) or []
    for i, name in enumerate(names):
        column = _column(x, i)
        if plain(column).dtype.kind not in "biuf":
            return f" in column {name!r} ({_type_name(column)})"
    return ""


def _library(x: Any) -> str:
    """Name of the package that an object's class comes from."""
    return type(x).__module__.partition(".")[0]
