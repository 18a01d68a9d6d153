"""Article 002's training: SciPy's conjugate gradients on a flat vector.

Two programs: the article's, where the gradient loops over the samples and cost and gradient are two functions; and the
plain one, whose single function computes both for all samples at once.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from data import digits, start_weights
from scipy.optimize import minimize

from contenders.measure import Job, Measure, timed

__all__ = ["cg"]

Array = np.ndarray[Any, Any]


def sigmoid(z: Array) -> Array:
    """1 / (1 + exp(-z))."""
    return 1 / (1 + np.exp(-z))


def with_ones(a: Array) -> Array:
    """A first column of ones, the bias unit."""
    return np.hstack([np.ones((len(a), 1)), a])


class Problem:
    """The article's cost: cross-entropy of sigmoid outputs, and a penalty on all weights but the biases."""

    def __init__(self, sizes: Any, X: Array, labels: Array, strength: float) -> None:
        n_in, hidden, n_out = sizes
        self.shapes = ((hidden, n_in + 1), (n_out, hidden + 1))
        self.X, self.y = X, np.eye(n_out)[labels]
        self.m, self.strength = len(X), strength

    def unpack(self, flat: Array) -> tuple[Array, Array]:
        """Both matrices, each row a neuron with its bias first."""
        first, second = self.shapes
        cut = first[0] * first[1]
        return flat[:cut].reshape(first), flat[cut:].reshape(second)

    def forward(self, first: Array, second: Array) -> tuple[Array, Array, Array, Array]:
        """Inputs and hidden outputs with their ones, the hidden weighted sums, and the outputs."""
        a1 = with_ones(self.X)
        z2 = np.dot(a1, first.T)
        a2 = with_ones(sigmoid(z2))
        return a1, z2, a2, sigmoid(np.dot(a2, second.T))

    def cost_of(self, first: Array, second: Array, h: Array) -> float:
        """The cost of outputs `h`."""
        squares = np.sum(first[:, 1:] ** 2) + np.sum(second[:, 1:] ** 2)
        fit = np.sum(self.y * np.log(h) + (1 - self.y) * np.log(1 - h))
        return float((self.strength * squares / 2 - fit) / self.m)

    def pack(self, grads: tuple[Array, Array], first: Array, second: Array) -> Array:
        """The flat gradient, with the penalty's part."""
        parts = []
        for grad, theta in zip(grads, (first, second), strict=True):
            grad[:, 1:] += self.strength * theta[:, 1:]
            parts.append(grad.ravel() / self.m)
        return np.concatenate(parts)

    def cost(self, flat: Array) -> float:
        """The cost alone."""
        first, second = self.unpack(flat)
        return self.cost_of(first, second, self.forward(first, second)[-1])

    def gradient_by_loop(self, flat: Array) -> Array:
        """The gradient alone, sample by sample."""
        first, second = self.unpack(flat)
        a1, z2, a2, h = self.forward(first, second)
        grad1, grad2 = np.zeros_like(first), np.zeros_like(second)
        for i in range(self.m):
            delta3 = (h[i] - self.y[i])[None, :]
            grad2 = grad2 + np.dot(delta3.T, a2[i][None, :])
            s = sigmoid(z2[i])
            delta2 = np.dot(delta3, second[:, 1:]) * (s * (1 - s))
            grad1 = grad1 + np.dot(delta2.T, a1[i][None, :])
        return self.pack((grad1, grad2), first, second)

    def cost_and_gradient(self, flat: Array) -> tuple[float, Array]:
        """Both, for all samples at once."""
        first, second = self.unpack(flat)
        a1, _, a2, h = self.forward(first, second)
        delta3 = h - self.y
        delta2 = np.dot(delta3, second[:, 1:]) * (a2[:, 1:] * (1 - a2[:, 1:]))
        grads = np.dot(delta2.T, a1), np.dot(delta3.T, a2)
        return self.cost_of(first, second, h), self.pack(grads, first, second)


def cg(job: Job) -> Measure:
    """The digits, from the weights that bpx starts with."""
    o = job.workload.options
    problem = Problem(o["sizes"], *digits("float64"), strength=1.0)
    start = np.concatenate([np.vstack([b, W]).T.ravel() for W, b in start_weights(o["sizes"], "float64")])
    if job.options.get("loops"):
        functions = {"fun": problem.cost, "jac": problem.gradient_by_loop}
    else:
        functions = {"fun": problem.cost_and_gradient, "jac": True}
    notes: dict[str, Any] = {}

    def work() -> None:
        result = minimize(x0=start, method="CG", options={"maxiter": o["iterations"]}, **functions)
        notes["loss"], notes["evaluations"] = float(result.fun), int(result.nfev)

    return Measure(timed(work), notes=notes)
