"""The order in which an epoch visits rows that are read in blocks.

The blocks come in a new order each epoch and are read one after the other into windows of M batches of B rows. Within a
window the rows are shuffled by strata: the window is cut into B stretches of M rows, each is permuted by itself, and
batch k takes the k-th row of every stretch. So a batch draws from the whole window, and processes that share a
batch each read only the stretches whose rows they compute, whatever their number.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, final

import numpy as np

Indices = np.ndarray[Any, np.dtype[np.int64]]


class Window(NamedTuple):
    """The rows of `batches` full batches, and `tail` rows of a smaller last one."""

    number: int
    batches: int
    tail: int


@final
@dataclass(frozen=True)
class Windows:
    """How an epoch of n rows is cut into batches of `size` (B) and windows of `batches` batches (M).

    `edges` are where the blocks begin and end; without `shuffle` the rows keep their order.
    """

    n: int
    size: int
    batches: int
    edges: Indices
    shuffle: bool
    seed: int

    def windows(self, first_batch: int) -> Iterator[Window]:
        """The windows of an epoch, from the one that holds batch `first_batch` on."""
        whole = self.size * self.batches
        for number in range(first_batch // self.batches, -(-self.n // whole)):
            full, tail = divmod(min(whole, self.n - number * whole), self.size)
            yield Window(number, full, tail)

    def order(self, epoch: int) -> Indices:
        """The order of the blocks in an epoch."""
        count = len(self.edges) - 1
        if not self.shuffle:
            return np.arange(count, dtype=np.int64)
        return np.random.default_rng([self.seed, epoch, 0]).permutation(count)

    def stretches(self, window: Window, share: slice, tail: slice) -> list[tuple[int, int]]:
        """Positions in the epoch (from, to) that a process reads, with these shares of a batch and of the tail."""
        start = window.number * self.size * self.batches
        end = start + window.batches * self.size
        if self.shuffle:
            read = [(start + share.start * window.batches, start + share.stop * window.batches)]
        elif share.stop - share.start == self.size:
            read = [(start, end)]
        else:
            read = [(batch + share.start, batch + share.stop) for batch in range(start, end, self.size)]
        return [(a, b) for a, b in [*read, (end + tail.start, end + tail.stop)] if a < b]

    def pieces(self, order: Indices, stretches: list[tuple[int, int]]) -> Iterator[tuple[int, int]]:
        """The rows (from, to) at these positions, block by block."""
        lengths = (self.edges[1:] - self.edges[:-1])[order]
        starts = np.concatenate([[0], np.cumsum(lengths)])
        for begin, end in stretches:
            at = begin
            while at < end:
                i = int(np.searchsorted(starts, at, side="right")) - 1
                upto = min(end, int(starts[i + 1]))
                offset = int(self.edges[order[i]] - starts[i])
                yield at + offset, upto + offset
                at = upto

    def rows(self, epoch: int, window: Window, share: slice) -> list[Indices]:
        """For each full batch of a window, its rows in the buffer of a process with this share."""
        key = [self.seed, epoch, 1 + window.number]
        return batch_rows(window.batches, self.size, share, key if self.shuffle else None)


def batch_rows(batches: int, size: int, share: slice, key: list[int] | None) -> list[Indices]:
    """For each of `batches` batches of `size`, the rows of its `share` in the buffer; in order if `key` is None."""
    n = share.stop - share.start
    if key is None or batches == 0:
        return list(np.arange(batches * n, dtype=np.int64).reshape(batches, n))
    # Every process draws for all stretches, and uses its share.
    steps = np.broadcast_to(np.arange(batches, dtype=np.int64), (size, batches))
    within = np.random.default_rng(key).permuted(steps, axis=1)[share]
    return list(np.ascontiguousarray((within + batches * np.arange(n, dtype=np.int64)[:, None]).T))


def blocks(n: int, rows: int, edges: Indices | None) -> Indices:
    """Where blocks of `rows` rows begin and end; `edges`, if pieces can only be read whole."""
    if edges is None:
        return np.append(np.arange(0, n, rows, dtype=np.int64), n)
    return edges
