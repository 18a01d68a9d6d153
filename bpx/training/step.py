"""One training step: gather, forward, loss, backward, update; recorded once per batch size where kernels allow it."""

from __future__ import annotations

from contextlib import nullcontext
from copy import copy
from functools import partial
from typing import Any, final

import numpy as np

from bpx._typing import Array, Namespace, State
from bpx.formulas import linear, updates
from bpx.formulas.dropout import fold
from bpx.formulas.optimizers import Optimizer
from bpx.formulas.precision import HALVES
from bpx.kernels import select
from bpx.kernels.recording import NotRecordableError, is_recording
from bpx.network.mixed_precision import MixedPrecision
from bpx.network.objective import DropoutKey, Objective
from bpx.streams.data import Batch, Data
from bpx.training.array_feed import SparseRows
from bpx.training.distributed import Ranks
from bpx.training.run_config import RunConfig

# Most recordings that are kept; further batch sizes, as a stream may have, are computed without one.
RECORDINGS = 16


@final
class Step:
    """Makes the steps of a training run; updates the network, the optimizer's `state` and float16's `scaling`.

    The objective is copied, and the copy computes with kernels where there are any. `total` and `weights`, of shape
    (...), are sums since `reset` of the losses times the batches' weights, and of these weights.
    """

    def __init__(
        self, config: RunConfig, objective: Objective, optimizer: Optimizer, state: State,
        scaling: State | None = None, ranks: Ranks | None = None,
    ) -> None:  # fmt: skip
        net, precision, sources = config.net, config.precision, config.feed.sources
        objective = copy(objective)
        self._mixed = MixedPrecision(net, precision, scaling) if precision in HALVES else None
        kernels = select.for_backend(net.backend, net.dtype if self._mixed is None else self._mixed.name)
        objective.use(kernels, self._mixed)
        # TF32 loses nothing with 16-bit operands, which it can hold.
        self._products = (
            nullcontext if precision is None
            else partial(net.backend.matmul_precision, tf32=True, process=not kernels.records)
        )  # fmt: skip
        self.state = state
        if kernels.records:
            sources = [_contiguous(net.backend.xp, data) for data in sources]
        if ranks is not None:
            objective.combine_by(ranks.combine, ranks.grad)
        self._net, self._objective, self._sources, self._optimizer = net, objective, sources, optimizer
        self._ranks = ranks
        self._xp = net.backend.xp
        self._linear, self._equations = kernels.module(linear), kernels.module(updates)
        self._drops, self._run_seed = any(net.dropout), fold(config.seed)
        self._by_rows = config.by_rows or sources[0].weight is None
        self._records = kernels.records
        # On a device, ranks exchange messages through the host in every step, which cannot be recorded.
        waits = ranks is not None and net.backend.xp is not np
        self._recorder = None if waits else kernels.recorder(net.backend, self._drops)
        self._recorded: dict[Any, Any] = {}
        # How many steps the last call has done.
        self.done = 0
        self.total, self.weights, self._rows_done = self._zeros(), self._zeros(), 0

    def _zeros(self) -> Array:
        """Zeros of shape () or (K,), in float64 on the device."""
        return self._xp.zeros(self._net.flat.shape[:-1], dtype=self._xp.float64, device=self._net.flat.device)

    def reset(self, sums: State | None = None) -> None:
        """Begin the sums of a new epoch, or continue from `sums`."""
        if self._records:  # recorded steps write into these arrays
            self.total[...] = 0.0
            self.weights[...] = 0.0
        else:
            self.total, self.weights = self._zeros(), self._zeros()
        self._rows_done = 0
        if sums is not None:
            self.total += sums["total"]
            self.weights += sums["weights"]
            self._rows_done = sums["rows"]

    @property
    def sums(self) -> State:
        """The sums since `reset`, for its argument."""
        return {"total": self.total, "weights": self.weights, "rows": self._rows_done}

    def release(self) -> None:
        """Free the recorded steps and the last step's arrays."""
        self._recorded.clear()
        self._objective.caches = []

    def mean(self) -> Array:
        """Mean loss of the steps since `reset`, on the device."""
        if self._by_rows:
            return self.total / self._rows_done
        # With sampling="replacement" all samples of an epoch may have weight 0.
        return self.total / self._xp.where(self.weights > 0.0, self.weights, self._xp.ones_like(self.weights))

    @property
    def does_many(self) -> bool:
        """Whether a call may do several steps."""
        return self._recorder is not None and self._recorder.does_many

    def __call__(self, batch: Batch, rate: Any, done: int, rates: np.ndarray[Any, Any] | None = None) -> None:
        """One or more of the ``batch.count`` updates, after `done` updates; see `done`.

        The learning rate, a float or Array of shape (K, 1), is that of all of them, but for `rates`, a host array of
        shape (batch.count, 1 or K).
        """
        self.done = 0
        recorder, recorded = self._recorder, None
        if recorder is not None and batch.n > 0:
            # A schedule's float may become K rates, in the middle of a run.
            key = batch.source, batch.n, batch.first, isinstance(rate, float), recorder.key(batch)
            if key not in self._recorded:
                state = self.state
                full = len(self._recorded) >= RECORDINGS
                self._recorded[key] = None if full else recorder.record(self._compute, batch, rate)
                self.state = state
            recorded = self._recorded[key]
        if recorded is None:
            self._compute(batch, rate, done)
            self.done = 1
        else:
            try:
                recorded(batch, rate, done, rates)
            finally:  # Ctrl-C may have come while it did them
                self.done = recorded.done
                self.state["step"] = done + self.done
        self._rows_done += self.done * (batch.n if self._ranks is None else self._ranks.rows)

    def epochs(self, size: int, rate: Any) -> Any:
        """What does whole epochs of batches of `size` rows in one call, once each size has done a step; else None."""
        n = self._sources[0].X.shape[-2]
        if self._recorder is None or not self._recorder.does_many:
            return None
        counts = [(rows, count) for rows, count in ((size, n // size), (n % size, 1)) if rows and count]
        keys = [(0, rows, 0, isinstance(rate, float), None) for rows, _ in counts]
        steps = [(self._recorded.get(key), count) for key, (_, count) in zip(keys, counts, strict=True)]
        weights = None if self._by_rows else self.weights
        return self._recorder.epochs(steps, rate, self.total, weights, self._net.flat, n)

    def _compute(self, batch: Batch, rate: Any, done: Any, number: Any = None) -> None:
        """The step itself; `number` is its number from 1, in an array that a recorded step reads."""
        net, xp = self._net, self._xp
        X, y, weight = self._gather(batch)
        key = DropoutKey(self._run_seed, done, batch.first) if self._drops else None
        with self._products():
            loss, grads = self._objective.value_and_grad(X, y, weight, key)
        if self._ranks is not None:
            counted = self._ranks.weight
        else:
            counted = X.shape[-2] if self._by_rows else self._linear.weight_sum(xp, weight)
        weights = self.weights
        if not self._by_rows:
            weights = self._linear.accumulate(xp, weights, counted, 1)
        total = self._linear.accumulate(xp, self.total, loss, counted)
        # The update is last, and allocates before it writes: if memory runs out, no parameter has changed.
        if self._mixed is None:
            params, self.state = self._optimizer.update(grads, self.state, net.flat, rate, xp, self._equations, number)
        else:
            params, self.state = self._mixed.update(self._optimizer, grads, self.state, net.flat, rate, number)
        if params is not net.flat:
            net.flat[...] = params
        self.total, self.weights = total, weights

    def _gather(self, batch: Batch) -> Data:
        """The batch's rows."""
        data, index, xp, gather = self._sources[batch.source], batch.on_device, self._xp, self._linear.gather
        if isinstance(data.X, SparseRows):
            X = self._dense(data.X, batch.rows)
        else:
            X = data.X if index is None else gather(xp, data.X, index)
        if index is None:
            return Data(X, data.y, data.weight)
        weight = None if data.weight is None else gather(xp, data.weight, index, axis=-2)
        return Data(X, gather(xp, data.y, index), weight)

    def _dense(self, sparse: SparseRows, rows: Any) -> Array:
        """Rows of a sparse matrix, dense on the device; None: all."""
        if self._xp is not np and is_recording():
            raise NotRecordableError("sparse rows come from the host in every step")
        if not self._records or self._xp is not np:
            return sparse.dense(slice(None) if rows is None else rows)
        lead = sparse.shape[:1] if rows is None else rows.shape
        X = np.empty((*lead, sparse.shape[1]), dtype=self._net.flat.dtype)
        return self._linear.fill_rows(self._xp, sparse.matrix, rows, X)


def _contiguous(xp: Namespace, data: Data) -> Data:
    """The data in C order: from other arrays rows can only be gathered by copying all of them."""
    if isinstance(data.X, SparseRows):
        return data
    return data.map(xp.ascontiguousarray)
