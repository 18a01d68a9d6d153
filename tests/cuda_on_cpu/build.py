"""Make a virtual environment in which CuPy runs on the imitation of CUDA: `python build.py FOLDER`.

Needs pip and g++, no CUDA toolkit and no GPU. CuPy is the released wheel. Of it, only the module that binds the CUDA
runtime is made anew, from CuPy's own source: the wheel has the real runtime inside it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import venv
from pathlib import Path

CUPY = "14.2.0"
NVMATH = "1.0.0"
CUDA = 12090  # what CuPy's wheel was built for
HERE = Path(__file__).resolve().parent
IMITATION = HERE / "imitation"
FLAGS = ["-std=c++17", "-O3", "-Wall", "-Wextra", "-fPIC", "-shared", "-fvisibility=hidden", "-pthread"]

# Library, its sources, and where NVIDIA's wheels have the original; libcuda.so.1 comes with the driver.
LIBRARIES = {
    "libcuda.so.1": (["core.cpp", "streams.cpp", "runtime.cpp", "driver.cpp"], None),
    "libcudart.so.12": ([], "cuda_runtime"),
    "libnvrtc.so.12": (["nvrtc.cpp"], "cuda_nvrtc"),
    "libcublas.so.12": (["cublas.cpp"], "cublas"),
    "libcublasLt.so.12": ([], "cublas"),  # has to be there where cuBLAS is looked for
}
RUNTIME = "cupy_backends/cuda/api/runtime"
SETTINGS = """import os; os.environ.setdefault("CUPY_ACCELERATORS", "");\
 os.environ.setdefault("CUPY_CACHE_DIR", {cache!r}); os.environ.setdefault("CUDA_ON_CPU_CACHE", {cache!r})
"""


def main(folder: str) -> None:
    """Make the environment in `folder`, or put the imitation into the one that is there."""
    target = Path(folder).resolve()
    python = target / "bin" / "python"
    if not python.exists():
        venv.create(target, with_pip=True)
    work = target / "cuda_on_cpu"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    pip = [str(python), "-m", "pip", "--disable-pip-version-check"]
    run([*pip, "install", "-q", f"cupy-cuda12x=={CUPY}", f"nvmath-python=={NVMATH}"])
    run([*pip, "install", "-q", "--target", str(work / "tools"), "cython>=3.2,<3.3", "nvidia-cuda-runtime-cu12<12.10"])
    # The stub setting lets CuPy's source be looked at where there is no CUDA toolkit.
    download = [*pip, "download", "-q", "--no-deps", "--no-binary=cupy", "-d", str(work), f"cupy=={CUPY}"]
    run(download, CUPY_INSTALL_USE_STUB="1")
    with tarfile.open(work / f"cupy-{CUPY}.tar.gz") as archive:
        archive.extractall(work, filter="data")

    site = Path(ask(python, "import sysconfig; print(sysconfig.get_path('platlib'))"))
    (site / "cuda_on_cpu.pth").write_text(SETTINGS.format(cache=str(work / "cache")))
    runtime = compile_runtime_module(python, work)
    (cublas,) = (site / "cupy_backends/cuda/libs").glob("cublas.*.so")
    users = {"libcuda.so.1": runtime, "libcublas.so.12": cublas}
    for name, (sources, package) in LIBRARIES.items():
        made = build_library(python, work, name, sources, users.get(name))
        if package is not None:
            place = site / "nvidia" / package / "lib"
            place.mkdir(parents=True, exist_ok=True)
            (place / name).unlink(missing_ok=True)
            (place / name).symlink_to(made)
    suffix = ask(python, "import sysconfig; print(sysconfig.get_config_var('EXT_SUFFIX'))")
    run([*compiler(), "-shared", str(runtime), *linked(work), "-o", str(site / f"{RUNTIME}{suffix}")])
    for module in (site / "cupy" / "cuda").glob("thrust.*.so"):
        module.unlink()
    shutil.copy(IMITATION / "thrust.py", site / "cupy" / "cuda" / "thrust.py")
    print(f"CuPy {CUPY} on the CPU: {python}")


def compile_runtime_module(python: Path, work: Path) -> Path:
    """CuPy's module over the CUDA runtime, from its source and with the settings of its own build."""
    tree = work / f"cupy-{CUPY}"
    directives = ["c_api_binop_methods=True", "binding=False", "embedsignature=True", "freethreading_compatible=True"]
    known = [f"CUPY_CUDA_VERSION={CUDA}", "CUPY_HIP_VERSION=0", "CUPY_USE_CUDA_PYTHON=False", "CUPY_CUFFT_STATIC=False"]
    command = [str(python), "-m", "cython", "-3", "--cplus", "-X", ",".join([*directives, "warn.deprecated.IF=False"])]
    tools = str(work / "tools")
    run([*command, "-E", ",".join(known), f"{RUNTIME}.pyx"], cwd=tree, stderr=subprocess.DEVNULL, PYTHONPATH=tools)
    include = ask(python, "import sysconfig; print(sysconfig.get_path('include'))")
    flags = ["-std=c++17", "-O1", "-w", "-fPIC", "-c", *headers(work), f"-I{include}", f"-I{tree}"]
    run([*compiler(), *flags, f"{RUNTIME}.cpp", "-o", "runtime.o"], cwd=tree)
    return tree / "runtime.o"


