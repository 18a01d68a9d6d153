"""The record of a training run."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import numpy as np

__all__ = ["History", "StopReason"]


class StopReason(Enum):
    """Why training ended; the value says it in words."""

    EPOCHS = "the epoch limit was reached"
    MAX_WEIGHT_CHANGE = "no weight changed by more than the threshold in the last epoch"
    ERROR_RATE = "the error rate fell below the threshold"
    TARGET_LOSS = "the loss reached its target"
    PATIENCE = "the monitored value stopped improving"
    TIME_LIMIT = "the time limit was reached"
    CONVERGED = "the solver converged"
    NO_PROGRESS = "the solver could not lower the loss any further"
    CALLBACK = "a callback asked to stop"
    INTERRUPTED = "interrupted from the keyboard"
    DIVERGED = "the loss or a parameter was no longer finite"


@dataclass(repr=False)
class History:
    """What a training run did, epoch by epoch.

    Parameters
    ----------
    loss : list
        Mean training loss of each epoch (penalty included) as the steps saw it: a float, or an array of shape (K,) for
        a stack.
    val_loss : list
        Loss on the validation data after each epoch, without penalty; empty where there are none.
    learning_rate : list
        Rate of each epoch's last step; empty for SciPy's solvers.
    epochs : int
        Epochs completed.
    steps : int
        Updates made (function evaluations for SciPy's solvers).
    seconds : float
        Wall time.
    stop_reason : StopReason
        Why training ended.
    best_epoch : int, array of shape (K,) or None
        Epoch (from 1) whose parameters a stopping rule restored.
    diverged : bool or array of shape (K,)
        Whether the loss or a parameter was not finite, for each network of a stack.
    message : str
        The solver's own words, for SciPy's solvers.
    """

    loss: list[Any] = field(default_factory=list)
    val_loss: list[Any] = field(default_factory=list)
    learning_rate: list[Any] = field(default_factory=list)
    epochs: int = 0
    steps: int = 0
    seconds: float = 0.0
    stop_reason: StopReason = StopReason.EPOCHS
    best_epoch: Any = None
    diverged: Any = False
    message: str = ""

    def __str__(self) -> str:
        last = f", loss {short(self.loss[-1])}" if self.loss else ""
        val = f", validation loss {short(self.val_loss[-1])}" if self.val_loss else ""
        best = "" if self.best_epoch is None else f", parameters of epoch {self.best_epoch} restored"
        lost = f"; diverged: networks {np.flatnonzero(self.diverged).tolist()}" if np.ndim(self.diverged) else ""
        return (
            f"{self.epochs} epochs, {self.steps} steps in {self.seconds:.2f} s{last}{val}{best};"
            f" stopped: {self.stop_reason.value}{lost if np.any(self.diverged) else ''}"
        )

    __repr__ = __str__


def short(value: Any, digits: int = 6) -> str:
    """A loss as text; for a stack its range."""
    values = np.asarray(value)
    if values.ndim == 0:
        return f"{float(values):.{digits}g}"
    finite = values[np.isfinite(values)]
    return f"{finite.min():.{digits}g} to {finite.max():.{digits}g}" if finite.size else "none finite"
