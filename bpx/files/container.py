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
from bpx.files.header import Arrays, ArrayTypes, short_repr

__all__ = ["named", "read", "write"]

FORMS = {".safetensors": safetensors_form.to_bytes, ".npz": npz_form.to_bytes}
DTYPES = frozenset(safetensors_form.CODES)


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
    to_bytes = FORMS[form or atomic.ending_of(path, FORMS)]
    contiguous: Arrays = {}
    for name, given in arrays.items():
        array = np.asarray(given)
        if array.dtype.name not in DTYPES:
            raise TypeError(f"{name}: expected an array of {', '.join(sorted(DTYPES))}, got {array.dtype}")
        # Row by row and little-endian: safetensors stores the memory as it lies, whatever the strides say.
        contiguous[name] = np.asarray(array, dtype=array.dtype.newbyteorder("<"), order="C")
    types = {name: [array.dtype.name, list(array.shape)] for name, array in contiguous.items()}
    text = header.compose(dict(document) | {"arrays": types, "data_sha256": _digest(contiguous)})
    atomic.write(path, to_bytes(text, contiguous))


def read(path: atomic.Path, check: Callable[[dict[str, Any], ArrayTypes], None]) -> tuple[dict[str, Any], Arrays]:
    """Read what `write` wrote.

    Parameters
    ----------
    path : str or path-like
        The form is told by the content.
    check : callable
        ``check(document, types)`` raises FileFormatError where header and arrays do not fit; no array is read before.

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
            form = npz_form.NpzFile if npz_form.is_archive(file) else safetensors_form.SafetensorsFile
            opened = form(file, size)
            document = header.read(opened.text)
            types = _array_types(document.pop("arrays", None))
            digest = document.pop("data_sha256", None)
            check(document, types)
            # Python's integers: the shape in a forged header may exceed 64 bits.
            total = sum(math.prod(shape) * dtype.itemsize for dtype, shape in types.values())
            if total > size:
                raise FileFormatError(
                    f"expected {short_repr(total)} bytes of arrays, got a file of {size}: it is cut off"
                )
            arrays = opened.arrays(types)
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


def _array_types(given: Any) -> ArrayTypes:
    """The header's table of arrays, checked."""
    if not isinstance(given, dict):
        raise FileFormatError(f"expected a header with a table of arrays, got {short_repr(given)}")
    types = {}
    for name, entry in given.items():
        match entry:
            case [str(dtype), list(shape)] if (
                dtype in DTYPES and all(type(n) is int and 0 <= n < 2**63 for n in shape) and len(shape) <= 4
            ):
                types[name] = (np.dtype(dtype).newbyteorder("<"), tuple(shape))
            case _:
                raise FileFormatError(
                    f"array {short_repr(name)}: expected a dtype and a shape, got {short_repr(entry)}"
                )
    return types


def _digest(arrays: Mapping[str, np.ndarray[Any, Any]]) -> str:
    """SHA-256 of all arrays' bytes, one after the other."""
    digest = hashlib.sha256()
    for array in arrays.values():
        digest.update(array.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()
