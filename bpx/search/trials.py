"""Trials of a sweep, and how they are grouped into stacks."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from bpx.network.memory import step_bytes

# Bytes that a stack may take by default. On a CPU a stack that is larger than the caches gains nothing (measured with
# 1 210 to 7 510 parameters, batches of 32 and 128); on a GPU only its memory is the limit.
ON_HOST, ON_DEVICE = 2**23, 2**30
FEWEST, MOST = 8, 1024


class Trial(NamedTuple):
    """One training: the indices of its setting and its fold."""

    setting: int
    fold: int


class TrialResult(NamedTuple):
    """The score of a training, NaN if it diverged, and its number of epochs."""

    trial: Trial
    score: float
    epochs: int


def largest_stack(stack: int | None, sizes: Sequence[int], rows: int, itemsize: int, on_host: bool) -> int:
    """The largest number of networks in a stack: `stack`, or by default by the memory of a step of `rows` rows."""
    if stack is not None:
        return int(stack)
    one = step_bytes(sizes, rows, itemsize)
    by_cache = max(ON_HOST // one, FEWEST) if on_host else MOST
    return max(1, min(by_cache, ON_DEVICE // one, MOST))


def into_stacks(
    trials: Sequence[Trial],
    key: Callable[[Trial], Hashable],
    sort_key: Callable[[Trial], Any],
    most: Callable[[Trial], int],
    workers: int = 1,
) -> list[list[Trial]]:
    """Trials in stacks of an equal `key`, at most ``most(trial)`` in each, and enough stacks for all `workers`.

    A stack is trained until its last network is done, so neighbours by `sort_key`, which learn about as fast, are put
    together.
    """
    share = -(-len(trials) // workers)
    groups: dict[Hashable, list[Trial]] = {}
    for trial in trials:
        groups.setdefault(key(trial), []).append(trial)
    stacks = []
    for group in groups.values():
        ordered = sorted(group, key=sort_key)
        count = -(-len(ordered) // min(most(ordered[0]), share))
        ends = np.linspace(0, len(ordered), count + 1).astype(int)
        stacks += [ordered[a:b] for a, b in pairwise(ends)]
    return stacks
