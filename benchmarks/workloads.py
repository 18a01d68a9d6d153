"""What is measured: every workload by name, and which of them the default run takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise, product
from math import prod
from typing import Any

__all__ = ["ALL", "DEFAULT", "HEADLINE", "MAIN", "Workload", "n_params"]

# Network, batch, steps per epoch. The largest has fewer steps, so that a round takes a second, not ten.
NETWORKS = {
    "2-8-2": ((2, 8, 2), 32, 50),
    "64-100-10": ((64, 100, 10), 200, 50),
    "784-100-10": ((784, 100, 10), 200, 50),
    "784-256-128-10": ((784, 256, 128, 10), 128, 50),
    "784-2048-2048-10": ((784, 2048, 2048, 10), 512, 5),
}
MIDDLE = ("64-100-10", "784-100-10", "784-256-128-10")
ACTIVATIONS = {"relu": "ReLU", "tanh": "tanh", "sigmoid": "sigmoid"}
OPTIMIZERS = {"adam": "Adam", "sgd": "SGD with momentum"}
DTYPES = ("float32", "float64")

BPX = ("bpx", "bpx on NumPy")
STEP_PEERS = ("torch", "torch.compile", "JAX", "JAX scan", "scikit-learn")


@dataclass(frozen=True)
class Workload:
    """One thing to measure, the same for all its contenders.

    Parameters
    ----------
    name : str
        What ``--only`` takes.
    kind : str
        The function of a contender's module that prepares it.
    title : str
        The line above its table.
    contenders : tuple of str
        Who takes part.
    peers : tuple of str
        The best of them is what bpx is compared with.
    unit : str
        ``"µs"``, ``"ms"``, ``"s"`` or ``"MB"``; per step, run or call, as the title says.
    seconds : float
        A round lasts at least that long: it repeats the work as often as needed.
    warm : bool
        Whether unmeasured runs come before the first round, and find the number of repeats.
    threads : int, optional
        Of each contender, in place of the run's.
    fresh : bool
        Whether every round has a new process.
    rounds : int, optional
        At most so many, where no bound is on it.
    versus : mapping of str to str
        A contender whose only peer is the one named.
    floors : tuple of str
        The least of them is what nobody can be below.
    options : mapping
        Sizes, dtype and so on, for the contenders.
    quick : mapping
        Options that ``--quick`` puts in the place of these.
    """

    name: str
    kind: str
    title: str
    contenders: tuple[str, ...]
    peers: tuple[str, ...] = ()
    unit: str = "ms"
    seconds: float = 0.0
    warm: bool = True
    threads: int | None = None
    fresh: bool = False
    rounds: int | None = None
    versus: Mapping[str, str] = field(default_factory=dict)
    floors: tuple[str, ...] = ("floor",)
    options: Mapping[str, Any] = field(default_factory=dict)
    quick: Mapping[str, Any] = field(default_factory=dict)


def n_params(sizes: tuple[int, ...]) -> int:
    """Weights and biases of a network."""
    return sum((a + 1) * b for a, b in pairwise(sizes))


def step(network: str, hidden: str, optimizer: str, dtype: str, threads: int | None = None) -> Workload:
    """Time of one training step."""
    sizes, batch, steps = NETWORKS[network]
    bounded = (hidden, optimizer) == ("relu", "adam")
    threaded = "" if threads is None else f", {threads} thread{'s' if threads > 1 else ''}"
    return Workload(
        name=f"step-{network}-{hidden}-{optimizer}-{dtype}{threaded.replace(', ', '-').replace(' ', '-')}",
        kind="step",
        title=f"One step: {network}, batch {batch}, {ACTIVATIONS[hidden]}, {OPTIMIZERS[optimizer]}, {dtype}{threaded}",
        contenders=("floor", "products", *BPX, *STEP_PEERS) if bounded else ("floor", *BPX, *STEP_PEERS),
        threads=threads,
        peers=STEP_PEERS,
        unit="µs",
        seconds=0.1,
        rounds=None if bounded else 3,
        warm=steps >= 20,  # preparing has trained for two epochs, long enough where an epoch is long
        options={
            "sizes": sizes, "batch": batch, "steps": steps, "hidden": hidden, "optimizer": optimizer, "dtype": dtype,
        },
    )  # fmt: skip


def fit(data: str, hidden: int, epochs: int, dtype: str) -> Workload:
    """A whole fit by the estimators."""
    rows = {"digits": "1 797 digits, 64-100-10", "784": "5 000 rows of 784, 784-100-10"}[data]
    return Workload(
        name=f"fit-{data}-{dtype}",
        kind="fit",
        title=f"MLPClassifier.fit: {rows}, batch 200, {epochs} epochs, {dtype}",
        contenders=(*BPX, "scikit-learn"),
        peers=("scikit-learn",),
        options={"data": data, "hidden": hidden, "epochs": epochs, "dtype": dtype},
    )


def predict(rows: int, dtype: str) -> Workload:
    """Outputs of 784-100-10."""
    large = rows == 1_000_000
    return Workload(
        name=f"predict-{rows}-{dtype}",
        kind="predict",
        title=f"Predict {rows} row{'s' if rows > 1 else ''} of 784-100-10, {dtype}",
        contenders=("floor", *BPX, "torch", "JAX", "scikit-learn"),
        peers=("torch", "JAX", "scikit-learn"),
        unit="ms" if large else "µs",
        seconds=0.0 if large else 0.1,
        warm=not large,  # its peak of memory has been measured before
        options={"rows": rows, "sizes": (784, 100, 10), "dtype": dtype},
    )


def predict_estimator(rows: int) -> Workload:
    """Class probabilities by the estimators."""
    return Workload(
        name=f"predict-{rows}-estimator",
        kind="predict_estimator",
        title=f"MLPClassifier.predict_proba of {rows} row{'s' if rows > 1 else ''} of 784-100-10, float32",
        contenders=(*BPX, "scikit-learn"),
        peers=("scikit-learn",),
        unit="µs",
        seconds=0.1,
        options={"rows": rows, "sizes": (784, 100, 10), "dtype": "float32"},
    )


def memory(network: str, dtype: str) -> Workload:
    """Peak memory of a training run."""
    sizes, batch, steps = NETWORKS[network]
    return Workload(
        name=f"memory-{network}-{dtype}",
        kind="memory",
        title=f"Peak memory of two epochs above data and libraries: {network}, batch {batch}, Adam, {dtype}",
        contenders=(*BPX, *STEP_PEERS),
        peers=STEP_PEERS,
        unit="MB",
        warm=False,
        fresh=True,
        rounds=2,
        options={
            "sizes": sizes, "batch": batch, "steps": steps, "hidden": "relu", "optimizer": "adam", "dtype": dtype,
        },
    )  # fmt: skip


OTHERS = [
    Workload(
        name="online-2-3-1",
        kind="online",
        title="Online, 2-3-1, XOR, tanh, SGD: 10 000 steps on samples drawn with replacement (article 000)",
        contenders=(*BPX, "article 000"),
        peers=("article 000",),
        options={"steps": 10_000},
    ),
    Workload(
        name="online-momentum-2-3-1",
        kind="online_momentum",
        title="Online, 2-3-1, XOR, tanh, SGD with momentum: 10 000 steps in order (article 003)",
        contenders=(*BPX, "article 003", "article 003 in NumPy", "JAX scan"),
        peers=("article 003", "article 003 in NumPy", "JAX scan"),
        options={"steps": 10_000, "watched": False},
    ),
    Workload(
        name="online-momentum-2-3-1-watched",
        kind="online_momentum",
        title="The same with a callback at each epoch's end, after every four steps",
        contenders=(*BPX, "article 003", "article 003 in NumPy", "JAX scan"),
        peers=("article 003", "article 003 in NumPy", "JAX scan"),
        options={"steps": 10_000, "watched": True},
    ),
    Workload(
        name="full-batch-2-50-2",
        kind="full_batch",
        title="Full batch, 2-50-2, 60 rows, tanh to sigmoid: 2 000 steps (article 001)",
        contenders=(*BPX, "article 001"),
        peers=("article 001",),
        options={"steps": 2_000, "sizes": (2, 50, 2), "rows": 60},
    ),
    Workload(
        name="stack-64",
        kind="stack",
        title="64 networks 2-8-2, batch 32, ReLU, Adam, float32: one step of all, as a stack or one after the other",
        contenders=(*BPX, "bpx, separate runs", "bpx on NumPy, separate runs", "JAX", "JAX scan"),
        versus={"bpx": "bpx, separate runs", "bpx on NumPy": "bpx on NumPy, separate runs"},
        unit="µs",
        seconds=0.2,
        options={
            "stack": 64, "sizes": (2, 8, 2), "batch": 32, "steps": 50, "hidden": "relu", "optimizer": "adam",
            "dtype": "float32",
        },
    ),
    Workload(
        name="sweep-64",
        kind="sweep",
        title="64 settings of 64-100-10, batch 200, 3 epochs of 8 000 rows: bpx.sweep, or one fit after the other",
        contenders=(*BPX, "bpx, separate runs"),
        versus={"bpx": "bpx, separate runs"},
        unit="s",
        options={
            "settings": 64, "sizes": (64, 100, 10), "batch": 200, "steps": 50, "epochs": 3, "dtype": "float32",
        },
        quick={"settings": 8, "steps": 5, "epochs": 1},
    ),
    Workload(
        name="cg-digits",
        kind="cg",
        title="Conjugate gradients, 1 797 digits, 64-25-10, penalty, 100 iterations (article 002)",
        contenders=(*BPX, "plain SciPy"),
        peers=("plain SciPy",),
        options={"sizes": (64, 25, 10), "iterations": 100},
    ),
    Workload(
        name="cg-digits-loops",
        kind="cg",
        title="The same, 5 iterations, with article 002's loop over samples",
        contenders=(*BPX, "plain SciPy", "article 002"),
        peers=("article 002",),
        options={"sizes": (64, 25, 10), "iterations": 5},
    ),
    Workload(
        name="import",
        kind="import_time",
        title="Import: whole processes; the floor imports NumPy",
        contenders=("floor", "python", "bpx", "torch", "JAX", "scikit-learn"),
        peers=("torch", "JAX", "scikit-learn"),
        rounds=3,
    ),
    Workload(
        name="first-use",
        kind="first_fit",
        title="First fit of a new process (one epoch of 2-8-2), without its imports",
        contenders=BPX,
        warm=False,
    ),
    Workload(
        name="process-digits",
        kind="whole_process",
        title="A whole process: imports, and 20 epochs of 1 797 digits, 64-100-10, batch 200, Adam, float32",
        contenders=(*BPX, "scikit-learn"),
        peers=("scikit-learn",),
        options={"epochs": 20},
        quick={"epochs": 2},
    ),
]  # fmt: skip

NETWORKS_OF_ONE_THREAD = ("2-8-2", *MIDDLE)
HEADLINE = [step(network, "relu", "adam", dtype) for network, dtype in product(NETWORKS, DTYPES)]
_ONE_THREAD = [step(name, "relu", "adam", dtype, 1) for name, dtype in product(NETWORKS_OF_ONE_THREAD, DTYPES)]
_MIDDLE = [
    step(network, hidden, optimizer, "float32")
    for network, (hidden, optimizer) in product(MIDDLE, [("tanh", "adam"), ("sigmoid", "adam"), ("relu", "sgd")])
]
_FITS = [fit("digits", 100, 20, dtype) for dtype in DTYPES] + [fit("784", 100, 5, dtype) for dtype in DTYPES]
_PREDICT = [predict(rows, "float32") for rows in (1, 100, 1000, 1_000_000)]
_PREDICT += [predict_estimator(rows) for rows in (1, 100, 1000)]
_REST = [
    step(*combination) for combination in product(NETWORKS, ACTIVATIONS, OPTIMIZERS, DTYPES)
] + [predict(rows, "float64") for rows in (1, 100, 1000, 1_000_000)]  # fmt: skip

DEFAULT = {
    w.name: w
    for w in [
        *HEADLINE, *_ONE_THREAD, *_MIDDLE, *_FITS, *_PREDICT, *OTHERS, memory("784-256-128-10", "float32"),
    ]
}  # fmt: skip
ALL = DEFAULT | {w.name: w for w in _REST if w.name not in DEFAULT}
# The rows of the picture, by number of parameters.
MAIN = [w for w in HEADLINE if w.options["dtype"] == "float32"]

assert prod(map(len, (NETWORKS, ACTIVATIONS, OPTIMIZERS, DTYPES))) == sum(
    w.kind == "step" and w.threads is None for w in ALL.values()
)
