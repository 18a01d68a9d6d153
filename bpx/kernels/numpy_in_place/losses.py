"""Twins of `bpx.formulas.losses`: cross-entropies without the arrays in between, any other loss by its formula."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from bpx._typing import Array, Namespace
from bpx.kernels.recording import launch

__all__ = ["value_and_grad"]

Elementwise = Callable[[Namespace, Array, Array], tuple[Array, Array]]

# ``loss(output, target, grad, values, row)``: gradient and values of each sample and output; `row` is (..., n, 1).
InPlace = Callable[[Array, Array, Array, Array, Array], None]


def _squared_error(output: Array, target: Array, grad: Array, values: Array, row: Array) -> None:
    np.subtract(output, target, grad)
    np.multiply(grad, grad, values)
    np.multiply(values, 0.5, values)


def _cross_entropy_with_softmax(output: Array, target: Array, grad: Array, values: Array, row: Array) -> None:
    np.max(output, axis=-1, keepdims=True, out=row)
    np.subtract(output, row, values)
    np.exp(values, grad)
    np.sum(grad, axis=-1, keepdims=True, out=row)
    np.divide(grad, row, grad)
    np.log(row, row)
    np.subtract(row, values, values)  # -log p
    if target.ndim == 1:  # labels
        target = (target[:, None] == np.arange(output.shape[-1])).astype(output.dtype)
    else:  # rows that sum to 1, or to what soft targets sum to
        np.multiply(grad, np.sum(target, axis=-1, keepdims=True), grad)
    np.multiply(values, target, values)
    np.subtract(grad, target, grad)


def _binary_cross_entropy_with_sigmoid(output: Array, target: Array, grad: Array, values: Array, row: Array) -> None:
    np.abs(output, grad)
    np.negative(grad, grad)
    np.exp(grad, grad)
    np.log1p(grad, values)
    # sigmoid(z) is 1 / (1 + e) for z >= 0 and e / (1 + e) below, with e = exp(-|z|)
    e = grad.copy()
    np.copyto(grad, 1.0, where=output >= 0.0)
    np.add(e, 1.0, e)
    np.divide(grad, e, grad)
    np.subtract(grad, target, grad)
    np.maximum(output, 0.0, e)
    np.add(values, e, values)
    np.multiply(output, target, e)
    np.subtract(values, e, values)


_IN_PLACE: dict[str, InPlace] = {
    "squared_error": _squared_error,
    "cross_entropy_with_softmax": _cross_entropy_with_softmax,
    "binary_cross_entropy_with_sigmoid": _binary_cross_entropy_with_sigmoid,
}


def _by_formula(formula: Elementwise, output: Array, target: Array, grad: Array, values: Array) -> None:
    """Any loss's own function."""
    of_each, slope = formula(np, output, target)
    grad[...] = slope
    values[...] = of_each


def _mean(cap: float, weight: Array | None, loss: Array, grad: Array, values: Array) -> None:
    """The weighted mean over samples, of the values and of the gradient."""
    if cap < math.inf:
        np.minimum(values, cap, values)
    if weight is None:
        scale = 1.0 / grad.shape[-2]
        np.multiply(grad, scale, grad)
        np.sum(values, axis=(-2, -1), out=loss)
        np.multiply(loss, scale, loss)
        return
    total = np.sum(weight, axis=(-2, -1), keepdims=True)
    share = weight / np.where(total > 0, total, np.ones_like(total))
    np.multiply(grad, share, grad)
    np.multiply(values, share, values)
    np.sum(values, axis=(-2, -1), out=loss)


def value_and_grad(
    xp: Namespace, formula: Elementwise, output: Array, target: Array, weight: Array | None, out: Array | None = None
) -> tuple[Array, Array]:
    """For every loss, one's own too."""
    if type(output) is not np.ndarray or output.dtype.kind != "f":
        return NotImplemented
    cap = math.inf
    name, room, function = getattr(formula, "__name__", ""), getattr(formula, "__module__", ""), formula
    if isinstance(formula, partial) and formula.func.__name__ == "capped":
        inner = formula.keywords["formula"]
        if inner.__name__ in _IN_PLACE:
            cap, name, room = -math.log(float(np.finfo(output.dtype).eps)), inner.__name__, inner.__module__
    grad, values = np.empty_like(output), np.empty_like(output)
    loss = np.empty(output.shape[:-2], dtype=output.dtype)
    if name in _IN_PLACE and room == "bpx.formulas.losses":
        row = np.empty((*output.shape[:-1], 1), dtype=output.dtype)
        launch(_IN_PLACE[name], output, target, grad, values, row)
    else:
        launch(_by_formula, function, output, target, grad, values)
    launch(_mean, cap, weight, loss, grad, values)
    return loss, grad
