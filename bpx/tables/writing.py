"""Writing named columns to a file, whole or not at all; the ending of its name says in which form."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from bpx.files import atomic
from bpx.tables import csv_table, npz_table, parquet_table

# Arrays of NumPy's or pyarrow's.
Columns = Mapping[str, Any]

_TO_BYTES: dict[str, Callable[[Columns], bytes]] = {
    ".csv": lambda columns: csv_table.to_text(columns).encode("utf-8"),
    ".tsv": lambda columns: csv_table.to_text(columns, "\t").encode("utf-8"),
    ".npz": npz_table.to_bytes,
    ".parquet": parquet_table.to_bytes,
}
ENDINGS = tuple(_TO_BYTES)


def write(path: atomic.Path, columns: Columns) -> None:
    """Write columns of equal length to a CSV, TSV, npz or Parquet file.

    Raises
    ------
    ValueError
        If the path has none of `ENDINGS`.
    ImportError
        For Parquet without pyarrow.
    OSError
        If the file cannot be written; what was there stays.
    """
    atomic.write(path, _TO_BYTES[atomic.ending_of(path, ENDINGS)](columns))
