"""How a trained network is scored: larger is better."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from bpx.formulas.losses import Loss
from bpx.network.mlp import MLP
from bpx.network.objective import Objective
from bpx.training.batches import Data, chunks

__all__ = ["SCORINGS", "Scoring", "scoring_of"]

Scoring = Callable[[MLP, Data, Loss], float]

# Rows per forward pass.
CHUNK = 8192


def accuracy(net: MLP, data: Data, _: Loss) -> float:
    """Share of samples (of their weights) whose class is predicted: the largest output, or whether one exceeds 0.5."""
    output, y, weight = _on_host(net, data)
    if output.shape[1] == 1:
        right = (output > 0.5)[:, 0] == (y.reshape(len(y), -1)[:, 0] > 0.5)
    else:
        right = np.argmax(output, axis=1) == (y if y.ndim == 1 else np.argmax(y, axis=1))
    return float(np.average(right, weights=weight))


def r2(net: MLP, data: Data, _: Loss) -> float:
    """Coefficient of determination 1 - residual / total sum of squares, the mean over outputs.

    An output whose target does not vary counts 1 where it is met and 0 where not, as in scikit-learn.
    """
    output, y, weight = _on_host(net, data)
    w = np.ones((len(y), 1)) if weight is None else weight[:, None]
    residual = np.sum(w * (y - output) ** 2, axis=0)
    total = np.sum(w * (y - np.average(y, axis=0, weights=w[:, 0])) ** 2, axis=0)
    each = np.where(total > 0.0, 1.0 - residual / np.where(total > 0.0, total, 1.0), residual == 0.0)
    return float(np.mean(each))


def neg_loss(net: MLP, data: Data, loss: Loss) -> float:
    """Minus the mean loss, without penalty."""
    objective, total, weights = Objective(net, loss), 0.0, 0.0
    for part in chunks(data, CHUNK):
        weight = part.X.shape[0] if part.weight is None else float(np.sum(net.backend.to_host(part.weight)))
        total += float(net.backend.to_host(objective.value(*part))) * weight
        weights += weight
    return -total / weights


SCORINGS: dict[str, Scoring] = {"accuracy": accuracy, "r2": r2, "neg_loss": neg_loss}


def scoring_of(scoring: Any, loss: Loss) -> tuple[str, Scoring]:
    """The scoring of that name, or one's own; for None accuracy where the loss is one of classes, else minus the loss.

    Raises
    ------
    ValueError, TypeError
    """
    if scoring is None:
        scoring = "accuracy" if loss.targets in {"classes", "unit"} else "neg_loss"
    if callable(scoring):
        return getattr(scoring, "__name__", "score"), lambda net, data, _: float(scoring(net, data.X, data.y))
    if not isinstance(scoring, str):
        raise TypeError(f"scoring: expected a name or a function f(net, X, y), got {scoring!r}")
    if scoring not in SCORINGS:
        raise ValueError(f"unknown scoring {scoring!r}; known are {', '.join(SCORINGS)}, or a function f(net, X, y)")
    return scoring, SCORINGS[scoring]


def _on_host(net: MLP, data: Data) -> tuple[Any, Any, Any]:
    """Outputs, targets and weights (n,) as NumPy arrays; outputs and numbers in float64."""
    to_host = net.backend.to_host
    output = np.asarray(to_host(net.forward(data.X)), dtype=np.float64)
    weight = None if data.weight is None else to_host(data.weight)[:, 0]
    y = to_host(data.y)
    return output, y if y.ndim == 1 else np.asarray(y, dtype=np.float64), weight
