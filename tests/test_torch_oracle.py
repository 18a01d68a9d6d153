"""Losses, activations, gradients and optimizers against PyTorch's own: nn.functional, autograd and torch.optim."""

from __future__ import annotations

import os

import numpy as np
import pytest

import bpx
from bpx.formulas.activations import ACTIVATIONS
from bpx.formulas.losses import LOSSES

if os.environ.get("BPX_REQUIRE_TORCH") == "1":
    import torch
else:
    torch = pytest.importorskip("torch")

F = torch.nn.functional

# Largest difference over the largest entry, in float64; an entry below FLOOR counts as FLOOR.
TOLERANCE = 1e-12
FLOOR = 1e-12

ACTIVATION = {
    "identity": lambda z: z,
    "sigmoid": torch.sigmoid,
    "logistic": torch.sigmoid,
    "tanh": torch.tanh,
    "relu": F.relu,
    "leaky_relu": lambda z: F.leaky_relu(z, 0.01),
    "elu": F.elu,
    "selu": F.selu,
    "softplus": lambda z: F.softplus(z, threshold=1e9),  # PyTorch's default goes over to z itself at 20
    "silu": F.silu,
    "mish": F.mish,
    "gelu": lambda z: F.gelu(z, approximate="tanh"),
    "softmax": lambda z: F.softmax(z, dim=-1),
    "exp": torch.exp,
}
HIDDEN = sorted(set(ACTIVATION) - {"softmax", "exp", "logistic"})


def _pinball(a, y):
    """PyTorch has none: its level is 1/2, so it is half the absolute error."""
    return 0.5 * F.l1_loss(a, y, reduction="sum")


def _poisson(a, y, log_input=False):
    """PyTorch's leaves out the y log y - y that does not depend on the network."""
    constant = torch.sum(torch.xlogy(y, y) - y)
    return F.poisson_nll_loss(a, y, log_input=log_input, reduction="sum", eps=0.0) + constant


# Sum over samples and outputs, from the network's outputs and targets of shape (n, k).
LOSS = {
    "squared_error": lambda a, y: 0.5 * F.mse_loss(a, y, reduction="sum"),
    "absolute_error": lambda a, y: F.l1_loss(a, y, reduction="sum"),
    "huber": lambda a, y: F.huber_loss(a, y, reduction="sum"),
    "quantile": _pinball,
    "binary_cross_entropy": lambda a, y: F.binary_cross_entropy(a, y, reduction="sum"),
    "cross_entropy": lambda a, y: -torch.sum(y * torch.log(a)),
    "poisson": _poisson,
}
OUTPUT = {"binary_cross_entropy": "sigmoid", "cross_entropy": "softmax", "poisson": "exp"}
# The same from the pre-activations of those outputs, where PyTorch too is more accurate so.
LOSS_OF_LOGITS = {
    "binary_cross_entropy": lambda z, y: F.binary_cross_entropy_with_logits(z, y, reduction="sum"),
    "cross_entropy": lambda z, y: F.cross_entropy(z, y, reduction="sum"),
    "poisson": lambda z, y: _poisson(z, y, log_input=True),
}
ADMISSIBLE = {
    "binary_cross_entropy": ["sigmoid", "logistic", "softmax"],
    "cross_entropy": ["softmax"],
    "poisson": ["exp", "softplus", "sigmoid", "logistic", "softmax"],
}


def _data(rng: np.random.Generator, loss: str, n_in: int, n_out: int, n: int = 7) -> tuple[np.ndarray, np.ndarray]:
    """Inputs, and targets on which the loss is defined: soft ones for the cross-entropies."""
    X, y = rng.normal(size=(n, n_in)), rng.normal(size=(n, n_out))
    if loss == "cross_entropy":
        y = np.exp(y) / np.exp(y).sum(axis=1, keepdims=True)
    elif loss == "binary_cross_entropy":
        y = 1.0 / (1.0 + np.exp(-y))
    elif loss == "poisson":
        y = rng.poisson(1.5, size=y.shape).astype(np.float64)
    return X, y


