"""The network itself: shapes, views, copies, seeds, and outputs and gradients that follow the textbook's formulas."""

from __future__ import annotations

import copy
import pickle
import sys
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import bpx
from bpx.backend import select
from bpx.backend.numpy_backend import NumpyBackend
from bpx.formulas.activations import ACTIVATIONS, tanh
from bpx.formulas.initializers import INITIALIZERS, normal, uniform
from bpx.formulas.losses import LOSSES
from bpx.formulas.optimizers import OPTIMIZERS

DIFFERENCE, DIFFERENCE_ERROR = 1e-5, 1e-7  # step and error of central differences, float64
DTYPES = ["float32", "float64"]
both_dtypes = pytest.mark.parametrize("dtype", DTYPES)


def textbook(net, X, y, l2):
    """Outputs, loss and flat gradient of one tanh network with linear outputs and squared error, weight by weight."""
    sizes, n = net.sizes, len(X)
    flat = net.backend.to_host(net.flat).astype("float64")
    Ws, bs, start = [], [], 0
    for layer, (n_in, n_out) in enumerate(pairwise(sizes)):
        Ws.append(flat[start : start + n_in * n_out].reshape(n_in, n_out))
        start += n_in * n_out
        bs.append(flat[start : start + n_out] if net.bias[layer] else np.zeros(n_out))
        start += n_out if net.bias[layer] else 0
    outputs = [X]
    for layer, (W, b) in enumerate(zip(Ws, bs, strict=True)):
        z = np.einsum("ni,ij->nj", outputs[-1], W) + b
        outputs.append(np.tanh(z) if layer < len(Ws) - 1 else z)
    loss = np.sum((outputs[-1] - y) ** 2) / (2 * n) + l2 / 2 * sum(np.sum(W**2) for W in Ws)
    delta, parts = (outputs[-1] - y) / n, []
    for layer in reversed(range(len(Ws))):
        grad_W = np.einsum("ni,nj->ij", outputs[layer], delta) + l2 * Ws[layer]
        parts = [grad_W.ravel(), *([delta.sum(axis=0)] if net.bias[layer] else []), *parts]
        delta = np.einsum("nj,ij->ni", delta, Ws[layer]) * (1 - outputs[layer] ** 2)
    return outputs[-1], loss, np.concatenate(parts)


def positive(rng, n_in, n_out):
    """Parameters whose sums cannot cancel, so that float32 outputs keep their digits."""
    return rng.uniform(0.1, 0.5, (n_in, n_out)), rng.uniform(0.1, 0.5, n_out)


@settings(
    max_examples=100, derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],  # lib and close keep no state
)  # fmt: skip
@given(data=st.data())
@pytest.mark.slow
def test_any_network_follows_the_textbook(lib, close, data):
    sizes = data.draw(st.lists(st.integers(1, 6), min_size=2, max_size=6), "sizes")
    bias = data.draw(st.lists(st.booleans(), min_size=len(sizes) - 1, max_size=len(sizes) - 1), "bias")
    n, stack = data.draw(st.integers(1, 7), "n"), data.draw(st.sampled_from([None, 1, 3]), "stack")
    dtype, l2 = data.draw(st.sampled_from(DTYPES), "dtype"), data.draw(st.sampled_from([0.0, 0.1]), "l2")
    seed = data.draw(st.integers(0, 2**40), "seed")
    init = "glorot_uniform" if dtype == "float64" else positive

    def network(seed, **options):
        return bpx.MLP(sizes, "tanh", "identity", bias, init, dtype=dtype, seed=seed, **options)

    net = network(seed, backend=lib, stack=stack)
    rng = np.random.default_rng(seed)
    # Targets far from every output, so that no residual loses digits.
    X = rng.uniform(0.5, 1.5, (n, sizes[0])).astype(dtype)
    y = rng.uniform(20.0, 30.0, (n, sizes[-1])).astype(dtype)

    output, (loss, grads) = net(X), net.loss_and_grads(X, y, "squared_error", l2)
    lead = () if stack is None else (stack,)
    parameters = sum((n_in + b) * n_out for n_in, n_out, b in zip(sizes, sizes[1:], bias, strict=False))
    assert net.n_params == parameters
    assert (output.shape, loss.shape, grads.flat.shape) == ((*lead, n, sizes[-1]), lead, (*lead, parameters))
    assert net.input_gradient(X, y, "squared_error").shape == (*lead, n, sizes[0])
    for array in (output, grads.flat, net.flat, *grads.values()):
        assert array.dtype == lib.dtype(dtype)
        assert array.device == net.flat.device
    assert {name: view.shape for name, view in grads.items()} == {name: view.shape for name, view in net.params.items()}

    singles = [network(seed + k) for k in range(stack or 1)]
    expected = [textbook(single, X.astype("float64"), y.astype("float64"), l2) for single in singles]
    for got, parts in zip((output, loss, grads.flat), zip(*expected, strict=True), strict=True):
        close(lib.to_host(got), parts[0] if stack is None else np.stack(parts), dtype)


