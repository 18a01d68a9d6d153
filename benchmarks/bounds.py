"""What bpx promises of its speed, as ratios within one run, and whether a run kept it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gpu_workloads import GPU, LARGEST, PRECISIONS
from workloads import ALL

__all__ = ["BOUNDS", "GPU_BOUNDS", "Bound", "Outcome", "check"]

FAST, WITHOUT = "bpx", "bpx without fast"


@dataclass(frozen=True)
class Bound:
    """A limit for bpx with compiled kernels, and one for bpx without; None: no limit.

    Parameters
    ----------
    workload : str
    over : str
        ``"best peer"``, ``"floor"``, a contender, or ``"peak MB"`` for the figure itself.
    fast, without : float or None
    peers : tuple of str
        In place of the workload's, for "best peer".
    """

    workload: str
    over: str
    fast: float | None
    without: float | None = None
    peers: tuple[str, ...] = ()


@dataclass(frozen=True)
class Outcome:
    """A bound, and what was measured; `figure` is None where that is nothing.

    `lacking` are peers that were not measured: the figure is then over the best of the rest, and no verdict.
    """

    workload: str
    contender: str
    over: str
    limit: float
    figure: float | None
    lacking: tuple[str, ...] = ()

    @property
    def verdict(self) -> str:
        """pass, miss or not measured."""
        if self.figure is None or self.lacking:
            return "not measured"
        return "pass" if self.figure <= self.limit else "miss"


def _step(network: str) -> str:
    """The workload that a network's bounds are about."""
    return f"step-{network}-relu-adam-float32"


BOUNDS = (
    Bound(_step("2-8-2"), "best peer", 0.5, 0.9),
    # 20 µs where the products alone take 7.
    Bound(_step("2-8-2"), "products", 20 / 7),
    Bound(_step("64-100-10"), "best peer", 0.55, 0.75),
    Bound(_step("784-100-10"), "best peer", 0.7, 0.85),
    Bound(_step("784-100-10"), "floor", 1.35),
    Bound(_step("784-256-128-10"), "best peer", 0.8, 1.2),
    Bound(_step("784-256-128-10"), "floor", 1.25),
    Bound(_step("784-2048-2048-10"), "best peer", 1.0, 1.1),
    Bound(_step("784-2048-2048-10"), "floor", 1.15),
    Bound("online-2-3-1", "article 000", 0.5, 1.0),
    Bound("full-batch-2-50-2", "article 001", 0.5, 0.8),
    Bound("predict-1-float32", "best peer", 1.0, 1.0, peers=("torch", "scikit-learn")),
    Bound("predict-1000000-float32", "best peer", 1.0, 1.0),
    Bound("predict-1000000-float32", "peak MB", 100.0, 100.0),
    Bound("stack-64", "separate runs", 0.2, 0.3),
    Bound("fit-digits-float32", "scikit-learn", 0.5),
    Bound("fit-digits-float64", "scikit-learn", 0.5),
    Bound("fit-784-float32", "scikit-learn", 0.5),
    Bound("fit-784-float64", "scikit-learn", 0.5),
)


# On one GPU of the Hopper generation.
GPU_BOUNDS = (
    Bound("step-784-100-10-float32", "torch eager", 0.25),
    Bound("step-784-256-128-10-float32", "torch eager", 0.25),
    *(Bound(name, "best peer", 1.0) for name in GPU),
    *(Bound(f"step-{LARGEST}-{precision}", "floor", 1.2) for precision in PRECISIONS),
    Bound("stack-1000", "separate runs", 1 / 50),
)
EVERY = ALL | GPU


def check(
    workloads: Mapping[str, Any], bounds: Sequence[Bound] = BOUNDS, fast: str = FAST, without: str = WITHOUT
) -> list[Outcome]:
    """Every bound on the workloads that a run has, by the ``"workloads"`` of its JSON."""
    outcomes = []
    for bound in bounds:
        if bound.workload not in workloads:
            continue
        results = workloads[bound.workload]["contenders"]
        for contender, limit in ((fast, bound.fast), (without, bound.without)):
            if limit is not None:
                over, figure, lacking = _figure(bound, results, contender)
                outcomes.append(Outcome(bound.workload, contender, over, limit, figure, lacking))
    return outcomes


def _figure(bound: Bound, results: Mapping[str, Any], contender: str) -> tuple[str, float | None, tuple[str, ...]]:
    """What the figure is compared with, in words, the figure, and what it was to be compared with beside."""
    own, workload = results.get(contender, {}), EVERY[bound.workload]
    if bound.over == "peak MB":
        return "MB above input and output", own.get("notes", {}).get("peak MB"), ()
    if bound.over == "separate runs":
        names: tuple[str, ...] = (f"{contender}, separate runs",)
    elif bound.over == "best peer":
        names = bound.peers or workload.peers
    elif bound.over == "floor":
        names = workload.floors
    else:
        names = (bound.over,)
    medians = {name: results[name]["median"] for name in names if "median" in results.get(name, {})}
    # The best of some is not the best of all.
    lacking = tuple(name for name in names if name not in medians)
    if "median" not in own or not medians:
        return f"x {bound.over}", None, lacking
    best = min(medians, key=medians.__getitem__)
    # With several floors the second is there to check the first.
    if bound.over == "floor" and len(names) > 1:
        return f"x {best}", own["median"] / medians[best], lacking
    over = f"x best peer, {best}" if bound.over == "best peer" and not lacking else f"x {bound.over}"
    return over, own["median"] / medians[best], lacking
