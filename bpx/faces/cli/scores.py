"""How good answers are: accuracy for classes, R2 and errors for numbers."""

from __future__ import annotations

from typing import Any

import numpy as np

from bpx.faces.cli.recipe import Recipe
from bpx.faces.cli.target import CLASSIFY
from bpx.network.mlp import MLP

__all__ = ["in_words", "of_rows", "score"]

Array = np.ndarray[Any, Any]

# Rows that are scored at once.
BLOCK = 8192


def score(recipe: Recipe, answers: Array, y: Array) -> dict[str, float]:
    """The scores of answers to rows whose targets are known."""
    return _score(recipe, _predicted(recipe, answers), y)


def of_rows(recipe: Recipe, net: MLP, X: Array, y: Array, rows: Array) -> dict[str, float]:
    """The scores on some rows, taken a block at a time: a copy of all of them may not fit into memory."""
    blocks = [rows[start : start + BLOCK] for start in range(0, len(rows), BLOCK)]
    predicted = [_predicted(recipe, recipe.answers(net, X[block])) for block in blocks]
    return _score(recipe, np.concatenate(predicted), y[rows])


def _predicted(recipe: Recipe, answers: Array) -> Array:
    """The likeliest class's number of each row, or the number itself."""
    predicted: Array = np.argmax(answers, axis=1) if recipe.target.task == CLASSIFY else answers
    return predicted


def _score(recipe: Recipe, predicted: Array, y: Array) -> dict[str, float]:
    """The scores of predictions of shape (n,)."""
    if recipe.target.task == CLASSIFY:
        return {"accuracy": float(np.mean(predicted == y))}
    residual, spread = y - predicted, y - np.mean(y)
    total = float(np.sum(spread * spread))
    return {
        "r2": 1.0 - float(np.sum(residual * residual)) / total if total > 0.0 else float("nan"),
        "rmse": float(np.sqrt(np.mean(residual * residual))),
        "mae": float(np.mean(np.abs(residual))),
    }


def in_words(scores: dict[str, float]) -> str:
    """The scores for people."""
    if "accuracy" in scores:
        return f"accuracy {scores['accuracy']:.2%}"
    return f"R2 {scores['r2']:.4f}, RMSE {scores['rmse']:.4g}, MAE {scores['mae']:.4g}"
