"""What the imitation of CUDA has done, for tests that say how often the device is called."""

from __future__ import annotations

import ctypes
import functools
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager


@functools.cache
def _library() -> ctypes.CDLL | None:
    import cupy  # loads it

    try:
        if cupy.cuda.runtime.getDeviceCount() == 0:
            return None
        library = ctypes.CDLL("libcuda.so.1")
        library.cuda_on_cpu_counts.restype = ctypes.c_size_t
    except (OSError, AttributeError, cupy.cuda.runtime.CUDARuntimeError):
        return None  # no CUDA, or a real one
    library.cuda_on_cpu_counts.argtypes = [ctypes.c_char_p, ctypes.c_size_t]
    return library


def imitated() -> bool:
    """Whether CuPy runs on the imitation here."""
    try:
        return _library() is not None
    except ImportError:
        return False


def counts() -> Counter[str]:
    """All counts since the process began.

    Of "kernel", "product", "graph", "memset", "host_function", "copy_to_device", "copy_to_host", "copy_on_device" and
    "copy_on_host" there are "kernel.launched" (the host called for it), "kernel.captured" (a capturing stream noted it)
    and "kernel.run" (it was done, launched or as part of a graph). There are also "allocations", "frees",
    "synchronisations" and "graphs_instantiated".
    """
    library = _library()
    if library is None:
        raise RuntimeError("CuPy does not run on the imitation of CUDA here")
    size = library.cuda_on_cpu_counts(None, 0) + 1000
    text = ctypes.create_string_buffer(size)
    library.cuda_on_cpu_counts(text, size)
    return Counter({key: int(value) for key, value in (line.split() for line in text.value.decode().splitlines())})


@contextmanager
def counted() -> Iterator[Counter[str]]:
    """Count what happens inside: the counter is filled when the block ends."""
    before, inside = counts(), Counter[str]()
    yield inside
    inside.update(counts() - before)