# ---------------------------------------------------------------------- what it takes and gives


@pytest.mark.parametrize("stack", [None, 3])
@both_dtypes
def test_a_single_sample_loses_its_sample_axis_and_nothing_else(lib, close, rng, dtype, stack):
    net = bpx.MLP([3, 4, 2], "tanh", dtype=dtype, backend=lib, stack=stack)
    X, lead = rng.normal(size=(5, 3)), () if stack is None else (stack,)
    many, one = net(X), net(X[2])
    assert (many.shape, one.shape) == ((*lead, 5, 2), (*lead, 2))
    close(lib.to_host(one), lib.to_host(many)[..., 2, :], dtype)
    assert [a.shape for a in net.activations(X[2])] == [(*lead, 4), (*lead, 2)]
    assert net.input_gradient(X[2], 1).shape == (*lead, 3)
    # A single label may stand alone, as a list, or as a one-hot row; the sample with or without its axis.
    losses = [lib.to_host(net.loss_and_grads(x, y)[0]) for x in (X[2], X[2:3]) for y in ([1], [[0.0, 1.0]])]
    losses.append(lib.to_host(net.loss_and_grads(X[2], 1)[0]))
    for loss in losses:
        close(loss, losses[0], dtype)


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint8", "int64", "float16", "float32", "float64"])
def test_host_data_of_any_real_dtype_give_the_networks_dtype(lib, dtype):
    net = bpx.MLP([3, 4, 2], backend=lib)
    X = np.array([[0, 1, 1], [1, 0, 1]], dtype)
    assert net(X).dtype == lib.dtype("float32")
    np.testing.assert_array_equal(lib.to_host(net(X)), lib.to_host(net(X.tolist())))
    np.testing.assert_array_equal(lib.to_host(net(X)), lib.to_host(net(lib.asarray(X.astype("float64")))))


def test_calling_does_not_change_its_input_or_the_parameters(lib, rng):
    net = bpx.MLP([3, 4, 2], backend=lib, dtype="float64")
    X = lib.asarray(rng.normal(size=(5, 3)))
    kept, before = np.array(lib.to_host(X)), np.array(lib.to_host(net.flat))
    net(X), net.loss_and_grads(X, [0, 1, 1, 0, 1], l2=0.1), net.input_gradient(X, [0, 1, 1, 0, 1])
    np.testing.assert_array_equal(lib.to_host(X), kept)
    np.testing.assert_array_equal(lib.to_host(net.flat), before)


def test_two_gradients_do_not_share_memory(lib, rng):
    net = bpx.MLP([3, 4, 2], backend=lib)
    X = rng.normal(size=(5, 3))
    first = net.loss_and_grads(X, [0, 1, 1, 0, 1])[1]
    kept = np.array(lib.to_host(first.flat))
    net.loss_and_grads(2.0 * X, [1, 0, 0, 1, 0])
    np.testing.assert_array_equal(lib.to_host(first.flat), kept)


