"""Twins of `bpx.formulas.activations`: bias and activation in one pass, in place where f'(z) needs only `a`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, final

import numpy as np

from bpx._typing import Array, Namespace
from bpx.kernels.cuda.compiling import (
    BLOCK,
    NULL,
    computed,
    cover,
    enqueue,
    is_plain,
    lanes,
    network_stride,
    number,
    storage,
)
from bpx.kernels.recording import launch, runs_users_code

__all__ = ["Twin", "twin"]

FORMULAS = "bpx.formulas.activations"


class Kernels(NamedTuple):
    """The kernels of an activation: what their names begin with, and whether z is kept beside a for the way back."""

    name: str
    keeps_z: bool = False
    # The parameter of the formula that the kernels take, too.
    parameter: str = ""


# By the formulas' names: forward, and derivative or Jacobian.
_MADE = {
    ("sigmoid", "_sigmoid_derivative"): Kernels("sigmoid"),
    ("tanh", "_tanh_derivative"): Kernels("tanh"),
    ("relu", "_relu_derivative"): Kernels("relu"),
    ("_leaky_relu", "_leaky_relu_derivative"): Kernels("leaky_relu", parameter="slope"),
    ("_elu", "_elu_derivative"): Kernels("elu", parameter="alpha"),
    ("softplus", "_softplus_derivative"): Kernels("softplus"),
    ("silu", "_silu_derivative"): Kernels("silu", keeps_z=True),
    ("gelu", "_gelu_derivative"): Kernels("gelu", keeps_z=True),
    ("exp", "_exp_derivative"): Kernels("exp", keeps_z=True),
    ("identity", "_identity_jacobian"): Kernels("identity"),
    ("softmax", "_softmax_jacobian"): Kernels("softmax"),
    ("step", ""): Kernels("step"),
}


@runs_users_code
def _write(out: Array, function: Callable[..., Array], *args: Any) -> None:
    """What a formula returns, into an array that is kept."""
    out[...] = function(*args)


@runs_users_code
def _after_bias(function: Callable[..., Any], xp: Namespace, z: Array, b: Array | None, a: Array) -> None:
    """Both results of a formula, into arrays that are kept."""
    summed, value = function(xp, z, b)
    if summed is not z:
        z[...] = summed
    a[...] = value


@final
class Twin:
    """``after_bias`` and ``backward`` of one activation, whichever it is."""

    def __init__(self, activation: Any) -> None:
        self._activation = activation
        self._kernels, self._parameter = _made(activation)

    def after_bias(self, xp: Namespace, z: Array, b: Array | None) -> tuple[Array, Array]:
        """z is overwritten, by `a` where both results are the same array."""
        kind = storage(z)
        if kind is None or z.ndim not in (2, 3):
            return NotImplemented
        b_stride = 0 if b is None else network_stride(b, computed(kind))
        if b_stride is None or (b is not None and (b.shape[-1] != z.shape[-1] or b.ndim > z.ndim)):
            return NotImplemented
        made = self._kernels
        if made is None:
            return self._by_formula(xp, z, b)
        if made.name == "identity" and b is None:
            return z, z
        n, k = z.shape[-2:]
        networks = z.size // (n * k)
        a, bias = xp.empty(z.shape, dtype=z.dtype) if made.keeps_z else z, NULL if b is None else b
        if made.name == "softmax":
            rows, width = networks * n, lanes(k, each=4)
            grid = cover(rows, BLOCK // width)
            enqueue("softmax.cu", kind, "softmax_forward", grid, z, a, bias, rows, n, k, b_stride, np.int32(width))
            return z, a
        at_once = 16 // z.itemsize if k % (16 // z.itemsize) == 0 else 1
        grid = cover(n * k, BLOCK * at_once, networks)
        name, parameter = f"{made.name}_forward", number(self._parameter, computed(kind))
        enqueue("activations.cu", kind, name, grid, z, a, bias, networks, n * k, k, b_stride, parameter)
        return z, a

    def _by_formula(self, xp: Namespace, z: Array, b: Array | None) -> tuple[Array, Array]:
        """An activation of the user's own."""
        a = xp.empty(z.shape, dtype=z.dtype)
        launch(_after_bias, self._activation.after_bias, xp, z, b, a)
        return z, a

    def backward(self, xp: Namespace, grad_a: Array, z: Array, a: Array, out: Array | None = None) -> Array:
        """Written into `out`, which may be grad_a."""
        made, kind = self._kernels, storage(grad_a)
        if made is not None and made.name == "identity":
            return grad_a
        if kind is None or not is_plain(kind, z, a) or not grad_a.shape == z.shape == a.shape:
            return NotImplemented
        if made is not None and made.name == "step":  # the formula says that it cannot
            return NotImplemented
        if out is None or not is_plain(kind, out) or out.shape != grad_a.shape:
            out = xp.empty(grad_a.shape, dtype=grad_a.dtype)
        if made is None:
            launch(_write, out, self._activation.backward, xp, grad_a, z, a)
        elif made.name == "softmax":
            k, width = a.shape[-1], lanes(a.shape[-1], each=4)
            rows = a.size // k
            grid = cover(rows, BLOCK // width)
            enqueue("softmax.cu", kind, "softmax_backward", grid, grad_a, a, out, rows, k, np.int32(width))
        else:
            grid, parameter = cover(a.size, BLOCK * (16 // a.itemsize)), number(self._parameter, computed(kind))
            enqueue("activations.cu", kind, f"{made.name}_backward", grid, grad_a, z, a, out, a.size, parameter)
        return out


def twin(activation: Any) -> Twin:
    """The twin of any activation, the user's own too."""
    return Twin(activation)


def _made(activation: Any) -> tuple[Kernels | None, float]:
    """The kernels of an activation and its parameter; None where there are none."""
    back = activation.jacobian if activation.jacobian is not None else activation.derivative
    made = _MADE.get((_name(activation.forward), _name(back)))
    if made is None or not made.parameter:
        return made, 0.0
    forward, derivative = activation.forward.keywords, back.keywords
    if forward != derivative or list(forward) != [made.parameter]:
        return None, 0.0
    return made, float(forward[made.parameter])


def _name(function: Any) -> str:
    """A formula's name; none for a function from elsewhere."""
    if isinstance(function, partial):
        function = function.func
    own = getattr(function, "__module__", None) == FORMULAS
    return str(getattr(function, "__name__", "")) if own else "" if function is None else "?"
