"""Where memory runs out: what was being done, how much that needs and how much there is, and what to do about it.

Whoever knows what is being done says so with `explaining`; the public functions, by `telling` or `plainly`, turn that
into a MemoryError which holds no array of the attempt.
"""

from __future__ import annotations

import gc
import inspect
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple, ParamSpec, TypeVar

import numpy as np

from bpx.backend.base import Backend
from bpx.errors import Log
from bpx.errors.calls import is_wrong_call, wrong_call

if TYPE_CHECKING:
    from bpx.network.mlp import MLP

__all__ = [
    "Attempt", "ExplainedMemoryError", "a_forward_pass", "a_gradient", "explain", "explaining", "forget",
    "forward_bytes", "in_chunks", "in_words", "plainly", "rows_of", "step", "step_bytes", "telling",
]  # fmt: skip

logger = Log("bpx")

P = ParamSpec("P")
R = TypeVar("R")

# Share of what is free that a remedy counts on: pieces of memory lie apart.
USABLE = 0.8


class ExplainedMemoryError(MemoryError):
    """Says all that is to be said; on its way out of bpx it becomes a plain MemoryError."""


class Attempt(NamedTuple):
    """What memory ran out in.

    Parameters
    ----------
    doing : str
        "in a training step".
    rows : int or None
        Of the batch or the data; None where that is not known.
    need : callable
        ``need(net, rows)``, the bytes that it takes.
    smaller : str
        Remedy with fewer rows, in which ``{rows}`` is how many would fit; empty where rows cannot be fewer.
    remedies : sequence of str
        Others that fit the case, the best first; what always helps is added to them.
    trains : bool
        Whether ``precision=`` can be given.
    """

    doing: str
    rows: int | None
    need: Callable[[MLP, int], int]
    smaller: str = ""
    remedies: Sequence[str] = ()
    trains: bool = False


def step_bytes(sizes: Sequence[int], rows: int, itemsize: int, networks: int = 1) -> int:
    """Bytes that a training step takes, about: on NumPy half to twice as many were measured, by activation and kernels.

    For each network: parameters, their gradient, two moments and two copies of the last parameters; and for each row
    its inputs, and each layer's z, a, gradient and one array in between.

    Parameters
    ----------
    sizes : sequence of int
        Layers, the inputs first.
    rows : int
        Of the batch.
    itemsize : int
        Bytes of a number.
    networks : int
        Of a stack.
    """
    n_params = sum((a + 1) * b for a, b in pairwise(sizes))
    return networks * itemsize * (6 * n_params + rows * (sizes[0] + 4 * sum(sizes[1:])))


def forward_bytes(net: MLP, rows: int) -> int:
    """Bytes that a forward pass takes, about: for each row its inputs, and each layer's z and a."""
    return (net.stack or 1) * np.dtype(net.dtype).itemsize * rows * (net.sizes[0] + 2 * sum(net.sizes[1:]))


def _step_of(net: MLP, rows: int) -> int:
    """`step_bytes` of a network."""
    return step_bytes(net.sizes, rows, np.dtype(net.dtype).itemsize, net.stack or 1)


def step(rows: int | None, smaller: str, *remedies: str, doing: str = "in a training step") -> Attempt:
    """A step on a batch of that many rows."""
    return Attempt(doing, rows, _step_of, smaller, remedies, trains=True)


def a_forward_pass(given: dict[str, Any]) -> Attempt:
    """On ``X``, whose chunks have been halved down to one row."""
    return Attempt("in a forward pass", rows_of(given["X"]), forward_bytes, "give {rows} rows at once")


def a_gradient(given: dict[str, Any]) -> Attempt:
    """Forward and backward, on all rows of ``X`` at once."""
    return step(rows_of(given["X"]), "give {rows} rows at once", doing="in a gradient")._replace(trains=False)


def explain(net: Any, error: BaseException, attempt: Attempt) -> str | None:
    """The message for an error that memory ran out; None for any other error.

    What the failed attempt holds is let go before the free memory is looked at: the frames of the error's traceback
    are cleared, so that a debugger finds no values in them. The traceback goes to the log ``bpx``, at level DEBUG.
    """
    backend = getattr(net, "backend", None)
    if isinstance(error, ExplainedMemoryError):
        return str(error)
    if not isinstance(backend, Backend) or not backend.is_out_of_memory(error):  # of an estimator it is a name
        return None
    logger.debug("out of memory %s", attempt.doing, exc_info=error)
    forget(error)
    about = f"{_what(net, attempt)} on backend {backend.name!r}"
    free = _free(backend)
    there = "" if free is None else f", where {in_words(free[0])} of {in_words(free[1])} are free"
    first, second = _remedies(net, attempt, None if free is None else free[0])
    return f"out of memory {attempt.doing}: {about}{there}; {first}, or {second} ({_own_words(error)})"


@contextmanager
def explaining(net: MLP, attempt: Attempt) -> Iterator[None]:
    """Where memory runs out in here, the error says what was attempted.

    Raises
    ------
    ExplainedMemoryError
    """
    try:
        yield
    except BaseException as error:
        told = explain(net, error, attempt)
        if told is None:
            raise
        raise ExplainedMemoryError(told) from None


