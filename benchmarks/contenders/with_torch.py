"""PyTorch: its usual training loop, and the whole step compiled into one function."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import torch
from data import many_rows, mean_loss, orders, samples, start_weights
from torch import nn
from torch.nn import functional

from contenders.measure import Job, Measure, peak_above_output, peak_memory, timed
from contenders.whole_processes import import_time

__all__ = ["import_time", "memory", "predict", "step"]

torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))

ACTIVATIONS = {"relu": nn.ReLU, "tanh": nn.Tanh, "sigmoid": nn.Sigmoid}
FUNCTIONS = {"relu": torch.relu, "tanh": torch.tanh, "sigmoid": torch.sigmoid}


def module(sizes: Any, hidden: str, dtype: str) -> nn.Sequential:
    """The network as modules; torch's weights are the transpose."""
    parts: list[nn.Module] = []
    for W, b in start_weights(sizes, dtype):
        linear = nn.Linear(*W.shape, dtype=getattr(torch, dtype))
        with torch.no_grad():
            linear.weight.copy_(torch.from_numpy(W.T.copy()))
            linear.bias.copy_(torch.from_numpy(b))
        parts += [linear, ACTIVATIONS[hidden]()]
    return nn.Sequential(*parts[:-1])


def eager_step(model: nn.Sequential, o: Any) -> Callable[..., None]:
    """Zero, forward, backward, a fused optimizer's step."""
    if o["optimizer"] == "adam":
        optimizer: Any = torch.optim.Adam(model.parameters(), 1e-3, fused=True)
    else:
        optimizer = torch.optim.SGD(model.parameters(), 0.01, momentum=0.9, fused=True)

    def step(X: torch.Tensor, y: torch.Tensor, index: torch.Tensor) -> None:
        optimizer.zero_grad()
        # index_select is faster than X[index].
        functional.cross_entropy(model(X.index_select(0, index)), y.index_select(0, index)).backward()
        optimizer.step()

    return step


def compiled_step(model: nn.Sequential, o: Any) -> Callable[..., Any]:
    """Gather, loss, gradients and update as one graph; an optimizer object would break it in two."""
    torch._dynamo.reset()  # else a second workload is compiled for sizes that vary, which is slower
    params = [p.detach() for p in model.parameters()]
    first, second = ([torch.zeros_like(p) for p in params] for _ in range(2))
    # beta to the power of the step, kept as products: torch 2.13 compiles such a power in float64 to zero.
    powers = [torch.ones((), dtype=params[0].dtype) for _ in range(2)]
    activation = FUNCTIONS[o["hidden"]]

    def loss(params: list[torch.Tensor], a: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        for i in range(0, len(params) - 2, 2):
            a = activation(functional.linear(a, params[i], params[i + 1]))
        return functional.cross_entropy(functional.linear(a, params[-2], params[-1]), y)

    grad_and_value = torch.func.grad_and_value(loss)

    def adam(params: Any, first: Any, second: Any, powers: Any, X: Any, y: Any, index: Any) -> Any:
        grads, value = grad_and_value(params, X[index], y[index])
        one, two = powers[0].mul_(0.9), powers[1].mul_(0.999)
        for p, m, v, g in zip(params, first, second, grads, strict=True):
            m.lerp_(g, 0.1)
            v.mul_(0.999).addcmul_(g, g, value=0.001)
            p.sub_(1e-3 * (m / (1 - one)) / ((v / (1 - two)).sqrt() + 1e-8))
        return value

    def sgd(params: Any, first: Any, X: Any, y: Any, index: Any) -> Any:
        grads, value = grad_and_value(params, X[index], y[index])
        for p, m, g in zip(params, first, grads, strict=True):
            m.mul_(0.9).add_(g)
            p.sub_(m, alpha=0.01)
        return value

    if o["optimizer"] == "adam":
        step = torch.compile(adam, fullgraph=True)
        return torch.no_grad()(lambda X, y, index: step(params, first, second, powers, X, y, index))
    step = torch.compile(sgd, fullgraph=True)
    return torch.no_grad()(lambda X, y, index: step(params, first, X, y, index))


def training(job: Job) -> tuple[Callable[[], None], Callable[[], dict[str, Any]]]:
    """A function that trains for an epoch, and one that gives the loss."""
    o = job.workload.options
    X_host, y_host = samples(o["batch"] * o["steps"], o["sizes"][0], o["sizes"][-1], o["dtype"])
    X, y = torch.from_numpy(X_host), torch.from_numpy(y_host)
    model = module(o["sizes"], o["hidden"], o["dtype"])
    step = (compiled_step if job.options.get("compiled") else eager_step)(model, o)
    rng = orders()

    def epoch() -> None:
        for index in torch.from_numpy(rng.permutation(len(X))).split(o["batch"]):
            step(X, y, index)

    def notes() -> dict[str, Any]:
        layers = [(m.weight.detach().numpy().T, m.bias.detach().numpy()) for m in model if isinstance(m, nn.Linear)]
        return {"loss": mean_loss(layers, o["hidden"], X_host, y_host)}

    return epoch, notes


def step(job: Job) -> Measure:
    """Steps of a training loop."""
    epoch, notes = training(job)
    epoch()
    epoch()
    return Measure(timed(epoch), job.workload.options["steps"], notes())


def memory(job: Job) -> Measure:
    """Peak of two epochs, compilation included; a product before it starts the threads."""
    epoch, _ = training(job)
    torch.ones(300, 300) @ torch.ones(300, 300)
    return Measure(lambda _: peak_memory(lambda: (epoch(), epoch()))[0])


def predict(job: Job) -> Measure:
    """Class probabilities, in inference mode."""
    o = job.workload.options
    X = torch.from_numpy(many_rows(o["rows"], o["sizes"][0], o["dtype"], job.scratch))
    model = module(o["sizes"], "relu", o["dtype"]).append(nn.Softmax(dim=-1)).eval()

    @torch.inference_mode()
    def work() -> torch.Tensor:
        return model(X)

    with torch.inference_mode():
        model(X[:1000])
    return Measure(timed(work), notes=peak_above_output(work))
