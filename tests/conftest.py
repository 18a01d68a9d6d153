"""One `lib` fixture runs every numerical test on every array library; one place holds the tolerances."""

from __future__ import annotations

import gc
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import numpy as np
import pytest

import bpx

# Largest relative difference by dtype. Never loosened to make a test pass.
TOLERANCES = {"float32": 1e-5, "float64": 1e-12}
LIBRARIES = ("numpy", "strict", "torch", "cupy")
REQUIRED = {"torch": "BPX_REQUIRE_TORCH", "cupy": "BPX_REQUIRE_GPU"}
# What tests import or run in processes of their own: nothing to collect.
collect_ignore = [path.name for path in Path(__file__).parent.glob("*.py") if not path.name.startswith("test_")]
posix = pytest.mark.skipif(os.name != "posix", reason="signals, forks, permissions or pipes as POSIX has them")
linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc, limits of memory and devices of Linux")
# What the extra `test` brings besides pytest itself: the files that need one are skipped where it is not installed.
OPTIONAL = {
    "array_api_strict", "dask", "h5py", "hypothesis", "joblib", "matplotlib", "ml_dtypes", "mpi4py", "onnx",
    "onnxruntime", "pandas", "polars", "pyarrow", "rich", "safetensors", "scipy", "selenium", "sklearn", "tensorboardX",
    "tqdm", "yaml", "zarr",
}  # fmt: skip
LEFT_OUT = pytest.StashKey[dict[str, int]]()

try:
    from hypothesis import settings
except ModuleNotFoundError:  # the files that use it are skipped
    pass
else:
    # A test costs as much on a loaded machine; and a database of examples needs a folder that can be written into.
    settings.register_profile("bpx", database=None, deadline=None)
    settings.load_profile("bpx")


@cache
def missing(name: str) -> str | None:
    """Why no test can use the backend of that name here; None where it works, or where the environment requires it."""
    if name not in REQUIRED or os.environ.get(REQUIRED[name]) == "1":
        return None
    try:
        bpx.get_backend(name, strict=True)
    except bpx.BackendUnavailableError as error:
        return str(error)
    return None


def library(name: str) -> bpx.Backend:
    """The backend of that name; skips where it is not installed, fails where a GPU is required and missing."""
    if name == "strict":
        # NumPy functions raise on this device, as they would on a GPU's arrays.
        strict = pytest.importorskip("array_api_strict", reason="array-api-strict is not installed")
        return bpx.get_backend(strict, device=strict.Device("device1"))
    try:
        return bpx.get_backend(name, strict=True)
    except bpx.BackendUnavailableError as error:
        if os.environ.get(REQUIRED[name]) == "1":
            pytest.fail(f"{REQUIRED[name]}=1, but {error}")
        pytest.skip(str(error))


@pytest.fixture(params=LIBRARIES)
def lib(request: pytest.FixtureRequest) -> bpx.Backend:
    """Each array library in turn, as a backend: .xp, .device, .asarray, .to_host."""
    return library(request.param)


@pytest.fixture
def close() -> Callable[..., None]:
    """Assert that two host arrays agree relative to their largest value, at the tolerance of their dtype."""

    def check(actual: object, expected: object, dtype: str = "float64", factor: float = 1.0) -> None:
        actual, expected = np.asarray(actual, dtype=np.float64), np.asarray(expected, dtype=np.float64)
        assert actual.shape == expected.shape
        scale = max(float(np.max(np.abs(expected), initial=0.0)), 1e-300)
        worst = float(np.max(np.abs(actual - expected), initial=0.0)) / scale
        assert worst <= TOLERANCES[dtype] * factor, f"relative difference {worst:.3e}"

    return check


@pytest.fixture
def rng() -> np.random.Generator:
    """A seeded generator."""
    return np.random.default_rng(20260101)


@pytest.fixture(scope="session", autouse=True)
def _same_on_every_machine() -> Iterator[None]:
    """NumPy is the default backend of the tests, and of the processes that they start; nothing is flushed to a disk.

    Where "auto" would be CuPy, a test that reads results as NumPy arrays would read the GPU's. The tests of "auto"
    itself take the variable away. Nothing here takes the power away: flushing checkpoints took a third of some files'
    time.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BPX_BACKEND", "numpy")
        patch.delenv("BPX_BACKEND_STRICT", raising=False)
        patch.setattr(os, "fsync", lambda file: None)
        yield


@pytest.fixture(autouse=True)
def _own_backend() -> Iterator[None]:
    """Each test starts from the default backend, whatever another has set."""
    yield
    bpx.set_backend(None)


class Absent:
    """Skips files whose imports need a package that is not installed; of bpx/, too, whose examples are tests."""

    @pytest.hookimpl(wrapper=True)
    def pytest_make_collect_report(self, collector: pytest.Collector) -> Iterator[None]:
        """One absent package does not stop the collection."""
        report = yield
        error = report.call.excinfo.value if report.failed else None
        while error is not None and not isinstance(error, ModuleNotFoundError):
            error = error.__cause__
        name = ((error and error.name) or "").partition(".")[0]
        if name in OPTIONAL:
            report.outcome, report.longrepr = "skipped", (str(collector.path), None, f"{name} is not installed")
        return report


def pytest_configure(config: pytest.Config) -> None:
    """A conftest's own hooks do not see the files of other folders."""
    config.pluginmanager.register(Absent())


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the cases of libraries that do not work here: a skip costs as much as a small test."""
    kept, left = [], []
    counts: Counter[str] = Counter()
    for item in items:
        given = item.callspec.params if hasattr(item, "callspec") else {}
        names = [name for fixture, name in given.items() if fixture.endswith("lib") and isinstance(name, str)]
        if "gpu" in getattr(item, "fixturenames", ()) and "gpu" not in given:
            names.append("cupy")  # whose backend the fixture of that name is
        reason = next(filter(None, map(missing, names)), None)
        if reason is None:
            kept.append(item)
        else:
            left.append(item)
            counts[reason] += 1
    if left:
        items[:] = kept
        config.hook.pytest_deselected(items=left)
    config.stash[LEFT_OUT] = dict(counts)


def pytest_collection_finish() -> None:
    """What the collection made stays to the end: collecting garbage among it cost half a second each time."""
    gc.collect()
    gc.freeze()


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Tell pytest-xdist's main process what its worker left out."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["left_out"] = session.config.stash.get(LEFT_OUT, {})


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: pytest.Session) -> None:
    """What a worker left out; each collects the same tests."""
    node.config.stash[LEFT_OUT] = getattr(node, "workeroutput", {}).get("left_out", {})


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say once for each reason how many cases were left out, and how many tests were skipped, for it."""
    for reason, count in config.stash.get(LEFT_OUT, {}).items():
        terminalreporter.write_line(f"LEFT OUT {count}: {reason}")
    reasons = Counter(str(report.longrepr[2]) for report in terminalreporter.stats.get("skipped", []))
    for reason, count in reasons.most_common():
        terminalreporter.write_line(f"SKIPPED {count}: {reason.removeprefix('Skipped: ')}")
