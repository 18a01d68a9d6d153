"""Kernels of activations: in place where f'(z) needs only `a`; selu and mish leave f'(z) in z; else by the formula."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, final

import numpy as np

from bpx._typing import Array, Namespace
from bpx.formulas import activations as formulas
from bpx.kernels import kernel_table
from bpx.kernels.recording import launch, write

__all__ = ["TABLE", "kernel"]

# ``forward(z)`` over z, or ``forward(z, a, *scratch)``; and ``backward(grad_a, a, scratch, out)``.
Forward = Callable[..., Any]


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


def _selu(z: Array, a: Array, below: Array) -> None:
    """a <- f(z), z <- f'(z)."""
    scale, scaled = formulas.SELU_SCALE, formulas.SELU_SCALE * formulas.SELU_ALPHA
    np.minimum(z, 0.0, out=below)
    np.expm1(below, a)
    np.multiply(a, scaled, a)
    np.exp(below, below)
    np.multiply(below, scaled, below)  # f'(z) for z <= 0; `scaled` for z > 0, where it is to be `scale`
    np.maximum(z, 0.0, out=z)
    np.multiply(z, scale, z)
    np.add(a, z, a)
    np.greater(z, 0.0, z)
    np.multiply(z, scale - scaled, z)
    np.add(below, z, z)


def _mish(z: Array, a: Array, second: Array, work: Array) -> None:
    """a <- f(z), z <- f'(z), of whose two terms t is left in `work`."""
    np.minimum(z, formulas.MISH_HELD, out=second)
    np.exp(second, a)
    np.multiply(second, a, second)
    np.add(a, 1.0, work)
    np.multiply(second, work, second)
    np.multiply(second, 4.0, second)
    np.add(work, 1.0, work)
    np.multiply(a, work, a)
    np.add(a, 2.0, work)
    np.divide(second, work, second)
    np.divide(second, work, second)
    np.divide(a, work, work)
    np.multiply(z, work, a)
    np.add(work, second, z)


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


def _slope_back(grad_a: Array, slope: Array, out: Array) -> None:
    """f'(z) is there already."""
    np.multiply(grad_a, slope, out)


def _unchanged(grad_a: Array, a: Array, scratch: Array, out: Array) -> None:
    """Never called: grad_z is grad_a."""


class InPlace(NamedTuple):
    """How an activation is done over z, and how its gradient where that is not by the formula."""

    forward: Forward | None
    backward: Callable[..., None] | None = None
    # How many arrays like z `forward` takes beside it: none, or one for `a`, and others to work in.
    arrays: int = 0


TABLE = {
    (formulas.identity, formulas.identity_jacobian): InPlace(None, _unchanged),
    (formulas.softmax, formulas.softmax_jacobian): InPlace(_softmax),
    (formulas.relu, formulas.relu_derivative): InPlace(_relu, _relu_back),
    (formulas.tanh, formulas.tanh_derivative): InPlace(_tanh, _tanh_back),
    (formulas.sigmoid, formulas.sigmoid_derivative): InPlace(_sigmoid, _sigmoid_back),
    (formulas.selu, formulas.selu_derivative): InPlace(_selu, _slope_back, arrays=2),
    (formulas.mish, formulas.mish_derivative): InPlace(_mish, _slope_back, arrays=3),
}


@final
class ActivationInPlace:
    """``after_bias`` and ``backward`` of any activation, the user's own too."""

    def __init__(self, activation: Any) -> None:
        self._activation = activation
        self._in_place: InPlace | None = kernel_table.of_activation(TABLE, activation)[0]

    def after_bias(self, xp: Namespace, z: Array, b: Array | None) -> tuple[Array, Array]:
        """z is overwritten, by `a` where both results are the same array, by f'(z) where the kernel says so."""
        if b is not None:
            launch(np.add, z, b, z)
        if self._in_place is None:
            a = np.empty_like(z)
            launch(write, a, self._activation.value, xp, z)
            return z, a
        more = [np.empty_like(z) for _ in range(self._in_place.arrays)]
        if self._in_place.forward is not None:
            launch(self._in_place.forward, z, *more)
        return z, more[0] if more else z

    def backward(self, xp: Namespace, grad_a: Array, z: Array, a: Array, out: Array | None = None) -> Array:
        """Written into `out`, which may be grad_a."""
        backward = None if self._in_place is None else self._in_place.backward
        if backward is _unchanged:
            return grad_a
        if out is None:
            out = np.empty_like(grad_a)
        if backward is _slope_back:
            launch(backward, grad_a, z, out)
        elif backward is not None:
            launch(backward, grad_a, a, np.empty_like(a), out)
        else:
            launch(write, out, self._activation.backward, xp, grad_a, z, a)
        return out


kernel = ActivationInPlace
