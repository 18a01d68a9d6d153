"""Kernels of activations: in place where f'(z) needs only `a`, else by the formula."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, final

import numpy as np

from bpx._typing import Array, Namespace
from bpx.formulas import activations as formulas
from bpx.kernels import keys
from bpx.kernels.recording import launch, write

__all__ = ["TABLE", "kernel"]

# ``forward(z)`` over z, and ``backward(grad_a, a, scratch, out)``.
Forward = Callable[[Array], Any]
Backward = Callable[[Array, Array, Array, Array], None]


def _relu(z: Array) -> None:
    np.maximum(z, 0.0, out=z)


def _tanh(z: Array) -> None:
    np.tanh(z, z)


def _sigmoid(z: Array) -> None:
    np.negative(z, z)
    np.minimum(z, formulas.largest_exponent(np, z.dtype) - 1.0, out=z)
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


def _unchanged(grad_a: Array, a: Array, scratch: Array, out: Array) -> None:
    """Never called: grad_z is grad_a."""


class InPlace(NamedTuple):
    """How an activation is done over z, and how its gradient where that is not by the formula."""

    forward: Forward | None
    backward: Backward | None = None


TABLE = {
    (formulas.identity, formulas.identity_jacobian): InPlace(None, _unchanged),
    (formulas.softmax, formulas.softmax_jacobian): InPlace(_softmax),
    (formulas.relu, formulas.relu_derivative): InPlace(_relu, _relu_back),
    (formulas.tanh, formulas.tanh_derivative): InPlace(_tanh, _tanh_back),
    (formulas.sigmoid, formulas.sigmoid_derivative): InPlace(_sigmoid, _sigmoid_back),
}


@final
class ActivationInPlace:
    """``after_bias`` and ``backward`` of any activation, the user's own too."""

    def __init__(self, activation: Any) -> None:
        self._activation = activation
        self._in_place: InPlace | None = keys.of_activation(TABLE, activation)[0]

    def after_bias(self, xp: Namespace, z: Array, b: Array | None) -> tuple[Array, Array]:
        """z is overwritten, by `a` where both results are the same array."""
        if b is not None:
            launch(np.add, z, b, z)
        if self._in_place is None:
            a = np.empty_like(z)
            launch(write, a, self._activation.value, xp, z)
            return z, a
        if self._in_place.forward is not None:
            launch(self._in_place.forward, z)
        return z, z

    def backward(self, xp: Namespace, grad_a: Array, z: Array, a: Array, out: Array | None = None) -> Array:
        """Written into `out`, which may be grad_a."""
        backward = None if self._in_place is None else self._in_place.backward
        if backward is _unchanged:
            return grad_a
        if out is None:
            out = np.empty_like(grad_a)
        if backward is not None:
            launch(backward, grad_a, a, np.empty_like(a), out)
        else:
            launch(write, out, self._activation.backward, xp, grad_a, z, a)
        return out


kernel = ActivationInPlace
