"""Every activation against an independent formula in extended precision, its derivative against a complex step."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.special
import scipy.stats

import bpx
from bpx.formulas import activations
from bpx.formulas.activations import ACTIVATIONS, Activation

DTYPES = ("float32", "float64")
# Far below the smallest rounding error, and with a complex step there is no cancellation.
COMPLEX_STEP = 1e-30


def _by_sign(z, above, below):
    """`above` where the real part of z is positive, else `below`; real or complex."""
    return np.where(np.real(z) > 0, above, below)


# f(z) for real and for complex z, written apart from bpx; safe for |z| <= 80 only, which is all they are used for.
REFERENCE = {
    "identity": lambda z: z,
    "sigmoid": lambda z: 1 / (1 + np.exp(-z)),
    "logistic": lambda z: np.exp(z) / (1 + np.exp(z)),
    "tanh": lambda z: 1 - 2 / (np.exp(2 * z) + 1),
    "relu": lambda z: _by_sign(z, z, 0 * z),
    "leaky_relu": lambda z: _by_sign(z, z, z / 100),
    "elu": lambda z: _by_sign(z, z, np.expm1(z)),
    "selu": lambda z: (
        np.longdouble("1.0507009873554804934193349852946")
        * _by_sign(z, z, np.longdouble("1.6732632423543772848170429916717") * np.expm1(z))
    ),
    "softplus": lambda z: np.log1p(np.exp(z)),
    "silu": lambda z: z / (1 + np.exp(-z)),
    # tanh(log u) = (u^2 - 1) / (u^2 + 1), with u = 1 + exp(z)
    "mish": lambda z: z * np.exp(z) * (np.exp(z) + 2) / ((1 + np.exp(z)) ** 2 + 1),
    # (1 + tanh u) / 2 = 1 / (1 + exp(-2 u))
    "gelu": lambda z: z / (1 + np.exp(-2 * np.sqrt(np.longdouble(2) / np.pi) * (z + z**3 * 44715 / 1000000))),
    "exp": lambda z: np.exp(z),
}
ELEMENTWISE = tuple(REFERENCE)
EXTREME = np.array([0.0, 1.0, 17.0, 88.0, 89.0, 104.0, 709.0, 1e3, 1e4], dtype=np.float32)
EXTREME = np.concatenate([-EXTREME[::-1], EXTREME])[None, :]


def _points(dtype: str) -> np.ndarray:
    """Pre-activations of shape (2, 41), zero not among them (a kink of several), exact in `dtype`."""
    return np.stack([np.linspace(-8.0, 8.3, 41), np.geomspace(1e-6, 20.0, 41) * (-1.0) ** np.arange(41)]).astype(dtype)


def _derivative(f, z) -> np.ndarray:
    """f'(z) = Im f(z + ih) / h, exact to rounding."""
    return np.imag(f(z.astype(np.clongdouble) + 1j * np.longdouble(COMPLEX_STEP))) / COMPLEX_STEP


def _run(lib, activation: Activation, z: np.ndarray, grad_a: np.ndarray):
    """(a, grad_z) as arrays of the library."""
    z, grad_a = lib.asarray(z), lib.asarray(grad_a)
    a = activation.forward(lib.xp, z)
    return a, activation.backward(lib.xp, grad_a, z, a)


def test_every_registered_activation_is_tested():
    assert set(ACTIVATIONS) == {*REFERENCE, "softmax", "step"}


def test_logistic_is_another_name_for_sigmoid():
    assert ACTIVATIONS["logistic"] is ACTIVATIONS["sigmoid"]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ELEMENTWISE)
def test_value_is_the_formula(lib, close, name, dtype):
    z = _points(dtype)
    a = ACTIVATIONS[name].forward(lib.xp, lib.asarray(z))
    close(lib.to_host(a), REFERENCE[name](z.astype(np.longdouble)), dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ELEMENTWISE)
