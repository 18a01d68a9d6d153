"""Compiles the C sources in c/ into one shared library beside this file.

    python -m bpx.kernels.native.build      in place, with $CC, cc, gcc or clang

As hatchling's build hook (pyproject.toml names this file) it does so for ``pip install -e .``, and it puts the library
into a wheel. One library does for every version of Python: no source includes anything of Python's. Without a compiler,
or with one that fails, bpx is installed all the same, and NumPy alone computes; ``pip install -v`` shows why.

Environment variables: ``CC`` is the only compiler tried where it is set. ``BPX_WHEEL_PLATFORM`` is the tag of a wheel
that ``CC`` compiles for another machine; then a failure is an error. See ``.ci/wheels.py``.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

# Training asks this module whether the library is of these sources: what only a compilation needs is imported there,
# and pathlib nowhere, whose import takes longer than all of this.
# hatchling imports it by its path, and not as a part of bpx: nothing of bpx is imported here.
if TYPE_CHECKING or "hatchling" in sys.modules:
    from hatchling.builders.hooks.plugin.interface import BuildHookInterface
else:
    BuildHookInterface = object

__all__ = ["compile_library", "library_path", "sources_hash"]

FOLDER = os.path.dirname(os.path.abspath(__file__))
SOURCES = os.path.join(FOLDER, "c")
# The formulas for one number that the CUDA kernels have in common with these.
SHARED = os.path.join(os.path.dirname(FOLDER), "formulas.h")

COMMON = ["-std=c11", "-fPIC", "-fvisibility=hidden", "-Wall", "-Wextra"]
# Neither errno nor traps are looked at; everything else is as IEEE 754 has it.
NUMBERS = [*COMMON, "-O3", "-fno-math-errno", "-fno-trapping-math"]
# What is compiled once for each instruction set and type. A fused multiply-add rounds once where a formula rounds
# twice: products may use it, everything else equals its formula.
EACH = {"kernels.c": ["-ffp-contract=off"], "products.c": ["-ffp-contract=fast"]}
ONCE = {"program.c": [*COMMON, "-O2", "-pthread"]}
TYPES = ("float", "double")
# Instruction sets by the macro with which a compiler tells for what machine it compiles.
INSTRUCTIONS: dict[str, dict[str, list[str]]] = {
    "__x86_64__": {
        "base": [],
        "avx2": ["-mavx2", "-mfma"],
        "avx512": [
            "-mavx512f", "-mavx512dq", "-mavx512vl", "-mavx512bw", "-mavx2", "-mfma", "-mprefer-vector-width=512",
        ],
    },
    "__aarch64__": {"neon": []},
}  # fmt: skip
ELSEWHERE: dict[str, list[str]] = {"base": []}


def library_path() -> str:
    """Where the library for this system is, if it was compiled."""
    return os.path.join(FOLDER, library_name(windows=sys.platform == "win32", macos=sys.platform == "darwin"))


def library_name(*, windows: bool, macos: bool) -> str:
    """The library's file name on a system."""
    return "_native" + (".dll" if windows else ".dylib" if macos else ".so")


def sources_hash() -> str:
    """What the library's own version has to be: a hash of the sources and of this file, which has the flags."""
    digest = hashlib.sha256()
    sources = [os.path.join(SOURCES, name) for name in os.listdir(SOURCES) if name.endswith((".c", ".h"))]
    for path in [__file__, *sorted([*sources, SHARED])]:
        with open(path, "rb") as file:
            digest.update(f"{os.path.basename(path)}\0".encode() + file.read().replace(b"\r\n", b"\n") + b"\0")
    return digest.hexdigest()[:32]


def find_compiler() -> list[str]:
    """The compiler's command.

    Raises
    ------
    FileNotFoundError
        If there is none.
    """
    import shlex
    import shutil

    wanted = os.environ.get("CC")
    for name in [wanted] if wanted else ["cc", "gcc", "clang"]:
        command = shlex.split(name, posix=os.name != "nt")
        if shutil.which(command[0]):
            return command
    raise FileNotFoundError(f"no C compiler: {f'CC={wanted}' if wanted else 'cc, gcc or clang'} is not found")


