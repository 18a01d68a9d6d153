"""Rows held out of training."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["split"]

Rows = np.ndarray[Any, np.dtype[np.int64]]


def split(n: int, share: float, rng: np.random.Generator, classes: Rows | None = None) -> tuple[Rows, Rows]:
    """Rows to train on, and rows held out; both in the order they have.

    Parameters
    ----------
    n : int
        Rows in all.
    share : float
        Of the rows that are held out, in [0, 1).
    rng : Generator
        Draws them.
    classes : int array of shape (n,), optional
        Each class gives its share, and keeps at least one row for training.
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
