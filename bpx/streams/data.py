"""Data, their batches, and the interface of feeds, which supply batches to training: for arrays and streams alike."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol

import numpy as np

from bpx._typing import Array
from bpx.errors.values import check_count


class Data(NamedTuple):
    """Checked samples on the network's device: X (n, n_in), y (n, n_out) or (n,), weight (n, 1), (K, n, 1) or None."""

    X: Array
    y: Array
    weight: Array | None = None

    @property
    def n(self) -> int:
        """Number of samples."""
        return int(self.X.shape[-2])

    def map(self, function: Callable[[Any], Any]) -> Data:
        """The data with ``function(array)`` in place of each array that is not None."""
        return Data(*(None if array is None else function(array) for array in self))

    def rows(self, start: int, stop: int | None = None) -> Data:
        """Rows from `start` to `stop`, without copying; for weights of shape (n, 1)."""
        return self.map(lambda array: array[start:stop, ...])


@dataclass(slots=True)
class Batch:
    """The rows of one step that this process computes."""

    # Index of their source in the feed's `sources`.
    source: int
    # Indices of the rows on the host and on the device: (n,), (K, n) if networks differ, or None for all rows in order.
    rows: np.ndarray[Any, Any] | None
    on_device: Array | None
    n: int
    # Position of the first row in the whole batch, of which other processes may compute the rest.
    first: int = 0
    # Indices of many batches one after the other, (m,) or (K, m), in a contiguous array that stays on the device, and
    # the position of this batch in it.
    order: Array | None = None
    start: int = 0
    # The host's copy of `order`, and how many batches of n rows follow one another in it, this one included.
    on_host: np.ndarray[Any, Any] | None = None
    count: int = 1

    @classmethod
    def of_order(
        cls, on_host: np.ndarray[Any, Any], order: Array, start: int, n: int, first: int = 0, count: int = 1
    ) -> Batch:
        """`count` batches of n rows each, one after the other in an epoch's order, on the host and on the device."""
        rows = on_host[..., start : start + n]
        here = rows if order is on_host else order[..., start : start + n]
        return cls(0, rows, here, n, first, order, start, on_host, count)

    def with_rows(self, rows: Array | None) -> Batch:
        """The batch with other row numbers, on the host and on the device."""
        return replace(self, rows=rows, on_device=rows)

    def up_to(self, count: int) -> Batch:
        """The first `count` of several batches."""
        if count >= self.count or self.on_host is None:
            return self
        return Batch.of_order(self.on_host, self.order, self.start, self.n, self.first, count)

    def after(self, steps: int) -> Batch | None:
        """The batches behind the first `steps` of them; None if none are left."""
        if steps >= self.count:
            return None
        assert self.on_host is not None
        start = self.start + steps * self.n
        return Batch.of_order(self.on_host, self.order, start, self.n, self.first, self.count - steps)


class Sharding(Protocol):
    """What a feed needs to know of processes that train together, seen from process number `rank`."""

    rank: int

    def share(self, n: int) -> slice:
        """The rows, of n, that belong to this process."""

    def end_stream(self) -> None:
        """Say that no batch is left in this process."""


class Feed(ABC):
    """Supplies training with batches."""

    # The data that batches index; the arrays of a source stay the same while their contents change.
    sources: Sequence[Data]
    # All samples: Data, or an object whose ``parts()`` are Data one after the other.
    data: Any
    # Plain values that must be the same when a run is resumed.
    fixed: dict[str, Any]
    # Plain data that determine the order of the next epochs; set it to repeat them.
    state: Any = None

    # Whether `orders` gives several epochs at once.
    draws_ahead = False

    def orders(self, epochs: int) -> np.ndarray[Any, Any] | None:
        """The rows of the next epochs, (epochs, n), drawn at once; None where each step takes every row."""
        raise NotImplementedError(f"{type(self).__name__} gives one epoch after the other: draws_ahead is False")

    def fingerprint(self) -> dict[str, list[float]]:
        """A fingerprint of a stream's rows; empty for an iterable, and for arrays."""
        return {}

    @abstractmethod
    def epoch(self, number: int, first: int = 0) -> Generator[Batch, None, None]:
        """The batches of epoch `number` (from 0), without the `first` ones, which have been trained on."""


def check_batch_size(batch_size: int | None, n: int) -> int:
    """The number of samples per step, at most n; n for None."""
    if batch_size is None:
        return n
    return min(check_count("batch_size", batch_size, otherwise=", or None for the full batch"), n)


def fingerprint(rows: np.ndarray[Any, Any]) -> list[float]:
    """A short fingerprint of sampled rows that changes when the data change: sum_j x_j cos(j) of each row."""
    flat = rows.astype(np.float64).reshape(len(rows), -1)
    with np.errstate(all="ignore"):
        numbers: list[float] = (flat @ np.cos(np.arange(1, flat.shape[1] + 1))).tolist()
    return numbers