@pytest.mark.parametrize("lib", ["torch"], indirect=True)
def test_a_tensor_that_requires_grad_is_taken_for_its_values(lib):
    net = bpx.MLP([3, 4, 2], backend=lib)
    X = lib.asarray(np.ones((2, 3), "float32")).requires_grad_()
    results = [net(X), *net.loss_and_grads(X, [0, 1])[1].values(), net.input_gradient(X, [0, 1])]
    bpx.fit(net, X, [0, 1], epochs=2)
    assert not any(result.requires_grad for result in [*results, net.flat])


# ---------------------------------------------------------------------- layers


@both_dtypes
def test_every_layer_has_its_own_activation_bias_initializer_and_dropout(lib, close, rng, dtype):
    ones = lambda rng, n_in, n_out: (np.ones((n_in, n_out)), np.full(n_out, 7.0))  # noqa: E731
    net = bpx.MLP(
        [3, 4, 5, 2], hidden=["tanh", "sigmoid"], output="identity", bias=[True, False, True],
        init=["he_normal", uniform(0.5), ones], dropout=[0.5, 0.0], dtype=dtype, backend=lib,
    )  # fmt: skip
    assert list(net.params) == ["0.W", "0.b", "1.W", "2.W", "2.b"]
    assert [a.name for a in (*net.hidden, net.output)] == ["tanh", "sigmoid", "identity"]
    assert (net.bias, net.dropout) == ((True, False, True), (0.5, 0.0))
    host = {name: lib.to_host(view).astype("float64") for name, view in net.params.items()}
    draws = np.random.default_rng(0)
    close(host["0.W"], draws.normal(0.0, np.sqrt(2 / 3), (3, 4)), dtype)
    close(host["1.W"], draws.uniform(-0.5, 0.5, (4, 5)), dtype)
    assert np.all(host["0.b"] == 0.0)
    assert np.all(host["2.W"] == 1.0)
    assert np.all(host["2.b"] == 7.0)

    X = rng.normal(size=(6, 3)).astype(dtype)
    a_1 = np.tanh(X @ host["0.W"])
    a_2 = 1.0 / (1.0 + np.exp(-(a_1 @ host["1.W"])))
    activations = net.activations(X)  # dropout is for training only
    for got, expected in zip(activations, [a_1, a_2, a_2 @ host["2.W"] + 7.0], strict=True):
        close(lib.to_host(got), expected, dtype)
    np.testing.assert_array_equal(lib.to_host(net.forward(X)), lib.to_host(activations[-1]))


@pytest.mark.parametrize(("d", "q", "l"), [(2, 2, 1), (784, 30, 10), (5, 1, 3)])
def test_three_layers_have_d_plus_l_plus_1_times_q_plus_l_parameters(d, q, l):  # noqa: E741
    net = bpx.MLP([d, q, l], output="sigmoid")
    assert net.n_params == net.flat.shape[0] == (d + l + 1) * q + l
    assert bpx.MLP([d, q, l], output="sigmoid", bias=False).n_params == (d + l) * q
    assert bpx.MLP([d, q, l], output="sigmoid", stack=3).n_params == net.n_params


# ---------------------------------------------------------------------- views


@pytest.mark.parametrize("stack", [None, 2])
def test_the_flat_vector_holds_weights_row_by_row_then_biases_layer_by_layer(lib, stack):
    net = bpx.MLP([3, 4, 2], bias=[True, False], backend=lib, stack=stack)
    lead = () if stack is None else (stack,)
    numbers = np.arange(24 * (stack or 1), dtype="float32").reshape(*lead, 24)
    net.flat[...] = lib.asarray(numbers)
    for name, start, shape in (("0.W", 0, (3, 4)), ("0.b", 12, (4,)), ("1.W", 16, (4, 2))):
        expected = numbers[..., start : start + int(np.prod(shape))].reshape(*lead, *shape)
        np.testing.assert_array_equal(lib.to_host(net.params[name]), expected)
    assert len(net.params) == 3
    for name, view in (("0.W", net.weights[0]), ("1.W", net.weights[1]), ("0.b", net.biases[0])):
        np.testing.assert_array_equal(lib.to_host(view), lib.to_host(net.params[name]))
    assert repr(net.params).startswith(f"ParamViews(0.W: {(*lead, 3, 4)}")


