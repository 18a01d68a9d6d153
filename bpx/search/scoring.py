"""Scores of trained networks; larger is better."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from bpx.errors.hints import unknown_value
from bpx.formulas.metrics import METRICS, Metric
from bpx.losses import Loss
from bpx.network.mlp import MLP
from bpx.network.objective import Objective
from bpx.streams.data import Data
from bpx.training.evaluation import mean_loss, outputs_of
from bpx.training.run_metrics import fitting, task_of

Scoring = Callable[[MLP, Data, Loss], float]

SCORINGS = (*METRICS, "neg_loss")


def neg_loss(net: MLP, data: Data, loss: Loss) -> float:
    """Minus the mean loss, without penalty."""
    return -float(mean_loss(net, Objective(net, loss), data))


def default_scoring(loss: Loss) -> str:
    """Accuracy if the loss is for classes, else minus the loss."""
    return "accuracy" if loss.targets in {"classes", "unit"} else "neg_loss"


def scoring_of(scoring: Any, net: MLP, targets: Sequence[Any], loss: Loss) -> tuple[str, Scoring]:
    """Name and function of a scoring, for networks like `net`; `targets` are those of all rows that are used."""
    if callable(scoring):
        return getattr(scoring, "__name__", "score"), _scored_by_function(scoring)
    if not isinstance(scoring, str):
        raise TypeError(f"scoring: expected a name or a function f(net, X, y), got {scoring!r}")
    if scoring not in SCORINGS:
        raise ValueError(unknown_value("scoring", scoring, f"{', '.join(SCORINGS)}, or a function f(net, X, y)"))
    if scoring == "neg_loss":
        return scoring, neg_loss
    task = task_of([np.asarray(net.backend.to_host(y)) for y in targets], loss, net)
    (metric,) = fitting([METRICS[scoring]], task, loss, net, "scoring")
    return scoring if metric.larger else f"neg_{scoring}", _scored_by(metric)


def _scored_by_function(scoring: Callable[[MLP, Any, Any], Any]) -> Scoring:
    """A user's function as a scoring; it cannot write into the rows, on which other settings are scored, too."""
    return lambda net, data, _: float(scoring(net, _unwritable(data.X), _unwritable(data.y)))


def _unwritable(rows: Any) -> Any:
    """A read-only view of a NumPy array; other arrays unchanged."""
    if isinstance(rows, np.ndarray):
        rows = rows.view()
        rows.setflags(write=False)
    return rows


def _scored_by(metric: Metric) -> Scoring:
    """A metric as a scoring, with a minus sign if less is better."""
    sign = 1.0 if metric.larger else -1.0
    return lambda net, data, _: sign * metric.function(*outputs_of(net, data))
