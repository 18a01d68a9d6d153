"""When to stop: rules that are asked after each epoch. They keep their state as data and never raise to stop.

In a stack each network is judged by itself, and training stops when the rule holds for all of them.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, final

import numpy as np

from bpx._typing import State
from bpx.training.history import StopReason

if TYPE_CHECKING:
    from bpx.training.monitor import Run

__all__ = ["ErrorRate", "MaxWeightChange", "Patience", "StopRule", "TargetLoss", "TimeLimit"]

# "loss", "val_loss", or a function of the run that gives a number (K numbers for a stack).
Monitor = str | Callable[["Run"], Any]


class StopRule(ABC):
    """Decides after each epoch whether training is done."""

    reason: ClassVar[StopReason]

    def init(self, run: Run) -> State:
        """State before the first epoch; raises ValueError where the run lacks what the rule looks at."""
        return {}

    @abstractmethod
    def check(self, state: State, run: Run) -> tuple[State, Any]:
        """State after an epoch, and whether to stop: a bool, or K of them for a stack."""

    def finish(self, state: State, run: Run) -> None:  # noqa: B027 - most rules have nothing to restore
        """Restore what the rule kept, once, when training has ended for whatever reason."""


def _positive(name: str, value: float) -> None:
    """Refuse a threshold that is not positive and finite."""
    if not (math.isfinite(value) and value > 0.0):
        raise ValueError(f"{name}: expected a finite number > 0, got {value}")


def _check_monitor(monitor: Monitor, run: Run) -> None:
    """Refuse to watch what the run does not have."""
    if not callable(monitor) and monitor not in {"loss", "val_loss"}:
        raise ValueError(f"monitor: expected 'loss', 'val_loss' or a function of the run, got {monitor!r}")
    if monitor == "val_loss" and not run.validates:
        raise ValueError("monitor='val_loss' needs validation data: fit(..., validation=(X_val, y_val)), or 'loss'")


def _monitored(monitor: Monitor, run: Run) -> Any:
    """The watched value, as float64: shape () or (K,)."""
    value = monitor(run) if callable(monitor) else getattr(run, monitor)
    return np.asarray(value, dtype=np.float64)


@final
@dataclass(frozen=True)
class MaxWeightChange(StopRule):
    """Stop when no parameter changed by `threshold` or more over the last epoch."""

    threshold: float
    reason: ClassVar = StopReason.MAX_WEIGHT_CHANGE

    def __post_init__(self) -> None:
        _positive("threshold", self.threshold)

    def init(self, run: Run) -> State:
        return {"before": run.net.flat * 1.0}

    def check(self, state: State, run: Run) -> tuple[State, Any]:
        xp, flat = run.net.backend.xp, run.net.flat
        change = run.net.backend.to_host(xp.max(xp.abs(flat - state["before"]), axis=-1))
        state["before"][...] = flat
        return state, change < self.threshold


@final
@dataclass(frozen=True)
class ErrorRate(StopRule):
    """Stop when the share of misclassified training samples is below `threshold`.

    With one output the predicted class is whether it exceeds `cutoff`; with several it is the largest.
    """

    threshold: float
    cutoff: float = 0.5
    reason: ClassVar = StopReason.ERROR_RATE

    def __post_init__(self) -> None:
        _positive("threshold", self.threshold)

    def check(self, state: State, run: Run) -> tuple[State, Any]:
        return state, run.error_rate(self.cutoff) < self.threshold


@final
@dataclass(frozen=True)
class TargetLoss(StopRule):
    """Stop when the monitored loss is at most `loss`."""

    loss: float
    monitor: Monitor = "loss"
    reason: ClassVar = StopReason.TARGET_LOSS

    def __post_init__(self) -> None:
        if not math.isfinite(self.loss):
            raise ValueError(f"loss: expected a finite number, got {self.loss}")

    def init(self, run: Run) -> State:
        _check_monitor(self.monitor, run)
        return {}

    def check(self, state: State, run: Run) -> tuple[State, Any]:
        return state, _monitored(self.monitor, run) <= self.loss


@final
@dataclass(frozen=True)
class TimeLimit(StopRule):
    """Stop after the epoch in which `seconds` of wall time have passed."""

    seconds: float
    reason: ClassVar = StopReason.TIME_LIMIT

    def __post_init__(self) -> None:
        _positive("seconds", self.seconds)

    def check(self, state: State, run: Run) -> tuple[State, Any]:
        return state, run.seconds >= self.seconds


@final
@dataclass(frozen=True)
class Patience(StopRule):
    """Stop when the monitored value has not improved for `patience` epochs, and restore the best parameters.

    Parameters
    ----------
    monitor : {"val_loss", "loss"} or callable
        What is watched; a callable is given the run and returns a number (K numbers for a stack).
    patience : int
        Epochs without improvement, at least 1.
    min_delta : float
        How much better counts as an improvement, >= 0.
    restore_best : bool
        Whether the parameters of the best epoch come back at the end, however training ended.
    mode : {"min", "max"}
        Whether lower or higher is better.
    """

    monitor: Monitor = "val_loss"
    patience: int = 10
    min_delta: float = 0.0
    restore_best: bool = True
    mode: Literal["min", "max"] = "min"
    reason: ClassVar = StopReason.PATIENCE

    def __post_init__(self) -> None:
        if self.patience < 1:
            raise ValueError(f"patience: expected at least 1 epoch, got {self.patience}")
        if not (math.isfinite(self.min_delta) and self.min_delta >= 0.0):
            raise ValueError(f"min_delta: expected a finite number >= 0, got {self.min_delta}")
        if self.mode not in {"min", "max"}:
            raise ValueError(f"mode: expected 'min' or 'max', got {self.mode!r}")

    def init(self, run: Run) -> State:
        _check_monitor(self.monitor, run)
        shape = () if run.net.stack is None else (run.net.stack,)
        state: State = {
            "best": np.full(shape, np.inf),
            "waited": np.zeros(shape, dtype=np.int64),
            "done": np.zeros(shape, dtype=np.bool_),
            "epoch": np.zeros(shape, dtype=np.int64),
        }
        return state | ({"params": run.net.flat * 1.0} if self.restore_best else {})

    def check(self, state: State, run: Run) -> tuple[State, Any]:
        value = _monitored(self.monitor, run) * (1.0 if self.mode == "min" else -1.0)
        # A network of a stack that is done keeps the best it had, as it would have if it had trained alone.
        better = (value < state["best"] - self.min_delta) & ~state["done"]
        waited = np.where(better, 0, state["waited"] + 1)
        new = {
            "best": np.where(better, value, state["best"]),
            "waited": waited,
            "done": state["done"] | (waited >= self.patience),
            "epoch": np.where(better, run.epoch, state["epoch"]),
        }
        if self.restore_best:
            run.copy_rows(better, run.net.flat, state["params"])
            new["params"] = state["params"]
        return new, new["done"]

    def finish(self, state: State, run: Run) -> None:
        if self.restore_best and np.any(state["epoch"] > 0):
            run.copy_rows(state["epoch"] > 0, state["params"], run.net.flat)
            run.history.best_epoch = int(state["epoch"]) if state["epoch"].ndim == 0 else state["epoch"]
