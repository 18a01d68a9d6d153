"""bpx through its public names; the environment variable BPX_KERNELS says which kernels it may use."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from time import perf_counter
from typing import Any

import numpy as np
from data import digits, many_rows, mean_loss, moons, samples, start_weights, xor

import bpx
from contenders import estimators
from contenders.measure import Job, Measure, peak_above_output, peak_memory, timed
from contenders.whole_processes import first_fit, import_time, whole_process

__all__ = [
    "cg", "first_fit", "fit", "full_batch", "import_time", "memory", "online", "online_momentum", "predict",
    "predict_estimator", "stack", "step", "sweep", "whole_process",
]  # fmt: skip


def optimizer(name: str) -> Any:
    """With the hyperparameters that all contenders use."""
    return bpx.Adam(1e-3) if name == "adam" else bpx.SGD(0.01, momentum=0.9)


def network(sizes: Any, layers: Any, **options: Any) -> bpx.MLP:
    """A network that starts from those weights."""
    net = bpx.MLP(sizes, backend="numpy", **options)
    for i, (W, b) in enumerate(layers):
        net.set_params({f"{i}.W": W, f"{i}.b": b})
    return net


class StepEnds(bpx.Callback):
    """The time at every step's end."""

    def __init__(self) -> None:
        self.stamps: list[float] = []

    def on_step_end(self, run: Any) -> None:
        """Note it."""
        del run
        self.stamps.append(perf_counter())


def train(net: bpx.MLP, X: Any, y: Any, o: Any, epochs: int) -> float:
    """Train for one epoch and then for so many more; the seconds that those took.

    An epoch's end is seen by a callback, so that what a fit does once, and its first steps, are left out.
    """
    stamps: list[float] = []
    options = {"optimizer": optimizer(o["optimizer"]), "batch_size": o["batch"]}
    bpx.fit(net, X, y, epochs=epochs + 1, callbacks=[lambda _: stamps.append(perf_counter())], **options)
    return stamps[-1] - stamps[0]


def train_few(net: bpx.MLP, X: Any, y: Any, o: Any, epochs: int) -> float:
    """The same for epochs of few long steps, whose share of an epoch's end would be too large: timed step by step."""
    seconds = 0.0
    for _ in range(epochs):
        ends = StepEnds()
        bpx.fit(net, X, y, optimizer=optimizer(o["optimizer"]), batch_size=o["batch"], epochs=1, callbacks=[ends])
        seconds += (ends.stamps[-1] - ends.stamps[0]) * len(ends.stamps) / (len(ends.stamps) - 1)
    return seconds


def step(job: Job) -> Measure:
    """Steps of `bpx.fit`."""
    o = job.workload.options
    X, y = samples(o["batch"] * o["steps"], o["sizes"][0], o["sizes"][-1], o["dtype"])
    net = network(o["sizes"], start_weights(o["sizes"], o["dtype"]), hidden=o["hidden"], dtype=o["dtype"])
    train(net, X, y, o, 1)
    layers = list(zip(net.weights, net.biases, strict=True))
    chosen = train if o["steps"] >= 20 else train_few
    notes = {"loss": mean_loss(layers, o["hidden"], X, y)}
    return Measure(lambda repeats: chosen(net, X, y, o, repeats), o["steps"], notes)


def stack(job: Job) -> Measure:
    """One step of all networks: as a stack, or one fit after the other."""
    o = job.workload.options
    X, y = samples(o["batch"] * o["steps"], o["sizes"][0], o["sizes"][-1], o["dtype"])
    options = {"hidden": o["hidden"], "dtype": o["dtype"], "backend": "numpy"}
    if job.options.get("separate"):
        nets = [bpx.MLP(o["sizes"], seed=k, **options) for k in range(o["stack"])]
    else:
        nets = [bpx.MLP(o["sizes"], stack=o["stack"], **options)]
    return Measure(lambda repeats: sum(train(net, X, y, o, repeats) for net in nets), o["steps"])


