"""Training on the batches of an iterable."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from functools import partial
from typing import Any, final

import numpy as np

from bpx.errors import ShapeError
from bpx.network.mlp import MLP
from bpx.streams.budget import batches_of_a_window, bytes_per_row, peek, rows_of_a_window
from bpx.streams.data import Batch, Data, Feed, Sharding, check_batch_size
from bpx.streams.double_buffer import DoubleBuffer, PrefetchedWindow, packed, prefetched
from bpx.streams.row_sources import BatchSource
from bpx.streams.row_validation import RowValidator
from bpx.streams.sequential import SequentialRows
from bpx.streams.shuffled_windows import batch_rows
from bpx.streams.stream import Stream


@final
class BatchFeed(Feed):
    """Batches made of the rows of an iterable's batches; arguments as of `bpx.fit`.

    If `batch_size` is None each of its batches is a step. Rows are shuffled within a window of the buffer. Each process
    of a data-parallel run has an iterable with rows of its own. ValueError for a batch that does not fit into the
    buffer.
    """

    def __init__(
        self, net: MLP, stream: Stream, validate: RowValidator, batch_size: int | None, sampling: str, seed: int,
        ranks: Sharding | None = None,
    ) -> None:  # fmt: skip
        source = stream.source
        assert isinstance(source, BatchSource)
        if ranks is not None and not stream.sharded:
            raise ValueError(
                "X: expected in a data-parallel run an iterable with this process's own rows, marked as such with"
                " bpx.stream(batches, sharded=True); of arrays on disk and Parquet files bpx itself reads each"
                " process's share"
            )
        _, like = peek(source, validate)
        row = bytes_per_row(like, net.dtype)
        self._as_they_come = batch_size is None
        if batch_size is None:
            self.size, self._share, self._count = 0, slice(0, 0), 1
            self._capacity = rows_of_a_window(stream.buffer, row)
        else:
            self.size = check_batch_size(batch_size, 2**62)
            self._share = slice(0, self.size) if ranks is None else ranks.share(self.size)
            per_batch = self._share.stop - self._share.start
            if not per_batch:
                raise ValueError(f"batch_size: expected at least one row for each of the ranks, got {batch_size}")
            self._count = batches_of_a_window(stream.buffer, row, self.size)
            self._capacity = self._count * per_batch
        self._source, self._validate, self._backend, self._ranks = source, validate, net.backend, ranks
        self._key = [seed] if sampling == "shuffle" else None
        self._like = like
        self._buffer = DoubleBuffer(net.backend, self._capacity, like)
        self.sources = self._buffer.sources
        self.data = SequentialRows(stream, net, validate, self._buffer, like=like)
        self.fixed = {"samples": None, "window": self._count}
        # Rows of an epoch, known after the first one; with ranks, which may have different ones, it stays None.
        self.state: dict[str, int | None] = {"rows": None}

    def epoch(self, number: int, first: int = 0) -> Generator[Batch, None, None]:
        fill = partial(self._unchanged, first) if self._as_they_come else partial(self._windows, number, first)
        with closing(prefetched(fill, self._buffer)) as windows:
            for window in windows:
                yield from window.batches
        if self._ranks is not None:
            self._ranks.end_stream()

    def _parts(self) -> Iterator[Data]:
        """The iterable's batches, checked."""
        rows = 0
        for number, part in enumerate(self._source):
            data = self._validate(part, f"batch {number}")
            self._compare(data, number)
            rows += data.n
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
        """ShapeError for a batch with other columns or dtypes than the first."""
        for name, part, like in zip(("X", "y", "sample_weight"), data, self._like, strict=True):
            if _kind(part) != _kind(like):
                raise ShapeError(
                    f"{name} of batch {number}: expected the kind of batch 0, {_kind(like)}, got {_kind(part)}"
                )

    def _parts_after(self, rows: int) -> Iterator[Data]:
        """The batches without their first `rows` rows, which have been trained on."""
        for data in self._parts():
            skipped = min(rows, data.n)
            rows -= skipped
            yield data.rows(skipped)
        if rows:
            raise ValueError(
                f"X: expected at least {rows} more rows, which the run that goes on had seen in this epoch; give"
                " the same batches as before"
            )

    def _unchanged(self, first: int, take: Callable[[], int]) -> Iterator[PrefetchedWindow]:
        """A window for each of the iterable's batches, from batch `first` on."""
        for number, data in enumerate(self._parts()):
            if number < first:
                continue
            n = data.n
            if n > self._capacity:
                raise ValueError(
                    f"buffer: expected batches of at most {self._capacity} rows for this buffer, got one of {n}; give"
                    " a larger one, bpx.stream(..., buffer=...)"
                )
            place = take()
            self._buffer.write(place, 0, data)
            self._buffer.send(place, n)
            rows = np.arange(n, dtype=np.int64)
            yield PrefetchedWindow(place, n, [Batch(place, rows, self._backend.asarray(rows), n)])

    def _windows(self, epoch: int, first: int, take: Callable[[], int]) -> Iterator[PrefetchedWindow]:
        """Windows filled with the batches' rows, from the one that holds batch `first` on."""
        seen, size = first // self._count, self._share.stop - self._share.start
        rank = [] if self._ranks is None else [self._ranks.rank]
        parts = self._parts_after(seen * self._capacity)
        for number, (place, rows) in enumerate(packed(parts, self._buffer, take, self._capacity), seen):
            full, tail = divmod(rows, size)
            key = None if self._key is None else [*self._key, epoch, 1 + number, *rank]
            by_batch = batch_rows(full, size, slice(0, size), key)
            if tail:
                by_batch.append(np.arange(full * size, rows, dtype=np.int64))
            batches = [Batch(place, r, self._backend.asarray(r), len(r), self._share.start) for r in by_batch]
            yield PrefetchedWindow(place, rows, batches[max(0, first - number * self._count) :])


def _kind(part: Any) -> str:
    """An array's columns and dtype, for a message."""
    return "none" if part is None else f"{part.dtype} of shape (rows{''.join(f', {k}' for k in part.shape[1:])})"
