"""One file with a JSON header and named arrays, in one of two forms: safetensors, or NumPy's npz.

Cheap checks come first: is it such a file, is its header intact, does the header make sense, can a file of this size
hold such arrays? Only then are the arrays read and their digest compared.
"""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import ModuleType
from typing import Any, BinaryIO

import numpy as np

from bpx.errors import FileFormatError
from bpx.files import atomic, header, npz_form, safetensors_form
from bpx.files.header import Arrays, ArrayTypes, short_repr

# The forms by their endings. A form is a module with ENDING, `library` (its ImportError names the extra),
# `begins(first, size)`, `to_bytes(text, arrays)`, and `OpenFile(file, size)`: ``text``, the header's, and
# ``arrays(types)``.
FORMS: dict[str, ModuleType] = {form.ENDING: form for form in (safetensors_form, npz_form)}
DTYPES = (
    "bool", "float16", "float32", "float64", "int16", "int32", "int64", "int8", "uint16", "uint32", "uint64", "uint8",
)  # fmt: skip


def write(path: atomic.Path, document: Mapping[str, Any], arrays: Mapping[str, Any], form: str | None = None) -> None:
    """Write a header and arrays, all or nothing.

    `document` is plain JSON, to which ``format``, ``bpx``, ``arrays`` and the digests are added. `form` is a key of
    `FORMS`; None is the path's ending.

    Raises
    ------
    ValueError, TypeError, ImportError, OSError
        If something cannot be written; an existing file stays.
    """
    to_bytes = FORMS[form or atomic.ending_of(path, FORMS)].to_bytes
    contiguous: Arrays = {}
    for name, given in arrays.items():
        array = np.asarray(given)
        if array.dtype.name not in DTYPES:
            raise TypeError(f"{name}: expected an array of {', '.join(DTYPES)}, got {array.dtype}")
        # Row by row and little-endian: safetensors stores memory as it is, whatever the strides are.
        contiguous[name] = np.asarray(array, dtype=array.dtype.newbyteorder("<"), order="C")
    types = {name: [array.dtype.name, list(array.shape)] for name, array in contiguous.items()}
    text = header.compose(dict(document) | {"arrays": types, "data_sha256": _digest(contiguous)})
    atomic.write(path, to_bytes(text, contiguous))


def read(path: atomic.Path, check: Callable[[dict[str, Any], ArrayTypes], None]) -> tuple[dict[str, Any], Arrays]:
    """Read what `write` wrote: the header without ``arrays`` and the digests, and writable arrays.

    The form is found from the content. No array is read before ``check(document, types)``, which raises FileFormatError
    if header and arrays do not fit.

    Raises
    ------
    FileFormatError
        With the path and the reason.
    ImportError, OSError
        If safetensors is needed and not installed; if the file cannot be read.
    """
    with path_in_message(path):
        file, size = atomic.open_regular(path)
        with file:
            opened = _form_of(file, size).OpenFile(file, size)
            document = header.read(opened.text)
            types = _array_types(document.pop("arrays", None))
            digest = document.pop("data_sha256", None)
            check(document, types)
            # In Python's integers: the product of a forged shape may exceed 64 bits.
            total = sum(math.prod(shape) * dtype.itemsize for dtype, shape in types.values())
            if total > size:
                raise FileFormatError(
                    f"expected {short_repr(total)} bytes of arrays, got a file of {size}: it is cut off"
                )
            arrays: Arrays = opened.arrays(types)
        if _digest(arrays) != digest:
            raise FileFormatError(
                "the arrays do not have the digest that the header names: the file is damaged; use another copy"
            )
        return document, arrays


def _form_of(file: BinaryIO, size: int) -> Any:
    """The form of an open file, by its first bytes."""
    first = file.read(8)
    file.seek(0)
    for form in FORMS.values():
        if form.begins(first, size):
            return form
    raise FileFormatError(
        f"expected a file that bpx wrote ({' or '.join(FORMS)}), got {size} bytes that begin with {first!r}: another"
        " kind of file, or one that is cut off"
    )


@contextmanager
def path_in_message(path: atomic.Path) -> Iterator[None]:
    """Put the path in front of the message of a FileFormatError."""
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
                dtype in DTYPES
                and len(shape) <= 4
                and all(type(n) is int and 0 <= n < 2**63 for n in shape)
                # NumPy makes no array of such lengths, though it is empty; others are longer than their file.
                and (0 not in shape or math.prod(n or 1 for n in shape) < 2**59)
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
