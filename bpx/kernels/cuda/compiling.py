"""How the kernels are compiled and launched, and which arrays they take; CuPy is imported at the first use."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from bpx._typing import Array
from bpx.backend.cupy_backend import ALONE
from bpx.kernels.cuda import sources
from bpx.kernels.recording import launch

__all__ = [
    "BLOCK", "NULL", "address", "blocks", "computed", "constant", "cover", "enqueue", "is_array", "is_plain",
    "lanes", "network_stride", "number", "smoke_test", "storage",
]  # fmt: skip

# Threads of a block, as numbers.cuh has it, and of a warp.
BLOCK, WARP = 256, 32
# So many blocks keep any GPU busy; each then does several pieces.
MANY = 4096
# In place of an array that is not there.
NULL = np.uintp(0)


@cache
def _kernel(file: str, storage: str, name: str, device: int) -> Any:
    """A kernel for the current device, which has that number.

    It is compiled, with all of its file, and loaded here: not while a graph is captured, which would break it off.
    """
    with ALONE:
        kernel = _module(file, storage).get_function(name)
        assert kernel.kernel is not None  # loads it
    return kernel


def _device() -> int:
    import cupy

    return int(cupy.cuda.get_device_id())


@cache
def _module(file: str, storage: str) -> Any:
    import cupy

    return cupy.RawModule(code=sources.source(file), options=sources.options(storage), backend="nvrtc")


def smoke_test() -> None:
    """Compile and launch a kernel on the current device; an exception where that cannot be done."""
    import cupy

    if cupy.cuda.runtime.is_hip:
        raise RuntimeError("they are made for NVIDIA's warps of 32 threads, not for AMD's GPUs")
    start, done, number = cupy.zeros((), dtype="int64"), cupy.zeros((), dtype="int64"), cupy.zeros(())
    enqueue("steps.cu", "float32", "advance", (1,), start, done, number, 1)
    if int(start) != 1:
        raise RuntimeError(f"a kernel that adds 1 to 0 gave {int(start)}")


def launch_kernel(kernel: Any, grid: tuple[int, ...], args: tuple[Any, ...]) -> None:
    """Put a kernel on the current stream."""
    kernel(grid, (BLOCK,), args)


def enqueue(file: str, storage: str, name: str, grid: tuple[int, ...], *args: Any) -> None:
    """Launch a kernel of a file now, or note it for the replay; an int is C++'s long long, a float its double."""
    launch(launch_kernel, _kernel(file, storage, name, _device()), grid, args)


@cache
def _array_type() -> Any:
    import cupy

    return cupy.ndarray


def is_array(x: Any) -> bool:
    """Whether x is an array on a GPU."""
    return isinstance(x, _array_type())


def storage(x: Any) -> str | None:
    """The dtype's name of an array in one piece on a GPU, where kernels are made for it; else None."""
    if not is_array(x) or not x.flags.c_contiguous or not x.size:
        return None
    name = str(x.dtype.name)
    return name if name in sources.STORAGES else None


def computed(storage: str) -> str:
    """The dtype's name of what is computed from numbers stored so."""
    return sources.STORAGES[storage].compute


def is_plain(dtype: str, *arrays: Any) -> bool:
    """Whether all are arrays of that dtype in one piece on a GPU."""
    return all(is_array(x) and x.dtype.name == dtype and x.flags.c_contiguous for x in arrays)


def network_stride(x: Any, dtype: str) -> int | None:
    """Numbers from one network's part of x to the next's; None where a part is not in one piece, or x is no such array.

    The part of a network are the last two axes; 0 where x has no other.
    """
    if not is_array(x) or x.dtype.name != dtype or not 2 <= x.ndim <= 3:
        return None
    size, rows, columns = x.itemsize, x.shape[-2], x.shape[-1]
    if (columns > 1 and x.strides[-1] != size) or (rows > 1 and x.strides[-2] != columns * size):
        return None
    return 0 if x.ndim == 2 or x.shape[0] == 1 else x.strides[0] // size


def address(x: Array) -> int:
    """Where an array begins."""
    return int(x.data.ptr)


def constant(numbers: tuple[float, ...], dtype: str, like: Array) -> Array:
    """Numbers on the device of another array, copied there once."""
    return _constant(numbers, dtype, like.device.id)


@cache
def _constant(numbers: tuple[float, ...], dtype: str, device: int) -> Array:
    import cupy

    with cupy.cuda.Device(device):
        return cupy.asarray(numbers, dtype=dtype)


def number(value: float, dtype: str) -> Any:
    """A number that a kernel takes in the type it computes in."""
    return np.float32(value) if dtype == "float32" else np.float64(value)


def blocks(work: int, per_block: int = BLOCK, networks: int = 1) -> int:
    """How many blocks share each network's work."""
    return max(1, min(-(-work // per_block), -(-MANY // networks)))


def cover(work: int, per_block: int = BLOCK, networks: int = 1) -> tuple[int, int]:
    """A grid: blocks over each network's work, and the networks."""
    return blocks(work, per_block, networks), min(networks, 65535)


def lanes(k: int, each: int = 1) -> int:
    """How many threads share a row of k numbers, of which each should have `each`.

    A power of two up to a warp, or a whole block for long rows.
    """
    wanted = -(-k // each)
    if wanted > 32 * WARP:
        return BLOCK
    return min(WARP, 1 << (wanted - 1).bit_length())
