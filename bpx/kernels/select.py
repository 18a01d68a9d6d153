"""Which formulas have a kernel here; asked once when training starts.

A kernel may decline with ``NotImplemented`` what it is not made for (a layout, a dtype), as Python's operators do; then
the next package's kernel computes, in the end the formula.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import cache
from inspect import isfunction
from types import ModuleType, SimpleNamespace
from typing import Any, TypeVar, final

import numpy as np

from bpx.backend.base import Backend
from bpx.errors import Log
from bpx.formulas.activations import Activation
from bpx.kernels.recording import NotRecordableError, is_recording, record

__all__ = ["Kernels", "describe_cpu", "for_backend", "wanted"]

logger = Log("bpx.kernels")

Function = TypeVar("Function", bound=Callable[..., Any])


@final
class Kernels:
    """Gives for a formula what should compute it: its kernels where there are any, else the formula.

    Parameters
    ----------
    packages : modules
        Packages of kernels, the best first. Each has ``KERNELS``, keyed by the function objects of the formulas, and
        ``NEVER_DECLINE``, the formulas whose kernels always compute.
    """

    def __init__(self, *packages: ModuleType) -> None:
        self.packages = packages

    @property
    def records(self) -> bool:
        """Whether results go into arrays that are kept, so that a step may be recorded."""
        return bool(self.packages)

    def recorder(self, backend: Backend, drops: bool) -> Any:
        """What records steps made of these, or None; see `bpx.kernels.numpy_in_place.steps.Recorder`."""
        return self.packages[0].steps.Recorder(backend, drops) if self.packages and wanted() != "eager" else None

    @property
    def forwards(self) -> bool:
        """Whether a forward pass may be recorded."""
        return bool(self.packages) and hasattr(self.packages[0].steps, "Forward") and wanted() == "auto"

    def forward(self, run: Callable[[list[Any]], None], x: Any) -> Any:
        """A forward pass as one call for other rows in place of `x`; None where it cannot be recorded.

        ``run(results)`` does it, and appends the first layer's product and the outputs.
        """
        results: list[Any] = []
        replay = record(run, results)
        if replay is None or not self.packages[0].steps.are_operations(replay.calls):
            return None
        return self.packages[0].steps.Forward(replay.calls, x, *results)

    def of(self, formula: Function) -> Function:
        """A formula's kernels in one function, or the formula itself."""
        return self._first_that_can(formula, formula, [package.KERNELS.get(formula) for package in self.packages])

    def module(self, formulas: ModuleType) -> Any:
        """All public functions of a module of formulas, kernels where there are any."""
        public = {name: getattr(formulas, name) for name in formulas.__all__}
        return SimpleNamespace(**{name: self.of(thing) for name, thing in public.items() if isfunction(thing)})

    def activation(self, activation: Any) -> Any:
        """What has an activation's ``after_bias`` and ``backward``."""
        found = [package.activations.kernel(activation) for package in self.packages]
        after_bias = [kernel and kernel.after_bias for kernel in found]
        backward = [kernel and kernel.backward for kernel in found]
        return SimpleNamespace(
            after_bias=self._first_that_can(Activation.after_bias, activation.after_bias, after_bias),
            backward=self._first_that_can(Activation.backward, activation.backward, backward),
        )

    def _first_that_can(
        self, key: Callable[..., Any], formula: Function, of_packages: Sequence[Callable[..., Any] | None]
    ) -> Function:
        """What each package has, one after the other, then the formula, which a recorded step cannot repeat."""
        if not self.packages:
            return formula
        kernels: list[Any] = []
        for package, kernel in zip(self.packages, of_packages, strict=True):
            if kernel is None:
                continue
            if key in package.NEVER_DECLINE and not kernels:
                return kernel  # type: ignore[return-value]
            kernels.append(kernel)

        def call(*args: Any, **kwargs: Any) -> Any:
            for kernel in kernels:
                result = kernel(*args, **kwargs)
                if result is not NotImplemented:
                    return result
            if is_recording():
                raise NotRecordableError(formula.__qualname__)
            return formula(*args, **kwargs)

        return call  # type: ignore[return-value]


def for_backend(backend: Backend, dtype: str) -> Kernels:
    """The kernels for a backend and the dtype that is stored, by its name.

    There are none outside NumPy and CuPy, none on NumPy for 16 bits, and none where ``BPX_KERNELS`` is "reference".

    Raises
    ------
    ValueError
        If ``BPX_KERNELS`` is none of those that `wanted` knows.
    """
    if backend.package == "cupy" and wanted() != "reference":
        package = _on_gpu()
        return Kernels() if package is None else Kernels(package)
    if wanted() == "reference" or backend.xp is not np or dtype not in ("float32", "float64"):
        return Kernels()
    from bpx.kernels import numpy_in_place

    native = None if wanted() == "numpy" else _native()
    return Kernels(numpy_in_place) if native is None else Kernels(native, numpy_in_place)


def wanted() -> str:
    """Which kernels the environment asks for: "auto", "eager", "numpy" or "reference"; see `bpx.kernels`.

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
def _native() -> ModuleType | None:
    """The compiled kernels, where there is a library that can be used."""
    from bpx.kernels import native

    try:
        native.load()
    except native.NoLibraryError as error:
        logger.info("NumPy alone computes, there are no compiled kernels: %s", error)
        return None
    return native


def describe_cpu() -> str:
    """What computes on CPUs, in words."""
    from bpx.kernels import native

    if wanted() not in ("auto", "eager"):
        return f"NumPy alone (BPX_KERNELS={wanted()})"
    try:
        library = native.load()
    except native.NoLibraryError as error:
        return f"NumPy alone (no compiled library: {error})"
    count = native.threads()
    return f"compiled C, {library.instructions}, {count} thread{'' if count == 1 else 's'}"


@cache
def _on_gpu() -> ModuleType | None:
    """The kernels for CuPy, where they compile."""
    from bpx.kernels import cuda

    try:
        cuda.smoke_test()
    except Exception as error:  # a compiler that does not fit the driver, missing headers
        logger.warning("CuPy's kernels cannot be compiled here, formulas compute: %s", error)
        return None
    return cuda
