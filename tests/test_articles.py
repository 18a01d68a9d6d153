"""The four articles that bpx implements: every exact number, every feature, and what is right where one is wrong.

000 and 003 train small networks sample by sample, 001 works a step out by hand, 002 minimises with conjugate gradients.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_digits, make_moons

import bpx
from bpx import StopReason

TEN_DECIMALS = 0.5e-10


def exact(actual: Any, printed: Any) -> None:
    """Equal when both are rounded to ten decimals."""
    actual, printed = np.asarray(actual, dtype=np.float64), np.asarray(printed, dtype=np.float64)
    assert actual.shape == printed.shape
    assert np.all(np.abs(actual - printed) < TEN_DECIMALS), f"{actual} is not {printed}"


def network(sizes: list[int], hidden: Any = "sigmoid", output: str = "sigmoid", **options: Any) -> bpx.MLP:
    """A network in float64 on NumPy, logistic as in the articles unless said otherwise."""
    return bpx.MLP(sizes, hidden, output, **({"dtype": "float64", "backend": "numpy"} | options))


# ---------------------------------------------------------------------- 000: online gradient descent, XOR

XOR, XOR_TARGETS = np.array([[0.0, 0], [0, 1], [1, 0], [1, 1]]), np.array([[0.0], [1], [1], [0]])
ONLINE = {"loss": "squared_error", "optimizer": bpx.SGD(0.2), "batch_size": 1, "sampling": "replacement"}


def solved(net: bpx.MLP) -> int:
    """How many networks of a stack have each output within 0.2 of its target."""
    return int(np.sum(np.all(np.abs(net(XOR) - XOR_TARGETS) < 0.2, axis=(-2, -1))))


@pytest.mark.parametrize(("d", "q", "outputs"), [(2, 3, 1), (64, 25, 10), (1, 1, 1), (5, 10, 2)])
def test_000_a_three_layer_network_has_d_plus_l_plus_1_times_q_plus_l_parameters(d: int, q: int, outputs: int) -> None:
    assert network([d, q, outputs]).n_params == (d + outputs + 1) * q + outputs


def test_000_weights_and_thresholds_start_uniform_in_a_quarter() -> None:
    flat = network([20, 30, 20], init=bpx.initializers.uniform(0.25)).flat
    assert -0.25 <= flat.min() < -0.249
    assert 0.249 < flat.max() < 0.25
    assert abs(flat.mean()) < 5 * 0.5 / np.sqrt(12 * flat.size)


@pytest.mark.slow
def test_000_online_training_solves_xor_on_at_least_48_of_50_seeds() -> None:
    # The article's network in truth: 3 hidden units, no bias at the output. Fifty seeds in one stack, which share the
    # order of the samples; 2 500 epochs of four draws are the article's 10 000 steps.
    init = bpx.initializers.uniform(0.25)
    net = network([2, 3, 1], "tanh", "tanh", bias=[True, False], init=init, stack=50)
    assert net.n_params == 12
    history = bpx.fit(net, XOR, XOR_TARGETS, epochs=2500, **ONLINE)
    assert history.steps == 10_000
    assert solved(net) >= 48


def test_000_one_network_alone_solves_xor_and_predicts_single_samples() -> None:
    init = bpx.initializers.uniform(0.25)
    net = network([2, 3, 1], "tanh", "tanh", bias=[True, False], init=init, seed=1)
    bpx.fit(net, XOR, XOR_TARGETS, epochs=2500, seed=1, **ONLINE)
    for x, target in zip(XOR, XOR_TARGETS, strict=True):
        assert net(x).shape == (1,)
        assert abs(net(x)[0] - target[0]) < 0.2


def test_000_a_true_2_2_1_network_sometimes_stops_in_a_local_minimum() -> None:
    net = network([2, 2, 1], "tanh", "tanh", init=bpx.initializers.uniform(0.25), stack=64)
    assert net.n_params == 9
    bpx.fit(net, XOR, XOR_TARGETS, epochs=2500, **ONLINE)
    assert 0 < solved(net) < 64


def test_000_the_step_function_answers_but_does_not_learn() -> None:
    net = network([2, 2, 1], "step", "step")  # or and and; their difference is exclusive or
    net.set_params({"0.W": [[1, 1], [1, 1]], "0.b": [-0.5, -1.5], "1.W": [[1], [-1]], "1.b": [-0.5]})
    before = np.array(net.flat)
    assert net(XOR).tolist() == XOR_TARGETS.tolist()
    for refused in (net.loss_and_grads, net.input_gradient, bpx.check_gradients, bpx.trace, bpx.fit):
        of = () if getattr(refused, "__self__", None) is net else (net,)
        with pytest.raises(bpx.NotDifferentiableError, match="'step' has no derivative"):
            refused(*of, XOR, XOR_TARGETS, "squared_error")
    assert np.array_equal(net.flat, before)


# ---------------------------------------------------------------------- 001: one step by hand

# Quantity, with the biases that the article states, with those that it used.
STEP_001 = [
    (lambda t: t.layers[0].a, (0.6456563062, 0.6615031592), (0.6456563062, 0.6592603885)),
    (lambda t: t.layers[1].a, (0.7989476414, 0.8390480283), (0.7987314002, 0.8374488853)),
    (lambda t: t.losses, (0.3112191904, 0.0113932489), (0.3110486109, 0.0116359213)),
    (lambda t: t.loss, 0.3226124393, 0.3226845322),
    (lambda t: t.layers[1].grad_W[0, 0], 0.0818233150, 0.0818667050),  # w5
    (lambda t: t.layers[1].new_W[0, 0], 0.4590883425, 0.4590666475),
    (lambda t: t.layers[1].delta[0], 0.1267289024, 0.1267961054),
    (lambda t: t.layers[0].grad_a[0], 0.0490945833, 0.0488614913),
    (lambda t: t.layers[0].grad_W[0, 0], 0.0011232067, 0.0011178739),  # w1
    (lambda t: t.layers[0].new_W[0, 0], 0.0994383967, 0.0994410630),
]
BIASES_001 = {"stated": ([0.55, 0.56], [0.66, 0.67]), "used": ([0.55, 0.55], [0.66, 0.66])}


@pytest.mark.parametrize("biases", BIASES_001)
@pytest.mark.parametrize(("quantity", "stated", "used"), STEP_001)
def test_001_the_worked_step(biases: str, quantity: Any, stated: Any, used: Any) -> None:
    net = network([2, 2, 2])
    # The article's rows are neurons, bpx's columns are.
    weights = {"0.W": [[0.1, 0.3], [0.2, 0.4]], "1.W": [[0.5, 0.7], [0.6, 0.8]]}
    net.set_params(weights | {"0.b": BIASES_001[biases][0], "1.b": BIASES_001[biases][1]})
    t = bpx.trace(net, [0.1, 0.2], [0.01, 0.99], "squared_error", learning_rate=0.5)
    exact(quantity(t), used if biases == "used" else stated)


def test_001_cross_entropy_has_its_minus_sign(close: Any) -> None:
    t = bpx.trace(network([1, 1], init="zeros"), [1.0], [1.0], "binary_cross_entropy")
    close([t.loss, t.layers[0].grad_a[0], t.layers[0].delta[0]], [np.log(2.0), -2.0, -0.5])


def test_001_the_derivative_of_tanh_is_1_minus_its_square(close: Any) -> None:
    net = network([1, 1], output="tanh")
    net.set_params({"0.W": [[0.7]]})
    layer = bpx.trace(net, [1.0], [3.0]).layers[0]
    close(layer.delta / layer.grad_a, 1.0 - np.tanh([0.7]) ** 2)


def test_001_weights_start_normal_over_the_root_of_fan_in() -> None:
    net = network([100, 400, 50], init="lecun_normal")
    for n_in, W, b in zip(net.sizes, net.weights, net.biases, strict=False):
        assert abs(np.std(W) * np.sqrt(n_in) - 1.0) < 5 / np.sqrt(2 * W.size)
        assert not np.any(b)


@pytest.mark.parametrize("hidden", ["sigmoid", "tanh", "relu"])
@pytest.mark.parametrize("loss", ["squared_error", "binary_cross_entropy"])
def test_001_networks_of_any_depth_learn_by_full_batch_gradient_descent(
    capsys: pytest.CaptureFixture[str], hidden: str, loss: str
) -> None:
    X, labels = make_moons(60, noise=0.2, random_state=0)
    net = network([2, 4, 3, 1], hidden, init="lecun_normal")
    history = bpx.fit(net, X, labels, loss, bpx.SGD(0.0618), 2000, batch_size=None, progress=500)
    assert len(history.loss) == history.steps == 2000  # the cost of every iteration, to plot
    assert history.loss[-1] < history.loss[0]
    assert capsys.readouterr().err.count("\n") == 4  # and every 500th printed


@pytest.mark.parametrize("n_hidden", [1, 2, 4, 10, 20, 50])
def test_001_two_moons_with_two_outputs_and_arg_max(n_hidden: int) -> None:
    X, labels = make_moons(60, noise=1.0, random_state=0)
    net = network([2, n_hidden, 2], "tanh", init="lecun_normal")
    history = bpx.fit(net, X, labels, "binary_cross_entropy", bpx.SGD(0.1), 1000, batch_size=None)
    assert history.loss[-1] < history.loss[0]
    assert np.mean(net(X).argmax(axis=1) == labels) > 0.6


# ---------------------------------------------------------------------- 002: regularised, by conjugate gradients


def sines(rows: int, columns: int) -> np.ndarray:
    """sin(1), sin(2), ... over ten, row by row."""
    return np.sin(np.arange(1, rows * columns + 1)).reshape(rows, columns) / 10


def network_002() -> tuple[bpx.MLP, np.ndarray, np.ndarray]:
    """The article's gradient-check network: 3 inputs, 5 hidden, 3 outputs, 5 samples. Its biases are first columns."""
    net, hidden, output = network([3, 5, 3]), sines(5, 4), sines(3, 6)
    net.set_params({"0.W": hidden[:, 1:].T, "0.b": hidden[:, 0], "1.W": output[:, 1:].T, "1.b": output[:, 0]})
    return net, sines(5, 3), np.array([1, 2, 0, 1, 2])


