"""Which formulas have kernels; that these give the formulas' results; that a recorded step is the step."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import re
import tracemalloc
from dataclasses import dataclass
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest

import bpx
from bpx.formulas import activations, dropout, linear, losses, precision, updates
from bpx.formulas.activations import ACTIVATIONS, Activation
from bpx.formulas.losses import LOSSES
from bpx.formulas.optimizers import OPTIMIZERS
from bpx.formulas.schedules import Schedule
from bpx.kernels import kernel_table, native, numpy_in_place, recording, select

ULPS = 8.0  # of the largest value, per element; sums of n terms are allowed n times as much
DTYPES = ("float32", "float64")
SHAPES = {"rows": (7, 5), "one row": (1, 5), "wide": (3, 130), "stack": (3, 7, 5), "empty": (0, 5)}


@pytest.fixture(params=["auto", "numpy"])
def kernels(monkeypatch, request):
    monkeypatch.setenv("BPX_KERNELS", request.param)
    return select.for_backend(bpx.get_backend("numpy"), "float64")


def array(rng, shape, dtype, layout="contiguous"):
    values = rng.normal(size=shape).astype(dtype)
    if layout == "strided":
        values = np.repeat(values, 2, axis=-1)[..., ::2]
    return values


def same(actual, expected, terms=1, least=0.0):
    """Equal in shape and dtype, and in value to a few units in the last place of the largest one (or of `least`)."""
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert actual.shape == expected.shape
    assert actual.dtype == expected.dtype
    if expected.size:
        scale = max(float(np.max(np.abs(expected))), least, float(np.finfo(expected.dtype).smallest_normal))
        worst = float(np.max(np.abs(actual.astype(np.float64) - expected.astype(np.float64)))) / scale
        assert worst <= ULPS * terms * float(np.finfo(expected.dtype).eps)


# ---------------------------------------------------------------------- which formulas have kernels

# Every formula, and the packages that have a kernel for it.
HAVE_KERNELS = {
    activations: {
        "elu_derivative": "native cuda",
        "elu_value": "native cuda",
        "exp": "native cuda",
        "exp_derivative": "native cuda",
        "exp_slope": "",
        "gelu": "native cuda",
        "gelu_derivative": "native cuda",
        "identity": "numpy native cuda",
        "identity_derivative": "",
        "identity_jacobian": "numpy cuda",
        "largest_exponent": "",
        "leaky_relu_derivative": "native cuda",
        "leaky_relu_value": "native cuda",
        "mish": "numpy native cuda",
        "mish_derivative": "numpy native cuda",
        "relu": "numpy native cuda",
        "relu_derivative": "numpy native cuda",
        "selu": "numpy native cuda",
        "selu_derivative": "numpy native cuda",
        "sigmoid": "numpy native cuda",
        "sigmoid_derivative": "numpy native cuda",
        "silu": "native cuda",
        "silu_derivative": "native cuda",
        "softmax": "numpy native cuda",
        "softmax_jacobian": "native cuda",
        "softplus": "native cuda",
        "softplus_derivative": "native cuda",
        "step": "native cuda",
        "tanh": "numpy native cuda",
        "tanh_derivative": "numpy native cuda",
    },
    dropout: {"dropout_mask": "numpy native cuda"},
    linear: {
        "accumulate": "numpy native cuda",
        "add_penalty": "numpy native cuda",
        "column_sums": "numpy native cuda",
        "fill_rows": "numpy native",
        "gather": "numpy native cuda",
        "penalty": "",
        "product": "numpy native cuda",
        "times": "numpy native cuda",
        "weight_sum": "numpy native cuda",
    },
    losses: {
        "absolute_error": "native cuda",
        "binary_cross_entropy": "native cuda",
        "binary_cross_entropy_with_sigmoid": "numpy native cuda",
        "capped": "numpy native cuda",
        "cross_entropy": "native cuda",
        "cross_entropy_with_softmax": "numpy native cuda",
        "huber_error": "native cuda",
        "largest_capped": "",
        "one_hot": "",
        "poisson": "native cuda",
        "poisson_with_exp": "native cuda",
        "quantile_error": "native cuda",
        "squared_error": "numpy native cuda",
        "value_and_grad": "numpy native cuda",
    },
    precision: {
        "adjust": "cuda",
        "column_sums": "cuda",
        "guarded": "cuda",
        "narrow": "cuda",
        "product": "cuda",
        "times": "cuda",
        "unscale": "cuda",
        "value_and_grad": "cuda",
    },
    updates: {
        "adagrad": "numpy native cuda",
        "adam": "numpy native cuda",
        "clip_by_global_norm": "numpy native cuda",
        "gradient_descent": "numpy native cuda",
        "momentum": "numpy native cuda",
        "rmsprop": "numpy native cuda",
    },
}
PACKAGES = {"numpy": "numpy_in_place", "native": "native", "cuda": "cuda"}


@pytest.fixture(params=PACKAGES)
def package(request):
    """Each package of kernels; that for CuPy can be imported without it, and that in C without a library."""
    return importlib.import_module(f"bpx.kernels.{PACKAGES[request.param]}")


def formulas_of(module):
    """A module's functions of arrays, by their names: those whose first argument is the arrays' namespace."""
    functions = inspect.getmembers(module, inspect.isfunction)
    own = {name: f for name, f in functions if f.__module__ == module.__name__ and not name.startswith("_")}
    return {name: f for name, f in own.items() if next(iter(inspect.signature(f).parameters), "") == "xp"}


def with_kernels(package):
    """The formulas for which a package's tables have a kernel."""
    found = {*package.KERNELS, *package.losses.TABLE}
    for (forward, back), made in package.activations.TABLE.items():
        found.add(forward)
        if made.backward is not None:
            found.add(back)
    inner = partial(losses.capped, formula=losses.squared_error)
    if kernel_table.of_loss(package.losses.TABLE, inner)[:2] == (package.losses.TABLE[losses.squared_error], True):
        found.add(losses.capped)
    return found