def test_writing_into_a_view_changes_the_network(lib, close):
    net = bpx.MLP([3, 4, 2], output="identity", backend=lib)
    net.params["1.W"][...] = 0.0
    net.biases[1][...] = 5.0
    np.testing.assert_array_equal(lib.to_host(net.flat)[16:], [0.0] * 8 + [5.0] * 2)
    np.testing.assert_array_equal(lib.to_host(net([[1.0, 2.0, 3.0]])), [[5.0, 5.0]])
    net.weights[1][...] = 1.0
    hidden, output = net.activations([[1.0, 2.0, 3.0]])
    close(lib.to_host(output), [[5.0 + lib.to_host(hidden).sum()] * 2], "float32")


@pytest.mark.parametrize("stack", [None, 3])
def test_set_params_swaps_parameters(lib, stack):
    net = bpx.MLP([3, 3, 3], seed=1, backend=lib, stack=stack)
    first, second = (lib.to_host(net.params[name] * 1.0) for name in ("0.W", "1.W"))
    net.set_params({"0.W": net.params["1.W"], "1.W": net.params["0.W"]})
    np.testing.assert_array_equal(lib.to_host(net.params["0.W"]), second)
    np.testing.assert_array_equal(lib.to_host(net.params["1.W"]), first)


@both_dtypes
@pytest.mark.parametrize("stack", [None, 2])
def test_set_params_takes_host_and_device_arrays_and_returns_the_network(lib, dtype, stack):
    net = bpx.MLP([3, 4, 2], dtype=dtype, backend=lib, stack=stack)
    lead, before = () if stack is None else (stack,), np.array(lib.to_host(net.params["0.b"]))
    W, b = np.full((*lead, 3, 4), 2.5), lib.asarray(np.full((*lead, 2), -1.0))
    assert net.set_params({"0.W": W.tolist(), "1.b": b}) is net
    np.testing.assert_array_equal(lib.to_host(net.params["0.W"]), W)
    np.testing.assert_array_equal(lib.to_host(net.params["1.b"]), lib.to_host(b))
    np.testing.assert_array_equal(lib.to_host(net.params["0.b"]), before)
    assert net.flat.dtype == lib.dtype(dtype)
    other = bpx.MLP([3, 4, 2], dtype=dtype, seed=9, backend=lib, stack=stack).set_params(net.params)
    np.testing.assert_array_equal(lib.to_host(other.flat), lib.to_host(net.flat))


# ---------------------------------------------------------------------- dtype


@both_dtypes
@pytest.mark.parametrize(
    "hidden", sorted(name for name, a in ACTIVATIONS.items() if a.differentiable and not a.output_only)
)
@pytest.mark.parametrize("loss", sorted(LOSSES))
def test_no_array_leaves_the_networks_dtype(lib, loss, hidden, dtype):
    net = bpx.MLP([3, 4, 2], hidden, LOSSES[loss].canonical or "identity", dtype=dtype, backend=lib)
    X, y = np.ones((2, 3)), np.eye(2)
    value, grads = net.loss_and_grads(X, y, loss, l2=0.1, sample_weight=[1.0, 2.0])
    for array in (*net.activations(X), value, grads.flat, net.input_gradient(X, y, loss)):
        assert array.dtype == lib.dtype(dtype)


@both_dtypes
@pytest.mark.parametrize("optimizer", sorted(OPTIMIZERS))
def test_no_update_leaves_the_networks_dtype(lib, optimizer, dtype):
    net = bpx.MLP([3, 4, 2], dropout=0.5, dtype=dtype, backend=lib, stack=2)
    bpx.fit(net, np.ones((3, 3)), [0, 1, 1], optimizer=optimizer, epochs=1, l2=[0.1, 0.2], class_weight="balanced")
    assert net.flat.dtype == lib.dtype(dtype)


# ---------------------------------------------------------------------- seeds


