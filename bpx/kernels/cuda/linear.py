"""Kernels of the linear parts: each result straight into the array that is kept for it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from bpx._typing import Array, Namespace
from bpx.formulas import linear as formulas
from bpx.kernels import kernel_table
from bpx.kernels.cuda.compiling import (
    BLOCK,
    NULL,
    address,
    blocks,
    computed,
    cover,
    enqueue,
    is_array,
    is_plain,
    network_stride,
    storage,
)
from bpx.kernels.cuda.products import product
from bpx.kernels.recording import launch

__all__ = ["KERNELS", "column_sums", "product", "times"]

# Rows that one block sums, and how many blocks may share a column.
ROWS, PARTS = 512, 64


def gather(xp: Namespace, x: Array, index: Array, axis: int = 0) -> Array:
    """Rows of any numbers, copied as they are; indices are in range."""
    if not is_plain("int64", index) or index.ndim not in (1, 2) or not is_array(x):
        return NotImplemented
    own = index.ndim == 2 and x.ndim == 3 and axis == -2
    axis = axis % x.ndim
    if index.ndim == 2 and not own and axis != 0:
        return NotImplemented
    lead = () if own else x.shape[:axis]
    out = xp.empty((*lead, *index.shape, *x.shape[axis + 1 :]), dtype=x.dtype)
    if not out.size:
        return out
    if not x.flags.c_contiguous:
        if own:
            return NotImplemented
        launch(_take, x, index, axis, out)
        return out
    outer = x.shape[0] if own else math.prod(lead)
    wanted = index.shape[1] if own else index.size
    row = math.prod(x.shape[axis + 1 :]) * x.itemsize
    word = next(size for size in (16, 8, 4, 2, 1) if row % size == 0 and address(x) % size == 0)
    words = row // word
    width = min(BLOCK, 1 << (words - 1).bit_length())  # each thread waits for as few words as can be
    grid = cover(wanted, BLOCK // width, outer)
    stride = wanted if own else 0
    enqueue(
        "rows.cu", "float32", f"gather_{word}", grid,
        out, x, index, outer, x.shape[axis], wanted, words, stride, np.int32(width),
    )  # fmt: skip
    return out


def _take(x: Array, index: Array, axis: int, out: Array) -> None:
    """Rows of an array that is not in one piece."""
    x.take(index, axis=axis, out=out)


def times(xp: Namespace, a: Array, mask: Array, out: Array | None = None) -> Array:
    """Into `out` where it is given; a mask with one number for each network is of the dtype that is computed in."""
    kind = storage(a)
    if kind is None:
        return NotImplemented
    shape = a.shape if a.ndim >= mask.ndim else mask.shape
    factor = mask.shape[-2:] == (1, 1) and a.shape[-2:] != (1, 1)
    if factor:
        shape = (*(a.shape[:-2] or mask.shape[:-2]), *a.shape[-2:])
    if out is None or not is_plain(kind, out) or out.shape != shape:
        out = xp.empty(shape, dtype=a.dtype)
    networks = math.prod(shape[:-2])
    size = out.size // networks
    a_stride = 0 if a.size < out.size else size
    if a.size not in (size, out.size):
        return NotImplemented
    if factor:
        if not is_plain(computed(kind), mask) or mask.size not in (1, networks):
            return NotImplemented
        stride = int(mask.size > 1)
        enqueue(
            "linear.cu", kind, "scale", cover(size, BLOCK, networks), out, a, mask, networks, size, a_stride, stride
        )
        return out
    if not is_plain(kind, mask) or mask.shape[-2:] != a.shape[-2:] or mask.size not in (size, out.size):
        return NotImplemented
    mask_stride = 0 if mask.size < out.size else size
    grid = cover(size, BLOCK * (16 // a.itemsize), networks)
    enqueue("linear.cu", kind, "times", grid, out, a, mask, networks, size, a_stride, mask_stride)
    return out


def column_sums(xp: Namespace, grad_z: Array, out: Array) -> Array:
    """In one pass where rows are few; else parts of them first, in an order that depends on the shape alone."""
    kind = storage(grad_z)
    if kind is None or grad_z.ndim not in (2, 3):
        return NotImplemented
    stride = network_stride(out, computed(kind))
    n, k = grad_z.shape[-2:]
    if stride is None or out.shape != (*grad_z.shape[:-2], 1, k):
        return NotImplemented
    networks = grad_z.size // (n * k)
    tiles, deep = min(-(-k // 32), 2**20), min(networks, 65535)
    parts = min(-(-2 * n // ROWS), PARTS, blocks(n, 1, tiles * networks)) if n > ROWS else 1
    if parts == 1:
        enqueue("linear.cu", kind, "column_sums", (tiles, 1, deep), out, grad_z, networks, n, k, stride)
        return out
    some = xp.empty((networks, parts, k), dtype=out.dtype)
    enqueue("linear.cu", kind, "column_sums", (tiles, parts, deep), some, grad_z, networks, n, k, parts * k)
    enqueue("linear.cu", kind, "column_sums_of_parts", (tiles, 1, deep), out, some, networks, parts, k, stride)
    return out


def weight_sum(xp: Namespace, weight: Array) -> Array:
    """Into an array that is kept."""
    kind = storage(weight)
    if kind is None or computed(kind) != kind:
        return NotImplemented
    lead = weight.shape[:-2]
    out, networks = xp.empty(lead, dtype=weight.dtype), math.prod(lead)
    enqueue("linear.cu", kind, "weight_sum", (networks,), out, weight, networks, weight.size // networks)
    return out


def accumulate(xp: Namespace, total: Array, value: Array, weight: Array | int) -> Array:
    """total <- total + value weight, in place."""
    kind = storage(value)
    if kind is None or computed(kind) != kind or not is_plain("float64", total) or value.size not in (1, total.size):
        return NotImplemented
    factor = _numbers(weight, kind, total.size)
    if factor is None:
        return NotImplemented
    size = total.size
    enqueue("linear.cu", kind, "accumulate", cover(size), total, value, *factor, size, int(value.size > 1))
    return total


def _numbers(x: Any, dtype: str, networks: int) -> tuple[Any, int, float] | None:
    """One number for each network, or for all: an array, its stride, and the number where it is none."""
    if not is_array(x):
        return NULL, 0, float(x)
    if not is_plain(dtype, x) or x.size not in (1, networks):
        return None
    return x, int(x.size > 1), 1.0


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
    kind = storage(flat)
    if kind is None or computed(kind) != kind or not is_plain(kind, loss, grads) or grads.shape != flat.shape:
        return NotImplemented
    networks, size = loss.size, flat.shape[-1]
    strengths: list[Any] = []
    for strength in (l2, l1):
        if strength is not None and (not is_plain(kind, strength) or strength.shape not in {(size,), flat.shape}):
            return NotImplemented
        strengths += (NULL, 0) if strength is None else (strength, size if strength.size > size else 0)
    counted = _numbers(1.0 if samples is None else samples, kind, networks)
    if counted is None:
        return NotImplemented
    share = blocks(size, 4 * BLOCK, networks)
    sums = xp.empty((networks, share), dtype=xp.float64)
    grid = share, min(networks, 65535)
    enqueue("linear.cu", kind, "add_penalty", grid, grads, sums, flat, *strengths, *counted, networks, size)
    enqueue("linear.cu", kind, "add_to_loss", (networks,), loss, sums, networks, share)
    return loss, grads


KERNELS = kernel_table.table(formulas, gather, product, times, column_sums, weight_sum, accumulate, add_penalty)
