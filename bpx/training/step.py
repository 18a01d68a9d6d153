"""One training step: gather, forward, loss, backward, update; recorded once per batch size where kernels allow it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from copy import copy
from functools import partial
from typing import Any, final

import numpy as np

from bpx._typing import Array, Namespace, State
from bpx.formulas import linear, updates
from bpx.formulas.dropout import fold
from bpx.formulas.optimizers import Optimizer
from bpx.kernels import select
from bpx.kernels.recording import NotRecordableError, is_recording, launch
from bpx.network.mixed_precision import mixed
from bpx.network.objective import DropoutKey, Objective
from bpx.streams.batches import Batch, Data
from bpx.training.array_feed import SparseRows
from bpx.training.distributed import Ranks
from bpx.training.run_config import RunConfig

# Recordings that are kept: batches of ever new sizes, as a stream may give them, are computed without.
RECORDINGS = 16


@final
class Step:
    """Does the steps of a training run; updates the network, and the optimizer's `state` and float16's `scaling`.

    The objective is copied, and the copy computes with kernels where there are any. `total` and `weights`, of shape
    (...), are sums over the steps since `reset`: of the losses times the batches' weights, and of these weights.
    """

    def __init__(
        self, config: RunConfig, objective: Objective, optimizer: Optimizer, state: State,
        scaling: State | None = None, ranks: Ranks | None = None,
    ) -> None:  # fmt: skip
        net, precision, sources = config.net, config.precision, config.feed.sources
        objective = copy(objective)
        self._mixed = mixed(net, precision, scaling)
        kernels = select.for_backend(net.backend, net.dtype if self._mixed is None else self._mixed.name)
        objective.use(kernels, self._mixed)
        # Numbers of 16 bits are TF32's as they are: their products then lose nothing by it.
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
        # On a device ranks wait for each other's numbers in every step.
        together = ranks is not None and net.backend.xp is not np
        self._recorder = None if together else kernels.recorder(net.backend, self._drops)
        self._recorded: dict[Any, Callable[[Batch, Any, int], None] | None] = {}
        self.total, self.weights, self._rows_done = self._zeros(), self._zeros(), 0

    def _zeros(self) -> Array:
        """0 for each network, in float64 on the device."""
        return self._xp.zeros(self._net.flat.shape[:-1], dtype=self._xp.float64, device=self._net.flat.device)

    def reset(self, sums: State | None = None) -> None:
        """Begin a new mean, or go on with one."""
        if self._records:  # a recorded step goes on with the arrays that it knows
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
        """What `reset` takes to go on."""
        return {"total": self.total, "weights": self.weights, "rows": self._rows_done}

    def release(self) -> None:
        """Let go of recorded steps and of the last one's arrays."""
        self._recorded.clear()
        self._objective.caches = []

    def mean(self) -> Array:
        """Mean loss of the steps since `reset`, on the device."""
        if self._by_rows:
            return self.total / self._rows_done
        # an epoch drawn with replacement may hold no sample that has a weight
        return self.total / self._xp.where(self.weights > 0.0, self.weights, self._xp.ones_like(self.weights))

    def __call__(self, batch: Batch, rate: Any, done: int) -> None:
        """One update, with a learning rate (float or Array of shape (K, 1)), after `done` others."""
        recorder, recorded = self._recorder, None
        if recorder is not None and batch.n > 0:
            # a rate for all may become one for each network
            key = batch.source, batch.n, batch.first, isinstance(rate, float), recorder.key(batch)
            if key not in self._recorded:
                state = self.state
                full = len(self._recorded) >= RECORDINGS
                self._recorded[key] = None if full else recorder.record(self._compute, batch, rate)
                self.state = state
            recorded = self._recorded[key]
        if recorded is None:
            self._compute(batch, rate, done)
        else:
            recorded(batch, rate, done)
            self.state["step"] = done + 1
        self._rows_done += batch.n if self._ranks is None else self._ranks.rows

    def _compute(self, batch: Batch, rate: Any, done: Any, number: Any = None) -> None:
        """The step itself; `number` is its own, from 1, in an array that a recording reads."""
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
        # The update is last, and makes its arrays before it writes: where memory runs out, nothing has changed.
        if self._mixed is None:
            params, self.state = self._optimizer.update(grads, self.state, net.flat, rate, xp, self._equations, number)
        else:
            params, self.state = self._mixed.update(self._optimizer, grads, self.state, net.flat, rate, number)
        if params is not net.flat:
            net.flat[...] = params
        self.total, self.weights = total, weights

    def _gather(self, batch: Batch) -> Data:
        """The rows of the batch."""
        data, index, xp, gather = self._sources[batch.source], batch.on_device, self._xp, self._linear.gather
        if isinstance(data.X, SparseRows):
            X = self._dense(data.X, slice(None) if batch.rows is None else batch.rows)
        else:
            X = data.X if index is None else gather(xp, data.X, index)
        if index is None:
            return Data(X, data.y, data.weight)
        weight = None if data.weight is None else gather(xp, data.weight, index, axis=-2)
        return Data(X, gather(xp, data.y, index), weight)

    def _dense(self, sparse: SparseRows, rows: Any) -> Array:
        """Those rows of a sparse matrix."""
        if self._xp is not np and is_recording():
            raise NotRecordableError("sparse rows come from the host in every step")
        if not self._records or self._xp is not np:
            return sparse.dense(rows)
        lead = sparse.shape[:1] if isinstance(rows, slice) else rows.shape
        X = np.empty((*lead, sparse.shape[1]), dtype=self._net.flat.dtype)
        launch(sparse.fill, rows, X)
        return X


def _contiguous(xp: Namespace, data: Data) -> Data:
    """The same samples with their rows one after the other: others are gathered by copying everything."""
    if isinstance(data.X, SparseRows):
        return data
    return Data(*(None if part is None else xp.ascontiguousarray(part) for part in data))