def names_of(functions):
    return sorted(f"{function.__module__}.{function.__name__}" for function in functions)


@pytest.mark.parametrize("module", HAVE_KERNELS, ids=lambda module: module.__name__)
def test_the_table_says_for_every_formula_which_packages_have_a_kernel(module):
    assert set(HAVE_KERNELS[module]) == set(formulas_of(module))


def test_each_package_has_kernels_for_the_formulas_of_the_table_and_for_no_others(package, request):
    column = request.node.callspec.params["package"]
    expected = {
        getattr(module, name)
        for module, rows in HAVE_KERNELS.items()
        for name, packages in rows.items()
        if column in packages.split()
    }
    assert names_of(with_kernels(package)) == names_of(expected)
    assert with_kernels(package) == expected


def test_a_kernel_has_the_name_of_its_formula_and_begins_with_its_parameters(package):
    pairs = list(package.KERNELS.items())
    kernel = package.activations.kernel(ACTIVATIONS["relu"])
    pairs += [(getattr(Activation, name), getattr(type(kernel), name)) for name in ("after_bias", "backward")]
    for formula, kernel in pairs:
        parameters, mine = inspect.signature(formula).parameters, inspect.signature(kernel).parameters
        assert kernel.__name__ == formula.__name__
        assert list(mine)[: len(parameters)] == list(parameters)
        assert all(mine[extra].default is None for extra in list(mine)[len(parameters) :])


@pytest.mark.parametrize(
    ("file", "of_formula", "misspelt", "error"),
    [
        ("numpy_in_place/activations.py", "formulas.relu_derivative)", "formulas.relu_derivate)", AttributeError),
        ("numpy_in_place/losses.py", "formulas.squared_error:", "formulas.squared_eror:", AttributeError),
        ("numpy_in_place/linear.py", "def gather(", "def gathr(", NameError),
        ("numpy_in_place/dropout.py", "dropout_mask", "dropout_msk", AttributeError),
        ("native/activations.py", "formulas.elu_value,", "formulas.elu_valu,", AttributeError),
        ("native/losses.py", "formulas.poisson,", "formulas.poison,", AttributeError),
        ("native/updates.py", "adam(", "adan(", NameError),
        ("cuda/activations.py", '_both("silu"', '_both("slu"', KeyError),
        ("cuda/losses.py", ': "huber",', ': "hubert",', KeyError),
        ("cuda/precision.py", "unscale(", "unscaled(", NameError),
    ],
)
def test_a_misspelt_key_or_kernel_is_an_error_when_its_package_is_imported(file, of_formula, misspelt, error):
    name = f"bpx.kernels.{file.removesuffix('.py').replace('/', '.')}"
    source = inspect.getsource(importlib.import_module(name))
    assert of_formula in source
    with pytest.raises(error, match=re.findall(r"\w+", of_formula if error is NameError else misspelt)[-1]):
        exec(source.replace(of_formula, misspelt), {"__name__": name, "__package__": name.rpartition(".")[0]})


