"""Kernels of activations: bias and activation in one pass, in place where f'(z) needs only `a`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, final

import numpy as np

from bpx._typing import Array, Namespace
from bpx.formulas import activations as formulas
from bpx.kernels import kernel_table
from bpx.kernels.cuda import sources
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
from bpx.kernels.recording import launch, runs_users_code, write

__all__ = ["TABLE", "kernel"]

FILE, SOFTMAX = "activations.cu", "softmax.cu"


class Kernels(NamedTuple):
    """The names of an activation's two kernels, and whether z is kept beside a for the way back.

    An empty name says that there is nothing to do, None that it cannot be done.
    """

    forward: str
    backward: str | None
    keeps_z: bool = False


def _both(name: str, file: str = FILE, keeps_z: bool = False) -> Kernels:
    """Kernels of the file whose names begin so."""
    return Kernels(sources.kernel(file, f"{name}_forward"), sources.kernel(file, f"{name}_backward"), keeps_z)


TABLE = {
    (formulas.sigmoid, formulas.sigmoid_derivative): _both("sigmoid"),
    (formulas.tanh, formulas.tanh_derivative): _both("tanh"),
    (formulas.relu, formulas.relu_derivative): _both("relu"),
    (formulas.leaky_relu_value, formulas.leaky_relu_derivative): _both("leaky_relu"),
    (formulas.elu_value, formulas.elu_derivative): _both("elu"),
    (formulas.selu, formulas.selu_derivative): _both("selu", keeps_z=True),
    (formulas.softplus, formulas.softplus_derivative): _both("softplus"),
    (formulas.silu, formulas.silu_derivative): _both("silu", keeps_z=True),
    (formulas.mish, formulas.mish_derivative): _both("mish", keeps_z=True),
    (formulas.gelu, formulas.gelu_derivative): _both("gelu", keeps_z=True),
    (formulas.exp, formulas.exp_derivative): _both("exp", keeps_z=True),
    (formulas.softmax, formulas.softmax_jacobian): _both("softmax", SOFTMAX),
    (formulas.identity, formulas.identity_jacobian): Kernels(sources.kernel(FILE, "identity_forward"), ""),
    (formulas.step, None): Kernels(sources.kernel(FILE, "step_forward"), None),
}
_SOFTMAX = TABLE[formulas.softmax, formulas.softmax_jacobian]


@runs_users_code
def _after_bias(function: Callable[..., Any], xp: Namespace, z: Array, b: Array | None, a: Array) -> None:
    """Both results of a formula, into arrays that are kept."""
    summed, value = function(xp, z, b)
    if summed is not z:
        z[...] = summed
    a[...] = value


@final
class CudaActivation:
    """``after_bias`` and ``backward`` of any activation, the user's own too."""

    def __init__(self, activation: Any) -> None:
        self._activation = activation
        self._kernels: Kernels | None
        self._kernels, self._parameter = kernel_table.of_activation(TABLE, activation)

    def after_bias(self, xp: Namespace, z: Array, b: Array | None) -> tuple[Array, Array]:
        """z is overwritten, by `a` where both results are the same array."""
        kind = storage(z)
        if kind is None or z.ndim not in (2, 3):
            return NotImplemented
        b_stride = 0 if b is None else network_stride(b, computed(kind))
        if b_stride is None or (b is not None and (b.shape[-1] != z.shape[-1] or b.ndim > z.ndim)):
            return NotImplemented
        kernels = self._kernels
        if kernels is None:
            a = xp.empty(z.shape, dtype=z.dtype)
            launch(_after_bias, self._activation.after_bias, xp, z, b, a)
            return z, a
        if kernels.backward == "" and b is None:
            return z, z
        n, k = z.shape[-2:]
        networks = z.size // (n * k)
        a, bias = xp.empty(z.shape, dtype=z.dtype) if kernels.keeps_z else z, NULL if b is None else b
        if kernels is _SOFTMAX:
            rows, width = networks * n, lanes(k, each=4)
            grid = cover(rows, BLOCK // width)
            enqueue(SOFTMAX, kind, kernels.forward, grid, z, a, bias, rows, n, k, b_stride, np.int32(width))
            return z, a
        at_once = 16 // z.itemsize if k % (16 // z.itemsize) == 0 else 1
        grid, parameter = cover(n * k, BLOCK * at_once, networks), number(self._parameter, computed(kind))
        enqueue(FILE, kind, kernels.forward, grid, z, a, bias, networks, n * k, k, b_stride, parameter)
        return z, a

    def backward(self, xp: Namespace, grad_a: Array, z: Array, a: Array, out: Array | None = None) -> Array:
        """Written into `out`, which may be grad_a."""
        kernels, kind = self._kernels, storage(grad_a)
        if kernels is not None and kernels.backward == "":
            return grad_a
        if kind is None or not is_plain(kind, z, a) or not grad_a.shape == z.shape == a.shape:
            return NotImplemented
        name = "" if kernels is None else kernels.backward
        if name is None:  # the formula says that it cannot
            return NotImplemented
        if out is None or not is_plain(kind, out) or out.shape != grad_a.shape:
            out = xp.empty(grad_a.shape, dtype=grad_a.dtype)
        if kernels is None:
            launch(write, out, self._activation.backward, xp, grad_a, z, a)
        elif kernels is _SOFTMAX:
            k, width = a.shape[-1], lanes(a.shape[-1], each=4)
            rows = a.size // k
            grid = cover(rows, BLOCK // width)
            enqueue(SOFTMAX, kind, name, grid, grad_a, a, out, rows, k, np.int32(width))
        else:
            grid, parameter = cover(a.size, BLOCK * (16 // a.itemsize)), number(self._parameter, computed(kind))
            enqueue(FILE, kind, name, grid, grad_a, z, a, out, a.size, parameter)
        return out


kernel = CudaActivation
