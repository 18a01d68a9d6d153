"""The safetensors form: the length of a JSON text, the text, the arrays. bpx's header is the metadata entry ``bpx``."""

from __future__ import annotations

import math
from typing import Any, BinaryIO, final

import numpy as np

from bpx.errors import FileFormatError, how_to_install
from bpx.files import header
from bpx.files.header import Arrays, ArrayTypes, short_repr

__all__ = ["SafetensorsFile", "library", "to_bytes"]

CODES = {
    "bool": "BOOL", "uint8": "U8", "int8": "I8", "uint16": "U16", "int16": "I16", "uint32": "U32", "int32": "I32",
    "uint64": "U64", "int64": "I64", "float16": "F16", "float32": "F32", "float64": "F64",
}  # fmt: skip


def library() -> Any:
    """safetensors, with its part for NumPy; its absence names the extra."""
    try:
        import safetensors.numpy
    except ModuleNotFoundError as error:
        raise ImportError(
            f"files in the safetensors form need safetensors: {how_to_install('io', 'safetensors')};"
            " the .npz form needs NumPy alone"
        ) from error
    return safetensors


def to_bytes(text: str, arrays: Arrays) -> bytes:
    """The whole file. One metadata entry only: the library writes several in an order that changes.

    Raises
    ------
    ValueError
        If the library's header, which holds bpx's, is too large to be read back.
    """
    data = bytes(library().numpy.save(arrays, metadata={"bpx": text}))
    length = int.from_bytes(data[:8], "little")
    if length > header.LARGEST:
        raise ValueError(
            f"expected a header of at most {header.LARGEST} bytes, got {length}: shorten the metadata, or use .npz"
        )
    return data


@final
class SafetensorsFile:
    """An open file, of which the header is read: ``text`` is bpx's.

    Raises
    ------
    FileFormatError
    """

    def __init__(self, file: BinaryIO, size: int) -> None:
        first = file.read(8)
        length = int.from_bytes(first, "little")
        if len(first) < 8 or not 2 <= length <= min(header.LARGEST, size - 8):
            raise FileFormatError(
                f"expected a file that bpx wrote (.safetensors or .npz), got {size} bytes that begin with {first!r}:"
                " another kind of file, or one that is cut off"
            )
        self._beginning = first + file.read(length)
        self._file = file
        self._data_size = size - 8 - length
        entries = header.parse_json(self._beginning[8:])
        metadata = entries.pop("__metadata__", None) if isinstance(entries, dict) else None
        if not isinstance(metadata, dict) or list(metadata) != ["bpx"] or not isinstance(metadata["bpx"], str):
            raise FileFormatError(
                f"expected a safetensors file that bpx wrote, with bpx's header as metadata, got"
                f" {short_repr(metadata)}; numbers of other programs come in by bpx.from_torch, from_sklearn and"
                " from_keras_weights"
            )
        self.text: str = metadata["bpx"]
        self._entries: dict[str, Any] = entries

    def arrays(self, types: ArrayTypes) -> Arrays:
        """The arrays of these types; the library reads them, once the file is known to hold them and nothing else."""
        header.check_names(self._entries.keys(), types.keys())
        spans = sorted(self._span(name, *entry) for name, entry in types.items())
        ends = [0, *(stop for _, stop in spans)]
        if [start for start, _ in spans] != ends[:-1] or ends[-1] != self._data_size:
            raise FileFormatError(
                f"expected arrays one after the other, {sum(stop - start for start, stop in spans)} bytes in all, got"
                f" {self._data_size} bytes: the file is cut off or damaged"
            )
        safetensors = library()
        data = self._beginning + self._file.read(self._data_size)
        try:
            arrays = safetensors.numpy.load(data)
        except (safetensors.SafetensorError, ValueError, KeyError) as error:
            raise FileFormatError(f"safetensors does not read the file ({short_repr(error)})") from error
        return {name: arrays[name] for name in types}

    def _span(self, name: str, dtype: np.dtype[Any], shape: tuple[int, ...]) -> tuple[int, int]:
        """Where an array begins and ends in the data; the library's entry must say what bpx's header says."""
        entry, size = self._entries[name], math.prod(shape) * dtype.itemsize
        match entry:
            case {"dtype": str(code), "shape": list(given), "data_offsets": [start, stop]} if (
                len(entry) == 3
                and code == CODES[dtype.name]
                and given == list(shape)
                and type(start) is type(stop) is int
                and stop - start == size
            ):
                return start, stop
        raise FileFormatError(
            f"array {short_repr(name)}: expected {CODES[dtype.name]} of shape {list(shape)} in {size} bytes,"
            f" got {short_repr(entry)}"
        )
