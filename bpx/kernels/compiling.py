"""How kernels are compiled, and which arrays they take. Only kernels import this module: it needs Numba."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import numba
import numpy as np

__all__ = ["compiled", "is_number", "is_plain"]

logger = logging.getLogger("bpx.kernels")

# Sums may be reordered and products fused with sums, so that the processor's vectors are used. NaN and infinity keep
# their meaning (no "nnan", "ninf"): divergence must be seen.
_OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": {"reassoc", "contract"}}


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, compiled at its first call with arrays of a dtype and kept on disk."""
    try:
        kernel: Callable[..., Any] = numba.njit(cache=True, **_OPTIONS)(function)
    except RuntimeError as error:  # neither the package's folder nor the user's cache can be written
        logger.info("compiled kernels are not kept on disk: %s", error)
        kernel = numba.njit(**_OPTIONS)(function)
    return kernel


def is_plain(*arrays: Any) -> bool:
    """Whether all are NumPy arrays of one dtype, float32 or float64, in one piece and not empty."""
    dtype = arrays[0].dtype
    return dtype.char in "fd" and all(
        type(a) is np.ndarray and a.dtype == dtype and a.flags.c_contiguous and a.size for a in arrays
    )


def is_number(*values: Any) -> bool:
    """Whether all hyperparameters are numbers, not one for each network of a stack."""
    return all(isinstance(value, (float, int)) for value in values)
