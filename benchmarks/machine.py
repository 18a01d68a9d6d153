"""What the figures were measured on."""

from __future__ import annotations

import os
import platform
import re
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

__all__ = ["describe", "name", "version_of"]

PACKAGES = ("numpy", "numba", "scipy", "scikit-learn", "torch", "jax", "jaxlib")


def describe(threads: int) -> dict[str, Any]:
    """Processor, memory, system, versions and threads."""
    return {
        "name": name(),
        "processor": _processor(),
        "cores": _cores(),
        "memory GB": _memory(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": {"bpx-nn": version_of("bpx-nn")} | {package: version_of(package) for package in PACKAGES},
        "BLAS": _blas(),
        "threads": threads,
    }


def name() -> str:
    """Of the machine, by its processor and number of cores, such as ``"amd-epyc-2-cores"``."""
    # Trade marks and clock rates say nothing that the model does not.
    plain = re.sub(r"\((r|tm)\)|\bcpu\b|@.*|\bprocessor\b|\d+-core\b", " ", _processor().lower())
    return re.sub(r"[^a-z0-9]+", "-", f"{plain} {_cores()} cores").strip("-")


def _processor() -> str:
    """The model's name."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
        return re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)[1].strip()  # type: ignore[index]
    except (OSError, TypeError):
        return platform.processor() or platform.machine()


def _cores() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _memory() -> int | None:
    """Physical memory, rounded."""
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9)
    except (AttributeError, ValueError, OSError):
        return None


def version_of(package: str) -> str | None:
    """None where it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _blas() -> str | None:
    """The library of NumPy's matrix products."""
    import numpy as np

    try:
        blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]  # type: ignore[index, call-overload]
        return f"{blas['name']} {blas['version']}"
    except (KeyError, TypeError):
        return None