@both_dtypes
@pytest.mark.parametrize("init", [*sorted(INITIALIZERS), normal(0.3, biases=True)], ids=[*sorted(INITIALIZERS), "own"])
def test_a_seed_gives_bitwise_the_same_parameters_on_every_library(lib, init, dtype):
    there, here = (bpx.MLP([3, 4, 2], init=init, dtype=dtype, seed=5, backend=b, stack=2) for b in (lib, "numpy"))
    assert lib.to_host(there.flat).tobytes() == here.flat.tobytes()


@pytest.mark.parametrize("seeds", [40, [7, 0, 7]])
def test_each_network_of_a_stack_is_the_one_that_its_seed_gives(lib, seeds):
    stack = lib.to_host(bpx.MLP([3, 4, 2], init="he_normal", seed=seeds, backend=lib, stack=3).flat)
    for k, seed in enumerate([40, 41, 42] if seeds == 40 else seeds):
        alone = bpx.MLP([3, 4, 2], init="he_normal", seed=seed, backend=lib)
        assert stack[k].tobytes() == lib.to_host(alone.flat).tobytes()


def test_other_seeds_give_other_networks_and_none_a_new_one_each_time():
    flats = [bpx.MLP([3, 4, 2], seed=seed).flat.tobytes() for seed in (0, 1, None, None)]
    assert len(set(flats)) == 4
    drawn = bpx.MLP([3, 4, 2], seed=None)
    assert bpx.MLP([3, 4, 2], seed=drawn.seed).flat.tobytes() == drawn.flat.tobytes()


# ---------------------------------------------------------------------- derivatives with respect to the inputs


@pytest.mark.parametrize("stack", [None, 2])
@pytest.mark.parametrize(("output", "loss"), [("softmax", "cross_entropy"), ("sigmoid", "squared_error")])
def test_input_gradient_agrees_with_central_differences(lib, close, rng, output, loss, stack):
    net = bpx.MLP([3, 5, 2], "tanh", output, dtype="float64", backend=lib, stack=stack)
    X, y, weight = rng.normal(size=(4, 3)), np.eye(2)[[0, 1, 1, 0]], [1.0, 2.0, 0.5, 0.0]
    expected = np.zeros((*(() if stack is None else (stack,)), 4, 3))
    for i in np.ndindex(4, 3):
        up, down = X.copy(), X.copy()
        up[i] += DIFFERENCE
        down[i] -= DIFFERENCE
        high, low = (lib.to_host(net.loss_and_grads(x, y, loss, sample_weight=weight)[0]) for x in (up, down))
        expected[(..., *i)] = (high - low) / (2 * DIFFERENCE)
    got = lib.to_host(net.input_gradient(X, y, loss, sample_weight=weight))
    assert np.max(np.abs(got - expected)) <= DIFFERENCE_ERROR * np.max(np.abs(expected))
    if stack is None:
        alone = [lib.to_host(net.input_gradient(x, t, loss)) for x, t in zip(X, y, strict=True)]
        close(np.stack(alone) * (np.array(weight) / 3.5)[:, None], got)


# ---------------------------------------------------------------------- copies


@pytest.mark.parametrize("duplicate", [bpx.MLP.copy, bpx.MLP.to, copy.copy, copy.deepcopy], ids=lambda f: f.__name__)
@pytest.mark.parametrize("stack", [None, 2])
def test_a_copy_is_equal_and_independent(lib, rng, duplicate, stack):
    net = bpx.MLP([3, 4, 2], dropout=0.5, seed=3, backend=lib, stack=stack)
    other, X = duplicate(net), rng.normal(size=(5, 3))
    assert other.backend is net.backend
    assert repr(other) == repr(net)
    assert lib.to_host(other(X)).tobytes() == lib.to_host(net(X)).tobytes()
    before = lib.to_host(net.flat).tobytes()
    other.flat[...] = 1.0
    assert lib.to_host(net.flat).tobytes() == before
    # Trained alike they stay alike: dropout seeds are copied too.
    again = duplicate(net)
    for trained in (net, again):
        bpx.fit(trained, X, [0, 1, 1, 0, 1], epochs=2, batch_size=2)
    assert lib.to_host(again.flat).tobytes() == lib.to_host(net.flat).tobytes() != before


