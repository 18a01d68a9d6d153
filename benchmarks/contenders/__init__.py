"""Who takes part, each in a process of its own.

A contender's module has one function for each kind of workload it takes; the function gets a `Job`, does what need not
be measured, and returns a `Measure`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any

__all__ = ["CONTENDERS", "Contender"]


@dataclass(frozen=True)
class Contender:
    """Where a contender's code is and what it needs.

    Parameters
    ----------
    module : str
        In this folder.
    needs : str
        The package it imports, and
    extra : str
        the extra of pyproject.toml that brings it.
    environment : mapping of str to str
        Variables of its process.
    options : mapping
        For a module that serves several contenders.
    """

    module: str
    needs: str = ""
    extra: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def installed(self) -> bool:
        """Whether its package is there."""
        return not self.needs or find_spec(self.needs) is not None


COMPILED = {"BPX_KERNELS": "auto"}
NUMPY_ONLY = {"BPX_KERNELS": "numpy"}
NOT_CAPTURED = {"BPX_KERNELS": "eager"}
FORMULAS = {"BPX_KERNELS": "reference"}
# Else JAX takes three quarters of the GPU's memory, and the others are out of it.
SHARES = {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"}

CONTENDERS: Mapping[str, Contender] = {
    "floor": Contender("floor"),
    "products": Contender("floor", options={"gathers": False}),
    "bpx": Contender("with_bpx", environment=COMPILED),
    "bpx on NumPy": Contender("with_bpx", environment=NUMPY_ONLY),
    "bpx, separate runs": Contender("with_bpx", environment=COMPILED, options={"separate": True}),
    "bpx on NumPy, separate runs": Contender("with_bpx", environment=NUMPY_ONLY, options={"separate": True}),
    "torch": Contender("with_torch", needs="torch", extra="peers"),
    "torch.compile": Contender("with_torch", needs="torch", extra="peers", options={"compiled": True}),
    "JAX": Contender("with_jax", needs="jax", extra="peers"),
    "JAX scan": Contender("with_jax", needs="jax", extra="peers", options={"scan": True}),
    "scikit-learn": Contender("with_scikit_learn", needs="sklearn", extra="sklearn"),
    "article 000": Contender("article_000"),
    "article 001": Contender("article_001"),
    "article 002": Contender("article_002", needs="scipy", extra="sklearn", options={"loops": True}),
    "plain SciPy": Contender("article_002", needs="scipy", extra="sklearn"),
    "article 003": Contender("article_003"),
    "article 003 in NumPy": Contender("article_003", options={"arrays": True}),
    "python": Contender("whole_processes"),
    # On a GPU.
    "products by CuPy": Contender("gpu_products", needs="cupy", extra="cuda12"),
    "products by torch": Contender("gpu_torch", needs="torch", extra="peers", options={"products": True}),
    "bpx on CuPy": Contender("gpu_bpx", needs="cupy", extra="cuda12", environment=COMPILED),
    "bpx on CuPy without capture": Contender("gpu_bpx", needs="cupy", extra="cuda12", environment=NOT_CAPTURED),
    "bpx on CuPy, formulas alone": Contender("gpu_bpx", needs="cupy", extra="cuda12", environment=FORMULAS),
    "bpx on CuPy, separate runs": Contender(
        "gpu_bpx", needs="cupy", extra="cuda12", environment=COMPILED, options={"separate": True}
    ),
    "torch eager": Contender("gpu_torch", needs="torch", extra="peers"),
    "torch max-autotune": Contender("gpu_torch", needs="torch", extra="peers", options={"compiled": True}),
    "JAX jit": Contender("gpu_jax", needs="jax", extra="peers", environment=SHARES),
}
