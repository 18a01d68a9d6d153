"""Estimators in training: validation data, monitors, restarts."""

from __future__ import annotations

import warnings
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from estimator_samples import FEATURES, LABELS, NUMBERS, SMALL, WEIGHTS, N, X, classifier, regressor, same
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import accuracy_score, log_loss, r2_score

import bpx
from bpx import schedules

# An estimator that trains for all its epochs.
ALL = {"tol": 0.0, "n_iter_no_change": 1000}
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

TRAIN, VAL = slice(0, 50), slice(50, N)
VALIDATION = {"X_val": X[VAL], "y_val": LABELS[VAL]}


# ---------------------------------------------------------------------- validation data


@pytest.mark.parametrize("weight", [None, WEIGHTS])
def test_the_validation_curve_is_the_loss_on_the_validation_data(weight: Any) -> None:
    w = None if weight is None else weight[VAL]
    est = classifier(alpha=0.5).fit(X[TRAIN], LABELS[TRAIN], **VALIDATION, sample_weight_val=w)
    assert len(est.validation_loss_curve_) == est.n_iter_ == len(est.loss_curve_)
    same(est.validation_loss_curve_[-1], log_loss(LABELS[VAL], est.predict_proba(X[VAL]), sample_weight=w))
    same(est, classifier(alpha=0.5).fit(X[TRAIN], LABELS[TRAIN]))


def test_early_stopping_uses_the_validation_data_that_are_given() -> None:
    est = classifier(early_stopping=True).fit(
        X[TRAIN], LABELS[TRAIN], **VALIDATION, sample_weight_val=WEIGHTS[VAL].tolist()
    )
    score = accuracy_score(LABELS[VAL], est.predict(X[VAL]), sample_weight=WEIGHTS[VAL])
    same(score, est.best_validation_score_)
    same(score, max(est.validation_scores_))
    same(est.loss_curve_, classifier().fit(X[TRAIN], LABELS[TRAIN]).loss_curve_)


def test_without_validation_data_there_is_no_curve() -> None:
    est = regressor().fit(X, NUMBERS, X_val=X[VAL], y_val=NUMBERS[VAL])
    assert len(est.validation_loss_curve_) == SMALL["max_iter"]
    assert not hasattr(est.fit(X, NUMBERS), "validation_loss_curve_")
    est.set_params(warm_start=True)
    assert len(est.fit(X, NUMBERS, X_val=X[VAL], y_val=NUMBERS[VAL]).validation_loss_curve_) == SMALL["max_iter"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"X_val": X[VAL]}, "X_val was given without y_val"),
        ({"y_val": LABELS[VAL]}, "need X_val"),
        ({"sample_weight_val": WEIGHTS[VAL]}, "need X_val"),
        ({"X_val": X[VAL], "y_val": ["oak"] * (N - 50)}, "classes not in"),
        ({"X_val": X[VAL, :2], "y_val": LABELS[VAL]}, "X has 2 features"),
        ({"X_val": X[VAL], "y_val": LABELS[:4]}, "inconsistent numbers of samples"),
        (VALIDATION | {"sample_weight_val": WEIGHTS[:3]}, "sample_weight"),
        (VALIDATION | {"sample_weight_val": -WEIGHTS[VAL]}, "sample_weight"),
    ],
)
def test_validation_data_that_make_no_sense_are_refused(given: dict[str, Any], message: str) -> None:
    est = classifier()
    before = dict(vars(est))
    with pytest.raises(ValueError, match=message):
        est.fit(X[TRAIN], LABELS[TRAIN], **given)
    assert vars(est) == before


# ---------------------------------------------------------------------- monitors

OVERFIT = {"hidden_layer_sizes": (50,), "max_iter": 300, "n_iter_no_change": 5, "tol": 0.0, "learning_rate_init": 0.05}


def worst_class(run: Any) -> float:
    """Some metric of the user's: how far the outputs are from 0.5 on the validation data."""
    return float(np.mean(np.abs(run.net(X[VAL]) - 0.5)))