def plainly(function: Callable[P, R]) -> Callable[P, R]:
    """A public function whose ExplainedMemoryError becomes a MemoryError that holds nothing of the attempt."""

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except ExplainedMemoryError as error:
            told = str(error)
            forget(error)
        gc.collect()
        raise MemoryError(told)

    return call


def telling(attempt: Callable[[dict[str, Any]], Attempt]) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """`plainly`, for a function of a network that explains what nothing inside it has; its arguments give the attempt.

    The network is the argument ``net`` or ``self``.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @wraps(function)
        def explained(*args: P.args, **kwargs: P.kwargs) -> R:
            try:
                return function(*args, **kwargs)
            except BaseException as error:
                if isinstance(error, ExplainedMemoryError):
                    raise
                if is_wrong_call(error):
                    raise wrong_call(function, error, kwargs) from None
                given = inspect.signature(function).bind(*args, **kwargs)
                given.apply_defaults()
                net = given.arguments.get("net", given.arguments.get("self"))
                told = explain(net, error, attempt(given.arguments))
                if told is None:
                    raise
                raise ExplainedMemoryError(told) from None

        return plainly(explained)

    return decorate


def in_chunks(net: MLP, n: int, size: int, do: Callable[[int, int], None], tried: int | None = None) -> None:
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
            continue
        start = stop
    if size < first:
        logger.info("memory ran out in a forward pass of %d rows, which went on with %d at once", first, size)


def forget(error: BaseException) -> None:
    """Let go of the arrays in the frames that an error came through, and in those of the errors that it came from.

    An error that the caller was dealing with before is the caller's: its traceback begins in a frame that runs.
    """
    running, frame = set(), inspect.currentframe()
    while frame is not None:
        running.add(frame)
        frame = frame.f_back
    seen: BaseException | None = error
    while seen is not None and seen.__traceback__ is not None:
        traceback.clear_frames(seen.__traceback__)
        seen = seen.__cause__ or seen.__context__
        if seen is not None and seen.__traceback__ is not None and seen.__traceback__.tb_frame in running:
            return


def rows_of(X: Any) -> int | None:
    """How many samples data have, as far as one can see."""
    shape = getattr(X, "shape", None)
    if shape is not None and all(n == n for n in shape):  # dask has NaN for what it does not know
        return 1 if len(shape) < 2 else int(shape[-2])
    return len(X) if isinstance(X, (list, tuple)) else None


def _what(net: MLP, attempt: Attempt) -> str:
    """What was attempted, and the bytes that it takes."""
    if attempt.rows is None:
        return "a batch of a stream"
    networks = "" if net.stack is None else f" for each of {net.stack} networks"
    plural = "" if attempt.rows == 1 else "s"
    need = in_words(attempt.need(net, attempt.rows))
    return f"a batch of {attempt.rows} row{plural} x {net.sizes[0]} features{networks} needs about {need}"


def _remedies(net: MLP, attempt: Attempt, free: int | None) -> list[str]:
    """The two that fit best."""
    found = []
    if attempt.smaller and attempt.rows is not None:
        rows = _fewer(net, attempt.rows, attempt.need, free)
        if rows:
            found.append(attempt.smaller.format(rows=rows))
    found += attempt.remedies
    if net.stack is not None and net.stack > 1:
        found.append(f"put fewer networks into the stack, such as {net.stack // 2}")
    if net.dtype == "float64":
        found.append("take dtype='float32'")
    found.append("call bpx.free_memory() after letting go of arrays that are not needed any more")
    if attempt.trains and net.backend.xp is not np and net.dtype == "float32":
        found.append("give precision='bfloat16'")
    found.append("make the layers narrower")
    return found[:2]


def _fewer(net: MLP, rows: int, need: Callable[[MLP, int], int], free: int | None) -> int:
    """Rows that would fit into what is free, at most half as many; 0 where not even one would.

    What does not depend on rows is there already, but for an update's temporary arrays: of parameters about four. In
    training the last batch of an epoch, which is smaller, may keep arrays of its own.
    """
    if free is None:
        return rows // 2
    each = max(1, need(net, 1) - need(net, 0))
    fixed = need(net, 0)
    update = 4 * net.n_params * (net.stack or 1) * np.dtype(net.dtype).itemsize if fixed else 0
    return max(0, min(rows // 2, (int(USABLE * free) - update) // (2 * each if fixed else each)))


def _free(backend: Any) -> tuple[int, int] | None:
    """Free and total bytes; None where the backend cannot say."""
    try:
        found: tuple[int, int] | None = backend.memory()
    except Exception:  # so short of memory that even this fails
        return None
    return found


def in_words(count: int) -> str:
    """Bytes with a unit and three digits."""
    for exponent, unit in ((12, "TB"), (9, "GB"), (6, "MB"), (3, "kB")):
        if count >= 0.9995 * 10**exponent:
            return f"{count / 10**exponent:.3g} {unit}"
    return f"{count} bytes"


def _own_words(error: BaseException) -> str:
    """What the library said, in one line."""
    words = " ".join(str(error).split())
    return f"{type(error).__name__}: {words}"[:200].rstrip(": ")
