"""Initial weights: `Initializer`, the named ones, and those that take a parameter."""

from bpx.formulas.initializers import (
    INITIALIZERS,
    Initializer,
    InitializerLike,
    InitializerName,
    get,
    glorot_uniform,
    normal,
    uniform,
)

__all__ = [
    "INITIALIZERS",
    "Initializer",
    "InitializerLike",
    "InitializerName",
    "get",
    "glorot_uniform",
    "normal",
    "uniform",
]
