"""Estimators that go on (warm_start, partial_fit) after their parameters or their data's device have changed."""

from __future__ import annotations

import pickle
from itertools import pairwise

import numpy as np
import pytest
from sklearn.exceptions import NotFittedError
from sklearn.neural_network import MLPClassifier

import bpx
from bpx.estimators import fitted, regressor

array_api_strict = pytest.importorskip("array_api_strict")

rng = np.random.default_rng(3)
X = rng.normal(size=(120, 5))
Y = np.argmax(X[:, :3] + 0.3 * rng.normal(size=(120, 3)), axis=1)
SMALL = {"hidden_layer_sizes": (7,), "random_state": 0, "max_iter": 4, "learning_rate_init": 0.02}
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def on_device(a):
    return array_api_strict.asarray(a, device=array_api_strict.Device("device1"))


@pytest.mark.parametrize("activation", ["tanh", "logistic", "identity"])
def test_another_activation_counts_as_it_does_in_scikit_learn(activation):
    for start in ("fit", "partial_fit"):
        results = []
        for cls in (bpx.MLPClassifier, MLPClassifier):
            est = cls(**SMALL, warm_start=start == "fit")
            options = {"classes": [0, 1, 2]} if start == "partial_fit" else {}
            getattr(est, start)(X, Y, **options)
            est.set_params(activation=activation)
            results.append(getattr(est, start)(X, Y))
        np.testing.assert_allclose(results[0].loss_curve_, results[1].loss_curve_, rtol=1e-10)
        np.testing.assert_array_equal(results[0].predict(X), results[1].predict(X))


def test_dropout_and_dtype_asked_for_later_are_there():
    est = bpx.MLPClassifier(**SMALL, warm_start=True).fit(X, Y)
    plain = bpx.MLPClassifier(**SMALL, warm_start=True).fit(X, Y).fit(X, Y)
    assert est.set_params(dropout=0.5).fit(X, Y).loss_curve_[4:] != plain.loss_curve_[4:]
    est.set_params(dropout=0.0, dtype="float32").fit(X, Y)
    assert est.coefs_[0].dtype == np.float32
    assert len(est.loss_curve_) == 4 * 3


def test_dropout_may_be_a_number_a_list_or_an_array_and_become_another():
    est = bpx.MLPRegressor(hidden_layer_sizes=(5, 4), max_iter=1, warm_start=True, dropout=np.array([0.1, 0.2]))
    est.fit(X, X[:, 0])
    networks = [est._net]
    for rates in (np.array([0.1, 0.3]), [0.1, 0.3], np.float64(0.4), 0.4, (0.5, 0.0), np.array(0.25)):
        est.set_params(dropout=rates).fit(X, X[:, 0])
        assert est._net.dropout == tuple(np.broadcast_to(rates, 2))
        networks.append(est._net)
    # The same rates in another form are no change.
    assert [a is b for a, b in pairwise(networks)] == [False, True, False, True, False, False]


@pytest.mark.parametrize("method", ["predict", "score"])
def test_a_regressor_looks_once_whether_it_is_fitted(monkeypatch, method):
    est = bpx.MLPRegressor(hidden_layer_sizes=(3,), max_iter=1).fit(X, X[:, 0])
    looked = []
    check = fitted.check_is_fitted
    monkeypatch.setattr(fitted, "check_is_fitted", lambda *given: looked.append(given) or check(*given))
    getattr(est, method)(*(X.tolist(), X[:, 0])[: 1 + (method == "score")])
    assert len(looked) == 1
    assert not hasattr(regressor, "check_is_fitted")
    with pytest.raises(NotFittedError):
        getattr(bpx.MLPRegressor(), method)(*(X, X[:, 0])[: 1 + (method == "score")])