def test_backward_multiplies_by_the_derivative(lib, close, rng, name, dtype):
    z = _points(dtype)
    grad_a = rng.normal(size=z.shape).astype(dtype)
    _, grad_z = _run(lib, ACTIVATIONS[name], z, grad_a)
    close(lib.to_host(grad_z), grad_a * _derivative(REFERENCE[name], z), dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("name", "reference"),
    [("sigmoid", scipy.special.expit), ("softplus", lambda z: np.logaddexp(0, z)), ("elu", np.expm1)],
)
def test_small_values_keep_their_relative_accuracy(lib, name, reference, dtype):
    # Each of these would lose digits in the naive form: 1 - sigmoid(-z), log(1 + exp(z)), exp(z) - 1.
    z = np.array([[-1e-6, -1e-4, -10.0, -30.0, -60.0, -80.0]], dtype=dtype)
    a, grad_z = _run(lib, ACTIVATIONS[name], z, np.ones_like(z))
    rtol = 4e-6 if dtype == "float32" else 1e-14
    np.testing.assert_allclose(lib.to_host(a), reference(z.astype(np.float64)), rtol=rtol)
    if name != "elu":  # whose derivative below zero, a + alpha, is accurate relative to alpha
        slope = _derivative(REFERENCE[name], z)
        np.testing.assert_allclose(lib.to_host(grad_z), slope.astype(np.float64), rtol=rtol)


# Far out on both sides, where 1 - tanh^2 and a + alpha have lost their digits.
FAR = np.array([[-80.0, -60.0, -40.0, -20.0, -17.5, -12.0, -9.0, 9.0, 12.0, 17.5, 20.0, 29.9, 30.1, 60.0, 80.0]])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["selu", "mish"])
def test_values_and_slopes_far_out_keep_their_relative_accuracy(lib, name, dtype):
    z = FAR.astype(dtype)
    a, slope = _run(lib, ACTIVATIONS[name], z, np.ones_like(z))
    rtol = 4 * np.finfo(dtype).eps
    np.testing.assert_allclose(lib.to_host(a), REFERENCE[name](z.astype(np.longdouble)).astype(np.float64), rtol=rtol)
    expected = _derivative(REFERENCE[name], z).astype(np.float64)
    np.testing.assert_allclose(lib.to_host(slope), expected, rtol=rtol)


def test_selu_keeps_the_mean_and_variance_of_standard_normal_numbers():
    # Klambauer et al. 2017, equation 14: scale and alpha are made for this.
    z = np.linspace(-12.0, 12.0, 24_001)
    weight = scipy.stats.norm.pdf(z) * (z[1] - z[0])
    a = activations.selu(np, z)
    assert abs(np.sum(weight * a)) < 1e-7
    assert abs(np.sum(weight * a**2) - 1.0) < 1e-7


@pytest.mark.parametrize("dtype", DTYPES)
def test_softmax_is_scipys_and_its_rows_sum_to_one(lib, close, rng, dtype):
    z = (5.0 * rng.normal(size=(3, 4, 5))).astype(dtype)
    a = lib.to_host(ACTIVATIONS["softmax"].forward(lib.xp, lib.asarray(z)))
    close(a, scipy.special.softmax(z.astype(np.float64), axis=-1), dtype)
    close(a.sum(axis=-1), np.ones((3, 4)), dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_softmax_backward_is_the_product_with_its_jacobian(lib, close, rng, dtype):
    z = rng.normal(size=(3, 4, 5)).astype(dtype)
    grad_a = rng.normal(size=z.shape).astype(dtype)
    jacobian = np.empty((*z.shape, 5))  # d a_i / d z_j at [..., i, j], one complex step per j
    for j in range(5):
        moved = z.astype(np.complex128)
        moved[..., j] += 1j * COMPLEX_STEP
        e = np.exp(moved)
        jacobian[..., j] = np.imag(e / e.sum(axis=-1, keepdims=True)) / COMPLEX_STEP
    _, grad_z = _run(lib, ACTIVATIONS["softmax"], z, grad_a)
    close(lib.to_host(grad_z), np.einsum("...i,...ij->...j", grad_a, jacobian), dtype)


@pytest.mark.parametrize("name", sorted(set(ACTIVATIONS) - {"step"}))
def test_extreme_logits_stay_finite_without_a_warning(lib, name):
    a, grad_z = _run(lib, ACTIVATIONS[name], EXTREME, np.ones_like(EXTREME))
    assert np.all(np.isfinite(lib.to_host(a)))
    assert np.all(np.isfinite(lib.to_host(grad_z)))


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [
        ("sigmoid", 0.0, 1.0),
        ("tanh", -1.0, 1.0),
        ("softplus", 0.0, 1e4),
        ("silu", 0.0, 1e4),
        ("mish", 0.0, 1e4),
        ("gelu", 0.0, 1e4),
        ("elu", -1.0, 1e4),
        ("selu", -1.7580993408473766, 1.0507009873554805e4),
        ("leaky_relu", -100.0, 1e4),
    ],
)
def test_extreme_logits_reach_the_limits(lib, name, low, high):
    z = lib.asarray(np.array([[-1e4, 1e4]], dtype=np.float32))
    a = lib.to_host(ACTIVATIONS[name].forward(lib.xp, z))
    np.testing.assert_allclose(a, [[low, high]], rtol=1e-6, atol=1e-30)


