"""CUDA kernels of losses, run on the CPU, give the formulas' loss and gradient in one pass."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import pytest
from kernels_on_cpu import COMPUTED, STORED, dtype_of, narrow, near, needs_compiler, on_cpu, wide

from bpx.formulas import losses
from bpx.formulas.activations import softmax
from bpx.formulas.losses import LOSSES, capped, huber, quantile
from bpx.kernels.cuda import compiling
from bpx.kernels.cuda import losses as kernels

pytestmark = needs_compiler

FORMULAS = {
    **{name: loss.on_outputs for name, loss in LOSSES.items()},
    **{f"{name} on z": loss.on_logits for name, loss in LOSSES.items() if loss.on_logits is not None},
    "huber(0.4)": huber(0.4).on_outputs,
    "quantile(0.9)": quantile(0.9).on_outputs,
    "capped cross_entropy": partial(capped, formula=LOSSES["cross_entropy"].on_logits),
    "capped binary_cross_entropy": partial(capped, formula=LOSSES["binary_cross_entropy"].on_logits),
    "capped on outputs": partial(capped, formula=LOSSES["cross_entropy"].on_outputs),
}
SHAPES = [(1, 1), (7, 5), (33, 7), (3, 1000), (2, 4200), (1100, 3), (1500, 11), (3, 7, 5), (2, 33, 8), (1, 4, 6)]


@pytest.fixture(autouse=True)
def _on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    on_cpu(monkeypatch)


def outputs(name, shape, dtype, rng):
    """What a network could put out for that loss."""
    z = rng.normal(scale=2.0, size=shape)
    if " on z" not in name and name not in ("capped cross_entropy", "capped binary_cross_entropy"):
        if "poisson" in name:
            z = np.exp(z)
        elif "binary" in name:
            z = 1.0 / (1.0 + np.exp(-z))
        elif "cross_entropy" in name or name == "capped on outputs":
            z = softmax(np, z)
    return narrow(z, dtype)


def targets(name, shape, dtype, rng):
    y = rng.normal(scale=2.0, size=shape)
    if "poisson" in name:
        y = rng.poisson(2.0, size=shape)
    elif "binary" in name:
        y = rng.integers(0, 2, size=shape)
    elif "cross_entropy" in name or name == "capped on outputs":
        y = 1.7 * softmax(np, y)  # not all of it need be told
    return y.astype(dtype)


def check(formula, output, target, weight=None, scale=None):
    storage = output.dtype.name
    dtype = wide(output).dtype.name
    with np.errstate(all="ignore"):
        loss, grad = losses.value_and_grad(np, formula, wide(output), target, weight)
        if scale is not None:
            grad = grad * scale[..., None, None]
    given = output.copy()
    value, slope = kernels.value_and_grad(np, formula, given, target, weight, scale=scale)
    np.testing.assert_array_equal(given, output)
    n = output.shape[-2]
    near(np.asarray(value), np.asarray(loss), dtype, terms=4)
    # Slopes are differences of numbers of the order of 1, times the share of a row and the scale.
    size = (1.0 if scale is None else float(np.max(scale))) / (n if weight is None else 1.0)
    expected = narrow(grad, output.dtype)
    assert slope.shape == expected.shape
    assert slope.dtype == expected.dtype
    if storage == dtype:
        near(slope / slope.dtype.type(size), expected / expected.dtype.type(size), storage, terms=4)
    else:
        near(slope, expected, storage, terms=2)
    return value, slope


@pytest.mark.parametrize("storage", STORED)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", FORMULAS)
def test_a_loss_and_its_gradient_are_the_formulas(name, shape, storage, rng):
    formula, dtype = FORMULAS[name], dtype_of(storage)
    output = outputs(name, shape, dtype, rng)
    of = wide(output).dtype
    lead, n = shape[:-2], shape[-2]
    own, shared = targets(name, shape, of, rng), targets(name, shape[-2:], of, rng)
    check(formula, output, shared)
    check(formula, output, own, weight=rng.random(size=(n, 1)).astype(of))
    check(
        formula, output, shared, rng.random(size=(*lead, n, 1)).astype(of), np.asarray(8.0 + np.zeros(lead), dtype=of)
    )
    if ("cross_entropy" in name and "binary" not in name) or name == "capped on outputs":
        labels = rng.integers(0, shape[-1], size=shape[:-1])
        check(formula, output, labels)
        check(formula, output, labels[0] if lead else labels, weight=rng.random(size=(n, 1)).astype(of))


@pytest.mark.parametrize("storage", STORED)
def test_few_blocks_do_all_the_work(storage, rng, monkeypatch):
    monkeypatch.setattr(compiling, "MANY", 2)
    for shape in ((2000, 11), (3, 2000, 9), (5, 40, 3)):
        output = narrow(rng.normal(size=shape), dtype_of(storage))
        labels = rng.integers(0, shape[-1], size=shape[:-1])
        check(FORMULAS["cross_entropy on z"], output, labels)
        check(FORMULAS["squared_error"], output, rng.normal(size=shape).astype(wide(output).dtype))


@pytest.mark.parametrize("dtype", COMPUTED)
@pytest.mark.parametrize("name", ["binary_cross_entropy on z", "binary_cross_entropy", "poisson on z"])
def test_small_losses_have_all_their_digits(name, dtype):
    z = np.asarray([[-20.0, -30.0, -9.0]], dtype=dtype)
    output = z if " on z" in name else np.exp(z)
    loss, grad = losses.value_and_grad(np, FORMULAS[name], output, np.zeros_like(z), None)
    got = kernels.value_and_grad(np, FORMULAS[name], output, np.zeros_like(z), None)
    np.testing.assert_allclose(got[0], loss, rtol=2e-6 if dtype == "float32" else 5e-15)
    np.testing.assert_allclose(got[1], grad, rtol=2e-6 if dtype == "float32" else 5e-15)


@pytest.mark.parametrize("dtype", COMPUTED)
@pytest.mark.parametrize("shape", [(7, 3), (2, 7, 3)])
def test_quantiles_may_differ_by_output(shape, dtype, rng):
    output, target = (rng.normal(size=shape).astype(dtype) for _ in "ab")
    check(quantile([0.1, 0.5, 0.9]).on_outputs, output, target)
    target[...] = output  # at the kink
    assert not np.any(check(quantile([0.1, 0.5, 0.9]).on_outputs, output, target)[1])


@pytest.mark.parametrize("dtype", COMPUTED)
def test_samples_without_any_weight_give_zero(dtype, rng):
    output, target = (rng.normal(size=(2, 5, 3)).astype(dtype) for _ in "ab")
    weight = np.zeros((2, 5, 1), dtype=dtype)
    weight[1] = 1.0
    loss, grad = check(FORMULAS["squared_error"], output, target, weight)
    assert loss[0] == 0.0
    assert not np.any(grad[0])
    assert np.all(grad[1])


@pytest.mark.parametrize("dtype", COMPUTED)
@pytest.mark.parametrize("name", FORMULAS)
def test_losses_of_extreme_outputs_are_the_formulas(name, dtype):
    formula = FORMULAS[name]
    huge = [0.0, 1.0, 1e-30, 20.0, 80.0, 200.0, 1e30, math.inf, math.nan]
    huge += [-x for x in huge]
    if " on z" not in name and "cross" in name and name not in ("capped cross_entropy", "capped binary_cross_entropy"):
        huge = [0.0, 1.0, 1e-30, 1.0 - 1e-16, 0.5, math.nan]
    for value in huge:
        output = np.asarray([[value, 0.3, 0.1]], dtype=dtype)
        for target in ([[1.0, 0.0, 0.0]], [[0.0, 0.0, 1.0]]):
            y = np.asarray(target, dtype=dtype)
            with np.errstate(all="ignore"):
                loss, grad = losses.value_and_grad(np, formula, output, y, None)
            got_loss, got_grad = kernels.value_and_grad(np, formula, output, y, None)
            # 1 - 1e-16 and sums of e^200 are no numbers in which every bit is told
            np.testing.assert_allclose(got_loss, loss, rtol=1e-11 if dtype == "float64" else 1e-4)
            np.testing.assert_allclose(got_grad, grad, rtol=1e-11 if dtype == "float64" else 1e-4, atol=1e-6)


@pytest.mark.parametrize("storage", STORED)
@pytest.mark.parametrize("shape", [(7, 5), (3, 7, 5)])
def test_a_loss_of_ones_own_is_computed_by_its_formula(shape, storage, rng):
    def fourth(xp, a, y):
        return (a - y) ** 4, 4.0 * (a - y) ** 3

    output = narrow(rng.normal(size=shape), dtype_of(storage))
    of = wide(output).dtype
    check(fourth, output, rng.normal(size=shape).astype(of))
    check(fourth, output, rng.normal(size=shape[-2:]).astype(of), rng.random(size=(shape[-2], 1)).astype(of))
    with pytest.raises(Exception, match=r"shape|values"):
        kernels.value_and_grad(np, lambda xp, a, y: a, output, output, None)


def test_every_loss_has_a_kernel_but_ones_own():
    assert [name for name, formula in FORMULAS.items() if kernels._kernel(formula) is None] == []
    assert kernels._kernel(lambda xp, a, y: (a, y)) is None
    assert kernels._kernel(partial(capped, formula=lambda xp, a, y: (a, y))) is None


@pytest.mark.parametrize("order", ["", "reversed"])
def test_a_loss_repeats_bit_for_bit_whatever_block_comes_first(order, rng, monkeypatch):
    output, target = rng.normal(size=(2000, 11)).astype("float32"), rng.integers(0, 11, size=2000)
    first = kernels.value_and_grad(np, FORMULAS["cross_entropy on z"], output, target, None)
    monkeypatch.setenv("CUDA_ON_CPU_ORDER", order)
    again = kernels.value_and_grad(np, FORMULAS["cross_entropy on z"], output, target, None)
    assert first[0].tobytes() == again[0].tobytes()
    assert first[1].tobytes() == again[1].tobytes()


def test_what_the_kernels_do_not_read_is_refused(rng):
    output, formula = rng.normal(size=(4, 6)), FORMULAS["squared_error"]
    assert kernels.value_and_grad(np, formula, output[:, ::2], output[:, ::2], None) is NotImplemented
    assert kernels.value_and_grad(np, formula, output, output.astype("float32"), None) is NotImplemented
    assert kernels.value_and_grad(np, formula, output, output[:, :1], None) is NotImplemented
    assert kernels.value_and_grad(np, formula, output, np.zeros(4, dtype=np.int64), None) is NotImplemented
    assert kernels.value_and_grad(np, formula, output, output, np.ones((4, 1), dtype="float32")) is NotImplemented
    out = np.empty_like(output)
    assert kernels.value_and_grad(np, formula, output, output, None, out)[1] is out