COSTS_002 = [(0, 2.0968019835, 0.5166457468), (1, 2.1123257830, 0.5149692132), (3, 2.1433733821, 0.5468010013)]


@pytest.mark.parametrize(("strength", "cost", "norm"), COSTS_002)
@pytest.mark.parametrize("form", ["labels", "one-hot"])
def test_002_cost_and_gradient_of_the_gradient_check(strength: int, cost: float, norm: float, form: str) -> None:
    net, X, labels = network_002()
    before = np.array(net.flat)
    y = labels if form == "labels" else np.eye(3)[labels]
    loss, grads = net.loss_and_grads(X, y, "binary_cross_entropy", l2=strength / len(X))  # lambda / (2 m) sum Theta^2
    exact([float(loss), np.linalg.norm(grads.flat)], [cost, norm])
    assert np.array_equal(net.flat, before)  # the article's function changes the parameters it was given


@pytest.mark.parametrize("strength", [0, 1, 3])
def test_002_back_propagation_and_central_differences_differ_by_less_than_1e_10(strength: int) -> None:
    net, X, labels = network_002()
    report = bpx.check_gradients(net, X, labels, "binary_cross_entropy", l2=strength / len(X))
    assert all(check.absolute_error < 1e-10 for check in report.parameters)
    assert sum(check.numerical.size for check in report.parameters) == net.n_params == 38  # both columns, all of it


