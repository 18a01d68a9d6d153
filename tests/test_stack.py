"""A stack of K networks is K networks: the same numbers, trained at once."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np
import pytest

import bpx
from bpx import optimizers, schedules

K, N = 5, 24
SIZES = [4, 9, 7, 3]
DROPOUT = pytest.mark.parametrize("dropout", [0.0, [0.5, 0.25]])

# For every optimizer, values for each hyperparameter that may differ between the networks of a stack.
SWEEPS: dict[str, dict[str, list[float]]] = {
    "sgd": {"learning_rate": [0.3, 0.1, 0.05, 0.2, 0.4], "momentum": [0.0, 0.5, 0.9, 0.2, 0.7]},
    "rmsprop": {
        "learning_rate": [0.01, 0.003, 0.001, 0.02, 0.005],
        "rho": [0.9, 0.99, 0.5, 0.0, 0.95],
        "epsilon": [1e-8, 1e-4, 1e-2, 1e-6, 1e-3],
    },
    "adagrad": {"learning_rate": [0.1, 0.03, 0.01, 0.2, 0.05], "epsilon": [1e-10, 1e-4, 1e-2, 1e-6, 1e-3]},
    "adam": {
        "learning_rate": [0.01, 0.003, 0.001, 0.02, 0.005],
        "beta_1": [0.9, 0.5, 0.0, 0.95, 0.8],
        "beta_2": [0.999, 0.9, 0.99, 0.5, 0.0],
        "epsilon": [1e-8, 1e-4, 1e-2, 1e-6, 1e-3],
    },
}
SWEEPS["adamw"] = SWEEPS["adam"] | {"weight_decay": [0.0, 0.1, 0.01, 0.5, 0.2]}
CLIP = [0.1, 1.0, 0.5, 1e9, 0.01]
FLAGS = {"sgd": "nesterov", "adam": "epsilon_hat"}
VARIANTS = [(name, False) for name in SWEEPS] + [(name, True) for name in FLAGS]


@pytest.fixture
def data(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Samples of three classes."""
    return rng.normal(size=(N, SIZES[0])), rng.integers(0, SIZES[-1], N)


def network(backend: Any = "numpy", **options: Any) -> bpx.MLP:
    """A stack of K, or with seed=k its network number k alone."""
    return bpx.MLP(SIZES, hidden=["tanh", "silu"], dtype="float64", backend=backend, **options)


def members(backend: Any = "numpy", **options: Any) -> list[bpx.MLP]:
    """The K networks of the stack, each alone."""
    return [network(backend, seed=k, **options) for k in range(K)]


def stacked(backend: bpx.Backend, arrays: list[Any]) -> np.ndarray:
    """Host copies of one array per network, stacked."""
    return np.stack([backend.to_host(array) for array in arrays])


@DROPOUT
def test_forward_and_gradients_of_a_stack_equal_those_of_its_networks(
    lib: bpx.Backend, data: Any, close: Any, dropout: Any
) -> None:
    X, y = data
    stack, alone = network(lib, stack=K, dropout=dropout), members(lib, dropout=dropout)
    assert np.array_equal(lib.to_host(stack.flat), stacked(lib, [net.flat for net in alone]))
    assert lib.to_host(stack(X)).shape == (K, N, SIZES[-1])
    close(lib.to_host(stack(X)), stacked(lib, [net(X) for net in alone]))
    close(lib.to_host(stack(X[0])), stacked(lib, [net(X[0]) for net in alone]))
    loss, grads = stack.loss_and_grads(X, y, l2=0.1)
    pairs = [net.loss_and_grads(X, y, l2=0.1) for net in alone]
    close(lib.to_host(loss), stacked(lib, [pair[0] for pair in pairs]))
    for name, grad in grads.items():
        close(lib.to_host(grad), stacked(lib, [pair[1][name] for pair in pairs]))
    close(lib.to_host(stack.input_gradient(X, y)), stacked(lib, [net.input_gradient(X, y) for net in alone]))


@DROPOUT
def test_twenty_adam_steps_of_a_stack_equal_those_of_its_networks(
    lib: bpx.Backend, data: Any, close: Any, dropout: Any
) -> None:
    options = {"epochs": 5, "batch_size": 6, "l2": 0.01, "seed": 3}
    stack, alone = network(lib, stack=K, dropout=dropout), members(lib, dropout=dropout)
    history = bpx.fit(stack, *data, **options, validation=data)
    singles = [bpx.fit(net, *data, **options, validation=data) for net in alone]
    assert history.steps == singles[0].steps == 20
    close(lib.to_host(stack.flat), stacked(lib, [net.flat for net in alone]))
    close(history.loss, np.transpose([single.loss for single in singles]))
    close(history.val_loss, np.transpose([single.val_loss for single in singles]))


