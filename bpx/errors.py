"""Every error and warning that bpx raises on purpose. A message says what was expected, what came and what to do."""

from __future__ import annotations

import sys
import warnings
from typing import Any

__all__ = [
    "BackendFallbackWarning",
    "BackendUnavailableError",
    "DeviceMismatchError",
    "DivergenceWarning",
    "FileFormatError",
    "NonFiniteError",
    "NotDifferentiableError",
    "RankFailedError",
    "ShapeError",
    "check_loss_shapes",
    "warn_caller",
]


class BackendUnavailableError(RuntimeError):
    """A backend was asked for strictly and cannot work on this machine."""


class BackendFallbackWarning(RuntimeWarning):
    """A backend was asked for, cannot work on this machine, and NumPy is used in its place."""


class DeviceMismatchError(ValueError):
    """An array lives in another library or on another device than the network it was given to."""


class ShapeError(ValueError):
    """An array has the wrong number of dimensions, columns or rows."""


class NonFiniteError(ValueError):
    """An array holds NaN or infinity."""


class NotDifferentiableError(ValueError):
    """A gradient was asked of a network with an activation that has none (``step``)."""


class FileFormatError(ValueError):
    """A file is not what it claims to be: truncated, damaged, or of another kind."""


class RankFailedError(RuntimeError):
    """Another process of a data-parallel run failed; the message is that process's own error."""


class DivergenceWarning(RuntimeWarning):
    """Training produced a loss or a parameter that is not finite; the last finite parameters were restored."""


def check_loss_shapes(values: Any, grad: Any, output: Any) -> None:
    """Refuse what a loss's function returned, where it has not the outputs' shape and would be repeated to it.

    Raises
    ------
    ShapeError
    """
    for name, part in (("values", values), ("derivatives", grad)):
        if tuple(getattr(part, "shape", ())) != tuple(output.shape):
            raise ShapeError(
                f"loss: expected a function that returns {name} of the outputs' shape {tuple(output.shape)}, one for"
                f" each sample and output, got {tuple(getattr(part, 'shape', ()))}"
            )


def warn_caller(message: str, category: type[Warning]) -> None:
    """Warn at the line outside bpx that led here, so that the message points at the user's own code."""
    level, frame = 2, sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] == "bpx":
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)
