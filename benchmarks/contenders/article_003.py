"""Article 003's training loop: online, samples in order, with its momentum (the previous raw gradient).

The article's program has lists and loops, no arrays, and so has the contender of its name. The other one does the same
steps with NumPy's arrays.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from data import xor

from contenders.measure import Job, Measure, timed

__all__ = ["online_momentum"]

RATE, MOMENTUM = 0.1, 0.1


class Lists:
    """The network in lists. As there the forward pass leaves out the bias units, which the update trains."""

    def __init__(self, n_in: int, n_hidden: int, n_out: int) -> None:
        rng = np.random.default_rng(0)
        self.first = rng.uniform(-0.2, 0.2, (n_in + 1, n_hidden + 1)).tolist()
        self.second = rng.uniform(-0.2, 0.2, (n_hidden + 1, n_out)).tolist()
        self.first_before = [[0.0] * (n_hidden + 1) for _ in range(n_in + 1)]
        self.second_before = [[0.0] * n_out for _ in range(n_hidden + 1)]
        self.inputs, self.hidden, self.outputs = [1.0] * (n_in + 1), [1.0] * (n_hidden + 1), [1.0] * n_out

    def forward(self, x: list[float]) -> None:
        """Neuron by neuron."""
        self.inputs[:-1] = x
        for layer, weights, target, count in (
            (self.inputs, self.first, self.hidden, len(self.hidden) - 1),
            (self.hidden, self.second, self.outputs, len(self.outputs)),
        ):
            for j in range(count):
                total = 0.0
                for i in range(len(layer) - 1):
                    total += layer[i] * weights[i][j]
                target[j] = math.tanh(total)

    def backward(self, y: list[float]) -> float:
        """Both layers' update; the root mean square error of the sample."""
        out_errors = [(o - o * o) * (t - o) for o, t in zip(self.outputs, y, strict=True)]
        hidden_errors = []
        for h, weights in zip(self.hidden, self.second, strict=True):
            total = 0.0
            for error, w in zip(out_errors, weights, strict=True):
                total += error * w
            hidden_errors.append((h - h * h) * total)
        for layer, errors, weights, before in (
            (self.hidden, out_errors, self.second, self.second_before),
            (self.inputs, hidden_errors, self.first, self.first_before),
        ):
            for i in range(len(layer)):
                for j in range(len(errors)):
                    change = layer[i] * errors[j]
                    weights[i][j] += RATE * change + MOMENTUM * before[i][j]
                    before[i][j] = change
        total = 0.0
        for o, t in zip(self.outputs, y, strict=True):
            total += (t - o) ** 2
        return math.sqrt(total / len(y))


class Arrays:
    """The same in arrays."""

    def __init__(self, n_in: int, n_hidden: int, n_out: int) -> None:
        lists = Lists(n_in, n_hidden, n_out)
        self.first, self.second = np.array(lists.first), np.array(lists.second)
        self.first_before, self.second_before = np.zeros_like(self.first), np.zeros_like(self.second)
        self.inputs, self.hidden = np.ones(n_in + 1), np.ones(n_hidden + 1)

    def forward(self, x: Any) -> None:
        """Layer by layer."""
        self.inputs[:-1] = x
        self.hidden[:-1] = np.tanh(np.dot(self.inputs[:-1], self.first[:-1, :-1]))
        self.outputs = np.tanh(np.dot(self.hidden[:-1], self.second[:-1]))

    def backward(self, y: Any) -> float:
        """Both layers' update; the root mean square error of the sample."""
        error = y - self.outputs
        out_errors = (self.outputs - self.outputs**2) * error
        hidden_errors = (self.hidden - self.hidden**2) * np.dot(self.second, out_errors)
        change = np.outer(self.hidden, out_errors)
        self.second += RATE * change + MOMENTUM * self.second_before
        self.second_before = change
        change = np.outer(self.inputs, hidden_errors)
        self.first += RATE * change + MOMENTUM * self.first_before
        self.first_before = change
        return math.sqrt(np.dot(error, error) / len(y))


def online_momentum(job: Job) -> Measure:
    """XOR, four steps per epoch, the least error kept."""
    X, y = xor()
    arrays = job.options.get("arrays")
    rows = list(zip(X, y, strict=True) if arrays else zip(X.tolist(), y.tolist(), strict=True))

    def work() -> None:
        net = (Arrays if arrays else Lists)(2, 3, 1)
        best = math.inf
        for _ in range(job.workload.options["steps"] // len(rows)):
            error = 0.0
            for x, target in rows:
                net.forward(x)
                error += net.backward(target)
            best = min(best, error)

    return Measure(timed(work))
