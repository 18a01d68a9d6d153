"""Networks and estimators as ONNX models: operator set 17 and IR version 8, which runtimes since 2022 read."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, final

import numpy as np

from bpx._version import __version__
from bpx.errors import how_to_install
from bpx.files import atomic, function_json
from bpx.files.exportable import network_and_labels, refuse_layer
from bpx.files.onnx_activations import ACTIVATIONS
from bpx.network.architecture import DType
from bpx.network.mlp import MLP

__all__ = ["to_onnx"]

OPSET, IR_VERSION = 17, 8
# ONNX models are protocol buffers, which end there.
LARGEST = 2**31 - 2**20


def to_onnx(model: Any, path: atomic.Path, *, dtype: DType | None = None) -> None:
    """Write a network or a fitted estimator as an ONNX model.

    The input is ``X`` of shape (batch, n_in), in the network's dtype. A network and a regressor have the one output
    ``output``, of shape (batch, n_out). A classifier has ``label``, of shape (batch,) or (batch, targets), and
    ``probabilities``, of shape (batch, n_classes); for several multiclass targets these stand side by side.

    Parameters
    ----------
    model : MLP, MLPClassifier or MLPRegressor
        On any backend. Dropout, which acts in training only, leaves no trace.
    path : str or path-like
        Of the file; written whole or not at all.
    dtype : {"float32", "float64"}, optional
        Of the model; None is the network's.

    Raises
    ------
    ValueError
        For what ONNX cannot represent, such as an activation of your own; the message names the layer.
    TypeError
        For anything but a network or one of bpx's estimators.
    ImportError
        If onnx is not installed.
    OSError
        If the file cannot be written; what was there stays.
    """
    try:
        import onnx
    except ModuleNotFoundError as error:
        raise ImportError(f"bpx.to_onnx needs onnx: {how_to_install('onnx', 'onnx')}") from error
    net, kind, classes = network_and_labels(model, "to_onnx")
    net = net.to("numpy", dtype=dtype)
    if net.flat.nbytes > LARGEST:
        raise ValueError(f"to_onnx: expected at most {LARGEST} bytes of parameters, got {net.flat.nbytes}")
    graph = Graph(onnx, net)
    outputs = graph.network()
    if kind is None:
        made = [graph.result("output", outputs, net.dtype, ["batch", net.sizes[-1]])]
    else:
        made = graph.classifier(outputs, kind, classes)
    atomic.write(path, graph.finish(made))


@final
class Graph:
    """The nodes and constants of a model, one operation after the other."""

    def __init__(self, onnx: Any, net: MLP) -> None:
        self._onnx, self._net = onnx, net
        self._nodes: list[Any] = []
        self._constants: list[Any] = []
        self.dtype = np.dtype(net.dtype)

    def op(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """Apply an operator; returns the name of its result."""
        result = f"{operator.lower()}_{len(self._nodes)}"
        # Named as well, because onnxruntime 1.20 takes two nodes without a name for one.
        self._nodes.append(self._onnx.helper.make_node(operator, list(inputs), [result], name=result, **attributes))
        return result

    def constant(self, value: Any, name: str | None = None, dtype: Any = None) -> str:
        """A constant of the network's dtype, or of another; returns its name."""
        name = name or f"constant_{len(self._constants)}"
        array = np.ascontiguousarray(np.asarray(value, dtype=dtype or self.dtype)).reshape(np.shape(value))
        self._constants.append(self._onnx.numpy_helper.from_array(array, name))
        return name

    def result(self, name: str, value: str, dtype: str, shape: list[Any]) -> Any:
        """Give a value the name of an output of the model."""
        self._nodes.append(self._onnx.helper.make_node("Identity", [value], [name], name=name))
        return self._value(name, dtype, shape)

    def _value(self, name: str, dtype: str, shape: list[Any]) -> Any:
        types = {"str": self._onnx.TensorProto.STRING}
        code = types.get(dtype) or self._onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        return self._onnx.helper.make_tensor_value_info(name, code, shape)

    def network(self) -> str:
        """Every layer: z = a W + b and its activation."""
        net, a = self._net, "X"
        for layer, activation in enumerate((*net.hidden, net.output)):
            parts = [
                self.constant(net.params[f"{layer}.{letter}"], f"{layer}.{letter}")
                for letter in "Wb"[: 1 + net.bias[layer]]
            ]
            z = self.op("Gemm", a, *parts)
            name, arguments = function_json.name_and_arguments(activation)
            if name not in ACTIVATIONS:
                refuse_layer(
                    "to_onnx", net, layer, f"uses the activation {activation.name!r}, which is not one of bpx's own"
                )
            a = ACTIVATIONS[name](self, z, *arguments)
        return a

    def classifier(self, outputs: str, kind: str, classes: Any) -> list[Any]:
        """Label and probabilities, as the estimator's `predict` and `predict_proba` give them."""
        probabilities, width = outputs, self._net.sizes[-1]
        shape: list[Any] = ["batch"]
        if kind == "multioutput":
            common = np.concatenate(classes)
            columns = []
            for block, known in zip(self.split(outputs, [len(known) for known in classes]), classes, strict=True):
                index = self.op("ArgMax", block, axis=1, keepdims=1)
                columns.append(self.op("Gather", self._classes(known.astype(common.dtype)), index))
            label, dtype, shape = (
                self.op("Concat", *columns, axis=1),
                self._label_dtype(common),
                ["batch", len(classes)],
            )
        elif kind == "multilabel":
            label, dtype, shape = self._above_half(outputs), "int64", ["batch", width]
        else:
            dtype = self._label_dtype(classes)
            if kind == "binary":
                index = self.op("Squeeze", self._above_half(outputs), self.constant([1], dtype=np.int64))
                rest = self.op("Sub", self.constant(1.0), outputs)
                probabilities, width = self.op("Concat", rest, outputs, axis=1), 2
            else:
                index = self.op("ArgMax", outputs, axis=1, keepdims=0)
            label = self.op("Gather", self._classes(np.resize(classes, width)), index)
        return [
            self.result("label", label, dtype, shape),
            self.result("probabilities", probabilities, self._net.dtype, ["batch", width]),
        ]

    def _above_half(self, value: str) -> str:
        """1 where a probability is above 0.5, else 0."""
        above = self.op("Greater", value, self.constant(0.5))
        return self.op("Cast", above, to=self._onnx.TensorProto.INT64)

    def split(self, value: str, widths: list[int]) -> list[str]:
        """Columns, in blocks of these widths."""
        places = np.cumsum([0, *widths])
        axis = self.constant([1], dtype=np.int64)
        return [
            self.op("Slice", value, self.constant([i], dtype=np.int64), self.constant([j], dtype=np.int64), axis)
            for i, j in pairwise(places)
        ]

    def _label_dtype(self, classes: Any) -> str:
        """What labels become: int64, the float they are, bool or str."""
        dtype = np.asarray(classes).dtype
        if dtype.kind == "U" or (dtype.kind == "O" and all(isinstance(label, str) for label in classes)):
            return "str"
        if dtype.kind in "bf" and dtype.itemsize in (1, 4, 8):
            return dtype.name
        if dtype.kind in "iu" and int(max(classes)) < 2**63:
            return "int64"
        raise ValueError(f"to_onnx: expected labels that are numbers, bools or strings, got {dtype}")

    def _classes(self, classes: Any) -> str:
        """The classes as a constant."""
        dtype = self._label_dtype(classes)
        return self.constant(np.asarray(classes), dtype=object if dtype == "str" else dtype)

    def finish(self, outputs: list[Any]) -> bytes:
        """The model, checked, as bytes."""
        helper = self._onnx.helper
        inputs = [self._value("X", self._net.dtype, ["batch", self._net.sizes[0]])]
        graph = helper.make_graph(self._nodes, "bpx", inputs, outputs, self._constants)
        model = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION, producer_name="bpx",
            producer_version=__version__,
        )  # fmt: skip
        self._onnx.checker.check_model(model, full_check=True)
        data: bytes = model.SerializeToString(deterministic=True)
        return data
