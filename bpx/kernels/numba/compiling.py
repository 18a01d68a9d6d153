"""How kernels are compiled, and which arrays they take. Only fused kernels import this module: it needs Numba."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any, final

import numba
import numpy as np

from bpx.errors import Log

__all__ = ["compiled", "compiled_sum", "is_number", "is_plain", "smoke_test"]

logger = Log("bpx.kernels")

# No liberties with arithmetic: what is computed element by element then equals the formula to the last bit.
_EXACT: dict[str, Any] = {"nogil": True, "error_model": "numpy"}
# A long sum may be reordered, so that the processor's vectors are used. NaN and infinity keep their meaning (no "nnan",
# no "ninf"): divergence must be seen.
_REORDERED: dict[str, Any] = _EXACT | {"fastmath": {"reassoc"}}


@final
class _Kept:
    """Numba's cache of one function; where it cannot be read or written, the function is compiled and training goes on.

    Parameters
    ----------
    cache : numba.core.caching.FunctionCache
        Raises what pickle raises where a file is damaged, and OSError where a disk is full.
    """

    def __init__(self, cache: Any) -> None:
        self._cache = cache

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cache, name)

    def load_overload(self, *arguments: Any) -> Any:
        """The compiled function; None where there is none, or a damaged one, which is then forgotten."""
        try:
            return self._cache.load_overload(*arguments)
        except Exception as error:  # a pickle cut short may raise anything
            _say_once(f"{type(error).__name__}: {error}", str(self._cache.cache_path))
        with suppress(Exception):
            self._cache.flush()  # so that a sound one can be kept in its place
        return None

    def save_overload(self, *arguments: Any) -> None:
        """Keep it for the next process, where that can be done."""
        try:
            self._cache.save_overload(*arguments)
        except Exception as error:
            _say_once(f"{type(error).__name__}: {error}", str(self._cache.cache_path))


_said: list[str] = []


def _say_once(reason: str, path: str) -> None:
    """Log what is wrong with the compiler's cache, at the first of its files."""
    if not _said:
        _said.append(reason)
        logger.warning("the cache of compiled kernels in %s cannot be used, they are compiled anew: %s", path, reason)


def compiled(function: Callable[..., Any], options: dict[str, Any] = _EXACT) -> Callable[..., Any]:
    """The function, compiled at its first call with arrays of a dtype and kept on disk."""
    try:
        kernel: Callable[..., Any] = numba.njit(cache=True, **options)(function)
    except RuntimeError as error:  # neither the package's folder nor the user's cache can be written
        logger.info("compiled kernels are not kept on disk: %s", error)
        kernel = numba.njit(**options)(function)
    else:
        kernel._cache = _Kept(kernel._cache)  # type: ignore[attr-defined]
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
    """Whether all hyperparameters are numbers (float64 arrays of no dimension, too), not one for each network."""
    for value in values:
        if isinstance(value, np.ndarray):
            if value.ndim or value.dtype != np.float64:
                return False
        elif not isinstance(value, (float, int)):
            return False
    return True


@compiled
def _double(x: Any) -> None:
    for i in range(x.size):
        x[i] *= 2.0


def smoke_test() -> None:
    """Compile and run one kernel.

    Raises
    ------
    Exception
        Whatever Numba raises where it cannot compile, or a RuntimeError where the result is wrong.
    """
    x = np.ones(3)
    _double(x)
    if x.tolist() != [2.0, 2.0, 2.0]:
        raise RuntimeError(f"a compiled kernel gave {x.tolist()} in place of 2")
