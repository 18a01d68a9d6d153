"""NumPy: arrays on the host; always available."""

from __future__ import annotations

from typing import Any, final

import numpy as np

from bpx._typing import Array
from bpx.backend.base import Backend, bfloat16_of_ml_dtypes
from bpx.backend.host_memory import host_memory


@final
class NumpyBackend(Backend):
    """NumPy itself, which follows the array API since 2.0; array-api-compat would take 0.3 s to import."""

    name = package = "numpy"
    xp = np
    device = "cpu"

    def storage_dtype(self, name: str) -> Any:
        return bfloat16_of_ml_dtypes() if name == "bfloat16" else super().storage_dtype(name)

    def _from_host(self, x: np.ndarray[Any, Any], dtype: Any) -> Array:
        return x if dtype is None else x.astype(dtype, copy=False)

    def _same_device(self, x: Array) -> bool:
        return True

    def to_host(self, x: Array) -> np.ndarray[Any, Any]:
        return np.asarray(x)

    def synchronize(self) -> None:
        return None

    def memory(self) -> tuple[int, int] | None:
        return host_memory()
