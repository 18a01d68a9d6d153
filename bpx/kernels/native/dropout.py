"""Dropout masks in one pass, four elements for each call of the generator."""

from __future__ import annotations

from typing import Any

import numpy as np

from bpx._typing import Array, Namespace
from bpx.formulas import dropout as formulas
from bpx.kernels import kernel_table
from bpx.kernels.native.operations import operate, unit_of

__all__ = ["KERNELS"]


def dropout_mask(
    xp: Namespace, shape: tuple[int, int], rate: float, seeds: Array, run: int, step: Any, layer: int, dtype: Any,
    first: int = 0,
) -> Array:  # fmt: skip
    """The same bits; `step` may be an int64 array of no dimension, read when the mask is made."""
    if np.dtype(dtype).char not in "fd" or seeds.dtype != np.int64 or not seeds.flags.c_contiguous:
        return NotImplemented
    out = np.empty((*seeds.shape[:1], *shape), dtype=dtype)
    number = step if isinstance(step, np.ndarray) else np.asarray(step, dtype=np.int64)
    networks, (rows, k) = max(seeds.size, 1), shape
    n = networks, rows, k, run, layer, first * k, 1
    operate("dropout_mask", np.dtype(dtype), unit_of(networks, "rows", rows), n, (out, seeds, number), (float(rate),),
            written=(0,), whole=(1, 2) if networks == 1 else (2,))  # fmt: skip
    return out


KERNELS = kernel_table.table(formulas, dropout_mask)
