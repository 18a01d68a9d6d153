"""Checks of data, which also move them to the network's backend and dtype, once, before anything is computed.

`name` is the name of the data in messages. The errors are ShapeError, NonFiniteError, TypeError, ValueError and
DeviceMismatchError.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from bpx._typing import Array, Namespace
from bpx.backend.base import Backend, library_of
from bpx.errors import NonFiniteError, ShapeError
from bpx.formulas.losses import Loss
from bpx.network.data_frames import as_host_array, check_in_memory, check_no_dates, column_names, non_numeric_column


def numeric(backend: Backend, x: Any, name: str) -> Array:
    """`x` as an array of real numbers in its own dtype, on the host or on the device where it was."""
    if type(x) is np.ndarray and x.dtype.kind in "biuf":
        return x
    if library_of(x) == "host":
        if hasattr(x, "tocsr"):
            raise TypeError(f"{name}: expected a dense array here, got a sparse matrix; use {name}.toarray()")
        if type(x).__name__ == "MaskedArray":
            raise TypeError(f"{name}: expected plain numbers, got a masked array; fill or drop what is masked first")
        check_in_memory(x, name)
        original = x
        try:
            x = as_host_array(x)
        except ValueError as error:  # rows of different lengths
            why = "got rows of different lengths" if "inhomogeneous" in str(error) else f"got what is none ({error})"
            raise ShapeError(f"{name}: expected a rectangular array of numbers, {why}") from None
        if x.dtype.kind not in "biuf":
            check_no_dates(original, name)
            raise TypeError(f"{name}: expected {_not_numbers(name, original, x)}")
        return x
    x = backend.asarray(x)
    if not backend.xp.isdtype(x.dtype, ("bool", "integral", "real floating")):
        raise TypeError(f"{name}: expected real numbers, got dtype {x.dtype}")
    return x


def _not_numbers(name: str, original: Any, x: np.ndarray[Any, Any]) -> str:
    """The message for data whose array `x` is not numeric: what was expected, what was passed, and what to do."""
    argument = name.partition(" of ")[0]
    if x.ndim == 0 and x.dtype.kind in "OUS":
        return (
            f"numbers, got a {type(original).__name__}, of which NumPy makes dtype {x.dtype}; give an array of numbers"
        )
    if x.dtype.kind == "c":
        return f"numbers, got dtype {x.dtype}; take {argument}.real, or real and imaginary parts as two columns"
    if argument.startswith("y"):
        remedy = "labels become numbers with classes, y = numpy.unique(y, return_inverse=True)"
    else:
        remedy = f"convert it with numpy.asarray({argument}, dtype=float), and text to one column per category first"
    return f"numbers, got dtype {x.dtype}{non_numeric_column(original)}; {remedy}"


def check_weights(weight: Any, name: str, has_class_weight: bool = True) -> None:
    """TypeError for a string, a dict or dates as sample weights; hints at ``class_weight`` if the caller has it."""
    if isinstance(weight, (str, dict)):
        hint = f"; weights of classes are class_weight={weight!r:.60}" if has_class_weight else ""
        raise TypeError(f"{name}: expected one weight for each row, got {weight!r:.60}{hint}")
    check_no_dates(weight, name)


def check_known(x: Any, name: str) -> None:
    """ShapeError for a dask array whose number of rows is unknown, as after a selection by values."""
    shape = getattr(x, "shape", ())
    if type(x).__module__.startswith("dask") and any(n != n for n in shape[:1]):
        argument = name.partition(" of ")[0]
        raise ShapeError(
            f"{name}: expected an array that knows its number of rows, got {shape}; call"
            f" {argument}.compute_chunk_sizes() first, or give {argument}.compute()"
        )


def cast(backend: Backend, x: Any, dtype: Any) -> Array:
    """`x` on the backend in this dtype; values that overflow become infinity, which `check_finite` finds."""
    with np.errstate(over="ignore"):
        return backend.asarray(x, dtype)


def _is_integer(backend: Backend, x: Array) -> bool:
    """Whether `x` has an integer or boolean dtype."""
    if isinstance(x, np.ndarray):
        return x.dtype.kind in "biu"
    return bool(backend.xp.isdtype(x.dtype, ("bool", "integral")))


def _namespace(backend: Backend, x: Array) -> Namespace:
    """The array library of `x`, which is a host array or one of the backend."""
    return np if isinstance(x, np.ndarray) else backend.xp


def check_finite(backend: Backend, x: Array, name: str, first: int = 0, columns: Sequence[str] | None = None) -> None:
    """NonFiniteError, with the first place, for NaN and infinity; `first` is the index of x's first row in the data."""
    xp = _namespace(backend, x)
    # A sum needs no array of x's size. Unless it is finite, which large numbers prevent, too, all values are checked.
    if _is_integer(backend, x) or sums_to_a_number(xp, x):
        return
    finite = xp.isfinite(x)
    if not bool(xp.all(finite)):
        host = np.asarray(finite) if isinstance(x, np.ndarray) else backend.to_host(finite)
        places = np.argwhere(~host)
        place = tuple(places[0].tolist())
        column = f" in column {columns[place[-1]]!r}" if columns is not None and len(place) > 1 else ""
        raise NonFiniteError(
            f"{name}: expected finite numbers, got {len(places)} NaN or infinite value(s), the first at index"
            f" {(place[0] + first, *place[1:])}{column}; remove or impute them"
        )