@pytest.mark.parametrize("dtype", DTYPES)
def test_exp_goes_on_as_its_tangent(lib, close, dtype):
    c = 0.8 * np.log(np.finfo(dtype).max.astype(np.float64))
    z = np.array([[c - 1.0, c + 3.0, 2.0 * c]], dtype=dtype)
    a, slope = _run(lib, ACTIVATIONS["exp"], z, np.ones_like(z))
    beyond = np.maximum(z.astype(np.float64) - c, 0.0)
    # exp amplifies the rounding of z and of c, both about c, into a relative error c times as large.
    close(lib.to_host(a), np.exp(z - beyond) * (1.0 + beyond), dtype, factor=10.0)
    close(lib.to_host(slope), np.exp(z - beyond), dtype, factor=10.0)


def test_derivative_at_the_kink_is_the_one_from_below(lib):
    zero = np.zeros((1, 1))
    for activation, expected in [
        (ACTIVATIONS["relu"], 0.0),
        (activations.leaky_relu(0.25), 0.25),
        (activations.elu(1.5), 1.5),
        (ACTIVATIONS["selu"], 1.7580993408473766),
    ]:
        assert lib.to_host(_run(lib, activation, zero, zero + 1.0)[1]) == expected


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
def test_dtype_shape_and_device_are_kept(lib, name, dtype):
    z = lib.asarray(np.ones((2, 3, 4), dtype=dtype))
    activation = ACTIVATIONS[name]
    results = [activation.forward(lib.xp, z)]
    if activation.differentiable:
        results.append(activation.backward(lib.xp, z, z, results[0]))
    for result in results:
        assert (result.dtype, result.shape, result.device) == (z.dtype, z.shape, z.device)


@pytest.mark.parametrize("slope", [0.0, 0.2, 0.99])
def test_leaky_relu_takes_its_slope(lib, close, slope):
    z = _points("float64")
    a, grad_z = _run(lib, activations.leaky_relu(slope), z, np.ones_like(z))
    close(lib.to_host(a), np.where(z > 0, z, slope * z))
    close(lib.to_host(grad_z), np.where(z > 0, 1.0, slope))


@pytest.mark.parametrize("alpha", [0.3, 1.0, 2.5])
def test_elu_takes_its_alpha(lib, close, alpha):
    z = _points("float64")
    a, grad_z = _run(lib, activations.elu(alpha), z, np.ones_like(z))
    close(lib.to_host(a), np.where(z > 0, z, alpha * np.expm1(z)))
    close(lib.to_host(grad_z), np.where(z > 0, 1.0, alpha * np.exp(z)))


@pytest.mark.parametrize("slope", [-0.1, 1.0, float("nan")])
def test_leaky_relu_refuses_a_slope_outside_its_range(slope):
    with pytest.raises(ValueError, match=r"slope in \[0, 1\)"):
        activations.leaky_relu(slope)


@pytest.mark.parametrize("alpha", [0.0, -1.0, float("inf"), float("nan")])
def test_elu_refuses_an_alpha_that_is_not_positive(alpha):
    with pytest.raises(ValueError, match="alpha > 0"):
        activations.elu(alpha)


def test_step_is_one_from_zero_on_and_has_no_backward(lib):
    z = lib.asarray(np.array([[-1e4, -1e-30, 0.0, 1e-30, 1e4]]))
    a = ACTIVATIONS["step"].forward(lib.xp, z)
    np.testing.assert_array_equal(lib.to_host(a), [[0.0, 0.0, 1.0, 1.0, 1.0]])
    with pytest.raises(bpx.NotDifferentiableError, match="sigmoid"):
        ACTIVATIONS["step"].backward(lib.xp, z, z, a)


def test_get_takes_names_and_objects_and_lists_the_known_names():
    assert activations.get("tanh") is ACTIVATIONS["tanh"]
    mine = activations.elu(2.0)
    assert activations.get(mine) is mine
    with pytest.raises(ValueError, match=r"unknown activation 'swish'.*identity.*tanh"):
        activations.get("swish")
    with pytest.raises(TypeError, match=r"bpx\.Activation"):
        activations.get(3)


