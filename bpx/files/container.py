"""One file that holds a JSON header and named arrays, in one of two forms: safetensors, or NumPy's npz.

Reading goes from what costs nothing to what costs memory: the kind of file, the header, whether the header makes sense,
whether the arrays can be that large in a file of this size; only then are they read, and their digest compared.
"""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from bpx.errors import FileFormatError
from bpx.files import atomic, header, npz_form, safetensors_form
from bpx.files.header import shown

__all__ = ["Arrays", "Table", "form_of", "named", "read", "write"]

Arrays = dict[str, np.ndarray[Any, Any]]
# For each array its dtype and shape, in the order of the file's digest.
Table = dict[str, tuple[np.dtype[Any], tuple[int, ...]]]

FORMS = {".safetensors": safetensors_form.to_bytes, ".npz": npz_form.to_bytes}
DTYPES = frozenset(safetensors_form.CODES)


def _contiguous(array: Any) -> np.ndarray[Any, Any]:
    """A host array row by row and little-endian: safetensors stores the memory as it lies, whatever the strides say."""
    array = np.asarray(array)
    return np.asarray(array, dtype=array.dtype.newbyteorder("<"), order="C")


def form_of(path: atomic.Path) -> str:
    """The form that a path's ending names.

    Raises
    ------
    ValueError
    """
    ending = os.path.splitext(os.fspath(path))[1].lower()
    if ending not in FORMS:
        raise ValueError(f"path: expected a name that ends in {' or '.join(FORMS)}, got {os.fspath(path)!r}")
    return ending


def write(path: atomic.Path, document: Mapping[str, Any], arrays: Mapping[str, Any], form: str | None = None) -> None:
    """Write a header and arrays, all or nothing.

    Parameters
    ----------
    path : str or path-like
        Its ending names the form, unless `form` does.
    document : mapping
        Plain JSON; ``format``, ``bpx``, ``arrays`` and the digests are added.
    arrays : mapping of str to host array
        Of numbers or bools.
    form : {".safetensors", ".npz"}, optional
        In place of the ending's.

    Raises
    ------
    ValueError, TypeError
        If the path has another ending, or something cannot be written.
    ImportError
        If safetensors is needed and not installed.
    OSError
        If the file cannot be written; what was there stays.
    """
    to_bytes = FORMS[form or form_of(path)]
    rows = {name: _contiguous(array) for name, array in arrays.items()}
    for name, array in rows.items():
        if array.dtype.name not in DTYPES:
            raise TypeError(f"{name}: expected an array of {', '.join(sorted(DTYPES))}, got {array.dtype}")
    table = {name: [array.dtype.name, list(array.shape)] for name, array in rows.items()}
    text = header.compose(dict(document) | {"arrays": table, "data_sha256": _digest(rows)})
    atomic.write(path, to_bytes(text, rows))


def read(path: atomic.Path, check: Callable[[dict[str, Any], Table], None]) -> tuple[dict[str, Any], Arrays]:
    """Read what `write` wrote.

    Parameters
    ----------
    path : str or path-like
        The form is told by the content.
    check : callable
        ``check(document, table)`` raises FileFormatError where header and arrays do not fit; no array is read before.

    Returns
    -------
    document : dict
        The header, without ``arrays`` and the digests.
    arrays : dict of str to host array
        Writable.

    Raises
    ------
    FileFormatError
        With the path and the reason.
    ImportError
        If safetensors is needed and not installed.
    OSError
        If there is no such file, or it cannot be read.
    """
    with named(path):
        file, size = atomic.open_regular(path)
        with file:
            form = npz_form.NpzFile if npz_form.begins(file) else safetensors_form.SafetensorsFile
            opened = form(file, size)
            document = header.read(opened.text)
            table = _table(document.pop("arrays", None))
            digest = document.pop("data_sha256", None)
            check(document, table)
            # Python's integers: a stranger's shape may exceed 64 bits.
            total = sum(math.prod(shape) * dtype.itemsize for dtype, shape in table.values())
            if total > size:
                raise FileFormatError(f"expected {shown(total)} bytes of arrays, got a file of {size}: it is cut off")
            arrays = opened.arrays(table)
        if _digest(arrays) != digest:
            raise FileFormatError(
                "the arrays do not have the digest that the header names: the file is damaged; use another copy"
            )
        return document, arrays


@contextmanager
def named(path: atomic.Path) -> Iterator[None]:
    """The path in front of what is wrong with the file."""
    try:
        yield
    except FileFormatError as error:
        raise FileFormatError(f"{os.fspath(path)}: {error}") from error


def _table(given: Any) -> Table:
    """The header's table of arrays, checked."""
    if not isinstance(given, dict):
        raise FileFormatError(f"expected a header with a table of arrays, got {shown(given)}")
    table = {}
    for name, entry in given.items():
        match entry:
            case [str(dtype), list(shape)] if (
                dtype in DTYPES and all(type(n) is int and 0 <= n < 2**63 for n in shape) and len(shape) <= 4
            ):
                table[name] = (np.dtype(dtype).newbyteorder("<"), tuple(shape))
            case _:
                raise FileFormatError(f"array {shown(name)}: expected a dtype and a shape, got {shown(entry)}")
    return table


def _digest(arrays: Mapping[str, np.ndarray[Any, Any]]) -> str:
    """SHA-256 of all arrays' bytes, one after the other."""
    digest = hashlib.sha256()
    for array in arrays.values():
        digest.update(array.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()
