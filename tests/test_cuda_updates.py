"""CUDA kernels of updates and of a loss's scale, run on the CPU, give what the formulas give."""

from __future__ import annotations

import math

import numpy as np
import pytest
from kernels_on_cpu import COMPUTED, dtype_of, narrow, near, needs_compiler, on_cpu

from bpx.formulas import updates
from bpx.formulas.activations import ACTIVATIONS, Activation, leaky_relu
from bpx.kernels.cuda import activations as activation_kernels
from bpx.kernels.cuda import compiling
from bpx.kernels.cuda import precision as precision_kernels
from bpx.kernels.cuda import updates as kernels

pytestmark = needs_compiler

SHAPES = [(1,), (7,), (3000,), (3, 1), (3, 33), (2, 5000)]
# Each update's hyperparameters after the learning rate, the number of vectors that it keeps, and its flags.
KEPT = {"gradient_descent": 0, "momentum": 1, "rmsprop": 1, "adagrad": 1, "adam": 2}
HYPERS = {
    "gradient_descent": [],
    "momentum": [0.9],
    "rmsprop": [0.95, 1e-6],
    "adagrad": [1e-8],
    "adam": [0.9, 0.999, 1e-8],
}
FLAGS = {"momentum": [(False,), (True,)], "adam": [(False,), (True,), (False, 0.04)]}
CASES = [(name, flags) for name in KEPT for flags in FLAGS.get(name, [()])]


@pytest.fixture(autouse=True)
def _on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    on_cpu(monkeypatch)


def vectors(name, shape, dtype, rng):
    """Gradient, state and parameters."""
    grads, *state, params = (rng.normal(size=shape).astype(dtype) for _ in range(KEPT[name] + 2))
    if name != "momentum" and state:
        state[-1] = np.abs(state[-1])
    return [grads, *state, params]


def arguments(name, given, flags, step, rate, hypers):
    steps = [step] if name == "adam" else []
    return [*given, *steps, rate, *hypers, *flags]


def of_each(number, networks, dtype):
    """A hyperparameter for each network: all near `number`."""
    return (number * np.linspace(0.9, 1.0, networks))[:, None].astype(dtype)


@pytest.mark.parametrize("many", [4096, 2])
@pytest.mark.parametrize("order", ["", "reversed"])
@pytest.mark.parametrize("dtype", COMPUTED)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize(("name", "flags"), CASES)
def test_an_update_is_the_formula(name, flags, shape, dtype, order, many, rng, monkeypatch):
    monkeypatch.setenv("CUDA_ON_CPU_ORDER", order)
    monkeypatch.setattr(compiling, "MANY", many)
    start, rate, step = vectors(name, shape, dtype, rng), 0.01, 3
    ways = {
        "numbers": (rate, step, HYPERS[name], flags),
        "read on the device": (np.asarray(rate), np.asarray(float(step)), HYPERS[name], flags),
    }
    if len(shape) == 2:
        own = [of_each(hyper, shape[0], dtype) for hyper in HYPERS[name]]
        steps = np.arange(1, 1 + shape[0])[:, None].astype(dtype)
        ways["one for each network"] = of_each(rate, shape[0], dtype), steps, own, flags
    for rates, steps, hypers, given in ways.values():
        expected = [x.astype(np.float64) for x in start]
        with np.errstate(all="ignore"):
            exact = [np.asarray(x, dtype=np.float64) if isinstance(x, np.ndarray) else x for x in hypers]
            getattr(updates, name)(np, *arguments(name, expected, given, steps, np.float64(rates), exact))
        got = [x.copy() for x in start]
        result = getattr(kernels, name)(np, *arguments(name, got, given, steps, rates, hypers))
        returned = result if isinstance(result, tuple) else (result,)
        assert returned[0] is got[-1]
        assert all(any(one is vector for vector in got[1:]) for one in returned)
        np.testing.assert_array_equal(got[0], start[0])
        for mine, wanted in zip(got, expected, strict=True):
            near(mine, wanted.astype(dtype), dtype, terms=4)


