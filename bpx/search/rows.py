"""Rows of the data: those that a training visits, and those that its network is scored on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from bpx.network.mlp import MLP
from bpx.search.folds import Fold
from bpx.training.batches import Data, Order, Sampler, SparseRows

__all__ = ["order_of", "take"]


def take(net: MLP, data: Data, rows: Any) -> Data:
    """Some rows of the data, dense."""
    xp, index = net.backend.xp, net.backend.asarray(np.asarray(rows, dtype=np.int64))
    X = data.X.dense(rows) if isinstance(data.X, SparseRows) else xp.take(data.X, index, axis=0)
    weight = None if data.weight is None else xp.take(data.weight, index, axis=-2)
    return Data(X, xp.take(data.y, index, axis=0), weight)


def order_of(sampler: Sampler, n: int, rows: Sequence[Fold]) -> Callable[[], Order]:
    """Draws an epoch's rows: each fold's in the order that its training alone would have."""
    one_for_all = all(fold is rows[0] for fold in rows)
    base = rows[0].train if one_for_all else np.stack([fold.train for fold in rows])
    unchanged = None if one_for_all and np.array_equal(base, np.arange(n)) else base

    def order() -> Order:
        positions = sampler()
        return unchanged if positions is None else base[..., positions]

    return order
