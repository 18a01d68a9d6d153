"""Batches of data in memory: the order of an epoch's rows, sparse rows, and the feed that cuts them into batches.

The order is drawn on the host, so that every backend sees the same batches; the rows are gathered on the device.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from typing import Any, Literal, final, get_args

import numpy as np

from bpx._typing import Array
from bpx.backend.base import Backend
from bpx.streams.data import Batch, Data, Feed, Sharding

Sampling = Literal["shuffle", "sequential", "replacement"]
SAMPLINGS: tuple[Sampling, ...] = get_args(Sampling)

# Host indices of an epoch's samples, (n,), or (K, n) where each network of a stack has its own; None: as stored.
Order = np.ndarray[Any, np.dtype[np.int64]] | None


def check_sampling(sampling: Sampling) -> Sampling:
    """`sampling`, if it is one of the three; else a ValueError."""
    if sampling not in SAMPLINGS:
        raise ValueError(f"unknown sampling {sampling!r}; known are {', '.join(SAMPLINGS)}")
    return sampling


@final
class Sampler:
    """Draws the order in which an epoch visits n samples in batches of `size`.

    A full batch is not shuffled: its mean does not depend on the order.
    """

    def __init__(self, sampling: str, n: int, size: int, seed: int) -> None:
        self._sampling, self._n, self._size = sampling, n, size
        self._rng = np.random.default_rng(seed)

    def __call__(self) -> Order:
        """The next epoch's order."""
        if self._sampling == "replacement":
            return self._rng.integers(0, self._n, size=self._n)
        return self._rng.permutation(self._n) if self._sampling == "shuffle" and self._size < self._n else None

    def many(self, epochs: int) -> Order:
        """The orders of the next epochs, (epochs, n), the same that so many calls give."""
        if self._sampling == "replacement":
            return self._rng.integers(0, self._n, size=(epochs, self._n))
        if self._size < self._n:
            in_order = np.tile(np.arange(self._n, dtype=np.int64), (epochs, 1))
            return self._rng.permuted(in_order, axis=1) if self._sampling == "shuffle" else in_order
        return None

    @property
    def state(self) -> Any:
        """The random generator's state, plain data; setting it draws the same orders again."""
        return self._rng.bit_generator.state

    @state.setter
    def state(self, state: Any) -> None:
        self._rng.bit_generator.state = state


@final
class SparseRows:
    """A SciPy sparse matrix on the host, whose rows become dense on the device when a batch needs them."""

    def __init__(self, backend: Backend, matrix: Any, dtype: Any) -> None:
        self._backend = backend
        self.matrix = matrix.tocsr()
        self._dtype = dtype
        self.shape = matrix.shape

    def take(self, rows: Any) -> SparseRows:
        """The rows of a slice or of host indices, still sparse."""
        return SparseRows(self._backend, self.matrix[rows], self._dtype)

    def dense(self, rows: Any) -> Array:
        """The rows of a slice, or of host indices of any shape, as a dense array of the backend."""
        if isinstance(rows, slice) or rows.ndim == 1:
            taken = self.matrix[rows].toarray()
        else:
            taken = self.matrix[rows.reshape(-1)].toarray().reshape(*rows.shape, -1)
        return self._backend.asarray(taken, self._dtype)


def in_parts(data: Any) -> Iterator[Data]:
    """The windows of a stream one after the other; data in memory as one part."""
    return data.parts() if hasattr(data, "parts") else iter([data])


def rows_between(data: Data, start: int, stop: int) -> Data:
    """Rows from `start` to `stop`, without copying; sparse ones become dense.

    X may be (K, n, n_in) and y (K, n, n_out) or (K, n), where each network of a stack has data of its own.
    """
    part = slice_rows(data, slice(start, stop))
    return part._replace(X=part.X.dense(slice(None))) if isinstance(part.X, SparseRows) else part


def slice_rows(data: Data, rows: slice) -> Data:
    """As `rows_between`, but sparse rows stay sparse."""
    sparse = isinstance(data.X, SparseRows)
    X = data.X.take(rows) if sparse else data.X[..., rows, :]
    y = data.y[rows, ...] if sparse or data.X.ndim == 2 else data.y[:, rows, ...]
    return Data(X, y, None if data.weight is None else data.weight[..., rows, :])


def take_rows(backend: Backend, data: Data, rows: Any) -> Data:
    """Copies of the rows with these host indices; sparse ones stay sparse."""
    xp, index = backend.xp, backend.asarray(np.asarray(rows, dtype=np.int64))
    X = data.X.take(rows) if isinstance(data.X, SparseRows) else xp.take(data.X, index, axis=0)
    weight = None if data.weight is None else xp.take(data.weight, index, axis=-2)
    return Data(X, xp.take(data.y, index, axis=0), weight)


@final
class ArrayFeed(Feed):
    """Batches of `size` rows of data on the network's device; ``order()`` draws the order of an epoch."""

    def __init__(
        self, backend: Backend, data: Data, size: int, order: Callable[[], Order], ranks: Sharding | None = None
    ) -> None:
        self.sources, self.data, self.fixed = (data,), data, {"samples": data.X.shape[0]}
        self._backend, self._size, self._order, self._ranks = backend, size, order, ranks
        self._index: Array | None = None

    @property
    def state(self) -> Any:
        return getattr(self._order, "state", None)

    @state.setter
    def state(self, state: Any) -> None:
        self._order.state = state  # type: ignore[attr-defined]

    def epoch(self, number: int, first: int = 0) -> Generator[Batch, None, None]:
        n, size, order = self.data.X.shape[0], self._size, self._order()
        if order is None:
            if size == n and self._ranks is None:
                if first == 0:
                    yield Batch(0, None, None, n)
                return
            order = np.arange(n, dtype=np.int64)
        n, index, start = order.shape[-1], self._on_device(order), first * size
        while start < n:
            stop = min(start + size, n)
            if self._ranks is not None:
                share = self._ranks.share(stop - start)
                yield Batch.of_order(order, index, start + share.start, share.stop - share.start, share.start)
                start = stop
            elif stop - start == size:
                count = (n - start) // size
                yield Batch.of_order(order, index, start, size, count=count)
                start += count * size
            else:
                yield Batch.of_order(order, index, start, stop - start)
                start = stop

    @property
    def draws_ahead(self) -> bool:  # type: ignore[override]
        return self._ranks is None and isinstance(self._order, Sampler)

    def orders(self, epochs: int) -> Order:
        assert isinstance(self._order, Sampler)
        return self._order.many(epochs)

    def _on_device(self, order: np.ndarray[Any, Any]) -> Array:
        """An epoch's order on the device, in the array that the last epoch used (recorded steps read it)."""
        if self._backend.xp is np:
            return order
        new = self._backend.asarray(np.ascontiguousarray(order))
        if self._index is None or self._index.shape != new.shape:
            self._index = new
        else:
            self._index[...] = new
        return self._index
