"""Data of a training checked, and brought to the network's backend, before anything changes."""

from __future__ import annotations

from typing import Any

import numpy as np

from bpx.errors import ShapeError
from bpx.formulas.losses import Loss
from bpx.network import validation
from bpx.network.memory import Attempt, explaining, rows_of
from bpx.network.mlp import MLP
from bpx.streams.batches import Data
from bpx.training.batches import SparseRows


def check_data(net: MLP, X: Any, y: Any, loss: Loss, sample_weight: Any = None, suffix: str = "") -> Data:
    """Check data and bring them to the network's backend; `suffix` is "_val" in messages about validation data."""
    backend, dtype, n_out = net.backend, net.backend.dtype(net.dtype), net.sizes[-1]
    remedy = "read them while training goes on, with bpx.stream(X, y)"
    with backend.scope(), explaining(net, Attempt("in bringing the data to the network", rows_of(X), _bytes,
                                                  remedies=[remedy])):  # fmt: skip
        single = False
        if hasattr(X, "tocsr"):
            x: Any = _sparse(net, X, f"X{suffix}")
        else:
            x, single = validation.inputs(backend, dtype, X, net.sizes[0], name=f"X{suffix}")
        t = validation.targets(backend, dtype, y, x.shape[0], n_out, loss, single=single, name=f"y{suffix}")
        return Data(x, t, validation.sample_weights(backend, dtype, sample_weight, x.shape[0], net.stack))


def _bytes(net: MLP, rows: int) -> int:
    """Of samples on the network's device."""
    return rows * (net.sizes[0] + net.sizes[-1]) * np.dtype(net.dtype).itemsize


def _sparse(net: MLP, X: Any, name: str) -> SparseRows:
    """A SciPy sparse matrix, checked but not made dense."""
    if X.ndim != 2 or X.shape[1] != net.sizes[0] or X.shape[0] == 0:
        raise ShapeError(
            f"{name}: expected a sparse matrix of shape (samples, {net.sizes[0]}) with at least one sample, got"
            f" {tuple(X.shape)}"
        )
    entries = X.tocsr().data
    if entries.dtype.kind not in "biuf":
        raise TypeError(f"{name}: expected real numbers, got dtype {entries.dtype}")
    validation.check_finite(net.backend, np.asarray(entries), f"{name} (stored entries)")
    return SparseRows(net.backend, X, net.backend.dtype(net.dtype))


def check_validation(net: MLP, given: Any, loss: Loss) -> Data:
    """`check_data` of validation data, (X_val, y_val) or (X_val, y_val, sample_weight)."""
    if not isinstance(given, (tuple, list)) or len(given) not in (2, 3):
        many = f" of {len(given)}" if isinstance(given, (tuple, list)) else ""
        raise TypeError(
            f"validation: expected (X_val, y_val) or (X_val, y_val, sample_weight), got a {type(given).__name__}{many}"
        )
    weight = given[2] if len(given) == 3 else None
    return check_data(net, given[0], given[1], loss, weight, suffix="_val")
