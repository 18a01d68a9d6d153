"""A stream's buffer: two windows of rows, one of which a thread fills while the other is trained on."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from queue import SimpleQueue
from typing import Any, NamedTuple, final

import numpy as np

from bpx.backend.base import Backend
from bpx.streams.data import Batch, Data


class PrefetchedWindow(NamedTuple):
    """A filled window: its place in the double buffer, its number of rows, and its batches."""

    place: int
    rows: int
    batches: list[Batch]


@final
class DoubleBuffer:
    """Memory for two windows of `rows` rows, with the columns and dtypes of `like`.

    A window's `place` is 0 or 1; `sources` are both windows on the network's device; `in_use` says whether they are
    being filled.
    """

    def __init__(self, backend: Backend, rows: int, like: Data) -> None:
        self.backend = backend
        # Rows that are already on the device that computes need no copy on the host.
        self._staged = isinstance(like.X, np.ndarray) and backend.xp is not np
        self.sources = [_on_device(backend, rows, like) for _ in range(2)]
        self._host = self.sources
        if self._staged:  # page-locked host memory, from which copies to the device are fast
            self._host = [like.map(lambda a: backend.pinned((rows, *a.shape[1:]), a.dtype)) for _ in range(2)]
        # Earlier work on the device may still read memory that has just been allocated again.
        self._read: list[Any] = [backend.mark(), backend.mark()]
        self.in_use = False

    def write(self, place: int, at: int, part: Data) -> None:
        """Write rows into a window, from row `at` on."""
        for target, rows in zip(self._host[place], part, strict=True):
            if target is not None:
                target[at : at + rows.shape[0], ...] = rows

    def send(self, place: int, rows: int) -> None:
        """Copy a window's first rows to the device, after the work that still reads the former ones."""
        if self._staged:
            for source, target in zip(self._host[place], self.sources[place], strict=True):
                if source is not None:
                    self.backend.transfer(source[:rows], target[:rows, ...], self._read[place])

    def release(self, place: int) -> None:
        """Mark that all work that reads a window has been submitted to the device."""
        self._read[place] = self.backend.mark()

    def first_rows(self, place: int, rows: int) -> Data:
        """A window's first rows, without copying."""
        return self.sources[place].rows(0, rows)


def _on_device(backend: Backend, rows: int, like: Data) -> Data:
    """Empty device arrays for `rows` rows."""

    def empty(a: Any) -> Any:
        dtype = backend.dtype(a.dtype.name) if isinstance(a, np.ndarray) else a.dtype
        return backend.xp.empty((rows, *a.shape[1:]), dtype=dtype, device=backend.device)

    with backend.scope():
        return like.map(empty)


def packed(
    parts: Iterable[Data], buffer: DoubleBuffer, take: Callable[[], int], rows: int
) -> Iterator[tuple[int, int]]:
    """Fill windows of `rows` rows with parts of any size; yields the place and rows of each, the last maybe smaller."""
    place, at = -1, 0
    for part in parts:
        begin, n = 0, part.n
        while begin < n:
            if at == 0:
                place = take()
            count = min(rows - at, n - begin)
            buffer.write(place, at, part.rows(begin, begin + count))
            begin, at = begin + count, at + count
            if at == rows:
                buffer.send(place, at)
                yield place, at
                at = 0
    if at:
        buffer.send(place, at)
        yield place, at


class _StoppedError(Exception):
    """Raised in the thread when no further window is needed."""


def prefetched(
    fill: Callable[[Callable[[], int]], Iterator[PrefetchedWindow]], buffer: DoubleBuffer
) -> Generator[PrefetchedWindow, None, None]:
    """Windows one after the other, each filled by a thread while the one before is used.

    ``fill(take)`` yields windows; ``take()`` waits for a free place in the buffer. Errors in `fill` are raised here,
    after the windows that were filled before them. Close the generator to end the thread.
    """
    free: SimpleQueue[int | None] = SimpleQueue()
    full: SimpleQueue[PrefetchedWindow | BaseException | None] = SimpleQueue()
    free.put(0)
    free.put(1)

    def take() -> int:
        place = free.get()
        if place is None:
            raise _StoppedError
        return place

    def work() -> None:
        try:
            with here:
                for window in fill(take):
                    full.put(window)
            full.put(None)
        except _StoppedError:
            pass
        except BaseException as error:
            full.put(error)

    here = buffer.backend.here()  # each thread has a current device and stream of its own
    thread = threading.Thread(target=work, name="bpx-stream", daemon=True)
    buffer.in_use = True
    thread.start()
    try:
        while (window := full.get()) is not None:
            if isinstance(window, BaseException):
                raise window
            yield window
            buffer.release(window.place)
            free.put(window.place)
    finally:
        free.put(None)
        thread.join()
        for place in range(2):  # submitted work may still read a window that was not used up
            buffer.release(place)
        buffer.in_use = False
