"""A sweep over networks that a function makes."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from bpx.errors import DivergenceWarning, warn_caller
from bpx.errors.calls import instead_of
from bpx.network.class_weight import class_weights
from bpx.network.mlp import MLP
from bpx.network.objective import Objective
from bpx.network.precision import check_precision
from bpx.search.early_stopping import EarlyStopping
from bpx.search.folds import Fold, folds
from bpx.search.grid import Setting
from bpx.search.rows import order_of, take
from bpx.search.scoring import Scoring, default_scoring, scoring_of
from bpx.search.table import SweepTable
from bpx.search.trial_config import OPTIONS, TrialConfig, recipe, stacked, stacked_optimizer
from bpx.search.trials import (
    Halt,
    Trial,
    TrialResult,
    at_once,
    carry_out,
    check_counts,
    plan,
    same_settings,
    threads_for,
)
from bpx.training import solvers
from bpx.training.assemble import assemble
from bpx.training.batches import Data, Sampler, SparseRows, check_batch_size
from bpx.training.distributed import agreeing, join, place
from bpx.training.fit import fit
from bpx.training.history import StopReason
from bpx.training.hold_out import classes_of
from bpx.training.solvers import SciPy
from bpx.training.stopping import ErrorRate, StopRule
from bpx.training.validation import check_data, check_validation

__all__ = ["complete", "sweep_networks"]

# Arguments of a sweep over networks that are the same for all settings.
COMMON: dict[str, Any] = {"sample_weight": None, "stop": (), "seed": 0}


def sweep_networks(
    make: Callable[..., MLP], settings: Sequence[Setting], X: Any, y: Any, *, cv: Any, validation: Any, scoring: Any,
    refit: bool, stack: int | None, workers: int | None, comm: Any, progress: bool, **options: Any,
) -> SweepTable:  # fmt: skip
    """Train and score every setting; arguments as `bpx.sweep`'s."""
    unknown = [name for name in options if name not in OPTIONS and name not in COMMON]
    if unknown:
        instead = instead_of("bpx.sweep", unknown[0], [*OPTIONS, *COMMON], options)
        raise TypeError(f"sweep got unknown arguments {unknown}; {instead}")
    check_counts(stack=stack, workers=workers)
    ranks = join(comm)
    same_settings(ranks, settings)
    with agreeing(ranks):
        work = _Work(make, settings, X, y, cv, validation, scoring, options)
        watches = any(getattr(rule, "monitor", None) == "val_loss" for rule in work.rules)
        if refit and watches and work.folds[0].test is not None:
            raise ValueError(
                "stop: the last training, on all rows, has none held out for monitor='val_loss'; give refit=False, or"
                " validation=(X_val, y_val)"
            )
    tasks = [Trial(s, f) for s in range(len(settings)) for f in range(len(work.folds))]
    threads = threads_for(workers, ranks, work.on_host)
    stacks = plan(
        tasks,
        lambda task: (work.keys[task.setting], len(work.folds[task.fold].train)),
        lambda task: work.recipes[task.setting].rate,
        partial(work.at_once, stack),
        threads * place(ranks)[1],
    )
    started = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DivergenceWarning)
        outcomes = carry_out(stacks, work.train, ranks, threads, progress)
    table = complete(settings, len(work.folds), outcomes, work.scoring_name, started)
    if refit and np.isfinite(table.best_score):
        best = table.cv_results_["params"].index(table.best)
        try:
            table.best_net = work.refit(best)
        except MemoryError as error:
            warn_of_refit(error, "best_net")
    return table


def warn_of_refit(error: MemoryError, name: str) -> None:
    """Say that the table is whole, but not what was to be trained at its end."""
    warn_caller(
        f"the best setting could not be trained on all rows: {error}; the table is complete, its {name} is None",
        RuntimeWarning,
    )


def complete(
    settings: Sequence[Setting], n_folds: int, outcomes: Sequence[TrialResult], scoring: str, started: float
) -> SweepTable:
    """The table, and one warning where settings diverged."""
    scores, epochs = np.full((len(settings), n_folds), np.nan), np.zeros((len(settings), n_folds))
    for task, score, trained in outcomes:
        scores[task] = score if np.isfinite(score) else np.nan
        epochs[task] = trained
    table = SweepTable(settings, scores, epochs, scoring)
    table.seconds = time.perf_counter() - started
    lost = [settings[i] for i in np.flatnonzero(np.any(np.isnan(scores), axis=1)).tolist()]
    if lost:
        warn_caller(
            f"{len(lost)} of {len(settings)} settings diverged, or have no finite score: their score is NaN and they"
            f" are last in the table. The first is {lost[0]}",
            DivergenceWarning,
        )
    return table


