"""Every example runs as a user runs it and prints what its comments say."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

EXAMPLES = Path(__file__).parents[1] / "examples"
NAMES = (
    "animated_step", "digits", "digits_cg", "drop_in", "gallery", "larger_than_memory", "pattern", "tables",
    "two_moons", "worked_step", "xor",
)  # fmt: skip
PICTURES = {"digits", "digits_cg", "two_moons"}
NUMBER = re.compile(r"[-+]?\d+\.?\d*(?:e[-+]?\d+)?")
# Long trainings end elsewhere on another BLAS; the articles' exact numbers have their own tests, digit by digit.
RELATIVE, ABSOLUTE = 0.1, 0.02
# What is not the same on every machine: wall time, and the size of rounding errors.
VARIES = re.compile(r"in \d+\.\d+ s|largest difference \S+")


def run(name: str, tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a copy of an example in its own folder, so that pictures land there."""
    script = tmp_path / f"{name}.py"
    script.write_text((EXAMPLES / f"{name}.py").read_text(encoding="utf-8"), encoding="utf-8")
    env = os.environ | {"MPLBACKEND": "Agg", "PYTHONPATH": str(EXAMPLES.parent), "BPX_BACKEND": "numpy"}
    return subprocess.run(
        [sys.executable, str(script), *arguments], capture_output=True, text=True, env=env, timeout=300, check=False
    )


def expected(name: str) -> list[str]:
    """The lines of an example's last cell."""
    text = (EXAMPLES / f"{name}.py").read_text(encoding="utf-8")
    lines = text[text.index("# %% Expected output") :].splitlines()[1:]
    return [line.removeprefix("#").removeprefix(" ") for line in lines]


def assert_same(actual: str, wanted: str) -> None:
    """The same words, and numbers that are the same or close."""
    actual, wanted = VARIES.sub("", actual), VARIES.sub("", wanted)
    assert NUMBER.sub("#", actual).split() == NUMBER.sub("#", wanted).split(), f"{actual!r} is not {wanted!r}"
    for a, b in zip(NUMBER.findall(actual), NUMBER.findall(wanted), strict=True):
        assert float(a) == pytest.approx(float(b), rel=RELATIVE, abs=ABSOLUTE), f"{actual!r} is not {wanted!r}"


def test_every_example_is_tested() -> None:
    assert sorted(path.stem for path in EXAMPLES.glob("*.py")) == sorted(NAMES)


def assert_as_expected(done: subprocess.CompletedProcess[str], name: str, folder: Path) -> None:
    """It printed what the comments say, and saved the picture that it should."""
    assert done.returncode == 0, done.stderr
    wanted = expected(name)
    printed = done.stdout.splitlines()[-len(wanted) :]
    assert len(printed) == len(wanted)
    for actual, line in zip(printed, wanted, strict=True):
        if not (actual.startswith("backend cupy") and line.startswith("backend numpy")):
            assert_same(actual, line)
    pictures = list(folder.glob("*.png"))
    assert [picture.stem for picture in pictures] == ([name] if name in PICTURES else [])
    assert all(p.read_bytes().startswith(b"\x89PNG") and p.stat().st_size > 5_000 for p in pictures)


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ("digits", "gallery")])
def test_example_prints_what_its_comments_say_and_saves_its_picture(name: str, tmp_path: Path) -> None:
    assert_as_expected(run(name, tmp_path), name, tmp_path)


def test_gallery_makes_small_pictures_800_pixels_wide_and_prints_their_names(tmp_path: Path) -> None:
    assert_as_expected(run("gallery", tmp_path), "gallery", tmp_path)
    pictures = list((tmp_path / "gallery").iterdir())
    assert len(pictures) == 10
    for picture in pictures:
        content = picture.read_bytes()
        assert content.startswith(b"\x89PNG")
        assert int.from_bytes(content[16:20], "big") == 800  # the header's width
        assert len(content) < 100_000


def test_digits_on_a_backend_that_falls_back_prints_what_its_comments_say(tmp_path: Path) -> None:
    done = run("digits", tmp_path, "--backend", "cupy")
    assert_as_expected(done, "digits", tmp_path)
    accuracy = float(re.search(r"held-out accuracy (\S+)%", done.stdout)[1])
    assert accuracy >= 97.5
    assert done.stdout.startswith("backend ")
    assert "epoch 60/60" in done.stderr
    if done.stdout.startswith("backend numpy"):
        assert done.stderr.count("BackendFallbackWarning") == 1
        assert "cannot be used, NumPy takes its place: " in done.stderr
