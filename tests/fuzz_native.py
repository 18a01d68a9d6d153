"""Train random networks with the native kernels and with the formulas: ``python tests/fuzz_native.py --count 100000``.

Each fit is compared with one under BPX_KERNELS=reference: losses at the tolerance of the tests, and counts of steps and
epochs, learning rates, the reason to stop and the state of the order's generator, which have to be equal; and with one
of other threads and observers, of which everything has to be equal, to the last bit. What the formulas themselves make
of other last places, in the first parameters and in what NumPy's functions give, is allowed beyond the tolerance: a
unit of relu whose input is almost 0, a slope of gelu that is a difference of almost equal numbers, a gradient that
almost vanishes and that an optimizer divides by its own size. Such fits are counted.
"""

from __future__ import annotations

import argparse
import ctypes
import faulthandler
import os
import sys
import time
import warnings
from collections import Counter
from typing import Any

import numpy as np
from native_samples import HIDDEN, OUTPUTS, LooksAtSteps, result, train

import bpx
from bpx.kernels import native
from bpx.kernels.native import steps

TOLERANCES = {"float32": 1e-5, "float64": 1e-12}
# How often a spread is sampled, at most; a kink is met by few of the samples.
NUDGES = 60


def some(rng: np.random.Generator, *values: Any) -> Any:
    """One of some values."""
    return values[rng.integers(len(values))]


def optimizer(rng: np.random.Generator, stack: int | None) -> Any:
    """Any optimizer, with any of its options."""

    def hyper(low: float, high: float) -> Any:
        if stack is not None and rng.random() < 0.4:
            return rng.uniform(low, high, stack).tolist()
        return float(rng.uniform(low, high))

    rate: Any = hyper(1e-4, 0.05)
    match int(rng.integers(8)):
        case 0:
            rate = bpx.schedules.Cosine(rate, int(rng.integers(1, 30)), unit=some(rng, "step", "epoch", "sample"))
        case 1:
            rate = bpx.schedules.WarmUp(bpx.schedules.InverseScaling(rate), int(rng.integers(1, 9)))
        case 2:
            rate = bpx.schedules.StepDecay(rate, int(rng.integers(1, 9)), unit=some(rng, "step", "epoch"))
        case 3:
            rate = bpx.schedules.Adaptive(rate)
    clip = {"clip_norm": hyper(0.01, 2.0)} if rng.random() < 0.3 else {}
    match int(rng.integers(6)):
        case 0:
            return bpx.SGD(rate, **clip)
        case 1:
            return bpx.SGD(rate, momentum=hyper(0.1, 0.95), nesterov=bool(rng.integers(2)), **clip)
        case 2:
            return bpx.RMSprop(rate, **clip)
        case 3:
            return bpx.Adagrad(rate, **clip)
        case 4:
            return bpx.Adam(rate, beta_1=hyper(0.0, 0.95), epsilon_hat=bool(rng.integers(2)), **clip)
        case _:
            return bpx.AdamW(rate, weight_decay=hyper(0.0, 0.2), **clip)


def setting(rng: np.random.Generator) -> dict[str, Any]:
    """Arguments of a random `train`."""
    loss, output = OUTPUTS[rng.integers(len(OUTPUTS))]
    layers, stack = int(rng.integers(1, 5)), some(rng, None, None, None, 1, 2, 5)
    most = some(rng, 4, 20, 70)
    sizes = [int(n) for n in rng.integers(1, most, layers + 1)]
    if output == "softmax" or loss == "cross_entropy":
        sizes[-1] += 1
    rows = int(rng.integers(1, some(rng, 6, 40, 150)))
    options: dict[str, Any] = {
        "dtype": some(rng, "float32", "float64"), "loss": loss, "output": output, "stack": stack, "sizes": sizes,
        "rows": rows, "batch_size": some(rng, None, 1, int(rng.integers(1, rows + 1)), int(rng.integers(1, rows + 1))),
        "sampling": some(rng, "shuffle", "shuffle", "sequential", "replacement"), "optimizer": optimizer(rng, stack),
        "epochs": int(rng.integers(1, some(rng, 3, 12))), "seed": int(rng.integers(1000)),
        "weighted": bool(rng.random() < 0.3), "by_rows": bool(rng.random() < 0.2),
        "per_batch": bool(rng.random() < 0.2),
    }  # fmt: skip
    if layers > 1:
        options["hidden"] = [some(rng, *HIDDEN) for _ in range(layers - 1)]
        if rng.random() < 0.3:
            options["dropout"] = [float(p) for p in rng.choice([0.0, 0.2, 0.7], layers - 1)]
    for penalty in ("l2", "l1"):
        if rng.random() < 0.25:
            options[penalty] = 0.01 if stack is None or rng.random() < 0.5 else rng.uniform(0, 0.1, stack).tolist()
    while options["epochs"] * rows > 100 * (options["batch_size"] or rows):  # a hundred steps
        options["epochs"] -= 1
        if not options["epochs"]:
            options |= {"epochs": 1, "batch_size": None}
    return options


