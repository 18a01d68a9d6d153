"""Kernels of the linear parts: small products, sums of columns, and a penalty with its gradient in one pass.

To gather rows, NumPy's own ``take`` into an array that is there was faster than a compiled loop at every width.
"""

from __future__ import annotations

import math

import numpy as np

from bpx._typing import Array, Namespace
from bpx.formulas import linear as formulas
from bpx.kernels import kernel_table
from bpx.kernels.numba.compiling import compiled, compiled_sum, is_plain
from bpx.kernels.recording import launch

__all__ = ["KERNELS"]

# Multiplications, of all networks, up to which a compiled loop is faster than NumPy's call.
SMALL = 512


@compiled_sum
def _product(a: Array, b: Array, out: Array) -> None:
    """One network after the other; what has one network serves all."""
    for network in range(out.shape[0]):
        of_a, of_b = network if a.shape[0] > 1 else 0, network if b.shape[0] > 1 else 0
        for i in range(out.shape[1]):
            for j in range(out.shape[2]):
                total = out.dtype.type(0.0)
                for m in range(a.shape[2]):
                    total += a[of_a, i, m] * b[of_b, m, j]
                out[network, i, j] = total


def product(xp: Namespace, a: Array, b: Array, out: Array | None = None) -> Array:
    """A compiled loop for products so small that to call BLAS costs more than they do, else NumPy's."""
    lead = a.shape[:-2] if a.ndim > b.ndim else b.shape[:-2]
    multiplications = math.prod(lead) * a.shape[-2] * a.shape[-1] * b.shape[-1]
    if out is None:
        out = np.empty((*lead, a.shape[-2], b.shape[-1]), dtype=a.dtype)
    if 0 < multiplications <= SMALL and a.dtype == b.dtype and a.dtype.char in "fd":
        launch(_product, *(x if x.ndim == 3 else x[None] for x in (a, b, out)))
    else:
        launch(np.matmul, a, b, out)
    return out


@compiled
def _sum_rows(grad_z: Array, out: Array) -> None:
    """Row by row, so that memory is read in order; one network after the other."""
    networks, n, k = grad_z.shape
    for network in range(networks):
        for j in range(k):
            out[network, 0, j] = grad_z[network, 0, j]
        for i in range(1, n):
            for j in range(k):
                out[network, 0, j] += grad_z[network, i, j]


def column_sums(xp: Namespace, grad_z: Array, out: Array) -> Array:
    """NumPy adds ten columns hardly faster than a hundred."""
    if not is_plain(grad_z) or out.dtype != grad_z.dtype:
        return NotImplemented
    launch(_sum_rows, *((grad_z, out) if grad_z.ndim == 3 else (grad_z[None], out[None])))
    return out


@compiled
def _accumulate(total: Array, value: Array, weight: Array) -> None:
    for k in range(total.size):
        factor = np.float64(weight[k if weight.size > 1 else 0])
        total[k] += np.float64(value[k if value.size > 1 else 0]) * factor


def accumulate(xp: Namespace, total: Array, value: Array, weight: Array | int) -> Array:
    """total <- total + value weight, in place."""
    if type(total) is not np.ndarray or type(value) is not np.ndarray:
        return NotImplemented
    if not isinstance(weight, np.ndarray):
        weight = np.asarray(weight, dtype=np.float64)
    launch(_accumulate, total.reshape(-1), value.reshape(-1), weight.reshape(-1))
    return total


@compiled_sum
def _pull(loss: Array, flat: Array, l2: Array, l1: Array, samples: Array, grads: Array) -> None:
    """One network after the other; an empty `l2`, `l1` or `samples` is not there, one row of it is for all."""
    zero, one, half = flat.dtype.type(0.0), flat.dtype.type(1.0), flat.dtype.type(0.5)
    for network in range(flat.shape[0]):
        share = one
        if samples.size:
            total = samples[network if samples.size > 1 else 0]
            share = one / total if total > zero else one
        value = zero
        if l2.size:
            row = network if l2.shape[0] > 1 else 0
            for i in range(flat.shape[1]):
                pull = l2[row, i] * flat[network, i]
                value += half * pull * flat[network, i]
                grads[network, i] += pull * share
        if l1.size:
            row = network if l1.shape[0] > 1 else 0
            for i in range(flat.shape[1]):
                push = l1[row, i] * np.sign(flat[network, i])
                value += push * flat[network, i]
                grads[network, i] += push * share
        loss[network] += value * share


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
    if type(loss) is not np.ndarray or loss.dtype != flat.dtype or not is_plain(flat, grads):
        return NotImplemented
    if isinstance(samples, np.ndarray) and samples.dtype != flat.dtype:
        return NotImplemented
    none = np.empty((0, 0), dtype=flat.dtype)
    strengths = [none if s is None else s.reshape(-1, flat.shape[-1]) for s in (l2, l1)]
    count = none if samples is None else np.asarray(samples, dtype=flat.dtype)
    rows = flat.reshape(-1, flat.shape[-1]), grads.reshape(-1, flat.shape[-1])
    launch(_pull, loss.reshape(-1), rows[0], *strengths, count.reshape(-1), rows[1])
    return loss, grads


KERNELS = kernel_table.table(formulas, product, column_sums, accumulate, add_penalty)
