"""The npz form: an uncompressed zip archive with one .npy member per array, and bpx's header as ``bpx.json``."""

from __future__ import annotations

import errno
import math
import re
import struct
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import Any, BinaryIO, final

import numpy as np

from bpx.errors import FileFormatError
from bpx.files import header
from bpx.files.header import Arrays, ArrayTypes, short_repr

ENDING = ".npz"
HEADER = "bpx.json"
# Larger archives would need zip64, which is one more structure to check; for these there is the safetensors form.
LARGEST = 2**31 - 1
# Larger than the directory of any archive whose header is not too large.
LARGEST_DIRECTORY = 1 << 20
# The header of an array as NumPy writes it, and nothing else: NumPy evaluates it as a Python literal.
_NPY = re.compile(rb"\{'descr': '[<|][a-z]\d', 'fortran_order': False, 'shape': \([\d, ]*\), \} *\n")
_END = struct.Struct("<4s4H2LH")


def to_bytes(text: str, arrays: Arrays) -> bytes:
    """The whole file, at most 2 GiB, with fixed dates, so that equal networks make equal files."""
    size = len(text) + sum(array.nbytes + 1024 for array in arrays.values())
    if size > LARGEST:
        raise ValueError(f"expected at most {LARGEST} bytes for the .npz form, got {size}; use a .safetensors name")
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED, allowZip64=False) as archive:
        archive.writestr(zipfile.ZipInfo(HEADER), text)
        for name, array in arrays.items():
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w") as member:
                np.lib.format.write_array(member, array, version=(1, 0), allow_pickle=False)
    return buffer.getvalue()


def library() -> Any:
    """What the form needs, NumPy alone."""
    return np


def begins(first: bytes, size: int) -> bool:
    """Whether a file may be one, by its first 8 bytes."""
    return first.startswith(b"PK\x03\x04")


@final
class OpenFile:
    """An open file whose directory and header have been read; ``text`` is bpx's header."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        _check_end(file, size)
        with _damage("directory"):
            self._archive = zipfile.ZipFile(file)
        self._members: dict[str, zipfile.ZipInfo] = {}
        for member in self._archive.infolist():
            stored = member.compress_type == zipfile.ZIP_STORED and member.compress_size == member.file_size
            if not stored or member.flag_bits & 1:
                raise FileFormatError(
                    f"{short_repr(member.filename)}: expected a member as bpx writes it, got a compressed or encrypted"
                    " one"
                )
            if member.filename in self._members:
                raise FileFormatError(f"expected every member once, got {short_repr(member.filename)} twice")
            self._members[member.filename] = member
        if HEADER not in self._members:
            raise FileFormatError(
                f"expected an archive that bpx wrote, with the member {HEADER}, got one without it; arrays of your own"
                " come in by bpx.from_keras_weights or net.set_params"
            )
        text = self._read(HEADER, header.LARGEST)
        with _damage(HEADER):
            self.text = text.decode("utf-8")

    def arrays(self, types: ArrayTypes) -> Arrays:
        """The arrays; each one's dtype and shape are checked before it is made."""
        header.check_names(self._members.keys() - {HEADER}, {f"{name}.npy" for name in types})
        return {name: self._array(f"{name}.npy", *entry) for name, entry in types.items()}

    def _array(self, member: str, dtype: np.dtype[Any], shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
        """One array; FileFormatError unless it has this dtype and shape."""
        size = math.prod(shape) * dtype.itemsize
        data = self._read(member, size + 1024)
        stream = BytesIO(data[:1024])
        try:
            version = np.lib.format.read_magic(stream)
            length = int.from_bytes(data[8:10], "little")
            if version != (1, 0) or not _NPY.fullmatch(data, 10, 10 + length):
                raise ValueError("not as NumPy writes it")
            given = np.lib.format.read_array_header_1_0(stream)
        except ValueError as error:
            raise FileFormatError(
                f"{short_repr(member)}: expected an array of NumPy's ({short_repr(error)})"
            ) from error
        if given != (shape, False, dtype) or len(data) - stream.tell() != size:
            raise FileFormatError(
                f"{short_repr(member)}: expected {dtype.name} of shape {shape} in {size} bytes, got {short_repr(given)}"
                f" in {len(data) - stream.tell()}"
            )
        return np.ndarray(shape, dtype, bytearray(data), stream.tell())

    def _read(self, name: str, largest: int) -> bytes:
        """The bytes of a member; zipfile compares their checksum."""
        member = self._members[name]
        if member.file_size > largest:
            raise FileFormatError(f"{short_repr(name)}: expected at most {largest} bytes, got {member.file_size}")
        with _damage(short_repr(name)):
            return self._archive.read(member)


def _check_end(file: BinaryIO, size: int) -> None:
    """Refuse a directory that is too large before zipfile reads it; the last 22 bytes of the file have its size."""
    file.seek(max(0, size - _END.size - 20))
    tail = file.read(_END.size + 20)
    if len(tail) == _END.size + 20 and size <= LARGEST:
        signature, disk, first_disk, _, _, directory, _, comment = _END.unpack(tail[20:])
        sound = signature == b"PK\x05\x06" and not (disk or first_disk or comment) and directory <= LARGEST_DIRECTORY
        if sound and not tail.startswith(b"PK\x06\x07"):  # the mark of zip64
            return
    raise FileFormatError(
        f"expected an archive as bpx writes it, got {size} bytes that do not end as one does: cut off, damaged or of"
        " another program"
    )


@contextmanager
def _damage(place: str) -> Iterator[None]:
    """Turn zipfile's errors for a damaged archive into FileFormatError; errors of the disk pass."""
    try:
        yield
    except (
        zipfile.BadZipFile, ValueError, KeyError, EOFError, struct.error, NotImplementedError, RuntimeError, OSError,
    ) as error:  # fmt: skip
        if isinstance(error, OSError) and error.errno != errno.EINVAL:  # EINVAL: a position before the file's beginning
            raise
        raise FileFormatError(f"{place}: the archive is damaged ({short_repr(error)})") from error
