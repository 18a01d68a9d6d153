"""Data-parallel training by processes of their own, under a real MPI; nothing may hang."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import posix
from mpi_script import X, train
from ranks import alone, need_mpi, under_mpi

SCRIPT = Path(__file__).with_name("mpi_script.py")

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def _mpi():
    """Each test starts processes under MPI."""
    need_mpi()


def launch(ranks, scenario, folder):
    """What a world of so many ranks printed, and its exit status."""
    return under_mpi(ranks, SCRIPT, scenario, folder)


def test_mpi_is_not_begun_in_this_process():
    """Where it cannot begin, without a HOME for one, it would end pytest without a word."""
    assert "mpi4py.MPI" not in sys.modules


@pytest.mark.parametrize("ranks", [2, 3])
def test_processes_reproduce_the_serial_run(ranks, tmp_path):
    """203 rows in batches of 32: shards are uneven, and the last batch has 11 rows."""
    np.save(tmp_path / "X.npy", X)
    output, status = launch(ranks, "equals_serial", tmp_path)
    assert status == 0, output
    results = [np.load(tmp_path / f"{rank}.npz") for rank in range(ranks)]
    for result in results:
        assert result["steps"] == 63
        np.testing.assert_allclose(result["first"], result["serial"], rtol=0.0, atol=1e-12)
        np.testing.assert_allclose(result["streamed"], result["alone"], rtol=0.0, atol=1e-12)
        np.testing.assert_array_equal(result["first"], result["again"])
        np.testing.assert_array_equal(result["first"], results[0]["first"])


@pytest.mark.parametrize("scenario", ["raises", "raises_outside"])
def test_a_rank_that_raises_ends_all_with_its_own_traceback(scenario, tmp_path):
    output, status = launch(3 if scenario == "raises" else 2, scenario, tmp_path)
    assert status != 0
    assert "ZeroDivisionError: planted on rank 1" in output
    assert "mpi_script.py" in output


@posix
def test_a_killed_rank_ends_all_and_the_checkpoint_resumes(tmp_path):
    """On another number of ranks too, as one process that never stopped."""
    _, status = launch(2, "killed", tmp_path)
    assert status != 0
    output, status = launch(3, "resumes", tmp_path)
    assert status == 0, output
    expected, history = train(comm=None, epochs=8)
    result = np.load(tmp_path / "2.npz")
    assert result["steps"] == history.steps
    np.testing.assert_allclose(result["flat"], expected.flat, rtol=0.0, atol=1e-12)


@posix
def test_ctrl_c_ends_all_ranks_whenever_it_comes(tmp_path):
    output, status = launch(2, "signalled", tmp_path)
    assert status == 0, output
    assert {path.name for path in tmp_path.glob("*.txt")} == {"0.txt", "1.txt"}


@pytest.mark.parametrize(
    ("scenario", "output"),
    [
        ("other_seed", ["seed: 0 on rank 0, 1 on rank 1"]),
        ("empty_shard", ["at least one batch, got an iterable that gives none", "rank 1 failed: ShapeError"]),
        ("other_width", ["X: expected 6 columns", "rank 1 failed: ShapeError"]),
    ],
)
def test_bad_input_is_an_error_on_every_rank(scenario, output, tmp_path):
    printed, status = launch(2, scenario, tmp_path)
    assert status != 0
    for text in output:
        assert text in printed


def test_a_world_of_another_launcher_is_an_error(tmp_path):
    """Each process alone, as when mpiexec belongs to another MPI than mpi4py's."""
    for name in ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE"):
        done = alone("import mpi_script; mpi_script.train()", **{name: "2"})
        assert done.returncode != 0
        assert "expected a world of 2 processes, as many as were started, got a world of 1" in done.stderr
