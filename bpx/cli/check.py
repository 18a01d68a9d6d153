"""``bpx check``: are gradients right, and do this machine's backends and kernels agree?"""

from __future__ import annotations

import argparse
import time
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from bpx._formatting import TextTable
from bpx.backend.base import Backend
from bpx.checks.gradients import check_gradients
from bpx.checks.parity import TOLERANCES, check_parity
from bpx.cli import backend_option, kernel_choice, parser
from bpx.cli.output import Output
from bpx.losses import LossName
from bpx.network.architecture import DType
from bpx.network.mlp import MLP
from bpx.training.fit import fit

EXAMPLES = """\
  bpx check
  bpx check --backend cupy         fails where CuPy does not work, and says why
  bpx check --json
"""
DESCRIPTION = """\
Check this machine in less than half a minute; exit code 1 if anything fails.

  gradients  back-propagation against central differences, float64, on every
             backend that works: three networks with different activations,
             losses and penalties
  parity     outputs, gradients and the losses of 5 Adam steps with dropout on
             every backend against NumPy, float32 and float64
  kernels    parameters after 20 steps with the kernels that training uses,
             where a backend has any, against the plain formulas

A backend that does not work is named, but counts as a failure only if it was
requested with --backend.
"""


@dataclass(frozen=True)
class Finding:
    """One comparison."""

    check: str
    what: str
    backend: str
    difference: float
    tolerance: float

    @property
    def passed(self) -> bool:
        """False where the difference is NaN."""
        return bool(self.difference <= self.tolerance)


def add(sub: argparse.ArgumentParser) -> None:
    """The subcommand's options."""
    words = "check this one, and fail without it (default: all that work)"
    sub.add_argument("--backend", metavar="NAME", action="append", help=words)
    parser.describe(sub, "bpx check [options]", DESCRIPTION, EXAMPLES, run)


def run(args: argparse.Namespace, output: Output) -> bool:
    """Check, and say whether all passed."""
    start = time.perf_counter()
    working, unusable = backend_option.usable(args.backend)
    findings: list[Finding] = []
    for backend in working:
        output.progress(f"checking {backend.name} on {backend.device}")
        findings += [*_gradients(backend), *_parity(backend), *_kernels(backend)]
    failed = [finding for finding in findings if not finding.passed]
    missing = list(unusable) if args.backend else []
    seconds = time.perf_counter() - start
    table = TextTable(("check", "backend", "largest difference", "tolerance", ""))
    for one in findings:
        verdict = "ok" if one.passed else "FAILED"
        table.add(f"{one.check}: {one.what}", one.backend, f"{one.difference:.1e}", f"{one.tolerance:.0e}", verdict)
    lines = [table.to_text()] if findings else []
    lines += [f"{name} did not run: {reason}" for name, reason in unusable.items()]
    if failed:
        lines.append(f"{len(failed)} of {len(findings)} checks FAILED in {seconds:.1f} s")
    elif missing:
        lines.append(f"FAILED: {', '.join(missing)} did not run")
    else:
        lines.append(f"all {len(findings)} checks passed in {seconds:.1f} s")
    passed = not failed and not missing
    checks = [asdict(one) | {"passed": one.passed} for one in findings]
    output.result("\n".join(lines), {"passed": passed, "seconds": seconds, "checks": checks, "did not run": unusable})
    return passed


def _networks(backend: Backend, dtype: DType) -> list[tuple[str, MLP, Any, Any, LossName, float]]:
    """Networks that differ in activations, losses and penalties, with their data; small enough for differences."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(12, 5))
    labels = rng.integers(0, 3, 12)
    numbers = rng.normal(size=(12, 2))
    either = rng.integers(0, 2, (12, 1)).astype(float)
    more: dict[str, Any] = {"dtype": dtype, "backend": backend}
    return [
        ("5-7-3, tanh, softmax", MLP([5, 7, 3], hidden="tanh", **more), X, labels, "cross_entropy", 0.1),
        ("5-6-4-1, gelu, sigmoid", MLP([5, 6, 4, 1], hidden="gelu", output="sigmoid", **more), X, either,
         "binary_cross_entropy", 0.0),
        ("5-8-2, relu, identity", MLP([5, 8, 2], output="identity", seed=1, **more), X, numbers, "squared_error", 0.01),
    ]  # fmt: skip


def _gradients(backend: Backend) -> list[Finding]:
    """Gradients on a backend against central differences."""
    found = []
    for what, net, X, y, loss, l2 in _networks(backend, "float64"):
        report = check_gradients(net, X, y, loss, l2=l2)
        found.append(Finding("gradients", what, backend.name, report.max_relative_error, report.tolerance))
    return found


def _digits() -> tuple[Any, Any]:
    """Data in the shape of small digits."""
    rng = np.random.default_rng(1)
    return rng.normal(size=(200, 64)), rng.integers(0, 10, 200)


def _parity(backend: Backend) -> list[Finding]:
    """A backend against NumPy."""
    if backend.name == "numpy":
        return []
    X, y = _digits()
    found = []
    for dtype in TOLERANCES:
        net = MLP([64, 100, 50, 10], dropout=0.2, dtype=dtype, backend="numpy")
        report = check_parity(net, X, y, backends=[backend])
        found.append(Finding("parity", f"64-100-50-10, {dtype}", backend.name, report.max_difference, report.tolerance))
    return found


def _kernels(backend: Backend) -> list[Finding]:
    """Training with kernels against the plain formulas; another order of sums differs a little more with each step."""
    if not kernel_choice.names(backend):
        return []
    X, y = _digits()
    found = []
    for dtype, tolerance in TOLERANCES.items():
        flats = []
        for which in (None, "reference"):
            with kernel_choice.using(which):
                net = MLP([64, 100, 50, 10], dropout=0.2, dtype=dtype, backend=backend)
                fit(net, X, y, epochs=5, batch_size=50, l2=1e-3)
            flats.append(np.asarray(net.backend.to_host(net.flat), dtype=np.float64))
        difference = float(np.max(np.abs(flats[0] - flats[1])) / np.max(np.abs(flats[1])))
        found.append(Finding("kernels", f"64-100-50-10, {dtype}", backend.name, difference, 10 * tolerance))
    return found
