"""What bpx promises of its speed, as ratios within one run, and whether a run kept it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gpu_workloads import GPU, LARGEST, PRECISIONS
from workloads import ALL

__all__ = ["BOUNDS", "GPU_BOUNDS", "Bound", "Outcome", "check"]

OWN, ON_NUMPY = "bpx", "bpx on NumPy"


@dataclass(frozen=True)
class Bound:
    """A limit for bpx with compiled kernels, and one for bpx on NumPy alone; None: no limit.

    Parameters
    ----------
    workload : str
    over : str
        ``"best peer"``, ``"floor"``, a contender; ``"ms above CONTENDER"``, the difference; or ``"peak MB"`` or
        ``"ms"``, the figure itself.
    limit, on_numpy : float or None
    peers : tuple of str
        In place of the workload's, for "best peer".
    """

    workload: str
    over: str
    limit: float | None
    on_numpy: float | None = None
    peers: tuple[str, ...] = ()


@dataclass(frozen=True)
class Outcome:
    """A bound, and what was measured; `figure` is None where that is nothing.

    `figure` is of medians and gives the verdict; `least` is the same of the shortest rounds. `lacking` are peers that
    were not measured: the figure is then over the best of the rest, and no verdict.
    """

    workload: str
    contender: str
    over: str
    limit: float
    figure: float | None
    lacking: tuple[str, ...] = ()
    least: float | None = None

    @property
    def verdict(self) -> str:
        """pass, miss or not measured."""
        if self.figure is None or self.lacking:
            return "not measured"
        return "pass" if self.figure <= self.limit else "miss"


def _step(network: str, dtype: str = "float32", threads: str = "") -> str:
    """The workload that a network's bounds are about."""
    return f"step-{network}-relu-adam-{dtype}{threads}"


JITTED = ("JAX", "JAX scan")
# Python sees no step of a scan, and it is not compared with kernels of NumPy alone, which are called one by one.
STEPS_SEEN = ("torch", "torch.compile", "JAX", "scikit-learn")
DTYPES = ("float32", "float64")
MIDDLE = ("784-100-10", "784-256-128-10")

BOUNDS = (
    *(
        bound
        for dtype in DTYPES
        for bound in (
            Bound(_step("2-8-2", dtype), "JAX scan", 0.25),
            Bound(_step("2-8-2", dtype), "JAX", 0.06),
            Bound(_step("64-100-10", dtype, "-1-thread"), "best peer", 0.65, peers=JITTED),
            Bound(_step("64-100-10", dtype), "best peer", 0.45, peers=JITTED),
            *(Bound(_step(network, dtype), "products", 1.05) for network in MIDDLE),
            *(Bound(_step(network, dtype), "best peer", 1.0) for network in MIDDLE),
            Bound(_step("784-2048-2048-10", dtype), "products", 1.1),
            # What 0.1 did there, but for its order of sums.
            Bound(_step("784-2048-2048-10", dtype), ON_NUMPY, 1.0),
            Bound(f"fit-digits-{dtype}", "scikit-learn", 0.3),
            Bound(f"fit-784-{dtype}", "scikit-learn", 0.4),
        )
    ),
    Bound(_step("2-8-2"), "best peer", None, 0.9, STEPS_SEEN),
    Bound(_step("64-100-10"), "best peer", None, 0.75, STEPS_SEEN),
    Bound(_step("784-100-10"), "best peer", None, 0.85, STEPS_SEEN),
    Bound(_step("784-256-128-10"), "best peer", None, 1.2, STEPS_SEEN),
    Bound(_step("784-2048-2048-10"), "best peer", 1.0, 1.1, STEPS_SEEN),
    Bound("stack-64", "JAX scan", 0.3),
    Bound("stack-64", "separate runs", None, 0.3),
    Bound("online-2-3-1", "article 000", 0.5, 1.0),
    Bound("online-momentum-2-3-1-watched", "article 003", 0.7),
    Bound("online-momentum-2-3-1", "article 003", 0.1),
    Bound("full-batch-2-50-2", "article 001", 0.5, 0.8),
    Bound("predict-1-float32", "best peer", 0.5),
    Bound("predict-1-float32", "best peer", None, 1.0, peers=("torch", "scikit-learn")),
    Bound("predict-1-estimator", "scikit-learn", 0.6),
    Bound("predict-1000000-float32", "best peer", 1.0, 1.0),
    Bound("predict-1000000-float32", "peak MB", 100.0, 100.0),
    Bound("process-digits", "scikit-learn", 0.2),
    Bound("process-digits", f"ms above {ON_NUMPY}", 20.0),
    Bound("first-use", "ms", 10.0),
    Bound("sweep-64", "separate runs", 0.4),
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
    workloads: Mapping[str, Any], bounds: Sequence[Bound] = BOUNDS, own: str = OWN, on_numpy: str = ON_NUMPY
) -> list[Outcome]:
    """Every bound on the workloads that a run has, by the ``"workloads"`` of its JSON."""
    outcomes = []
    for bound in bounds:
        if bound.workload not in workloads:
            continue
        results = workloads[bound.workload]["contenders"]
        for contender, limit in ((own, bound.limit), (on_numpy, bound.on_numpy)):
            if limit is not None:
                over, figure, lacking = _figure(bound, results, contender, "median")
                least = _figure(bound, results, contender, "min")[1]
                outcomes.append(Outcome(bound.workload, contender, over, limit, figure, lacking, least))
    return outcomes


def _figure(
    bound: Bound, results: Mapping[str, Any], contender: str, of: str
) -> tuple[str, float | None, tuple[str, ...]]:
    """What the figure is compared with, in words, the figure, and what it was to be compared with beside."""
    own, workload = results.get(contender, {}), EVERY[bound.workload]
    if bound.over == "peak MB":
        return "MB above input and output", own.get("notes", {}).get("peak MB"), ()
    if bound.over == "ms":
        return "ms", 1e3 * own[of] if of in own else None, ()
    above = bound.over.startswith("ms above ")
    if bound.over == "separate runs":
        names: tuple[str, ...] = (f"{contender}, separate runs",)
    elif bound.over == "best peer":
        names = bound.peers or workload.peers
    elif bound.over == "floor":
        names = workload.floors
    else:
        names = (bound.over.removeprefix("ms above "),)
    values = {name: results[name][of] for name in names if of in results.get(name, {})}
    # The best of some is not the best of all.
    lacking = tuple(name for name in names if name not in values)
    words = bound.over if above else f"x {bound.over}"
    if of not in own or not values:
        return words, None, lacking
    best = min(values, key=values.__getitem__)
    if above:
        return words, 1e3 * (own[of] - values[best]), lacking
    # With several floors the second is there to check the first.
    if bound.over == "floor" and len(names) > 1:
        return f"x {best}", own[of] / values[best], lacking
    over = f"x best peer, {best}" if bound.over == "best peer" and not lacking else words
    return over, own[of] / values[best], lacking
