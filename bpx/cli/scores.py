"""Scores of predictions: accuracy for classes, R2 and errors for numbers, and the metrics that the user asks for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from bpx.cli.output import MistakeError
from bpx.cli.table_model import TableModel
from bpx.cli.target import CLASSIFY, Target
from bpx.formulas.metrics import METRICS, Metric
from bpx.network.mlp import MLP

HostArray = np.ndarray[Any, Any]

# Rows that are predicted at once.
BLOCK = 8192
# Always computed; the key says whether the target is a class.
USUAL = {True: ("accuracy",), False: ("r2", "rmse", "mae")}
# Names and formats for people.
WORDS = {"r2": "R2", "rmse": "RMSE", "mae": "MAE"}
FORMS = {"accuracy": ".2%", "balanced_accuracy": ".2%", "rmse": ".4g", "mae": ".4g", "log_loss": ".4g"}


def check_metrics(target: Target, names: Sequence[str]) -> None:
    """Refuse metrics that do not go with this target."""
    kind = "numbers" if target.task != CLASSIFY else "classes"
    wrong = [name for name in names if kind not in METRICS[name].tasks]
    if wrong:
        fit = ", ".join(name for name, metric in METRICS.items() if kind in metric.tasks)
        raise MistakeError(f"--metrics: {wrong[0]!r} is not for a target of {kind}; choose from {fit}")


def training_metrics(table_model: TableModel, names: Sequence[str]) -> list[Metric]:
    """Metrics for `bpx.fit`, with errors in the target's unit: the network is trained on standardised targets."""

    def scaled(metric: Metric) -> Metric:
        return replace(metric, function=lambda y_true, y_pred: table_model.scale * metric.function(y_true, y_pred))

    return [scaled(METRICS[name]) if name in ("mae", "rmse") else METRICS[name] for name in names]


def score(table_model: TableModel, predicted: HostArray, y: HostArray, names: Sequence[str] = ()) -> dict[str, float]:
    """The scores of `TableModel.predict`'s predictions against known targets `y` of shape (n,)."""
    classify = table_model.target.task == CLASSIFY
    if not classify:
        predicted, y = predicted[:, None], y[:, None]
    elif table_model.outputs == 1:
        predicted, y = predicted[:, 1:], y[:, None] == 1
    return {name: METRICS[name].function(y, predicted) for name in dict.fromkeys((*USUAL[classify], *names))}


def of_rows(
    table_model: TableModel, net: MLP, X: HostArray, y: HostArray, rows: HostArray, names: Sequence[str] = ()
) -> dict[str, float]:
    """The scores on some rows, predicted block by block: a copy of all of them may not fit into memory."""
    blocks = [rows[start : start + BLOCK] for start in range(0, len(rows), BLOCK)]
    predicted = np.concatenate([table_model.predict(net, X[block]) for block in blocks])
    return score(table_model, predicted, y[rows], names)


def in_words(scores: dict[str, float]) -> str:
    """The scores as text for people."""
    return ", ".join(f"{WORDS.get(name, name)} {value:{FORMS.get(name, '.4f')}}" for name, value in scores.items())
