"""Mixed precision: what is stored in 16 bits, what stays float32, and how far it is from float32."""

from __future__ import annotations

import re
import sys
from types import ModuleType, SimpleNamespace

import array_api_strict
import numpy as np
import pytest
from conftest import library
from sklearn.datasets import load_digits

import bpx
from bpx.backend.cupy_backend import CupyBackend
from bpx.backend.torch_backend import TorchBackend
from bpx.errors import how_to_install
from bpx.formulas import activations, linear, losses, precision
from bpx.kernels.select import Kernels
from bpx.network.mixed_precision import MixedPrecision
from bpx.network.objective import DropoutKey, Objective

HALVES = ("float16", "bfloat16")
# What the docstring of `bpx.fit` promises: of a batch's loss, of its gradient (norm of the difference), of the gradient
# through ReLU, and of the share of right answers on digits.
PROMISED = {
    "tf32": (5e-3, 1e-2, 3e-2, 0.01),
    "float16": (1e-3, 1e-3, 3e-2, 0.01),
    "bfloat16": (5e-3, 1e-2, 1e-1, 0.01),
}


@pytest.fixture(params=["numpy", "torch", "cupy"])
def half_lib(request):
    """Each library that has dtypes of 16 bits."""
    return library(request.param)


@pytest.fixture(params=HALVES)
def name(request):
    return request.param


@pytest.fixture(scope="module")
def digits():
    found = load_digits()
    order = np.random.default_rng(0).permutation(len(found.target))
    return (found.data[order] / 16.0).astype(np.float32), found.target[order]


def half(lib, x, name):
    return lib.xp.astype(lib.asarray(np.asarray(x, dtype=np.float32)), lib.storage_dtype(name))


def host(lib, x):
    return np.asarray(lib.to_host(lib.xp.astype(x, lib.xp.float32)), dtype=np.float64)


def mixed_objective(net, name, loss="cross_entropy", l2=0.0):
    """A network's objective in that precision, without scaling."""
    objective = Objective(net, losses.get(loss), l2)
    objective.use(Kernels(), MixedPrecision(net, name, None))
    return objective


# ---------------------------------------------------------------------- formulas


def test_a_product_sums_in_float32(half_lib, name):
    """In 16 bits, 4 096 ones would stop at 2 048 (256), and 4 097 is no number of float16."""
    lib = half_lib
    ones, column = half(lib, np.ones((1, 4096)), name), half(lib, np.ones((4096, 1)), name)
    result = precision.product(lib.xp, ones, column)
    assert result.dtype == lib.storage_dtype(name)
    assert host(lib, result)[0, 0] == 4096.0
    more = half(lib, np.ones((1, 4097)), name), half(lib, np.ones((4097, 1)), name)
    out = lib.asarray(np.zeros((1, 1), dtype=np.float32))
    assert precision.product(lib.xp, *more, out) is out
    assert host(lib, out)[0, 0] == 4097.0


def test_column_sums_are_float32(half_lib, name):
    out = half_lib.asarray(np.zeros((1, 2), dtype=np.float32))
    precision.column_sums(half_lib.xp, half(half_lib, np.ones((4097, 2)), name), out)
    assert host(half_lib, out).tolist() == [[4097.0, 4097.0]]


def test_a_bias_is_added_in_float32(half_lib, name):
    """1 - 0.9999 would be 0 in either dtype: the bias as 16 bits is 1."""
    lib = half_lib
    bias = lib.asarray(np.full((1, 1), -0.9999, dtype=np.float32))
    z, a = precision.Stored(activations.get("identity")).after_bias(lib.xp, half(lib, [[1.0]], name), bias)
    assert a.dtype == z.dtype == lib.storage_dtype(name)
    assert host(lib, a)[0, 0] == pytest.approx(1e-4, rel=1e-2)


def test_a_loss_is_float32_and_its_gradient_is_scaled_before_it_is_stored(half_lib):
    lib, n = half_lib, 4096
    output, target = half(lib, np.full((n, 1), 1e-4), "float16"), lib.asarray(np.zeros((n, 1), dtype=np.float32))
    formula = losses.get("squared_error").on_outputs
    scale = lib.asarray(np.array(2.0**16, dtype=np.float32))
    loss, grad = precision.value_and_grad(lib.xp, formula, output, target, None, scale=scale)
    assert loss.dtype == lib.xp.float32
    assert host(lib, loss) == pytest.approx(5e-9, rel=1e-2)  # zero in float16
    np.testing.assert_allclose(host(lib, grad), 2.0**16 * 1e-4 / n, rtol=1e-2)
    assert not np.any(host(lib, precision.value_and_grad(lib.xp, formula, output, target, None)[1]))  # lost without


