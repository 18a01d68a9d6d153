"""A run's data: arrays are checked and moved to the network's device at once, streams are read during training."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from bpx.errors import ShapeError
from bpx.formulas.losses import Loss
from bpx.network import validation as checks
from bpx.network.class_weight import class_weights
from bpx.network.memory import Attempt, explaining, rows_of
from bpx.network.mlp import MLP
from bpx.streams.data import Data, Feed, check_batch_size
from bpx.streams.stream import Stream, is_stream, stream
from bpx.training.array_feed import ArrayFeed, Order, Sampler, SparseRows, slice_rows, take_rows
from bpx.training.distributed import Ranks
from bpx.training.hold_out import classes_of, held_out


class TrainingData(NamedTuple):
    """A run's data, checked."""

    feed: Feed
    # Rows per batch; 0 for a stream of batches that are taken as they come.
    size: int
    # This rank's share of the validation data: Data, a stream in its order, or None.
    validation: Any
    # The training data with sample weights but without class weights; None for a stream.
    unweighted: Data | None
    # Targets of the training and validation data that are in memory, of all ranks.
    targets: list[Any]
    # Host indices of the rows that validation=0.2 held out.
    held_out: Any = None
    # Validation and training data whose targets are not in memory.
    streams: Sequence[Stream] = ()


def check_data(net: MLP, X: Any, y: Any, loss: Loss, sample_weight: Any = None, suffix: str = "") -> Data:
    """Check data and move them to the network's device; `suffix` is "_val" in messages about validation data."""
    backend, dtype, n_out = net.backend, net.backend.dtype(net.dtype), net.sizes[-1]
    remedy = "read them while training goes on, with bpx.stream(X, y)"
    with backend.scope(), explaining(net, Attempt("in bringing the data to the network", rows_of(X), _bytes,
                                                  remedies=[remedy])):  # fmt: skip
        single = False
        if hasattr(X, "tocsr"):
            x: Any = _sparse(net, X, f"X{suffix}")
        else:
            x, single = checks.inputs(backend, dtype, X, net.sizes[0], name=f"X{suffix}")
        t = checks.targets(backend, dtype, y, x.shape[0], n_out, loss, single=single, name=f"y{suffix}")
        return Data(x, t, checks.sample_weights(backend, dtype, sample_weight, x.shape[0], net.stack))


def _bytes(net: MLP, rows: int) -> int:
    """Bytes that `rows` samples take on the network's device, without weights."""
    return rows * (net.sizes[0] + net.sizes[-1]) * np.dtype(net.dtype).itemsize


def _sparse(net: MLP, X: Any, name: str) -> SparseRows:
    """A SciPy sparse matrix, checked but not made dense."""
    if X.ndim != 2 or X.shape[1] != net.sizes[0] or X.shape[0] == 0:
        raise ShapeError(
            f"{name}: expected a sparse matrix of shape (samples, {net.sizes[0]}) with at least one sample, got"
            f" {tuple(X.shape)}"
        )
    entries = X.tocsr().data
    if entries.dtype.kind not in "biuf":
        raise TypeError(f"{name}: expected real numbers, got dtype {entries.dtype}")
    checks.check_finite(net.backend, np.asarray(entries), f"{name} (stored entries)")
    return SparseRows(net.backend, X, net.backend.dtype(net.dtype))


def check_validation(net: MLP, validation: Any, loss: Loss) -> Data:
    """`check_data` of validation data, (X_val, y_val) or (X_val, y_val, sample_weight)."""
    if not isinstance(validation, (tuple, list)) or len(validation) not in (2, 3):
        got = f"{type(validation).__name__}{f' of {len(validation)}' if isinstance(validation, (tuple, list)) else ''}"
        raise TypeError(f"validation: expected (X_val, y_val) or (X_val, y_val, sample_weight), got a {got}")
    X, y, weight = (*validation, None)[:3]
    return check_data(net, X, y, loss, weight, suffix="_val")


def training_data(
    net: MLP, X: Any, y: Any, loss: Loss, sample_weight: Any, class_weight: Any, batch_size: int | None, sampling: str,
    seed: int, ranks: Ranks | None, validation: Any, order: Callable[[], Order] | None = None,
) -> TrainingData:  # fmt: skip
    """The data of a run, checked; arguments as those of `bpx.training.assemble`."""
    share = _share(validation)
    if not isinstance(X, Data) and is_stream(X, y):
        from bpx.streams.feed import feed_of_stream, read_if_it_fits

        source = X if isinstance(X, Stream) else stream(X, y, sample_weight)
        if isinstance(X, Stream) and (y is not None or sample_weight is not None):
            raise TypeError("y, sample_weight: expected None, as the stream has its own; give them to bpx.stream")
        if share is not None:
            raise ValueError(
                f"validation: a share ({share}) is drawn from arrays in memory, and X is a stream; give (X_val, y_val)"
                " or a stream of its own"
            )
        whole = read_if_it_fits(source, net, loss)
        if whole is None:
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
        X, y, sample_weight = whole
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
    """`validation` as a share of the rows to hold out; None if it is data."""
    if isinstance(validation, (bool, np.bool_)) or not isinstance(validation, (int, float, np.integer, np.floating)):
        return None
    if not 0.0 < validation < 1.0:
        raise ValueError(
            f"validation: expected a share of the rows in (0, 1), such as 0.2, or (X_val, y_val), got {validation}"
        )
    return float(validation)


def _taken(net: MLP, data: Data, rows: Any) -> Data:
    """`take_rows`; refuses rows whose weights are all zero."""
    xp, part = net.backend.xp, take_rows(net.backend, data, rows)
    if part.weight is not None and float(xp.min(xp.sum(part.weight, axis=-2))) <= 0.0:
        raise ValueError(
            "sample_weight: all rows that validation= holds out, or all that it leaves, have weight zero; give another"
            " share, or (X_val, y_val)"
        )
    return part


def _class_weighted(net: MLP, data: Data, class_weight: Mapping[int, float] | str) -> Data:
    """The data, each row's weight multiplied by the weight of its class."""
    xp = net.backend.xp
    factor = net.asarray(class_weights(net.backend.to_host(data.y), class_weight, net.sizes[-1]))
    weight = factor if data.weight is None else data.weight * factor
    if float(xp.min(xp.sum(weight, axis=-2))) <= 0.0:
        raise ValueError("class_weight: with sample_weight, every sample would have weight zero")
    return data._replace(weight=weight)


def _validation(net: MLP, validation: Any, loss: Loss, ranks: Ranks | None) -> Any:
    """The validation data, checked: all rows of arrays, and this rank's share of a stream."""
    if validation is None or isinstance(validation, Data):
        return validation
    for streamed in _streamed(validation):
        from bpx.streams.feed import in_order

        return in_order(streamed, net, loss, ranks)
    return check_validation(net, validation, loss)


def _streamed(validation: Any) -> list[Stream]:
    """The validation data as a stream, or an empty list if they are arrays."""
    pair = isinstance(validation, (tuple, list)) and len(validation) in (2, 3) and not isinstance(validation, Data)
    if isinstance(validation, Stream):
        return [validation]
    return [stream(*validation)] if pair and is_stream(validation[0], validation[1]) else []


def _share_of(data: Any, ranks: Ranks | None) -> Any:
    """The validation data that this rank measures; a stream reads its share itself."""
    if ranks is None or not isinstance(data, Data):
        return data
    return slice_rows(data, ranks.share(data.X.shape[0]))
