"""Which backend is meant: argument, then ``use_backend``, then ``set_backend``, then ``BPX_BACKEND``, then ``"auto"``.

Nothing is probed at import. A probe runs when a backend is first asked for, once per process and backend.
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
from bpx.errors.wrong_calls import unknown_value

# A backend's name, an array API namespace, a Backend, or None for the one in force.
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
    """The backend that `backend` names, or the one in force where it is None.

    Parameters
    ----------
    backend : str, module or Backend, optional
        ``"auto"``, ``"numpy"``, ``"cupy"``, ``"cupy:1"``, ``"torch"``, ``"torch:cuda"``, or any array API namespace
        module. None: that of the innermost ``use_backend``, else of ``set_backend``, else of the environment variable
        ``BPX_BACKEND``, else ``"auto"`` (CuPy where a GPU passes a smoke test, else NumPy).
    device : object, optional
        A device of a namespace module; None is its default device. Names contain their device (``"cupy:1"``).
    strict : bool, optional
        Raise where the backend cannot work, rather than fall back to NumPy. None: as ``BPX_BACKEND_STRICT`` says.

    Returns
    -------
    Backend
        With ``.name``, ``.xp``, ``.device``, ``.asarray(x, dtype)``, ``.to_host(x)`` and ``.synchronize()``.

    Raises
    ------
    ValueError
        If the name is not known.
    BackendUnavailableError
        If the backend cannot work here and `strict` holds.

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
        As for `get_backend`; None undoes earlier calls.
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
    """Use `backend` inside a ``with`` block, in this thread or asynchronous task only.

    Parameters
    ----------
    backend : str, module or Backend
        As for `get_backend`.
    device, strict : optional
        As for `get_backend`.

    Returns
    -------
    context manager of Backend
        Its value is the backend in force inside.

    Raises
    ------
    ValueError, BackendUnavailableError
        As `get_backend`, which may also warn.
    """
    # Looked up here and not on entering, from where a warning could not point at the caller's line.
    return _using(get_backend(backend, device=device, strict=strict))


@contextmanager
def _using(backend: Backend) -> Iterator[Backend]:
    """That backend in force until the block ends."""
    token = _context.set(backend)
    try:
        yield backend
    finally:
        _context.reset(token)


def backend_of(x: Any) -> Backend:
    """The backend on whose device an array lies; that of NumPy for host data."""
    library = library_of(x)
    if library == "host":
        return _numpy
    if library == "cupy":
        return _resolve(f"cupy:{x.device.id}" if x.device.id else "cupy", strict=True)
    if library == "torch":
        return _resolve("torch" if x.device.type == "cpu" else f"torch:{x.device}", strict=True)
    return NamespaceBackend(x.__array_namespace__(), x.device)


def to_host(x: Any) -> Any:
    """A device array's copy on the host; anything else as it is."""
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
        # CuPy's own message about a broken build has many lines; the table has one for each backend.
        rows += [
            (s.name, "yes" if s.available else "no", s.device, s.version, " ".join(s.reason.split())) for s in self
        ]
        return aligned(rows)

    __repr__ = __str__


def backends() -> BackendTable:
    """Probe every backend that bpx knows by name and say which work here.

    Returns
    -------
    tuple of BackendStatus
        With ``name``, ``available``, ``device``, ``version`` and ``reason``; ``print`` shows it as a table.
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
    """A backend, its version, and why it cannot be used; a name that is not known is an error."""
    if name == "numpy":
        return _numpy, np.__version__, ""
    if match := _CUPY.fullmatch(name):
        return cupy_backend.probe(int(match[1] or 0))
    if match := _TORCH.fullmatch(name):
        return torch_backend.probe(match[1] or "cpu")
    raise ValueError(unknown_value("backend", name, f"{', '.join(KNOWN)}, and any array API namespace module"))


def _resolve(name: str, strict: bool) -> Backend:
    """The backend of that name; NumPy with a warning, or an error, where it cannot work."""
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
    """The reason, and how CuPy is installed, which takes milliseconds to find out and so is asked for only here."""
    return f"{reason}; {cupy_backend.remedy()}" if reason == cupy_backend.NOT_INSTALLED else reason


def _resolve_auto() -> Backend:
    """CuPy where it works, else NumPy; logged once, never a warning."""
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
