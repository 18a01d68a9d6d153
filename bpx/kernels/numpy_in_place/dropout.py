"""Dropout masks by unsigned 64-bit products in place of the formula's 16-bit halves."""

from __future__ import annotations

from typing import Any

import numpy as np

from bpx._typing import Array, Namespace
from bpx.formulas import dropout as formulas
from bpx.kernels import kernel_table
from bpx.kernels.recording import launch

__all__ = ["KERNELS"]

_M0, _M1, _W0, _W1 = (np.uint64(word) for word in (*formulas.MULTIPLIERS, *formulas.INCREMENTS))
_LOW32, _32 = np.uint64(0xFFFFFFFF), np.uint64(32)


def _mask(out: Array, seeds: Array, rate: float, run: int, step: Any, layer: int, start: int) -> None:
    """Word e % 4 of call e / 4 decides element e of each network's (n, k), from element `start` on."""
    size = out.shape[-2] * out.shape[-1]
    block, skipped = divmod(start, 4)
    count = int(step)
    c0: Any = np.arange(block, block - (-(skipped + size) // 4), dtype=np.uint64)
    c1, c2, c3 = (np.uint64(word & 0xFFFFFFFF) for word in (count, layer, count >> 32))
    k0, k1 = seeds.astype(np.uint64), np.uint64(run)
    for _ in range(10):
        p0, p1 = c0 * _M0, c2 * _M1
        c0, c1, c2, c3 = (p1 >> _32) ^ c1 ^ k0, p1 & _LOW32, (p0 >> _32) ^ c3 ^ k1, p0 & _LOW32
        k0, k1 = (k0 + _W0) & _LOW32, (k1 + _W1) & _LOW32
    words = np.stack(np.broadcast_arrays(c0, c1, c2, c3), axis=-1)
    words = words.reshape(*words.shape[:-2], -1)[..., skipped : skipped + size].reshape(out.shape)
    np.multiply(words >= np.uint64(rate * 2**32), 1.0 / (1.0 - rate), out)


def dropout_mask(
    xp: Namespace, shape: tuple[int, int], rate: float, seeds: Array, run: int, step: Any, layer: int, dtype: Any,
    first: int = 0,
) -> Array:  # fmt: skip
    """The same bits; `step` may be an integer array of no dimension, read when the mask is made."""
    lead = seeds.shape[:1]
    out = np.empty((*lead, *shape), dtype=dtype)
    launch(_mask, out, seeds, rate, run, step, layer, first * shape[1])
    return out


KERNELS = kernel_table.table(formulas, dropout_mask)