@both_dtypes
def test_to_carries_a_network_to_another_library_and_back_bit_for_bit(lib, close, rng, dtype):
    net = bpx.MLP([3, 4, 2], "tanh", dropout=0.5, dtype=dtype, seed=3, backend="numpy")
    there = net.to(lib)
    back, X = there.to("numpy"), rng.normal(size=(5, 3))
    assert (there.backend, there.flat.device, back.backend.name) == (lib, net.to(lib).flat.device, "numpy")
    assert back.flat.tobytes() == net.flat.tobytes()
    close(lib.to_host(there(X)), net(X), dtype)
    back.flat[...] = 0.0
    assert np.any(lib.to_host(there.flat) != 0.0)
    assert np.any(net.flat != 0.0)


def test_to_changes_the_dtype_and_nothing_else(lib):
    net = bpx.MLP([3, 4, 2], dropout=0.5, bias=[True, False], seed=3, backend=lib)
    double = net.to(dtype="float64")
    assert (double.dtype, double.flat.dtype, net.flat.dtype) == ("float64", lib.xp.float64, lib.xp.float32)
    np.testing.assert_array_equal(lib.to_host(double.flat), lib.to_host(net.flat))
    assert repr(double) == repr(net).replace("float32", "float64")


@pytest.mark.parametrize("stack", [None, 2])
def test_a_pickled_network_comes_back_on_its_backend(stack):
    net = bpx.MLP([3, 4, 2], dropout=0.5, seed=3, backend="numpy", stack=stack)
    again = pickle.loads(pickle.dumps(net))
    assert again.backend is net.backend
    assert again.flat.tobytes() == net.flat.tobytes()
    again.params["0.W"][...] = 0.0
    assert not np.any(again([[1.0, 2.0, 3.0]]) - again([[3.0, 2.0, 1.0]]))


@pytest.mark.parametrize("lib", ["strict", "torch", "cupy"], indirect=True)
def test_a_pickled_network_comes_back_on_its_backend_or_on_numpy_with_a_warning(lib):
    net = bpx.MLP([3, 4, 2], dropout=0.5, seed=3, backend=lib)
    data, named = pickle.dumps(net), lib.package in {"torch", "cupy"}
    if named:
        again = pickle.loads(data)
    else:
        with pytest.warns(bpx.BackendFallbackWarning, match="has no name here; it is now on NumPy") as caught:
            again = pickle.loads(data)
        assert caught[0].filename == __file__
    assert again.backend.name == (lib.name if named else "numpy")
    assert again.backend.to_host(again.flat).tobytes() == lib.to_host(net.flat).tobytes()


def test_a_network_pickled_on_a_backend_that_is_not_there_comes_back_on_numpy_with_the_reason():
    backend = NumpyBackend()
    backend.name = "cupy"
    net = bpx.MLP([3, 4, 2], backend=backend)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(select, "_probed", {})
        patch.setitem(sys.modules, "cupy", None)
        with pytest.warns(bpx.BackendFallbackWarning, match="'cupy' cannot be used.*CuPy is not installed"):
            again = pickle.loads(pickle.dumps(net))
    assert again.backend.name == "numpy"
    assert again.flat.tobytes() == net.flat.tobytes()


# ---------------------------------------------------------------------- objects in place of names


