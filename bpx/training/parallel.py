"""Data-parallel training: every rank computes its share of a batch, and one sum over all ranks joins them (MPI).

The ranks exchange one kind of message: a flat vector with the gradient of the rank's rows times their weight, their
loss times their weight, that weight, the number of rows, and three numbers that say whether the rank failed, has no
batch left, or (rank 0) wants to stop. Its sum over the ranks is a step. A rank that fails says so in the next message,
whatever it is for, so that no other rank waits for it.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, final

import numpy as np

from bpx._typing import Array
from bpx.errors import RankFailedError
from bpx.kernels.recording import launch
from bpx.network.mlp import MLP
from bpx.training.communicator import communicator

__all__ = ["Ranks", "join", "place"]

# The numbers at the end of a message.
_ROWS, _FAILED, _ENDED, _DECISION = -4, -3, -2, -1


def join(comm: Any) -> Ranks | None:
    """The ranks of a communicator, or of what `communicator` takes; None for a single process."""
    found = communicator(comm)
    return None if found is None else Ranks(found)


def place(ranks: Ranks | None) -> tuple[int, int]:
    """A process's number, and how many there are."""
    return (0, 1) if ranks is None else (ranks.rank, ranks.size)


@final
class Ranks:
    """The processes that train one network together, seen from one of them.

    Parameters
    ----------
    comm : mpi4py communicator

    Attributes
    ----------
    rank, size : int
        This process's number, and how many there are.
    weight : Array of shape () or (K,)
        Sum over all ranks of the last batch's weights, on the network's device.
    """

    def __init__(self, comm: Any) -> None:
        self._comm = comm
        self.rank, self.size = int(comm.Get_rank()), int(comm.Get_size())

    @property
    def is_first(self) -> bool:
        """Whether this is the rank that watches, reports and writes files."""
        return self.rank == 0

    def share(self, n: int) -> slice:
        """Which of n rows are this rank's."""
        return slice(n * self.rank // self.size, n * (self.rank + 1) // self.size)

    # ------------------------------------------------------------------ before training

    @contextmanager
    def agreeing(self) -> Iterator[None]:
        """What is done here is done on all ranks, or is an error on all."""
        failure: BaseException | None = None
        try:
            yield
        except BaseException as error:
            failure = error
        told = self._comm.allgather(None if failure is None else _told(failure))
        if failure is not None:
            raise failure
        self._raise(told)

    def from_all(self, value: Any) -> list[Any]:
        """Every rank's plain data, on every rank."""
        told: list[Any] = self._comm.allgather(value)
        return told

    def from_first(self, value: Any) -> Any:
        """Rank 0's plain data, on every rank."""
        return self._comm.bcast(value, root=0)

    def begin(self, net: MLP) -> None:
        """Make the message for this network, and give every rank rank 0's parameters."""
        self._net = net
        lead, p = tuple(net.flat.shape[:-1]), int(net.flat.shape[-1])
        networks = net.stack or 1
        self._message = np.zeros(networks * (p + 2) + 4, dtype=net.dtype)
        self._weight = np.zeros(lead, dtype=net.dtype)
        self.weight: Array = self._weight
        shapes = [((*lead, p), networks * p), (lead, networks), (lead, networks)]
        self._parts = _views(self._message, shapes)
        self._on_device = net.backend.summer(self._comm, socket.gethostname())
        self.same_parameters()

    def same_parameters(self) -> None:
        """Rank 0's parameters, on every rank."""
        net = self._net
        if net.backend.xp is np:
            self._comm.Bcast(net.flat, root=0)
            return
        host = np.array(net.backend.to_host(net.flat))
        self._comm.Bcast(host, root=0)
        net.flat[...] = net.backend.asarray(host)

    # ------------------------------------------------------------------ in training

    def combine(self, loss: Array, grads: Array, rows: int, weight: Array | None) -> tuple[Array, Array]:
        """Loss and gradient of the whole batch, from those of this rank's rows.

        Parameters
        ----------
        loss : Array of shape (...)
            Mean over this rank's rows.
        grads : Array of shape (..., p)
            Of that mean; overwritten.
        rows : int
            This rank's.
        weight : Array of shape (n, 1) or (K, n, 1), or None
            Of these rows; None: 1 each.

        Returns
        -------
        loss, grads
            The same means over all rows of the batch.
        """
        backend = self._net.backend
        if backend.xp is np:
            if not isinstance(loss, np.ndarray):
                loss = np.array(loss, dtype=grads.dtype)
            launch(self._join, loss, grads, rows, weight)
            return loss, grads
        if self._on_device is not None:
            return self._join_on_device(loss, grads, rows, weight)
        host_loss, host_grads = np.array(backend.to_host(loss)), np.array(backend.to_host(grads))
        self._join(host_loss, host_grads, rows, None if weight is None else backend.to_host(weight))
        grads[...] = backend.asarray(host_grads)
        self.weight = backend.asarray(self._weight.copy())
        return backend.asarray(host_loss), grads

    def _join(self, loss: np.ndarray[Any, Any], grads: np.ndarray[Any, Any], rows: int, weight: Any) -> None:
        """`combine` for host arrays, which are overwritten."""
        own: Any = rows if weight is None else np.add.reduce(weight, (-2, -1))
        all_grads, all_losses, all_weights = self._parts
        np.multiply(grads, own if weight is None else own[..., None], all_grads)
        np.multiply(loss, own, all_losses)
        all_weights[...] = own
        self._message[_ROWS:] = rows, 0, 0, 0
        self._exchange()
        self._weight[...] = all_weights
        share = 1.0 / np.where(self._weight > 0.0, self._weight, np.ones_like(self._weight))
        np.multiply(all_grads, share[..., None], grads)
        np.multiply(all_losses, share, loss)

    def _join_on_device(self, loss: Array, grads: Array, rows: int, weight: Array | None) -> tuple[Array, Array]:
        """`combine` for device arrays, summed where they are; the host's numbers go ahead, so that nobody waits."""
        xp = self._net.backend.xp
        self._message[...] = 0.0
        self._message[_ROWS] = rows
        self._exchange()
        own = loss * 0.0 + rows if weight is None else xp.broadcast_to(xp.sum(weight, axis=(-2, -1)), loss.shape)
        parts = [grads * own[..., None], (loss * own)[..., None], own[..., None]]
        assert self._on_device is not None
        total = self._on_device(xp.concat(parts, axis=-1))
        weights = total[..., -1]
        share = 1.0 / xp.where(weights > 0.0, weights, xp.ones_like(weights))
        grads[...] = total[..., :-2] * share[..., None]
        self.weight = weights
        return total[..., -2] * share, grads

    @property
    def rows(self) -> int:
        """Rows of the last batch, over all ranks."""
        return int(self._message[_ROWS])

    def total(self, value: Any, weight: Any) -> tuple[Any, Any]:
        """Sums over all ranks of two host numbers of shape (...)."""
        self._blank()
        self._parts[1][...], self._parts[2][...] = value, weight
        self._exchange()
        return self._parts[1].copy(), self._parts[2].copy()

    def end_stream(self) -> None:
        """Say that no batch is left here; an error on every rank, if another has one."""
        self._blank()
        self._message[_ENDED] = 1.0
        self._exchange()

    def decide(self, code: int) -> int:
        """Rank 0's `code`, on every rank, and its parameters, which a callback may have changed."""
        self._blank()
        self._message[_DECISION] = code if self.is_first else 0
        self._exchange()
        code = int(self._message[_DECISION])
        self.same_parameters()
        return code

    def _blank(self) -> None:
        """A message that changes nothing."""
        self._message[...] = 0.0

    def _exchange(self) -> None:
        """The one message: its sum over all ranks.

        Raises
        ------
        RankFailedError
            If a rank has failed.
        ValueError
            If some ranks have no batch left, and others have.
        """
        has_ended = self._message[_ENDED] > 0.0
        self._comm.Allreduce(None, self._message)  # in place
        if self._message[_FAILED] > 0.0:
            self._raise(self._comm.allgather(None))
        ended = int(self._message[_ENDED])
        if 0 < ended < self.size:
            here = "this rank's is one of them" if has_ended else "this rank's goes on"
            raise ValueError(
                f"X: expected streams with as many batches on every rank, got streams that end early on {ended} of"
                f" {self.size} ranks ({here}); give every rank's stream the same number of rows"
            )

    @contextmanager
    def together(self) -> Iterator[None]:
        """Training: an error here ends it on every rank."""
        try:
            yield
        except RankFailedError:
            raise
        except BaseException as error:
            if not type(error).__module__.startswith("mpi4py"):  # MPI itself failed: nobody can be told
                self._blank()
                self._message[_FAILED] = 1.0
                self._comm.Allreduce(None, self._message)
                self._comm.allgather(_told(error))
            raise

    def _raise(self, told: list[str | None]) -> None:
        """Raise what other ranks have told, if they have."""
        failures = [f"rank {rank} failed: {text}" for rank, text in enumerate(told) if text is not None]
        if failures:
            raise RankFailedError("; ".join(failures))


def _told(error: BaseException) -> str:
    """An error in words for the other ranks."""
    return f"{type(error).__name__}: {error}"


def _views(flat: np.ndarray[Any, Any], shapes: list[tuple[tuple[int, ...], int]]) -> list[np.ndarray[Any, Any]]:
    """The parts of a message."""
    views, start = [], 0
    for shape, size in shapes:
        views.append(flat[start : start + size].reshape(shape))
        start += size
    return views
