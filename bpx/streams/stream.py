"""`bpx.stream`: what is read, and how much memory reading may take."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, final

import numpy as np

from bpx.errors.values import check_count
from bpx.errors.wrong_calls import named
from bpx.network.data_frames import check_in_memory, is_frame
from bpx.streams.sources import ArrayRows, Batches, RowSource

BUFFER = 2**28

# Libraries whose arrays and data sets are read in pieces.
_READ_IN_PIECES = ("zarr", "dask", "h5py", "pyarrow")


@final
class Stream:
    """Rows that are read while a network trains or predicts; made by `bpx.stream`.

    Parameters
    ----------
    source : RowSource or Batches
        Where rows come from.
    buffer : int
        Bytes that they may take in memory.
    block : int or None
        Rows that stay together when a memory map is shuffled.
    sharded : bool
        Whether every process of a data-parallel run gives batches of its own.
    """

    def __init__(self, source: RowSource | Batches, buffer: int, block: int | None, sharded: bool) -> None:
        self.source, self.buffer, self.block, self.sharded = source, buffer, block, sharded

    def __repr__(self) -> str:
        return f"<bpx stream of {self.source.name}, buffer {self.buffer / 2**20:.6g} MB>"


@named("bpx.stream")
def stream(
    X: Any,
    y: Any = None,
    sample_weight: Any = None,
    *,
    columns: Sequence[str] | None = None,
    buffer: int = BUFFER,
    block: int | None = None,
    sharded: bool = False,
) -> Stream:
    """Data that need not fit into memory, for `bpx.fit`, its `validation`, and `bpx.predict`.

    Parameters
    ----------
    X : array-like of shape (n, n_in), Parquet data set, or iterable of batches
        ``numpy.memmap``, zarr, dask or HDF5 arrays, or whatever has ``shape`` and slices to rows; a
        ``pyarrow.dataset.Dataset`` or the path of Parquet files (extra ``stream``); or an object that gives batches
        (X, y) or (X, y, sample_weight) each time it is iterated over, such as a list or PyTorch's DataLoader.
    y : array-like of shape (n,) or (n, n_out), or str or list of str for Parquet
        Targets, or the columns that hold them; None for an iterable, and where only inputs are wanted.
    sample_weight : array-like of shape (n,), or str for Parquet, optional
        Weights, or the column that holds them.
    columns : list of str, optional
        The inputs among a Parquet data set's columns, in the network's order; None: all others in their order.
    buffer : int
        Bytes of memory for rows that have been read: two windows of 7/16 each, and the block that is being read.
    block : int, optional
        Rows of an array on disk that stay together when their order is shuffled; None: about a megabyte. Arrays in
        chunks and Parquet files are read by chunks and row groups.
    sharded : bool
        In a data-parallel run (``comm="mpi"``): whether each process's iterable has only its own rows. All must then
        give the same number of batches.

    Returns
    -------
    Stream
        What `bpx.fit` and `bpx.predict` read from.

    Raises
    ------
    TypeError, ValueError, ShapeError
        If that cannot be read in this way; the message says what was expected.

    Notes
    -----
    Shuffling has two levels: each epoch reads the blocks in a new order, and the rows within a window of the buffer are
    shuffled by strata, so that each batch draws from the whole window. Rows of an iterable come in its own order,
    shuffled within a window. ``sampling="sequential"`` shuffles nothing. A run resumes exactly where an iterable gives
    the same batches again: a DataLoader with ``shuffle=True`` does not. What fits into the buffer is read once and
    then trained on like arrays.

    Examples
    --------
    >>> import numpy as np
    >>> import bpx
    >>> batches = [(np.zeros((3, 2)), np.zeros(3)), (np.ones((3, 2)), np.ones(3))]
    >>> bpx.stream(batches)
    <bpx stream of batches of list, buffer 256 MB>
    """
    buffer = check_count("buffer", buffer)
    block = None if block is None else check_count("block", block)
    if isinstance(X, Stream):
        raise TypeError("X: expected data to read, got a stream; give it to bpx.fit or bpx.predict as it is")
    for name, part in (("X", X), ("y", y), ("sample_weight", sample_weight)):
        check_in_memory(part, name)
    source = _source(X, y, sample_weight, columns)
    if sharded and not isinstance(source, Batches):
        raise ValueError("sharded: expected an iterable of batches; rows of arrays and files are split by bpx itself")
    return Stream(source, buffer, block, bool(sharded))


def _source(X: Any, y: Any, weight: Any, columns: Any) -> RowSource | Batches:
    """What reads X."""
    if isinstance(X, Batches):
        return X
    if isinstance(X, (str, os.PathLike)) or (_library(X) == "pyarrow" and not is_frame(X)):
        from bpx.streams.parquet import ParquetRows

        return ParquetRows(X, y, weight, columns)
    if columns is not None:
        raise ValueError("columns: expected a Parquet data set, whose columns have names")
    if hasattr(X, "shape") and hasattr(X, "__getitem__"):
        return ArrayRows(X, y, weight)
    if y is not None or weight is not None:
        raise TypeError(
            f"y: expected None, as an iterable's batches hold their targets and weights, got {type(y).__name__}; for"
            f" one array X give an array, not {type(X).__name__}"
        )
    return Batches(X)


def is_stream(X: Any, y: Any) -> bool:
    """Whether data given to `bpx.fit` are read in pieces and not as arrays."""
    if isinstance(X, (Stream, np.memmap, str, os.PathLike)) or (_library(X) in _READ_IN_PIECES and not is_frame(X)):
        return True
    return y is None and not hasattr(X, "__array__") and not isinstance(X, bytes)


def _library(x: Any) -> str:
    """Name of the package that an object's class comes from."""
    return type(x).__module__.partition(".")[0]
