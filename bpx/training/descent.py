"""The one training loop: epochs of batch, loss and gradient, update."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from bpx._typing import State
from bpx.formulas import updates
from bpx.formulas.optimizers import Optimizer
from bpx.formulas.schedules import Clock, Constant, Schedule
from bpx.kernels import select
from bpx.network.mlp import MLP
from bpx.network.objective import DropoutKey, Objective
from bpx.training.batches import Data, Order, batches
from bpx.training.history import StopReason
from bpx.training.monitor import Run

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
        twins = select.for_backend(run.net.backend, run.net.dtype)
        objective.use(twins)
        equations = twins.module(updates)
        for _ in range(run.epochs):
            reason = self._epoch(run, objective, data, equations)
            if reason is not None:
                return reason
        return StopReason.EPOCHS

    def _epoch(self, run: Run, objective: Objective, data: Data, equations: Any) -> StopReason | None:
        """One pass over the data; the loss stays on the device until its end."""
        net, optimizer = run.net, self.optimizer
        xp = net.backend.xp
        state, schedule_state = self.state or {}, self.schedule_state or {}
        fixed = isinstance(self.schedule, Constant)
        shown = self.schedule.rate(schedule_state, self._clock())
        rate = _on_device(net, shown)
        drops = any(net.dropout)
        total: Any = xp.zeros(net.flat.shape[:-1], dtype=xp.float64, device=net.flat.device)
        weights: Any = 0.0
        for batch in batches(net.backend, data, self.size, self.order()):
            if not fixed:
                shown = self.schedule.rate(schedule_state, self._clock())
                rate = _on_device(net, shown)
            key = DropoutKey(self.seed, self.step) if drops else None
            loss, grad = objective.value_and_grad(*batch, key)
            params, state = optimizer.update(grad, state, net.flat, rate, xp, equations)
            if params is not net.flat:
                net.flat[...] = params
            n = batch.X.shape[0]
            weight = n if batch.weight is None or self.by_rows else xp.sum(batch.weight, axis=(-2, -1))
            total = total + loss * weight
            weights = weights + weight
            self.state = state
            self.step += 1
            self.samples += n
            run.end_step()
        self.epoch += 1
        if data.weight is not None and not self.by_rows:
            # an epoch drawn with replacement may hold no sample that has a weight
            weights = xp.where(weights > 0.0, weights, xp.ones_like(weights))
        reason = run.end_epoch(total / weights, shown)
        self.schedule_state = self.schedule.end_epoch(schedule_state, run.loss)
        return reason

    def _clock(self) -> Clock:
        """How far training is."""
        return Clock(self.step, self.epoch, self.samples)


def _on_device(net: MLP, rate: Any) -> Any:
    """A rate as a Python float, or as an array of shape (K, 1) on the device."""
    if np.ndim(rate) == 0:
        return float(rate)
    return net.asarray(np.asarray(rate, dtype=np.float64)[:, None])
