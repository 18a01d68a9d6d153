"""Every loss against an independent formula in extended precision, its derivative against a complex step."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.special

import bpx
from bpx.formulas import losses
from bpx.formulas.activations import ACTIVATIONS
from bpx.formulas.losses import LOSSES, Loss, value_and_grad

DTYPES = ("float32", "float64")
COMPLEX_STEP = 1e-30  # far below the smallest rounding error: a complex step knows no cancellation


def _size(r):
    """|r| for real r; for complex r its continuation off the real axis."""
    return np.where(np.real(r) >= 0, r, -r)


# loss(a, y) for each sample and output, for real and for complex a, written apart from bpx.
REFERENCE = {
    "squared_error": lambda a, y: (a - y) ** 2 / 2,
    "absolute_error": lambda a, y: _size(a - y),
    "huber": lambda a, y: np.where(np.abs(a - y) <= 1, (a - y) ** 2 / 2, _size(a - y) - 0.5),
    "quantile": lambda a, y: np.where(np.real(a) <= y, 0.5 * (y - a), 0.5 * (a - y)),
    "binary_cross_entropy": lambda a, y: -y * np.log(a) - (1 - y) * np.log(1 - a),
    "cross_entropy": lambda a, y: -y * np.log(a),
    "poisson": lambda a, y: y * np.log(np.where(y > 0, y, 1)) - y * np.log(a) + a - y,
}
# The output activation that each loss is made for, as every user of the other names would pick it.
NATURAL = {"binary_cross_entropy": "sigmoid", "cross_entropy": "softmax", "poisson": "exp"}
FUSED = sorted(NATURAL)

EVERY = {*ACTIVATIONS}
UNIT = {"sigmoid", "logistic", "softmax", "step"}
ACCEPTED = {
    "squared_error": EVERY,
    "absolute_error": EVERY,
    "huber": EVERY,
    "quantile": EVERY,
    "binary_cross_entropy": UNIT,
    "cross_entropy": {"softmax"},
    "poisson": UNIT | {"softplus", "exp"},
}


def _outputs(name: str, rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> np.ndarray:
    """Outputs on which that loss is defined."""
    if name == "cross_entropy":
        return scipy.special.softmax(rng.normal(size=shape), axis=-1).astype(dtype)
    if name == "binary_cross_entropy":
        return rng.uniform(0.05, 0.95, shape).astype(dtype)
    a = 2.0 * rng.normal(size=shape)
    return (np.exp(a) if name == "poisson" else a).astype(dtype)


def _targets(name: str, rng: np.random.Generator, shape: tuple[int, int], dtype: str = "float64") -> np.ndarray:
    """Targets that the loss allows: soft ones for cross-entropies, counts with zeros for Poisson's."""
    if name == "cross_entropy":
        return rng.dirichlet(np.ones(shape[1]), shape[0]).astype(dtype)
    if name == "binary_cross_entropy":
        return rng.choice([0.0, 0.25, 1.0], shape).astype(dtype)
    return (rng.poisson(2.0, shape) if name == "poisson" else rng.normal(size=shape)).astype(dtype)


def _net(name: str, lib, dtype: str = "float64", stack: int | None = None) -> bpx.MLP:
    """A small network with the output that the loss is made for."""
    return bpx.MLP([3, 4, 3], "tanh", NATURAL.get(name, "identity"), dtype=dtype, backend=lib, stack=stack)


def test_every_registered_loss_is_tested():
    assert set(LOSSES) == set(REFERENCE) == set(ACCEPTED)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", sorted(LOSSES))
def test_value_and_derivative_are_the_formula_and_its_complex_step(lib, close, rng, name, dtype):
    a, y = _outputs(name, rng, (2, 8, 3), dtype), _targets(name, rng, (8, 3), dtype)
    values, grad = LOSSES[name].on_outputs(lib.xp, lib.asarray(a), lib.asarray(y))
    exact = a.astype(np.longdouble)
    close(lib.to_host(values), REFERENCE[name](exact, y), dtype)
    close(lib.to_host(grad), np.imag(REFERENCE[name](exact + 1j * COMPLEX_STEP, y)) / COMPLEX_STEP, dtype)
    for result in (values, grad):
        assert (result.dtype, result.device) == (lib.asarray(a).dtype, lib.asarray(a).device)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", FUSED)
