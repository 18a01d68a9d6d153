"""CuPy arrays on a GPU. CuPy is imported, and a device used, only when a CuPy backend is asked for."""

from __future__ import annotations

import re
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, final

import numpy as np

from bpx._typing import Array
from bpx.backend.base import Backend, bfloat16_of_ml_dtypes, import_library
from bpx.errors import Log, how_to_install

NOT_INSTALLED = "CuPy is not installed"

logger = Log("bpx.backend")

# CuPy itself raises a MemoryError. Errors of CUDA (cudaErrorMemoryAllocation, CUDA_ERROR_OUT_OF_MEMORY), of cuBLAS and
# of nvmath (CUBLAS_STATUS_ALLOC_FAILED, ALLOC_FAILED) have classes of their own.
_NO_MEMORY = re.compile(r"ALLOC_FAILED|MemoryAllocation|out[ _]of[ _]memory", re.IGNORECASE)
_PACKAGES = {"cupy", "cupy_backends", "cupyx", "nvmath", "cuda"}

# Held while a graph is captured, and by other threads for what may wait for the whole device, which CUDA then refuses.
ALONE = threading.RLock()

# Whether this thread has asked for TF32.
_asked = threading.local()
# All threads share CuPy's setting. These are its values before each change that has not been undone yet; the first one
# is the process's own.
_changed: list[int] = []
_setting = threading.Lock()

# The devices in use: asking another one about its pool would allocate memory there.
_used: set[int] = set()