def test_every_optimizer_and_every_hyperparameter_is_swept_here() -> None:
    assert set(SWEEPS) == set(optimizers.OPTIMIZERS)
    for name, kind in optimizers.OPTIMIZERS.items():
        numbers = {field.name for field in fields(kind)} - {"nesterov", "epsilon_hat", "clip_norm"}
        assert numbers == set(SWEEPS[name])


@pytest.mark.parametrize(("name", "flag"), VARIANTS)
@pytest.mark.parametrize("clip", [False, True])
def test_a_sweep_over_all_hyperparameters_and_l2_equals_separate_runs(
    data: Any, close: Any, name: str, flag: bool, clip: bool
) -> None:
    kind, sweep = optimizers.OPTIMIZERS[name], SWEEPS[name] | ({"clip_norm": CLIP} if clip else {})
    fixed = {FLAGS[name]: True} if flag else {}
    decay = [0.0, 0.1, 0.5, 0.01, 1.0]
    stack, alone = network(stack=K), members()
    history = bpx.fit(stack, *data, optimizer=kind(**sweep, **fixed), epochs=5, batch_size=10, l2=decay)
    losses = []
    for k, net in enumerate(alone):
        own = {key: values[k] for key, values in sweep.items()}
        losses.append(bpx.fit(net, *data, optimizer=kind(**own, **fixed), epochs=5, batch_size=10, l2=decay[k]).loss)
    close(stack.flat, stacked(stack.backend, [net.flat for net in alone]))
    close(history.loss, np.transpose(losses))


@pytest.mark.parametrize("values", [list, tuple, np.array])
def test_a_sweep_over_five_learning_rates_equals_five_runs(
    lib: bpx.Backend, data: Any, close: Any, values: Any
) -> None:
    rates = [1e-3, 3e-3, 1e-2, 3e-2, 1e-1]
    stack, alone = network(lib, stack=K), members(lib)
    history = bpx.fit(stack, *data, optimizer=bpx.Adam(values(rates)), epochs=5, batch_size=6)
    singles = [
        bpx.fit(net, *data, optimizer=bpx.Adam(rate), epochs=5, batch_size=6)
        for net, rate in zip(alone, rates, strict=True)
    ]
    close(history.loss, np.transpose([single.loss for single in singles]))
    close(lib.to_host(stack.flat), stacked(lib, [net.flat for net in alone]))
    close(history.learning_rate, [rates] * 5)


def test_a_sweep_may_start_every_network_from_the_same_parameters(data: Any) -> None:
    stack = network(stack=3, seed=[4, 4, 4])
    bpx.fit(stack, *data, optimizer=bpx.SGD([0.1, 0.1, 0.2]), epochs=2)
    assert np.array_equal(stack.flat[0], stack.flat[1])
    assert not np.array_equal(stack.flat[0], stack.flat[2])


SCHEDULES = [
    lambda rate: schedules.StepDecay(rate, every=2, factor=0.5),
    lambda rate: schedules.InverseScaling(rate),
    lambda rate: schedules.Cosine(rate, length=4, minimum=1e-4),
    lambda rate: schedules.WarmUp(schedules.Constant(rate), length=5),
    lambda rate: schedules.Adaptive(rate, patience=1, tol=0.05),
]


@pytest.mark.parametrize("schedule", SCHEDULES, ids=["step", "inverse", "cosine", "warm-up", "adaptive"])
def test_schedules_take_a_rate_for_each_network(data: Any, close: Any, schedule: Any) -> None:
    rates = [0.5, 0.1, 0.05, 0.2, 0.3]
    stack, alone = network(stack=K), members()
    history = bpx.fit(stack, *data, optimizer=bpx.SGD(schedule(rates)), epochs=6, batch_size=12)
    singles = [
        bpx.fit(net, *data, optimizer=bpx.SGD(schedule(rate)), epochs=6, batch_size=12)
        for net, rate in zip(alone, rates, strict=True)
    ]
    close(stack.flat, stacked(stack.backend, [net.flat for net in alone]))
    rates = np.transpose([single.learning_rate for single in singles])
    close(history.learning_rate, rates)
    assert np.any(rates[0] != rates[-1])


