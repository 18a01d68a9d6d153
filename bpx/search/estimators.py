"""A sweep over an estimator's parameters: as ``GridSearchCV``, but in stacks of networks."""

from __future__ import annotations

import warnings
from collections.abc import Hashable, Mapping, Sequence
from threading import Event
from typing import Any, final

import numpy as np
from sklearn.base import clone, is_classifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import check_scoring
from sklearn.model_selection import GridSearchCV
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import _check_sample_weight, _num_samples, indexable

from bpx.backend.base import library_of
from bpx.backend.select import to_host
from bpx.errors import DivergenceWarning, warn_caller
from bpx.estimators.base_mlp import BaseMLP, take_rows
from bpx.estimators.solver import measured, scipy
from bpx.estimators.stacked_fits import OWN, Fit, train_stack
from bpx.optimizers import Optimizer
from bpx.search.driver import Search
from bpx.search.folds import folds
from bpx.search.grid import Setting, identity
from bpx.search.trials import Trial, TrialResult, largest_stack

# scikit-learn's names of bpx's metrics, if they differ.
SCORINGS = {
    "auc": "roc_auc_ovr", "log_loss": "neg_log_loss", "mae": "neg_mean_absolute_error",
    "rmse": "neg_root_mean_squared_error",
}  # fmt: skip


