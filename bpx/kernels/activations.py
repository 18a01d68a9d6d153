"""Twins of `bpx.formulas.activations`: bias and activation together, and the gradient back in one pass.

exp, tanh and the like stay NumPy's, whose vector code no compiled loop over scalars reaches; they run in place between
two compiled passes. Where f'(z) needs only `a`, `a` is written over `z`, and grad_z over `out`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any, final

import numpy as np

from bpx._typing import Array, Namespace
from bpx.kernels.compiling import compiled, is_plain

__all__ = ["Twin", "twin"]

# An activation's own number (leaky_relu's slope, elu's alpha); 0 for the others, which do not look at it.
Forward = Callable[[Array, Array, float], Array]
Backward = Callable[[Array, Array, Array, float], None]


@compiled
def _add(z: Array, b: Array) -> None:
    """z <- z + b."""
    networks, n, k = z.shape
    for network in range(networks):
        for i in range(n):
            for j in range(k):
                z[network, i, j] += b[network, 0, j]


@compiled
def _leaky(z: Array, b: Array, slope: Any) -> None:
    """z <- max(z + b, slope (z + b)), NaN where z is."""
    low = z.dtype.type(slope)
    networks, n, k = z.shape
    for network in range(networks):
        for i in range(n):
            for j in range(k):
                t = z[network, i, j] + b[network, 0, j]
                z[network, i, j] = low * t if t < 0 else t


@compiled
def _relu(z: Array, b: Array, _: Any) -> None:
    """z <- max(z + b, 0), NaN where z is; 0 times infinity would be NaN in `_leaky`."""
    zero = z.dtype.type(0.0)
    networks, n, k = z.shape
    for network in range(networks):
        for i in range(n):
            for j in range(k):
                t = z[network, i, j] + b[network, 0, j]
                z[network, i, j] = zero if t < 0 else t


@compiled
def _exponent(z: Array, b: Array, limit: Any) -> None:
    """z <- min(-(z + b), limit)."""
    most = z.dtype.type(limit)
    networks, n, k = z.shape
    for network in range(networks):
        for i in range(n):
            for j in range(k):
                t = -(z[network, i, j] + b[network, 0, j])
                z[network, i, j] = most if t > most else t


@compiled
def _one_over_one_plus(z: Array) -> None:
    """z <- 1 / (1 + z)."""
    one = z.dtype.type(1.0)
    for i in range(z.size):
        z[i] = one / (one + z[i])


def _forward_identity(z: Array, b: Array, _: float) -> Array:
    _add(z, b)
    return z


def _forward_relu(z: Array, b: Array, _: float) -> Array:
    _relu(z, b, 0.0)
    return z


def _forward_leaky_relu(z: Array, b: Array, slope: float) -> Array:
    _leaky(z, b, slope)
    return z


def _forward_tanh(z: Array, b: Array, _: float) -> Array:
    _add(z, b)
    return np.tanh(z, out=z)


def _forward_sigmoid(z: Array, b: Array, _: float) -> Array:
    _exponent(z, b, math.log(float(np.finfo(z.dtype).max)) - 1.0)
    np.exp(z, out=z)
    _one_over_one_plus(z.reshape(-1))
    return z


@compiled
def _elu_join(z: Array, low: Array, alpha: Any) -> None:
    """z <- z where z > 0, else alpha low."""
    factor = z.dtype.type(alpha)
    for i in range(z.size):
        z[i] = z[i] if z[i] > 0 else factor * low[i]


def _forward_elu(z: Array, b: Array, alpha: float) -> Array:
    _add(z, b)
    low = np.minimum(z, 0.0)
    np.expm1(low, out=low)
    _elu_join(z.reshape(-1), low.reshape(-1), alpha)
    return z


@compiled
def _softplus_join(z: Array, tail: Array) -> None:
    """z <- max(z, 0) + tail."""
    zero = z.dtype.type(0.0)
    for i in range(z.size):
        z[i] = (zero if z[i] < 0 else z[i]) + tail[i]


def _forward_softplus(z: Array, b: Array, _: float) -> Array:
    _add(z, b)
    tail = np.abs(z)
    np.negative(tail, out=tail)
    np.exp(tail, out=tail)
    np.log1p(tail, out=tail)
    _softplus_join(z.reshape(-1), tail.reshape(-1))
    return z


@compiled
def _relu_back(grad_a: Array, a: Array, out: Array, slope: Any) -> None:
    """grad_a where a > 0, else slope grad_a."""
    one, low = a.dtype.type(1.0), a.dtype.type(slope)
    for i in range(a.size):
        out[i] = grad_a[i] * (one if a[i] > 0 else low)


@compiled
def _tanh_back(grad_a: Array, a: Array, out: Array, _: Any) -> None:
    """grad_a (1 - a^2)."""
    one = a.dtype.type(1.0)
    for i in range(a.size):
        out[i] = grad_a[i] * (one - a[i] * a[i])


@compiled
def _sigmoid_back(grad_a: Array, a: Array, out: Array, _: Any) -> None:
    """grad_a a (1 - a)."""
    one = a.dtype.type(1.0)
    for i in range(a.size):
        out[i] = grad_a[i] * (a[i] * (one - a[i]))


@compiled
def _elu_back(grad_a: Array, a: Array, out: Array, alpha: Any) -> None:
    """grad_a where a > 0, else grad_a (a + alpha)."""
    one, low = a.dtype.type(1.0), a.dtype.type(alpha)
    for i in range(a.size):
        out[i] = grad_a[i] * (one if a[i] > 0 else a[i] + low)


# By the names of the formula's two functions. silu and gelu need z for their derivative, and most of their time is in
# exp and tanh: fusing the rest did not pay.
_FUSED: dict[tuple[str, str], tuple[Forward, Backward | None]] = {
    ("identity", "_identity_derivative"): (_forward_identity, None),
    ("relu", "_relu_derivative"): (_forward_relu, _relu_back),
    ("_leaky_relu", "_leaky_relu_derivative"): (_forward_leaky_relu, _relu_back),
    ("tanh", "_tanh_derivative"): (_forward_tanh, _tanh_back),
    ("sigmoid", "_sigmoid_derivative"): (_forward_sigmoid, _sigmoid_back),
    ("_elu", "_elu_derivative"): (_forward_elu, _elu_back),
    ("softplus", "_softplus_derivative"): (_forward_softplus, None),
}


@final
class Twin:
    """``after_bias`` and ``backward`` of one activation."""

    def __init__(self, forward: Forward, backward: Backward | None, number: float) -> None:
        self._forward = forward
        self._backward = backward
        self._number = number

    def after_bias(self, xp: Namespace, z: Array, b: Array | None) -> tuple[Array, Array]:
        """Both results are z's memory."""
        if b is None or not is_plain(z) or b.dtype != z.dtype:
            return NotImplemented
        if z.ndim == 3:
            self._forward(z, b, self._number)
        else:
            self._forward(z[None], b[None], self._number)
        return z, z

    def backward(self, xp: Namespace, grad_a: Array, z: Array, a: Array, out: Array | None = None) -> Array:
        """Written into `out`, which may be grad_a."""
        if self._backward is None or out is None or not is_plain(a, grad_a, out) or a.shape != grad_a.shape:
            return NotImplemented
        self._backward(grad_a.reshape(-1), a.reshape(-1), out.reshape(-1), self._number)
        return out


def twin(activation: Any) -> Twin | None:
    """The twin of an activation whose two functions are the formulas' own, whatever name it is given."""
    forward, number = _parts(activation.forward)
    derivative, same = _parts(activation.derivative)
    fused = _FUSED.get((forward, derivative))
    return None if fused is None or number != same else Twin(*fused, number)


def _parts(function: Any) -> tuple[str, float]:
    """A formula's name and its own number; no name for a function from elsewhere."""
    own: dict[str, float] = {}
    if isinstance(function, partial):
        function, own = function.func, function.keywords
    if getattr(function, "__module__", None) != "bpx.formulas.activations" or len(own) > 1:
        return "", 0.0
    return function.__name__, next(iter(own.values()), 0.0)
