"""Callbacks: what users may run during training."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, final

import numpy as np

from bpx.training.run import Run

__all__ = ["Callback", "Closing", "as_callback", "asks_to_stop"]


class Callback:
    """Base class of callbacks: override the methods you need. Each is given the run.

    A run has ``net`` (in training), ``history``, ``epoch`` and ``step`` (done so far), ``epochs`` (the limit), ``loss``
    and ``val_loss`` (of the last epoch), ``seconds``, ``settings`` (what it was started with), ``error_rate()`` and
    ``evaluate(data)``; ``record(name, value)`` adds a column to the history, and to the logs of those callbacks that
    follow in the list. A plain function ``f(run)`` given as a callback is called as `on_epoch_end`.
    """

    def on_fit_begin(self, run: Run) -> None:
        """Before the first step. In a run that goes on from a checkpoint, `run.epoch` and `run.step` are not 0."""

    def on_step_end(self, run: Run) -> None:
        """After each update. Reading the run's arrays here waits for the device."""

    def on_epoch_end(self, run: Run) -> bool | None:
        """After each epoch; return True to stop training."""
        return None

    def on_fit_end(self, run: Run) -> None:
        """After the last step, with `run.history` complete."""


class Closing(Callback):
    """A callback that holds something open, such as a file: it is also called when an error ends training."""

    def on_fit_error(self, run: Run) -> None:
        """In place of `on_fit_end`, before the error reaches the caller."""


@final
class _Function(Callback):
    """A plain function, called at each epoch's end."""

    def __init__(self, function: Callable[[Run], Any]) -> None:
        self._function = function

    def on_epoch_end(self, run: Run) -> Any:
        return self._function(run)


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
