"""Data frames of pandas, polars and pyarrow, and their columns, as arrays of numbers; their names for messages."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["column_names", "is_frame", "plain", "rows_between", "without_numbers"]

_LIBRARIES = ("pandas", "polars", "pyarrow")


def is_frame(x: Any) -> bool:
    """Whether it is a frame or a column of one, which lie in memory; a data set on disk is none."""
    return _library(x) in _LIBRARIES and hasattr(x, "__array__")


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

    NumPy would make objects of pandas' nullable columns. A column of integers without missing values stays integers.
    """
    if _library(x) == "pandas" and hasattr(x, "iloc"):
        dtypes = [x.dtype] if x.ndim == 1 else list(x.dtypes)
        kinds = {dtype.kind for dtype in dtypes}
        # Of booleans beside numbers pandas makes objects, too.
        objects = any(hasattr(dtype, "numpy_dtype") for dtype in dtypes) or ("b" in kinds and len(kinds) > 1)
        if objects and kinds <= set("biuf"):
            if x.ndim == 1 and dtypes[0].kind in "biu" and not x.isna().any():
                return np.asarray(x.to_numpy(dtype=dtypes[0].numpy_dtype))
            return np.asarray(x.to_numpy(dtype=np.float64, na_value=np.nan))
    if _library(x) == "pyarrow" and x.__class__.__name__ in ("Table", "RecordBatch"):
        return np.column_stack([np.asarray(column) for column in x.columns]) if x.num_columns else np.empty(x.shape)
    return np.asarray(x)


def without_numbers(x: Any) -> str:
    """A frame's first column that holds no numbers, in words; empty where `x` is no frame."""
    names = column_names(x) or []
    for i, name in enumerate(names):
        column = x.iloc[:, i] if hasattr(x, "iloc") else x.to_series(i) if hasattr(x, "to_series") else x.column(i)
        if plain(column).dtype.kind not in "biuf":
            return f" in column {name!r} ({getattr(column, 'dtype', None) or column.type})"
    return ""


def _library(x: Any) -> str:
    """Name of the package that an object's class comes from."""
    return type(x).__module__.partition(".")[0]