def test_a_users_function_has_no_kernel_whatever_its_name(package):
    impostor = Activation("relu", lambda xp, z: z + 1.0, lambda xp, z, a: xp.ones_like(a))
    borrowed = Activation("mine", activations.softmax, jacobian=lambda xp, grad_a, z, a: grad_a * z)
    for function, name in ((impostor.forward, "relu"), (impostor.derivative, "relu_derivative")):
        function.__name__ = function.__qualname__ = name
        function.__module__ = activations.__name__
    for activation in (impostor, borrowed):
        assert kernel_table.of_activation(package.activations.TABLE, activation) == (None, 0.0)

    def squared_error(xp, a, y):
        return a, y

    @dataclass
    class Unhashable:
        def __call__(self, xp, a, y):
            return a, y

    for formula in (squared_error, Unhashable(), partial(losses.capped, formula=squared_error)):
        assert kernel_table.of_loss(package.losses.TABLE, formula)[0] is None


def test_a_formulas_own_functions_have_a_kernel_whatever_name_they_are_given(package):
    own = Activation("mine", activations.relu, activations.relu_derivative)
    assert kernel_table.of_activation(package.activations.TABLE, own)[0] is not None
    two = Activation("mine", activations.leaky_relu(0.1).forward, activations.leaky_relu(0.2).derivative)
    assert kernel_table.of_activation(package.activations.TABLE, two)[0] is None
    _, slope = kernel_table.of_activation(package.activations.TABLE, activations.leaky_relu(0.1))
    assert slope == (0.1 if package is not numpy_in_place else 0.0)


def test_users_functions_are_computed_with_kernels_around_them(kernels):
    impostor = Activation("relu", lambda xp, z: z + 1.0, lambda xp, z, a: xp.ones_like(a))
    assert kernels.activation(impostor).after_bias(np, np.zeros((2, 3)), None)[1].tolist() == [[1.0] * 3] * 2


# ---------------------------------------------------------------------- parity


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("layout", ["contiguous", "strided"])
@pytest.mark.parametrize("name", [name for name, a in ACTIVATIONS.items() if a.differentiable])
def test_bias_with_activation_and_its_gradient_equal_the_formulas(kernels, rng, name, layout, shape, dtype):
    activation = ACTIVATIONS[name]
    kernel = kernels.activation(activation)
    z = array(rng, shape, dtype, layout) * 3.0 if layout == "contiguous" else array(rng, shape, dtype, layout)
    b = array(rng, (*shape[:-2], 1, shape[-1]), dtype)
    grad_a = array(rng, shape, dtype, layout)
    expected_z, expected_a = activation.after_bias(np, z.copy(), b)
    actual_z, actual_a = kernel.after_bias(np, z.copy() if layout == "contiguous" else z, b)
    same(actual_a, expected_a)
    expected = activation.backward(np, grad_a, expected_z, expected_a)
    same(kernel.backward(np, grad_a, actual_z, actual_a, out=grad_a), expected)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "name", ["relu", "leaky_relu", "tanh", "sigmoid", "elu", "selu", "softplus", "silu", "mish", "gelu"]
)
def test_activation_kernels_keep_nan_infinity_and_large_numbers(kernels, name, dtype):
    z = np.array([[np.nan, np.inf, -np.inf, 0.0, -0.0, 200.0, -200.0, 1e-30]], dtype=dtype)
    b = np.zeros((1, 8), dtype=dtype)
    with np.errstate(all="ignore"):
        _, expected = ACTIVATIONS[name].after_bias(np, z.copy(), b)
        _, actual = kernels.activation(ACTIVATIONS[name]).after_bias(np, z.copy(), b)
        np.testing.assert_allclose(actual, expected, rtol=ULPS * np.finfo(dtype).eps, atol=np.finfo(dtype).tiny)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["selu", "mish"])
def test_slopes_that_a_kernel_leaves_in_z_have_all_their_digits_far_out(kernels, name, dtype):
    z = np.array([[0.0, -0.0, 9.0, -9.0, 17.5, -17.5, 40.0, -40.0, 80.0, -80.0, 1e4, -1e4, 1e30, -1e30]], dtype=dtype)
    expected_z, expected_a = ACTIVATIONS[name].after_bias(np, z.copy(), None)
    kernel = kernels.activation(ACTIVATIONS[name])
    left, a = kernel.after_bias(np, z.copy(), None)
    rtol = ULPS * np.finfo(dtype).eps
    np.testing.assert_allclose(a, expected_a, rtol=rtol)
    expected = ACTIVATIONS[name].backward(np, np.ones_like(z), expected_z, expected_a)
    np.testing.assert_allclose(kernel.backward(np, np.ones_like(z), left, a), expected, rtol=rtol)


