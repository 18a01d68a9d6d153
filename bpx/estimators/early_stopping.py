"""What scikit-learn does after each epoch: early stopping, the adaptive learning rate, printed lines."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, ClassVar, final

import numpy as np

from bpx._typing import State
from bpx.backend.select import to_host
from bpx.errors import say
from bpx.formulas.losses import Loss
from bpx.formulas.metrics import METRICS
from bpx.schedules import Clock, Schedule
from bpx.stop import StopRule
from bpx.streams.data import Data
from bpx.training.history import StopReason
from bpx.training.run import Run
from bpx.training.training_data import check_data


@final
class EpochRate(Schedule):
    """A learning rate that changes only between epochs: constant, invscaling or adaptive, as scikit-learn's SGD."""

    def __init__(self, kind: str, initial: float, power: float) -> None:
        self.kind, self.initial, self.power = kind, initial, power
        # A float, or an array of shape (K,).
        self.now: Any = initial

    def rate(self, state: State, clock: Clock) -> Any:
        return self.now

    def advance(self, samples: int) -> None:
        """After an epoch, with the number of samples so far: initial / (samples + 1)^power for invscaling."""
        if self.kind == "invscaling":
            self.now = self.initial / (samples + 1) ** self.power

    def out_of_patience(self, exhausted: Any) -> tuple[Any, str]:
        """Which `exhausted` networks stop, and what to print; an adaptive rate is divided by 5 until it is 1e-6."""
        if self.kind != "adaptive":
            return exhausted, "Stopping."
        stops = exhausted & (np.asarray(self.now) <= 1e-6)
        if np.any(exhausted & ~stops):
            divided = np.where(exhausted & ~stops, np.asarray(self.now) / 5.0, self.now)
            self.now = divided if divided.ndim else float(divided)
            return stops, f"Setting learning rate to {np.min(self.now):f}"
        return stops, "Learning rate too small. Stopping."


def scores(est: Any) -> bool:
    """Whether a score is computed after each epoch, and not only a loss."""
    if callable(est.monitor) or est.monitor == "validation_score" or watches_metric(est):
        return True
    return est.monitor is None and bool(est.early_stopping)


def watches_metric(est: Any) -> bool:
    """Whether a metric is monitored."""
    return isinstance(est.monitor, str) and est.monitor in METRICS


def restores(est: Any) -> bool:
    """Whether the best epoch's weights are restored at the end."""
    return bool(est.early_stopping) or (est.monitor is not None and est.restore_best)


def monitoring(est: Any, held_out: Any, loss: Loss) -> tuple[Data | None, Any]:
    """Validation data for the loss curve, and ``metric(run)``, the monitored value (larger is better), or None."""
    if held_out is None:
        if callable(est.monitor):
            return None, est.monitor
        if est.monitor not in (None, "loss"):
            raise ValueError(f"monitor={est.monitor!r} needs early_stopping=True or fit(..., X_val=, y_val=)")
        return None, None
    X_val, y_val, weight = held_out
    val_data = check_data(est._net, X_val, est._encode(y_val), loss, weight)
    weight = to_host(weight)
    return val_data, watched(est, lambda _: score_of(est, X_val, y_val, weight))


def watched(est: Any, score: Callable[[Run], Any]) -> Callable[[Run], Any] | None:
    """With validation data, ``metric(run)``, the monitored value (larger is better); None: the training loss."""
    if callable(est.monitor):
        monitor: Callable[[Run], Any] = est.monitor
        return monitor
    if est.monitor == "validation_loss":
        return lambda run: -np.asarray(run.val_loss)
    if est.monitor == "loss":
        return lambda run: -np.asarray(run.loss)
    if watches_metric(est):
        sign = 1.0 if METRICS[est.monitor].larger else -1.0
        return lambda run: sign * np.asarray(run.history.metrics[f"val_{est.monitor}"][-1])
    return score if scores(est) else None


def score_of(est: Any, X: Any, y: Any, weight: Any) -> Any:
    """The current score of the network; for a stack a list with that of each network."""
    output = est._net.backend.to_host(est._outputs(X))
    if est._net.stack is None:
        return est._metric(to_host(y), output, weight)
    return [est._metric(to_host(y), one, weight) for one in output]


