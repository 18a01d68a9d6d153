"""What a display is given, brought to the host and checked."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from bpx.backend.base import library_of
from bpx.backend.select import backend_of
from bpx.errors import ShapeError
from bpx.network.data_frames import check_in_memory, check_no_dates, plain, without_numbers
from bpx.network.mlp import MLP

__all__ = ["HostArray", "got", "host", "network", "numbers", "whole"]

HostArray = np.ndarray[Any, Any]


def host(x: Any) -> Any:
    """A device array's copy on the host; anything else as it is."""
    return x if library_of(x) == "host" else backend_of(x).to_host(x)


def got(x: Any) -> str:
    """What came, in a few words: an array by its shape, anything else as it is written, cut to a length."""
    if hasattr(x, "shape"):
        return f"{type(x).__name__} of shape {tuple(x.shape)}"
    if isinstance(x, (list, tuple)) and len(x) > 4:
        return f"a {type(x).__name__} of length {len(x)}"
    text = " ".join(repr(x).split())
    return text if len(text) <= 80 else f"{type(x).__name__} {text[:60]}…"


def whole(x: Any, name: str, low: int) -> int:
    """`x` as a whole number, of any library; not less than `low`.

    Raises
    ------
    TypeError, ValueError
    """
    try:
        number = operator.index(x)
    except TypeError as error:
        raise TypeError(f"{name}: expected a whole number, got {got(x)}") from error
    if number < low:
        raise ValueError(f"{name}: expected at least {low}, got {number}")
    return number


def numbers(x: Any, name: str) -> HostArray:
    """`x` as a float64 array on the host; NaN and infinity are allowed.

    Raises
    ------
    TypeError, ShapeError
    """
    if isinstance(x, (list, tuple)):  # of numbers, or of arrays on any device
        x = [host(part) for part in x]
    try:
        check_in_memory(x, name)
        array = plain(host(x))
    except ValueError as error:
        raise ShapeError(f"{name}: expected a rectangular array of numbers ({error})") from error
    if array.dtype.kind not in "biuf":
        check_no_dates(x, name)
        raise TypeError(f"{name}: expected numbers, got {type(x).__name__} of dtype {array.dtype}{without_numbers(x)}")
    return array.astype(np.float64)


def network(net: Any, of_estimator: str = "use from_estimator") -> MLP:
    """The network itself, or a TypeError that says what to use in an estimator's place."""
    if isinstance(net, MLP):
        return net
    hint = f"; {of_estimator}" if hasattr(net, "get_params") else ""
    raise TypeError(f"net: expected a bpx.MLP, got {type(net).__name__}{hint}")
