"""Which samples make up each step: batch size and sampling.

The order is drawn on the host, so that every backend sees the same batches; the rows are gathered where the data are.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from typing import Any, Literal, final, get_args

import numpy as np

from bpx._typing import Array
from bpx.backend.base import Backend
from bpx.streams.batches import Batch, Data, Feed, Ranks

Sampling = Literal["shuffle", "sequential", "replacement"]
SAMPLINGS: tuple[Sampling, ...] = get_args(Sampling)

# Host indices of an epoch's samples, (n,), or (K, n) where each network of a stack has its own; None is the order they
# have.
Order = np.ndarray[Any, np.dtype[np.int64]] | None


def check_sampling(sampling: Sampling) -> Sampling:
    """One of the three ways of sampling."""
    if sampling not in SAMPLINGS:
        raise ValueError(f"unknown sampling {sampling!r}; known are {', '.join(SAMPLINGS)}")
    return sampling


@final
class Sampler:
    """Draws the order in which an epoch visits n samples in batches of `size`.

    A full batch in shuffled order has the same mean as in the order it has, so it is not shuffled.
    """

    def __init__(self, sampling: str, n: int, size: int, seed: int) -> None:
        self._sampling, self._n, self._size = sampling, n, size
        self._rng = np.random.default_rng(seed)

    def __call__(self) -> Order:
        """The next epoch's order."""
        if self._sampling == "replacement":
            return self._rng.integers(0, self._n, size=self._n)
        return self._rng.permutation(self._n) if self._sampling == "shuffle" and self._size < self._n else None

    @property
    def state(self) -> Any:
        """The generator's, plain data: with it the same orders come again."""
        return self._rng.bit_generator.state

    @state.setter
    def state(self, state: Any) -> None:
        self._rng.bit_generator.state = state


@final
class SparseRows:
    """A SciPy sparse matrix as the loop sees it: rows become dense on the device when a batch needs them."""

    def __init__(self, backend: Backend, matrix: Any, dtype: Any) -> None:
        self._backend = backend
        self._matrix = matrix.tocsr()
        self._dtype = dtype
        self.shape = matrix.shape

    def some(self, rows: Any) -> SparseRows:
        """Those rows (a slice or host indices), sparse as they are."""
        return SparseRows(self._backend, self._matrix[rows], self._dtype)

    def dense(self, rows: Any) -> Array:
        """Those rows (a slice, or host indices of any shape), as a dense array of the backend."""
        return self._backend.asarray(self._rows(rows), self._dtype)

    def fill(self, rows: Any, out: np.ndarray[Any, Any]) -> None:
        """The same, into a NumPy array."""
        out[...] = self._rows(rows)

    def _rows(self, rows: Any) -> Any:
        """The same, as SciPy gives it."""
        if isinstance(rows, slice) or rows.ndim == 1:
            return self._matrix[rows].toarray()
        return self._matrix[rows.reshape(-1)].toarray().reshape(*rows.shape, -1)


def wholes(data: Any) -> Iterator[Data]:
    """Data as they are, and a stream's one window after the other."""
    if hasattr(data, "parts"):
        for part in data.parts():
            yield from wholes(part)
    else:
        yield data


def rows_between(data: Data, start: int, stop: int) -> Data:
    """Some of the rows, without copying; sparse ones become dense.

    Where each network of a stack has data of its own, X (K, n, n_in) and y (K, n, n_out) or (K, n), some of each.
    """
    rows, sparse = slice(start, stop), isinstance(data.X, SparseRows)
    X = data.X.dense(rows) if sparse else data.X[..., rows, :]
    weight = None if data.weight is None else data.weight[..., rows, :]
    own = not sparse and data.X.ndim == 3
    return Data(X, data.y[:, rows, ...] if own else data.y[rows, ...], weight)


def some_rows(data: Data, rows: slice) -> Data:
    """Consecutive rows, of which sparse ones stay sparse."""
    X = data.X.some(rows) if isinstance(data.X, SparseRows) else data.X[rows, ...]
    return Data(X, data.y[rows, ...], None if data.weight is None else data.weight[..., rows, :])


@final
class ArrayFeed(Feed):
    """Batches of `size` rows of arrays that lie where the network is; ``order()`` draws those of an epoch."""

    def __init__(
        self, backend: Backend, data: Data, size: int, order: Callable[[], Order], ranks: Ranks | None = None
    ) -> None:
        self.sources, self.data, self.plan = (data,), data, {"samples": data.X.shape[0]}
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
        n, index = order.shape[-1], self._on_device(order)
        for start in range(first * size, n, size):
            stop, own = min(start + size, n), 0
            if self._ranks is not None:
                share = self._ranks.share(stop - start)
                start, stop, own = start + share.start, start + share.stop, share.start
            rows = order[..., start:stop]
            if index is order:
                yield Batch(0, rows, rows, stop - start, own)
            else:
                yield Batch(0, rows, index[..., start:stop], stop - start, own, index, start)

    def _on_device(self, order: np.ndarray[Any, Any]) -> Array:
        """An epoch's rows where the network is, in the array that the epoch before had."""
        if self._backend.xp is np:
            return order
        given = self._backend.asarray(np.ascontiguousarray(order))
        if self._index is None or self._index.shape != given.shape:
            self._index = given
        else:
            self._index[...] = given
        return self._index
