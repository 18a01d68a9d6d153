"""Kernels of the linear parts: rows of a batch, products, sums, and a penalty with its gradient."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from bpx._typing import Array, Namespace
from bpx.formulas import linear as formulas
from bpx.kernels import kernel_table
from bpx.kernels.native.operations import ONE, is_plain, operate, unit_of
from bpx.kernels.recording import launch

__all__ = ["KERNELS"]

# Multiplications from which BLAS, which cuts products to the size of the caches, is faster.
LARGE = 100_000_000
# Rows up to which dot products with a transposed matrix are faster than transposing it first.
FEW = 7
# Numbers whose sum is one partial sum of a penalty, or of a norm.
BLOCK = 4096


def gather(xp: Namespace, x: Array, index: Array, axis: int = 0) -> Array:
    """Rows of any dtype, each in one piece."""
    if type(x) is not np.ndarray or type(index) is not np.ndarray or index.dtype != np.int64:
        return NotImplemented
    if not x.flags.c_contiguous or not index.flags.c_contiguous or not x.size:
        return NotImplemented
    own = x.ndim == 3 and axis == -2  # each network's rows of its own part
    if x.dtype.hasobject or axis not in (0, -2):
        return NotImplemented
    if not own and axis % x.ndim:
        return NotImplemented
    row = x.shape[2:] if own else x.shape[1:]
    lead = x.shape[:1] if own else index.shape[:-1]
    out = np.empty((*lead, index.shape[-1], *row), dtype=x.dtype)
    networks, rows, bytes_of = math.prod(lead), index.shape[-1], math.prod(row) * x.itemsize
    stride = math.prod(x.shape[1:]) * x.itemsize if own else 0
    n = networks, rows, bytes_of, stride, rows if index.ndim == 2 else 0
    operate("gather", np.float32, unit_of(networks, "rows", rows), n, (x, index, out), written=(2,), whole=(0,))
    return out


def product(xp: Namespace, a: Array, b: Array, out: Array | None = None) -> Array:
    """A loop over tiles that fit into registers; the largest products are BLAS's."""
    lead = a.shape[:-2] if a.ndim > b.ndim else b.shape[:-2]
    if out is None:
        out = np.empty((*lead, a.shape[-2], b.shape[-1]), dtype=a.dtype)
    networks, (n, m), k = math.prod(lead), a.shape[-2:], b.shape[-1]
    by_a, by_b, by_out = _strides(a), _strides(b), _strides(out)
    plain = a.dtype == b.dtype == out.dtype and a.dtype.char in "fd" and 0 < networks * n * m * k <= LARGE
    if not plain or by_a is None or by_b is None or by_out is None or by_out[2] != 1:
        launch(np.matmul, a, b, out)
        return out
    read: tuple[int, ...] = () if networks > 1 else (1,) if by_a[2] == 1 else (0, 1)
    if (k == 1 or (by_b[2] != 1 and n <= FEW)) and by_a[2] == 1:
        sizes: tuple[int, ...] = networks, n, m, k, by_a[0], by_b[0], by_out[0]
        unit = unit_of(networks, "rows", n)
        if networks == 1 and k > 1:  # where there are fewer rows than threads, these share the columns
            unit, read = ("dots", n * k), (0, 1)
        operate("product_dot", a.dtype, unit, sizes, (a, b, out), written=(2,), whole=read)
        return out
    if by_b[2] != 1:
        b, by_b = _transposed(b, by_b[0])
    sizes = networks, n, m, k, by_a[0], by_b[0], by_a[1], by_a[2], by_out[0]
    work = networks * n * m * k
    operate("product", a.dtype, unit_of(networks, "rows", n), sizes, (a, b, out), written=(2,), whole=read, work=work)
    return out


def _transposed(b: Array, stride: int) -> tuple[Array, tuple[int, int, int]]:
    """A matrix that is the view of a transposed one, in one piece; and its strides as of `_strides`."""
    networks, (m, k) = math.prod(b.shape[:-2]), b.shape[-2:]
    rows = np.empty(b.shape, dtype=b.dtype)
    sizes = networks, k, m, stride, m * k
    operate("transpose", b.dtype, unit_of(networks, "columns", k), sizes, (b, rows), written=(1,), whole=(0,))
    return rows, (m * k if b.ndim == 3 else 0, k, 1)


