"""Kernels of the linear parts: each result straight into the array that is kept for it."""

from __future__ import annotations

from typing import Any

import numpy as np

from bpx._typing import Array, Namespace
from bpx.formulas import linear as formulas
from bpx.kernels import kernel_table
from bpx.kernels.recording import launch

__all__ = ["KERNELS"]


def gather(xp: Namespace, x: Array, index: Array, axis: int = 0) -> Array:
    """Indices are in range, so that NumPy needs no buffer to check them."""
    if index.ndim == 2 and x.ndim == 3 and axis == -2:
        out = np.empty((*index.shape, x.shape[2]), dtype=x.dtype)
        launch(_gather_own, x.reshape(-1, x.shape[2]), index, x.shape[1] * np.arange(x.shape[0])[:, None], out)
        return out
    axis %= x.ndim
    out = np.empty((*x.shape[:axis], *index.shape, *x.shape[axis + 1 :]), dtype=x.dtype)
    launch(x.take, index, axis, out, "clip")
    return out


def _gather_own(x: Array, index: Array, first: Array, out: Array) -> None:
    """Each network's rows of its own part, which begins at row `first`."""
    x.take(index + first, 0, out, "clip")


def fill_rows(xp: Namespace, matrix: Any, rows: Array | None, out: Array) -> Array:
    """SciPy gathers them."""
    launch(formulas.fill_rows, xp, matrix, rows, out)
    return out


def product(xp: Namespace, a: Array, b: Array, out: Array | None = None) -> Array:
    """Without a copy on the way."""
    if out is None:
        lead = a.shape[:-2] if a.ndim > b.ndim else b.shape[:-2]  # one network's, or a stack's
        out = np.empty((*lead, a.shape[-2], b.shape[-1]), dtype=a.dtype)
    launch(np.matmul, a, b, out)
    return out


def times(xp: Namespace, a: Array, mask: Array, out: Array | None = None) -> Array:
    """Into `out` where it is given."""
    if out is None:
        out = np.empty(a.shape if a.ndim > mask.ndim else mask.shape, dtype=a.dtype)
    launch(np.multiply, a, mask, out)
    return out


def column_sums(xp: Namespace, grad_z: Array, out: Array) -> Array:
    """A product with ones, which is faster than a sum."""
    launch(np.matmul, np.ones((1, grad_z.shape[-2]), dtype=grad_z.dtype), grad_z, out)
    return out


def weight_sum(xp: Namespace, weight: Array) -> Array:
    """Into an array that is kept."""
    out = np.empty(weight.shape[:-2], dtype=weight.dtype)
    launch(np.add.reduce, weight, (-2, -1), None, out)
    return out


def _accumulate(total: Array, value: Array, weight: Any, product: Array) -> None:
    np.multiply(value, weight, product, dtype=total.dtype)
    np.add(total, product, total)


def accumulate(xp: Namespace, total: Array, value: Array, weight: Array | int) -> Array:
    """total <- total + value weight, in place."""
    factor = weight if isinstance(weight, np.ndarray) else float(weight)  # an integer would be cast in a buffer
    launch(_accumulate, total, value, factor, np.empty_like(total))
    return total


def _add_penalty(
    loss: Array, flat: Array, l2: Array | None, l1: Array | None, samples: Any, grads: Array, pull: Array
) -> None:
    share = None if samples is None else 1.0 / np.where(samples > 0, samples, np.ones_like(samples))
    for strength, factor in ((l2, 0.5), (l1, 1.0)):
        if strength is None:
            continue
        if factor == 1.0:
            np.sign(flat, pull)
            np.multiply(pull, strength, pull)
        else:
            np.multiply(flat, strength, pull)
        value: Any = factor * np.vecdot(pull, flat)
        if share is not None:
            value = value * share
            np.multiply(pull, share[..., None], pull)
        np.add(loss, value, loss)
        np.add(grads, pull, grads)


def add_penalty(
    xp: Namespace,
    loss: Array,
    flat: Array,
    l2: Array | None,
    l1: Array | None,
    samples: Array | int | None,
    grads: Array,
) -> tuple[Array, Array]:
    """Loss and gradient in place."""
    count = samples if samples is None or isinstance(samples, np.ndarray) else np.asarray(samples, dtype=flat.dtype)
    launch(_add_penalty, loss, flat, l2, l1, count, grads, np.empty_like(flat))
    return loss, grads


KERNELS = kernel_table.table(
    formulas, gather, fill_rows, product, times, column_sums, weight_sum, accumulate, add_penalty
)
