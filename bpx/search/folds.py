"""Folds: the rows that each training uses and is scored on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from bpx.training.array_feed import Order, Sampler
from bpx.training.hold_out import held_out

Rows = np.ndarray[Any, np.dtype[np.int64]]


class Fold(NamedTuple):
    """Indices of the rows to train on and to score on; `test` is None if there are validation data for that."""

    train: Rows
    test: Rows | None


def folds(n: int, labels: Any, cv: Any, validation: Any, seed: int, data: tuple[Any, Any]) -> list[Fold]:
    """The folds of n rows for `cv` or `validation` of `bpx.sweep`; 5 folds if both are None.

    Folds are stratified by `labels` (n,) if there are any; `seed` draws the rows of a ``validation`` share; `data` are
    (X, y) for a splitter.
    """
    if cv is not None and validation is not None:
        raise ValueError("expected cv or validation, got both: a setting is scored on its folds or on held-out data")
    if isinstance(validation, tuple | list):
        return [Fold(np.arange(n), None)]
    if validation is not None:
        return [_held_out(n, labels, validation, seed)]
    if cv is None or (isinstance(cv, int | np.integer) and not isinstance(cv, bool)):
        return _k_folds(n, labels, 5 if cv is None else int(cv))
    pairs = cv.split(*data) if hasattr(cv, "split") else cv
    if isinstance(pairs, str) or not isinstance(pairs, Iterable):
        raise TypeError(f"cv: expected a number of folds, a splitter or a list of (train, test) rows, got {cv!r}")
    found = [_checked(n, pair) for pair in pairs]
    if not found:
        raise ValueError("cv: expected at least one fold, got none")
    return found


def _held_out(n: int, labels: Any, share: Any, seed: int) -> Fold:
    """A single fold that holds out a share of the rows, of each class if there are labels."""
    if isinstance(share, bool) or not isinstance(share, float) or not 0.0 < share < 1.0:
        raise TypeError(f"validation: expected (X_val, y_val), or a share of the rows in (0, 1), got {share!r:.80}")
    return Fold(*held_out(n, share, seed, labels))


def _k_folds(n: int, labels: Any, k: int) -> list[Fold]:
    """scikit-learn's folds without shuffling: consecutive rows (`KFold`), or stratified ones (`StratifiedKFold`)."""
    if k < 2:
        raise ValueError(f"cv: expected at least 2 folds, got {k!r}; without folds give validation=")
    if k > n:
        raise ValueError(f"cv: expected at most as many folds as rows, got {k} folds of {n} rows")
    if labels is None:
        of_fold = np.repeat(np.arange(k), [n // k + (i < n % k) for i in range(k)])
    else:
        _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
        # Classes numbered by their first occurrence.
        number = np.argsort(np.argsort(first))[inverse.reshape(-1)]
        counts = np.bincount(number)
        if k > counts.max():
            raise ValueError(f"cv: expected at most as many folds as members of a class, got {k}, and {counts.max()}")
        ordered = np.sort(number)
        share = np.stack([np.bincount(ordered[i::k], minlength=len(counts)) for i in range(k)])
        of_fold = np.empty(n, dtype=np.int64)
        for c in range(len(counts)):
            of_fold[number == c] = np.repeat(np.arange(k), share[:, c])
    rows = np.arange(n)
    return [Fold(rows[of_fold != i], rows[of_fold == i]) for i in range(k)]


def _checked(n: int, pair: Any) -> Fold:
    """A splitter's (train, test), indices or masks, as a Fold."""
    if not isinstance(pair, tuple | list) or len(pair) != 2:
        raise TypeError(f"cv: expected pairs (rows to train on, rows to score on), got {pair!r:.80}")
    parts = [np.flatnonzero(part) if np.asarray(part).dtype == np.bool_ else np.asarray(part) for part in pair]
    for part in parts:
        if part.ndim != 1 or part.dtype.kind not in "iu" or not part.size or part.min() < 0 or part.max() >= n:
            raise ValueError(f"cv: expected row numbers in 0..{n - 1}, at least one, got {part!r:.80}")
    return Fold(parts[0].astype(np.int64), parts[1].astype(np.int64))


def order_of(sampler: Sampler, n: int, folds: Sequence[Fold]) -> Callable[[], Order]:
    """Draws an epoch's rows, of n, for a stack: each network's fold, in the order that it would have alone."""
    same = all(fold is folds[0] for fold in folds)
    base = folds[0].train if same else np.stack([fold.train for fold in folds])
    unchanged = None if same and np.array_equal(base, np.arange(n)) else base

    def order() -> Order:
        positions = sampler()
        return unchanged if positions is None else base[..., positions]

    return order
