"""The one training loop: epochs of batch, loss and gradient, update."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

import numpy as np

from bpx._typing import Array, State
from bpx.formulas.optimizers import Optimizer
from bpx.formulas.schedules import Clock, Constant, Schedule
from bpx.network.mlp import MLP
from bpx.network.objective import Objective
from bpx.training.batches import Data, Order, batches
from bpx.training.history import StopReason
from bpx.training.monitor import Run
from bpx.training.step import Step

if TYPE_CHECKING:
    from bpx.training.checkpoints import Keeper

__all__ = ["Descent"]

# What changes from step to step.
_KEPT = ("state", "schedule_state", "step", "epoch", "samples", "position", "sums", "order_state", "rate")


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
        ``order()`` gives the host indices of an epoch's samples, or None for the order they have; of shape (K, n) they
        give each network of a stack its own.
    seed : int
        Of the dropout masks, with the network's own.
    by_rows : bool
        Whether an epoch's loss weighs each batch by its rows, as scikit-learn does, not by its sample weights.
    state, schedule_state : dict, optional
        Of the optimizer and of the schedule; None before the first epoch.
    step, epoch, samples : int
        Done so far.
    position : int
        Samples of the running epoch that have been visited.
    sums : dict, optional
        Of the running epoch's steps, where it goes on in the middle; see `Step`.
    order_state : dict, optional
        State of `order` before it drew the running epoch's.
    rate : float or array of shape (K,), optional
        Learning rate of the last step.
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
    position: int = 0
    sums: State | None = None
    order_state: Any = None
    rate: Any = None

    def begin(self, flat: Array) -> None:
        """States of the optimizer and the schedule for these parameters, where there are none yet."""
        if self.state is None:
            self.state = self.optimizer.init(flat)
        if self.schedule_state is None:
            self.schedule_state = self.schedule.init()
        if self.order_state is None:
            self.order_state = getattr(self.order, "state", None)

    def train(self, run: Run, objective: Objective, data: Data, keeper: Keeper | None = None) -> StopReason:
        """Train `run.net` until ``run.epochs`` epochs are done; returns why it stopped."""
        self.begin(run.net.flat)
        assert self.state is not None
        step = Step(run.net, objective, data, self.optimizer, self.state, self.seed, self.by_rows)
        while run.epoch < run.epochs:
            reason = self._epoch(run, step, data.X.shape[0], keeper)
            if keeper is not None:
                keeper.after_epoch(reason)
            if reason is not None:
                return reason
        return StopReason.EPOCHS

    def _epoch(self, run: Run, step: Step, n: int, keeper: Keeper | None) -> StopReason | None:
        """One pass over the data, or the rest of it; the loss stays on the device until its end."""
        net, schedule_state = run.net, self.schedule_state or {}
        fixed = isinstance(self.schedule, Constant)
        if self.position == 0:
            self.rate = self.schedule.rate(schedule_state, self._clock())
        rate = _on_device(net, self.rate)
        step.reset(self.sums)
        order = self.order()
        n = n if order is None else order.shape[-1]
        for rows, index in batches(net.backend, n, self.size, order, self.position):
            if not fixed:
                self.rate = self.schedule.rate(schedule_state, self._clock())
                rate = _on_device(net, self.rate)
            step(rows, index, rate, self.step)
            self.state = step.state
            self.step += 1
            visited = n if rows is None else rows.shape[-1]
            self.samples += visited
            self.position += visited
            run.end_step()
            if keeper is not None:
                self.sums = step.sums
                keeper.after_step()
        reason = run.end_epoch(step.mean(), self.rate)
        self.epoch, self.position, self.sums = self.epoch + 1, 0, None
        self.order_state = getattr(self.order, "state", None)
        self.schedule_state = self.schedule.end_epoch(schedule_state, run.loss)
        return reason

    def snapshot(self) -> State:
        """All that a later process needs to go on here, but the parameters; device arrays are not copied."""
        return {name: getattr(self, name) for name in _KEPT}

    def restore(self, saved: State) -> None:
        """Go on where `snapshot` was made."""
        for name in _KEPT:
            setattr(self, name, saved[name])
        if self.order_state is not None:  # the running epoch's order, or the next one's, is drawn again
            self.order.state = self.order_state  # type: ignore[attr-defined]

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
