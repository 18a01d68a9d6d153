"""What the exports to other libraries share: the network of a model, and the error for a layer."""

from __future__ import annotations

from typing import Any, NoReturn

from bpx.network.mlp import MLP


def network_and_labels(model: Any, function: str) -> tuple[MLP, str | None, Any]:
    """The network of a network or an estimator, and for a classifier the kind of its labels and its classes.

    Raises
    ------
    TypeError, ValueError
        For anything else, and for a stack.
    """
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
    """Raise ValueError for a layer that cannot be represented; the weights of layer i are ``"i.W"``."""
    kind = "output" if layer == len(net.sizes) - 2 else "hidden"
    raise ValueError(f"{function}: layer {layer} ({kind}) {problem}")
