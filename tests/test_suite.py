"""What the suite itself promises: which warnings fail it, what it leaves out, and where it runs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import OPTIONAL

ROOT = Path(__file__).parents[1]


def pytest_in(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A session of its own in that folder, with this project's settings."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "BPX_"))}
    kept |= {"PYTHONPATH": str(ROOT)} | environment
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments],
        cwd=folder, env=kept, capture_output=True, text=True, encoding="utf-8", timeout=120, check=False,
    )  # fmt: skip


WARNINGS = """
import warnings
import numpy
import other_library
from bpx.errors import warn_caller
import pytest

def from_bpx(message, category):
    exec("import warnings; warnings.warn(message, category)", {"__name__": "bpx.training.fit", **locals()})

def test_attributed_to_the_caller():
    warn_caller("planted", UserWarning)

def test_within_bpx():
    from_bpx("planted", RuntimeWarning)

def test_caught():
    with pytest.warns(UserWarning, match="planted"):
        warn_caller("planted", UserWarning)

def test_of_another_library():
    other_library.warns(UserWarning)

@pytest.mark.parametrize("kind", [DeprecationWarning, PendingDeprecationWarning, FutureWarning])
def test_deprecated_by_another_library(kind):
    other_library.warns(kind)
    other_library.warns(kind, stacklevel=2)
    from_bpx("deprecated there", kind)
"""


@pytest.fixture
def planted(tmp_path: Path) -> Path:
    """A folder with this project's settings and a test file that warns."""
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_planted.py").write_text(WARNINGS)
    (tmp_path / "tests" / "other_library.py").write_text(
        "import warnings\n"
        "def warns(kind, stacklevel=1): warnings.warn('deprecated there', kind, stacklevel=stacklevel)\n"
    )
    return tmp_path


@pytest.mark.slow
def test_a_warning_that_bpx_causes_fails_and_a_deprecation_elsewhere_is_shown(planted: Path) -> None:
    done = pytest_in(planted, "-p", "no:xdist", "tests/test_planted.py", "-rA")
    outcomes = sorted(
        line.split(" - ")[0] for line in done.stdout.splitlines() if line.startswith(("PASSED", "FAILED"))
    )
    deprecated = [
        f"test_deprecated_by_another_library[{kind}Warning]" for kind in ("Deprecation", "Future", "PendingDeprecation")
    ]
    passed = ["test_caught", *deprecated, "test_of_another_library"]
    assert outcomes == [
        *(f"FAILED tests/test_planted.py::{name}" for name in ("test_attributed_to_the_caller", "test_within_bpx")),
        *(f"PASSED tests/test_planted.py::{name}" for name in passed),
    ], done.stdout
    for kind in ("DeprecationWarning", "PendingDeprecationWarning", "FutureWarning", "UserWarning"):
        assert f" {kind}: deprecated there" in done.stdout


@pytest.mark.slow
def test_where_every_warning_is_asked_to_be_an_error_each_one_is(planted: Path) -> None:
    done = pytest_in(planted, "tests/test_planted.py", "-W", "error")
    assert "6 failed, 1 passed" in done.stdout, done.stdout


@pytest.mark.skipif(sys.version_info >= (3, 15), reason="Python 3.15's traceback imports what is planted as absent")
@pytest.mark.slow
def test_absent_packages_skip_the_files_that_need_them_and_stop_nothing(tmp_path: Path) -> None:
    (tmp_path / "without.py").write_text(f"import sys\nsys.modules |= dict.fromkeys({OPTIONAL})\n")
    path = os.pathsep.join([str(tmp_path), str(ROOT)])
    chosen = ("-p", "without", "--collect-only", "-q", "-W", "error")
    done = pytest_in(ROOT, *chosen, PYTHONPATH=path, PYTEST_DISABLE_PLUGIN_AUTOLOAD="1")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr
    collected = done.stdout.splitlines()
    for needs_numpy_alone in ("test_fit", "test_gradients", "test_optimizers"):
        assert any(line.startswith(f"tests/{needs_numpy_alone}.py::") for line in collected), needs_numpy_alone
    assert not any(line.startswith("tests/test_onnx.py::") for line in collected)
    assert any(line.startswith("SKIPPED") and line.endswith(": onnx is not installed") for line in collected)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [(), ("-p", "xdist", "-n", "2")], ids=["alone", "workers"])
def test_cases_of_a_missing_library_are_left_out_and_counted_unless_it_is_required(
    tmp_path: Path, workers: tuple[str, ...]
) -> None:
    (tmp_path / "without.py").write_text("import sys\nsys.modules |= dict.fromkeys(['torch', 'cupy'])\n")
    path = os.pathsep.join([str(tmp_path), str(ROOT)])
    name = "tests/test_gradients.py::test_gradients_are_checked_on_the_networks_own_library"
    given = {"PYTHONPATH": path, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    done = pytest_in(ROOT, "-p", "without", *workers, name, **given)
    assert "2 passed" in done.stdout, done.stdout + done.stderr
    lines = [line for line in done.stdout.splitlines() if line.startswith(("LEFT OUT", "SKIPPED"))]
    assert len(lines) == 2
    assert all(line.startswith("LEFT OUT 1: backend ") for line in lines)
    if not workers:
        done = pytest_in(ROOT, "-p", "without", name, **given, BPX_REQUIRE_TORCH="1")
        assert "BPX_REQUIRE_TORCH=1, but backend 'torch' cannot be used" in done.stdout


def test_hypothesis_keeps_no_examples_where_the_folder_may_be_read_only_and_has_no_deadline() -> None:
    settings = pytest.importorskip("hypothesis").settings
    assert settings().database is None
    assert settings().deadline is None


def test_the_files_of_the_heart_exist() -> None:
    words = (ROOT / "tests" / "heart.txt").read_text(encoding="utf-8").split("\n")
    files = [ROOT / word for word in words if word.startswith("tests/")]
    assert len(files) > 5
    assert all(file.is_file() for file in files)
