"""NVIDIA's compiler for CUDA C++ at run time, from its wheel: it needs no GPU."""

from __future__ import annotations

import ctypes
import importlib.util
import os
from functools import cache
from pathlib import Path

import pytest

MISSING = "NVRTC is not installed; pip install -e '.[nvrtc]'"


@cache
def _folder(name: str) -> Path | None:
    """Where a wheel of NVIDIA's keeps its files."""
    try:
        spec = importlib.util.find_spec(f"nvidia.{name}")
    except ModuleNotFoundError:
        return None
    return None if spec is None or spec.submodule_search_locations is None else Path(spec.submodule_search_locations[0])


@cache
def _library() -> ctypes.CDLL | None:
    folder = _folder("cuda_nvrtc")
    found = [] if folder is None else sorted((folder / "lib").glob("libnvrtc.so*"))
    return ctypes.CDLL(str(found[0])) if found and _folder("cuda_runtime") is not None else None


def need_nvrtc() -> None:
    """Skip where the compiler is not installed; fail where it has to be."""
    if _library() is None:
        if os.environ.get("BPX_REQUIRE_NVRTC") == "1":
            pytest.fail(MISSING)
        pytest.skip(MISSING)


def compiled(source: str, options: tuple[str, ...]) -> tuple[bool, str, str]:
    """Whether NVRTC compiles a source, what it says, and the PTX."""
    nvrtc, headers = _library(), _folder("cuda_runtime")
    assert nvrtc is not None
    assert headers is not None
    program = ctypes.c_void_p()
    assert nvrtc.nvrtcCreateProgram(ctypes.byref(program), source.encode(), b"kernels.cu", 0, None, None) == 0
    flags = [option.encode() for option in (*options, f"-I{headers / 'include'}")]
    done = nvrtc.nvrtcCompileProgram(program, len(flags), (ctypes.c_char_p * len(flags))(*flags)) == 0
    said = _text(nvrtc.nvrtcGetProgramLogSize, nvrtc.nvrtcGetProgramLog, program)
    ptx = _text(nvrtc.nvrtcGetPTXSize, nvrtc.nvrtcGetPTX, program) if done else ""
    assert nvrtc.nvrtcDestroyProgram(ctypes.byref(program)) == 0
    return done, said, ptx


def _text(size_of: object, text_of: object, program: ctypes.c_void_p) -> str:
    size = ctypes.c_size_t()
    assert size_of(program, ctypes.byref(size)) == 0  # type: ignore[operator]
    text = ctypes.create_string_buffer(size.value)
    assert text_of(program, text) == 0  # type: ignore[operator]
    return text.value.decode()
