"""Kernels of updates: vectors updated piece by piece, so that what is in between stays in the cache.

The step's number and the learning rate may come as arrays of no dimension, so that a recorded step reads what they are
then. Hyperparameters of shape (K, 1) are one for each network of a stack. What needs memory comes before the first
write, as in the formulas.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from bpx._typing import Array, Namespace
from bpx.formulas import updates as formulas
from bpx.formulas.updates import Hyper
from bpx.kernels import kernel_table
from bpx.kernels.recording import launch

__all__ = ["KERNELS"]

# Elements that are updated together: five vectors of them fit into a core's own cache.
PIECE = 32768


def _in_pieces(
    update: Callable[..., None], hypers: tuple[Hyper, ...], vectors: tuple[Array, ...], spare: tuple[Array, Array]
) -> None:
    """``update(*hypers, *vectors, *spare)``, piece by piece where the spare arrays are shorter than the vectors."""
    if spare[0].size == vectors[0].size:
        update(*hypers, *vectors, *spare)
        return
    flat = [v.reshape(-1) for v in vectors]
    for start in range(0, flat[0].size, PIECE):
        pieces = [v[start : start + PIECE] for v in flat]
        size = pieces[0].size
        update(*hypers, *pieces, spare[0][:size], spare[1][:size])


def _launch(update: Callable[..., None], hypers: tuple[Hyper, ...], *vectors: Array) -> None:
    """Hand an update to `launch`."""
    first = vectors[0]
    whole = first.size <= PIECE or any(np.ndim(h) for h in hypers) or not all(v.flags.c_contiguous for v in vectors)
    shape = first.shape if whole else (PIECE,)
    spare = np.empty(shape, dtype=first.dtype), np.empty(shape, dtype=first.dtype)
    launch(_in_pieces, update, hypers, vectors, spare)


def _now(hyper: Hyper) -> Any:
    """A number as it is now; an array with one for each network as it is."""
    return hyper.item() if isinstance(hyper, np.ndarray) and not hyper.ndim else hyper


def _clip(grads: Array, max_norm: Hyper, spare: Array) -> None:
    np.abs(grads, spare)
    largest = np.max(spare, axis=-1, keepdims=True)
    largest[~(largest > 0.0)] = 1.0
    np.divide(grads, largest, spare)
    norm = largest * np.sqrt(np.vecdot(spare, spare))[..., None]
    np.multiply(grads, max_norm / np.maximum(norm, max_norm), grads)


def clip_by_global_norm(xp: Namespace, grads: Array, max_norm: Hyper) -> Array:
    """grads <- grads min(1, max_norm / norm), in place."""
    launch(_clip, grads, max_norm, np.empty_like(grads))
    return grads


def _gradient_descent(rate: Any, grads: Array, params: Array, push: Array, _: Array) -> None:
    np.multiply(grads, _now(rate), push)
    np.subtract(params, push, params)


def gradient_descent(xp: Namespace, grads: Array, params: Array, learning_rate: Hyper) -> Array:
    """params <- params - r grads, in place."""
    _launch(_gradient_descent, (learning_rate,), grads, params)
    return params


def _momentum(rate: Any, kept: Any, grads: Array, velocity: Array, params: Array, push: Array, _: Array) -> None:
    np.multiply(grads, _now(rate), push)
    np.multiply(velocity, kept, velocity)
    np.subtract(velocity, push, velocity)
    np.add(params, velocity, params)


def _nesterov(rate: Any, kept: Any, grads: Array, velocity: Array, params: Array, push: Array, ahead: Array) -> None:
    np.multiply(grads, _now(rate), push)
    np.multiply(velocity, kept, velocity)
    np.subtract(velocity, push, velocity)
    np.multiply(velocity, kept, ahead)
    np.subtract(ahead, push, ahead)
    np.add(params, ahead, params)


def momentum(
    xp: Namespace, grads: Array, velocity: Array, params: Array, learning_rate: Hyper, friction: Hyper, nesterov: bool
) -> tuple[Array, Array]:
    """Velocity and parameters in place."""
    _launch(_nesterov if nesterov else _momentum, (learning_rate, friction), grads, velocity, params)
    return params, velocity


def _scaled(
    rate: Any, old: Any, new: Any, epsilon: Any, grads: Array, square: Array, params: Array, work: Array, _: Array
) -> None:
    """s <- old s + new g^2; p <- p - r g / (sqrt(s) + eps): both RMSprop (new = 1 - old) and Adagrad (both 1)."""
    np.multiply(grads, grads, work)
    np.multiply(work, new, work)
    np.multiply(square, old, square)
    np.add(square, work, square)
    np.sqrt(square, work)
    np.add(work, epsilon, work)
    np.divide(grads, work, work)
    np.multiply(work, _now(rate), work)
    np.subtract(params, work, params)


def rmsprop(
    xp: Namespace, grads: Array, square: Array, params: Array, learning_rate: Hyper, rho: Hyper, epsilon: Hyper
) -> tuple[Array, Array]:
    """Mean square and parameters in place."""
    _launch(_scaled, (learning_rate, rho, 1.0 - rho, epsilon), grads, square, params)
    return params, square


def adagrad(
    xp: Namespace, grads: Array, square: Array, params: Array, learning_rate: Hyper, epsilon: Hyper
) -> tuple[Array, Array]:
    """Sum of squares and parameters in place."""
    _launch(_scaled, (learning_rate, 1.0, 1.0, epsilon), grads, square, params)
    return params, square


def _adam(
    step: Any, rate: Any, beta_1: Any, beta_2: Any, epsilon: Any, decay: Any, hat: Any,
    grads: Array, mean: Array, square: Array, params: Array, work: Array, move: Array,
) -> None:  # fmt: skip
    step, rate = _now(step), _now(rate)
    scale, root = rate / (1.0 - beta_1**step), (1.0 - beta_2**step) ** 0.5
    if hat:
        scale = scale * root
    new_1, new_2, kept = 1.0 - beta_1, 1.0 - beta_2, 1.0 - rate * decay
    np.multiply(grads, new_1, work)
    np.multiply(mean, beta_1, mean)
    np.add(mean, work, mean)
    np.multiply(grads, grads, work)
    np.multiply(work, new_2, work)
    np.multiply(square, beta_2, square)
    np.add(square, work, square)
    np.sqrt(square, work)
    if not hat:
        np.divide(work, root, work)
    np.add(work, epsilon, work)
    np.divide(mean, work, move)
    np.multiply(move, scale, move)
    if np.ndim(decay) or decay:
        np.multiply(params, kept, params)
    np.subtract(params, move, params)


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
    """Both moments and the parameters in place."""
    hypers = (step, learning_rate, beta_1, beta_2, epsilon, 0.0 if weight_decay is None else weight_decay, epsilon_hat)
    _launch(_adam, hypers, grads, mean, square, params)
    return params, mean, square


KERNELS = kernel_table.table(formulas, clip_by_global_norm, gradient_descent, momentum, rmsprop, adagrad, adam)
