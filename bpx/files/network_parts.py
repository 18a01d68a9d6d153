"""A network as JSON and named arrays, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from bpx.errors import FileFormatError, NonFiniteError
from bpx.files import describe
from bpx.files.container import Arrays, Table
from bpx.files.header import exactly, shown
from bpx.formulas.activations import Activation
from bpx.network.architecture import DTYPES
from bpx.network.mlp import MLP
from bpx.network.params import Layout, ParamViews

__all__ = ["ESTIMATORS", "check", "network", "parts"]

# What a file's "kind" may be besides "network", and the class that it is the file of.
ESTIMATORS = {"classifier": "bpx.MLPClassifier", "regressor": "bpx.MLPRegressor"}


def parts(net: MLP) -> tuple[dict[str, Any], Arrays]:
    """A network as JSON and host arrays.

    Raises
    ------
    NonFiniteError
        If a parameter is NaN or infinite.
    """
    host = np.asarray(net.backend.to_host(net.flat))
    arrays = dict(ParamViews(np, net.layout, host))
    for name, array in arrays.items():
        if not np.all(np.isfinite(array)):
            raise NonFiniteError(
                f"{name}: expected finite parameters, got NaN or infinity; nothing was written, because no file with"
                " them could be read back: train the network anew"
            )
    description = {
        "sizes": list(net.sizes),
        "hidden": [describe.describe_activation(activation) for activation in net.hidden],
        "output": describe.describe_activation(net.output),
        "bias": list(net.bias),
        "init": [describe.describe_initializer(init) for init in net.init],
        "dropout": list(net.dropout),
        "dtype": net.dtype,
        "seed": list(net.seed) if isinstance(net.seed, tuple) else net.seed,
        "stack": net.stack,
    }
    return description, arrays


def check(document: dict[str, Any], table: Table) -> None:
    """Whether a header is that of a model, and its parameters are those of its network; nothing large is made yet.

    Raises
    ------
    FileFormatError
    """
    kind = document.get("kind")
    if not isinstance(kind, str) or kind not in ("network", *ESTIMATORS):
        raise FileFormatError(f"expected a file of a network or an estimator, got one of kind {shown(kind)}")
    more = {} if kind == "network" else {"estimator": _is_dict}
    exactly(
        document, "header", format=lambda _: True, bpx=lambda v: isinstance(v, str), kind=lambda _: True,
        network=_is_dict, metadata=_is_dict, **more,
    )  # fmt: skip
    _check_network(document["network"], table, kind == "network")


def _check_network(description: Any, table: Table, alone: bool) -> None:
    """Whether a description is one of a network whose parameters are in the table, `alone` or with other arrays."""
    entries = exactly(
        description, "network", sizes=_are_counts, hidden=_is_list, output=lambda _: True, bias=_is_list,
        init=_is_list, dropout=_is_list, dtype=lambda v: v in DTYPES, seed=lambda _: True,
        stack=lambda v: v is None or _is_count(v),
    )  # fmt: skip
    sizes, layers = entries["sizes"], len(entries["sizes"]) - 1
    if layers < 1 or layers > len(table):
        raise FileFormatError(f"network: expected an array for each of {layers} layers, got {len(table)} arrays")
    for name, count in (("hidden", layers - 1), ("dropout", layers - 1), ("bias", layers), ("init", layers)):
        if len(entries[name]) != count:
            raise FileFormatError(f"network: expected {count} entries of {name}, got {len(entries[name])}")
    if not all(type(bias) is bool for bias in entries["bias"]):
        raise FileFormatError(f"network: bias makes no sense as {shown(entries['bias'])}")
    if not all(type(rate) in (int, float) for rate in entries["dropout"]):
        raise FileFormatError(f"network: dropout makes no sense as {shown(entries['dropout'])}")
    seed = entries["seed"]
    if not all(type(one) is int for one in (seed if isinstance(seed, list) else [seed])):
        raise FileFormatError(f"network: seed makes no sense as {shown(seed)}")
    lead = () if entries["stack"] is None else (entries["stack"],)
    wanted = {}
    for layer, (n_in, n_out, bias) in enumerate(zip(sizes, sizes[1:], entries["bias"], strict=False)):
        wanted[f"{layer}.W"] = (*lead, n_in, n_out)
        wanted |= {f"{layer}.b": (*lead, n_out)} if bias else {}
    for name, shape in wanted.items():
        given = table.get(name)
        if given is None or given[1] != shape or given[0].name != entries["dtype"]:
            got = "none" if given is None else f"{given[0].name} of shape {shown(given[1])}"
            raise FileFormatError(
                f"array {name}: expected {entries['dtype']} of shape {shape} by the network's sizes, got {got}"
            )
    if alone and len(table) > len(wanted):
        raise FileFormatError(f"expected the network's {len(wanted)} arrays, got {len(table) - len(wanted)} more")


def network(description: Any, arrays: Arrays, backend: Any, own: Mapping[str, Activation]) -> MLP:
    """The network of a description that `check` let pass.

    Raises
    ------
    FileFormatError
    """
    entries = dict(description)
    sizes = entries["sizes"]
    entries["hidden"] = [
        describe.activation(entry, f"layer {i} (hidden)", sizes[i + 1], own)
        for i, entry in enumerate(entries["hidden"])
    ]
    entries["output"] = describe.activation(entries["output"], f"layer {len(sizes) - 2} (output)", sizes[-1], own)
    entries["init"] = [describe.initializer(entry, f"layer {i}") for i, entry in enumerate(entries["init"])]
    layout = Layout(tuple(sizes), tuple(entries["bias"]))
    lead = () if entries["stack"] is None else (entries["stack"],)
    flat = np.empty((*lead, layout.n_params), dtype=entries["dtype"])
    for name, view in ParamViews(np, layout, flat).items():
        view[...] = arrays[name]
        if not np.all(np.isfinite(view)):
            raise FileFormatError(f"{name}: expected finite parameters, got NaN or infinity")
    try:
        return MLP.with_parameters(flat, backend=backend, **entries)
    except (TypeError, ValueError, OverflowError) as error:
        raise FileFormatError(f"network: {shown(error)}") from error


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 < value < 2**31


def _are_counts(value: Any) -> bool:
    return isinstance(value, list) and all(_is_count(n) for n in value)


def _is_list(value: Any) -> bool:
    return isinstance(value, list)


def _is_dict(value: Any) -> bool:
    return isinstance(value, dict)
