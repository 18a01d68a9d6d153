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
prune = pytest.importorskip("torch.nn.utils.prune")

# Largest difference, relative to the largest value where that is above 1.
SAME = {"float32": 1e-6, "float64": 1e-12}
X = np.random.default_rng(4).normal(size=(50, 4)) * 3.0
X[0] = 40.0  # where softplus goes over to z itself

HIDDEN = ["identity", "sigmoid", "tanh", "relu", "leaky_relu", "elu", "selu", "softplus", "silu", "mish", "gelu"]


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


# ---------------------------------------------------------------------- used twice


def test_a_module_that_is_used_twice_is_converted_twice():
    torch.manual_seed(0)
    act, drop, inner = nn.Tanh(), nn.Dropout(0.3), nn.Sequential(nn.SiLU(), nn.Identity())
    module = nn.Sequential(L(4, 6), act, drop, L(6, 6), act, drop, L(6, 5), inner, L(5, 5), inner, L(5, 3)).eval()
    net = bpx.from_torch(module, backend="numpy")
    assert [a.name for a in net.hidden] == ["tanh", "tanh", "silu", "silu"]
    assert net.dropout == (0.3, 0.3, 0.0, 0.0)
    same(net(X), outputs(module, "float32"), "float32")


@pytest.mark.parametrize("tied", ["layer", "block", "weight", "transposed"])
def test_layers_that_share_weights_get_a_copy_each_and_it_is_said(tied):
    torch.manual_seed(0)
    one = L(4, 4)
    module = nn.Sequential(one, nn.ReLU(), L(4, 4), nn.ReLU(), L(4, 2))
    if tied == "layer":
        module[2] = one
    elif tied == "block":
        module = nn.Sequential(block := nn.Sequential(one, nn.ReLU()), block, L(4, 2))
    elif tied == "weight":
        module[2].weight = one.weight
    else:
        module[2].weight.data = one.weight.data.T
    with pytest.warns(UserWarning, match=r"modules 0(\.0)? and (2|1\.0) share weights"):
        net = bpx.from_torch(module, backend="numpy")
    same(net(X), outputs(module, "float32"), "float32")
    assert len(net.hidden) == 2


def test_weights_of_one_buffer_are_not_shared():
    flat, module = torch.randn(4 * 3 + 3 * 2), nn.Sequential(L(4, 3, bias=False), L(3, 2, bias=False))
    module[0].weight.data, module[1].weight.data = flat[:12].view(3, 4), flat[12:].view(2, 3)
    same(bpx.from_torch(module, backend="numpy")(X), outputs(module, "float32"), "float32")


def test_a_frozen_layer_among_others_is_said():
    module = nn.Sequential(L(4, 3), nn.ReLU(), L(3, 2))
    module[0].requires_grad_(False)
    with pytest.warns(UserWarning, match="module 0 has frozen parameters"):
        bpx.from_torch(module, backend="numpy")
    bpx.from_torch(module.requires_grad_(False), backend="numpy")  # one that only predicts


def _random_module(draw: np.random.Generator) -> Any:
    """Any Sequential that bpx knows, with modules used again and Sequentials inside."""
    acts = [nn.Sigmoid(), nn.Tanh(), nn.ReLU(), nn.ReLU(inplace=True), nn.LeakyReLU(0.3), nn.ELU(0.7), nn.SELU(),
            nn.SiLU(), nn.Mish(), nn.GELU(approximate="tanh"), nn.Softplus(threshold=40), None]  # fmt: skip
    drop, parts, width = nn.Dropout(0.25, inplace=bool(draw.integers(2))), [], 4
    for _ in range(draw.integers(1, 5)):
        block, n = [], int(draw.integers(1, 7))
        block.append(L(width, n, bias=bool(draw.integers(2))))
        act = acts[draw.integers(len(acts))]
        block += [act] * (act is not None) + [drop] * int(draw.integers(2)) + [nn.Identity()] * int(draw.integers(2))
        parts += [nn.Sequential(*block)] if draw.integers(2) else block
        width = n
    last = [L(width, 3), *[[], [nn.Sigmoid()], [nn.Softmax(dim=-1)], [acts[1]]][draw.integers(4)]]
    return nn.Sequential(*parts, *last)


@pytest.mark.parametrize("seed", range(40))
def test_random_modules_give_their_outputs(seed):
    draw = np.random.default_rng(seed)
    torch.manual_seed(seed)
    dtype = ["float32", "float64"][seed % 2]
    module = _random_module(draw).to(getattr(torch, dtype)).train(bool(draw.integers(2)))
    net = bpx.from_torch(module, backend="numpy")
    same(net(X), outputs(module.eval(), dtype), dtype)
    same(outputs(bpx.to_torch(net), dtype), net(X), dtype)


# ---------------------------------------------------------------------- what a class does not tell


def _hooked(method: str, place: int | None) -> Any:
    def scale(*_: Any) -> None:
        """A hook."""

    module = nn.Sequential(L(4, 5), nn.ReLU(), nn.Sequential(L(5, 5)), nn.Linear(5, 2))
    getattr(module if place is None else module[place], method)(scale)
    return module


def _own_forward() -> Any:
    module = nn.Sequential(L(4, 5), nn.ReLU(), L(5, 2))
    module[1].forward = lambda x: 2.0 * x
    return module


