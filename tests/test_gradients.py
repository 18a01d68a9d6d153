"""Back-propagation against central differences: the full grid, and that the checker itself can be trusted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest

import bpx
from bpx.formulas.activations import ACTIVATIONS, relu
from bpx.formulas.losses import LOSSES
from bpx.network import dense

LIMIT = 1e-7
N, N_IN, WIDTH = 5, 3, 4
OUTPUTS, L2, STACKS = (1, 2, 3), (0.0, 0.1), (None, 3)

DIFFERENTIABLE = [name for name, activation in ACTIVATIONS.items() if activation.differentiable]
HIDDEN = [name for name in DIFFERENTIABLE if not ACTIVATIONS[name].output_only]
# The output activation behind which the grid puts each loss; `test_every_loss_behind_every_output` has them all.
OUTPUT_OF = {"binary_cross_entropy": "sigmoid", "cross_entropy": "softmax", "poisson": "exp"}


def targets(loss: str, n_out: int, rng: np.random.Generator) -> np.ndarray:
    """Targets that the loss allows."""
    if loss == "cross_entropy":
        return rng.integers(0, n_out, N)
    if loss == "binary_cross_entropy":
        return rng.uniform(size=(N, n_out))
    return rng.poisson(2.0, (N, n_out)) if loss == "poisson" else rng.normal(size=(N, n_out))


def problem(hidden: str, loss: str, depth: int, n_out: int, stack: int | None) -> tuple[bpx.MLP, Any, Any]:
    """A network of `depth` layers of weights, inputs and targets."""
    rng = np.random.default_rng(0)
    sizes = [N_IN, *[WIDTH] * (depth - 1), n_out]
    output = OUTPUT_OF.get(loss, "identity")
    net = bpx.MLP(sizes, hidden=hidden, output=output, dtype="float64", backend="numpy", stack=stack)
    return net, rng.normal(size=(N, N_IN)), targets(loss, n_out, rng)


@pytest.mark.parametrize("depth", [pytest.param(1, marks=pytest.mark.slow), 2, pytest.param(4, marks=pytest.mark.slow)])
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("hidden", HIDDEN)
def test_backward_agrees_with_central_differences(hidden: str, loss: str, depth: int) -> None:
    for n_out, l2, stack in product(OUTPUTS, L2, STACKS):
        if loss == "cross_entropy" and n_out == 1:  # softmax over one output is always 1
            with pytest.raises(ValueError, match="softmax over one output"):
                problem(hidden, loss, depth, n_out, stack)
            continue
        net, X, y = problem(hidden, loss, depth, n_out, stack)
        report = bpx.check_gradients(net, X, y, loss, l2=l2)
        assert report.max_relative_error <= LIMIT, f"outputs {n_out}, l2 {l2}, stack {stack}\n{report}"
        assert report.passed


def admissible(loss: str, output: str) -> bool:
    """Whether the loss is defined behind that output activation."""
    try:
        LOSSES[loss].check_output(ACTIVATIONS[output], 3)
    except ValueError:
        return False
    return True


@pytest.mark.parametrize("output", DIFFERENTIABLE)
@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_behind_every_output(loss: str, output: str, rng: np.random.Generator) -> None:
    X, y = rng.normal(size=(N, N_IN)), targets(loss, 3, rng)
    net = bpx.MLP([N_IN, WIDTH, 3], hidden="tanh", output=output, dtype="float64", backend="numpy")
    if not admissible(loss, output):
        with pytest.raises(ValueError, match=f"loss '{loss}' needs outputs that are"):
            bpx.check_gradients(net, X, y, loss)
        return
    report = bpx.check_gradients(net, X, y, loss)
    assert report.max_relative_error <= LIMIT, str(report)


def test_the_pairs_of_loss_and_output_are_those_that_make_sense() -> None:
    outputs = {loss: {name for name in DIFFERENTIABLE if admissible(loss, name)} for loss in LOSSES}
    assert outputs["cross_entropy"] == {"softmax"}
    assert outputs["binary_cross_entropy"] == {"sigmoid", "logistic", "softmax"}
    assert outputs["poisson"] == {"exp", "softplus", "sigmoid", "logistic", "softmax"}
    assert all(
        outputs[loss] == set(DIFFERENTIABLE) for loss in ("squared_error", "absolute_error", "huber", "quantile")
    )


@pytest.mark.parametrize("stack", STACKS)
@pytest.mark.parametrize("bias", [True, False, [True, False], [False, True]])
@pytest.mark.parametrize("weighted", [False, True])
def test_sample_weights_and_missing_biases_are_checked_too(
    rng: np.random.Generator, stack: int | None, bias: Any, weighted: bool
) -> None:
    net = bpx.MLP([N_IN, WIDTH, 2], hidden="gelu", bias=bias, dtype="float64", backend="numpy", stack=stack)
    weight = rng.uniform(0.0, 3.0, (N,) if stack is None else (stack, N)) if weighted else None
    X, y = rng.normal(size=(N, N_IN)), rng.integers(0, 2, N)
    report = bpx.check_gradients(net, X, y, l2=0.1, sample_weight=weight)
    assert report.max_relative_error <= LIMIT, str(report)
    assert [check.name for check in report.parameters] == list(net.params)


def test_gradients_are_checked_on_the_networks_own_library(lib: bpx.Backend) -> None:
    net, X, y = problem("silu", "cross_entropy", 2, 3, None)
    report = bpx.check_gradients(net.to(lib), X, y)
    assert report.max_relative_error <= LIMIT, str(report)


def test_input_gradient_agrees_with_central_differences(lib: bpx.Backend) -> None:
    net, X, y = problem("tanh", "cross_entropy", 4, 3, None)
    net = net.to(lib)

    def loss(x: np.ndarray) -> float:
        return float(net.loss_and_grads(x, y)[0])

    numerical = np.empty_like(X)
    for place in np.ndindex(*X.shape):
        h = np.zeros_like(X)
        h[place] = 1e-3
        slope, half = (loss(X + h) - loss(X - h)) / 2e-3, (loss(X + h / 2) - loss(X - h / 2)) / 1e-3
        numerical[place] = (4 * half - slope) / 3
    analytic = lib.to_host(net.input_gradient(X, y))
    assert np.max(np.abs(analytic - numerical)) <= LIMIT * np.max(np.abs(analytic))


@pytest.mark.parametrize("stack", STACKS)
def test_with_dropout_a_step_follows_the_gradient_of_the_loss_that_is_recorded(
    rng: np.random.Generator, stack: int | None
) -> None:
    # One step from given parameters has the same masks each time, so its loss can be differentiated numerically.
    net = bpx.MLP([N_IN, 6, 5, 3], "tanh", dropout=[0.5, 0.2], dtype="float64", backend="numpy", stack=stack)
    X, y, start = rng.normal(size=(N, N_IN)), rng.integers(0, 3, N), np.array(net.flat)

    def loss_after(h: Any) -> Any:
        net.flat[...] = start + h
        return bpx.fit(net, X, y, optimizer=bpx.SGD(1.0), epochs=1, batch_size=None, l2=0.1).loss[0]

    loss_after(0.0)
    analytic = start - net.flat
    for i in range(net.n_params):
        h = 1e-4 * (np.arange(net.n_params) == i)
        numerical = (loss_after(h) - loss_after(-h)) / 2e-4
        assert np.max(np.abs(analytic[..., i] - numerical)) <= LIMIT


# ---------------------------------------------------------------------- what is wrong is caught


def off_by(factor: float) -> bpx.Activation:
    """Tanh with a derivative that is wrong by a factor."""
    right = ACTIVATIONS["tanh"]
    return replace(right, name="wrong", derivative=lambda xp, z, a: factor * right.derivative(xp, z, a))


@pytest.mark.parametrize("stack", STACKS)
@pytest.mark.parametrize("factor", [0.0, -1.0, 1.001, 1 + 1e-6])
def test_a_wrong_derivative_is_caught_in_the_layers_below_it(factor: float, stack: int | None) -> None:
    net, X, y = problem("tanh", "squared_error", 4, 2, stack)
    net.hidden = (net.hidden[0], off_by(factor), net.hidden[2])
    report = bpx.check_gradients(net, X, y, "squared_error")
    assert not report.passed
    # Everything above is right, and is found to be right.
    wrong = {check.name for check in report.parameters if check.relative_error > LIMIT}
    assert wrong == {"0.W", "0.b", "1.W", "1.b"}


def test_a_patched_derivative_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ACTIVATIONS, "tanh", off_by(1.01))
    net, X, y = problem("tanh", "squared_error", 2, 2, None)
    assert not bpx.check_gradients(net, X, y, "squared_error").passed


def mean_over_batch(right: Callable[..., Any]) -> Callable[..., Any]:
    """A backward that averages the bias's gradient where it must sum."""

    def backward(xp: Any, cache: Any, params: Any, grads: Any, *rest: Any) -> Any:
        result = right(xp, cache, params, grads, *rest)
        grads.b[...] = xp.mean(cache.grad_z, axis=-2, keepdims=True)
        return result

    return backward


