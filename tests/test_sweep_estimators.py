"""A sweep over an estimator is what GridSearchCV finds: over the same estimator, and over scikit-learn's own."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_diabetes, load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV, KFold, ShuffleSplit
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline

import bpx

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore:Got `batch_size`:UserWarning"),
]


@pytest.fixture
def digits() -> tuple[np.ndarray, np.ndarray]:
    """Some of them, all classes."""
    X, y = load_digits(return_X_y=True)
    return X[:150] / 16, y[:150]


# Parameters of the estimator, and the grid.
CASES: dict[str, tuple[dict[str, Any], Any]] = {
    "adam": ({"random_state": 0, "max_iter": 5}, {"alpha": [1e-4, 1.0, 10.0], "learning_rate_init": [1e-3, 1e-2]}),
    "moments": (
        {"max_iter": 4},
        {"beta_1": [0.9, 0.5], "beta_2": [0.99, 0.9], "epsilon": [1e-8, 0.1], "random_state": [3]},
    ),
    "batches and seeds": ({"max_iter": 4}, {"random_state": [0, 1, 2], "batch_size": [30, 50, 1000]}),
    "layers": (
        {"max_iter": 4, "random_state": 1},
        {"hidden_layer_sizes": [(5,), (8, 4), 6], "activation": ["tanh", "logistic"]},
    ),
    "full batch": (
        {"batch_size": 1000, "random_state": 0, "max_iter": 8},
        {"alpha": [0.0, 1.0], "learning_rate_init": [0.01, 0.1]},
    ),
    "in order": ({"shuffle": False, "max_iter": 4}, {"random_state": [0, 1], "alpha": [0.0, 1.0]}),
    "adaptive": (
        {"solver": "sgd", "learning_rate": "adaptive", "n_iter_no_change": 2, "tol": 0.02, "max_iter": 30},
        {"learning_rate_init": [0.2, 0.01], "momentum": [0.5, 0.9], "random_state": [0, 1]},
    ),
    "inverse scaling": (
        {"solver": "sgd", "learning_rate": "invscaling", "max_iter": 6, "random_state": 0},
        {"learning_rate_init": [0.5, 0.1], "power_t": [0.1, 0.3], "nesterovs_momentum": [True, False]},
    ),
    "patience": (
        {"tol": 0.01, "n_iter_no_change": 2, "max_iter": 60},
        {"learning_rate_init": [0.03, 0.1], "random_state": [0, 1, 2], "alpha": [1e-4, 1.0]},
    ),
    "early stopping": (
        {"early_stopping": True, "n_iter_no_change": 3, "max_iter": 30, "learning_rate_init": 0.01},
        {"random_state": [0, 1], "alpha": [0.0, 1.0], "validation_fraction": [0.1, 0.2]},
    ),
    "lbfgs": ({"solver": "lbfgs", "max_iter": 8}, {"alpha": [1e-4, 0.1], "random_state": [0, 1]}),
    "two grids": (
        {"max_iter": 4, "random_state": 0},
        [{"alpha": [0.0, 1.0]}, {"solver": ["sgd"], "momentum": [0.1, 0.9]}],
    ),
}


def same(sweep: Any, search: GridSearchCV, close: Any, folds: int) -> None:
    """The same scores, ranks and best setting."""
    found, expected = sweep.cv_results_, search.cv_results_
    assert found["params"] == expected["params"]
    for name in ("mean_test_score", "std_test_score", *(f"split{i}_test_score" for i in range(folds))):
        close(found[name], expected[name], factor=10)
    assert found["rank_test_score"].tolist() == expected["rank_test_score"].tolist()
    assert sweep.best == search.best_params_
    assert sweep.rows[0]["score"] == sweep.best_score


@pytest.mark.parametrize("case", CASES)
@pytest.mark.slow
def test_a_classifiers_sweep_agrees_with_grid_searches(digits: Any, close: Any, case: str) -> None:
    given, grid = {"hidden_layer_sizes": (12,), "batch_size": 30} | CASES[case][0], CASES[case][1]
    X, y = digits
    scoring = "neg_log_loss"  # counts of right answers would hide small differences
    table = bpx.sweep(bpx.MLPClassifier(**given), grid, X, y, cv=3, scoring=scoring)
    # That one estimator gives what the other does is tested elsewhere too.
    for kind in (bpx.MLPClassifier, MLPClassifier) if case in ("adam", "full batch", "patience") else (MLPClassifier,):
        search = GridSearchCV(kind(**given), grid, cv=3, scoring=scoring).fit(X, y)
        same(table, search, close, 3)
    close(table.best_estimator.predict_proba(X), search.predict_proba(X), factor=10)
    assert len(set(table.cv_results_["mean_test_score"])) > 1


@pytest.mark.parametrize("case", ["adam", "patience", "early stopping", "full batch"])
@pytest.mark.slow
def test_a_regressors_sweep_agrees_with_grid_searches(close: Any, case: str) -> None:
    given, grid = CASES[case]
    X, y = load_diabetes(return_X_y=True)
    X, y = X[:120] * 20, y[:120] / 100
    given = {"batch_size": 25} | given | {"tol": 0.03, "hidden_layer_sizes": (12,)}
    table = bpx.sweep(bpx.MLPRegressor(**given), grid, X, y, cv=4)
    for kind in (MLPRegressor, bpx.MLPRegressor):
        same(table, GridSearchCV(kind(**given), grid, cv=4).fit(X, y), close, 4)
    assert len(set(table.cv_results_["mean_epochs"])) > (case == "patience")


def test_each_network_watches_its_own_held_out_rows(digits: Any, close: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bpx.training.evaluation.CHUNK", 4)  # held-out rows in several parts, the last a smaller one
    grid = {"random_state": [0, 1, 2], "learning_rate_init": [0.01, 0.1]}
    estimator = bpx.MLPClassifier(
        (8,), batch_size=30, max_iter=25, early_stopping=True, n_iter_no_change=2, monitor="validation_loss"
    )
    table = bpx.sweep(estimator, grid, *digits, cv=3, scoring="neg_log_loss")
    same(table, GridSearchCV(estimator, grid, cv=3, scoring="neg_log_loss").fit(*digits), close, 3)
    assert len(set(table.cv_results_["mean_epochs"])) > 1


def test_networks_of_one_kind_are_trained_in_one_stack(digits: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import bpx.estimators.stacked_fits as sweeping

    seen: list[int] = []

    def counted(nets: Any) -> Any:
        seen.append(len(nets))
        return stacked(nets)

    stacked = sweeping.stacked
    monkeypatch.setattr(sweeping, "stacked", counted)
    grid = {"alpha": [0.0, 0.1], "random_state": [0, 1], "hidden_layer_sizes": [4, (3, 3)]}
    bpx.sweep(bpx.MLPClassifier(max_iter=1), grid, *digits, cv=KFold(5), workers=1, stack=100)
    assert seen == [20, 20]
    seen.clear()
    bpx.sweep(bpx.MLPClassifier(max_iter=1), grid, *digits, cv=KFold(5), workers=1, stack=6)
    assert seen == [5] * 8


@pytest.mark.slow
def test_weights_classes_and_targets_of_all_kinds(digits: Any, close: Any, rng: np.random.Generator) -> None:
    X, y = digits
    names = np.array([f"digit {d}" for d in y])
    weight = rng.uniform(0.0, 2.0, len(y))
    grid = {"class_weight": [None, "balanced", {"digit 3": 5.0}], "alpha": [0.0, 1.0]}
    given = {"max_iter": 3, "random_state": 0}
    estimator = bpx.MLPClassifier(**given)
    table = bpx.sweep(estimator, grid, X, names, cv=3, sample_weight=weight, scoring="neg_log_loss")
    search = GridSearchCV(estimator, grid, cv=3, scoring="neg_log_loss").fit(X, names, sample_weight=weight)
    same(table, search, close, 3)
    for target in (y > 4, np.stack([y > 4, y % 2 == 0], axis=1).astype(int)):
        table = bpx.sweep(estimator, {"alpha": [0.0, 1.0], "random_state": [0, 1]}, X, target, cv=3)
        search = GridSearchCV(estimator, {"alpha": [0.0, 1.0], "random_state": [0, 1]}, cv=3).fit(X, target)
        same(table, search, close, 3)


def test_a_fold_that_lacks_a_class_is_trained_as_a_grid_search_trains_it(digits: Any, close: Any) -> None:
    X, y = digits
    cut = [(np.flatnonzero(y != 3), np.flatnonzero(y == 3)), (np.flatnonzero(y != 5), np.flatnonzero(y == 5))]
    estimator, grid = bpx.MLPClassifier(max_iter=3, random_state=0), {"alpha": [0.0, 10.0]}
    same(bpx.sweep(estimator, grid, X, y, cv=cut), GridSearchCV(estimator, grid, cv=cut).fit(X, y), close, 2)


def test_data_frames_sparse_matrices_and_splitters(digits: Any, close: Any) -> None:
    import pandas as pd
    from scipy import sparse

    X, y = digits
    estimator, grid = bpx.MLPClassifier(max_iter=3, random_state=0), {"alpha": [0.0, 1.0]}
    splitter = ShuffleSplit(3, test_size=0.3, random_state=0)
    search = GridSearchCV(estimator, grid, cv=splitter).fit(X, y)
    frame = pd.DataFrame(X).rename(columns=str)
    for given in (frame, sparse.csr_matrix(X), X.tolist()):
        table = bpx.sweep(estimator, grid, given, y, cv=splitter)
        same(table, search, close, 3)
    assert bpx.sweep(estimator, grid, frame, y, cv=3).best_estimator.feature_names_in_.tolist() == list(frame.columns)


def test_held_out_data_and_a_share(digits: Any) -> None:
    X, y = digits
    grid = {"alpha": [0.0, 10.0], "random_state": [0, 1]}
    table = bpx.sweep(bpx.MLPClassifier(max_iter=3), grid, X[:100], y[:100], validation=(X[100:], y[100:]))
    for row in table.rows:
        own = {name: row[name] for name in grid}
        fitted = bpx.MLPClassifier(max_iter=3, **own).fit(X[:100], y[:100])
        assert fitted.score(X[100:], y[100:]) == row["score"]
    assert len(bpx.sweep(bpx.MLPClassifier(max_iter=2), grid, X, y, validation=0.25, refit=False)) == 4


@pytest.mark.parametrize("alone", [False, True])
def test_a_setting_that_diverges_is_last_and_disturbs_no_other(
    rng: np.random.Generator, close: Any, alone: bool
) -> None:
    X = rng.normal(size=(60, 3))
    y = X @ rng.normal(size=3)
    grid = {"learning_rate_init": [0.01, 1e200, 0.02], "random_state": [0]}
    given = {"solver": "sgd", "max_iter": 20, "tol": 0.0} | ({"callbacks": [lambda _: None]} if alone else {})
    with pytest.warns(bpx.DivergenceWarning, match="1 of 3 settings diverged"):
        table = bpx.sweep(bpx.MLPRegressor(**given), grid, X, y, cv=3, workers=1)
    assert [row["rank"] for row in table.rows] == [1, 2, 3]
    assert table.rows[-1]["learning_rate_init"] == 1e200
    assert np.isnan(table.rows[-1]["score"])
    calm = GridSearchCV(bpx.MLPRegressor(**given), grid | {"learning_rate_init": [0.01, 0.02]}, cv=3).fit(X, y)
    close(table.cv_results_["mean_test_score"][[0, 2]], calm.cv_results_["mean_test_score"], factor=10)
    # It ended when its loss was lost for good, and kept no other waiting.
    assert table.cv_results_["mean_epochs"][1] <= 13 or alone


def test_one_warning_tells_of_fits_that_have_not_converged(digits: Any) -> None:
    grid = {"alpha": [0.0, 1.0]}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        bpx.sweep(bpx.MLPClassifier(max_iter=2, random_state=0), grid, *digits, cv=2)
    assert [(w.category, w.filename) for w in caught] == [(ConvergenceWarning, __file__)]
    assert "4 of 4 fits" in str(caught[0].message)


def test_the_estimator_given_is_not_changed(digits: Any) -> None:
    estimator = bpx.MLPClassifier(max_iter=2)
    before = dict(vars(estimator))
    bpx.sweep(estimator, {"alpha": [0.0, 1.0]}, *digits, cv=2)
    assert vars(estimator) == before


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"grid": {"alhpa": [0.1]}}, ValueError, "Invalid parameter 'alhpa'"),
        ({"grid": {"alpha": [0.1, -1.0]}}, ValueError, "'alpha' parameter"),
        ({"grid": {"alpha": 0.1}}, TypeError, "expected a list of values for 'alpha'"),
        ({"model": MLPClassifier()}, TypeError, "GridSearchCV takes any estimator"),
        ({"model": make_pipeline(bpx.MLPClassifier())}, TypeError, "GridSearchCV takes any estimator"),
        ({"model": bpx.MLPClassifier}, TypeError, "expected a function that makes a network, or a bpx estimator"),
        ({"epochs": 3}, TypeError, r"sweep got \['epochs'\]"),
        ({"validation": (1, 2, 3)}, TypeError, "got 3 of it"),
        ({"scoring": "acuracy"}, ValueError, "acuracy"),
        ({"cv": 1000}, ValueError, "as many folds as rows"),
    ],
)
def test_what_makes_no_sense_is_refused(digits: Any, change: Any, error: type[Exception], message: str) -> None:
    given: dict[str, Any] = {"model": bpx.MLPClassifier(max_iter=1), "grid": {"alpha": [0.1]}} | change
    with pytest.raises(error, match=message):
        bpx.sweep(X=digits[0], y=digits[1], **given)
