"""The same network on several libraries: training from one seed, and `check_parity`, which no difference escapes."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import array_api_strict
import numpy as np
import pytest

import bpx
from bpx.backend import select
from bpx.checks.parity import TOLERANCES

STRICT = bpx.get_backend(array_api_strict, device=array_api_strict.Device("device1"))


def network(dtype: str = "float64", **options: Any) -> bpx.MLP:
    """A classifier with dropout."""
    return bpx.MLP([4, 8, 6, 3], hidden="tanh", dropout=0.3, dtype=dtype, backend="numpy", **options)


@pytest.fixture
def data(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Twenty samples of three classes."""
    return rng.normal(size=(20, 4)), rng.integers(0, 3, 20)


class Faulty(bpx.Backend):
    """NumPy with functions of its namespace replaced."""

    name = "faulty"
    package = "numpy"
    device = "cpu"

    def __init__(self, **replaced: Callable[..., Any]) -> None:
        self.xp = SimpleNamespace(**vars(np) | replaced)

    def _from_host(self, x: np.ndarray, dtype: Any) -> np.ndarray:
        return x if dtype is None else x.astype(dtype)

    def _same_device(self, x: Any) -> bool:
        return True

    def to_host(self, x: Any) -> np.ndarray:
        return np.asarray(x)

    def synchronize(self) -> None:
        return None


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("stack", [None, 2])
def test_a_seed_gives_the_same_training_on_every_library(
    lib: bpx.Backend, data: Any, close: Any, dtype: str, stack: int | None
) -> None:
    def run(backend: Any) -> tuple[np.ndarray, list[Any]]:
        net = bpx.MLP([4, 16, 12, 3], dropout=[0.5, 0.2], dtype=dtype, seed=7, backend=backend, stack=stack)
        start = np.array(net.backend.to_host(net.flat))
        return start, bpx.fit(net, *data, epochs=5, batch_size=5, seed=3).loss

    (start, losses), (expected_start, expected) = run(lib), run("numpy")
    assert np.array_equal(start, expected_start)
    assert len(losses) == 5  # of four Adam steps each
    close(losses, expected, dtype)


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_two_runs_are_bitwise_equal(lib: bpx.Backend, data: Any, dropout: float) -> None:
    nets = [bpx.MLP([4, 8, 3], dropout=dropout, backend=lib) for _ in range(2)]
    first, second = (bpx.fit(net, *data, epochs=4, batch_size=6).loss for net in nets)
    assert first == second
    assert np.array_equal(lib.to_host(nets[0].flat), lib.to_host(nets[1].flat))


# ---------------------------------------------------------------------- check_parity


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("stack", [None, 3])
def test_every_library_passes(lib: bpx.Backend, data: Any, dtype: str, stack: int | None) -> None:
    report = bpx.check_parity(network(dtype, stack=stack), *data, backends=["numpy", lib])
    assert report.passed, str(report)
    assert report.max_difference <= report.tolerance == TOLERANCES[dtype]
    assert [row.backend for row in report.rows] == ["numpy", lib.name]
    assert all(row.ran for row in report.rows)


LOSSES = {"cross_entropy": "softmax", "binary_cross_entropy": "sigmoid", "poisson": "exp", "squared_error": "identity"}


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize(
    "hidden", ["relu", "leaky_relu", "elu", "selu", "softplus", "silu", "mish", "gelu", "sigmoid", "identity"]
)
def test_formulas_agree_between_libraries(lib: bpx.Backend, rng: np.random.Generator, loss: str, hidden: str) -> None:
    net = bpx.MLP([4, 8, 3], hidden=hidden, output=LOSSES[loss], dtype="float64", backend="numpy")
    X, y = rng.normal(size=(20, 4)), np.eye(3)[rng.integers(0, 3, 20)]
    report = bpx.check_parity(net, X, y, loss, backends=[lib])
    assert report.passed, str(report)


def test_numpy_against_itself_differs_by_nothing(data: Any) -> None:
    report = bpx.check_parity(network(), *data, backends=["numpy"])
    assert report.max_difference == 0.0
    assert report.passed


def test_by_default_every_backend_that_works_here_is_compared(data: Any) -> None:
    report = bpx.check_parity(network(), *data)
    assert [row.backend for row in report.rows] == [status.name for status in bpx.backends() if status.available]
    assert report.passed, str(report)


