"""NumPy's npz archives as tables: a 1-D array is a column, a 2-D array several."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Collection, Mapping
from typing import Any, BinaryIO

import numpy as np

from bpx.tables.parsing import same_spelling, text_of
from bpx.tables.table import Column, Table, TableError

__all__ = ["column_of", "read", "to_bytes"]


def read(
    file: BinaryIO, source: str, missing: Collection[str], as_text: Collection[str], drop: Collection[str]
) -> Table:
    """Read an archive; array ``X`` of k columns becomes ``X_0`` to ``X_{k-1}``. What is in `drop` may hold anything.

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
    counts = {name: len(array) for name, array in arrays.items()}
    first = next(iter(counts))
    for name, count in counts.items():
        if count != counts[first]:
            raise TableError(
                f"{source}: expected arrays with a row for each sample, got {counts[first]} rows in {first!r} and"
                f" {count} in {name!r}"
            )
    columns = []
    for name, array in arrays.items():
        if name in drop:
            columns.append(Column(name, texts=_objects([None] * len(array))))
        elif array.ndim == 1:
            columns.append(column_of(name, array, missing, as_text, source))
        else:
            flat = array.reshape(len(array), -1)
            columns += [column_of(f"{name}_{j}", flat[:, j], missing, as_text, source) for j in range(flat.shape[1])]
    seen: set[str] = set()
    for column in columns:
        if column.name in seen:
            raise TableError(f"{source}: expected names that differ, got {column.name!r} twice; rename an array")
        seen.add(column.name)
    return Table(source, columns, counts[first])


def _array(archive: Any, name: str, source: str) -> np.ndarray[Any, Any]:
    """One array with a sample axis."""
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


def column_of(
    name: str, values: np.ndarray[Any, Any], missing: Collection[str], as_text: Collection[str], source: str
) -> Column:
    """A 1-D array as a column.

    Raises
    ------
    TableError
        If it holds neither numbers nor text nor dates.
    """
    kind = values.dtype.kind
    if kind in "iuf" and name not in as_text:
        return Column(name, numbers=values.astype(np.float64))
    if kind in "iufb":
        return Column(name, texts=_objects([None if v != v else text_of(v) for v in values.tolist()]))
    if kind == "M":
        values = np.datetime_as_string(values)
    elif kind == "S":
        values = np.char.decode(values, "utf-8")
    elif kind not in "UOT":
        raise TableError(f"{source}: column {name!r} holds {values.dtype}, neither numbers nor text; leave it out")
    texts = [None if v is None or v != v else str(v).strip() for v in values.tolist()]
    known = [None if t is None or t in missing else same_spelling(t) for t in texts]
    return Column(name, texts=_objects(known), spellings=frozenset(t for t in texts if t is not None and t in missing))


def _objects(values: list[str | None]) -> np.ndarray[Any, Any]:
    """A list as an object array."""
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def to_bytes(columns: Mapping[str, np.ndarray[Any, Any]]) -> bytes:
    """Columns as an archive; text becomes NumPy's, a missing value the empty text."""
    buffer = io.BytesIO()
    plain = {
        name: np.array(["" if v is None else v for v in values.tolist()], dtype=np.str_)
        if values.dtype.kind == "O"
        else values
        for name, values in columns.items()
    }
    # Not as keywords: a column may be called "file".
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, values in plain.items():
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as member:
                np.lib.format.write_array(member, values, allow_pickle=False)
    return buffer.getvalue()