def sweep(job: Job) -> Measure:
    """All settings at once, or one fit after the other, with the same rows held out."""
    o = job.workload.options
    X, y = samples(o["batch"] * o["steps"], o["sizes"][0], o["sizes"][-1], o["dtype"])
    held_out = len(X) // 5
    rates = np.geomspace(1e-4, 1e-2, o["settings"] // 8).tolist()
    grid = {"learning_rate": rates, "l2": [0.0, 1e-4], "seed": [0, 1, 2, 3]}
    options = {"epochs": o["epochs"], "batch_size": o["batch"]}
    train, test = (X[held_out:], y[held_out:]), (X[:held_out], y[:held_out])

    def make(seed: int) -> bpx.MLP:
        return bpx.MLP(o["sizes"], dtype=o["dtype"], backend="numpy", seed=seed)

    def together() -> None:
        bpx.sweep(make, grid, *train, optimizer=bpx.Adam(), validation=test, refit=False, **options)

    def separately() -> None:
        for rate, l2, seed in product(*grid.values()):
            net = make(int(seed))
            bpx.fit(net, *train, optimizer=bpx.Adam(rate), l2=l2, **options)
            net(test[0])

    work = separately if job.options.get("separate") else together
    return Measure(timed(work))


def memory(job: Job) -> Measure:
    """Peak of a fit of two epochs; a tiny one before it loads what is loaded at first use."""
    o = job.workload.options
    X, y = samples(o["batch"] * o["steps"], o["sizes"][0], o["sizes"][-1], o["dtype"])
    first_X, first_y = samples(4, 2, 2, o["dtype"])
    train(bpx.MLP([2, 3, 2], dtype=o["dtype"], backend="numpy"), first_X, first_y, o, 1)

    def work() -> None:
        layers = start_weights(o["sizes"], o["dtype"])
        train(network(o["sizes"], layers, hidden=o["hidden"], dtype=o["dtype"]), X, y, o, 1)

    return Measure(lambda _: peak_memory(work)[0])


def fit(job: Job) -> Measure:
    """The estimator's whole fit."""
    return estimators.fit(bpx.MLPClassifier, job, backend="numpy")


def from_start(net: bpx.MLP, work: Callable[[], Any]) -> Callable[[int], float]:
    """A `Measure.run` of trainings that all begin with the same weights."""
    start = net.flat.copy()

    def run(repeats: int) -> float:
        seconds = 0.0
        for _ in range(repeats):
            net.flat[...] = start
            seconds += timed(work)(1)
        return seconds

    return run


def online(job: Job) -> Measure:
    """Article 000's network and training."""
    X, y = xor()
    net = bpx.MLP(
        [2, 3, 1], hidden="tanh", output="tanh", bias=[True, False], init=bpx.initializers.uniform(0.25),
        dtype="float64", backend="numpy",
    )  # fmt: skip
    options = {"loss": "squared_error", "optimizer": bpx.SGD(0.2), "batch_size": 1, "sampling": "replacement"}
    return Measure(from_start(net, lambda: bpx.fit(net, X, y, epochs=job.workload.options["steps"] // 4, **options)))


def online_momentum(job: Job) -> Measure:
    """Article 003's training, with classical momentum; perhaps with somebody who looks at each epoch's loss."""
    X, y = xor()
    net = bpx.MLP(
        [2, 3, 1], hidden="tanh", output="tanh", init=bpx.initializers.uniform(0.2), dtype="float64", backend="numpy"
    )
    options = {"loss": "squared_error", "optimizer": bpx.SGD(0.1, momentum=0.1), "batch_size": 1}
    options["sampling"] = "sequential"
    seen: list[float] = []
    if job.workload.options["watched"]:
        options["callbacks"] = [lambda run: seen.append(run.loss)]
    return Measure(from_start(net, lambda: bpx.fit(net, X, y, epochs=job.workload.options["steps"] // 4, **options)))


def full_batch(job: Job) -> Measure:
    """Article 001's network and training."""
    o = job.workload.options
    X, y = moons(o["rows"])
    net = network(o["sizes"], start_weights(o["sizes"], "float64"), hidden="tanh", output="sigmoid", dtype="float64")
    options = {"loss": "binary_cross_entropy", "optimizer": bpx.SGD(0.1), "batch_size": None}
    notes: dict[str, Any] = {}

    def work() -> None:
        notes["loss"] = bpx.fit(net, X, y, epochs=o["steps"], **options).loss[-1]

    return Measure(from_start(net, work), notes=notes)


def cg(job: Job) -> Measure:
    """Article 002's network and training."""
    o = job.workload.options
    X, y = digits("float64")
    net = network(o["sizes"], start_weights(o["sizes"], "float64"), hidden="sigmoid", output="sigmoid", dtype="float64")
    notes: dict[str, Any] = {}

    def work() -> None:
        history = bpx.fit(net, X, y, loss="binary_cross_entropy", optimizer="cg", epochs=o["iterations"], l2=1 / len(X))
        notes["loss"] = history.loss[-1]

    return Measure(from_start(net, work), notes=notes)


def predict(job: Job) -> Measure:
    """Outputs of the network."""
    o = job.workload.options
    X = many_rows(o["rows"], o["sizes"][0], o["dtype"], job.scratch)
    net = network(o["sizes"], start_weights(o["sizes"], o["dtype"]), dtype=o["dtype"])
    net(X[:1000])
    return Measure(timed(lambda: net(X)), notes=peak_above_output(lambda: net(X)))


def predict_estimator(job: Job) -> Measure:
    """Class probabilities of the estimator."""
    return estimators.predict_proba(bpx.MLPClassifier, job, backend="numpy")