def test_a_backend_that_cannot_be_used_has_a_reason_and_does_not_pass(
    data: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "cupy", None)
    monkeypatch.setattr(select, "_probed", {})
    report = bpx.check_parity(network(), *data, backends=["numpy", "cupy"])
    numpy, cupy = report.rows
    assert numpy.ran
    assert not cupy.ran
    assert "CuPy is not installed" in cupy.reason
    assert not report.passed
    assert report.max_difference == 0.0
    text = str(report)
    assert "cupy did not run: " in text
    assert text.splitlines()[-1] == "FAILED, cupy did not run: tolerance 1e-12"


def test_no_backend_that_works_is_no_proof(data: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cupy", None)
    monkeypatch.setattr(select, "_probed", {})
    assert not bpx.check_parity(network(), *data, backends=["cupy"]).passed


def slightly(function: Callable[..., Any], by: float = 1e-9) -> Callable[..., Any]:
    """The function's result, relatively off by a little."""
    return lambda *arguments, **options: function(*arguments, **options) * (1.0 + by)


FAULTS = [
    # what is replaced, in which columns it shows
    ({"matmul": slightly(np.matmul)}, {"forward", "gradient", "losses"}),
    ({"tanh": slightly(np.tanh)}, {"forward", "gradient", "losses"}),
    # Only on the way back; Adam's step does not depend on the gradient's scale.
    ({"matrix_transpose": slightly(np.matrix_transpose)}, {"gradient"}),
    ({"sqrt": slightly(np.sqrt)}, {"losses"}),  # only in the optimizer
    ({"arange": lambda *a, **k: np.arange(*a, **k)[::-1]}, {"gradient", "losses"}),  # labels and dropout's counter
    ({"tanh": lambda z: np.tanh(z) * np.nan}, {"forward", "gradient", "losses"}),
    ({"sqrt": lambda x: np.sqrt(x) * np.nan}, {"losses"}),
]


@pytest.mark.parametrize(
    ("replaced", "columns"), FAULTS, ids=["-".join(fault) + str(i) for i, (fault, _) in enumerate(FAULTS)]
)
@pytest.mark.filterwarnings("ignore::bpx.DivergenceWarning")
def test_a_difference_planted_in_a_backend_is_found_where_it_is(data: Any, replaced: Any, columns: set[str]) -> None:
    report = bpx.check_parity(network(), *data, backends=["numpy", Faulty(**replaced)])
    row = report.rows[1]
    found = {name for name in ("forward", "gradient", "losses") if not getattr(row, name) <= report.tolerance}
    assert found == columns
    assert not report.passed
    assert not report.max_difference <= report.tolerance
    assert str(report).splitlines()[-1] == "FAILED: tolerance 1e-12"


def test_the_fake_without_a_fault_passes(data: Any) -> None:
    assert bpx.check_parity(network(), *data, backends=[Faulty()]).passed


def test_a_difference_within_the_tolerance_passes_and_one_beyond_it_does_not(data: Any) -> None:
    backend = Faulty(tanh=slightly(np.tanh, 1e-7))
    assert bpx.check_parity(network(), *data, backends=[backend], tolerance=1e-5).passed
    assert not bpx.check_parity(network(), *data, backends=[backend], tolerance=1e-8).passed


def test_the_report_prints_a_table(data: Any) -> None:
    report = bpx.check_parity(network(), *data, backends=["numpy", STRICT])
    lines = str(report).splitlines()
    assert lines[0] == "largest difference from numpy, relative to the largest value, float64"
    assert [cell.strip() for cell in lines[1].split("  ") if cell] == [
        "backend", "device", "forward", "gradient", "losses of 5 steps",
    ]  # fmt: skip
    strict = report.rows[1]
    assert lines[4].split()[0] == strict.backend
    assert lines[4].split()[-3:] == [f"{d:.2e}" for d in (strict.forward, strict.gradient, strict.losses)]
    assert lines[5] == "passed: tolerance 1e-12"


def test_the_network_is_left_as_it_is_on_its_own_backend(lib: bpx.Backend, data: Any) -> None:
    net = network().to(lib)
    before = np.array(lib.to_host(net.flat))
    bpx.check_parity(net, *data, backends=["numpy", lib])
    assert np.array_equal(lib.to_host(net.flat), before)
    assert net.backend is lib