@pytest.mark.parametrize("restore_best", [True, False])
@pytest.mark.parametrize("monitor", ["loss", "validation_loss", "validation_score", worst_class])
def test_a_monitor_decides_when_to_stop_and_which_epoch_is_restored(monitor: Any, restore_best: bool) -> None:
    seen: list[tuple[Any, Any, np.ndarray]] = []

    def watch(run: Any) -> None:
        seen.append((run.val_loss, run.loss, run.net.flat.copy()))

    est = classifier(monitor=monitor, restore_best=restore_best, callbacks=[watch], **OVERFIT)
    est.fit(X[TRAIN], LABELS[TRAIN], **VALIDATION)
    if monitor == "validation_loss":
        watched = [-val for val, _, _ in seen]
    elif monitor == "loss":
        watched = [-loss for _, loss, _ in seen]
    else:
        watched = est.validation_scores_
    waited, best, epoch = 0, -np.inf, 0
    for value in watched:
        epoch += 1
        waited, best = (0 if value >= best else waited + 1), max(best, value)
        if waited > OVERFIT["n_iter_no_change"]:
            break
    assert est.n_iter_ == epoch == len(seen)
    restored = int(np.argmax(watched)) if restore_best else -1
    np.testing.assert_array_equal(est._net.flat, seen[restored][2])
    scored = monitor in ("validation_score", worst_class)
    assert (est.validation_scores_ is not None) == (est.best_loss_ is None) == scored
    assert est.best_validation_score_ == (max(watched) if scored else None)


@pytest.mark.parametrize("monitor", ["validation_loss", "validation_score"])
def test_a_validation_monitor_needs_validation_data(monitor: str) -> None:
    with pytest.raises(ValueError, match="needs early_stopping=True or fit"):
        classifier(monitor=monitor).fit(X, LABELS)
    est = classifier(monitor=monitor, early_stopping=True).fit(X, LABELS)
    assert len(est.validation_loss_curve_) == est.n_iter_


def test_a_function_as_monitor_needs_none() -> None:
    est = regressor(monitor=lambda run: -run.loss, **ALL).fit(X, NUMBERS)
    same(est.validation_scores_, -np.array(est.loss_curve_))


def test_early_stopping_of_quantiles_and_numbers_scores_what_score_says() -> None:
    for loss in ["squared_error", bpx.losses.quantile([0.25, 0.75])]:
        est = regressor(loss=loss, early_stopping=True).fit(X, NUMBERS, X_val=X[VAL], y_val=NUMBERS[VAL])
        same(est.best_validation_score_, est.score(X[VAL], NUMBERS[VAL]))
    same(est.score(X, NUMBERS), r2_score(NUMBERS, np.mean(est.predict(X), axis=1)))


# ---------------------------------------------------------------------- restarts


def restarts(k: int, n_out: int, random: np.random.RandomState) -> list[list[np.ndarray]]:
    """Glorot-uniform weights and biases of k networks, as scikit-learn draws one."""
    sizes, drawn = [FEATURES, 6, n_out], []
    for _ in range(k):
        drawn.append([])
        for n_in, n in pairwise(sizes):
            bound = np.sqrt(6.0 / (n_in + n))
            drawn[-1] += [random.uniform(-bound, bound, (n_in, n)), random.uniform(-bound, bound, n)]
    return drawn


def single_fits(make: Any, k: int, n_out: int, y: Any, **data: Any) -> list[Any]:
    """k fits one after the other, from the same initial weights and with the same shuffles as the restarts."""
    fits = []
    for i in range(k):
        est = make(n_init=1, warm_start=True, random_state=0, monitor=None)
        est.set_params(max_iter=1).partial_fit(X, y) if n_out == 1 else est.partial_fit(X, y, classes=np.unique(y))
        random = np.random.RandomState(0)
        drawn = restarts(k, n_out, random)[i]
        est.coefs_, est.intercepts_ = drawn[::2], drawn[1::2]
        # A fit that begins: nothing waited for, nothing best so far.
        est._resume, est.n_iter_, est.t_, est.loss_curve_ = None, 0, 0, []
        if make().monitor == "validation_score":
            est.best_loss_, est.validation_scores_, est.best_validation_score_ = None, [], -np.inf
        else:
            est.best_loss_ = np.inf
        est.set_params(random_state=random, max_iter=make().max_iter, monitor=make().monitor)
        fits.append(est.fit(X, y, **data))
    return fits