def sums_to_a_number(xp: Namespace, x: Array) -> bool:
    """Whether the sum of all values is finite; waits for the device."""
    return math.isfinite(np.add.reduce(x, axis=None)) if xp is np else bool(xp.isfinite(xp.sum(x)))


def inputs(backend: Backend, dtype: Any, X: Any, n_in: int, *, name: str = "X") -> tuple[Array, bool]:
    """`X`, (n, n_in) or (n_in,) for one sample, as an array (n, n_in), and whether it was one sample."""
    rows, single = samples(backend, X, n_in, name=name)
    x = cast(backend, rows, dtype)
    check_finite(backend, x, name, columns=column_names(X))
    return x, single


def samples(backend: Backend, X: Any, n_in: int, *, name: str = "X") -> tuple[Array, bool]:
    """As `inputs`, but in their own dtype and place, and not checked for NaN and infinity."""
    x = numeric(backend, X, name)
    if x.ndim not in (1, 2):
        raise ShapeError(
            f"{name}: expected 2 dimensions (samples, {n_in} columns), or 1 for a single sample, got {x.ndim}"
            f" with shape {tuple(x.shape)}"
        )
    if x.shape[-1] != n_in:
        hint = ""
        if x.ndim == 1 and n_in == 1:
            hint = f"; a 1-D {name} is one sample, for {x.shape[0]} samples of one feature use {name}.reshape(-1, 1)"
        raise ShapeError(
            f"{name}: expected {n_in} column{'s' if n_in > 1 else ''}, as many as the network has inputs, got"
            f" {x.shape[-1]} (shape {tuple(x.shape)}){hint}"
        )
    if x.shape[0] == 0:
        raise ShapeError(f"{name}: expected at least one sample, got shape {tuple(x.shape)}")
    return (x, False) if x.ndim == 2 else (_namespace(backend, x).reshape(x, (1, n_in)), True)


def targets(
    backend: Backend, dtype: Any, y: Any, n: int, n_out: int, loss: Loss, *, single: bool = False, name: str = "y"
) -> Array:
    """`y` as an array (n, n_out), or as integer class labels (n,); refuses values for which the loss is not defined.

    Its shape is (n, n_out), or (n,) for one output or class labels; without n if X was a `single` sample. Labels, in
    [0, n_out), stay labels for ``cross_entropy`` and become one-hot rows for ``binary_cross_entropy``.
    """
    t = numeric(backend, y, name)
    is_row = t.ndim == 2 and t.shape[0] == 1
    is_label = t.ndim == 1 and t.shape[0] == 1 and n_out > 1
    if single and not (is_row or is_label):
        t = t[None, ...]
    if t.ndim == 0 or t.shape[0] != n:
        shape = f" (shape {tuple(t.shape)})" if t.ndim > 1 else ""
        got = f"{t.shape[0]}{shape}" if t.ndim else "a single number"
        remedy = "rows are samples, use y.T" if t.ndim == 2 and t.shape[1] == n else "give both the same rows"
        raise ShapeError(f"{name}: expected {n} targets, one for each row of X, got {got}; {remedy}")
    if t.ndim == 1 and n_out > 1 and loss.targets in {"classes", "unit"}:
        labels = _labels(backend, t, n_out, name)
        if loss.targets == "classes":
            return labels
        return backend.xp.astype(labels[:, None] == backend.xp.arange(n_out, device=labels.device), dtype)
    if t.ndim == 1 and n_out == 1:
        t = t[:, None]
    if t.ndim != 2 or t.shape[1] != n_out:
        remedy = _columns_remedy(backend, t, n_out, loss, single, _ravelled(name, y))
        raise ShapeError(f"{name}: expected shape ({n}, {n_out}), one column per output, got {tuple(t.shape)}{remedy}")
    t = cast(backend, t, dtype)
    check_finite(backend, t, name)
    _check_values(backend, t, loss, name)
    return t


