"""How kernels are compiled, and which arrays they take. Only kernels import this module: it needs Numba."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import numba
import numpy as np

__all__ = ["compiled", "compiled_sum", "is_number", "is_plain"]

logger = logging.getLogger("bpx.kernels")

# No liberties with arithmetic: what is computed element by element then equals the formula to the last bit.
_EXACT: dict[str, Any] = {"nogil": True, "error_model": "numpy"}
# A long sum may be reordered, so that the processor's vectors are used. NaN and infinity keep their meaning (no "nnan",
# no "ninf"): divergence must be seen.
_REORDERED: dict[str, Any] = _EXACT | {"fastmath": {"reassoc"}}


def compiled(function: Callable[..., Any], options: dict[str, Any] = _EXACT) -> Callable[..., Any]:
    """The function, compiled at its first call with arrays of a dtype and kept on disk."""
    try:
        kernel: Callable[..., Any] = numba.njit(cache=True, **options)(function)
    except RuntimeError as error:  # neither the package's folder nor the user's cache can be written
        logger.info("compiled kernels are not kept on disk: %s", error)
        kernel = numba.njit(**options)(function)
    return kernel


def compiled_sum(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same for a function with a long sum, in any order."""
    return compiled(function, _REORDERED)


def is_plain(*arrays: Any) -> bool:
    """Whether all are NumPy arrays of one dtype, float32 or float64, in one piece and not empty."""
    dtype = arrays[0].dtype
    if dtype.char not in "fd":
        return False
    for a in arrays:  # a loop, because a generator costs more than all that it asks
        if type(a) is not np.ndarray or a.dtype != dtype or not a.flags.c_contiguous or not a.size:
            return False
    return True


def is_number(*values: Any) -> bool:
    """Whether all hyperparameters are numbers, not one for each network of a stack."""
    for value in values:  # noqa: SIM110 - as above
        if not isinstance(value, (float, int)):
            return False
    return True
