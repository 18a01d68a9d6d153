"""Article 000's training loop in NumPy: online gradient descent, one sample drawn with replacement per step.

As there, the bias is a column of ones, each layer is one product of a vector and a matrix, the slope is computed by a
function that takes tanh once more, and the weight gradient is a product of a column and a row.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from data import xor

from contenders.measure import Job, Measure, timed

__all__ = ["online"]

Array = np.ndarray[Any, Any]


def slope(a: Array) -> Array:
    """The derivative that the article takes of a layer's output."""
    return 1 - np.tanh(a) ** 2


def train(weights: list[Array], X: Array, y: Array, rate: float, steps: int) -> None:
    """So many updates of the weights, in place."""
    rows = np.hstack([X, np.ones((len(X), 1))])
    for _ in range(steps):
        i = np.random.randint(len(rows))  # noqa: NPY002 - as in the article; a Generator would be slower
        layers = [rows[i]]
        for W in weights:
            layers.append(np.tanh(np.dot(layers[-1], W)))
        deltas = [(y[i] - layers[-1]) * slope(layers[-1])]
        for W, a in zip(weights[:0:-1], layers[-2:0:-1], strict=True):
            deltas.insert(0, np.dot(deltas[0], W.T) * slope(a))
        for W, a, delta in zip(weights, layers[:-1], deltas, strict=True):
            W += rate * np.dot(a[:, None], delta[None, :])


def online(job: Job) -> Measure:
    """XOR with two inputs, a bias unit, three hidden units and an output without bias, as its code has it."""
    X, y = xor()

    def work() -> None:
        rng = np.random.default_rng(0)
        weights = [rng.uniform(-0.25, 0.25, shape) for shape in ((3, 3), (3, 1))]
        train(weights, X, y, 0.2, job.workload.options["steps"])

    return Measure(timed(work))
