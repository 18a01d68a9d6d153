"""Checks of what a user's own activation or loss returns: a wrong shape could be broadcast silently."""

from __future__ import annotations

from typing import Any

from bpx.errors import ShapeError


def check_activation_shape(name: str, returned: str, result: Any, like: Any) -> None:
    """Raise ShapeError if an activation's function did not return the layer's shape."""
    _check_shape(f"activation {name!r}", returned, result, f"the layer's shape {tuple(like.shape)}", like, "unit")


def loss_parts(returned: Any, output: Any) -> tuple[Any, Any]:
    """The values and derivatives that a loss's function returned; an error unless both have the outputs' shape."""
    if not isinstance(returned, (tuple, list)) or len(returned) != 2:
        got = f"{len(returned)} things" if isinstance(returned, (tuple, list)) else f"a {type(returned).__name__}"
        raise TypeError(
            "loss: expected a function that returns two arrays, (values, their derivatives with respect to the"
            f" outputs), got one that returns {got}"
        )
    for name, part in zip(("values", "derivatives"), returned, strict=True):
        _check_shape("loss", name, part, f"the outputs' shape {tuple(output.shape)}", output, "output")
    return returned[0], returned[1]


def _check_shape(what: str, returned: str, result: Any, shape: str, like: Any, each: str) -> None:
    """Raise ShapeError if the result of a user's function does not have the shape of `like`."""
    if getattr(result, "shape", None) != like.shape:
        got = f"a {type(result).__name__}"
        if isinstance(result, (bool, int, float)) or hasattr(result, "shape"):
            got = str(tuple(getattr(result, "shape", ())))
        raise ShapeError(
            f"{what}: expected a function that returns {returned} of {shape}, one for each sample and {each}, got {got}"
        )
