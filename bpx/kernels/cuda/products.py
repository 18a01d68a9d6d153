"""Matrix products by a cuBLAS handle of our own, because CuPy's may not be used while a stream is captured.

Where nvmath-python is missing, CuPy computes the products, and a step is launched kernel by kernel.
"""

from __future__ import annotations

import threading
import weakref
from collections import deque
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from bpx._typing import Array, Namespace
from bpx.backend.cupy_backend import ALONE, compute_type, uses_tf32
from bpx.errors import Log
from bpx.kernels.cuda.compiling import is_array
from bpx.kernels.recording import launch

__all__ = ["can_be_captured", "product"]

logger = Log("bpx.kernels")

# cudaDataType of each dtype; bfloat16 is ml_dtypes'.
_TYPES = {"float32": 0, "float64": 1, "float16": 2, "bfloat16": 14}
_NONE, _TRANSPOSED = 0, 1  # cublasOperation_t
_FLOAT32, _FLOAT64, _TF32 = 68, 70, 77  # cublasComputeType_t
_DEFAULT = -1  # cublasGemmAlgo_t
_SUMS_AS_COMPUTED = 16  # cublasMath_t: parts of a sum are not added in the 16 bits of the result
# What cuBLAS's guide recommends for Hopper; the same for all, because its size may choose the algorithm.
WORKSPACE = 32 * 2**20

_local = threading.local()
# By device, the handles of threads that have ended: to make one waits for the device, and to drop one leaks memory.
_spare: dict[int, deque[_Handle]] = {}


class _Handle:
    """A handle of cuBLAS, its workspace, and the stream that was set last."""

    def __init__(self, cublas: Any) -> None:
        import cupy

        # The workspace is the handle's alone: what cuBLAS allocates itself would become part of a captured graph.
        self.workspace = cupy.cuda.alloc(WORKSPACE)
        self.number = int(cublas.create())
        self.stream: int | None = None
        cublas.set_math_mode(self.number, _SUMS_AS_COMPUTED)


class _Lease:
    """A thread's hold on a handle, which another may have when the thread has ended."""

    def __init__(self, cublas: Any, device: int) -> None:
        spare = _spare.setdefault(device, deque())
        try:
            self.handle = spare.pop()
        except IndexError:
            with ALONE:
                self.handle = _Handle(cublas)
        weakref.finalize(self, spare.append, self.handle).atexit = False


class _Matrix(NamedTuple):
    """A row-major matrix, or a stack of them, as cuBLAS sees it: whether it is transposed, and strides in elements."""

    transposed: bool
    leading: int
    stride: int


@cache
def _cublas() -> Any:
    """nvmath-python's bindings of cuBLAS, or None."""
    try:
        from nvmath.bindings import cublas

        with ALONE:
            cublas.destroy(cublas.create())
    except ImportError as error:
        logger.info("steps are not captured, because nvmath-python is not installed (%s)", error)
        return None
    except Exception as error:  # no library of cuBLAS, or one that does not fit the driver
        logger.warning("nvmath-python cannot use cuBLAS, steps are not captured: %s", error)
        return None
    return cublas


def can_be_captured() -> bool:
    """Whether products may be part of a captured step; makes a handle the first time."""
    return _cublas() is not None


def _handle(cublas: Any) -> int:
    """The handle of a thread and device, on the current stream."""
    import cupy

    leases = _local.__dict__.setdefault("leases", {})
    device, stream = cupy.cuda.runtime.getDevice(), cupy.cuda.get_current_stream().ptr
    if device not in leases:
        leases[device] = _Lease(cublas, device)
    handle: _Handle = leases[device].handle
    if stream != handle.stream:  # which takes the workspace away
        cublas.set_stream(handle.number, stream)
        cublas.set_workspace(handle.number, handle.workspace.ptr, WORKSPACE)
        handle.stream = stream
    return handle.number


