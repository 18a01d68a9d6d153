"""Twins of `bpx.formulas.updates`: every update in one pass over the flat vector.

The step's number and the learning rate come as arrays of no dimension, which a recorded step reads anew each time.
Scalars are computed in float64 and rounded once to the vector's dtype, as the formulas' are. A stack whose networks
share their hyperparameters is one long vector; others take the formula.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from bpx._typing import Array, Namespace
from bpx.kernels.numpy_fused.compiling import compiled, compiled_sum, is_number, is_plain
from bpx.kernels.recording import launch

__all__ = ["adagrad", "adam", "clip_by_global_norm", "gradient_descent", "momentum", "rmsprop"]

Hyper = Any


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
    rate = params.dtype.type(learning_rate[()])
    for i in range(params.size):
        params[i] -= rate * grads[i]


def gradient_descent(xp: Namespace, grads: Array, params: Array, learning_rate: Hyper) -> Array:
    """Without the vector r g in between."""
    if not is_number(learning_rate) or not is_plain(grads, params):
        return NotImplemented
    launch(_gradient_descent, grads.reshape(-1), params.reshape(-1), _cell(learning_rate))
    return params


@compiled
def _momentum(grads: Array, velocity: Array, params: Array, learning_rate: Array, friction: Any, nesterov: Any) -> None:
    rate, kept = params.dtype.type(learning_rate[()]), params.dtype.type(friction)
    if nesterov:
        for i in range(params.size):
            push = rate * grads[i]
            velocity[i] = kept * velocity[i] - push
            params[i] += kept * velocity[i] - push
    else:
        for i in range(params.size):
            velocity[i] = kept * velocity[i] - rate * grads[i]
            params[i] += velocity[i]


def momentum(
    xp: Namespace, grads: Array, velocity: Array, params: Array, learning_rate: Hyper, friction: Hyper, nesterov: bool
) -> tuple[Array, Array]:
    """Velocity and parameters together, r g once."""
    if not is_number(learning_rate, friction) or not is_plain(grads, velocity, params):
        return NotImplemented
    flat = grads.reshape(-1), velocity.reshape(-1), params.reshape(-1)
    launch(_momentum, *flat, _cell(learning_rate), float(friction), bool(nesterov))
    return params, velocity


@compiled
def _scaled(grads: Array, square: Array, params: Array, learning_rate: Array, rho: Any, new: Any, epsilon: Any) -> None:
    """s <- rho s + new g^2; p <- p - r g / (sqrt(s) + eps): both RMSprop (new = 1 - rho) and Adagrad (both 1)."""
    dtype = params.dtype.type
    rate, old, share, small = dtype(learning_rate[()]), dtype(rho), dtype(new), dtype(epsilon)
    for i in range(params.size):
        square[i] = old * square[i] + share * (grads[i] * grads[i])
        params[i] -= rate * (grads[i] / (np.sqrt(square[i]) + small))


def rmsprop(
    xp: Namespace, grads: Array, square: Array, params: Array, learning_rate: Hyper, rho: Hyper, epsilon: Hyper
) -> tuple[Array, Array]:
    """Mean square and parameters together."""
    if not is_number(learning_rate, rho, epsilon) or not is_plain(grads, square, params):
        return NotImplemented
    flat = grads.reshape(-1), square.reshape(-1), params.reshape(-1)
    launch(_scaled, *flat, _cell(learning_rate), float(rho), 1.0 - rho, float(epsilon))
    return params, square


def adagrad(
    xp: Namespace, grads: Array, square: Array, params: Array, learning_rate: Hyper, epsilon: Hyper
) -> tuple[Array, Array]:
    """Sum of squares and parameters together."""
    if not is_number(learning_rate, epsilon) or not is_plain(grads, square, params):
        return NotImplemented
    flat = grads.reshape(-1), square.reshape(-1), params.reshape(-1)
    launch(_scaled, *flat, _cell(learning_rate), 1.0, 1.0, float(epsilon))
    return params, square


@compiled
def _adam(
    grads: Array, mean: Array, square: Array, params: Array, step: Array, learning_rate: Array, numbers: Array, hat: Any
) -> None:
    """p <- kept p - rate (m / (sqrt(s) / root + eps)); the form with epsilon-hat divides by a root of 1.

    `numbers` are beta_1, beta_2, epsilon and the weight decay.
    """
    dtype = params.dtype.type
    beta_1, beta_2, count = numbers[0], numbers[1], np.float64(step[()])
    rate, root = learning_rate[()] / (1.0 - beta_1**count), (1.0 - beta_2**count) ** 0.5
    if hat:
        rate, root = rate * root, 1.0
    kept, pace, divisor = dtype(1.0 - learning_rate[()] * numbers[3]), dtype(rate), dtype(root)
    old_1, old_2, new_1, new_2 = dtype(beta_1), dtype(beta_2), dtype(1.0 - beta_1), dtype(1.0 - beta_2)
    small = dtype(numbers[2])
    for i in range(params.size):
        mean[i] = old_1 * mean[i] + new_1 * grads[i]
        square[i] = old_2 * square[i] + new_2 * (grads[i] * grads[i])
        params[i] = kept * params[i] - pace * (mean[i] / (np.sqrt(square[i]) / divisor + small))


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
    if not is_number(learning_rate, beta_1, beta_2, epsilon, decay) or not is_plain(grads, mean, square, params):
        return NotImplemented
    flat = grads.reshape(-1), mean.reshape(-1), square.reshape(-1), params.reshape(-1)
    numbers = np.array([beta_1, beta_2, epsilon, decay], dtype=np.float64)
    launch(_adam, *flat, _cell(step), _cell(learning_rate), numbers, bool(epsilon_hat))
    return params, mean, square


def _cell(number: Hyper) -> Array:
    """A number as a float64 array of no dimension; such an array as it is."""
    return number if isinstance(number, np.ndarray) else np.asarray(number, dtype=np.float64)