class Threads:
    """A stand-in for `Table.run`: random numbers of threads, and calls that come back after random numbers of steps."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng, self.most, self.teams, self.calls = rng, 1, 0, 0
        steps.Table.run = lambda table, program, at=None: self.run(table, program)  # type: ignore[method-assign]

    def run(self, table: Any, program: Any) -> None:
        program.threads = int(self.rng.integers(1, self.most + 1))
        if program.threads > 1:
            table.prepare_for_a_team()
        program.seconds = float(self.rng.choice([-1.0, 1e9, 1e9]))
        table._alone = 1e-9
        table._run(ctypes.addressof(program))
        self.teams += program.parts > 1
        self.calls += 1


def observers(rng: np.random.Generator) -> dict[str, Any]:
    """Who looks, at random."""

    def looks(run: Any) -> None:
        pass

    return some(rng, {}, {}, {"callbacks": [looks]}, {"callbacks": [LooksAtSteps()]})


def attempt(options: dict[str, Any], kernels: str) -> Any:
    """A training, or the error that it is."""
    os.environ["BPX_KERNELS"] = kernels
    try:
        return train(**options)
    except (ValueError, TypeError) as error:
        return repr(error)


def spread(options: dict[str, Any], slow: Any, enough: float) -> float:
    """How much the losses of the formulas differ if functions of numbers and products have other last places.

    No more is sampled once it is `enough`.
    """

    def nudged(function: Any, rng: np.random.Generator) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            result = function(*args, **kwargs)
            if isinstance(result, np.ndarray) and result.dtype.kind == "f":
                # Sums may be made in another order: what that changes depends on the sizes of their terms.
                size = function(*map(np.abs, args), **kwargs) if function in sums else np.abs(result)
                result += np.finfo(result.dtype).eps * size * rng.integers(-1, 2, result.shape).astype(result.dtype)
            return result

        return call

    sums = (np.matmul, np.sum)
    found = 0.0
    for nudge in range(1, NUDGES + 1):
        if found >= enough:
            break
        rng = np.random.default_rng(nudge)
        former = {name: getattr(np, name) for name in ("exp", "expm1", "log", "log1p", "matmul", "sum", "tanh")}
        try:
            for name, function in former.items():
                setattr(np, name, nudged(function, rng))
            found = max(found, worst(attempt(options | {"nudge": nudge}, "reference"), slow))
        finally:
            for name, function in former.items():
                setattr(np, name, function)
    return found


def worst(one: Any, other: Any) -> float:
    """The largest relative difference of the losses of two trainings; infinite where one alone was not finite."""
    a, b = (np.asarray(each.history.loss, dtype=np.float64) for each in (one, other))
    if a.shape != b.shape or not np.array_equal(np.isfinite(a), np.isfinite(b)):
        return float("inf")
    both = np.isfinite(b)
    a, b = a[both], b[both]
    return float(np.max(np.abs(a - b) / np.maximum(np.abs(b), 1e-300), initial=0.0))


def compare(options: dict[str, Any], rng: np.random.Generator, threads: Threads) -> str:
    """How a setting came out; AssertionError if it came out wrong."""
    threads.most = 1
    fast = attempt(options, "auto")
    slow = attempt(options, "reference")
    if isinstance(slow, str):
        assert fast == slow, (fast, slow)
        return "refused by both"
    threads.most = 3
    again = attempt(options | observers(rng), "auto")
    bits, exact, formulas = result(fast), result(again), result(slow)
    if np.any(fast.history.diverged):
        for each in (bits, exact, formulas):
            del each["order"], each["counts"]
    assert bits == exact, [name for name in bits if bits[name] != exact[name]]
    for name in ("rates", "reason", "diverged", "counts", "order"):
        if name in bits:
            assert bits[name] == formulas[name], name
    difference, tolerance = worst(fast, slow), TOLERANCES[options["dtype"]]
    if difference <= tolerance:
        return "equal" if not np.any(fast.history.diverged) else "equal, and diverged"
    own = spread(options, slow, difference / 4.0)
    assert difference <= 4.0 * own, f"{difference:.2e}, where the formulas' own spread is {own:.2e}"
    return "beyond the tolerance, and no more than the formulas' own spread"


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop after so many")
    given = parser.parse_args()
    native.load()
    os.environ["BPX_THREADS"] = "3"
    warnings.simplefilter("ignore", bpx.DivergenceWarning)
    warnings.simplefilter("ignore", bpx.BackendFallbackWarning)
    outcomes: Counter[str] = Counter()
    threads, began, failed = Threads(np.random.default_rng(given.seed)), time.perf_counter(), 0
    for number in range(given.count):
        rng = np.random.default_rng([given.seed, number])
        options = setting(rng)
        try:
            outcomes[compare(options, rng, threads)] += 1
        except Exception as error:
            failed += 1
            if failed == 20:
                sys.exit("the twentieth that does not agree; the rest is not tried")
            print(f"fit {number} (seed {given.seed}): {type(error).__name__}: {error}\n    {options}", flush=True)
        if time.perf_counter() - began > given.seconds:
            break
    for name, count in sorted(outcomes.items()):
        print(f"{name}: {count}")
    agree = sum(outcomes.values())
    print(f"{agree} of {agree + failed} fits agree; {threads.teams} of {threads.calls} calls had several threads")
    sys.exit(failed > 0)


if __name__ == "__main__":
    faulthandler.enable()
    main()