def compile_library(folder: str | os.PathLike[str], compiler: str | None = None) -> str:
    """Compile the library into a folder, in place of one that may be there.

    Parameters
    ----------
    folder : str or path
        It has to exist.
    compiler : str, optional
        A command such as ``"clang"`` or ``"zig cc -target x86_64-windows-gnu"``; by default what the environment has.

    Returns
    -------
    str
        The library's path.

    Raises
    ------
    OSError
        If there is no compiler, or the folder cannot be written.
    RuntimeError
        If the compiler fails: its own words.
    """
    import shlex
    import tempfile
    from concurrent.futures import ThreadPoolExecutor

    command = shlex.split(compiler) if compiler else find_compiler()
    macros = _macros(command)
    sets = next((found for macro, found in INSTRUCTIONS.items() if macro in macros), ELSEWHERE)
    name = library_name(windows="_WIN32" in macros, macos="__APPLE__" in macros)
    with tempfile.TemporaryDirectory(prefix=".native-", dir=folder) as scratch:
        objects: list[str] = []
        tasks: list[list[str]] = []

        def add(source: str, flags: list[str]) -> None:
            objects.append(os.path.join(scratch, f"{len(objects)}.o"))
            tasks.append([*command, *flags, "-c", os.path.join(SOURCES, source), "-o", objects[-1]])

        for instructions, flags in sets.items():
            for real in TYPES:
                for source, own in EACH.items():
                    add(source, [*NUMBERS, *own, *flags, f"-DBPX_ISA={instructions}", f"-DBPX_REAL={real}"])
        for source, flags in ONCE.items():
            add(source, [*flags, f'-DBPX_SOURCES="{sources_hash()}"'])
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            list(pool.map(_run, tasks))
        made, place = os.path.join(scratch, name), os.path.join(folder, name)
        # ELF: what is missing is noticed when the library is loaded; no names but those that it offers.
        elf = [] if "_WIN32" in macros or "__APPLE__" in macros else ["-Wl,-z,now", "-s"]
        _run([*command, "-shared", "-pthread", *elf, *objects, "-lm", "-o", made])
        # In one step: a process that has loaded the old one keeps it.
        os.replace(made, place)
        return place


def _run(command: Sequence[str]) -> str:
    """What a command prints."""
    import shlex
    import subprocess

    done = subprocess.run(command, capture_output=True, text=True, errors="replace", stdin=subprocess.DEVNULL)
    if done.returncode:
        raise RuntimeError(f"{shlex.join(command)}\n{(done.stderr or done.stdout).strip()}")
    return done.stdout


def _macros(command: Sequence[str]) -> set[str]:
    """The names of the macros that a compiler defines."""
    lines = _run([*command, "-E", "-dM", "-x", "c", os.devnull]).splitlines()
    return {words[1] for words in map(str.split, lines) if len(words) > 1}


def _try(library: str) -> None:
    """Load a library, and compare its version; OSError or RuntimeError if it is not to be used."""
    with open(library, "rb") as file:
        made = file.read()
    if sources_hash().encode() not in made:  # looked for first: what is loaded stays in memory
        raise RuntimeError(f"{os.path.basename(library)} is of other sources")
    version = ctypes.CDLL(library).bpx_version
    version.restype = ctypes.c_char_p
    if version() != sources_hash().encode():
        raise RuntimeError(f"{os.path.basename(library)} says that it is of other sources")


def _platform_tag() -> str:
    """The tag of wheels with what the local compiler makes."""
    import platform
    import sysconfig

    if sys.platform == "darwin":  # Python may be one for two architectures, and for older systems
        return f"macosx_{platform.mac_ver()[0].partition('.')[0]}_0_{platform.machine()}"
    return sysconfig.get_platform().replace("-", "_").replace(".", "_")


class CustomBuildHook(BuildHookInterface):  # type: ignore[misc]
    """Hatchling's: compiles in place for an editable installation, else into the wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Before the wheel is put together."""
        import tempfile

        other = os.environ.get("BPX_WHEEL_PLATFORM")
        in_place = version == "editable"
        if in_place:
            with suppress(OSError, RuntimeError):
                _try(library_path())
                self.app.display_info("bpx: the compiled kernels that are there are of these sources")
                return
        self._scratch = None if in_place else tempfile.TemporaryDirectory()
        try:
            library = compile_library(FOLDER if self._scratch is None else self._scratch.name)
            if not other:
                _try(library)
        except (OSError, RuntimeError) as error:
            self.finalize(version, build_data, "")
            if other:
                raise
            self.app.display_warning(f"bpx: no compiled kernels, NumPy alone will compute: {error}")
            return
        if not in_place:
            build_data["pure_python"] = False
            build_data["tag"] = f"py3-none-{other or _platform_tag()}"
            build_data["force_include"][library] = f"bpx/kernels/native/{os.path.basename(library)}"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """After it."""
        scratch = getattr(self, "_scratch", None)
        if scratch is not None:
            scratch.cleanup()


if __name__ == "__main__":
    try:
        print(compile_library(FOLDER))
    except (OSError, RuntimeError) as error:
        sys.exit(str(error))
