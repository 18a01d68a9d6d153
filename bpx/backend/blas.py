"""OpenBLAS's threads: products that they would not make faster are kept from them.

NumPy's wheels bring OpenBLAS, which gives a product to all of its threads once it has some 500 000 multiplications.
Where another program has a processor, each such product waits for a thread that does not run: a tenth of a second in
place of 50 microseconds. The number of threads is the process's: it is 1 while small products are computed, and what it
was before as soon as the last thread of bpx leaves. Other BLAS libraries are left as they are.
"""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, final

import numpy as np

__all__ = ["ALONE", "SMALL", "threads_for"]

# Multiplications up to which OpenBLAS itself takes one thread.
ALONE = 2**18
# And up to which one thread is taken here: 50 microseconds in float32, of which two threads save at most a third.
SMALL = 2**21


class _Library(NamedTuple):
    """OpenBLAS's own functions."""

    get: Callable[[], int]
    set: Callable[[int], Any]


@cache
def _library() -> _Library | None:
    """The OpenBLAS of NumPy's wheel, which is loaded already; None where there is another BLAS."""
    package = Path(np.__file__).parent
    for folder in (package.parent / "numpy.libs", package / ".dylibs"):
        for path in sorted(folder.glob("*openblas*")):
            try:
                loaded = ctypes.CDLL(str(path))
            except OSError:
                continue
            for prefix in ("scipy_openblas", "openblas"):
                for suffix in ("64_", ""):
                    get = getattr(loaded, f"{prefix}_get_num_threads{suffix}", None)
                    put = getattr(loaded, f"{prefix}_set_num_threads{suffix}", None)
                    if get is not None and put is not None:
                        get.restype, put.argtypes, put.restype = ctypes.c_int, [ctypes.c_int], None
                        return _Library(get, put)
    return None


_lock = threading.Lock()
_inside, _before = 0, 1  # contexts that are entered now, and the number of threads before the first of them


@final
class _OneThread(AbstractContextManager[None]):
    """Products in here take one thread, in all threads of the process."""

    def __init__(self, library: _Library) -> None:
        self._library = library

    def __enter__(self) -> None:
        global _inside, _before
        with _lock:
            if _inside == 0:
                _before = self._library.get()
                if _before > 1:
                    self._library.set(1)
            _inside += 1

    def __exit__(self, *error: object) -> None:
        global _inside
        with _lock:
            _inside -= 1
            if _inside == 0 and _before > 1 and self._library.get() == 1:  # else somebody has set it since
                self._library.set(_before)


def threads_for(multiplications: int, small: int = SMALL) -> AbstractContextManager[None]:
    """A context for products of so many multiplications at most: in one thread up to `small`."""
    if not ALONE < multiplications <= small:
        return nullcontext()
    library = _library()
    return nullcontext() if library is None else _OneThread(library)


def _anew() -> None:
    """A child that was forked while another thread was inside will never see it leave."""
    global _lock, _inside
    _lock = threading.Lock()
    if _inside and _before > 1 and (library := _library()) is not None:
        library.set(_before)
    _inside = 0


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_anew)
