"""The safetensors form: length of a JSON text, the text, and the arrays; bpx's header is its metadata entry ``bpx``."""

from __future__ import annotations

import math
from typing import Any, BinaryIO, final

from bpx.errors import FileFormatError, how_to_install
from bpx.files import header
from bpx.files.header import Arrays, ArrayTypes, short_repr

ENDING = ".safetensors"


def library() -> Any:
    """safetensors with its module for NumPy; the ImportError without it names the extra."""
    try:
        import safetensors.numpy
    except ModuleNotFoundError as error:
        raise ImportError(
            f"files in the safetensors form need safetensors: {how_to_install('io', 'safetensors')};"
            " the .npz form needs NumPy alone"
        ) from error
    return safetensors


def to_bytes(text: str, arrays: Arrays) -> bytes:
    """The whole file. There is one metadata entry, as the library writes several in a varying order."""
    data = bytes(library().numpy.save(arrays, metadata={"bpx": text}))
    length = int.from_bytes(data[:8], "little")
    if length > header.LARGEST:
        raise ValueError(
            f"expected a header of at most {header.LARGEST} bytes, got {length}: shorten the metadata, or use .npz"
        )
    return data


def begins(first: bytes, size: int) -> bool:
    """Whether a file of this size may be one, by its first 8 bytes, the length of the JSON text."""
    return len(first) == 8 and 2 <= int.from_bytes(first, "little") <= min(header.LARGEST, size - 8)


@final
class OpenFile:
    """An open file whose header has been read; ``text`` is bpx's header."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        first = file.read(8)
        self._beginning = first + file.read(int.from_bytes(first, "little"))
        self._file = file
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
        """The arrays, read by the library, which checks that they fill the rest of the file one after the other."""
        header.check_names(self._entries.keys(), types.keys())
        safetensors = library()
        size = sum(math.prod(shape) * dtype.itemsize for dtype, shape in types.values())
        # A bound for a file that is far too long; enough to report an array of a larger dtype.
        data = self._beginning + self._file.read(8 * size + 1)
        try:
            arrays = safetensors.numpy.load(data)
        except (safetensors.SafetensorError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise FileFormatError(
                f"expected {size} bytes of arrays, one after the other; safetensors does not read them"
                f" ({short_repr(error)}): the file is cut off or damaged"
            ) from error
        for name, (dtype, shape) in types.items():
            if (arrays[name].dtype, arrays[name].shape) != (dtype, shape):
                raise FileFormatError(
                    f"array {short_repr(name)}: expected {dtype.name} of shape {shape}, got {arrays[name].dtype.name}"
                    f" of shape {arrays[name].shape}"
                )
        return {name: arrays[name] for name in types}
