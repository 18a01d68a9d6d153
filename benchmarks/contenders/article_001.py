"""Article 001's training loop in NumPy: full-batch gradient descent with binary cross-entropy.

As there, samples are columns, parameters and gradients are in dictionaries, every iteration computes the cost, slopes
are computed anew from the weighted sums, the first layer's input gradient is computed too, and updates make new arrays.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from data import moons, start_weights

from contenders.measure import Job, Measure, timed

__all__ = ["full_batch"]

Array = np.ndarray[Any, Any]


def sigmoid(z: Array) -> Array:
    """1 / (1 + exp(-z))."""
    return 1 / (1 + np.exp(-z))


def backward_sigmoid(grad: Array, z: Array) -> Array:
    """Through a sigmoid."""
    s = sigmoid(z)
    return grad * (s * (1 - s))


def backward_tanh(grad: Array, z: Array) -> Array:
    """Through a tanh."""
    return grad * (1 - np.power(np.tanh(z), 2))


def forward(params: dict[str, Array], X: Array, depth: int) -> tuple[Array, list[tuple[Array, Array]]]:
    """The outputs, and every layer's input and weighted sum."""
    kept, a = [], X
    for layer in range(1, depth + 1):
        z = np.dot(params[f"W{layer}"], a) + params[f"b{layer}"]
        kept.append((a, z))
        a = np.tanh(z) if layer < depth else sigmoid(z)
    return a, kept


def backward(params: dict[str, Array], y: Array, output: Array, kept: list[tuple[Array, Array]]) -> dict[str, Array]:
    """Gradients by parameter."""
    grads, m = {}, y.shape[1]
    grad = (1 - y) / (1 - output) - y / output
    for layer in range(len(kept), 0, -1):
        a, z = kept[layer - 1]
        grad_z = (backward_tanh if layer < len(kept) else backward_sigmoid)(grad, z)
        grads[f"W{layer}"] = np.dot(grad_z, a.T) / m
        grads[f"b{layer}"] = np.sum(grad_z, axis=1, keepdims=True) / m
        grad = np.dot(params[f"W{layer}"].T, grad_z)
    return grads


def train(params: dict[str, Array], X: Array, y: Array, rate: float, iterations: int) -> float:
    """So many updates; the last cost."""
    cost = np.inf
    for _ in range(iterations):
        output, kept = forward(params, X, len(params) // 2)
        cost = -np.sum(y * np.log(output) + (1 - y) * np.log(1 - output)) / y.shape[1]
        grads = backward(params, y, output, kept)
        for name, grad in grads.items():
            params[name] = params[name] - rate * grad
    return float(cost)


def full_batch(job: Job) -> Measure:
    """Two moons."""
    o = job.workload.options
    X, y = moons(o["rows"])
    notes: dict[str, Any] = {}

    def work() -> None:
        params = {}
        for layer, (W, b) in enumerate(start_weights(o["sizes"], "float64"), start=1):
            params |= {f"W{layer}": W.T.copy(), f"b{layer}": b[:, None]}
        notes["loss"] = train(params, X.T, y.T, 0.1, o["steps"])

    return Measure(timed(work), notes=notes)
