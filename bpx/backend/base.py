"""The interface of a backend: one array library on one device, and copies between it and the host."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from importlib import import_module
from typing import Any, final

import numpy as np

from bpx._typing import Array, Namespace
from bpx.errors import DeviceMismatchError, how_to_install


def library_of(x: Any) -> str:
    """The name of the array library of `x`; ``"host"`` for NumPy arrays, lists, scalars and the like."""
    root = type(x).__module__.partition(".")[0]
    if root in {"torch", "cupy"}:
        return root
    if isinstance(x, (np.ndarray, np.generic)) or not hasattr(x, "__array_namespace__"):
        return "host"
    return str(x.__array_namespace__().__name__).partition(".")[0]


def import_library(name: str, title: str) -> tuple[Any, str]:
    """The module of that name and "", or None and the reason why it cannot be imported."""
    try:
        return import_module(name), ""
    except Exception as error:  # a broken toolkit may raise anything at import
        if isinstance(error, ModuleNotFoundError) and error.name == name:
            return None, f"{title} is not installed"
        why = error if isinstance(error, ImportError) else f"{type(error).__name__}: {error}"
        return None, f"{title} is installed but does not import ({why})"


def writable(x: Any) -> Any:
    """`x`, or a copy if it is a NumPy array that is read-only or a memory map."""
    owner = x
    while isinstance(owner, np.ndarray) and owner.flags.writeable and not isinstance(owner, np.memmap):
        owner = owner.base
    return np.array(x) if isinstance(owner, np.ndarray) else x


def _remedy(library: str, x: Any) -> str:
    """How to move a network to the device of `x`, an array of that library, or `x` to the host."""
    if library == "torch":
        return f"net.to('torch:{x.device}'), or pass the host copy x.detach().cpu().numpy()"
    if library == "cupy":
        return f"net.to('cupy:{x.device.id}'), or pass the host copy cupy.asnumpy(x)"
    return f"net.to(bpx.get_backend({library}, device=x.device)), or pass the host copy numpy.from_dlpack(x)"


def bfloat16_of_ml_dtypes() -> Any:
    """The dtype bfloat16 for NumPy and CuPy, from the package ml_dtypes."""
    try:
        from ml_dtypes import bfloat16
    except ImportError as error:
        raise ImportError(
            "precision='bfloat16' needs the package ml_dtypes on NumPy and CuPy;"
            f" {how_to_install('bfloat16', 'ml_dtypes')}"
        ) from error
    return bfloat16


class Backend(ABC):
    """One array library on one device.

    Attributes
    ----------
    name : str
        ``"numpy"``, ``"cupy"``, ``"torch"`` or the name of an array API namespace; ``":1"`` or ``":cuda"`` is added
        where the device is not the library's first.
    xp : module
        The array API namespace.
    device : object
        What the namespace accepts as ``device=``.
    """

    name: str
    package: str
    xp: Namespace
    device: Any

    @final
    def asarray(self, x: Any, dtype: Any = None) -> Array:
        """`x` as an array of this backend.

        Parameters
        ----------
        x : array, or anything that ``numpy.asarray`` takes
            Host data are copied to the device. An array of this backend is not copied, unless `dtype` differs.
        dtype : str or dtype, optional
            ``"float32"`` or a dtype of this backend; None keeps that of `x`.

        Returns
        -------
        Array
            Same shape, on this backend's device.

        Raises
        ------
        DeviceMismatchError
            If `x` is an array of another library or on another device: bpx never copies between devices by itself.
        """
        wanted = self.dtype(dtype) if isinstance(dtype, str) else dtype
        library = library_of(x)
        if library == "host":
            return self._from_host(np.asarray(x), wanted)
        if library != self.package:
            raise DeviceMismatchError(
                f"the network is on backend {self.name!r} (device {self.device}), the array is one of {library}"
                f" (device {getattr(x, 'device', 'unknown')}); move one to the other: {_remedy(library, x)}"
            )
        if not self._same_device(x):
            raise DeviceMismatchError(
                f"the network is on device {self.device} of backend {self.name!r}, the array is on device {x.device};"
                f" move one to the other: {_remedy(library, x)}"
            )
        if wanted is None or x.dtype == wanted:
            return x
        with self.scope():
            return self.xp.astype(x, wanted)

    def dtype(self, name: str) -> Any:
        """The library's dtype of that name, such as ``float32``."""
        return getattr(self.xp, name)

    def storage_dtype(self, name: str) -> Any:
        """The library's dtype ``float16`` or ``bfloat16``.

        Raises
        ------
        ValueError, ImportError
            If the library does not have it; the message says what to use or install.
        """
        found = getattr(self.xp, name, None)
        if found is None:
            raise ValueError(
                f"precision: arrays of backend {self.name!r} have no dtype {name}; use precision=None, or the backend"
                " 'numpy', 'cupy' or 'torch'"
            )
        return found

    @abstractmethod
    def _from_host(self, x: np.ndarray[Any, Any], dtype: Any) -> Array:
        """Copy a host array to the device; `dtype` None keeps its dtype."""

    @abstractmethod
    def _same_device(self, x: Array) -> bool:
        """Whether an array of this library lies on this backend's device."""

    @abstractmethod
    def to_host(self, x: Array) -> np.ndarray[Any, Any]:
        """`x` as a NumPy array of the same shape and dtype; waits until the device has computed it."""

    @abstractmethod
    def synchronize(self) -> None:
        """Wait until the device has finished all queued work."""

    def pinned(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray[Any, Any]:
        """Uninitialised host memory from which `transfer` copies fast."""
        return np.empty(shape, dtype)

    def transfer(self, host: np.ndarray[Any, Any], device: Array, after: Any = None) -> None:
        """Copy `pinned` host memory into a device array of the same shape and dtype, and wait for this copy alone.

        `after` is a mark from `mark`: the copy begins when the work queued before it is done.
        """
        device[...] = self.asarray(host)

    def mark(self) -> Any:
        """Mark the end of the work queued on the device so far, for `transfer`; None for a backend without a queue."""
        return None

    def summer(self, comm: Any, host: str) -> Callable[[Array], Array] | None:
        """A function that sums an array over all ranks of an MPI communicator on the device; None: sum on the host.

        `host` is the machine's name. All ranks have to call this together.
        """
        return None

    def memory(self) -> tuple[int, int] | None:
        """The bytes that are free for new arrays, and all bytes of the device; None if that is not known."""
        return None

    def is_out_of_memory(self, error: BaseException) -> bool:
        """Whether an error says that memory ran out, on the device or on the host."""
        return isinstance(error, MemoryError)

    def scope(self) -> AbstractContextManager[Any]:
        """A context for computations: new arrays are made on this backend's device.

        NumPy reports no floating-point errors in it, whatever the process has set: an exp may underflow to 0, and bpx
        checks results for overflow itself.
        """
        return np.errstate(all="ignore")

    def here(self) -> AbstractContextManager[Any]:
        """A context for another thread, so that its work on the device joins this thread's queue."""
        return self.scope()

    def matmul_precision(self, tf32: bool = False, process: bool = True) -> AbstractContextManager[Any]:
        """A context in which products of float32 arrays are true float32, or TF32 if wanted and the device has it.

        The library's setting for the process is restored afterwards. `process` False leaves it alone, because other
        threads see it and bpx's own kernels do not need it. Libraries without a setting compute in true float32.
        """
        return nullcontext()

    @final
    def __repr__(self) -> str:
        return f"<bpx backend {self.name!r} on device {self.device}>"

    @final
    def __eq__(self, other: object) -> bool:
        return isinstance(other, Backend) and (self.name, str(self.device)) == (other.name, str(other.device))

    @final
    def __hash__(self) -> int:
        return hash((self.name, str(self.device)))
