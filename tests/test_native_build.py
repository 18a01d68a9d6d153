"""The compiled kernels' library: how it is made, when it is not, and what a wheel of it is called."""

from __future__ import annotations

import ctypes
import importlib.util
import struct
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from bpx.kernels.native import build

ROOT = Path(__file__).parents[1]
PROGRAM = """
__attribute__((visibility("default"))) const char *bpx_version(void) { return BPX_SOURCES; }
extern const int %s;
const int *bpx_uses(void) { return &%s; }
"""
ONE = "#define JOIN3(a, b, c) a##_##b##_##c\n#define JOIN(a, b, c) JOIN3(a, b, c)\n"


def has_compiler():
    try:
        build.find_compiler()
    except FileNotFoundError:
        return False
    return True


compiles = pytest.mark.skipif(not has_compiler(), reason="no C compiler is here")


@pytest.fixture
def sources(tmp_path, monkeypatch):
    """A few lines in place of the sources, a folder to which an installation in place would write, no CC."""
    folder = tmp_path / "c"
    folder.mkdir()
    (folder / "program.c").write_text(PROGRAM.replace("%s", f"kernels_{some()}_float"))
    for name in ("kernels", "products"):
        (folder / f"{name}.c").write_text(f"{ONE}extern const int JOIN({name}, BPX_ISA, BPX_REAL);\n"
                                          f"const int JOIN({name}, BPX_ISA, BPX_REAL) = 7;\n")  # fmt: skip
    monkeypatch.setattr(build, "SOURCES", folder)
    monkeypatch.setattr(build, "FOLDER", tmp_path)
    monkeypatch.delenv("BPX_WHEEL_PLATFORM", raising=False)
    return folder


def some():
    """An instruction set of this processor's kind."""
    import platform

    return {"x86_64": "avx2", "AMD64": "avx2", "aarch64": "neon", "arm64": "neon"}.get(platform.machine(), "base")


def version(path):
    function = ctypes.CDLL(str(path)).bpx_version
    function.restype = ctypes.c_char_p
    return function().decode()


def hooked(kind):
    """What the build hook tells hatchling, and what it says."""
    said, data = [], {"pure_python": True, "force_include": {}}
    hook = build.CustomBuildHook()
    hook.app = SimpleNamespace(display_info=said.append, display_warning=said.append)
    hook.initialize(kind, data)
    return data, " ".join(said), hook


@compiles
def test_each_type_and_instruction_set_is_compiled_and_the_version_is_that_of_the_sources(sources, tmp_path):
    path = build.compile_library(tmp_path)
    assert path == build.library_path()
    assert version(path) == build.sources_hash()
    assert not [other for other in tmp_path.iterdir() if other.name.startswith(".native")]


@compiles
def test_what_the_compiler_says_comes_with_the_error_and_the_library_there_stays(sources, tmp_path):
    path = Path(build.compile_library(tmp_path))
    before = path.read_bytes()
    (sources / "kernels.c").write_text("int broken(\n")
    with pytest.raises(RuntimeError, match=r"kernels\.c:1"):
        build.compile_library(tmp_path)
    assert path.read_bytes() == before


@pytest.mark.parametrize(("variable", "value"), [("CC", "/nonexistent/cc -O"), ("PATH", "/nonexistent")])
def test_without_a_compiler_installations_are_pure_and_say_why(variable, value, sources, tmp_path, monkeypatch):
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setenv(variable, value)
    for kind in ("editable", "standard"):
        data, said, _ = hooked(kind)
        assert data == {"pure_python": True, "force_include": {}}
        assert "NumPy alone will compute: no C compiler" in said
    assert list(tmp_path.iterdir()) == [sources]
    with pytest.raises(FileNotFoundError):
        build.compile_library(tmp_path)


@compiles
def test_a_symbol_that_is_missing_is_noticed_when_the_library_is_made(sources):
    (sources / "program.c").write_text(PROGRAM.replace("%s", "kernels_none_float"))
    data, said, _ = hooked("standard")
    assert data["pure_python"]
    assert "kernels_none_float" in said


@compiles
def test_an_editable_installation_compiles_in_place_once_and_again_for_other_sources(sources):
    data, _, _ = hooked("editable")
    assert "tag" not in data
    assert version(build.library_path()) == build.sources_hash()
    made = Path(build.library_path()).stat().st_mtime_ns
    assert "are of these sources" in hooked("editable")[1]
    assert Path(build.library_path()).stat().st_mtime_ns == made
    (sources / "numbers.h").write_text("// another\n")
    hooked("editable")
    assert build.sources_hash().encode() in Path(build.library_path()).read_bytes()


@compiles
def test_a_wheel_has_the_library_and_fits_every_python(sources, tmp_path):
    data, _, hook = hooked("standard")
    ((path, place),) = data["force_include"].items()
    assert place == f"bpx/kernels/native/{Path(build.library_path()).name}"
    assert version(path) == build.sources_hash()
    assert data["tag"].startswith("py3-none-")
    assert (data["tag"].endswith("any"), data["pure_python"]) == (False, False)
    assert not Path(build.library_path()).exists()
    hook.finalize("standard", data, "")
    assert not Path(path).exists()


@compiles
def test_a_wheel_for_another_platform_is_that_or_an_error(sources, monkeypatch):
    monkeypatch.setenv("BPX_WHEEL_PLATFORM", "win_amd64")
    data, _, hook = hooked("standard")
    assert data["tag"] == "py3-none-win_amd64"
    hook.finalize("standard", data, "")
    monkeypatch.setenv("CC", "/nonexistent/cc")
    with pytest.raises(FileNotFoundError):
        hooked("standard")


def test_the_build_file_runs_alone_and_imports_nothing_of_bpx():
    script = f"import runpy, sys; runpy.run_path({build.__file__!r}, run_name='hook')\n"
    script += "assert not {name for name in sys.modules if name.partition('.')[0] in ('bpx', 'numpy', 'hatchling')}"
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


@pytest.fixture(scope="module")
def wheels():
    """The script that makes wheels for an index."""
    spec = importlib.util.spec_from_file_location("wheels", ROOT / ".ci" / "wheels.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def windows(machine):
    return b"MZ".ljust(0x3C, b"\0") + struct.pack("<I", 0x40) + b"PE\0\0" + struct.pack("<H", machine)


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"\x7fELF".ljust(18, b"\0") + struct.pack("<H", 62), ("linux", "x86_64")),
        (b"\x7fELF".ljust(18, b"\0") + struct.pack("<H", 183), ("linux", "aarch64")),
        (b"\xcf\xfa\xed\xfe" + struct.pack("<I", 0x0100000C), ("macosx", "arm64")),
        (windows(0x8664), ("win", "amd64")),
    ],
)
def test_a_library_is_known_by_its_first_bytes(content, kind, wheels):
    assert wheels.kind(content) == kind


def test_a_wheel_asks_for_the_newest_glibc_that_its_library_names(wheels):
    assert wheels.glibc(b"\0GLIBC_2.2.5\0GLIBC_2.34\0GLIBC_2.4\0") == (2, 34)
    assert wheels.glibc(b"\0GLIBC_2.2.5\0") == (2, 17)
