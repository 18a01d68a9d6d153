"""What bpx does with more processes, more data and more settings; each module is run in a process of its own.

A module's tasks each measure something and return plain data, which `run` prints as one line of JSON for `launcher`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

__all__ = ["run"]


def run(tasks: dict[str, Callable[..., Any]]) -> None:
    """``python -m scaling.MODULE TASK {"option": ...}``: print what the task returns, if anything."""
    answer = tasks[sys.argv[1]](**json.loads(sys.argv[2]))
    if answer is not None:
        print(json.dumps(answer), flush=True)
