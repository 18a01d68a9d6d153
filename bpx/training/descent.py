"""The one training loop: epochs of batch, loss and gradient, update."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from bpx._typing import State
from bpx.formulas.optimizers import Optimizer
from bpx.formulas.schedules import Clock, Constant, Schedule
from bpx.network.mlp import MLP
from bpx.network.objective import Objective
from bpx.training.batches import Data, Order, batches
from bpx.training.history import StopReason
from bpx.training.monitor import Run
from bpx.training.step import Step

__all__ = ["Descent"]


@final
@dataclass
class Descent:
    """First-order training; what it keeps between epochs is here, so that a run can be continued.

    Parameters
    ----------
    optimizer : Optimizer
        Bound to the network's device.
    schedule : Schedule
        The learning rate.
    size : int
        Samples per step.
    order : callable
        ``order()`` gives the host indices of an epoch's samples, or None for the order they have.
    seed : int
        Of the dropout masks, with the network's own.
    by_rows : bool
        Whether an epoch's loss weighs each batch by its rows, as scikit-learn does, not by its sample weights.
    state, schedule_state : dict, optional
        Of the optimizer and of the schedule; None before the first epoch.
    step, epoch, samples : int
        Done so far.
    """

    optimizer: Optimizer
    schedule: Schedule
    size: int
    order: Callable[[], Order]
    seed: int = 0
    by_rows: bool = False
    state: State | None = None
    schedule_state: State | None = None
    step: int = 0
    epoch: int = 0
    samples: int = 0

    def train(self, run: Run, objective: Objective, data: Data) -> StopReason:
        """Train `run.net` for up to ``run.epochs`` epochs; returns why it stopped."""
        if self.state is None:
            self.state = self.optimizer.init(run.net.flat)
        if self.schedule_state is None:
            self.schedule_state = self.schedule.init()
        step = Step(run.net, objective, data, self.optimizer, self.state, self.seed, self.by_rows)
        for _ in range(run.epochs):
            reason = self._epoch(run, step, data.X.shape[0])
            if reason is not None:
                return reason
        return StopReason.EPOCHS

    def _epoch(self, run: Run, step: Step, n: int) -> StopReason | None:
        """One pass over the data; the loss stays on the device until its end."""
        net, schedule_state = run.net, self.schedule_state or {}
        fixed = isinstance(self.schedule, Constant)
        shown = self.schedule.rate(schedule_state, self._clock())
        rate = _on_device(net, shown)
        step.reset()
        for rows, index in batches(net.backend, n, self.size, self.order()):
            if not fixed:
                shown = self.schedule.rate(schedule_state, self._clock())
                rate = _on_device(net, shown)
            step(rows, index, rate, self.step)
            self.state = step.state
            self.step += 1
            self.samples += n if rows is None else rows.shape[0]
            run.end_step()
        self.epoch += 1
        reason = run.end_epoch(step.mean(), shown)
        self.schedule_state = self.schedule.end_epoch(schedule_state, run.loss)
        return reason

    def _clock(self) -> Clock:
        """How far training is."""
        return Clock(self.step, self.epoch, self.samples)


def _on_device(net: MLP, rate: Any) -> Any:
    """A rate as a Python float, or as an array of shape (K, 1) on the device."""
    if isinstance(rate, float):
        return rate
    if np.ndim(rate) == 0:
        return float(rate)
    return net.asarray(np.asarray(rate, dtype=np.float64)[:, None])
