"""JAX on a GPU: the whole step jitted, its parameters and state donated.

With the device "cpu" the same code runs there.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from contenders.measure import Job, Measure
from contenders.on_device import HALVES, Array, Task, host_clock, measure, multiplies_in, probe, task_of
from contenders.with_jax import ACTIVATIONS, adam, logits

__all__ = ["epoch", "stack", "step"]

# Of the loss in float16, so that small gradients are not rounded to zero.
SCALE = 1024.0
# JAX's default on a GPU is TF32.
PRODUCTS = {"float32": "highest", "tf32": "tensorfloat32"}


def gradients(task: Task) -> Callable[..., Any]:
    """``f(params, X, y)`` -> loss and gradients in float32; of each network where there is a stack."""
    half = jnp.dtype(task.precision) if task.precision in HALVES else jnp.float32
    scale = SCALE if task.precision == "float16" else 1.0

    def loss(params: Any, X: jax.Array, y: jax.Array) -> jax.Array:
        cast = jax.tree.map(lambda p: p.astype(half), params)
        found = logits(cast, X, ACTIVATIONS[task.hidden]).astype(jnp.float32)
        chosen = jnp.take_along_axis(jax.nn.log_softmax(found), y[:, None], axis=1)
        return -scale * jnp.mean(chosen)

    both = jax.value_and_grad(loss)
    return both if task.stack is None else jax.vmap(both, in_axes=(0, None, None))


def jitted(task: Task, size: int) -> Callable[..., Any]:
    """The step of a batch of that size; the count in the state says which part of the order is next."""
    find, batch, steps = gradients(task), task.batch, len(task.sizes)

    @partial(jax.jit, donate_argnums=(0, 1))
    def step(params: Any, state: Any, position: jax.Array, X: jax.Array, y: jax.Array, order: jax.Array) -> Any:
        index = jax.lax.dynamic_slice(order, (position % steps * batch,), (size,))
        # Indices are in bounds, so that nothing has to be checked.
        rows, labels = (data.at[index].get(mode="promise_in_bounds") for data in (X, y))
        value, grads = find(params, rows, labels)
        if task.precision != "float16":
            return *adam(params, state, grads), position + 1, value
        grads = jax.tree.map(lambda g: g / SCALE, grads)
        finite = jnp.all(jnp.stack([jnp.all(jnp.isfinite(g)) for g in jax.tree.leaves(grads)]))
        # A step whose gradient overflowed changes nothing.
        new = adam(params, state, grads)
        kept = jax.tree.map(lambda n, o: jnp.where(finite, n, o), new, (params, state))
        return *kept, position + 1, value

    return step


def step(job: Job) -> Measure:
    """Steps of a training loop; the host's clock, around many steps."""
    task = task_of(job)
    jax.config.update("jax_default_matmul_precision", PRODUCTS.get(task.precision))
    with jax.default_device(jax.devices(job.device)[0]):
        return prepared(job, task)


def prepared(job: Job, task: Task) -> Measure:
    """The same, on the default device."""
    device = jax.devices(job.device)[0]
    a, b = (jax.device_put(x, device) for x in probe())
    notes = {
        "clock": "host, around many steps, with block_until_ready at their end",
        "with": f"JAX {jax.__version__}, {device.client.platform_version}".replace("\n", ", "),
        "optimizer": "Adam written out, in the same jitted function",
    } | multiplies_in(task.precision, lambda: np.asarray(jax.jit(jnp.matmul)(a, b)))
    X, y = jax.device_put(task.X, device), jax.device_put(task.y, device)
    if task.precision in HALVES:
        X = X.astype(task.precision)  # so that the gather reads half as much
    params = jax.tree.map(lambda p: jax.device_put(jnp.array(p), device), [tuple(layer) for layer in task.layers])
    zeros = partial(jax.tree.map, jnp.zeros_like)
    state: Any = (jax.device_put(jnp.zeros((), jnp.int32), device), zeros(params), zeros(params))
    position = jax.device_put(jnp.zeros((), jnp.int32), device)
    steps = {size: jitted(task, size) for size in set(task.sizes)}

    def epoch(order: Array) -> None:
        nonlocal params, state, position
        rows = jax.device_put(order.astype(np.int32), device)
        for size in task.sizes:
            params, state, position, _ = steps[size](params, state, position, X, y, rows)

    def layers() -> Any:
        return [(np.asarray(W), np.asarray(b)) for W, b in params]

    return measure(task, epoch, host_clock(lambda: jax.block_until_ready(params)), layers, notes)


epoch = stack = step
