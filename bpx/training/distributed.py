"""Data-parallel training: every rank computes its share of a batch, and one sum over all ranks joins them (MPI).

The ranks exchange one kind of message: a flat vector of the rank's mean loss times the weight of its rows, this weight,
the number of rows, three numbers that say whether the rank failed, has no batch left, or (rank 0) wants to stop, and
the gradient of the mean loss times the weight. Its sum over the ranks makes a step. A rank that fails says so in the
next message, whatever that is for, so that no other rank waits for it; the first piece of a message says whether the
rest follows.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, final

import numpy as np

from bpx._typing import Array
from bpx.errors import RankFailedError
from bpx.kernels.recording import launch
from bpx.network.mlp import MLP
from bpx.training.communicator import communicator
from bpx.training.signals import give_back, noted

# Length of the pieces that are summed at once: two ranks sum 23 MB in 2.5 ms in pieces of 512 kB, else in 5 to 12 ms.
PIECE = 2**17

# Indices of the header's four numbers. The header is padded to a multiple of 64, so that the gradient starts on a cache
# line.
_ROWS, _FAILED, _ENDED, _DECISION = range(4)
_LINE = 64


def join(comm: Any) -> Ranks | None:
    """The ranks for the `comm` argument of `bpx.fit`; None for a single process."""
    found = communicator(comm)
    return None if found is None else Ranks(found)


def place(ranks: Ranks | None) -> tuple[int, int]:
    """The rank of this process, and the number of processes."""
    return (0, 1) if ranks is None else (ranks.rank, ranks.size)


def agreeing(ranks: Ranks | None) -> AbstractContextManager[None]:
    """`Ranks.agreeing`; without effect for a single process."""
    return nullcontext() if ranks is None else ranks.agreeing()


@final
class Ranks:
    """The processes that train a network together, seen from number `rank` of `size`.

    `weight`, of shape () or (K,), is the last batch's weight summed over all ranks, on the network's device.
    """

    def __init__(self, comm: Any) -> None:
        self._comm = comm
        self.rank, self.size = int(comm.Get_rank()), int(comm.Get_size())
        self._signal: int | None = None

    @property
    def is_first(self) -> bool:
        """Whether this is rank 0, which asks rules and callbacks and writes files."""
        return self.rank == 0

    def share(self, n: int) -> slice:
        """The rows, of n, that belong to this rank."""
        return slice(n * self.rank // self.size, n * (self.rank + 1) // self.size)

    # ------------------------------------------------------------------ before training

    @contextmanager
    def agreeing(self) -> Iterator[None]:
        """A block that succeeds on all ranks or raises on all of them."""
        failure: BaseException | None = None
        try:
            yield
        except BaseException as error:
            failure = error
        messages = self._comm.allgather(None if failure is None else _message(failure))
        if failure is not None:
            raise failure
        self._raise(messages)

    def from_all(self, value: Any) -> list[Any]:
        """Every rank's `value`, plain data, on every rank."""
        values: list[Any] = self._comm.allgather(value)
        return values

    def from_first(self, value: Any) -> Any:
        """Rank 0's `value`, plain data, on every rank."""
        return self._comm.bcast(value, root=0)

    def begin(self, net: MLP) -> None:
        """Allocate the message for this network, and copy rank 0's parameters to every rank."""
        self._net = net
        lead, p = tuple(net.flat.shape[:-1]), int(net.flat.shape[-1])
        networks = net.stack or 1
        from socket import gethostname  # takes 3 ms, and a single process does not need it

        self._on_device = net.backend.summer(self._comm, gethostname())
        count = 0 if self._on_device is not None else networks * p  # gradients summed on the device are not in it
        self._head = -(-(2 * networks + 4) // _LINE) * _LINE
        self._message = np.zeros(self._head + count, dtype=net.dtype)
        self._gradient = self._message[self._head :]
        self._weight = np.zeros(lead, dtype=net.dtype)
        self.weight: Array = self._weight
        self._losses = self._message[:networks].reshape(lead)
        self._weights = self._message[networks : 2 * networks].reshape(lead)
        self._numbers = self._message[2 * networks : 2 * networks + 4]
        self.grad = self._gradient.reshape((*lead, p)) if net.backend.xp is np else None
        self.same_parameters()

    def same_parameters(self) -> None:
        """Copy rank 0's parameters to every rank."""
        net = self._net
        if net.backend.xp is np:
            self._comm.Bcast(net.flat, root=0)
            return
        host = np.array(net.backend.to_host(net.flat))
        self._comm.Bcast(host, root=0)
        net.flat[...] = net.backend.asarray(host)

    # ------------------------------------------------------------------ in training

    def combine(self, loss: Array, grads: Array, weight: Array, rows: int) -> tuple[Array, Array]:
        """Mean loss (...) of the whole batch and its gradient (..., p), in arrays that the next step overwrites.

        `loss` is the mean over this rank's rows, `grads` the gradient of this mean times `weight`, the sum of the rows'
        weights, of shape () or (...).
        """
        backend = self._net.backend
        if backend.xp is np:
            if not isinstance(loss, np.ndarray):
                loss = np.array(loss, dtype=grads.dtype)
            launch(self._join, loss, grads, weight, rows)
            return loss, grads
        if self._on_device is not None:
            return self._join_on_device(loss, grads, weight, rows)
        host_loss, host_grads = np.array(backend.to_host(loss)), np.array(backend.to_host(grads))
        self._join(host_loss, host_grads, backend.to_host(weight), rows)
        grads[...] = backend.asarray(host_grads)
        self.weight = backend.asarray(self._weight.copy())
        return backend.asarray(host_loss), grads

    def _join(self, loss: np.ndarray[Any, Any], grads: np.ndarray[Any, Any], weight: Any, rows: int) -> None:
        """`combine` for host arrays, which are overwritten."""
        total = self._gradient.reshape(grads.shape)
        if grads is not self.grad:
            total[...] = grads
        np.multiply(loss, weight, self._losses)
        self._weights[...] = weight
        self._numbers[...] = rows, 0, 0, 0
        self._exchange(gradient=True)
        self._weight[...] = self._weights
        share = self._share()
        if grads.ndim > 1:  # a single network's gradient has been multiplied piece by piece
            np.multiply(total, share[..., None], total)
        if grads is not self.grad:
            grads[...] = total
        np.multiply(self._losses, share, loss)

    def _share(self) -> Any:
        """The factor that turns sums over the batch into means: 1 / weight, of shape () or (K,)."""
        return 1.0 / np.where(self._weights > 0.0, self._weights, np.ones_like(self._weights))

    def _join_on_device(self, loss: Array, grads: Array, weight: Array, rows: int) -> tuple[Array, Array]:
        """`combine` for arrays that are summed on the device, after a message without them that reports failures."""
        xp = self._net.backend.xp
        self._blank()
        self._numbers[_ROWS] = rows
        self._exchange()
        weight = xp.broadcast_to(weight, loss.shape)
        assert self._on_device is not None
        total = self._on_device(xp.concat([grads, (loss * weight)[..., None], weight[..., None]], axis=-1))
        self.weight = total[..., -1]
        share = 1.0 / xp.where(self.weight > 0.0, self.weight, xp.ones_like(self.weight))
        grads[...] = total[..., :-2] * share[..., None]
        return total[..., -2] * share, grads

    @property
    def rows(self) -> int:
        """Rows of the last batch, on all ranks together."""
        return int(self._numbers[_ROWS])

    def total(self, value: Any, weight: Any) -> tuple[Any, Any]:
        """Sums of `value` and `weight`, of shape (...) on the host, over all ranks."""
        self._blank()
        self._losses[...], self._weights[...] = value, weight
        self._exchange()
        return self._losses.copy(), self._weights.copy()

    def gather(self, parts: list[Any]) -> list[Any]:
        """The parts of all ranks, plain data, in the order of the ranks."""
        self._blank()
        self._exchange()  # a rank that has failed says so here, and does not come to `from_all`
        return [part for rank_parts in self.from_all(parts) for part in rank_parts]

    def end_stream(self) -> None:
        """Say that no batch is left here; ValueError on every rank if another has one."""
        self._blank()
        self._numbers[_ENDED] = 1.0
        self._exchange()

    def decide(self, code: int) -> int:
        """Rank 0's `code` on every rank; its parameters are copied, too, because a callback may have changed them."""
        self._blank()
        self._numbers[_DECISION] = code if self.is_first else 0
        self._exchange()
        code = int(self._numbers[_DECISION])
        self.same_parameters()
        return code

    def _blank(self) -> None:
        """Set the header to zeros; the gradient behind it is not read."""
        self._message[: self._head] = 0.0

    def _exchange(self, gradient: bool = False) -> None:
        """Sum the message over all ranks; with `gradient` the part behind the header, too.

        Raises on every rank if one has failed, or if only some of them have a batch left.
        """
        has_ended = self._numbers[_ENDED] > 0.0
        obeys = self._obeys_now()
        if obeys:
            self._numbers[_FAILED] = 1.0
        self._comm.Allreduce(None, self._message[:PIECE])  # in place; now all know whether the rest follows
        if self._numbers[_FAILED] > 0.0:
            self._over = True
            messages = self._comm.allgather(f"signal {self._signal}" if obeys else None)
            if obeys:
                self._obey()
            self._raise(messages)
        ended = int(self._numbers[_ENDED])
        if 0 < ended < self.size:
            here = "this rank's is one of them" if has_ended else "this rank's goes on"
            raise ValueError(
                f"X: expected streams with as many batches on every rank, got streams that end early on {ended} of"
                f" {self.size} ranks ({here}); give every rank's stream the same number of rows"
            )
        if gradient:
            self._rest()

    def _rest(self) -> None:
        """Sum the pieces after the first; a single network's are divided by the weight while they are in the cache."""
        share = self._share() if self._weights.ndim == 0 else None
        for start in range(0, len(self._message), PIECE):
            piece = self._message[start : start + PIECE]
            if start:
                self._comm.Allreduce(None, piece)
            if share is not None:
                part = piece if start else piece[self._head :]
                np.multiply(part, share, part)

    @contextmanager
    def together(self) -> Iterator[None]:
        """A block in which an error, or a signal that then waits for a message, ends training on every rank."""
        self._over, self._signal, self._grace = False, None, 0 if self.is_first else 1
        with noted(self._note) as self._former:
            try:
                yield
            except BaseException as error:
                # Unless MPI itself failed or all know already, tell the other ranks.
                if not (self._over or type(error).__module__.startswith("mpi4py")):
                    self._blank()
                    self._numbers[_FAILED] = 1.0
                    self._comm.Allreduce(None, self._message[:PIECE])
                    self._comm.allgather(_message(error))
                raise
        if self._signal is not None:  # arrived after the last message
            signal.raise_signal(self._signal)

    def _note(self, number: int, frame: Any) -> None:
        """Remember a signal; obeyed at once, it would leave the other ranks waiting for a message."""
        self._signal = number

    def _obeys_now(self) -> bool:
        """Whether to obey a signal now. Rank 0 is first, because it may have a checkpoint to write."""
        if self._signal is None:
            return False
        self._grace -= 1
        return self._grace < 0

    def _obey(self) -> None:
        """Let the signal take its usual effect."""
        assert self._signal is not None
        give_back(self._former)
        signal.raise_signal(self._signal)
        raise KeyboardInterrupt

    def _raise(self, messages: list[str | None]) -> None:
        """Raise the other ranks' errors, if there are any."""
        failures = [f"rank {rank} failed: {text}" for rank, text in enumerate(messages) if text is not None]
        if failures:
            raise RankFailedError("; ".join(failures))


def _message(error: BaseException) -> str:
    """An error as text, for the other ranks."""
    return f"{type(error).__name__}: {error}"