def _strides(array: Array) -> tuple[int, int, int] | None:
    """An array's strides in elements: from network to network, row to row, column to column.

    None where neither rows nor columns are in one piece.
    """
    if type(array) is not np.ndarray:
        return None
    size = array.itemsize
    if any(stride % size for stride in array.strides):  # of a packed record
        return None
    network = array.strides[0] // size if array.ndim == 3 else 0
    rows, columns = array.shape[-2:]
    row, column = (s // size for s in array.strides[-2:])
    if (column == 1 or columns == 1) and (row == columns or rows == 1):
        return network, columns, 1
    if (row == 1 or rows == 1) and (column == rows or columns == 1):
        return network, 1, rows
    return None


def times(xp: Namespace, a: Array, mask: Array, out: Array | None = None) -> Array:
    """Of equal shapes, or where one of the two serves a whole stack."""
    if not is_plain(a, mask) or a.shape[-2:] != mask.shape[-2:] or not 2 <= a.ndim <= 3 or not 2 <= mask.ndim <= 3:
        return NotImplemented
    shape = a.shape if a.ndim >= mask.ndim else mask.shape
    if out is None:
        out = np.empty(shape, dtype=a.dtype)
    elif out.shape != shape or not is_plain(a, out):
        return NotImplemented
    networks, (rows, k) = math.prod(shape[:-2]), shape[-2:]
    n = networks, rows, k, *(rows * k if factor.shape[:-2] not in ((), (1,)) else 0 for factor in (a, mask))
    operate("times", a.dtype, unit_of(networks, "rows", rows), n, (a, mask, out), written=(2,))
    return out


def column_sums(xp: Namespace, grad_z: Array, out: Array) -> Array:
    """Row by row, in the order of memory."""
    by_out = _strides(out)
    if not is_plain(grad_z) or by_out is None or out.dtype != grad_z.dtype:
        return NotImplemented
    networks, (rows, k) = math.prod(grad_z.shape[:-2]), grad_z.shape[-2:]
    n = networks, rows, k, by_out[0]
    whole = () if networks > 1 else (0,)
    operate("column_sums", grad_z.dtype, unit_of(networks, "sums", k), n, (grad_z, out), written=(1,), whole=whole)
    return out


def weight_sum(xp: Namespace, weight: Array) -> Array:
    """In the order of the rows."""
    if not is_plain(weight):
        return NotImplemented
    out = np.empty(weight.shape[:-2], dtype=weight.dtype)
    networks = max(out.size, 1)
    n = networks, weight.shape[-2]
    operate("weight_sum", weight.dtype, unit_of(networks, *ONE), n, (weight, out), written=(1,))
    return out


def accumulate(xp: Namespace, total: Array, value: Array, weight: Array | int) -> Array:
    """total <- total + value weight in float64, in place."""
    arrays = [total, value, *([weight] if isinstance(weight, np.ndarray) else [])]
    if any(type(a) is not np.ndarray or a.dtype.char not in "fd" or not a.flags.c_contiguous for a in arrays):
        return NotImplemented
    if total.dtype != np.float64:
        return NotImplemented
    if isinstance(weight, np.ndarray):
        kind, factor, given = 2 if weight.dtype == np.float64 else 1, 0.0, weight
        if kind == 1 and value.dtype != weight.dtype:
            return NotImplemented
    else:
        kind, factor, given = 0, float(weight), None
    n = total.size, int(value.size > 1), int(given is not None and given.size > 1), kind
    operate("accumulate", value.dtype, unit_of(total.size, *ONE), n, (total, value, given), (factor,), written=(0,))
    return total


def add_penalty(
    xp: Namespace,
    loss: Array,
    flat: Array,
    l2: Array | None,
    l1: Array | None,
    samples: Array | int | None,
    grads: Array,
) -> tuple[Array, Array]:
    """Loss and gradient in place; values are summed in blocks, whose order is fixed."""
    if type(loss) is not np.ndarray or loss.dtype != flat.dtype or not is_plain(flat, grads):
        return NotImplemented
    if isinstance(samples, np.ndarray) and samples.dtype != flat.dtype:
        return NotImplemented
    networks, p = math.prod(flat.shape[:-1]), flat.shape[-1]
    count = None if samples is None else np.asarray(samples, dtype=flat.dtype)
    blocks = -(-p // BLOCK)
    partial = np.empty((networks, blocks))
    per_network = int(count is not None and count.size > 1)
    strides = [p if s is not None and s.ndim == 2 and s.shape[0] > 1 else 0 for s in (l2, l1)]
    unit = unit_of(networks, "blocks", p)
    operate("penalty", flat.dtype, unit, (networks, p, *strides, per_network, blocks),
            (flat, l2, l1, count, grads, partial), written=(4, 5), whole=(3,) if networks == 1 else ())  # fmt: skip
    operate(
        "penalty_value",
        flat.dtype,
        unit_of(networks, *ONE),
        (networks, blocks, per_network),
        (partial, count, loss),
        written=(2,),
    )
    return loss, grads


def fill_rows(xp: Namespace, matrix: Any, rows: Array | None, out: Array) -> Array:
    """Rows of a matrix in SciPy's CSR form; entries that stand twice are added."""
    arrays = matrix.indptr, matrix.indices, matrix.data
    kinds = {a.dtype for a in arrays[:2]}
    if len(kinds) != 1 or kinds.pop().char not in "ilq" or matrix.data.dtype != out.dtype or not is_plain(out):
        return NotImplemented
    if not all(a.flags.c_contiguous for a in arrays):
        return NotImplemented
    networks, count = math.prod(out.shape[:-2]), out.shape[-2]
    n = networks, count, out.shape[-1], matrix.indptr.itemsize, count if rows is not None and rows.ndim == 2 else 0, 0
    operate("gather_csr", out.dtype, unit_of(networks, "rows", count), n, (*arrays, rows, out), written=(4,),
            whole=(0, 1, 2))  # fmt: skip
    return out


KERNELS = kernel_table.table(
    formulas, gather, fill_rows, product, times, column_sums, weight_sum, accumulate, add_penalty
)
