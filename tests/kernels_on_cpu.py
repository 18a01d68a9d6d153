"""The kernels for CuPy on NumPy's arrays: g++ compiles their CUDA C++ through the imitation of CUDA."""

from __future__ import annotations

from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cuda_on_cpu.host_compiler import check_arguments, compile_source, launch, missing

from bpx.kernels.cuda import compiling, linear, losses, sources

needs_compiler = pytest.mark.skipif(missing() is not None, reason=missing() or "")

# Largest difference from the formula, relative to each number, and what is allowed besides for numbers near 0 (of the
# order of 1 before the last subtraction). For 16 bits: one unit in the last place of what is stored, and float32's own.
TOLERANCES = {
    "float64": (2e-13, 2e-15),
    "float32": (2e-6, 1e-6),
    "float16": (2.0**-10, 1e-6),
    "bfloat16": (2.0**-7, 1e-6),
}
STORED = ("float32", "float64", "float16", "bfloat16")
COMPUTED = ("float32", "float64")


def dtype_of(name: str) -> np.dtype[Any]:
    """NumPy's dtype, or that of ml_dtypes."""
    if name == "bfloat16":
        ml_dtypes = pytest.importorskip("ml_dtypes", reason="ml_dtypes is not installed")
        return np.dtype(ml_dtypes.bfloat16)
    return np.dtype(name)


@cache
def library(file: str, storage: str) -> Path:
    return compile_source(sources.source(file), sources.options(storage))


def on_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on the kernels for CuPy take NumPy's arrays and run on the CPU."""

    def start(file: str, storage: str, name: str, grid: tuple[int, ...], block: tuple[int, ...], args: Any) -> None:
        launch(library(file, storage), name, grid, block, args)

    monkeypatch.setattr(compiling, "_array_type", lambda: np.ndarray)
    monkeypatch.setattr(compiling, "_device", lambda: 0)
    monkeypatch.setattr(compiling, "_kernel", lambda *names: partial(start, *names[:3]))
    monkeypatch.setattr(linear, "address", lambda x: x.ctypes.data)
    monkeypatch.setattr(losses, "constant", lambda numbers, dtype, like: np.asarray(numbers, dtype=dtype))


def check_launches(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on a launch on a GPU whose arguments are not of its kernel's parameters' types fails; needs g++."""
    if missing():
        return
    found = compiling._kernel

    def checked(file: str, storage: str, name: str, device: int) -> Any:
        kernel = found(file, storage, name, device)

        def start(grid: Any, block: Any, args: Any) -> None:
            check_arguments(library(file, storage), name, args)
            kernel(grid, block, args)

        return start

    monkeypatch.setattr(compiling, "_kernel", checked)


def near(actual: Any, expected: Any, dtype: str, terms: float = 1.0) -> None:
    """Equal in shape and dtype, and in value within `TOLERANCES`, `terms` times as much for long sums."""
    assert actual.shape == expected.shape
    assert actual.dtype == expected.dtype
    relative, absolute = (terms * tolerance for tolerance in TOLERANCES[dtype])
    got, wanted = actual.astype(np.float64), expected.astype(np.float64)
    np.testing.assert_allclose(got, wanted, rtol=relative, atol=absolute)


def wide(x: Any) -> Any:
    """16-bit numbers as what is computed in."""
    return x.astype(np.float32) if x.dtype.itemsize == 2 else x


def narrow(x: Any, dtype: Any) -> Any:
    with np.errstate(over="ignore"):
        return x.astype(dtype)
