"""`History`: the record of a training run."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from enum import Enum
from importlib import import_module
from typing import Any

import numpy as np


class StopReason(Enum):
    """Why training ended; the value is a description."""

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
    """The record of a training run, epoch by epoch; what `bpx.fit` returns.

    Parameters
    ----------
    loss : list
        Mean training loss of each epoch, penalty included, as the steps computed it: a float, or an array of shape (K,)
        for a stack.
    val_loss : list
        Loss on the validation data after each epoch, without penalty; empty if there are none.
    learning_rate : list
        Learning rate of each epoch's last step; empty for SciPy's solvers.
    epochs : int
        Epochs completed.
    steps : int
        Updates made (function evaluations for SciPy's solvers).
    seconds : float
        Wall time.
    stop_reason : StopReason
        Why training ended.
    best_epoch : int, array of shape (K,) or None
        Epoch (counted from 1) whose parameters a stopping rule restored.
    diverged : bool or array of shape (K,)
        Whether the loss or a parameter was not finite; for a stack, of each network.
    message : str
        The final message of a SciPy solver.
    metrics : dict of str to list
        The metrics of `bpx.fit` and values that callbacks recorded, by name: for each epoch a float, or an array of
        shape (K,). ``metrics["accuracy"]`` is on the training data, ``metrics["val_accuracy"]`` on the validation data.
    validation_rows : array of shape (m,) or None
        Indices of the rows that ``validation=0.2`` held out.
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
    metrics: dict[str, list[Any]] = field(default_factory=dict)
    validation_rows: Any = None

    def __str__(self) -> str:
        last = f", loss {short(self.loss[-1])}" if self.loss else ""
        val = f", validation loss {short(self.val_loss[-1])}" if self.val_loss else ""
        val += "".join(f", {name} {short(values[-1])}" for name, values in self.metrics.items() if values)
        best = "" if self.best_epoch is None else f", parameters of epoch {self.best_epoch} restored"
        lost = f"; diverged: networks {np.flatnonzero(self.diverged).tolist()}" if np.ndim(self.diverged) else ""
        return (
            f"{self.epochs} epochs, {self.steps} steps in {self.seconds:.2f} s{last}{val}{best};"
            f" stopped: {self.stop_reason.value}{lost if np.any(self.diverged) else ''}"
        )

    __repr__ = __str__

    def __eq__(self, other: object) -> bool:
        """Whether all fields are equal; NaN equals NaN."""
        if not isinstance(other, History):
            return NotImplemented
        return all(_same(getattr(self, one.name), getattr(other, one.name)) for one in fields(self))

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(vars(History()) | state)  # the pickle may be of a version with fewer fields

    def to_frame(self) -> Any:
        """The epochs as a pandas data frame: epoch, loss, val_loss, learning_rate, and each metric.

        Returns
        -------
        pandas.DataFrame
            One row per epoch, with NaN where an epoch has no value. Each network of a stack has columns of its own
            (``loss_0``, ``loss_1``, ...).

        Raises
        ------
        ImportError
            If pandas is not installed.
        """
        try:
            pandas = import_module("pandas")
        except ImportError as error:
            raise ImportError("history.to_frame needs pandas: pip install pandas") from error
        n = len(self.loss)
        curves = {"loss": self.loss, "val_loss": self.val_loss, "learning_rate": self.learning_rate} | self.metrics
        columns: dict[str, Any] = {"epoch": np.arange(n) + (self.epochs > 0)}
        K = len(self.loss[0]) if self.loss and np.ndim(self.loss[0]) else None
        for name, values in curves.items():
            if not values and name in ("val_loss", "learning_rate"):
                continue
            table = np.full((n, K or 1), np.nan)
            for i, value in enumerate(values):
                table[i] = value
            columns |= {name: table[:, 0]} if K is None else {f"{name}_{k}": c for k, c in enumerate(table.T)}
        return pandas.DataFrame(columns)


def fill_up(column: list[Any], epochs: int, stack: int | None) -> None:
    """Append NaN to a metric's column, in place, until it has `epochs` values."""
    if len(column) < epochs:
        column += [float("nan") if stack is None else np.full(stack, np.nan)] * (epochs - len(column))


def last_metrics(history: History, epoch: int) -> dict[str, Any]:
    """The metrics that have a value for epoch `epoch`, the last completed one, by name."""
    return {name: values[-1] for name, values in history.metrics.items() if len(values) == epoch > 0}


def _same(one: Any, other: Any) -> bool:
    """Whether two fields are equal: numbers, arrays, or lists or dicts of them."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(one[name], other[name]) for name in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    if isinstance(one, (float, np.ndarray)) and isinstance(other, (float, np.ndarray)):
        return np.array_equal(one, other, equal_nan=True)
    return type(one) is type(other) and bool(one == other)


def short(value: Any, digits: int = 6) -> str:
    """A value as text with `digits` digits; for a stack the range of its finite values."""
    values = np.asarray(value)
    if values.ndim == 0:
        return f"{float(values):.{digits}g}"
    finite = values[np.isfinite(values)]
    return f"{finite.min():.{digits}g} to {finite.max():.{digits}g}" if finite.size else "none finite"
