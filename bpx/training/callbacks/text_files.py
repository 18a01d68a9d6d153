"""Logs of epochs as text files: CSV for spreadsheets and pandas, JSON lines for programs."""

from __future__ import annotations

import json
import os
from abc import abstractmethod
from typing import final

from bpx._formatting import to_json
from bpx.errors.hints import explained
from bpx.files import atomic
from bpx.training.callbacks.epoch_logger import EpochLogger, figures, series
from bpx.training.run import Run

__all__ = ["CSVLogger", "JSONLinesLogger"]


class _TextFile(EpochLogger):
    """A file to which each line is written at once, so that a process that is killed leaves whole lines."""

    def __init__(self, path: str | os.PathLike[str], append: bool = False) -> None:
        self.path, self.append = os.fspath(path), append

    @abstractmethod
    def _epoch_of(self, line: str) -> int | None:
        """The epoch of a line; None if the line is none of this kind of log."""

    def _header(self, run: Run) -> str:
        """The first line; empty for none."""
        return ""

    def _begins(self, line: str, run: Run, goes_on: bool) -> bool:
        """Whether `line` is the first one of such a log; if the run `goes_on` in it, with the same columns."""
        return self._epoch_of(line) is not None

    def _open(self, run: Run) -> None:
        if not os.path.isdir(os.path.dirname(os.path.abspath(self.path))) or os.path.isdir(self.path):
            raise FileNotFoundError(
                f"{type(self).__name__}: expected a file in a folder that exists, got {self.path!r}"
            )
        end = self._kept(run)
        self._file = open(self.path, "ab", buffering=0)  # noqa: SIM115 - closed when training ends
        self._file.truncate(end)
        if end == 0 and self._header(run):
            self._file.write((self._header(run) + "\n").encode())

    def _kept(self, run: Run) -> int:
        """How many bytes of the file to keep: the lines of epochs up to the one that the run is resumed from."""
        try:
            with open(self.path, encoding="utf-8", errors="replace", newline="") as file:
                *lines, rest = file.read().split("\n")  # the rest is an incomplete line
        except FileNotFoundError:
            return 0
        goes_on = self.append or run.epoch > 0
        first = lines[0] if lines else rest
        if (lines or rest) and not (lines and self._begins(first, run, goes_on)):
            raise ValueError(
                f"{type(self).__name__}: expected {self.path!r} to be a log of a run like this one, or not to be there,"
                f" got a file that begins with {first.rstrip()!r:.80}; give another path"
            )
        if not goes_on:
            return 0
        while run.epoch > 0 and len(lines) > bool(self._header(run)):
            epoch = self._epoch_of(lines[-1])
            if epoch is not None and epoch <= run.epoch:
                break
            lines.pop()
        return sum(len(line.encode()) + 1 for line in lines)

    def _line(self, text: str) -> None:
        """Write a line; OSError if the disk is full."""
        line = (text + "\n").encode()
        if self._file.write(line) != len(line):
            raise OSError(f"{self.path}: no room for a line")

    def _close(self, ended: str) -> None:
        self._file.close()


@final
@explained("bpx.callbacks.CSVLogger")
class CSVLogger(_TextFile):
    """Writes each epoch as a row of a CSV file: epoch, step, loss, val_loss, learning_rate, metrics, seconds.

    Each network of a stack has its own columns (``loss_0``, ``loss_1``, ...). A row is on disk when its epoch has
    ended. When a callback records a new column (`Run.record`), the file is rewritten with it; cells of epochs without a
    value stay empty.

    Parameters
    ----------
    path : str or path-like
        In a folder that exists. An earlier log is overwritten, a file of another kind never. A run resumed from a
        checkpoint continues below the row of its last epoch.
    append : bool
        Whether a new run also writes below the existing rows.

    Examples
    --------
    >>> import bpx, pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp(), "log.csv")
    >>> _ = bpx.fit(bpx.MLP([1, 2], backend="numpy"), [[0.0], [1.0]], [0, 1], epochs=3,
    ...             callbacks=[bpx.callbacks.CSVLogger(path)])
    >>> [line.split(",")[:2] for line in path.read_text().splitlines()]
    [['epoch', 'step'], ['1', '1'], ['2', '2'], ['3', '3']]
    """

    _names: list[str]

    def _header(self, run: Run) -> str:
        always = ["loss", *(["val_loss"] if run.validates else []), *(["learning_rate"] if run.batch_size else [])]
        names = [c for name in [*always, *run.history.metrics] for c in _columns(name, run.net.stack)]
        return ",".join(["epoch", "step", *names, "seconds"])

    def _begins(self, line: str, run: Run, goes_on: bool) -> bool:
        if not goes_on:
            return line.startswith("epoch,step,loss")
        there, mine = line.split(","), self._header(run).split(",")
        # Further columns were recorded by callbacks of the earlier run.
        others = [name for name in there if name not in mine]
        fixed = {c for name in ("loss", "val_loss", "learning_rate") for c in _columns(name, run.net.stack)}
        return [name for name in there if name in mine] == mine and not fixed & set(others) and there[-1] == "seconds"

    def _open(self, run: Run) -> None:
        super()._open(run)
        with open(self.path, encoding="utf-8", newline="") as file:
            self._names = file.readline().rstrip("\n").split(",")

    def _epoch_of(self, line: str) -> int | None:
        first = line.split(",", 1)[0]
        return int(first) if first.isascii() and first.isdigit() else None

    def _write(self, run: Run) -> None:
        row = {"epoch": run.epoch, "step": run.step} | series(run, "_")
        new = [name for name in row if name not in self._names]
        if new:
            self._add(new)
        self._line(",".join(repr(row[name]) if name in row else "" for name in self._names))

    def _add(self, new: list[str]) -> None:
        """Rewrite the file with new, empty columns before the last one."""
        with open(self.path, encoding="utf-8", newline="") as file:
            header, *rows = file.read().splitlines()
        parts = [line.rpartition(",") for line in (header, *rows)]
        cells = [",".join(new), *["," * (len(new) - 1)] * len(rows)]
        text = "".join(f"{a},{cell},{z}\n" for (a, _, z), cell in zip(parts, cells, strict=True))
        self._file.close()
        atomic.write(self.path, text.encode())
        self._file = open(self.path, "ab", buffering=0)  # noqa: SIM115 - closed when training ends
        self._names[-1:] = [*new, self._names[-1]]


def _columns(name: str, K: int | None) -> list[str]:
    """A value's column, or its K columns for a stack."""
    return [name] if K is None else [f"{name}_{k}" for k in range(K)]


@final
@explained("bpx.callbacks.JSONLinesLogger")
class JSONLinesLogger(_TextFile):
    """Writes each epoch as a line of JSON: epoch, step, loss, val_loss, learning_rate, metrics, seconds.

    The numbers of a stack are lists. A line is on disk when its epoch has ended. NaN and infinity are null.

    Parameters
    ----------
    path : str or path-like
        In a folder that exists. An earlier log is overwritten, a file of another kind never. A run resumed from a
        checkpoint continues below the line of its last epoch.
    append : bool
        Whether a new run also writes below the existing lines.
    """

    def _epoch_of(self, line: str) -> int | None:
        try:
            row = json.loads(line)
        except ValueError:
            return None
        epoch = row.get("epoch") if isinstance(row, dict) and "loss" in row else None
        return epoch if isinstance(epoch, int) else None

    def _write(self, run: Run) -> None:
        self._line(json.dumps(to_json(figures(run))))
