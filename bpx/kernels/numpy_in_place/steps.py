"""Recorded steps on NumPy: what changes between them lies in host arrays that the kernels read anew each time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, final

import numpy as np

from bpx.backend.base import Backend
from bpx.kernels.recording import Replay, record

__all__ = ["Recorder"]


@final
class Recorded:
    """A recorded step, for batches of one size."""

    def __init__(self, replay: Replay, rows: Any, rate: Any, count: Any, number: Any) -> None:
        self._replay, self._rows, self._rate, self._count, self._number = replay, rows, rate, count, number
        self._written: Any = None
        self.done = 0  # how many steps the last call did

    def __call__(self, batch: Any, rate: Any, done: int, rates: Any = None) -> None:
        """Do the first of the batch's steps, after `done` others."""
        self.done = 0
        if self._rows is not None:
            self._rows[...] = batch.rows
        if rate is not self._written:  # most rates stay for many steps
            self._rate[...] = self._written = rate
        if self._count is not None:
            self._count[...] = done
        self._number[...] = done + 1
        self._replay()
        self.done = 1


@final
class Recorder:
    """Records steps.

    Parameters
    ----------
    backend : Backend
        The network's.
    drops : bool
        Whether a step reads how many were done before it, as dropout masks do.
    """

    # Whether a recorded step may do several steps in a call.
    does_many = False

    def __init__(self, backend: Backend, drops: bool) -> None:
        self._drops = drops

    def key(self, batch: Any) -> Any:
        """What more than its size, source and first row a batch must share with another to be the same recording."""
        return None

    def record(self, step: Callable[..., Any], batch: Any, rate: Any) -> Recorded | None:
        """A step for batches of one size.

        Parameters
        ----------
        step : callable
            ``step(batch, rate, done, number)`` does one with arrays that hold the batch's rows (or None), the learning
            rate, the number of steps done and this one's number from 1.
        batch : Batch
            One of them.
        rate : float or Array of shape (K, 1)
            Its rate.

        Returns
        -------
        Recorded or None
            None where something in the step cannot be recorded.
        """
        rows = None if batch.rows is None else np.array(batch.rows)
        now = np.array(rate, dtype=np.float64 if np.ndim(rate) == 0 else None)
        done, number = np.zeros((), dtype=np.int64), np.zeros((), dtype=np.float64)
        replay = record(step, batch._replace(rows=rows, on_device=rows), now, done, number)
        if replay is None:
            return None
        return Recorded(replay, rows, now, done if self._drops else None, number)
