"""``bpx bench``: training steps per second on this machine's backends, beside the matrix products that they need."""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from bpx._formatting import TextTable
from bpx.backend.base import Backend
from bpx.cli import backend_option, kernel_choice, parser
from bpx.cli.output import MistakeError, Output
from bpx.network.architecture import DType
from bpx.network.mlp import MLP
from bpx.training.fit import fit

EXAMPLES = """\
  bpx bench
  bpx bench --backend numpy --dtype float64 --rounds 9
  bpx bench --json > bench.json
"""
DESCRIPTION = """\
Measure training (ReLU, softmax, cross-entropy, Adam) on every backend that
works here: microseconds per step and steps per second, the median of rounds
that take turns. On NumPy with compiled kernels (where bpx info names them),
kernels of NumPy alone, and the plain formulas; elsewhere with kernels, where
there are any, and the plain formulas. "products alone" are the matrix products
of a step and nothing else, by the backend's own library: compiled kernels have
products of their own for small networks. It takes less than a minute.

The whole suite, with other libraries beside bpx, memory and predictions, is
benchmarks/run.py in bpx's source.
"""
# Sizes, batch, steps per epoch.
NETWORKS = {
    "2-8-2": ((2, 8, 2), 32, 50),
    "64-100-10": ((64, 100, 10), 200, 50),
    "784-100-10": ((784, 100, 10), 200, 25),
    "784-256-128-10": ((784, 256, 128, 10), 128, 25),
    "784-2048-2048-10": ((784, 2048, 2048, 10), 512, 3),
}
# Measured on a GPU only, unless asked for: on a few cores it takes more than a minute.
LARGEST = "784-2048-2048-10"
# Seconds that one round of a contender takes, about.
ROUND = 0.08
# Seconds for all networks together. A network with slow steps gets fewer rounds than asked for, but at least FEWEST.
SECONDS, FEWEST = 40.0, 3
# The values of BPX_KERNELS in words.
WORDS = {"auto": "kernels", "numpy": "kernels of NumPy alone", "reference": "plain formulas"}
PRODUCTS = "products alone"


@dataclass
class Contender:
    """One way to do a step, in words; `rounds` are the seconds per step of the rounds measured so far."""

    backend: str
    way: str
    run: Callable[[int], float]
    repeats: int = 1
    rounds: tuple[float, ...] = ()

    @property
    def microseconds(self) -> float:
        """The median time of one step."""
        return statistics.median(self.rounds) * 1e6

    def to_dict(self) -> dict[str, Any]:
        """The measurements for ``--json``."""
        return {
            "backend": self.backend,
            "way": self.way,
            "microseconds per step": self.microseconds,
            "steps per second": 1e6 / self.microseconds,
            "rounds": [seconds * 1e6 for seconds in self.rounds],
        }


def add(sub: argparse.ArgumentParser) -> None:
    """The subcommand's options."""
    sub.add_argument("--backend", metavar="NAME", action="append", help="measure this one (default: all that work)")
    sub.add_argument("--dtype", choices=("float32", "float64"), default="float32", help="default: float32")
    sub.add_argument("--rounds", metavar="N", type=parser.count, default=5, help="default: 5")
    words = f"{', '.join(NETWORKS)} (default: all, the last one on a GPU only)"
    sub.add_argument("--network", metavar="SIZES", choices=list(NETWORKS), action="append", help=words)
    parser.describe(sub, "bpx bench [options]", DESCRIPTION, EXAMPLES, run)


def run(args: argparse.Namespace, output: Output) -> None:
    """Measure one network after the other."""
    measured, unusable = backend_option.usable(args.backend)
    if args.backend and unusable:
        raise MistakeError(next(iter(unusable.values())))
    on_gpu = any(str(backend.device) != "cpu" for backend in measured)
    names = args.network or [name for name in NETWORKS if name != LARGEST or on_gpu]
    tables, networks = [], []
    for name in names:
        output.progress(f"measuring {name}")
        contenders = _measured(name, measured, args.dtype, args.rounds)
        tables.append(_table(name, contenders, args.dtype))
        networks.append(
            {"network": name, "batch": NETWORKS[name][1], "contenders": [one.to_dict() for one in contenders]}
        )
    output.result("\n\n".join(tables), {"dtype": args.dtype, "rounds": args.rounds, "networks": networks})


