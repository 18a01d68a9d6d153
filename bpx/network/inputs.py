"""The gate: data are checked and brought to the network's backend and dtype here, once, before anything is computed."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from bpx._typing import Array, Namespace
from bpx.backend.base import Backend, library_of
from bpx.errors import NonFiniteError, ShapeError
from bpx.formulas.losses import Loss

__all__ = ["cast", "check_finite", "inputs", "numeric", "sample_weights", "samples", "sums_to_a_number", "targets"]


def numeric(backend: Backend, x: Any, name: str) -> Array:
    """`x` on the backend with its own dtype; refuses what is not real numbers."""
    if type(x) is np.ndarray and x.dtype.kind in "biuf":
        return x
    if library_of(x) == "host":
        if hasattr(x, "tocsr"):
            raise TypeError(f"{name}: expected a dense array here, got a sparse matrix; use {name}.toarray()")
        if type(x).__name__ == "MaskedArray":
            raise TypeError(f"{name}: expected plain numbers, got a masked array; fill or drop what is masked first")
        try:
            x = np.asarray(x)
        except ValueError as error:  # rows of different lengths
            raise ShapeError(f"{name}: expected a rectangular array of numbers ({error})") from error
        if x.dtype.kind not in "biuf":
            argument = name.partition(" of ")[0]
            remedy = (
                "labels become numbers with classes, y = numpy.unique(y, return_inverse=True)"
                if name.startswith("y")
                else f"convert it with {argument}.to_numpy(dtype=float) or numpy.asarray({argument}, dtype=float),"
                " and text to one column per category first"
            )
            raise TypeError(f"{name}: expected numbers, got dtype {x.dtype}; {remedy}")
        return x
    x = backend.asarray(x)
    if not backend.xp.isdtype(x.dtype, ("bool", "integral", "real floating")):
        raise TypeError(f"{name}: expected real numbers, got dtype {x.dtype}")
    return x


def cast(backend: Backend, x: Any, dtype: Any) -> Array:
    """`x` on the backend in the network's dtype; what overflows there becomes infinity, which the next check finds."""
    with np.errstate(over="ignore"):
        return backend.asarray(x, dtype)


def _is_integer(backend: Backend, x: Array) -> bool:
    """Whether an array (on the host or the backend) has an integer or boolean dtype."""
    if isinstance(x, np.ndarray):
        return x.dtype.kind in "biu"
    return bool(backend.xp.isdtype(x.dtype, ("bool", "integral")))


def check_finite(backend: Backend, x: Array, name: str, first: int = 0) -> None:
    """Refuse NaN and infinity, naming the first place; `first` is the number of the first row."""
    xp = np if isinstance(x, np.ndarray) else backend.xp
    if _is_integer(backend, x):
        return
    # One of them makes the sum NaN or infinite, which is seen without an array of x's size. So may large numbers.
    if sums_to_a_number(xp, x):
        return
    finite = xp.isfinite(x)
    if not bool(xp.all(finite)):
        host = np.asarray(finite) if isinstance(x, np.ndarray) else backend.to_host(finite)
        place = tuple(int(i) for i in np.argwhere(~host)[0])
        place = (place[0] + first, *place[1:])
        count = int(np.size(host) - np.count_nonzero(host))
        raise NonFiniteError(
            f"{name}: expected finite numbers, got {count} NaN or infinite value(s), the first at index {place};"
            " remove or impute them"
        )


def sums_to_a_number(xp: Namespace, x: Array) -> bool:
    """Whether the sum of all numbers is finite; waits for the device."""
    return math.isfinite(np.add.reduce(x, axis=None)) if xp is np else bool(xp.isfinite(xp.sum(x)))


def inputs(backend: Backend, dtype: Any, X: Any, n_in: int, *, name: str = "X") -> tuple[Array, bool]:
    """Bring inputs through the gate.

    Parameters
    ----------
    backend, dtype
        Of the network.
    X : array of shape (n, n_in), or (n_in,) for one sample
        Of any real dtype, on the host or on the backend's device.
    n_in : int
        Columns expected.
    name : str
        How error messages call it.

    Returns
    -------
    X : Array of shape (n, n_in)
    single : bool
        Whether one sample was given without its sample axis.

    Raises
    ------
    ShapeError, NonFiniteError, TypeError, DeviceMismatchError
    """
    rows, single = samples(backend, X, n_in, name=name)
    x = cast(backend, rows, dtype)
    check_finite(backend, x, name)
    return x, single


def samples(backend: Backend, X: Any, n_in: int, *, name: str = "X") -> tuple[Array, bool]:
    """Inputs of the right shape, still in their own dtype and where they were; arguments and errors as `inputs`'."""
    x = numeric(backend, X, name)
    if x.ndim not in (1, 2):
        raise ShapeError(
            f"{name}: expected 2 dimensions (samples, {n_in} columns), or 1 for a single sample, got {x.ndim}"
            f" with shape {tuple(x.shape)}"
        )
    if x.shape[-1] != n_in:
        hint = (
            f"; a 1-D {name} is one sample, for {x.shape[0]} samples of one feature use {name}.reshape(-1, 1)"
            if x.ndim == 1 and n_in == 1
            else ""
        )
        raise ShapeError(
            f"{name}: expected {n_in} column{'s' if n_in > 1 else ''}, as many as the network has inputs, got"
            f" {x.shape[-1]} (shape {tuple(x.shape)}){hint}"
        )
    if x.shape[0] == 0:
        raise ShapeError(f"{name}: expected at least one sample, got shape {tuple(x.shape)}")
    if x.ndim == 2:
        return x, False
    return (np if isinstance(x, np.ndarray) else backend.xp).reshape(x, (1, n_in)), True


