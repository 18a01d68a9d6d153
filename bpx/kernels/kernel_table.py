"""Keys of the kernels' tables: the function objects of the formulas, so that no function has a kernel by its name."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from types import ModuleType
from typing import Any

from bpx.formulas import losses

__all__ = ["Table", "of_activation", "of_loss", "table"]

# Kernels by their formulas.
Table = dict[Callable[..., Any], Callable[..., Any]]


def table(formulas: ModuleType, *kernels: Callable[..., Any]) -> Table:
    """Kernels of a module's formulas, each of which has its formula's name; any other is an AttributeError."""
    return {getattr(formulas, kernel.__name__): kernel for kernel in kernels}


def of_activation(table: dict[Any, Any], activation: Any) -> tuple[Any, float]:
    """What a table has for an activation, and the activation's parameter (leaky_relu's slope, elu's alpha), else 0.

    Keys are the function of the values and that of the way back: the Jacobian, or where there is none the derivative.
    """
    back = activation.derivative if activation.jacobian is None else activation.jacobian
    (forward, given), (back, same) = _parts(activation.forward), _parts(back)
    found = _get(table, (forward, back))
    if found is None or len(given) > 1 or given != same:
        return None, 0.0
    return found, float(next(iter(given.values()), 0.0))


def of_loss(table: dict[Any, Any], formula: Any) -> tuple[Any, bool, dict[str, Any]]:
    """What a table has for a loss's function, whether that is `capped`, and its parameters (huber's delta)."""
    function, given = _parts(formula)
    capped = function is losses.capped
    if capped:
        function, given = _parts(given["formula"])
    return _get(table, function), capped, given


def _parts(function: Any) -> tuple[Any, dict[str, Any]]:
    """A function, and the arguments that `functools.partial` has fixed."""
    return (function.func, function.keywords) if isinstance(function, partial) else (function, {})


def _get(table: dict[Any, Any], key: Any) -> Any:
    """The table's entry, or None."""
    try:
        return table.get(key)
    except TypeError:  # a user's object that cannot be hashed
        return None
