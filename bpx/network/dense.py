"""One dense layer: z = x W + b, a = f(z), and back.

Shapes: x (..., n, n_in), W (..., n_in, n_out), b (..., 1, n_out), z and a (..., n, n_out). Leading axes are a stack.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bpx._typing import Array, Namespace
from bpx.formulas import linear
from bpx.formulas.activations import Activation
from bpx.network.params import LayerParams


@dataclass(slots=True)
class LayerCache:
    """A layer's arrays that `forward` keeps for `backward`; `grad_a` and `grad_z` are set by `backpropagate`."""

    x: Array
    z: Array
    a: Array
    mask: Array | None = None
    grad_a: Array | None = None
    grad_z: Array | None = None


def forward(
    xp: Namespace,
    x: Array,
    params: LayerParams,
    activation: Activation,
    linear: Any = linear,
    product: Array | None = None,
) -> LayerCache:
    """z = x W + b; a = f(z). `product` is x W if it is known already, and may be overwritten."""
    z, a = activation.after_bias(xp, linear.product(xp, x, params.W) if product is None else product, params.b)
    return LayerCache(x, z, a)


def backward(
    xp: Namespace, cache: LayerCache, params: LayerParams, grads: LayerParams, back: bool, linear: Any = linear
) -> Array | None:
    """grad_W = x^T grad_z and grad_b = sum_n grad_z, written into `grads`; returns grad_x = grad_z W^T if `back`."""
    linear.product(xp, xp.matrix_transpose(cache.x), cache.grad_z, grads.W)
    if grads.b is not None:
        linear.column_sums(xp, cache.grad_z, grads.b)
    return linear.product(xp, cache.grad_z, xp.matrix_transpose(params.W)) if back else None
