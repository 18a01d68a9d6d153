"""Arguments of displays: checks, and copies on the host."""

from __future__ import annotations

from typing import Any

import numpy as np

from bpx.backend.select import to_host
from bpx.errors import ShapeError
from bpx.network.data_frames import as_host_array, check_in_memory, check_no_dates, non_numeric_column
from bpx.network.mlp import MLP

HostArray = np.ndarray[Any, Any]


def received(x: Any) -> str:
    """A value in a message: the shape of an array, or a shortened repr."""
    if hasattr(x, "shape"):
        return f"{type(x).__name__} of shape {tuple(x.shape)}"
    if isinstance(x, (list, tuple)) and len(x) > 4:
        return f"a {type(x).__name__} of length {len(x)}"
    text = " ".join(repr(x).split())
    return text if len(text) <= 80 else f"{type(x).__name__} {text[:60]}…"


def numbers(x: Any, name: str) -> HostArray:
    """`x` as a float64 array on the host; NaN and infinity are allowed."""
    if isinstance(x, (list, tuple)):  # of numbers, or of arrays on any device
        x = [to_host(part) for part in x]
    array = _on_host(x, name, f"{name}: expected a rectangular array of numbers")
    if array.dtype.kind not in "biuf":
        check_no_dates(x, name)
        raise TypeError(
            f"{name}: expected numbers, got {type(x).__name__} of dtype {array.dtype}{non_numeric_column(x)}"
        )
    return array.astype(np.float64)


def _on_host(x: Any, name: str, refusal: str) -> HostArray:
    """`x` as a host array; ShapeError with that refusal if it makes no array."""
    try:
        check_in_memory(x, name)
        return as_host_array(to_host(x))
    except ValueError as error:
        raise ShapeError(f"{refusal} ({error})") from error


def label_column(values: Any, name: str, count: int) -> HostArray:
    """Labels of `count` images as a host array of shape (count,); one of shape (count, 1) is accepted, too."""
    expected = f"{name}: expected one for each of the {count} images, got"
    array = _on_host(values, name, f"{expected} {received(values)}")
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.shape != (count,):
        hint = f"; of one-hot rows take {name}.argmax(axis=1)" if array.ndim == 2 else ""
        raise ShapeError(f"{expected} shape {array.shape}{hint}")
    return array


def network(given: Any, member: int | None, hint: str = "use from_estimator", *, stacks: bool = False) -> MLP:
    """The network, or that member of a stack; `hint` says what to call for an estimator.

    Raises
    ------
    TypeError, ValueError
        For anything but a network, and for a whole stack unless `stacks` is true.
    """
    if not isinstance(given, MLP):
        hint = f"; {hint}" if hasattr(given, "get_params") else ""
        raise TypeError(f"net: expected a bpx.MLP, got {type(given).__name__}{hint}")
    net: MLP = given if member is None else given.member(member)
    if net.stack is not None and not stacks:
        raise ValueError(f"net: a stack of {net.stack} networks; choose one with member=0")
    return net
