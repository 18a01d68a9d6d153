"""From the data that a user gives to what training takes: arrays checked at once, streams read as it goes on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from bpx.formulas.losses import Loss
from bpx.network.class_weight import class_weights
from bpx.network.mlp import MLP
from bpx.streams.batches import Data, Feed, check_batch_size
from bpx.streams.stream import Stream, is_stream, stream
from bpx.training.batches import ArrayFeed, Order, Sampler, SparseRows, some_rows
from bpx.training.distributed import Ranks
from bpx.training.hold_out import classes_of, held_out
from bpx.training.validation import check_data, check_validation


class TrainingData(NamedTuple):
    """A run's data, checked."""

    feed: Feed
    # Rows of a batch; 0: as they come.
    size: int
    # This rank's share: Data, a stream in its order, or None.
    validation: Any
    # What is trained on, with sample weights and without class weights; None for a stream.
    unweighted: Data | None
    # Of training and validation, those in memory, of all ranks.
    targets: list[Any]
    # The rows that a share of them holds out, on the host.
    held_out: Any = None
    # Of validation and training, those whose targets are not in memory.
    streams: Sequence[Stream] = ()


def training_data(
    net: MLP, X: Any, y: Any, loss: Loss, sample_weight: Any, class_weight: Any, batch_size: int | None, sampling: str,
    seed: int, ranks: Ranks | None, validation: Any, order: Callable[[], Order] | None = None,
) -> TrainingData:  # fmt: skip
    """The data of a run, checked; arguments as those of `bpx.training.assemble`."""
    share = _share(validation)
    if not isinstance(X, Data) and is_stream(X, y):
        from bpx.streams.feed import feed_of_stream, fits, read_whole

        source = X if isinstance(X, Stream) else stream(X, y, sample_weight)
        if isinstance(X, Stream) and (y is not None or sample_weight is not None):
            raise TypeError("y, sample_weight: expected None, as the stream has its own; give them to bpx.stream")
        if share is not None:
            raise ValueError(
                f"validation: a share ({share}) is drawn from arrays in memory, and X is a stream; give (X_val, y_val)"
                " or a stream of its own"
            )
        if not fits(source, net, loss):
            if sampling == "replacement":
                raise ValueError("sampling: expected 'shuffle' or 'sequential' for a stream, got 'replacement'")
            if isinstance(class_weight, str):
                raise ValueError("class_weight: expected a dict for a stream, whose classes are not counted before"
                                 f" training, got {class_weight!r}")  # fmt: skip
            read = feed_of_stream(net, source, loss, class_weight, batch_size, sampling, seed, ranks)
            judging = _validation(net, validation, loss, ranks)
            known = [judging.y] if isinstance(judging, Data) else []
            streams = [*_streamed(validation), source]
            return TrainingData(read, read.size, _share_of(judging, ranks), None, known, streams=streams)
        X, y, sample_weight = read_whole(source)
    if y is None and not isinstance(X, Data):
        raise TypeError("y: expected targets, got None; only a stream of batches (X, y) has its own")
    if share is not None and sampling == "sequential":
        raise ValueError(
            f"validation: a share ({share}) is drawn at random, and sampling='sequential' says that the order matters;"
            " give (X_val, y_val), such as the last rows"
        )
    data, rows = X if isinstance(X, Data) else check_data(net, X, y, loss, sample_weight), None
    if share is None:
        judging = _validation(net, validation, loss, ranks)
    else:
        n = data.X.shape[0]
        kept, rows = held_out(n, share, seed, classes_of(net.backend.to_host(data.y), loss))
        data, judging = _taken(net, data, kept), _taken(net, data, rows)
    trained = data if class_weight is None else _class_weighted(net, data, class_weight)
    size = check_batch_size(batch_size, data.X.shape[0])
    feed = ArrayFeed(net.backend, trained, size, order or Sampler(sampling, data.X.shape[0], size, seed), ranks)
    targets = [part.y for part in (data, judging) if isinstance(part, Data)]
    return TrainingData(feed, size, _share_of(judging, ranks), data, targets, rows, _streamed(validation))


def _share(validation: Any) -> float | None:
    """The share of the rows that `validation` means; None for data."""
    if isinstance(validation, (bool, np.bool_)) or not isinstance(validation, (int, float, np.integer, np.floating)):
        return None
    if not 0.0 < validation < 1.0:
        raise ValueError(
            f"validation: expected a share of the rows in (0, 1), such as 0.2, or (X_val, y_val), got {validation}"
        )
    return float(validation)


def _taken(net: MLP, data: Data, rows: Any) -> Data:
    """Copies of some rows, of which sparse ones stay sparse."""
    xp, index = net.backend.xp, net.backend.asarray(rows)
    X = data.X.some(rows) if isinstance(data.X, SparseRows) else xp.take(data.X, index, axis=0)
    weight = None if data.weight is None else xp.take(data.weight, index, axis=-2)
    if weight is not None and float(xp.min(xp.sum(weight, axis=-2))) <= 0.0:
        raise ValueError(
            "sample_weight: all rows that validation= holds out, or all that it leaves, have weight zero; give another"
            " share, or (X_val, y_val)"
        )
    return Data(X, xp.take(data.y, index, axis=0), weight)


def _class_weighted(net: MLP, data: Data, class_weight: Mapping[int, float] | str) -> Data:
    """The data, with the weight of each row's class in its own."""
    xp = net.backend.xp
    factor = net.asarray(class_weights(net.backend.to_host(data.y), class_weight, net.sizes[-1]))
    weight = factor if data.weight is None else data.weight * factor
    if float(xp.min(xp.sum(weight, axis=-2))) <= 0.0:
        raise ValueError("class_weight: with sample_weight, every sample would have weight zero")
    return data._replace(weight=weight)


def _validation(net: MLP, validation: Any, loss: Loss, ranks: Ranks | None) -> Any:
    """Validation data of all ranks, or of a stream this rank's share."""
    if validation is None or isinstance(validation, Data):
        return validation
    for streamed in _streamed(validation):
        from bpx.streams.feed import in_order

        return in_order(streamed, net, loss, ranks)
    return check_validation(net, validation, loss)


def _streamed(validation: Any) -> list[Stream]:
    """Validation data that are a stream, and nothing for others."""
    pair = isinstance(validation, (tuple, list)) and len(validation) in (2, 3) and not isinstance(validation, Data)
    if isinstance(validation, Stream):
        return [validation]
    return [stream(*validation)] if pair and is_stream(validation[0], validation[1]) else []


def _share_of(data: Any, ranks: Ranks | None) -> Any:
    """Of validation data, what this rank measures."""
    if ranks is None or not isinstance(data, Data):
        return data
    return some_rows(data, ranks.share(data.X.shape[0]))
