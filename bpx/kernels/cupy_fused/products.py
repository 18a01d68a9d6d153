"""Matrix products."""

from __future__ import annotations

from typing import Any

from bpx._typing import Array, Namespace
from bpx.kernels.recording import launch

__all__ = ["product"]


def _matmul(matmul: Any, a: Array, b: Array, out: Array) -> None:
    matmul(a, b, out=out)


def product(xp: Namespace, a: Array, b: Array, out: Array | None = None) -> Array:
    """Without a copy on the way."""
    import cupy

    if out is None:
        lead = a.shape[:-2] if a.ndim > b.ndim else b.shape[:-2]  # one network's, or a stack's
        out = xp.empty((*lead, a.shape[-2], b.shape[-1]), dtype=a.dtype)
    launch(_matmul, cupy.matmul, a, b, out)
    return out
