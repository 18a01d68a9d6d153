"""The backend that ``--backend`` or ``BPX_BACKEND`` names, and whether it can train in a ``--precision``."""

from __future__ import annotations

from collections.abc import Sequence

from bpx.backend.base import Backend
from bpx.backend.select import backends, get_backend
from bpx.cli.output import MistakeError
from bpx.errors import BackendUnavailableError
from bpx.formulas.precision import HALVES
from bpx.kernels import select


def backend(name: str | None = None, *, strict: bool | None = None) -> Backend:
    """The backend of that name; None is the environment's.

    Raises
    ------
    MistakeError
        If the name is not known, or an environment variable that chooses the kernels has a value that means nothing.
    BackendUnavailableError
        If it cannot work here and `strict` holds.
    """
    try:
        found = get_backend(name, strict=strict)
    except ValueError as error:
        raise MistakeError(str(error) if name is None else f"--backend: {error}") from error
    try:
        select.describe_cpu()
    except ValueError as error:
        raise MistakeError(str(error)) from error
    return found


def usable(names: Sequence[str] | None) -> tuple[list[Backend], dict[str, str]]:
    """Those of the named backends (None: of all that bpx knows) that work here, and by name why the others do not."""
    reasons = {}
    if names is None:
        statuses = backends()
        reasons = {status.name: " ".join(status.reason.split()) for status in statuses if not status.available}
        names = [status.name for status in statuses if status.available]
    found = []
    for name in names:
        try:
            found.append(backend(name, strict=True))
        except BackendUnavailableError as error:
            reasons[name] = " ".join(str(error).split())
    return found, reasons


def check_precision_option(name: str | None, dtype: str, backend: Backend) -> None:
    """Refuse a ``--precision`` that a network of that dtype cannot be trained in, before anything is read."""
    if name is not None and dtype != "float32":
        raise MistakeError(f"--precision {name} goes with --dtype float32, got --dtype {dtype}")
    if name in HALVES:
        try:
            backend.storage_dtype(name)
        except ValueError as error:
            raise MistakeError(f"--{error}") from error
