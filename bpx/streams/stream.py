"""`bpx.stream`: data that are read during training, and the memory that they may take."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, final

import numpy as np

from bpx.errors.hints import named
from bpx.errors.values import check_count
from bpx.network.data_frames import check_in_memory, is_frame, package_of
from bpx.streams.row_sources import ArrayRows, BatchSource, RowSource

BUFFER = 2**28

# Libraries whose arrays and data sets are read in pieces during training.
_READ_IN_PIECES = ("zarr", "dask", "h5py", "pyarrow")


@final
class Stream:
    """Rows that are read while a network is trained or predicts; made by `bpx.stream`.

    Parameters
    ----------
    source : RowSource or BatchSource
        Where rows come from.
    buffer : int
        Bytes that they may take in memory.
    block : int or None
        Rows that stay together when a memory map is shuffled.
    sharded : bool
        Whether every process of a data-parallel run gives batches of its own.
    """

    def __init__(self, source: RowSource | BatchSource, buffer: int, block: int | None, sharded: bool) -> None:
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
        ``numpy.memmap``, zarr, dask or HDF5 arrays, or any object with ``shape`` whose slices are rows; a
        ``pyarrow.dataset.Dataset`` or the path of Parquet files (extra ``stream``); or an object that yields batches
        (X, y) or (X, y, sample_weight) each time it is iterated over, such as a list or PyTorch's DataLoader.
    y : array-like of shape (n,) or (n, n_out), or str or list of str for Parquet
        Targets, or the names of their columns; None for an iterable, and for `bpx.predict`.
    sample_weight : array-like of shape (n,), or str for Parquet, optional
        Weights, or the name of their column.
    columns : list of str, optional
        The input columns of a Parquet data set, in the network's order; None: all other columns, as stored.
    buffer : int
        Bytes of memory for rows that have been read: 7/16 for each of two windows, the rest for the block being read.
    block : int, optional
        Number of consecutive rows of an array on disk that stay together when rows are shuffled; None: about a
        megabyte. Chunked arrays and Parquet files are read by chunks and row groups instead.
    sharded : bool
        In a data-parallel run (``comm="mpi"``): whether the iterable of each process has only rows of its own. All
        then need the same number of batches.

    Returns
    -------
    Stream
        For `bpx.fit` and `bpx.predict`.

    Raises
    ------
    TypeError, ValueError, ShapeError
        If the data cannot be read in this way; the message says what was expected.

    Notes
    -----
    Shuffling has two levels: each epoch reads the blocks in a new order, and the rows within a window of the buffer are
    shuffled by strata, so that each batch is drawn from the whole window. Rows of an iterable keep its order, except
    that they are shuffled within a window. ``sampling="sequential"`` shuffles nothing. A run with an iterable resumes
    exactly if the iterable yields the same batches again, which a DataLoader with ``shuffle=True`` does not. Data that
    fit into the buffer are read once, and then trained on like arrays.

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
    if sharded and not isinstance(source, BatchSource):
        raise ValueError("sharded: expected an iterable of batches; rows of arrays and files are split by bpx itself")
    return Stream(source, buffer, block, bool(sharded))


def _source(X: Any, y: Any, weight: Any, columns: Any) -> RowSource | BatchSource:
    """The source that reads X."""
    if isinstance(X, BatchSource):
        return X
    if isinstance(X, (str, os.PathLike)) or (package_of(X) == "pyarrow" and not is_frame(X)):
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
    return BatchSource(X)


def is_stream(X: Any, y: Any) -> bool:
    """Whether `bpx.fit` reads these data in pieces, and not as arrays."""
    if isinstance(X, (Stream, np.memmap, str, os.PathLike)) or (package_of(X) in _READ_IN_PIECES and not is_frame(X)):
        return True
    return y is None and not hasattr(X, "__array__") and not isinstance(X, bytes)
