"""A sweep over an estimator's parameters: what ``GridSearchCV`` does, in stacks of networks."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Hashable, Sequence
from copy import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.base import clone, is_classifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import check_scoring
from sklearn.utils import _safe_indexing, shuffle
from sklearn.utils.validation import _check_sample_weight, _num_samples, indexable

from bpx._typing import Array
from bpx.backend.base import library_of
from bpx.errors import DivergenceWarning
from bpx.faces.estimators.answers import to_host
from bpx.faces.estimators.base import BaseMLP, Ready, take_rows
from bpx.faces.estimators.epochs import EpochEnd
from bpx.faces.estimators.running import batch_size, first_order, restores, scipy, scores, take_member
from bpx.formulas.optimizers import Optimizer
from bpx.network.mlp import MLP
from bpx.network.objective import Objective, propagate
from bpx.training.batches import Data, Order
from bpx.training.callbacks import as_callback
from bpx.training.descent import Descent
from bpx.training.gate import gate
from bpx.training.history import StopReason
from bpx.training.monitor import Run
from bpx.training.sweep.folds import folds
from bpx.training.sweep.grid import Setting, identity
from bpx.training.sweep.networks import complete
from bpx.training.sweep.ranks import communicator
from bpx.training.sweep.recipes import stacked
from bpx.training.sweep.stacks import Halt, Outcome, Task, at_once, carry_out, check_counts, plan, threads_for
from bpx.training.sweep.table import SweepTable

__all__ = ["sweep_estimator"]

# Parameters of which each network of a stack may have its own.
OWN = ("alpha", "l1", "learning_rate_init", "momentum", "beta_1", "beta_2", "epsilon", "clip_norm", "random_state")


def sweep_estimator(
    estimator: Any, settings: Sequence[Setting], X: Any, y: Any, *, cv: Any, validation: Any, scoring: Any, refit: bool,
    stack: int | None, workers: int | None, comm: Any, progress: bool, sample_weight: Any = None, **unknown: Any,
) -> SweepTable:  # fmt: skip
    """Fit and score every setting; arguments as `bpx.sweep`'s."""
    if not isinstance(estimator, BaseMLP):
        raise TypeError(
            f"expected bpx.MLPClassifier, bpx.MLPRegressor or a function that makes a network, got"
            f" {type(estimator).__name__}; scikit-learn's GridSearchCV takes any estimator"
        )
    if unknown:
        raise TypeError(
            f"sweep got {sorted(unknown)}; for an estimator they are parameters of it (or of the grid), and besides X and"
            " y there is only sample_weight"
        )
    check_counts(stack=stack, workers=workers)
    ranks = communicator(comm)
    work = _Work(estimator, settings, X, y, cv, validation, scoring, sample_weight, stack)
    tasks = [Task(s, f) for s in range(len(settings)) for f in range(len(work.folds))]
    threads = threads_for(workers, ranks, work.on_host)
    stacks = plan(tasks, work.key, work.pace, work.most, threads * ranks.size)
    started = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DivergenceWarning)
        warnings.simplefilter("ignore", ConvergenceWarning)
        outcomes = carry_out(stacks, work.train, ranks, threads, progress)
    table = complete(settings, len(work.folds), outcomes, work.scoring_name, started)
    late = sum(outcome.epochs == work.limit(outcome.task.setting) for outcome in outcomes)
    if late:
        warnings.warn(
            f"{late} of {len(outcomes)} fits reached their max_iter, and the optimization hasn't converged yet.",
            ConvergenceWarning,
            stacklevel=3,
        )
    if refit and np.isfinite(table.best_score):
        table.best_estimator = work.clone_with(table.best)
        more = {} if sample_weight is None else {"sample_weight": sample_weight}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            table.best_estimator.fit(X, y, **more)
    return table


