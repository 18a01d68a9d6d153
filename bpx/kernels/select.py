"""Which formulas have a fast twin here; asked once when training starts.

A kernel returns ``NotImplemented`` for what it is not made for (a layout, a dtype, a formula), as Python's operators
do, and then the next one does it, in the end the formula.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache, wraps
from types import ModuleType, SimpleNamespace
from typing import Any, TypeVar, final

import numpy as np

from bpx.backend.base import Backend
from bpx.errors import Log
from bpx.kernels.recording import NotRecordableError, is_recording

__all__ = ["Twins", "for_backend", "in_place", "wanted"]

logger = Log("bpx.kernels")

Function = TypeVar("Function", bound=Callable[..., Any])


@final
class Twins:
    """Gives for a formula what should compute it: its twins where there are any, else the formula.

    Parameters
    ----------
    rooms : modules
        Folders of kernels, the best first, whose modules have the formulas' names.
    """

    def __init__(self, *rooms: ModuleType) -> None:
        self.rooms = rooms

    @property
    def records(self) -> bool:
        """Whether results go into arrays that are kept, so that a step may be recorded."""
        return bool(self.rooms)

    def recorder(self, backend: Backend, drops: bool) -> Any:
        """What records steps made of these, or None; see `bpx.kernels.numpy_in_place.steps.Recorder`."""
        return self.rooms[-1].steps.Recorder(backend, drops) if self.rooms and wanted() != "eager" else None

    def of(self, formula: Function) -> Function:
        """A function's twins in one, or the function itself."""
        floor, _, module = formula.__module__.rpartition(".")
        if floor != "bpx.formulas":
            return formula
        found = [getattr(vars(room).get(module), formula.__name__, None) for room in self.rooms]
        return self._first_that_can([kernel for kernel in found if kernel is not None], formula)

    def module(self, formulas: ModuleType) -> Any:
        """All public functions of a module of formulas, twins where there are any."""
        return SimpleNamespace(**{name: self.of(getattr(formulas, name)) for name in formulas.__all__})

    def activation(self, activation: Any) -> Any:
        """What has an activation's ``after_bias`` and ``backward``."""
        if not self.rooms:
            return activation
        twins = [twin for room in self.rooms if (twin := room.activations.twin(activation)) is not None]
        return SimpleNamespace(
            after_bias=self._first_that_can([twin.after_bias for twin in twins], activation.after_bias),
            backward=self._first_that_can([twin.backward for twin in twins], activation.backward),
        )

    def _first_that_can(self, kernels: list[Callable[..., Any]], formula: Function) -> Function:
        """The kernels one after the other, then the formula, which a recorded step cannot repeat."""
        if not self.rooms:
            return formula

        @wraps(formula)
        def call(*args: Any, **kwargs: Any) -> Any:
            for kernel in kernels:
                result = kernel(*args, **kwargs)
                if result is not NotImplemented:
                    return result
            if is_recording():
                raise NotRecordableError(formula.__qualname__)
            return formula(*args, **kwargs)

        return call  # type: ignore[return-value]


def in_place(backend: Backend, dtype: str) -> Twins:
    """The twins that need no compiler, for a backend and dtype; arguments and errors as `for_backend`'s."""
    if wanted() == "reference" or backend.xp is not np or dtype not in ("float32", "float64"):
        return Twins()
    from bpx.kernels import numpy_in_place

    return Twins(numpy_in_place)


def for_backend(backend: Backend, dtype: str) -> Twins:
    """The twins for a backend and the dtype that is stored, by its name.

    There are none outside NumPy and CuPy, none on NumPy for 16 bits, and none where ``BPX_KERNELS`` is "reference".

    Raises
    ------
    ValueError
        If ``BPX_KERNELS`` is none of those that `wanted` knows.
    """
    if backend.package == "cupy" and wanted() != "reference":
        room = _on_gpu()
        return Twins() if room is None else Twins(room)
    plain = in_place(backend, dtype)
    fused = _fused() if plain.records and wanted() in ("auto", "eager") else None
    return plain if fused is None else Twins(fused, *plain.rooms)


def wanted() -> str:
    """Which kernels the environment asks for.

    Returns
    -------
    str
        ``"auto"``, ``"eager"``, ``"numpy"`` or ``"reference"``; see `bpx.kernels`.

    Raises
    ------
    ValueError
        If ``BPX_KERNELS`` is none of them.
    """
    which = os.environ.get("BPX_KERNELS") or "auto"
    if which not in ("auto", "eager", "numpy", "reference"):
        raise ValueError(f"BPX_KERNELS: expected 'auto', 'eager', 'numpy' or 'reference', got {which!r}")
    return which


@cache
def _fused() -> ModuleType | None:
    """The fused kernels, where Numba is installed and can compile."""
    try:
        from bpx.kernels import numba

        numba.smoke_test()
    except ImportError as error:
        logger.info("no compiled kernels: %s", error)
        return None
    except Exception as error:  # whatever keeps a compiler from working here
        logger.warning("Numba is installed but cannot compile; NumPy alone computes: %s", error)
        return None
    return numba


@cache
def _on_gpu() -> ModuleType | None:
    """CuPy's kernels, where they compile."""
    from bpx.kernels import cuda

    try:
        cuda.smoke_test()
    except Exception as error:  # a compiler that does not fit the driver, missing headers
        logger.warning("CuPy's kernels cannot be compiled here, formulas compute: %s", error)
        return None
    return cuda
