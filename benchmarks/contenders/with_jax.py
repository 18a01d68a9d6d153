"""JAX: the whole step jitted, its parameters and state donated; also a whole epoch as one jitted scan."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from data import many_rows, mean_loss, orders, samples, start_weights, xor

from contenders.measure import Job, Measure, peak_above_output, peak_memory, timed
from contenders.whole_processes import import_time

__all__ = ["import_time", "memory", "online_momentum", "predict", "stack", "step"]

ACTIVATIONS = {"relu": jax.nn.relu, "tanh": jnp.tanh, "sigmoid": jax.nn.sigmoid}


def logits(params: Any, a: jax.Array, activation: Callable[..., jax.Array]) -> jax.Array:
    """The network without its softmax."""
    for W, b in params[:-1]:
        a = activation(a @ W + b)
    W, b = params[-1]
    return a @ W + b


def loss(params: Any, X: jax.Array, y: jax.Array, activation: Callable[..., jax.Array]) -> jax.Array:
    """Mean cross-entropy."""
    log_probabilities = jax.nn.log_softmax(logits(params, X, activation))
    return -jnp.mean(jnp.take_along_axis(log_probabilities, y[:, None], axis=1))


def adam(params: Any, state: Any, grads: Any) -> tuple[Any, Any]:
    """One update; the state's first part counts the steps."""
    t, first, second = state
    t = t + 1
    first = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, first, grads)
    second = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, second, grads)
    one, two = 1 - 0.9**t, 1 - 0.999**t
    params = jax.tree.map(lambda p, m, v: p - 1e-3 * (m / one) / (jnp.sqrt(v / two) + 1e-8), params, first, second)
    return params, (t, first, second)


def sgd(params: Any, state: Any, grads: Any) -> tuple[Any, Any]:
    """One update with momentum."""
    t, velocity, unused = state
    velocity = jax.tree.map(lambda m, g: 0.9 * m + g, velocity, grads)
    return jax.tree.map(lambda p, m: p - 0.01 * m, params, velocity), (t + 1, velocity, unused)


def training(job: Job) -> tuple[Callable[[], Any], Callable[[], dict[str, Any]]]:
    """A function that trains for an epoch, and one that gives the loss."""
    o = job.workload.options
    jax.config.update("jax_enable_x64", o["dtype"] == "float64")
    batch, steps, activation = o["batch"], o["steps"], ACTIVATIONS[o["hidden"]]
    update = adam if o["optimizer"] == "adam" else sgd
    X_host, y_host = samples(batch * steps, o["sizes"][0], o["sizes"][-1], o["dtype"])
    X, y = jnp.asarray(X_host), jnp.asarray(y_host)
    layers = start_weights(o["sizes"], o["dtype"])
    find = jax.value_and_grad(lambda params, X, y: loss(params, X, y, activation))
    if "stack" in o:
        layers = jax.tree.map(lambda p: np.repeat(p[None], o["stack"], axis=0), layers)
        find = jax.vmap(find, in_axes=(0, None, None))
    params = jax.tree.map(jnp.array, layers)
    zeros = partial(jax.tree.map, jnp.zeros_like)
    count = jnp.zeros((), jnp.int32)
    state = (count, zeros(params), zeros(params) if o["optimizer"] == "adam" else ())
    rng = orders()

    def one_step(params: Any, state: Any, X: jax.Array, y: jax.Array, index: jax.Array) -> Any:
        value, grads = find(params, X[index], y[index])
        return *update(params, state, grads), value

    @partial(jax.jit, donate_argnums=(0, 1))
    def step(params: Any, state: Any, X: jax.Array, y: jax.Array, order: jax.Array) -> Any:
        # The count says which part of the order is next: an argument less to hand over.
        index = jax.lax.dynamic_slice(order, (state[0] % steps * batch,), (batch,))
        return one_step(params, state, X, y, index)

    @partial(jax.jit, donate_argnums=(0, 1))
    def whole_epoch(params: Any, state: Any, X: jax.Array, y: jax.Array, order: jax.Array) -> Any:
        def body(carry: Any, index: jax.Array) -> Any:
            *carry, value = one_step(*carry, X, y, index)
            return tuple(carry), value

        (params, state), values = jax.lax.scan(body, (params, state), order.reshape(steps, batch))
        return params, state, values

    def epoch() -> None:
        nonlocal params, state
        order = jnp.asarray(rng.permutation(len(X)))
        if job.options.get("scan"):
            params, state, _ = whole_epoch(params, state, X, y, order)
        else:
            for _ in range(steps):
                params, state, _ = step(params, state, X, y, order)
        jax.block_until_ready(params)

    return epoch, lambda: {"loss": mean_loss(params, o["hidden"], X_host, y_host)}


def step(job: Job) -> Measure:
    """Steps of a training loop."""
    epoch, notes = training(job)
    epoch()
    epoch()
    return Measure(timed(epoch), job.workload.options["steps"], notes())


def stack(job: Job) -> Measure:
    """Steps of all networks at once, by `jax.vmap`; every network has the same rows."""
    epoch, _ = training(job)
    epoch()
    return Measure(timed(epoch), job.workload.options["steps"])


def online_momentum(job: Job) -> Measure:
    """Article 003's steps in order, with classical momentum: a scan of an epoch where it is watched, else of all."""
    o = job.workload.options
    jax.config.update("jax_enable_x64", True)
    X, y = (jnp.asarray(a) for a in xor())
    params = jax.tree.map(jnp.array, start_weights((2, 3, 1), "float64"))
    velocity = jax.tree.map(jnp.zeros_like, params)

    def squared_error(params: Any, x: jax.Array, target: jax.Array) -> jax.Array:
        for W, b in params:
            x = jnp.tanh(x @ W + b)
        return jnp.sum((x - target) ** 2) / 2

    def one_step(carry: Any, row: Any) -> Any:
        params, velocity = carry
        value, grads = jax.value_and_grad(squared_error)(params, *row)
        velocity = jax.tree.map(lambda m, g: 0.1 * m + g, velocity, grads)
        return (jax.tree.map(lambda p, m: p - 0.1 * m, params, velocity), velocity), value

    @partial(jax.jit, static_argnums=1)
    def epochs(carry: Any, count: int) -> Any:
        def epoch(carry: Any, _: None) -> Any:
            carry, values = jax.lax.scan(one_step, carry, (X, y))
            return carry, values.mean()

        return jax.lax.scan(epoch, carry, length=count)

    count = o["steps"] // len(X)
    calls, at_once = (count, 1) if o["watched"] else (1, count)

    def work() -> None:
        carry = (params, velocity)
        for _ in range(calls):
            carry, losses = epochs(carry, at_once)
            float(losses[-1])

    work()
    return Measure(timed(work))


def memory(job: Job) -> Measure:
    """Peak of two epochs, compilation included."""
    epoch, _ = training(job)
    return Measure(lambda _: peak_memory(lambda: (epoch(), epoch()))[0])


def predict(job: Job) -> Measure:
    """Class probabilities."""
    o = job.workload.options
    jax.config.update("jax_enable_x64", o["dtype"] == "float64")
    params = jax.tree.map(jnp.asarray, start_weights(o["sizes"], o["dtype"]))
    X = jnp.asarray(many_rows(o["rows"], o["sizes"][0], o["dtype"], job.scratch))
    forward = jax.jit(lambda params, X: jax.nn.softmax(logits(params, X, jax.nn.relu)))
    jax.block_until_ready(forward(params, X))

    def work() -> jax.Array:
        return jax.block_until_ready(forward(params, X))

    return Measure(timed(work), notes=peak_above_output(work))
