"""What users may run during training."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, final

import numpy as np

from bpx.training.history import short

if TYPE_CHECKING:
    from bpx.training.monitor import Run

__all__ = ["Callback", "ProgressLines", "as_callback", "asks_to_stop"]


class Callback:
    """Base class: override what is wanted. Each method is given the run.

    A run has ``net`` (in training), ``history``, ``epoch`` and ``step`` (done so far), ``epochs`` (the limit), ``loss``
    and ``val_loss`` (of the last epoch), ``seconds``, ``error_rate()`` and ``evaluate(data)``. A plain function
    ``f(run)`` given as a callback is called as `on_epoch_end`.
    """

    def on_fit_begin(self, run: Run) -> None:
        """Before the first step."""

    def on_step_end(self, run: Run) -> None:
        """After each update; reading `run`'s arrays here waits for the device."""

    def on_epoch_end(self, run: Run) -> bool | None:
        """After each epoch; return True to stop training."""
        return None

    def on_fit_end(self, run: Run) -> None:
        """After the last step, with `run.history` complete."""


@final
class _Function(Callback):
    """A plain function, called at each epoch's end."""

    def __init__(self, function: Callable[[Run], Any]) -> None:
        self._function = function

    def on_epoch_end(self, run: Run) -> bool | None:
        answer: bool | None = self._function(run)
        return answer


@final
class ProgressLines(Callback):
    """A line on standard error every few epochs: epoch, loss, validation loss, seconds."""

    def __init__(self, every: int | None = None) -> None:
        self._every = every

    def on_epoch_end(self, run: Run) -> None:
        every = self._every or max(1, run.epochs // 10)
        if run.epoch % every == 0 or run.epoch == run.epochs:
            val = f"  val_loss {short(run.val_loss)}" if run.val_loss is not None else ""
            counted = f"{run.epoch:>{len(str(run.epochs))}}/{run.epochs}"
            print(f"epoch {counted}  loss {short(run.loss)}{val}  {run.seconds:.1f} s", file=sys.stderr)


def asks_to_stop(answer: Any) -> bool:
    """Whether a callback's answer ends training; None and False do not, and anything but a bool is a mistake."""
    if answer is None or isinstance(answer, (bool, np.bool_)):
        return bool(answer)
    raise TypeError(f"a callback returns True to stop, or None or False to go on; got {answer!r}")


def as_callback(callback: Callback | Callable[[Run], Any]) -> Callback:
    """A callback object, from one or from a plain function."""
    if isinstance(callback, Callback):
        return callback
    if isinstance(callback, type) or not callable(callback):
        raise TypeError(f"callbacks: expected bpx.Callback objects or functions f(run), got {callback!r}")
    return _Function(callback)