RESTARTS: dict[str, dict[str, Any]] = {
    "all epochs": ALL,
    "each stops by itself": {"max_iter": 100, "tol": 1e-3, "n_iter_no_change": 2},
    "adaptive": {"solver": "sgd", "learning_rate": "adaptive", "max_iter": 60, "tol": 5e-3, "n_iter_no_change": 1},
    "invscaling": {"solver": "sgd", "learning_rate": "invscaling", **ALL},
    "schedule": {"learning_rate": schedules.Cosine(0.05, 8), "clip_norm": 0.1, "l1": 0.5, **ALL},
    "monitor": {"monitor": "validation_loss", "max_iter": 100, "n_iter_no_change": 3, "tol": 0.0},
    "not restored": {"monitor": "validation_loss", "max_iter": 100, "n_iter_no_change": 3, "restore_best": False},
    "score": {"monitor": "validation_score", "max_iter": 60, "n_iter_no_change": 3},
}


@pytest.mark.parametrize("name", RESTARTS)
@pytest.mark.parametrize(("y", "n_out"), [(LABELS, 3), (NUMBERS, 1)])
@pytest.mark.slow
def test_restarts_are_so_many_fits_and_the_best_is_kept(name: str, y: Any, n_out: int) -> None:
    params = RESTARTS[name]
    estimator = classifier if n_out == 3 else regressor
    data = {"X_val": X[VAL], "y_val": y[VAL]} if "monitor" in params else {}

    def make(**more: Any) -> Any:
        return estimator(batch_size=32, **(params | more))

    fits = single_fits(make, 4, n_out, y, **data)
    est = make(n_init=4).fit(X, y, **data)
    if not data:
        worth = [-fit.loss_ for fit in fits]
    elif params["monitor"] == "validation_score":
        worth = [fit.best_validation_score_ for fit in fits]
    else:
        pick = min if params.get("restore_best", True) else (lambda curve: curve[-1])
        worth = [-pick(fit.validation_loss_curve_) for fit in fits]
    best = fits[int(np.argmax(worth))]
    same(est, best)
    same(est.losses_of_restarts_, [fit.loss_ for fit in fits])
    for attribute in ("n_iter_", "t_", "loss_", "loss_curve_", "validation_scores_", "best_loss_",
                      "best_validation_score_", "validation_loss_curve_"):  # fmt: skip
        ours, theirs = getattr(est, attribute, None), getattr(best, attribute, None)
        assert (ours is None) == (theirs is None), attribute
        if ours is not None:
            same(ours, theirs)
    assert est.coefs_[0].shape == (FEATURES, 6)


def test_restarts_that_diverge_lose() -> None:
    params = {"n_init": 3, "max_iter": 300, "hidden_layer_sizes": ()}
    rates = bpx.SGD([1e60, 1e-2, 1e60])
    est = regressor(**params, solver=rates).fit(X, NUMBERS)
    assert np.isfinite(est.losses_of_restarts_).tolist() == [False, True, False]
    assert est.score(X, NUMBERS) > 0.8
    with pytest.raises(ValueError, match="non-finite parameter weights"):
        regressor(**params, solver=bpx.SGD([1e60] * 3)).fit(X, NUMBERS)


def test_partial_fit_after_restarts_goes_on_with_the_best() -> None:
    est = classifier(n_init=3).fit(X, LABELS)
    before = est.loss_
    for _ in range(30):
        est.partial_fit(X, LABELS)
    assert est.loss_ < before
    same(classifier(n_init=3).partial_fit(X, LABELS, classes=np.unique(LABELS)),
         classifier().partial_fit(X, LABELS, classes=np.unique(LABELS)))  # fmt: skip


# ---------------------------------------------------------------------- after training


@pytest.mark.parametrize("params", [{}, {"solver": "lbfgs"}, {"n_init": 2}])
def test_who_makes_warnings_errors_keeps_what_was_learnt(params: dict[str, Any]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        quiet = classifier(max_iter=2, tol=0.0, **params).fit(X, LABELS)
    loud = classifier(max_iter=2, tol=0.0, **params)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ConvergenceWarning):
            loud.fit(X, LABELS)
    same(loud, quiet)
    assert loud.n_iter_ == quiet.n_iter_
    assert np.array_equal(loud.history_.loss, quiet.history_.loss)
