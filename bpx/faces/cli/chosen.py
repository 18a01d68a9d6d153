"""The backend that the user chose: with ``--backend``, or with ``BPX_BACKEND``."""

from __future__ import annotations

from bpx.backend.base import Backend
from bpx.backend.select import get_backend
from bpx.faces.cli.output import MistakeError
from bpx.kernels import select

__all__ = ["backend"]


def backend(name: str | None = None, *, strict: bool | None = None) -> Backend:
    """The backend of that name; None is the environment's.

    Raises
    ------
    MistakeError
        If there is none of that name, or ``BPX_KERNELS`` names none.
    """
    try:
        found = get_backend(name, strict=strict)
    except ValueError as error:
        raise MistakeError(str(error) if name is None else f"--backend: {error}") from error
    try:
        select.wanted()
    except ValueError as error:  # BPX_KERNELS
        raise MistakeError(str(error)) from error
    return found
