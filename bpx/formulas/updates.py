"""The equations of one update, on flat vectors of shape (p,) or (K, p); the optimizers keep their state.

A hyperparameter is a number, or an array of shape (K, 1). Vectors are written in place where the library allows it: use
what is returned. All that needs memory is done before the first of them is written, so that an update which runs out of
memory has changed nothing.
"""

from __future__ import annotations

from typing import Any

from bpx._typing import Array, Namespace

__all__ = ["adagrad", "adam", "clip_by_global_norm", "gradient_descent", "momentum", "rmsprop"]

Hyper = Any


def clip_by_global_norm(xp: Namespace, grads: Array, max_norm: Hyper) -> Array:
    """Gradient times min(1, max_norm / norm), the norm of each network's whole gradient (Pascanu et al. 2013).

    The gradient given may be overwritten.
    """
    largest = xp.max(xp.abs(grads), axis=-1, keepdims=True)  # divided out, so that squares cannot overflow
    largest = xp.where(largest > 0.0, largest, xp.ones_like(largest))
    scaled = grads / largest
    norm = largest * xp.sqrt(xp.sum(scaled * scaled, axis=-1, keepdims=True))
    return grads * (max_norm / xp.maximum(norm, max_norm))


def gradient_descent(xp: Namespace, grads: Array, params: Array, learning_rate: Hyper) -> Array:
    """p <- p - r g."""
    params -= learning_rate * grads
    return params


def momentum(
    xp: Namespace, grads: Array, velocity: Array, params: Array, learning_rate: Hyper, friction: Hyper, nesterov: bool
) -> tuple[Array, Array]:
    """v <- m v - r g; p <- p + v (Polyak 1964), or p <- p + m v - r g (Nesterov; Sutskever et al. 2013, equation 7)."""
    push = learning_rate * grads
    after = friction * velocity
    after -= push
    move = friction * after - push if nesterov else after
    velocity[...] = after
    params += move
    return params, velocity


def rmsprop(
    xp: Namespace, grads: Array, square: Array, params: Array, learning_rate: Hyper, rho: Hyper, epsilon: Hyper
) -> tuple[Array, Array]:
    """s <- rho s + (1 - rho) g^2; p <- p - r g / (sqrt(s) + eps) (Tieleman and Hinton 2012, lecture 6e)."""
    mean = rho * square
    mean += (1.0 - rho) * (grads * grads)
    move = learning_rate * (grads / (xp.sqrt(mean) + epsilon))
    square[...] = mean
    params -= move
    return params, square


def adagrad(
    xp: Namespace, grads: Array, square: Array, params: Array, learning_rate: Hyper, epsilon: Hyper
) -> tuple[Array, Array]:
    """s <- s + g^2; p <- p - r g / (sqrt(s) + eps) (Duchi et al. 2011, diagonal form)."""
    total = square + grads * grads
    move = learning_rate * (grads / (xp.sqrt(total) + epsilon))
    square[...] = total
    params -= move
    return params, square


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
    """m <- b1 m + (1 - b1) g; s <- b2 s + (1 - b2) g^2; p <- p - r m^ / (sqrt(s^) + eps) (Kingma and Ba 2015, alg. 1).

    m^ = m / (1 - b1^t), s^ = s / (1 - b2^t), t = `step` from 1. With `epsilon_hat` the form before their section 2.1:
    p <- p - r sqrt(1 - b2^t) / (1 - b1^t) m / (sqrt(s) + eps). With `weight_decay` w first p <- p (1 - r w)
    (Loshchilov and Hutter 2019, algorithm 2).
    """
    first = beta_1 * mean
    first += (1.0 - beta_1) * grads
    second = beta_2 * square
    second += (1.0 - beta_2) * (grads * grads)
    rate = learning_rate / (1.0 - beta_1**step)
    root = (1.0 - beta_2**step) ** 0.5
    if epsilon_hat:
        move = (rate * root) * (first / (xp.sqrt(second) + epsilon))
    else:
        move = rate * (first / (xp.sqrt(second) / root + epsilon))
    kept = None if weight_decay is None else 1.0 - learning_rate * weight_decay
    if kept is not None:
        params *= kept
    mean[...] = first
    square[...] = second
    params -= move
    return params, mean, square