@dataclass
class _Fit:
    """One fit: its estimator, what its training begins with, and which rows of all these are."""

    task: Task
    estimator: Any
    ready: Ready
    train: np.ndarray[Any, Any]
    held_out: np.ndarray[Any, Any] | None

    def key(self) -> Hashable:
        """Equal for those that a stack can hold."""
        est, net = self.estimator, self.estimator._net
        classes = np.asarray(getattr(est, "classes_", ()), dtype=object)
        held_out = None if self.held_out is None else len(self.held_out)
        return (
            net.sizes, net.dtype, net.backend.name, str(net.backend.device), len(self.train), held_out,
            str(classes.tolist()), self.ready.weight is None,
        )  # fmt: skip


class _Work:
    """A sweep's settings and data, checked; what trains a stack of them."""

    def __init__(
        self, estimator: Any, settings: Sequence[Setting], X: Any, y: Any, cv: Any, validation: Any, scoring: Any,
        sample_weight: Any, stack: int | None,
    ) -> None:  # fmt: skip
        self.estimator, self.settings, self.stack = estimator, list(settings), stack
        self.X, self.y = indexable(X, y) if library_of(X) == "host" else (X, y)
        n = _num_samples(self.X) if library_of(X) == "host" else X.shape[0]
        self.weight = None if sample_weight is None else _check_sample_weight(to_host(sample_weight), np.empty((n, 1)))
        self.clones = [self.clone_with(setting) for setting in settings]
        for one in self.clones:
            one._validate_params()
        self.external = validation if isinstance(validation, tuple | list) else None
        if self.external is not None and len(self.external) != 2:
            raise TypeError(f"validation: expected (X_val, y_val), or a share of the rows, got {len(self.external)} parts")
        host_y = np.asarray(to_host(self.y))
        # As scikit-learn does, shares of classes only where a row has one.
        stratified = is_classifier(estimator) and (host_y.ndim == 1 or host_y.shape[1] == 1)
        self.folds = folds(n, host_y.ravel() if stratified else None, cv, validation, 0, (self.X, self.y))
        self.scorer = check_scoring(estimator, scoring)
        self.scoring_name = scoring if isinstance(scoring, str) else getattr(scoring, "__name__", "score")
        self.on_host = self.clones[0]._choose_backend(X).xp is np

    def clone_with(self, setting: Setting) -> Any:
        """A clone of the estimator with these parameters; ValueError for a name that it does not have."""
        return clone(self.estimator).set_params(**{name: clone(v, safe=False) for name, v in setting.items()})

    def limit(self, setting: int) -> int:
        """Epochs at most; no first-order training, no limit that counts."""
        one = self.clones[setting]
        return one.max_iter if scipy(one) is None else -1

    def stacks(self, est: Any) -> bool:
        """Whether its networks can be trained in stacks: not SciPy's methods, nor what listens to a single run."""
        listens = callable(est.monitor) or est.callbacks or est.verbose or est.progress
        own = isinstance(est.solver, Optimizer)
        return scipy(est) is None and est.n_init == 1 and not listens and not own and not getattr(est, "_skl_callbacks", None)

    def key(self, task: Task) -> Hashable:
        """Equal for tasks whose networks are probably alike; they are compared again once they are made."""
        est, setting = self.clones[task.setting], self.settings[task.setting]
        if not self.stacks(est):
            return task
        shared = tuple((name, identity(value)) for name, value in setting.items() if name not in OWN)
        # In a list of grids one may leave out what the others set.
        return shared, est.clip_norm is None, len(self.folds[task.fold].train)

    def pace(self, task: Task) -> Any:
        """What decides most how many epochs a fit takes."""
        return self.clones[task.setting].learning_rate_init

    def most(self, task: Task) -> int:
        """Networks in one stack at most, by their hidden layers."""
        est, rows = self.clones[task.setting], len(self.folds[task.fold].train)
        hidden = list(np.atleast_1d(est.hidden_layer_sizes))
        batch = min(200, rows) if est.batch_size == "auto" else min(est.batch_size, rows)
        n_in = int(self.X.shape[1]) if hasattr(self.X, "shape") else len(self.X[0])
        return at_once(self.stack, [n_in, *map(int, hidden), 1], batch, 8, self.on_host)

    # ------------------------------------------------------------------ training

    def train(self, tasks: list[Task], halt: Halt) -> list[Outcome]:
        """Train the tasks in as few stacks as their networks allow, and score each."""
        if not self.stacks(self.clones[tasks[0].setting]):
            return [self._train_alone(task, halt) for task in tasks]
        groups: dict[Hashable, list[_Fit]] = {}
        for task in tasks:
            fit = self._begin(task)
            groups.setdefault(fit.key(), []).append(fit)
        return [outcome for fits in groups.values() for outcome in self._train_stack(fits, halt)]

    def _begin(self, task: Task) -> _Fit:
        """Everything before the first step, as in `fit`."""
        est, rows = self.clone_with(self.settings[task.setting]), self.folds[task.fold].train
        weight = None if self.weight is None else self.weight[rows]
        ready = est._prepare(_some(self.X, rows), _some(self.y, rows), weight)
        if ready.parts is None:
            return _Fit(task, est, ready, rows, None)
        return _Fit(task, est, ready, rows[ready.parts[0]], rows[ready.parts[1]])

    def _train_alone(self, task: Task, halt: Halt) -> Outcome:
        """Fit and score one estimator; one that fails to train has no score, as in scikit-learn."""
        est, fold = self.clone_with(self.settings[task.setting]), self.folds[task.fold]
        more = {} if self.weight is None else {"sample_weight": self.weight[fold.train]}
        est.callbacks = [*(est.callbacks or []), as_callback(lambda _: halt.is_set())]
        try:
            est.fit(_some(self.X, fold.train), _some(self.y, fold.train), **more)
        except ValueError as error:
            if "non-finite" not in str(error):
                raise
            return Outcome(task, np.nan, 0)
        return Outcome(task, self._score(est, fold.test), est.n_iter_)

    def _score(self, est: Any, rows: Any) -> float:
        """The scorer's answer for held-out data."""
        X, y = self.external if rows is None else (_some(self.X, rows), _some(self.y, rows))  # type: ignore[misc]
        return float(self.scorer(est, X, y))

    def _train_stack(self, fits: list[_Fit], halt: Halt) -> list[Outcome]:
        """Train fits whose networks are alike as one stack."""
        net = stacked([fit.estimator._net for fit in fits])
        lead = _lead(fits)
        lead._net = net
        loss, n = lead._loss(), len(fits[0].train)
        data = self._data(net, fits, loss)
        held_out, metric = _monitoring(lead, fits, net, loss)
        objective = Objective(net, loss, lead.alpha, lead.l1, per_batch=True)
        optimizer, schedule, rate = first_order(lead)
        if rate is not None:
            rate.initial = rate.now = np.asarray(rate.initial, dtype=np.float64) * np.ones(len(fits))
        epoch_end = EpochEnd(lead, rate, metric, restores(lead), n)
        size = batch_size(lead, n)
        bound = optimizer.bind(net.asarray, net.stack)
        descent = Descent(bound, schedule, size, _order(lead, fits, size), by_rows=True)
        stop = as_callback(lambda _: halt.is_set())
        lead.n_iter_ = 0
        with net.backend.scope(), np.errstate(all="ignore"):
            run = Run(net, data, objective, held_out, [epoch_end], [stop], lead.max_iter, "", goes_on=True)
            if run.finish(run.carry_out(lambda: descent.train(run, objective, data))).stop_reason is StopReason.INTERRUPTED:
                raise KeyboardInterrupt
        losses = np.asarray(run.history.loss)
        finite = np.all(np.isfinite(net.backend.to_host(net.flat)), axis=-1)
        outcomes = []
        for k, fit in enumerate(fits):
            epochs = int(epoch_end.epochs[k])
            score = np.nan
            if finite[k] and (restores(lead) or np.isfinite(losses[epochs - 1, k])):
                take_member(fit.estimator, net, run, epoch_end, k)
                score = self._score(fit.estimator, self.folds[fit.task.fold].test)
            outcomes.append(Outcome(fit.task, score, epochs))
        return outcomes

    def _data(self, net: MLP, fits: list[_Fit], loss: Any) -> Data:
        """All rows through the gate, with the targets and weights of those that are trained on."""
        first = fits[0].ready
        n = len(self.y)
        target = np.zeros((n, net.sizes[-1]))
        target[:] = to_host(first.target)[0]  # a row that is never visited has some target, and a valid one
        weight = None if first.weight is None else np.zeros((len(fits), n))
        for k, fit in enumerate(fits):
            target[fit.train] = to_host(fit.ready.target)
            if weight is not None:
                weight[k, fit.train] = fit.ready.weight
        X = self.X
        if library_of(X) == "host" and not hasattr(X, "tocsr"):
            X = np.asarray(X, dtype=net.dtype)
        return gate(net, X, target, loss, weight)


