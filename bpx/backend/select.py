"""Which backend is meant: argument, then ``use_backend``, then ``set_backend``, then ``BPX_BACKEND``, then ``"auto"``.

Nothing is tried at import: a backend is tried when it is first asked for, once per process.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

from bpx._formatting import aligned
from bpx.backend import cupy_backend, torch_backend
from bpx.backend.base import Backend, library_of
from bpx.backend.namespace_backend import NamespaceBackend
from bpx.backend.numpy_backend import NumpyBackend
from bpx.errors import BackendFallbackWarning, BackendUnavailableError, Log, warn_caller
from bpx.errors.hints import unknown_value

# A backend's name, an array API namespace, a Backend, or None for the current one.
BackendLike = str | ModuleType | Backend | None
Probe = tuple[Backend | None, str, str]

KNOWN = ("auto", "numpy", "cupy", "cupy:1", "torch", "torch:cuda")
_CUPY = re.compile(r"cupy(?::(\d+))?")
_TORCH = re.compile(r"torch(?::([a-z]+(?::\d+)?))?")

_log = Log("bpx")
_numpy = NumpyBackend()
_lock = threading.Lock()
_probed: dict[str, Probe] = {}
_environment: dict[tuple[str, bool], Backend] = {}
_auto: list[Backend] = []
_process: list[Backend] = []
_context: ContextVar[Backend | None] = ContextVar("bpx_backend", default=None)


def get_backend(backend: BackendLike = None, *, device: Any = None, strict: bool | None = None) -> Backend:
    """The backend that `backend` names, or the current one if it is None.

    Parameters
    ----------
    backend : str, module or Backend, optional
        ``"auto"``, ``"numpy"``, ``"cupy"``, ``"cupy:1"``, ``"torch"``, ``"torch:cuda"``, or any array API namespace
        module. None: that of the innermost ``use_backend``, else of ``set_backend``, else of the environment variable
        ``BPX_BACKEND``, else ``"auto"`` (CuPy where a GPU passes a smoke test, else NumPy).
    device : object, optional
        A device of a namespace module; None is its default device. Names contain their device (``"cupy:1"``).
    strict : bool, optional
        Raise an error if the backend cannot work, rather than fall back to NumPy. None: what the environment variable
        ``BPX_BACKEND_STRICT`` says, by default False.

    Returns
    -------
    Backend
        With ``.name``, ``.xp``, ``.device``, ``.asarray(x, dtype)``, ``.to_host(x)`` and ``.synchronize()``.

    Raises
    ------
    ValueError
        If the name is not known.
    BackendUnavailableError
        If the backend cannot work here and `strict` is true.

    Warns
    -----
    BackendFallbackWarning
        If the backend cannot work here and NumPy takes its place.
    """
    if device is not None and (backend is None or isinstance(backend, (str, Backend))):
        raise ValueError(f"device={device!r} goes with a namespace module; a name has its own, as in 'cupy:1'")
    if isinstance(backend, Backend):
        return backend
    strict = _strict_by_environment() if strict is None else strict
    if backend is None:
        return _context.get() or (_process[0] if _process else _from_environment(strict))
    if isinstance(backend, str):
        return _resolve(backend, strict)
    root = str(getattr(backend, "__name__", "")).removeprefix("array_api_compat.").partition(".")[0]
    if root in {"numpy", "cupy", "torch"}:
        if device is None:
            return _resolve(root, strict)
        raise ValueError(
            f"give {root}'s device in the name, as in 'cupy:1' or 'torch:cuda:0', not as device={device!r}"
        )
    if not hasattr(backend, "__array_namespace_info__"):
        raise ValueError(f"expected a backend's name ({', '.join(KNOWN)}) or an array API module, got {backend!r}")
    return NamespaceBackend(backend, device)


def set_backend(backend: BackendLike, *, device: Any = None, strict: bool | None = None) -> Backend:
    """Make `backend` the process's default, as the environment variable ``BPX_BACKEND`` does.

    Parameters
    ----------
    backend : str, module or Backend, or None
        As for `get_backend`, but None undoes earlier calls.
    device, strict : optional
        As for `get_backend`.

    Returns
    -------
    Backend
        The one that is now the default.

    Raises
    ------
    ValueError, BackendUnavailableError
        As `get_backend`, which may also warn.
    """
    if backend is None:
        _process.clear()
        return _from_environment(_strict_by_environment() if strict is None else strict)
    _process[:] = [get_backend(backend, device=device, strict=strict)]
    return _process[0]


def use_backend(
    backend: BackendLike, *, device: Any = None, strict: bool | None = None
) -> AbstractContextManager[Backend]:
    """Use `backend` inside a ``with`` block, in this thread or asynchronous task alone.

    Parameters
    ----------
    backend : str, module or Backend
        As for `get_backend`.
    device, strict : optional
        As for `get_backend`.

    Returns
    -------
    context manager of Backend
        Its value is the backend.

    Raises
    ------
    ValueError, BackendUnavailableError
        As `get_backend`, which may also warn.
    """
    # Looked up here, not when the block is entered: a warning then could not point at the caller's line.
    return _using(get_backend(backend, device=device, strict=strict))


@contextmanager
def _using(backend: Backend) -> Iterator[Backend]:
    """Make a backend the current one until the block ends."""
    token = _context.set(backend)
    try:
        yield backend
    finally:
        _context.reset(token)


def backend_of(x: Any) -> Backend:
    """The backend of an array's library and device; NumPy's for host data."""
    library = library_of(x)
    if library == "host":
        return _numpy
    if library == "cupy":
        return _resolve(f"cupy:{x.device.id}" if x.device.id else "cupy", strict=True)
    if library == "torch":
        return _resolve("torch" if x.device.type == "cpu" else f"torch:{x.device}", strict=True)
    return NamespaceBackend(x.__array_namespace__(), x.device)


def to_host(x: Any) -> Any:
    """A copy on the host of a device array; anything else as it is."""
    return x if library_of(x) == "host" else backend_of(x).to_host(x)


@dataclass(frozen=True)
class BackendStatus:
    """Whether one backend can be used on this machine, and if not, why.

    Parameters
    ----------
    name : str
        As `get_backend` takes it.
    available : bool
        Whether it works here.
    device, version : str
        Its device and the library's version, where they could be found.
    reason : str
        Why it does not work; else empty.
    """

    name: str
    available: bool
    device: str
    version: str
    reason: str


class BackendTable(tuple[BackendStatus, ...]):
    """The status of every backend; prints as a table."""

    def __str__(self) -> str:
        rows = [("backend", "works", "device", "version", "reason")]
        # One line per backend: CuPy's message about a broken build has many.
        rows += [
            (s.name, "yes" if s.available else "no", s.device, s.version, " ".join(s.reason.split())) for s in self
        ]
        return aligned(rows)

    __repr__ = __str__


def backends() -> BackendTable:
    """Try every backend that bpx knows by name and report which ones work on this machine.

    Returns
    -------
    tuple of BackendStatus
        One for each backend, with ``name``, ``available``, ``device``, ``version`` and ``reason``; prints as a table.
    """
    table = []
    for name in ("numpy", "cupy", "torch", "torch:cuda"):
        backend, version, reason = _probe(name)
        device, why = str(backend.device) if backend else "", _with_remedy(reason)
        table.append(BackendStatus(name, backend is not None, device, version, why))
    return BackendTable(table)


def _probe(name: str) -> Probe:
    """Try a backend, once per process; the lock keeps two threads from compiling the same kernel."""
    with _lock:
        if name not in _probed:
            _probed[name] = _try(name)
        return _probed[name]


def _try(name: str) -> Probe:
    """A backend or None, its version, and why it cannot be used; ValueError for an unknown name."""
    if name == "numpy":
        return _numpy, np.__version__, ""
    if match := _CUPY.fullmatch(name):
        return cupy_backend.probe(int(match[1] or 0))
    if match := _TORCH.fullmatch(name):
        return torch_backend.probe(match[1] or "cpu")
    raise ValueError(unknown_value("backend", name, f"{', '.join(KNOWN)}, and any array API namespace module"))


def _resolve(name: str, strict: bool) -> Backend:
    """The backend of that name; if it cannot work, NumPy with a warning, or an error if `strict`."""
    if name == "auto":
        return _resolve_auto()
    backend, _, reason = _probe(name)
    if backend is not None:
        return backend
    reason = _with_remedy(reason)
    if strict:
        raise BackendUnavailableError(f"backend {name!r} cannot be used: {reason}")
    warn_caller(f"backend {name!r} cannot be used, NumPy takes its place: {reason}", BackendFallbackWarning)
    return _numpy


def _with_remedy(reason: str) -> str:
    """The reason, with the command that installs CuPy where it is missing; finding that out takes milliseconds."""
    return f"{reason}; {cupy_backend.remedy()}" if reason == cupy_backend.NOT_INSTALLED else reason


def _resolve_auto() -> Backend:
    """CuPy where it works, else NumPy; logged once, without a warning."""
    if not _auto:
        backend, _, reason = _probe("cupy")
        _auto[:] = [backend or _numpy]
        _log.info("backend 'auto' is %s%s", _auto[0].name, f" ({reason})" if reason else "")
    return _auto[0]


def _from_environment(strict: bool) -> Backend:
    """The backend of ``BPX_BACKEND``, resolved (and warned about) once per value."""
    key = (os.environ.get("BPX_BACKEND") or "auto", strict)
    if key not in _environment:
        try:
            _environment[key] = _resolve(*key)
        except ValueError as error:
            raise ValueError(f"environment variable BPX_BACKEND: {error}") from error
    return _environment[key]


def _strict_by_environment() -> bool:
    """Whether ``BPX_BACKEND_STRICT`` asks for errors rather than fallbacks."""
    return os.environ.get("BPX_BACKEND_STRICT", "").lower() not in {"", "0", "false", "no"}
