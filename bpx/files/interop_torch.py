"""Networks from a ``torch.nn.Sequential`` of Linear layers and activations, and back."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from bpx.backend.select import BackendLike
from bpx.errors import warn_caller
from bpx.files import function_json
from bpx.files.exportable import network_and_labels, refuse_layer
from bpx.formulas import activations
from bpx.formulas.activations import Activation, ActivationName
from bpx.network.mlp import MLP

# For larger z, log(1 + exp(z)) is z to the last bit of float64; PyTorch's default of 20 is exact to nine digits.
EXACT_SOFTPLUS = 40.0


def _torch() -> Any:
    """PyTorch; the ImportError without it names the command that installs it."""
    try:
        import torch
    except ModuleNotFoundError as error:
        raise ImportError("bpx.from_torch and to_torch need PyTorch: pip install torch") from error
    return torch


def from_torch(
    sequential: Any, *, output: ActivationName | Activation | None = None, backend: BackendLike = None
) -> MLP:
    """The network of a ``torch.nn.Sequential`` of Linear, activations and Dropout.

    Parameters
    ----------
    sequential : torch.nn.Sequential
        On any device; it may contain Sequentials, and a module several times. Known modules are Linear, Identity,
        Sigmoid, Tanh, ReLU, LeakyReLU, ELU, SELU, Softplus, SiLU, Mish, GELU(approximate="tanh"), Softmax over the last
        dimension, and Dropout after a hidden layer's activation.
    output : str or Activation, optional
        The output activation of a network that ends in a Linear layer, such as "softmax" for one that was trained with
        ``CrossEntropyLoss``. None: identity.
    backend : str, module or Backend, optional
        The network's backend; None is the current one.

    Returns
    -------
    MLP
        With copies of the weights (which PyTorch stores transposed) in their dtype.

    Raises
    ------
    ValueError, NonFiniteError
        For a module that bpx cannot represent, or one with hooks (global ones too), a parametrization or a forward
        pass of its own; the message names the module and its place.
    TypeError
        For anything but a Sequential.
    ImportError
        If PyTorch is not installed.

    Warns
    -----
    UserWarning
        If layers share weights, or some weights are frozen: the outputs are the same, but further training by bpx
        changes all weights independently.
    """
    nn = _torch().nn
    if not isinstance(sequential, nn.Sequential):
        raise TypeError(f"from_torch: expected a torch.nn.Sequential, got {type(sequential).__name__}")
    if type(sequential).forward is not nn.Sequential.forward:
        raise TypeError(
            f"from_torch: expected a torch.nn.Sequential, got a {type(sequential).__name__} with a forward pass of its"
            " own"
        )
    for_all = {f"global {kind}": getattr(nn.modules.module, f"_global{name}", {}) for name, kind in HOOKS.items()}
    _check_no_hooks("all modules have", for_all, "remove it, with remove() of what registering it returned")
    known = _activations(nn)
    layers: list[_Layer] = []
    for place, module in _flattened(nn, sequential, ""):
        kind = type(module)
        if kind in (nn.Identity, nn.Linear, nn.Dropout, *known):
            _check_plain(module, f"module {place}, {kind.__name__},")
        if kind is nn.Linear:
            layers.append(_Layer(place, module))
        elif kind is not nn.Identity:
            if not layers:
                raise ValueError(f"from_torch: expected a Linear layer first, got {kind.__name__} as module {place}")
            if kind is nn.Dropout:
                layers[-1].add_dropout(module, place)
            elif kind in known:
                layers[-1].add_activation(known[kind], module, place)
            else:
                raise ValueError(
                    f"from_torch: module {place} is {kind.__name__}, which bpx cannot represent; {_remedy(module)}known"
                    f" are Linear, Dropout, {', '.join(activation.__name__ for activation in known)}"
                )
    return _assembled(layers, output, backend)


class _Layer:
    """A Linear module with the activation and the dropout that follow it."""

    def __init__(self, place: str, linear: Any) -> None:
        self.place, self.linear = place, linear
        self.tensors = [tensor for tensor in (linear.weight, linear.bias) if tensor is not None]
        self.activation: Any = None
        self.dropout = 0.0

    def add_activation(self, convert: Callable[[Any], Any], module: Any, place: str) -> None:
        """Set the layer's activation; ValueError if there is one already."""
        if self.activation is not None or self.dropout:
            raise ValueError(
                f"from_torch: module {place}, {type(module).__name__}, does not follow a Linear layer directly; bpx has"
                " one activation per layer, and dropout behind it"
            )
        try:
            self.activation = convert(module)
        except ValueError as error:
            raise ValueError(f"from_torch: module {place}, {module}: {error}") from error

    def add_dropout(self, module: Any, place: str) -> None:
        """Set the layer's dropout rate; ValueError if there is one already."""
        if self.dropout:
            raise ValueError(f"from_torch: module {place} is a second Dropout behind one layer")
        if module.p >= 1.0:
            raise ValueError(f"from_torch: module {place}: expected a rate in [0, 1), got {module.p}")
        self.dropout = float(module.p)


