"""From a stream to the feed that training uses, to its rows in order, or to arrays if it fits into memory."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import numpy as np

from bpx.formulas.losses import Loss
from bpx.network.mlp import MLP
from bpx.streams.budget import bytes_of, bytes_per_row, peek
from bpx.streams.data import Sharding
from bpx.streams.iterables import BatchFeed
from bpx.streams.random_access import RowFeed
from bpx.streams.row_sources import Part, RowSource
from bpx.streams.row_validation import RowValidator
from bpx.streams.sequential import SequentialRows
from bpx.streams.stream import Stream


def read_if_it_fits(stream: Stream, net: MLP, loss: Loss) -> Part | None:
    """All rows (X, y, sample weights), if they fit into the buffer as they are read and once more as checked ones."""
    source = stream.source
    if not isinstance(source, RowSource):
        return None
    part, data = peek(source, RowValidator(net, loss))
    if source.n * (bytes_of(part) + bytes_per_row(data, net.dtype)) > stream.buffer:
        return None
    edges = source.edges if source.edges is not None else np.array([0, source.n])
    parts = [source.read(int(a), int(b)) for a, b in pairwise(edges)]
    source.forget()
    X, y, weight = (
        column[0] if column[0] is None or len(column) == 1 else np.concatenate(column)
        for column in zip(*parts, strict=True)
    )
    return X, y, weight


def feed_of_stream(
    net: MLP, stream: Stream, loss: Loss, class_weight: Mapping[int, float] | None, batch_size: int | None,
    sampling: str, seed: int, ranks: Sharding | None,
) -> RowFeed | BatchFeed:  # fmt: skip
    """The feed of a stream; arguments as of `bpx.fit`."""
    kind = RowFeed if isinstance(stream.source, RowSource) else BatchFeed
    return kind(net, stream, RowValidator(net, loss, class_weight), batch_size, sampling, seed, ranks)


def in_order(stream: Stream, net: MLP, loss: Loss | None, ranks: Sharding | None = None) -> SequentialRows:
    """All rows of a stream in order, or this rank's share of them, with a new buffer."""
    return SequentialRows(stream, net, RowValidator(net, loss), ranks=ranks)
