"""Forward passes over data, some rows at a time: mean loss, error rate, outputs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, final

import numpy as np

from bpx.formulas.metrics import missed
from bpx.network.memory import Attempt, explaining, forward_bytes, in_chunks
from bpx.network.mlp import MLP
from bpx.network.objective import Objective
from bpx.streams.data import Data
from bpx.training.array_feed import in_parts, rows_between
from bpx.training.distributed import Ranks

# Rows per forward pass where only a loss or a prediction is wanted, so that memory does not grow with the data.
CHUNK = 8192

HostArray = np.ndarray[Any, Any]


def for_chunks(net: MLP, data: Any, use: Callable[[Data], Any]) -> None:
    """Call ``use(part)`` for chunks of the rows of arrays or of a stream; where memory runs out, smaller ones."""

    def use_chunks(part: Data) -> None:
        in_chunks(net, part.n, CHUNK, lambda start, stop: use(rows_between(part, start, stop)))

    with explaining(net, Attempt("in an evaluation", 1, forward_bytes)):
        for part in in_parts(data):
            use_chunks(part)


def mean_loss(
    net: MLP, objective: Objective, data: Any, ranks: Ranks | None = None, also: Callable[[Data], Any] | None = None
) -> Any:
    """Mean of the objective over all rows, of all ranks if there are several: a float, or shape (K,) for a stack.

    ``also(part)`` is called with each chunk of rows, too.
    """
    xp, to_host = net.backend.xp, net.backend.to_host
    total: Any = 0.0
    weights: Any = 0.0

    def add(part: Data) -> None:
        nonlocal total, weights
        weight = part.X.shape[-2] if part.weight is None else xp.sum(part.weight, axis=(-2, -1))
        total, weights = total + objective.value(*part) * weight, weights + weight
        if also is not None:
            also(part)

    for_chunks(net, data, add)
    total = np.asarray(total) if isinstance(total, float) else to_host(total)
    weights = weights if isinstance(weights, (int, float)) else to_host(weights)
    if ranks is not None:
        total, weights = ranks.total(total, weights)
    mean = np.asarray(total / weights)
    return float(mean) if mean.ndim == 0 else np.array(mean, dtype=np.float64)


def error_rate(net: MLP, data: Any, cutoff: float = 0.5) -> Any:
    """Share of the rows whose class is predicted wrongly (see `missed`): a float, or shape (K,) for a stack."""
    xp = net.backend.xp
    rows = 0
    wrong: Any = 0  # not 0.0, which some libraries cannot add to an integer array

    def count(part: Data) -> None:
        nonlocal rows, wrong
        lost = missed(xp, part.y, net.forward(part.X), cutoff)
        wrong, rows = wrong + xp.sum(xp.astype(lost, xp.int64), axis=-1), rows + part.X.shape[0]

    for_chunks(net, data, count)
    rate = net.backend.to_host(wrong) / rows
    return float(rate) if rate.ndim == 0 else rate


class Predicted(NamedTuple):
    """Rows on the host: targets (n,) or (n, n_out), outputs (..., n, n_out), weights (n,) or (K, n) or None."""

    y: HostArray
    output: HostArray
    weight: HostArray | None


@final
class Outputs:
    """Collects on the host the network's outputs for the rows that it is called with, their targets and weights."""

    def __init__(self, net: MLP) -> None:
        self._net = net
        self._parts: list[Predicted] = []

    def __call__(self, part: Data) -> None:
        """Add rows; they are copied, because a stream overwrites its windows."""
        to_host = self._net.backend.to_host
        weight = None if part.weight is None else np.array(to_host(part.weight))[..., 0]
        self._parts.append(Predicted(np.array(to_host(part.y)), np.array(to_host(self._net.forward(part.X))), weight))

    def whole(self, ranks: Ranks | None = None) -> Predicted:
        """All rows, those of all ranks in the order of the ranks."""
        parts = self._parts if ranks is None else ranks.gather(self._parts)
        y, outputs, weights = zip(*parts, strict=True)
        weight = None if weights[0] is None else np.concatenate(weights, axis=-1)
        return Predicted(np.concatenate(y), np.concatenate(outputs, axis=-2), weight)


def outputs_of(net: MLP, data: Any, ranks: Ranks | None = None) -> Predicted:
    """The network's outputs for all rows of the data, with their targets and weights."""
    outputs = Outputs(net)
    for_chunks(net, data, outputs)
    return outputs.whole(ranks)
