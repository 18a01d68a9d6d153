"""Messages for errors by lack of memory: what was attempted, how much it needs, how much is free, and what to do.

The code that knows what it attempted raises an `ExplainedMemoryError`. The public function that was called, decorated
with `explains_memory_errors`, turns it into a MemoryError that keeps no array of the attempt alive.
"""

from __future__ import annotations

import gc
import inspect
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from itertools import pairwise
from typing import Any, NamedTuple, ParamSpec, TypeVar

import numpy as np

from bpx.backend.base import Backend
from bpx.errors import Log
from bpx.errors.hints import is_wrong_call, wrong_call
from bpx.network.state import NetworkState

logger = Log("bpx")

P = ParamSpec("P")
R = TypeVar("R")


class ExplainedMemoryError(MemoryError):
    """A MemoryError whose message is complete; users see a MemoryError with the same message."""


class Attempt(NamedTuple):
    """What was being done when memory ran out."""

    # Such as "in a training step".
    doing: str
    # Rows of the batch or of the data; None if that is not known.
    rows: int | None
    # ``need(net, rows)``: the bytes that it takes, about.
    need: Callable[[Any, int], int]
    # What helps, the best first; ``{rows}`` is replaced by half as many rows.
    remedies: Sequence[str] = ()


def step_bytes(sizes: Sequence[int], rows: int, itemsize: int, networks: int = 1) -> int:
    """Bytes that a training step takes, about: half to twice as many were measured on NumPy.

    For each network the parameters, their gradient, two moments and two earlier copies; and for each row its inputs,
    and each layer's z, a, gradient and a temporary array. `itemsize` is the size of a number in bytes.
    """
    n_params = sum((a + 1) * b for a, b in pairwise(sizes))
    return networks * itemsize * (6 * n_params + rows * (sizes[0] + 4 * sum(sizes[1:])))


def forward_bytes(net: NetworkState, rows: int) -> int:
    """Bytes that a forward pass takes, about: for each row its inputs and each layer's z and a."""
    return (net.stack or 1) * np.dtype(net.dtype).itemsize * rows * (net.sizes[0] + 2 * sum(net.sizes[1:]))


def step(rows: int | None, *remedies: str, doing: str = "in a training step") -> Attempt:
    """A training step on a batch of `rows` rows."""

    def need(net: NetworkState, rows: int) -> int:
        return step_bytes(net.sizes, rows, np.dtype(net.dtype).itemsize, net.stack or 1)

    return Attempt(doing, rows, need, remedies)


def forward_pass(arguments: dict[str, Any]) -> Attempt:
    """A forward pass for the argument ``X``."""
    return Attempt("in a forward pass", rows_of(arguments["X"]), forward_bytes, ["give {rows} rows at once"])


def gradient(arguments: dict[str, Any]) -> Attempt:
    """A gradient on all rows of the argument ``X`` at once."""
    return step(rows_of(arguments["X"]), "give {rows} rows at once", doing="in a gradient")


def rows_of(X: Any) -> int | None:
    """The number of samples in X; None if it is not known."""
    shape = getattr(X, "shape", None)
    if shape is not None and all(n == n for n in shape):  # dask has NaN for an unknown length
        return 1 if len(shape) < 2 else int(shape[-2])
    return len(X) if isinstance(X, (list, tuple)) else None


