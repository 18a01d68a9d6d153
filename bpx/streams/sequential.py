"""All rows of a stream in their order: what measures a loss or an error rate, or answers, goes over them."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from typing import final

from bpx.errors import Log
from bpx.network.memory import forget
from bpx.network.mlp import MLP
from bpx.streams.batches import Data, Ranks
from bpx.streams.budget import bytes_per_row, peek, rows_at_once, rows_of_a_window
from bpx.streams.shuffling import blocks
from bpx.streams.sources import Batches, Part, RowSource
from bpx.streams.stream import Stream
from bpx.streams.windows import DoubleBuffer, Gate, PrefetchedWindow, filled, slice_rows

__all__ = ["InOrder"]

logger = Log("bpx")


@final
class InOrder:
    """All rows of a stream, or a rank's share of them, in their order: what measures a loss or an error rate goes over.

    Parameters
    ----------
    stream : Stream
    net : MLP
    gate : Gate
    lent : DoubleBuffer, optional
        A training's, to read into while it does not use them itself; else a buffer is made.
    ranks : Ranks, optional
        Each reads its share.
    like : Data, optional
        Some rows as the gate gives them, where they have been looked at before.

    Attributes
    ----------
    n : int or None
        Rows, where that is known before they have been read.
    """

    def __init__(
        self,
        stream: Stream,
        net: MLP,
        gate: Gate,
        lent: DoubleBuffer | None = None,
        ranks: Ranks | None = None,
        like: Data | None = None,
    ) -> None:
        self._source, self._gate, self._net = stream.source, gate, net
        self.n = stream.source.n if isinstance(stream.source, RowSource) else None
        self._buffer, self._lent = stream.buffer, lent
        self._own: DoubleBuffer | None = None
        self._share = ranks.share if ranks is not None and isinstance(stream.source, RowSource) else None
        self._like = peek(stream.source, gate)[1] if like is None else like
        rows = rows_of_a_window(stream.buffer, bytes_per_row(self._like, net.dtype))
        self._rows = rows if self.n is None else max(1, min(rows, self.n))

    def parts(self) -> Generator[Data, None, None]:
        """One window after the other; each is overwritten by the next but one."""
        halves = self._lent
        if halves is None or halves.in_use:  # a callback may ask in the middle of an epoch
            rows = self._rows if self._lent is None else -(-self._rows // 8)
            halves = self._own = self._own or _halves(self._net, rows, self._like)
        rows = halves.sources[0].X.shape[0]
        with closing(filled(lambda take: self._fill(take, halves, rows), halves)) as windows:
            for window in windows:
                yield halves.first_rows(window.half, window.rows)

    def _fill(self, take: Callable[[], int], halves: DoubleBuffer, rows: int) -> Iterator[PrefetchedWindow]:
        """Windows of that many rows, the last one smaller."""
        half, at = -1, 0
        for where, part in self._pieces():
            data = self._gate(part, where)
            begin, n = 0, data.X.shape[0]
            while begin < n:
                if at == 0:
                    half = take()
                count = min(rows - at, n - begin)
                halves.write(half, at, slice_rows(data, begin, begin + count))
                begin, at = begin + count, at + count
                if at == rows:
                    halves.send(half, at)
                    yield PrefetchedWindow(half, at, [])
                    at = 0
        if at:
            halves.send(half, at)
            yield PrefetchedWindow(half, at, [])

    def _pieces(self) -> Iterator[tuple[str, Part]]:
        """What is read at once, with its place in words."""
        source = self._source
        if isinstance(source, Batches):
            for number, part in enumerate(source):
                yield f"batch {number}", part
            return
        own = slice(0, source.n) if self._share is None else self._share(source.n)
        edges = blocks(source.n, rows_at_once(source, self._buffer), source.edges)
        for a, b in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
            begin, end = max(a, own.start), min(b, own.stop)
            if begin < end:
                yield f"rows {begin} to {end - 1}", source.read(begin, end)
        source.forget()


def _halves(net: MLP, rows: int, like: Data) -> DoubleBuffer:
    """Two windows of that many rows, or of half as many as often as memory runs out."""
    size = rows
    while True:
        try:
            halves = DoubleBuffer(net.backend, size, like)
        except BaseException as error:
            if size == 1 or not net.backend.is_out_of_memory(error):
                raise
            forget(error)
            size = -(-size // 2)
        else:
            if size < rows:
                logger.info("memory ran out for windows of %d rows, which are of %d now", rows, size)
            return halves
