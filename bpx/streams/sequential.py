"""All rows of a stream in their order, for losses, metrics and predictions."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from itertools import pairwise
from typing import final

from bpx.errors import Log
from bpx.network.memory import forget
from bpx.network.mlp import MLP
from bpx.streams.budget import bytes_per_row, peek, rows_at_once, rows_of_a_window
from bpx.streams.data import Data, Sharding
from bpx.streams.double_buffer import DoubleBuffer, PrefetchedWindow, packed, prefetched
from bpx.streams.row_sources import BatchSource
from bpx.streams.row_validation import RowValidator
from bpx.streams.shuffled_windows import blocks
from bpx.streams.stream import Stream

logger = Log("bpx")


@final
class SequentialRows:
    """All rows of a stream, or a rank's share of them, in order.

    `lent` is the buffer of a feed, used while training does not use it; `like` are some checked rows, if the caller has
    them. `n` is the number of rows, or None for an iterable, whose rows have to be read to be counted.
    """

    def __init__(
        self, stream: Stream, net: MLP, validate: RowValidator, lent: DoubleBuffer | None = None,
        ranks: Sharding | None = None, like: Data | None = None,
    ) -> None:  # fmt: skip
        self._source, self._validate, self._net = stream.source, validate, net
        self._bytes, self._lent, self._ranks = stream.buffer, lent, ranks
        self._own: DoubleBuffer | None = None
        self._like = peek(stream.source, validate)[1] if like is None else like
        self.n = None if isinstance(stream.source, BatchSource) else stream.source.n
        rows = rows_of_a_window(stream.buffer, bytes_per_row(self._like, net.dtype))
        self._rows = rows if self.n is None else min(rows, self.n)

    def parts(self) -> Generator[Data, None, None]:
        """One window after the other; each is overwritten by the next but one."""
        buffer = self._lent
        if buffer is None or buffer.in_use:  # as in a callback in the middle of an epoch
            rows = self._rows if self._lent is None else -(-self._rows // 8)
            buffer = self._own = self._own or _buffer(self._net, rows, self._like)
        rows = buffer.sources[0].n

        def fill(take: Callable[[], int]) -> Iterator[PrefetchedWindow]:
            return (PrefetchedWindow(*window, []) for window in packed(self._pieces(), buffer, take, rows))

        with closing(prefetched(fill, buffer)) as windows:
            for window in windows:
                yield buffer.first_rows(window.place, window.rows)

    def _pieces(self) -> Iterator[Data]:
        """The blocks or batches as they are read, checked."""
        source = self._source
        if isinstance(source, BatchSource):
            for number, part in enumerate(source):
                yield self._validate(part, f"batch {number}")
            return
        share = slice(0, source.n) if self._ranks is None else self._ranks.share(source.n)
        edges = blocks(source.n, rows_at_once(source, self._bytes), source.edges)
        for a, b in pairwise(edges.tolist()):
            begin, end = max(a, share.start), min(b, share.stop)
            if begin < end:
                yield self._validate(source.read(begin, end), f"rows {begin} to {end - 1}")
        source.forget()


def _buffer(net: MLP, rows: int, like: Data) -> DoubleBuffer:
    """A buffer with windows of `rows` rows, or of half as many whenever memory runs out."""
    size = rows
    while True:
        try:
            buffer = DoubleBuffer(net.backend, size, like)
        except BaseException as error:
            if size == 1 or not net.backend.is_out_of_memory(error):
                raise
            forget(error)
            size = -(-size // 2)
        else:
            if size < rows:
                logger.info("memory ran out for windows of %d rows, which are of %d now", rows, size)
            return buffer
