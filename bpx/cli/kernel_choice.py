"""Which kernels training uses, and a context in which it uses others; ``BPX_KERNELS`` chooses for a process."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from bpx.backend.base import Backend
from bpx.kernels import select

VARIABLE = "BPX_KERNELS"


@contextmanager
def using(kernels: str | None) -> Iterator[None]:
    """Set ``BPX_KERNELS`` inside the block and restore it afterwards; None leaves the user's choice."""
    before = os.environ.get(VARIABLE)
    if kernels is not None:
        os.environ[VARIABLE] = kernels
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(VARIABLE, None)
        else:
            os.environ[VARIABLE] = before


def names(backend: Backend, dtype: str = "float32") -> list[str]:
    """The kernel packages that training on a backend uses, the preferred one first; compiled ones are tried."""
    return [package.__name__.rpartition(".")[2] for package in select.for_backend(backend, dtype).packages]


def captures() -> bool:
    """Whether training on CuPy launches a whole step as one CUDA graph."""
    from bpx.kernels.cuda.products import can_be_captured

    return select.wanted() not in ("eager", "reference") and can_be_captured()