@both_dtypes
def test_activations_and_losses_may_be_objects_and_functions(lib, close, rng, dtype):
    def half_squared(xp, a, y):
        return 0.5 * (a - y) * (a - y), a - y

    half_tanh = bpx.Activation("half_tanh", lambda xp, z: 0.5 * tanh(xp, z), lambda xp, z, a: 0.5 - 2.0 * a * a)
    own = bpx.MLP([3, 4, 2], half_tanh, ACTIVATIONS["sigmoid"], dtype=dtype, backend=lib)
    usual = bpx.MLP([3, 4, 2], "tanh", "sigmoid", dtype=dtype, backend=lib)
    usual.params["1.W"][...] = 0.5 * own.params["1.W"]
    X, y = rng.normal(size=(5, 3)), rng.uniform(size=(5, 2))
    loss, grads = own.loss_and_grads(X, y, half_squared)
    expected, usual_grads = usual.loss_and_grads(X, y, LOSSES["squared_error"])
    close(lib.to_host(loss), lib.to_host(expected), dtype)
    close(lib.to_host(grads["0.W"]), lib.to_host(usual_grads["0.W"]), dtype)


# ---------------------------------------------------------------------- read-only arrays, and assigning all parameters


def read_only(a):
    """A copy that cannot be written to."""
    a = np.array(a)
    a.setflags(write=False)
    return a


@both_dtypes
def test_read_only_and_broadcast_arrays_are_taken_everywhere(dtype, tmp_path, close):
    X = np.linspace(-1.0, 1.0, 24).reshape(8, 3).astype(dtype)
    y = np.arange(8) % 2
    given_X, given_y = read_only(X), read_only(y)
    one, other = (bpx.MLP([3, 4, 2], dtype=dtype, backend="numpy") for _ in range(2))
    for net, a, b in ((one, X, y), (other, given_X, given_y)):
        net.set_params({"0.W": a[:3, :1] * np.ones((3, 4)), "0.b": np.broadcast_to(a[0, 0], (4,))})
        bpx.fit(net, a, b, epochs=2, batch_size=4, validation=(a, b), sample_weight=np.broadcast_to(1.0, (8,)))
        bpx.fit(net, bpx.stream(a, b), epochs=1)
        bpx.fit(net, a, b, epochs=2, optimizer="lbfgs")
    np.testing.assert_array_equal(one.flat, other.flat)
    repeated = np.broadcast_to(X[0], (5, 3))
    close(one(repeated), one(np.array(repeated)), dtype)  # NumPy 2.1 multiplies rows that repeat in another order
    expected = one.loss_and_grads(np.array(repeated), [1] * 5)[1].flat
    close(one.loss_and_grads(repeated, np.broadcast_to(1, (5,)))[1].flat, expected, dtype)


def test_assigning_to_flat_overwrites_the_parameters_that_are_computed_with(lib):
    X = [[1.0, 2.0]]
    net = bpx.MLP([2, 3, 1], output="identity", backend=lib)
    other = bpx.MLP([2, 3, 1], output="identity", seed=1, backend=lib)
    flat, weights = net.flat, net.params["0.W"]
    net.flat = other.flat
    assert net.flat is flat
    for one, two in ((net(X), other(X)), (weights, other.params["0.W"])):
        np.testing.assert_array_equal(lib.to_host(one), lib.to_host(two))
    net.flat *= 0.0
    assert float(net(X)[0, 0]) == 0.0
    with pytest.raises(bpx.ShapeError, match="flat"):
        net.flat = lib.to_host(net.flat)[:-1]
    with pytest.raises(bpx.NonFiniteError, match="flat"):
        net.flat = np.full(net.n_params, np.nan)
    np.testing.assert_array_equal(lib.to_host(net.flat), 0.0)


@pytest.mark.parametrize("optimizer", ["adam", "lbfgs"])
def test_parameters_that_are_locked_are_not_changed_and_the_error_says_so(optimizer):
    net = bpx.MLP([2, 3, 2], backend="numpy")
    X, y = [[0.0, 1.0], [1.0, 0.0]], [0, 1]
    net.flat.setflags(write=False)
    before = net.flat.copy()
    for call in (lambda: bpx.fit(net, X, y, optimizer=optimizer), lambda: net.set_params({"0.b": np.ones(3)})):
        with pytest.raises(ValueError, match=r"read-only ones; take net\.copy\(\)"):
            call()
    np.testing.assert_array_equal(net.flat, before)
    np.testing.assert_array_equal(net(X), net.copy()(X))
    bpx.fit(net.copy(), X, y, optimizer=optimizer, epochs=1)
