"""Kernels of losses: cross-entropies without the arrays in between, any other loss by its formula."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from bpx._typing import Array, Namespace
from bpx.formulas import losses as formulas
from bpx.formulas.losses import Elementwise
from bpx.formulas.user_functions import loss_parts
from bpx.kernels import kernel_table
from bpx.kernels.recording import launch

__all__ = ["KERNELS", "TABLE"]

# ``loss(output, target, grad, values, rest)``: gradient and values of each sample and output; `rest` is one more array
# of their shape, and one of shape (..., n, 1).
InPlace = Callable[[Array, Array, Array, Array, tuple[Array, Array]], None]


def _squared_error(output: Array, target: Array, grad: Array, values: Array, rest: tuple[Array, Array]) -> None:
    np.subtract(output, target, grad)
    np.multiply(grad, grad, values)
    np.multiply(values, 0.5, values)


def _log_softmax(output: Array, grad: Array, values: Array, row: Array) -> None:
    """grad <- softmax, values <- -log softmax."""
    np.maximum.reduce(output, axis=-1, out=row, keepdims=True)
    np.subtract(row, output, values)
    np.negative(values, grad)
    np.exp(grad, grad)
    np.add.reduce(grad, axis=-1, out=row, keepdims=True)
    np.divide(grad, row, grad)
    np.log(row, row)
    np.add(values, row, values)


def _cross_entropy_with_softmax(
    output: Array, target: Array, grad: Array, values: Array, rest: tuple[Array, Array]
) -> None:
    mask, row = rest
    _log_softmax(output, grad, values, row)
    if target.dtype.kind in "iu":  # labels, as rows of 0 and 1
        mask[...] = target[..., None] == np.arange(output.shape[-1])
        target = mask
    else:  # what soft targets sum to
        np.multiply(grad, np.sum(target, axis=-1, keepdims=True), grad)
    np.multiply(values, target, values)
    np.subtract(grad, target, grad)


def _binary_cross_entropy_with_sigmoid(
    output: Array, target: Array, grad: Array, values: Array, rest: tuple[Array, Array]
) -> None:
    """sigmoid(z) is 1 / (1 + e) for z >= 0 and e / (1 + e) below, with e = exp(-|z|)."""
    e, _ = rest
    np.abs(output, e)
    np.negative(e, e)
    np.exp(e, e)
    np.log1p(e, values)
    np.copyto(grad, e)
    np.copyto(grad, 1.0, where=output >= 0.0)
    np.add(e, 1.0, e)
    np.divide(grad, e, grad)
    np.subtract(grad, target, grad)
    np.maximum(output, 0.0, out=e)
    np.add(values, e, values)
    np.multiply(output, target, e)
    np.subtract(values, e, values)


TABLE: dict[Elementwise, InPlace] = {
    formulas.squared_error: _squared_error,
    formulas.cross_entropy_with_softmax: _cross_entropy_with_softmax,
    formulas.binary_cross_entropy_with_sigmoid: _binary_cross_entropy_with_sigmoid,
}


def _labels(
    output: Array,
    labels: Array,
    grad: Array,
    values: Array,
    row: Array,
    own: tuple[Array, ...],
    cap: float,
    loss: Array,
) -> None:
    """Cross-entropy of one network's softmax for labels, unweighted: only the labels' own entries are looked at.

    `own` are the flat places where the rows begin, and an array for the places and one for the values found there.
    """
    begin, places, found = own
    _log_softmax(output, grad, values, row)
    np.add(begin, labels, places)
    values.take(places, None, found, "clip")
    if cap < math.inf:
        np.minimum(found, cap, out=found)
    grad.reshape(-1)[places] -= 1.0
    scale = 1.0 / output.shape[0]
    np.multiply(grad, scale, grad)
    np.add.reduce(found, 0, None, loss)
    np.multiply(loss, scale, loss)


def _by_formula(formula: Elementwise, output: Array, target: Array, grad: Array, values: Array) -> None:
    """Any loss's own function."""
    of_each, slope = loss_parts(formula(np, output, target), output)
    grad[...] = slope
    values[...] = of_each


def _mean(cap: float, weight: Array | None, loss: Array, grad: Array, values: Array) -> None:
    """The weighted mean over samples, of the values and of the gradient."""
    if cap < math.inf:
        np.minimum(values, cap, out=values)
    if weight is None:
        scale = 1.0 / grad.shape[-2]
        np.multiply(grad, scale, grad)
        np.add.reduce(values, (-2, -1), None, loss)
        np.multiply(loss, scale, loss)
        return
    total = np.sum(weight, axis=(-2, -1), keepdims=True)
    share = weight / np.where(total > 0, total, np.ones_like(total))
    np.multiply(grad, share, grad)
    np.multiply(values, share, values)
    np.add.reduce(values, (-2, -1), None, loss)


def value_and_grad(
    xp: Namespace, formula: Elementwise, output: Array, target: Array, weight: Array | None, out: Array | None = None
) -> tuple[Array, Array]:
    """For every loss, one's own too."""
    in_place, capped, _ = kernel_table.of_loss(TABLE, formula)
    cap = formulas.largest_capped(np, output.dtype) if capped and in_place is not None else math.inf
    grad, values = np.empty_like(output), np.empty_like(output)
    loss = np.empty(output.shape[:-2], dtype=output.dtype)
    if in_place is None:
        launch(_by_formula, formula, output, target, grad, values)
    else:
        row = np.empty((*output.shape[:-1], 1), dtype=output.dtype)
        if target.ndim == 1 and output.ndim == 2 and weight is None:
            n, k = output.shape
            own = np.arange(n) * k, np.empty(n, dtype=np.int64), np.empty(n, dtype=output.dtype)
            launch(_labels, output, target, grad, values, row, own, cap, loss)
            return loss, grad
        launch(in_place, output, target, grad, values, (np.empty_like(output), row))
    launch(_mean, cap, weight, loss, grad, values)
    return loss, grad


KERNELS = kernel_table.table(formulas, value_and_grad)
