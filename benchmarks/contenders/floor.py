"""The floor: gather and matrix products alone, in NumPy, into arrays that are there already."""

from __future__ import annotations

import numpy as np
from data import many_rows, samples, start_weights

from contenders.measure import Job, Measure, timed
from contenders.whole_processes import import_time

__all__ = ["import_time", "predict", "step"]

# Rows per product in `predict`, so that what lies between the products stays in the processor's caches.
CHUNK = 1024


def step(job: Job) -> Measure:
    """Forward a W; backward aᵀ g and, but for the first layer, g Wᵀ. The contender "products" does not gather."""
    o = job.workload.options
    sizes, batch, steps = o["sizes"], o["batch"], o["steps"]
    X, y = samples(batch * steps, sizes[0], sizes[-1], o["dtype"])
    weights = [W for W, _ in start_weights(sizes, o["dtype"])]
    outputs = [X[:batch].copy()] + [np.ones((batch, n), o["dtype"]) for n in sizes[1:]]
    labels = y[:batch].copy()
    grads = [np.ones_like(a) for a in outputs]
    weight_grads = [np.empty_like(W) for W in weights]
    order = np.random.default_rng(0).permutation(len(X))
    gathers = job.options.get("gathers", True)

    def epoch() -> None:
        for start in range(0, len(X), batch):
            if gathers:
                index = order[start : start + batch]
                # "clip" goes straight into `out`; "raise" would go through a buffer.
                np.take(X, index, axis=0, out=outputs[0], mode="clip")
                np.take(y, index, out=labels, mode="clip")
            for layer, W in enumerate(weights):
                np.matmul(outputs[layer], W, out=outputs[layer + 1])
            for layer in reversed(range(len(weights))):
                np.matmul(outputs[layer].T, grads[layer + 1], out=weight_grads[layer])
                if layer:
                    np.matmul(grads[layer + 1], weights[layer].T, out=grads[layer])

    epoch()
    return Measure(timed(epoch), units=steps)


def predict(job: Job) -> Measure:
    """The two products, chunk by chunk."""
    o = job.workload.options
    X = many_rows(o["rows"], o["sizes"][0], o["dtype"], job.scratch)
    first, second = (W for W, _ in start_weights(o["sizes"], o["dtype"]))
    size = min(CHUNK, len(X))
    hidden, output = np.empty((size, o["sizes"][1]), o["dtype"]), np.empty((len(X), o["sizes"][2]), o["dtype"])

    def work() -> None:
        for start in range(0, len(X), size):
            rows = X[start : start + size]
            np.matmul(rows, first, out=hidden[: len(rows)])
            np.matmul(hidden[: len(rows)], second, out=output[start : start + size])

    work()
    return Measure(timed(work))
