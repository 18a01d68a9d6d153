"""Ctrl-C and SIGTERM, held back until training can be interrupted.

On Windows SIGTERM ends a process at once; Ctrl-Break takes its place, which closing the console or a parent process
sends.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

_ENDING = ("SIGINT", "SIGTERM", "SIGBREAK")


@contextmanager
def noted(note: Callable[[int, Any], None]) -> Iterator[dict[int, Any]]:
    """A block in which Ctrl-C, SIGTERM and Ctrl-Break call ``note``; yields their handlers, for `give_back`.

    Without effect outside the main thread, where signals do not arrive.
    """
    former: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():
        for name in _ENDING:
            if hasattr(signal, name):
                number = getattr(signal, name)
                former[number] = signal.signal(number, note)
    try:
        yield former
    finally:
        give_back(former)


def give_back(former: dict[int, Any]) -> None:
    """Restore the handlers of signals, and empty `former`."""
    while former:
        number, action = former.popitem()
        signal.signal(number, signal.SIG_DFL if action is None else action)
