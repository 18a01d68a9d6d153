"""`trace`: the numbers of a step are those that training uses, and every notation shows them."""

from __future__ import annotations

import json
import re
from typing import Any

import numpy as np
import pytest

import bpx

RATE = 0.25
# Loss, output activation, and targets for one sample of three outputs.
CASES = [
    ("squared_error", "identity", [0.3, -1.0, 2.0]),
    ("squared_error", "sigmoid", [0.0, 1.0, 0.5]),
    ("squared_error", "softmax", [0.0, 1.0, 0.0]),
    ("absolute_error", "tanh", [0.3, -1.0, 2.0]),
    ("huber", "identity", [0.3, -1.0, 9.0]),
    ("quantile", "identity", [0.3, -1.0, 2.0]),
    ("binary_cross_entropy", "sigmoid", [0.0, 1.0, 0.25]),
    ("cross_entropy", "softmax", [0.0, 1.0, 0.0]),
    ("cross_entropy", "softmax", [0.2, 0.5, 0.3]),
    ("poisson", "exp", [0.0, 3.0, 1.0]),
    ("poisson", "softplus", [0.0, 3.0, 1.0]),
]
EVERY = pytest.mark.parametrize(("loss", "output", "y"), CASES)


def network(output: str = "sigmoid", backend: Any = "numpy", **options: Any) -> bpx.MLP:
    """Two hidden layers, three outputs, biases that are not zero."""
    init = bpx.initializers.uniform(0.7)
    return bpx.MLP([2, 4, 3, 3], ["tanh", "silu"], output, init=init, dtype="float64", backend=backend, **options)


@pytest.fixture
def x(rng: np.random.Generator) -> np.ndarray:
    """Five samples of two numbers."""
    return rng.normal(size=(5, 2))


@EVERY
@pytest.mark.parametrize("many", [False, True])
def test_loss_and_gradients_are_those_of_the_network(
    lib: bpx.Backend, x: Any, close: Any, loss: str, output: str, y: Any, many: bool
) -> None:
    net = network(output, lib)
    X, Y = (x, [y] * 5) if many else (x[0], y)
    value, grads = net.loss_and_grads(X, Y, loss)
    t = bpx.trace(net, X, Y, loss, RATE)
    close(t.loss, float(value))
    for i, layer in enumerate(t.layers):
        close(layer.grad_W, lib.to_host(grads[f"{i}.W"]))
        close(layer.grad_b, lib.to_host(grads[f"{i}.b"]))
        close(layer.W, lib.to_host(net.params[f"{i}.W"]))
        close(layer.b, lib.to_host(net.params[f"{i}.b"]))


@EVERY
def test_new_parameters_are_those_after_one_step_of_fit(
    lib: bpx.Backend, x: Any, close: Any, loss: str, output: str, y: Any
) -> None:
    net = network(output, lib)
    before = np.array(lib.to_host(net.flat))
    t = bpx.trace(net, x, [y] * 5, loss, RATE)
    assert np.array_equal(lib.to_host(net.flat), before)
    bpx.fit(net, x, [y] * 5, loss, bpx.SGD(RATE), epochs=1, batch_size=None)
    for i, layer in enumerate(t.layers):
        close(layer.new_W, lib.to_host(net.params[f"{i}.W"]))
        close(layer.new_b, lib.to_host(net.params[f"{i}.b"]))


@EVERY
@pytest.mark.parametrize("many", [False, True])
def test_sums_and_outputs_follow_from_layer_to_layer(
    x: Any, close: Any, loss: str, output: str, y: Any, many: bool
) -> None:
    net = network(output)
    X, Y = (x, [y] * 5) if many else (x[0], y)
    t = bpx.trace(net, X, Y, loss, RATE)
    assert [layer.name for layer in t.layers] == ["tanh", "silu", output]
    close(t.x, X)
    close(t.y, Y)
    given = X
    for layer, a in zip(t.layers, net.activations(X), strict=True):
        close(layer.x, given)
        close(layer.z, given @ layer.W + layer.b)
        close(layer.a, a)
        given = a
    close(t.loss, np.sum(t.losses) / (5 if many else 1))


@EVERY
@pytest.mark.parametrize("many", [False, True])
def test_grad_a_and_delta_are_slopes_of_the_loss(x: Any, loss: str, output: str, y: Any, many: bool) -> None:
    # By central differences of the loss as a function of the last layer's outputs, and of its sums: for a loss that is
    # computed on the sums (cross-entropy behind softmax or sigmoid) both columns are right all the same.
    net = network(output)
    X, Y = (x, np.array([y] * 5)) if many else (x[0], np.array(y))
    t = bpx.trace(net, X, Y, loss, RATE)
    last = t.layers[-1]
    formula, activation = bpx.losses.get(loss), bpx.activations.get(output)
    n = 5 if many else 1

    def loss_of_a(a: np.ndarray) -> float:
        return float(np.sum(formula.on_outputs(np, np.atleast_2d(a), np.atleast_2d(Y))[0])) / n

    def loss_of_z(z: np.ndarray) -> float:
        return loss_of_a(activation.forward(np, z))

    h = 1e-5
    for place in np.ndindex(*last.z.shape):
        nudge = np.zeros_like(last.z)
        nudge[place] = h
        for function, at, slope in ((loss_of_a, last.a, last.grad_a), (loss_of_z, last.z, last.delta)):
            numerical = (function(at + nudge) - function(at - nudge)) / (2 * h)
            assert abs(slope[place] - numerical) <= 1e-7 * max(1.0, abs(numerical))


