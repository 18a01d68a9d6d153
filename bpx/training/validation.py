"""Training data through the gate: checked, and brought to the network's backend, before anything changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bpx.errors import ShapeError
from bpx.formulas.losses import Loss
from bpx.network import validation
from bpx.network.memory import Attempt, explaining, rows_of
from bpx.network.mlp import MLP
from bpx.training.batches import Data, SparseRows
from bpx.training.class_weight import class_weights

__all__ = ["check_network", "class_weighted", "gate", "gate_validation"]


def check_network(net: Any, call: str, *others: Any) -> None:
    """Refuse what is no network, and say which call is meant; `others` are the arguments after it.

    Raises
    ------
    TypeError
    """
    if isinstance(net, MLP):
        return
    hint = ""
    if any(isinstance(other, MLP) for other in others):
        hint = f"; the network comes first, {call}"
    elif hasattr(net, "get_params") and hasattr(net, "predict"):
        method = call.partition("(")[0].removeprefix("bpx.")
        hint = f"; an estimator has a method of its own, estimator.{method}({call.partition(', ')[2]}"
    raise TypeError(f"net: expected a bpx.MLP, got {type(net).__name__}{hint}")


def gate(
    net: MLP,
    X: Any,
    y: Any,
    loss: Loss,
    sample_weight: Any = None,
    class_weight: Mapping[int, float] | str | None = None,
    suffix: str = "",
) -> Data:
    """Check data and bring them to the network's backend; arguments as `fit`'s.

    Raises
    ------
    ShapeError, NonFiniteError, TypeError, ValueError, DeviceMismatchError
    ExplainedMemoryError
        If they do not fit there.
    """
    stream = "read them while training goes on, with bpx.stream(X, y)"
    attempt = Attempt("in bringing the data to the network", rows_of(X), _bytes, remedies=[stream])
    with net.backend.scope(), explaining(net, attempt):
        return _gate(net, X, y, loss, sample_weight, class_weight, suffix)


def _bytes(net: MLP, rows: int) -> int:
    """Of samples on the network's device."""
    return rows * (net.sizes[0] + net.sizes[-1]) * np.dtype(net.dtype).itemsize


def _gate(net: MLP, X: Any, y: Any, loss: Loss, sample_weight: Any, class_weight: Any, suffix: str) -> Data:
    """`gate`, once it is said what is done where memory runs out."""
    backend, dtype = net.backend, net.backend.dtype(net.dtype)
    single = False
    if hasattr(X, "tocsr"):
        x: Any = _sparse(net, X, f"X{suffix}")
    else:
        x, single = validation.inputs(backend, dtype, X, net.sizes[0], name=f"X{suffix}")
    n, n_out = x.shape[0], net.sizes[-1]
    t = validation.targets(backend, dtype, y, n, n_out, loss, single=single, name=f"y{suffix}")
    data = Data(x, t, validation.sample_weights(backend, dtype, sample_weight, n, net.stack))
    return data if class_weight is None else class_weighted(net, data, class_weight)


def class_weighted(net: MLP, data: Data, class_weight: Mapping[int, float] | str) -> Data:
    """The data, with the weight of each row's class in its own."""
    xp = net.backend.xp
    factor = net.asarray(class_weights(net.backend.to_host(data.y), class_weight, net.sizes[-1]))
    w = factor if data.weight is None else data.weight * factor
    if float(xp.min(xp.sum(w, axis=-2))) <= 0.0:
        raise ValueError("class_weight: with sample_weight, every sample would have weight zero")
    return data._replace(weight=w)


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


def gate_validation(net: MLP, validation: Sequence[Any], loss: Loss) -> Data:
    """Check validation data, (X_val, y_val) or (X_val, y_val, sample_weight), and bring them to the backend."""
    if not isinstance(validation, (tuple, list)) or len(validation) not in (2, 3):
        many = f" of {len(validation)}" if isinstance(validation, (tuple, list)) else ""
        raise TypeError(
            f"validation: expected (X_val, y_val) or (X_val, y_val, sample_weight), got a"
            f" {type(validation).__name__}{many}"
        )
    weight = validation[2] if len(validation) == 3 else None
    return gate(net, validation[0], validation[1], loss, weight, suffix="_val")
