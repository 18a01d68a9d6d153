"""A sweep over an estimator's parameters: what ``GridSearchCV`` does, in stacks of networks."""

from __future__ import annotations

import time
import warnings
from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
from sklearn.base import clone, is_classifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import check_scoring
from sklearn.model_selection import GridSearchCV
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import _check_sample_weight, _num_samples, indexable

from bpx.backend.base import library_of
from bpx.errors import DivergenceWarning, warn_caller
from bpx.estimators.base import BaseMLP, take_rows
from bpx.estimators.inference import to_host
from bpx.estimators.solver import measured, scipy
from bpx.estimators.stacked_fits import OWN, Fit, train_stack
from bpx.formulas.optimizers import Optimizer
from bpx.search.folds import folds
from bpx.search.grid import Setting, identity
from bpx.search.networks import complete, warn_of_refit
from bpx.search.table import SweepTable
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
from bpx.training.callbacks.base import as_callback
from bpx.training.distributed import agreeing, join, place

__all__ = ["sweep_estimator"]

# What scikit-learn calls the metrics of bpx that it has under another name.
SCORINGS = {
    "auc": "roc_auc_ovr", "log_loss": "neg_log_loss", "mae": "neg_mean_absolute_error",
    "rmse": "neg_root_mean_squared_error",
}  # fmt: skip


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
            f"sweep got {sorted(unknown)}; parameters of an estimator go into it or into the grid, and besides X and y"
            " there is only sample_weight"
        )
    check_counts(stack=stack, workers=workers)
    ranks = join(comm)
    same_settings(ranks, settings)
    with agreeing(ranks):
        work = _Work(estimator, settings, X, y, cv, validation, scoring, sample_weight, stack)
    tasks = [Trial(s, f) for s in range(len(settings)) for f in range(len(work.folds))]
    threads = threads_for(workers, ranks, work.on_host)
    stacks = plan(tasks, work.key, work.pace, work.most, threads * place(ranks)[1])
    started = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DivergenceWarning)
        warnings.simplefilter("ignore", ConvergenceWarning)
        outcomes = carry_out(stacks, work.train, ranks, threads, progress)
    table = complete(settings, len(work.folds), outcomes, work.scoring_name, started)
    late = sum(outcome.epochs == work.limit(outcome.task.setting) for outcome in outcomes)
    if late:
        warn_caller(
            f"{late} of {len(outcomes)} fits reached their max_iter, and the optimization hasn't converged yet.",
            ConvergenceWarning,
        )
    if refit and np.isfinite(table.best_score):
        more = {} if sample_weight is None else {"sample_weight": sample_weight}
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)
                table.best_estimator = work.clone_with(table.best).fit(X, y, **more)
        except MemoryError as error:
            warn_of_refit(error, "best_estimator")
    return table