def nan_in_the_last_layer(right: Callable[..., Any]) -> Callable[..., Any]:
    """A backward whose last bias has no gradient to speak of."""

    def backward(xp: Any, cache: Any, params: Any, grads: Any, *rest: Any) -> Any:
        result = right(xp, cache, params, grads, *rest)
        if params.W.shape[-1] == 2:
            grads.b[...] = float("nan")
        return result

    return backward


@pytest.mark.parametrize("broken", [mean_over_batch, nan_in_the_last_layer])
def test_a_broken_backward_is_caught(monkeypatch: pytest.MonkeyPatch, broken: Any) -> None:
    net, X, y = problem("tanh", "squared_error", 2, 2, None)
    assert bpx.check_gradients(net, X, y, "squared_error").passed
    monkeypatch.setattr(dense, "backward", broken(dense.backward))
    report = bpx.check_gradients(net, X, y, "squared_error")
    assert not report.passed
    assert "FAILED" in str(report)


@pytest.mark.parametrize("loss", ["squared_error", "wrong"])
def test_a_loss_of_ones_own_is_checked(loss: str) -> None:
    def half_gradient(xp: Any, output: Any, target: Any) -> tuple[Any, Any]:
        residual = output - target
        return 0.5 * residual * residual, 0.5 * residual

    net, X, y = problem("tanh", "squared_error", 2, 2, None)
    report = bpx.check_gradients(net, X, y, half_gradient if loss == "wrong" else bpx.losses.squared_error)
    assert report.passed == (loss == "squared_error")


