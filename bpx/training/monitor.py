"""What happens around the steps: losses recorded, divergence caught, rules asked, callbacks called."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, final

import numpy as np

from bpx._typing import Array, State
from bpx.errors import DivergenceWarning, warn_caller
from bpx.network.memory import Attempt, explaining, forward_bytes, in_chunks
from bpx.network.mlp import MLP
from bpx.network.objective import Objective
from bpx.network.params import check_writable
from bpx.training.batches import Data, rows_between, wholes
from bpx.training.callbacks.base import Callback, Closing, asks_to_stop
from bpx.training.history import History, StopReason
from bpx.training.log import log_lines
from bpx.training.stopping import StopRule

if TYPE_CHECKING:
    from bpx.training.parallel import Ranks

__all__ = ["Run"]

# Rows per forward pass where only a loss or a prediction is wanted, so that memory does not grow with the data.
CHUNK = 8192


@final
class Run:
    """A training run as stopping rules and callbacks see it.

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
        self._plain = Objective(net, objective.loss)
        self._advice = advice
        self._goes_on = goes_on
        self._ranks = ranks
        self._callbacks = [*callbacks, *log_lines()]
        self._begun = False
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
        self._begun = True

    def carry_out(self, train: Callable[[], StopReason]) -> StopReason:
        """Train; Ctrl-C ends it and keeps the network."""
        with self._closing(), self.net.backend.matmul_precision():
            try:
                reason = train()
            except KeyboardInterrupt:
                if not self._begun or self._ranks is not None:  # it ends the other ranks too
                    raise
                return StopReason.INTERRUPTED
            if not self._begun:  # a checkpoint of a run that was done
                self.begin()
            return reason

    @contextmanager
    def _closing(self) -> Iterator[None]:
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
            "history": {"loss": history.loss, "val_loss": history.val_loss, "learning_rate": history.learning_rate},
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
        for name, values in saved["history"].items():
            setattr(self.history, name, list(values))
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
        if self._validation is not None:
            self.val_loss = self._mean(*self._sums(self._validation), self._ranks)
            self.history.val_loss.append(self.val_loss)
        return self._ask()

    def _ask(self) -> StopReason | None:
        """Ask every rule and callback, so that all of them see every epoch."""
        reasons = []
        for i, (rule, state) in enumerate(self._rules):
            state, done = rule.check(state, self)
            self._rules[i] = (rule, state)
            if np.all(done | self._diverged):
                reasons.append(rule.reason)
        answers = [callback.on_epoch_end(self) for callback in self._callbacks]
        if any(asks_to_stop(answer) for answer in answers):
            reasons.append(StopReason.CALLBACK)
        return reasons[0] if reasons else None

    def finish(self, reason: StopReason) -> History:
        """Restore what must be restored, warn of divergence, and complete the history."""
        with self._closing():
            self._complete(reason)
        return self.history

    def _complete(self, reason: StopReason) -> None:
        """What `finish` does."""
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
        return self._mean(*self._sums(data))

    def _sums(self, data: Data) -> tuple[Any, Any]:
        """Sum of the losses times their weights, and of the weights, on the host."""
        xp, to_host = self.net.backend.xp, self.net.backend.to_host
        total, weights = 0.0, 0.0

        def add(part: Data) -> None:
            nonlocal total, weights
            weight = part.X.shape[-2] if part.weight is None else xp.sum(part.weight, axis=(-2, -1))
            total, weights = total + self._plain.value(*part) * weight, weights + weight

        self._in_chunks(data, add)
        host = np.asarray(total) if isinstance(total, float) else to_host(total)
        return host, weights if isinstance(weights, (int, float)) else to_host(weights)

    @staticmethod
    def _mean(total: Any, weights: Any, ranks: Ranks | None = None) -> Any:
        """Their quotient, over all ranks where there are any: a float, or an array of shape (K,)."""
        if ranks is not None:
            total, weights = ranks.total(total, weights)
        host = np.asarray(total / weights)
        return float(host) if host.ndim == 0 else np.array(host, dtype=np.float64)

    def error_rate(self, cutoff: float = 0.5) -> Any:
        """Share of training samples whose class is predicted wrongly: a float, or an array of shape (K,)."""
        xp = self.net.backend.xp
        rows = 0
        wrong: Any = 0  # an integer: an integer array and 0.0 do not add up in every library

        def count(part: Data) -> None:
            nonlocal rows, wrong
            output = self.net.forward(part.X)
            if output.shape[-1] == 1:
                missed = (output > cutoff) != (part.y > cutoff)
                missed = missed[..., 0]
            else:
                target = part.y if part.y.ndim == 1 else xp.argmax(part.y, axis=-1)
                missed = xp.argmax(output, axis=-1) != target
            wrong, rows = wrong + xp.sum(xp.astype(missed, xp.int64), axis=-1), rows + part.X.shape[0]

        self._in_chunks(self.data, count)
        host = self.net.backend.to_host(wrong) / rows
        return float(host) if host.ndim == 0 else host

    def _in_chunks(self, data: Any, add: Callable[[Data], None]) -> None:
        """``add(part)`` for a few rows after the other, fewer where memory runs out."""
        with explaining(self.net, Attempt("in an evaluation", 1, forward_bytes)):
            for whole in wholes(data):
                rows = whole.X.shape[-2]
                with self.net.backend.product_threads(min(rows, CHUNK) * self.net.layout.widest, once=True):
                    in_chunks(self.net, rows, CHUNK, partial(_give, add, whole))


def _give(to: Callable[[Data], None], whole: Data, start: int, stop: int) -> None:
    """Some of the rows."""
    to(rows_between(whole, start, stop))
