"""The linear parts of a step: rows of a batch, products, sums, and a penalty with its gradient.

`out` is a hint where it may be None; where it is an array, the function fills it and returns it.
"""

from __future__ import annotations

from typing import Any

from bpx._typing import Array, Namespace

__all__ = [
    "accumulate", "add_penalty", "column_sums", "fill_rows", "gather", "penalty", "product", "times", "weight_sum",
]  # fmt: skip


def gather(xp: Namespace, x: Array, index: Array, axis: int = 0) -> Array:
    """The rows of a batch: those of `x` (n, ...) that `index` (m,) names, or along another axis.

    An index (K, m) names other rows for each network of a stack: of an `x` (n, ...) that all share, with axis 0, or of
    its own part of an `x` (K, n, k), with axis -2; the result is (K, m, ...).
    """
    if index.ndim == 1:
        return xp.take(x, index, axis=axis)
    if x.ndim == 3 and axis == -2:
        first = x.shape[1] * xp.arange(x.shape[0], dtype=index.dtype, device=index.device)
        x, index = xp.reshape(x, (-1, x.shape[2])), index + first[:, None]
    return xp.reshape(xp.take(x, xp.reshape(index, (-1,)), axis=0), (*index.shape, *x.shape[1:]))


def fill_rows(xp: Namespace, matrix: Any, rows: Array | None, out: Array) -> Array:
    """Rows of a SciPy matrix in CSR form, dense, into the host array `out` (..., m, k).

    `rows`, (m,) or (K, m), are host indices; None takes the first m in order.
    """
    if rows is None:
        out[...] = matrix[: out.shape[-2]].toarray()
    else:
        out[...] = matrix[rows.reshape(-1)].toarray().reshape(out.shape)
    return out


def product(xp: Namespace, a: Array, b: Array, out: Array | None = None) -> Array:
    """The matrix product a b, of shapes (..., n, m) and (..., m, k); (..., n, k)."""
    if out is None:
        return xp.matmul(a, b)
    out[...] = xp.matmul(a, b)
    return out


def times(xp: Namespace, a: Array, mask: Array, out: Array | None = None) -> Array:
    """a * mask, element by element; `out` is a hint, and may be `a`."""
    return a * mask


def column_sums(xp: Namespace, grad_z: Array, out: Array) -> Array:
    """sum_n grad_z, of shape (..., n, k), into `out` of shape (..., 1, k): the gradient of a bias."""
    out[...] = xp.sum(grad_z, axis=-2, keepdims=True)
    return out


def weight_sum(xp: Namespace, weight: Array) -> Array:
    """Sum of a batch's weights (..., n, 1); shape (...)."""
    return xp.sum(weight, axis=(-2, -1))


def accumulate(xp: Namespace, total: Array, value: Array, weight: Array | int) -> Array:
    """total + value * weight, of shape (...) and in the dtype of `total` (float64), which may be overwritten."""
    factor = weight if isinstance(weight, int) else xp.astype(weight, total.dtype)
    return total + xp.astype(value, total.dtype) * factor


def penalty(
    xp: Namespace, flat: Array, l2: Array | None, l1: Array | None, samples: Array | int | None = None
) -> tuple[Array, Array]:
    """(l2/2 sum W^2 + l1 sum |W|) / samples, and its gradient (l2 W + l1 sign(W)) / samples.

    Parameters
    ----------
    xp : module
        Array API namespace.
    flat : Array of shape (..., p)
        All parameters.
    l2, l1 : Array of shape (p,) or (..., p), or None
        Each parameter's strength, 0 for a bias; one of the two may be missing.
    samples : int or Array of shape (...), optional
        What both are divided by, 0 counting as 1; None: not divided.

    Returns
    -------
    value : Array of shape (...)
    pull : Array of shape (..., p)
    """
    if l2 is None:
        pull = l1 * xp.sign(flat)
        value = xp.sum(pull * flat, axis=-1)
    else:
        pull = l2 * flat
        value = 0.5 * xp.sum(pull * flat, axis=-1)
        if l1 is not None:
            push = l1 * xp.sign(flat)
            value, pull = value + xp.sum(push * flat, axis=-1), pull + push
    if samples is None:
        return value, pull
    if isinstance(samples, int):
        return value * (1.0 / samples), pull * (1.0 / samples)
    share = 1.0 / xp.where(samples > 0.0, samples, xp.ones_like(samples))
    return value * share, pull * share[..., None]


def add_penalty(
    xp: Namespace,
    loss: Array,
    flat: Array,
    l2: Array | None,
    l1: Array | None,
    samples: Array | int | None,
    grads: Array,
) -> tuple[Array, Array]:
    """`penalty` added to a loss of shape (...) and to its gradient of shape (..., p); both may be overwritten."""
    value, pull = penalty(xp, flat, l2, l1, samples)
    grads += pull
    return loss + value, grads
