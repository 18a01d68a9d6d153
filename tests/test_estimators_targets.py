"""Estimators and their targets: quantiles, several classifications, several labels, columns."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from estimator_samples import BITS, LABELS, NUMBERS, SEVERAL, SMALL, WEIGHTS, N, X, classifier, regressor, same
from sklearn.exceptions import DataConversionWarning
from sklearn.metrics import log_loss, mean_pinball_loss
from sklearn.neural_network import MLPClassifier, MLPRegressor

import bpx
from bpx import losses

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def test_quantiles_have_a_column_each_and_cover_their_share() -> None:
    levels = [0.1, 0.5, 0.9]
    rng = np.random.default_rng(5)
    many = rng.uniform(-1, 1, (2000, 1))
    y = many[:, 0] + rng.normal(size=2000) * (0.2 + 0.3 * (many[:, 0] > 0))
    params = {"hidden_layer_sizes": (7,), "learning_rate_init": 0.01, "max_iter": 60}
    est = regressor(loss=losses.quantile(levels), **params).fit(many, y)
    shown = est.predict(many)
    assert shown.shape == (2000, 3)
    assert est.n_outputs_ == 3
    np.testing.assert_allclose(np.mean(y[:, None] <= shown, axis=0), levels, atol=0.04)
    flat = [mean_pinball_loss(y, np.full_like(y, np.quantile(y, q)), alpha=q) for q in levels]
    ours = [mean_pinball_loss(y, shown[:, k], alpha=q) for k, q in enumerate(levels)]
    assert np.all(np.array(ours) < 0.8 * np.array(flat))
    assert 0.4 < est.score(many, y) < 1.0
    single = regressor(loss=losses.quantile(0.9), max_iter=60).fit(many, y).predict(many)
    np.testing.assert_allclose(np.mean(y <= single), 0.9, atol=0.04)


@pytest.mark.parametrize("early_stopping", [False, True])
def test_several_multiclass_targets(early_stopping: bool) -> None:
    est = classifier(max_iter=150, early_stopping=early_stopping).fit(X, SEVERAL)
    assert [c.tolist() for c in est.classes_] == [[5, 6], [0, 1, 2]]
    probabilities, logs, shown = est.predict_proba(X), est.predict_log_proba(X), est.predict(X)
    assert [p.shape for p in probabilities] == [(N, 2), (N, 3)]
    for k, (p, log_p, classes) in enumerate(zip(probabilities, logs, est.classes_, strict=True)):
        same(np.sum(p, axis=1), np.ones(N))
        same(np.exp(log_p), p)
        np.testing.assert_array_equal(shown[:, k], classes[np.argmax(p, axis=1)])
    same(est.score(X, SEVERAL), np.mean(np.all(shown == SEVERAL, axis=1)))
    same(est.score(X, SEVERAL, WEIGHTS), np.average(np.all(shown == SEVERAL, axis=1), weights=WEIGHTS))
    assert est.score(X, SEVERAL) > (0.25 if early_stopping else 0.4)
    with pytest.raises(ValueError, match="classes not in"):
        est.set_params(early_stopping=False).partial_fit(X, SEVERAL + 1)


def test_several_targets_are_trained_part_by_part_with_the_classes_of_each() -> None:
    classes = [[6, 5, 7], [2, 0, 1]]
    est = classifier().partial_fit(X[:9], SEVERAL[:9], classes=classes).partial_fit(X, SEVERAL, classes=classes)
    assert [c.tolist() for c in est.classes_] == [[5, 6, 7], [0, 1, 2]]
    assert est.predict_proba(X)[0].shape == (N, 3)
    with pytest.raises(ValueError, match="is not the same as on last call"):
        est.partial_fit(X, SEVERAL, classes=[[5, 6], [0, 1, 2]])


def test_the_loss_of_several_targets_is_the_sum_of_their_cross_entropies() -> None:
    est = classifier(alpha=0.0, solver=bpx.SGD(1e-12), max_iter=1, batch_size=N).fit(X, SEVERAL)
    each = [log_loss(SEVERAL[:, k], p, labels=c) for k, (p, c) in
            enumerate(zip(est.predict_proba(X), est.classes_, strict=True))]  # fmt: skip
    same(est.loss_, sum(each), 1e-8)


def test_multilabel_targets_are_scikit_learns() -> None:
    for y in (BITS, sp.csr_matrix(BITS)):
        ours, theirs = classifier(max_iter=40).fit(X, y), MLPClassifier(**(SMALL | {"max_iter": 40})).fit(X, y)
        shown, expected = ours.predict(X), theirs.predict(X)
        assert sp.issparse(shown) == sp.issparse(expected)
        dense = (shown.toarray(), expected.toarray()) if sp.issparse(shown) else (shown, expected)
        np.testing.assert_array_equal(*dense)
        same(ours.predict_proba(X), theirs.predict_proba(X))
        assert ours.score(X, BITS) == theirs.score(X, BITS)


@pytest.mark.parametrize(("ours", "theirs", "y"), [(classifier, MLPClassifier, LABELS),
                                                   (regressor, MLPRegressor, NUMBERS)])  # fmt: skip
def test_a_column_of_targets_warns_as_scikit_learn_does(ours: Any, theirs: Any, y: Any) -> None:
    for method in ("fit", "partial_fit"):
        more = {"classes": np.unique(y)} if ours is classifier and method == "partial_fit" else {}
        for est in (ours(), theirs(**SMALL)):
            with pytest.warns(DataConversionWarning, match="A column-vector y was passed when a 1d array was") as seen:
                getattr(est, method)(X, y[:, None], **more)
            assert len([w for w in seen if w.category is DataConversionWarning]) == 1
            assert est.predict(X).shape == (N,)