@final
class CupyBackend(Backend):
    """CuPy on one GPU; work is queued on the caller's current stream."""

    package = "cupy"

    def __init__(self, index: int = 0) -> None:
        import array_api_compat.cupy as xp
        import cupy

        self._cupy = cupy
        self._index = index
        self.name = "cupy" if index == 0 else f"cupy:{index}"
        self.xp = xp
        self.device = cupy.cuda.Device(index)
        self._copies: Any = None
        _used.add(index)

    def storage_dtype(self, name: str) -> Any:
        if name != "bfloat16":
            return super().storage_dtype(name)
        version = str(self._cupy.__version__)
        if int(version.partition(".")[0]) < 14:
            raise ValueError(
                f"precision: 'bfloat16' needs CuPy 14 or newer, got {version}; use 'float16', or update it"
            )
        return bfloat16_of_ml_dtypes()

    def _from_host(self, x: np.ndarray[Any, Any], dtype: Any) -> Array:
        with self.scope():
            return self._cupy.asarray(x, dtype=dtype)

    def _same_device(self, x: Array) -> bool:
        return bool(x.device.id == self._index)

    def to_host(self, x: Array) -> np.ndarray[Any, Any]:
        return np.asarray(self._cupy.asnumpy(x))

    def synchronize(self) -> None:
        with ALONE:
            self.device.synchronize()

    def pinned(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray[Any, Any]:
        import cupyx

        return np.asarray(cupyx.empty_pinned(shape, dtype))

    def transfer(self, host: np.ndarray[Any, Any], device: Array, after: Any = None) -> None:
        with self.scope():
            if self._copies is None:  # a stream of their own: copies do not wait for computations
                self._copies = self._cupy.cuda.Stream(non_blocking=True)
            if after is not None:
                self._copies.wait_event(after)
            device.set(host, stream=self._copies)
            self._copies.synchronize()

    def mark(self) -> Any:
        with self.scope():
            return self._cupy.cuda.get_current_stream().record()

    def summer(self, comm: Any, host: str) -> Callable[[Array], Array] | None:
        bus = self._cupy.cuda.runtime.deviceGetPCIBusId(self._index)
        places = comm.allgather((host, bus))
        if len(set(places)) < len(places):  # NCCL refuses two ranks on one GPU
            return None
        from mpi4py import MPI  # takes a second

        if MPI.Comm.Compare(comm, MPI.COMM_WORLD) == MPI.UNEQUAL:  # CuPy's group always contains all ranks
            return None
        failure: str | None = None
        with self.scope():
            try:
                from cupyx import distributed

                group = distributed.init_process_group(comm.Get_size(), comm.Get_rank(), backend="nccl", use_mpi=True)
            except Exception as error:  # CuPy built without NCCL, or GPUs that cannot reach each other
                failure = f"{type(error).__name__}: {error}"
        failures = [text for text in comm.allgather(failure) if text is not None]
        if failures:
            logger.warning("NCCL cannot be used, sums go through the host: %s", failures[0])
            return None

        def total(array: Array) -> Array:
            summed = self._cupy.empty_like(array)
            group.all_reduce(array, summed)  # queued on the current stream
            return summed

        return total

    def memory(self) -> tuple[int, int] | None:
        with self.scope():
            free, total = self.device.mem_info
            pool = self._cupy.get_default_memory_pool()
            free += pool.free_bytes()  # allocated, but unused
            if limit := pool.get_limit():
                free = min(free, limit - pool.used_bytes())
        return max(0, int(free)), int(total)

    def is_out_of_memory(self, error: BaseException) -> bool:
        of_cuda = type(error).__module__.partition(".")[0] in _PACKAGES
        return super().is_out_of_memory(error) or (of_cuda and _NO_MEMORY.search(str(error)) is not None)

    @contextmanager
    def scope(self) -> Iterator[None]:
        with super().scope(), self._cupy.cuda.Device(self._index):
            yield

    def here(self) -> AbstractContextManager[Any]:
        with self.scope():
            stream = self._cupy.cuda.get_current_stream()  # each thread has a current stream and device of its own

        @contextmanager
        def place() -> Iterator[None]:
            with self.scope(), stream:
                yield

        return place()

    @contextmanager
    def matmul_precision(self, tf32: bool = False, process: bool = True) -> Iterator[None]:
        # GPUs before compute capability 8.0 have no TF32; CuPy would warn.
        rounds = tf32 and int(self.device.compute_capability) >= 80
        before, _asked.tf32 = uses_tf32(), rounds
        try:
            with compute_type(rounds) if process else nullcontext():
                yield
        finally:
            _asked.tf32 = before


def uses_tf32() -> bool:
    """Whether this thread's products of float32 may round their operands to TF32."""
    return bool(getattr(_asked, "tf32", False))


@contextmanager
def compute_type(tf32: bool) -> Iterator[None]:
    """Products by CuPy in TF32 or true float32; the last thread to leave restores the process's own setting."""
    from cupy import _core
    from cupy._core import _routines_linalg as types

    single = "float32"
    with _setting:
        before = _core.get_compute_type(single)  # includes CUPY_TF32=1 of the environment
        _changed.append(before)
        _core.set_compute_type(single, types.COMPUTE_TYPE_TF32 if tf32 else types.COMPUTE_TYPE_DEFAULT)
    try:
        yield
    finally:
        with _setting:
            own = _changed.pop()
            _core.set_compute_type(single, before if _changed else own)


def free_memory() -> int:
    """Free unused blocks of CuPy's default pools, if CuPy is imported; returns the bytes of device memory freed."""
    cupy = sys.modules.get("cupy")
    if cupy is None:
        return 0
    pool, given_back = cupy.get_default_memory_pool(), 0
    try:
        devices = _used | {int(cupy.cuda.runtime.getDevice())}
    except Exception:  # without a driver there is nothing to give back
        return 0
    for index in sorted(devices):
        with cupy.cuda.Device(index):
            before = int(pool.total_bytes())
            pool.free_all_blocks()
            given_back += before - int(pool.total_bytes())
    cupy.get_default_pinned_memory_pool().free_all_blocks()
    return given_back


def remedy() -> str:
    """The commands that install CuPy."""
    twelve, thirteen = how_to_install("cuda12", "cupy-cuda12x"), how_to_install("cuda13", "cupy-cuda13x")
    return f"{twelve}, or where your NVIDIA driver is for CUDA 13: {thirteen}"


def probe(index: int) -> tuple[Backend | None, str, str]:
    """Try a kernel and a product on one GPU; returns (backend or None, version or "", why it cannot be used or "")."""
    cupy, reason = import_library("cupy", "CuPy")
    if cupy is None:
        return None, "", reason
    version = str(cupy.__version__)
    try:
        count = cupy.cuda.runtime.getDeviceCount()
    except Exception as error:
        return None, version, f"CuPy {version} finds no usable NVIDIA driver or GPU ({error})"
    if not 0 <= index < count:
        return None, version, f"CuPy {version} sees {count} GPU(s), numbered from 0; there is no GPU {index}"
    try:
        with cupy.cuda.Device(index):
            # An elementwise kernel needs NVRTC and its headers, a product needs cuBLAS: either may be missing.
            twice = cupy.ElementwiseKernel("float32 x", "float32 y", "y = x + x", "bpx_smoke_test")
            ones = cupy.ones((2, 2), dtype=cupy.float32)
            if float(cupy.matmul(twice(ones), ones)[0, 0]) != 4.0:
                return None, version, f"CuPy {version} computes a wrong product on GPU {index}"
        return CupyBackend(index), version, ""
    except Exception as error:
        reason = f"CuPy {version} cannot run a kernel and a product on GPU {index} ({type(error).__name__}: {error})"
        return None, version, reason
