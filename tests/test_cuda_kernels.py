"""CUDA kernels of layers, run on the CPU, give what the formulas give: activations, rows, sums, masks."""

from __future__ import annotations

import math

import numpy as np
import pytest
from kernels_on_cpu import COMPUTED, STORED, dtype_of, narrow, near, needs_compiler, on_cpu, wide

from bpx.formulas import dropout, linear
from bpx.formulas.activations import ACTIVATIONS, Activation, elu, leaky_relu
from bpx.kernels import kernel_table
from bpx.kernels.cuda import activations as kernels
from bpx.kernels.cuda import compiling
from bpx.kernels.cuda import dropout as dropout_kernels
from bpx.kernels.cuda import linear as linear_kernels

pytestmark = needs_compiler

SHAPES = [(1, 1), (7, 5), (33, 7), (3, 1000), (2, 1100), (4, 64), (3, 7, 5), (2, 33, 8), (1, 3, 4)]
TESTED = {**ACTIVATIONS, "leaky_relu(0)": leaky_relu(0.0), "leaky_relu(0.3)": leaky_relu(0.3), "elu(1.7)": elu(1.7)}
HUGE = [
    0.0,
    -0.0,
    1e-8,
    -1e-8,
    1e-4,
    -1e-4,
    20.0,
    -20.0,
    80.0,
    -80.0,
    88.6,
    -88.6,
    90.0,
    -90.0,
    200.0,
    -200.0,
    6e4,
    -6e4,
]


@pytest.fixture(autouse=True)
def _on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    on_cpu(monkeypatch)


def spread(values, size, dtype):
    """Values over and over, so that there are `size`."""
    return np.resize(np.asarray(values, dtype=np.float32), size).astype(dtype)


def bias_view(rng, shape, dtype):
    """A bias as it lies in the flat parameters: in one piece for each network, with other numbers between."""
    flat = rng.normal(size=(*shape[:-2], 5 + shape[-1])).astype(dtype)
    return flat[..., None, 3 : 3 + shape[-1]]


def reference(activation, z, b):
    """z + b and f(z + b), computed in float32 where the storage has 16 bits."""
    summed = wide(z).copy()
    with np.errstate(all="ignore"):
        summed, a = activation.after_bias(np, summed, b)
    return narrow(summed, z.dtype), narrow(a, z.dtype)


@pytest.mark.parametrize("storage", STORED)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", TESTED)
def test_an_activation_and_its_way_back_are_the_formulas(name, shape, storage, rng):
    activation, dtype = TESTED[name], dtype_of(storage)
    z = narrow(rng.normal(scale=2.0, size=shape), dtype)
    b = bias_view(rng, shape, wide(z).dtype)
    _, a = reference(activation, z, b)
    kernel = kernels.kernel(activation)
    kept, value = kernel.after_bias(np, z.copy(), b)
    near(value, a, storage)
    grad_a = narrow(rng.normal(size=shape), dtype)
    if not activation.differentiable:
        assert kernel.backward(np, grad_a, kept, value) is NotImplemented
        return
    summed = narrow(wide(z) + b, dtype)  # the formulas' way back from what was stored
    if kept is not value:
        near(kept, summed, storage)
    with np.errstate(all="ignore"):
        expected = narrow(activation.backward(np, wide(grad_a), wide(summed), wide(value)), dtype)
    into = grad_a.copy()
    near(kernel.backward(np, grad_a, kept, value), expected, storage, terms=4)
    written = kernel.backward(np, into, kept, value, out=into)
    assert written is into
    near(written, expected, storage, terms=4)


@pytest.mark.parametrize("storage", STORED)
@pytest.mark.parametrize("name", TESTED)
def test_activations_of_extreme_numbers_are_the_formulas(name, storage):
    activation, dtype = TESTED[name], dtype_of(storage)
    values = [*HUGE, math.inf, -math.inf, math.nan] + (
        [700.0, -700.0, 710.0, 1e300, -1e300] if storage == "float64" else []
    )
    with np.errstate(over="ignore"):
        z = np.asarray(values, dtype=np.float64).astype(dtype)[None, :]
    if name == "softmax":  # one in each row
        z = np.concatenate([z, z, np.zeros_like(z)], axis=0).T.copy()
    summed, a = reference(activation, z, None)
    kernel = kernels.kernel(activation)
    kept, value = kernel.after_bias(np, z.copy(), None)
    assert value.dtype == dtype
    np.testing.assert_array_equal(np.isfinite(value.astype(np.float64)), np.isfinite(a.astype(np.float64)))
    np.testing.assert_array_equal(np.isnan(value.astype(np.float64)), np.isnan(a.astype(np.float64)))
    finite = np.isfinite(a.astype(np.float64))
    near(value[finite], a[finite], storage, terms=60 if name == "exp" else 4)  # exp(x) is off by x times as much
    if activation.differentiable:
        with np.errstate(all="ignore"):
            expected = narrow(activation.backward(np, wide(np.ones_like(z)), wide(summed), wide(value)), dtype)
        got = kernel.backward(np, np.ones_like(z), kept, value)
        numbers = np.isfinite(expected.astype(np.float64))
        np.testing.assert_array_equal(np.isfinite(got.astype(np.float64)), numbers)
        near(got[numbers], expected[numbers], storage, terms=60)