def targets(rng, kind, n, k, dtype):
    if kind == "labels":
        return rng.integers(0, k, n)
    if kind == "one-hot":
        return np.eye(k, dtype=dtype)[rng.integers(0, k, n)]
    return rng.random((n, k)).astype(dtype)


FORMULAS = {
    "squared error": (losses.squared_error, "soft"),
    "softmax, labels": (losses.cross_entropy_with_softmax, "labels"),
    "softmax, one-hot": (losses.cross_entropy_with_softmax, "one-hot"),
    "softmax, soft": (losses.cross_entropy_with_softmax, "soft"),
    "sigmoid": (losses.binary_cross_entropy_with_sigmoid, "soft"),
    "no kernel": (losses.absolute_error, "soft"),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [s for s in SHAPES.values() if s[-2]], ids=[s for s in SHAPES if s != "empty"])
@pytest.mark.parametrize("layout", ["contiguous", "strided"])
@pytest.mark.parametrize("weighted", ["equal", "weighted", "all zero", "weights of each network"])
@pytest.mark.parametrize(("formula", "kind"), FORMULAS.values(), ids=FORMULAS)
def test_a_loss_with_its_gradient_equals_the_formula(kernels, rng, formula, kind, weighted, layout, shape, dtype):
    n, k = shape[-2:]
    output = array(rng, shape, dtype, layout)
    target = targets(rng, kind, n, k, dtype)
    lead = shape[:-2] if weighted == "weights of each network" else ()
    weight = None if weighted == "equal" else rng.random((*lead, n, 1)).astype(dtype)
    if weighted == "all zero":
        weight = weight * np.dtype(dtype).type(0.0)
    expected = losses.value_and_grad(np, formula, output, target, weight)
    actual = kernels.of(losses.value_and_grad)(np, formula, output, target, weight)
    same(actual[0], expected[0], terms=4)
    same(actual[1], expected[1])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("formula", "kind"), FORMULAS.values(), ids=FORMULAS)
def test_a_loss_on_each_networks_own_targets_equals_the_formula(kernels, rng, formula, kind, weighted, dtype):
    output = array(rng, (3, 7, 5), dtype)
    target = np.stack([targets(rng, kind, 7, 5, dtype) for _ in range(3)])
    weight = rng.random((3, 7, 1)).astype(dtype) if weighted else None
    actual = kernels.of(losses.value_and_grad)(np, formula, output, target, weight)
    for k in range(3):
        own = None if weight is None else weight[k]
        expected = losses.value_and_grad(np, formula, output[k], target[k], own)
        same(actual[0][k], expected[0], terms=4)
        same(actual[1][k], expected[1])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(("formula", "kind"), FORMULAS.values(), ids=FORMULAS)
def test_a_loss_of_what_is_not_finite_is_as_the_formulas(kernels, rng, formula, kind, bad, dtype):
    output = array(rng, (4, 3), dtype)
    output[1, 2] = bad
    target = targets(rng, kind, 4, 3, dtype)
    with np.errstate(all="ignore"):
        expected = losses.value_and_grad(np, formula, output.copy(), target, None)
        actual = kernels.of(losses.value_and_grad)(np, formula, output.copy(), target, None)
    assert np.isfinite(actual[0]) == np.isfinite(expected[0])
    np.testing.assert_array_equal(np.isfinite(actual[1]), np.isfinite(expected[1]))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("layout", ["contiguous", "strided"])
def test_sums_and_products_equal_the_formulas(kernels, rng, layout, shape, dtype):
    grad_z = array(rng, shape, dtype, layout)
    out, expected = np.ones((2, *shape[:-2], 1, shape[-1]), dtype=dtype)
    linear.column_sums(np, grad_z, expected)
    assert kernels.module(linear).column_sums(np, grad_z, out) is out
    same(out, expected, terms=2)
    x = array(rng, (*shape[:-1], 4), dtype, layout).mT
    out, expected = np.ones((2, *shape[:-2], 4, shape[-1]), dtype=dtype)
    linear.product(np, x, grad_z, expected)
    kernels.module(linear).product(np, x, grad_z, out)
    same(out, expected, terms=2)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("lead", [(), (3,)], ids=["one", "stack"])