@pytest.mark.parametrize("hidden", ["relu", "tanh", "softplus", bpx.activations.leaky_relu(0.1)])
@pytest.mark.parametrize("stack", [None, 2])
def test_activations_and_their_gradients_are_stored_in_16_bits_and_nothing_else(half_lib, name, hidden, stack, rng):
    lib = half_lib
    net = bpx.MLP([5, 7, 6, 3], hidden=hidden, dropout=0.3, backend=lib, stack=stack)
    objective = mixed_objective(net, name, l2=1e-3)
    X, y = lib.asarray(rng.normal(size=(9, 5)), "float32"), lib.asarray(rng.integers(0, 3, 9))
    loss, grad = objective.value_and_grad(X, y, None, DropoutKey(1, 0))
    stored = lib.storage_dtype(name)
    for i, cache in enumerate(objective.caches):
        parts = [cache.x, cache.z, cache.a, cache.grad_a, cache.grad_z] + ([cache.mask] if i < 2 else [])
        assert [part.dtype for part in parts] == [stored] * len(parts)
    assert loss.dtype == grad.dtype == net.flat.dtype == lib.xp.float32


def test_a_step_uses_a_copy_of_the_weights_in_16_bits_and_the_biases_themselves(half_lib, name):
    lib = half_lib
    net = bpx.MLP([1, 1], output="identity", backend=lib)
    net.set_params({"0.W": [[1.001953125]], "0.b": [1.0001]})  # in 16 bits the weight is 1 + 2^-9 (bfloat16: 1)
    (copy,) = MixedPrecision(net, name, None).layers()
    assert copy.W.dtype == lib.storage_dtype(name)
    assert copy.b.dtype == lib.xp.float32
    objective = mixed_objective(net, name, "squared_error")
    ones = lib.asarray(np.ones((1, 1), dtype=np.float32))
    _, grads = objective.value_and_grad(1024.0 * ones, ones)
    weight, rounded = {"float16": 1026.0, "bfloat16": 1024.0}[name], objective.caches[0].z
    assert host(lib, rounded)[0, 0] == pytest.approx(weight + 1.0, abs=4.0 if name == "bfloat16" else 0.5)
    assert grads.dtype == net.flat.dtype == lib.xp.float32
    np.testing.assert_array_equal(host(lib, net.params["0.W"]), [[1.001953125]])


def test_updates_too_small_for_16_bits_add_up_in_the_parameters(half_lib, name):
    """100 steps of 1e-5 from 1: each is lost in 16 bits, where 1's neighbour is 1e-3 (8e-3) away."""
    net = bpx.MLP([1, 1], output="identity", bias=False, backend=half_lib)
    net.set_params({"0.W": [[1.0]]})
    bpx.fit(net, [[1.0]], [[100.0]], loss="absolute_error", epochs=100, optimizer=bpx.SGD(1e-5), precision=name)
    assert host(half_lib, net.flat)[0] == pytest.approx(1.001, rel=1e-5)


def test_numbers_are_rounded_once_to_the_dtypes_own():
    """1 + 2^-10 and 1 + 2^-7 are the neighbours of 1; halves between go to the even one."""
    for name, neighbour in (("float16", 2.0**-10), ("bfloat16", 2.0**-7)):
        dtype = bpx.get_backend("numpy").storage_dtype(name)
        given = np.array([1 + 0.5 * neighbour, 1 + 0.51 * neighbour, 1 + 1.5 * neighbour], dtype=np.float32)
        rounded = precision.narrow(np, given, dtype).astype(np.float64)
        assert rounded.tolist() == [1.0, 1.0 + neighbour, 1.0 + 2 * neighbour]


# ---------------------------------------------------------------------- against float32


def nearest_tf32(x):
    """What a GPU may make of a product's operand: 10 bits behind the point, to nearest."""
    bits = np.ascontiguousarray(x).view(np.int32)
    return ((bits + 0x1000) & ~0x1FFF).view(np.float32)


