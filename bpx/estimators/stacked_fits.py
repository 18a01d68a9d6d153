"""Fits whose networks have the same form, trained as one stack; each as it would be alone."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from copy import copy
from dataclasses import dataclass
from threading import Event
from typing import Any

import numpy as np
from sklearn.utils import shuffle

from bpx.backend.base import library_of
from bpx.backend.select import to_host
from bpx.estimators.base_mlp import Prepared
from bpx.estimators.early_stopping import EarlyStopping, monitoring, restores, watched
from bpx.estimators.solver import batch_size, first_order, options, take_member
from bpx.network.mlp import MLP
from bpx.network.objective import propagate
from bpx.streams.data import Data
from bpx.training.array_feed import Order
from bpx.training.assemble import assemble
from bpx.training.history import StopReason
from bpx.training.run import Run
from bpx.training.stacking import stacked
from bpx.training.training_data import check_data

# Parameters that may differ between the networks of a stack.
OWN = ("alpha", "l1", "learning_rate_init", "momentum", "beta_1", "beta_2", "epsilon", "clip_norm", "random_state")


@dataclass
class Fit:
    """One fit of a stack: an estimator with its prepared data, the rows `train` and `held_out` of all data."""

    fold: int
    estimator: Any
    prepared: Prepared
    train: np.ndarray[Any, Any]
    held_out: np.ndarray[Any, Any] | None

    def key(self) -> Hashable:
        """Equal for fits that can be in one stack."""
        est, net = self.estimator, self.estimator._net
        classes = np.asarray(getattr(est, "classes_", ()), dtype=object)
        held_out = None if self.held_out is None else len(self.held_out)
        return (
            net.sizes, net.dtype, net.backend.name, str(net.backend.device), len(self.train), held_out,
            repr(classes.tolist()), self.prepared.weight is None,
        )  # fmt: skip


def train_stack(fits: list[Fit], X: Any, n: int, halt: Event) -> list[int]:
    """Train fits with an equal key on rows of `X`, which has n; returns the number of epochs of each.

    Their estimators are fitted then; one for which `fit` would have raised an error becomes None.
    """
    net = stacked([fit.estimator._net for fit in fits])
    lead = _lead(fits)
    lead._net, lead.n_iter_ = net, 0
    loss, visited = lead._loss(), len(fits[0].train)
    data = _data(net, fits, X, n, loss)
    held_out, metric = _monitoring(lead, fits, net, loss)
    optimizer, schedule, rate = first_order(lead)
    if rate is not None:
        rates: Any = np.asarray(rate.initial, dtype=np.float64) * np.ones(len(fits))
        rate.initial = rate.now = rates
    stopping = EarlyStopping(lead, rate, metric, restores(lead), visited)
    size = batch_size(lead, visited)
    training = assemble(
        net, data, optimizer=optimizer, schedule=schedule, epochs=lead.max_iter, batch_size=size,
        order=_order(lead, fits, size), validation=held_out, stop=stopping, tolerates_divergence=True,
        callbacks=lambda _: halt.is_set(), **options(lead),
    )  # fmt: skip
    run, history = training.run, training.train()
    if history.stop_reason is StopReason.INTERRUPTED:
        raise KeyboardInterrupt
    losses = np.asarray(history.loss)
    finite = np.all(np.isfinite(net.backend.to_host(net.flat)), axis=-1)
    for k, fit in enumerate(fits):
        if finite[k] and (restores(lead) or np.isfinite(losses[stopping.epochs[k] - 1, k])):
            take_member(fit.estimator, net, run, stopping, k)
        else:
            fit.estimator = None
    return [int(epochs) for epochs in stopping.epochs]


def _data(net: MLP, fits: list[Fit], X: Any, n: int, loss: Any) -> Data:
    """All rows on the network's device, with the targets and weights of those that are trained on."""
    first = fits[0].prepared
    target = np.zeros((n, net.sizes[-1]))
    target[:] = to_host(first.target)[0]  # valid targets, also for rows that are never used
    weight = None if first.weight is None else np.zeros((len(fits), n))
    for k, fit in enumerate(fits):
        target[fit.train] = to_host(fit.prepared.target)
        if weight is not None:
            weight[k, fit.train] = fit.prepared.weight
    if library_of(X) == "host" and not hasattr(X, "tocsr"):
        X = np.asarray(X, dtype=net.dtype)
    return check_data(net, X, target, loss, weight)


def _lead(fits: list[Fit]) -> Any:
    """An estimator with the parameters of the whole stack; one that differs is a list."""
    lead = copy(fits[0].estimator)
    for name in OWN[:-1]:
        values = [getattr(fit.estimator, name) for fit in fits]
        if any(value != values[0] for value in values):
            setattr(lead, name, values)
    return lead


def _order(lead: Any, fits: list[Fit], size: int) -> Callable[[], Order]:
    """Draws the order of an epoch's rows, for each fit as it would alone; fits with equal draws share them."""
    fixed = not lead.shuffle or size >= len(fits[0].train)
    keys = [
        (fit.fold, seed if isinstance(seed := fit.estimator.random_state, (int, np.integer)) else f"fit {k}")
        for k, fit in enumerate(fits)
    ]
    if fixed and all(fit.held_out is None for fit in fits):
        keys = [(fold, 0) for fold, _ in keys]
    # The first fit with a key draws for all others with it.
    first = {key: k for k, key in reversed(list(enumerate(keys)))}
    rows = {key: fits[k].train for key, k in first.items()}

    def order() -> Order:
        if not fixed:
            for key, k in first.items():
                rows[key] = shuffle(rows[key], random_state=fits[k].prepared.random)
        return rows[keys[0]] if len(rows) == 1 else np.stack([rows[key] for key in keys])

    return order


def _monitoring(lead: Any, fits: list[Fit], net: MLP, loss: Any) -> tuple[Data | None, Any]:
    """`monitoring` for a stack, each of whose networks has its own held-out data."""
    if fits[0].prepared.held_out is None:
        return monitoring(lead, None, loss)
    xp, parts = net.backend.xp, [held_out for fit in fits if (held_out := fit.prepared.held_out) is not None]
    checked = [
        check_data(net, part[0], fit.estimator._encode(part[1]), loss, part[2])
        for fit, part in zip(fits, parts, strict=True)
    ]
    X = [part.X.dense(slice(None)) if hasattr(part.X, "dense") else part.X for part in checked]
    weight = None if checked[0].weight is None else xp.stack([part.weight for part in checked])
    data = Data(xp.stack(X), xp.stack([part.y for part in checked]), weight)

    def score(_: Run) -> list[float]:
        # Each network has inputs of its own, (K, n, n_in), which `net.forward` does not take.
        output = net.backend.to_host(propagate(xp, data.X, net.layer_params, (*net.hidden, net.output))[-1].a)
        pairs = zip(fits, parts, output, strict=True)
        return [fit.estimator._metric(to_host(part[1]), one, to_host(part[2])) for fit, part, one in pairs]

    return data, watched(lead, score)
