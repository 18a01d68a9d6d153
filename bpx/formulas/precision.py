"""Mixed precision: what a step stores in 16 bits it computes in float32 (Micikevicius et al. 2018, arXiv 1710.03740).

Inputs, activations, their gradients, dropout masks and a copy of the weights are stored in float16 or bfloat16.
Products multiply such operands and sum in float32; biases, activation functions and losses are computed in float32.
Parameters, their gradients, the optimizer's state and the loss stay float32. The functions that have a namesake among
the other formulas have its arguments, and take arrays of 16 bits as well as float32 ones.

Gradients below float16's smallest number, 6e-8, would be lost: the loss's gradient is multiplied by a scale before the
way back, and the parameters' gradient divided by it. The scale is as large as it can be: it is halved where a gradient
overflows, and the step is skipped; after 2000 good steps in a row it is doubled. These numbers are those of PyTorch's
``torch.amp.GradScaler``. bfloat16 has float32's range and needs no scale.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, final, get_args

from bpx._typing import Array, Namespace, State
from bpx.formulas import losses
from bpx.formulas.activations import Activation

__all__ = [
    "HALVES",
    "INTERVAL",
    "LARGEST",
    "PRECISIONS",
    "SMALLEST",
    "START",
    "Precision",
    "Stored",
    "adjust",
    "column_sums",
    "guarded",
    "narrow",
    "product",
    "scaling",
    "times",
    "unscale",
    "value_and_grad",
]

Precision = Literal["tf32", "float16", "bfloat16"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)
HALVES = PRECISIONS[1:]

# The first scale, and the good steps in a row after which it is doubled.
START, INTERVAL = 2.0**16, 2000.0
# A gradient that overflows at a smaller scale is lost, and so is the run. Above the largest nothing is gained any more.
SMALLEST, LARGEST = 2.0**-24, 2.0**100


def _wide(xp: Namespace, x: Array) -> Array:
    """The same numbers in float32."""
    return x if x.dtype == xp.float32 else xp.astype(x, xp.float32)


def narrow(xp: Namespace, x: Array, dtype: Any) -> Array:
    """`x` rounded to `dtype`: infinite beyond its largest number (65 504 for float16), zero below its smallest."""
    return x if x.dtype == dtype else xp.astype(x, dtype)


# ---------------------------------------------------------------------- a step's parts


def product(xp: Namespace, a: Array, b: Array, out: Array | None = None) -> Array:
    """The matrix product a b, summed in float32; in the dtype of `a`, or where `out` is given in that of `out`."""
    wide = xp.matmul(_wide(xp, a), _wide(xp, b))
    if out is None:
        return narrow(xp, wide, a.dtype)
    out[...] = wide
    return out


def times(xp: Namespace, a: Array, mask: Array, out: Array | None = None) -> Array:
    """a * mask, in the dtype of `a`; `out` is a hint."""
    return narrow(xp, _wide(xp, a) * _wide(xp, mask), a.dtype)


def column_sums(xp: Namespace, grad_z: Array, out: Array) -> Array:
    """sum_n grad_z in float32, of shape (..., n, k), into `out` of shape (..., 1, k)."""
    out[...] = xp.sum(_wide(xp, grad_z), axis=-2, keepdims=True)
    return out


def value_and_grad(
    xp: Namespace,
    formula: losses.Elementwise,
    output: Array,
    target: Array,
    weight: Array | None,
    out: Array | None = None,
    scale: Array | None = None,
) -> tuple[Array, Array]:
    """`losses.value_and_grad` of stored outputs: the loss in float32; its gradient times `scale`, stored as they are.

    Arguments and results are those of `losses.value_and_grad`, and `scale` of shape (...), or None for 1.
    """
    loss, grad = losses.value_and_grad(xp, formula, _wide(xp, output), target, weight)
    if scale is not None:
        grad = grad * scale[..., None, None]
    return loss, narrow(xp, grad, output.dtype)


@final
class Stored:
    """An activation between arrays of 16 bits: its own functions, computed in float32."""

    def __init__(self, activation: Activation) -> None:
        self._activation = activation
        # By these a kernel is found.
        self.name, self.forward = activation.name, activation.forward
        self.derivative, self.jacobian = activation.derivative, activation.jacobian

    def after_bias(self, xp: Namespace, z: Array, b: Array | None) -> tuple[Array, Array]:
        """z + b and a = f(z + b), in the dtype of `z`; `b`, of float32, is added in float32."""
        wide, a = self._activation.after_bias(xp, xp.astype(z, xp.float32), b)
        stored = narrow(xp, wide, z.dtype)
        return stored, stored if a is wide else narrow(xp, a, z.dtype)

    def backward(self, xp: Namespace, grad_a: Array, z: Array, a: Array, out: Array | None = None) -> Array:
        """dL/dz from dL/da, in the dtype of `grad_a`; `out` is a hint."""
        grad_z = self._activation.backward(xp, _wide(xp, grad_a), _wide(xp, z), _wide(xp, a))
        return narrow(xp, grad_z, grad_a.dtype)


# ---------------------------------------------------------------------- the loss's scale


def scaling(flat: Array) -> State:
    """The scale's state before the first step, for parameters of shape (..., p).

    Float32 arrays of shape (...): ``scale``; ``good``, the good steps since it changed; ``number``, of the next update,
    from 1, which a skipped step leaves as it is.
    """
    zero = flat[..., 0] * 0.0
    return {"scale": zero + START, "good": zero * 1.0, "number": zero + 1.0}


def unscale(xp: Namespace, grads: Array, scale: Array) -> tuple[Array, Array, Array]:
    """Gradient / scale, whether all of it is finite, and whether the update is to be made: `grads`, finite, taken.

    `grads` has shape (..., p) and may be overwritten; `scale`, finite and taken (bool) have shape (...). Where no scale
    would help, the update is made all the same: the parameters are then no longer finite, and training ends as it does
    for any network that diverges.
    """
    grads *= 1.0 / scale[..., None]
    finite = xp.all(xp.isfinite(grads), axis=-1)
    return grads, finite, finite | (scale < SMALLEST)


def guarded(xp: Namespace, taken: Array, equation: Callable[..., Any], grads: Array, *args: Any) -> Any:
    """``equation(xp, grads, *args)``, one of `updates`, without effect where `taken`, of shape (...), is False.

    Of its arguments, those of the gradient's shape (..., p) are the vectors that it writes into.
    """
    vectors = [x for x in args if getattr(x, "shape", None) == grads.shape]
    before = [x * 1.0 for x in vectors]
    after = equation(xp, grads, *args)
    for vector, old in zip(vectors, before, strict=True):
        vector[...] = xp.where(taken[..., None], vector, old)
    return after


def adjust(
    xp: Namespace, scale: Array, good: Array, number: Array, finite: Array, taken: Array
) -> tuple[Array, Array, Array]:
    """The state after a step: half the scale where it was not finite, twice after `INTERVAL` good steps in a row.

    All have shape (...); `finite` and `taken` are those of `unscale`, the others of `scaling`, and may be overwritten.
    """
    none, one = good * 0.0, good * 0.0 + 1.0
    good = xp.where(finite, good + one, none)
    full = good >= INTERVAL
    larger = xp.where(full & (scale < LARGEST), 2.0 * scale, scale)
    # A scale that is too small to matter stays, so that 1 / scale is a number.
    smaller = xp.where(scale < SMALLEST, scale, 0.5 * scale)
    return xp.where(finite, larger, smaller), xp.where(full, none, good), number + xp.where(taken, one, none)
