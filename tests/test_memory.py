"""Out of memory: nothing has changed, the error says what to do, and the process goes on."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from allocations import planted

import bpx
from bpx.formulas import losses
from bpx.network.objective import Objective
from bpx.training.batches import ArrayFeed, Batch, Data
from bpx.training.run_config import RunConfig
from bpx.training.step import Step

OPTIMIZERS = {
    "sgd": bpx.SGD(0.1),
    "momentum": bpx.SGD(0.1, momentum=0.9),
    "nesterov": bpx.SGD(0.1, momentum=0.9, nesterov=True, clip_norm=0.1),
    "rmsprop": bpx.RMSprop(0.01),
    "adagrad": bpx.Adagrad(0.1),
    "adam": bpx.Adam(0.01, clip_norm=0.1),
    "adam with epsilon-hat": bpx.Adam(0.01, epsilon_hat=True),
    "adamw": bpx.AdamW(0.01, weight_decay=0.1),
}
KERNELS = ("auto", "numpy", "reference")


class Training:
    """A network with a penalty and weighted samples, step by step."""

    def __init__(self, optimizer: Any, stack: int | None = None, backend: Any = "numpy", dropout: float = 0.0) -> None:
        self.net = bpx.MLP([5, 7, 3], dropout=dropout, dtype="float64", backend=backend, stack=stack)
        rng = np.random.default_rng(0)
        X, y, w = rng.normal(size=(12, 5)), rng.integers(0, 3, size=12), rng.uniform(0.5, 1.5, size=(12, 1))
        b = self.net.backend
        data = Data(b.asarray(X), b.asarray(y), b.asarray(w))
        self.rate = optimizer.learning_rate
        bound = optimizer.bind(self.net.asarray, stack)
        self.state = bound.init(self.net.flat)
        objective = Objective(self.net, losses.get("cross_entropy"), l2=0.01)
        feed = ArrayFeed(b, data, 6, lambda: None)
        config = RunConfig(self.net, feed, objective.loss, bound, seed=3)
        self.step = Step(config, objective, bound, self.state)
        self.done = 0
        orders = [rng.permutation(12)[:6] for _ in range(6)]
        self.batches = [Batch(0, rows, b.asarray(rows), 6) for rows in orders]

    def go(self, steps: int = 1) -> None:
        for _ in range(steps):
            with self.net.backend.scope():
                self.step(self.batches[self.done], self.rate, self.done)
            self.done += 1

    @property
    def numbers(self) -> dict[str, Any]:
        """Parameters and moments, on the host."""
        b = self.net.backend
        moments = {name: np.array(b.to_host(v)) for name, v in self.step.state.items() if name != "step"}
        return moments | {"flat": np.array(b.to_host(self.net.flat)), "step": int(self.step.state["step"])}


def same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)


def fail_everywhere(make: Any, before: int, plan: Any, error: Any = MemoryError) -> int:
    """Step number `before` + 1 fails at its first allocation, at its second, and so on; how many failed."""
    reference = make()
    reference.go(before)
    expected_before = reference.numbers
    reference.go(3)
    expected_after = reference.numbers
    failures = 0
    for k in range(1, 1000):
        training = make()
        training.go(before)
        plan.count, plan.fails_at, plan.failed = 0, k, 0
        try:
            training.go()
        except error:
            plan.fails_at, failures = None, failures + 1
            assert same(training.numbers, expected_before), f"allocation {k}"
            training.go(3)
        else:
            plan.fails_at = None
            if not plan.failed:
                return failures
            training.go(2)  # whoever asked did without
        assert same(training.numbers, expected_after), f"after allocation {k}"
    raise AssertionError("the step never succeeds")


@pytest.mark.parametrize(
    ("kernels", "before"), [("auto", 0), ("auto", 2), ("numpy", 0), ("numpy", 2), ("reference", 1)]
)
@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.slow
def test_a_step_that_runs_out_of_memory_has_changed_nothing(name, kernels, before, monkeypatch):
    monkeypatch.setenv("BPX_KERNELS", kernels)
    with planted() as plan:
        failures = fail_everywhere(lambda: Training(OPTIMIZERS[name], dropout=0.3 * (name == "sgd")), before, plan)
    assert failures >= 5 if before == 0 or kernels == "reference" else failures >= 0


@pytest.mark.parametrize("kernels", KERNELS)
@pytest.mark.parametrize("name", ["momentum", "rmsprop", "adagrad", "adamw"])
def test_neither_has_a_step_of_a_stack_with_hyperparameters_of_its_own(name, kernels, monkeypatch):
    monkeypatch.setenv("BPX_KERNELS", kernels)
    optimizer = {
        "momentum": bpx.SGD(0.1, momentum=[0.9, 0.5], nesterov=True),
        "rmsprop": bpx.RMSprop(0.01, rho=[0.9, 0.99]),
        "adagrad": bpx.Adagrad(0.1, epsilon=[1e-8, 1e-6]),
        "adamw": bpx.AdamW(0.01, beta_1=[0.9, 0.8], beta_2=[0.99, 0.999], weight_decay=[0.1, 0.0]),
    }[name]
    with planted() as plan:
        fail_everywhere(lambda: Training(optimizer, stack=2), 2, plan)


@pytest.mark.parametrize("name", ["nesterov", "adamw"])
def test_neither_has_one_in_pytorch(name):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    from torch.utils._python_dispatch import TorchDispatchMode

    class Failing(TorchDispatchMode):
        """Fails before the k-th operation that makes a tensor; what writes in place, or is a view, makes none."""

        def __init__(self) -> None:
            super().__init__()
            self.count, self.fails_at, self.failed = 0, None, 0

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            makes = not any(a.alias_info for a in func._schema.arguments) and bool(func._schema.returns)
            self.count += makes
            if makes and self.count == self.fails_at:
                self.failed += 1
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
            return func(*args, **kwargs or {})

    with Failing() as plan:
        make = lambda: Training(OPTIMIZERS[name], backend="torch")  # noqa: E731
        failures = fail_everywhere(make, 1, plan, torch.OutOfMemoryError)
    assert failures > 30
