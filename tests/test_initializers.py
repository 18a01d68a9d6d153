"""Every initializer against its distribution; the network's first parameters against the draws they should be."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats

import bpx
from bpx.formulas import initializers
from bpx.formulas.initializers import INITIALIZERS, Initializer, glorot_uniform, normal, uniform

N_IN, N_OUT = 120, 200
BOTH, FAN_IN = N_IN + N_OUT, N_IN
# Distribution of the weights of a layer of 120 inputs and 200 outputs: its kind, and its limit or standard deviation.
CASES = {
    "glorot_uniform": (INITIALIZERS["glorot_uniform"], "uniform", math.sqrt(6 / BOTH)),
    "glorot_normal": (INITIALIZERS["glorot_normal"], "normal", math.sqrt(2 / BOTH)),
    "he_uniform": (INITIALIZERS["he_uniform"], "uniform", math.sqrt(6 / FAN_IN)),
    "he_normal": (INITIALIZERS["he_normal"], "normal", math.sqrt(2 / FAN_IN)),
    "lecun_uniform": (INITIALIZERS["lecun_uniform"], "uniform", math.sqrt(3 / FAN_IN)),
    "lecun_normal": (INITIALIZERS["lecun_normal"], "normal", math.sqrt(1 / FAN_IN)),
    "glorot for logistic units": (glorot_uniform(2.0), "uniform", math.sqrt(2 / BOTH)),
    "uniform(0.3)": (uniform(0.3), "uniform", 0.3),
    "normal(0.3)": (normal(0.3), "normal", 0.3),
}
# The least probable agreement that passes; the generator is seeded, so it passes always or never.
P_VALUE = 1e-3


def test_every_registered_initializer_is_tested():
    assert set(INITIALIZERS) - {"zeros"} == {name for name in CASES if INITIALIZERS.get(name) is CASES[name][0]}
    for name, init in INITIALIZERS.items():
        assert init.name == name


@pytest.mark.parametrize("name", sorted(CASES))
def test_weights_have_the_stated_distribution(rng, name):
    init, kind, scale = CASES[name]
    W, _ = init(rng, N_IN, N_OUT)
    assert W.shape == (N_IN, N_OUT)
    assert W.dtype == np.float64
    law = scipy.stats.norm(0.0, scale) if kind == "normal" else scipy.stats.uniform(-scale, 2 * scale)
    assert scipy.stats.kstest(W.ravel(), law.cdf).pvalue > P_VALUE
    # Moments of 24 000 draws: the mean within five of its standard errors, the standard deviation within 2 %.
    assert abs(W.mean()) < 5.0 * law.std() / math.sqrt(W.size)
    assert W.std() == pytest.approx(law.std(), rel=0.02)
    if kind == "uniform":
        assert scale * 0.999 < np.abs(W).max() <= scale


@pytest.mark.parametrize("name", sorted(CASES))
def test_weights_of_a_layer_are_uncorrelated(rng, name):
    W, _ = CASES[name][0](rng, N_IN, N_OUT)
    neighbours = [(W[:, 1:], W[:, :-1]), (W[1:], W[:-1])]
    for one, other in neighbours:
        assert abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 5.0 / math.sqrt(one.size)


@pytest.mark.parametrize("name", [*CASES, "zeros"])
def test_biases_start_at_zero_unless_asked_for(rng, name):
    init = CASES[name][0] if name in CASES else INITIALIZERS[name]
    _, b = init(rng, N_IN, N_OUT)
    assert (b.shape, b.dtype) == ((N_OUT,), np.float64)
    assert np.any(b) == (init.name == "uniform")


@pytest.mark.parametrize(
    ("init", "law"),
    [
        (uniform(0.3), scipy.stats.uniform(-0.3, 0.6)),
        (normal(0.3, biases=True), scipy.stats.norm(0.0, 0.3)),
        (glorot_uniform(biases=True), scipy.stats.uniform(-math.sqrt(6 / 2001), 2 * math.sqrt(6 / 2001))),
    ],
    ids=["uniform", "normal", "glorot_uniform"],
)
def test_biases_that_are_drawn_have_the_weights_distribution(rng, init, law):
    W, b = init(rng, 1, 2000)
    assert scipy.stats.kstest(b, law.cdf).pvalue > P_VALUE
    assert not np.any(b == W[0])


def test_biases_can_be_left_at_zero(rng):
    assert not np.any(uniform(0.3, biases=False)(rng, 3, 4)[1])


def test_drawing_biases_does_not_change_the_weights():
    # They come after the weights, so that the option changes nothing else in that layer.
    W, _ = glorot_uniform()(np.random.default_rng(1), 3, 4)
    again, _ = glorot_uniform(biases=True)(np.random.default_rng(1), 3, 4)
    np.testing.assert_array_equal(W, again)


def test_zeros_are_zeros_and_draw_nothing(rng):
    before = rng.bit_generator.state
    W, b = INITIALIZERS["zeros"](rng, 3, 4)
    assert W.shape == (3, 4)
    assert not np.any(W)
    assert not np.any(b)
    assert rng.bit_generator.state == before


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_network_starts_from_its_seeds_draws_on_every_library(lib, dtype):
    # Layer after layer, weights before biases, in float64 and then cast.
    net = bpx.MLP([3, 5, 2], init=["he_normal", uniform(0.5)], dtype=dtype, seed=11, backend=lib)
    rng = np.random.default_rng(11)
    drawn = [*INITIALIZERS["he_normal"](rng, 3, 5), *uniform(0.5)(rng, 5, 2)]
    expected = np.concatenate([part.ravel() for part in drawn]).astype(dtype)
    flat = lib.to_host(net.flat)
    assert flat.dtype == dtype
    np.testing.assert_array_equal(flat, expected)


def test_networks_of_a_stack_start_from_consecutive_seeds_or_from_their_own(lib):
    alone = {seed: lib.to_host(bpx.MLP([3, 4, 2], seed=seed, backend=lib).flat) for seed in (5, 6, 7, 99)}
    stack = bpx.MLP([3, 4, 2], seed=5, backend=lib, stack=3)
    np.testing.assert_array_equal(lib.to_host(stack.flat), np.stack([alone[5], alone[6], alone[7]]))
    stack = bpx.MLP([3, 4, 2], seed=[99, 5], backend=lib, stack=2)
    np.testing.assert_array_equal(lib.to_host(stack.flat), np.stack([alone[99], alone[5]]))
    assert len({row.tobytes() for row in alone.values()}) == 4


def test_a_function_of_ones_own_draws_weights_and_biases(lib):
    def counting(rng, n_in, n_out):
        return np.arange(n_in * n_out).reshape(n_in, n_out), np.full(n_out, rng.integers(1, 10))

    net = bpx.MLP([2, 3, 1], output="identity", init=counting, seed=4, backend=lib)
    rng = np.random.default_rng(4)
    np.testing.assert_array_equal(lib.to_host(net.params["0.W"]), [[0, 1, 2], [3, 4, 5]])
    np.testing.assert_array_equal(lib.to_host(net.params["0.b"]), [rng.integers(1, 10)] * 3)
    np.testing.assert_array_equal(lib.to_host(net.params["1.W"]), [[0], [1], [2]])
    np.testing.assert_array_equal(lib.to_host(net.params["1.b"]), [rng.integers(1, 10)])


def test_an_initializer_of_ones_own_is_an_object():
    ones = Initializer("ones", lambda rng, shape, n_in, n_out: np.ones(shape), biases=True)
    net = bpx.MLP([2, 3], init=ones, backend="numpy")
    np.testing.assert_array_equal(net.flat, np.ones(9))


@pytest.mark.parametrize(
    ("drawn", "error", "message"),
    [
        ((np.zeros((3, 2)), np.zeros(3)), bpx.ShapeError, r"0\.W of shape \(2, 3\), got \(3, 2\)"),
        ((np.zeros((2, 3)), np.zeros(2)), bpx.ShapeError, r"0\.b of shape \(3,\), got \(2,\)"),
        ((np.full((2, 3), np.nan), np.zeros(3)), bpx.NonFiniteError, "initial parameters"),
    ],
)
def test_what_a_function_of_ones_own_returns_is_checked(drawn, error, message):
    with pytest.raises(error, match=message):
        bpx.MLP([2, 3], init=lambda rng, n_in, n_out: drawn, backend="numpy")


@pytest.mark.parametrize("make", [uniform, normal, glorot_uniform])
@pytest.mark.parametrize("bad", [0.0, -1.0, float("inf"), float("nan")])
def test_a_scale_that_is_not_positive_and_finite_is_refused(make, bad):
    with pytest.raises(ValueError, match=make.__name__ + ": expected a finite .* > 0"):
        make(bad)


def test_get_takes_names_objects_and_functions_and_lists_the_known_names():
    assert initializers.get("he_normal") is INITIALIZERS["he_normal"]
    for mine in (uniform(0.1), lambda rng, n_in, n_out: None):
        assert initializers.get(mine) is mine
    with pytest.raises(ValueError, match=r"unknown initializer 'xavier'.*glorot_normal.*zeros.*uniform"):
        initializers.get("xavier")
    with pytest.raises(TypeError, match="name or a function"):
        initializers.get(0.1)
