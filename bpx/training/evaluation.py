"""Forward passes over data, a few rows after the other: mean loss, error rate, outputs."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, final

import numpy as np

from bpx.formulas.losses import Loss
from bpx.formulas.metrics import missed
from bpx.network.memory import Attempt, explaining, forward_bytes, in_chunks
from bpx.network.mlp import MLP
from bpx.network.objective import Objective
from bpx.training.batches import Data, rows_between, wholes

if TYPE_CHECKING:
    from bpx.training.distributed import Ranks

__all__ = ["Answered", "Evaluation", "Outputs"]

# Rows per forward pass where only a loss or a prediction is wanted, so that memory does not grow with the data.
CHUNK = 8192

HostArray = np.ndarray[Any, Any]


@final
class Evaluation:
    """What a network does with data: arrays, or a stream that is read in its order.

    Parameters
    ----------
    net : MLP
        Evaluated with the parameters that it has at each call.
    loss : Loss
        Without penalty and dropout.
    """

    def __init__(self, net: MLP, loss: Loss) -> None:
        self._net, self._plain = net, Objective(net, loss)

    def mean_loss(self, data: Any, ranks: Ranks | None = None, also: Callable[[Data], Any] | None = None) -> Any:
        """Mean loss, over all ranks if there are any: a float, or an array of shape (K,); ``also(part)`` sees rows."""
        xp, to_host = self._net.backend.xp, self._net.backend.to_host
        total: Any = 0.0
        weights: Any = 0.0

        def add(part: Data) -> None:
            nonlocal total, weights
            weight = part.X.shape[-2] if part.weight is None else xp.sum(part.weight, axis=(-2, -1))
            total, weights = total + self._plain.value(*part) * weight, weights + weight
            if also is not None:
                also(part)

        self.in_chunks(data, add)
        total = np.asarray(total) if isinstance(total, float) else to_host(total)
        weights = weights if isinstance(weights, (int, float)) else to_host(weights)
        if ranks is not None:
            total, weights = ranks.total(total, weights)
        return _number(np.asarray(total / weights))

    def error_rate(self, data: Any, cutoff: float) -> Any:
        """Share of rows whose class is predicted wrongly: a float, or an array of shape (K,)."""
        xp = self._net.backend.xp
        rows = 0
        wrong: Any = 0  # an integer: an integer array and 0.0 do not add up in every library

        def count(part: Data) -> None:
            nonlocal rows, wrong
            lost = missed(xp, part.y, self._net.forward(part.X), cutoff)
            wrong, rows = wrong + xp.sum(xp.astype(lost, xp.int64), axis=-1), rows + part.X.shape[0]

        self.in_chunks(data, count)
        host = self._net.backend.to_host(wrong) / rows
        return float(host) if host.ndim == 0 else host

    def in_chunks(self, data: Any, add: Callable[[Data], Any]) -> None:
        """``add(part)`` for a few rows after the other, fewer where memory runs out."""
        with explaining(self._net, Attempt("in an evaluation", 1, forward_bytes)):
            for whole in wholes(data):
                in_chunks(self._net, whole.X.shape[-2], CHUNK, partial(_give, add, whole))


class Answered(NamedTuple):
    """Rows on the host: targets (n,) or (n, k), outputs (..., n, k), and weights (n,) or (K, n), or None."""

    y: HostArray
    output: HostArray
    weight: HostArray | None


@final
class Outputs:
    """Collects a network's outputs for rows that it is given, with their targets and weights, on the host."""

    def __init__(self, net: MLP) -> None:
        self._net = net
        self._parts: list[Answered] = []

    def __call__(self, part: Data) -> None:
        """Take some rows more; a stream's are overwritten afterwards, so they are copied."""
        to_host = self._net.backend.to_host
        weight = None if part.weight is None else np.array(to_host(part.weight))[..., 0]
        self._parts.append(Answered(np.array(to_host(part.y)), np.array(to_host(self._net.forward(part.X))), weight))

    def whole(self, ranks: Ranks | None) -> Answered:
        """All of them, those of all ranks in the order of the ranks."""
        parts = self._parts if ranks is None else ranks.gather(self._parts)
        y, outputs, weights = zip(*parts, strict=True)
        weight = None if weights[0] is None else np.concatenate(weights, axis=-1)
        return Answered(np.concatenate(y), np.concatenate(outputs, axis=-2), weight)


def _number(host: HostArray) -> Any:
    """A float, or float64 of shape (K,)."""
    return float(host) if host.ndim == 0 else np.array(host, dtype=np.float64)


def _give(to: Callable[[Data], Any], whole: Data, start: int, stop: int) -> None:
    """Some of the rows."""
    to(rows_between(whole, start, stop))