@pytest.mark.parametrize("many", [False, True])
def test_deltas_pass_back_through_the_weights_above(x: Any, close: Any, many: bool) -> None:
    X, Y = (x, [[0.0, 1.0, 0.5]] * 5) if many else (x[0], [0.0, 1.0, 0.5])
    t = bpx.trace(network(), X, Y, "binary_cross_entropy", RATE)
    for lower, upper in zip(t.layers, t.layers[1:], strict=False):
        close(lower.grad_a, upper.delta @ upper.W.T)
        close(upper.grad_W, np.atleast_2d(upper.x).T @ np.atleast_2d(upper.delta))
        close(upper.grad_b, np.sum(np.atleast_2d(upper.delta), axis=0))
    first = t.layers[0]
    close(first.delta, first.grad_a * (1.0 - first.a**2))


def test_cross_entropy_behind_softmax_shows_both_slopes(close: Any) -> None:
    net = bpx.MLP([1, 3], output="softmax", init="zeros", dtype="float64", backend="numpy")
    t = bpx.trace(net, [1.0], 2, "cross_entropy", RATE)
    close(t.layers[0].a, [1 / 3, 1 / 3, 1 / 3])
    close(t.layers[0].grad_a, [0.0, 0.0, -3.0])  # -y / a
    close(t.layers[0].delta, [1 / 3, 1 / 3, -2 / 3])  # a - y
    close(t.loss, np.log(3.0))
    close(t.losses, [0.0, 0.0, np.log(3.0)])
    assert t.y == 2


def test_binary_cross_entropy_behind_sigmoid_shows_both_slopes(close: Any) -> None:
    net = bpx.MLP([1, 2], output="sigmoid", init="zeros", dtype="float64", backend="numpy")
    net.set_params({"0.b": [0.0, np.log(3.0)]})
    t = bpx.trace(net, [1.0], [1.0, 0.0], "binary_cross_entropy", RATE)
    close(t.layers[0].a, [0.5, 0.75])
    close(t.layers[0].grad_a, [-2.0, 4.0])  # (a - y) / (a (1 - a))
    close(t.layers[0].delta, [-0.5, 0.75])  # a - y
    close(t.losses, [np.log(2.0), np.log(4.0)])


def test_shapes_have_a_sample_axis_only_for_several_samples(x: Any) -> None:
    one = bpx.trace(network(), x[0], [0.0, 1.0, 1.0])
    many = bpx.trace(network(), x, [[0.0, 1.0, 1.0]] * 5)
    for shapes, t in (((), one), ((5,), many)):
        layer = t.layers[0]
        assert layer.x.shape == (*shapes, 2)
        assert layer.z.shape == layer.a.shape == layer.grad_a.shape == layer.delta.shape == (*shapes, 4)
        assert layer.W.shape == layer.grad_W.shape == layer.new_W.shape == (2, 4)
        assert layer.b.shape == layer.grad_b.shape == layer.new_b.shape == (4,)
        assert t.losses.shape == (*shapes, 3)
    assert (one.loss_name, one.learning_rate) == ("squared_error", 0.5)


def test_a_layer_without_bias_has_none(x: Any, close: Any) -> None:
    net = network(bias=[True, False, True])
    t = bpx.trace(net, x[0], [0.0, 1.0, 1.0])
    layer = t.layers[1]
    assert layer.b is layer.grad_b is layer.new_b is None
    close(layer.z, layer.x @ layer.W)
    assert t.layers[2].b is not None
    assert str(t).count("b[1]") == 2
    assert t.to_dict()["layers"][1]["b"] is None
    json.dumps(t.to_dict())


# ---------------------------------------------------------------------- notations


@pytest.fixture(params=["one", "many", "no bias"])
def shown(request: pytest.FixtureRequest, x: Any) -> Any:
    """Traces that differ in what their tables hold."""
    if request.param == "no bias":
        return bpx.trace(network(bias=False), x[0], [0.0, 1.0, 1.0], "binary_cross_entropy", RATE)
    if request.param == "one":
        return bpx.trace(network(), x[0], [0.0, 1.0, 1.0], "binary_cross_entropy", RATE)
    return bpx.trace(network(), x, [[0.0, 1.0, 1.0]] * 5, "binary_cross_entropy", RATE)