class _Residual(nn.Sequential):
    def forward(self, x: Any) -> Any:
        return x + super().forward(x)


class _Doubled(nn.Linear):
    def forward(self, x: Any) -> Any:
        return 2.0 * super().forward(x)


def _with_hook_on(name: str, register: str) -> Any:
    module = nn.Sequential(L(4, 5), nn.ReLU(), L(5, 2))
    getattr(getattr(module[2], name), register)(lambda *_: None)
    return module


HIDDEN_IN_A_MODULE = {
    "forward hook": (lambda: _hooked("register_forward_hook", 1), r"module 1, ReLU, has a forward hook \(scale\)"),
    "pre-hook": (lambda: _hooked("register_forward_pre_hook", 3), "module 3, Linear, has a forward pre-hook"),
    "backward hook": (lambda: _hooked("register_full_backward_hook", 0), "module 0, Linear, has a backward hook"),
    "backward pre-hook": (lambda: _hooked("register_full_backward_pre_hook", 0), "has a backward pre-hook"),
    "of a block": (lambda: _hooked("register_forward_hook", 2), "module 2, Sequential, has a forward hook"),
    "of all": (lambda: _hooked("register_forward_hook", None), "the Sequential has a forward hook"),
    "of a weight": (lambda: _with_hook_on("weight", "register_hook"), "module 2, Linear, has a hook on its weight"),
    "of a gradient": (
        lambda: _with_hook_on("bias", "register_post_accumulate_grad_hook"), "has a hook on the gradient of its bias",
    ),
    "own forward": (_own_forward, "module 1, ReLU, has a forward pass of its own"),
    "residual block": (lambda: nn.Sequential(L(4, 4), _Residual(L(4, 4)), L(4, 2)), "module 1 is _Residual"),
    "subclass": (lambda: nn.Sequential(L(4, 4), _Doubled(4, 2)), "module 1 is _Doubled"),
    "weight norm": (
        lambda: nn.Sequential(L(4, 5), nn.utils.parametrizations.weight_norm(L(5, 2))),
        r"module 1 is ParametrizedLinear.*remove_parametrizations",
    ),
    "spectral norm": (
        lambda: nn.Sequential(L(4, 5), nn.utils.parametrizations.spectral_norm(L(5, 2))), "remove_parametrizations",
    ),
    "pruned": (
        lambda: nn.Sequential(L(4, 5), prune.l1_unstructured(L(5, 2), "weight", amount=3)),
        r"module 1, Linear, has a forward pre-hook.*prune\.remove",
    ),
    "lazy": (lambda: nn.Sequential(L(4, 5), nn.LazyLinear(2)), "module 1 is LazyLinear.*give it a batch"),
    "meta": (lambda: nn.Sequential(L(4, 2, device="meta")), "module 0 is on the meta device and has no values"),
    "bias of another dtype": (lambda: _double_bias(), "expected weights of float32 or of float64, got float32, "),
    "complex": (lambda: nn.Sequential(L(4, 2, dtype=torch.complex64)), "got complex64"),
}  # fmt: skip


@pytest.mark.parametrize(
    ("register", "words"),
    [
        ("register_module_forward_hook", "global forward hook"),
        ("register_module_forward_pre_hook", "global forward pre-hook"),
        ("register_module_full_backward_hook", "global backward hook"),
        ("register_module_full_backward_pre_hook", "global backward pre-hook"),
    ],
)
def test_a_hook_of_all_modules_is_refused(register: str, words: str) -> None:
    def scale(*_: Any) -> None:
        """A hook."""

    module = nn.Sequential(L(4, 5), nn.ReLU(), L(5, 2))
    handle = getattr(nn.modules.module, register)(scale)
    try:
        with pytest.raises(ValueError, match=rf"^from_torch: all modules have a {words} \(scale\), which bpx cannot"):
            bpx.from_torch(module)
    finally:
        handle.remove()
    assert bpx.from_torch(module).sizes == (4, 5, 2)


def _double_bias() -> Any:
    module = nn.Sequential(L(4, 2))
    module[0].bias = nn.Parameter(module[0].bias.double())
    return module


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize(("make", "message"), HIDDEN_IN_A_MODULE.values(), ids=HIDDEN_IN_A_MODULE)
def test_a_torch_module_that_does_more_than_its_class_says_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        bpx.from_torch(make(), backend="numpy")


def test_a_sequential_with_a_forward_pass_of_its_own_is_refused():
    with pytest.raises(TypeError, match="got a _Residual with a forward pass of its own"):
        bpx.from_torch(_Residual(L(4, 4)))
    plain = type("Named", (nn.Sequential,), {})(L(4, 3), nn.ReLU(), L(3, 2))
    same(bpx.from_torch(plain, backend="numpy")(X), outputs(plain, "float32"), "float32")


def test_a_weight_of_another_shape_than_its_layer_was_made_with():
    module = nn.Sequential(L(4, 5), nn.ReLU(), L(5, 2))
    module[0].weight, module[0].bias = nn.Parameter(torch.randn(3, 4)), nn.Parameter(torch.randn(3))
    module[2].weight = nn.Parameter(torch.randn(2, 3))
    same(bpx.from_torch(module, backend="numpy")(X), outputs(module, "float32"), "float32")
