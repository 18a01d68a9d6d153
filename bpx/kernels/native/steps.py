"""Recorded steps as programs: neighbouring operations are one table, which one call runs for many batches and epochs.

Any other call of a recorded step (a user's function, a sum over processes, a product for BLAS) stays a call of Python
between two tables; then a program does one step at a time.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Any, NamedTuple, final

import numpy as np

from bpx.backend.base import Backend
from bpx.kernels.native import library
from bpx.kernels.native.operations import ONE, Call, in_phases, run, unit_of
from bpx.kernels.recording import record

__all__ = ["Recorder"]

# Multiplications of products that one call does at most where a step is slow: tens of milliseconds.
WORK_AT_ONCE = 500_000_000
# Seconds after which a call comes back, so that Ctrl-C acts, and after which the first one does, which is timed.
SLICE, FIRST_SLICE = 0.05, 0.002
# A team of threads is worth its meetings for steps of more than so many seconds.
WORTH_A_TEAM = 10e-6
# A team that was slower is tried again after one call, then two, four, and at most so many: another program may have
# had the other cores for a moment only.
RETRY = 16
NEVER = float("inf")
# A step's shortest time counts less with each call, as the machine may be busier than it was.
FORGET = 1.05


class Numbers(NamedTuple):
    """What a step reads anew each time: the learning rates, how many steps were done, and this one's number from 1."""

    rate: np.ndarray[Any, Any]
    done: np.ndarray[Any, Any]
    number: np.ndarray[Any, Any]


