"""What contenders on a GPU share: the task, and the rules by which a figure counts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np
from data import digits, mean_loss, orders, samples, start_weights

from contenders.measure import Job, Measure

__all__ = ["HALVES", "Array", "Task", "host_clock", "measure", "multiplies_in", "probe", "task_of"]

Array = np.ndarray[Any, Any]

HALVES = ("float16", "bfloat16")
# A factor that TF32, with ten bits after the point, rounds to 1.
FACTOR = 1 + 2.0**-12
# Of the rows on which contenders show that they did the same work: in float64 on the host, these take a second.
SHOWN = 200


@dataclass(frozen=True)
class Task:
    """What is trained, on the host.

    Parameters
    ----------
    X, y : arrays of shape (n, n_in) and (n,)
    layers : sequence of (W, b)
        To start from; of shape (K, n_in, n_out) and (K, n_out) where there is a stack of K networks.
    batch : int
    units : int
        Steps of an epoch, or 1 where the figure is an epoch.
    hidden, precision : str
    stack : int or None
    notes : dict
        What there is to say of the data.
    """

    X: Array
    y: Array
    layers: Sequence[tuple[Array, Array]]
    batch: int
    units: int
    hidden: str
    precision: str
    stack: int | None
    notes: dict[str, Any]

    @property
    def sizes(self) -> list[int]:
        """Of each batch of an epoch; the last may be smaller."""
        return [min(self.batch, len(self.X) - start) for start in range(0, len(self.X), self.batch)]

    def loss(self, layers: Sequence[tuple[Any, Any]]) -> dict[str, float]:
        """A note of the loss (of a stack's first network): contenders that did the same work have the same."""
        if self.stack is not None:
            layers = [(W[0], b[0]) for W, b in layers]
        flat = [(np.asarray(W, np.float64), np.asarray(b, np.float64).reshape(-1)) for W, b in layers]
        return {"loss": mean_loss(flat, self.hidden, self.X[:SHOWN], self.y[:SHOWN])}


def task_of(job: Job) -> Task:
    """The workload's data and weights, the same for all."""
    o, notes = job.workload.options, {}
    sizes, is_epoch = o["sizes"], job.workload.kind == "epoch"
    stack = o["stack"] if job.workload.kind == "stack" else None
    rows = o["rows"] if is_epoch and "rows" in o else o["batch"] * o.get("steps", 0)
    if o.get("data") == "digits":
        try:
            X, y = digits("float32")
        except ImportError:
            X, y = samples(1797, 64, 10, "float32")
            notes["data"] = "as many synthetic rows, because scikit-learn is not installed"
    else:
        X, y = samples(rows, sizes[0], sizes[-1], "float32")
    layers = start_weights(sizes, "float32")
    if stack is not None:
        # Each network starts elsewhere, the first where a single one does.
        shifts = np.arange(stack, dtype=np.float32)[:, None, None] / (10 * stack)
        layers = [(W + shifts * W, np.zeros((stack, b.size), np.float32)) for W, b in layers]
    units = 1 if is_epoch else o["steps"]
    return Task(X, y, layers, o["batch"], units, o["hidden"], o["precision"], stack, notes)


def measure(
    task: Task,
    epoch: Callable[[Array], Any],
    clock: Callable[[Callable[[], Any]], float],
    layers: Callable[[], Sequence[tuple[Any, Any]]],
    notes: dict[str, Any],
) -> Measure:
    """A `Measure` of epochs, after two that warm up.

    Parameters
    ----------
    task : Task
        What is trained.
    epoch : callable
        Trains for an epoch in the order given; nothing need be done when it returns.
    clock : callable
        Seconds until the device has done some work.
    layers : callable
        Weights and biases, on the host.
    notes : dict
        What there is to say of the contender.
    """
    rng = orders()

    def one() -> None:
        epoch(rng.permutation(len(task.X)))

    def several(repeats: int) -> None:
        for _ in range(repeats):
            one()

    def run(repeats: int) -> float:
        clock(one)  # not counted: a device that was idle is slow at first
        return clock(lambda: several(repeats))

    clock(lambda: several(2))
    return Measure(run, task.units, {**task.notes, **notes, **task.loss(layers())})


def host_clock(wait: Callable[[], Any] = lambda: None) -> Callable[[Callable[[], Any]], float]:
    """A clock of the host; `wait` returns when the device has done everything."""

    def clock(work: Callable[[], Any]) -> float:
        wait()
        start = perf_counter()
        work()
        wait()
        return perf_counter() - start

    return clock


def probe() -> tuple[Array, Array]:
    """Two matrices whose product shows how it was computed."""
    return np.full((256, 256), FACTOR, np.float32), np.eye(256, dtype=np.float32)


def multiplies_in(precision: str, product: Callable[[], Any]) -> dict[str, str]:
    """A note of the precision in which float32 products are computed.

    Parameters
    ----------
    precision : str
        The workload's; where it is float32, another one is an error.
    product : callable
        The product of `probe`, on the host.

    Raises
    ------
    RuntimeError
        If float32 is wanted and not what is done.
    """
    if precision in HALVES:
        return {}
    error = float(np.max(np.abs(np.asarray(product()) - FACTOR)))
    found = "float32" if error < (FACTOR - 1) / 8 else "tf32"
    if precision == "float32" and found != precision:
        raise RuntimeError(f"its products are not true float32: {FACTOR:.6f} became {FACTOR - error:.6f}")
    return {"products": found}