@pytest.mark.parametrize("samples", [None, 8, "array"])
@pytest.mark.parametrize(("l2", "l1"), [(0.1, None), (None, 0.1), (0.1, 0.2)])
def test_a_penalty_equals_the_formula(kernels, rng, l2, l1, samples, lead, dtype):
    flat, grads = array(rng, (*lead, 37), dtype), array(rng, (*lead, 37), dtype)
    mask = (rng.random(37) > 0.2).astype(dtype)
    strengths = [None if s is None else mask * np.dtype(dtype).type(s) for s in (l2, l1)]
    loss = array(rng, lead, dtype) if lead else np.array(0.5, dtype=dtype)
    part = np.linspace(0.0, 4.0, lead[0]).astype(dtype) if samples == "array" and lead else samples
    part = np.array(4.0, dtype=dtype) if isinstance(part, str) else part
    expected = linear.add_penalty(np, loss.copy(), flat, *strengths, part, grads.copy())
    actual = kernels.module(linear).add_penalty(np, loss.copy(), flat, *strengths, part, grads.copy())
    same(actual[0], expected[0], terms=4)
    same(actual[1], expected[1])


@pytest.mark.parametrize("dtype", DTYPES)
def test_gathers_and_small_sums_equal_the_formulas(kernels, rng, dtype):
    fast = kernels.module(linear)
    index = np.array([3, 0, 3, 8], dtype=np.int64)
    for shape in ((9,), (9, 5), (9, 70)):
        for x in (array(rng, shape, dtype), array(rng, shape, dtype, "strided"), np.arange(9 * 5).reshape(9, 5)):
            np.testing.assert_array_equal(fast.gather(np, x, index), linear.gather(np, x, index))
    for shape in ((9, 1), (3, 9, 1)):
        weight = array(rng, shape, dtype)
        np.testing.assert_array_equal(fast.gather(np, weight, index, axis=-2), weight[..., index, :])
        same(fast.weight_sum(np, weight), linear.weight_sum(np, weight))
    own = rng.integers(0, 9, (3, 4))  # each network's rows
    for shape in ((9,), (9, 5)):
        x = array(rng, shape, dtype)
        for gather in (fast.gather, linear.gather):
            np.testing.assert_array_equal(gather(np, x, own), x[own])
    for gather in (fast.gather, linear.gather):
        one, each = array(rng, (9, 1), dtype), array(rng, (3, 9, 1), dtype)
        np.testing.assert_array_equal(gather(np, one, own, axis=-2), one[own])
        np.testing.assert_array_equal(gather(np, each, own, axis=-2), np.take_along_axis(each, own[..., None], 1))
    a, mask = array(rng, (3, 4, 5), dtype), array(rng, (4, 5), dtype)
    np.testing.assert_array_equal(fast.times(np, a, mask), a * mask)
    np.testing.assert_array_equal(fast.times(np, a, mask[None], out=a.copy()), a * mask)
    for lead in ((), (3,)):
        total, value = np.ones(lead), np.asarray(rng.random(lead), dtype=dtype)
        for weight in (7, np.asarray(rng.random(lead), dtype=dtype), np.asarray(2.0, dtype=dtype)):
            expected = linear.accumulate(np, total.copy(), value, weight)
            same(fast.accumulate(np, total.copy(), value, weight), expected)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(3, 5), (1, 1), (40, 7)])
@pytest.mark.parametrize("seeds", [np.int64(7), np.array([[2**32 - 1], [0], [12345]])], ids=["one", "stack"])
@pytest.mark.parametrize(("run", "step", "layer"), [(0, 0, 0), (2**32 - 1, 2**35 + 3, 2)])
def test_dropout_masks_equal_the_formulas_bit_for_bit(kernels, seeds, shape, run, step, layer, dtype):
    args = (np, shape, 0.3, np.asarray(seeds), run, step, layer, np.dtype(dtype))
    expected = dropout.dropout_mask(*args)
    np.testing.assert_array_equal(kernels.of(dropout.dropout_mask)(*args), expected)
    cell = np.asarray(step, dtype=np.int64)
    np.testing.assert_array_equal(kernels.of(dropout.dropout_mask)(*args[:5], cell, *args[6:]), expected)
    assert expected.dtype == dtype


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e30, 0.0])
@pytest.mark.parametrize("max_norm", [0.5, "each network's"])
def test_clipping_equals_the_formula(kernels, rng, max_norm, scale, dtype):
    grads = array(rng, (3, 41), dtype) * np.dtype(dtype).type(scale)
    most = np.array([[0.1], [1.0], [1e4]], dtype=dtype) if max_norm == "each network's" else max_norm
    expected = updates.clip_by_global_norm(np, grads.copy(), most)
    same(kernels.module(updates).clip_by_global_norm(np, grads.copy(), most), expected, terms=4)