def test_logits_form_is_the_outputs_form_behind_its_activation(lib, close, rng, name, dtype):
    loss, activation = LOSSES[name], ACTIVATIONS[NATURAL[name]]
    assert loss.takes_logits(activation)
    assert not loss.takes_logits(ACTIVATIONS["identity"])
    z, y = lib.asarray(rng.normal(size=(2, 8, 3)).astype(dtype)), lib.asarray(_targets(name, rng, (8, 3), dtype))
    a = activation.forward(lib.xp, z)
    values, grad_a = loss.on_outputs(lib.xp, a, y)
    fused, grad_z = loss.on_logits(lib.xp, z, y)
    close(lib.to_host(fused), lib.to_host(values), dtype)
    close(lib.to_host(grad_z), lib.to_host(activation.backward(lib.xp, grad_a, z, a)), dtype)
    assert (fused.dtype, fused.device, grad_z.dtype, grad_z.device) == (z.dtype, z.device, z.dtype, z.device)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("form", ["on_outputs", "on_logits"])
def test_labels_one_hot_rows_and_soft_rows_give_the_same_cross_entropy(lib, rng, form, dtype):
    labels = np.array([0, 2, 1, 1, 2])
    z = lib.asarray(scipy.special.softmax(rng.normal(size=(2, 5, 3)), axis=-1).astype(dtype))
    formula = getattr(LOSSES["cross_entropy"], form)
    expected = [lib.to_host(part) for part in formula(lib.xp, z, lib.asarray(np.eye(3, dtype=dtype)[labels]))]
    for part, same in zip(formula(lib.xp, z, lib.asarray(labels)), expected, strict=True):
        np.testing.assert_allclose(lib.to_host(part), same, rtol=0, atol=1e-7 if dtype == "float32" else 1e-16)


def test_cross_entropy_of_a_network_takes_labels_in_any_form(lib, close, rng):
    X, labels = rng.normal(size=(5, 3)), np.array([0, 2, 1, 1, 2])
    net = _net("cross_entropy", lib, stack=2)
    loss, grads = net.loss_and_grads(X, np.eye(3)[labels], "cross_entropy")
    loss, flat = lib.to_host(loss), np.array(lib.to_host(grads.flat))
    for same in (labels, labels.astype(np.uint8), labels.tolist(), np.eye(3, dtype=bool)[labels]):
        again, grads = net.loss_and_grads(X, same, "cross_entropy")
        close(lib.to_host(again), loss)
        close(lib.to_host(grads.flat), flat)


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_loss_is_the_mean_over_samples_of_the_sum_over_outputs(lib, close, rng, name):
    a, y = _outputs(name, rng, (2, 8, 3), "float64"), _targets(name, rng, (8, 3))
    values, slopes = (lib.to_host(part) for part in LOSSES[name].on_outputs(lib.xp, lib.asarray(a), lib.asarray(y)))
    loss, grad = value_and_grad(lib.xp, LOSSES[name].on_outputs, lib.asarray(a), lib.asarray(y), None)
    close(lib.to_host(loss), [row.sum() / 8 for row in values])
    close(lib.to_host(grad), slopes / 8)
    w = rng.uniform(0.0, 2.0, (2, 8, 1))  # each network its own
    loss, grad = value_and_grad(lib.xp, LOSSES[name].on_outputs, lib.asarray(a), lib.asarray(y), lib.asarray(w))
    close(lib.to_host(loss), [np.sum(w[k] * values[k]) / np.sum(w[k]) for k in range(2)])
    close(lib.to_host(grad), np.stack([w[k] * slopes[k] / np.sum(w[k]) for k in range(2)]))


def test_weights_that_are_all_zero_give_a_loss_and_a_gradient_of_zero(lib):
    a = lib.asarray(np.ones((2, 3, 1)))
    loss, grad = value_and_grad(lib.xp, losses.squared_error, a, a * 2.0, lib.asarray(np.zeros((3, 1))))
    np.testing.assert_array_equal(lib.to_host(loss), [0.0, 0.0])
    np.testing.assert_array_equal(lib.to_host(grad), np.zeros((2, 3, 1)))


