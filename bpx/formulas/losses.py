"""Losses: value and gradient from one function, on one scale.

The loss of a batch is the mean over its n samples (weighted: sum of w_i l_i over sum of w_i) of the sum over k outputs.
An elementwise formula ``f(xp, output, target)`` returns the values, one per sample and output, and their derivative
with respect to `output`; both of shape (..., n, k). `value_and_grad` alone applies weights and the mean.

Targets are numbers of shape (n, k), or integer class labels of shape (n,) for ``cross_entropy``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np

from bpx._typing import Array, Namespace
from bpx.errors.hints import unknown_value
from bpx.formulas.activations import Activation, Outputs, exp, exp_slope, sigmoid
from bpx.formulas.hyperparameters import numbers
from bpx.formulas.user_functions import loss_parts

__all__ = ["LOSSES", "Loss", "LossLike", "LossName", "get", "huber", "quantile"]

# The keys of `LOSSES`.
LossName = Literal[
    "squared_error", "absolute_error", "huber", "quantile", "binary_cross_entropy", "cross_entropy", "poisson"
]

Elementwise = Callable[[Namespace, Array, Array], tuple[Array, Array]]

# Which kinds of output a loss can be computed on; see `Activation.outputs`.
_ACCEPTS = {
    "real": {"real", "positive", "unit", "distribution"},
    "positive": {"positive", "unit", "distribution"},
    "unit": {"unit", "distribution"},
    "distribution": {"distribution"},
}


@dataclass(frozen=True)
class Loss:
    """A loss on outputs, and where it is numerically better, on the output layer's pre-activations.

    Parameters
    ----------
    name : str
        Shown in tables and error messages.
    on_outputs : callable
        ``on_outputs(xp, output, target) -> (values, grad)``, each of shape (..., n, k): one value per sample and
        output, and its derivative with respect to that output, without mean or weights.
    outputs : {"real", "positive", "unit", "distribution"}
        What the network's outputs must be for the loss to be defined.
    targets : {"real", "count", "unit", "classes"}
        What targets must be: any number, >= 0, in [0, 1], or class labels (integers, or rows that sum to 1).
    canonical : str, optional
        Name of the output activation for which `on_logits` holds.
    on_logits : callable, optional
        ``on_logits(xp, z, target) -> (values, grad_z)``: loss and activation in one stable formula.
    columns : int, optional
        The number of outputs that it needs, where it needs a certain one.
    """

    name: str
    on_outputs: Elementwise
    outputs: Outputs = "real"
    targets: Literal["real", "count", "unit", "classes"] = "real"
    canonical: str | None = None
    on_logits: Elementwise | None = None
    columns: int | None = None

    def takes_logits(self, activation: Activation) -> bool:
        """Whether the stable formula on pre-activations applies behind that output activation."""
        return self.on_logits is not None and activation.name == self.canonical

    def check_output(self, activation: Activation, n_out: int) -> None:
        """Refuse an output layer on which this loss is not defined.

        Raises
        ------
        ValueError
            Naming the output activations that fit.
        """
        if activation.outputs not in _ACCEPTS[self.outputs]:
            raise ValueError(
                f"loss {self.name!r} needs outputs that are {_OUTPUT_WORDS[self.outputs]}, but"
                f" output={activation.name!r} gives {_OUTPUT_WORDS[activation.outputs]};"
                + ("" if self.canonical is None else f" use output={self.canonical!r}, or")
                + f" give another loss, such as {_USUAL[activation.outputs]}"
            )
        if self.columns is not None and self.columns != n_out:
            raise ValueError(f"loss {self.name!r} is made for {self.columns} outputs, but the network has {n_out}")


# What every argument ``loss=`` takes.
LossLike = LossName | Loss | Callable[..., Any]

_OUTPUT_WORDS = {
    "real": "numbers of either sign",
    "positive": "positive",
    "unit": "between 0 and 1",
    "distribution": "class probabilities (rows that sum to 1)",
}


# Losses that outputs of a kind are trained with.
_USUAL = {
    "real": "'squared_error'",
    "positive": "'poisson' or 'squared_error'",
    "unit": "'binary_cross_entropy' or 'squared_error'",
    "distribution": "'cross_entropy'",
}


def default_for(activation: Activation) -> LossName:
    """The loss where none is named: `bpx.fit`'s default where the outputs allow it, else squared error."""
    return "cross_entropy" if activation.outputs == "distribution" else "squared_error"