def build_library(python: Path, work: Path, name: str, sources: list[str], user: Path | None) -> Path:
    """One library of the imitation. What `user` needs of it and the sources lack is there as well, and says so."""
    library = work / "lib" / name
    library.parent.mkdir(exist_ok=True)
    baked = [f'-DCUDA_ON_CPU_PYTHON="{python}"', f'-DCUDA_ON_CPU_COMPILER="{HERE / "host_compiler.py"}"']
    # The wheel's modules ask for their functions at a version that is named as the library.
    (work / "versions.map").write_text(f"{name} {{ global: *; }};\n")
    link = [f"-Wl,-soname,{name}", f"-Wl,--version-script={work / 'versions.map'}", "-o", str(library)]
    link += ["-ldl"] if name == "libcuda.so.1" else linked(work)
    lacking = work / f"{name}.missing.cpp"
    lacking.write_text("")
    command = [*compiler(), *FLAGS, *headers(work), *baked, *(str(IMITATION / source) for source in sources)]
    run([*command, str(lacking), *link])
    if user is not None:
        there = symbols(library, "-D", "--defined-only")
        missing = sorted(symbols(user, *(["-D"] if user.suffix == ".so" else []), "--undefined-only") - there)
        status = 801 if name == "libcuda.so.1" else 15  # "not supported"
        lines = ['#define API __attribute__((visibility("default")))']
        lines += ["namespace cuda_on_cpu { API void missing(const char*); }", 'extern "C" {']
        lines += [f'API int {symbol}() {{ return cuda_on_cpu::missing("{symbol}"), {status}; }}' for symbol in missing]
        lacking.write_text("\n".join([*lines, "}"]) + "\n")
        run([*command, str(lacking), *link])
    return library


def symbols(file: Path, *which: str) -> set[str]:
    """CUDA's functions among a library's or an object's symbols."""
    listed = subprocess.run(["nm", *which, str(file)], capture_output=True, text=True, check=True).stdout
    names = {line.split()[-1].partition("@")[0] for line in listed.splitlines()}
    return {name for name in names if name.startswith(("cuda", "cublas"))}


def headers(work: Path) -> list[str]:
    """CUDA's headers, with those that need its compiler replaced by the imitation's."""
    return [f"-I{IMITATION}", "-isystem", str(work / "tools" / "nvidia" / "cuda_runtime" / "include")]


def linked(work: Path) -> list[str]:
    """Linker's options for what rests on the imitation's first library, which is the driver and the runtime."""
    return ["-Wl,--no-as-needed", f"-L{work / 'lib'}", f"-Wl,-rpath,{work / 'lib'}", "-l:libcuda.so.1"]


def compiler() -> list[str]:
    """The C++ compiler."""
    return [os.environ.get("CXX", "g++")]


def ask(python: Path, program: str) -> str:
    """What a one-line program prints."""
    return subprocess.run([python, "-c", program], capture_output=True, text=True, check=True).stdout.strip()


def run(command: list[str], cwd: Path | None = None, stderr: int | None = None, **environment: str) -> None:
    """Run a command of the build; its failure ends the build."""
    subprocess.run(command, cwd=cwd, stderr=stderr, env={**os.environ, **environment}, check=True)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
