"""CUDA C++ compiled by g++ for the host: `compile_source` makes a library of kernels, `launch` runs one.

As a program, `host_compiler.py SOURCE LIBRARY [option ...]`, it is what the imitation of NVRTC calls.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

INCLUDE = Path(__file__).resolve().parent / "include"
FLAGS = ("-std=c++17", "-O1", "-fPIC", "-shared", "-fvisibility=hidden", "-ffp-contract=off", "-fno-strict-aliasing")
FLAGS += ("-w", "-U_FORTIFY_SOURCE", "-pthread")

# What makes a thread wait for others; a source without it needs no fibers.
SYNCHRONISES = re.compile(r"__sync(threads|warp)|__shfl_|__ballot_sync|__(any|all)_sync")
KERNEL = re.compile(r"__global__\s+(?:void\s+)?(?:__launch_bounds__\s*\([^)]*\)\s*)?(?:void\s+)?(\w+)\s*\(")
DYNAMIC_SHARED = re.compile(
    r"extern\s+__shared__\s+((?:__align__\s*\(\s*\d+\s*\)\s*)?)([\w:\s]+?)\s+(\w+)\s*\[\s*\]\s*;"
)
COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)


class CompileError(RuntimeError):
    """What g++ said of a source."""


def missing() -> str | None:
    """Why kernels cannot be run here; None where they can."""
    if not sys.platform.startswith("linux"):
        return "the imitation of CUDA needs Linux"
    return None if shutil.which(os.environ.get("CXX", "g++")) else "g++ is not installed"


def kernels(source: str) -> list[str]:
    """The names of the kernels in a source, templates left out."""
    bare = COMMENT.sub(" ", source)
    return [m[1] for m in KERNEL.finditer(bare) if not re.search(r"template\s*<[^;{}]*$", bare[: m.start()])]


def host_source(source: str, instances: Sequence[str] = ()) -> str:
    """The source as g++ takes it: the imitation before it, an entry for each kernel and template instance after it."""
    body = DYNAMIC_SHARED.sub(r"\2* const \3 = reinterpret_cast<\2*>(cuda_on_cpu::dynamic_shared);", source)
    parts = ["#define CUDA_ON_CPU_FIBERS"] if SYNCHRONISES.search(COMMENT.sub(" ", source)) else []
    parts += ['#include "cuda_on_cpu.h"', '#line 1 "kernels.cu"', body, '#line 1 "entries"']
    # A name may be a macro's: what is compiled is asked, not the text.
    parts += [f"CUDA_ON_CPU_EXPORT({name}, {name})" for name in kernels(source)]
    parts += [f"CUDA_ON_CPU_EXPORT(({name}), {mangled(name)})" for name in instances]
    return "\n".join(parts) + "\n"


def mangled(instance: str) -> str:
    """The plain name under which a template's instance is exported."""
    return "instance_" + hashlib.sha256(instance.encode()).hexdigest()[:16]


@functools.cache
def _imitation() -> bytes:
    """What tells this compiler and its headers from other versions of them."""
    texts = [path.read_bytes() for path in [Path(__file__).resolve(), *sorted(INCLUDE.glob("*.h"))]]
    version = subprocess.run([_compiler(), "-v"], capture_output=True, check=True).stderr
    return hashlib.sha256(b"".join([*texts, version])).digest()


def _compiler() -> str:
    found = shutil.which(os.environ.get("CXX", "g++"))
    if found is None:
        raise CompileError("g++ is not installed: it compiles CUDA sources for the CPU")
    return found


def compile_source(
    source: str, options: Iterable[str] = (), folder: str | Path | None = None, instances: Sequence[str] = ()
) -> Path:
    """Compile CUDA C++ for the host.

    Parameters
    ----------
    source : str
        CUDA C++ with kernels ``extern "C" __global__ void name(...)``.
    options : iterable of str, optional
        Of these, -D, -U, -I (and the long forms NVRTC takes) are for g++; the rest is for real GPUs and ignored.
        The environment variable CUDA_ON_CPU_FLAGS adds to them: "-mfma -ffp-contract=fast" rounds as NVRTC's code does.
    folder : path, optional
        Where libraries are kept by the hash of what went into them; by default in the folder for temporary files.
    instances : sequence of str, optional
        Instances of template kernels, such as ``"scale<float>"``, exported under `mangled`'s names.

    Returns
    -------
    Path
        The shared library. Each kernel has an entry ``name__launch`` there.

    Raises
    ------
    CompileError
        With g++'s message, line numbers being those of the source.
    """
    text = host_source(source, instances)
    flags = [*_flags(options), *os.environ.get("CUDA_ON_CPU_FLAGS", "").split()]
    digest = hashlib.sha256(b"\0".join([_imitation(), text.encode(), *(flag.encode() for flag in flags)])).hexdigest()
    place = Path(folder) if folder is not None else Path(tempfile.gettempdir()) / f"cuda_on_cpu-{os.getuid()}"
    place.mkdir(parents=True, exist_ok=True)
    library = place / f"{digest[:32]}.so"
    if not library.exists():
        with tempfile.TemporaryDirectory(dir=place) as work:
            (Path(work) / "host.cpp").write_text(text)
            command = [_compiler(), *FLAGS, *flags, f"-I{INCLUDE}", "host.cpp", "-o", "host.so"]
            done = subprocess.run(command, cwd=work, capture_output=True, text=True, check=False)
            if done.returncode != 0:
                raise CompileError(done.stderr)
            os.replace(Path(work) / "host.so", library)  # another process may make the same one
    return library


