"""One training step: gather, forward, loss, backward, update; recorded once per batch size where kernels allow it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, final

import numpy as np

from bpx._typing import Array, State
from bpx.formulas import linear, updates
from bpx.formulas.dropout import fold
from bpx.formulas.optimizers import Optimizer
from bpx.kernels import select
from bpx.kernels.recording import Replay, launch, record
from bpx.network.mlp import MLP
from bpx.network.objective import DropoutKey, Objective
from bpx.training.batches import Data, SparseRows

__all__ = ["Step"]


@dataclass(slots=True)
class Recorded:
    """A recorded step, and the arrays that it reads anew each time: rows, learning rate, steps done and this one."""

    replay: Replay
    rows: Array | None
    rate: Array
    done: Array
    number: Array
    # What was written into `rate`, to write it only when it changes.
    written: Any = None


@final
class Step:
    """Does the steps of a training run.

    Parameters
    ----------
    net : MLP
        Changed in place.
    objective : Objective
        Loss and gradient; from now on it computes with kernels where there are any.
    data : Data
        All samples.
    optimizer : Optimizer
        Bound to the network's device.
    state : dict
        The optimizer's; kept up here.
    seed : int
        Of the dropout masks, with the network's own.
    by_rows : bool
        Whether the mean loss weighs each batch by its rows, not by its sample weights.

    Attributes
    ----------
    total, weights : Array of shape (...)
        Sums over the steps since `reset`: of the losses times the batches' weights, and of these weights.
    """

    def __init__(
        self, net: MLP, objective: Objective, data: Data, optimizer: Optimizer, state: State, seed: int, by_rows: bool
    ) -> None:
        twins = select.for_backend(net.backend, net.dtype)
        objective.use(twins)
        self.state = state
        if twins.records and not isinstance(data.X, SparseRows):  # rows of others are gathered by copying everything
            data = Data(*(None if a is None else np.ascontiguousarray(a) for a in data))
        self._net, self._objective, self._data, self._optimizer = net, objective, data, optimizer
        self._xp = net.backend.xp
        self._linear, self._equations = twins.module(linear), twins.module(updates)
        self._drops, self._run_seed = any(net.dropout), fold(seed)
        self._by_rows = by_rows or data.weight is None
        self._records = twins.records
        self._recorded: dict[tuple[int, bool], Recorded | None] = {}
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

    def mean(self) -> Array:
        """Mean loss of the steps since `reset`, on the device."""
        if self._by_rows:
            return self.total / self._rows_done
        # an epoch drawn with replacement may hold no sample that has a weight
        return self.total / self._xp.where(self.weights > 0.0, self.weights, self._xp.ones_like(self.weights))

    def __call__(self, rows: np.ndarray[Any, Any] | None, index: Array | None, rate: Any, done: int) -> None:
        """One update.

        Parameters
        ----------
        rows, index : integer array of shape (n,), or None for all samples
            The batch, on the host and on the device; (K, n) gives each network of a stack its own.
        rate : float or Array of shape (K, 1)
            Learning rate.
        done : int
            Updates made before this one.
        """
        n = self._data.X.shape[0] if rows is None else rows.shape[-1]
        self._rows_done += n
        if not self._records:
            self._compute(rows, index, rate, done, None)
            return
        key = n, isinstance(rate, float)  # a rate for all may become one for each network
        if key not in self._recorded:
            self._recorded[key] = self._record(rows, rate)
        recorded = self._recorded[key]
        if recorded is None:
            self._compute(rows, index, rate, done, None)
            return
        if rows is not None:
            recorded.rows[...] = rows  # type: ignore[index]
        if rate is not recorded.written:
            recorded.rate[...] = recorded.written = rate
        if self._drops:
            recorded.done[...] = done
        recorded.number[...] = done + 1
        recorded.replay()
        self.state["step"] = done + 1

    def _record(self, rows: np.ndarray[Any, Any] | None, rate: Any) -> Recorded | None:
        """The step for a batch of that size; None where something in it cannot be recorded."""
        own_rows = None if rows is None else np.array(rows)
        own_rate = np.array(rate, dtype=np.float64 if np.ndim(rate) == 0 else None)
        done, number = np.zeros((), dtype=np.int64), np.zeros((), dtype=np.float64)
        state = self.state
        replay = record(lambda: self._compute(own_rows, own_rows, own_rate, done, number))
        self.state = state
        return None if replay is None else Recorded(replay, own_rows, own_rate, done, number)

    def _compute(self, rows: Any, index: Any, rate: Any, done: Any, number: Any) -> None:
        """The step itself."""
        net, xp = self._net, self._xp
        X, y, weight = self._gather(rows, index)
        key = DropoutKey(self._run_seed, done) if self._drops else None
        loss, grads = self._objective.value_and_grad(X, y, weight, key)
        params, self.state = self._optimizer.update(grads, self.state, net.flat, rate, xp, self._equations, number)
        if params is not net.flat:
            net.flat[...] = params
        if self._by_rows:
            self.total = self._linear.accumulate(xp, self.total, loss, X.shape[-2])
        else:
            sums = self._linear.weight_sum(xp, weight)
            self.total = self._linear.accumulate(xp, self.total, loss, sums)
            self.weights = self._linear.accumulate(xp, self.weights, sums, 1)

    def _gather(self, rows: Any, index: Any) -> Data:
        """The batch."""
        data, xp, gather = self._data, self._xp, self._linear.gather
        if isinstance(data.X, SparseRows):
            X = self._dense(data.X, slice(None) if rows is None else rows)
        else:
            X = data.X if index is None else gather(xp, data.X, index)
        if index is None:
            return Data(X, data.y, data.weight)
        weight = None if data.weight is None else gather(xp, data.weight, index, axis=-2)
        return Data(X, gather(xp, data.y, index), weight)

    def _dense(self, sparse: SparseRows, rows: Any) -> Array:
        """Those rows of a sparse matrix."""
        if not self._records:
            return sparse.dense(rows)
        lead = sparse.shape[:1] if isinstance(rows, slice) else rows.shape
        X = np.empty((*lead, sparse.shape[1]), dtype=self._net.flat.dtype)
        launch(sparse.fill, rows, X)
        return X
