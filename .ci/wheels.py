"""Wheels for a package index, each with the compiled kernels of one platform and good for every Python.

    python -m build && python .ci/wheels.py tag dist/*-linux_*.whl
        gives a wheel that was built here the platform tag of the glibc that it needs; Linux; needs `wheel`
    pip install build ziglang && python .ci/wheels.py cross FOLDER [TAG...]
        compiles for Linux, macOS and Windows by Zig's C compiler; those tags, or all

What is compiled for another machine has run nowhere here: only that the library is of the right kind is checked.
"""

import os
import re
import shlex
import struct
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
# Zig's targets, by the platform tag of the wheel.
TARGETS = {
    "manylinux_2_17_x86_64": "x86_64-linux-gnu.2.17",
    "manylinux_2_17_aarch64": "aarch64-linux-gnu.2.17",
    "musllinux_1_2_x86_64": "x86_64-linux-musl",
    "macosx_11_0_x86_64": "x86_64-macos.11.0",
    "macosx_11_0_arm64": "aarch64-macos.11.0",
    "win_amd64": "x86_64-windows-gnu",
}


def library(wheel: Path) -> bytes:
    """The compiled kernels in a wheel."""
    with zipfile.ZipFile(wheel) as archive:
        found = [name for name in archive.namelist() if re.fullmatch(r"bpx/kernels/native/_native\.\w+", name)]
        if len(found) != 1:
            sys.exit(f"{wheel.name}: expected one library, found {found or 'none'}")
        return archive.read(found[0])


def kind(content: bytes) -> tuple[str, str]:
    """The system and the processor that a library is for, as platform tags call them."""
    if content[:4] == b"\x7fELF":
        return "linux", {62: "x86_64", 183: "aarch64"}[struct.unpack_from("<H", content, 18)[0]]
    if content[:4] == b"\xcf\xfa\xed\xfe":
        return "macosx", {0x01000007: "x86_64", 0x0100000C: "arm64"}[struct.unpack_from("<I", content, 4)[0]]
    header = struct.unpack_from("<I", content, 0x3C)[0]
    if content[:2] == b"MZ" and content[header : header + 4] == b"PE\0\0":
        return "win", {0x8664: "amd64", 0xAA64: "arm64"}[struct.unpack_from("<H", content, header + 4)[0]]
    raise ValueError("neither ELF, Mach-O nor PE")


def glibc(content: bytes) -> tuple[int, int]:
    """The oldest glibc that has what a library asks for; wheels begin with 2.17."""
    asked = re.findall(rb"GLIBC_(\d+)\.(\d+)", content)
    return max([(2, 17), *((int(major), int(minor)) for major, minor in asked)])


def check(wheel: Path) -> None:
    """A wheel's library is what its tag says, or the program ends."""
    content, tag = library(wheel), wheel.stem.rpartition("-")[2]
    system, processor = kind(content)
    if system not in tag or not tag.endswith(processor):
        sys.exit(f"{wheel.name}: its library is for {system} {processor}")
    manylinux = re.match(r"manylinux_(\d+)_(\d+)_", tag)
    if manylinux and glibc(content) > (int(manylinux[1]), int(manylinux[2])):
        sys.exit(f"{wheel.name}: its library needs glibc {glibc(content)}")
    print(f"{wheel.name}: {len(content) / 1000:.0f} kB for {system} {processor}")


def tag(wheel: Path) -> None:
    """Give a wheel the tag of the glibc that it needs; the file gets another name."""
    (major, minor), (_, processor) = glibc(library(wheel)), kind(library(wheel))
    platform = f"manylinux_{major}_{minor}_{processor}"
    command = [sys.executable, "-m", "wheel", "tags", "--remove", "--platform-tag", platform, str(wheel)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    check(wheel.with_name(f"{wheel.stem.rpartition('-')[0]}-{platform}.whl"))


def cross(folder: Path, tags: list[str]) -> None:
    """Compile for each tag."""
    for platform in tags or TARGETS:
        compiler = [sys.executable, "-m", "ziglang", "cc", "-target", TARGETS[platform]]
        environment = {**os.environ, "CC": shlex.join(compiler), "BPX_WHEEL_PLATFORM": platform}
        with tempfile.TemporaryDirectory() as made:
            command = [sys.executable, "-m", "build", "--wheel", "--outdir", made, str(ROOT)]
            subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)
            (wheel,) = Path(made).glob("*.whl")
            folder.mkdir(parents=True, exist_ok=True)
            kept = folder / wheel.name
            kept.write_bytes(wheel.read_bytes())
        check(kept)


if __name__ == "__main__":
    task, *arguments = sys.argv[1:] or [""]
    if task == "tag" and arguments:
        for argument in arguments:
            tag(Path(argument))
    elif task == "cross" and arguments and set(arguments[1:]) <= set(TARGETS):
        cross(Path(arguments[0]), arguments[1:])
    else:
        sys.exit(f"{__doc__}\nTags: {', '.join(TARGETS)}")
