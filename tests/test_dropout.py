"""Dropout: the generator against its published vectors, masks on every library, and their gradient."""

from __future__ import annotations

import numpy as np
import pytest

import bpx
from bpx.formulas.dropout import dropout_mask, philox
from bpx.formulas.losses import LOSSES
from bpx.network.objective import DropoutKey, Objective

# Random123 1.09, tests/kat_vectors, philox4x32 with 10 rounds: counter, key, result.
KNOWN_ANSWERS = [
    ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
]
SEED, RUN, STEP, LAYER = 7, 11, 3, 1
SHAPES = [(1, 1), (1, 3), (2, 2), (3, 5), (7, 11), (64, 100)]


def _mask(lib, shape, rate=0.5, seeds=SEED, run=RUN, step=STEP, layer=LAYER, dtype="float64") -> np.ndarray:
    """The mask on the host, from seeds of shape () or (K, 1)."""
    seeds = lib.asarray(np.asarray(seeds, dtype=np.int64))
    mask = dropout_mask(lib.xp, shape, rate, seeds, run, step, layer, lib.dtype(dtype))
    assert mask.device == seeds.device
    return lib.to_host(mask)


def _reference(shape, rate, seed, run, step, layer) -> np.ndarray:
    """The mask by Philox in Python's integers, one element after the other."""
    kept = []
    for element in range(shape[0] * shape[1]):
        c = [element // 4, step & 0xFFFFFFFF, layer, step >> 32]
        k = [seed, run]
        for _ in range(10):
            high_0, low_0 = divmod(c[0] * 0xD2511F53, 2**32)
            high_1, low_1 = divmod(c[2] * 0xCD9E8D57, 2**32)
            c = [high_1 ^ c[1] ^ k[0], low_1, high_0 ^ c[3] ^ k[1], low_0]
            k = [(k[0] + 0x9E3779B9) % 2**32, (k[1] + 0xBB67AE85) % 2**32]
        kept.append(c[element % 4] >= rate * 2**32)
    return np.reshape(kept, shape) / (1.0 - rate)


def _words(lib, text: str) -> list:
    return [lib.asarray(np.array([int(word, 16)], dtype=np.int64)) for word in text.split()]


@pytest.mark.parametrize(("counter", "key", "expected"), KNOWN_ANSWERS)
def test_philox_gives_the_published_answers(lib, counter, key, expected):
    result = philox(tuple(_words(lib, counter)), tuple(_words(lib, key)))
    assert " ".join(f"{int(lib.to_host(word)[0]):08x}" for word in result) == expected


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.75])
@pytest.mark.parametrize("shape", SHAPES[:-1])
def test_mask_is_philox_of_seed_run_step_layer_and_element(lib, shape, rate):
    # The step beyond 2^32 uses the counter's fourth word.
    for step in (0, STEP, 5 * 2**32 + 9):
        expected = _reference(shape, rate, SEED, RUN, step, LAYER)
        np.testing.assert_array_equal(_mask(lib, shape, rate, step=step), expected)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", SHAPES)
def test_masks_are_bitwise_equal_on_every_library(lib, shape, dtype):
    mask = _mask(lib, shape, 0.3, dtype=dtype)
    assert mask.dtype == dtype
    assert mask.tobytes() == _mask(bpx.get_backend("numpy"), shape, 0.3, dtype=dtype).tobytes()


@pytest.mark.parametrize("shape", SHAPES)
def test_rows_of_a_stacks_mask_are_the_single_networks_masks(lib, shape):
    seeds = [0, 1, 2**32 - 1]
    stacked = _mask(lib, shape, seeds=[[seed] for seed in seeds])
    assert stacked.shape == (3, *shape)
    for row, seed in zip(stacked, seeds, strict=True):
        np.testing.assert_array_equal(row, _mask(lib, shape, seeds=seed))


def test_a_mask_does_not_depend_on_what_is_behind_it_in_its_call():
    # Element e has the same word whatever the number of elements.
    lib = bpx.get_backend("numpy")
    whole = _mask(lib, (1, 103)).ravel()
    for size in (1, 2, 3, 4, 5, 102):
        np.testing.assert_array_equal(_mask(lib, (1, size)).ravel(), whole[:size])


