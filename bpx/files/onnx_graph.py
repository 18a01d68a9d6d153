"""Building an ONNX model, in operator set 17 and IR version 8, which runtimes since 2022 read."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, final

import numpy as np

from bpx._version import __version__

OPSET, IR_VERSION = 17, 8


@final
class OnnxGraph:
    """The nodes and constants of a model; each method adds some and returns the name of the result.

    Parameters
    ----------
    onnx : module
        The package onnx.
    dtype : {"float32", "float64"}
        The dtype of the numbers.
    """

    def __init__(self, onnx: Any, dtype: str) -> None:
        self._onnx = onnx
        self._nodes: list[Any] = []
        self._constants: list[Any] = []
        self.dtype = np.dtype(dtype)

    def op(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """Apply an operator; returns the name of its result."""
        result = f"{operator.lower()}_{len(self._nodes)}"
        # onnxruntime 1.20 confuses nodes without a name.
        self._nodes.append(self._onnx.helper.make_node(operator, list(inputs), [result], name=result, **attributes))
        return result

    def constant(self, value: Any, name: str | None = None, dtype: Any = None) -> str:
        """Add a constant, by default in the graph's dtype; returns its name."""
        name = name or f"constant_{len(self._constants)}"
        array = np.ascontiguousarray(np.asarray(value, dtype=dtype or self.dtype)).reshape(np.shape(value))
        self._constants.append(self._onnx.numpy_helper.from_array(array, name))
        return name

    def split(self, value: str, widths: list[int]) -> list[str]:
        """Split columns into blocks of these widths; returns the names of the blocks."""
        places = np.cumsum([0, *widths])
        axis = self.constant([1], dtype=np.int64)
        return [
            self.op("Slice", value, self.constant([i], dtype=np.int64), self.constant([j], dtype=np.int64), axis)
            for i, j in pairwise(places)
        ]

    def above_half(self, value: str) -> str:
        """1 where a probability is above 0.5, else 0; int64."""
        above = self.op("Greater", value, self.constant(0.5))
        return self.op("Cast", above, to=self._onnx.TensorProto.INT64)

    def output(self, name: str, value: str, dtype: str, shape: list[Any]) -> Any:
        """Make a value an output of the model with this name; returns the declaration."""
        self._nodes.append(self._onnx.helper.make_node("Identity", [value], [name], name=name))
        return self._typed(name, dtype, shape)

    def _typed(self, name: str, dtype: str, shape: list[Any]) -> Any:
        """The declaration of an input or output."""
        helper, strings = self._onnx.helper, self._onnx.TensorProto.STRING
        code = strings if dtype == "str" else helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        return helper.make_tensor_value_info(name, code, shape)

    def to_bytes(self, n_inputs: int, outputs: list[Any]) -> bytes:
        """The model with the input ``X`` and these outputs, checked."""
        helper = self._onnx.helper
        inputs = [self._typed("X", self.dtype.name, ["batch", n_inputs])]
        graph = helper.make_graph(self._nodes, "bpx", inputs, outputs, self._constants)
        model = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION, producer_name="bpx",
            producer_version=__version__,
        )  # fmt: skip
        self._onnx.checker.check_model(model, full_check=True)
        data: bytes = model.SerializeToString(deterministic=True)
        return data