def test_each_network_may_have_its_own_sample_weights(
    lib: bpx.Backend, data: Any, rng: np.random.Generator, close: Any
) -> None:
    weight = rng.uniform(0.0, 2.0, (K, N))
    stack, alone = network(lib, stack=K), members(lib)
    options = {"epochs": 3, "batch_size": 7}
    history = bpx.fit(stack, *data, sample_weight=weight, validation=(*data, weight), **options)
    singles = [
        bpx.fit(net, *data, sample_weight=w, validation=(*data, w), **options)
        for net, w in zip(alone, weight, strict=True)
    ]
    close(lib.to_host(stack.flat), stacked(lib, [net.flat for net in alone]))
    close(history.loss, np.transpose([single.loss for single in singles]))
    close(history.val_loss, np.transpose([single.val_loss for single in singles]))


@pytest.mark.parametrize("class_weight", [{0: 3.0, 2: 0.5}, "balanced"])
@pytest.mark.parametrize("weighted", [False, True])
def test_class_weights_hold_for_every_network(
    data: Any, rng: np.random.Generator, close: Any, class_weight: Any, weighted: bool
) -> None:
    weight = rng.uniform(0.5, 2.0, (K, N))
    stack, alone = network(stack=K), members()
    options = {"class_weight": class_weight, "epochs": 3, "batch_size": 7}
    bpx.fit(stack, *data, sample_weight=weight if weighted else None, **options)
    for k, net in enumerate(alone):
        bpx.fit(net, *data, sample_weight=weight[k] if weighted else None, **options)
    close(stack.flat, stacked(stack.backend, [net.flat for net in alone]))


def test_a_batch_in_which_one_network_has_no_weight_leaves_that_network_alone(data: Any) -> None:
    weight = np.ones((2, N))
    weight[1, : N // 2] = 0.0
    steps: list[np.ndarray] = []

    class Keep(bpx.Callback):
        def on_step_end(self, run: Any) -> None:
            steps.append(np.array(run.net.flat))

    stack = network(stack=2)
    before = np.array(stack.flat)
    options = {"epochs": 1, "batch_size": N // 2, "sampling": "sequential", "sample_weight": weight}
    history = bpx.fit(stack, *data, optimizer="sgd", callbacks=[Keep()], **options)
    assert np.array_equal(steps[0][1], before[1])
    assert not np.array_equal(steps[0][0], before[0])
    assert not np.array_equal(steps[1][1], before[1])
    assert np.all(np.isfinite(history.loss))


@pytest.mark.parametrize(
    ("train", "message"),
    [
        (lambda net, X, y: bpx.fit(net, X, y, optimizer=bpx.Adam([0.1, 0.2])), "learning_rate: expected a number or 5"),
        (lambda net, X, y: bpx.fit(net, X, y, optimizer=bpx.SGD(0.1, [0.1] * 4)), "momentum: expected a number or 5"),
        (
            lambda net, X, y: bpx.fit(net, X, y, optimizer=bpx.SGD(schedules.InverseScaling([0.1, 0.2]))),
            "a number or 5",
        ),
        (lambda net, X, y: bpx.fit(net, X, y, l2=[0.1, 0.2]), r"l2: expected shape \(\) or \(5,\), got \(2,\)"),
        (lambda net, X, y: bpx.fit(net, X, y, sample_weight=np.ones((4, N))), r"expected shape \(24,\) or \(5, 24\)"),
    ],
)
def test_arrays_of_another_length_than_the_stack_are_refused(data: Any, train: Any, message: str) -> None:
    stack = network(stack=K)
    before = np.array(stack.flat)
    with pytest.raises(ValueError, match=message):
        train(stack, *data)
    assert np.array_equal(stack.flat, before)


def test_a_single_network_takes_no_arrays_of_hyperparameters(data: Any) -> None:
    for rate in ([0.1, 0.2], schedules.Constant([0.1, 0.2])):
        with pytest.raises(ValueError, match="learning_rate: expected one number for a single network"):
            bpx.fit(network(), *data, optimizer=bpx.Adam(rate))


def test_a_member_of_a_stack_is_that_network_alone() -> None:
    stack = bpx.MLP([3, 4, 2], bias=[True, False], dropout=0.5, stack=3, seed=[5, 9, 7], backend="numpy")
    one = stack.member(1)
    assert (one.stack, one.seed, one.bias, one.dropout) == (None, 9, (True, False), (0.5,))
    assert np.array_equal(one.flat, stack.flat[1])
    assert np.array_equal(one(np.ones((2, 3))), stack(np.ones((2, 3)))[1])
    one.flat[...] = 0.0
    assert np.any(stack.flat[1])
    for network, k in ((stack, 3), (stack, -1), (one, 0)):
        with pytest.raises(ValueError, match="member: expected a stack"):
            network.member(k)