@pytest.mark.parametrize("stack", [None, 2])
@pytest.mark.parametrize("name", sorted(LOSSES))
def test_a_weight_counts_like_repeated_rows_and_a_zero_like_none(lib, close, rng, name, stack):
    X, y = rng.normal(size=(6, 3)), _targets(name, rng, (6, 3))
    weight = np.array([2, 0, 1, 3, 0, 1])
    net = _net(name, lib, stack=stack)
    loss, grads = net.loss_and_grads(X, y, name, l2=0.1, sample_weight=weight)
    loss, flat = lib.to_host(loss), np.array(lib.to_host(grads.flat))
    repeated, grads = net.loss_and_grads(np.repeat(X, weight, axis=0), np.repeat(y, weight, axis=0), name, l2=0.1)
    close(loss, lib.to_host(repeated))
    close(flat, lib.to_host(grads.flat))
    X[weight == 0] = 1e6  # what a zero-weight row holds does not matter
    again, grads = net.loss_and_grads(X, y, name, l2=0.1, sample_weight=0.5 * weight)
    close(lib.to_host(again), loss)
    close(lib.to_host(grads.flat), flat)


EXTREME = np.array([[1e4, -1e4, 0.0], [-1e4, 1e4, 1e4], [-1e4, -1e4, -1e4], [90.0, -90.0, 1e3], [-86.0, -1e3, 104.0]])


@pytest.mark.parametrize(
    ("name", "output"),
    # The square of exp(z) is beyond float32 from z = 45 on, and an infinite loss is then the truth.
    [(n, o) for n in sorted(LOSSES) for o in sorted(ACCEPTED[n] - {"step"}) if (n, o) != ("squared_error", "exp")],
)
def test_extreme_logits_give_a_finite_loss_and_gradient_without_a_warning(lib, name, output):
    net = bpx.MLP([3, 3], output=output, bias=False, backend=lib)
    net.set_params({"0.W": np.eye(3)})  # the inputs are the logits
    targets = [np.eye(3)[[0, 0, 1, 2, 1]]]
    if name == "cross_entropy":
        targets += [np.array([1, 2, 0, 0, 2]), np.full((5, 3), 1 / 3)]
    elif name == "binary_cross_entropy":
        targets += [1.0 - targets[0], 0.3 + 0.0 * targets[0]]
    elif name == "poisson":
        targets += [50.0 * targets[0], np.full((5, 3), 1e6)]
    for y in targets:
        for weight in (None, np.arange(5.0)):
            loss, grads = net.loss_and_grads(EXTREME, y, name, sample_weight=weight)
            assert np.isfinite(lib.to_host(loss))
            assert np.all(np.isfinite(lib.to_host(grads.flat)))
            assert np.all(np.isfinite(lib.to_host(net.input_gradient(EXTREME, y, name, sample_weight=weight))))


@pytest.mark.parametrize(
    ("name", "z", "y", "value", "grad"),
    [
        ("cross_entropy", [1e4, -1e4], [0.0, 1.0], 2e4, [1.0, -1.0]),
        ("cross_entropy", [1e4, -1e4], [1.0, 0.0], 0.0, [0.0, 0.0]),
        ("binary_cross_entropy", [1e4, -1e4], [0.0, 1.0], 2e4, [1.0, -1.0]),
        ("binary_cross_entropy", [1e4, -1e4], [1.0, 0.0], 0.0, [0.0, 0.0]),
        # -y - y z + y log y, and 0 for a count of zero
        ("poisson", [-1e4, -1e4], [2.0, 0.0], 2e4 - 2.0 + 2.0 * np.log(2.0), [-2.0, 0.0]),
    ],
)
def test_extreme_logits_give_the_true_loss(lib, close, name, z, y, value, grad):
    z, y = (lib.asarray(np.array([row], dtype=np.float32)) for row in (z, y))
    values, grad_z = LOSSES[name].on_logits(lib.xp, z, y)
    close(lib.to_host(values).sum(), value, "float32")
    # A gradient of zero may come as a number below the smallest normal one.
    np.testing.assert_allclose(lib.to_host(grad_z), [grad], rtol=0, atol=np.finfo(np.float32).tiny)


