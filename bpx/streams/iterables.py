"""Training on what an iterable gives."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from typing import Any, final

import numpy as np

from bpx.errors import ShapeError
from bpx.network.mlp import MLP
from bpx.streams.batches import Batch, Data, Feed, Ranks, check_batch_size
from bpx.streams.budget import batches_of_a_window, bytes_per_row, peek, rows_of_a_window
from bpx.streams.sequential import InOrder
from bpx.streams.shuffling import batch_rows
from bpx.streams.sources import Batches
from bpx.streams.stream import Stream
from bpx.streams.windows import DoubleBuffer, Gate, PrefetchedWindow, filled, slice_rows

__all__ = ["BatchFeed"]


@final
class BatchFeed(Feed):
    """Batches made of those that an iterable gives.

    Parameters
    ----------
    net : MLP
    stream : Stream
        Of `Batches`.
    gate : Gate
    batch_size : int or None
        Rows of a batch; None: every batch as it comes.
    sampling : {"shuffle", "sequential"}
        Within a window of the buffer.
    seed : int
        Of the shuffling.
    ranks : Ranks, optional
        Processes each of which has an iterable of its own rows.

    Raises
    ------
    ValueError
        If a batch does not fit into the buffer.
    """

    def __init__(
        self, net: MLP, stream: Stream, gate: Gate, batch_size: int | None, sampling: str, seed: int,
        ranks: Ranks | None = None,
    ) -> None:  # fmt: skip
        source = stream.source
        assert isinstance(source, Batches)
        if ranks is not None and not stream.sharded:
            raise ValueError(
                "X: expected in a data-parallel run an iterable with this process's own rows, marked as such with"
                " bpx.stream(batches, sharded=True); of arrays on disk and Parquet files bpx itself reads each"
                " process's share"
            )
        _, like = peek(source, gate)
        self._source, self._gate, self._backend, self._ranks = source, gate, net.backend, ranks
        row = bytes_per_row(like, net.dtype)
        size = None if batch_size is None else check_batch_size(batch_size, 2**62)
        if size is None:
            self._share, self._count = slice(0, 0), 1
            rows = rows_of_a_window(stream.buffer, row)
        else:
            self._share = slice(0, size) if ranks is None else ranks.share(size)
            if self._share.start == self._share.stop:
                raise ValueError(f"batch_size: expected at least one row for each of the ranks, got {batch_size}")
            self._count = batches_of_a_window(stream.buffer, row, size)
            rows = self._count * (self._share.stop - self._share.start)
        self._as_they_come, self.size = size is None, size or 0
        self._size = rows // self._count
        self._capacity = rows
        self._key = [seed] if sampling == "shuffle" else None
        self._like = like
        self._halves = DoubleBuffer(net.backend, rows, like)
        self.sources = self._halves.sources
        self.data = InOrder(stream, net, gate, self._halves, like=like)
        self.plan = {"samples": None, "window": self._count}
        # Rows of an epoch, known after the first; ranks may have different ones.
        self.state: dict[str, int | None] = {"rows": None}

    def epoch(self, number: int, first: int = 0) -> Generator[Batch, None, None]:
        def fill(take: Callable[[], int]) -> Iterator[PrefetchedWindow]:
            return self._as_given(first, take) if self._as_they_come else self._fill(number, first, take)

        with closing(filled(fill, self._halves)) as windows:
            for window in windows:
                yield from window.batches
        if self._ranks is not None:
            self._ranks.end_stream()

    def _parts(self) -> Iterator[Data]:
        """What the iterable gives, checked."""
        rows = 0
        for number, part in enumerate(self._source):
            data = self._gate(part, f"batch {number}")
            self._compare(data, number)
            rows += data.X.shape[0]
            yield data
        known = self.state["rows"]
        if known is not None and rows != known:
            raise ValueError(
                f"X: expected {known} rows in every epoch, as in the first, got a stream that ends after {rows}; give"
                " an iterable that begins anew each time"
            )
        if self._ranks is None:
            self.state = {"rows": rows}

    def _compare(self, data: Data, number: int) -> None:
        """Refuse a batch of another kind than the first."""
        for name, part, like in zip(("X", "y", "sample_weight"), data, self._like, strict=True):
            mine, first = (None if a is None else (a.dtype, tuple(a.shape[1:])) for a in (part, like))
            if mine != first:
                raise ShapeError(
                    f"{name} of batch {number}: expected the kind of batch 0, {_kind(like)}, got {_kind(part)}"
                )

    def _as_given(self, first: int, take: Callable[[], int]) -> Iterator[PrefetchedWindow]:
        """Every batch is a step."""
        for number, data in enumerate(self._parts()):
            if number < first:
                continue
            n = data.X.shape[0]
            if n > self._capacity:
                raise ValueError(
                    f"buffer: expected batches of at most {self._capacity} rows for this buffer, got one of {n}; give"
                    " a larger one, bpx.stream(..., buffer=...)"
                )
            half = take()
            self._halves.write(half, 0, data)
            self._halves.send(half, n)
            rows = np.arange(n, dtype=np.int64)
            yield PrefetchedWindow(half, n, [Batch(half, rows, self._backend.asarray(rows), n)])

    def _fill(self, epoch: int, first: int, take: Callable[[], int]) -> Iterator[PrefetchedWindow]:
        """Windows filled with whatever comes, from the one with that batch."""
        skipped = first // self._count * self._capacity
        number, half, at = first // self._count, -1, 0
        for data in self._parts():
            begin, n = min(skipped, data.X.shape[0]), data.X.shape[0]
            skipped -= begin
            while begin < n:
                if at == 0:
                    half = take()
                count = min(self._capacity - at, n - begin)
                self._halves.write(half, at, slice_rows(data, begin, begin + count))
                begin, at = begin + count, at + count
                if at == self._capacity:
                    yield self._window(epoch, number, half, at, first)
                    number, at = number + 1, 0
        if at:
            yield self._window(epoch, number, half, at, first)
        if skipped:
            raise ValueError(
                f"X: expected at least {skipped} more rows, which the run that goes on had seen in this epoch; give"
                " the same batches as before"
            )

    def _window(self, epoch: int, number: int, half: int, rows: int, first: int) -> PrefetchedWindow:
        """A window with its batches."""
        self._halves.send(half, rows)
        full, tail = divmod(rows, self._size)
        rank = [] if self._ranks is None else [self._ranks.rank]
        key = None if self._key is None else [*self._key, epoch, 1 + number, *rank]
        chosen = batch_rows(full, self._size, slice(0, self._size), key)
        if tail:
            chosen.append(np.arange(full * self._size, rows, dtype=np.int64))
        batches = [Batch(half, r, self._backend.asarray(r), len(r), self._share.start) for r in chosen]
        return PrefetchedWindow(half, rows, batches[max(0, first - number * self._count) :])


def _kind(part: Any) -> str:
    """Columns and dtype in words."""
    return "none" if part is None else f"{part.dtype} of shape (rows{''.join(f', {k}' for k in part.shape[1:])})"
