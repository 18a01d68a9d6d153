"""A grid of settings on scikit-learn's digits: one sweep, and as many single fits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from time import perf_counter
from typing import Any

import numpy as np
from data import digits

import bpx
from scaling import run

__all__ = ["sweep"]

# 4 x 4 x 4 settings.
GRID: Mapping[str, Sequence[Any]] = {
    "learning_rate": [1e-4, 1e-3, 1e-2, 3e-2],
    "l2": [0.0, 1e-5, 1e-4, 1e-3],
    "seed": [0, 1, 2, 3],
}


def sweep(epochs: int, rounds: int, hidden: int, batch: int) -> dict[str, Any]:
    """Seconds of both, in turns, and whether they score the settings alike; where bpx has no `sweep`, that."""
    if not hasattr(bpx, "sweep"):
        return {"missing": "this bpx has no sweep"}
    X, y = digits("float32")
    order = np.random.default_rng(0).permutation(len(X))
    train, test = order[:1400], order[1400:]
    options = {"loss": "cross_entropy", "epochs": epochs, "batch_size": batch}
    settings = [dict(zip(GRID, values, strict=True)) for values in product(*GRID.values())]

    def network(**more: Any) -> bpx.MLP:
        return bpx.MLP([64, hidden, 10], backend="numpy", **more)

    def score(net: Any) -> float:
        outputs = np.asarray(net(X[test]), np.float64)
        return float(np.mean(np.log(outputs[np.arange(len(test)), y[test]] + 1e-30)))

    def single() -> list[float]:
        scores = []
        for s in settings:
            net = network(seed=s["seed"])
            bpx.fit(net, X[train], y[train], optimizer=bpx.Adam(s["learning_rate"]), l2=s["l2"], **options)
            scores.append(score(net))
        return scores

    def together() -> list[float]:
        table = bpx.sweep(
            network, GRID, X[train], y[train], validation=(X[test], y[test]), scoring="neg_loss", refit=False, **options
        )
        found = {tuple(row[name] for name in GRID): row["score"] for row in table.rows}
        return [found[tuple(s.values())] for s in settings]

    values: dict[str, list[float]] = {"64 single fits": [], "bpx.sweep": []}
    scores: dict[str, list[float]] = {}
    work = {"64 single fits": single, "bpx.sweep": together}
    for number in range(rounds + 1):
        names = list(work)
        for name in names[number % 2 :] + names[: number % 2]:
            start = perf_counter()
            scores[name] = work[name]()
            if number:  # the first round loads kernels
                values[name].append(perf_counter() - start)
    one, other = (np.array(scores[name]) for name in work)
    return {
        "seconds": values,
        "largest difference of scores": float(np.max(np.abs(one - other))),
        "ranks them alike": bool(np.array_equal(np.argsort(-one, kind="stable"), np.argsort(-other, kind="stable"))),
    }


if __name__ == "__main__":
    run({"sweep": sweep})
