"""Learning-rate schedules: functions of the training clock, evaluated on the host.

``init()`` gives a schedule's state, ``rate(state, clock)`` the learning rate of the next step, and
``end_epoch(state, loss)`` the state after an epoch. Rates are floats, or arrays of shape (K,) for a stack of K.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, final

import numpy as np

from bpx._typing import State
from bpx.errors.hints import explained
from bpx.formulas.hyperparameters import check_positive

__all__ = ["Adaptive", "Clock", "Constant", "Cosine", "InverseScaling", "Schedule", "StepDecay", "WarmUp"]

Rate = Any  # float, or host array of shape (K,)
Unit = Literal["step", "epoch", "sample"]  # the fields of `Clock`


class Clock(NamedTuple):
    """How far training is: updates, passes over the data and samples seen, all from zero."""

    step: int = 0
    epoch: int = 0
    sample: int = 0


def check_initial(schedule: Any) -> None:
    """Refuse a first rate that is not positive and finite; K numbers become an array, which the equations can scale."""
    check_positive("learning rate", schedule.initial)
    if np.ndim(schedule.initial) > 0:
        object.__setattr__(schedule, "initial", np.asarray(schedule.initial, dtype=np.float64))


def check_unit(unit: str) -> None:
    """Refuse a unit of time that the clock does not have."""
    if unit not in Clock._fields:
        raise ValueError(f"unit: expected one of {', '.join(Clock._fields)}, got {unit!r}")


class Schedule(ABC):
    """A learning rate that changes while training goes on."""

    def init(self) -> State:
        """State before the first step."""
        return {}

    @abstractmethod
    def rate(self, state: State, clock: Clock) -> Rate:
        """The learning rate of the step that the clock shows."""

    def end_epoch(self, state: State, loss: Any) -> State:
        """State after an epoch with that training loss."""
        return state


@final
@explained("bpx.schedules.Constant", "a schedule")
@dataclass(frozen=True)
class Constant(Schedule):
    """The same rate throughout."""

    initial: Rate

    def __post_init__(self) -> None:
        check_initial(self)

    def rate(self, state: State, clock: Clock) -> Rate:
        return self.initial


@final
@explained("bpx.schedules.StepDecay", "a schedule")
@dataclass(frozen=True)
class StepDecay(Schedule):
    """initial * factor^floor(t / every), with t in epochs (or steps, or samples)."""

    initial: Rate
    every: int = 30
    factor: float = 0.1
    unit: Unit = "epoch"

    def __post_init__(self) -> None:
        check_initial(self)
        check_positive("every", self.every)
        check_positive("factor", self.factor)
        check_unit(self.unit)

    def rate(self, state: State, clock: Clock) -> Rate:
        return self.initial * self.factor ** (getattr(clock, self.unit) // self.every)


@final
@explained("bpx.schedules.InverseScaling", "a schedule")
@dataclass(frozen=True)
class InverseScaling(Schedule):
    """initial / (1 + t)^power, with t in epochs (or steps, or samples); scikit-learn's ``invscaling``."""

    initial: Rate
    power: float = 0.5
    unit: Unit = "epoch"

    def __post_init__(self) -> None:
        check_initial(self)
        check_positive("power", self.power)
        check_unit(self.unit)

    def rate(self, state: State, clock: Clock) -> Rate:
        return self.initial / (1.0 + getattr(clock, self.unit)) ** self.power


@final
@explained("bpx.schedules.Cosine", "a schedule")
@dataclass(frozen=True)
class Cosine(Schedule):
    """From initial to minimum, minimum + (initial - minimum) (1 + cos(pi t / length)) / 2 (Loshchilov, Hutter 2017)."""

    initial: Rate
    length: int
    minimum: float = 0.0
    unit: Unit = "epoch"

    def __post_init__(self) -> None:
        check_initial(self)
        check_positive("length", self.length)
        check_unit(self.unit)
        if not (math.isfinite(self.minimum) and self.minimum >= 0.0):
            raise ValueError(f"minimum: expected a number >= 0, got {self.minimum}")

    def rate(self, state: State, clock: Clock) -> Rate:
        share = min(getattr(clock, self.unit) / self.length, 1.0)
        return self.minimum + (self.initial - self.minimum) * (0.5 * (1.0 + math.cos(math.pi * share)))


@final
@explained("bpx.schedules.WarmUp", "a schedule")
@dataclass(frozen=True)
class WarmUp(Schedule):
    """min(1, (t + 1) / length) times another schedule's rate, with t in steps (or epochs, or samples)."""

    after: Schedule
    length: int
    unit: Unit = "step"

    def __post_init__(self) -> None:
        if not isinstance(self.after, Schedule):
            raise TypeError(f"after: expected a schedule such as Constant(1e-3), got {type(self.after).__name__}")
        check_positive("length", self.length)
        check_unit(self.unit)

    def init(self) -> State:
        return self.after.init()

    def rate(self, state: State, clock: Clock) -> Rate:
        return self.after.rate(state, clock) * min(1.0, (getattr(clock, self.unit) + 1) / self.length)

    def end_epoch(self, state: State, loss: Any) -> State:
        return self.after.end_epoch(state, loss)


@final
@explained("bpx.schedules.Adaptive", "a schedule")
@dataclass(frozen=True)
class Adaptive(Schedule):
    """Multiply by `factor` each time the training loss has not improved by `tol` for more than `patience` epochs.

    A rate of `minimum` or less is not lowered any more. scikit-learn's ``adaptive`` is ``factor=0.2``; it ends training
    where it would lower such a rate.
    """

    initial: Rate
    factor: float = 0.2
    patience: int = 10
    tol: float = 1e-4
    minimum: float = 1e-6

    def __post_init__(self) -> None:
        check_initial(self)
        check_positive("minimum", self.minimum)
        if not 0.0 < self.factor < 1.0:
            raise ValueError(f"factor: expected a number inside (0, 1), got {self.factor}")
        if self.patience < 1 or self.tol < 0.0:
            raise ValueError(f"expected patience >= 1 and tol >= 0, got {self.patience} and {self.tol}")

    def init(self) -> State:
        start = np.asarray(self.initial, dtype=np.float64)
        return {"rate": start, "best": np.asarray(np.inf), "waited": np.asarray(0)}

    def rate(self, state: State, clock: Clock) -> Rate:
        return state["rate"] if np.ndim(state["rate"]) else float(state["rate"])

    def end_epoch(self, state: State, loss: Any) -> State:
        loss = np.asarray(loss, dtype=np.float64)
        waited = np.where(loss > state["best"] - self.tol, state["waited"] + 1, 0)
        worn_out = waited > self.patience
        lowered = worn_out & (state["rate"] > self.minimum)
        return {
            "rate": np.where(lowered, state["rate"] * self.factor, state["rate"]),
            "best": np.minimum(state["best"], loss),
            "waited": np.where(worn_out, 0, waited),
        }
