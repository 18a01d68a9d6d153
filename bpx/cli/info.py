"""``bpx info``: versions, backends, devices and kernels of this machine, and why what does not work does not."""

from __future__ import annotations

import argparse
import os
import platform
import sys
import textwrap
from dataclasses import asdict
from typing import Any

import numpy as np

from bpx._formatting import aligned
from bpx._version import __version__
from bpx.backend.select import backends, get_backend
from bpx.cli import backend_option, kernel_choice, parser
from bpx.cli.output import Output
from bpx.kernels.select import describe_cpu

EXAMPLES = """\
  bpx info
  bpx info --json
  BPX_BACKEND=torch bpx info
"""
DESCRIPTION = """\
What bpx has on this machine: versions, each backend with its device, and why
one that does not work does not. Nothing is trained; CuPy and PyTorch, where
they are installed, are loaded and tried.
"""
# Packages that bpx can use, and the extra that brings each; "" where there is no extra for it.
PACKAGES = {
    "numpy": "", "array-api-compat": "", "cupy-cuda12x": "cuda12", "cupy-cuda13x": "cuda13", "nvmath-python": "cuda12",
    "ml_dtypes": "bfloat16", "torch": "", "scikit-learn": "sklearn", "scipy": "sklearn", "safetensors": "io",
    "pyarrow": "tables", "onnx": "onnx", "matplotlib": "plot", "tqdm": "progress", "mpi4py": "mpi",
}  # fmt: skip
VARIABLES = (
    "BPX_BACKEND", "BPX_BACKEND_STRICT", "BPX_KERNELS", "BPX_INSTRUCTIONS", "BPX_THREADS", "OPENBLAS_NUM_THREADS",
    "OMP_NUM_THREADS",
)  # fmt: skip


def add(sub: argparse.ArgumentParser) -> None:
    """The subcommand's options."""
    parser.describe(sub, "bpx info [options]", DESCRIPTION, EXAMPLES, run)


def run(args: argparse.Namespace, output: Output) -> None:
    """Look at the machine and report."""
    del args
    in_force = backend_option.backend()  # an unknown name is reported before anything else
    facts: dict[str, Any] = {
        "bpx": __version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}, {_cores()} cores",
        "packages": {name: _version(name) for name in PACKAGES},
        # The other project of that name: ours is distributed as bpx-nn. Both install into the same folder.
        "another bpx": _version("bpx"),
        "environment": {name: os.environ[name] for name in VARIABLES if name in os.environ},
    }
    if not output.json:  # at once: what comes next may load PyTorch
        output.write(_beginning(facts) + "\n")
    table = backends()
    kernels = describe_cpu()
    facts["backends"] = [asdict(status) for status in table]
    facts["backend in force"] = {"name": in_force.name, "device": str(in_force.device)}
    memory = in_force.memory()
    hint = "" if in_force.xp is np else "; in a program bpx.free_memory() gives back what libraries keep unused"
    facts["memory"] = None if memory is None else {"free": memory[0], "total": memory[1]}
    facts["kernels on numpy"] = {"in use": kernel_choice.names(get_backend("numpy")), "description": kernels}
    rest = {
        "in force": f"{in_force.name} on {in_force.device}",
        "memory": "not known" if memory is None else f"{memory[0] / 1e9:.1f} GB of {memory[1] / 1e9:.1f} GB free{hint}",
        "CPU kernels": kernels,
    }
    if in_force.package == "cupy":
        facts["kernels on cupy"] = {
            "in use": kernel_choice.names(in_force),
            "steps are captured": kernel_choice.captures(),
        }
        rest["on the GPU"] = _on_gpu(kernel_choice.names(in_force))
    output.result(f"\n{table}\n\n{aligned(rest.items())}", facts)


def _beginning(facts: dict[str, Any]) -> str:
    """What is known without importing a library or trying a device."""
    there = {name: found for name, found in facts["packages"].items() if found}
    lacking = [f"{name} [{extra}]" if extra else name for name, extra in PACKAGES.items() if name not in there]
    rows = {
        "bpx": f"{facts['bpx']}, Python {facts['python']}",
        "system": facts["system"],
        "packages": _wrapped([f"{name} {found}" for name, found in there.items()]),
        "not installed": _wrapped(lacking) or "nothing",
    }
    if facts["another bpx"]:
        rows["another bpx"] = (
            f"bpx {facts['another bpx']} is Battery Parameter eXchange, imported by the same name; pip uninstall bpx,"
            " or keep the two in environments of their own"
        )
    if facts["environment"]:
        rows["environment"] = _wrapped([f"{name}={value}" for name, value in facts["environment"].items()])
    return aligned(rows.items())


def _wrapped(names: list[str]) -> str:
    """Names with commas between them, in lines below each other; no name is broken, even if it has spaces."""
    text = ", ".join(name.replace(" ", "\0") for name in names)
    lines = textwrap.wrap(text, 62, break_long_words=False, break_on_hyphens=False)
    return f"\n{' ' * 15}".join(lines).replace("\0", " ")


def _on_gpu(found: list[str]) -> str:
    """How training steps are computed by CuPy."""
    if not found:
        return "formulas alone"
    if kernel_choice.captures():
        return "CUDA kernels, a step is one launch"
    reason = "; BPX_KERNELS=eager" if os.environ.get("BPX_KERNELS") == "eager" else ", for want of nvmath-python"
    return f"CUDA kernels, launched one by one{reason}"


def _version(package: str) -> str | None:
    """The version of an installed package; None where it is not installed."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _cores() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if sys.platform.startswith("linux") else os.cpu_count() or 1
