"""What a contender is asked and what it gives back."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from time import perf_counter
from typing import Any

from workloads import Workload

__all__ = ["Job", "Measure", "peak_above_output", "peak_memory", "timed"]


@dataclass(frozen=True)
class Job:
    """A workload for a contender.

    Parameters
    ----------
    workload : Workload
    contender : str
    options : mapping
        The contender's.
    scratch : Path
        A folder that all processes of the run share.
    device : str
        ``"cpu"`` or ``"gpu"``.
    """

    workload: Workload
    contender: str
    options: Mapping[str, Any]
    scratch: Path
    device: str = "cpu"


@dataclass(frozen=True)
class Measure:
    """A prepared workload.

    Parameters
    ----------
    run : callable
        ``run(repeats)`` does the work that many times and returns seconds (bytes where the unit is MB).
    units : int
        Steps, runs or calls in one repeat: the figure is per unit.
    notes : mapping
        More that is worth keeping, such as the loss after the warm-up.
    """

    run: Callable[[int], float]
    units: int = 1
    notes: Mapping[str, Any] = field(default_factory=dict)


def timed(work: Callable[[], Any]) -> Callable[[int], float]:
    """A `Measure.run` that calls `work` so many times."""

    def run(repeats: int) -> float:
        start = perf_counter()
        for _ in range(repeats):
            work()
        return perf_counter() - start

    return run


def peak_memory(work: Callable[[], Any]) -> tuple[float, Any]:
    """Bytes that the process grew by at most while `work` ran, and its result. Linux only."""
    # 5 sets the peak back to what is resident now.
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    before = _status("VmRSS")
    result = work()
    return float(_status("VmHWM") - before), result


def peak_above_output(work: Callable[[], Any]) -> dict[str, Any]:
    """A note of `work`'s peak memory in MB, its result left out; none where it cannot be known."""
    if not sys.platform.startswith("linux"):
        return {}
    peak, output = peak_memory(work)
    return {"peak MB": (peak - prod(output.shape) * output.dtype.itemsize) / 1e6}


def _status(name: str) -> int:
    """A line of /proc/self/status, in bytes."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))
