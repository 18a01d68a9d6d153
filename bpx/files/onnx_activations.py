"""Activations in ONNX's operators, under bpx's names.

Each is ``f(graph, z, *arguments)``: it adds its operations to an `OnnxGraph` and returns the result's name.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from bpx.files.onnx_graph import OnnxGraph
from bpx.formulas.activations import SELU_ALPHA, SELU_SCALE, largest_exponent


def _plain(operator: str, **attributes: Any) -> Callable[..., str]:
    """An activation for which ONNX has an operator."""
    return lambda graph, z: graph.op(operator, z, **attributes)


def _leaky_relu(graph: OnnxGraph, z: str, slope: float = 0.01) -> str:
    """max(z, slope z); the slope of ONNX's LeakyRelu is a float32."""
    return graph.op("Max", z, graph.op("Mul", z, graph.constant(slope)))


def _elu(graph: OnnxGraph, z: str, alpha: float = 1.0) -> str:
    """ONNX's Elu, or in float64, for which runtimes lack it, max(z, 0) + alpha (exp(min(z, 0)) - 1)."""
    if graph.dtype == np.float32:
        return graph.op("Elu", z, alpha=float(alpha))
    zero, one = graph.constant(0.0), graph.constant(1.0)
    below = graph.op("Sub", graph.op("Exp", graph.op("Min", z, zero)), one)
    return graph.op("Add", graph.op("Max", z, zero), graph.op("Mul", below, graph.constant(alpha)))


def _selu(graph: OnnxGraph, z: str) -> str:
    """ONNX's Selu; in float64, which runtimes do not have, scale times `_elu`'s."""
    if graph.dtype == np.float32:
        return graph.op("Selu", z, alpha=SELU_ALPHA, gamma=SELU_SCALE)
    return graph.op("Mul", _elu(graph, z, SELU_ALPHA), graph.constant(SELU_SCALE))


def _softplus(graph: OnnxGraph, z: str) -> str:
    """ONNX's Softplus, or in float64, for which runtimes lack it, max(z, 0) + log(1 + exp(-|z|))."""
    if graph.dtype == np.float32:
        return graph.op("Softplus", z)
    rest = graph.op("Exp", graph.op("Neg", graph.op("Abs", z)))
    rest = graph.op("Log", graph.op("Add", rest, graph.constant(1.0)))
    return graph.op("Add", graph.op("Max", z, graph.constant(0.0)), rest)


def _silu(graph: OnnxGraph, z: str) -> str:
    """The product ``z sigmoid(z)``; in float64 ``z / (1 + exp(-z))``.

    Older releases of onnxruntime, such as 1.20, fuse the product into an operator that they lack in float64.
    """
    if graph.dtype == np.float32:
        return graph.op("Mul", z, graph.op("Sigmoid", z))
    return graph.op("Div", z, graph.op("Add", graph.op("Exp", graph.op("Neg", z)), graph.constant(1.0)))


def _mish(graph: OnnxGraph, z: str) -> str:
    """Z tanh(softplus(z)); Mish itself came with operator set 18."""
    return graph.op("Mul", z, graph.op("Tanh", _softplus(graph, z)))


def _gelu(graph: OnnxGraph, z: str) -> str:
    """z/2 (1 + tanh(sqrt(2/pi) (z + 0.044715 z^3))); ONNX has Gelu since operator set 20."""
    cube = graph.op("Mul", graph.op("Mul", graph.op("Mul", z, z), z), graph.constant(0.044715))
    inner = graph.op("Mul", graph.op("Add", z, cube), graph.constant(math.sqrt(2.0 / math.pi)))
    outer = graph.op("Add", graph.op("Tanh", inner), graph.constant(1.0))
    return graph.op("Mul", graph.op("Mul", z, graph.constant(0.5)), outer)


def _exp(graph: OnnxGraph, z: str) -> str:
    """e^z, continued by its tangent beyond c, as in `bpx.formulas.activations.exp`."""
    held = graph.op("Min", z, graph.constant(0.8 * largest_exponent(np, graph.dtype)))
    tangent = graph.op("Add", graph.op("Sub", z, held), graph.constant(1.0))
    return graph.op("Mul", graph.op("Exp", held), tangent)


def _step(graph: OnnxGraph, z: str) -> str:
    """1 where z >= 0, else 0."""
    above = graph.op("GreaterOrEqual", z, graph.constant(0.0))
    return graph.op("CastLike", above, z)


def _block_softmax(graph: OnnxGraph, z: str, widths: list[int]) -> str:
    """Softmax within each block of outputs."""
    return graph.op("Concat", *(graph.op("Softmax", part, axis=-1) for part in graph.split(z, widths)), axis=1)


ACTIVATIONS: dict[Any, Callable[..., str]] = {
    "identity": lambda _, z: z,
    "sigmoid": _plain("Sigmoid"),
    "tanh": _plain("Tanh"),
    "relu": _plain("Relu"),
    "leaky_relu": _leaky_relu,
    "elu": _elu,
    "selu": _selu,
    "softplus": _softplus,
    "silu": _silu,
    "mish": _mish,
    "gelu": _gelu,
    "softmax": _plain("Softmax", axis=-1),
    "exp": _exp,
    "step": _step,
    "block_softmax": _block_softmax,
}
