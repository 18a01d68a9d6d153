"""Stopping rules, which are checked after each epoch.

In a stack a rule is checked for each network by itself, and training stops when it holds for all of them.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, final

import numpy as np

from bpx._typing import State
from bpx.errors.hints import explained
from bpx.formulas.metrics import METRICS, Metric
from bpx.training.history import StopReason
from bpx.training.run import Run

__all__ = ["ErrorRate", "MaxWeightChange", "Patience", "StopRule", "TargetLoss", "TimeLimit"]

# "loss", "val_loss", a metric ("auc", "val_auc"), or a function of the run that returns a number (K for a stack).
Monitor = str | Callable[[Run], Any]


class StopRule(ABC):
    """Base class of stopping rules, which decide after each epoch whether to stop training.

    A rule sets ``reason`` and overrides `check`. What it remembers between epochs belongs into the state that `init`
    and `check` return, not into attributes, so that checkpoints contain it.
    """

    reason: ClassVar[StopReason]

    def init(self, run: Run) -> State:
        """State before the first epoch; ValueError if the run does not have what the rule monitors."""
        return {}

    @abstractmethod
    def check(self, state: State, run: Run) -> tuple[State, Any]:
        """The state after an epoch, and whether to stop: a bool, or K of them for a stack."""

    def finish(self, state: State, run: Run) -> None:  # noqa: B027 - most rules restore nothing
        """Restore parameters that the rule kept; called once, however training ended."""


def _positive(name: str, value: float) -> None:
    """Refuse (ValueError) a value that is not positive and finite."""
    if not (math.isfinite(value) and value > 0.0):
        raise ValueError(f"{name}: expected a finite number > 0, got {value}")


def _check_monitor(monitor: Monitor, run: Run) -> None:
    """Refuse (ValueError) a monitor that the run does not have."""
    known = ["loss", *(["val_loss"] if run.validates else []), *run.columns]
    if callable(monitor) or monitor in known:
        return
    if monitor == "val_loss":
        raise ValueError(
            "monitor='val_loss' needs validation data: fit(..., validation=0.2 or (X_val, y_val)), or 'loss'"
        )
    listed, hint = ", ".join(map(repr, known)), ""
    name = str(monitor).removeprefix("val_")
    asked = name in {column.removeprefix("val_") for column in run.columns}
    if asked and not run.validates:
        hint = "; validation data are needed: fit(..., validation=0.2 or (X_val, y_val))"
    elif asked:
        hint = f"; the training data are a stream, on which nothing is measured: take 'val_{name}'"
    elif name in METRICS:
        data = ", validation=0.2" if str(monitor).startswith("val_") and not run.validates else ""
        hint = f"; ask for it: fit(..., metrics=[{name!r}]{data})"
    raise ValueError(f"monitor: expected one of {listed}, or a function of the run, got {monitor!r}{hint}")


def _monitored(monitor: Monitor, run: Run) -> Any:
    """The monitored value in float64, of shape () or (K,)."""
    if callable(monitor):
        value = monitor(run)
    else:
        value = run.history.metrics[monitor][-1] if monitor in run.columns else getattr(run, monitor)
    return np.asarray(value, dtype=np.float64)


def _larger_is_better(monitor: Monitor, columns: Mapping[str, Metric], remedy: str) -> bool:
    """Whether a larger value is better: False for losses and callables; ValueError for a user's metric."""
    if callable(monitor) or monitor not in columns:
        return False
    larger = columns[monitor].larger
    if larger is None:
        raise ValueError(f"monitor={monitor!r}: whether larger is better cannot be known of your own metric; {remedy}")
    return larger


def resolved(rule: StopRule, columns: Mapping[str, Metric]) -> StopRule:
    """The rule, with ``mode="auto"`` replaced by "min" or "max"."""
    return replace(rule, mode=rule.direction(columns)) if isinstance(rule, Patience) else rule


@final
@explained("bpx.stop.MaxWeightChange", "a stopping rule")
@dataclass(frozen=True)
class MaxWeightChange(StopRule):
    """Stop when no parameter has changed by `threshold` or more over the last epoch.

    Parameters
    ----------
    threshold : float
        Positive, in the units of the parameters.
    """

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
@explained("bpx.stop.ErrorRate", "a stopping rule")
@dataclass(frozen=True)
class ErrorRate(StopRule):
    """Stop when the share of misclassified training samples is below `threshold`.

    Parameters
    ----------
    threshold : float
        Positive; 0.01 is one percent.
    cutoff : float
        A single output above it predicts class 1; of several outputs the largest is the predicted class.
    """

    threshold: float
    cutoff: float = 0.5
    reason: ClassVar = StopReason.ERROR_RATE

    def __post_init__(self) -> None:
        _positive("threshold", self.threshold)

    def check(self, state: State, run: Run) -> tuple[State, Any]:
        return state, run.error_rate(self.cutoff) < self.threshold


