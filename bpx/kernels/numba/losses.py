"""Kernels of losses: a loss, its weights, its sum and its gradient in one pass.

No array of the losses of each sample and output is made, and no one-hot rows for labels. exp and log1p stay NumPy's.
The sum is kept in float64.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from bpx._typing import Array, Namespace
from bpx.formulas import losses as formulas
from bpx.formulas.losses import Elementwise
from bpx.kernels import kernel_table
from bpx.kernels.numba.compiling import compiled, is_plain
from bpx.kernels.recording import launch

__all__ = ["KERNELS", "TABLE"]

# ``loss(output, target, share, cap, scratch, grad, losses)``: output, scratch and grad (K, n, k), target (1 or K, n, k)
# or labels (1 or K, n), share (1 or K, n, 1), the largest value of a sample and output, losses (K,).
Fused = Callable[[Array, Array, Array, float, Array, Array, Array], None]


@compiled
def _squared_error(
    output: Array, target: Array, share: Array, cap: float, scratch: Array, grad: Array, losses: Array
) -> None:
    """(a - y)^2 / 2, which nothing caps."""
    networks, n, k = output.shape
    zero = grad.dtype.type(0.0)
    for network in range(networks):
        shared, own, loss = network if share.shape[0] > 1 else 0, network if target.shape[0] > 1 else 0, 0.0
        for i in range(n):
            part, row = share[shared, i, 0], zero
            for j in range(k):
                residual = output[network, i, j] - target[own, i, j]
                row += residual * residual
                grad[network, i, j] = residual * part
            loss += 0.5 * row * part
        losses[network] = loss


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
def _softmax_labels(shifted: Array, target: Array, share: Array, cap: float, grad: Array, losses: Array) -> None:
    """Cross-entropy for labels; `grad` holds exp(shifted)."""
    networks, n, k = shifted.shape
    one, zero, most = grad.dtype.type(1.0), grad.dtype.type(0.0), grad.dtype.type(cap)
    for network in range(networks):
        shared, own, loss = network if share.shape[0] > 1 else 0, network if target.shape[0] > 1 else 0, 0.0
        for i in range(n):
            part, total, row = share[shared, i, 0], zero, zero
            for j in range(k):
                total += grad[network, i, j]
            log_total = math.log(total)
            for j in range(k):
                p = one if target[own, i] == j else zero
                value = -p * (shifted[network, i, j] - log_total)
                row += most if value > most else value
                grad[network, i, j] = (grad[network, i, j] / total - p) * part
            loss += row * part
        losses[network] = loss


@compiled
def _softmax_rows(shifted: Array, target: Array, share: Array, cap: float, grad: Array, losses: Array) -> None:
    """Cross-entropy for one-hot or soft rows; `grad` holds exp(shifted)."""
    networks, n, k = shifted.shape
    zero, most = grad.dtype.type(0.0), grad.dtype.type(cap)
    for network in range(networks):
        shared, own, loss = network if share.shape[0] > 1 else 0, network if target.shape[0] > 1 else 0, 0.0
        for i in range(n):
            part, total, mass, row = share[shared, i, 0], zero, zero, zero
            for j in range(k):
                total += grad[network, i, j]
                mass += target[own, i, j]
            log_total, scale = math.log(total), mass / total
            for j in range(k):
                value = -target[own, i, j] * (shifted[network, i, j] - log_total)
                row += most if value > most else value
                grad[network, i, j] = (grad[network, i, j] * scale - target[own, i, j]) * part
            loss += row * part
        losses[network] = loss


def _cross_entropy_with_softmax(
    output: Array, target: Array, share: Array, cap: float, shifted: Array, grad: Array, losses: Array
) -> None:
    _below_row_maximum(output, shifted)
    np.exp(shifted, grad)
    loss = _softmax_labels if target.ndim == 2 else _softmax_rows
    loss(shifted, target, share, cap, grad, losses)


@compiled
def _sigmoid_rows(z: Array, target: Array, share: Array, cap: float, tail: Array, grad: Array, losses: Array) -> None:
    """max(z, 0) - y z + tail; `grad` holds exp(-|z|) and `tail` its log1p."""
    networks, n, k = z.shape
    one, zero, most = grad.dtype.type(1.0), grad.dtype.type(0.0), grad.dtype.type(cap)
    for network in range(networks):
        shared, own, loss = network if share.shape[0] > 1 else 0, network if target.shape[0] > 1 else 0, 0.0
        for i in range(n):
            part, row = share[shared, i, 0], zero
            for j in range(k):
                t, y, e = z[network, i, j], target[own, i, j], grad[network, i, j]
                value = (zero if t < 0 else t) - y * t + tail[network, i, j]
                row += most if value > most else value
                grad[network, i, j] = ((e if t < 0 else one) / (one + e) - y) * part
            loss += row * part
        losses[network] = loss


def _binary_cross_entropy_with_sigmoid(
    output: Array, target: Array, share: Array, cap: float, tail: Array, grad: Array, losses: Array
) -> None:
    np.abs(output, grad)
    np.negative(grad, grad)
    np.exp(grad, grad)
    np.log1p(grad, tail)
    _sigmoid_rows(output, target, share, cap, tail, grad, losses)


TABLE: dict[Elementwise, Fused] = {
    formulas.squared_error: _squared_error,
    formulas.cross_entropy_with_softmax: _cross_entropy_with_softmax,
    formulas.binary_cross_entropy_with_sigmoid: _binary_cross_entropy_with_sigmoid,
}


@compiled
def _shares(weight: Array, share: Array) -> None:
    """Each sample's part of its network's sum of weights; all zero where that is zero."""
    networks, n, _ = weight.shape
    zero = weight.dtype.type(0.0)
    for network in range(networks):
        total = zero
        for i in range(n):
            total += weight[network, i, 0]
        for i in range(n):
            share[network, i, 0] = weight[network, i, 0] / total if total > zero else zero


def value_and_grad(
    xp: Namespace, formula: Elementwise, output: Array, target: Array, weight: Array | None, out: Array | None = None
) -> tuple[Array, Array]:
    """For squared error and the two cross-entropies on pre-activations, capped or not."""
    loss, capped, _ = kernel_table.of_loss(TABLE, formula)
    if loss is None or not is_plain(output):
        return NotImplemented
    cap = formulas.largest_capped(np, output.dtype) if capped else math.inf
    if target.dtype.kind in "iu" and loss is _cross_entropy_with_softmax:
        if target.shape not in (output.shape[-2:-1], output.shape[:-1]):
            return NotImplemented
        target = target.reshape(-1, output.shape[-2])
    elif target.shape not in (output.shape[-2:], output.shape) or not is_plain(output, target):
        return NotImplemented
    else:
        target = target.reshape(-1, *output.shape[-2:])
    if weight is None:
        share = np.full((1, output.shape[-2], 1), 1.0 / output.shape[-2], dtype=output.dtype)
    else:
        if not is_plain(output, weight):
            return NotImplemented
        rows = weight if weight.ndim == 3 else weight[None]
        share = np.empty_like(rows)
        launch(_shares, rows, share)
    grad, scratch = np.empty_like(output), np.empty_like(output)
    losses = np.empty(output.shape[:-2], dtype=output.dtype)
    stacked = [a if a.ndim == 3 else a[None] for a in (output, scratch, grad)]
    launch(loss, stacked[0], target, share, cap, *stacked[1:], losses.reshape(-1))
    return losses, grad


KERNELS = kernel_table.table(formulas, value_and_grad)
