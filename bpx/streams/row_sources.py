"""Sources of a stream: rows of arrays that need not be in memory, or the batches of an iterable."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from typing import Any, final

import numpy as np

from bpx.backend.base import library_of
from bpx.backend.select import to_host
from bpx.errors import ShapeError
from bpx.network.data_frames import as_host_array, check_in_memory, is_frame, rows_between
from bpx.network.validation import check_known
from bpx.streams.data import fingerprint

# Rows in a fingerprint; for a chunked file, each means reading a chunk.
FINGERPRINTS = 8

# Inputs, targets and weights of some rows, as they are read; targets and weights may be None.
Part = tuple[Any, Any, Any]


class RowSource(ABC):
    """Rows that can be read in any order.

    `n` is their number; `edges` are the boundaries of pieces that can only be read whole, such as chunks (None: any
    rows can be read); `name` describes the source in messages.
    """

    n: int
    edges: np.ndarray[Any, np.dtype[np.int64]] | None = None
    name: str
    _kept: tuple[int, Part] | None = None

    @abstractmethod
    def _read(self, start: int, stop: int) -> Part:
        """Rows from `start` to `stop`, which are one piece if there are `edges`."""

    @final
    def read(self, start: int, stop: int) -> Part:
        """Rows from `start` to `stop`, all of the same piece, which is kept for the next call."""
        if self.edges is None:
            return self._read(start, stop)
        piece = int(np.searchsorted(self.edges, start, side="right")) - 1
        first = int(self.edges[piece])
        kept = self._kept
        if kept is None or kept[0] != piece:
            self._kept = kept = None  # frees the old piece before the new one is read
            self._kept = kept = piece, self._read(first, int(self.edges[piece + 1]))
        rows = slice(start - first, stop - first)
        X, y, weight = kept[1]
        return X[rows], None if y is None else y[rows], None if weight is None else weight[rows]

    def fingerprint(self) -> dict[str, list[float]]:
        """One number for each of a few rows, by which a resumed run recognises the data."""
        sampled = np.unique(np.linspace(0, self.n - 1, FINGERPRINTS).astype(np.int64)).tolist()
        parts = [self.read(row, row + 1) for row in sampled]
        self.forget()
        columns = zip(("X", "y", "weight"), zip(*parts, strict=True), strict=True)
        return {
            name: [fingerprint(as_host_array(to_host(row)))[0] for row in rows]
            for name, rows in columns
            if rows[0] is not None
        }

    def forget(self) -> None:
        """Free the piece that is kept."""
        self._kept = None


@final
class ArrayRows(RowSource):
    """Rows of arrays that are read by slicing: memory maps, zarr, dask and HDF5 arrays, or others."""

    def __init__(self, X: Any, y: Any = None, weight: Any = None) -> None:
        self._arrays = (X, y, weight)
        for name, part in (("X", X), ("y", y), ("sample_weight", weight)):
            check_known(part, name)
        shape = tuple(X.shape)
        self.name = f"{type(X).__module__.partition('.')[0]} array of shape {shape}"
        if len(shape) != 2:
            one = "call net(X)" if is_frame(X) else "give X[None, :], or call net(X)"
            one = f"; of one sample {one}" if len(shape) == 1 else ""
            raise ShapeError(f"X: expected 2 dimensions (samples, columns), got shape {shape}{one}")
        self.n = int(shape[0])
        for name, part in (("y", y), ("sample_weight", weight)):
            if part is not None and (not hasattr(part, "shape") or not part.shape or part.shape[0] != self.n):
                raise ShapeError(
                    f"{name}: expected an array with {self.n} rows, one for each row of X, got"
                    f" {tuple(part.shape) if hasattr(part, 'shape') else type(part).__name__}"
                )
        self.edges = _pieces(X, self.n)

    def _read(self, start: int, stop: int) -> Part:
        X, y, weight = (None if a is None else _rows(a, start, stop) for a in self._arrays)
        return X, y, weight


def _rows(a: Any, start: int, stop: int) -> Any:
    """Rows of an array on the host; those of a device array stay on the device."""
    part = rows_between(a, start, stop)
    if is_frame(part):  # whose column names are needed for messages
        return part
    on_device = library_of(part) != "host" and not str(getattr(part, "device", "cpu")).startswith("cpu")
    return part if on_device else np.asarray(part)


def _pieces(X: Any, n: int) -> np.ndarray[Any, np.dtype[np.int64]] | None:
    """The boundaries of a chunked array's chunks along its rows; None for other arrays."""
    if isinstance(X, np.ndarray) or is_frame(X):  # a frame's columns may be called "chunks"
        return None
    rows = getattr(X, "shards", None) or getattr(X, "chunks", None)
    if not rows:
        return None
    if isinstance(rows[0], tuple):  # dask has the size of every chunk
        return np.concatenate([[0], np.cumsum(rows[0])]).astype(np.int64)
    return np.append(np.arange(0, n, int(rows[0]), dtype=np.int64), n)


