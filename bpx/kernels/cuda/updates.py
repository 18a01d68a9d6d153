"""Kernels of updates: each update in one pass over its vectors.

The step's number and the learning rate may come as float64 arrays of no dimension, so that a replayed step reads what
they are then. Hyperparameters of shape (K, 1) are one for each network of a stack. Where `taken`, a bool array of shape
(...), is given, networks for which it is False stay as they are.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from bpx._typing import Array, Namespace
from bpx.formulas import updates as formulas
from bpx.formulas.updates import Hyper
from bpx.kernels import kernel_table
from bpx.kernels.cuda.compiling import BLOCK, NULL, blocks, computed, cover, enqueue, is_array, is_plain, storage

__all__ = ["KERNELS"]

# Elements of a vector that each thread updates, where there are enough.
EACH = 4
# Blocks that share a network's norm: each reads what the others found.
NORM_BLOCKS = BLOCK


def _arguments(hyper: Hyper, dtype: str, networks: int) -> tuple[Any, Any, float] | None:
    """A hyperparameter as kernels take it: one for each network, one on the device, a number."""
    if not is_array(hyper):
        return (NULL, NULL, float(hyper)) if np.ndim(hyper) == 0 else None
    if hyper.ndim == 0 and is_plain("float64", hyper):
        return NULL, hyper, 0.0
    if is_plain(dtype, hyper) and hyper.size == networks:
        return hyper, NULL, 0.0
    return None


def _run(
    name: str, hypers: tuple[Hyper, ...], flags: tuple[bool, ...], taken: Array | None, grads: Array, *vectors: Array
) -> Any:
    """Launch an update and return what it has written: the parameters, which come last, then the moments."""
    kind = storage(grads)
    if kind is None or computed(kind) != kind or not is_plain(kind, *vectors):
        return NotImplemented
    if any(v.shape != grads.shape for v in vectors):
        return NotImplemented
    networks = grads.size // grads.shape[-1]
    if taken is not None and not (is_plain("bool", taken) and taken.size == networks):
        return NotImplemented
    given: list[Any] = []
    for hyper in hypers:
        arguments = _arguments(hyper, kind, networks)
        if arguments is None:
            return NotImplemented
        given += arguments
    # What holds for all networks makes one long vector of them.
    if taken is None and not any(is_array(hyper) and hyper.ndim for hyper in hypers):
        networks = 1
    size = grads.size // networks
    grid, signs = cover(size, EACH * BLOCK, networks), [np.int32(flag) for flag in flags]
    who = NULL if taken is None else taken
    enqueue("updates.cu", kind, name, grid, grads, *vectors, *given, *signs, who, networks, size)
    return (vectors[-1], *vectors[:-1])


def clip_by_global_norm(xp: Namespace, grads: Array, max_norm: Hyper) -> Array:
    """grads <- grads min(1, max_norm / norm), in place."""
    kind = storage(grads)
    if kind is None or computed(kind) != kind:
        return NotImplemented
    size = grads.shape[-1]
    networks = grads.size // size
    arguments = _arguments(max_norm, kind, networks)
    if arguments is None:
        return NotImplemented
    share = min(blocks(size, EACH * BLOCK, networks), NORM_BLOCKS)
    grid = share, min(networks, 65535)
    largest, squares = xp.empty((networks, share), dtype=grads.dtype), xp.empty((networks, share), dtype=xp.float64)
    enqueue("updates.cu", kind, "clip_largest", grid, grads, largest, networks, size)
    enqueue("updates.cu", kind, "clip_squares", grid, grads, largest, squares, networks, size)
    enqueue("updates.cu", kind, "clip_scale", grid, grads, largest, squares, *arguments, networks, size)
    return grads


def gradient_descent(
    xp: Namespace, grads: Array, params: Array, learning_rate: Hyper, taken: Array | None = None
) -> Array:
    """params <- params - r grads, in place."""
    written = _run("gradient_descent", (learning_rate,), (), taken, grads, params)
    return written if written is NotImplemented else params


def momentum(
    xp: Namespace, grads: Array, velocity: Array, params: Array, learning_rate: Hyper, friction: Hyper, nesterov: bool,
    taken: Array | None = None,
) -> tuple[Array, Array]:  # fmt: skip
    """Velocity and parameters in place."""
    return _run("momentum", (learning_rate, friction), (nesterov,), taken, grads, velocity, params)


def rmsprop(
    xp: Namespace, grads: Array, square: Array, params: Array, learning_rate: Hyper, rho: Hyper, epsilon: Hyper,
    taken: Array | None = None,
) -> tuple[Array, Array]:  # fmt: skip
    """Mean square and parameters in place."""
    return _run("rmsprop", (learning_rate, rho, epsilon), (), taken, grads, square, params)


def adagrad(
    xp: Namespace, grads: Array, square: Array, params: Array, learning_rate: Hyper, epsilon: Hyper,
    taken: Array | None = None,
) -> tuple[Array, Array]:  # fmt: skip
    """Sum of squares and parameters in place."""
    return _run("adagrad", (learning_rate, epsilon), (), taken, grads, square, params)


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
    taken: Array | None = None,
) -> tuple[Array, Array, Array]:
    """Both moments and the parameters in place."""
    decay = 0.0 if weight_decay is None else weight_decay
    hypers = step, learning_rate, beta_1, beta_2, epsilon, decay
    flags = weight_decay is not None, epsilon_hat
    return _run("adam", hypers, flags, taken, grads, mean, square, params)


KERNELS = kernel_table.table(formulas, clip_by_global_norm, gradient_descent, momentum, rmsprop, adagrad, adam)
