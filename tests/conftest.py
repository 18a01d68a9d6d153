"""One `lib` fixture runs every numerical test on every array library; one place holds the tolerances."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator

import array_api_strict
import numpy as np
import pytest

import bpx

# Largest relative difference by dtype. Never loosened to make a test pass.
TOLERANCES = {"float32": 1e-5, "float64": 1e-12}
LIBRARIES = ("numpy", "strict", "torch", "cupy")


def library(name: str) -> bpx.Backend:
    """The backend of that name; skips where it is not installed, fails where a GPU is required and missing."""
    if name == "strict":
        # NumPy functions raise on this device, as they would on a GPU's arrays.
        return bpx.get_backend(array_api_strict, device=array_api_strict.Device("device1"))
    try:
        return bpx.get_backend(name, strict=True)
    except bpx.BackendUnavailableError as error:
        required = {"torch": "BPX_REQUIRE_TORCH", "cupy": "BPX_REQUIRE_GPU"}[name]
        if os.environ.get(required) == "1":
            pytest.fail(f"{required}=1, but {error}")
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


@pytest.fixture(autouse=True)
def _own_backend(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Each test starts from the default backend, whatever the machine's environment or another test has set."""
    monkeypatch.delenv("BPX_BACKEND", raising=False)
    monkeypatch.delenv("BPX_BACKEND_STRICT", raising=False)
    yield
    bpx.set_backend(None)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say once for each reason how many tests were skipped for it."""
    reasons = Counter(str(report.longrepr[2]) for report in terminalreporter.stats.get("skipped", []))
    for reason, count in reasons.most_common():
        terminalreporter.write_line(f"SKIPPED {count}: {reason.removeprefix('Skipped: ')}")
