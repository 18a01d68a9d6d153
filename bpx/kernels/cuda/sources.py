"""The CUDA C++ sources of the kernels, and how they are compiled. This module needs no CuPy.

Each `.cu` file here is compiled once for each type that activations are stored in, with `COMMON` put before it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from importlib import resources

__all__ = ["FILES", "STORAGES", "Storage", "kernel", "kernels", "options", "source"]

FILES = (
    "activations.cu", "softmax.cu", "losses.cu", "linear.cu", "rows.cu", "updates.cu", "dropout.cu", "precision.cu",
    "steps.cu",
)  # fmt: skip
# What comes before each, in the folder of all kernels: formulas.h is the native kernels' too.
COMMON = ("cuda/numbers.cuh", "formulas.h", "cuda/threads.cuh")


@dataclass(frozen=True)
class Storage:
    """What activations are stored in, as CUDA calls it.

    Parameters
    ----------
    number : str
        The type of the numbers.
    compute : {"float32", "float64"}
        The dtype of what is computed: losses, parameters and their gradients.
    header : str
        What declares the type; empty for one of C++'s own.
    """

    number: str
    compute: str
    header: str = ""


# By the dtype's name.
STORAGES = {
    "float32": Storage("float", "float32"),
    "float64": Storage("double", "float64"),
    "float16": Storage("__half", "float32", "cuda_fp16.h"),
    "bfloat16": Storage("__nv_bfloat16", "float32", "cuda_bf16.h"),
}


@cache
def source(file: str) -> str:
    """The whole text of one of `FILES`."""
    folder = resources.files("bpx.kernels")
    return "".join((folder / name).read_text(encoding="utf-8") for name in (*COMMON, f"cuda/{file}"))


def options(storage: str) -> tuple[str, ...]:
    """NVRTC's options for a storage dtype; nothing that loosens arithmetic."""
    kind = STORAGES[storage]
    macros = {"BPX_STORAGE": kind.number, "BPX_COMPUTE": STORAGES[kind.compute].number}
    if kind.header:
        macros["BPX_HEADER"] = f"<{kind.header}>"
    return ("-std=c++17", *(f"-D{name}={value}" for name, value in macros.items()))


@cache
def kernels(file: str) -> tuple[str, ...]:
    """The names of a file's kernels."""
    return tuple(re.findall(r'extern "C" __global__ void (\w+)\(', source(file)))


def kernel(file: str, name: str) -> str:
    """That name, where the file has such a kernel."""
    if name not in kernels(file):
        raise KeyError(f"{file} has no kernel {name!r}; it has {', '.join(kernels(file))}")
    return name
