"""Data-parallel training: a step on one rank and on two, the sum over ranks alone, and the step's parts alone."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np
from contenders.with_bpx import network
from data import mean_loss, samples, start_weights
from workloads import n_params

import bpx
from bpx.formulas import updates
from bpx.kernels.select import for_backend
from scaling import run

__all__ = ["parts", "reduce", "train"]


def train(sizes: list[int], batch: int, steps: int) -> dict[str, Any] | None:
    """Seconds of a step of the second epoch of `bpx.fit`, by rank 0's clock, and the loss after both."""
    from mpi4py import MPI

    X, y = samples(batch * steps, sizes[0], sizes[-1], "float32")
    layers = start_weights(sizes, "float32")
    net = network(sizes, layers, dtype="float32")
    stamps: list[float] = []
    bpx.fit(
        net, X, y, optimizer=bpx.Adam(1e-3), batch_size=batch, epochs=2, comm="mpi",
        callbacks=[lambda _: stamps.append(perf_counter())],
    )  # fmt: skip
    if MPI.COMM_WORLD.Get_rank():
        return None
    trained = list(zip(net.weights, net.biases, strict=True))
    return {
        "seconds": (stamps[1] - stamps[0]) / steps,
        "loss": mean_loss(trained, "relu", X, y),
        "ranks": MPI.COMM_WORLD.Get_size(),
    }


def reduce(sizes: list[int], seconds: float) -> dict[str, Any] | None:
    """Seconds of an all-reduce in place of float32, for messages of so many bytes; the slowest rank's."""
    from mpi4py import MPI

    comm, answer = MPI.COMM_WORLD, {}
    for size in sizes:
        message = np.ones(size // 4, dtype=np.float32)
        repeats = 1
        for _ in range(2):  # first to find how many repeats a round takes, then to time it
            comm.Barrier()
            start = perf_counter()
            for _ in range(repeats):
                message[0] = 1.0
                comm.Allreduce(MPI.IN_PLACE, message)
            spent = comm.allreduce(perf_counter() - start, MPI.MAX) / repeats
            message[...] = 1.0  # sums of sums would overflow
            if repeats == 1:
                repeats = max(2, min(60, int(seconds / spent)))
        answer[str(size)] = spent
    return None if comm.Get_rank() else answer


def parts(sizes: list[int], batch: int, repeats: int) -> dict[str, float]:
    """Seconds of what a step consists of: products of a whole and of half a batch, update, and the passes between."""
    params = n_params(tuple(sizes))
    answer = {f"products of {rows} rows": _products(sizes, rows, repeats) for rows in (batch, batch // 2)}
    rng = np.random.default_rng(0)
    grads = rng.standard_normal(params, dtype=np.float32)
    net = bpx.MLP(sizes, backend="numpy")
    optimizer = bpx.Adam(1e-3)
    flat, state = net.flat, optimizer.init(net.flat)
    equations = for_backend(net.backend, net.dtype).module(updates)  # as `bpx.fit` computes it

    def update() -> None:
        nonlocal flat, state
        flat, state = optimizer.update(grads, state, flat, equations=equations)

    answer["update"] = _timed(update, repeats)
    one, other = grads.copy(), np.empty_like(grads)
    answer["copy of the parameters"] = _timed(lambda: np.copyto(other, one), repeats)
    return answer


def _products(sizes: list[int], rows: int, repeats: int) -> float:
    """The matrix products of a step, into arrays that are there."""
    layers = list(pairwise(sizes))
    weights = [W for W, _ in start_weights(sizes, "float32")]
    outputs = [np.ones((rows, n), np.float32) for n in sizes]
    grads = [np.ones_like(a) for a in outputs]
    weight_grads = [np.empty_like(W) for W in weights]

    def work() -> None:
        for layer in range(len(layers)):
            np.matmul(outputs[layer], weights[layer], out=outputs[layer + 1])
        for layer in reversed(range(len(layers))):
            np.matmul(outputs[layer].T, grads[layer + 1], out=weight_grads[layer])
            if layer:
                np.matmul(grads[layer + 1], weights[layer].T, out=grads[layer])
        for a in (*outputs, *grads):
            a[...] = 1.0  # products of products would overflow

    return _timed(work, repeats)


def _timed(work: Callable[[], Any], repeats: int) -> float:
    """The median of some runs after one that does not count."""
    work()
    spent = []
    for _ in range(repeats):
        start = perf_counter()
        work()
        spent.append(perf_counter() - start)
    return median(spent)


if __name__ == "__main__":
    run({"train": train, "reduce": reduce, "parts": parts})
