"""Data, starting weights and order of samples: the same for every contender."""

from __future__ import annotations

import os
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["digits", "many_rows", "mean_loss", "moons", "orders", "samples", "start_weights", "xor"]

Array = np.ndarray[Any, Any]


def samples(n: int, n_in: int, n_out: int, dtype: str) -> tuple[Array, Array]:
    """Normal inputs, and classes that a random linear map makes of them."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, n_in), dtype=np.float32).astype(dtype)
    return X, (X @ rng.standard_normal((n_in, n_out)).astype(dtype)).argmax(axis=1)


def start_weights(sizes: Sequence[int], dtype: str) -> list[tuple[Array, Array]]:
    """Glorot's uniform weights and zero biases, a (W, b) for each layer."""
    rng = np.random.default_rng(1)
    layers = []
    for n_in, n_out in pairwise(sizes):
        limit = np.sqrt(6 / (n_in + n_out))
        layers.append((rng.uniform(-limit, limit, (n_in, n_out)).astype(dtype), np.zeros(n_out, dtype)))
    return layers


def orders() -> np.random.Generator:
    """What draws the order of each epoch, ``.permutation(n)``: `bpx.fit` with ``seed=0`` draws the same."""
    return np.random.default_rng(0)


def mean_loss(layers: Sequence[tuple[Array, Array]], hidden: str, X: Array, y: Array) -> float:
    """Mean cross-entropy of a softmax network on 1 000 rows: contenders that did the same work have the same."""
    functions = {"relu": lambda z: np.maximum(z, 0), "tanh": np.tanh, "sigmoid": lambda z: 1 / (1 + np.exp(-z))}
    X, y = X[:1000], y[:1000]
    a = X.astype(np.float64)
    for i, (W, b) in enumerate(layers):
        z = a @ np.asarray(W, np.float64) + np.asarray(b, np.float64)
        a = functions[hidden](z) if i + 1 < len(layers) else z
    a = a - a.max(axis=1, keepdims=True)
    return float(np.mean(np.log(np.exp(a).sum(axis=1)) - a[np.arange(len(y)), y]))


def many_rows(n: int, n_in: int, dtype: str, scratch: Path) -> Array:
    """Normal inputs in a file that all processes share, so that a million rows are in memory once."""
    path = scratch / f"rows-{n}-{n_in}-{dtype}.npy"
    if not path.exists():
        block, _ = samples(min(n, 10_000), n_in, 2, dtype)
        unfinished = path.with_suffix(f".{os.getpid()}")
        with unfinished.open("wb") as file:
            np.lib.format.write_array_header_1_0(
                file, {"descr": np.dtype(dtype).str, "fortran_order": False, "shape": (n, n_in)}
            )
            for start in range(0, n, len(block)):
                file.write(block[: n - start].tobytes())
        unfinished.rename(path)
    # Copy on write: torch wants an array that it could write to.
    rows = np.load(path, mmap_mode="c")
    rows.reshape(-1)[:: 4096 // rows.itemsize].max()  # each page is read now, not while time is taken
    return np.asarray(rows)


def digits(dtype: str) -> tuple[Array, Array]:
    """scikit-learn's 1 797 digits in [0, 1], and their classes."""
    from sklearn.datasets import load_digits

    X, y = load_digits(return_X_y=True)
    return (X / 16).astype(dtype), y


def xor() -> tuple[Array, Array]:
    """The four rows of XOR."""
    return np.array([[0.0, 0], [0, 1], [1, 0], [1, 1]]), np.array([[0.0], [1], [1], [0]])


def moons(n: int) -> tuple[Array, Array]:
    """Two half circles with much noise, and their classes, one-hot."""
    rng = np.random.default_rng(0)
    angle, label = rng.uniform(0, np.pi, n), np.arange(n) % 2
    upper = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    X = np.where(label[:, None] == 0, upper, np.array([1.0, 0.5]) - upper) + rng.standard_normal((n, 2))
    return X, np.eye(2)[label]