UPDATES = {
    "gradient_descent": [()],
    "momentum": [(0.9, False), (0.9, True)],
    "rmsprop": [(0.99, 1e-8)],
    "adagrad": [(1e-10,)],
    "adam": [(0.9, 0.999, 1e-8, False), (0.9, 0.999, 1e-8, True), (0.9, 0.999, 1e-8, False, 0.01), (0, 0, 1e-8, True)],
}
MOMENTS = {"gradient_descent": 0, "momentum": 1, "rmsprop": 1, "adagrad": 1, "adam": 2}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(41,), (1,), (0,), (3, 41)], ids=["vector", "one", "empty", "stack"])
@pytest.mark.parametrize("layout", ["contiguous", "strided"])
@pytest.mark.parametrize("rate", ["number", "each network's"])
@pytest.mark.parametrize(("name", "hyper"), [(name, h) for name, all_of in UPDATES.items() for h in all_of])
def test_five_updates_equal_the_formulas(kernels, rng, name, hyper, rate, layout, shape, dtype):
    learning_rate = 0.01
    if rate == "each network's":
        learning_rate = np.linspace(0.01, 0.02, shape[0]).astype(dtype)[:, None] if len(shape) == 2 else 1
    runs = []
    start = array(rng, shape, dtype)
    steps = [array(rng, shape, dtype, layout) for _ in range(5)]
    for equations in (updates, kernels.module(updates)):
        params, *moments = start.copy(), *(np.zeros_like(start) for _ in range(MOMENTS[name]))
        for t, grads in enumerate(steps, 1):
            counted = (t,) if name == "adam" else ()
            given = grads.copy()
            result = getattr(equations, name)(np, grads, *moments, params, *counted, learning_rate, *hyper)
            params, *moments = result if isinstance(result, tuple) else (result,)
            np.testing.assert_array_equal(grads, given)
        runs.append([params, *moments])
    for actual, expected in zip(*reversed(runs), strict=True):
        same(actual, expected, terms=4, least=1.0)  # what the numbers were before the updates


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rate", [0.01, "each network's"])
@pytest.mark.parametrize(("name", "hyper"), [(name, h) for name, all_of in UPDATES.items() for h in all_of])
def test_updates_with_each_networks_hyperparameters_equal_those_of_the_networks(kernels, rng, name, hyper, rate, dtype):
    k = 3
    factors = np.array([1.0, 0.9, 0.5])
    rates = np.array([0.01] * k if rate == 0.01 else [0.01, 0.02, 0.1])
    rates = rates.astype(dtype).astype(np.float64)
    each = [[h if isinstance(h, bool) else float(np.dtype(dtype).type(h * f)) for h in hyper] for f in factors]
    lists = [
        h if isinstance(h, bool) else np.array([own[i] for own in each], dtype)[:, None] for i, h in enumerate(hyper)
    ]
    start = array(rng, (k, 41), dtype)
    params, *moments = start.copy(), *(np.zeros_like(start) for _ in range(MOMENTS[name]))
    alone = [[start[i].copy(), *(np.zeros_like(start[i]) for _ in moments)] for i in range(k)]
    for t in range(1, 6):
        counted = (t,) if name == "adam" else ()
        grads = array(rng, (k, 41), dtype)
        given = rate if rate == 0.01 else rates.astype(dtype)[:, None]
        result = getattr(kernels.module(updates), name)(np, grads, *moments, params, *counted, given, *lists)
        params, *moments = result if isinstance(result, tuple) else (result,)
        for i, (own_params, *own_moments) in enumerate(alone):
            own = getattr(updates, name)(np, grads[i], *own_moments, own_params, *counted, float(rates[i]), *each[i])
            alone[i] = list(own if isinstance(own, tuple) else (own,))
    for i, own in enumerate(alone):
        for actual, expected in zip([params, *moments], own, strict=True):
            same(actual[i], expected, terms=16, least=1.0)


# ---------------------------------------------------------------------- training