@pytest.mark.parametrize("dtype", COMPUTED)
@pytest.mark.parametrize("name", ["sigmoid", "softplus", "elu", "selu", "tanh", "mish", "exp"])
def test_small_results_have_all_their_digits(name, dtype):
    activation, z = ACTIVATIONS[name], np.asarray([[-20.0, -1e-4, 1e-4, -1e-8, 1e-8, 3e-15]], dtype=dtype)
    z = z[:, 1:] if name == "elu" else z  # of which a + alpha is small, and is no better in the formula
    _, a = reference(activation, z, None)
    kernel = kernels.kernel(activation)
    kept, value = kernel.after_bias(np, z.copy(), None)
    np.testing.assert_allclose(value, a, rtol=2e-6 if dtype == "float32" else 2e-15)
    slope = activation.backward(np, np.ones_like(z), z, a)
    got = kernel.backward(np, np.ones_like(z), kept, value)
    np.testing.assert_allclose(got, slope, rtol=2e-6 if dtype == "float32" else 2e-15)


@pytest.mark.parametrize("storage", STORED)
@pytest.mark.parametrize("shape", [(70, 17), (48, 64), (3, 70, 13), (3, 48, 64)], ids=str)
def test_few_blocks_do_all_the_work(shape, storage, rng, monkeypatch):
    monkeypatch.setattr(compiling, "MANY", 2)
    dtype = dtype_of(storage)
    z, grad_a = (narrow(rng.normal(size=shape), dtype) for _ in "ab")
    b = bias_view(rng, shape, wide(z).dtype)
    for name in ("tanh", "gelu", "softmax"):
        _, a = reference(TESTED[name], z, b)
        kept, value = kernels.kernel(TESTED[name]).after_bias(np, z.copy(), b)
        near(value, a, storage)
        expected = narrow(TESTED[name].backward(np, wide(grad_a), wide(kept), wide(value)), dtype)
        near(kernels.kernel(TESTED[name]).backward(np, grad_a, kept, value), expected, storage, terms=4)
    near(linear_kernels.times(np, z, grad_a), narrow(wide(z) * wide(grad_a), dtype), storage)
    index = rng.integers(0, shape[-2], size=300)
    np.testing.assert_array_equal(linear_kernels.gather(np, z, index, axis=-2), z[..., index, :])
    sums = np.empty((*shape[:-2], 1, shape[-1]), dtype=wide(z).dtype)
    near(linear_kernels.column_sums(np, z, sums), wide(z).sum(axis=-2, keepdims=True), str(sums.dtype), terms=8)
    seeds = np.asarray(7) if len(shape) == 2 else np.asarray([[7], [8], [9]])
    mask = dropout_kernels.dropout_mask(np, shape[-2:], 0.4, seeds, 1, 2, 3, dtype)
    expected = dropout.dropout_mask(np, shape[-2:], 0.4, seeds, 1, 2, 3, dtype).astype(dtype)
    np.testing.assert_array_equal(mask.view(np.uint8), expected.view(np.uint8))


def test_every_activation_but_users_own_has_kernels():
    assert [
        name for name, activation in TESTED.items() if kernel_table.of_activation(kernels.TABLE, activation)[0] is None
    ] == []
    own = Activation("own", lambda xp, z: z * z, lambda xp, z, a: 2.0 * z)
    assert kernel_table.of_activation(kernels.TABLE, own)[0] is None
    mixed = Activation("mixed", ACTIVATIONS["relu"].forward, ACTIVATIONS["tanh"].derivative)
    assert kernel_table.of_activation(kernels.TABLE, mixed)[0] is None
    without = Activation("without", ACTIVATIONS["relu"].forward)
    assert kernel_table.of_activation(kernels.TABLE, without)[0] is None
    slopes = Activation("two slopes", leaky_relu(0.1).forward, leaky_relu(0.2).derivative)
    assert kernel_table.of_activation(kernels.TABLE, slopes)[0] is None