@pytest.mark.parametrize("rate", [0.01, 0.2, 0.5, 0.9])
def test_the_share_kept_is_one_minus_the_rate_and_the_expectation_is_one(rate):
    lib = bpx.get_backend("numpy")
    masks = np.stack([_mask(lib, (200, 50), rate, step=step) for step in range(10)])
    kept = masks > 0
    np.testing.assert_allclose(masks[kept], 1.0 / (1.0 - rate), rtol=1e-15)
    # Five standard errors of a share: sqrt(rate (1 - rate) / number).
    assert abs(kept.mean() - (1.0 - rate)) < 5.0 * np.sqrt(rate * (1.0 - rate) / kept.size)
    assert abs(masks.mean() - 1.0) < 5.0 * np.sqrt(rate / (1.0 - rate) / kept.size)
    by_row = kept.mean(axis=(0, 2))
    assert np.all(np.abs(by_row - (1.0 - rate)) < 6.0 * np.sqrt(rate * (1.0 - rate) / 500))


def test_rate_zero_keeps_everything():
    assert np.all(_mask(bpx.get_backend("numpy"), (20, 20), 0.0) == 1.0)


@pytest.mark.parametrize(
    "change",
    [{"step": 4}, {"step": STEP + 2**32}, {"layer": 2}, {"run": 12}, {"seeds": 8}, {"run": SEED, "seeds": RUN}],
    ids=str,
)
def test_masks_of_another_step_layer_run_or_seed_are_independent(change):
    lib = bpx.get_backend("numpy")
    one, other = _mask(lib, (100, 101)) > 0, _mask(lib, (100, 101), **change) > 0
    # At rate 1/2 two independent masks agree at half of the elements, give or take.
    assert abs(np.mean(one == other) - 0.5) < 5.0 * 0.5 / np.sqrt(one.size)


def test_neighbouring_elements_are_independent():
    kept = _mask(bpx.get_backend("numpy"), (1, 40_001)).ravel() > 0
    for lag in (1, 2, 3, 4, 8):
        assert abs(np.mean(kept[lag:] == kept[:-lag]) - 0.5) < 5.0 * 0.5 / np.sqrt(kept.size)


# ---------------------------------------------------------------- in a network

SIZES = [3, 7, 5, 2]
RATES = [0.4, 0.25]


def _net(lib, stack=None, dropout=RATES, hidden="tanh", dtype="float64", seed=SEED):
    return bpx.MLP(SIZES, hidden, "identity", dropout=dropout, dtype=dtype, seed=seed, backend=lib, stack=stack)


def _loss(params, X, y, masks):
    """Half the mean squared error of tanh layers with these masks, in plain NumPy; real or complex."""
    x = X
    for layer in range(3):
        z = x @ params[f"{layer}.W"] + params[f"{layer}.b"]
        x = np.tanh(z) * masks[layer] if layer < 2 else z
    return np.sum((x - y) ** 2) / (2 * len(X))


def _masks(lib, n, seed, step):
    return [_mask(lib, (n, SIZES[i + 1]), RATES[i], seeds=seed, step=step, layer=i) for i in range(2)]


@pytest.mark.parametrize("stack", [None, 3])
def test_forward_and_backward_use_the_same_mask(lib, close, rng, stack):
    X, y = rng.normal(size=(9, 3)), rng.normal(size=(9, 2))
    net = _net(lib, stack)
    objective = Objective(net, LOSSES["squared_error"])
    losses, _ = objective.value_and_grad(lib.asarray(X), lib.asarray(y), None, DropoutKey(RUN, STEP))
    for k in range(stack or 1):
        row = (k,) if stack else ()
        masks = _masks(lib, 9, SEED + k, STEP)
        params = {name: lib.to_host(view)[row].astype(np.complex128) for name, view in net.params.items()}
        close(lib.to_host(losses)[row], _loss(params, X, y, masks).real)
        for name, p in params.items():
            expected = np.empty(p.shape)
            for place in np.ndindex(p.shape):  # a complex step: exact to rounding
                p[place] += 1e-30j
                expected[place] = _loss(params, X, y, masks).imag / 1e-30
                p[place] -= 1e-30j
            close(lib.to_host(net.layout.view(lib.xp, objective.grad, name))[row], expected)


