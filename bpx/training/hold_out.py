"""Rows held out of training: the one way in which `bpx.fit`, sweeps and ``bpx train`` draw them."""

from __future__ import annotations

from typing import Any

import numpy as np

Rows = np.ndarray[Any, np.dtype[np.int64]]


def split(n: int, share: float, rng: np.random.Generator, classes: Rows | None = None) -> tuple[Rows, Rows]:
    """Of n rows those to train on and those held out, a share in [0, 1); both in the order they have.

    Where the rows' classes are given, each class gives its share, and keeps at least one row for training.
    """
    if classes is None:
        held = rng.permutation(n)[: min(round(n * share), n - 1)]
    else:
        # Ranked within their class, all classes' rows mix: the first ones of each make up the share of all.
        rank = np.empty(n)
        for label in np.unique(classes):
            members = rng.permutation(np.flatnonzero(classes == label))
            rank[members] = (np.arange(len(members)) + 0.5) / len(members)
            rank[members[-1]] = np.inf
        order = np.lexsort((rng.permutation(n), rank))
        held = order[: min(round(n * share), int(np.count_nonzero(np.isfinite(rank))))]
    mask = np.zeros(n, dtype=np.bool_)
    mask[held] = True
    return np.flatnonzero(~mask), np.flatnonzero(mask)


def held_out(n: int, share: float, seed: int, classes: Any = None) -> tuple[Rows, Rows]:
    """`split` for a ``validation=`` share in (0, 1); refuses one that leaves a side without rows."""
    train, test = split(n, share, np.random.default_rng(seed), classes)
    if not len(test) or not len(train):
        raise ValueError(
            f"validation: a share of {share} of {n} rows leaves none to {'train' if len(test) else 'validate'} on; give"
            " another share, or (X_val, y_val)"
        )
    return train, test


def classes_of(y: Any, loss: Any) -> Any:
    """Each row's class by its target on the host, for parts with their share of each; None where there are none."""
    if loss.targets not in {"classes", "unit"}:
        return None
    if y.ndim == 1:
        return y
    if not np.all((y == 0.0) | (y == 1.0)):
        return None
    return y[:, 0] if y.shape[1] == 1 else np.argmax(y, axis=1)