def cut_tf32(x):
    """What another may make of it: the bits behind are left out."""
    return (np.ascontiguousarray(x).view(np.int32) & ~0x1FFF).view(np.float32)


def imitated_tf32(net, loss, tf32):
    """An objective whose products are those of a GPU with TF32."""
    objective = Objective(net, losses.get(loss))
    functions = {name: getattr(linear, name) for name in linear.__all__}
    functions["product"] = lambda xp, a, b, out=None: linear.product(xp, tf32(a), tf32(b), out)
    objective._linear = SimpleNamespace(**functions)
    return objective


@pytest.mark.parametrize(
    ("which", "tf32"), [("tf32", nearest_tf32), ("tf32", cut_tf32), ("float16", None), ("bfloat16", None)]
)
@pytest.mark.parametrize("hidden", ["tanh", "gelu", "relu"])
@pytest.mark.parametrize("loss", ["cross_entropy", "squared_error"])
def test_loss_and_gradient_are_as_near_to_float32_as_promised(digits, which, tf32, hidden, loss):
    X, y = digits[0][:128], digits[1][:128]
    output = "softmax" if loss == "cross_entropy" else "identity"
    for sizes in ([64, 100, 10], [64, 100, 50, 10]):
        net = bpx.MLP(sizes, hidden=hidden, output=output, backend="numpy")
        target = y if loss == "cross_entropy" else np.eye(10, dtype=np.float32)[y]
        expected, grads = net.loss_and_grads(X, target, loss)
        objective = mixed_objective(net, which, loss) if tf32 is None else imitated_tf32(net, loss, tf32)
        got, grad = objective.value_and_grad(X, target)
        of_loss, smooth, kinked, _ = PROMISED[which]
        assert abs(got - expected) <= of_loss * expected
        away = np.linalg.norm(grad - grads.flat) / np.linalg.norm(grads.flat)
        assert 0.0 < away <= (kinked if hidden == "relu" else smooth)


@pytest.mark.parametrize("which", PROMISED)
def test_digits_are_learned_as_well_as_in_float32(lib, digits, which):
    if lib.package == "array_api_strict" and which != "tf32":
        pytest.skip("array-api-strict does not apply: it has no dtypes of 16 bits")
    X, y = digits
    right = {}
    for given in (None, which):
        net = bpx.MLP([64, 100, 10], backend=lib)
        history = bpx.fit(net, X[:1300], y[:1300], epochs=8, batch_size=64, precision=given)
        right[given] = np.mean(lib.to_host(net(X[1300:])).argmax(axis=1) == y[1300:])
        assert history.loss[-1] < 0.5
    assert abs(right[which] - right[None]) <= PROMISED[which][3]
    assert right[which] > 0.9


def test_every_library_computes_the_same_in_16_bits(name, rng):
    libs = [library("numpy"), library("torch")]
    X, y = rng.normal(size=(60, 5)), rng.integers(0, 3, 60)
    flats = []
    for lib in libs:
        net = bpx.MLP([5, 16, 3], hidden="tanh", dropout=0.2, backend=lib)
        bpx.fit(net, X, y, epochs=3, batch_size=20, precision=name)
        flats.append(lib.to_host(net.flat))
    assert np.linalg.norm(flats[0] - flats[1]) <= PROMISED[name][1] * np.linalg.norm(flats[0])


@pytest.mark.parametrize(
    "options",
    [
        {"sample_weight": np.linspace(0.0, 2.0, 90)},
        {"l2": 1e-2},
        {"optimizer": bpx.SGD(0.1, momentum=0.9, nesterov=True, clip_norm=0.5)},
        {"optimizer": bpx.RMSprop(bpx.schedules.Cosine(0.01, 20))},
        {"optimizer": bpx.Adagrad(0.05)},
        {"optimizer": bpx.AdamW(0.01), "class_weight": "balanced"},
        {"dropout": 0.25},
        {"stack": 3, "l2": [0.0, 1e-3, 1e-2], "optimizer": bpx.Adam([1e-3, 3e-3, 1e-2])},
        {"batch_size": 1, "epochs": 1},
    ],
    ids=["weights", "l2", "clipping", "schedule", "adagrad", "adamw", "dropout", "stack", "online"],
)
def test_training_follows_float32(name, rng, options):
    X, y = rng.normal(size=(90, 6)), rng.integers(0, 3, 90)
    architecture = {key: options[key] for key in ("dropout", "stack") if key in options}
    rest = {"epochs": 5, "batch_size": 32} | {k: v for k, v in options.items() if k not in architecture}
    flats, curves = [], []
    for given in (None, name):
        net = bpx.MLP([6, 12, 3], hidden="tanh", backend="numpy", seed=2, **architecture)
        start = net.flat.copy()
        history = bpx.fit(net, X, y, precision=given, **rest)
        flats.append(net.flat - start)
        curves.append(history.loss)
    np.testing.assert_allclose(curves[1], curves[0], rtol=PROMISED[name][1])
    assert np.linalg.norm(flats[1] - flats[0]) <= 0.05 * np.linalg.norm(flats[0])


