"""Kernels of updates: every update in one pass over the flat vector.

The step's number and the learning rate come as arrays, which a recorded step reads anew each time. Scalars are computed
in float64 and rounded once to the vector's dtype, as the formulas' are. Vectors have shape (K, p); of a hyperparameter
there is one number, for all, or one for each network.
"""

from __future__ import annotations

import math

import numpy as np

from bpx._typing import Array, Namespace
from bpx.formulas import updates as formulas
from bpx.formulas.updates import Hyper
from bpx.kernels import kernel_table
from bpx.kernels.native.linear import BLOCK
from bpx.kernels.native.operations import is_plain, operate, unit_of

__all__ = ["KERNELS"]


def clip_by_global_norm(xp: Namespace, grads: Array, max_norm: Hyper) -> Array:
    """In place; sums are made in blocks, whose order is fixed."""
    if not _are_numbers(max_norm) or not is_plain(grads):
        return NotImplemented
    networks, p, blocks = math.prod(grads.shape[:-1]), grads.shape[-1], -(-grads.shape[-1] // BLOCK)
    largest, squares, most = np.empty((networks, blocks)), np.empty((networks, blocks)), _numbers(max_norm)
    unit, one = unit_of(networks, "blocks", p), networks == 1
    n = networks, p, blocks
    operate("clip_largest", grads.dtype, unit, n, (grads, largest), written=(1,))
    operate("clip_squares", grads.dtype, unit, n, (grads, largest, squares), written=(2,), whole=(1,) if one else ())
    operate("clip_scale", grads.dtype, unit, (*n, int(most.size > 1)), (grads, largest, squares, most), written=(0,),
            whole=(1, 2, 3) if one else ())  # fmt: skip
    return grads


def gradient_descent(xp: Namespace, grads: Array, params: Array, learning_rate: Hyper) -> Array:
    """Without the vector r g in between."""
    return params if _update("gradient_descent", (grads, params), learning_rate) else NotImplemented


def momentum(
    xp: Namespace, grads: Array, velocity: Array, params: Array, learning_rate: Hyper, friction: Hyper, nesterov: bool
) -> tuple[Array, Array]:
    """Velocity and parameters together, r g once."""
    done = _update("momentum", (grads, params, velocity), learning_rate, (friction,), flag=nesterov)
    return (params, velocity) if done else NotImplemented


def rmsprop(
    xp: Namespace, grads: Array, square: Array, params: Array, learning_rate: Hyper, rho: Hyper, epsilon: Hyper
) -> tuple[Array, Array]:
    """Mean square and parameters together."""
    if not _are_numbers(rho):
        return NotImplemented
    done = _update("scaled", (grads, params, square), learning_rate, (rho, 1.0 - rho, epsilon))
    return (params, square) if done else NotImplemented


def adagrad(
    xp: Namespace, grads: Array, square: Array, params: Array, learning_rate: Hyper, epsilon: Hyper
) -> tuple[Array, Array]:
    """Sum of squares and parameters together."""
    done = _update("scaled", (grads, params, square), learning_rate, (1.0, 1.0, epsilon))
    return (params, square) if done else NotImplemented


def adam(
    xp: Namespace,
    grads: Array,
    mean: Array,
    square: Array,
    params: Array,
    step: int | Array,
    learning_rate: Hyper,
    beta_1: Hyper,
    beta_2: Hyper,
    epsilon: Hyper,
    epsilon_hat: bool,
    weight_decay: Hyper | None = None,
) -> tuple[Array, Array, Array]:
    """Both moments and the parameters together."""
    hypers = beta_1, beta_2, epsilon, 0.0 if weight_decay is None else weight_decay
    done = _update("adam", (grads, params, mean, square), learning_rate, hypers, (_numbers(step),), epsilon_hat)
    return (params, mean, square) if done else NotImplemented


def _update(
    name: str, vectors: tuple[Array, ...], rate: Hyper, hypers: tuple[Hyper, ...] = (), more: tuple[Array, ...] = (),
    flag: bool = False,
) -> bool:  # fmt: skip
    """Launch an update of the vectors, of which the gradient is the first; False where it is not for the library."""
    first = vectors[0]
    if not _are_numbers(rate, *hypers) or not is_plain(*vectors):
        return False
    networks, p, rates = math.prod(first.shape[:-1]), first.shape[-1], _numbers(rate)
    n = [networks, p, int(rates.size > 1)]
    numbers: tuple[Array, ...] = (rates,)
    if hypers:
        columns = np.broadcast_arrays(*(np.asarray(h, dtype=np.float64).reshape(-1) for h in hypers))
        table = np.ascontiguousarray(np.stack(columns))
        n += [int(table.shape[1] > 1), table.shape[1], int(flag)]
        numbers += (table,)
    arrays, unit = (*vectors, *numbers, *more), unit_of(networks, "parameters", p)
    whole = range(len(vectors), len(arrays)) if networks == 1 else ()
    operate(name, first.dtype, unit, n, arrays, written=range(1, len(vectors)), whole=whole)
    return True


def _are_numbers(*values: Hyper) -> bool:
    """Whether each is a number (an array of no dimension, too), or an array (K, 1) with one for each network."""
    return all(
        isinstance(v, (float, int)) or (isinstance(v, np.ndarray) and v.ndim in (0, 2) and v.dtype.kind == "f")
        for v in values
    )


def _numbers(value: Hyper) -> Array:
    """One number or K of them as a float64 array (1,) or (K,): a view of the one that is given where it can be."""
    return np.ascontiguousarray(value, dtype=np.float64).reshape(-1)


KERNELS = kernel_table.table(formulas, clip_by_global_norm, gradient_descent, momentum, rmsprop, adagrad, adam)
