"""Named columns to a file, whole or not at all, by the ending of its name."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from bpx.files import atomic
from bpx.tables import npz_table, parquet_form

__all__ = ["ENDINGS", "form_of", "to_csv", "write"]

Columns = Mapping[str, np.ndarray[Any, Any]]


def to_csv(columns: Columns, separator: str = ",") -> str:
    """Columns as CSV text; numbers in the fewest digits that tell them apart, a missing value as nothing."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, delimiter=separator, lineterminator="\n")
    writer.writerow(columns)
    # str and not tolist for float32, whose neighbours need fewer digits than as float64.
    lists = [map(str, values) if values.dtype.kind == "f" else values.tolist() for values in columns.values()]
    writer.writerows(zip(*lists, strict=True))
    return buffer.getvalue()


FORMS: dict[str, Callable[[Columns], bytes]] = {
    ".csv": lambda columns: to_csv(columns).encode("utf-8"),
    ".tsv": lambda columns: to_csv(columns, "\t").encode("utf-8"),
    ".npz": npz_table.to_bytes,
    ".parquet": parquet_form.to_bytes,
}
ENDINGS = tuple(FORMS)


def form_of(path: atomic.Path) -> str:
    """The ending that names the form.

    Raises
    ------
    ValueError
    """
    ending = os.path.splitext(os.fspath(path))[1].lower()
    if ending not in FORMS:
        raise ValueError(f"expected a name that ends in {', '.join(FORMS)}, got {os.fspath(path)!r}")
    return ending


def write(path: atomic.Path, columns: Columns) -> None:
    """Write columns of equal length.

    Raises
    ------
    ValueError
        If the path has another ending.
    ImportError
        For Parquet without pyarrow.
    OSError
        If the file cannot be written; what was there stays.
    """
    atomic.write(path, FORMS[form_of(path)](columns))
