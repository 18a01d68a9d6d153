"""The processes of an MPI job: each takes its share, all get everything, and an error on one is an error on all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeVar, final

__all__ = ["Communicator", "communicator", "shared"]

T = TypeVar("T")


class Communicator(Protocol):
    """What is used of mpi4py's."""

    rank: int
    size: int

    def allgather(self, thing: Any) -> list[Any]:
        """Every rank's thing, on every rank."""


@final
class _Alone:
    """One process."""

    rank, size = 0, 1

    def allgather(self, thing: Any) -> list[Any]:
        """A list of it."""
        return [thing]


def communicator(comm: Any) -> Communicator:
    """The communicator that `comm` means: None for this process alone, "mpi" for all of the job's."""
    if comm is None:
        return _Alone()
    if comm == "mpi":
        try:
            from mpi4py import MPI
        except ImportError as error:
            raise ImportError("comm='mpi' needs mpi4py: pip install 'bpx-nn[mpi]', and an MPI library") from error
        world: Communicator = MPI.COMM_WORLD
        return world
    if not all(hasattr(comm, name) for name in ("rank", "size", "allgather")):
        raise TypeError(f"comm: expected None, 'mpi' or an mpi4py communicator, got {comm!r}")
    given: Communicator = comm
    return given


def shared(comm: Communicator, work: Callable[[], T]) -> list[T]:
    """What `work` gave on each rank; where it raised on one, all raise: that rank its error, the others its words."""
    result, error = None, None
    try:
        result = work()
    except BaseException as raised:
        if comm.size == 1:
            raise
        error = raised
    answers = comm.allgather((result, None if error is None else f"{type(error).__name__}: {error}"))
    if error is not None:
        raise error
    for rank, (_, message) in enumerate(answers):
        if message is not None:
            raise RuntimeError(f"the sweep failed on rank {rank}: {message}")
    return [answer for answer, _ in answers]
