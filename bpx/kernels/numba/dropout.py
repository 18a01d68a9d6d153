"""Dropout masks in one pass, four elements for each call of the generator."""

from __future__ import annotations

from typing import Any

import numpy as np

from bpx._typing import Array, Namespace
from bpx.formulas import dropout as formulas
from bpx.kernels import kernel_table
from bpx.kernels.numba.compiling import compiled
from bpx.kernels.recording import launch

__all__ = ["KERNELS"]


@compiled
def _mask(out: Array, seeds: Array, rate: Any, run: Any, step: Array, layer: Any, start: Any) -> None:
    """Philox 4x32-10 for every four elements of each network's row-major (n, k); `out` (K, n k) begins at `start`."""
    low, shift = np.uint64(0xFFFFFFFF), np.uint64(32)
    least = np.uint64(rate * 4294967296.0)
    kept, dropped = out.dtype.type(1.0 / (1.0 - rate)), out.dtype.type(0.0)
    count = np.uint64(step[()])
    block, skipped = start // 4, start % 4
    for network in range(out.shape[0]):
        for i in range((skipped + out.shape[1] + 3) // 4):
            c0, c1, c2, c3 = np.uint64(block + i), count & low, np.uint64(layer), count >> shift
            k0, k1 = np.uint64(seeds[network]), np.uint64(run)
            for _ in range(10):
                p0, p1 = c0 * np.uint64(0xD2511F53), c2 * np.uint64(0xCD9E8D57)
                c0, c1, c2, c3 = (p1 >> shift) ^ c1 ^ k0, p1 & low, (p0 >> shift) ^ c3 ^ k1, p0 & low
                k0, k1 = (k0 + np.uint64(0x9E3779B9)) & low, (k1 + np.uint64(0xBB67AE85)) & low
            element = 4 * i - skipped
            for word in (c0, c1, c2, c3):
                if 0 <= element < out.shape[1]:
                    out[network, element] = kept if word >= least else dropped
                element += 1


def dropout_mask(
    xp: Namespace, shape: tuple[int, int], rate: float, seeds: Array, run: int, step: Any, layer: int, dtype: Any,
    first: int = 0,
) -> Array:  # fmt: skip
    """The same bits; `step` may be an int64 array of no dimension, read when the mask is made."""
    if np.dtype(dtype).char not in "fd" or seeds.dtype != np.int64:
        return NotImplemented
    out = np.empty((*seeds.shape[:1], *shape), dtype=dtype)
    size = shape[0] * shape[1]
    number = step if isinstance(step, np.ndarray) else np.asarray(step, dtype=np.int64)
    launch(_mask, out.reshape(-1, size), seeds.reshape(-1), float(rate), run, number, layer, first * shape[1])
    return out


KERNELS = kernel_table.table(formulas, dropout_mask)
