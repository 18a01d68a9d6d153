"""Kernels of losses: a loss, its weights, its sum and its gradient; sums of rows are kept in float64."""

from __future__ import annotations

import math

import numpy as np

from bpx._typing import Array, Namespace
from bpx.formulas import losses as formulas
from bpx.formulas.losses import Elementwise
from bpx.kernels import kernel_table
from bpx.kernels.native.operations import ONE, is_plain, operate, unit_of

__all__ = ["KERNELS", "TABLE"]

# The operations of the losses have the formulas' names.
TABLE = {
    formula: formula.__name__
    for formula in (
        formulas.squared_error,
        formulas.absolute_error,
        formulas.huber_error,
        formulas.quantile_error,
        formulas.binary_cross_entropy,
        formulas.binary_cross_entropy_with_sigmoid,
        formulas.cross_entropy,
        formulas.cross_entropy_with_softmax,
        formulas.poisson,
        formulas.poisson_with_exp,
    )
}
OF_LABELS = {formulas.cross_entropy.__name__, formulas.cross_entropy_with_softmax.__name__}


def value_and_grad(
    xp: Namespace, formula: Elementwise, output: Array, target: Array, weight: Array | None, out: Array | None = None
) -> tuple[Array, Array]:
    """For every loss of `bpx.formulas.losses`, capped or not."""
    name, capped, given = kernel_table.of_loss(TABLE, formula)
    if name is None or not is_plain(output) or type(target) is not np.ndarray:
        return NotImplemented
    dtype, (rows, k), networks = output.dtype, output.shape[-2:], math.prod(output.shape[:-2])
    label_bytes = 0
    if target.dtype.kind == "i" and target.itemsize in (4, 8) and name in OF_LABELS:
        label_bytes = target.itemsize
        if target.shape not in ((rows,), output.shape[:-1]) or not target.flags.c_contiguous:
            return NotImplemented
    elif target.shape not in ((rows, k), output.shape) or not is_plain(output, target):
        return NotImplemented
    if weight is not None and not is_plain(output, weight):
        return NotImplemented
    share = None if weight is None else np.empty_like(weight)
    if share is not None:
        of_weight = math.prod(share.shape[:-2])
        operate("shares", dtype, unit_of(of_weight, *ONE), (of_weight, rows), (weight, share), written=(1,))
    parameter, levels = next(iter(given.values()), 0.0), None
    if isinstance(parameter, tuple):
        parameter, levels = 0.0, np.asarray(parameter, dtype=dtype)
        if levels.size != k:
            return NotImplemented
    grad, row_loss = np.empty_like(output), np.empty((networks, rows))
    losses = np.empty(output.shape[:-2], dtype=dtype)
    per_row = target.ndim - 1 + bool(label_bytes)  # 1 where all networks have the same targets
    target_stride = 0 if per_row == 1 else rows * (1 if label_bytes else k)
    n = networks, rows, k, target_stride, rows if share is not None and share.ndim == 3 else 0, label_bytes
    x = float(parameter), 1.0 / rows, formulas.largest_capped(np, dtype) if capped else math.inf
    operate(name, dtype, unit_of(networks, "rows", rows), n, (output, target, share, row_loss, grad, levels), x,
            written=(3, 4))  # fmt: skip
    operate("sum_rows", dtype, unit_of(networks, *ONE), (networks, rows), (row_loss, losses), written=(1,))
    return losses, grad


KERNELS = kernel_table.table(formulas, value_and_grad)
