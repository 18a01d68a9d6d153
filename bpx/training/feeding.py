"""From the data that a user gives to what training takes: arrays gated at once, streams read as it goes on."""

from __future__ import annotations

from typing import Any

from bpx.formulas.losses import Loss
from bpx.network.mlp import MLP
from bpx.training.batches import ArrayFeed, Data, Feed, Sampler, check_batch_size
from bpx.training.gate import gate, gate_validation
from bpx.training.parallel import Ranks
from bpx.training.streams.stream import Stream, is_stream, stream

__all__ = ["feed_of", "held_out_of"]


def feed_of(
    net: MLP, X: Any, y: Any, loss: Loss, sample_weight: Any, class_weight: Any, batch_size: int | None, sampling: str,
    seed: int, ranks: Ranks | None,
) -> tuple[Feed, int]:  # fmt: skip
    """The data as batches, and how many rows a batch has (0: as they come)."""
    if is_stream(X, y):
        from bpx.training.streams.feed import feed_of_stream, fits, read_whole

        given = X if isinstance(X, Stream) else stream(X, y, sample_weight)
        if isinstance(X, Stream) and (y is not None or sample_weight is not None):
            raise TypeError("y, sample_weight: expected None, as the stream has its own; give them to bpx.stream")
        if not fits(given, net, loss):
            if sampling == "replacement":
                raise ValueError("sampling: expected 'shuffle' or 'sequential' for a stream, got 'replacement'")
            if isinstance(class_weight, str):
                raise ValueError("class_weight: expected a dict for a stream, whose classes are not counted before"
                                 f" training, got {class_weight!r}")  # fmt: skip
            found = feed_of_stream(net, given, loss, class_weight, batch_size, sampling, seed, ranks)
            return found, found.size
        X, y, sample_weight = read_whole(given)
    if y is None:
        raise TypeError("y: expected targets, got None; only a stream of batches (X, y) has its own")
    data = gate(net, X, y, loss, sample_weight, class_weight)
    size = check_batch_size(batch_size, data.X.shape[0])
    return ArrayFeed(net.backend, data, size, Sampler(sampling, data.X.shape[0], size, seed), ranks), size


def held_out_of(net: MLP, validation: Any, loss: Loss, ranks: Ranks | None) -> Any:
    """Validation data, or this rank's share of them."""
    pair = isinstance(validation, (tuple, list)) and len(validation) in (2, 3)
    if isinstance(validation, Stream) or (pair and is_stream(validation[0], validation[1])):
        from bpx.training.streams.feed import in_order

        return in_order(validation if isinstance(validation, Stream) else stream(*validation), net, loss, ranks)
    data = gate_validation(net, validation, loss)
    if ranks is None:
        return data
    own = ranks.share(data.X.shape[0])
    return Data(data.X[own, ...], data.y[own, ...], None if data.weight is None else data.weight[..., own, :])
