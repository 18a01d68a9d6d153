"""What training takes its steps from: data, their batches and what gives these, for arrays and streams alike."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Generator, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from bpx._typing import Array
from bpx.errors.values import check_count


class Data(NamedTuple):
    """Checked samples, where the network is: X (n, n_in), y (n, n_out) or (n,), weight (n, 1), (K, n, 1) or None."""

    X: Array
    y: Array
    weight: Array | None = None

    @property
    def n(self) -> int:
        """How many samples."""
        return int(self.X.shape[-2])


class Batch(NamedTuple):
    """The rows of one step that this process computes."""

    # Which of the feed's sources they are in.
    source: int
    # Their numbers on the host and on the device: (n,), (K, n) for each network's own, or None for all in their order.
    rows: np.ndarray[Any, Any] | None
    on_device: Array | None
    n: int
    # Where they begin in the whole batch, of which other processes may have the rest.
    first: int = 0
    # The numbers of many batches one after the other, (m,) or (K, m), in a contiguous array that is kept on the device;
    # where this batch's begin in it.
    order: Array | None = None
    start: int = 0


class Sharding(Protocol):
    """What feeds ask of processes that train together, seen from process number `rank`."""

    rank: int

    def share(self, n: int) -> slice:
        """Which of n rows are this process's."""

    def end_stream(self) -> None:
        """Say that no batch is left here."""


class Feed(ABC):
    """Gives training its batches.

    Attributes
    ----------
    sources : sequence of Data
        What batches index; a source keeps its arrays, whatever is in them.
    data : Data, or an object whose ``parts()`` gives them one after the other
        All samples.
    plan : dict
        What must be the same where a run goes on in another process, as plain values.
    state : object
        Plain data from which the coming epochs are drawn; set it to draw them again.
    """

    # What batches index; a source keeps its arrays, whatever is in them.
    sources: Sequence[Data]
    # All samples: Data, or a stream in its order.
    data: Any
    # What must be the same where a run goes on in another process, as plain values.
    plan: dict[str, Any]
    # Plain data from which the coming epochs are drawn; set it to draw them again.
    state: Any = None

    def fingerprint(self) -> dict[str, list[float]]:
        """A fingerprint of a stream's rows; empty where these cannot be read in any order, or `data` are arrays."""
        return {}

    @abstractmethod
    def epoch(self, number: int, first: int = 0) -> Generator[Batch, None, None]:
        """One epoch's batches (epochs are numbered from 0) without the `first` ones, which have been visited."""


def check_batch_size(batch_size: int | None, n: int) -> int:
    """Samples per step: a positive integer, held to n; None is all of them."""
    if batch_size is None:
        return n
    return min(check_count("batch_size", batch_size, otherwise=", or None for the full batch"), n)


def fingerprint(rows: np.ndarray[Any, Any]) -> list[float]:
    """A short fingerprint of sampled rows that changes when the data change: of each row the sum of x_j cos(j)."""
    flat = rows.astype(np.float64).reshape(len(rows), -1)
    with np.errstate(all="ignore"):
        numbers: list[float] = (flat @ np.cos(np.arange(1, flat.shape[1] + 1))).tolist()
    return numbers
