"""What bpx promises of its speed, as ratios within one run, and whether a run kept it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from workloads import ALL

__all__ = ["BOUNDS", "Bound", "Outcome", "check"]

FAST, WITHOUT = "bpx", "bpx without fast"


@dataclass(frozen=True)
class Bound:
    """A limit for bpx with compiled kernels, and one for bpx without; None: no limit.

    Parameters
    ----------
    workload : str
    over : str
        ``"best peer"``, a contender, or ``"peak MB"`` for the figure itself.
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
    """A bound, and what was measured; `figure` is None where something was not measured."""

    workload: str
    contender: str
    over: str
    limit: float
    figure: float | None

    @property
    def verdict(self) -> str:
        """pass, miss or not measured."""
        if self.figure is None:
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


def check(workloads: Mapping[str, Any]) -> list[Outcome]:
    """Every bound on the workloads that a run has, by the ``"workloads"`` of its JSON."""
    outcomes = []
    for bound in BOUNDS:
        if bound.workload not in workloads:
            continue
        results = workloads[bound.workload]["contenders"]
        for contender, limit in ((FAST, bound.fast), (WITHOUT, bound.without)):
            if limit is not None:
                over, figure = _figure(bound, results, contender)
                outcomes.append(Outcome(bound.workload, contender, over, limit, figure))
    return outcomes


def _figure(bound: Bound, results: Mapping[str, Any], contender: str) -> tuple[str, float | None]:
    """What the figure is compared with, in words, and the figure."""
    own = results.get(contender, {})
    if bound.over == "peak MB":
        return "MB above input and output", own.get("notes", {}).get("peak MB")
    if bound.over == "separate runs":
        names: tuple[str, ...] = (f"{contender}, separate runs",)
    elif bound.over == "best peer":
        names = bound.peers or ALL[bound.workload].peers
    else:
        names = (bound.over,)
    medians = {name: results[name]["median"] for name in names if "median" in results.get(name, {})}
    # The best of some is not the best of all.
    if "median" not in own or len(medians) < len(names):
        return f"x {bound.over}", None
    best = min(medians, key=medians.__getitem__)
    over = f"x best peer, {best}" if bound.over == "best peer" else f"x {bound.over}"
    return over, own["median"] / medians[best]
