"""Training on rows that can be read in any order."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from typing import final

import numpy as np

from bpx.network.mlp import MLP
from bpx.streams.batches import Batch, Feed, Ranks, check_batch_size
from bpx.streams.budget import batches_of_a_window, bytes_per_row, check_pieces, peek, rows_at_once
from bpx.streams.sequential import InOrder
from bpx.streams.shuffling import Window, Windows, blocks
from bpx.streams.sources import RowSource
from bpx.streams.stream import Stream
from bpx.streams.windows import DoubleBuffer, Gate, PrefetchedWindow, filled

__all__ = ["RowFeed"]


@final
class RowFeed(Feed):
    """Batches of rows that can be read in any order.

    Parameters
    ----------
    net : MLP
    stream : Stream
        Of a `RowSource`.
    gate : Gate
    batch_size : int or None
        Rows of a batch.
    sampling : {"shuffle", "sequential"}
    seed : int
        Of the shuffling.
    ranks : Ranks, optional
        Processes that share each batch, and read only what they need of it.

    Raises
    ------
    ValueError
        If a batch, or a chunk of the source, does not fit into the buffer.
    """

    def __init__(
        self, net: MLP, stream: Stream, gate: Gate, batch_size: int | None, sampling: str, seed: int,
        ranks: Ranks | None = None,
    ) -> None:  # fmt: skip
        source = stream.source
        assert isinstance(source, RowSource)
        check_pieces(source, stream.buffer)
        _, like = peek(source, gate)
        size = self.size = check_batch_size(batch_size, source.n)
        batches = batches_of_a_window(stream.buffer, bytes_per_row(like, net.dtype), size)
        # A window mixes several blocks, however small the buffer.
        rows = stream.block or min(rows_at_once(source, stream.buffer), max(1, batches * size // 8))
        self._at_once = max(1, rows_at_once(source, stream.buffer))
        self._windows = Windows(
            source.n, size, batches, blocks(source.n, rows, source.edges), sampling == "shuffle", seed
        )
        self._source, self._gate, self._backend, self._ranks = source, gate, net.backend, ranks
        self._share = slice(0, size) if ranks is None else ranks.share(size)
        own = self._share.stop - self._share.start
        # one rank's part of the last, smaller batch may be a row longer than its part of a full one
        self._halves = DoubleBuffer(net.backend, (own * batches + 1 if ranks is not None else size * batches), like)
        self.sources = self._halves.sources
        self.data = InOrder(stream, net, gate, self._halves, like=like)
        self.plan = {"samples": source.n, "window": batches, "blocks": len(self._windows.edges) - 1}

    def fingerprint(self) -> dict[str, list[float]]:
        return self._source.fingerprint()

    def epoch(self, number: int, first: int = 0) -> Generator[Batch, None, None]:
        def fill(take: Callable[[], int]) -> Iterator[PrefetchedWindow]:
            return self._fill(number, first, take)

        with closing(filled(fill, self._halves)) as windows:
            for window in windows:
                yield from window.batches

    def _fill(self, epoch: int, first: int, take: Callable[[], int]) -> Iterator[PrefetchedWindow]:
        """An epoch's windows from the one with that batch."""
        windows, share = self._windows, self._share
        order = windows.order(epoch)
        for window in windows.windows(first):
            half = take()
            tail = slice(0, window.tail) if self._ranks is None else self._ranks.share(window.tail)
            at = 0
            for begin, end in windows.pieces(order, windows.stretches(window, share, tail)):
                for start in range(begin, end, self._at_once):
                    stop = min(end, start + self._at_once)
                    data = self._gate(self._source.read(start, stop), f"rows {start} to {stop - 1}")
                    self._halves.write(half, at, data)
                    at += stop - start
            self._halves.send(half, at)
            batches = self._batches(epoch, window, half, tail)
            yield PrefetchedWindow(half, at, batches[max(0, first - window.number * windows.batches) :])
        self._source.forget()

    def _batches(self, epoch: int, window: Window, half: int, tail: slice) -> list[Batch]:
        """The batches of a window, in which this rank's rows lie stretch by stretch."""
        own = self._share.stop - self._share.start
        rows = self._windows.rows(epoch, window, self._share)
        batches = [Batch(half, r, self._backend.asarray(r), own, self._share.start) for r in rows]
        if window.tail:
            last = window.batches * own + np.arange(tail.stop - tail.start, dtype=np.int64)
            batches.append(Batch(half, last, self._backend.asarray(last), len(last), tail.start))
        return batches