def all_numbers(t: Any) -> list[str]:
    """Every number of the layers' tables with ten decimals."""
    arrays = [getattr(layer, name) for layer in t.layers for name in ("z", "a", "grad_a", "delta")]
    arrays += [getattr(layer, name) for layer in t.layers for name in ("W", "grad_W", "new_W", "b", "grad_b", "new_b")]
    return [f"{v:.10f}" for array in [*arrays, t.losses] if array is not None for v in array.ravel()]


@pytest.mark.parametrize("notation", ["__str__", "to_markdown", "to_latex"])
def test_every_number_is_shown(shown: Any, notation: str) -> None:
    text = getattr(shown, notation)()
    assert all(number in text for number in all_numbers(shown))
    assert f"{shown.loss:.10f}" in text
    assert f"learning rate {RATE}" in text


def test_text_has_a_line_for_each_neuron_and_each_weight(x: Any) -> None:
    t = bpx.trace(network(), x[0], [0.0, 1.0, 1.0])
    lines = str(t).splitlines()
    assert lines[0] == f"One step of gradient descent: loss squared_error = {t.loss:.10f}, learning rate 0.5"
    assert [line for line in lines if line.startswith("Layer")] == [
        "Layer 1: 2 -> 4, z = x W + b, a = tanh(z), delta = dL/dz",
        "Layer 2: 4 -> 3, z = x W + b, a = silu(z), delta = dL/dz",
        "Layer 3: 3 -> 3, z = x W + b, a = sigmoid(z), delta = dL/dz",
    ]
    assert sum(re.match(r"  \d+ ", line) is not None for line in lines) == 4 + 3 + 3
    assert sum(line.startswith("  W[") for line in lines) == 8 + 12 + 9
    weight = next(line for line in lines if line.startswith("  W[2, 3]"))
    layer = t.layers[0]
    assert weight.split()[2:] == [f"{v[1, 2]:.10f}" for v in (layer.W, layer.grad_W, layer.new_W)]


def test_markdown_tables_have_as_many_cells_in_each_row(shown: Any) -> None:
    text = shown.to_markdown()
    blocks = [block.splitlines() for block in text.split("\n\n") if block.startswith("|")]
    assert len(blocks) == 2 * len(shown.layers)
    for block in blocks:
        assert len({line.count("|") for line in block}) == 1
        assert re.fullmatch(r"\|:---(\|---:)+\|", block[1])
    titles = [block for block in text.split("\n\n") if not block.startswith("|")]
    assert [title.startswith("**") and title.endswith("**") for title in titles] == [True, False, True, True, True]
    assert "`binary_cross_entropy`" in titles[0]
    assert titles[1].startswith("inputs x = [")


def test_latex_is_well_formed(shown: Any) -> None:
    text = shown.to_latex()
    assert text.count(r"\begin{tabular}") == text.count(r"\end{tabular}") == 2 * len(shown.layers)
    assert text.count("{") == text.count("}")
    assert text.count("$") % 2 == 0
    outside = re.sub(r"\$[^$]*\$", "", text)
    assert not re.search(r"(?<!\\)[_^#%~]", outside)  # what LaTeX takes for more than a character
    assert r"binary\_cross\_entropy" in outside
    for table in re.findall(r"\\begin\{tabular\}\{(l r*|lr*)\}(.*?)\\end\{tabular\}", text, re.DOTALL):
        rows = [line for line in table[1].splitlines() if line.endswith(r"\\")]
        assert rows
        assert {row.count("&") for row in rows} == {table[0].count("r")}


def test_dict_survives_json(shown: Any) -> None:
    read = json.loads(json.dumps(shown.to_dict()))
    assert read == shown.to_dict()
    assert (read["loss"], read["loss_name"], read["learning_rate"]) == (shown.loss, "binary_cross_entropy", RATE)
    for layer, kept in zip(shown.layers, read["layers"], strict=True):
        assert kept["name"] == layer.name
        for name in ("x", "W", "b", "z", "a", "grad_a", "delta", "grad_W", "grad_b", "new_W", "new_b"):
            array = getattr(layer, name)
            assert (kept[name] is None) if array is None else np.array_equal(kept[name], array)


# ---------------------------------------------------------------------- what is refused


def test_a_stack_is_refused(x: Any) -> None:
    with pytest.raises(ValueError, match="trace shows one network, got a stack of 2"):
        bpx.trace(network(stack=2), x[0], [0.0, 1.0, 1.0])


@pytest.mark.parametrize("rate", [0.0, -1.0, float("inf")])
def test_a_rate_that_is_not_positive_and_finite_is_refused(x: Any, rate: float) -> None:
    with pytest.raises(ValueError, match="learning rate"):
        bpx.trace(network(), x[0], [0.0, 1.0, 1.0], learning_rate=rate)


def test_a_step_activation_is_refused(x: Any) -> None:
    net = bpx.MLP([2, 3, 3], hidden="step", output="sigmoid", dtype="float64", backend="numpy")
    with pytest.raises(bpx.NotDifferentiableError, match="'step'"):
        bpx.trace(net, x[0], [0.0, 1.0, 1.0])
