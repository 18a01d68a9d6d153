"""Kernels of mixed precision: 16-bit numbers beside parameters in 32 bits, and the scale of the loss."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from bpx._typing import Array, Namespace
from bpx.formulas import precision as formulas
from bpx.kernels import kernel_table
from bpx.kernels.cuda import updates
from bpx.kernels.cuda.compiling import BLOCK, blocks, computed, cover, enqueue, is_array, is_plain, storage
from bpx.kernels.cuda.linear import column_sums, product, times
from bpx.kernels.cuda.losses import value_and_grad

__all__ = ["KERNELS"]


def narrow(xp: Namespace, x: Array, dtype: Any) -> Array:
    """The array itself where there is nothing to do."""
    if not is_array(x):
        return NotImplemented
    if x.dtype == dtype:
        return x
    if not is_plain("float32", x) or not x.size:
        return NotImplemented
    out = xp.empty(x.shape, dtype=dtype)
    kind = storage(out)
    if kind is None or computed(kind) != "float32":
        return NotImplemented
    enqueue("precision.cu", kind, "narrow", cover(x.size, 4 * BLOCK), out, x, x.size)
    return out


def unscale(xp: Namespace, grads: Array, scale: Array) -> tuple[Array, Array, Array]:
    """The gradient in place."""
    kind = storage(grads)
    if kind is None or not is_plain(kind, scale) or computed(kind) != kind or scale.shape != grads.shape[:-1]:
        return NotImplemented
    networks, size = scale.size, grads.shape[-1]
    share = blocks(size, 4 * BLOCK, networks)
    finite, taken = (xp.empty(scale.shape, dtype=np.bool_) for _ in "ab")
    parts = xp.empty((networks, share), dtype=np.uint8)
    enqueue("precision.cu", kind, "unscale", (share, min(networks, 65535)), grads, scale, parts, networks, size)
    enqueue("precision.cu", kind, "judge", (networks,), finite, taken, parts, scale, networks, share)
    return grads, finite, taken


def guarded(xp: Namespace, taken: Array, equation: Callable[..., Any], grads: Array, *args: Any) -> Any:
    """Kernels of updates look at `taken` themselves."""
    kernel = updates.KERNELS.get(equation)
    return NotImplemented if kernel is None else kernel(xp, grads, *args, taken=taken)


def adjust(
    xp: Namespace, scale: Array, good: Array, number: Array, finite: Array, taken: Array
) -> tuple[Array, Array, Array]:
    """The state of float16's scale after a step, in place."""
    kind = storage(scale)
    if kind is None or not is_plain(kind, good, number) or not is_plain("bool", finite, taken):
        return NotImplemented
    enqueue("precision.cu", kind, "adjust", cover(scale.size), scale, good, number, finite, taken, scale.size)
    return scale, good, number


KERNELS = kernel_table.table(formulas, narrow, product, times, column_sums, value_and_grad, unscale, guarded, adjust)
