"""Twins of `bpx.formulas.activations`: in place where f'(z) needs only `a`, else by the formula."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, final

import numpy as np

from bpx._typing import Array, Namespace
from bpx.kernels.recording import launch

__all__ = ["Twin", "twin"]

# ``forward(z)`` over z, and ``backward(grad_a, a, scratch, out)``.
Forward = Callable[[Array], Any]
Backward = Callable[[Array, Array, Array, Array], None]


def _relu(z: Array) -> None:
    np.maximum(z, 0.0, out=z)


def _tanh(z: Array) -> None:
    np.tanh(z, z)


def _sigmoid(z: Array) -> None:
    np.negative(z, z)
    np.minimum(z, math.log(float(np.finfo(z.dtype).max)) - 1.0, out=z)
    np.exp(z, z)
    np.add(z, 1.0, z)
    np.divide(1.0, z, z)


def _softmax(z: Array) -> None:
    row = np.maximum.reduce(z, axis=-1, keepdims=True)
    np.subtract(z, row, z)
    np.exp(z, z)
    np.add.reduce(z, axis=-1, keepdims=True, out=row)
    np.divide(z, row, z)


def _relu_back(grad_a: Array, a: Array, scratch: Array, out: Array) -> None:
    """1 where a > 0, else 0."""
    np.greater(a, 0.0, scratch)
    np.multiply(grad_a, scratch, out)


def _tanh_back(grad_a: Array, a: Array, scratch: Array, out: Array) -> None:
    np.multiply(a, a, scratch)
    np.subtract(1.0, scratch, scratch)
    np.multiply(grad_a, scratch, out)


def _sigmoid_back(grad_a: Array, a: Array, scratch: Array, out: Array) -> None:
    np.subtract(1.0, a, scratch)
    np.multiply(a, scratch, scratch)
    np.multiply(grad_a, scratch, out)


# By the formulas' names.
_IN_PLACE: dict[tuple[str, str], tuple[Forward, Backward | None]] = {
    ("softmax", ""): (_softmax, None),
    ("relu", "_relu_derivative"): (_relu, _relu_back),
    ("tanh", "_tanh_derivative"): (_tanh, _tanh_back),
    ("sigmoid", "_sigmoid_derivative"): (_sigmoid, _sigmoid_back),
}


def _write(out: Array, function: Callable[..., Array], *args: Any) -> None:
    """What a formula returns, into an array that is kept."""
    out[...] = function(*args)


@final
class Twin:
    """``after_bias`` and ``backward`` of one activation, whichever it is."""

    def __init__(self, activation: Any) -> None:
        names = _name(activation.forward), _name(activation.derivative)
        found = _IN_PLACE.get(names)
        self._forward: Forward | None = None if found is None else found[0]
        self._backward: Backward | None = None if found is None else found[1]
        self._nothing = names == ("identity", "_identity_derivative")
        self._activation = activation

    def after_bias(self, xp: Namespace, z: Array, b: Array | None) -> tuple[Array, Array]:
        """z is overwritten, by `a` where both results are the same array."""
        if not _is_float(z) or not z.flags.writeable:
            return NotImplemented
        if b is not None:
            launch(np.add, z, b, z)
        if self._nothing:
            return z, z
        if self._forward is not None:
            launch(self._forward, z)
            return z, z
        a = np.empty_like(z)
        launch(_write, a, self._activation.value, xp, z)
        return z, a

    def backward(self, xp: Namespace, grad_a: Array, z: Array, a: Array, out: Array | None = None) -> Array:
        """Written into `out`, which may be grad_a."""
        if self._nothing:
            return grad_a
        if not _is_float(grad_a) or not _is_float(a):
            return NotImplemented
        if out is None:
            out = np.empty_like(grad_a)
        if self._backward is not None:
            launch(self._backward, grad_a, a, np.empty_like(a), out)
        else:
            launch(_write, out, self._activation.backward, xp, grad_a, z, a)
        return out


def twin(activation: Any) -> Twin:
    """The twin of any activation, the user's own too."""
    return Twin(activation)


def _name(function: Any) -> str:
    """A formula's name; none for a function from elsewhere."""
    own = getattr(function, "__module__", None) == "bpx.formulas.activations"
    return str(getattr(function, "__name__", "")) if own else ""


def _is_float(x: Any) -> bool:
    """Whether `x` is a NumPy array of real floating numbers."""
    return type(x) is np.ndarray and x.dtype.kind == "f"
