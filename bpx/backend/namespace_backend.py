"""Any other array API namespace, such as array_api_strict."""

from __future__ import annotations

from typing import Any, final

import numpy as np

from bpx._typing import Array, Namespace
from bpx.backend.base import Backend
from bpx.errors import BackendUnavailableError


@final
class NamespaceBackend(Backend):
    """An array API namespace on one of its devices.

    Parameters
    ----------
    xp : module
        The namespace.
    device : object, optional
        One of its devices; None is its default device.

    Raises
    ------
    BackendUnavailableError
        If its arrays cannot be written through a reshaped view (JAX): parameters are views of one flat vector.
    """

    def __init__(self, xp: Namespace, device: Any = None) -> None:
        self.xp = xp
        self.package = str(xp.__name__).removeprefix("array_api_compat.").partition(".")[0]
        self.device = xp.__array_namespace_info__().default_device() if device is None else device
        self.name = self.package
        why = ""
        try:
            flat = xp.zeros((2, 4), dtype=xp.float32, device=self.device)
            xp.reshape(flat[..., 1:3], (2, 1, 2), copy=False)[...] = 1.0
            if not bool(xp.sum(flat) == 4.0):
                why = "writing into a view does not change the array"
        except Exception as error:
            why = str(error)
        if why:
            raise BackendUnavailableError(
                f"arrays of {self.package!r} cannot be written through a reshaped view ({why}); bpx keeps all"
                " parameters in one flat vector with named views, so use a library with mutable arrays and real views"
                " (numpy, cupy, torch)"
            )

    def _from_host(self, x: np.ndarray[Any, Any], dtype: Any) -> Array:
        return self.xp.asarray(np.array(x), dtype=dtype, device=self.device)

    def _same_device(self, x: Array) -> bool:
        return bool(x.device == self.device)

    def to_host(self, x: Array) -> np.ndarray[Any, Any]:
        home = self.xp.__array_namespace_info__().default_device()
        # The standard copies to the host by DLPack from the library's default device, which is assumed to be the host.
        return np.array(np.from_dlpack(self.xp.asarray(x, device=home)))

    def synchronize(self) -> None:
        return None
