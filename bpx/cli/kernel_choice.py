"""Which kernels compute, and a block in which others do: ``BPX_KERNELS`` says it for a process."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from bpx.backend.base import Backend
from bpx.kernels import select

VARIABLE = "BPX_KERNELS"


@contextmanager
def using(kernels: str | None) -> Iterator[None]:
    """Another value of ``BPX_KERNELS`` inside the block; None is the user's choice, which comes back after it."""
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
    """The packages of kernels that training on a backend uses, the best first; the compiled ones are tried out."""
    return [package.__name__.rpartition(".")[2] for package in select.for_backend(backend, dtype).packages]


def captures() -> bool:
    """Whether training on CuPy makes one launch of a step."""
    from bpx.kernels.cuda.products import can_be_captured

    return select.wanted() not in ("eager", "reference") and can_be_captured()
