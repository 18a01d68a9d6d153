"""Out of memory: what was being done, how much it needs and how much is free, and what to do about it.

Code that knows what it was doing raises an `ExplainedMemoryError`. The public function that was called, decorated with
`explains_memory_errors`, turns it into a MemoryError that keeps no array of the attempt alive.
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
from bpx.errors.wrong_calls import is_wrong_call, wrong_call
from bpx.network.state import NetworkState

logger = Log("bpx")

P = ParamSpec("P")
R = TypeVar("R")


class ExplainedMemoryError(MemoryError):
    """A MemoryError with a complete message; users see a plain MemoryError with the same one."""


class Attempt(NamedTuple):
    """What was being done when memory ran out.

    Parameters
    ----------
    doing : str
        Such as "in a training step".
    rows : int or None
        Of the batch or the data; None where that is not known.
    need : callable
        ``need(net, rows)``: bytes that it takes, about.
    remedies : sequence of str
        What helps here, the best first; ``{rows}`` stands for half as many rows.
    """

    doing: str
    rows: int | None
    need: Callable[[Any, int], int]
    remedies: Sequence[str] = ()


def step_bytes(sizes: Sequence[int], rows: int, itemsize: int, networks: int = 1) -> int:
    """Bytes that a training step takes, about (half to twice as many were measured on NumPy).

    For each network: parameters, their gradient, two moments and two copies of the last parameters; and for each row
    its inputs, and each layer's z, a, gradient and one array in between. `itemsize` is the bytes of a number.
    """
    n_params = sum((a + 1) * b for a, b in pairwise(sizes))
    return networks * itemsize * (6 * n_params + rows * (sizes[0] + 4 * sum(sizes[1:])))


def forward_bytes(net: NetworkState, rows: int) -> int:
    """Bytes that a forward pass takes, about: for each row its inputs, and each layer's z and a."""
    return (net.stack or 1) * np.dtype(net.dtype).itemsize * rows * (net.sizes[0] + 2 * sum(net.sizes[1:]))


def step(rows: int | None, *remedies: str, doing: str = "in a training step") -> Attempt:
    """A training step on a batch of that many rows."""

    def need(net: NetworkState, rows: int) -> int:
        return step_bytes(net.sizes, rows, np.dtype(net.dtype).itemsize, net.stack or 1)

    return Attempt(doing, rows, need, remedies)


def forward_pass(arguments: dict[str, Any]) -> Attempt:
    """Outputs for the argument ``X``."""
    return Attempt("in a forward pass", rows_of(arguments["X"]), forward_bytes, ["give {rows} rows at once"])


def gradient(arguments: dict[str, Any]) -> Attempt:
    """Forward and backward, on all rows of the argument ``X`` at once."""
    return step(rows_of(arguments["X"]), "give {rows} rows at once", doing="in a gradient")


def rows_of(X: Any) -> int | None:
    """How many samples data have, as far as one can see."""
    shape = getattr(X, "shape", None)
    if shape is not None and all(n == n for n in shape):  # dask has NaN for what it does not know
        return 1 if len(shape) < 2 else int(shape[-2])
    return len(X) if isinstance(X, (list, tuple)) else None


def explain(net: NetworkState, error: BaseException, attempt: Attempt) -> str | None:
    """The message for an error that says that memory ran out; None for any other error.

    What the attempt holds is freed before the free memory is looked at. The error's traceback goes to the log ``bpx``,
    at level DEBUG.
    """
    if isinstance(error, ExplainedMemoryError):
        return str(error)
    if not net.backend.is_out_of_memory(error):
        return None
    logger.debug("out of memory %s", attempt.doing, exc_info=error)
    forget(error)
    needed, remedies = "a batch of a stream", list(attempt.remedies)
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
    """How much memory is free, for a message; empty where the backend cannot say."""
    try:
        memory = backend.memory()
    except Exception:  # so short of memory that even this fails
        return ""
    return "" if memory is None else f", where {format_bytes(memory[0])} of {format_bytes(memory[1])} are free"


def format_bytes(count: int) -> str:
    """Bytes with a unit and three digits."""
    for exponent, unit in ((12, "TB"), (9, "GB"), (6, "MB"), (3, "kB")):
        if count >= 0.9995 * 10**exponent:
            return f"{count / 10**exponent:.3g} {unit}"
    return f"{count} bytes"


@contextmanager
def explaining(net: NetworkState, attempt: Attempt) -> Iterator[None]:
    """A block whose errors of memory become an ExplainedMemoryError that says what was attempted."""
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
    """A public function whose ExplainedMemoryError becomes a MemoryError; a wrong call is explained, too.

    `attempt` makes an Attempt from the function's arguments by name, among them the network as ``net`` or ``self``: for
    errors that nothing inside the function has explained.
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
    """Free the arrays in the frames that an error came through, and the errors that it came from."""
    traceback.clear_frames(error.__traceback__)
    error.__cause__ = error.__context__ = None


def in_chunks(net: NetworkState, n: int, size: int, do: Callable[[int, int], None], tried: int | None = None) -> None:
    """``do(start, stop)`` for consecutive rows, `size` at once; half as many wherever memory runs out, down to one.

    `tried` is a larger size that has failed already.
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
