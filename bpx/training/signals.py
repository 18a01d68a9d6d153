"""Ctrl-C and SIGTERM, held back until training is at a place where it can be left.

On Windows SIGTERM ends a process without telling it; what it is told there is Ctrl-Break, which closing its console or
a parent process sends.
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
    """Call `note` in place of what Ctrl-C, SIGTERM and Ctrl-Break do; gives what they did, for `give_back`.

    Outside the main thread, where signals do not arrive, nothing is changed.
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
    """Let signals do again what they did before; once."""
    while former:
        number, action = former.popitem()
        signal.signal(number, signal.SIG_DFL if action is None else action)