@pytest.mark.parametrize("strength", [0, 1, 3])
def test_002_central_differences_as_the_article_takes_them(strength: int) -> None:
    net, X, labels = network_002()

    def cost() -> float:
        return float(net.loss_and_grads(X, labels, "binary_cross_entropy", l2=strength / len(X))[0])

    analytic = np.array(net.loss_and_grads(X, labels, "binary_cross_entropy", l2=strength / len(X))[1].flat)
    numerical = np.empty(net.n_params)
    for i in range(net.n_params):
        value = net.flat[i]
        net.flat[i] = value + 1e-4
        above = cost()
        net.flat[i] = value - 1e-4
        numerical[i] = (above - cost()) / 2e-4
        net.flat[i] = value
    assert np.max(np.abs(analytic - numerical)) < 1e-10


def test_002_all_parameters_lie_in_one_vector_and_come_out_of_it_again() -> None:
    net, _, _ = network_002()
    packed = np.concatenate([view.ravel() for view in net.params.values()])
    assert np.array_equal(net.flat, packed)
    other = network([3, 5, 3])
    other.flat[...] = packed
    assert all(np.array_equal(other.params[name], view) for name, view in net.params.items())


def test_002_weights_start_uniform_within_the_root_of_6_over_both_fans() -> None:
    W = network([64, 25, 10]).weights[0]
    limit = np.sqrt(6 / (64 + 25))
    assert 0.99 * limit < np.max(np.abs(W)) <= limit


