"""`Run`: a training run as stopping rules, callbacks and logs see it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, final

import numpy as np

from bpx._typing import Array
from bpx.formulas.metrics import Metric
from bpx.network.mlp import MLP
from bpx.network.objective import Objective
from bpx.streams.data import Data
from bpx.training.evaluation import error_rate, mean_loss
from bpx.training.history import History, fill_up
from bpx.training.run_metrics import as_number, check_name


@final
class Run:
    """A training run as stopping rules and callbacks see it; made by `bpx.fit`.

    Parameters
    ----------
    net : MLP
        The network in training.
    data : Data or SequentialRows
        The training data.
    objective : Objective
        The loss, without penalty.
    epochs : int
        The epoch limit.
    validates : bool
        Whether there are validation data.
    columns : dict of str to Metric
        The metrics that are measured after each epoch, by their names in ``history.metrics``.

    Attributes
    ----------
    history : History
        The epochs so far.
    epoch, step : int
        Epochs completed and updates made.
    batch_size : int or None
        Samples per step; None for SciPy's methods, which always use all, and for a stream's own batches.
    loss, val_loss : float or array of shape (K,), or None
        Training and validation loss of the last epoch; None before the first, and without validation data.
    seconds : float
        Wall time since training began, with that before a checkpoint.
    solution : scipy.optimize.OptimizeResult or None
        What SciPy's method returned at its end.
    """

    def __init__(
        self, net: MLP, data: Any, objective: Objective, epochs: int, validates: bool, columns: Mapping[str, Metric]
    ) -> None:
        self.net, self.data, self.epochs = net, data, epochs
        self.samples: int | None = data.n
        self.validates, self.columns = validates, dict(columns)
        self.history = History(metrics={name: [] for name in columns})
        self.epoch = self.step = 0
        self.batch_size: int | None = None
        self.loss: Any = None
        self.val_loss: Any = None
        self.solution: Any = None
        # Returns the arguments that the run was started with.
        self.describe: Callable[[], dict[str, Any]] = dict
        # Whether `record` may be called now, and the name of a logger that has already written the epoch.
        self.records, self.written_by = False, ""
        self.started = time.perf_counter()
        self._objective = objective

    @property
    def settings(self) -> dict[str, Any]:
        """The arguments that the run was started with: plain values by name."""
        return {"epochs": self.epochs} | self.describe()

    @property
    def seconds(self) -> float:
        """Wall time since training began."""
        return time.perf_counter() - self.started

    def record(self, name: str, value: Any) -> None:
        """Add a value of your own to the epoch that has just ended; call it in a callback's `on_epoch_end`.

        Parameters
        ----------
        name : str
            Name of its column in ``history.metrics``, `History.to_frame` and the logs. Epochs without a recorded value
            have NaN there.
        value : float, or array of shape (K,)
            For a stack, one number for all networks or one for each.

        Raises
        ------
        TypeError, ValueError
            If the value is not a number, the name belongs to another column, or the epoch already has a value.
        RuntimeError
            Outside of `on_epoch_end`, or after a logger earlier in ``callbacks`` has written the epoch.
        """
        if not self.records:
            raise RuntimeError(f"record: {name!r} belongs to an epoch that has ended; call it in on_epoch_end")
        if self.written_by:
            raise RuntimeError(
                f"record: {self.written_by} has written epoch {self.epoch} without {name!r}; in callbacks=[...] put"
                " what records before what logs"
            )
        if check_name(name) in self.columns:
            raise ValueError(f"record: {name!r} is a metric of this run; give another name")
        column = self.history.metrics.get(name, [])
        if len(column) >= self.epoch:
            raise ValueError(f"record: {name!r} has a value for epoch {self.epoch} already; record it once per epoch")
        K = self.net.stack
        if K is not None and np.shape(value) == (K,):
            number: Any = np.array([as_number(one, f"record: {name!r}", "numbers") for one in value])
        else:
            number = as_number(value, f"record: {name!r}", "a number" + ("" if K is None else f", or {K} of them"))
            number = number if K is None else np.full(K, number)
        fill_up(column, self.epoch - 1, K)
        column.append(number)
        self.history.metrics[name] = column

    def copy_rows(self, which: Any, source: Array, target: Array) -> None:
        """Copy the parameters of the networks in `which`, a bool or K bools for a stack, from `source` to `target`."""
        if np.all(which):
            target[...] = source
        elif np.any(which):
            mask = self.net.backend.asarray(np.asarray(which)[:, None])
            target[...] = self.net.backend.xp.where(mask, source, target)

    def evaluate(self, data: Data) -> Any:
        """Mean loss on `data`, without penalty and dropout: a float, or an array of shape (K,)."""
        return mean_loss(self.net, self._objective, data)

    def error_rate(self, cutoff: float = 0.5) -> Any:
        """Share of the training samples whose class is predicted wrongly: a float, or an array of shape (K,)."""
        return error_rate(self.net, self.data, cutoff)