def test_validation_and_answers_are_true_float32(name, rng):
    X, y = rng.normal(size=(40, 4)).astype(np.float32), rng.integers(0, 2, 40)
    net = bpx.MLP([4, 9, 2], backend="numpy")
    history = bpx.fit(net, X, y, epochs=2, validation=(X, y), precision=name)
    loss, _ = net.loss_and_grads(X, y)
    assert history.val_loss[-1] == pytest.approx(float(loss), rel=1e-6)
    assert net(X).dtype == np.float32


def test_sparse_rows_and_streams_are_stored_in_16_bits_too(name, rng):
    from scipy import sparse

    X, y = rng.normal(size=(50, 6)) * (rng.random((50, 6)) < 0.5), rng.integers(0, 2, 50)
    flats = []
    for given in (X, sparse.csr_array(X), [(X[:25], y[:25]), (X[25:], y[25:])]):
        net = bpx.MLP([6, 5, 2], backend="numpy")
        targets = None if isinstance(given, list) else y
        bpx.fit(net, given, targets, epochs=2, batch_size=25, sampling="sequential", precision=name)
        flats.append(net.flat)
    np.testing.assert_array_equal(flats[0], flats[1])
    np.testing.assert_array_equal(flats[0], flats[2])


# ---------------------------------------------------------------------- what is refused


def refused(match, error=ValueError, net=None, **options):
    net = bpx.MLP([2, 2], backend="numpy") if net is None else net
    before = net.backend.to_host(net.flat).copy()
    with pytest.raises(error, match=match):
        bpx.fit(net, [[0.0, 1.0]], [1], **options)
    np.testing.assert_array_equal(net.backend.to_host(net.flat), before)


def test_what_a_precision_cannot_do_is_refused_with_a_remedy():
    refused("unknown precision 'half'; known are None, 'tf32', 'float16', 'bfloat16'", precision="half")
    refused("unknown precision 16", precision=16)
    for one in PROMISED:
        net = bpx.MLP([2, 2], backend="numpy", dtype="float64")
        refused("for networks of float32, got one of float64.*dtype='float32'", net=net, precision=one)
        for method in ("cg", "lbfgs"):
            refused("SciPy's methods need true gradients.*precision=None", precision=one, optimizer=method)


def test_a_library_without_such_a_dtype_is_refused(name):
    strict = bpx.get_backend(array_api_strict)
    net = bpx.MLP([2, 2], backend=strict)
    refused(f"arrays of backend 'array_api_strict' have no dtype {name}", net=net, precision=name)


def test_bfloat16_without_its_package_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "ml_dtypes", None)
    refused(re.escape(how_to_install("bfloat16", "ml_dtypes")), ImportError, precision="bfloat16")
    bpx.fit(bpx.MLP([2, 2], backend="numpy"), [[0.0, 1.0]], [1], epochs=1, precision="float16")


# ---------------------------------------------------------------------- the process's own setting


class FailureError(Exception):
    """Raised in the middle of training."""


def settings_seen(lib, read, precision=None, fails=False):
    """What the process's setting is inside a step, and between steps."""
    seen = {"step": set(), "between": set()}

    def loss(xp, a, y):
        seen["step"].add(read())
        return 0.5 * (a - y) ** 2, a - y

    def callback(run):
        seen["between"].add(read())
        if fails:
            raise FailureError

    net = bpx.MLP([2, 3, 1], output="identity", backend=lib)
    data = np.ones((4, 2)), np.ones((4, 1))
    bpx.fit(net, *data, loss=loss, epochs=1, callbacks=[callback], precision=precision)
    return seen


