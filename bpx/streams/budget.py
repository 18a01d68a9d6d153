"""How a stream's buffer is divided: two windows, and the block that is being read."""

from __future__ import annotations

import numpy as np

from bpx.errors import ShapeError
from bpx.streams.data import Data
from bpx.streams.row_sources import BatchSource, Part, RowSource
from bpx.streams.row_validation import RowValidator

# Shares of the buffer: of each of the two windows, and of a block that is read at once.
WINDOW, PIECE = 7 / 16, 1 / 8
# Bytes of an array on disk that are read at once.
BLOCK = 2**20


def bytes_of(part: Part) -> int:
    """Bytes of rows as they are read."""
    return sum(int(a.nbytes if hasattr(a, "nbytes") else np.asarray(a).nbytes) for a in part if a is not None)


def bytes_per_row(data: Data, dtype: str) -> int:
    """Bytes of a row after it has been checked, for a network of this dtype; labels are 64-bit integers."""
    itemsize = np.dtype(dtype).itemsize
    return sum(8 if a.ndim == 1 else itemsize * int(a.shape[1]) for a in data if a is not None)


def peek(source: RowSource | BatchSource, validate: RowValidator) -> tuple[Part, Data]:
    """The first rows as they are read, and checked; so bad ones are refused before training."""
    if isinstance(source, RowSource):
        if source.n == 0:
            raise ShapeError(f"X: expected at least one row, got an empty {source.name}")
        part = source.read(0, 1)
        data = validate(part, "the first row")
        source.forget()
        return part, data
    for part in source:
        return part, validate(part, "batch 0")
    raise ShapeError("X: expected at least one batch, got an iterable that gives none")


def rows_at_once(source: RowSource, buffer: int) -> int:
    """Rows that are read at once from an array without chunks."""
    return max(1, min(BLOCK, int(buffer * PIECE)) // max(1, bytes_of(source.read(0, 1))))


def check_pieces(source: RowSource, buffer: int) -> None:
    """ValueError for chunks that are too large for the buffer."""
    if source.edges is None:
        return
    row = bytes_of(source.read(0, 1))
    source.forget()
    largest = int(np.max(np.diff(source.edges))) * row
    if largest > buffer * PIECE:
        raise ValueError(
            f"buffer: expected at least {int(largest / PIECE) + 1} bytes, eight times the largest chunk or row group of"
            f" {largest} bytes, got {buffer}; give a larger one, bpx.stream(..., buffer=...), or store smaller chunks"
        )


def batches_of_a_window(buffer: int, row: int, size: int) -> int:
    """The number of batches in a window, for batches of `size` rows of `row` bytes; ValueError if it would be 0."""
    batches = int(buffer * WINDOW) // (row * size)
    if batches < 1:
        need = int(row * size / WINDOW) + 1
        raise ValueError(
            f"buffer: expected at least {need} bytes for two windows of a batch of {size} rows each, got {buffer};"
            " give a larger one, bpx.stream(..., buffer=...), or a smaller batch_size"
        )
    return batches


def rows_of_a_window(buffer: int, row: int) -> int:
    """The number of rows of `row` bytes in a window, at least one."""
    return max(1, int(buffer * WINDOW) // row)