@final
@explained("bpx.stop.TargetLoss", "a stopping rule")
@dataclass(frozen=True)
class TargetLoss(StopRule):
    """Stop when the monitored value has reached `loss`.

    Parameters
    ----------
    loss : float
        Losses have to fall to it, metrics for which larger is better have to rise to it:
        ``TargetLoss(0.95, "val_accuracy")`` stops at 95 %.
    monitor : {"loss", "val_loss"}, name of a metric or callable
        As for `Patience`.
    """

    loss: float
    monitor: Monitor = "loss"
    reason: ClassVar = StopReason.TARGET_LOSS

    def __post_init__(self) -> None:
        if not math.isfinite(self.loss):
            raise ValueError(f"loss: expected a finite number, got {self.loss}")

    def init(self, run: Run) -> State:
        _check_monitor(self.monitor, run)
        self._larger(run)
        return {}

    def _larger(self, run: Run) -> bool:
        """Whether a larger value is better."""
        remedy = f"give a function of the run, such as lambda run: -run.history.metrics[{self.monitor!r}][-1]"
        return _larger_is_better(self.monitor, run.columns, remedy)

    def check(self, state: State, run: Run) -> tuple[State, Any]:
        value = _monitored(self.monitor, run)
        return state, value >= self.loss if self._larger(run) else value <= self.loss


@final
@explained("bpx.stop.TimeLimit", "a stopping rule")
@dataclass(frozen=True)
class TimeLimit(StopRule):
    """Stop at the end of the first epoch after `seconds` of wall time.

    Parameters
    ----------
    seconds : float
        Positive; of a resumed run, including the time before its checkpoint.
    """

    seconds: float
    reason: ClassVar = StopReason.TIME_LIMIT

    def __post_init__(self) -> None:
        _positive("seconds", self.seconds)

    def check(self, state: State, run: Run) -> tuple[State, Any]:
        return state, run.seconds >= self.seconds


@final
@explained("bpx.stop.Patience", "a stopping rule")
@dataclass(frozen=True)
class Patience(StopRule):
    """Stop when the monitored value has not improved for `patience` epochs, and restore the best parameters.

    Parameters
    ----------
    monitor : {"val_loss", "loss"}, name of a metric or callable
        The value to monitor. ``"val_auc"`` is a metric of `bpx.fit` on the validation data, ``"auc"`` the same on the
        training data; a callable takes the run and returns a number (K numbers for a stack).
    patience : int
        Epochs without improvement, at least 1.
    min_delta : float
        How much better a value has to be to count as an improvement; not negative.
    restore_best : bool
        Whether to restore the parameters of the best epoch at the end, however training ended.
    mode : {"auto", "min", "max"}
        Whether a lower or a higher value is better. "auto" is right for losses and bpx's metrics, and "min" for a
        callable; for a metric of your own it is an error.
    """

    monitor: Monitor = "val_loss"
    patience: int = 10
    min_delta: float = 0.0
    restore_best: bool = True
    mode: Literal["auto", "min", "max"] = "auto"
    reason: ClassVar = StopReason.PATIENCE

    def __post_init__(self) -> None:
        if self.patience < 1:
            raise ValueError(f"patience: expected at least 1 epoch, got {self.patience}")
        if not (math.isfinite(self.min_delta) and self.min_delta >= 0.0):
            raise ValueError(f"min_delta: expected a finite number >= 0, got {self.min_delta}")
        if self.mode not in {"auto", "min", "max"}:
            raise ValueError(f"mode: expected 'auto', 'min' or 'max', got {self.mode!r}")

    def direction(self, columns: Mapping[str, Metric]) -> Literal["min", "max"]:
        """The mode, with "auto" replaced by "min" or "max"."""
        if self.mode != "auto":
            return self.mode
        return "max" if _larger_is_better(self.monitor, columns, "give Patience(..., mode='max') or 'min'") else "min"

    def init(self, run: Run) -> State:
        _check_monitor(self.monitor, run)
        self.direction(run.columns)
        shape = () if run.net.stack is None else (run.net.stack,)
        state: State = {
            "best": np.full(shape, np.inf),
            "waited": np.zeros(shape, dtype=np.int64),
            "done": np.zeros(shape, dtype=np.bool_),
            "epoch": np.zeros(shape, dtype=np.int64),
        }
        return state | ({"params": run.net.flat * 1.0} if self.restore_best else {})

    def check(self, state: State, run: Run) -> tuple[State, Any]:
        value = _monitored(self.monitor, run) * (1.0 if self.direction(run.columns) == "min" else -1.0)
        # A network of a stack that is done keeps its best parameters, as it would if it had been trained alone.
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
