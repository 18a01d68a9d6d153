"""NumPy's npz archives as tables: a 1-D array is a column, a 2-D array several."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Collection, Iterable, Mapping
from typing import Any, BinaryIO

import numpy as np

from bpx.tables.parsing import same_spelling, text_of
from bpx.tables.table import Column, Table, TableError, refuse_equal_names


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
    first, n_rows = next((name, len(array)) for name, array in arrays.items())
    columns = []
    for name, array in arrays.items():
        if len(array) != n_rows:
            raise TableError(
                f"{source}: expected arrays with a row for each sample, got {n_rows} rows in {first!r} and"
                f" {len(array)} in {name!r}"
            )
        if name in drop:
            columns.append(Column(name, texts=objects([None] * n_rows)))
        elif array.ndim == 1:
            columns.append(column_of(name, array, missing, as_text, source))
        else:
            flat = array.reshape(n_rows, -1)
            columns += [column_of(f"{name}_{j}", flat[:, j], missing, as_text, source) for j in range(flat.shape[1])]
    refuse_equal_names([column.name for column in columns], source)
    return Table(source, columns, n_rows)


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
        return Column(name, texts=objects(None if v != v else text_of(v) for v in values.tolist()))
    if kind == "M":
        values = np.datetime_as_string(values)
    elif kind == "S":
        values = np.char.decode(values, "utf-8")
    elif kind not in "UOT":
        raise TableError(f"{source}: column {name!r} holds {values.dtype}, neither numbers nor text; leave it out")
    texts = [None if v is None or v != v else str(v).strip() for v in values.tolist()]
    known = objects(None if text is None or text in missing else same_spelling(text) for text in texts)
    return Column(
        name, texts=known, spellings=frozenset(text for text in texts if text in missing and text is not None)
    )


def objects(values: Iterable[str | None]) -> np.ndarray[Any, Any]:
    """Texts, None where missing, as an object array."""
    return np.array([*values, None], dtype=object)[:-1]


def to_bytes(columns: Mapping[str, np.ndarray[Any, Any]]) -> bytes:
    """Columns as an archive; text becomes NumPy's, a missing value the empty text."""
    buffer = io.BytesIO()
    # Not numpy.savez, whose keywords are the names: a column may be called "file".
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, values in columns.items():
            if values.dtype.kind == "O":
                values = np.array(["" if v is None else v for v in values.tolist()], dtype=np.str_)
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as member:
                np.lib.format.write_array(member, values, allow_pickle=False)
    return buffer.getvalue()
