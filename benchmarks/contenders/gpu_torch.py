"""PyTorch on a GPU: its usual training loop, the whole step compiled, and a step's matrix products alone.

With the device "cpu" the same code runs there.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from contenders import torch_compiled
from contenders.gpu_products import arrays
from contenders.measure import Job, Measure
from contenders.on_device import HALVES, Array, Task, host_clock, measure, multiplies_in, probe, task_of
from contenders.with_torch import ACTIVATIONS

__all__ = ["epoch", "stack", "step"]

torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))


def clock_of(device: str) -> Callable[[Callable[[], Any]], float]:
    """Seconds by the device's events."""
    if device == "cpu":
        return host_clock()

    def clock(work: Callable[[], Any]) -> float:
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        work()
        end.record()
        end.synchronize()
        return start.elapsed_time(end) / 1e3

    return clock


def timed_by(device: str) -> dict[str, Any]:
    """A note of the clock, and of the library."""
    if device == "cpu":
        return {"clock": "host", "with": f"torch {torch.__version__}"}
    versions = f"torch {torch.__version__}, CUDA {torch.version.cuda}"
    return {"clock": "torch.cuda.Event", "with": f"{versions}, {torch.cuda.get_device_name()}"}


def parameters(task: Task, device: str) -> list[torch.Tensor]:
    """Weights as torch has them, the transpose, and biases."""
    found = []
    for W, b in task.layers:
        found += [torch.tensor(np.ascontiguousarray(W.swapaxes(-1, -2)), device=device), torch.tensor(b, device=device)]
    return found


def eager_module(task: Task, params: list[torch.Tensor], device: str) -> Callable[..., None]:
    """zero_grad, forward, backward, a fused Adam's step; autocast for halves, and a GradScaler for float16."""
    parts: list[nn.Module] = []
    for W, b in zip(params[::2], params[1::2], strict=True):
        linear = nn.Linear(W.shape[1], W.shape[0], device=device)
        # The network is trained in these very tensors.
        linear.weight, linear.bias = nn.Parameter(W), nn.Parameter(b)
        parts += [linear, ACTIVATIONS[task.hidden]()]
    model = nn.Sequential(*parts[:-1])
    optimizer = torch.optim.Adam(model.parameters(), 1e-3, fused=True)
    half = task.precision in HALVES
    casts = torch.autocast(device, getattr(torch, task.precision) if half else None, enabled=half)
    scaler = torch.amp.GradScaler(device) if task.precision == "float16" else None

    def step(X: torch.Tensor, y: torch.Tensor, index: torch.Tensor) -> None:
        optimizer.zero_grad()
        with casts:
            loss = functional.cross_entropy(model(X.index_select(0, index)), y.index_select(0, index))
        if scaler is None:
            loss.backward()
            optimizer.step()
        else:
            scaler.scale(loss).backward()
            scaler.step(optimizer)
            scaler.update()

    return step


def eager_stack(task: Task, params: list[torch.Tensor]) -> Callable[..., None]:
    """Gradients by torch.func.vmap, and a fused Adam."""
    optimizer = torch.optim.Adam(params, 1e-3, fused=True)
    gradients = torch_compiled.gradients(task)

    def step(X: torch.Tensor, y: torch.Tensor, index: torch.Tensor) -> None:
        grads, _ = gradients(params, X.index_select(0, index), y.index_select(0, index))
        for param, grad in zip(params, grads, strict=True):
            param.grad = grad
        optimizer.step()

    return step


def train(job: Job) -> Measure:
    """Steps of a training loop, eager or compiled."""
    device, task = "cuda" if job.device == "gpu" else "cpu", task_of(job)
    torch.set_float32_matmul_precision("high" if task.precision == "tf32" else "highest")
    compiled = job.options.get("compiled")
    a, b = (torch.tensor(x, device=device) for x in probe())
    product = torch_compiled.compiled_product() if compiled else torch.mm
    notes = timed_by(device) | multiplies_in(task.precision, lambda: product(a, b).cpu().numpy())
    X, y = torch.tensor(task.X, device=device), torch.tensor(task.y, device=device)
    if task.precision in HALVES:
        X = X.to(getattr(torch, task.precision))  # so that the gather reads half as much
    params = parameters(task, device)
    if compiled:
        step = torch_compiled.step_of(task, params, X, y, notes)
        notes["optimizer"] = "Adam written out, in the same compiled function"
    else:
        step = eager_stack(task, params) if task.stack is not None else eager_module(task, params, device)
        notes["optimizer"] = "Adam(fused=True)"

    def epoch(order: Array) -> None:
        for index in torch.from_numpy(order).to(device).split(task.batch):
            step(X, y, index)

    def layers() -> Any:
        host = [p.detach().cpu().numpy() for p in params]
        return [(W.swapaxes(-1, -2), b) for W, b in zip(host[::2], host[1::2], strict=True)]

    measured = measure(task, epoch, clock_of(device), layers, notes)
    if compiled:
        torch_compiled.check_graphs(device, notes)
    return measured


def products(job: Job) -> Measure:
    """The step's products alone; on a GPU they are captured as one graph, so that no launch is waited for."""
    device, task = "cuda" if job.device == "gpu" else "cpu", task_of(job)
    torch.set_float32_matmul_precision("high" if task.precision == "tf32" else "highest")
    dtype = getattr(torch, task.precision) if task.precision in HALVES else torch.float32
    a, b = (torch.tensor(x, device=device) for x in probe())
    clock = clock_of(device)
    notes = timed_by(device) | multiplies_in(task.precision, lambda: torch.mm(a, b).cpu().numpy())
    parts = arrays(task, lambda x: torch.tensor(x, device=device, dtype=dtype), torch.empty_like)

    def one() -> None:
        for a, b, out in parts:
            torch.mm(a, b, out=out)

    replay = one
    if device == "cuda":
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            one()
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            one()
        replay = graph.replay
        notes["launches"] = "a CUDA graph for each step"

    def several(steps: int) -> None:
        for _ in range(steps):
            replay()

    def run(repeats: int) -> float:
        clock(lambda: several(task.units))
        return clock(lambda: several(repeats * task.units))

    run(1)
    return Measure(run, task.units, notes)


def step(job: Job) -> Measure:
    """Steps, or the products of a step alone."""
    return products(job) if job.options.get("products") else train(job)


epoch = stack = step