@pytest.mark.parametrize("output", sorted(ACTIVATIONS))
@pytest.mark.parametrize("name", sorted(LOSSES))
def test_a_loss_refuses_the_outputs_on_which_it_is_not_defined(name, output):
    if output in ACCEPTED[name]:
        LOSSES[name].check_output(ACTIVATIONS[output], 3)
    else:
        with pytest.raises(ValueError, match=f"loss '{name}' needs outputs .* use output='{NATURAL[name]}'"):
            LOSSES[name].check_output(ACTIVATIONS[output], 3)


def test_a_network_refuses_the_loss_before_it_computes():
    net = bpx.MLP([2, 2], output="identity", backend="numpy")
    with pytest.raises(ValueError, match="softmax"):
        net.loss_and_grads(np.ones((1, 2)), [0], "cross_entropy")


@pytest.mark.parametrize("delta", [0.1, 1.345, 5.0])
def test_huber_is_quadratic_within_delta_and_linear_beyond(lib, close, delta):
    r = np.linspace(-6.0, 6.0, 25)[:, None]
    values, grad = losses.huber(delta).on_outputs(lib.xp, lib.asarray(r + 1.0), lib.asarray(np.ones_like(r)))
    close(lib.to_host(values), np.where(np.abs(r) <= delta, r**2 / 2, delta * (np.abs(r) - delta / 2)))
    close(lib.to_host(grad), np.clip(r, -delta, delta))


@pytest.mark.parametrize("levels", [0.5, 0.1, (0.1, 0.5, 0.9), [0.25, 0.25, 0.75]])
@pytest.mark.parametrize("dtype", DTYPES)
def test_quantile_is_the_pinball_loss_with_a_level_for_each_output(lib, close, rng, levels, dtype):
    a, y = rng.normal(size=(2, 9, 3)).astype(dtype), rng.normal(size=(9, 3)).astype(dtype)
    values, grad = losses.quantile(levels).on_outputs(lib.xp, lib.asarray(a), lib.asarray(y))
    q = np.broadcast_to(np.asarray(levels), (3,))
    close(lib.to_host(values), np.maximum(q * (y - a), (q - 1.0) * (y - a)), dtype)
    close(lib.to_host(grad), np.where(y > a, -q, 1.0 - q), dtype)
    assert values.dtype == grad.dtype == lib.asarray(a).dtype


def test_constants_that_minimise_quantile_losses_are_the_quantiles(rng):
    # One input that is always 1 and no bias: the network's three weights are its three constants.
    y = rng.exponential(size=(999, 1))
    net = bpx.MLP([1, 3], output="identity", bias=False, dtype="float64", backend="numpy")
    levels = (0.25, 0.5, 0.9)
    bpx.fit(net, np.ones((999, 1)), np.repeat(y, 3, axis=1), losses.quantile(levels),
            bpx.SGD(bpx.schedules.StepDecay(1.0, every=100, factor=0.3)), epochs=1000, batch_size=None)  # fmt: skip
    np.testing.assert_allclose(net.weights[0][0], np.quantile(y, levels), atol=0.01)


@pytest.mark.parametrize("loss", ["absolute_error", "quantile", losses.quantile((0.2, 0.7))])
def test_kinks_have_the_derivative_zero(lib, loss):
    a = lib.asarray(np.ones((1, 2)))
    values, grad = losses.get(loss).on_outputs(lib.xp, a, a)
    np.testing.assert_array_equal(lib.to_host(values), [[0.0, 0.0]])
    np.testing.assert_array_equal(lib.to_host(grad), [[0.0, 0.0]])


@pytest.mark.parametrize("delta", [0.0, -1.0, float("inf"), float("nan")])
def test_huber_refuses_a_delta_that_is_not_positive(delta):
    with pytest.raises(ValueError, match="delta > 0"):
        losses.huber(delta)