# ---------------------------------------------------------------------- kinks


def at_distance(z: float, hidden: Any = "relu") -> tuple[bpx.MLP, Any, Any]:
    """Two hidden units, of which the first has the pre-activation z for the one sample, the second is well above 0."""
    net = bpx.MLP([1, 2, 1], hidden=hidden, output="identity", dtype="float64", backend="numpy")
    net.set_params({"0.W": [[1.0, 1.0]], "0.b": [z - 0.5, 0.75], "1.W": [[2.0], [-1.0]], "1.b": [0.25]})
    return net, [[0.5]], [[3.0]]


@pytest.mark.parametrize("hidden", ["relu", "leaky_relu"])
def test_a_kink_at_the_very_point_is_counted_and_not_compared(hidden: str) -> None:
    report = bpx.check_gradients(*at_distance(0.0, hidden), "squared_error")
    kinks = {check.name: check.kinks for check in report.parameters}
    assert kinks == {"0.W": 1, "0.b": 1, "1.W": 0, "1.b": 0}
    assert report.passed
    assert [line.split()[-1] for line in str(report).splitlines()[3:7]] == ["1", "1", "0", "0"]


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("distance", [9e-4, 3e-4, 1.1e-4, 4e-5, 1e-5, 2e-6, 8.3e-7, 3e-7])
def test_near_a_kink_the_gradient_is_compared_all_the_same(distance: float, sign: int) -> None:
    report = bpx.check_gradients(*at_distance(sign * distance), "squared_error")
    assert sum(check.kinks for check in report.parameters) == 0
    assert report.max_relative_error <= LIMIT, str(report)


