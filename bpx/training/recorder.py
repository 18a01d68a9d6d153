"""What happens between the steps: losses are recorded, stopping rules checked, callbacks called."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, final

import numpy as np

from bpx._typing import Array, State
from bpx.network.objective import Objective
from bpx.network.params import check_writable
from bpx.training.callbacks.callback import Callback, Closing, asks_to_stop
from bpx.training.callbacks.epoch_logger import EpochLogger
from bpx.training.distributed import Ranks
from bpx.training.divergence import Divergence
from bpx.training.evaluation import Outputs, mean_loss
from bpx.training.history import History, StopReason, fill_up
from bpx.training.log import log_lines
from bpx.training.run import Run
from bpx.training.run_config import RunConfig
from bpx.training.stopping import StopRule

# What checkpoints keep of a run, and of its history.
_KEPT = ("epoch", "step", "loss", "val_loss")
_CURVES = ("loss", "val_loss", "learning_rate")


@final
class RunRecorder:
    """Records a training run in `run`, and checks its stopping rules and calls its callbacks after each epoch.

    With `ranks`, rank 0, which alone has `callbacks`, decides for all. If it `tolerates_divergence`, a loss that is not
    finite is recorded like any other.
    """

    def __init__(
        self, config: RunConfig, objective: Objective, callbacks: Sequence[Callback], epochs: int,
        tolerates_divergence: bool = False, ranks: Ranks | None = None,
    ) -> None:  # fmt: skip
        net, measures = config.net, config.measures
        check_writable(net.flat)
        self._plain = Objective(net, objective.loss)
        columns = {} if measures is None else measures.columns
        self.run = Run(net, config.feed.data, self._plain, epochs, config.validation is not None, columns)
        self._validation, self._measures, self._ranks = config.validation, measures, ranks
        self._callbacks = [*callbacks, *log_lines()]
        self._on_step = [c for c in callbacks if type(c).on_step_end is not Callback.on_step_end]
        self.begun = False  # whether `on_fit_begin` of the callbacks has been called
        # numpy.sum takes longer than summing a small network's parameters.
        self._sum = np.add.reduce if net.backend.xp is np else net.backend.xp.sum
        self.divergence = Divergence(self.run, config.advice, tolerates_divergence)
        rules: Sequence[StopRule] = config.rules if ranks is None or ranks.is_first else []
        self._rules = [(rule, rule.init(self.run)) for rule in rules]

    # ------------------------------------------------------------------ from begin to end

    def begin(self) -> None:
        """Call the callbacks' `on_fit_begin`, before the first step or the first one after a checkpoint."""
        for callback in self._callbacks:
            callback.on_fit_begin(self.run)
        self.begun = True

    @contextmanager
    def closing(self) -> Iterator[None]:
        """A block whose errors call `on_fit_error` of the callbacks that have it, and are raised again."""
        try:
            yield
        except BaseException:
            for callback in self._callbacks:
                if isinstance(callback, Closing):
                    callback.on_fit_error(self.run)
            raise

    def finish(self, reason: StopReason) -> History:
        """Let rules and divergence restore parameters, complete the history, and call `on_fit_end`."""
        run, history = self.run, self.run.history
        with self.closing():
            run.records = False
            if reason is StopReason.INTERRUPTED:
                self.divergence.within_epoch()
            for rule, state in self._rules:
                rule.finish(state, run)
            self.divergence.restore_finite()
            found = self.divergence.found
            history.stop_reason = reason
            history.epochs, history.steps, history.seconds = run.epoch, run.step, run.seconds
            history.diverged = found if found.ndim else bool(found)
            for callback in self._callbacks:
                callback.on_fit_end(run)
        return history

    # ------------------------------------------------------------------ in training

    @property
    def watches_steps(self) -> bool:
        """Whether somebody looks after each step."""
        return bool(self._on_step)

    @property
    def unwatched(self) -> bool:
        """Whether nobody looks before training ends, and nothing but the loss is recorded."""
        watchers = self._callbacks or self._rules or self._validation is not None or self._measures is not None
        return not watchers and self._ranks is None

    def end_epochs(self, losses: np.ndarray[Any, Any], learning_rate: Any) -> None:
        """Record epochs at which nobody looks, by their finite losses (epochs,) or (epochs, K)."""
        if not len(losses):
            return
        run, history = self.run, self.run.history
        run.epoch += len(losses)
        of_epochs = losses.tolist() if losses.ndim == 1 else [np.array(of_networks) for of_networks in losses]
        history.loss.extend(of_epochs)
        history.learning_rate.extend([learning_rate] * len(of_epochs))
        run.loss = of_epochs[-1]
        history.epochs, history.steps = run.epoch, run.step

    def end_steps(self, count: int = 1) -> None:
        """Count updates, and call the callbacks that have `on_step_end`, for which `count` is 1."""
        self.run.step += count
        for callback in self._on_step:
            callback.on_step_end(self.run)

    def end_epoch(self, loss: Array, learning_rate: Any = None) -> StopReason | None:
        """Record an epoch whose mean loss is `loss`, on the device; returns the reason to stop, if there is one."""
        reason = self._end_epoch(loss, learning_rate)
        if self._ranks is None:
            return reason
        reasons = list(StopReason)
        code = self._ranks.decide(0 if reason is None else 1 + reasons.index(reason))
        return None if code == 0 else reasons[code - 1]

    def _end_epoch(self, loss: Array, learning_rate: Any) -> StopReason | None:
        """`end_epoch` in this process alone."""
        run, net, history = self.run, self.run.net, self.run.history
        run.epoch += 1
        # The only read from the device per epoch. A parameter that is not finite makes 0 * sum, and so the loss, NaN.
        host = net.backend.to_host(loss + 0.0 * self._sum(net.flat, axis=-1))
        run.loss = float(host) if host.ndim == 0 else np.array(host, dtype=np.float64)
        finite = math.isfinite(run.loss) if host.ndim == 0 else bool(np.all(np.isfinite(host)))
        history.loss.append(run.loss)
        if learning_rate is not None:
            history.learning_rate.append(learning_rate)
        history.epochs, history.steps = run.epoch, run.step
        if self.divergence.after_epoch(finite, host):
            return StopReason.DIVERGED
        held_out = None if self._measures is None else Outputs(net)
        if self._validation is not None:
            run.val_loss = mean_loss(net, self._plain, self._validation, self._ranks, held_out)
            history.val_loss.append(run.val_loss)
        if self._measures is not None:
            for name, value in self._measures(run.epoch, held_out).items():
                history.metrics[name].append(value)
        return self._reason_to_stop()

    def _reason_to_stop(self) -> StopReason | None:
        """Check all rules and call all callbacks, so that each sees every epoch; the first reason to stop, or None."""
        run, reasons = self.run, []
        for i, (rule, state) in enumerate(self._rules):
            state, done = rule.check(state, run)
            self._rules[i] = (rule, state)
            if np.all(done | self.divergence.found):
                reasons.append(rule.reason)
        if self._callbacks and self._callback_stops():
            reasons.append(StopReason.CALLBACK)
        self._fill_up()
        return reasons[0] if reasons else None

    def _callback_stops(self) -> bool:
        """Call `on_epoch_end` of all callbacks; whether one of them asks to stop."""
        run, answers = self.run, []
        run.records, run.written_by = True, ""
        for callback in self._callbacks:
            answers.append(callback.on_epoch_end(run))
            if isinstance(callback, EpochLogger):
                run.written_by = run.written_by or type(callback).__name__
        run.records = False
        return any(asks_to_stop(answer) for answer in answers)

    def _fill_up(self) -> None:
        """Add NaN to the metrics' columns that have no value for this epoch."""
        for column in self.run.history.metrics.values():
            fill_up(column, self.run.epoch, self.run.net.stack)

    # ------------------------------------------------------------------ checkpoints

    def snapshot(self) -> State:
        """Everything that a later process needs to continue, except the parameters; arrays are not copied."""
        run, history = self.run, self.run.history
        curves: State = {name: getattr(history, name) for name in _CURVES}
        # As a list of pairs, whose form does not depend on the names: a resumed run may have other metrics.
        curves["metrics"] = [[name, values] for name, values in history.metrics.items()]
        kept = {name: getattr(run, name) for name in _KEPT} | {"seconds": run.seconds, "history": curves}
        return kept | self.divergence.snapshot() | {"rules": [state for _, state in self._rules]}

    def restore(self, saved: State) -> None:
        """Continue from a `snapshot`."""
        run, history = self.run, self.run.history
        for name in _KEPT:
            setattr(run, name, saved[name])
        run.started -= saved["seconds"]
        for name in _CURVES:
            setattr(history, name, list(saved["history"][name]))
        kept = {name: list(values) for name, values in saved["history"]["metrics"]}
        history.metrics = kept | {name: [] for name in run.columns if name not in kept}
        self._fill_up()
        history.epochs, history.steps = run.epoch, run.step
        self.divergence.restore(saved)
        self._rules = [(rule, state) for (rule, _), state in zip(self._rules, saved["rules"], strict=True)]