@final
class EstimatorSearch(Search):
    """Clones of an estimator, one for each setting; arguments as of `bpx.sweep`."""

    best = "best_estimator"
    silenced = (DivergenceWarning, ConvergenceWarning)

    def __init__(
        self, estimator: Any, settings: Sequence[Setting], X: Any, y: Any, *, cv: Any, validation: Any, scoring: Any,
        refit: bool, stack: int | None, options: Mapping[str, Any],
    ) -> None:  # fmt: skip
        if not isinstance(estimator, BaseMLP):
            raise TypeError(
                f"expected bpx.MLPClassifier, bpx.MLPRegressor or a function that makes a network, got"
                f" {type(estimator).__name__}; scikit-learn's GridSearchCV takes any estimator"
            )
        if unknown := options.keys() - {"sample_weight"}:
            raise TypeError(
                f"sweep got {sorted(unknown)}; parameters of an estimator go into it or into the grid, and besides X"
                " and y there is only sample_weight"
            )
        self.estimator, self.settings, self.stack = estimator, settings, stack
        on_host = library_of(X) == "host"
        self.X, self.y = indexable(X, y) if on_host else (X, y)
        self.n = n = _num_samples(self.X) if on_host else X.shape[0]
        self.weight: Any = options.get("sample_weight")
        if self.weight is not None:
            self.weight = _check_sample_weight(to_host(self.weight), np.empty((n, 1)))
        self.clones = [self._clone(setting) for setting in settings]
        for one in self.clones:
            one._validate_params()
        self.on_host = self.clones[0]._choose_backend(X).xp is np
        self.validation: Any = validation if isinstance(validation, tuple | list) else None
        if self.validation is not None and len(self.validation) != 2:
            raise TypeError(
                f"validation: expected (X_val, y_val), or a share of the rows, got {len(self.validation)} of it"
            )
        host_y = np.asarray(to_host(self.y))
        # As in scikit-learn, folds are stratified only if a row has a single class.
        stratified = is_classifier(estimator) and (host_y.ndim == 1 or host_y.shape[1] == 1)
        self.folds = folds(n, host_y.ravel() if stratified else None, cv, validation, 0, (self.X, self.y))
        self.scoring = scoring if isinstance(scoring, str) else getattr(scoring, "__name__", "score")
        if isinstance(scoring, str):
            self.scoring = scoring = SCORINGS.get(scoring, scoring)
        self.scorer = check_scoring(estimator, scoring)
        # As GridSearchCV, since the release in which it passes sample weights to scorers.
        accepts = getattr(self.scorer, "_accept_sample_weight", lambda: False)
        self.weighs = (
            self.weight is not None and hasattr(GridSearchCV, "_check_scorers_accept_sample_weight") and accepts()
        )

    def _clone(self, setting: Setting) -> Any:
        """A clone of the estimator with these parameters; ValueError for unknown names."""
        return clone(self.estimator).set_params(**{name: clone(v, safe=False) for name, v in setting.items()})

    def _stacks(self, est: Any) -> bool:
        """Whether its networks can be trained in stacks: not with SciPy's methods, nor callbacks of a single run."""
        listens = callable(est.monitor) or est.callbacks or est.verbose or est.progress or measured(est)
        alone = scipy(est) is not None or isinstance(est.solver, Optimizer) or est.n_init > 1
        return not (listens or alone or getattr(est, "_skl_callbacks", None))

    def key(self, trial: Trial) -> Hashable:
        est, setting = self.clones[trial.setting], self.settings[trial.setting]
        if not self._stacks(est):
            return trial
        # Networks that are probably alike; `Fit.key` compares them again once they exist.
        shared = tuple((name, identity(value)) for name, value in setting.items() if name not in OWN)
        # In a list of grids, one may leave out a parameter that another one sets.
        return shared, est.clip_norm is None, len(self.folds[trial.fold].train)

    def sort_key(self, trial: Trial) -> Any:
        return self.clones[trial.setting].learning_rate_init

    def most(self, trial: Trial) -> int:
        est, rows = self.clones[trial.setting], len(self.folds[trial.fold].train)
        hidden = list(np.atleast_1d(est.hidden_layer_sizes))
        batch = min(200, rows) if est.batch_size == "auto" else min(est.batch_size, rows)
        n_in = int(self.X.shape[1]) if hasattr(self.X, "shape") else len(self.X[0])
        return largest_stack(self.stack, [n_in, *map(int, hidden), 1], batch, 8, self.on_host)

    def train(self, trials: list[Trial], halt: Event) -> list[TrialResult]:
        if not self._stacks(self.clones[trials[0].setting]):
            return [self._train_alone(trial, halt) for trial in trials]
        groups: dict[Hashable, list[tuple[Trial, Fit]]] = {}
        for trial in trials:
            fit = self._begin(trial)
            groups.setdefault(fit.key(), []).append((trial, fit))
        results = []
        for group in groups.values():
            fits = [fit for _, fit in group]
            with fits[0].estimator._net.backend.scope():
                epochs = train_stack(fits, self.X, self.n, halt)
            for (trial, fit), trained in zip(group, epochs, strict=True):
                score = np.nan if fit.estimator is None else self._score(fit.estimator, self.folds[trial.fold].test)
                results.append(TrialResult(trial, score, trained))
        return results

    def _begin(self, trial: Trial) -> Fit:
        """A fit that is ready for its first step."""
        est, rows = self._clone(self.settings[trial.setting]), self.folds[trial.fold].train
        weight = None if self.weight is None else self.weight[rows]
        prepared = est._prepare(_some(self.X, rows), _some(self.y, rows), weight)
        if prepared.split is None:
            return Fit(trial.fold, est, prepared, rows, None)
        train, held_out = prepared.split
        return Fit(trial.fold, est, prepared, rows[train], rows[held_out])

    def _train_alone(self, trial: Trial, halt: Event) -> TrialResult:
        """Fit and score one estimator; the score is NaN if training fails, as in scikit-learn."""
        est, fold = self._clone(self.settings[trial.setting]), self.folds[trial.fold]
        weight = None if self.weight is None else self.weight[fold.train]
        est.callbacks = [*(est.callbacks or []), lambda _: halt.is_set()]
        try:
            est.fit(_some(self.X, fold.train), _some(self.y, fold.train), weight)
        except ValueError as error:
            if "non-finite" not in str(error):
                raise
            return TrialResult(trial, np.nan, 0)
        return TrialResult(trial, self._score(est, fold.test), est.n_iter_)

    def _score(self, est: Any, rows: Any) -> float:
        """The score on the held-out rows, or on `validation` data if `rows` is None."""
        if rows is None:
            return float(self.scorer(est, *self.validation))
        more = {"sample_weight": self.weight[rows]} if self.weighs else {}
        return float(self.scorer(est, _some(self.X, rows), _some(self.y, rows), **more))

    def refit(self, setting: Setting) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            return self._clone(setting).fit(self.X, self.y, self.weight)

    def warn(self, results: Sequence[TrialResult]) -> None:
        clones = [self.clones[result.trial.setting] for result in results]
        late = sum(
            scipy(est) is None and result.epochs == est.max_iter for est, result in zip(clones, results, strict=True)
        )
        if late:
            warn_caller(
                f"{late} of {len(results)} fits reached their max_iter, and the optimization hasn't converged yet.",
                ConvergenceWarning,
            )


def _some(data: Any, rows: Any) -> Any:
    """Rows of host data of any kind, or of a device array."""
    return _safe_indexing(data, rows) if library_of(data) == "host" else take_rows(data, rows)