@pytest.mark.parametrize("step", [1, 2, 999, 1000, 12345, 10**7])
def test_adam_knows_the_powers_of_any_step(step, rng):
    start = vectors("adam", (40,), np.dtype("float64"), rng)
    expected, got = [x.copy() for x in start], [x.copy() for x in start]
    updates.adam(np, *expected, step, 0.01, 0.9, 0.999, 1e-8, False)
    kernels.adam(np, *got, np.asarray(float(step)), 0.01, 0.9, 0.999, 1e-8, False)
    for mine, wanted in zip(got, expected, strict=True):
        near(mine, wanted, "float64", terms=4)


@pytest.mark.parametrize("dtype", COMPUTED)
@pytest.mark.parametrize("begins", [0, 1, 4])
def test_an_update_is_the_same_wherever_its_vectors_begin(begins, dtype, rng):
    """In packs of 16 bytes or one by one, and with numbers left over that make no pack."""
    start = vectors("adam", (3003,), np.dtype(dtype), rng)
    expected, got = [x.copy() for x in start], [np.empty(3003 + begins, dtype=dtype)[begins:] for _ in start]
    for mine, x in zip(got, start, strict=True):
        mine[...] = x
    for given in (expected, got):
        kernels.adam(np, *given, 3, 0.01, 0.9, 0.999, 1e-8, False)
    for mine, wanted in zip(got, expected, strict=True):
        np.testing.assert_array_equal(mine, wanted)


@pytest.mark.parametrize(("name", "flags"), CASES)
def test_a_network_whose_update_is_not_taken_stays_as_it_is(name, flags, rng):
    start = vectors(name, (3, 40), np.dtype("float32"), rng)
    all_taken, some = [x.copy() for x in start], [x.copy() for x in start]
    function = getattr(kernels, name)
    function(np, *arguments(name, all_taken, flags, 2, 0.01, HYPERS[name]))
    taken = np.asarray([True, False, True])
    function(np, *arguments(name, some, flags, 2, 0.01, HYPERS[name]), taken=taken)
    for kept, updated, mixed in zip(start, all_taken, some, strict=True):
        np.testing.assert_array_equal(mixed[1], kept[1])
        np.testing.assert_array_equal(mixed[taken], updated[taken])


@pytest.mark.parametrize("order", ["", "reversed"])
@pytest.mark.parametrize("dtype", COMPUTED)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("size", [1.0, 1e30, 1e-30, 0.0, "largest", "smallest"])
def test_gradients_are_clipped_by_their_norm(size, shape, dtype, order, rng, monkeypatch):
    monkeypatch.setenv("CUDA_ON_CPU_ORDER", order)
    info = np.finfo(dtype)
    size = {"largest": float(info.max) / 1000.0, "smallest": float(info.smallest_normal)}.get(size, size)
    grads = (size * np.clip(rng.normal(size=shape), -4.0, 4.0)).astype(dtype)
    norms = [2.5, 0.5 * size * math.sqrt(shape[-1]) + 1e-30]
    if len(shape) == 2:
        norms.append(of_each(norms[1], shape[0], dtype))
    for most in norms:
        expected = updates.clip_by_global_norm(np, grads.copy(), most)
        got = grads.copy()
        assert kernels.clip_by_global_norm(np, got, most) is got
        near(got / dtype_of(dtype).type(size or 1.0), expected / dtype_of(dtype).type(size or 1.0), dtype, terms=4)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_gradient_that_is_no_number_makes_all_of_its_network_none(bad, rng):
    grads = rng.normal(size=(2, 3000))
    grads[0, 2900] = bad
    with np.errstate(invalid="ignore"):
        expected = updates.clip_by_global_norm(np, grads.copy(), 1.0)
    near(kernels.clip_by_global_norm(np, grads, 1.0), expected, "float64", terms=4)


def test_vectors_that_the_kernels_do_not_read_are_refused(rng):
    x, half = rng.normal(size=(3, 8)), rng.normal(size=(3, 8)).astype(np.float16)
    assert kernels.gradient_descent(np, x[:, ::2], x[:, ::2], 0.1) is NotImplemented
    assert kernels.gradient_descent(np, half, half, 0.1) is NotImplemented
    assert kernels.gradient_descent(np, x, x.astype("float32"), 0.1) is NotImplemented
    assert kernels.gradient_descent(np, x, x, np.ones((2, 1))) is NotImplemented
    assert kernels.gradient_descent(np, x, x, np.ones((3, 1), dtype="float32")) is NotImplemented
    assert kernels.gradient_descent(np, x, x, 0.1, taken=np.ones(2, dtype=bool)) is NotImplemented
    assert kernels.clip_by_global_norm(np, half, 1.0) is NotImplemented


