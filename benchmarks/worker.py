"""The process of one contender: it takes commands as lines of JSON and answers each with one line.

Run by `processes.py`: ``python worker.py CONTENDER SCRATCH THREADS``.
"""

from __future__ import annotations

import gc
import json
import math
import os
import sys
import traceback
from contextlib import suppress
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any, TextIO

from contenders import CONTENDERS
from contenders.measure import Job, Measure
from gpu_workloads import GPU
from workloads import ALL

__all__ = ["main"]

# A round that had to be longer than this many repeats would only be longer.
MOST_REPEATS = 1_000_000


class Worker:
    """A contender with at most one workload prepared."""

    def __init__(self, contender: str, scratch: Path) -> None:
        self.contender, self.scratch = contender, scratch
        self.measure: Measure | None = None
        self.repeats = 1

    def prepare(self, workload: str, quick: bool, device: str) -> dict[str, Any]:
        """Load, warm up, and find how many repeats make a round."""
        self.measure = None
        gc.collect()
        chosen, contender = (ALL | GPU)[workload], CONTENDERS[self.contender]
        if quick:
            chosen = replace(chosen, options={**chosen.options, **chosen.quick})
        function = getattr(import_module(f"contenders.{contender.module}"), chosen.kind)
        self.measure = function(Job(chosen, self.contender, contender.options, self.scratch, device))
        self.repeats = 1
        if chosen.warm and not quick:
            seconds = self.measure.run(1)
            while seconds < chosen.seconds and self.repeats < MOST_REPEATS:
                self.repeats = math.ceil(self.repeats * min(10.0, 1.1 * chosen.seconds / max(seconds, 1e-9)))
                seconds = self.measure.run(self.repeats)
        return {"units": self.repeats * self.measure.units, "notes": dict(self.measure.notes)}

    def round(self) -> dict[str, Any]:
        """One round's seconds (or bytes) per unit."""
        assert self.measure is not None
        value = self.measure.run(self.repeats) / (self.repeats * self.measure.units)
        return {"value": value, "notes": dict(self.measure.notes)}


def main(contender: str, scratch: str, threads: str, answers: TextIO) -> None:
    """Answer until the input ends."""
    if hasattr(os, "sched_setaffinity"):
        # For libraries that take as many threads as there are processors, whatever the environment says.
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: int(threads)])
    worker = Worker(contender, Path(scratch))
    if CONTENDERS[contender].module.startswith("gpu_"):
        with suppress(Exception):  # which is told when the contender prepares
            import_module(f"contenders.{CONTENDERS[contender].module}")
    for line in sys.stdin:
        command = json.loads(line)
        try:
            answer = getattr(worker, command.pop("do"))(**command)
        except Exception as error:
            traceback.print_exc()
            answer = {"failed": f"{type(error).__name__}: {error}".splitlines()[0][:300]}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    # What libraries print must not get between the answers.
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    main(*sys.argv[1:], channel)