def _layout(x: Array) -> _Matrix:
    """How the last two axes lie in memory, of which one is contiguous."""
    rows, columns = x.shape[-2:]
    size = x.itemsize
    stride = x.strides[0] // size if x.ndim == 3 and x.shape[0] > 1 else 0
    if columns == 1 or x.strides[-1] == size:
        leading = x.strides[-2] // size if rows > 1 else columns
        if leading >= columns:
            return _Matrix(False, max(leading, 1), stride)
    if rows == 1 or x.strides[-2] == size:
        leading = x.strides[-1] // size if columns > 1 else rows
        if leading >= rows:
            return _Matrix(True, max(leading, 1), stride)
    raise ValueError(f"product: expected contiguous rows or columns, got strides {x.strides} of shape {x.shape}")


def product(xp: Namespace, a: Array, b: Array, out: Array | None = None) -> Array:
    """Transposed views are read as they are; 16-bit operands are summed in float32, where `out` may be that."""
    arrays = (a, b) if out is None else (a, b, out)
    if any(not is_array(x) or x.dtype.name not in _TYPES or not 2 <= x.ndim <= 3 for x in arrays):
        return NotImplemented
    if a.dtype != b.dtype or not _fits(a, out):
        return NotImplemented
    if out is None:
        lead = a.shape[:-2] if a.ndim > b.ndim else b.shape[:-2]  # one network's, or a stack's
        out = xp.empty((*lead, a.shape[-2], b.shape[-1]), dtype=a.dtype)
    # asked now: a recorded product is computed when the backend's setting may be another one
    launch(_multiply, a, b, out, uses_tf32())
    return out


def _fits(a: Array, out: Array | None) -> bool:
    """Whether a product may be written there: it is of the operands' dtype, or float32 where they have 16 bits."""
    return out is None or out.dtype == a.dtype or (a.itemsize == 2 and out.dtype == np.float32)


def _multiply(a: Array, b: Array, out: Array, tf32: bool) -> None:
    """A b into `out`, on the current stream; shapes (n, m) or (K, n, m), and (m, k) or (K, m, k)."""
    cublas = _cublas()
    if cublas is None:
        _by_cupy(a, b, out, tf32)
        return
    of_a, of_b, of_out = _layout(a), _layout(b), _layout(out)
    double = a.dtype == np.float64
    number = np.float64 if double else np.float32
    one, zero = np.ones((), dtype=number), np.zeros((), dtype=number)
    # cuBLAS takes TF32 for operands of float32 only; those of 16 bits fit into it as they are.
    compute = _FLOAT64 if double else _TF32 if tf32 and a.itemsize == 4 else _FLOAT32
    n, k, m = out.shape[-2], out.shape[-1], a.shape[-1]
    # cuBLAS counts by columns, where our rows are: out^T = b^T a^T.
    shape = (
        _TRANSPOSED if of_b.transposed else _NONE, _TRANSPOSED if of_a.transposed else _NONE, k, n, m, one.ctypes.data,
    )  # fmt: skip
    type_a, type_b, type_out = (_TYPES[x.dtype.name] for x in (a, b, out))
    if out.ndim == 2:
        cublas.gemm_ex(
            _handle(cublas), *shape, b.data.ptr, type_b, of_b.leading, a.data.ptr, type_a, of_a.leading,
            zero.ctypes.data, out.data.ptr, type_out, of_out.leading, compute, _DEFAULT,
        )  # fmt: skip
    else:
        cublas.gemm_strided_batched_ex(
            _handle(cublas), *shape, b.data.ptr, type_b, of_b.leading, of_b.stride,
            a.data.ptr, type_a, of_a.leading, of_a.stride,
            zero.ctypes.data, out.data.ptr, type_out, of_out.leading, of_out.stride,
            out.shape[0], compute, _DEFAULT,
        )  # fmt: skip


def _by_cupy(a: Array, b: Array, out: Array, tf32: bool) -> None:
    """The same by CuPy, whose results are of its operands' dtype."""
    import cupy

    with compute_type(tf32):
        if a.itemsize > 2:
            cupy.matmul(a, b, out=out)
        else:
            out[...] = cupy.matmul(a.astype(np.float32), b.astype(np.float32)).astype(out.dtype)
