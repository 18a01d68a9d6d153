"""The training loop: epochs of batch, loss and gradient, update."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from itertools import takewhile
from typing import Any, Protocol, final

import numpy as np

from bpx._typing import Array, State
from bpx.backend.base import writable
from bpx.errors import DivergenceWarning, warn_caller
from bpx.formulas.optimizers import Optimizer
from bpx.formulas.precision import scaling
from bpx.formulas.schedules import Clock, Constant, Schedule
from bpx.network import memory
from bpx.network.mlp import MLP
from bpx.network.objective import Objective
from bpx.streams.data import Batch, Data
from bpx.training.distributed import Ranks
from bpx.training.history import StopReason
from bpx.training.recorder import RunRecorder
from bpx.training.run import Run
from bpx.training.run_config import RunConfig
from bpx.training.step import Step

# Most steps in one call; so many learning rates are at most worked out for it.
MANY = 10_000
# Seconds of epochs in one call, and numbers of rows that are drawn for it.
AT_ONCE, MANY_ROWS = 0.05, 1_000_000

# The fields that change while training runs.
_KEPT = ("state", "schedule_state", "step", "epoch", "samples", "batch", "sums", "feed_state", "rate", "scaling")


class Checkpoints(Protocol):
    """Writes checkpoints; see `bpx.training.checkpoints.Checkpointer`, which this module need not import."""

    @property
    def steps_to_next(self) -> int:
        """Steps up to the next checkpoint."""

    def after_step(self) -> None:
        """Called after each step, or after several at once, at most `steps_to_next`."""

    def after_epoch(self, reason: StopReason | None) -> None:
        """Called after each epoch, with the reason if training stops."""


@final
@dataclass
class TrainingLoop:
    """The loop of first-order training, with its state; `optimizer` is bound to the network's device."""

    config: RunConfig
    optimizer: Optimizer
    schedule: Schedule
    ranks: Ranks | None = None
    # State of the optimizer and of the schedule, set by `begin`.
    state: State | None = None
    schedule_state: State | None = None
    # Steps, epochs and samples so far, and batches of the current epoch.
    step: int = 0
    epoch: int = 0
    samples: int = 0
    batch: int = 0
    # Sums over the current epoch's steps if it was interrupted; see `Step.sums`.
    sums: State | None = None
    # The feed's state before the current epoch.
    feed_state: Any = None
    # The last step's learning rate, a float or an array of shape (K,).
    rate: Any = None
    # State of the scale of float16's gradients.
    scaling: State | None = None

    def begin(self, flat: Array) -> None:
        """Initialise the states that are not set yet, for these parameters."""
        if self.state is None:
            self.state = self.optimizer.init(flat)
        # Arrays from a pickle may be read-only, or a memory map of its file.
        self.state = {name: writable(value) for name, value in self.state.items()}
        if self.schedule_state is None:
            self.schedule_state = self.schedule.init()
        if self.feed_state is None:
            self.feed_state = self.config.feed.state
        if self.scaling is None and self.config.precision == "float16":
            self.scaling = scaling(flat)

    def train(self, recorder: RunRecorder, objective: Objective, checkpointer: Checkpoints | None = None) -> StopReason:
        """Train the run's network for up to ``run.epochs`` epochs in all; returns why training stopped."""
        run = recorder.run
        self.begin(run.net.flat)
        recorder.begin()
        assert self.state is not None
        step = Step(self.config, objective, self.optimizer, self.state, self.scaling, self.ranks)
        reason: StopReason | None = None
        unwatched = checkpointer is None and recorder.unwatched and isinstance(self.schedule, Constant)
        while run.epoch < run.epochs and reason is None:
            reason = self._epoch(recorder, step, checkpointer)
            if unwatched and reason is None and run.epoch < run.epochs:
                reason = self._epochs(recorder, step)
            if checkpointer is not None:
                checkpointer.after_epoch(reason)
        if reason is not StopReason.DIVERGED:  # which has a warning of its own
            self._warn_of_skipped_steps(run.net)
        return StopReason.EPOCHS if reason is None else reason

    def _warn_of_skipped_steps(self, net: MLP) -> None:
        """Warn if the gradients of all steps overflowed float16."""
        if self.scaling is None or not self.step:
            return
        idle = np.atleast_1d(net.backend.to_host(self.scaling["number"])) <= 1.0
        if np.any(idle):
            which = "" if net.stack is None else f" of {int(np.sum(idle))} of {net.stack} networks"
            warn_caller(
                f"precision='float16': all steps{which} were skipped, because their gradients overflow float16, so that"
                " the parameters are as before; scale inputs and targets to about unit variance, or give"
                " precision='bfloat16'",
                DivergenceWarning,
            )

    def _epoch(self, recorder: RunRecorder, step: Step, checkpointer: Checkpoints | None) -> StopReason | None:
        """One pass over the data, or the rest of one; the loss stays on the device until its end."""
        run = recorder.run
        net, schedule_state = run.net, self.schedule_state or {}
        fixed = isinstance(self.schedule, Constant)
        if self.batch == 0:
            self.rate = self.schedule.rate(schedule_state, self._clock())
        rate, ahead = _on_device(net, self.rate), RatesAhead(net)
        step.reset(self.sums)
        with closing(self.config.feed.epoch(self.epoch, self.batch)) as runs_of_batches:
            for batches in runs_of_batches:
                batch: Batch | None = batches
                while batch is not None:
                    some = self._up_to_next_look(batch, step, recorder, checkpointer)
                    if not fixed:
                        if not ahead.left:
                            ahead.set([self.schedule.rate(schedule_state, clock) for clock in self._clocks(some)])
                        some, rate = some.up_to(ahead.left), _on_device(net, ahead.rate())
                    try:
                        step(some, rate, self.step, ahead.on_host)
                    except BaseException as error:
                        self._count(some, step, recorder)
                        message = self._explain(error, run, step, some)
                        if message is None:
                            raise
                        raise memory.ExplainedMemoryError(message) from None
                    self._count(some, step, recorder)
                    if not fixed:
                        self.rate = ahead.rate(step.done - 1)
                        ahead.used(step.done)
                    if checkpointer is not None:
                        self.sums = step.sums
                        checkpointer.after_step()
                    batch = batch.after(step.done)
        reason = recorder.end_epoch(step.mean(), self.rate)
        self.epoch, self.batch, self.sums = self.epoch + 1, 0, None
        if checkpointer is not None:  # slow to read where epochs are short
            self.feed_state = self.config.feed.state
        self.schedule_state = self.schedule.end_epoch(schedule_state, run.loss)
        return reason

    def _epochs(self, recorder: RunRecorder, step: Step) -> StopReason | None:
        """The next epochs, many in one call because nobody looks between them; none if that cannot be done."""
        run, feed, size = recorder.run, self.config.feed, self.config.size
        rate = _on_device(run.net, self.rate)
        epochs = step.epochs(size, rate) if feed.draws_ahead else None
        if epochs is None or epochs.seconds > AT_ONCE:
            return None
        n, divergence = feed.data.n, recorder.divergence
        while run.epoch < run.epochs and not divergence.any:
            # At least one, even where steps have become slower than they were.
            fast = max(1, int(AT_ONCE / epochs.seconds))
            before, most = feed.state, min(run.epochs - run.epoch, fast, 1 + MANY_ROWS // n)
            interrupt: BaseException | None = None
            epochs.begin(most)
            try:
                orders = feed.orders(most)
                step.reset()
                epochs(orders, rate, self.step, *divergence.kept)
            except KeyboardInterrupt as error:  # raised again when what was done is counted
                interrupt = error
            done = len(epochs.losses)
            if done < most:
                feed.state = before
                feed.orders(done)
            self.step, self.samples, self.epoch = self.step + epochs.done, self.samples + done * n, self.epoch + done
            step.state["step"], self.state = self.step, step.state
            run.step += epochs.done
            recorder.end_epochs(epochs.losses if epochs.finite else epochs.losses[:-1], self.rate)
            if interrupt is not None:
                raise interrupt
            if not epochs.finite:
                return recorder.end_epoch(epochs.losses[-1], self.rate)
        return None

    def _up_to_next_look(
        self, batch: Batch, step: Step, recorder: RunRecorder, checkpointer: Checkpoints | None
    ) -> Batch:
        """The first of several batches, up to the step after which somebody looks."""
        if batch.count == 1:
            return batch
        most = MANY if step.does_many and not recorder.watches_steps else 1
        if checkpointer is not None:
            most = min(most, checkpointer.steps_to_next)
        return batch.up_to(most)

    def _count(self, batch: Batch, step: Step, recorder: RunRecorder) -> None:
        """Count the steps that a call has done."""
        self.state = step.state
        if step.done:
            self.step += step.done
            self.samples += step.done * (batch.n if self.ranks is None else self.ranks.rows)
            self.batch += step.done
            recorder.end_steps(step.done)

    def _explain(self, error: BaseException, run: Run, step: Step, batch: Batch) -> str | None:
        """The message if `error` says that memory ran out; the step's arrays are freed first. None for other errors."""
        net, remedies = run.net, []
        if not net.backend.is_out_of_memory(error):
            return None
        step.release()
        data = self.config.feed.data
        if isinstance(data, Data) and data.X.shape[0] > 4 * batch.n:  # then the data take more memory than the step
            remedies.append("keep the data out of memory, with bpx.stream(X, y)")
        smaller = "give a smaller batch, such as batch_size={rows}"
        return memory.explain(net, error, memory.step(batch.n, smaller, *remedies))

    def snapshot(self) -> State:
        """Everything that a later process needs to continue, except the parameters; arrays are not copied."""
        return {name: getattr(self, name) for name in _KEPT}

    def restore(self, saved: State) -> None:
        """Continue from a `snapshot`."""
        for name in _KEPT:
            setattr(self, name, saved[name])
        if self.feed_state is not None:  # draws the current epoch's order again, or the next one's
            self.config.feed.state = self.feed_state

    def _clock(self) -> Clock:
        """Steps, epochs and samples so far, for the schedule."""
        return Clock(self.step, self.epoch, self.samples)

    def _clocks(self, batch: Batch) -> list[Clock]:
        """The clock before each of some steps."""
        return [Clock(self.step + i, self.epoch, self.samples + i * batch.n) for i in range(batch.count)]


@final
class RatesAhead:
    """Learning rates of the coming steps, worked out for many of them at once."""

    def __init__(self, net: MLP) -> None:
        self._net, self._at = net, 0
        self._rates: list[Any] = []
        self._array: np.ndarray[Any, Any] | None = None

    def set(self, rates: list[Any]) -> None:
        """Take the rates before the first of another form: one number for all networks, or one for each."""
        kind = np.ndim(rates[0])
        self._rates, self._at = [*takewhile(lambda rate: np.ndim(rate) == kind, rates)], 0
        array = np.array(self._rates, dtype=np.float64)
        # Each as `_on_device` gives it.
        self._array = array[:, None] if kind == 0 else array.astype(self._net.dtype).astype(np.float64)

    @property
    def left(self) -> int:
        """How many were not used yet."""
        return len(self._rates) - self._at

    @property
    def on_host(self) -> np.ndarray[Any, Any] | None:
        """Those, of shape (steps, 1 or K); None if none were set."""
        return None if self._array is None else self._array[self._at :]

    def rate(self, i: int = 0) -> Any:
        """The rate of step i from now, as the schedule gave it."""
        return self._rates[self._at + i]

    def used(self, count: int) -> None:
        """Go on by so many steps."""
        self._at += count


def _on_device(net: MLP, rate: Any) -> Any:
    """A learning rate as a Python float, or as an array of shape (K, 1) on the device."""
    if type(rate) is float:  # not a numpy.float64, which would make a float32 step float64
        return rate
    if np.ndim(rate) == 0:
        return float(rate)
    return net.asarray(np.asarray(rate, dtype=np.float64)[:, None])