class _Work:
    """A sweep's settings and data, checked; what trains a stack of them."""

    def __init__(
        self, estimator: Any, settings: Sequence[Setting], X: Any, y: Any, cv: Any, validation: Any, scoring: Any,
        sample_weight: Any, stack: int | None,
    ) -> None:  # fmt: skip
        self.estimator, self.settings, self.stack = estimator, list(settings), stack
        self.X, self.y = indexable(X, y) if library_of(X) == "host" else (X, y)
        self.n = n = _num_samples(self.X) if library_of(X) == "host" else X.shape[0]
        self.weight: Any = (
            None if sample_weight is None else _check_sample_weight(to_host(sample_weight), np.empty((n, 1)))
        )
        self.clones = [self.clone_with(setting) for setting in settings]
        for one in self.clones:
            one._validate_params()
        self.external = validation if isinstance(validation, tuple | list) else None
        if self.external is not None and len(self.external) != 2:
            raise TypeError(
                f"validation: expected (X_val, y_val), or a share of the rows, got {len(self.external)} of it"
            )
        host_y = np.asarray(to_host(self.y))
        # As scikit-learn does, shares of classes only where a row has one.
        stratified = is_classifier(estimator) and (host_y.ndim == 1 or host_y.shape[1] == 1)
        self.folds = folds(n, host_y.ravel() if stratified else None, cv, validation, 0, (self.X, self.y))
        scoring = SCORINGS.get(scoring, scoring) if isinstance(scoring, str) else scoring
        self.scorer = check_scoring(estimator, scoring)
        # As GridSearchCV does, from the release on in which it does.
        accepts = getattr(self.scorer, "_accept_sample_weight", lambda: False)
        self.weighs = (
            self.weight is not None and hasattr(GridSearchCV, "_check_scorers_accept_sample_weight") and accepts()
        )
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
        listens = callable(est.monitor) or est.callbacks or est.verbose or est.progress or measured(est)
        own = isinstance(est.solver, Optimizer)
        return (
            scipy(est) is None
            and est.n_init == 1
            and not listens
            and not own
            and not getattr(est, "_skl_callbacks", None)
        )

    def key(self, task: Trial) -> Hashable:
        """Equal for tasks whose networks are probably alike; they are compared again once they are made."""
        est, setting = self.clones[task.setting], self.settings[task.setting]
        if not self.stacks(est):
            return task
        shared = tuple((name, identity(value)) for name, value in setting.items() if name not in OWN)
        # In a list of grids one may leave out what the others set.
        return shared, est.clip_norm is None, len(self.folds[task.fold].train)

    def pace(self, task: Trial) -> Any:
        """What decides most how many epochs a fit takes."""
        return self.clones[task.setting].learning_rate_init

    def most(self, task: Trial) -> int:
        """Networks in one stack at most, by their hidden layers."""
        est, rows = self.clones[task.setting], len(self.folds[task.fold].train)
        hidden = list(np.atleast_1d(est.hidden_layer_sizes))
        batch = min(200, rows) if est.batch_size == "auto" else min(est.batch_size, rows)
        n_in = int(self.X.shape[1]) if hasattr(self.X, "shape") else len(self.X[0])
        return at_once(self.stack, [n_in, *map(int, hidden), 1], batch, 8, self.on_host)

    # ------------------------------------------------------------------ training

    def train(self, tasks: list[Trial], halt: Halt) -> list[TrialResult]:
        """Train the tasks in as few stacks as their networks allow, and score each."""
        if not self.stacks(self.clones[tasks[0].setting]):
            return [self._train_alone(task, halt) for task in tasks]
        groups: dict[Hashable, list[Fit]] = {}
        for task in tasks:
            fit = self._begin(task)
            groups.setdefault(fit.key(), []).append(fit)
        outcomes = []
        for fits in groups.values():
            with fits[0].estimator._net.backend.scope():
                epochs = train_stack(fits, self.X, self.n, halt)
            for fit, trained in zip(fits, epochs, strict=True):
                score = np.nan if fit.estimator is None else self._score(fit.estimator, self.folds[fit.task.fold].test)
                outcomes.append(TrialResult(fit.task, score, trained))
        return outcomes

    def _begin(self, task: Trial) -> Fit:
        """Everything before the first step, as in `fit`."""
        est, rows = self.clone_with(self.settings[task.setting]), self.folds[task.fold].train
        weight = None if self.weight is None else self.weight[rows]
        ready = est._prepare(_some(self.X, rows), _some(self.y, rows), weight)
        if ready.parts is None:
            return Fit(task, est, ready, rows, None)
        return Fit(task, est, ready, rows[ready.parts[0]], rows[ready.parts[1]])

    def _train_alone(self, task: Trial, halt: Halt) -> TrialResult:
        """Fit and score one estimator; one that fails to train has no score, as in scikit-learn."""
        est, fold = self.clone_with(self.settings[task.setting]), self.folds[task.fold]
        more = {} if self.weight is None else {"sample_weight": self.weight[fold.train]}
        est.callbacks = [*(est.callbacks or []), as_callback(lambda _: halt.is_set())]
        try:
            est.fit(_some(self.X, fold.train), _some(self.y, fold.train), **more)
        except ValueError as error:
            if "non-finite" not in str(error):
                raise
            return TrialResult(task, np.nan, 0)
        return TrialResult(task, self._score(est, fold.test), est.n_iter_)

    def _score(self, est: Any, rows: Any) -> float:
        """The scorer's answer for held-out data."""
        X, y = (_some(self.X, rows), _some(self.y, rows)) if rows is not None else self.external or (self.X, self.y)
        more = {"sample_weight": self.weight[rows]} if self.weighs and rows is not None else {}
        return float(self.scorer(est, X, y, **more))


def _some(data: Any, rows: Any) -> Any:
    """Some rows of host data of any kind, or of a device array."""
    return _safe_indexing(data, rows) if library_of(data) == "host" else take_rows(data, rows)
