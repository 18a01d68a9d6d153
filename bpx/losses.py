"""Losses: `Loss`, the named ones, and those that take a parameter.

The functions ``f(xp, output, target) -> (values, grad)`` are there to build your own losses from.
"""

from bpx.formulas.losses import (
    LOSSES,
    Loss,
    LossLike,
    LossName,
    absolute_error,
    binary_cross_entropy,
    cross_entropy,
    get,
    huber,
    poisson,
    quantile,
    squared_error,
)

__all__ = [
    "LOSSES",
    "Loss",
    "LossLike",
    "LossName",
    "absolute_error",
    "binary_cross_entropy",
    "cross_entropy",
    "get",
    "huber",
    "poisson",
    "quantile",
    "squared_error",
]