@pytest.mark.parametrize("hidden", ["sigmoid", "gelu"])
def test_gradient_under_a_mask_agrees_with_central_differences(rng, hidden):
    lib = bpx.get_backend("numpy")
    X, y, key, h = rng.normal(size=(9, 3)), rng.normal(size=(9, 2)), DropoutKey(RUN, STEP), 1e-5
    net = _net(lib, hidden=hidden)
    objective = Objective(net, LOSSES["squared_error"], l2=0.1)
    grad = objective.value_and_grad(X, y, None, key)[1].copy()
    expected = np.empty_like(grad)
    for i in range(net.n_params):
        at = net.flat[i]
        values = []
        for moved in (at + h, at - h):
            net.flat[i] = moved
            values.append(objective.value_and_grad(X, y, None, key)[0])
        net.flat[i] = at
        expected[i] = (values[0] - values[1]) / (2 * h)
    # Central differences have an error of about h^2 times the third derivative, and of rounding over h.
    assert np.max(np.abs(grad - expected)) < 1e-8 * np.max(np.abs(grad))


def test_a_dropped_unit_gives_no_gradient_to_its_weights(rng):
    lib = bpx.get_backend("numpy")
    net = _net(lib)
    objective = Objective(net, LOSSES["squared_error"])
    # One sample, so that a unit is dropped or not.
    objective.value_and_grad(rng.normal(size=(1, 3)), rng.normal(size=(1, 2)), None, DropoutKey(RUN, STEP))
    kept = _masks(lib, 1, SEED, STEP)[0][0] > 0
    assert 0 < kept.sum() < kept.size
    into, out = (net.layout.view(np, objective.grad, name) for name in ("0.W", "1.W"))
    np.testing.assert_array_equal(np.any(into != 0, axis=0), kept)
    np.testing.assert_array_equal(np.any(out != 0, axis=1), kept)


def test_answers_losses_and_gradients_outside_training_drop_nothing(lib, rng):
    X, y = rng.normal(size=(9, 3)), rng.normal(size=(9, 2))
    net, plain = _net(lib), _net(lib, dropout=0.0)
    np.testing.assert_array_equal(lib.to_host(net(X)), lib.to_host(plain(X)))
    results = [other.loss_and_grads(X, y, "squared_error") for other in (net, plain)]
    (loss, grads), (plain_loss, plain_grads) = results
    assert lib.to_host(loss) == lib.to_host(plain_loss)
    np.testing.assert_array_equal(lib.to_host(grads.flat), lib.to_host(plain_grads.flat))


def test_training_uses_the_masks_of_its_seed_and_steps(lib, close, rng):
    # Two full-batch steps of gradient descent, made here with the masks of steps 0 and 1.
    X, y = rng.normal(size=(9, 3)), rng.normal(size=(9, 2))
    net, mine = _net(lib), _net(lib)
    history = bpx.fit(net, X, y, "squared_error", bpx.SGD(0.1), epochs=2, batch_size=None, seed=RUN)
    objective = Objective(mine, LOSSES["squared_error"])
    for step in range(2):
        loss, grad = objective.value_and_grad(lib.asarray(X), lib.asarray(y), None, DropoutKey(RUN, step))
        params = {name: lib.to_host(view) for name, view in mine.params.items()}
        close(history.loss[step], _loss(params, X, y, _masks(lib, 9, SEED, step)))
        close(history.loss[step], lib.to_host(loss))
        mine.flat -= 0.1 * grad
    close(lib.to_host(net.flat), lib.to_host(mine.flat))


@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-12), ("float32", 1e-5)])
def test_twenty_adam_steps_with_dropout_have_numpys_losses(lib, rng, dtype, tolerance):
    X, y = rng.normal(size=(30, 3)), rng.normal(size=(30, 2))
    how = {"loss": "squared_error", "optimizer": bpx.Adam(0.01), "epochs": 5, "batch_size": 8}
    curves = [bpx.fit(_net(b, dtype=dtype), X, y, **how).loss for b in (lib, bpx.get_backend("numpy"))]
    np.testing.assert_allclose(curves[0], curves[1], rtol=tolerance)


def test_large_seeds_give_masks_of_their_own():
    # Seeds are folded to 32 bits, not cut off.
    nets = [_net("numpy", seed=seed) for seed in (5, 5 + 2**32, 5 + 2**40)]
    assert len({int(net.dropout_seeds) for net in nets}) == 3


@pytest.mark.parametrize("bad", [-0.1, 1.0, float("nan"), [0.5], [0.1, 0.2, 1.0]])
def test_a_rate_outside_zero_to_one_or_for_another_number_of_layers_is_refused(bad):
    with pytest.raises(ValueError, match="dropout: expected"):
        bpx.MLP(SIZES, dropout=bad)
