"""What can be exported: the network in what an export is given, and the words in which a layer is refused."""

from __future__ import annotations

from typing import Any, NoReturn

from bpx.network.mlp import MLP


def network_and_labels(model: Any, function: str) -> tuple[MLP, str | None, Any]:
    """The network of a network or estimator, and of a classifier the kind of its labels and its classes."""
    if isinstance(model, MLP):
        net, kind, classes = model, None, None
    elif hasattr(model, "_network_and_labels"):
        net, kind, classes = model._network_and_labels()
    else:
        raise TypeError(f"{function}: expected a bpx.MLP or a fitted bpx estimator, got {type(model).__name__}")
    if net.stack is not None:
        raise ValueError(f"{function}: expected a single network, got a stack of {net.stack}; give net.member(k)")
    return net, kind, classes


def refuse_layer(function: str, net: MLP, layer: int, problem: str) -> NoReturn:
    """Say which layer cannot be represented, and why; the weights of layer i are ``"i.W"``."""
    kind = "output" if layer == len(net.sizes) - 2 else "hidden"
    raise ValueError(f"{function}: layer {layer} ({kind}) {problem}")