def test_what_scikit_learn_refuses_is_refused_though_plain_arrays_are_not_given_to_it():
    est = bpx.MLPClassifier(**SMALL).fit(X, Y)
    bad = X.copy()
    bad[3, 1] = np.nan
    for given, message in ((bad, "NaN"), (X[:, :1], "features"), (X[:0], "0 sample"), (X[0], "2D")):
        with pytest.raises(ValueError, match=message):
            est.predict(given)
    large = np.full_like(X, np.finfo(X.dtype).max)  # finite, but not its sum
    assert est.predict(large).shape == Y.shape
    swapped = X.astype(X.dtype.newbyteorder())
    np.testing.assert_array_equal(est.predict(swapped), est.predict(X))


def test_what_decides_when_to_stop_can_change():
    est = bpx.MLPClassifier(**SMALL, warm_start=True, early_stopping=True).fit(X, Y)
    assert len(est.validation_scores_) == 4
    est.set_params(early_stopping=False, max_iter=60, n_iter_no_change=100).fit(X, Y)
    assert len(est.loss_curve_) == 64
    assert est.validation_scores_ is None
    assert est.best_loss_ == min(est.loss_curve_[4:])
    est.set_params(early_stopping=True, max_iter=5).fit(X, Y)
    assert len(est.validation_scores_) == 5
    assert all(0.0 <= score <= 1.0 for score in est.validation_scores_)


def test_the_epoch_whose_weights_came_back_is_in_the_history():
    est = bpx.MLPClassifier(**SMALL | {"max_iter": 30}, early_stopping=True).fit(X, Y)
    assert est.history_.best_epoch == int(np.argmax(est.validation_scores_)) + 1


def test_the_backend_is_that_of_the_last_data_and_is_said_so():
    est = bpx.MLPClassifier(**SMALL, warm_start=True).fit(X, Y)
    est.fit(on_device(X), on_device(Y))
    assert (est.backend_, str(est.coefs_[0].device)) == ("array_api_strict", est.device_)
    est = bpx.MLPClassifier(**SMALL).fit(on_device(X), on_device(Y)).partial_fit(X, Y)
    host = bpx.MLPClassifier(**SMALL).fit(X, Y).partial_fit(X, Y)
    assert (est.backend_, est.device_, type(est.coefs_[0])) == ("numpy", "cpu", np.ndarray)
    np.testing.assert_allclose(est.loss_curve_, host.loss_curve_, rtol=1e-12)
    with pytest.warns(bpx.BackendFallbackWarning):
        again = pickle.loads(pickle.dumps(bpx.MLPClassifier(**SMALL).fit(on_device(X), on_device(Y))))
    assert again.partial_fit(X, Y).backend_ == "numpy"


def test_a_diverged_fit_is_an_error_where_the_weights_are_still_finite():
    Z, t = rng.normal(size=(64, 20)) * 3.0, np.abs(rng.normal(size=64))
    est = bpx.MLPRegressor(
        loss="poisson", hidden_layer_sizes=(), solver="sgd", learning_rate_init=0.05, max_iter=10, random_state=0
    )
    with pytest.raises(ValueError, match="non-finite parameter weights"):
        est.fit(Z, t)
    assert not hasattr(est, "coefs_")


def test_a_monitor_that_returns_nothing_is_an_error_and_one_that_returns_nan_restores_nothing():
    options = SMALL | {"max_iter": 20}
    with pytest.raises(TypeError, match="returned None"):
        bpx.MLPClassifier(**options, monitor=lambda run: None).fit(X, Y, X_val=X, y_val=Y)
    est = bpx.MLPClassifier(**options, monitor=lambda run: np.nan, n_iter_no_change=50).fit(X, Y, X_val=X, y_val=Y)
    plain = bpx.MLPClassifier(**options, n_iter_no_change=50).fit(X, Y)
    np.testing.assert_array_equal(est.coefs_[0], plain.coefs_[0])


