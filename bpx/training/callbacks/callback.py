"""`Callback`: the user's own code during training."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, final

import numpy as np

from bpx.training.run import Run

__all__ = ["Callback", "Closing", "as_callback", "asks_to_stop"]


class Callback:
    """Base class of callbacks: override the methods you need. Each takes the `bpx.Run`.

    A run has ``net`` (in training), ``history``, ``epoch`` and ``step`` (completed so far), ``epochs`` (the limit),
    ``loss`` and ``val_loss`` (of the last epoch), ``seconds``, ``settings`` (its arguments), ``error_rate()`` and
    ``evaluate(data)``; ``record(name, value)`` adds a column to the history, and to the logs of callbacks that come
    later in the list. A plain function ``f(run)`` in the list is called as `on_epoch_end`.
    """

    def on_fit_begin(self, run: Run) -> None:
        """Called before the first step; in a run resumed from a checkpoint, `run.epoch` and `run.step` are not 0."""

    def on_step_end(self, run: Run) -> None:
        """Called after each update. Reading arrays here waits for the device."""

    def on_epoch_end(self, run: Run) -> bool | None:
        """Called after each epoch; return True to stop training."""
        return None

    def on_fit_end(self, run: Run) -> None:
        """Called after the last step, with `run.history` complete."""


class Closing(Callback):
    """A callback that holds something open, such as a file; it is also called if an error ends training."""

    def on_fit_error(self, run: Run) -> None:
        """Called in place of `on_fit_end`, before the error reaches the caller."""


@final
class _Function(Callback):
    """A plain function, called at the end of each epoch."""

    def __init__(self, function: Callable[[Run], Any]) -> None:
        self._function = function

    def on_epoch_end(self, run: Run) -> Any:
        return self._function(run)


def asks_to_stop(answer: Any) -> bool:
    """Whether the return value of `on_epoch_end` ends training; TypeError if it is neither a bool nor None."""
    if answer is None or isinstance(answer, (bool, np.bool_)):
        return bool(answer)
    raise TypeError(f"a callback returns True to stop, or None or False to go on; got {answer!r}")


def as_callback(callback: Callback | Callable[[Run], Any]) -> Callback:
    """`callback` as an object; a plain function becomes its `on_epoch_end`."""
    if isinstance(callback, Callback):
        return callback
    if isinstance(callback, type) or not callable(callback):
        raise TypeError(f"callbacks: expected bpx.Callback objects or functions f(run), got {callback!r}")
    return _Function(callback)