def _lead(fits: list[_Fit]) -> Any:
    """An estimator that stands for all of a stack: where they differ, a parameter is a list."""
    lead = copy(fits[0].estimator)
    for name in OWN[:-1]:
        values = [getattr(fit.estimator, name) for fit in fits]
        if any(value != values[0] for value in values):
            setattr(lead, name, values)
    return lead


def _order(lead: Any, fits: list[_Fit], size: int) -> Callable[[], Order]:
    """Draws an epoch's rows, for each fit as it would alone; those that draw the same draw once."""
    fixed = not lead.shuffle or size >= len(fits[0].train)
    keys = [
        (fit.task.fold, seed if isinstance(seed := fit.estimator.random_state, (int, np.integer)) else f"fit {k}")
        for k, fit in enumerate(fits)
    ]
    if fixed:
        keys = [(fold, 0) for fold, _ in keys] if all(fit.held_out is None for fit in fits) else keys
    # The first fit with a key draws for all with it.
    first = {key: k for k, key in reversed(list(enumerate(keys)))}
    rows = {key: fits[k].train for key, k in first.items()}

    def order() -> Order:
        if not fixed:
            for key, k in first.items():
                rows[key] = shuffle(rows[key], random_state=fits[k].ready.random)
        return rows[keys[0]] if len(rows) == 1 else np.stack([rows[key] for key in keys])

    return order


