"""Rows held out of training, as `bpx.fit`, sweeps and ``bpx train`` draw them."""

from __future__ import annotations

from typing import Any

import numpy as np

Rows = np.ndarray[Any, np.dtype[np.int64]]


def split(n: int, share: float, rng: np.random.Generator, classes: Rows | None = None) -> tuple[Rows, Rows]:
    """Indices of the rows to train on and of those held out, a share in [0, 1) of n; both sorted.

    With `classes` (n,) the same share of each class is held out, and at least one row of each is trained on.
    """
    if classes is None:
        held = rng.permutation(n)[: min(round(n * share), n - 1)]
    else:
        # Each row's rank within its class, in (0, 1): sorted by it, the first rows hold the same share of each class.
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
    """`split` for a ``validation=`` share in (0, 1); ValueError if a side has no rows."""
    train, test = split(n, share, np.random.default_rng(seed), classes)
    if not len(test) or not len(train):
        raise ValueError(
            f"validation: a share of {share} of {n} rows leaves none to {'train' if len(test) else 'validate'} on; give"
            " another share, or (X_val, y_val)"
        )
    return train, test


def classes_of(y: Any, loss: Any) -> Any:
    """Each row's class (n,), from host targets (n,) or (n, n_out), to stratify by; None if they are no classes."""
    if loss.targets not in {"classes", "unit"}:
        return None
    if y.ndim == 1:
        return y
    if not np.all((y == 0.0) | (y == 1.0)):
        return None
    return y[:, 0] if y.shape[1] == 1 else np.argmax(y, axis=1)
