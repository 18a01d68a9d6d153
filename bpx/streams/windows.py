"""The buffer of a stream: two windows of rows, one of which a thread fills while the other is trained on."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterator, Mapping
from queue import SimpleQueue
from typing import Any, NamedTuple, final

import numpy as np

from bpx.backend.base import Backend, library_of
from bpx.backend.numpy_backend import NumpyBackend
from bpx.formulas.losses import Loss
from bpx.network import validation
from bpx.network.class_weight import class_weights
from bpx.network.mlp import MLP
from bpx.streams.batches import Batch, Data
from bpx.streams.sources import Part

__all__ = ["DoubleBuffer", "Gate", "PrefetchedWindow", "filled", "slice_rows"]


class PrefetchedWindow(NamedTuple):
    """A window that has been filled: which half it is, how many rows it has, and its batches."""

    half: int
    rows: int
    batches: list[Batch]


@final
class Gate:
    """Checks what a stream gives, as `bpx.training.validation` does arrays, and brings it to the network's dtype.

    Parameters
    ----------
    net : MLP
    loss : Loss or None
        Says which targets are allowed; None where there are only inputs.
    class_weight : dict of int to float, optional
    """

    def __init__(self, net: MLP, loss: Loss | None, class_weight: Mapping[int, float] | None = None) -> None:
        self._net, self._loss, self._class_weight = net, loss, class_weight
        self._host = NumpyBackend()

    def __call__(self, part: Part, where: str) -> Data:
        """Some rows, on the host, or on the network's device if they came from there.

        Raises
        ------
        ShapeError, NonFiniteError, TypeError, ValueError, DeviceMismatchError
            Which name `where`.
        """
        net, (X, y, weight) = self._net, part
        backend: Backend = self._host if library_of(X) == "host" else net.backend
        dtype, n_out = backend.dtype(net.dtype), net.sizes[-1]
        x, single = validation.inputs(backend, dtype, X, net.sizes[0], name=f"X of {where}")
        if self._loss is None:
            return Data(x, None, None)
        if y is None:
            raise TypeError("y: expected targets in the stream, got none; give them, bpx.stream(X, y)")
        t = validation.targets(backend, dtype, y, x.shape[0], n_out, self._loss, single=single, name=f"y of {where}")
        w = validation.sample_weights(
            backend, dtype, weight, x.shape[0], None, name=f"sample_weight of {where}", whole=False
        )
        if self._class_weight is not None:
            factor = class_weights(backend.to_host(t), self._class_weight, n_out, whole=False)
            factor = backend.asarray(factor, dtype)
            w = factor if w is None else w * factor
        return Data(x, t, w)


@final
class DoubleBuffer:
    """Two windows' memory.

    Parameters
    ----------
    backend : Backend
        The network's.
    rows : int
        Of one window.
    like : Data
        Some rows as `Gate` gives them: of the same columns, dtypes and library.

    Attributes
    ----------
    backend : Backend
        The network's.
    sources : list of Data
        The windows where the network is.
    in_use : bool
        Whether somebody fills and reads them.
    """

    def __init__(self, backend: Backend, rows: int, like: Data) -> None:
        self.backend = backend
        # Rows that come from the device, or are computed with on the host, need no second place.
        self._staged = isinstance(like.X, np.ndarray) and backend.xp is not np
        self.sources = [_empty(backend, rows, like) for _ in range(2)]
        self._host = [_pinned(backend, rows, like) for _ in range(2)] if self._staged else self.sources
        # Memory that is new here may be what earlier work still reads.
        self._read: list[Any] = [backend.mark(), backend.mark()]
        self.in_use = False

    def write(self, half: int, at: int, part: Data) -> None:
        """Put rows into a window from row `at` on."""
        for target, rows in zip(self._host[half], part, strict=True):
            if target is not None:
                target[at : at + rows.shape[0], ...] = rows

    def send(self, half: int, rows: int) -> None:
        """Bring a window's first rows to the device, after what is still computed with those that were there."""
        if self._staged:
            for source, target in zip(self._host[half], self.sources[half], strict=True):
                if source is not None:
                    self.backend.transfer(source[:rows], target[:rows, ...], self._read[half])

    def release(self, half: int) -> None:
        """The work that reads a window has been given to the device."""
        self._read[half] = self.backend.mark()

    def first_rows(self, half: int, rows: int) -> Data:
        """A window's first rows, without copying."""
        return slice_rows(self.sources[half], 0, rows)


def slice_rows(data: Data, start: int, stop: int) -> Data:
    """Some of the rows, without copying."""
    return Data(*(None if part is None else part[start:stop, ...] for part in data))


def _empty(backend: Backend, rows: int, like: Data) -> Data:
    """Room for that many rows on the device."""
    parts = (None if a is None else (rows, *a.shape[1:]) for a in like)
    dtypes = (None if a is None else _dtype(backend, a) for a in like)
    with backend.scope():
        return Data(
            *(
                None if shape is None else backend.xp.empty(shape, dtype=dtype, device=backend.device)
                for shape, dtype in zip(parts, dtypes, strict=True)
            )
        )


def _dtype(backend: Backend, a: Any) -> Any:
    """The backend's dtype for an array, which may be of the host."""
    return backend.dtype(a.dtype.name) if isinstance(a, np.ndarray) else a.dtype


def _pinned(backend: Backend, rows: int, like: Data) -> Data:
    """Room for that many rows on the host, from which the device copies fast."""
    return Data(*(None if a is None else backend.pinned((rows, *a.shape[1:]), a.dtype) for a in like))


_Fill = Callable[[Callable[[], int]], Iterator[PrefetchedWindow]]


class _StoppedError(Exception):
    """Nobody wants another window."""


def filled(fill: _Fill, halves: DoubleBuffer) -> Generator[PrefetchedWindow, None, None]:
    """Windows in turn, each filled by a thread while the one before is used.

    Parameters
    ----------
    fill : callable
        ``fill(take)`` yields windows; ``take()`` gives it a half that is free, when there is one.
    halves : DoubleBuffer
        What they are in.

    Notes
    -----
    What `fill` raises is raised here, after the windows that were filled before. Close the generator to end the thread.
    """
    free: SimpleQueue[int | None] = SimpleQueue()
    full: SimpleQueue[PrefetchedWindow | BaseException | None] = SimpleQueue()
    free.put(0)
    free.put(1)

    def take() -> int:
        half = free.get()
        if half is None:
            raise _StoppedError
        return half

    def work() -> None:
        try:
            with place:
                for window in fill(take):
                    full.put(window)
            full.put(None)
        except _StoppedError:
            pass
        except BaseException as error:
            full.put(error)

    place = halves.backend.here()  # each thread has a current device and stream of its own
    thread = threading.Thread(target=work, name="bpx-stream", daemon=True)
    halves.in_use = True
    thread.start()
    try:
        while (window := full.get()) is not None:
            if isinstance(window, BaseException):
                raise window
            yield window
            halves.release(window.half)
            free.put(window.half)
    finally:
        free.put(None)
        thread.join()
        for half in range(2):  # whoever stopped in the middle of a window may have given work that reads it
            halves.release(half)
        halves.in_use = False
