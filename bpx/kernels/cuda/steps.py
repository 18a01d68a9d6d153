"""Recorded steps on CuPy: captured once as a CUDA graph, and then one launch each.

What changes between steps lies on the device, where a step's own last kernel moves it on; the host writes it only when
it is to be something else, as at an epoch's beginning. A step that runs Python code again each time (a user's own
activation or loss), or whose products cannot be captured, is launched kernel by kernel.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, final

import numpy as np

from bpx._typing import Array
from bpx.backend.base import Backend
from bpx.backend.cupy_backend import ALONE
from bpx.errors import Log
from bpx.kernels.cuda.compiling import cover, enqueue
from bpx.kernels.recording import Replay, record

__all__ = ["Graph", "Recorder"]

logger = Log("bpx.kernels")

_local = threading.local()


@final
class Recorder:
    """Records steps; arguments and methods as of `numpy_in_place.steps.Recorder`.

    All recordings of a run share what they read, so that they can take turns.
    """

    does_many = False

    def __init__(self, backend: Backend, drops: bool) -> None:
        xp = backend.xp
        self._xp = xp
        self._start, self._done = xp.zeros((), dtype=xp.int64), xp.zeros((), dtype=xp.int64)
        self._number = xp.ones((), dtype=xp.float64)
        self._rates: dict[tuple[int, ...], Array] = {}
        self._rate: Any = None  # the one written last
        # What the host has written to the device.
        self._at = self._count = 0

    def key(self, batch: Any) -> Any:
        """A recording reads its rows from one array of row numbers."""
        return None if batch.order is None else (batch.order.data.ptr, batch.order.shape)

    def record(self, step: Callable[..., Any], batch: Any, rate: Any) -> Recorded | None:
        """A step for batches of one size and order."""
        rows = None if batch.rows is None else self._xp.empty(batch.rows.shape, dtype=np.int64)
        shape = np.shape(rate)
        if shape not in self._rates:
            self._rates[shape] = self._xp.empty(shape, dtype=rate.dtype if shape else np.float64)

        def work() -> None:
            if rows is not None and batch.order is not None:
                self._launch_rows(batch.order, rows)
            step(batch.with_rows(rows), self._rates[shape], self._done, self._number)
            enqueue("steps.cu", "float32", "advance", (1,), self._start, self._done, self._number, batch.n)

        replay = record(work)
        if replay is None:
            return None
        return Recorded(self, Graph(replay), rows)

    def _launch_rows(self, order: Array, rows: Array) -> None:
        """The coming batch's row numbers out of an epoch's."""
        n, networks = rows.shape[-1], rows.size // rows.shape[-1]
        enqueue(
            "steps.cu", "float32", "batch_rows", cover(n, networks=networks),
            order, order.shape[-1], self._start, rows, n, networks,
        )  # fmt: skip

    def write(self, batch: Any, rate: Any, done: int) -> None:
        """What the coming step reads, where the device does not have it already."""
        if batch.order is not None and self._at != batch.start:
            self._start.fill(batch.start)
            self._at = batch.start
        if self._count != done:
            self._done.fill(done)
            self._number.fill(done + 1)
            self._count = done
        if rate is not self._rate:
            where = self._rates[np.shape(rate)]
            if where.ndim:
                where[...] = rate
            else:
                where.fill(rate)
            self._rate = rate

    def moved(self, n: int) -> None:
        """A step has moved its own numbers on."""
        self._at += n
        self._count += 1


@final
class Recorded:
    """A recorded step, for batches of one size and order; as `numpy_in_place.steps.Recorded`."""

    def __init__(self, recorder: Recorder, graph: Graph, rows: Array | None) -> None:
        self._recorder, self._graph, self._rows, self.done = recorder, graph, rows, 0

    def __call__(self, batch: Any, rate: Any, done: int, rates: Any = None) -> None:
        """Do the first of the batch's steps, after `done` others."""
        self.done = 0
        self._recorder.write(batch, rate, done)
        if self._rows is not None and batch.order is None:
            self._rows[...] = batch.on_device
        self._graph()
        self._recorder.moved(batch.n)
        self.done = 1


@final
class Graph:
    """Recorded work, launched as one CUDA graph from its second run on.

    The first run is launched kernel by kernel, which compiles what is not compiled yet; a batch that does not come
    again costs no capture.

    Parameters
    ----------
    replay : Replay
        Its arrays are kept, and so is their memory.
    """

    def __init__(self, replay: Replay) -> None:
        self._replay = replay
        self._launch: Callable[[], None] | None = None
        self._pool: Any = None
        self._runs = 0
        self._capturable = not replay.runs_users_code

    def __call__(self) -> None:
        """Do the work, on the current stream."""
        if self._launch is None and self._runs == 1 and self._capturable:
            self._launch = self._capture()
        self._runs += 1
        (self._launch or self._replay)()

    def _capture(self) -> Callable[[], None] | None:
        """The graph's launch; None where something in it cannot be captured."""
        import cupy

        stream = _capture_stream()
        self._pool = cupy.cuda.MemoryPool()  # what is allocated meanwhile belongs to the graph
        try:
            with ALONE, stream, cupy.cuda.using_allocator(self._pool.malloc):
                stream.begin_capture()
                try:
                    self._replay()
                except BaseException:
                    _abandon(stream)
                    raise
                graph = stream.end_capture()
        except MemoryError:
            raise
        except Exception as error:  # CUDA's and cuBLAS's have no class in common; the work is still to be done
            logger.info("a step is launched kernel by kernel, because it cannot be captured: %s", error)
            return None
        launch: Callable[[], None] = graph.launch
        return launch


def _abandon(stream: Any) -> None:
    """End a capture that failed."""
    with suppress(RuntimeError):  # CUDA says once more that it failed
        stream.end_capture()


def _capture_stream() -> Any:
    """The stream for captures of a thread and device; work may not be captured on the default one."""
    import cupy

    streams = _local.__dict__.setdefault("streams", {})
    device = cupy.cuda.runtime.getDevice()
    if device not in streams:
        streams[device] = cupy.cuda.Stream(non_blocking=True)
    return streams[device]