def explain(net: NetworkState, error: BaseException, attempt: Attempt) -> str | None:
    """The message for an error by lack of memory; None for any other error.

    Frees the arrays of the attempt before it asks how much memory is free. The error's traceback is logged to ``bpx``
    at level DEBUG.
    """
    if isinstance(error, ExplainedMemoryError):
        return str(error)
    if not net.backend.is_out_of_memory(error):
        return None
    logger.debug("out of memory %s", attempt.doing, exc_info=error)
    forget(error)
    needed = "a batch of a stream"
    if attempt.rows is not None:
        networks = "" if net.stack is None else f" for each of {net.stack} networks"
        needed = f"a batch of {attempt.rows} row{'' if attempt.rows == 1 else 's'} x {net.sizes[0]} features{networks}"
        needed += f" needs about {format_bytes(attempt.need(net, attempt.rows))}"
    half = (attempt.rows or 0) // 2
    remedies = [remedy.format(rows=half) for remedy in attempt.remedies if half or "{rows}" not in remedy]
    if net.stack is not None and net.stack > 1:
        remedies.append("put fewer networks into the stack")
    if net.dtype == "float64":
        remedies.append("take dtype='float32'")
    remedies += [
        "call bpx.free_memory() after letting go of arrays that are not needed any more", "make the layers narrower"
    ]  # fmt: skip
    reason = f"{type(error).__name__}: {' '.join(str(error).split())}"[:200].rstrip(": ")
    return (
        f"out of memory {attempt.doing}: {needed} on backend {net.backend.name!r}{_free(net.backend)};"
        f" {remedies[0]}, or {remedies[1]} ({reason})"
    )


def _free(backend: Backend) -> str:
    """How much memory is free, for a message; empty if the backend does not know."""
    try:
        memory = backend.memory()
    except Exception:  # memory is so short that even this fails
        return ""
    return "" if memory is None else f", where {format_bytes(memory[0])} of {format_bytes(memory[1])} are free"


def format_bytes(count: int) -> str:
    """A number of bytes with three digits and a unit."""
    for exponent, unit in ((12, "TB"), (9, "GB"), (6, "MB"), (3, "kB")):
        if count >= 0.9995 * 10**exponent:
            return f"{count / 10**exponent:.3g} {unit}"
    return f"{count} bytes"


@contextmanager
def explaining(net: NetworkState, attempt: Attempt) -> Iterator[None]:
    """A block whose errors by lack of memory become an ExplainedMemoryError that says what was attempted."""
    try:
        yield
    except BaseException as error:
        message = explain(net, error, attempt)
        if message is None:
            raise
        raise ExplainedMemoryError(message) from None


def explains_memory_errors(
    attempt: Callable[[dict[str, Any]], Attempt] | None = None,
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Decorator of public functions: an ExplainedMemoryError becomes a MemoryError; wrong calls are explained, too.

    ``attempt(arguments)`` is for errors that nothing inside the function has explained; ``arguments`` are by name, with
    the network as ``net`` or ``self``.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            try:
                return function(*args, **kwargs)
            except BaseException as error:
                if is_wrong_call(error):
                    raise wrong_call(function, error, kwargs) from None
                message = str(error) if isinstance(error, ExplainedMemoryError) else None
                if message is None and attempt is not None:
                    given = inspect.signature(function).bind(*args, **kwargs)
                    given.apply_defaults()
                    net = given.arguments.get("net", given.arguments.get("self"))
                    if isinstance(net, NetworkState):
                        message = explain(net, error, attempt(given.arguments))
                if message is None:
                    raise
                forget(error)
            gc.collect()
            raise MemoryError(message)

        return call

    return decorate


def forget(error: BaseException) -> None:
    """Free what an error keeps alive: the local variables in its traceback, and the errors that caused it."""
    traceback.clear_frames(error.__traceback__)
    error.__cause__ = error.__context__ = None


def in_chunks(net: NetworkState, n: int, size: int, do: Callable[[int, int], None], tried: int | None = None) -> None:
    """Call ``do(start, stop)`` for chunks of `size` of n rows; if memory runs out, with half as many, down to one.

    `tried` is a larger size that has already failed.
    """
    start, size = 0, min(size, n)
    first = size if tried is None else tried
    while start < n:
        stop = min(start + size, n)
        try:
            do(start, stop)
        except BaseException as error:
            if stop - start == 1 or not net.backend.is_out_of_memory(error):
                raise
            forget(error)
            size = (stop - start) // 2
        else:
            start = stop
    if size < first:
        logger.info("memory ran out in a forward pass of %d rows, which went on with %d at once", first, size)