def losses_of_fit(monkeypatch, mode, dtype="float64", **options):
    monkeypatch.setenv("BPX_KERNELS", mode)
    rng = np.random.default_rng(5)
    X = rng.normal(size=(50, 6))
    loss = options.pop("loss", "cross_entropy")
    n_out = options.pop("n_out", 3)
    y = rng.integers(0, n_out, 50) if loss == "cross_entropy" else rng.random((50, n_out))
    architecture = {name: options.pop(name) for name in ("hidden", "output", "stack", "dropout") if name in options}
    net = bpx.MLP([6, 5, n_out], dtype=dtype, seed=3, backend="numpy", **architecture)
    return np.asarray(bpx.fit(net, X, y, loss=loss, epochs=4, batch_size=16, **options).loss)


FITS = [
    *({"optimizer": name} for name in OPTIMIZERS),
    {"optimizer": bpx.SGD(0.1, momentum=0.9)},
    {"optimizer": bpx.SGD(0.1, momentum=0.9, nesterov=True, clip_norm=0.5)},
    {"optimizer": bpx.Adam(0.01, epsilon_hat=True), "l2": 0.01},
    {"optimizer": bpx.Adam([0.01, 0.1]), "l2": [0.01, 0.1], "stack": 2},
    {"optimizer": "lbfgs", "l2": 0.01},
    {"dropout": 0.5, "sample_weight": np.linspace(0.0, 1.0, 50)},
    {"class_weight": "balanced"},
    *({"hidden": name} for name, a in ACTIVATIONS.items() if a.differentiable and not a.output_only),
    *({"loss": name, "output": LOSSES[name].canonical or "tanh"} for name in LOSSES),
    {"loss": "binary_cross_entropy", "output": "sigmoid", "n_out": 1, "stack": 2},
]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("mode", ["auto", "numpy"])
@pytest.mark.parametrize("options", FITS, ids=range(len(FITS)))
def test_training_with_kernels_and_without_gives_the_same_losses(monkeypatch, close, options, mode, dtype):
    fast = losses_of_fit(monkeypatch, mode, dtype, **options)
    slow = losses_of_fit(monkeypatch, "reference", dtype, **options)
    close(fast, slow, dtype)


@pytest.mark.parametrize("mode", ["auto", "numpy"])
@pytest.mark.parametrize("options", [o for o in FITS if o.get("optimizer") != "lbfgs"], ids=range(len(FITS) - 1))
def test_every_step_on_numpy_is_recorded(monkeypatch, options, mode):
    monkeypatch.setenv("BPX_KERNELS", mode)
    seen = []
    steps = select.for_backend(bpx.get_backend("numpy"), "float64").packages[0].steps
    whole = steps.record
    monkeypatch.setattr(steps, "record", lambda *work: seen.append(whole(*work)) or seen[-1])
    losses_of_fit(monkeypatch, mode, **options)
    assert len(seen) == 2  # batches of 16, and the last one of 2
    assert None not in seen


@pytest.mark.parametrize("options", [o for o in FITS if o.get("optimizer") != "lbfgs"], ids=range(len(FITS) - 1))
def test_eager_kernels_record_nothing_and_compute_the_same_bits(monkeypatch, options):
    recorded = losses_of_fit(monkeypatch, "auto", **options)
    for package in (numpy_in_place, native):
        monkeypatch.setattr(package.steps, "record", None)
    assert np.array_equal(losses_of_fit(monkeypatch, "eager", **options), recorded)


def test_a_step_that_cannot_be_recorded_is_done_all_the_same(monkeypatch, close):
    slow = losses_of_fit(monkeypatch, "reference")
    monkeypatch.delitem(numpy_in_place.KERNELS, linear.weight_sum)
    weighted = {"sample_weight": np.linspace(0.5, 1.0, 50)}
    fast = losses_of_fit(monkeypatch, "numpy", **weighted)
    close(fast, losses_of_fit(monkeypatch, "reference", **weighted))
    assert not np.allclose(fast, slow)


@pytest.mark.parametrize("mode", ["auto", "numpy"])
def test_a_rate_that_becomes_one_for_each_network_is_followed(monkeypatch, close, mode):
    class Splitting(Schedule):
        def rate(self, state, clock):
            return 0.1 if clock.epoch < 2 else np.array([0.1, 0.01])

    options = {"optimizer": bpx.SGD(Splitting(), momentum=0.5), "stack": 2}
    close(losses_of_fit(monkeypatch, mode, **options), losses_of_fit(monkeypatch, "reference", **options))


