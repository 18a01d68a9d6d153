"""How good answers are: accuracy for classes, R2 and errors for numbers."""

from __future__ import annotations

from typing import Any

import numpy as np

from bpx.faces.cli.recipe import Recipe
from bpx.faces.cli.target import CLASSIFY

__all__ = ["in_words", "score"]


def score(recipe: Recipe, answers: np.ndarray[Any, Any], y: np.ndarray[Any, Any]) -> dict[str, float]:
    """The scores of answers to rows whose targets are known."""
    if recipe.target.task == CLASSIFY:
        return {"accuracy": float(np.mean(np.argmax(answers, axis=1) == y))}
    residual, spread = y - answers, y - np.mean(y)
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
