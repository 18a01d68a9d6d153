"""Rows of Parquet files, read by row groups (extra ``stream``)."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, final

import numpy as np

from bpx.errors import ShapeError, how_to_install
from bpx.streams.row_sources import Part, RowSource


@final
class ParquetRows(RowSource):
    """Rows of a Parquet data set: a file, a folder of files, or a pyarrow.dataset.Dataset.

    `y` and `weight` name the columns of targets and sample weights, `columns` those of the inputs (None: all others).
    If `y` is a single name, targets have the shape (n,).
    """

    def __init__(self, given: Any, y: Any = None, weight: str | None = None, columns: Any = None) -> None:
        try:
            from pyarrow import dataset
        except ImportError as error:
            raise ImportError(f"Parquet files need pyarrow: {how_to_install('stream', 'pyarrow')}") from error
        data = dataset.dataset(os.fspath(given), format="parquet") if isinstance(given, (str, os.PathLike)) else given
        if not hasattr(data, "get_fragments"):
            raise TypeError(f"X: expected a pyarrow.dataset.Dataset or a path, got {type(given).__name__}")
        for name, value in (("y", y), ("sample_weight", weight)):
            if not (value is None or isinstance(value, str) or (name == "y" and _are_names(value))):
                raise TypeError(
                    f"{name}: expected the name of a column of the Parquet files, got {type(value).__name__}"
                )
        targets = [y] if isinstance(y, str) else list(y or ())
        extra = [] if weight is None else [weight]
        inputs = list(columns) if columns is not None else [n for n in data.schema.names if n not in (*targets, *extra)]
        twice = {name for name in inputs if name in (*targets, *extra)}
        if twice:
            raise ValueError(
                f"columns: expected inputs alone, got {', '.join(sorted(twice))}, which hold targets or weights"
            )
        self._columns = (inputs, targets, extra)
        self._one_target = isinstance(y, str)
        _check_columns(data.schema, (*inputs, *targets, *extra))
        fragments = list(data.get_fragments())
        if not all(hasattr(fragment, "split_by_row_group") for fragment in fragments):
            raise TypeError(f"X: expected Parquet files, which are read by row groups, got {type(data).__name__}")
        self._groups = [group for fragment in fragments for group in fragment.split_by_row_group()]
        rows = [sum(part.num_rows for part in group.row_groups) for group in self._groups]
        self._groups = [group for group, count in zip(self._groups, rows, strict=True) if count]
        self.edges = np.concatenate([[0], np.cumsum([count for count in rows if count], dtype=np.int64)])
        self.n = int(self.edges[-1])
        self.name = f"Parquet data set of {self.n} rows"
        if self.n == 0:
            raise ShapeError("X: expected Parquet files with at least one row, got none")

    def _read(self, start: int, stop: int) -> Part:
        """The row group from row `start` to `stop`."""
        assert self.edges is not None
        group = self._groups[int(np.searchsorted(self.edges, start, side="right")) - 1]
        inputs, targets, extra = self._columns
        table = group.to_table(columns=[*inputs, *targets, *extra])
        y = _matrix(table, targets) if targets else None
        if y is not None and self._one_target:
            y = y[:, 0]
        return _matrix(table, inputs), y, _matrix(table, extra)[:, 0] if extra else None


def _are_names(value: Any) -> bool:
    """Whether `value` is a list of names."""
    return isinstance(value, (list, tuple)) and all(isinstance(name, str) for name in value)


def _matrix(table: Any, names: Sequence[str]) -> np.ndarray[Any, Any]:
    """Columns as an array (n, columns); missing values are NaN."""
    return np.column_stack([table.column(name).to_numpy() for name in names])


def _check_columns(schema: Any, names: Sequence[str]) -> None:
    """ValueError for columns that do not exist, TypeError for those that are not numeric."""
    from pyarrow import types

    missing = [name for name in names if name not in schema.names]
    if missing:
        raise ValueError(f"expected columns {', '.join(missing)}, got a data set with {', '.join(schema.names)}")
    for name in names:
        kind = schema.field(name).type
        if not (types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind)):
            raise TypeError(
                f"column {name}: expected numbers, got {kind}; leave it out with columns=[...], or turn its categories"
                " into numbers first"
            )
