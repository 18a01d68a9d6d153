"""Stands in for cupy.cuda.thrust, whose sorts are device code inside CuPy's wheel: NumPy sorts the device's memory."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

import numpy as np

available = True


def get_build_version() -> int:
    """As a release of Thrust has it."""
    return 200800


def _view(address: int, shape: Sequence[int], dtype: Any) -> np.ndarray[Any, Any]:
    """Device memory, which is the host's here, as an array."""
    import cupy

    if cupy.cuda.get_current_stream().is_capturing():
        raise NotImplementedError("the imitation of CUDA cannot sort on a capturing stream")
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    return np.frombuffer((ctypes.c_char * size).from_address(address), dtype=dtype).reshape(shape)


def sort(dtype: Any, data_start: int, keys_start: int, shape: Sequence[int]) -> None:
    """Sort along the last axis, in place."""
    _view(data_start, shape, dtype).sort(axis=-1, kind="stable")


def argsort(dtype: Any, idx_start: int, data_start: int, keys_start: int, shape: Sequence[int]) -> None:
    """Indices that sort along the last axis."""
    _view(idx_start, shape, np.int64)[...] = _view(data_start, shape, dtype).argsort(axis=-1, kind="stable")


def lexsort(dtype: Any, idx_start: int, keys_start: int, k: int, n: int) -> None:
    """Indices that sort by k keys, the last one first."""
    _view(idx_start, (n,), np.int64)[...] = np.lexsort(_view(keys_start, (k, n), dtype))
