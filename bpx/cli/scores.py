"""Scores of predictions: accuracy for classes, R2 and errors for numbers, and the metrics that the user asks for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from bpx.cli.output import MistakeError
from bpx.cli.table_model import TableModel
from bpx.cli.target import CLASSIFY, Target
from bpx.formulas.metrics import METRICS, Metric, undefined
from bpx.network.mlp import MLP

HostArray = np.ndarray[Any, Any]

# Rows that are predicted at once.
BLOCK = 8192
# Always computed; the key says whether the target is a class. For two classes auc too.
USUAL = {True: ("accuracy", "log_loss", "balanced_accuracy"), False: ("r2", "rmse", "mae")}
# Names and formats for people.
WORDS = {
    "r2": "R2", "rmse": "RMSE", "mae": "MAE", "auc": "AUC", "log_loss": "log loss",
    "balanced_accuracy": "balanced accuracy",
}  # fmt: skip
FORMS = {"accuracy": ".2%", "balanced_accuracy": ".2%", "rmse": ".4g", "mae": ".4g", "log_loss": ".4g"}


def check_metrics(target: Target, names: Sequence[str], option: str = "--metrics") -> None:
    """Refuse metrics that do not go with this target."""
    kind = "numbers" if target.task != CLASSIFY else "classes"
    wrong = [name for name in names if kind not in METRICS[name].tasks]
    if wrong:
        fit = ", ".join(name for name, metric in METRICS.items() if kind in metric.tasks)
        raise MistakeError(f"{option}: {wrong[0]!r} is not for a target of {kind}; choose from {fit}")


def training_metrics(table_model: TableModel, names: Sequence[str]) -> list[Metric]:
    """Metrics for `bpx.fit`, with errors in the target's unit: the network is trained on standardised targets."""

    def scaled(metric: Metric) -> Metric:
        return replace(metric, function=lambda y_true, y_pred: table_model.scale * metric.function(y_true, y_pred))

    return [scaled(METRICS[name]) if name in ("mae", "rmse") else METRICS[name] for name in names]


def score(
    table_model: TableModel, predicted: HostArray, y: HostArray, names: Sequence[str] = (),
    weights: HostArray | None = None,
) -> dict[str, float]:  # fmt: skip
    """The scores of `TableModel.predict`'s predictions against known targets `y` of shape (n,).

    `weights` (n,) are the rows'; with zeros only they do not count. A metric that these rows leave undefined is left
    out.
    """
    if weights is not None and not np.any(weights > 0.0):
        weights = None
    classify = table_model.target.task == CLASSIFY
    usual: tuple[str, ...] = USUAL[classify]
    if not classify:
        predicted, y = predicted[:, None], y[:, None]
    elif table_model.outputs == 1:
        predicted, y, usual = predicted[:, 1:], y[:, None] == 1, (*usual, "auc")
    metrics = [METRICS[name] for name in dict.fromkeys((*usual, *names))]
    return {
        metric.name: metric.function(y, predicted, weights)
        for metric in metrics
        if metric.name in names or undefined(metric, y, predicted, weights) is None
    }


def of_rows(
    table_model: TableModel, net: MLP, X: HostArray, y: HostArray, rows: HostArray, names: Sequence[str] = (),
    weights: HostArray | None = None,
) -> dict[str, float]:  # fmt: skip
    """The scores on some rows, predicted block by block: a copy of all of them may not fit into memory."""
    predicted = predict(table_model, net, X, rows)
    return score(table_model, predicted, y[rows], names, None if weights is None else weights[rows])


def predict(table_model: TableModel, net: MLP, X: HostArray, rows: HostArray) -> HostArray:
    """`TableModel.predict` of some rows, block by block."""
    blocks = [rows[start : start + BLOCK] for start in range(0, len(rows), BLOCK)]
    return np.concatenate([table_model.predict(net, X[block]) for block in blocks])


def baseline(
    table_model: TableModel, y: HostArray, training: HostArray, rows: HostArray, weights: HostArray | None = None
) -> dict[str, float]:
    """The scores on some rows of what needs no inputs: the classes' shares in the training rows, or the mean there."""
    of_training = None if weights is None else weights[training]
    if table_model.target.task == CLASSIFY:
        shares = np.bincount(y[training], of_training, len(table_model.target.labels))
        constant = np.tile(shares / np.sum(shares), (len(rows), 1))
    else:
        constant = np.full(len(rows), np.average(y[training], weights=of_training))
    return score(table_model, constant, y[rows], (), None if weights is None else weights[rows])


def worse(scored: dict[str, float], base: dict[str, float]) -> str:
    """What is worse than the baseline, in words; empty where nothing is."""
    always = "always the commonest class" if "accuracy" in base else "always the mean"
    chosen = [name for name in ("accuracy", "log_loss", "rmse") if name in base]
    poor = [
        name for name in chosen if (scored[name] < base[name] if METRICS[name].larger else scored[name] > base[name])
    ]
    lines = [f"{in_words({name: scored[name]})} against {in_words({name: base[name]}).split()[-1]}" for name in poor]
    if poor == ["log_loss"]:
        always = "the classes' shares, whatever the inputs"
    return f"worse than {always}: {', '.join(lines)}" if lines else ""


def in_words(scores: dict[str, float]) -> str:
    """The scores as text for people."""
    return ", ".join(f"{WORDS.get(name, name)} {value:{FORMS.get(name, '.4f')}}" for name, value in scores.items())