@final
class Table:
    """Operations that one call runs, and how long a step of them takes, alone and by a team.

    Parameters
    ----------
    calls : list of Call
        The operations of a step.
    numbers : Numbers
        What they read anew each time.
    rows : int64 Array of shape (n,) or (K, n), optional
        Where they read the row numbers of a batch.
    """

    def __init__(self, calls: Sequence[Call], numbers: Numbers, rows: np.ndarray[Any, Any] | None = None) -> None:
        self._calls, self._kept, self._in_phases = calls, (numbers, rows), False  # own the arrays
        self.operations = (library.Operation * len(calls))(*(call.row for call in calls))
        self.steps = (library.Step * 1)(self.step(rows, 1))
        self.most = library.threads()
        self._alone = self._team = NEVER
        self._pause, self._left = 1, 0  # calls between two trials of a slower team, and how many are left of them
        self.program = library.Program(ctypes.addressof(self.steps), 1, 1)
        self._address = ctypes.addressof(self.program)
        self._run = library.load().run
        prepare(self.program, numbers, 1 if rows is None else rows.size // rows.shape[-1])

    def step(self, rows: np.ndarray[Any, Any] | None, count: int) -> library.Step:
        """So many steps, as a program has them."""
        size = 0 if rows is None else rows.shape[-1]
        return library.Step(ctypes.addressof(self.operations), len(self.operations), count, address(rows), size)

    @property
    def seconds(self) -> float:
        """How long a step takes; infinity where none was timed yet."""
        return min(self._alone, self._team)

    def prepare_for_a_team(self) -> None:
        """Put the operations into the order in which threads meet seldom."""
        if not self._in_phases:
            self._calls, self._in_phases = in_phases(self._calls), True
            for i, call in enumerate(self._calls):
                self.operations[i] = call.row

    def run(self, program: library.Program, at: int | None = None) -> None:
        """Run a program of these operations, at that address."""
        alone, team = self._alone, self._team
        slower = alone < team < NEVER
        paused = slower and self._left > 0
        program.threads = 1 if alone < WORTH_A_TEAM or alone == NEVER or paused else library.limited(self.most)
        if paused:
            self._left -= 1
        elif slower:
            self._left, self._pause = self._pause, min(2 * self._pause, RETRY)
        else:
            self._left, self._pause = 0, 1
        if program.threads > 1:
            self.prepare_for_a_team()
        program.seconds = FIRST_SLICE if alone == NEVER else SLICE
        began = perf_counter()
        self._run(ctypes.addressof(program) if at is None else at)
        steps = program.steps_done
        if steps:
            taken = (perf_counter() - began) / steps
            if program.parts > 1:
                self._team = min(taken, team * FORGET)
            else:
                self._alone = min(taken, alone * FORGET)

    def once(self) -> None:
        """Do one step with the numbers as they are."""
        self.run(self.program, self._address)


def prepare(program: library.Program, numbers: Numbers, networks: int) -> None:
    """Say where a program finds what a step reads."""
    program.rate, program.done, program.number = (address(a) for a in numbers)
    program.rate_count, program.networks = numbers.rate.size, networks


@final
class Recorded:
    """A step for batches of one size."""

    def __init__(self, calls: Sequence[Any], rows: np.ndarray[Any, Any] | None, numbers: Numbers) -> None:
        self.rows, self._numbers, self.done = rows, numbers, 0
        self._parts: list[Table | tuple[Callable[..., Any], tuple[Any, ...]]] = []
        group: list[Call] = []
        alone = are_operations(calls) and sum(args[0].work for _, args in calls) <= WORK_AT_ONCE
        work = 0
        for function, args in [*calls, (None, ())]:
            if function is run and (alone or work + args[0].work <= WORK_AT_ONCE or not group):
                group.append(args[0])
                work += args[0].work
                continue
            if group:
                self._parts.append(Table(group, numbers, rows if alone else None))
                group, work = [], 0
            if function is run:
                group, work = [args[0]], args[0].work
            elif function is not None:
                self._parts.append((function, args))
        only = self._parts[0]
        # Its only table, where there is nothing else.
        self.table = only if alone and isinstance(only, Table) else None
        self._given: Any = None
        self._rates = numbers.rate.reshape(-1)

    def __call__(self, batch: Any, rate: Any, done: int, rates: np.ndarray[Any, Any] | None = None) -> None:
        """Do up to ``batch.count`` steps after `done` others; `self.done` is how many were done.

        `rate` is that of all of them, where there are no `rates` (steps, 1 or K).
        """
        self.done = 0
        if self.table is None:
            self._one(batch, rate, done)
            self.done = 1
            return
        program, order = self.table.program, None
        program.steps_done = 0
        if rates is not None:
            program.rates, program.rate_stride, self._given = address(rates), rates.shape[-1], None
        elif rate is not self._given:  # most rates stay for many steps
            self._given, self._rates = rate, np.array(rate, dtype=np.float64).reshape(-1)
            program.rates, program.rate_stride = address(self._rates), 0
        if self.rows is not None:
            order = np.ascontiguousarray(batch.rows if batch.order is None else batch.order)
            program.order = address(order) + batch.start * order.itemsize
            program.samples = order.shape[-1]
        self.table.steps[0].steps = batch.count
        program.first = done
        try:
            self.table.once()
        finally:  # Ctrl-C is raised when the call comes back
            self.done = int(program.steps_done)

    def _one(self, batch: Any, rate: Any, done: int) -> None:
        """A step with calls of Python between its tables."""
        numbers = self._numbers
        if self.rows is not None:
            self.rows[...] = batch.rows
        numbers.rate[...], numbers.done[...], numbers.number[...] = rate, done, done + 1
        for part in self._parts:
            if isinstance(part, Table):
                part.program.first, part.program.rates = done, part.program.rate
                part.once()
            else:
                part[0](*part[1])


def address(array: np.ndarray[Any, Any] | None) -> Any:
    """Where an array's numbers begin; None for None."""
    return None if array is None else array.__array_interface__["data"][0]


@final
class Epochs:
    """Whole epochs, one after the other in one call; each ends with its loss and a copy of its parameters.

    Parameters
    ----------
    steps : list of (Recorded, int)
        An epoch's steps: a recording, and how many of its size follow one another.
    total, weights : Array of shape () or (K,)
        The sums of an epoch; `weights` is None where `rows` divides the total.
    flat, proven, latest : Array of shape (p,) or (K, p)
        The parameters, those after the last epoch but one, and after the last one, see `bpx.training.divergence`.
    rows : int
        The samples of an epoch.
    """

    def __init__(
        self, steps: Sequence[tuple[Recorded, int]], numbers: Numbers, total: Any, weights: Any, flat: Any, rows: int
    ) -> None:
        tables = [(recorded.table, recorded.rows, count) for recorded, count in steps if recorded.table is not None]
        self._numbers, self._arrays, self._rows = numbers, (total, weights, flat), rows
        self._table = max((table for table, _, _ in tables), key=lambda table: table.seconds)
        self._steps = (library.Step * len(tables))(*(table.step(of_batch, count) for table, of_batch, count in tables))
        self._kept = tables
        for table, _, _ in tables:
            if table.most > 1:
                table.prepare_for_a_team()
        self.begin(0)

    @property
    def seconds(self) -> float:
        """About how long an epoch takes."""
        return sum(table.seconds * count for table, _, count in self._kept)

    def begin(self, epochs: int) -> None:
        """Prepare a call for so many epochs, of which none is done yet."""
        total, _, _ = self._arrays
        self._losses = np.empty((epochs, *total.shape))
        self._counts = np.zeros(2, dtype=np.int64)  # epochs, and whether it stopped
        self._program = library.Program(ctypes.addressof(self._steps), len(self._steps), epochs)

    @property
    def losses(self) -> np.ndarray[Any, Any]:
        """The losses of the epochs that were done, (epochs,) or (epochs, K)."""
        return self._losses[: self._counts[0]]

    @property
    def done(self) -> int:
        """The steps that were done."""
        return int(self._program.steps_done)

    @property
    def finite(self) -> bool:
        """Whether the losses and parameters of all epochs were finite."""
        return not self._counts[1]

    def __call__(self, order: np.ndarray[Any, Any] | None, rate: Any, done: int, proven: Any, latest: Any) -> None:
        """Do the epochs after `done` steps, up to the first whose loss or parameters are not `finite`.

        `order` is (epochs, n) or (epochs, K, n), the rows of all of them; None where a step takes every row.
        """
        total, weights, flat = self._arrays
        arrays = total, weights, flat, proven, latest, self._losses, self._counts, self._counts[1:]
        n = max(total.size, 1), flat.shape[-1]
        end = Call("end_epoch", flat.dtype, ONE, n, (float(self._rows),), arrays, (), ()).row
        program = self._program
        prepare(program, self._numbers, 1 if order is None else order[0].size // order.shape[-1])
        if order is not None:
            program.order, program.samples = address(order), order.shape[-1]
        rates = np.array(rate, dtype=np.float64).reshape(-1)
        program.rates, program.first = address(rates), done
        program.end, program.stop = ctypes.addressof(end), address(self._counts[1:])
        self._table.run(program)


@final
class Forward:
    """A forward pass of so many rows as one call.

    Parameters
    ----------
    calls : list
        The recorded pass, operations only.
    x, first : Array of shape (n, n_in), (..., n, n_1)
        The array that stands for the rows, and what the first layer's product is written into.
    out : Array of shape (..., n, n_out)
        Where the outputs are written.
    """

    def __init__(self, calls: Sequence[Any], x: Any, first: Any, out: Any) -> None:
        self._out = out
        self._sums = np.empty(first.shape[:-1])
        made = [args[0] for _, args in calls]
        networks, (rows, k) = math.prod(first.shape[:-2]), first.shape[-2:]
        unit, n = unit_of(networks, "rows", rows), (networks, rows, k)
        check = Call("zero_sums", first.dtype, unit, n, (), (first, self._sums), (1,), ())
        made.insert(1 + next(i for i, call in enumerate(made) if call.arrays[2] is first), check)
        self._numbers = Numbers(np.zeros(1), np.zeros((), dtype=np.int64), np.zeros(()))
        self._table = Table(made, self._numbers)
        self._table.program.rates = self._table.program.rate
        if self._table.most > 1:  # which moves the operations
            self._table.prepare_for_a_team()
        at = address(x)
        rows = self._table.operations
        self._slots = [(row, place) for row in rows for place, pointer in enumerate(row.p) if pointer == at]

    def __call__(self, x: Any) -> Any | None:
        """The outputs for a contiguous `x`; None where a sample, or what it gives, is not finite."""
        at = address(x)
        for row, place in self._slots:
            row.p[place] = at
        self._table.once()
        return self._out.copy() if math.isfinite(np.add.reduce(self._sums, axis=None)) else None


def are_operations(calls: Sequence[Any]) -> bool:
    """Whether recorded calls are operations of the library alone."""
    return all(function is run for function, _ in calls)


@final
class Recorder:
    """Records steps; see `bpx.kernels.numpy_in_place.steps.Recorder`, which has the same methods.

    Its recordings do many steps in one call.
    """

    does_many = True

    def __init__(self, backend: Backend, drops: bool) -> None:
        self._numbers: dict[Any, Numbers] = {}

    def key(self, batch: Any) -> Any:
        """What more than its size, source and first row a batch must share with another to be the same recording."""
        return None

    def record(self, step: Callable[..., Any], batch: Any, rate: Any) -> Recorded | None:
        """A step for batches of one size; None where something in it cannot be recorded."""
        rows = None if batch.rows is None else np.array(batch.rows, order="C")
        shape = np.shape(rate)
        if shape not in self._numbers:
            done, number = np.zeros((), dtype=np.int64), np.zeros((), dtype=np.float64)
            self._numbers[shape] = Numbers(np.array(rate, dtype=np.float64), done, number)
        numbers = self._numbers[shape]
        replay = record(step, batch.with_rows(rows), *numbers)
        return None if replay is None else Recorded(replay.calls, rows, numbers)

    def epochs(
        self, steps: Sequence[tuple[Any, int]], rate: Any, total: Any, weights: Any, flat: Any, rows: int
    ) -> Epochs | None:
        """Epochs of recorded steps, for the arguments of `Epochs`; None where a step is more than one table."""
        if any(recorded is None or recorded.table is None for recorded, _ in steps):
            return None
        return Epochs(steps, self._numbers[np.shape(rate)], total, weights, flat, rows)
