"""What the figures were measured on."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

__all__ = ["describe", "device", "device_state", "name", "version_of"]

PACKAGES = ("numpy", "scipy", "scikit-learn", "torch", "jax", "jaxlib")
ON_DEVICE = (
    "numpy", "cupy-cuda12x", "cupy-cuda13x", "nvmath-python", "torch", "triton", "jax", "jaxlib", "jax-cuda12-plugin",
    "jax-cuda13-plugin", "nvidia-cublas-cu12", "nvidia-cublas", "nvidia-cuda-nvrtc-cu12", "nvidia-cuda-nvrtc",
)  # fmt: skip


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
        "CPU kernels": _kernels(),
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


def device() -> dict[str, Any]:
    """The first GPU as nvidia-smi knows it, its name as that of the machine, and versions of what computes on it."""
    fields = ("name", "driver_version", "memory.total", "power.limit", "clocks.max.sm")
    found = _nvidia_smi(fields) or dict.fromkeys(fields)
    name = re.sub(r"[^a-z0-9]+", "-", (found["name"] or "unknown GPU").lower()).strip("-")
    return {
        "name": name,
        "device": found,
        "versions": {package: version_of(package) for package in ("bpx-nn", *ON_DEVICE)},
    }


def device_state() -> dict[str, str] | None:
    """Clock rates, heat and power of the first GPU now."""
    return _nvidia_smi(("clocks.sm", "clocks.mem", "temperature.gpu", "power.draw"))


def _nvidia_smi(fields: Sequence[str]) -> dict[str, str] | None:
    """What nvidia-smi says of the first GPU; None where it does not."""
    command = ["nvidia-smi", f"--query-gpu={','.join(fields)}", "--format=csv,noheader"]
    if shutil.which(command[0]) is None:
        return None
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
        return dict(zip(fields, (value.strip() for value in done.stdout.splitlines()[0].split(",")), strict=True))
    except (OSError, subprocess.SubprocessError, IndexError, ValueError):
        return None


def version_of(package: str) -> str | None:
    """None where it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _kernels() -> str:
    """What computes for bpx where nothing else is asked for."""
    from bpx.kernels.select import describe_cpu

    return describe_cpu().rpartition(", ")[0] or describe_cpu()


def _blas() -> str | None:
    """The library of NumPy's matrix products."""
    import numpy as np

    try:
        blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]  # type: ignore[index, call-overload]
        return f"{blas['name']} {blas['version']}"
    except (KeyError, TypeError):
        return None