@pytest.mark.parametrize("q", [0.0, 1.0, -0.5, float("nan"), [], [0.5, 1.0], 1])
def test_quantile_refuses_levels_outside_zero_to_one(q):
    with pytest.raises(ValueError, match=r"levels inside \(0, 1\)"):
        losses.quantile(q)


def test_several_quantiles_need_as_many_outputs():
    net = bpx.MLP([2, 2], output="identity", backend="numpy")
    with pytest.raises(ValueError, match="3 outputs, but the network has 2"):
        net.loss_and_grads(np.ones((1, 2)), np.ones((1, 2)), losses.quantile([0.1, 0.5, 0.9]))


def test_get_takes_names_objects_and_functions_and_lists_the_known_names():
    assert losses.get("poisson") is LOSSES["poisson"]
    mine = losses.huber(2.0)
    assert losses.get(mine) is mine
    assert losses.get(losses.squared_error).name == "squared_error"
    with pytest.raises(ValueError, match=r"unknown loss 'mse'.*poisson.*squared_error"):
        losses.get("mse")
    with pytest.raises(TypeError, match=r"bpx\.Loss or a function"):
        losses.get(3)


def _log_cosh(xp, a, y):
    """log cosh(a - y), as a user would write it."""
    r = a - y
    return xp.log((xp.exp(r) + xp.exp(-r)) / 2.0), xp.tanh(r)


@pytest.mark.parametrize("stack", [None, 2])
@pytest.mark.parametrize("loss", [_log_cosh, Loss("log_cosh", _log_cosh)], ids=["function", "object"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_custom_losses_work_in_a_network(lib, close, rng, dtype, loss, stack):
    X, y = rng.normal(size=(6, 3)), rng.normal(size=(6, 2))
    net = bpx.MLP([3, 2], output="identity", dtype=dtype, backend=lib, stack=stack)
    value, grads = net.loss_and_grads(X, y, loss)
    r = X @ lib.to_host(net.params["0.W"]) - y  # biases start at zero
    close(lib.to_host(value), np.log(np.cosh(r)).sum(axis=(-2, -1)) / 6, dtype)
    close(lib.to_host(grads["0.W"]), X.T @ np.tanh(r) / 6, dtype)
    close(lib.to_host(grads["0.b"]), np.tanh(r).sum(axis=-2) / 6, dtype)


def test_training_lowers_a_custom_loss(rng):
    X = rng.normal(size=(30, 3))
    net = bpx.MLP([3, 1], output="identity", backend="numpy")
    history = bpx.fit(net, X, X[:, :1], loss=_log_cosh, optimizer=bpx.Adam(0.05), epochs=50, batch_size=None)
    assert history.loss[-1] < 0.01 * history.loss[0]


@pytest.mark.parametrize("mode", ["auto", "numpy", "reference"])
@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (lambda a, y: (a - y) ** 2, r"one that returns a \w+"),
        (lambda a, y: None, "a NoneType"),
        (lambda a, y: (a, a, a), "3 things"),
        (lambda a, y: 1.0, "a float"),
    ],
)
def test_an_own_loss_that_does_not_return_two_arrays_is_told_so(
    lib: bpx.Backend, monkeypatch: pytest.MonkeyPatch, mode: str, returned: Any, message: str
) -> None:
    monkeypatch.setenv("BPX_KERNELS", mode)
    net = bpx.MLP([1, 2], output="identity", backend=lib)
    X, y = np.ones((2, 1)), np.ones((2, 2))  # two samples: an array of them could be taken for two things
    for train in (bpx.fit, lambda *args: net.loss_and_grads(*args[1:])):
        with pytest.raises(TypeError, match=rf"expected a function that returns two arrays, .* got .*{message}"):
            train(net, X, y, lambda xp, a, t: returned(a, t))


@pytest.mark.parametrize(
    "loss", [losses.huber(np.float64(0.5)), losses.quantile(np.float64(0.5)), losses.quantile(np.float32(0.5))]
)
def test_a_numpy_scalar_does_not_make_a_float32_loss_float64(loss: Any) -> None:
    values, grad = loss.on_outputs(np, np.ones((2, 1), dtype=np.float32), np.zeros((2, 1), dtype=np.float32))
    assert values.dtype == grad.dtype == np.float32
