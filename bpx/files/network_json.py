"""A network as JSON and named arrays, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from bpx.errors import FileFormatError, NonFiniteError
from bpx.files import function_json
from bpx.files.header import Arrays, ArrayTypes, check_entries, of_type, short_repr
from bpx.formulas.activations import Activation
from bpx.network.architecture import DTYPES
from bpx.network.mlp import MLP
from bpx.network.params import Layout, ParamViews

# The "kind" of a file besides "network", and the class that wrote it.
ESTIMATORS = {"classifier": "bpx.MLPClassifier", "regressor": "bpx.MLPRegressor"}


def to_json(net: MLP) -> tuple[dict[str, Any], Arrays]:
    """A network as JSON and host arrays by name; NonFiniteError if a parameter is NaN or infinite."""
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
        "hidden": [function_json.activation_to_json(activation) for activation in net.hidden],
        "output": function_json.activation_to_json(net.output),
        "bias": list(net.bias),
        "init": [function_json.initializer_to_json(init) for init in net.init],
        "dropout": list(net.dropout),
        "dtype": net.dtype,
        "seed": list(net.seed) if isinstance(net.seed, tuple) else net.seed,
        "stack": net.stack,
    }
    return description, arrays


def check_header(document: dict[str, Any], types: ArrayTypes) -> None:
    """Raise FileFormatError unless this is the header of a model, and the arrays have the shapes of its network."""
    kind = document.get("kind")
    if not isinstance(kind, str) or kind not in ("network", *ESTIMATORS):
        raise FileFormatError(f"expected a file of a network or an estimator, got one of kind {short_repr(kind)}")
    more = {} if kind == "network" else {"estimator": of_type(dict)}
    check_entries(
        document, "header", format=None, bpx=of_type(str), kind=None, network=of_type(dict),
        metadata=of_type(dict), **more,
    )  # fmt: skip
    entries = check_entries(
        document["network"], "network", sizes=_are_counts, hidden=of_type(list), output=None,
        bias=lambda v: type(v) is list and all(map(of_type(bool), v)), init=of_type(list),
        dropout=lambda v: type(v) is list and all(map(of_type(int, float), v)), dtype=lambda v: v in DTYPES,
        seed=lambda v: all(map(of_type(int), v if type(v) is list else [v])),
        stack=lambda v: v is None or _is_count(v),
    )  # fmt: skip
    layers = len(entries["sizes"]) - 1
    if layers < 1 or layers > len(types):
        raise FileFormatError(f"network: expected an array for each of {layers} layers, got {len(types)} arrays")
    for name, count in (("hidden", layers - 1), ("dropout", layers - 1), ("bias", layers), ("init", layers)):
        if len(entries[name]) != count:
            raise FileFormatError(f"network: expected {count} entries of {name}, got {len(entries[name])}")
    lead = () if entries["stack"] is None else (entries["stack"],)
    layout = Layout(tuple(entries["sizes"]), tuple(entries["bias"]))
    wanted = {name: (*lead, *shape) for name, (_, _, shape) in layout.entries.items()}
    for name, shape in wanted.items():
        given = types.get(name)
        if given is None or given[1] != shape or given[0].name != entries["dtype"]:
            got = "none" if given is None else f"{given[0].name} of shape {short_repr(given[1])}"
            raise FileFormatError(
                f"array {name}: expected {entries['dtype']} of shape {shape} by the network's sizes, got {got}"
            )
    if kind == "network" and len(types) > len(wanted):
        raise FileFormatError(f"expected the network's {len(wanted)} arrays, got {len(types) - len(wanted)} more")


def from_json(description: Any, arrays: Arrays, backend: Any, own: Mapping[str, Activation]) -> MLP:
    """The network of a description that passed `check_header`; FileFormatError if it makes no sense."""
    sizes, outputs = description["sizes"], (*description["hidden"], description["output"])
    activations = [
        function_json.activation_from_json(
            entry, f"layer {i} ({'hidden' if i < len(sizes) - 2 else 'output'})", sizes[i + 1], own
        )
        for i, entry in enumerate(outputs)
    ]
    init = [function_json.initializer_from_json(entry, f"layer {i}") for i, entry in enumerate(description["init"])]
    entries = description | {"hidden": activations[:-1], "output": activations[-1], "init": init}
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
        raise FileFormatError(f"network: {short_repr(error)}") from error


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 < value < 2**31


def _are_counts(value: Any) -> bool:
    return isinstance(value, list) and all(_is_count(n) for n in value)
