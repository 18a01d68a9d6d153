"""The kernels for CuPy on CuPy's own arrays, on a GPU: compiled by NVRTC, they give what the formulas give on NumPy."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from conftest import library
from kernels_on_cpu import check_launches, dtype_of, narrow, near, wide

import bpx
from bpx.formulas import dropout, linear, losses, updates
from bpx.formulas.activations import ACTIVATIONS
from bpx.formulas.losses import LOSSES, huber, quantile
from bpx.kernels import cuda
from bpx.kernels.select import Kernels
from bpx.network.objective import DropoutKey, Objective

SHAPES = [(7, 5), (64, 1000), (3, 33, 8)]


@pytest.fixture
def gpu(monkeypatch):
    check_launches(monkeypatch)
    return library("cupy")


@pytest.fixture(params=["float32", "float64", "float16", "bfloat16"])
def stored(request, gpu):
    if request.param == "bfloat16":
        cupy = pytest.importorskip("cupy")
        if int(cupy.__version__.partition(".")[0]) < 14:
            pytest.skip("CuPy before 14 has no bfloat16")
    return dtype_of(request.param)


def on(gpu, *arrays):
    """These arrays on the device, as they are."""
    import cupy

    with gpu.scope():
        return [cupy.asarray(x) if isinstance(x, np.ndarray) else x for x in arrays]


def agree(gpu, actual, expected, terms=4.0):
    expected = np.asarray(expected)
    near(np.asarray(gpu.to_host(actual)), expected, expected.dtype.name, terms)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_an_activation_and_its_way_back_are_the_formulas(name, shape, stored, gpu, rng):
    activation = ACTIVATIONS[name]
    kernel = cuda.activations.kernel(activation)
    z, grad_a = (narrow(rng.normal(scale=2.0, size=shape), stored) for _ in "ab")
    b = rng.normal(size=(*shape[:-2], 1, shape[-1])).astype(wide(z).dtype)
    kept, a = kernel.after_bias(gpu.xp, *on(gpu, z, b))
    agree(gpu, a, narrow(activation.value(np, wide(z) + b), stored))
    if activation.differentiable:
        got = kernel.backward(gpu.xp, *on(gpu, grad_a), kept, a)
        summed = narrow(wide(z) + b, stored)
        expected = activation.backward(np, wide(grad_a), wide(summed), wide(gpu.to_host(a)))
        # 1 - tanh^2 and its like lose digits far from 0, in the formula as in the kernel.
        agree(gpu, got, narrow(expected, stored), terms=32.0)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", [*LOSSES, "huber(0.3)", "quantiles", "own"])
def test_a_loss_and_its_gradient_are_the_formulas(name, shape, stored, gpu, rng):
    def fourth(xp, a, y):
        return (a - y) ** 4, 4.0 * (a - y) ** 3

    levels = tuple(np.linspace(0.1, 0.9, shape[-1]).tolist())
    more = {"huber(0.3)": huber(0.3).on_outputs, "quantiles": quantile(levels).on_outputs, "own": fourth}
    formula = more[name] if name in more else LOSSES[name].on_logits or LOSSES[name].on_outputs
    output = narrow(rng.normal(size=shape), stored)
    given = wide(output).dtype
    target, weight = np.abs(rng.normal(size=shape)).astype(given), rng.random(size=(*shape[:-1], 1)).astype(given)
    cases = [(target, None), (target, weight)]
    if name == "cross_entropy":
        cases.append((rng.integers(0, shape[-1], size=shape[:-1]), None))
    for y, w in cases:
        loss, grad = losses.value_and_grad(np, formula, wide(output), y, w)
        got = cuda.losses.value_and_grad(gpu.xp, formula, *on(gpu, output, y, w))
        agree(gpu, got[0], loss)
        agree(gpu, got[1], narrow(grad, stored))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_rows_sums_and_masks_are_the_formulas(shape, stored, gpu, rng):
    kernels, x = cuda.linear, narrow(rng.normal(size=shape), stored)
    index = rng.integers(0, shape[-2], size=50)
    rows = gpu.to_host(kernels.gather(gpu.xp, *on(gpu, x, index), axis=-2))
    np.testing.assert_array_equal(rows.view(np.uint8), np.ascontiguousarray(x[..., index, :]).view(np.uint8))
    out = np.empty((*shape[:-2], 1, shape[-1]), dtype=wide(x).dtype)
    agree(gpu, kernels.column_sums(gpu.xp, *on(gpu, x, out)), linear.column_sums(np, wide(x), out), terms=8.0)
    agree(gpu, kernels.times(gpu.xp, *on(gpu, x, x)), narrow(wide(x) * wide(x), stored))
    for seeds in (np.asarray(3), np.asarray([[3], [2**32 - 1]])):
        more = 2**32 - 7, 2**34 + 5, 2
        mask = dropout.dropout_mask(np, shape[-2:], 0.3, seeds, *more, stored, 11).astype(stored)
        drawn = cuda.dropout.dropout_mask(gpu.xp, shape[-2:], 0.3, *on(gpu, seeds), *more, stored, 11)
        np.testing.assert_array_equal(gpu.to_host(drawn).view(np.uint8), mask.view(np.uint8))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(3000,), (3, 700)])
def test_updates_and_penalties_are_the_formulas(shape, dtype, gpu, rng):
    vectors = [np.square(rng.normal(size=shape)).astype(dtype) for _ in range(4)]
    step, rate = np.asarray(3.0), np.asarray(0.01)
    cases = {
        "gradient_descent": (2, [0.01], [rate]),
        "momentum": (3, [0.01, 0.9, True], [rate, 0.9, True]),
        "rmsprop": (3, [0.01, 0.9, 1e-6], [rate, 0.9, 1e-6]),
        "adagrad": (3, [0.01, 1e-6], [rate, 1e-6]),
        "adam": (4, [3, 0.01, 0.9, 0.999, 1e-8, False, 0.1], [step, rate, 0.9, 0.999, 1e-8, False, 0.1]),
        "clip_by_global_norm": (1, [0.7], [0.7]),
    }
    for name, (count, numbers, given) in cases.items():
        expected = [x.copy() for x in vectors[:count]]
        mine = on(gpu, *(x.copy() for x in vectors[:count]))
        changed = getattr(updates, name)(np, *expected, *numbers)
        expected[-1][...] = changed[0] if isinstance(changed, tuple) else changed
        assert getattr(cuda.updates, name)(gpu.xp, *mine, *on(gpu, *given)) is not NotImplemented
        for got, wanted in zip(mine, expected, strict=True):
            agree(gpu, got, wanted, terms=8.0)
    loss, lead = np.zeros(shape[:-1], dtype=dtype), shape[:-1]
    value, grads = linear.add_penalty(np, loss, vectors[0], vectors[1], vectors[2], 7, vectors[3].copy())
    got = cuda.linear.add_penalty(gpu.xp, *on(gpu, loss, vectors[0], vectors[1], vectors[2], 7, vectors[3]))
    agree(gpu, got[0], value)
    agree(gpu, got[1], grads)
    total, one = np.ones(lead), np.asarray(2.5, dtype=dtype)
    agree(gpu, cuda.linear.accumulate(gpu.xp, *on(gpu, total, one, 2)), linear.accumulate(np, total, one, 2))


def test_two_runs_are_bitwise_equal(stored, gpu, rng):
    output, labels = narrow(rng.normal(size=(4096, 300)), stored), rng.integers(0, 300, size=4096)
    formula = LOSSES["cross_entropy"].on_logits
    runs = []
    for _ in range(2):
        loss, grad = cuda.losses.value_and_grad(gpu.xp, formula, *on(gpu, output, labels, None))
        sums = cuda.linear.column_sums(gpu.xp, grad, *on(gpu, np.empty((1, 300), dtype=wide(output).dtype)))
        runs.append([gpu.to_host(x).tobytes() for x in (loss, grad, sums)])
    assert runs[0] == runs[1]


def test_the_scale_of_a_loss_follows_its_gradients(gpu, rng):
    kernels, grads = cuda.precision, rng.normal(size=(3, 5000)).astype(np.float32)
    grads[1, 4999] = np.inf
    scale, good, number = (np.full(3, x, dtype=np.float32) for x in (1024.0, 1999.0, 5.0))
    back, finite, taken = kernels.unscale(gpu.xp, *on(gpu, grads, scale))
    np.testing.assert_array_equal(gpu.to_host(back), grads / 1024.0)
    np.testing.assert_array_equal(gpu.to_host(finite), [True, False, True])
    after = kernels.adjust(gpu.xp, *on(gpu, scale, good, number), finite, taken)
    np.testing.assert_array_equal(gpu.to_host(after[0]), [2048.0, 512.0, 2048.0])
    np.testing.assert_array_equal(gpu.to_host(after[1]), [0.0, 0.0, 0.0])
    np.testing.assert_array_equal(gpu.to_host(after[2]), [6.0, 5.0, 6.0])
    halves = kernels.narrow(gpu.xp, back, np.float16)
    np.testing.assert_array_equal(gpu.to_host(halves), narrow(grads / 1024.0, np.float16))


def laid(rng, lead, rows, columns, how, dtype):
    """Random numbers and an array on the device that lie so: in one piece, between others, and transposed."""
    import cupy

    shape = (*lead, columns, rows) if "transposed" in how else (*lead, rows, columns)
    if "row slice" in how:
        x = cupy.zeros((*shape[:-1], shape[-1] + 3), dtype=dtype)[..., 1 : 1 + shape[-1]]
    elif "parameters" in how:
        flat = cupy.zeros((*lead, shape[-1] * shape[-2] + 7), dtype=dtype)[..., 3:]
        strides = (*flat.strides[:-1], shape[-1] * flat.itemsize, flat.itemsize)
        x = cupy.lib.stride_tricks.as_strided(flat, shape, strides)
    else:
        x = cupy.zeros(shape, dtype=dtype)
    numbers = rng.normal(size=shape).astype(dtype)
    x[...] = cupy.asarray(numbers)
    return (numbers.swapaxes(-1, -2), x.swapaxes(-1, -2)) if "transposed" in how else (numbers, x)


LAYOUTS = ["whole", "parameters", "row slice", "whole, transposed", "parameters, transposed", "row slice, transposed"]


@pytest.mark.parametrize("leads", [((), ()), ((), (3,)), ((3,), ()), ((3,), (3,)), ((1,), (1,))], ids=str)
@pytest.mark.parametrize(("dtype", "into"), [("float64", "float64"), ("float32", "float32"), ("float16", "float32")])
def test_a_product_is_right_however_its_matrices_lie(dtype, into, leads, gpu, rng):
    with gpu.scope():
        for n, m, k in [(1, 1, 1), (1, 5, 2), (5, 1, 2), (5, 2, 1), (4, 5, 3), (1, 1, 4), (4, 1, 1)]:
            for lies, others in itertools.product(LAYOUTS, repeat=2):
                a, a_there = laid(rng, leads[0], n, m, lies, dtype)
                b, b_there = laid(rng, leads[1], m, k, others, dtype)
                expected = (wide(a).astype(np.float64) @ wide(b).astype(np.float64)).astype(into)
                _, out = laid(rng, expected.shape[:-2], n, k, "parameters", into)
                cuda.linear.product(gpu.xp, a_there, b_there, out)
                near(gpu.to_host(out), expected, into, terms=8.0)


NETWORKS = {
    "one layer": {"sizes": [6, 3], "output": "softmax"},
    "deep": {"sizes": [6, 33, 8, 3], "output": "softmax", "hidden": "gelu"},
    "dropout": {"sizes": [6, 20, 3], "output": "identity", "hidden": "relu", "dropout": 0.3},
    "stack": {"sizes": [6, 20, 3], "output": "sigmoid", "hidden": "tanh", "stack": 4, "dropout": 0.2},
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", NETWORKS)
def test_a_networks_loss_and_gradient_are_numpys(name, dtype, gpu, rng):
    given = dict(NETWORKS[name])
    sizes, stack = given.pop("sizes"), given.get("stack")
    loss = {"softmax": "cross_entropy", "sigmoid": "binary_cross_entropy"}.get(given["output"], "squared_error")
    X = rng.normal(size=(40, 6)).astype(dtype)
    y = rng.integers(0, 3, size=40) if loss == "cross_entropy" else rng.integers(0, 2, size=(40, 3)).astype(dtype)
    results = []
    for backend in (bpx.get_backend("numpy"), gpu):
        net = bpx.MLP(sizes, dtype=dtype, seed=1 if stack is None else list(range(stack)), backend=backend, **given)
        objective = Objective(net, LOSSES[loss], l2=0.1, l1=0.01, per_batch=True)
        if backend is gpu:
            objective.use(OnlyKernels(cuda))
        key = DropoutKey(5, 9) if "dropout" in given else None
        with backend.scope():
            arrays = [backend.xp.asarray(x) for x in (X, y)]
            results.append([backend.to_host(x) for x in objective.value_and_grad(*arrays, None, key)])
    for actual, expected in zip(*reversed(results), strict=True):
        near(np.asarray(actual), np.asarray(expected), dtype, terms=8.0)


class OnlyKernels(Kernels):
    """Kernels for which there is no way back to the formulas: what they decline fails."""

    def _first_that_can(self, key, formula, of_packages):
        def call(*args, **kwargs):
            result = of_packages[0](*args, **kwargs)
            assert result is not NotImplemented, formula
            return result

        return call