@pytest.mark.parametrize("shape", [(7, 5), (3, 7, 5)])
def test_an_activation_of_ones_own_is_computed_by_its_formula(shape, rng):
    own = Activation("own", lambda xp, z: z * z, lambda xp, z, a: 2.0 * z)
    z, grad_a = rng.normal(size=shape), rng.normal(size=shape)
    b = bias_view(rng, shape, np.float64)
    summed = z + b
    kept, value = kernels.kernel(own).after_bias(np, z, b)
    near(kept, summed, "float64")
    near(value, summed**2, "float64")
    near(kernels.kernel(own).backward(np, grad_a, kept, value), grad_a * 2.0 * summed, "float64")


def test_arrays_that_the_kernels_do_not_read_are_refused(rng):
    kernel = kernels.kernel(ACTIVATIONS["relu"])
    z = rng.normal(size=(4, 6))
    assert kernel.after_bias(np, z[:, ::2], None) is NotImplemented
    assert kernel.after_bias(np, z, np.ones((1, 6), dtype=np.float32)) is NotImplemented
    assert kernel.after_bias(np, z, np.ones((1, 12))[:, ::2]) is NotImplemented
    assert kernel.after_bias(np, z.astype(np.int64), None) is NotImplemented
    assert kernel.backward(np, z, z.T.copy().T, z) is NotImplemented


# ---------------------------------------------------------------------- rows


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "int64", "int32", "uint8"])
@pytest.mark.parametrize("width", [None, 1, 3, 4, 10, 64, 784, 1300])
def test_gathered_rows_are_the_rows(width, dtype, rng):
    n, tail = 37, () if width is None else (width,)
    x = (100.0 * rng.random(size=(n, *tail))).astype(dtype)
    one, many = rng.integers(0, n, size=11), rng.integers(0, n, size=(3, 11))
    for index in (one, many):
        np.testing.assert_array_equal(linear_kernels.gather(np, x, index), linear.gather(np, x, index), strict=True)
    stack = np.stack([x, x + x.dtype.type(1), x], axis=0)
    if width is not None:
        for index in (one, many):
            expected = linear.gather(np, stack, index, axis=-2)
            np.testing.assert_array_equal(linear_kernels.gather(np, stack, index, axis=-2), expected, strict=True)
        np.testing.assert_array_equal(linear_kernels.gather(np, x, one, axis=-2), x[one], strict=True)


def test_gathering_reads_nothing_outside_and_takes_rows_that_are_not_in_one_piece(rng):
    x = rng.normal(size=(10, 6))
    np.testing.assert_array_equal(linear_kernels.gather(np, x, np.asarray([-5, 0, 9, 2000])), x[[0, 0, 9, 9]])
    index = np.asarray([3, 1])
    np.testing.assert_array_equal(linear_kernels.gather(np, x[:, ::2], index), x[index, ::2])
    assert linear_kernels.gather(np, x, index.astype(np.int32)) is NotImplemented
    odd = (
        np.zeros(81, dtype=np.uint8)[1:].view(np.float64).reshape(5, 2)
    )  # rows of 16 bytes that begin at odd addresses
    odd[...] = x[:5, :2]
    np.testing.assert_array_equal(linear_kernels.gather(np, odd, index), odd[index])


# ---------------------------------------------------------------------- sums and masks


@pytest.mark.parametrize("order", ["", "reversed"])
@pytest.mark.parametrize("storage", STORED)
@pytest.mark.parametrize("shape", [*SHAPES, (1000, 3), (1200, 33), (2, 600, 7), (5, 1025, 2)], ids=str)
def test_column_sums_are_the_formulas(shape, storage, order, rng, monkeypatch):
    monkeypatch.setenv("CUDA_ON_CPU_ORDER", order)
    x = narrow(rng.normal(size=shape), dtype_of(storage))
    flat = np.full((*shape[:-2], shape[-1] + 5), 9.0, dtype=wide(x).dtype)
    out = flat[..., None, 2 : 2 + shape[-1]]
    assert linear_kernels.column_sums(np, x, out) is out
    expected = wide(x).sum(axis=-2, keepdims=True, dtype=np.float64).astype(out.dtype)
    near(out, expected, str(out.dtype), terms=math.sqrt(shape[-2]))
    assert np.all(flat[..., :2] == 9.0)
    assert np.all(flat[..., 2 + shape[-1] :] == 9.0)


@pytest.mark.parametrize("storage", STORED)
@pytest.mark.parametrize(
    ("a", "mask"), [((7, 5), (7, 5)), ((3, 8, 8), (3, 8, 8)), ((7, 5), (3, 7, 5)), ((3, 4, 8), (4, 8))]
)
def test_masks_are_multiplied(a, mask, storage, rng):
    a, mask = (narrow(rng.normal(size=shape), dtype_of(storage)) for shape in (a, mask))
    expected = narrow(wide(a) * wide(mask), a.dtype)
    near(linear_kernels.times(np, a, mask), expected, storage)
    if expected.shape == a.shape:
        assert linear_kernels.times(np, a, mask, out=a) is a
        near(a, expected, storage)


