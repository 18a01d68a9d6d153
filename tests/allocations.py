"""Makes NumPy's allocations fail on purpose: every array's memory is asked of a handler of ours (NEP 49)."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

_MALLOC = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)
_CALLOC = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_size_t)
_REALLOC = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)
_FREE = ctypes.PYFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)


class _Allocator(ctypes.Structure):
    _fields_ = (
        ("context", ctypes.c_void_p),
        ("malloc", _MALLOC),
        ("calloc", _CALLOC),
        ("realloc", _REALLOC),
        ("free", _FREE),
    )


class _Handler(ctypes.Structure):
    _fields_ = (("name", ctypes.c_char * 127), ("version", ctypes.c_uint8), ("allocator", _Allocator))


class Planted:
    """Counts allocations; the one of number `fails_at` (from 1), and those larger than `largest` bytes, fail.

    Single numbers do not count: NumPy does not check everywhere that it got memory for one, and would crash.
    """

    def __init__(self) -> None:
        self.count = 0
        self.fails_at: int | None = None
        self.largest: int | None = None
        self.failed = 0

    def refuses(self, size: int) -> bool:
        if size <= 8:
            return False
        self.count += 1
        refused = self.count == self.fails_at or (self.largest is not None and size > self.largest)
        self.failed += refused
        return refused


_active: list[Planted] = []


def _refused(size: int) -> bool:
    return bool(_active) and _active[-1].refuses(size)


def _function(index: int, *argument_types: Any) -> Any:
    """A function of NumPy's C interface, from its table."""
    pointer = ctypes.pythonapi.PyCapsule_GetPointer
    pointer.restype, pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    table = ctypes.cast(pointer(np._core._multiarray_umath._ARRAY_API, None), ctypes.POINTER(ctypes.c_void_p))
    return ctypes.PYFUNCTYPE(ctypes.py_object, *argument_types)(table[index])


def _default() -> _Allocator:
    """NumPy's own allocator."""
    pointer = ctypes.pythonapi.PyCapsule_GetPointer
    return _Handler.from_address(pointer(_get_handler(), b"mem_handler")).allocator


# PyDataMem_SetHandler and PyDataMem_GetHandler.
_set_handler, _get_handler = _function(304, ctypes.py_object), _function(305)
_own = _default()


@_MALLOC
def _malloc(context: Any, size: int) -> Any:
    return None if _refused(size) else _own.malloc(context, size)


@_CALLOC
def _calloc(context: Any, count: int, size: int) -> Any:
    return None if _refused(count * size) else _own.calloc(context, count, size)


@_REALLOC
def _realloc(context: Any, pointer: Any, size: int) -> Any:
    return None if _refused(size) else _own.realloc(context, pointer, size)


# Kept for ever: an array gives its memory back through the handler that it came from. That is done by NumPy's function
# and not by one in Python, which could not be called while an error is on its way.
_handler = _Handler(b"planted_allocator", 1, _Allocator(None, _malloc, _calloc, _realloc, _own.free))


def _capsule() -> Any:
    """The handler as NumPy takes it."""
    new = ctypes.pythonapi.PyCapsule_New
    new.restype, new.argtypes = ctypes.py_object, [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
    return new(ctypes.addressof(_handler), b"mem_handler", None)


@contextmanager
def planted() -> Iterator[Planted]:
    """NumPy's memory comes through `Planted` in this thread."""
    before = _set_handler(_capsule())
    assert np._core.multiarray.get_handler_name() == "planted_allocator"
    plan = Planted()
    _active.append(plan)
    try:
        yield plan
    finally:
        _active.remove(plan)
        _set_handler(before)
