"""One operation of the compiled library: done at once, or noted as a row of a recorded step's table.

An operation names the arrays that it reads and writes and what it is shared by among threads, such as
``("rows", 200)``. From that `waits` finds the operations before which all threads have to meet.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any, NamedTuple, final

import numpy as np

from bpx._typing import Array
from bpx.kernels.native import library
from bpx.kernels.recording import launch

__all__ = ["Call", "Unit", "in_phases", "is_plain", "operate", "run", "unit_of"]

# By what an operation is shared: the name of a dimension, and its length.
Unit = tuple[str, int]
ONE: Unit = ("one", 1)


class Access(NamedTuple):
    """The addresses that an operation uses of an array, and whether each thread keeps to its own share of them."""

    # The object that has the memory: accesses of different ones do not touch each other.
    owner: int
    first: int
    stop: int
    written: bool
    own: bool


@final
class Call:
    """An operation with its arrays, which live as long as it does; `work` are multiplications, where there are many."""

    __slots__ = ("arrays", "row", "unit", "whole", "work", "written")

    def __init__(
        self, name: str, dtype: Any, unit: Unit, n: Sequence[int], x: Sequence[float], arrays: Sequence[Array | None],
        written: Sequence[int], whole: Sequence[int], work: int = 0,
    ) -> None:  # fmt: skip
        pointers = [None if a is None else a.__array_interface__["data"][0] for a in arrays]
        function = library.load().function(name, dtype == np.float64)
        self.row = library.Operation(function, 0, tuple(n), tuple(x), tuple(pointers))
        self.arrays, self.unit, self.work, self.written, self.whole = tuple(arrays), unit, work, written, whole

    @property
    def accesses(self) -> list[Access]:
        """What it uses of its arrays."""
        return [
            Access(_owner(a), first, first + _extent(a), i in self.written, i not in self.whole)
            for i, (first, a) in enumerate(zip(self.row.p, self.arrays, strict=False))
            if a is not None
        ]


def _owner(array: Any) -> int:
    """The identity of the object whose memory an array shows."""
    while getattr(array, "base", None) is not None:
        array = array.base
    return id(array)


def _extent(array: Array) -> int:
    """The bytes from an array's first element to the end of its last."""
    if array.flags.c_contiguous:
        return int(array.nbytes)
    return int(array.itemsize + sum((s - 1) * t for s, t in zip(array.shape, array.strides, strict=True)))


def run(call: Call) -> None:
    """Do an operation at once."""
    library.load().call(ctypes.byref(call.row))


def operate(
    name: str, dtype: Any, unit: Unit, n: Sequence[int], arrays: Sequence[Array | None], x: Sequence[float] = (),
    written: Sequence[int] = (), whole: Sequence[int] = (), work: int = 0,
) -> None:  # fmt: skip
    """Do an operation now, or note it for the recorded step.

    Parameters
    ----------
    name : str
        Of the function in the library.
    dtype : dtype
        float32 or float64.
    unit : (str, int)
        What threads share: equal units mean equal shares.
    n : sequence of int
        The row's sizes, strides and flags.
    arrays : sequence of Array or None
        The row's arrays, in its order.
    x : sequence of float
        The row's other numbers.
    written, whole : sequence of int
        Places of the arrays that are written, and of those from which a thread takes more than its own share.
    work : int
        Multiplications, where there may be many.
    """
    launch(run, Call(name, dtype, unit, n, x, arrays, written, whole, work))


def unit_of(networks: int, name: str, size: int) -> Unit:
    """What operations on K networks share: the networks of a stack, else what is named."""
    return ("networks", networks) if networks > 1 else (name, size)


def in_phases(calls: Sequence[Call]) -> list[Call]:
    """The calls in an order with few meetings of all threads; those before which they meet have ``waits`` set.

    Each goes into the first phase that comes after all on which it depends: what writes an address that it uses, or
    uses one that it writes. Within a phase a thread may depend on its own share alone.
    """
    phases: list[int] = []
    reads: dict[int, list[tuple[Access, Unit, int]]] = {}
    writes: dict[int, list[tuple[Access, Unit, int]]] = {}
    for call in calls:
        phase, accesses = 0, call.accesses
        for access in accesses:
            before = [*writes.get(access.owner, ()), *(reads.get(access.owner, ()) if access.written else ())]
            for other, unit, at in before:
                if at >= phase and other.first < access.stop and access.first < other.stop:
                    phase = at if access.own and other.own and unit == call.unit else at + 1
        for access in accesses:
            (writes if access.written else reads).setdefault(access.owner, []).append((access, call.unit, phase))
        phases.append(phase)
    order = sorted(range(len(calls)), key=lambda j: phases[j])
    for before_it, after in zip([order[0], *order], order, strict=False):
        calls[after].row.waits = phases[after] > phases[before_it]
    return [calls[j] for j in order]


def is_plain(*arrays: Any) -> bool:
    """Whether all are NumPy arrays of one dtype, float32 or float64, in one piece and not empty."""
    dtype = arrays[0].dtype
    if dtype.char not in "fd":
        return False
    for a in arrays:  # a loop, because a generator costs more than all that it asks
        if type(a) is not np.ndarray or a.dtype != dtype or not a.flags.c_contiguous or not a.size:
            return False
    return True