@pytest.mark.parametrize("storage", STORED)
@pytest.mark.parametrize(("shape", "lead"), [((7, 5), ()), ((3, 7, 5), (3,)), ((3, 7, 5), ())])
def test_a_factor_for_each_network_is_multiplied(shape, lead, storage, rng):
    a = narrow(rng.normal(size=shape), dtype_of(storage))
    factor = np.asarray(rng.random(size=lead), dtype=wide(a).dtype)[..., None, None]
    expected = narrow(wide(a) * factor, a.dtype)
    near(linear_kernels.times(np, a, factor, out=a), expected, storage)


@pytest.mark.parametrize("dtype", COMPUTED)
@pytest.mark.parametrize("shape", [(1, 1), (700, 1), (3, 33, 1)], ids=str)
def test_weights_are_summed(shape, dtype, rng):
    weight = rng.random(size=shape).astype(dtype)
    near(np.asarray(linear_kernels.weight_sum(np, weight)), np.asarray(linear.weight_sum(np, weight)), dtype)


@pytest.mark.parametrize("dtype", COMPUTED)
@pytest.mark.parametrize("lead", [(), (300,)])
def test_losses_are_accumulated_in_float64(lead, dtype, rng):
    total, value = np.asarray(rng.random(lead)), np.asarray(rng.random(lead), dtype=dtype)
    weight = np.asarray(rng.random(lead), dtype=dtype)
    for factor in (200, weight, np.asarray(2.5, dtype=dtype)):
        expected = np.asarray(linear.accumulate(np, total.copy(), value, factor))
        near(linear_kernels.accumulate(np, total.copy(), value, factor), expected, "float64")
    one = np.asarray(2.5, dtype=dtype)  # the same for all networks
    near(linear_kernels.accumulate(np, total.copy(), one, 1), total + 2.5, "float64")


@pytest.mark.parametrize("dtype", COMPUTED)
@pytest.mark.parametrize("lead", [(), (3,)])
@pytest.mark.parametrize("which", ["l2", "l1", "both"])
@pytest.mark.parametrize("samples", [None, 20, "array", "zero"])
def test_a_penalty_is_added(samples, which, lead, dtype, rng):
    p = 1500
    flat, grads = (rng.normal(size=(*lead, p)).astype(dtype) for _ in "ab")
    flat[..., 7] = 0.0
    l2, l1 = (rng.random(size=shape).astype(dtype) for shape in ((p,), (*lead, p)))
    l2, l1 = (l2 if which != "l1" else None), (l1 if which != "l2" else None)
    if samples in ("array", "zero"):
        samples = np.asarray(rng.random(lead) * 9.0 if samples == "array" else np.zeros(lead), dtype=dtype)
    loss = np.asarray(rng.random(lead), dtype=dtype)
    expected = linear.add_penalty(np, loss.copy(), flat, l2, l1, samples, grads.copy())
    got = linear_kernels.add_penalty(np, loss, flat, l2, l1, samples, grads)
    assert got[0] is loss
    assert got[1] is grads
    near(loss, np.asarray(expected[0]), dtype)
    near(grads, expected[1], dtype, terms=2)


# ---------------------------------------------------------------------- dropout


@pytest.mark.parametrize("storage", STORED)
@pytest.mark.parametrize("shape", [(1, 1), (7, 5), (33, 7), (4, 7), (8, 64), (1, 1000)], ids=str)
@pytest.mark.parametrize("rate", [0.0, 0.00437535, 0.2, 0.5, 0.93])  # 1 / (1 - second) is near two numbers of 16 bits
def test_dropout_masks_are_the_formulas_bit_for_bit(rate, shape, storage):
    dtype, run = dtype_of(storage), 2**32 - 5
    for seeds in (np.asarray(2**32 - 1), np.asarray([[0], [77], [2**31]])):
        for step, layer, first in ((0, 0, 0), (2**33 + 12345, 3, 0), (9, 1, 13)):
            expected = dropout.dropout_mask(np, shape, rate, seeds, run, step, layer, dtype, first)
            given = dropout_kernels.dropout_mask(np, shape, rate, seeds, run, step, layer, dtype, first)
            read = dropout_kernels.dropout_mask(np, shape, rate, seeds, run, np.asarray(step), layer, dtype, first)
            assert given.dtype == dtype
            np.testing.assert_array_equal(given.view(np.uint8), expected.astype(dtype).view(np.uint8))
            np.testing.assert_array_equal(read.view(np.uint8), given.view(np.uint8))
