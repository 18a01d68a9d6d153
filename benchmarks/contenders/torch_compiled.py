"""A whole training step as one function compiled by ``torch.compile(mode="max-autotune")``, with CUDA graphs."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch.nn import functional

from contenders.on_device import HALVES, Task
from contenders.with_torch import FUNCTIONS

__all__ = ["check_graphs", "compiled_product", "gradients", "step_of"]

# Of the loss in float16, so that small gradients are not rounded to zero.
SCALE = 1024.0
# Runs before a capture: kernels are compiled and chosen in the first.
WARM = 3
# The second is for what the first cannot compile; both capture.
MODES = ("max-autotune", "reduce-overhead")


@cache
def compiled_product() -> Callable[..., torch.Tensor]:
    """The probe's product, compiled as the step's are."""
    return torch.compile(torch.mm, mode="max-autotune-no-cudagraphs", dynamic=False)


def gradients(task: Task) -> Callable[..., Any]:
    """``f(params, X, y)`` -> gradients in float32 and the loss; of each network where there is a stack."""
    half = getattr(torch, task.precision) if task.precision in HALVES else torch.float32
    scale = SCALE if task.precision == "float16" else 1.0
    activation = FUNCTIONS[task.hidden]

    def loss(params: list[torch.Tensor], a: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        for i in range(0, len(params) - 2, 2):
            a = activation(functional.linear(a, params[i].to(half), params[i + 1].to(half)))
        logits = functional.linear(a, params[-2].to(half), params[-1].to(half))
        return scale * functional.cross_entropy(logits.float(), y)

    found = torch.func.grad_and_value(loss)
    return found if task.stack is None else torch.func.vmap(found, in_dims=(0, None, None))


def step_of(task: Task, params: list[torch.Tensor], X: torch.Tensor, y: torch.Tensor, notes: Any) -> Any:
    """``step(X, y, index)``: gather, loss, gradients and Adam in one graph.

    torch's own capture leaves a step uncaptured where it cannot see that what is written stays where it is; the step
    is then captured here. A note says which.
    """
    first, second = ([torch.zeros_like(p) for p in params] for _ in range(2))
    # beta to the power of the step, kept as products: torch 2.13 compiles such a power in float64 to zero.
    powers = [torch.ones((), device=X.device) for _ in range(2)]
    kept = [*params, *first, *second, *powers]
    for tensor in (*kept, X, y):
        torch._dynamo.mark_static_address(tensor)  # else they are copied before each replay
    find, scaled = gradients(task), task.precision == "float16"

    def whole(params: Any, first: Any, second: Any, powers: Any, X: Any, y: Any, index: Any) -> None:
        grads, _ = find(params, X[index], y[index])
        keep: Any = 1.0
        if scaled:
            finite = torch.stack([g.isfinite().all() for g in grads]).all()
            grads = [torch.where(finite, g / SCALE, 0.0) for g in grads]
            keep = finite.float()
        # A step whose gradient overflowed changes nothing.
        one = powers[0].mul_(1 - keep * 0.1)
        two = powers[1].mul_(1 - keep * 0.001)
        for p, m, v, g in zip(params, first, second, grads, strict=True):
            m.lerp_(g, keep * 0.1) if scaled else m.lerp_(g, 0.1)
            v.lerp_(g * g, keep * 0.001) if scaled else v.mul_(0.999).addcmul_(g, g, value=0.001)
            p.sub_(keep * 1e-3 * (m / (1 - one)) / ((v / (1 - two)).sqrt() + 1e-8))

    def compiled(mode: str) -> Callable[..., None]:
        step = torch.compile(whole, mode=mode, fullgraph=True, dynamic=False)
        return torch.no_grad()(lambda X, y, index: step(params, first, second, powers, X, y, index))

    start, index = [tensor.clone() for tensor in kept], torch.arange(min(task.batch, len(X)), device=X.device)
    on_cpu = X.device.type == "cpu"
    notes["launches"] = "no graphs on a CPU" if on_cpu else "CUDA graphs by torch.compile"
    for mode in MODES:
        torch._dynamo.reset()  # else a second workload is compiled for sizes that vary, which is slower
        step, before = compiled(mode), skips()
        try:
            for _ in range(WARM):
                step(X, y, index)
        except Exception as error:
            if mode == MODES[-1] or isinstance(error, torch.OutOfMemoryError):
                raise
            notes["launches"] += f"; mode {MODES[-1]!r}, because {mode!r} fails: {error}".splitlines()[0][:200]
        else:
            break
    if not on_cpu and skips() > before:
        torch._dynamo.reset()
        notes["launches"] = "CUDA graphs by torch.cuda.graph, because torch.compile left the step uncaptured"
        step = captured(compiled("max-autotune-no-cudagraphs"), X, y, task.sizes)
    for tensor, value in zip(kept, start, strict=True):
        tensor.copy_(value)
    return step


def captured(step: Callable[..., None], X: torch.Tensor, y: torch.Tensor, sizes: list[int]) -> Callable[..., None]:
    """The step captured for each size of a batch; it is run some times, so what it writes must be put back."""
    graphs = {}
    side = torch.cuda.Stream()
    for n in set(sizes):
        rows = torch.arange(n, device=X.device)
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(WARM):
                step(X, y, rows)
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            step(X, y, rows)
        graphs[n] = rows, graph

    def replay(X: torch.Tensor, y: torch.Tensor, index: torch.Tensor) -> None:
        del X, y
        rows, graph = graphs[len(index)]
        rows.copy_(index)
        graph.replay()

    return replay


def skips() -> int:
    """How often torch.compile left something uncaptured."""
    from torch._dynamo.utils import counters

    return int(counters["inductor"]["cudagraph_skips"])


def check_graphs(device: str, notes: dict[str, Any]) -> None:
    """Note where something was left uncaptured after all."""
    if device == "cuda" and notes["launches"] == "CUDA graphs by torch.compile" and skips():
        notes["launches"] += f"; {skips()} times left out in this process"