# Two of one's own: one element by element, one that mixes the outputs of a row.
SOFTSIGN = Activation(
    "softsign", lambda xp, z: z / (1.0 + xp.abs(z)), lambda xp, z, a: (1.0 - xp.abs(a)) * (1.0 - xp.abs(a))
)
CENTRED = Activation(
    "centred",
    lambda xp, z: z - xp.mean(z, axis=-1, keepdims=True),
    jacobian=lambda xp, grad_a, z, a: grad_a - xp.mean(grad_a, axis=-1, keepdims=True),
)


def _softsign(z):
    return z / (1 + _by_sign(z, z, -z))


def _centred(z):
    return z - z.mean(axis=-1, keepdims=True)


@pytest.mark.parametrize("stack", [None, 2])
@pytest.mark.parametrize("dtype", DTYPES)
def test_custom_activations_learn_in_a_network(lib, close, rng, dtype, stack):
    X, y = rng.normal(size=(6, 3)), rng.normal(size=(6, 2))
    net = bpx.MLP([3, 4, 5, 2], [SOFTSIGN, CENTRED], SOFTSIGN, dtype=dtype, backend=lib, stack=stack)
    _, grads = net.loss_and_grads(X, y, "squared_error")
    params = {name: lib.to_host(view).astype(np.complex128) for name, view in net.params.items()}

    def loss() -> np.ndarray:
        x = X
        for layer, f in enumerate((_softsign, _centred, _softsign)):
            x = f(x @ params[f"{layer}.W"] + params[f"{layer}.b"][..., None, :])
        return np.sum((x - y) ** 2, axis=(-2, -1)) / (2 * len(X))

    for name, p in params.items():
        expected = np.empty(p.shape)
        for place in np.ndindex(p.shape if stack is None else p.shape[1:]):
            p[(..., *place)] += 1j * COMPLEX_STEP
            expected[(..., *place)] = np.imag(loss()) / COMPLEX_STEP
            p[(..., *place)] -= 1j * COMPLEX_STEP
        close(lib.to_host(grads[name]), expected, dtype)


def test_an_activation_for_outputs_only_is_refused_in_a_hidden_layer():
    for name in ("softmax", "exp"):
        with pytest.raises(ValueError, match="output layer only"):
            bpx.MLP([2, 2, 2], hidden=name)


def _columns_lost(xp, z):
    """One value for each sample, not for each unit."""
    return xp.mean(z, axis=-1, keepdims=True)


WRONG = {
    "forward": (Activation("mine", _columns_lost, lambda xp, z, a: xp.ones_like(z)), "values"),
    "derivative": (Activation("mine", lambda xp, z: z * 1.0, lambda xp, z, a: _columns_lost(xp, z)), "derivatives"),
    "derivative, a number": (Activation("mine", lambda xp, z: z * 1.0, lambda xp, z, a: 1.0), "derivatives"),
    "jacobian": (
        Activation("mine", lambda xp, z: z * 1.0, jacobian=lambda xp, g, z, a: _columns_lost(xp, g)), "a gradient",
    ),
}  # fmt: skip


@pytest.mark.parametrize("mode", ["auto", "numpy", "reference"])
@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("stack", [None, 2])
def test_an_own_activation_of_the_wrong_shape_is_refused(lib, monkeypatch, mode, wrong, stack):
    monkeypatch.setenv("BPX_KERNELS", mode)
    activation, what = WRONG[wrong]
    expected = rf"activation 'mine': expected a function that returns {what} of the layer's shape \(.*4, 3\)"
    X, y = np.ones((4, 2)), np.asarray([0, 1, 0, 1])
    for place in ({"hidden": activation}, {"output": activation}):
        net = bpx.MLP([2, 3, 3 if "output" in place else 2], backend=lib, stack=stack, **place)
        loss = "squared_error" if "output" in place else "cross_entropy"
        target = np.ones((4, 3)) if "output" in place else y
        with pytest.raises(bpx.ShapeError, match=expected):
            bpx.fit(net, X, target, loss, epochs=1)
        with pytest.raises(bpx.ShapeError, match=expected):
            net.loss_and_grads(X, target, loss)
        if wrong == "forward":
            with pytest.raises(bpx.ShapeError, match=expected):
                net(X)


@pytest.mark.parametrize("make", [activations.elu, activations.leaky_relu])
def test_a_numpy_scalar_does_not_make_a_float32_layer_float64(make):
    activation = make(np.float64(0.5))
    z = np.linspace(-1.0, 1.0, 5, dtype=np.float32)[:, None]
    a = activation.forward(np, z)
    assert a.dtype == activation.backward(np, z, z, a).dtype == np.float32
    assert np.array_equal(a, make(0.5).forward(np, z))
