"""NumPy's npz archives as tables: a 1-D array is a column, a 2-D array several."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any, BinaryIO

import numpy as np

from bpx.tables.arrow import to_array
from bpx.tables.table import Table, TableError, column_from_array, without_dropped


def read(
    file: BinaryIO, source: str, missing: Collection[str], as_text: Collection[str], drop: Collection[str],
    keep: Collection[str] = (),
) -> Table:  # fmt: skip
    """Read an archive; an array ``X`` of k columns becomes the columns ``X_0`` to ``X_{k-1}``.

    The other arguments are those of `bpx.tables.reading.read`; arrays in `drop` may hold anything.

    Raises
    ------
    TableError
    """
    try:
        with np.load(file, allow_pickle=False) as archive:
            if "bpx.json" in archive.files:
                raise TableError(f"{source}: expected data, got a model file of bpx's; give the table first")
            arrays = {name: _array(archive, name, source) for name in archive.files}
    except (TableError, MemoryError):
        raise
    except Exception as error:  # a damaged archive shows in whichever part of zipfile, zlib or NumPy meets it first
        raise TableError(f"{source}: expected an npz archive of named arrays (numpy.savez), got {error}") from error
    if not arrays:
        raise TableError(f"{source}: expected an npz archive of named arrays, got one without any")
    first, n_rows = next((name, len(array)) for name, array in arrays.items())
    flat: dict[str, np.ndarray[Any, Any]] = {}
    names: list[str] = []
    for name, array in arrays.items():
        if len(array) != n_rows:
            raise TableError(
                f"{source}: expected arrays with a row for each sample, got {n_rows} rows in {first!r} and"
                f" {len(array)} in {name!r}"
            )
        parts = {name: array}
        if array.ndim > 1 and name not in drop:
            parts = {f"{name}_{j}": values for j, values in enumerate(array.reshape(n_rows, -1).T)}
        flat |= parts
        names += parts
    columns = []
    for i in without_dropped(names, drop, source):
        column = column_from_array(names[i], flat[names[i]], missing, as_text, source)
        columns.append(replace(column, cells=flat[names[i]]) if names[i] in keep else column)
    return Table(source, columns, n_rows)


def _array(archive: Any, name: str, source: str) -> np.ndarray[Any, Any]:
    """One array of the archive, which has a row for each sample."""
    try:
        array = archive[name]
    except ValueError as error:
        if "pickle" in str(error).lower() or "object" in str(error).lower():
            raise TableError(
                f"{source}: array {name!r} holds Python objects, which are not read because that could run code;"
                " save it as numbers or text, such as array.astype(str)"
            ) from error
        raise
    if array.ndim == 0:
        raise TableError(f"{source}: expected arrays with a row for each sample, got a single value in {name!r}")
    return np.asarray(array)


def to_bytes(columns: Mapping[str, Any]) -> bytes:
    """Columns as an archive; text is stored as NumPy's strings, a missing value as the empty one."""
    buffer = io.BytesIO()
    # Not numpy.savez, which takes names as keywords: a column may be called "file".
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, values in columns.items():
            if not isinstance(values, np.ndarray):
                values = to_array(values)
            if values.dtype.kind == "O":
                values = np.array(["" if v is None else v for v in values.tolist()], dtype=np.str_)
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as member:
                np.lib.format.write_array(member, values, allow_pickle=False)
    return buffer.getvalue()
