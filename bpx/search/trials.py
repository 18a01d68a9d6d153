"""Trainings put together to stacks, and threads and ranks that work on them."""

from __future__ import annotations

import contextlib
import contextvars
import os
import sys
import threading
from collections.abc import Callable, Hashable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from bpx._version import __version__
from bpx.errors import say
from bpx.network.memory import explains_memory_errors, step_bytes
from bpx.training.distributed import Ranks, place

__all__ = [
    "Halt",
    "Trial",
    "TrialResult",
    "at_once",
    "carry_out",
    "check_counts",
    "plan",
    "same_settings",
    "threads_for",
]

# Bytes that a stack may take where nothing is said. On a processor a stack that does not fit its caches gains nothing
# (measured with 1 210 to 7 510 parameters, batches of 32 and 128); a device is filled by what its memory allows.
ON_HOST, ON_DEVICE = 2**23, 2**30
FEWEST, MOST = 8, 1024

# Set when a sweep is to end early.
Halt = threading.Event


class Trial(NamedTuple):
    """One training: a setting's number and a fold's."""

    setting: int
    fold: int


class TrialResult(NamedTuple):
    """A training's score, NaN where it diverged, and the epochs it took."""

    task: Trial
    score: float
    epochs: int


def check_counts(**counts: int | None) -> None:
    """Refuse what is not a positive integer or None."""
    for name, count in counts.items():
        if count is None:
            continue
        if isinstance(count, bool) or not isinstance(count, (int, np.integer)):
            raise TypeError(f"{name}: expected a positive integer or None, got {count!r}")
        if count < 1:
            raise ValueError(f"{name}: expected at least 1, got {count}")


def at_once(stack: int | None, sizes: Sequence[int], rows: int, itemsize: int, on_host: bool) -> int:
    """Networks in one stack at most.

    Parameters
    ----------
    stack : int or None
        What the user asked for.
    sizes : sequence of int
        Layers of a network.
    rows : int
        Of a batch.
    itemsize : int
        Bytes of a number.
    on_host : bool
        Whether NumPy computes.
    """
    if stack is not None:
        return int(stack)
    one = step_bytes(sizes, rows, itemsize)
    by_cache = max(ON_HOST // one, FEWEST) if on_host else MOST
    return max(1, min(by_cache, ON_DEVICE // one, MOST))


def plan(
    tasks: Sequence[Trial],
    key: Callable[[Trial], Hashable],
    pace: Callable[[Trial], Any],
    most: Callable[[Trial], int],
    hands: int = 1,
) -> list[list[Trial]]:
    """Tasks in stacks: only such with an equal `key`, at most ``most(task)``, and of similar `pace` together.

    A stack trains until the last of its networks is done, so those that learn about as fast belong together. Each of
    so many `hands`, threads and ranks, gets some.
    """
    share = -(-len(tasks) // hands)
    groups: dict[Hashable, list[Trial]] = {}
    for task in tasks:
        groups.setdefault(key(task), []).append(task)
    stacks = []
    for group in groups.values():
        ordered = sorted(group, key=pace)
        count = -(-len(ordered) // min(most(ordered[0]), share))
        ends = np.linspace(0, len(ordered), count + 1).astype(int)
        stacks += [ordered[a:b] for a, b in pairwise(ends)]
    return stacks


@explains_memory_errors()
def carry_out(
    stacks: Sequence[list[Trial]],
    train: Callable[[list[Trial], Halt], list[TrialResult]],
    ranks: Ranks | None,
    threads: int,
    progress: bool,
) -> list[TrialResult]:
    """Train the stacks, this rank its share on threads; returns the outcomes of all ranks."""
    rank, size = place(ranks)
    own = stacks[rank::size]
    threads = max(1, min(threads, len(own)))
    halt, done, lock = Halt(), 0, threading.Lock()

    def one(stack: list[Trial]) -> list[TrialResult]:
        nonlocal done
        outcomes = [] if halt.is_set() else train(stack, halt)
        with lock:
            done += 1
            if progress and rank == 0:
                say(f"sweep: {done} of {len(own)} stacks", sys.stderr)
        return outcomes

    def all_of_them() -> list[TrialResult]:
        if threads == 1:
            return [outcome for stack in own for outcome in one(stack)]
        with _one_blas_thread(), ThreadPoolExecutor(threads) as pool:
            # Each with a copy of this context, where the backend in force is kept.
            jobs = [pool.submit(contextvars.copy_context().run, one, stack) for stack in own]
            try:
                wait(jobs, return_when=FIRST_EXCEPTION)
                failed = [job for job in jobs if job.done() and job.exception() is not None]
                if failed:
                    raise failed[0].exception()  # type: ignore[misc]
            except BaseException:
                halt.set()
                for job in jobs:
                    job.cancel()
                raise
        return [outcome for job in jobs for outcome in job.result()]

    if ranks is None:
        return all_of_them()
    with ranks.agreeing():
        outcomes = all_of_them()
    return [outcome for part in ranks.from_all(outcomes) for outcome in part]


def same_settings(ranks: Ranks | None, settings: Sequence[Any]) -> None:
    """Refuse ranks that were given other grids.

    Raises
    ------
    ValueError
        On every rank.
    """
    if ranks is None:
        return
    told = ranks.from_all([__version__, *(str(setting) for setting in settings)])
    for rank, other in enumerate(told):
        if other != told[0]:
            raise ValueError(
                f"grid: expected the same settings and version of bpx on every rank, got {told[0]!r:.200} on rank 0 and"
                f" {other!r:.200} on rank {rank}"
            )


def threads_for(workers: int | None, ranks: Ranks | None, on_host: bool) -> int:
    """Threads to train stacks on: one for each processor where NumPy computes and its own threads can be held back."""
    if workers is not None:
        return int(workers)
    if not on_host or ranks is not None or _threadpool_limits() is None:
        return 1
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _threadpool_limits() -> Any:
    """threadpoolctl's (it comes with scikit-learn), or None."""
    try:
        from threadpoolctl import threadpool_limits
    except ImportError:
        return None
    return threadpool_limits


@contextlib.contextmanager
def _one_blas_thread() -> Iterator[None]:
    """One thread for each product: those of several threads would wait for each other."""
    limits = _threadpool_limits()
    with contextlib.nullcontext() if limits is None else limits(1, "blas"):
        yield
