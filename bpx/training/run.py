"""What happens around the steps: losses recorded, divergence caught, rules asked, callbacks called."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, final

import numpy as np

from bpx._typing import Array, State
from bpx.errors import DivergenceWarning, warn_caller
from bpx.formulas.metrics import Metric
from bpx.network.mlp import MLP
from bpx.network.objective import Objective
from bpx.network.params import check_writable
from bpx.training.batches import Data
from bpx.training.callbacks.base import Callback, Closing, asks_to_stop
from bpx.training.callbacks.epoch_logger import EpochLogger
from bpx.training.evaluation import Evaluation, Outputs
from bpx.training.history import History, StopReason
from bpx.training.log import log_lines
from bpx.training.metrics import Measures, as_number, check_name
from bpx.training.stopping import StopRule

if TYPE_CHECKING:
    from bpx.training.distributed import Ranks

__all__ = ["Run"]


@final
class Run:
    """A training run as stopping rules and callbacks see it; `bpx.fit` makes it.

    Parameters
    ----------
    net : MLP
        The network in training; its parameters are those after the last step.
    data : Data or Feed
        What it is trained on.
    objective : Objective
        Loss and penalty.
    validation : Data, Feed or None
        What ``val_loss`` is of.
    rules, callbacks : list of StopRule and of Callback
        What is asked and told.
    epochs : int
        The epoch limit.
    advice : str
        What to try where training diverges.
    goes_on : bool
        Whether a loss that is not finite is recorded like any other.
    ranks : Ranks, optional
        The processes that train together.
    measures : Measures, optional
        The metrics of ``columns``, as they are measured.

    Attributes
    ----------
    net : MLP
        The network in training; its parameters are those after the last step.
    history : History
        So far.
    epoch, step : int
        Epochs completed and updates made.
    epochs : int
        The epoch limit.
    batch_size : int or None
        Samples per step; None for a SciPy solver, whose evaluations take all.
    loss, val_loss : float or array of shape (K,), or None
        Of the last epoch.
    columns : dict of str to Metric
        What is measured after each epoch, by its name in ``history.metrics``.
    seconds : float
        Wall time since training began.
    solution : scipy.optimize.OptimizeResult or None
        What a SciPy solver returned.

    Notes
    -----
    With `goes_on` a loss that is not finite is recorded like any other: rules and the caller judge it. With `ranks` the
    validation data are this rank's share, and rank 0's rules and callbacks decide for all.
    """

    def __init__(
        self,
        net: MLP,
        data: Any,
        objective: Objective,
        validation: Any,
        rules: Sequence[StopRule],
        callbacks: Sequence[Callback],
        epochs: int,
        advice: str,
        goes_on: bool = False,
        ranks: Ranks | None = None,
        measures: Measures | None = None,
    ) -> None:
        check_writable(net.flat)
        self.net = net
        self.data = data
        self.samples: int | None = data.X.shape[0] if isinstance(data, Data) else data.n
        self.epochs = epochs
        self.batch_size: int | None = None
        self.describe: Callable[[], dict[str, Any]] = dict
        self.history = History()
        self.epoch = 0
        self.step = 0
        self.loss: Any = None
        self.val_loss: Any = None
        self.solution: Any = None
        self.validates = validation is not None
        self._validation = validation
        self._evaluation = Evaluation(net, objective.loss)
        self._measures = measures
        self.columns: dict[str, Metric] = {} if measures is None else measures.columns
        self.history.metrics = {name: [] for name in self.columns}
        self._advice = advice
        self._goes_on = goes_on
        self._ranks = ranks
        self._callbacks = [*callbacks, *log_lines()]
        # Whether callbacks are being asked, and the logger that has written the epoch, which can take no more columns.
        self._asking, self._logged = False, ""
        self.begun = False
        self._on_step = [c for c in callbacks if type(c).on_step_end is not Callback.on_step_end]
        self._start = time.perf_counter()
        # NumPy's function costs more than the sum of a small network's parameters.
        self._sum = np.add.reduce if net.backend.xp is np else net.backend.xp.sum
        # Parameters whose loss is known to be finite, and those after the last epoch, whose loss is not known yet.
        self._proven, self._latest = net.flat * 1.0, net.flat * 1.0
        self._diverged = np.zeros(() if net.stack is None else (net.stack,), dtype=np.bool_)
        self._diverged_in = np.zeros(self._diverged.shape, dtype=np.int64)
        self._lost_any = False
        self._rules: list[tuple[StopRule, State]] = [(rule, rule.init(self)) for rule in rules]

    @property
    def settings(self) -> dict[str, Any]:
        """What the run was started with: plain values by name."""
        return {"epochs": self.epochs} | self.describe()

    @property
    def seconds(self) -> float:
        """Wall time since training began."""
        return time.perf_counter() - self._start

    def begin(self) -> None:
        """Tell the callbacks that training begins, or goes on from where a checkpoint was made."""
        for callback in self._callbacks:
            callback.on_fit_begin(self)
        self.begun = True

    @contextmanager
    def closing(self) -> Iterator[None]:
        """An error reaches the callbacks that hold something open, and goes on."""
        try:
            yield
        except BaseException:
            for callback in self._callbacks:
                if isinstance(callback, Closing):
                    callback.on_fit_error(self)
            raise

    def snapshot(self) -> State:
        """All that a later process needs to go on here, but the parameters; arrays are not copied."""
        history = self.history
        return {
            "epoch": self.epoch,
            "step": self.step,
            "loss": self.loss,
            "val_loss": self.val_loss,
            "seconds": self.seconds,
            "history": {
                "loss": history.loss,
                "val_loss": history.val_loss,
                "learning_rate": history.learning_rate,
                # As pairs: a run that goes on may have others.
                "metrics": [[name, values] for name, values in history.metrics.items()],
            },
            "proven": self._proven,
            "latest": self._latest,
            "diverged": self._diverged,
            "diverged_in": self._diverged_in,
            "rules": [state for _, state in self._rules],
        }

    def restore(self, saved: State) -> None:
        """Go on where `snapshot` was made."""
        self.epoch, self.step = saved["epoch"], saved["step"]
        self.loss, self.val_loss = saved["loss"], saved["val_loss"]
        self._start -= saved["seconds"]
        for name in ("loss", "val_loss", "learning_rate"):
            setattr(self.history, name, list(saved["history"][name]))
        kept = {name: list(values) for name, values in saved["history"]["metrics"]}
        self.history.metrics = kept | {name: [] for name in self.columns if name not in kept}
        self._fill_up(self.epoch)
        self.history.epochs, self.history.steps = self.epoch, self.step
        self._proven, self._latest = saved["proven"], saved["latest"]
        self._diverged, self._diverged_in = saved["diverged"], saved["diverged_in"]
        self._lost_any = bool(np.any(self._diverged))
        self._rules = [(rule, state) for (rule, _), state in zip(self._rules, saved["rules"], strict=True)]

    def end_step(self) -> None:
        """Count an update and tell the callbacks that asked for it."""
        self.step += 1
        for callback in self._on_step:
            callback.on_step_end(self)

    def end_epoch(self, loss: Array, learning_rate: Any = None) -> StopReason | None:
        """Record an epoch with that mean loss (on the device); the reason to stop, if there is one."""
        reason = self._end_epoch(loss, learning_rate)
        if self._ranks is None:
            return reason
        reasons = list(StopReason)
        code = self._ranks.decide(0 if reason is None else 1 + reasons.index(reason))
        return None if code == 0 else reasons[code - 1]

    def _end_epoch(self, loss: Array, learning_rate: Any) -> StopReason | None:
        """`end_epoch` as this process sees it."""
        self.epoch += 1
        # The one read from the device per epoch. A parameter that is not finite makes the sum NaN, and so the loss.
        host = self.net.backend.to_host(loss + 0.0 * self._sum(self.net.flat, axis=-1))
        self.loss = float(host) if host.ndim == 0 else np.array(host, dtype=np.float64)
        finite = math.isfinite(self.loss) if host.ndim == 0 else bool(np.all(np.isfinite(host)))
        self.history.loss.append(self.loss)
        if learning_rate is not None:
            self.history.learning_rate.append(learning_rate)
        self.history.epochs, self.history.steps = self.epoch, self.step
        if finite and not self._lost_any:
            self._proven, self._latest = self._latest, self._proven
            self._latest[...] = self.net.flat
        else:
            self._note_divergence(~np.isfinite(host))
            self.copy_rows(~self._diverged, self._latest, self._proven)
            self.copy_rows(~self._diverged, self.net.flat, self._latest)
            if np.all(self._diverged):
                return StopReason.DIVERGED
        held_out = None if self._measures is None else Outputs(self.net)
        if self._validation is not None:
            self.val_loss = self._evaluation.mean_loss(self._validation, self._ranks, held_out)
            self.history.val_loss.append(self.val_loss)
        if self._measures is not None:
            for name, value in self._measures(self.epoch, self._evaluation, held_out).items():
                self.history.metrics[name].append(value)
        return self._ask()

    def record(self, name: str, value: Any) -> None:
        """Give the epoch that has just ended a number of one's own; to be called by callbacks, in `on_epoch_end`.

        Parameters
        ----------
        name : str
            A column of ``history.metrics``, logs and `History.to_frame`. Epochs without it, such as those before it was
            first recorded, have NaN there.
        value : float, or array of shape (K,)
            Of a stack's networks one for all, or each one's.

        Raises
        ------
        TypeError, ValueError
            For what is no number, a name that another column has, or a second value in the same epoch.
        RuntimeError
            Outside of `on_epoch_end`, or after a logger that stands before the callback has written the epoch.
        """
        if not self._asking:
            raise RuntimeError(f"record: {name!r} belongs to an epoch that has ended; call it in on_epoch_end")
        if self._logged:
            raise RuntimeError(
                f"record: {self._logged} has written epoch {self.epoch} without {name!r}; in callbacks=[...] put what"
                " records before what logs"
            )
        if check_name(name) in self.columns:
            raise ValueError(f"record: {name!r} is a metric of this run; give another name")
        column = self.history.metrics.get(name, [])
        if len(column) >= self.epoch:
            raise ValueError(f"record: {name!r} has a value for epoch {self.epoch} already; record it once per epoch")
        K = self.net.stack
        if K is not None and np.shape(value) == (K,):
            number: Any = np.array([as_number(one, f"record: {name!r}", "numbers") for one in value])
        else:
            number = as_number(value, f"record: {name!r}", "a number" + ("" if K is None else f", or {K} of them"))
            number = number if K is None else np.full(K, number)
        self.history.metrics[name] = column
        self._fill_up(self.epoch - 1, name)
        column.append(number)

    def _fill_up(self, epochs: int, *names: str) -> None:
        """Put NaN where an epoch has no value."""
        nothing = float("nan") if self.net.stack is None else np.full(self.net.stack, np.nan)
        for name in names or self.history.metrics:
            column = self.history.metrics[name]
            column += [nothing] * (epochs - len(column))

    def _ask(self) -> StopReason | None:
        """Ask every rule and callback, so that all of them see every epoch."""
        reasons = []
        for i, (rule, state) in enumerate(self._rules):
            state, done = rule.check(state, self)
            self._rules[i] = (rule, state)
            if np.all(done | self._diverged):
                reasons.append(rule.reason)
        if self._callbacks and self._tell_callbacks():
            reasons.append(StopReason.CALLBACK)
        if self.history.metrics:
            self._fill_up(self.epoch)
        return reasons[0] if reasons else None

    def _tell_callbacks(self) -> bool:
        """Tell every callback that an epoch has ended; whether one asks to stop."""
        self._asking, self._logged = True, ""
        answers = []
        for callback in self._callbacks:
            answers.append(callback.on_epoch_end(self))
            self._logged = self._logged or (type(callback).__name__ if isinstance(callback, EpochLogger) else "")
        self._asking = False
        return any(asks_to_stop(answer) for answer in answers)

    def finish(self, reason: StopReason) -> History:
        """Restore what must be restored, warn of divergence, and complete the history."""
        with self.closing():
            self._complete(reason)
        return self.history

    def _complete(self, reason: StopReason) -> None:
        """What `finish` does."""
        self._asking = False
        if reason is StopReason.INTERRUPTED:  # in the middle of an epoch, whose end would have looked
            xp = self.net.backend.xp
            self._note_divergence(~self.net.backend.to_host(xp.all(xp.isfinite(self.net.flat), axis=-1)))
        for rule, state in self._rules:
            rule.finish(state, self)
        if np.any(self._diverged):
            self._restore_finite()
        self.history.stop_reason = reason
        self.history.epochs, self.history.steps = self.epoch, self.step
        self.history.diverged = bool(self._diverged) if self._diverged.ndim == 0 else self._diverged
        self.history.seconds = self.seconds
        for callback in self._callbacks:
            callback.on_fit_end(self)

    def _restore_finite(self) -> None:
        """Bring back the last finite parameters of each network that diverged, and say what to try."""
        xp, net = self.net.backend.xp, self.net
        lost = self._diverged & ~net.backend.to_host(xp.all(xp.isfinite(net.flat), axis=-1))
        broken = lost if self.history.best_epoch is not None else self._diverged
        if np.any(broken):
            self.copy_rows(broken, self._latest, net.flat)
            # Finite parameters can still be so large that their loss is not; then the ones before them are better.
            self.copy_rows(broken & ~np.isfinite(self.evaluate(self.data)), self._proven, net.flat)
        if self._diverged.ndim == 0:
            which = f" in epoch {int(self._diverged_in)}"
        else:
            numbers = np.flatnonzero(self._diverged).tolist()
            which = f" of network(s) {numbers} in epoch(s) {self._diverged_in[self._diverged].tolist()}"
        warn_caller(
            f"the loss or a parameter{which} was no longer finite; the last parameters with a finite loss are restored."
            f" Try {self._advice}",
            DivergenceWarning,
        )

    def _note_divergence(self, lost: Any) -> None:
        """Remember which networks are lost, and since which epoch."""
        lost = lost & (not self._goes_on)
        self._diverged_in = np.where(lost & ~self._diverged, max(self.epoch, 1), self._diverged_in)
        self._diverged = self._diverged | lost
        self._lost_any = bool(np.any(self._diverged))

    def copy_rows(self, which: Any, source: Array, target: Array) -> None:
        """target = source where `which` holds: a bool for a single network, K of them for a stack."""
        if np.all(which):
            target[...] = source
        elif np.any(which):
            mask = self.net.backend.asarray(np.asarray(which)[:, None])
            target[...] = self.net.backend.xp.where(mask, source, target)

    def evaluate(self, data: Data) -> Any:
        """Mean loss on data, without penalty and dropout: a float, or an array of shape (K,)."""
        return self._evaluation.mean_loss(data)

    def error_rate(self, cutoff: float = 0.5) -> Any:
        """Share of training samples whose class is predicted wrongly: a float, or an array of shape (K,)."""
        return self._evaluation.error_rate(self.data, cutoff)