def value_and_grad(
    xp: Namespace, formula: Elementwise, output: Array, target: Array, weight: Array | None, out: Array | None = None
) -> tuple[Array, Array]:
    """Loss of a batch and its gradient with respect to `output`: sum_i w_i l_i / sum_i w_i, with w_i = 1 by default.

    Parameters
    ----------
    xp : module
        Array API namespace.
    formula : callable
        A loss's ``on_outputs`` or ``on_logits``.
    output : Array of shape (..., n, k)
        Outputs or pre-activations.
    target : Array of shape (n, k), or (n,) of integers
        Targets; (..., n, k) or (..., n) where each network of a stack has its own.
    weight : Array of shape (n, 1) or (..., n, 1), optional
        Sample weights, not negative. Samples whose weights are all zero give a loss and a gradient of zero.
    out : Array, optional
        Hint: where the gradient may be written.

    Returns
    -------
    loss : Array of shape (...)
    grad : Array of shape (..., n, k)
    """
    values, grad = loss_parts(formula(xp, output, target), output)
    if weight is None:
        scale = 1.0 / output.shape[-2]
        return xp.sum(values, axis=(-2, -1)) * scale, grad * scale
    total = xp.sum(weight, axis=(-2, -1), keepdims=True)
    share = weight / xp.where(total > 0, total, xp.ones_like(total))
    return xp.sum(values * share, axis=(-2, -1)), grad * share


def one_hot(xp: Namespace, labels: Array, like: Array) -> Array:
    """Rows of 0 and 1 in the dtype, width and device of `like`, from integer labels of shape (n,)."""
    classes = xp.arange(like.shape[-1], dtype=labels.dtype, device=like.device)
    return xp.astype(labels[..., None] == classes, like.dtype)


def _log(xp: Namespace, a: Array) -> Array:
    """log(max(a, smallest normal number))."""
    return xp.log(xp.maximum(a, float(xp.finfo(a.dtype).smallest_normal)))


def squared_error(xp: Namespace, a: Array, y: Array) -> tuple[Array, Array]:
    """(a - y)^2 / 2; derivative a - y."""
    residual = a - y
    return 0.5 * residual * residual, residual


def absolute_error(xp: Namespace, a: Array, y: Array) -> tuple[Array, Array]:
    """|a - y|; derivative sign(a - y), 0 at 0."""
    residual = a - y
    return xp.abs(residual), xp.sign(residual)


def huber_error(xp: Namespace, a: Array, y: Array, delta: float) -> tuple[Array, Array]:
    """h (|r| - h/2) with r = a - y and h = min(|r|, delta); derivative clip(r, -delta, delta)."""
    residual = a - y
    held = xp.clip(residual, -delta, delta)
    return held * (residual - 0.5 * held), held


def quantile_error(xp: Namespace, a: Array, y: Array, q: float | tuple[float, ...]) -> tuple[Array, Array]:
    """max(q r, (q - 1) r) with r = y - a; derivative -q for r > 0, 1 - q for r < 0, 0 at 0."""
    level = q if isinstance(q, float) else xp.asarray(q, dtype=a.dtype, device=a.device)
    residual = y - a
    over = xp.astype(residual < 0, a.dtype)
    slope = (over - level) * xp.abs(xp.sign(residual))
    return -slope * residual, slope


def binary_cross_entropy(xp: Namespace, a: Array, y: Array) -> tuple[Array, Array]:
    """-(y log a + (1 - y) log(1 - a)); derivative (a - y) / (a (1 - a)), with a held inside (0, 1)."""
    info = xp.finfo(a.dtype)
    held = xp.clip(a, float(info.smallest_normal), 1.0 - float(info.eps))
    return -(y * xp.log(held) + (1.0 - y) * xp.log1p(-held)), (a - y) / (held * (1.0 - held))


def binary_cross_entropy_with_sigmoid(xp: Namespace, z: Array, y: Array) -> tuple[Array, Array]:
    """max(z, 0) - y z + log(1 + exp(-|z|)); derivative sigmoid(z) - y."""
    return xp.maximum(z, 0.0) - y * z + xp.log1p(xp.exp(-xp.abs(z))), sigmoid(xp, z) - y


def cross_entropy(xp: Namespace, a: Array, y: Array) -> tuple[Array, Array]:
    """-y log a; derivative -y / a, with a held above zero."""
    p = one_hot(xp, y, a) if y.ndim < a.ndim and xp.isdtype(y.dtype, "integral") else y
    return -p * _log(xp, a), -p / xp.maximum(a, float(xp.finfo(a.dtype).smallest_normal))