def _measured(name: str, backends: list[Backend], dtype: DType, rounds: int) -> list[Contender]:
    """All contenders on one network; they take turns, so that a busy moment of the machine hits them all."""
    end = time.perf_counter() + SECONDS / len(NETWORKS)
    contenders = [contender for backend in backends for contender in _contenders(name, backend, dtype)]
    for one in contenders:
        seconds = one.run(1)  # warms up: compilation and recording happen here
        one.repeats = max(1, min(200, round(ROUND / max(seconds * NETWORKS[name][2], 1e-6))))
    for i in range(rounds):
        if i >= FEWEST and time.perf_counter() > end:
            break
        for one in contenders:
            one.rounds += (one.run(one.repeats),)
    return contenders


def _contenders(name: str, backend: Backend, dtype: DType) -> list[Contender]:
    """The contenders of a backend; where "auto" and another way are the same kernels, they are measured once."""
    with kernel_choice.using("auto"):
        found = kernel_choice.names(backend, dtype)
    ways = ["auto", "reference"] if found else ["reference"]
    if backend.xp is np:
        ways = ["auto", "numpy", "reference"] if "native" in found else ["numpy", "reference"]
    words = WORDS | ({"auto": "compiled kernels"} if backend.xp is np else {})
    training = [Contender(backend.name, words[way], _training(name, backend, way, dtype)) for way in ways]
    return [Contender(backend.name, PRODUCTS, _products(name, backend, dtype)), *training]


def _training(name: str, backend: Backend, way: str, dtype: DType) -> Callable[[int], float]:
    """A function that gives the seconds per step of n epochs of `fit`; a first epoch, with the set-up, is left out."""
    sizes, batch, steps = NETWORKS[name]
    rng = np.random.default_rng(0)
    net = MLP(sizes, dtype=dtype, backend=backend)
    X = net.asarray(rng.normal(size=(batch * steps, sizes[0])).astype(dtype))
    y = rng.integers(0, sizes[-1], batch * steps)

    def run(epochs: int) -> float:
        stamps: list[float] = []

        def stamp(_: Any) -> None:  # at an epoch's end, whose loss has been read from the device: its work is done
            stamps.append(time.perf_counter())

        with kernel_choice.using(way):
            fit(net, X, y, epochs=epochs + 1, batch_size=batch, callbacks=[stamp])
        return (stamps[-1] - stamps[0]) / (epochs * steps)

    return run


def _products(name: str, backend: Backend, dtype: DType) -> Callable[[int], float]:
    """A function that gives the seconds per step of the matrix products alone.

    Forward a W; backward aᵀ g and, except for the first layer, g Wᵀ.
    """
    sizes, batch, steps = NETWORKS[name]
    xp, kind = backend.xp, backend.dtype(dtype)
    rng = np.random.default_rng(0)

    def array(*shape: int) -> Any:
        return backend.asarray(rng.normal(size=shape).astype(dtype), kind)

    weights = [array(a, b) for a, b in pairwise(sizes)]
    outputs = [array(batch, n) for n in sizes]
    grads = [array(batch, n) for n in sizes]
    pairs = [(outputs[i], W) for i, W in enumerate(weights)]
    pairs += [(outputs[i].T, grads[i + 1]) for i in range(len(weights))]
    pairs += [(grads[i + 1], W.T) for i, W in enumerate(weights) if i > 0]
    results = [xp.matmul(a, b) for a, b in pairs]

    def run(epochs: int) -> float:
        backend.synchronize()
        start = time.perf_counter()
        for _ in range(epochs * steps):
            for i, (a, b) in enumerate(pairs):
                if xp is np:
                    np.matmul(a, b, out=results[i])
                else:
                    results[i] = xp.matmul(a, b)
        backend.synchronize()
        return (time.perf_counter() - start) / (epochs * steps)

    return run


def _table(name: str, contenders: list[Contender], dtype: DType) -> str:
    """One network's contenders as text."""
    table = TextTable((f"{name}, batch {NETWORKS[name][1]}, {dtype}", "µs per step", "steps per s", "over products"))
    products = {one.backend: one.microseconds for one in contenders if one.way == PRODUCTS}
    for one in contenders:
        table.add(
            f"{one.backend}, {one.way}", f"{one.microseconds:.1f}", f"{1e6 / one.microseconds:.0f}",
            f"{one.microseconds / products[one.backend]:.2f}",
        )  # fmt: skip
    return table.to_text()
