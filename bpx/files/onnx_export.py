"""Networks and estimators as ONNX models."""

from __future__ import annotations

from typing import Any

import numpy as np

from bpx.errors import how_to_install
from bpx.files import atomic, function_json
from bpx.files.exportable import network_and_labels, refuse_layer
from bpx.files.onnx_activations import ACTIVATIONS
from bpx.files.onnx_graph import OnnxGraph
from bpx.network.architecture import DType
from bpx.network.mlp import MLP

# Bytes of parameters: ONNX models are protocol buffers, which cannot be larger than 2 GiB.
LARGEST = 2**31 - 2**20


def to_onnx(model: Any, path: atomic.Path, *, dtype: DType | None = None) -> None:
    """Write a network or a fitted estimator as an ONNX model.

    The input is ``X`` of shape (batch, n_in), in the model's dtype. A network or a regressor has one output,
    ``output`` of shape (batch, n_out). A classifier has two: ``label`` of shape (batch,) or (batch, targets), and
    ``probabilities`` of shape (batch, n_classes); for several multiclass targets their classes stand side by side.

    Parameters
    ----------
    model : MLP, MLPClassifier or MLPRegressor
        On any backend. Dropout, which acts in training only, is left out.
    path : str or path-like
        The file, which is written whole or not at all.
    dtype : {"float32", "float64"}, optional
        The dtype of the model; None is the network's.

    Raises
    ------
    ValueError
        If ONNX cannot represent it, as for an activation of your own; the message names the layer.
    TypeError
        For anything but a network or one of bpx's estimators.
    ImportError
        If onnx is not installed.
    OSError
        If the file cannot be written; an existing file stays.
    """
    try:
        import onnx
    except ModuleNotFoundError as error:
        raise ImportError(f"bpx.to_onnx needs onnx: {how_to_install('onnx', 'onnx')}") from error
    net, kind, classes = network_and_labels(model, "to_onnx")
    net = net.to("numpy", dtype=dtype)
    if net.flat.nbytes > LARGEST:
        raise ValueError(f"to_onnx: expected at most {LARGEST} bytes of parameters, got {net.flat.nbytes}")
    graph = OnnxGraph(onnx, net.dtype)
    result = _add_layers(graph, net)
    if kind is None:
        outputs = [graph.output("output", result, net.dtype, ["batch", net.sizes[-1]])]
    else:
        outputs = _add_labels(graph, result, net, kind, classes)
    atomic.write(path, graph.to_bytes(net.sizes[0], outputs))


def _add_layers(graph: OnnxGraph, net: MLP) -> str:
    """Add z = a W + b and the activation of every layer; returns the name of the outputs."""
    a = "X"
    for layer, activation in enumerate((*net.hidden, net.output)):
        letters = "Wb" if net.bias[layer] else "W"
        params = [graph.constant(net.params[f"{layer}.{letter}"], f"{layer}.{letter}") for letter in letters]
        z = graph.op("Gemm", a, *params)
        name, arguments = function_json.name_and_arguments(activation)
        if name not in ACTIVATIONS:
            problem = f"uses the activation {activation.name!r}, which is not one of bpx's own"
            refuse_layer("to_onnx", net, layer, problem)
        a = ACTIVATIONS[name](graph, z, *arguments)
    return a


def _add_labels(graph: OnnxGraph, outputs: str, net: MLP, kind: str, classes: Any) -> list[Any]:
    """Add labels and probabilities, as the estimator's `predict` and `predict_proba` return them."""
    probabilities, width = outputs, net.sizes[-1]
    shape: list[Any] = ["batch"]
    if kind == "multioutput":
        common = np.concatenate(classes)
        columns = []
        for block, known in zip(graph.split(outputs, [len(known) for known in classes]), classes, strict=True):
            index = graph.op("ArgMax", block, axis=1, keepdims=1)
            columns.append(graph.op("Gather", _labels(graph, known.astype(common.dtype)), index))
        label, dtype, shape = graph.op("Concat", *columns, axis=1), _label_dtype(common), ["batch", len(classes)]
    elif kind == "multilabel":
        label, dtype, shape = graph.above_half(outputs), "int64", ["batch", width]
    else:
        dtype = _label_dtype(classes)
        if kind == "binary":
            index = graph.op("Squeeze", graph.above_half(outputs), graph.constant([1], dtype=np.int64))
            rest = graph.op("Sub", graph.constant(1.0), outputs)
            probabilities, width = graph.op("Concat", rest, outputs, axis=1), 2
        else:
            index = graph.op("ArgMax", outputs, axis=1, keepdims=0)
        label = graph.op("Gather", _labels(graph, np.resize(classes, width)), index)
    return [
        graph.output("label", label, dtype, shape),
        graph.output("probabilities", probabilities, net.dtype, ["batch", width]),
    ]


def _label_dtype(classes: Any) -> str:
    """The dtype of labels in ONNX: int64, float32, float64, bool or str; ValueError for other labels."""
    dtype = np.asarray(classes).dtype
    if dtype.kind == "U" or (dtype.kind == "O" and all(isinstance(label, str) for label in classes)):
        return "str"
    if dtype.kind in "bf" and dtype.itemsize in (1, 4, 8):
        return dtype.name
    if dtype.kind in "iu" and int(max(classes)) < 2**63:
        return "int64"
    raise ValueError(f"to_onnx: expected labels that are numbers, bools or strings, got {dtype}")


def _labels(graph: OnnxGraph, classes: Any) -> str:
    """The classes as a constant."""
    dtype = _label_dtype(classes)
    return graph.constant(np.asarray(classes), dtype=object if dtype == "str" else dtype)