# Bounds of cost and training accuracy. A plain SciPy program on the same data gets 0.25 and 99.9 % or more with
# standardised features; without, 0.31 to 0.40 and 98.7 to 98.9 %, and on some seeds no better than 0.64 and 96 %.
DIGITS = {True: ((0.245, 0.255), (0.999, 1.0)), False: ((0.29, 0.70), (0.95, 0.995))}


@pytest.mark.parametrize("standardised", DIGITS)
def test_002_conjugate_gradients_on_the_digits(standardised: bool) -> None:
    X, labels = load_digits(return_X_y=True)
    if standardised:
        spread = X.std(axis=0)
        X = (X - X.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    net = network([64, 25, 10])
    history = bpx.fit(net, X, labels, "binary_cross_entropy", "cg", epochs=100, l2=1.0 / len(X))
    accuracy = np.mean(net(X).argmax(axis=1) == labels)
    (low, high), (least, most) = DIGITS[standardised]
    assert history.stop_reason is StopReason.EPOCHS
    assert low <= history.loss[-1] <= high
    assert least <= accuracy <= most


# ---------------------------------------------------------------------- 003: momentum and stopping rules


def test_003_the_worked_network() -> None:
    h1, h2 = [0.1, 0.2, 0.3, -0.4, -0.1, -0.2, -0.3, 0.4, 0.5], [0.2, 0.4, 0.1, -0.2, -0.4, 0.3, 0.2, 0.4, -0.2]
    net = network([9, 2, 1])
    net.set_params({"0.W": np.array([h1, h2]).T, "0.b": [-0.1, 0.2], "1.W": [[0.7], [0.5]], "1.b": [0.1]})
    hidden, output = bpx.trace(net, [1, 0, 1, 0, 0, 1, 0, 0, 0], [1], "squared_error", learning_rate=0.01).layers
    exact([*hidden.z, *output.z], [0.1, 0.8, 0.8124726718])
    exact([*hidden.a, *output.a], [0.5249791875, 0.6899744811, 0.6926361652])
    exact([*-hidden.delta, *-output.delta], [0.0114225603, 0.0069986000, 0.0654350888])
    exact([*hidden.new_b, *output.new_b], [-0.0998857744, 0.2000699860, 0.1006543509])
    exact(output.new_W[:, 0], [0.7003435206, 0.5004514854])
    exact(hidden.new_W[[0, 2, 5], 0], [0.1001142256, 0.3001142256, -0.1998857744])
    exact(hidden.new_W[[0, 2, 5], 1], [0.2000699860, 0.1000699860, 0.3000699860])
    others = [1, 3, 4, 6, 7, 8]
    assert np.array_equal(hidden.new_W[others], hidden.W[others])


ONE, ZERO = [1, 0, 1, 0, 1], [1, 0, 1, 1, 1]
PATTERN, CLASSES = np.array([ONE, ONE, ONE, ZERO, ONE, ZERO]), np.array([1, 1, 1, 0, 1, 0])
IN_ORDER = {"loss": "squared_error", "optimizer": bpx.SGD(0.1, momentum=0.1), "batch_size": 1, "sampling": "sequential"}


def pattern_network(n_out: int = 1, hidden: str = "tanh", **options: Any) -> bpx.MLP:
    """Ten hidden units, weights and biases from [-0.2, 0.2)."""
    return network([5, 10, n_out], hidden, init=bpx.initializers.uniform(0.2), **options)


@pytest.mark.parametrize(
    ("hidden", "one", "zero"),
    [
        ("tanh", (0.98, 0.99), (0.02, 0.03)),  # what the article's function is: it got 0.983 and 0.023
        ("sigmoid", (0.94, 0.96), (0.06, 0.09)),  # what it is called
        ("relu", (0.95, 0.99), (0.01, 0.07)),
    ],
)
@pytest.mark.slow
def test_003_the_fixed_pattern_on_fifty_seeds(hidden: str, one: Any, zero: Any) -> None:
    net = pattern_network(hidden=hidden, stack=50)
    bpx.fit(net, PATTERN, CLASSES, epochs=1000, **IN_ORDER)
    answers = net([ONE, ZERO])[..., 0]
    assert np.all((one[0] < answers[:, 0]) & (answers[:, 0] < one[1]))
    assert np.all((zero[0] < answers[:, 1]) & (answers[:, 1] < zero[1]))


def test_003_two_outputs_are_named_by_arg_max() -> None:
    net = pattern_network(2)
    bpx.fit(net, PATTERN, np.eye(2)[1 - CLASSES], epochs=1000, **IN_ORDER)
    asked = [ONE, ONE, ZERO, ONE, ZERO, ONE, ONE, ZERO, ONE, [1, 1, 1, 0, 1]]
    names = [("cat", "dog")[i] for i in net(asked).argmax(axis=1)]
    assert names == ["cat", "cat", "dog", "cat", "dog", "cat", "cat", "dog", "cat", "cat"]


@pytest.mark.parametrize(
    ("rule", "reason"),
    [
        (bpx.stop.MaxWeightChange(0.003), StopReason.MAX_WEIGHT_CHANGE),
        (bpx.stop.ErrorRate(0.1), StopReason.ERROR_RATE),
        ((), StopReason.EPOCHS),
    ],
)
def test_003_the_three_stopping_rules(rule: Any, reason: StopReason) -> None:
    net, flats = pattern_network(), []
    history = bpx.fit(
        net, PATTERN, CLASSES, epochs=1000, stop=rule, callbacks=[lambda run: flats.append(np.array(run.net.flat))],
        **IN_ORDER,
    )  # fmt: skip
    assert history.stop_reason is reason
    assert (history.epochs == 1000) == (reason is StopReason.EPOCHS)
    if reason is StopReason.MAX_WEIGHT_CHANGE:
        changes = np.max(np.abs(np.diff(flats, axis=0)), axis=1)
        assert changes[-1] < 0.003 <= changes[:-1].min()
    if reason is StopReason.ERROR_RATE:
        assert np.array_equal(net(PATTERN)[:, 0] > 0.5, CLASSES == 1)


def test_003_the_error_of_each_epoch_is_a_root_mean_square_and_the_best_is_kept(close: Any) -> None:
    net, outputs = pattern_network(2), []
    targets = np.eye(2)[1 - CLASSES]

    class BeforeEachStep(bpx.Callback):
        def on_fit_begin(self, run: Any) -> None:
            outputs.append(run.net(PATTERN[0]))

        def on_step_end(self, run: Any) -> None:
            outputs.append(run.net(PATTERN[run.step % 6]))

    rule = bpx.stop.Patience("loss", patience=50)
    history = bpx.fit(net, PATTERN, targets, epochs=30, stop=rule, callbacks=[BeforeEachStep()], **IN_ORDER)
    seen = np.array(outputs[:-1]).reshape(30, 6, 2)
    close(np.sqrt(history.loss), np.sqrt(np.mean((seen - targets) ** 2, axis=(1, 2))))
    assert history.best_epoch == 1 + int(np.argmin(history.loss))


def test_003_momentum_carries_on_the_last_step_not_the_last_gradient(close: Any) -> None:
    # One weight, one sample x = 1 with target 0, no activation: the gradient is the weight itself.
    net, weights = network([1, 1], output="identity", bias=False, init="zeros"), []
    net.set_params({"0.W": [[1.0]]})
    keep = lambda run: weights.append(float(run.net.flat[0]))  # noqa: E731
    bpx.fit(net, [[1.0]], [0.0], epochs=3, callbacks=[keep], **IN_ORDER)
    close(weights, [0.9, 0.9 - 0.09 - 0.1 * 0.1, 0.8 - 0.08 - 0.1 * 0.1])
    # The article adds 0.1 times the last gradient, ten times as much: 0.9 - 0.09 - 0.1 * 1.
    assert abs(weights[1] - 0.71) > 0.08


def test_003_wrong_lengths_are_named() -> None:
    net = pattern_network(2)
    with pytest.raises(bpx.ShapeError, match="expected 5 columns, as many as the network has inputs, got 3"):
        net([1, 0, 1])
    with pytest.raises(bpx.ShapeError, match=r"expected shape \(6, 2\), one column per output, got \(6, 3\)"):
        bpx.fit(net, PATTERN, np.ones((6, 3)), **IN_ORDER)