def _columns_remedy(backend: Backend, t: Array, n_out: int, loss: Loss, single: bool, ravelled: str) -> str:
    """What to do if targets do not have a column for each output; `ravelled` is code that makes them 1-D."""
    if single:
        return "; X is one sample, of shape (n_in,), so y is its targets alone"
    if t.ndim == 1 and loss.columns is not None:
        return f", one for each of the loss's {loss.columns}; repeat it, numpy.repeat(y[:, None], {n_out}, axis=1)"
    if t.ndim == 1 and _is_integer(backend, t):
        return "; turn class labels into one-hot rows for this loss"
    if t.ndim == 1:
        return "; for one number per sample give the network one output"
    if t.ndim == 2 and t.shape[1] == 1 and loss.targets in {"classes", "unit"}:
        return f"; class labels have one dimension, use {ravelled}"
    return f"; give the network {t.shape[1]} outputs, or y the columns that it has" if t.ndim == 2 else ""


def _ravelled(name: str, values: Any) -> str:
    """Code, for a message, that makes `values` 1-D; frames and lists have no method for it."""
    return f"{name}.ravel()" if hasattr(values, "ravel") else f"numpy.ravel({name})"


def _labels(backend: Backend, labels: Array, n_out: int, name: str) -> Array:
    """Class labels as integers on the backend; TypeError or ValueError if they are not integers in [0, n_out)."""
    xp = backend.xp
    if not _is_integer(backend, labels):
        check_finite(backend, labels, name)
        whole = bool(_namespace(backend, labels).all(labels == labels // 1))
        remedy = (
            "convert them with y.astype(int), or give one-hot rows" if whole
            else "numbers that are no classes are trained with loss='squared_error' and output='identity'"
        )  # fmt: skip
        raise TypeError(f"{name}: expected integer class labels in 0..{n_out - 1}, got dtype {labels.dtype}; {remedy}")
    original, labels = labels, backend.asarray(labels, xp.int64)
    if isinstance(original, np.ndarray):  # not of int64, for which numbers of uint64 may be too large
        low, high = int(original.min()), int(original.max())
    else:
        low, high = int(xp.min(labels)), int(xp.max(labels))
    if low < 0 or high >= n_out:
        raise ValueError(
            f"{name}: expected class labels in 0..{n_out - 1} for {n_out} outputs, got labels from {low} to {high};"
            " number the classes from 0, or give the network as many outputs as there are classes"
        )
    return labels


def _check_values(backend: Backend, t: Array, loss: Loss, name: str) -> None:
    """ValueError for targets for which the loss is not defined."""
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
    """`weight`, (n,) or (K, n) for a stack of K, as an array (n, 1) or (K, n, 1); None stays None.

    ValueError for negative weights, and, if these are `whole` data, for weights that are all zero.
    """
    if weight is None:
        return None
    check_weights(weight, name)
    w = numeric(backend, weight, name)
    allowed = [(n,)] + ([(stack, n)] if stack is not None else [])
    if tuple(w.shape) not in allowed:
        expected = " or ".join(str(shape) for shape in allowed)
        raise ShapeError(f"{name}: expected shape {expected}, one weight for each row of X, got {tuple(w.shape)}"
                         + (f"; use {_ravelled(name, weight)}" if tuple(w.shape) == (n, 1) else ""))  # fmt: skip
    w = cast(backend, w, dtype)
    check_finite(backend, w, name)
    xp = backend.xp
    if float(xp.min(w)) < 0.0:
        raise ValueError(f"{name}: expected weights >= 0, got {float(xp.min(w))}")
    if whole and float(xp.min(xp.sum(w, axis=-1))) <= 0.0:
        raise ValueError(f"{name}: expected at least one weight > 0 (for each network), got only zeros")
    return w[..., None]
