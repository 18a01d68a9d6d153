"""A sweep split across ranks is the sweep of one process, and an error on one rank is an error on all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ranks import Comm, on_ranks, under_mpi

import bpx
from bpx.errors import RankFailedError

GRID = {"learning_rate": [0.01, 0.1], "seed": [0, 1, 2]}
OPTIONS: dict[str, Any] = {"cv": 3, "epochs": 2, "batch_size": 8, "scoring": "neg_loss", "stack": 2}


def make(seed: int) -> bpx.MLP:
    """A small network."""
    return bpx.MLP([4, 6, 3], seed=seed, dtype="float64", backend="numpy")


@pytest.fixture
def data(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Three classes."""
    y = rng.integers(0, 3, 40)
    return rng.normal(size=(40, 4)) + np.eye(3, 4)[y], y


@pytest.mark.parametrize("size", [2, 3])
def test_every_rank_has_the_table_of_one_process(data: Any, size: int) -> None:
    alone = bpx.sweep(make, GRID, *data, **OPTIONS)
    trained: list[list[int]] = [[] for _ in range(size)]

    def work(comm: Comm) -> Any:
        def counting(seed: int) -> bpx.MLP:
            trained[comm.Get_rank()].append(seed)
            return make(seed)

        return bpx.sweep(counting, GRID, *data, comm=comm, **OPTIONS)

    for table in on_ranks(size, work)[0]:
        assert table.rows == alone.rows
        assert np.array_equal(table.best_net.flat, alone.best_net.flat)
    # Each made the 6 to look at them, 1 for the best, and of the 18 its share.
    shares = [len(seeds) - 7 for seeds in trained]
    assert sum(shares) == 18
    assert min(shares) >= 4


def test_an_error_on_one_rank_is_an_error_on_all(data: Any) -> None:
    def work(comm: Comm) -> Any:
        def scoring(net: bpx.MLP, X: Any, y: Any) -> float:
            if comm.Get_rank() == 1:
                raise ArithmeticError("no score here")
            return 0.0

        return bpx.sweep(make, GRID, *data, comm=comm, **OPTIONS | {"scoring": scoring})

    zero, one, two = on_ranks(3, work)[0]
    assert isinstance(one, ArithmeticError)
    for other in (zero, two):
        assert isinstance(other, RankFailedError)
        assert str(other) == "rank 1 failed: ArithmeticError: no score here"


def test_an_error_in_one_ranks_arguments_is_an_error_on_all(data: Any) -> None:
    def work(comm: Comm) -> Any:
        return bpx.sweep(make, GRID, *data, comm=comm, **OPTIONS | {"cv": 3 if comm.Get_rank() else 1})

    zero, one = on_ranks(2, work)[0]
    assert isinstance(zero, ValueError)
    assert isinstance(one, RankFailedError)


def test_ranks_with_other_grids_are_refused(data: Any) -> None:
    def work(comm: Comm) -> Any:
        return bpx.sweep(make, {"seed": [0, comm.Get_rank()]}, *data, comm=comm, **OPTIONS)

    for error in on_ranks(2, work)[0]:
        assert "grid: expected the same settings and version of bpx" in str(error)


SCRIPT = """
import sys
import numpy as np
import bpx
from test_sweep_ranks import GRID, OPTIONS, make
X, y = np.load(sys.argv[1])["X"], np.load(sys.argv[1])["y"]
table = bpx.sweep(make, GRID, X, y, comm="mpi", **OPTIONS)
from mpi4py import MPI
rank = MPI.COMM_WORLD.rank
with open(f"{sys.argv[2]}/{rank}.txt", "w") as file:  # what two processes print can stand in one line
    file.write(f"rank {rank} of {MPI.COMM_WORLD.size} {table.best} {table.best_score}")
"""


@pytest.mark.slow
def test_under_mpi_two_processes_share_a_sweep(data: Any, tmp_path: Path) -> None:
    np.savez(tmp_path / "data.npz", X=data[0], y=data[1])
    (tmp_path / "script.py").write_text(SCRIPT)
    output, status = under_mpi(2, tmp_path / "script.py", tmp_path / "data.npz", tmp_path)
    assert status == 0, output
    alone = bpx.sweep(make, GRID, *data, **OPTIONS)
    assert sorted(path.name for path in tmp_path.glob("*.txt")) == ["0.txt", "1.txt"]
    for rank in range(2):
        line = (tmp_path / f"{rank}.txt").read_text()
        assert line.startswith(f"rank {rank} of 2 {alone.best} ")
        assert float(line.rpartition(" ")[2]) == pytest.approx(alone.best_score, rel=1e-12)
