"""The linear parts of a step, written into an array that is there: a product, sums of columns, a penalty's pull.

Each function fills `out` (or `grads`) and returns it.
"""

from __future__ import annotations

from bpx._typing import Array, Namespace

__all__ = ["add_penalty", "column_sums", "penalty", "product"]


def product(xp: Namespace, a: Array, b: Array, out: Array) -> Array:
    """A b, of shapes (..., n, m) and (..., m, k), into `out` of shape (..., n, k)."""
    out[...] = xp.matmul(a, b)
    return out


def column_sums(xp: Namespace, grad_z: Array, out: Array) -> Array:
    """sum_n grad_z, of shape (..., n, k), into `out` of shape (..., 1, k): the gradient of a bias."""
    out[...] = xp.sum(grad_z, axis=-2, keepdims=True)
    return out


def penalty(xp: Namespace, flat: Array, l2: Array | None, l1: Array | None) -> tuple[Array, Array]:
    """l2/2 sum W^2 + l1 sum |W|, and its gradient l2 W + l1 sign(W).

    Parameters
    ----------
    xp : module
        Array API namespace.
    flat : Array of shape (..., p)
        All parameters.
    l2, l1 : Array of shape (p,) or (..., p), or None
        Each parameter's strength, 0 for a bias; one of the two may be missing.

    Returns
    -------
    value : Array of shape (...)
    pull : Array of shape (..., p)
    """
    if l2 is None:
        push = l1 * xp.sign(flat)
        return xp.sum(push * flat, axis=-1), push
    pull = l2 * flat
    value = 0.5 * xp.sum(pull * flat, axis=-1)
    if l1 is None:
        return value, pull
    push = l1 * xp.sign(flat)
    return value + xp.sum(push * flat, axis=-1), pull + push


def add_penalty(
    xp: Namespace, flat: Array, l2: Array | None, l1: Array | None, share: Array | float | None, grads: Array
) -> tuple[Array, Array]:
    """`penalty` times `share` (a number, or an array of shape (...); None: 1), its gradient added to `grads`."""
    value, pull = penalty(xp, flat, l2, l1)
    if share is not None:
        value = value * share
        pull = pull * (share if isinstance(share, float) else share[..., None])
    grads += pull
    return value, grads