class _Work:
    """A sweep's settings and data, checked; what trains a stack of them."""

    def __init__(
        self, make: Any, settings: Sequence[Setting], X: Any, y: Any, cv: Any, validation: Any, scoring: Any,
        options: dict[str, Any],
    ) -> None:  # fmt: skip
        common = COMMON | {name: options[name] for name in COMMON if name in options}
        self.rules: list[StopRule] = [common["stop"]] if isinstance(common["stop"], StopRule) else list(common["stop"])
        self.seed, self.weight = common["seed"], common["sample_weight"]
        given = OPTIONS | {name: options[name] for name in OPTIONS if name in options}
        self.recipes = [recipe(make, setting, given) for setting in settings]
        nets = [r.network() for r in self.recipes]
        self.keys = [r.key(net) for r, net in zip(self.recipes, nets, strict=True)]
        self.sizes = [net.sizes for net in nets]
        self.on_host = nets[0].backend.xp is np
        self.X = X
        self.data: dict[Any, Data] = {}
        self.external: dict[Any, Data] = {}
        for key, r, net in zip(self.keys, self.recipes, nets, strict=True):
            if key in self.data:
                continue
            Objective(net, r.loss, r.l2)  # refuses what cannot be trained before anything is
            self.data[key] = self._known(check_data(net, X, y, r.loss, self.weight))
            if isinstance(validation, (tuple, list)):
                self.external[key] = check_validation(net, validation, r.loss)
            if isinstance(r.optimizer, SciPy):
                solvers.check(net, r.optimizer)
        for r, net in zip(self.recipes, nets, strict=True):
            Objective(net, r.loss, r.l2)
            check_precision(net, r.precision, not isinstance(r.optimizer, SciPy))
        first = self.data[self.keys[0]]
        n = first.X.shape[0]
        for r in self.recipes:
            check_batch_size(r.batch_size, n)
        host_y = nets[0].backend.to_host(first.y)
        self.folds = folds(n, classes_of(host_y, self.recipes[0].loss), cv, validation, self.seed, (X, y))
        if first.weight is not None:
            weight = nets[0].backend.to_host(first.weight)
            if not all(np.any(weight[fold.train] > 0.0) for fold in self.folds):
                raise ValueError("sample_weight: in one of the folds every row to train on has weight zero")
        if scoring is None:
            scoring = default_scoring(self.recipes[0].loss)
        self._scores: dict[Any, Scoring] = {}
        for key, r, net in zip(self.keys, self.recipes, nets, strict=True):
            if key not in self._scores:
                used = [part.y for part in (self.data[key], self.external.get(key)) if part is not None]
                self.scoring_name, self._scores[key] = scoring_of(scoring, net, used, r.loss)
        self._check_rules()

    def _known(self, data: Data) -> Data:
        """The same data, as they are held already where they are equal in all that counts."""
        for other in self.data.values():
            same = type(other.X) is type(data.X) and getattr(other.X, "dtype", 0) == getattr(data.X, "dtype", 0)
            if same and not isinstance(data.X, SparseRows) and other.X.device == data.X.device:
                data = data._replace(X=other.X)
        return data

    def _check_rules(self) -> None:
        """Refuse rules that would look at held-out rows."""
        for rule in self.rules:
            if not isinstance(rule, StopRule):
                raise TypeError(f"stop: expected rules of bpx.stop such as Patience('loss'), got {rule!r}")
            monitor = getattr(rule, "monitor", "loss")
            if isinstance(monitor, str) and monitor not in {"loss", "val_loss"}:
                raise ValueError(
                    f"stop: a sweep's rules watch 'loss', 'val_loss' or a function of the run, got monitor={monitor!r}"
                )
            if isinstance(rule, ErrorRate) and self.folds[0].test is not None:
                raise ValueError("stop: ErrorRate looks at all rows, the held-out ones too; use TargetLoss or Patience")

    def at_once(self, stack: int | None, task: Trial) -> int:
        """Networks in one stack at most."""
        r = self.recipes[task.setting]
        if isinstance(r.optimizer, SciPy):
            return 1
        rows = check_batch_size(r.batch_size, len(self.folds[task.fold].train))
        data = self.data[self.keys[task.setting]]
        itemsize = 8 if "64" in str(data.X.dtype if hasattr(data.X, "dtype") else "64") else 4
        return at_once(stack, self.sizes[task.setting], rows, itemsize, self.on_host)

    def train(self, tasks: list[Trial], halt: Halt) -> list[TrialResult]:
        """Train a stack, and score each of its networks."""
        each = [self.recipes[task.setting] for task in tasks]
        if isinstance(each[0].optimizer, SciPy):
            return [self._train_alone(task, halt) for task in tasks]
        one, key = each[0], self.keys[tasks[0].setting]
        rows = [self.folds[task.fold] for task in tasks]
        data = self.data[key]
        net = stacked([r.network() for r in each])
        with net.backend.scope():
            weighted = self._weighted(net, data, one, rows)
            n = len(rows[0].train)
            size = check_batch_size(one.batch_size, n)
            ending = EarlyStopping(self.rules, halt)
            history = assemble(
                net, weighted, loss=one.loss, optimizer=stacked_optimizer([r.optimizer for r in each]),
                epochs=one.epochs, batch_size=size, l2=_one_or_each([r.l2 for r in each]),
                order=order_of(Sampler(one.sampling, n, size, self.seed), data.X.shape[0], rows),
                validation=self._held_out(net, key, rows) if self.rules else None, stop=ending, goes_on=True,
                seed=self.seed, precision=one.precision,
            ).train()  # fmt: skip
            if history.stop_reason is StopReason.INTERRUPTED:
                raise KeyboardInterrupt
            finite = ~ending.lost & np.all(np.isfinite(net.backend.to_host(net.flat)), axis=-1)
            outcomes = []
            for k, task in enumerate(tasks):
                test = self._test(net, key, rows[k])
                score = self._scores[key](net.member(k), test, one.loss) if finite[k] else np.nan
                outcomes.append(TrialResult(task, score, int(ending.epochs[k])))
        return outcomes

    def _train_alone(self, task: Trial, halt: Halt) -> TrialResult:
        """Train a network by a method of SciPy's, which knows no stacks."""
        r, fold = self.recipes[task.setting], self.folds[task.fold]
        net = r.network()
        held_out = None
        if self.rules and fold.test is not None:
            held_out = tuple(part for part in self._picked(net, task, fold.test) if part is not None)
        elif self.rules:
            held_out = tuple(part for part in self.external[self.keys[task.setting]] if part is not None)
        X, y, weight = self._picked(net, task, fold.train)
        history = fit(
            net, X, y, r.loss, r.optimizer, r.epochs, l2=r.l2, sample_weight=weight, class_weight=r.class_weight,
            validation=held_out, stop=self.rules, callbacks=[lambda _: halt.is_set()], seed=self.seed,
        )  # fmt: skip
        test = self._test(net, self.keys[task.setting], fold)
        score = np.nan if history.diverged else self._scores[self.keys[task.setting]](net, test, r.loss)
        return TrialResult(task, score, history.epochs)

    def refit(self, setting: int) -> MLP:
        """A network with that setting, trained on all rows."""
        r = self.recipes[setting]
        key, net = self.keys[setting], self.recipes[setting].network()
        data, external = self.data[key], self.external.get(key)
        held_out = None if external is None else tuple(part for part in external if part is not None)
        X = self.X if isinstance(data.X, SparseRows) else data.X
        fit(
            net, X, data.y, r.loss, r.optimizer, r.epochs, r.batch_size, r.sampling, r.l2,
            None if self.weight is None else self.weight, r.class_weight, held_out, self.rules, seed=self.seed,
            precision=r.precision,
        )  # fmt: skip
        return net

    # ------------------------------------------------------------------ rows

    def _picked(self, net: MLP, task: Trial, rows: Any) -> Data:
        """Some rows of the data, of a sparse matrix as it was given."""
        data = self.data[self.keys[task.setting]]
        picked = take(net, data._replace(X=data.y) if isinstance(data.X, SparseRows) else data, rows)
        X = self.X.tocsr()[rows] if isinstance(data.X, SparseRows) else picked.X
        return picked._replace(X=X, weight=None if data.weight is None else picked.weight[:, 0])  # type: ignore[index]

    def _test(self, net: MLP, key: Any, fold: Fold) -> Data:
        """What a network is scored on."""
        return self.external[key] if fold.test is None else take(net, self.data[key], fold.test)

    def _held_out(self, net: MLP, key: Any, rows: Sequence[Fold]) -> Data:
        """What stopping rules see as validation data: of each network its held-out rows, by weights."""
        if rows[0].test is None:
            return self.external[key]
        data = self.data[key]
        weight = np.zeros((len(rows), data.X.shape[0], 1))
        for k, fold in enumerate(rows):
            weight[k, fold.test] = 1.0
        own = net.asarray(weight)
        return data._replace(weight=own if data.weight is None else own * data.weight)

    def _weighted(self, net: MLP, data: Data, one: TrialConfig, rows: Sequence[Fold]) -> Data:
        """The data with their weights and, of each fold's rows, their classes' weights."""
        if one.class_weight is None:
            return data
        y, n = net.backend.to_host(data.y), data.X.shape[0]
        factors = np.zeros((len(rows), n, 1))
        for k, fold in enumerate(rows):
            factors[k, fold.train] = class_weights(y[fold.train], one.class_weight, net.sizes[-1])
        own = net.asarray(factors)
        return data._replace(weight=own if data.weight is None else own * data.weight)


def _one_or_each(values: list[Any]) -> Any:
    """One number where all are equal."""
    return values[0] if len(set(values)) == 1 else values
