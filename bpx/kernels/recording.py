"""A step recorded once and replayed as the list of its kernels' calls.

A kernel checks its arguments, makes the arrays that it fills, and hands the work itself to `launch`. While `record`
runs a step, nothing is computed: the work and its arrays are noted, and each call of the `Replay` does it again on the
same arrays. So a replayed step makes no array and decides nothing; what changes between steps (the rows of the batch,
the learning rate, the step's number) is written into arrays that were given when it was recorded.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, TypeVar, final

__all__ = ["NotRecordableError", "Replay", "is_recording", "launch", "record", "runs_users_code", "write"]

_local = threading.local()
# Functions for `launch` that call a function of the user's.
_calls_users_code: set[Callable[..., Any]] = set()

Function = TypeVar("Function", bound=Callable[..., Any])


def runs_users_code(function: Function) -> Function:
    """Mark a function for `launch` as one that calls a function of the user's."""
    _calls_users_code.add(function)
    return function


class NotRecordableError(Exception):
    """A step did something that a replay would not repeat."""


@final
class Replay:
    """The recorded work; call it to do a step."""

    def __init__(self, calls: list[tuple[Callable[..., Any], tuple[Any, ...]]]) -> None:
        self.calls = calls

    @property
    def runs_users_code(self) -> bool:
        """Whether it calls functions that a user has given, which may do something else each time."""
        return any(function in _calls_users_code for function, _ in self.calls)

    def __call__(self) -> None:
        """Do the recorded work."""
        for function, args in self.calls:
            function(*args)


def is_recording() -> bool:
    """Whether this thread is recording a step."""
    return getattr(_local, "calls", None) is not None


def launch(function: Callable[..., Any], *args: Any) -> None:
    """Do a kernel's work now, or note it for the replay; its results are what it writes into `args`."""
    calls = getattr(_local, "calls", None)
    if calls is None:
        function(*args)
    else:
        calls.append((function, args))


@runs_users_code
def write(out: Any, function: Callable[..., Any], *args: Any) -> None:
    """What any function returns, into an array that is kept."""
    out[...] = function(*args)


def record(step: Callable[..., Any], *args: Any) -> Replay | None:
    """Run ``step(*args)`` without computing anything; None where it cannot be recorded."""
    _local.calls = []
    try:
        step(*args)
        return Replay(_local.calls)
    except NotRecordableError:
        return None
    finally:
        _local.calls = None
