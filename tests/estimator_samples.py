"""Small estimators and samples that the tests of estimators share."""

from __future__ import annotations

from typing import Any

import numpy as np

import bpx

# Two ways to the same numbers, relative to the largest.
SAME = 1e-10
SMALL = {"hidden_layer_sizes": (6,), "random_state": 0, "max_iter": 8, "learning_rate_init": 0.02}

N, FEATURES = 90, 5
_rng = np.random.default_rng(11)
X = _rng.normal(size=(N, FEATURES))
LABELS = np.array(["ash", "birch", "cedar"])[np.argmax(X[:, :3] + 0.3 * _rng.normal(size=(N, 3)), axis=1)]
NUMBERS = X @ np.array([1.0, -2.0, 0.5, 0.0, 1.0]) + 0.1 * _rng.normal(size=N)
WEIGHTS = _rng.uniform(0.1, 2.0, N)
BINARY = np.where(X[:, 0] + X[:, 1] > 0, "yes", "no")
SEVERAL = np.stack([(X[:, 0] > 0) + 5, (X[:, 1] > 0) + (X[:, 2] > 0.5) * 1], axis=1)
BITS = (X[:, :3] > 0).astype(int)


def classifier(**params: Any) -> Any:
    return bpx.MLPClassifier(**(SMALL | params))


def regressor(**params: Any) -> Any:
    return bpx.MLPRegressor(**(SMALL | params))


def same(a: Any, b: Any, tolerance: float = SAME) -> None:
    """Equal relative to the largest value; lists layer by layer, estimators by their weights."""
    if hasattr(a, "coefs_"):
        a, b = [*a.coefs_, *a.intercepts_], [*b.coefs_, *b.intercepts_]
    if isinstance(a, list) and np.ndim(a[0]) > 0:
        assert len(a) == len(b)
        for one, other in zip(a, b, strict=True):
            same(one, other, tolerance)
        return
    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    assert a.shape == b.shape
    assert np.max(np.abs(a - b)) <= tolerance * np.max(np.abs(b))