def _flags(options: Iterable[str]) -> list[str]:
    """The options that mean something to g++, in its spelling."""
    flags: list[str] = []
    waiting = ""
    for option in options:
        if waiting:
            flags, waiting = [*flags, waiting + option], ""
        elif option in ("-D", "-I", "-U"):
            waiting = option
        elif match := re.fullmatch(r"--(define-macro|include-path|undefine-macro)=(.*)", option):
            flags.append({"d": "-D", "i": "-I", "u": "-U"}[match[1][0]] + match[2])
        elif option[:2] in ("-D", "-U", "-I"):
            flags.append(option)
    # CUDA's own headers are replaced by the imitation's.
    return [flag for flag in flags if not (flag.startswith("-I") and (Path(flag[2:]) / "cuda_fp16.h").exists())]


class _Dim3(ctypes.Structure):
    _fields_ = [("x", ctypes.c_uint), ("y", ctypes.c_uint), ("z", ctypes.c_uint)]


@functools.cache
def _load(library: str) -> ctypes.CDLL:
    return ctypes.CDLL(library)


@functools.cache
def _parameters(library: str, name: str) -> list[tuple[bool, str, int]]:
    """Of each parameter whether it is a pointer, and the kind and bytes of the number that it is or points to."""
    loaded = _load(library)
    if not hasattr(loaded, f"{name}__launch"):
        raise ValueError(f"the library has no kernel {name!r}")
    count = getattr(loaded, f"{name}__parameters")(None)
    types = (ctypes.c_char * (3 * count))()
    getattr(loaded, f"{name}__types")(types)
    return [(types.raw[i : i + 1] == b"*", chr(types.raw[i + 1]), types.raw[i + 2]) for i in range(0, 3 * count, 3)]


def check_arguments(library: str | Path, name: str, args: Sequence[object]) -> None:
    """Compare what a kernel is given with its parameters: CUDA reads whatever bytes it finds.

    Parameters
    ----------
    library : path
        What `compile_source` returned.
    name : str
        The kernel.
    args : sequence
        As `launch` takes them; arrays may be CuPy's. An array of unsigned integers is one of bits, whatever is read
        in them; a parameter that points to unsigned integers, structs or void takes any array. ``numpy.uintp(0)`` is
        a null pointer.

    Raises
    ------
    ValueError
        If their number, or the type of one, is another.
    """
    import numpy as np

    parameters = _parameters(str(library), name)
    if len(args) != len(parameters):
        raise ValueError(f"{name} has {len(parameters)} parameters, got {len(args)} arguments")
    for i, (given, (pointer, kind, size)) in enumerate(zip(args, parameters, strict=True)):
        is_array = hasattr(given, "flags") and not isinstance(given, np.generic)
        dtype = given.dtype if is_array else np.asarray(given).dtype  # type: ignore[attr-defined]
        if pointer and is_array:
            fits = kind in "u0" or (dtype.kind in (kind, "u") and dtype.itemsize == size)
        elif pointer:
            fits = isinstance(given, np.uintp) and given == 0
        else:
            fits = not is_array and (kind, size) == (dtype.kind, dtype.itemsize)
        if not fits:
            wanted = f"{'a pointer to ' if pointer else ''}{kind}{size}"
            what = f"an array of {dtype}" if is_array else f"{given!r} ({dtype})"
            raise ValueError(f"{name}: parameter {i} is {wanted}, got {what}")


def launch(
    library: str | Path,
    name: str,
    grid: int | Sequence[int],
    block: int | Sequence[int],
    args: Sequence[object],
    shared: int = 0,
) -> None:
    """Run a kernel on NumPy arrays and scalars.

    Parameters
    ----------
    library : path
        What `compile_source` returned.
    name : str
        The kernel.
    grid, block : int or sequence of up to three int
        Blocks in the grid and threads in a block.
    args : sequence
        As CuPy takes them: an array is passed by its address, a NumPy scalar as it is, a Python int as int64,
        a float as float64, a bool as bool. They must be of the parameters' types: see `check_arguments`.
    shared : int, optional
        Bytes of dynamic shared memory.

    Raises
    ------
    ValueError
        Arguments that do not fit the kernel's parameters, or an impossible grid.
    """
    import numpy as np

    check_arguments(library, name, args)
    cells = [np.array(a.ctypes.data, dtype=np.uintp) if isinstance(a, np.ndarray) else np.asarray(a) for a in args]
    params = (ctypes.c_void_p * max(len(cells), 1))(*(cell.ctypes.data for cell in cells))
    entry = getattr(_load(str(library)), f"{name}__launch")
    entry.restype = ctypes.c_char_p
    entry.argtypes = [_Dim3, _Dim3, ctypes.c_size_t, ctypes.POINTER(ctypes.c_void_p)]
    problem = entry(_dim3(grid), _dim3(block), shared, params)
    if problem:
        raise ValueError(f"{name}: {problem.decode()}")


def _dim3(size: int | Sequence[int]) -> _Dim3:
    sizes = (size,) if isinstance(size, int) else tuple(int(n) for n in size)
    return _Dim3(*sizes, *(1,) * (3 - len(sizes)))


def main(arguments: list[str]) -> int:
    """SOURCE LIBRARY [option ...] [-- instance ...]: compile, and print what each instance is called."""
    if arguments == ["--version"]:
        print("cuda_on_cpu", _imitation().hex(), os.environ.get("CUDA_ON_CPU_FLAGS", ""))
        return 0
    source, library, *rest = arguments
    split = rest.index("--") if "--" in rest else len(rest)
    instances = rest[split + 1 :]
    try:
        made = compile_source(Path(source).read_text(), rest[:split], os.environ.get("CUDA_ON_CPU_CACHE"), instances)
    except CompileError as error:
        print(error, file=sys.stderr)
        return 1
    shutil.copyfile(made, library)
    for instance in instances:
        print(mangled(instance))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
