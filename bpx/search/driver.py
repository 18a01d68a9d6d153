"""How a sweep runs: trials are put into stacks, threads and ranks train these, a table has the results."""

from __future__ import annotations

import contextvars
import os
import sys
import threading
import time
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import nullcontext
from typing import Any, ClassVar

import numpy as np

from bpx._version import __version__
from bpx.errors import DivergenceWarning, say, warn_caller
from bpx.network.memory import explains_memory_errors
from bpx.search.folds import Fold
from bpx.search.grid import Setting
from bpx.search.sweep_table import SweepTable
from bpx.search.trials import Trial, TrialResult, into_stacks
from bpx.training.distributed import Ranks, agreeing, join, place


class Search(ABC):
    """Checked settings and data, and how they are trained and scored."""

    folds: list[Fold]
    scoring: str
    on_host: bool  # whether NumPy computes
    best: ClassVar[str]  # the table's attribute for the result of `refit`
    # Warnings of single trainings, which a sweep gives once.
    silenced: ClassVar[tuple[type[Warning], ...]] = (DivergenceWarning,)

    @abstractmethod
    def key(self, trial: Trial) -> Hashable:
        """Equal for trials that may be trained in one stack."""

    @abstractmethod
    def sort_key(self, trial: Trial) -> Any:
        """Close for trials that take about the same number of epochs."""

    @abstractmethod
    def most(self, trial: Trial) -> int:
        """The largest number of networks in a stack."""

    @abstractmethod
    def train(self, trials: list[Trial], halt: threading.Event) -> list[TrialResult]:
        """Train and score trials with an equal key; end after the current epoch once `halt` is set."""

    @abstractmethod
    def refit(self, setting: Setting) -> Any:
        """A network or estimator with this setting, trained on all rows."""

    def warn(self, results: Sequence[TrialResult]) -> None:  # noqa: B027 - not every search warns
        """Warn once of what concerns many trainings."""


def run(
    make: Callable[[], Search], settings: Sequence[Setting], *, refit: bool, workers: int | None, comm: Any,
    progress: bool,
) -> SweepTable:  # fmt: skip
    """Train and score every setting in every fold; ``make()`` checks them, other arguments are as of `bpx.sweep`."""
    ranks = join(comm)
    _check_same(ranks, settings)
    with agreeing(ranks):
        search = make()
    trials = [Trial(s, f) for s in range(len(settings)) for f in range(len(search.folds))]
    threads = _threads(workers, ranks, search.on_host)
    stacks = into_stacks(trials, search.key, search.sort_key, search.most, threads * place(ranks)[1])
    started = time.perf_counter()
    with warnings.catch_warnings():
        for category in search.silenced:
            warnings.simplefilter("ignore", category)
        results = _train_all(stacks, search, ranks, threads, progress)
    table = _table(settings, len(search.folds), results, search.scoring)
    table.seconds = time.perf_counter() - started
    search.warn(results)
    if refit and np.isfinite(table.best_score):
        try:
            setattr(table, search.best, search.refit(table.best))
        except MemoryError as error:
            warn_caller(
                f"the best setting could not be trained on all rows: {error}; the table is complete, its"
                f" {search.best} is None",
                RuntimeWarning,
            )
    return table


def _table(settings: Sequence[Setting], n_folds: int, results: Sequence[TrialResult], scoring: str) -> SweepTable:
    """The table of the results; warns if settings diverged."""
    scores, epochs = np.full((len(settings), n_folds), np.nan), np.zeros((len(settings), n_folds))
    for trial, score, trained in results:
        scores[trial] = score if np.isfinite(score) else np.nan
        epochs[trial] = trained
    lost = [settings[i] for i in np.flatnonzero(np.any(np.isnan(scores), axis=1)).tolist()]
    if lost:
        warn_caller(
            f"{len(lost)} of {len(settings)} settings diverged, or have no finite score: their score is NaN and they"
            f" are last in the table. The first is {lost[0]}",
            DivergenceWarning,
        )
    return SweepTable(settings, scores, epochs, scoring)


@explains_memory_errors()
def _train_all(
    stacks: Sequence[list[Trial]], search: Search, ranks: Ranks | None, threads: int, progress: bool
) -> list[TrialResult]:
    """Train the stacks, this rank its share of them on threads; returns the results of all ranks."""
    rank, size = place(ranks)
    share = stacks[rank::size]
    threads = max(1, min(threads, len(share)))
    halt, done, lock = threading.Event(), 0, threading.Lock()

    def one(stack: list[Trial]) -> list[TrialResult]:
        nonlocal done
        results = [] if halt.is_set() else search.train(stack, halt)
        with lock:
            done += 1
            if progress and rank == 0:
                say(f"sweep: {done} of {len(share)} stacks", sys.stderr)
        return results

    def train_share() -> list[TrialResult]:
        if threads == 1:
            return [result for stack in share for result in one(stack)]
        limits = _threadpool_limits()
        # BLAS threads of several stacks would compete for the processors.
        with nullcontext() if limits is None else limits(1, "blas"), ThreadPoolExecutor(threads) as pool:
            # Each in a copy of this context, which holds the current backend.
            jobs = [pool.submit(contextvars.copy_context().run, one, stack) for stack in share]
            try:
                for job in as_completed(jobs):
                    job.result()
            except BaseException:
                halt.set()
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        return [result for job in jobs for result in job.result()]

    if ranks is None:
        return train_share()
    with ranks.agreeing():
        results = train_share()
    return [result for part in ranks.from_all(results) for result in part]


def _check_same(ranks: Ranks | None, settings: Sequence[Setting]) -> None:
    """ValueError on every rank if their grids or versions of bpx differ."""
    if ranks is None:
        return
    grids = ranks.from_all([__version__, *(str(setting) for setting in settings)])
    for rank, other in enumerate(grids):
        if other != grids[0]:
            raise ValueError(
                f"grid: expected the same settings and version of bpx on every rank, got {grids[0]!r:.200} on rank 0"
                f" and {other!r:.200} on rank {rank}"
            )


def _threads(workers: int | None, ranks: Ranks | None, on_host: bool) -> int:
    """The number of threads that train stacks: one per processor if NumPy computes and its BLAS can be limited."""
    if workers is not None:
        return int(workers)
    if not on_host or ranks is not None or _threadpool_limits() is None:
        return 1
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _threadpool_limits() -> Any:
    """threadpoolctl's function, which comes with scikit-learn, or None."""
    try:
        from threadpoolctl import threadpool_limits
    except ImportError:
        return None
    return threadpool_limits