@final
class EarlyStopping(StopRule):
    """Stops after epochs without improvement, keeps the best parameters, and updates the estimator's attributes.

    Each network of a stack is judged by itself, and ends with the parameters that it would have alone.
    ``metric(run)`` is the monitored value, larger is better; without it the training loss is monitored. `rate` is None
    if the optimizer or its schedule is the user's. `rows` is the number of rows in an epoch, None for all of the data.
    """

    reason: ClassVar = StopReason.PATIENCE

    def __init__(
        self,
        estimator: Any,
        rate: EpochRate | None,
        metric: Callable[[Run], Any] | None,
        restore_best: bool,
        rows: int | None = None,
    ) -> None:
        self.rows = rows
        self.estimator, self.rate, self.metric, self.restore_best = estimator, rate, metric, restore_best
        # Epochs without improvement, and the best monitored value; for a stack of each network.
        self.waited: Any = 0
        self.best: Any = -np.inf
        self.values: list[Any] = []  # the monitored values, epoch by epoch
        # In a fit that continues, scikit-learn's best weights are the current ones until the score improves.
        self.restores = True

    def init(self, run: Run) -> State:
        shape = () if run.net.stack is None else (run.net.stack,)
        self.waited = np.zeros(shape, dtype=np.int64) + self.waited
        self.best = np.full(shape, self.best)
        self.last = np.full(shape, np.nan)
        self.done = np.zeros(shape, dtype=np.bool_)
        self.epochs = np.zeros(shape, dtype=np.int64)
        self.best_epoch = np.zeros(shape, dtype=np.int64)
        self._best_params = run.net.flat * 1.0 if self.restore_best else None
        self._final_params = run.net.flat * 1.0 if shape else None
        return {}

    def check(self, state: State, run: Run) -> tuple[State, Any]:
        est = self.estimator
        est.n_iter_ += 1
        est.t_ += self.rows or run.data.X.shape[0]
        # Of restarts the smallest loss, whose network may be kept.
        est.loss_ = float(np.fmin.reduce(np.atleast_1d(run.loss)))
        est.loss_curve_ = [*est.loss_curve_, est.loss_]
        if est.verbose:
            say(f"Iteration {est.n_iter_}, loss = {est.loss_:.8f}", sys.stdout)
        self._judge(run)
        if self._hopeless(run):
            return state, np.ones_like(self.done)
        if self.rate is not None:
            self.rate.advance(est.t_)
        exhausted = (self.waited > est.n_iter_no_change) & ~self.done
        if not np.any(exhausted):
            return state, self.done
        stops, message = (exhausted, "Stopping.") if self.rate is None else self.rate.out_of_patience(exhausted)
        if est.verbose:
            say(
                f"{self._watched()} did not improve more than tol={est.tol:f} for {est.n_iter_no_change} consecutive"
                f" epochs. {message}",
                sys.stdout,
            )
        self.waited = np.where(exhausted & ~stops, 0, self.waited)
        self.done = self.done | stops
        if self._final_params is not None:
            run.copy_rows(stops, run.net.flat, self._final_params)
        return state, self.done

    def _hopeless(self, run: Run) -> bool:
        """Whether the fit will fail: weights are no longer finite, and no earlier ones will be restored."""
        if run.net.stack is not None or self._best_params is not None or not np.isnan(run.loss):
            return False
        return not np.all(np.isfinite(run.net.backend.to_host(run.net.flat)))

    def _watched(self) -> str:
        """The name of the monitored value in scikit-learn's lines."""
        if self.estimator.validation_scores_ is not None:
            return "Validation score"
        return "Validation loss" if self.estimator.monitor == "validation_loss" else "Training loss"

    def _judge(self, run: Run) -> None:
        """Compare the epoch with the best one so far."""
        est, going = self.estimator, ~self.done
        monitored = -np.asarray(run.loss) if self.metric is None else self.metric(run)
        if monitored is None:
            raise TypeError("monitor: expected a function that returns a number, larger is better; it returned None")
        value = np.asarray(monitored, dtype=np.float64) * np.ones(self.done.shape)
        self.values.append(value)
        self.epochs = np.where(going, self.epochs + 1, self.epochs)
        self.last = np.where(going, value, self.last)
        # In a stack NaN counts as worse, so that a diverged network does not delay the others.
        worse = ~(value >= self.best + est.tol) if self.done.ndim else value < self.best + est.tol
        self.waited = np.where(going, np.where(worse, self.waited + 1, 0), self.waited)
        better = (value > self.best) & going
        self.restores = self.restores or bool(np.any(better))
        self.best = np.where(better, value, self.best)
        self.best_epoch = np.where(better, run.epoch, self.best_epoch)
        if self._best_params is not None:
            run.copy_rows(better, run.net.flat, self._best_params)
        if est.validation_scores_ is None:
            est.best_loss_ = min(est.best_loss_, est.loss_)
            return
        score = float(np.max(value))
        est.validation_scores_ = [*est.validation_scores_, score]
        est.best_validation_score_ = max(est.best_validation_score_, float(np.max(self.best)))
        if est.verbose:
            say(f"Validation score: {score:f}", sys.stdout)

    def finish(self, state: State, run: Run) -> None:
        if self._final_params is not None:
            run.copy_rows(self.done, self._final_params, run.net.flat)
        if self._best_params is not None and self.restores and np.any(self.best > -np.inf):
            run.net.flat[...] = self._best_params
            if np.all(self.best_epoch > 0):
                run.history.best_epoch = self.best_epoch if self.best_epoch.ndim else int(self.best_epoch)