def _network(rng: np.random.Generator, depth: int, n_out: int, hidden: str, output: str, stack: int | None) -> bpx.MLP:
    """A network of `depth` layers of weights, biases not at zero."""
    sizes = [3, *(4, 5, 4)[: depth - 1], n_out]
    net = bpx.MLP(sizes, hidden, output, dtype="float64", stack=stack, backend="numpy")
    return net.set_params({name: rng.normal(scale=0.6, size=view.shape) for name, view in net.params.items()})


def _of_network(net: bpx.MLP, k: int | None) -> dict[str, torch.Tensor]:
    """The parameters of one network as leaves that PyTorch differentiates."""
    params = {name: view if k is None else view[k] for name, view in net.params.items()}
    return {name: torch.tensor(np.array(value), requires_grad=True) for name, value in params.items()}


def _objective(params, X, y, hidden: str, output: str, loss: str, l2: float) -> torch.Tensor:
    """Mean over samples of the sum over outputs, and l2/2 times the sum of squared weights."""
    x, depth = X, len(params) // 2
    for layer in range(depth):
        z = x @ params[f"{layer}.W"] + params[f"{layer}.b"]
        x = ACTIVATION[hidden if layer < depth - 1 else output](z)
    total = LOSS_OF_LOGITS[loss](z, y) if output == OUTPUT.get(loss) else LOSS[loss](x, y)
    penalty = sum(torch.sum(value**2) for name, value in params.items() if name.endswith("W"))
    return total / len(X) + 0.5 * l2 * penalty


def _difference(ours, theirs) -> float:
    """Largest difference over the largest entry."""
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    assert ours.shape == theirs.shape
    return float(np.max(np.abs(ours - theirs)) / max(np.max(np.abs(theirs)), FLOOR))


def _gradient_error(rng, depth, n_out, hidden, output, loss, l2, stack) -> float:
    """Of the loss and of every parameter's gradient the largest difference from autograd's."""
    net = _network(rng, depth, n_out, hidden, output, stack)
    X, y = _data(rng, loss, 3, n_out)
    value, grads = net.loss_and_grads(X, y, loss, l2=l2)
    errors = []
    for k in [None] if stack is None else range(stack):
        params = _of_network(net, k)
        expected = _objective(params, torch.tensor(X), torch.tensor(y), hidden, output, loss, l2)
        expected.backward()
        errors.append(_difference(value if k is None else value[k], expected.item()))
        for name, leaf in params.items():
            errors.append(_difference(grads[name] if k is None else grads[name][k], leaf.grad.numpy()))
    return max(errors)


def test_every_registered_activation_and_loss_has_its_oracle():
    assert set(ACTIVATION) == set(ACTIVATIONS) - {"step"}
    assert set(LOSS) == set(LOSSES)
    assert set(HIDDEN) == {a.name for a in ACTIVATIONS.values() if a.differentiable and not a.output_only}


@pytest.mark.parametrize("stack", [None, 3])
@pytest.mark.parametrize("l2", [0.0, 0.1])
@pytest.mark.parametrize("n_out", [1, 2, 3])
@pytest.mark.parametrize("depth", [1, 2, 4])
@pytest.mark.parametrize("loss", sorted(LOSS))
def test_gradients_are_autograds(rng, loss, depth, n_out, l2, stack):
    output = OUTPUT.get(loss, "identity")
    for hidden in HIDDEN:
        if output == "softmax" and n_out == 1:
            with pytest.raises(ValueError, match="softmax over one output"):
                _network(rng, depth, n_out, hidden, output, stack)
            continue
        error = _gradient_error(rng, depth, n_out, hidden, output, loss, l2, stack)
        assert error <= TOLERANCE, f"{hidden}: {error:.2e}"