def test_recording_computes_nothing_and_ends_with_the_step():
    a, out = np.ones(3), np.zeros(3)
    replay = recording.record(lambda: recording.launch(np.add, a, a, out))
    assert out.tolist() == [0.0, 0.0, 0.0]
    assert not recording.is_recording()
    replay()
    a[...] = 2.0
    replay()
    assert out.tolist() == [4.0, 4.0, 4.0]

    def fails():
        recording.launch(np.add, a, a, out)
        raise KeyError("in the step")

    with pytest.raises(KeyError):
        recording.record(fails)
    assert not recording.is_recording()


@pytest.mark.parametrize(
    ("mode", "options"),
    [
        ("auto", {}),
        ("auto", {"hidden": "tanh", "optimizer": "sgd"}),
        ("auto", {"hidden": "sigmoid", "l2": 0.1}),
        ("auto", {"hidden": "gelu", "dropout": 0.5}),
        ("numpy", {}),
        ("numpy", {"hidden": "tanh", "optimizer": bpx.SGD(0.1, momentum=0.9)}),
        ("numpy", {"hidden": "selu"}),
        ("numpy", {"hidden": "mish"}),
    ],
    ids=["adam", "sgd", "l2", "dropout", "NumPy adam", "NumPy momentum", "NumPy selu", "NumPy mish"],
)
def test_a_hundred_steps_make_no_array_of_a_batch(monkeypatch, mode, options):
    monkeypatch.setenv("BPX_KERNELS", mode)
    if mode == "auto" and "compiled C" not in select.describe_cpu():
        pytest.skip("no compiled library is here")  # the other cases are NumPy's
    options = dict(options)
    n, batch = 4_000, 200
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(n, 64)), rng.integers(0, 10, n)
    architecture = {name: options.pop(name) for name in ("hidden", "dropout") if name in options}
    net = bpx.MLP([64, 100, 10], dtype="float64", backend="numpy", **architecture)
    marks = []

    class Watch(bpx.Callback):
        def on_step_end(self, run):
            if run.step == 100:
                tracemalloc.start()
            elif run.step == 102:  # what tracing itself needs has been made
                tracemalloc.reset_peak()
                marks.append(tracemalloc.get_traced_memory())
            elif run.step == 199:
                marks.append(tracemalloc.get_traced_memory())

    try:
        # one epoch long enough that no epoch ends in between
        bpx.fit(net, np.tile(X, (11, 1)), np.tile(y, 11), epochs=1, batch_size=batch, callbacks=[Watch()], **options)
    finally:
        tracemalloc.stop()
    (before, _), (after, peak) = marks
    assert after - before < 10_000
    # The smallest array of a batch's size has one number for each output; NumPy's casts use a buffer of 64 kB.
    assert peak - before < batch * 10 * 8 + (0 if mode == "auto" else 65_536)


def test_bpx_kernels_reference_leaves_the_formulas(monkeypatch):
    backend = bpx.get_backend("numpy")
    monkeypatch.setenv("BPX_KERNELS", "reference")
    kernels = select.for_backend(backend, "float32")
    assert kernels.of(losses.value_and_grad) is losses.value_and_grad
    assert kernels.of(linear.product) is linear.product
    assert kernels.activation(ACTIVATIONS["relu"]).after_bias == ACTIVATIONS["relu"].after_bias
    monkeypatch.setenv("BPX_KERNELS", "fastest")
    with pytest.raises(ValueError, match="'auto', 'eager', 'numpy' or 'reference', got 'fastest'"):
        select.for_backend(backend, "float32")


@pytest.mark.parametrize("name", ["strict", "torch"])
def test_other_libraries_and_dtypes_take_the_formulas(name):
    other = SimpleNamespace(package=name, xp=importlib.import_module("array_api_strict"))
    assert select.for_backend(other, "float64").of(losses.value_and_grad) is losses.value_and_grad
    numpy = bpx.get_backend("numpy")
    assert select.for_backend(numpy, "float16").of(losses.value_and_grad) is losses.value_and_grad


@pytest.mark.parametrize("optimizer", [bpx.SGD(1e30), bpx.Adam(1e300)], ids=["sgd", "adam"])
def test_divergence_is_seen_with_kernels(monkeypatch, optimizer):
    monkeypatch.delenv("BPX_KERNELS", raising=False)
    rng = np.random.default_rng(0)
    net = bpx.MLP([3, 4, 1], output="identity", dtype="float64", backend="numpy")
    with pytest.warns(bpx.DivergenceWarning):
        history = bpx.fit(
            net, rng.normal(size=(20, 3)), rng.normal(size=20), loss="squared_error", optimizer=optimizer, batch_size=5
        )
    assert history.stop_reason == bpx.StopReason.DIVERGED
    assert np.all(np.isfinite(net.flat))
