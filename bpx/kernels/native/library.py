"""The compiled library: where it is, which instruction set of it runs, and with how many threads."""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, final

from bpx.errors.values import check_count

__all__ = ["Library", "NoLibraryError", "Operation", "Program", "Step", "limited", "load", "thread_limit", "threads"]


class NoLibraryError(Exception):
    """There is no compiled library that can be used here; the message says why.

    It is `unexpected` where there is one.
    """

    def __init__(self, reason: str, unexpected: bool = True) -> None:
        super().__init__(reason)
        self.unexpected = unexpected


class Operation(ctypes.Structure):
    """A row of a program's table; c/operation.h has the same structure."""

    _fields_ = (
        ("run", ctypes.c_void_p),
        ("waits", ctypes.c_int64),
        ("n", ctypes.c_int64 * 13),
        ("x", ctypes.c_double * 6),
        ("p", ctypes.c_void_p * 11),
    )


class Step(ctypes.Structure):
    """A step for batches of one size; c/program.c has the same structure."""

    _fields_ = (
        ("operations", ctypes.c_void_p),
        ("count", ctypes.c_int64),
        ("steps", ctypes.c_int64),
        ("rows", ctypes.c_void_p),
        ("size", ctypes.c_int64),
    )


class Program(ctypes.Structure):
    """What one call of the library runs; c/program.c has the same structure."""

    _fields_ = (
        ("steps", ctypes.c_void_p),
        ("sizes", ctypes.c_int64),
        ("epochs", ctypes.c_int64),
        ("order", ctypes.c_void_p),
        ("networks", ctypes.c_int64),
        ("samples", ctypes.c_int64),
        ("rate", ctypes.c_void_p),
        ("done", ctypes.c_void_p),
        ("number", ctypes.c_void_p),
        ("rates", ctypes.c_void_p),
        ("rate_count", ctypes.c_int64),
        ("rate_stride", ctypes.c_int64),
        ("first", ctypes.c_int64),
        ("end", ctypes.c_void_p),
        ("stop", ctypes.c_void_p),
        ("seconds", ctypes.c_double),
        ("threads", ctypes.c_int64),
        ("steps_done", ctypes.c_int64),
        ("epochs_done", ctypes.c_int64),
        ("parts", ctypes.c_int64),
    )


@final
class Library:
    """The library, with one of its instruction sets; it is never unloaded, because threads of it may sleep in it."""

    def __init__(self, path: str, instructions: str | None) -> None:
        library = ctypes.CDLL(path)
        library.bpx_version.restype = library.bpx_instructions.restype = ctypes.c_char_p
        library.bpx_instructions.argtypes = [ctypes.c_int64]
        library.bpx_function.restype = ctypes.c_void_p
        library.bpx_function.argtypes = [ctypes.c_char_p, ctypes.c_int64, ctypes.c_char_p]
        library.bpx_run.restype = library.bpx_call.restype = None
        library.bpx_run.argtypes = library.bpx_call.argtypes = [ctypes.c_void_p]
        self.run, self.call = library.bpx_run, library.bpx_call
        self.version = library.bpx_version().decode()
        self.available = [name.decode() for name in iter_until_none(library.bpx_instructions)]
        if instructions is not None and instructions not in self.available:
            raise ValueError(
                f"BPX_INSTRUCTIONS: expected one of {', '.join(self.available)}, which this processor has, got"
                f" {instructions!r}"
            )
        self.instructions = instructions or self.available[0]
        self._library = library
        self._functions: dict[tuple[str, bool], int] = {}

    def function(self, name: str, is_double: bool) -> int:
        """The address of an operation's function for float64 or float32."""
        found = self._functions.get((name, is_double))
        if found is None:
            found = self._library.bpx_function(self.instructions.encode(), is_double, name.encode())
            if found is None:
                raise KeyError(f"the compiled library has no operation {name!r}")
            self._functions[name, is_double] = found
        return found


def iter_until_none(function: Any) -> Iterator[Any]:
    """``function(0)``, ``function(1)`` ... up to the first None."""
    i = 0
    while (value := function(i)) is not None:
        yield value
        i += 1


def _refuse_cut_short(path: str) -> None:
    """OSError for an ELF file without its end, whose use would kill the process."""
    with open(path, "rb") as file:
        head = file.read(64)
    if head[:5] == b"\x7fELF\x02" and len(head) == 64:  # of 64 bits; the table of sections comes last
        (begin,), (size, count) = struct.unpack_from("<Q", head, 40), struct.unpack_from("<HH", head, 58)
        if begin + size * count > os.path.getsize(path):
            raise OSError("its file is cut short; python -m bpx.kernels.native.build writes it anew")


@cache
def load() -> Library:
    """The library.

    Raises
    ------
    NoLibraryError
        Where it was not compiled, cannot be loaded, or is of other sources.
    ValueError
        If ``BPX_INSTRUCTIONS`` is not one of the instruction sets that it has for this processor.
    """
    from bpx.kernels.native import build  # here, so that python -m runs it as a module that nobody has imported

    path = build.library_path()
    if not os.path.exists(path):
        remedy = "python -m bpx.kernels.native.build does it"
        raise NoLibraryError(f"it was not compiled when bpx was installed; {remedy}", unexpected=False)
    try:
        _refuse_cut_short(path)
        library = Library(path, os.environ.get("BPX_INSTRUCTIONS") or None)
        wanted = build.sources_hash()
    except (OSError, AttributeError) as error:
        raise NoLibraryError(str(error)) from error
    if library.version != wanted:
        raise NoLibraryError("it was compiled from other sources; python -m bpx.kernels.native.build compiles these")
    return library


_limits: list[int] = []


def threads() -> int:
    """How many threads a program may have: BPX_THREADS, OMP_NUM_THREADS, else the cores that the process may use.

    Raises
    ------
    ValueError
        If ``BPX_THREADS`` is not a number from 1.
    """
    given = os.environ.get("BPX_THREADS")
    if given:
        if not given.isdecimal() or int(given) < 1:
            raise ValueError(f"BPX_THREADS: expected a number of threads from 1, got {given!r}")
        return int(given)
    others = os.environ.get("OMP_NUM_THREADS", "")
    if others.isdecimal() and int(others) >= 1:
        return int(others)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def limited(most: int) -> int:
    """`most`, or less inside of `thread_limit`."""
    return min(most, *_limits) if _limits else most


@contextmanager
def thread_limit(threads: int) -> Iterator[None]:
    """A block in which the compiled kernels have at most so many threads; results do not depend on how many.

    Outside of it they may have those of ``BPX_THREADS`` or ``OMP_NUM_THREADS`` in the environment, else the cores that
    the process may use; steps of less than about 10 microseconds have one. NumPy's BLAS has threads of its own.

    Parameters
    ----------
    threads : int
        From 1; a smaller limit around this one stays. It holds for all Python threads of the process.

    Yields
    ------
    None
        The limit ends with the block.

    Raises
    ------
    TypeError, ValueError
        If it is not a whole number from 1.
    """
    most = check_count("threads", threads)
    _limits.append(most)
    try:
        yield
    finally:
        _limits.remove(most)
