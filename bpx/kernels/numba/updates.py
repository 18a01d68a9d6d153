"""Kernels of updates: every update in one pass over the flat vector.

The step's number and the learning rate come as arrays of no dimension, which a recorded step reads anew each time.
Scalars are computed in float64 and rounded once to the vector's dtype, as the formulas' are. Vectors have shape (K, p);
of a hyperparameter there is one number, for all, or one for each network.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from bpx._typing import Array, Namespace
from bpx.formulas import updates as formulas
from bpx.formulas.updates import Hyper
from bpx.kernels import kernel_table
from bpx.kernels.numba.compiling import compiled, compiled_sum, is_number, is_plain
from bpx.kernels.recording import launch

__all__ = ["KERNELS"]


@compiled_sum
def _clip(grads: Array, max_norm: Any) -> None:
    """Squares of what is divided by the largest value cannot overflow."""
    one, most = grads.dtype.type(1.0), grads.dtype.type(max_norm)
    for network in range(grads.shape[0]):
        largest = grads.dtype.type(0.0)
        for i in range(grads.shape[1]):
            size = abs(grads[network, i])
            if not size <= largest:  # NaN, too
                largest = size
        scale = largest if largest > 0 else one
        total = grads.dtype.type(0.0)
        for i in range(grads.shape[1]):
            part = grads[network, i] / scale
            total += part * part
        norm = scale * np.sqrt(total)
        if not norm <= most:
            factor = most / norm
            for i in range(grads.shape[1]):
                grads[network, i] *= factor


def clip_by_global_norm(xp: Namespace, grads: Array, max_norm: Hyper) -> Array:
    """In place; nothing is written where nothing is clipped."""
    if not is_number(max_norm) or not is_plain(grads):
        return NotImplemented
    launch(_clip, grads.reshape(-1, grads.shape[-1]), float(max_norm))
    return grads


@compiled
def _gradient_descent(grads: Array, params: Array, learning_rate: Array) -> None:
    for network in range(params.shape[0]):
        g, p = grads[network], params[network]
        rate = p.dtype.type(learning_rate[network if learning_rate.size > 1 else 0])
        for i in range(p.size):
            p[i] -= rate * g[i]


def gradient_descent(xp: Namespace, grads: Array, params: Array, learning_rate: Hyper) -> Array:
    """Without the vector r g in between."""
    if not _are_numbers(learning_rate) or not is_plain(grads, params):
        return NotImplemented
    launch(_gradient_descent, *_rows(grads, params), _live(learning_rate))
    return params


@compiled
def _momentum(
    grads: Array, velocity: Array, params: Array, learning_rate: Array, frictions: Array, nesterov: Any
) -> None:
    for network in range(params.shape[0]):
        g, v, p = grads[network], velocity[network], params[network]
        rate = p.dtype.type(learning_rate[network if learning_rate.size > 1 else 0])
        kept = p.dtype.type(frictions[0, network if frictions.shape[1] > 1 else 0])
        if nesterov:
            for i in range(p.size):
                push = rate * g[i]
                v[i] = kept * v[i] - push
                p[i] += kept * v[i] - push
        else:
            for i in range(p.size):
                v[i] = kept * v[i] - rate * g[i]
                p[i] += v[i]


def momentum(
    xp: Namespace, grads: Array, velocity: Array, params: Array, learning_rate: Hyper, friction: Hyper, nesterov: bool
) -> tuple[Array, Array]:
    """Velocity and parameters together, r g once."""
    if not _are_numbers(learning_rate, friction) or not is_plain(grads, velocity, params):
        return NotImplemented
    rows = _rows(grads, velocity, params)
    launch(_momentum, *rows, _live(learning_rate), _fixed(friction), bool(nesterov))
    return params, velocity


@compiled
def _scaled(grads: Array, square: Array, params: Array, learning_rate: Array, numbers: Array) -> None:
    """s <- rho s + new g^2; p <- p - r g / (sqrt(s) + eps): both RMSprop (new = 1 - rho) and Adagrad (both 1).

    `numbers` are rho, new and epsilon.
    """
    dtype = params.dtype.type
    for network in range(params.shape[0]):
        g, s, p = grads[network], square[network], params[network]
        own = network if numbers.shape[1] > 1 else 0
        rate = dtype(learning_rate[network if learning_rate.size > 1 else 0])
        old, share, small = dtype(numbers[0, own]), dtype(numbers[1, own]), dtype(numbers[2, own])
        for i in range(p.size):
            s[i] = old * s[i] + share * (g[i] * g[i])
            p[i] -= rate * (g[i] / (np.sqrt(s[i]) + small))


def rmsprop(
    xp: Namespace, grads: Array, square: Array, params: Array, learning_rate: Hyper, rho: Hyper, epsilon: Hyper
) -> tuple[Array, Array]:
    """Mean square and parameters together."""
    if not _are_numbers(learning_rate, rho, epsilon) or not is_plain(grads, square, params):
        return NotImplemented
    launch(_scaled, *_rows(grads, square, params), _live(learning_rate), _fixed(rho, 1.0 - rho, epsilon))
    return params, square


def adagrad(
    xp: Namespace, grads: Array, square: Array, params: Array, learning_rate: Hyper, epsilon: Hyper
) -> tuple[Array, Array]:
    """Sum of squares and parameters together."""
    if not _are_numbers(learning_rate, epsilon) or not is_plain(grads, square, params):
        return NotImplemented
    launch(_scaled, *_rows(grads, square, params), _live(learning_rate), _fixed(1.0, 1.0, epsilon))
    return params, square


@compiled
def _adam(
    grads: Array, mean: Array, square: Array, params: Array, step: Array, learning_rate: Array, numbers: Array, hat: Any
) -> None:
    """p <- kept p - rate (m / (sqrt(s) / root + eps)); the form with epsilon-hat divides by a root of 1.

    `numbers` are beta_1, beta_2, epsilon and the weight decay.
    """
    dtype = params.dtype.type
    count = np.float64(step[()])
    for network in range(params.shape[0]):
        g, m, s, p = grads[network], mean[network], square[network], params[network]
        own = network if numbers.shape[1] > 1 else 0
        beta_1, beta_2 = numbers[0, own], numbers[1, own]
        first = np.float64(learning_rate[network if learning_rate.size > 1 else 0])
        rate, root = first / (1.0 - beta_1**count), (1.0 - beta_2**count) ** 0.5
        if hat:
            rate, root = rate * root, 1.0
        kept, pace, divisor = dtype(1.0 - first * numbers[3, own]), dtype(rate), dtype(root)
        old_1, old_2, new_1, new_2 = dtype(beta_1), dtype(beta_2), dtype(1.0 - beta_1), dtype(1.0 - beta_2)
        small = dtype(numbers[2, own])
        for i in range(p.size):
            m[i] = old_1 * m[i] + new_1 * g[i]
            s[i] = old_2 * s[i] + new_2 * (g[i] * g[i])
            p[i] = kept * p[i] - pace * (m[i] / (np.sqrt(s[i]) / divisor + small))


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
    decay = 0.0 if weight_decay is None else weight_decay
    if not _are_numbers(learning_rate, beta_1, beta_2, epsilon, decay) or not is_plain(grads, mean, square, params):
        return NotImplemented
    rows = _rows(grads, mean, square, params)
    number = step if isinstance(step, np.ndarray) else np.asarray(step, dtype=np.float64)
    numbers = _fixed(beta_1, beta_2, epsilon, decay)
    launch(_adam, *rows, number, _live(learning_rate), numbers, bool(epsilon_hat))
    return params, mean, square


def _are_numbers(*values: Hyper) -> bool:
    """Whether each hyperparameter is a number, or an array (K, 1) with one for each network."""
    return all(is_number(v) or (isinstance(v, np.ndarray) and v.ndim == 2 and v.dtype.kind == "f") for v in values)


def _rows(*vectors: Array) -> list[Array]:
    """Vectors as arrays (K, p)."""
    return [v.reshape(-1, v.shape[-1]) for v in vectors]


def _live(number: Hyper) -> Array:
    """One number or K of them as an array (1,) or (K,), which is a view of the one that is given."""
    return number.reshape(-1) if isinstance(number, np.ndarray) else np.asarray([number], dtype=np.float64)


def _fixed(*values: Hyper) -> Array:
    """Hyperparameters that do not change as one float64 array, (hyperparameters, 1 or K)."""
    columns = np.broadcast_arrays(*(np.asarray(v, dtype=np.float64).reshape(-1) for v in values))
    return np.ascontiguousarray(np.stack(columns))


KERNELS = kernel_table.table(formulas, clip_by_global_norm, gradient_descent, momentum, rmsprop, adagrad, adam)
