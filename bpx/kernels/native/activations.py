"""Kernels of activations: bias and activation in one pass, and the gradient back.

Where f'(z) needs only `a`, `a` is written over `z`; where it needs z (silu, gelu, selu, mish, exp), f'(z) is.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple, final

import numpy as np

from bpx._typing import Array, Namespace
from bpx.formulas import activations as formulas
from bpx.kernels import kernel_table
from bpx.kernels.native.operations import is_plain, operate, unit_of

__all__ = ["TABLE", "kernel"]


class Names(NamedTuple):
    """The operations of an activation; without `backward` the gradient stays as it is."""

    forward: str
    backward: str | None
    # Whether the values get an array of their own, with f'(z) written over z.
    apart: bool = False


def _both(name: str) -> Names:
    return Names(f"{name}_forward", f"{name}_backward")


def _apart(name: str) -> Names:
    return Names(f"{name}_forward", "slope_backward", apart=True)


TABLE = {
    (formulas.identity, formulas.identity_jacobian): Names("identity_forward", None),
    (formulas.sigmoid, formulas.sigmoid_derivative): _both("sigmoid"),
    (formulas.tanh, formulas.tanh_derivative): _both("tanh"),
    (formulas.relu, formulas.relu_derivative): _both("relu"),
    (formulas.leaky_relu_value, formulas.leaky_relu_derivative): _both("leaky_relu"),
    (formulas.elu_value, formulas.elu_derivative): _both("elu"),
    (formulas.selu, formulas.selu_derivative): _apart("selu"),
    (formulas.softplus, formulas.softplus_derivative): _both("softplus"),
    (formulas.silu, formulas.silu_derivative): _apart("silu"),
    (formulas.mish, formulas.mish_derivative): _apart("mish"),
    (formulas.gelu, formulas.gelu_derivative): _apart("gelu"),
    (formulas.exp, formulas.exp_derivative): _apart("exp"),
    (formulas.softmax, formulas.softmax_jacobian): _both("softmax"),
    (formulas.step, None): Names("step_forward", None),
}


@final
class NativeActivation:
    """``after_bias`` and ``backward`` of one activation."""

    def __init__(self, names: Names, number: float) -> None:
        self._names, self._number = names, number

    def after_bias(self, xp: Namespace, z: Array, b: Array | None) -> tuple[Array, Array]:
        """z is overwritten: by `a`, or by f'(z) where the formula's derivative wants z."""
        if not is_plain(z) or (b is not None and (type(b) is not np.ndarray or b.dtype != z.dtype)):
            return NotImplemented
        names = self._names
        a = np.empty_like(z) if names.apart else z
        networks, (rows, k) = math.prod(z.shape[:-2]), z.shape[-2:]
        n = networks, rows, k, b.strides[0] // b.itemsize if b is not None and b.ndim == 3 else 0
        operate(names.forward, z.dtype, unit_of(networks, "rows", rows), n, (z, b, a), (self._number,), written=(0, 2),
                whole=(1,) if networks == 1 else ())  # fmt: skip
        return z, a

    def backward(self, xp: Namespace, grad_a: Array, z: Array, a: Array, out: Array | None = None) -> Array:
        """Written into `out`, which may be grad_a."""
        names = self._names
        if names.backward is None:
            return grad_a
        known = z if names.apart else a
        if out is None or not is_plain(known, grad_a, out) or known.shape != grad_a.shape:
            return NotImplemented
        networks, (rows, k) = math.prod(z.shape[:-2]), z.shape[-2:]
        unit, n = unit_of(networks, "rows", rows), (networks, rows, k)
        operate(names.backward, z.dtype, unit, n, (grad_a, known, out), (self._number,), written=(2,))
        return out


def kernel(activation: Any) -> NativeActivation | None:
    """The kernel of an activation whose two functions are the formulas' own, whatever name it is given."""
    names, number = kernel_table.of_activation(TABLE, activation)
    return None if names is None else NativeActivation(names, number)
