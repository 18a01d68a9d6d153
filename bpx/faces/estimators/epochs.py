"""What scikit-learn does at the end of each epoch: patience, the adaptive rate, the printed lines."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, final

import numpy as np

from bpx._typing import State
from bpx.formulas.schedules import Clock, Schedule
from bpx.training.history import StopReason
from bpx.training.monitor import Run
from bpx.training.stopping import StopRule

__all__ = ["EpochEnd", "EpochRate"]


@final
class EpochRate(Schedule):
    """A learning rate that changes only between epochs: constant, invscaling or adaptive, as scikit-learn's SGD."""

    def __init__(self, kind: str, initial: float, power: float) -> None:
        self.kind, self.initial, self.power = kind, initial, power
        self.now = initial

    def rate(self, state: State, clock: Clock) -> float:
        return self.now

    def advance(self, samples: int) -> None:
        """After an epoch: initial / (samples seen in all + 1)^power for invscaling."""
        if self.kind == "invscaling":
            self.now = self.initial / (samples + 1) ** self.power

    def out_of_patience(self, message: str, verbose: Any) -> bool:
        """Whether to stop; an adaptive rate is first divided by 5 until it is at most 1e-6."""
        if self.kind != "adaptive":
            said, done = "Stopping.", True
        elif self.now <= 1e-6:
            said, done = "Learning rate too small. Stopping.", True
        else:
            self.now /= 5.0
            said, done = f"Setting learning rate to {self.now:f}", False
        if verbose:
            print(f"{message} {said}")
        return done


@final
class EpochEnd(StopRule):
    """Counts epochs without improvement on an estimator's attributes, and keeps the best parameters.

    Parameters
    ----------
    estimator : object
        Its ``loss_curve_``, ``validation_scores_``, ``best_loss_``, ``n_iter_``, ``t_`` and so on are kept up.
    rate : EpochRate or None
        None where the estimator's optimizer or schedule is the user's own.
    metric : callable, optional
        ``metric(run)`` is a validation metric where larger is better; None: the training loss is watched.
    restore_best : bool
        Whether the parameters of the best epoch come back at the end.
    """

    reason: ClassVar = StopReason.PATIENCE

    def __init__(
        self, estimator: Any, rate: EpochRate | None, metric: Callable[[Run], Any] | None, restore_best: bool
    ) -> None:
        self.estimator, self.rate, self.metric, self.restore_best = estimator, rate, metric, restore_best
        self.waited = 0
        self.best: Any = -np.inf
        self.best_params: Any = None

    def init(self, run: Run) -> State:
        if self.restore_best and self.best_params is None:
            self.best_params = run.net.flat * 1.0
        return {}

    def check(self, state: State, run: Run) -> tuple[State, Any]:
        est = self.estimator
        est.n_iter_ += 1
        est.t_ += run.data.X.shape[0]
        # With restarts, the smallest loss of any is the one whose network may win.
        est.loss_ = float(np.min(run.loss))
        est.loss_curve_ = [*est.loss_curve_, est.loss_]
        if run.val_loss is not None:
            est.validation_loss_curve_ = [*est.validation_loss_curve_, float(np.min(run.val_loss))]
        if est.verbose:
            print(f"Iteration {est.n_iter_}, loss = {est.loss_:.8f}")
        self._judge(run)
        if self.rate is not None:
            self.rate.advance(est.t_)
        if self.waited <= est.n_iter_no_change:
            return state, False
        what = "Training loss" if self.metric is None else "Validation score"
        message = f"{what} did not improve more than tol={est.tol:f} for {est.n_iter_no_change} consecutive epochs."
        if self.rate is not None:
            done = self.rate.out_of_patience(message, est.verbose)
        else:
            done = True
            if est.verbose:
                print(f"{message} Stopping.")
        self.waited = 0 if not done else self.waited
        return state, done

    def _judge(self, run: Run) -> None:
        """Compare the epoch with the best one so far."""
        est = self.estimator
        if self.metric is None:
            value = -est.loss_
            worse = value < self.best + est.tol
        else:
            values = np.atleast_1d(np.asarray(self.metric(run), dtype=np.float64))
            value = float(np.max(values)) if np.all(np.isfinite(values)) else np.nan
            est.validation_scores_ = [*est.validation_scores_, value]
            if est.verbose:
                print(f"Validation score: {value:f}")
            worse = value < self.best + est.tol
        self.waited = self.waited + 1 if worse else 0
        if value > self.best:
            self.best = value
            if self.best_params is not None:
                self.best_params[...] = run.net.flat
            if self.metric is None:
                est.best_loss_ = est.loss_
            else:
                est.best_validation_score_ = value

    def finish(self, state: State, run: Run) -> None:
        if self.restore_best and self.best_params is not None:
            run.net.flat[...] = self.best_params
