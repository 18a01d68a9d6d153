"""`bpx.predict`: outputs for data that need not fit into memory."""

from __future__ import annotations

from typing import Any, TypeVar, overload

import numpy as np

from bpx.errors import ShapeError
from bpx.network.data_frames import check_in_memory
from bpx.network.memory import Attempt, explains_memory_errors, forward_bytes, rows_of
from bpx.network.mlp import MLP, check_network
from bpx.streams.feed import in_order
from bpx.streams.row_sources import BatchSource
from bpx.streams.stream import BUFFER, Stream, stream

Out = TypeVar("Out")


def _attempt(arguments: dict[str, Any]) -> Attempt:
    """What was attempted, for an out-of-memory error."""
    remedies = ["give out=, an array on disk to write the outputs into"] if arguments["out"] is None else []
    remedies.append(f"give a smaller buffer than {arguments['buffer']} bytes")
    return Attempt("in bpx.predict", rows_of(arguments["X"]), forward_bytes, remedies=remedies)


@overload
def predict(
    net: MLP, X: Any, out: None = None, *, buffer: int = BUFFER
) -> np.ndarray[Any, np.dtype[np.floating[Any]]]: ...
@overload
def predict(net: MLP, X: Any, out: Out, *, buffer: int = BUFFER) -> Out: ...
@explains_memory_errors(_attempt)
def predict(net: MLP, X: Any, out: Any = None, *, buffer: int = BUFFER) -> Any:
    """A network's outputs for rows that are read block by block.

    Parameters
    ----------
    net : MLP
        The network, on any backend.
    X : array-like of shape (n, n_in), iterable of batches, or Stream
        As for `bpx.stream`, without targets: a batch is X, or a tuple whose first part is X.
    out : array-like of shape (n, n_out), or (K, n, n_out) for a stack, optional
        Where to write the outputs block by block, such as
        ``numpy.lib.format.open_memmap(path, "w+", "float32", (n, 10))`` or a zarr array; None: a new host array.
    buffer : int
        Bytes of memory for rows that have been read; not used for a Stream, which has its own.

    Returns
    -------
    array-like
        `out`, or a NumPy array of its shape in the network's dtype.

    Raises
    ------
    ShapeError, NonFiniteError, TypeError, ValueError, MemoryError
        If X or `out` is not as described, or memory ran out. Parts of `out` may have been written.

    Examples
    --------
    >>> import numpy as np
    >>> import bpx
    >>> net = bpx.MLP([2, 3, 1], output="sigmoid", backend="numpy")
    >>> bpx.predict(net, [np.zeros((5, 2)), np.ones((3, 2))]).shape
    (8, 1)
    """
    check_network(net, "bpx.predict(net, X)", X)
    if X is None or (np.isscalar(X) and not isinstance(X, (str, bytes))):
        raise TypeError(f"X: expected an array of rows, or an iterable of them, got {X!r}; one row is net([...])")
    if hasattr(X, "tocsr"):
        raise TypeError("X: expected dense rows, got a sparse matrix; use X.toarray(), or a list of parts of it")
    check_in_memory(X, "X")
    if out is None and type(X) is np.ndarray and X.ndim == 2 and net.backend.xp is np and 0 < X.nbytes <= buffer // 2:
        return net.forward(X)  # a single block, for which nothing is read ahead
    given = X if isinstance(X, Stream) else stream(X if _is_one(X) else BatchSource(X, targets=False), buffer=buffer)
    lead = () if net.stack is None else (net.stack,)
    parts: list[np.ndarray[Any, Any]] = []
    at = 0
    with net.backend.scope():
        for part in in_order(given, net, None).parts():
            outputs = net.backend.to_host(net.forward(part.X))
            stop = at + outputs.shape[-2]
            if out is None:
                parts.append(np.array(outputs))
            else:
                _check_out(out, lead, stop, net.sizes[-1])
                out[(*(slice(None) for _ in lead), slice(at, stop))] = outputs
            at = stop
    if out is None:
        return np.concatenate(parts, axis=-2)
    if out.shape[-2] != at:
        raise ShapeError(f"out: expected {at} rows, as many as X has, got {out.shape[-2]}; the first {at} are written")
    return out


def _is_one(X: Any) -> bool:
    """Whether X is one array or data set, or a path to one, and not an iterable of batches."""
    return isinstance(X, str) or hasattr(X, "shape") or hasattr(X, "get_fragments") or hasattr(X, "__fspath__")


def _check_out(out: Any, lead: tuple[int, ...], rows: int, n_out: int) -> None:
    """Refuse an `out` that is read-only or of another dtype or shape, or has fewer than `rows` rows."""
    if isinstance(out, np.ndarray) and not out.flags.writeable:
        raise ValueError("out: expected an array that can be written, got a read-only one; open the file with mode"
                         " 'r+', or create it with 'w+'")  # fmt: skip
    shape = tuple(getattr(out, "shape", ()))
    if np.dtype(getattr(out, "dtype", np.float64)).kind != "f":
        raise TypeError(f"out: expected an array of floating-point numbers, got dtype {out.dtype}")
    if len(shape) != len(lead) + 2 or shape[: len(lead)] != lead or shape[-1] != n_out or shape[-2] < rows:
        raise ShapeError(
            f"out: expected shape {(*lead, 'n', n_out)} with a row for each of X, at least {rows}, got {shape}"
        )
