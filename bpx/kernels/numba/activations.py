"""Kernels of activations: bias and activation together, and the gradient back in one pass.

exp, tanh and the like stay NumPy's, whose vector code no compiled loop over scalars reaches; they run in place between
two compiled passes. Where f'(z) needs only `a`, `a` is written over `z`; where it needs z (silu, gelu), f'(z) is.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple, final

import numpy as np

from bpx._typing import Array, Namespace
from bpx.formulas import activations as formulas
from bpx.kernels import kernel_table
from bpx.kernels.numba.activations_back import elu_back, relu_back, sigmoid_back, slope_back, tanh_back
from bpx.kernels.numba.compiling import compiled, is_plain
from bpx.kernels.recording import launch

__all__ = ["TABLE", "kernel"]

# ``forward(z, b, scratch, number)``: the number is the activation's own (leaky_relu's slope, elu's alpha), else 0.
Forward = Callable[[Array, Array, Array, float], None]
# ``backward(grad_a, a, out, number)``, on flat arrays.
Backward = Callable[[Array, Array, Array, float], None]

# Numbers up to which a loop over scalars is faster than NumPy's calls.
SMALL = 64


@compiled
def _add(z: Array, b: Array, scratch: Array, _: Any) -> None:
    """z <- z + b."""
    networks, n, k = z.shape
    for network in range(networks):
        for i in range(n):
            for j in range(k):
                z[network, i, j] += b[network, 0, j]


@compiled
def _leaky(z: Array, b: Array, scratch: Array, slope: Any) -> None:
    """z <- max(z + b, slope (z + b)), NaN where z is."""
    low = z.dtype.type(slope)
    networks, n, k = z.shape
    for network in range(networks):
        for i in range(n):
            for j in range(k):
                t = z[network, i, j] + b[network, 0, j]
                z[network, i, j] = low * t if t < 0 else t


@compiled
def _relu(z: Array, b: Array, scratch: Array, _: Any) -> None:
    """z <- max(z + b, 0), NaN where z is; 0 times infinity would be NaN in `_leaky`."""
    zero = z.dtype.type(0.0)
    networks, n, k = z.shape
    for network in range(networks):
        for i in range(n):
            for j in range(k):
                t = z[network, i, j] + b[network, 0, j]
                z[network, i, j] = zero if t < 0 else t


@compiled
def _small_tanh(z: Array, b: Array, scratch: Array, _: Any) -> None:
    """z <- tanh(z + b)."""
    networks, n, k = z.shape
    for network in range(networks):
        for i in range(n):
            for j in range(k):
                z[network, i, j] = math.tanh(z[network, i, j] + b[network, 0, j])


@compiled
def _small_sigmoid(z: Array, b: Array, scratch: Array, _: Any) -> None:
    """z <- 1 / (1 + exp(-z - b)), which cannot overflow to anything but 0."""
    one = z.dtype.type(1.0)
    networks, n, k = z.shape
    for network in range(networks):
        for i in range(n):
            for j in range(k):
                z[network, i, j] = one / (one + math.exp(-(z[network, i, j] + b[network, 0, j])))


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


def _forward_tanh(z: Array, b: Array, scratch: Array, _: float) -> None:
    _add(z, b, z, 0.0)
    np.tanh(z, z)


def _forward_sigmoid(z: Array, b: Array, scratch: Array, _: float) -> None:
    _exponent(z, b, math.log(float(np.finfo(z.dtype).max)) - 1.0)
    np.exp(z, z)
    _one_over_one_plus(z.reshape(-1))


@compiled
def _elu_join(z: Array, low: Array, alpha: Any) -> None:
    """z <- z where z > 0, else alpha low."""
    factor = z.dtype.type(alpha)
    for i in range(z.size):
        z[i] = z[i] if z[i] > 0 else factor * low[i]


def _forward_elu(z: Array, b: Array, low: Array, alpha: float) -> None:
    _add(z, b, z, 0.0)
    np.minimum(z, 0.0, out=low)
    np.expm1(low, low)
    _elu_join(z.reshape(-1), low.reshape(-1), alpha)


@compiled
def _softplus_join(z: Array, tail: Array) -> None:
    """z <- max(z, 0) + tail."""
    zero = z.dtype.type(0.0)
    for i in range(z.size):
        z[i] = (zero if z[i] < 0 else z[i]) + tail[i]


def _forward_softplus(z: Array, b: Array, tail: Array, _: float) -> None:
    _add(z, b, z, 0.0)
    np.abs(z, tail)
    np.negative(tail, tail)
    np.exp(tail, tail)
    np.log1p(tail, tail)
    _softplus_join(z.reshape(-1), tail.reshape(-1))


@compiled
def _silu_exponent(z: Array, b: Array, exponent: Array, limit: Any) -> None:
    """z <- z + b; exponent <- min(-z, limit)."""
    most = z.dtype.type(limit)
    networks, n, k = z.shape
    for network in range(networks):
        for i in range(n):
            for j in range(k):
                t = z[network, i, j] + b[network, 0, j]
                z[network, i, j] = t
                exponent[network, i, j] = most if -t > most else -t


@compiled
def _silu_join(z: Array, a: Array) -> None:
    """From z and e = exp(-z) in `a`: a <- z s with s = 1 / (1 + e), z <- s + a (1 - s)."""
    one = z.dtype.type(1.0)
    for i in range(z.size):
        s = one / (one + a[i])
        a[i] = z[i] * s
        z[i] = s + a[i] * (one - s)


def _forward_silu(z: Array, b: Array, a: Array, _: float) -> None:
    _silu_exponent(z, b, a, math.log(float(np.finfo(z.dtype).max)) - 1.0)
    np.exp(a, a)
    _silu_join(z.reshape(-1), a.reshape(-1))


@compiled
def _gelu_inner(z: Array, b: Array, inner: Array, factor: Any) -> None:
    """z <- z + b; inner <- factor z (1 + 0.044715 z^2)."""
    one, cubic, scale = z.dtype.type(1.0), z.dtype.type(0.044715), z.dtype.type(factor)
    networks, n, k = z.shape
    for network in range(networks):
        for i in range(n):
            for j in range(k):
                t = z[network, i, j] + b[network, 0, j]
                z[network, i, j] = t
                inner[network, i, j] = scale * t * (one + cubic * t * t)


@compiled
def _gelu_join(z: Array, a: Array, factor: Any) -> None:
    """From z and the tanh t in `a`: a <- z/2 (1 + t), z <- (1 + t)/2 + z/2 (1 - t^2) factor (1 + 3 * 0.044715 z^2)."""
    one, half = z.dtype.type(1.0), z.dtype.type(0.5)
    cubic, scale = z.dtype.type(0.134145), z.dtype.type(factor)
    for i in range(z.size):
        x, t = z[i], a[i]
        a[i] = half * x * (one + t)
        z[i] = half * (one + t) + half * x * (one - t * t) * (scale * (one + cubic * x * x))


def _forward_gelu(z: Array, b: Array, a: Array, _: float) -> None:
    factor = math.sqrt(2.0 / math.pi)
    _gelu_inner(z, b, a, factor)
    np.tanh(a, a)
    _gelu_join(z.reshape(-1), a.reshape(-1), factor)


class Fused(NamedTuple):
    """How one activation is done."""

    forward: Forward
    backward: Backward | None = None
    # Whether `forward` wants an array like z: to work in, or (`apart`) for `a`, with f'(z) written over z.
    scratch: bool = False
    apart: bool = False
    # The forward for few numbers.
    small: Forward | None = None


TABLE = {
    (formulas.identity, formulas.identity_jacobian): Fused(_add),
    (formulas.relu, formulas.relu_derivative): Fused(_relu, relu_back),
    (formulas.leaky_relu_value, formulas.leaky_relu_derivative): Fused(_leaky, relu_back),
    (formulas.tanh, formulas.tanh_derivative): Fused(_forward_tanh, tanh_back, small=_small_tanh),
    (formulas.sigmoid, formulas.sigmoid_derivative): Fused(_forward_sigmoid, sigmoid_back, small=_small_sigmoid),
    (formulas.elu_value, formulas.elu_derivative): Fused(_forward_elu, elu_back, scratch=True),
    (formulas.softplus, formulas.softplus_derivative): Fused(_forward_softplus, scratch=True),
    (formulas.silu, formulas.silu_derivative): Fused(_forward_silu, slope_back, scratch=True, apart=True),
    (formulas.gelu, formulas.gelu_derivative): Fused(_forward_gelu, slope_back, scratch=True, apart=True),
}


@final
class FusedActivation:
    """``after_bias`` and ``backward`` of one activation."""

    def __init__(self, fused: Fused, number: float) -> None:
        self._fused = fused
        self._number = number

    def after_bias(self, xp: Namespace, z: Array, b: Array | None) -> tuple[Array, Array]:
        """z is overwritten: by `a`, or by f'(z) where the formula's derivative wants z."""
        if not is_plain(z) or (b is not None and b.dtype != z.dtype):
            return NotImplemented
        if b is None:
            b = np.zeros((*z.shape[:-2], 1, z.shape[-1]), dtype=z.dtype)
        fused = self._fused
        forward = fused.small if fused.small is not None and z.size <= SMALL else fused.forward
        scratch = np.empty_like(z) if fused.scratch else z
        rows = (z, b, scratch) if z.ndim == 3 else (z[None], b[None], scratch[None])
        launch(forward, *rows, self._number)
        return z, scratch if fused.apart else z

    def backward(self, xp: Namespace, grad_a: Array, z: Array, a: Array, out: Array | None = None) -> Array:
        """Written into `out`, which may be grad_a."""
        fused = self._fused
        known = z if fused.apart else a
        if fused.backward is None or out is None or not is_plain(known, grad_a, out) or known.shape != grad_a.shape:
            return NotImplemented
        launch(fused.backward, grad_a.reshape(-1), known.reshape(-1), out.reshape(-1), self._number)
        return out


def kernel(activation: Any) -> FusedActivation | None:
    """The kernel of an activation whose two functions are the formulas' own, whatever name it is given."""
    fused, number = kernel_table.of_activation(TABLE, activation)
    return None if fused is None else FusedActivation(fused, number)
