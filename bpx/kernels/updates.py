"""Twins of `bpx.formulas.updates`: every update in one pass over the flat vector.

Scalars are computed in Python's floats and rounded once to the vector's dtype, as the formulas' are. A stack whose
networks share their hyperparameters is one long vector; others take the formula.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from bpx._typing import Array, Namespace
from bpx.kernels.compiling import compiled, is_number, is_plain

__all__ = ["adagrad", "adam", "gradient_descent", "momentum", "rmsprop"]

Hyper = Any


@compiled
def _gradient_descent(grads: Array, params: Array, learning_rate: Any) -> None:
    rate = params.dtype.type(learning_rate)
    for i in range(params.size):
        params[i] -= rate * grads[i]


def gradient_descent(xp: Namespace, grads: Array, params: Array, learning_rate: Hyper) -> Array:
    """Without the vector r g in between."""
    if not is_number(learning_rate) or not is_plain(grads, params):
        return NotImplemented
    _gradient_descent(grads.reshape(-1), params.reshape(-1), float(learning_rate))
    return params


@compiled
def _momentum(grads: Array, velocity: Array, params: Array, learning_rate: Any, friction: Any, nesterov: Any) -> None:
    rate, kept = params.dtype.type(learning_rate), params.dtype.type(friction)
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
    _momentum(*flat, float(learning_rate), float(friction), bool(nesterov))
    return params, velocity


@compiled
def _scaled(grads: Array, square: Array, params: Array, learning_rate: Any, rho: Any, new: Any, epsilon: Any) -> None:
    """s <- rho s + new g^2; p <- p - r g / (sqrt(s) + eps): both RMSprop (new = 1 - rho) and Adagrad (both 1)."""
    dtype = params.dtype.type
    rate, old, share, small = dtype(learning_rate), dtype(rho), dtype(new), dtype(epsilon)
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
    _scaled(*flat, float(learning_rate), float(rho), 1.0 - rho, float(epsilon))
    return params, square


def adagrad(
    xp: Namespace, grads: Array, square: Array, params: Array, learning_rate: Hyper, epsilon: Hyper
) -> tuple[Array, Array]:
    """Sum of squares and parameters together."""
    if not is_number(learning_rate, epsilon) or not is_plain(grads, square, params):
        return NotImplemented
    _scaled(grads.reshape(-1), square.reshape(-1), params.reshape(-1), float(learning_rate), 1.0, 1.0, float(epsilon))
    return params, square


@compiled
def _adam(
    grads: Array, mean: Array, square: Array, params: Array, rates: Any, beta_1: Any, beta_2: Any, epsilon: Any
) -> None:
    """p <- kept p - rate (m / (sqrt(s) / root + eps)), with (kept, rate, root) = `rates`."""
    dtype = params.dtype.type
    kept, rate, root = dtype(rates[0]), dtype(rates[1]), dtype(rates[2])
    old_1, old_2, new_1, new_2 = dtype(beta_1), dtype(beta_2), dtype(1.0 - beta_1), dtype(1.0 - beta_2)
    small = dtype(epsilon)
    for i in range(params.size):
        mean[i] = old_1 * mean[i] + new_1 * grads[i]
        square[i] = old_2 * square[i] + new_2 * (grads[i] * grads[i])
        params[i] = kept * params[i] - rate * (mean[i] / (np.sqrt(square[i]) / root + small))


def adam(
    xp: Namespace,
    grads: Array,
    mean: Array,
    square: Array,
    params: Array,
    step: int,
    learning_rate: Hyper,
    beta_1: Hyper,
    beta_2: Hyper,
    epsilon: Hyper,
    epsilon_hat: bool,
    weight_decay: Hyper | None = None,
) -> tuple[Array, Array, Array]:
    """Both moments and the parameters together; the form with `epsilon_hat` divides by a root of 1."""
    decay = 0.0 if weight_decay is None else weight_decay
    if not is_number(learning_rate, beta_1, beta_2, epsilon, decay) or not is_plain(grads, mean, square, params):
        return NotImplemented
    rate = learning_rate / (1.0 - beta_1**step)
    root = (1.0 - beta_2**step) ** 0.5
    kept = 1.0 - learning_rate * decay
    rates = (kept, rate * root, 1.0) if epsilon_hat else (kept, rate, root)
    flat = grads.reshape(-1), mean.reshape(-1), square.reshape(-1), params.reshape(-1)
    _adam(*flat, rates, float(beta_1), float(beta_2), float(epsilon))
    return params, mean, square
