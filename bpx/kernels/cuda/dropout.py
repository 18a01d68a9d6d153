"""Dropout masks: the same bits, four elements to a thread."""

from __future__ import annotations

from typing import Any

import numpy as np

from bpx._typing import Array, Namespace
from bpx.formulas import dropout as formulas
from bpx.kernels import kernel_table
from bpx.kernels.cuda.compiling import BLOCK, NULL, computed, cover, enqueue, is_array, is_plain, number, storage

__all__ = ["KERNELS"]


def dropout_mask(
    xp: Namespace, shape: tuple[int, int], rate: float, seeds: Array, run: int, step: Any, layer: int, dtype: Any,
    first: int = 0,
) -> Array:  # fmt: skip
    """The same bits; `step` may be an int64 array of no dimension, read when the mask is made."""
    size, start = shape[0] * shape[1], first * shape[1]
    if not is_plain("int64", seeds) or not size or start + size > 2**34:
        return NotImplemented
    if is_array(step) and not (is_plain("int64", step) and step.size == 1):
        return NotImplemented
    out = xp.empty((*seeds.shape[:1], *shape), dtype=dtype)
    kind = storage(out)
    if kind is None:
        return NotImplemented
    steps = (step, 0) if is_array(step) else (NULL, int(step))
    kept = np.asarray(1.0 / (1.0 - rate), dtype=out.dtype)  # rounded once
    enqueue(
        "dropout.cu", kind, "dropout_mask", cover(-(-size // 4) + 1, BLOCK, seeds.size),
        out, seeds, np.uint32(run), *steps, np.uint32(layer), start, np.uint32(int(rate * 2**32)),
        number(float(kept), computed(kind)), seeds.size, size,
    )  # fmt: skip
    return out


KERNELS = kernel_table.table(formulas, dropout_mask)