@pytest.mark.parametrize("stack", [None, 3])
@pytest.mark.parametrize("loss", sorted(LOSS))
def test_gradients_are_autograds_behind_every_admissible_output(rng, loss, stack):
    for output in ADMISSIBLE.get(loss, sorted(ACTIVATION)):
        for n_out in (2, 3) if output == "softmax" else (1, 2, 3):
            error = _gradient_error(rng, 2, n_out, "tanh", output, loss, 0.1, stack)
            assert error <= TOLERANCE, f"{output}, {n_out} outputs: {error:.2e}"


@pytest.mark.parametrize("loss", sorted(LOSS))
def test_the_outputs_tried_are_all_that_the_loss_accepts(loss):
    for name in ACTIVATION:
        if name not in ADMISSIBLE.get(loss, ACTIVATION):
            with pytest.raises(ValueError, match="needs outputs"):
                LOSSES[loss].check_output(ACTIVATIONS[name], 2)


@pytest.mark.parametrize("loss", sorted(LOSS))
def test_weighted_gradients_and_input_gradients_are_autograds(rng, loss):
    n_out, output = 3, OUTPUT.get(loss, "identity")
    net = _network(rng, 2, n_out, "tanh", output, None)
    X, y = _data(rng, loss, 3, n_out)
    weight = np.array([0.0, 1.0, 2.0, 0.5, 0.0, 3.0, 1.0])
    _, grads = net.loss_and_grads(X, y, loss, sample_weight=weight)
    params, inputs = _of_network(net, None), torch.tensor(X, requires_grad=True)
    rows = [
        w * _objective(params, inputs[i : i + 1], torch.tensor(y[i : i + 1]), "tanh", output, loss, 0.0)
        for i, w in enumerate(weight)
    ]
    (sum(rows) / weight.sum()).backward()
    for name, leaf in params.items():
        assert _difference(grads[name], leaf.grad.numpy()) <= TOLERANCE
    assert _difference(net.input_gradient(X, y, loss, sample_weight=weight), inputs.grad.numpy()) <= TOLERANCE


# ---------------------------------------------------------------- optimizers

OPTIMIZERS = {
    "sgd": (bpx.SGD(0.1), torch.optim.SGD, {"lr": 0.1}),
    "momentum": (bpx.SGD(0.1, 0.9), torch.optim.SGD, {"lr": 0.1, "momentum": 0.9}),
    "nesterov": (bpx.SGD(0.1, 0.9, True), torch.optim.SGD, {"lr": 0.1, "momentum": 0.9, "nesterov": True}),
    "rmsprop": (bpx.RMSprop(), torch.optim.RMSprop, {"lr": 0.001}),
    "rmsprop 0.9": (bpx.RMSprop(0.01, 0.9), torch.optim.RMSprop, {"lr": 0.01, "alpha": 0.9}),
    "adagrad": (bpx.Adagrad(), torch.optim.Adagrad, {}),
    "adagrad 0.1": (bpx.Adagrad(0.1, 1e-6), torch.optim.Adagrad, {"lr": 0.1, "eps": 1e-6}),
    "adam": (bpx.Adam(), torch.optim.Adam, {}),
    "adam 0.05": (bpx.Adam(0.05, 0.8, 0.95, 1e-6), torch.optim.Adam, {"lr": 0.05, "betas": (0.8, 0.95), "eps": 1e-6}),
    "adamw": (bpx.AdamW(), torch.optim.AdamW, {}),
    "adamw 0.3": (bpx.AdamW(0.05, weight_decay=0.3), torch.optim.AdamW, {"lr": 0.05, "weight_decay": 0.3}),
}


def _optimizer_error(name: str, rng: np.random.Generator) -> float:
    """Largest difference of losses and parameters over 20 full-batch steps of a real network, each step compared."""
    ours, kind, options = OPTIMIZERS[name]
    X, y = _data(rng, "cross_entropy", 3, 3, n=20)
    net = _network(rng, 2, 3, "tanh", "softmax", None)
    params = _of_network(net, None)
    theirs = kind(params.values(), **options)
    path = []

    def remember(run) -> None:
        path.append({key: view.copy() for key, view in run.net.params.items()})

    how = {"epochs": 20, "batch_size": None, "l2": 0.01, "callbacks": [remember]}
    history = bpx.fit(net, X, y, "cross_entropy", ours, **how)
    assert history.steps == len(path) == 20
    errors = []
    for step in range(20):
        theirs.zero_grad()
        loss = _objective(params, torch.tensor(X), torch.tensor(y), "tanh", "softmax", "cross_entropy", 0.01)
        loss.backward()
        theirs.step()
        errors.append(_difference(history.loss[step], loss.item()))
        errors += [_difference(path[step][key], leaf.detach().numpy()) for key, leaf in params.items()]
    return max(errors)


