"""Kernels of losses: value and gradient of a loss in one pass, any other loss by its formula."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from bpx._typing import Array, Namespace
from bpx.formulas import losses as formulas
from bpx.formulas.losses import Elementwise
from bpx.formulas.user_functions import loss_parts
from bpx.kernels import kernel_table
from bpx.kernels.cuda import sources
from bpx.kernels.cuda.compiling import (
    BLOCK,
    NULL,
    blocks,
    computed,
    constant,
    cover,
    enqueue,
    is_plain,
    lanes,
    number,
    storage,
)
from bpx.kernels.recording import launch, runs_users_code

__all__ = ["KERNELS", "TABLE", "value_and_grad"]

FILE = "losses.cu"

# The names of the losses' kernels, and of those for labels.
TABLE = {
    formula: sources.kernel(FILE, name)
    for formula, name in {
        formulas.squared_error: "squared_error",
        formulas.absolute_error: "absolute_error",
        formulas.huber_error: "huber",
        formulas.quantile_error: "quantile",
        formulas.binary_cross_entropy: "binary_cross_entropy",
        formulas.binary_cross_entropy_with_sigmoid: "binary_cross_entropy_with_sigmoid",
        formulas.cross_entropy: "cross_entropy",
        formulas.cross_entropy_with_softmax: "cross_entropy_with_softmax",
        formulas.poisson: "poisson",
        formulas.poisson_with_exp: "poisson_with_exp",
    }.items()
}
_OF_LABELS = {
    TABLE[formula]: sources.kernel(FILE, f"{TABLE[formula]}_of_labels")
    for formula in (formulas.cross_entropy, formulas.cross_entropy_with_softmax)
}

# The rows of a loss that so many threads can share are all one block's, which then needs no second kernel.
ONE_BLOCK = 16 * BLOCK


class Kernel(NamedTuple):
    """The kernel of a loss, whether values are capped, and the loss's parameter: a number or one for each output."""

    name: str
    cap: bool = False
    parameter: float = 0.0
    levels: tuple[float, ...] | None = None


def value_and_grad(
    xp: Namespace,
    formula: Elementwise,
    output: Array,
    target: Array,
    weight: Array | None,
    out: Array | None = None,
    scale: Array | None = None,
) -> tuple[Array, Array]:
    """For every loss, one's own too; `scale`, of shape (...), multiplies the gradient."""
    kind = storage(output)
    if kind is None or output.ndim not in (2, 3):
        return NotImplemented
    dtype, lead, (n, k) = computed(kind), output.shape[:-2], output.shape[-2:]
    if weight is not None and not (is_plain(dtype, weight) and weight.shape in {(n, 1), (*lead, n, 1)}):
        return NotImplemented
    if scale is not None and not (is_plain(dtype, scale) and scale.shape == lead):
        return NotImplemented
    grad = out
    if grad is None or not is_plain(kind, grad) or grad.shape != output.shape:
        grad = xp.empty(output.shape, dtype=output.dtype)
    kernel = _kernel(formula)
    if kernel is not None:
        stride = _target_stride(target, kernel.name in _OF_LABELS, dtype, (*lead, n, k))
        if stride is None:
            return NotImplemented
        return _run(xp, kernel, kind, output, target, stride, weight, scale, grad), grad
    values, slopes = (xp.empty(output.shape, dtype=dtype) for _ in "ab")
    launch(_by_formula, xp, formula, output, target, values, slopes)
    size = n * k if lead else 0
    into = grad if dtype == kind else slopes
    loss = _run(xp, Kernel("given"), dtype, slopes, values, size, weight, scale, into)
    if into is not grad:
        enqueue("precision.cu", kind, "narrow", cover(grad.size), grad, slopes, grad.size)
    return loss, grad


def _run(
    xp: Namespace, kernel: Kernel, kind: str, output: Array, target: Array, target_stride: int, weight: Array | None,
    scale: Array | None, grad: Array,
) -> Array:  # fmt: skip
    """Launch what a loss needs; the gradient is written into `grad`."""
    dtype, lead, (n, k) = computed(kind), output.shape[:-2], output.shape[-2:]
    networks, width = output.size // (n * k), lanes(k, each=4)
    name = _OF_LABELS[kernel.name] if kernel.name in _OF_LABELS and target.dtype.kind == "i" else kernel.name
    cap = formulas.largest_capped(np, np.dtype(dtype)) if kernel.cap else math.inf
    levels = NULL if kernel.levels is None else constant(kernel.levels, dtype, output)
    weights: tuple[Any, ...] = (NULL, 0, NULL, 0)
    if weight is not None:
        own = int(weight.ndim == 3)
        sums_of = networks if own else 1
        totals = xp.empty((sums_of,), dtype=dtype)
        enqueue("linear.cu", dtype, "weight_sum", (sums_of,), totals, weight, sums_of, n)
        weights = weight, n * own, totals, own
    share = 1 if n * width <= ONE_BLOCK else blocks(n * width, BLOCK, networks)
    loss = xp.empty(lead, dtype=dtype)
    sums = NULL if share == 1 else xp.empty((networks, share), dtype=xp.float64)
    enqueue(
        FILE, kind, name, (share, min(networks, 65535)),
        output, grad, loss, sums, target, target_stride, *weights, NULL if scale is None else scale, networks, n, k,
        np.int32(width), number(cap, dtype), number(kernel.parameter, dtype), levels,
    )  # fmt: skip
    if share > 1:
        enqueue(FILE, kind, "finish", (networks,), loss, sums, networks, share)
    return loss


@runs_users_code
def _by_formula(
    xp: Namespace, formula: Elementwise, output: Array, target: Array, values: Array, slopes: Array
) -> None:
    """Any loss's own function, on numbers of the dtype in which it is computed."""
    wide = output if output.dtype == values.dtype else xp.astype(output, values.dtype)
    values[...], slopes[...] = loss_parts(formula(xp, wide, target), wide)


def _target_stride(target: Any, labels: bool, dtype: str, shape: tuple[int, ...]) -> int | None:
    """Numbers from one network's targets to the next's, 0 where all share them; None for targets of another kind."""
    if is_plain(dtype, target):
        own, shared = shape, shape[-2:]
    elif labels and is_plain("int64", target):
        own, shared = shape[:-1], shape[-2:-1]
    else:
        return None
    if target.shape == shared:
        return 0
    return math.prod(shared) if target.shape == own else None


def _kernel(formula: Any) -> Kernel | None:
    """The kernel of a formula; None where there is none."""
    name, capped, given = kernel_table.of_loss(TABLE, formula)
    if name is None:
        return None
    parameter = next(iter(given.values()), 0.0)  # huber's delta, quantile's level or levels
    if isinstance(parameter, tuple):
        return Kernel(name, capped, levels=parameter)
    return Kernel(name, capped, parameter)


KERNELS = kernel_table.table(formulas, value_and_grad)