def _flattened(nn: Any, sequential: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    """The modules with their places, also those of inner Sequentials; a module that is used twice comes twice."""
    _check_plain(sequential, f"module {prefix[:-1]}, {type(sequential).__name__}," if prefix else "the Sequential")
    for name, module in sequential.named_modules(remove_duplicate=False):
        if not name or "." in name:  # itself, or inside one of its modules
            continue
        if isinstance(module, nn.Sequential) and type(module).forward is nn.Sequential.forward:
            yield from _flattened(nn, module, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", module


# PyTorch's attributes for hooks, which run with a module's forward or backward pass.
HOOKS = {
    "_forward_pre_hooks": "forward pre-hook", "_forward_hooks": "forward hook",
    "_backward_pre_hooks": "backward pre-hook", "_backward_hooks": "backward hook",
}  # fmt: skip


def _check_plain(module: Any, what: str) -> None:
    """Raise ValueError for a module that computes something else than its class."""
    if "forward" in vars(module):
        raise ValueError(f"from_torch: {what} has a forward pass of its own, which bpx cannot represent")
    hooks = {kind: getattr(module, name, None) for name, kind in HOOKS.items()}
    for own, parameter in module.named_parameters(recurse=False):
        hooks[f"hook on its {own}"] = getattr(parameter, "_backward_hooks", None)
        hooks[f"hook on the gradient of its {own}"] = getattr(parameter, "_post_accumulate_grad_hooks", None)
    remedy = (
        "remove it (of a normalised or pruned layer with torch.nn.utils.remove_weight_norm, remove_spectral_norm or"
        " prune.remove)"
    )
    _check_no_hooks(f"{what} has", hooks, remedy)


def _check_no_hooks(who_has: str, hooks: Mapping[str, Any], remedy: str) -> None:
    """Raise ValueError for the first hook."""
    for kind, those in hooks.items():
        for hook in (those or {}).values():
            name = getattr(hook, "__name__", type(hook).__name__)
            raise ValueError(f"from_torch: {who_has} a {kind} ({name}), which bpx cannot represent; {remedy}")


def _remedy(module: Any) -> str:
    """What to do with a module that would be known without a parametrization or once it has weights; else empty."""
    if hasattr(module, "parametrizations"):
        return "torch.nn.utils.parametrize.remove_parametrizations(module, 'weight') makes it a plain one; "
    if type(module).__name__.startswith("Lazy"):
        return "give it a batch, which makes its weights; "
    return ""


def _assembled(layers: list[_Layer], output: Any, backend: BackendLike) -> MLP:
    """The network of these layers."""
    if not layers:
        raise ValueError("from_torch: expected a Sequential with Linear layers, got none")
    last = layers[-1]
    if last.dropout:
        raise ValueError("from_torch: the output layer has Dropout behind it, which bpx has behind hidden layers only")
    if output is not None and last.activation is not None:
        raise ValueError(
            f"from_torch: output={output!r} is for a Sequential that ends in a Linear layer; this does not"
        )
    tensors = [(layer.place, tensor) for layer in layers for tensor in layer.tensors]
    for place, tensor in tensors:
        if tensor.is_meta:
            raise ValueError(f"from_torch: module {place} is on the meta device and has no values; load its weights")
    dtypes = {str(tensor.dtype).removeprefix("torch.") for _, tensor in tensors}
    if len(dtypes) > 1 or not dtypes <= {"float32", "float64"}:
        raise ValueError(f"from_torch: expected weights of float32 or of float64, got {', '.join(sorted(dtypes))}")
    (dtype,) = dtypes
    sizes, params = [layers[0].linear.weight.shape[1]], []
    for layer in layers:
        n_out, n_in = layer.linear.weight.shape
        if n_in != sizes[-1]:
            raise ValueError(f"from_torch: module {layer.place} takes {n_in} inputs behind {sizes[-1]} outputs")
        sizes.append(n_out)
        params += [tensor.detach().cpu().numpy().T.ravel() for tensor in layer.tensors]
        if isinstance(layer.activation, float):  # the threshold of a Softplus
            if dtype == "float64" and layer.activation < EXACT_SOFTPLUS:
                raise ValueError(
                    f"from_torch: the Softplus behind module {layer.place} is linear beyond {layer.activation}, which"
                    f" in float64 is not bpx's softplus; use Softplus(threshold={EXACT_SOFTPLUS:g})"
                )
            layer.activation = "softplus"
    _warn_of_training(tensors)
    return MLP.with_parameters(
        np.concatenate(params), sizes=sizes, hidden=[layer.activation or "identity" for layer in layers[:-1]],
        output=output or last.activation or "identity", bias=[layer.linear.bias is not None for layer in layers],
        dropout=[layer.dropout for layer in layers[:-1]], dtype=dtype, backend=backend,
    )  # fmt: skip


def _warn_of_training(tensors: list[tuple[str, Any]]) -> None:
    """Warn of shared and frozen weights: the network has the same outputs, but would be trained differently."""
    places: dict[int, list[str]] = {}
    for place, tensor in tensors:
        places.setdefault(tensor.data_ptr(), []).append(place)
    shared = sorted({" and ".join(those) for those in places.values() if len(those) > 1})
    if shared:
        warn_caller(
            f"from_torch: modules {', '.join(shared)} share weights, of which the network has a copy for each: its"
            " outputs are the same, but training it further makes the copies differ",
            UserWarning,
        )
    frozen = [place for place, tensor in tensors if not tensor.requires_grad]
    if frozen and len(frozen) < len(tensors):
        warn_caller(
            f"from_torch: module {frozen[0]} has frozen parameters (requires_grad=False), which bpx has not: training"
            " the network further changes all of them",
            UserWarning,
        )


def to_torch(model: Any) -> Any:
    """A network as a ``torch.nn.Sequential`` of Linear, activations and Dropout.

    Parameters
    ----------
    model : MLP, MLPClassifier or MLPRegressor
        On any backend.

    Returns
    -------
    torch.nn.Sequential
        In evaluation mode (dropout off), with copies of the weights in their dtype; on the network's device if its
        backend is PyTorch, else on the CPU.

    Raises
    ------
    ValueError
        If PyTorch has no module for an activation (exp, step, your own); the message names the layer.
    TypeError
        For anything but a network or one of bpx's estimators.
    ImportError
        If PyTorch is not installed.
    """
    torch = _torch()
    nn = torch.nn
    net, _, _ = network_and_labels(model, "to_torch")
    device = net.backend.device if net.backend.package == "torch" else "cpu"
    host = net.to("numpy").params
    modules, makers = [], _makers(nn)
    for layer, activation in enumerate((*net.hidden, net.output)):
        W = host[f"{layer}.W"]
        linear = nn.Linear(*W.shape, bias=net.bias[layer], dtype=getattr(torch, net.dtype))
        with torch.no_grad():
            linear.weight.copy_(torch.tensor(np.ascontiguousarray(W.T)))
            if net.bias[layer]:
                linear.bias.copy_(torch.tensor(host[f"{layer}.b"]))
        modules.append(linear)
        name, arguments = function_json.name_and_arguments(activation)
        if name not in makers:
            refuse_layer("to_torch", net, layer, f"uses {activation.name!r}, for which PyTorch has no module")
        if name != "identity":
            modules.append(makers[name](*arguments))
        if layer < len(net.dropout) and net.dropout[layer]:
            modules.append(nn.Dropout(net.dropout[layer]))
    return nn.Sequential(*modules).to(device).eval()


def _makers(nn: Any) -> dict[Any, Callable[..., Any]]:
    """Functions that make the module for a name of bpx's."""
    return {
        "identity": nn.Identity, "sigmoid": nn.Sigmoid, "tanh": nn.Tanh, "relu": nn.ReLU,
        "leaky_relu": lambda slope=0.01: nn.LeakyReLU(slope), "elu": lambda alpha=1.0: nn.ELU(alpha),
        "selu": nn.SELU, "softplus": lambda: nn.Softplus(threshold=EXACT_SOFTPLUS), "silu": nn.SiLU, "mish": nn.Mish,
        "gelu": lambda: nn.GELU(approximate="tanh"), "softmax": lambda: nn.Softmax(dim=-1),
    }  # fmt: skip


def _activations(nn: Any) -> dict[Any, Callable[[Any], Any]]:
    """Functions that make bpx's activation for a class of modules; for a Softplus they give its threshold."""
    return {
        nn.Sigmoid: lambda _: "sigmoid", nn.Tanh: lambda _: "tanh",
        nn.ReLU: lambda _: "relu", nn.LeakyReLU: lambda m: activations.leaky_relu(m.negative_slope),
        nn.ELU: lambda m: activations.elu(m.alpha), nn.SELU: lambda _: "selu", nn.Softplus: _softplus,
        nn.SiLU: lambda _: "silu", nn.Mish: lambda _: "mish", nn.GELU: _gelu, nn.Softmax: _softmax,
    }  # fmt: skip


def _softplus(module: Any) -> float:
    """The threshold of a Softplus; ValueError if bpx cannot represent it."""
    if module.beta != 1 or module.threshold < 20:
        raise ValueError("expected beta=1 and threshold >= 20")
    return float(module.threshold)


def _gelu(module: Any) -> str:
    """bpx's gelu, which is the tanh form because the array API has no erf; ValueError for the exact one."""
    if module.approximate != "tanh":
        raise ValueError("expected approximate='tanh', which is bpx's gelu")
    return "gelu"


def _softmax(module: Any) -> str:
    """bpx's softmax; ValueError unless the module works over the outputs."""
    if module.dim not in (1, -1):
        raise ValueError("expected dim=-1, over the outputs")
    return "softmax"
