"""The base class of loggers: which values they write, and that a failing log does not end training."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np

from bpx.errors import warn_caller
from bpx.training.callbacks.callback import Closing
from bpx.training.history import last_metrics
from bpx.training.run import Run

__all__ = ["EpochLogger", "figures", "series"]


def figures(run: Run) -> dict[str, Any]:
    """The last epoch's number, step, loss, val_loss, learning_rate, metrics and seconds; lists of K for a stack."""
    rates = run.history.learning_rate
    row = {"loss": run.loss} | ({"val_loss": run.val_loss} if run.validates else {})
    row |= {"learning_rate": rates[-1]} if rates else {}
    row |= last_metrics(run.history, run.epoch)
    if run.net.stack is not None:
        row = {name: np.broadcast_to(value, (run.net.stack,)).tolist() for name, value in row.items()}
    else:
        row = {name: float(value) for name, value in row.items()}
    return {"epoch": run.epoch, "step": run.step} | row | {"seconds": round(run.seconds, 6)}


def series(run: Run, separator: str) -> dict[str, float]:
    """`figures` without epoch and step, a stack's lists as one value per network: ``loss``, or ``loss/0``."""
    flat: dict[str, float] = {}
    for name, value in figures(run).items():
        if isinstance(value, list):
            flat |= {f"{name}{separator}{k}": one for k, one in enumerate(value)}
        elif name not in ("epoch", "step"):
            flat[name] = value
    return flat


class EpochLogger(Closing):
    """Base class of loggers: opens a log before training, writes every epoch to it, and closes it after training.

    A log that cannot be opened is an error before the first step. If it cannot be written later, a warning is given and
    training goes on without it.
    """

    _is_open = False

    @abstractmethod
    def _open(self, run: Run) -> None:
        """Open the log; it may already hold the first `run.epoch` epochs of a resumed run."""

    @abstractmethod
    def _write(self, run: Run) -> None:
        """Write the last epoch."""

    @abstractmethod
    def _close(self, ended: str) -> None:
        """Close the log; `ended`, as in MLflow, is FINISHED, KILLED (Ctrl-C) or FAILED (an error or divergence)."""

    def on_fit_begin(self, run: Run) -> None:
        self._open(run)
        self._is_open = True

    def on_epoch_end(self, run: Run) -> None:
        if self._is_open:
            self._try(lambda: self._write(run), run)

    def on_fit_end(self, run: Run) -> None:
        ended = {"INTERRUPTED": "KILLED", "DIVERGED": "FAILED"}
        self._end(run, ended.get(run.history.stop_reason.name, "FINISHED"))

    def on_fit_error(self, run: Run) -> None:
        self._end(run, "FAILED")

    def _end(self, run: Run, ended: str) -> None:
        """Close the log, if it is open."""
        if self._is_open:
            self._is_open = False
            self._try(lambda: self._close(ended), run)

    def _try(self, work: Any, run: Run) -> None:
        """Call ``work()``; an error becomes a warning, so that a full disk or a lost server does not end training."""
        try:
            work()
        except Exception as error:
            self._is_open = False
            warn_caller(
                f"{type(self).__name__}: epoch {run.epoch} could not be logged ({error}); training goes on without"
                " this log",
                RuntimeWarning,
            )
