"""Giving back the memory that array libraries keep for later."""

from __future__ import annotations

import gc

from bpx.backend import cupy_backend, torch_backend

__all__ = ["free_memory"]


def free_memory() -> int:
    """Give back what this process's array libraries hold unused, for other processes and libraries.

    Unreachable objects are collected first. Then CuPy's default memory pools of the devices that were used, its pool of
    pinned host memory, and PyTorch's caches on CUDA devices give back their unused blocks. Arrays that are in use stay,
    and so do the pools' settings. A library that is not imported stays so. NumPy gives back by itself what is not used.
    bpx keeps no array beyond the call that made it but 32 MiB on a GPU, cuBLAS's workspace, for each living thread that
    has trained there.

    Returns
    -------
    int
        Bytes of device memory given back: by CuPy's pools and by PyTorch's caches. Memory of the host is not counted.

    Examples
    --------
    >>> import bpx
    >>> bpx.free_memory() >= 0
    True
    """
    gc.collect()
    return cupy_backend.free_memory() + torch_backend.free_memory()