@pytest.mark.parametrize(
    ("own", "precision", "wanted"),
    [("high", None, "ieee"), ("medium", None, "ieee"), ("highest", "tf32", "tf32"), ("medium", "float16", "tf32")],
)
def test_on_torch_tf32_is_off_in_training_on_where_asked_for_and_then_as_it_was(own, precision, wanted):
    lib = library("torch")
    torch = pytest.importorskip("torch")
    before = torch.get_float32_matmul_precision()
    matmul = torch.backends.cuda.matmul
    new = hasattr(matmul, "fp32_precision")

    def read():
        return matmul.fp32_precision if new else {True: "tf32", False: "ieee"}[matmul.allow_tf32]

    def everything():
        rest = torch.backends.mkldnn.matmul.fp32_precision if new else None
        return read(), matmul.allow_tf32, torch.get_float32_matmul_precision(), rest

    try:
        torch.set_float32_matmul_precision(own)
        outside = everything()
        assert settings_seen(lib, read, precision) == {"step": {wanted}, "between": {"ieee"}}
        assert everything() == outside
        with pytest.raises(FailureError):
            settings_seen(lib, read, precision, fails=True)
        assert everything() == outside
    finally:
        torch.set_float32_matmul_precision(before)


def test_a_torch_before_2_9_has_one_switch_for_all_devices():
    now = ["medium"]
    torch = SimpleNamespace(
        backends=SimpleNamespace(cuda=SimpleNamespace(matmul=SimpleNamespace(allow_tf32=True))),
        get_float32_matmul_precision=lambda: now[-1],
        set_float32_matmul_precision=now.append,
    )
    backend = object.__new__(TorchBackend)
    backend._torch = torch
    with pytest.raises(FailureError), backend.matmul_precision(), backend.matmul_precision(tf32=True):
        raise FailureError
    assert now == ["medium", "highest", "high", "highest", "medium"]


@pytest.fixture
def cupy_on_paper(monkeypatch):
    """A CuPy backend whose library is a stand-in with CuPy's switch, and that switch."""
    switch = {"float32": 7}
    kinds = ModuleType("cupy._core._routines_linalg")
    kinds.COMPUTE_TYPE_DEFAULT, kinds.COMPUTE_TYPE_TF32 = 1, 7
    core = ModuleType("cupy._core")
    core._routines_linalg = kinds
    core.get_compute_type = switch.__getitem__
    core.set_compute_type = switch.__setitem__
    cupy = ModuleType("cupy")
    cupy._core, cupy.float32, cupy.__version__ = core, "float32", "14.2.0"
    for module in (cupy, core, kinds):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    backend = object.__new__(CupyBackend)
    backend._cupy, backend.device, backend.xp = cupy, SimpleNamespace(compute_capability="90"), np
    monkeypatch.setattr(CupyBackend, "scope", lambda self: bpx.get_backend("numpy").scope())
    return backend, switch


def test_on_cupy_tf32_is_off_in_training_on_where_asked_for_and_then_as_it_was(cupy_on_paper):
    backend, switch = cupy_on_paper
    with backend.matmul_precision():  # CUPY_TF32=1 is in the environment
        assert switch["float32"] == 1
        with backend.matmul_precision(tf32=True):
            assert switch["float32"] == 7
        assert switch["float32"] == 1
    assert switch["float32"] == 7
    with pytest.raises(FailureError), backend.matmul_precision():
        raise FailureError
    assert switch["float32"] == 7


def test_a_gpu_without_tf32_computes_true_float32(cupy_on_paper):
    backend, switch = cupy_on_paper
    backend.device.compute_capability = "75"
    with backend.matmul_precision(tf32=True):
        assert switch["float32"] == 1


def test_a_cupy_without_bfloat16_says_which_has_it(cupy_on_paper):
    backend, _ = cupy_on_paper
    assert backend.storage_dtype("float16") == np.float16
    assert np.dtype(backend.storage_dtype("bfloat16")).name == "bfloat16"
    backend._cupy.__version__ = "13.6.0"
    with pytest.raises(ValueError, match="needs CuPy 14 or newer, got 13"):
        backend.storage_dtype("bfloat16")