# ---------------------------------------------------------------------- the scale of a loss


@pytest.fixture
def precision():
    return pytest.importorskip("bpx.formulas.precision", reason="there is no mixed precision")


@pytest.mark.parametrize("storage", ["float16", "bfloat16"])
@pytest.mark.parametrize("shape", [(7,), (3, 2000)])
def test_narrowing_rounds_once(storage, shape, rng):
    x = (rng.normal(size=shape) * 10.0 ** rng.integers(-9, 9, size=shape)).astype(np.float32)
    x.reshape(-1)[:5] = [math.inf, -math.inf, math.nan, 65519.9, 65520.0]
    dtype = dtype_of(storage)
    got = precision_kernels.narrow(np, x, dtype)
    assert got.dtype == dtype
    np.testing.assert_array_equal(got.astype(np.float32), narrow(x, dtype).astype(np.float32))
    assert precision_kernels.narrow(np, got, dtype) is got
    assert precision_kernels.narrow(np, x.astype(np.float64), dtype) is NotImplemented


@pytest.mark.parametrize("lead", [(), (6,)])
def test_scales_are_the_formulas_over_good_and_bad_steps(lead, precision, rng):
    state = precision.scaling(rng.normal(size=(*lead, 3000)).astype(np.float32))
    state = {name: np.asarray(x, dtype=np.float32) for name, x in state.items()}
    if lead:
        state["scale"][...] = [2.0**16, 2.0**-24, 2.0**-25, 2.0**100, 2.0**99, 3.0]
    expected = {name: x.copy() for name, x in state.items()}
    state["good"][...] = expected["good"][...] = precision.INTERVAL - 2.0
    for step in range(6):
        grads = rng.normal(size=(*lead, 3000)).astype(np.float32)
        if step in (2, 3):
            grads[..., [3, 2999][step - 2]] = [math.nan, math.inf][step - 2]
        with np.errstate(all="ignore"):
            wanted, finite, taken = precision.unscale(np, grads.copy(), expected["scale"])
        got = precision_kernels.unscale(np, grads, state["scale"])
        assert got[0] is grads
        near(grads, wanted, "float32")
        np.testing.assert_array_equal(got[1], finite)
        np.testing.assert_array_equal(got[2], taken)
        names = ("scale", "good", "number")
        after = precision.adjust(np, *(expected[name] for name in names), finite, taken)
        mine = precision_kernels.adjust(np, *(state[name] for name in names), got[1], got[2])
        for name, wanted, result in zip(names, after, mine, strict=True):
            assert result is state[name]
            np.testing.assert_array_equal(result, wanted)
            expected[name] = np.asarray(wanted, dtype=np.float32)


@pytest.mark.parametrize("storage", ["float16", "bfloat16"])
def test_activations_between_stored_numbers_have_the_same_kernels(storage, precision, rng):
    dtype = dtype_of(storage)
    own = Activation("own", lambda xp, z: z * z, lambda xp, z, a: 2.0 * z)
    for activation in (*ACTIVATIONS.values(), leaky_relu(0.3), own):
        stored = precision.Stored(activation)
        kernel = activation_kernels.kernel(stored)
        assert kernel._kernels == activation_kernels.kernel(activation)._kernels
        z, grad_a = (narrow(rng.normal(size=(3, 7, 5)), dtype) for _ in "ab")
        b = rng.normal(size=(3, 1, 5)).astype(np.float32)
        summed, a = stored.after_bias(np, z.copy(), b)
        kept, value = kernel.after_bias(np, z.copy(), b)
        near(value, a, storage)
        if activation.differentiable:
            near(kernel.backward(np, grad_a, kept, value), stored.backward(np, grad_a, summed, a), storage, terms=4)


def test_a_guarded_update_looks_at_what_is_taken(precision, rng):
    grads, params = (rng.normal(size=(3, 9)).astype(np.float32) for _ in "ab")
    taken = np.asarray([False, True, True])
    expected = precision.guarded(np, taken, updates.gradient_descent, grads, params.copy(), 0.1)
    got = precision_kernels.guarded(np, taken, updates.gradient_descent, grads, params, 0.1)
    near(got, expected, "float32")
    assert precision_kernels.guarded(np, taken, lambda *args: None, grads, params) is NotImplemented
