"""How a trained network is scored: larger is better."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from bpx.errors.wrong_calls import unknown_value
from bpx.formulas.metrics import METRICS, Metric
from bpx.losses import Loss
from bpx.network.mlp import MLP
from bpx.network.objective import Objective
from bpx.streams.batches import Data
from bpx.training.evaluation import mean_loss, outputs_of
from bpx.training.metrics import fitting, task_of

Scoring = Callable[[MLP, Data, Loss], float]

SCORINGS = (*METRICS, "neg_loss")


def neg_loss(net: MLP, data: Data, loss: Loss) -> float:
    """Minus the mean loss, without penalty."""
    return -float(mean_loss(net, Objective(net, loss), data))


def default_scoring(loss: Loss) -> str:
    """Accuracy where the loss is one of classes, else minus the loss."""
    return "accuracy" if loss.targets in {"classes", "unit"} else "neg_loss"


def scoring_of(scoring: Any, net: MLP, targets: Sequence[Any], loss: Loss) -> tuple[str, Scoring]:
    """A scoring's name and function for networks, a loss, and targets (of all rows that are used) like these."""
    if callable(scoring):
        return getattr(scoring, "__name__", "score"), _scored_by_own(scoring)
    if not isinstance(scoring, str):
        raise TypeError(f"scoring: expected a name or a function f(net, X, y), got {scoring!r}")
    if scoring not in SCORINGS:
        raise ValueError(unknown_value("scoring", scoring, f"{', '.join(SCORINGS)}, or a function f(net, X, y)"))
    if scoring == "neg_loss":
        return scoring, neg_loss
    task = task_of([np.asarray(net.backend.to_host(y)) for y in targets], loss, net)
    (metric,) = fitting([METRICS[scoring]], task, loss, net, "scoring")
    return scoring if metric.larger else f"neg_{scoring}", _scored_by(metric)


def _scored_by_own(scoring: Callable[[MLP, Any, Any], Any]) -> Scoring:
    """One's own function, which must not write into rows that other settings are scored on."""
    return lambda net, data, _: float(scoring(net, _unwritable(data.X), _unwritable(data.y)))


def _unwritable(rows: Any) -> Any:
    """A read-only view, where the library has such."""
    if isinstance(rows, np.ndarray):
        rows = rows.view()
        rows.setflags(write=False)
    return rows


def _scored_by(metric: Metric) -> Scoring:
    """A metric as a scoring; one of which less is better counts negative."""
    sign = 1.0 if metric.larger else -1.0
    return lambda net, data, _: sign * metric.function(*outputs_of(net, data))
