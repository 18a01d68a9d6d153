"""The way back through the activations: out = grad_a * f'(z), on flat arrays, in one pass.

Each takes ``(grad_a, a, out, number)``; the number is the activation's own (leaky_relu's slope, elu's alpha), else 0.
"""

from __future__ import annotations

from typing import Any

from bpx._typing import Array
from bpx.kernels.numba.compiling import compiled

__all__ = ["elu_back", "relu_back", "sigmoid_back", "slope_back", "tanh_back"]


@compiled
def relu_back(grad_a: Array, a: Array, out: Array, slope: Any) -> None:
    """grad_a where a > 0, else slope grad_a."""
    one, low = a.dtype.type(1.0), a.dtype.type(slope)
    for i in range(a.size):
        out[i] = grad_a[i] * (one if a[i] > 0 else low)


@compiled
def tanh_back(grad_a: Array, a: Array, out: Array, _: Any) -> None:
    """grad_a (1 - a^2)."""
    one = a.dtype.type(1.0)
    for i in range(a.size):
        out[i] = grad_a[i] * (one - a[i] * a[i])


@compiled
def sigmoid_back(grad_a: Array, a: Array, out: Array, _: Any) -> None:
    """grad_a a (1 - a)."""
    one = a.dtype.type(1.0)
    for i in range(a.size):
        out[i] = grad_a[i] * (a[i] * (one - a[i]))


@compiled
def elu_back(grad_a: Array, a: Array, out: Array, alpha: Any) -> None:
    """grad_a where a > 0, else grad_a (a + alpha)."""
    one, low = a.dtype.type(1.0), a.dtype.type(alpha)
    for i in range(a.size):
        out[i] = grad_a[i] * (one if a[i] > 0 else a[i] + low)


@compiled
def slope_back(grad_a: Array, slope: Array, out: Array, _: Any) -> None:
    """grad_a f'(z), which the forward pass has left."""
    for i in range(slope.size):
        out[i] = grad_a[i] * slope[i]