@pytest.mark.parametrize("slope", [-0.5, 1.5])
def test_a_slope_outside_the_one_sided_ones_is_wrong_even_at_a_kink(slope: float) -> None:
    def derivative(xp: Any, z: Any, a: Any) -> Any:
        return xp.where(z == 0, slope, xp.astype(z > 0, z.dtype))

    net, x, y = at_distance(0.0, bpx.Activation("odd", relu, derivative))
    assert not bpx.check_gradients(net, x, y, "squared_error").passed


def test_a_loss_at_its_kink_passes() -> None:
    net = bpx.MLP([1, 1], output="identity", dtype="float64", init="zeros", backend="numpy")
    report = bpx.check_gradients(net, [[1.0]], [[0.0]], "absolute_error")
    assert report.passed
    assert [check.kinks for check in report.parameters] == [1, 1]


# ---------------------------------------------------------------------- what the report says


def test_a_float32_network_is_checked_in_float64_and_left_as_it_is(lib: bpx.Backend, rng: np.random.Generator) -> None:
    net = bpx.MLP([N_IN, WIDTH, 2], hidden="tanh", dropout=0.5, dtype="float32", backend=lib)
    before = np.array(lib.to_host(net.flat))
    report = bpx.check_gradients(net, rng.normal(size=(N, N_IN)), [0, 1, 1, 0, 1])
    assert report.max_relative_error <= LIMIT, str(report)
    assert all(check.analytic.dtype == np.float64 for check in report.parameters)
    assert net.dtype == "float32"
    assert np.array_equal(lib.to_host(net.flat), before)


@pytest.mark.parametrize("stack", STACKS)
def test_both_columns_are_there(stack: int | None, close: Any) -> None:
    net, X, y = problem("tanh", "cross_entropy", 2, 3, stack)
    report = bpx.check_gradients(net, X, y, l2=0.1)
    loss, grads = net.loss_and_grads(X, y, l2=0.1)
    close(report.loss, loss)
    lead = () if stack is None else (stack,)
    for check in report.parameters:
        close(check.analytic, np.reshape(grads[check.name], (*lead, -1)))
        assert check.numerical.shape == check.analytic.shape
        assert check.absolute_error == np.max(np.abs(check.analytic - check.numerical))
        assert 0.0 < check.absolute_error <= LIMIT * np.max(np.abs(check.analytic))
    assert report.max_relative_error == max(check.relative_error for check in report.parameters)


def test_many_entries_are_drawn_at_random(rng: np.random.Generator) -> None:
    net = bpx.MLP([30, 20, 2], hidden="tanh", dtype="float64", backend="numpy")
    X, y = rng.normal(size=(N, 30)), [0, 1, 1, 0, 1]
    reports = [bpx.check_gradients(net, X, y, max_entries=50, seed=seed) for seed in (0, 0, 1)]
    assert [check.analytic.size for check in reports[0].parameters] == [50, 20, 40, 2]
    drawn = [report.parameters[0].analytic.tolist() for report in reports]
    assert drawn[0] == drawn[1] != drawn[2]
    assert all(report.passed for report in reports)


def test_the_report_prints_a_line_for_each_parameter_and_a_verdict() -> None:
    net, X, y = problem("tanh", "cross_entropy", 2, 3, None)
    report = bpx.check_gradients(net, X, y)
    lines = str(report).splitlines()
    assert lines[1].split("  ")[0] == "parameter"
    assert [line.split()[:2] for line in lines[3:-1]] == [["0.W", "12"], ["0.b", "4"], ["1.W", "12"], ["1.b", "3"]]
    assert lines[-1] == f"passed: largest relative error {report.max_relative_error:.2e}, tolerance 1e-07"
    strict = bpx.check_gradients(net, X, y, tolerance=1e-20)
    assert not strict.passed
    assert str(strict).splitlines()[-1].startswith("FAILED: largest relative error")