def test_weights_that_were_taken_can_be_put_back_and_swapped():
    est = bpx.MLPClassifier(**SMALL | {"hidden_layer_sizes": (5, 5)}).fit(X, Y)
    before = est.predict_proba(X)
    old = est.coefs_[0]
    est.coefs_[0] = np.zeros_like(old)
    assert not np.allclose(est.predict_proba(X), before)
    est.coefs_[0] = old
    np.testing.assert_array_equal(est.predict_proba(X), before)
    first, second = (W.copy() for W in est.coefs_[:2])
    est.coefs_[0], est.coefs_[1] = est.coefs_[1], est.coefs_[0]
    np.testing.assert_array_equal(est.coefs_[0], second)
    np.testing.assert_array_equal(est.coefs_[1], first)
    saved = est.coefs_
    est.coefs_ = [W * 0.0 for W in est.coefs_]
    est.coefs_ = saved
    np.testing.assert_array_equal(est.coefs_[0], second)
    est.coefs_[0][0, 0] = 7.0
    assert est.coefs_[0][0, 0] == 7.0
    with pytest.raises(bpx.ShapeError, match=r"0\.W"):
        est.coefs_[0] = np.ones(3)
    assert est.coefs_[0][0, 0] == 7.0


def test_weights_set_in_training_are_trained_on():
    class Sets(bpx.Callback):
        def on_epoch_end(self, run):
            if run.epoch == 2:
                est.coefs_[0] = np.zeros((5, 7))

    est = bpx.MLPClassifier(**SMALL, callbacks=[Sets()])
    est.fit(X, Y)
    plain = bpx.MLPClassifier(**SMALL).fit(X, Y)
    np.testing.assert_array_equal(est.loss_curve_[:2], plain.loss_curve_[:2])
    assert est.loss_curve_[2] != plain.loss_curve_[2]
    assert np.abs(est.coefs_[0]).max() < np.abs(plain.coefs_[0]).max()


@pytest.mark.parametrize("mode", ["numpy", "reference"])
@pytest.mark.parametrize("bad", [lambda xp, o, t: (o - t, (o - t)[:1]), lambda xp, o, t: (1.0, o - t)])
def test_a_loss_of_another_shape_is_refused(monkeypatch, bad, mode):
    monkeypatch.setenv("BPX_KERNELS", mode)
    with pytest.raises(bpx.ShapeError, match="one for each sample and output"):
        bpx.MLPRegressor(hidden_layer_sizes=(4,), loss=bad, max_iter=2).fit(X, X[:, 0])


@pytest.mark.parametrize("solver", ["adam", "sgd"])
@pytest.mark.parametrize("kernels", ["auto", "numpy", "reference"])
@pytest.mark.parametrize("mode", ["r", "r+", "c"])
def test_an_estimator_mapped_from_its_file_goes_on_and_leaves_the_file_as_it_is(
    mode, kernels, solver, tmp_path, monkeypatch
):
    joblib = pytest.importorskip("joblib")
    monkeypatch.setenv("BPX_KERNELS", kernels)
    est = bpx.MLPClassifier(**SMALL, solver=solver, backend="numpy").partial_fit(X, Y, classes=[0, 1, 2])
    path = tmp_path / "estimator.joblib"
    joblib.dump(est, path)
    before = path.read_bytes()
    mapped = joblib.load(path, mmap_mode=mode)
    np.testing.assert_array_equal(mapped.partial_fit(X, Y).coefs_[0], est.partial_fit(X, Y).coefs_[0])
    del mapped
    assert path.read_bytes() == before


def test_an_estimator_unpickled_onto_read_only_buffers_goes_on():
    est = bpx.MLPClassifier(**SMALL, backend="numpy").partial_fit(X, Y, classes=[0, 1, 2])
    buffers = []
    plain = pickle.dumps(est, protocol=5, buffer_callback=buffers.append)
    other = pickle.loads(plain, buffers=[bytes(buffer.raw()) for buffer in buffers])
    np.testing.assert_array_equal(other.partial_fit(X, Y).coefs_[0], est.partial_fit(X, Y).coefs_[0])
