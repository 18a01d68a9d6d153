"""Networks to and from torch.nn.Sequential: the same outputs, and a refusal that names what cannot be said."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest

import bpx
from bpx import activations

if os.environ.get("BPX_REQUIRE_TORCH") == "1":
    import torch
else:
    torch = pytest.importorskip("torch")

nn = torch.nn

# Largest difference, relative to the largest value where that is above 1.
SAME = {"float32": 1e-6, "float64": 1e-12}
X = np.random.default_rng(4).normal(size=(50, 4)) * 3.0
X[0] = 40.0  # where softplus goes over to z itself

HIDDEN = ["identity", "sigmoid", "tanh", "relu", "leaky_relu", "elu", "softplus", "silu", "gelu"]


def same(a: Any, b: Any, dtype: str) -> None:
    a, b = np.asarray(a), np.asarray(b)
    assert a.shape == b.shape
    assert str(a.dtype) == str(b.dtype) == dtype
    assert np.max(np.abs(a - b)) <= SAME[dtype] * max(1.0, float(np.max(np.abs(b))))


def outputs(module: Any, dtype: str) -> Any:
    with torch.no_grad():
        return module(torch.tensor(X, dtype=getattr(torch, dtype))).numpy()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("output", ["identity", "sigmoid", "softmax", "softplus"])
@pytest.mark.parametrize("hidden", HIDDEN)
def test_a_network_goes_to_torch_and_back(hidden, output, dtype):
    given = {"hidden": [hidden, "tanh"], "bias": [True, False, True], "dropout": [0.2, 0.0]}
    net = bpx.MLP([4, 7, 5, 3], **given, output=output, dtype=dtype, backend="numpy")
    module = bpx.to_torch(net)
    same(outputs(module, dtype), net(X), dtype)
    again = bpx.from_torch(module, backend="numpy")
    assert np.array_equal(again.flat, net.flat)
    assert (again.sizes, again.bias, again.dropout, again.dtype) == (net.sizes, net.bias, net.dropout, net.dtype)
    assert np.array_equal(again(X), net(X))


@pytest.mark.parametrize("made", [activations.leaky_relu(0.3), activations.elu(2.5)], ids=lambda a: a.name)
def test_torch_keeps_an_activations_number(made):
    net = bpx.MLP([4, 5, 2], made, "identity", dtype="float64", backend="numpy")
    same(outputs(bpx.to_torch(net), "float64"), net(X), "float64")
    assert np.array_equal(bpx.from_torch(bpx.to_torch(net), backend="numpy")(X), net(X))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_torch_module_gives_its_outputs(dtype):
    torch.manual_seed(0)
    inner = nn.Sequential(nn.Linear(6, 5, bias=False), nn.GELU("tanh"), nn.Identity())
    module = nn.Sequential(nn.Linear(4, 6), nn.LeakyReLU(0.2), nn.Dropout(0.5), inner, nn.Linear(5, 5), nn.Linear(5, 3))
    module = module.to(getattr(torch, dtype)).eval()
    net = bpx.from_torch(module, backend="numpy")
    same(net(X), outputs(module, dtype), dtype)
    assert [a.name for a in net.hidden] == ["leaky_relu", "gelu", "identity"]
    assert net.dropout == (0.5, 0.0, 0.0)
    assert net.bias == (True, False, True, True)
    assert net.output.name == "identity"
    soft = bpx.from_torch(module, output="softmax", backend="numpy")
    same(soft(X), torch.softmax(torch.tensor(outputs(module, dtype)), dim=1).numpy(), dtype)


def test_torch_weights_are_copies_with_rows_and_columns_exchanged():
    module = nn.Sequential(nn.Linear(3, 2))
    net = bpx.from_torch(module, backend="numpy")
    assert np.array_equal(net.params["0.W"], module[0].weight.detach().numpy().T)
    before = net.flat.copy()
    with torch.no_grad():
        module[0].weight.fill_(7.0)
    assert np.array_equal(net.flat, before)
    back = bpx.to_torch(net)
    net.flat[...] = 0.0
    assert np.array_equal(back[0].weight.detach().numpy().T.ravel(), before[:6])
    assert back[0].weight.is_contiguous()
    assert back[0].weight.requires_grad
    assert not back.training


def test_a_network_on_torch_goes_to_torch_too_and_from_torch_goes_to_any_library(lib):
    net = bpx.MLP([4, 5, 3], backend=lib)
    module = bpx.to_torch(net)
    assert str(module[0].weight.device) == (str(lib.device) if lib.package == "torch" else "cpu")
    again = bpx.from_torch(module, backend=lib)
    assert again.backend == lib
    assert np.array_equal(lib.to_host(again.flat), lib.to_host(net.flat))


def test_a_torch_training_goes_on_from_bpxs_weights():
    net = bpx.MLP([4, 5, 3], "tanh", "identity", dtype="float64", backend="numpy")
    module, y = bpx.to_torch(net), np.zeros((50, 3))
    loss = 0.5 * module(torch.tensor(X)).square().sum(dim=1).mean()
    loss.backward()
    value, grads = net.loss_and_grads(X, y, loss="squared_error")
    assert abs(float(value) - loss.item()) <= 1e-12 * loss.item()
    same(module[0].weight.grad.numpy().T, grads["0.W"], "float64")


def test_an_estimators_network_goes_to_torch():
    est = bpx.MLPClassifier((5,), max_iter=1, solver="lbfgs", random_state=0, backend="numpy")
    with pytest.warns(UserWarning, match="failed to converge"):
        est.fit(X, np.arange(50) % 3)
    same(outputs(bpx.to_torch(est), "float64"), est.predict_proba(X), "float64")


OWN = bpx.Activation("swish", lambda xp, z: z)
REFUSED_TO = {
    "exp": ({"output": "exp"}, r"layer 1 \(output\) uses 'exp', for which PyTorch has no module"),
    "step": ({"hidden": "step"}, r"layer 0 \(hidden\) uses 'step'"),
    "own": ({"hidden": OWN}, r"layer 0 \(hidden\) uses 'swish'"),
    "stack": ({"stack": 2}, "a stack of 2"),
}


@pytest.mark.parametrize(("given", "message"), REFUSED_TO.values(), ids=REFUSED_TO)
def test_what_torch_has_no_module_for_is_refused(given, message):
    with pytest.raises(ValueError, match=message):
        bpx.to_torch(bpx.MLP([4, 5, 2], **given, backend="numpy"))


L = nn.Linear
REFUSED_FROM = {
    "convolution": ([nn.Conv1d(1, 1, 1)], "expected a Linear layer first, got Conv1d as module 0"),
    "norm": ([L(4, 5), nn.BatchNorm1d(5), nn.ReLU(), L(5, 2)], "module 1 is BatchNorm1d, which bpx cannot represent"),
    "unknown": ([L(4, 5), nn.Hardswish(), L(5, 2)], "module 1 is Hardswish"),
    "nested": ([L(4, 5), nn.Sequential(nn.ReLU(), nn.Tanh())], r"module 1\.1, Tanh, does not follow a Linear layer"),
    "erf": ([L(4, 5), nn.GELU(), L(5, 2)], r"module 1, GELU.*expected approximate='tanh'"),
    "slope": ([L(4, 5), nn.LeakyReLU(1.5), L(5, 2)], r"module 1, LeakyReLU.*expected a slope in \[0, 1\), got 1\.5"),
    "beta": ([L(4, 5), nn.Softplus(beta=2), L(5, 2)], r"module 1, Softplus.*beta=1"),
    "columns": ([L(4, 5), nn.Softmax(dim=0)], "module 1, Softmax.*expected dim=-1"),
    "softmax inside": ([L(4, 5), nn.Softmax(dim=1), L(5, 2)], "hidden: 'softmax' is for the output layer only"),
    "softmax of one": ([L(4, 1), nn.Softmax(dim=1)], "softmax over one output"),
    "dropout first": ([nn.Dropout(), L(4, 2)], "expected a Linear layer first, got Dropout"),
    "dropout last": ([L(4, 2), nn.Dropout()], "the output layer has Dropout"),
    "dropout inside": ([L(4, 5), nn.Dropout(), nn.ReLU(), L(5, 2)], "module 2, ReLU, does not follow"),
    "dropout twice": ([L(4, 5), nn.Dropout(), nn.Dropout(), L(5, 2)], "module 2 is a second Dropout"),
    "all dropped": ([L(4, 5), nn.Dropout(1.0), L(5, 2)], r"module 1: expected a rate in \[0, 1\)"),
    "sizes": ([L(4, 5), L(6, 2)], "module 1 takes 6 inputs behind 5 outputs"),
    "half": ([L(4, 2).half()], "expected weights of float32 or of float64, got float16"),
    "mixed": ([L(4, 5), L(5, 2).double()], "got float32, float64"),
    "empty": ([], "expected a Sequential with Linear layers, got none"),
    "softplus": ([L(4, 5).double(), nn.Softplus(), L(5, 2).double()], r"use Softplus\(threshold=40\)"),
}


@pytest.mark.parametrize(("modules", "message"), REFUSED_FROM.values(), ids=REFUSED_FROM)
def test_a_torch_module_that_bpx_cannot_represent_is_named(modules, message):
    with pytest.raises(ValueError, match=message):
        bpx.from_torch(nn.Sequential(*modules), backend="numpy")


def test_torchs_default_softplus_is_bpxs_in_float32():
    module = nn.Sequential(L(4, 5), nn.Softplus(), L(5, 2), nn.Softplus())
    same(bpx.from_torch(module, backend="numpy")(X), outputs(module, "float32"), "float32")


def test_other_things_than_a_torch_sequential_are_refused():
    with pytest.raises(TypeError, match=r"expected a torch\.nn\.Sequential, got Linear"):
        bpx.from_torch(nn.Linear(3, 2))
    with pytest.raises(TypeError, match=r"to_torch: expected a bpx\.MLP or a fitted bpx estimator, got Linear"):
        bpx.to_torch(nn.Linear(3, 2))
    with pytest.raises(ValueError, match=r"output='softmax' is for a Sequential that ends in a Linear layer"):
        bpx.from_torch(nn.Sequential(L(4, 2), nn.Sigmoid()), output="softmax")
    lost = nn.Sequential(L(4, 2))
    with torch.no_grad():
        lost[0].bias.fill_(float("nan"))
    with pytest.raises(bpx.NonFiniteError, match="parameters: expected finite numbers"):
        bpx.from_torch(lost)
    shared = nn.utils.parametrizations.weight_norm(L(4, 2))
    with pytest.raises(ValueError, match="got ParametrizedLinear"):
        bpx.from_torch(nn.Sequential(shared))
