"""Training on rows that can be read in any order."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from functools import partial
from typing import final

import numpy as np

from bpx.network.mlp import MLP
from bpx.streams.budget import batches_of_a_window, bytes_per_row, check_pieces, peek, rows_at_once
from bpx.streams.data import Batch, Feed, Sharding, check_batch_size
from bpx.streams.double_buffer import DoubleBuffer, PrefetchedWindow, prefetched
from bpx.streams.row_sources import RowSource
from bpx.streams.row_validation import RowValidator
from bpx.streams.sequential import SequentialRows
from bpx.streams.shuffled_windows import Window, Windows, blocks
from bpx.streams.stream import Stream


@final
class RowFeed(Feed):
    """Batches of rows that can be read in any order; arguments as of `bpx.fit`.

    Processes that train together share each batch, and each reads only its own part. ValueError if a batch, or a chunk
    of the source, does not fit into the buffer.
    """

    def __init__(
        self, net: MLP, stream: Stream, validate: RowValidator, batch_size: int | None, sampling: str, seed: int,
        ranks: Sharding | None = None,
    ) -> None:  # fmt: skip
        source = stream.source
        assert isinstance(source, RowSource)
        check_pieces(source, stream.buffer)
        _, like = peek(source, validate)
        size = self.size = check_batch_size(batch_size, source.n)
        batches = batches_of_a_window(stream.buffer, bytes_per_row(like, net.dtype), size)
        self._at_once = rows_at_once(source, stream.buffer)
        # At least eight blocks are mixed in a window, even if the buffer is small.
        rows = stream.block or min(self._at_once, max(1, batches * size // 8))
        edges = blocks(source.n, rows, source.edges)
        self._windows = Windows(source.n, size, batches, edges, sampling == "shuffle", seed)
        self._source, self._validate, self._backend, self._ranks = source, validate, net.backend, ranks
        self._share = self._share_of(size)
        per_batch = self._share.stop - self._share.start
        # A rank's part of the last, smaller batch may be a row longer than its part of a full one.
        self._buffer = DoubleBuffer(net.backend, per_batch * batches + (0 if ranks is None else 1), like)
        self.sources = self._buffer.sources
        self.data = SequentialRows(stream, net, validate, self._buffer, like=like)
        self.fixed = {"samples": source.n, "window": batches, "blocks": len(edges) - 1}

    def fingerprint(self) -> dict[str, list[float]]:
        return self._source.fingerprint()

    def epoch(self, number: int, first: int = 0) -> Generator[Batch, None, None]:
        with closing(prefetched(partial(self._fill, number, first), self._buffer)) as windows:
            for window in windows:
                yield from window.batches

    def _share_of(self, rows: int) -> slice:
        """The rows of a batch that this rank computes."""
        return slice(0, rows) if self._ranks is None else self._ranks.share(rows)

    def _fill(self, epoch: int, first: int, take: Callable[[], int]) -> Iterator[PrefetchedWindow]:
        """The windows of an epoch, from the one that holds batch `first` on."""
        windows = self._windows
        order = windows.order(epoch)
        for window in windows.windows(first):
            place, at, tail = take(), 0, self._share_of(window.tail)
            for begin, end in windows.pieces(order, windows.stretches(window, self._share, tail)):
                for start in range(begin, end, self._at_once):
                    stop = min(end, start + self._at_once)
                    data = self._validate(self._source.read(start, stop), f"rows {start} to {stop - 1}")
                    self._buffer.write(place, at, data)
                    at += stop - start
            self._buffer.send(place, at)
            batches = self._batches(epoch, window, place, tail)
            yield PrefetchedWindow(place, at, batches[max(0, first - window.number * windows.batches) :])
        self._source.forget()

    def _batches(self, epoch: int, window: Window, place: int, tail: slice) -> list[Batch]:
        """The batches of a window that holds this rank's rows stretch by stretch."""
        n = self._share.stop - self._share.start
        rows = self._windows.rows(epoch, window, self._share)
        batches = [Batch(place, r, self._backend.asarray(r), n, self._share.start) for r in rows]
        if window.tail:
            last = window.batches * n + np.arange(tail.stop - tail.start, dtype=np.int64)
            batches.append(Batch(place, last, self._backend.asarray(last), len(last), tail.start))
        return batches