def targets(
    backend: Backend, dtype: Any, y: Any, n: int, n_out: int, loss: Loss, *, single: bool = False, name: str = "y"
) -> Array:
    """Bring targets through the gate.

    Parameters
    ----------
    backend, dtype
        Of the network.
    y : array of shape (n, n_out); (n,) for one output or for class labels; without n for a single sample
        Class labels are integers in [0, n_out). For ``binary_cross_entropy`` with several outputs they become one-hot
        rows, for ``cross_entropy`` they stay labels.
    n, n_out : int
        Rows and columns expected.
    loss : Loss
        Says which values are allowed.
    single : bool
        Whether X was one sample without its sample axis.
    name : str
        How error messages call it.

    Returns
    -------
    Array of shape (n, n_out) and the network's dtype, or of shape (n,) and an integer dtype

    Raises
    ------
    ShapeError, NonFiniteError, TypeError, ValueError, DeviceMismatchError
    """
    t = numeric(backend, y, name)
    row_given = t.ndim == 2 and t.shape[0] == 1
    label_given = t.ndim == 1 and t.shape[0] == 1 and n_out > 1
    if single and not (row_given or label_given):
        t = np.reshape(t, (1, *t.shape)) if isinstance(t, np.ndarray) else backend.xp.reshape(t, (1, *t.shape))
    if t.ndim == 0 or t.shape[0] != n:
        got = "a single number" if t.ndim == 0 else f"{t.shape[0]}"
        raise ShapeError(f"{name}: expected {n} targets, one for each row of X, got {got}; give both the same rows")
    if t.ndim == 1 and n_out > 1 and loss.targets in {"classes", "unit"}:
        labels = _labels(backend, t, n_out, name)
        if loss.targets == "classes":
            return labels
        return backend.xp.astype(labels[:, None] == backend.xp.arange(n_out, device=labels.device), dtype)
    if t.ndim == 1 and n_out == 1:
        t = t[:, None]
    if t.ndim != 2 or t.shape[1] != n_out:
        raise ShapeError(
            f"{name}: expected shape ({n}, {n_out}), one column per output, got {tuple(t.shape)}"
            + ("; turn class labels into one-hot rows for this loss" if t.ndim == 1 else "")
        )
    t = cast(backend, t, dtype)
    check_finite(backend, t, name)
    _check_values(backend, t, loss, name)
    return t


def _labels(backend: Backend, labels: Array, n_out: int, name: str) -> Array:
    """Class labels as integers on the backend; refuses what is not an integer in [0, n_out)."""
    if not _is_integer(backend, labels):
        raise TypeError(
            f"{name}: expected integer class labels in 0..{n_out - 1}, got dtype {labels.dtype};"
            " convert them with y.astype(int), or give one-hot rows"
        )
    xp = backend.xp
    labels = backend.asarray(labels, xp.int64)
    low, high = int(xp.min(labels)), int(xp.max(labels))
    if low < 0 or high >= n_out:
        raise ValueError(
            f"{name}: expected class labels in 0..{n_out - 1} for {n_out} outputs, got labels from {low} to {high};"
            " number the classes from 0, or give the network as many outputs as there are classes"
        )
    return labels


def _check_values(backend: Backend, t: Array, loss: Loss, name: str) -> None:
    """Refuse target values on which the loss is not defined."""
    xp = backend.xp
    if loss.targets == "real":
        return
    low, high = float(xp.min(t)), float(xp.max(t))
    if loss.targets == "count" and low < 0.0:
        raise ValueError(f"{name}: expected targets >= 0 for loss {loss.name!r}, got {low}")
    if loss.targets in {"unit", "classes"} and (low < 0.0 or high > 1.0):
        raise ValueError(f"{name}: expected targets between 0 and 1 for loss {loss.name!r}, got {low} to {high}")
    if loss.targets == "classes":
        off = float(xp.max(xp.abs(xp.sum(t, axis=-1) - 1.0)))
        if off > 1e-3:
            raise ValueError(
                f"{name}: expected rows of class probabilities that sum to 1 for loss {loss.name!r}, got a row that is"
                f" off by {off:.3g}; for independent yes/no outputs use binary_cross_entropy"
            )


def sample_weights(
    backend: Backend,
    dtype: Any,
    weight: Any,
    n: int,
    stack: int | None,
    *,
    name: str = "sample_weight",
    whole: bool = True,
) -> Array | None:
    """Bring sample weights through the gate.

    Parameters
    ----------
    backend, dtype
        Of the network.
    weight : array of shape (n,), or (K, n) for a stack, or None
        Not negative, not all zero.
    n : int
        Rows expected.
    stack : int or None
        K, or None for a single network.
    name : str
        How error messages call it.
    whole : bool
        Whether these are all samples, whose weights must not all be zero.

    Returns
    -------
    Array of shape (n, 1) or (K, n, 1), or None

    Raises
    ------
    ShapeError, NonFiniteError, TypeError, ValueError, DeviceMismatchError
    """
    if weight is None:
        return None
    w = numeric(backend, weight, name)
    allowed = [(n,)] + ([(stack, n)] if stack is not None else [])
    if tuple(w.shape) not in allowed:
        expected = " or ".join(str(shape) for shape in allowed)
        raise ShapeError(f"{name}: expected shape {expected}, one weight for each row of X, got {tuple(w.shape)}")
    w = cast(backend, w, dtype)
    check_finite(backend, w, name)
    xp = backend.xp
    if float(xp.min(w)) < 0.0:
        raise ValueError(f"{name}: expected weights >= 0, got {float(xp.min(w))}")
    if whole and float(xp.min(xp.sum(w, axis=-1))) <= 0.0:
        raise ValueError(f"{name}: expected at least one weight > 0 (for each network), got only zeros")
    return w[..., None]
