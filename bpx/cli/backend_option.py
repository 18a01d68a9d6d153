"""The backend that the user asked for, with ``--backend`` or ``BPX_BACKEND``, and whether it has a precision."""

from __future__ import annotations

from collections.abc import Sequence

from bpx.backend.base import Backend
from bpx.backend.select import backends, get_backend
from bpx.cli.output import MistakeError
from bpx.errors import BackendUnavailableError
from bpx.formulas.precision import HALVES
from bpx.kernels import select


def backend(name: str | None = None, *, strict: bool | None = None) -> Backend:
    """The backend of that name, None for the environment's. An unknown name, in BPX_KERNELS too, is a mistake."""
    try:
        found = get_backend(name, strict=strict)
    except ValueError as error:
        raise MistakeError(str(error) if name is None else f"--backend: {error}") from error
    try:
        select.wanted()
    except ValueError as error:  # BPX_KERNELS
        raise MistakeError(str(error)) from error
    return found


def several(names: Sequence[str] | None) -> tuple[list[Backend], dict[str, str]]:
    """The backends of those names, None for all that work here; and by name why others do not work."""
    idle = {}
    if names is None:
        statuses = backends()
        idle = {status.name: " ".join(status.reason.split()) for status in statuses if not status.available}
        names = [status.name for status in statuses if status.available]
    found = []
    for name in names:
        try:
            found.append(backend(name, strict=True))
        except BackendUnavailableError as error:
            idle[name] = " ".join(str(error).split())
    return found, idle


def check_precision(name: str | None, dtype: str, backend: Backend) -> None:
    """Refuse a ``--precision`` that a network of that dtype cannot be trained in, before anything is read."""
    if name is not None and dtype != "float32":
        raise MistakeError(f"--precision {name} goes with --dtype float32, got --dtype {dtype}")
    if name in HALVES:
        try:
            backend.storage_dtype(name)
        except ValueError as error:
            raise MistakeError(f"--{error}") from error
