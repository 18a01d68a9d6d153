"""Rows that are read from a file while a network trains on them, and the same rows in memory."""

from __future__ import annotations

import mmap
import os
import threading
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from contenders.with_bpx import network
from data import samples, start_weights

import bpx
from scaling import run

__all__ = ["make", "memory", "per_row", "rate"]

COLUMNS = 784
SIZES, BATCH = (COLUMNS, 100, 10), 200


def make(folder: Path, rows: int, written: bool) -> None:
    """Files of inputs and of random classes; the inputs are normal numbers, or a hole in the file, read as zeros."""
    np.random.default_rng(1).integers(0, 10, rows, dtype=np.int8).tofile(folder / "y.raw")
    block, _ = samples(10_000, COLUMNS, 10, "float32")
    with (folder / "X.raw").open("wb") as file:
        for start in range(0, rows if written else 0, len(block)):
            file.write(block[: rows - start].tobytes())
        file.truncate(rows * COLUMNS * 4)


class Rows:
    """The first rows of such files, mapped."""

    def __init__(self, folder: str, rows: int) -> None:
        self._path = Path(folder) / "X.raw"
        self.X = np.memmap(self._path, np.float32, "r", shape=(rows, COLUMNS))
        self.y = np.memmap(Path(folder) / "y.raw", np.int8, "r", shape=(rows,))

    def forget(self) -> None:
        """Drop the file's pages from this process and from the page cache: reading them again is cold."""
        self.X._mmap.madvise(mmap.MADV_DONTNEED)
        file = os.open(self._path, os.O_RDONLY)
        try:
            os.fsync(file)
            os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(file)


def fit(X: Any, y: Any, epochs: int, before: Any = lambda: None) -> list[float]:
    """Seconds of each epoch of a fit; `before` is called ahead of each, outside of its time."""
    spent: list[float] = []
    start = 0.0

    def ended(_: Any) -> None:
        nonlocal start
        spent.append(perf_counter() - start)
        before()
        start = perf_counter()

    net = network(SIZES, start_weights(SIZES, "float32"), dtype="float32")
    before()
    start = perf_counter()
    bpx.fit(net, X, y, batch_size=BATCH, optimizer=bpx.Adam(1e-3), epochs=epochs, callbacks=[ended])
    return spent


class Peak:
    """The most memory of its own that this process has meanwhile; pages of files are not counted. Linux only."""

    def __init__(self) -> None:
        self.anonymous, self.mapped_too = _status("RssAnon"), 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> Peak:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(0.01):
            self.anonymous = max(self.anonymous, _status("RssAnon"))
            self.mapped_too = max(self.mapped_too, _status("VmRSS"))


def private() -> int:
    """Bytes of this process's own that smaps_rollup counts: anonymous pages, written or not, in memory or swapped."""
    lines = Path("/proc/self/smaps_rollup").read_text(encoding="ascii").splitlines()[1:]
    fields = {line.split(":")[0]: int(line.split()[1]) * 1024 for line in lines}
    return fields["Anonymous"] + fields["Swap"]


def memory(folder: str, rows: int) -> dict[str, Any]:
    """One epoch over all rows: the peak of private memory, and how long it took."""
    data = Rows(folder, rows)
    data.forget()
    before = _status("RssAnon")
    rolled: list[int] = []
    with Peak() as peak:
        start = perf_counter()
        # smaps_rollup walks all mapped pages, gigabytes of them: read once, at the epoch's end
        net = network(SIZES, start_weights(SIZES, "float32"), dtype="float32")
        bpx.fit(net, data.X, data.y, batch_size=BATCH, epochs=1, callbacks=[lambda _: rolled.append(private())])
        seconds = perf_counter() - start
    return {
        "peak": peak.anonymous, "before": before, "at the end, smaps_rollup": rolled[0],
        "with pages of the file": peak.mapped_too, "seconds": seconds, "bytes": data.X.nbytes,
        "bytes per second": data.X.nbytes / seconds, "rows": rows,
    }  # fmt: skip


def rate(folder: str, rows: int, rounds: int) -> dict[str, list[float]]:
    """Seconds per row of an epoch, in turns: rows in memory, streamed from the page cache, and read anew."""
    data = Rows(folder, rows)
    held, y = np.array(data.X), np.array(data.y)
    values: dict[str, list[float]] = {"in memory": [], "stream": [], "stream, cold": []}
    work = {
        "in memory": lambda: fit(held, y, 2),
        "stream": lambda: fit(data.X, data.y, 2),
        "stream, cold": lambda: fit(data.X, data.y, 2, data.forget),
    }
    for number in range(rounds):
        names = list(work)
        for name in names[number % 3 :] + names[: number % 3]:
            values[name].append(work[name]()[1] / rows)  # the first epoch loads kernels, or checks all rows
    return values


def per_row(folder: str, rows: int) -> float:
    """Seconds per row of the second epoch of a stream that is read anew."""
    data = Rows(folder, rows)
    return fit(data.X, data.y, 2, data.forget)[1] / rows


def _status(name: str) -> int:
    """A line of /proc/self/status, in bytes."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))


if __name__ == "__main__":
    run({"memory": memory, "rate": rate, "per_row": per_row})