@pytest.mark.parametrize("name", sorted(OPTIMIZERS))
def test_twenty_training_steps_are_torch_optims(rng, name):
    error = _optimizer_error(name, rng)
    assert error <= TOLERANCE, f"{error:.2e}"


@pytest.mark.parametrize("max_norm", [0.01, 0.5, 100.0])
def test_clipping_is_torchs_up_to_its_epsilon(rng, max_norm):
    # PyTorch divides by the norm + 1e-6, hence the wider tolerance: 1e-6 over a norm of about 3.
    g = rng.normal(size=10)
    leaf = torch.zeros(10, dtype=torch.float64, requires_grad=True)
    leaf.grad = torch.tensor(g)
    torch.nn.utils.clip_grad_norm_([leaf], max_norm)
    ours, _ = bpx.SGD(1.0, clip_norm=max_norm).update(g, {"step": 0}, np.zeros(10))
    assert _difference(-ours, leaf.grad.numpy()) <= 1e-6


# ---------------------------------------------------------------- formulas


@pytest.mark.parametrize("name", sorted(ACTIVATION))
def test_activations_are_torchs(rng, name):
    z = 3.0 * rng.normal(size=(6, 5))
    a = ACTIVATIONS[name].forward(np, z)
    leaf = torch.tensor(z, requires_grad=True)
    expected, grad_a = ACTIVATION[name](leaf), rng.normal(size=z.shape)
    expected.backward(torch.tensor(grad_a))
    assert _difference(a, expected.detach().numpy()) <= TOLERANCE
    assert _difference(ACTIVATIONS[name].backward(np, grad_a, z, a), leaf.grad.numpy()) <= TOLERANCE


LABELS = np.array([2, 0, 1, 1, 2, 0])
# Formula, targets, and PyTorch's own of the same pre-activations or outputs.
FUNCTIONAL = {
    "squared_error": ("on_outputs", "real", LOSS["squared_error"]),
    "absolute_error": ("on_outputs", "real", LOSS["absolute_error"]),
    "huber": ("on_outputs", "real", LOSS["huber"]),
    "binary_cross_entropy": ("on_logits", "unit", LOSS_OF_LOGITS["binary_cross_entropy"]),
    "cross_entropy of soft targets": ("on_logits", "soft", LOSS_OF_LOGITS["cross_entropy"]),
    "cross_entropy of labels": ("on_logits", "labels", LOSS_OF_LOGITS["cross_entropy"]),
    "poisson": ("on_logits", "count", LOSS_OF_LOGITS["poisson"]),
}


@pytest.mark.parametrize("case", sorted(FUNCTIONAL))
def test_losses_are_torchs(rng, case):
    form, kind, functional = FUNCTIONAL[case]
    z = 2.0 * rng.normal(size=(6, 3))
    y = {
        "real": rng.normal(size=z.shape),
        "unit": rng.uniform(size=z.shape),
        "soft": rng.dirichlet(np.ones(3), 6),
        "labels": LABELS,
        "count": rng.poisson(2.0, size=z.shape).astype(np.float64),
    }[kind]
    values, grad = getattr(LOSSES[case.partition(" ")[0]], form)(np, z, y)
    leaf = torch.tensor(z, requires_grad=True)
    expected = functional(leaf, torch.tensor(y))
    expected.backward()
    assert _difference(np.sum(values), expected.item()) <= TOLERANCE
    assert _difference(grad, leaf.grad.numpy()) <= TOLERANCE