def cross_entropy_with_softmax(xp: Namespace, z: Array, y: Array) -> tuple[Array, Array]:
    """-y (z - max z - log sum exp(z - max z)); derivative softmax(z) sum(y) - y."""
    shifted = z - xp.max(z, axis=-1, keepdims=True)
    e = xp.exp(shifted)
    total = xp.sum(e, axis=-1, keepdims=True)
    log_p = shifted - xp.log(total)
    if xp.isdtype(y.dtype, "integral"):
        p = one_hot(xp, y, z)
        return -p * log_p, e / total - p
    return -y * log_p, e * (xp.sum(y, axis=-1, keepdims=True) / total) - y


def largest_capped(xp: Namespace, dtype: Any) -> float:
    """-log(eps), the largest value of a `capped` loss."""
    return -math.log(float(xp.finfo(dtype).eps))


def capped(xp: Namespace, output: Array, target: Array, formula: Elementwise) -> tuple[Array, Array]:
    """A cross-entropy's values, each at most -log(eps), and its unchanged gradient.

    This is what scikit-learn reports: it clips probabilities to [eps, 1 - eps] in the loss and not in the gradient.
    """
    values, grad = formula(xp, output, target)
    return xp.minimum(values, largest_capped(xp, output.dtype)), grad


def _y_log_y(xp: Namespace, y: Array) -> Array:
    """y log y, 0 at y = 0."""
    return y * _log(xp, y)


def poisson(xp: Namespace, a: Array, y: Array) -> tuple[Array, Array]:
    """a - y + y log(y / a), half the Poisson deviance; derivative 1 - y / a, with a held above zero."""
    # Also in proportion to y, so that y / a stays below the largest number.
    held = xp.maximum(a, float(xp.finfo(a.dtype).smallest_normal) * (1.0 + y))
    return a - y + _y_log_y(xp, y) - y * xp.log(held), 1.0 - y / held


def poisson_with_exp(xp: Namespace, z: Array, y: Array) -> tuple[Array, Array]:
    """exp(z) - y - y z + y log y; derivative exp(z) - y; `exp` continued as its tangent for large z."""
    return exp(xp, z) - y + _y_log_y(xp, y) - y * z, exp_slope(xp, z) - y


def huber(delta: float = 1.0) -> Loss:
    """r^2 / 2 for |r| <= delta, delta (|r| - delta / 2) beyond, with r = output - target (Huber 1964)."""
    if not (math.isfinite(delta) and delta > 0.0):
        raise ValueError(f"huber: expected a finite delta > 0, got {delta}")
    return Loss("huber", partial(huber_error, delta=float(delta)))


def quantile(q: float | Sequence[float] = 0.5) -> Loss:
    """Pinball loss: q r for r >= 0, (q - 1) r below, with r = target - output (Koenker and Bassett 1978).

    Parameters
    ----------
    q : float or sequence of float
        The quantile's level, in (0, 1); a sequence gives one level per output.
    """
    given = numbers("quantile", q, "levels inside (0, 1)")
    levels = tuple(float(level) for level in np.atleast_1d(given))
    if not levels or not all(0.0 < level < 1.0 for level in levels):
        raise ValueError(f"quantile: expected levels inside (0, 1), got {q}")
    if given.ndim == 0:
        return Loss("quantile", partial(quantile_error, q=levels[0]))
    return Loss("quantile", partial(quantile_error, q=levels), columns=len(levels))


LOSSES: dict[str, Loss] = {
    "squared_error": Loss("squared_error", squared_error),
    "absolute_error": Loss("absolute_error", absolute_error),
    "huber": huber(),
    "quantile": quantile(),
    "binary_cross_entropy": Loss(
        "binary_cross_entropy", binary_cross_entropy, "unit", "unit", "sigmoid", binary_cross_entropy_with_sigmoid
    ),
    "cross_entropy": Loss(
        "cross_entropy", cross_entropy, "distribution", "classes", "softmax", cross_entropy_with_softmax
    ),
    "poisson": Loss("poisson", poisson, "positive", "count", "exp", poisson_with_exp),
}


def get(loss: LossLike) -> Loss:
    """The loss of that name, the object itself, or a plain function ``f(xp, output, target) -> (values, grad)``.

    Raises
    ------
    ValueError
        If the name is not known; the message lists the known ones.
    TypeError
        If it is none of the three.
    """
    if isinstance(loss, Loss):
        return loss
    if isinstance(loss, type):
        raise TypeError(f"expected a loss's name, a bpx.Loss or a function, got the class {loss.__name__}; call it")
    if callable(loss):
        return Loss(getattr(loss, "__name__", "custom"), loss)
    if not isinstance(loss, str):
        raise TypeError(f"expected a loss's name, a bpx.Loss or a function, got {type(loss).__name__}")
    if loss not in LOSSES:
        raise ValueError(unknown_value("loss", loss, ", ".join(sorted(LOSSES))))
    return LOSSES[loss]
