"""PyTorch tensors by array-api-compat, without autograd: bpx's own back-propagation runs on them."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, final

import numpy as np

from bpx._typing import Array
from bpx.backend.base import Backend, import_library
from bpx.backend.host_memory import host_memory

# Messages of RuntimeErrors by PyTorch's host allocator, cuBLAS, cuDNN and CUDA.
_NO_MEMORY = re.compile(r"can't allocate memory|not enough memory|STATUS_ALLOC_FAILED|out of memory", re.IGNORECASE)


@final
class TorchBackend(Backend):
    """PyTorch on one device, such as ``"cpu"`` or ``"cuda:0"``."""

    package = "torch"

    def __init__(self, device: str = "cpu") -> None:
        import array_api_compat.torch as xp
        import torch

        self._torch = torch
        self.name = "torch" if device == "cpu" else f"torch:{device}"
        self.xp = xp
        # "cuda" means the current GPU; a tensor's device has the number.
        self.device = torch.empty(0, device=device).device

    def _from_host(self, x: np.ndarray[Any, Any], dtype: Any) -> Array:
        # A copy: PyTorch would otherwise share the memory of an array that may be read-only or belongs to the caller.
        native = np.ascontiguousarray(x, dtype=x.dtype.newbyteorder("="))
        return self._torch.tensor(native, dtype=dtype, device=self.device).reshape(x.shape)

    def _same_device(self, x: Array) -> bool:
        return bool(x.device == self.device)

    def to_host(self, x: Array) -> np.ndarray[Any, Any]:
        return np.asarray(x.detach().cpu().numpy())

    def synchronize(self) -> None:
        if self.device.type == "cuda":
            self._torch.cuda.synchronize(self.device)

    def memory(self) -> tuple[int, int] | None:
        if self.device.type == "cpu":
            return host_memory()
        if self.device.type != "cuda":
            return None
        cuda = self._torch.cuda
        free, total = cuda.mem_get_info(self.device)
        # Memory in PyTorch's cache that no tensor uses is free, too.
        return int(free + cuda.memory_reserved(self.device) - cuda.memory_allocated(self.device)), int(total)

    def is_out_of_memory(self, error: BaseException) -> bool:
        # torch.OutOfMemoryError, which older releases call otherwise, is a RuntimeError.
        return super().is_out_of_memory(error) or (
            isinstance(error, RuntimeError) and _NO_MEMORY.search(str(error)) is not None
        )

    @contextmanager
    def scope(self) -> Iterator[None]:
        # For a tensor that requires grad, autograd would record every step and refuse writes into views.
        with super().scope(), self._torch.no_grad():
            yield

    @contextmanager
    def matmul_precision(self, tf32: bool = False, process: bool = True) -> Iterator[None]:
        torch, on_gpu = self._torch, self._torch.backends.cuda.matmul
        if not hasattr(on_gpu, "fp32_precision"):  # before PyTorch 2.9
            before = torch.get_float32_matmul_precision()
            torch.set_float32_matmul_precision("high" if tf32 else "highest")
            try:
                yield
            finally:
                torch.set_float32_matmul_precision(before)
            return
        on_cpu = torch.backends.mkldnn.matmul  # which may be set to round to bfloat16
        former = on_gpu.fp32_precision, on_cpu.fp32_precision
        on_gpu.fp32_precision, on_cpu.fp32_precision = "tf32" if tf32 else "ieee", "ieee"
        try:
            yield
        finally:
            on_gpu.fp32_precision, on_cpu.fp32_precision = former


def free_memory() -> int:
    """Empty PyTorch's caches on CUDA devices, if it is imported and uses any; returns the bytes freed."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available() or not torch.cuda.is_initialized():
        return 0

    def held() -> int:
        return sum(int(torch.cuda.memory_reserved(index)) for index in range(torch.cuda.device_count()))

    before = held()
    torch.cuda.empty_cache()
    return before - held()


def probe(device: str) -> tuple[Backend | None, str, str]:
    """Try a product on one device; returns (backend or None, version or "", why it cannot be used or "")."""
    torch, reason = import_library("torch", "PyTorch")
    if torch is None:
        return None, "", f"{reason}; pip install torch" if reason.endswith("not installed") else reason
    version = str(torch.__version__)
    try:
        ones = torch.ones((2, 2), device=device)
        if float((ones @ ones)[0, 0]) != 2.0:
            return None, version, f"PyTorch {version} computes a wrong product on {device}"
        return TorchBackend(device), version, ""
    except Exception as error:
        # The first line only: PyTorch may append pages about its internals.
        first = (str(error).splitlines() or [""])[0]
        first = first if len(first) <= 200 else first[:200] + " ..."
        return None, version, f"PyTorch {version} cannot use device {device!r} ({type(error).__name__}: {first})"
