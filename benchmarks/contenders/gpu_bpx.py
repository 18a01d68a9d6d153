"""bpx on CuPy through its public names; the environment variable BPX_KERNELS says how it computes.

With the device "cpu" it runs on NumPy.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from time import perf_counter
from typing import Any

import numpy as np

import bpx
from contenders.gpu_products import library, timed_by
from contenders.measure import Job, Measure
from contenders.on_device import Task, multiplies_in, probe, task_of

__all__ = ["epoch", "stack", "step"]


class Said(logging.Handler):
    """Keeps what bpx logs of its kernels, such as why steps are not captured."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.lines: dict[str, None] = {}

    def emit(self, record: logging.LogRecord) -> None:
        """Note it once."""
        self.lines[record.getMessage()] = None


class EpochEnds:
    """A callback that stamps the end of every epoch: an event on the device, or the host's time."""

    def __init__(self, xp: Any) -> None:
        self._xp, self._stamps = xp, []

    def __call__(self, run: Any) -> None:
        """One more."""
        del run
        if self._xp is np:
            self._stamps.append(perf_counter())
            return
        event = self._xp.cuda.Event()
        event.record()
        self._stamps.append(event)

    def seconds_after(self, epochs: int) -> float:
        """From the end of so many epochs to the end of all."""
        first, last = self._stamps[epochs - 1], self._stamps[-1]
        if self._xp is np:
            return last - first
        last.synchronize()
        return float(self._xp.cuda.get_elapsed_time(first, last)) / 1e3


def own_precision(precision: str) -> dict[str, str]:
    """Arguments of `bpx.fit`."""
    return {} if precision == "float32" else {"precision": precision}


def train(net: bpx.MLP, X: Any, y: Any, task: Task, first: int, epochs: int, xp: Any) -> float:
    """Train for some epochs and then for so many more; the seconds that those took.

    What a fit does once is left out, and captures among it: a step is captured when it comes for the second time, which
    for the last batch of an epoch is in the second.
    """
    ends = EpochEnds(xp)
    bpx.fit(
        net, X, y, optimizer=bpx.Adam(1e-3), batch_size=task.batch, epochs=first + epochs, callbacks=[ends],
        **own_precision(task.precision),
    )  # fmt: skip
    return ends.seconds_after(first)


def count_captures(xp: Any) -> list[None]:
    """An entry for each CUDA graph that is captured from now on."""
    found: list[None] = []
    if xp is not np:
        end_capture = xp.cuda.Stream.end_capture

        def counted(stream: Any) -> Any:
            graph = end_capture(stream)
            found.append(None)
            return graph

        xp.cuda.Stream.end_capture = counted
    return found


def backend(job: Job) -> Any:
    """The device's; where it cannot work, an error and no other one."""
    return bpx.get_backend("numpy" if job.device == "cpu" else "cupy", strict=True)


def network(job: Job, task: Task, layers: Sequence[tuple[Any, Any]], stacked: int | None) -> bpx.MLP:
    """A network that starts from those weights."""
    sizes = [layers[0][0].shape[-2]] + [W.shape[-1] for W, _ in layers]
    net = bpx.MLP(sizes, hidden=task.hidden, dtype="float32", stack=stacked, backend=backend(job))
    for i, (W, b) in enumerate(layers):
        net.set_params({f"{i}.W": W, f"{i}.b": b})
    return net


def fitted_product(job: Job, task: Task) -> Any:
    """The product of `probe` as a training step computes it, found from the loss of predicting 1 by one layer."""
    a, b = probe()
    net = bpx.MLP([len(b), len(b)], output="identity", dtype="float32", backend=backend(job))
    net.set_params({"0.W": b, "0.b": np.zeros(len(b), np.float32)})
    X, y = net.asarray(np.concatenate([a, a])), net.asarray(np.ones((2 * len(a), len(b)), np.float32))
    history = bpx.fit(
        net, X, y, loss="squared_error", optimizer=bpx.SGD(1e-12), batch_size=len(a), epochs=1, sampling="sequential",
        **own_precision(task.precision),
    )  # fmt: skip
    return 1 + (2 * history.loss[0] / len(b)) ** 0.5


def step(job: Job) -> Measure:
    """Steps of `bpx.fit`, or whole epochs of it; of a stack, or of some of its networks one after the other."""
    said = Said()
    logger = logging.getLogger("bpx.kernels")
    logger.addHandler(said)
    logger.setLevel(logging.INFO)
    xp, task = library(job.device), task_of(job)
    notes = task.notes | timed_by(xp) | multiplies_in(task.precision, lambda: fitted_product(job, task))
    X, y = xp.asarray(task.X), xp.asarray(task.y)
    factor = 1.0
    if job.options.get("separate"):
        assert task.stack is not None
        timed = job.workload.options["timed"]
        nets = [network(job, task, [(W[k], b[k]) for W, b in task.layers], None) for k in range(timed)]
        factor = task.stack / timed
        notes["multiplied"] = f"{timed} of {task.stack} runs were timed, and their time multiplied by {factor:g}"
    else:
        nets = [network(job, task, task.layers, task.stack)]

    def run(repeats: int) -> float:
        return factor * sum(train(net, X, y, task, 2, repeats, xp) for net in nets)

    captures = count_captures(xp)
    for net in nets:
        train(net, X, y, task, 1, 1, xp)
    if xp is not np:
        notes["launches"] = f"CUDA graphs captured: {len(captures)}" if captures else "kernel by kernel"
    host = nets[0].to("numpy")
    layers = [(np.array(W), np.array(b)) for W, b in zip(host.weights, host.biases, strict=True)]
    if job.options.get("separate"):
        layers = [(W[None], b[None]) for W, b in layers]
    if said.lines:
        notes["log"] = list(said.lines)
    return Measure(run, task.units, notes | task.loss(layers))


epoch = stack = step
