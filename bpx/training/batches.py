"""Which samples make up each step: batch size and sampling.

The order is drawn on the host, so that every backend sees the same batches; the rows are gathered where the data are.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from bpx._typing import Array, Namespace
from bpx.backend.base import Backend

__all__ = ["SAMPLINGS", "Data", "batches", "check_batch_size", "check_sampling", "chunks", "epoch_order"]

SAMPLINGS = ("shuffle", "sequential", "replacement")


class Data(NamedTuple):
    """Samples as they come through the gate: X (n, n_in), y (n, n_out) or (n,), weight (n, 1), (K, n, 1) or None."""

    X: Array
    y: Array
    weight: Array | None = None


def check_batch_size(batch_size: int | None, n: int) -> int:
    """Samples per step: a positive integer, held to n; None is all of them."""
    if batch_size is None:
        return n
    if isinstance(batch_size, bool) or not isinstance(batch_size, (int, np.integer)):
        raise TypeError(f"batch_size: expected a positive integer, or None for the full batch, got {batch_size!r}")
    if batch_size < 1:
        raise ValueError(f"batch_size: expected at least 1, or None for the full batch, got {batch_size}")
    return min(int(batch_size), n)


def check_sampling(sampling: str) -> str:
    """One of the three ways of sampling."""
    if sampling not in SAMPLINGS:
        raise ValueError(f"unknown sampling {sampling!r}; known are {', '.join(SAMPLINGS)}")
    return sampling


def epoch_order(sampling: str, n: int, rng: np.random.Generator) -> np.ndarray[Any, np.dtype[np.int64]] | None:
    """The order in which an epoch visits the n samples; None is the order they have."""
    if sampling == "shuffle":
        return rng.permutation(n)
    if sampling == "replacement":
        return rng.integers(0, n, size=n)
    return None


def take(xp: Namespace, data: Data, index: Array) -> Data:
    """The rows of that index."""
    weight = None if data.weight is None else xp.take(data.weight, index, axis=-2)
    return Data(xp.take(data.X, index, axis=0), xp.take(data.y, index, axis=0), weight)


def chunks(data: Data, size: int) -> Iterator[Data]:
    """Consecutive slices of at most `size` rows, without copying."""
    for start in range(0, data.X.shape[0], size):
        stop = min(start + size, data.X.shape[0])
        weight = None if data.weight is None else data.weight[..., start:stop, :]
        yield Data(data.X[start:stop, ...], data.y[start:stop, ...], weight)


def batches(backend: Backend, data: Data, size: int, sampling: str, rng: np.random.Generator) -> Iterator[Data]:
    """One epoch of batches; the last is smaller where n is not a multiple of `size`.

    A full batch in shuffled order has the same mean as in the order it has, so it is not gathered.
    """
    n = data.X.shape[0]
    order = None if size == n and sampling == "shuffle" else epoch_order(sampling, n, rng)
    if order is None:
        yield from [data] if size == n else chunks(data, size)
        return
    index = backend.asarray(order)
    for start in range(0, n, size):
        yield take(backend.xp, data, index[start : min(start + size, n)])
