"""Which formulas have a fast twin here; asked once when training starts.

A kernel returns ``NotImplemented`` for what it is not made for (a layout, a dtype, a formula), as Python's operators
do, and then the formula computes.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from functools import cache, wraps
from types import ModuleType, SimpleNamespace
from typing import Any, TypeVar, final

import numpy as np

from bpx.backend.base import Backend

__all__ = ["Twins", "for_backend"]

logger = logging.getLogger("bpx.kernels")

Function = TypeVar("Function", bound=Callable[..., Any])


@final
class Twins:
    """Gives for a formula what should compute it: its twin where there is one, else the formula.

    Parameters
    ----------
    table : mapping of str to function
        Kernels by their formula's module and name, such as ``"updates.adam"``.
    activations : callable, optional
        ``activations(activation)`` gives an object with the methods ``after_bias`` and ``backward``, or None.
    """

    def __init__(
        self, table: Mapping[str, Callable[..., Any]], activations: Callable[[Any], Any] | None = None
    ) -> None:
        self._table = table
        self._activations = activations

    def of(self, formula: Function) -> Function:
        """The twin of a function, or the function itself."""
        room, _, module = formula.__module__.rpartition(".")
        kernel = self._table.get(f"{module}.{formula.__name__}") if room == "bpx.formulas" else None
        return formula if kernel is None else guarded(kernel, formula)

    def module(self, formulas: ModuleType) -> Any:
        """All public functions of a module of formulas, twins where there are any."""
        return SimpleNamespace(**{name: self.of(getattr(formulas, name)) for name in formulas.__all__})

    def activation(self, activation: Any) -> Any:
        """What has an activation's ``after_bias`` and ``backward``."""
        twin = None if self._activations is None else self._activations(activation)
        if twin is None:
            return activation
        return SimpleNamespace(
            after_bias=guarded(twin.after_bias, activation.after_bias),
            backward=guarded(twin.backward, activation.backward),
        )


def guarded(kernel: Callable[..., Any], formula: Function) -> Function:
    """`kernel` where it can, else `formula`; a kernel that cannot be compiled here is not tried again."""
    tried = works = False

    @wraps(formula)
    def call(*args: Any, **kwargs: Any) -> Any:
        nonlocal tried, works
        if works:
            result = kernel(*args, **kwargs)
            return formula(*args, **kwargs) if result is NotImplemented else result
        if tried:
            return formula(*args, **kwargs)
        # The first call compiles. Should that fail, the formula must find the arrays as they were.
        before = [(a, a.copy()) for a in (*args, *kwargs.values()) if isinstance(a, np.ndarray)]
        try:
            result = kernel(*args, **kwargs)
        except Exception as error:
            tried = True
            logger.warning("%s: no compiled kernel, the formula computes: %s", formula.__qualname__, error)
            for array, content in before:
                array[...] = content
            return formula(*args, **kwargs)
        if result is NotImplemented:
            return formula(*args, **kwargs)
        works = True
        return result

    return call  # type: ignore[return-value]


def for_backend(backend: Backend, dtype: str) -> Twins:
    """The twins for a backend and dtype; none outside NumPy, or where ``BPX_KERNELS`` is "reference".

    Raises
    ------
    ValueError
        If ``BPX_KERNELS`` is neither "auto" nor "reference".
    """
    wanted = os.environ.get("BPX_KERNELS") or "auto"
    if wanted not in ("auto", "reference"):
        raise ValueError(f"BPX_KERNELS: expected 'auto' or 'reference', got {wanted!r}")
    if wanted == "reference" or backend.xp is not np or dtype not in ("float32", "float64"):
        return Twins({})
    return _numpy_twins()


@cache
def _numpy_twins() -> Twins:
    """Those that need only NumPy, and those of Numba where it is installed and works."""
    from bpx.kernels import in_place

    table: dict[str, Callable[..., Any]] = {"linear.product": in_place.product}
    try:
        from bpx.kernels import activations, linear, losses, updates
    except ImportError as error:
        logger.info("no compiled kernels: %s", error)
        return Twins(table)
    for module in (linear, losses, updates):
        room = module.__name__.rpartition(".")[2]
        table |= {f"{room}.{name}": getattr(module, name) for name in module.__all__}
    return Twins(table, activations.twin)
