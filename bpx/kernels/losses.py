"""Twin of `bpx.formulas.losses.value_and_grad`: a loss, its weights, its sum and its gradient in one pass.

No array of the losses of each sample and output is made, and no one-hot rows for labels. exp and log1p stay NumPy's.
The sum is kept in float64.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

import numpy as np

from bpx._typing import Array, Namespace
from bpx.kernels.compiling import compiled, is_plain

__all__ = ["value_and_grad"]

Elementwise = Callable[[Namespace, Array, Array], tuple[Array, Array]]

# ``loss(output, target, share, cap, grad) -> losses``: output and grad (K, n, k), target (n, k) or labels (n,), share
# (1 or K, n, 1), the largest value of a sample and output, losses (K,).
Fused = Callable[[Array, Array, Array, float, Array], Array]


@compiled
def _squared_error(output: Array, target: Array, share: Array, cap: float, grad: Array) -> Array:
    """(a - y)^2 / 2, which nothing caps."""
    networks, n, k = output.shape
    zero = grad.dtype.type(0.0)
    losses = np.zeros(networks)
    for network in range(networks):
        shared = network if share.shape[0] > 1 else 0
        for i in range(n):
            part, row = share[shared, i, 0], zero
            for j in range(k):
                residual = output[network, i, j] - target[i, j]
                row += residual * residual
                grad[network, i, j] = residual * part
            losses[network] += 0.5 * row * part
    return losses


@compiled
def _below_row_maximum(z: Array, out: Array) -> None:
    """z - max z; a NaN in a row ends up in all of its shares, through their sum."""
    networks, n, k = z.shape
    for network in range(networks):
        for i in range(n):
            most = z[network, i, 0]
            for j in range(1, k):
                most = z[network, i, j] if z[network, i, j] > most else most
            for j in range(k):
                out[network, i, j] = z[network, i, j] - most


@compiled
def _softmax_labels(shifted: Array, target: Array, share: Array, cap: float, grad: Array) -> Array:
    """Cross-entropy for labels; `grad` holds exp(shifted)."""
    networks, n, k = shifted.shape
    one, zero, most = grad.dtype.type(1.0), grad.dtype.type(0.0), grad.dtype.type(cap)
    losses = np.zeros(networks)
    for network in range(networks):
        shared = network if share.shape[0] > 1 else 0
        for i in range(n):
            part, total, row = share[shared, i, 0], zero, zero
            for j in range(k):
                total += grad[network, i, j]
            log_total = math.log(total)
            for j in range(k):
                p = one if target[i] == j else zero
                value = -p * (shifted[network, i, j] - log_total)
                row += most if value > most else value
                grad[network, i, j] = (grad[network, i, j] / total - p) * part
            losses[network] += row * part
    return losses


@compiled
def _softmax_rows(shifted: Array, target: Array, share: Array, cap: float, grad: Array) -> Array:
    """Cross-entropy for one-hot or soft rows; `grad` holds exp(shifted)."""
    networks, n, k = shifted.shape
    zero, most = grad.dtype.type(0.0), grad.dtype.type(cap)
    losses = np.zeros(networks)
    for network in range(networks):
        shared = network if share.shape[0] > 1 else 0
        for i in range(n):
            part, total, mass, row = share[shared, i, 0], zero, zero, zero
            for j in range(k):
                total += grad[network, i, j]
                mass += target[i, j]
            log_total, scale = math.log(total), mass / total
            for j in range(k):
                value = -target[i, j] * (shifted[network, i, j] - log_total)
                row += most if value > most else value
                grad[network, i, j] = (grad[network, i, j] * scale - target[i, j]) * part
            losses[network] += row * part
    return losses


def _cross_entropy_with_softmax(output: Array, target: Array, share: Array, cap: float, grad: Array) -> Array:
    shifted = np.empty_like(output)
    _below_row_maximum(output, shifted)
    np.exp(shifted, out=grad)
    loss = _softmax_labels if target.ndim == 1 else _softmax_rows
    losses: Array = loss(shifted, target, share, cap, grad)
    return losses


@compiled
def _sigmoid_rows(z: Array, target: Array, share: Array, cap: float, tail: Array, grad: Array) -> Array:
    """max(z, 0) - y z + tail; `grad` holds exp(-|z|) and `tail` its log1p."""
    networks, n, k = z.shape
    one, zero, most = grad.dtype.type(1.0), grad.dtype.type(0.0), grad.dtype.type(cap)
    losses = np.zeros(networks)
    for network in range(networks):
        shared = network if share.shape[0] > 1 else 0
        for i in range(n):
            part, row = share[shared, i, 0], zero
            for j in range(k):
                t, y, e = z[network, i, j], target[i, j], grad[network, i, j]
                value = (zero if t < 0 else t) - y * t + tail[network, i, j]
                row += most if value > most else value
                grad[network, i, j] = ((e if t < 0 else one) / (one + e) - y) * part
            losses[network] += row * part
    return losses


def _binary_cross_entropy_with_sigmoid(output: Array, target: Array, share: Array, cap: float, grad: Array) -> Array:
    np.abs(output, out=grad)
    np.negative(grad, out=grad)
    np.exp(grad, out=grad)
    losses: Array = _sigmoid_rows(output, target, share, cap, np.log1p(grad), grad)
    return losses


_FUSED: dict[str, Fused] = {
    "squared_error": _squared_error,
    "cross_entropy_with_softmax": _cross_entropy_with_softmax,
    "binary_cross_entropy_with_sigmoid": _binary_cross_entropy_with_sigmoid,
}


@lru_cache(maxsize=8)
def _equal_shares(n: int, dtype: Any) -> Array:
    """1/n for each sample; a fit has two sizes of batch."""
    return np.full((1, n, 1), 1.0 / n, dtype=dtype)


def value_and_grad(
    xp: Namespace, formula: Elementwise, output: Array, target: Array, weight: Array | None, out: Array | None = None
) -> tuple[Array, Array]:
    """For squared error and the two cross-entropies on pre-activations, capped or not."""
    cap = math.inf
    if isinstance(formula, partial) and formula.func.__name__ == "capped":
        cap = -math.log(float(np.finfo(output.dtype).eps))
        formula = formula.keywords["formula"]
    loss = _FUSED.get(getattr(formula, "__name__", ""))
    if loss is None or getattr(formula, "__module__", "") != "bpx.formulas.losses" or not is_plain(output):
        return NotImplemented
    if target.ndim == 1 and target.dtype.kind in "iu" and loss is _cross_entropy_with_softmax:
        if target.shape[0] != output.shape[-2]:
            return NotImplemented
    elif target.shape != output.shape[-2:] or not is_plain(output, target):
        return NotImplemented
    if weight is None:
        share = _equal_shares(output.shape[-2], output.dtype)
    else:
        if not is_plain(output, weight):
            return NotImplemented
        total = np.sum(weight, axis=(-2, -1), keepdims=True)
        share = weight / np.where(total > 0, total, np.ones_like(total))
        share = share if share.ndim == 3 else share[None]
    grad = np.empty_like(output)
    single = output.ndim == 2
    values = loss(output[None] if single else output, target, share, cap, grad[None] if single else grad)
    values = values.astype(output.dtype)
    return values[0] if single else values, grad
