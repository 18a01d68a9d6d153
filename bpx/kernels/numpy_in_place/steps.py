"""Recorded steps on NumPy: what changes between them lies in host arrays that the kernels read anew each time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, final

import numpy as np

from bpx.backend.base import Backend
from bpx.kernels.recording import record

__all__ = ["Recorder"]


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

    def __init__(self, backend: Backend, drops: bool) -> None:
        self._drops = drops

    def key(self, batch: Any) -> Any:
        """What more than its size, source and first row a batch must share with another to be the same recording."""
        return None

    def record(self, step: Callable[..., Any], batch: Any, rate: Any) -> Callable[[Any, Any, int], None] | None:
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
        callable or None
            ``recorded(batch, rate, done)``; None where something in the step cannot be recorded.
        """
        rows = None if batch.rows is None else np.array(batch.rows)
        now = np.array(rate, dtype=np.float64 if np.ndim(rate) == 0 else None)
        done, number = np.zeros((), dtype=np.int64), np.zeros((), dtype=np.float64)
        replay = record(step, batch._replace(rows=rows, on_device=rows), now, done, number)
        if replay is None:
            return None
        written, drops = None, self._drops

        def recorded(batch: Any, rate: Any, count: int) -> None:
            nonlocal written
            if rows is not None:
                rows[...] = batch.rows
            if rate is not written:  # most rates stay for many steps
                now[...] = written = rate
            if drops:
                done[...] = count
            number[...] = count + 1
            replay()

        return recorded