def _monitoring(lead: Any, fits: list[_Fit], net: MLP, loss: Any) -> tuple[Data | None, Any]:
    """Each network's own held-out data for the loss curve, and the metric that is watched (larger is better)."""
    if fits[0].held_out is None:
        if lead.monitor not in (None, "loss"):
            raise ValueError(f"monitor={lead.monitor!r} needs early_stopping=True")
        return None, None
    xp, parts = net.backend.xp, [fit.ready.held_out for fit in fits]
    gated = [gate(net, part[0], fit.estimator._encode(part[1]), loss, part[2]) for fit, part in zip(fits, parts, strict=True)]
    X = [part.X.dense(slice(None)) if hasattr(part.X, "dense") else part.X for part in gated]
    weight = None if gated[0].weight is None else xp.stack([part.weight for part in gated])
    data = Data(xp.stack(X), xp.stack([part.y for part in gated]), weight)
    if lead.monitor == "validation_loss":
        return data, lambda run: -np.asarray(run.val_loss)
    if lead.monitor == "loss":
        return data, lambda run: -np.asarray(run.loss)
    if not scores(lead):
        return data, None

    def score(_: Run) -> list[float]:
        output = net.backend.to_host(_outputs(net, data.X))
        pairs = zip(fits, parts, output, strict=True)
        return [fit.estimator._metric(to_host(part[1]), one, to_host(part[2])) for fit, part, one in pairs]

    return data, score


def _outputs(net: MLP, X: Array) -> Array:
    """Each network's outputs for samples of its own, (K, n, n_in)."""
    return propagate(net.backend.xp, X, net.layer_params, (*net.hidden, net.output))[-1].a


def _some(data: Any, rows: Any) -> Any:
    """Some rows of host data of any kind, or of a device array."""
    return _safe_indexing(data, rows) if library_of(data) == "host" else take_rows(data, rows)
