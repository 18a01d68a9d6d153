"""Calls whose first argument is to be a network."""

from __future__ import annotations

from typing import Any

from bpx.network.mlp import MLP


def check_network(net: Any, call: str, *others: Any) -> None:
    """Refuse what is no network, and say which call is meant; `others` are the arguments after it.

    Raises
    ------
    TypeError
    """
    if isinstance(net, MLP):
        return
    hint = ""
    if any(isinstance(other, MLP) for other in others):
        hint = f"; the network comes first, {call}"
    elif hasattr(net, "get_params") and hasattr(net, "predict"):
        method = call.partition("(")[0].removeprefix("bpx.")
        hint = f"; an estimator has a method of its own, estimator.{method}({call.partition(', ')[2]}"
    raise TypeError(f"net: expected a bpx.MLP, got {type(net).__name__}{hint}")