@final
class BatchSource:
    """Batches (X, y) or (X, y, weight) of an iterable, or of inputs alone if not `targets`.

    The iterable is a list, PyTorch's DataLoader, or any object that can be iterated over in every epoch.
    """

    def __init__(self, given: Iterable[Any], targets: bool = True) -> None:
        if not hasattr(given, "__iter__"):
            kind = "batches (X, y)" if targets else "them"
            array = "; use numpy.asarray(X)" if hasattr(given, "__array__") else ""
            remedy = "; give y too where X is one array" if targets else array
            raise TypeError(f"X: expected an array, or an iterable of {kind}, got {type(given).__name__}{remedy}")
        if iter(given) is given:
            again = " for every epoch" if targets else ""
            raise TypeError(
                f"X: expected batches that can be iterated over again{again}, got {type(given).__name__},"
                " which can be iterated over once; give a list, or an object whose __iter__ begins anew"
            )
        self._given, self._targets = given, targets
        self.name = f"batches of {type(given).__name__}"

    def __iter__(self) -> Iterator[Part]:
        """All batches, from the first one."""
        for number, batch in enumerate(self._given):
            parts = batch if isinstance(batch, (tuple, list)) and not self._is_rows(batch) else (batch,)
            least = 2 if self._targets else 1
            for name, part in zip(("X", "y", "sample_weight"), parts, strict=False):
                check_in_memory(part, f"{name} of batch {number}")
            if self._targets and isinstance(batch, list) and not any(np.ndim(part) for part in batch):
                raise TypeError("y: expected targets, got None; X alone is taken for batches (X, y)")
            if not least <= len(parts) <= 3:
                raise TypeError(
                    f"batch {number}: expected {'(X, y) or (X, y, sample_weight)' if self._targets else 'X'}, got"
                    f" {type(batch).__name__}{f' of {len(batch)}' if hasattr(batch, '__len__') else ''}"
                )
            single = not isinstance(parts[0], (str, dict)) and np.ndim(parts[0]) == 0
            if single and isinstance(self._given, (list, tuple)):
                raise ShapeError(
                    "X: expected rows, or batches of rows, got a list of single values; "
                    + ("y has the targets where X is one array" if self._targets else "of one sample give [X]")
                )
            X, y, weight = (*(_on_host(part) for part in parts), None, None)[:3]
            yield X, y if self._targets else None, weight if self._targets else None

    def _is_rows(self, batch: Any) -> bool:
        """Whether a list or tuple is a batch of inputs, and not a tuple whose first part is one."""
        return not self._targets and len(batch) > 0 and bool(np.ndim(batch[0]) < (2 if isinstance(batch, list) else 1))


def _on_host(x: Any) -> Any:
    """A PyTorch tensor in host memory as a NumPy array that shares its memory; anything else unchanged."""
    if type(x).__module__.partition(".")[0] == "torch" and x.device.type == "cpu":
        return x.detach().numpy()
    return x
