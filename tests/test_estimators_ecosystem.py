"""Estimators among others: scikit-learn's tools, pickles, data frames, sparse matrices, arrays of other libraries."""

from __future__ import annotations

import io
import pickle
from collections.abc import Iterator
from typing import Any

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse as sp
import sklearn
from estimator_samples import SMALL, classifier, regressor, same
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.metrics import accuracy_score
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

import bpx

N, FEATURES = 80, 4
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

_rng = np.random.default_rng(8)
X = np.where(_rng.uniform(size=(N, FEATURES)) < 0.5, 0.0, _rng.normal(size=(N, FEATURES)) + 0.5)
CODES = np.argmax(X[:, :3] + 0.2 * _rng.normal(size=(N, 3)), axis=1) + 2
LABELS = np.array(["ash", "birch", "cedar"])[CODES - 2]
NUMBERS = X @ np.array([1.0, -2.0, 0.5, 1.0]) + 0.1 * _rng.normal(size=N)
TWO = np.stack([NUMBERS, X[:, 0] - X[:, 1]], axis=1)
BITS = (X[:, :3] > 0).astype(int)
WEIGHTS = _rng.uniform(0.1, 2.0, N)
NAMES = ["a", "b", "c", "d"]


def flat(est: Any) -> np.ndarray:
    """All weights, on the host."""
    return np.asarray(est._net.backend.to_host(est._net.flat))


# ---------------------------------------------------------------------- scikit-learn's tools


@pytest.mark.parametrize(
    ("ours", "theirs", "y"), [(classifier, MLPClassifier, LABELS), (regressor, MLPRegressor, NUMBERS)]
)
def test_pipelines_searches_and_cross_validation_give_scikit_learns_scores(ours: Any, theirs: Any, y: Any) -> None:
    for tool in (ours(), theirs(**SMALL)):
        scores = cross_val_score(make_pipeline(StandardScaler(), tool), X, y, cv=3)
        search = GridSearchCV(tool, {"alpha": [0.01, 10.0], "solver": ["adam", "sgd"]}, cv=2).fit(X, y)
        found = [*scores, *search.cv_results_["mean_test_score"]]
        if tool.__module__.startswith("bpx"):
            first, best = found, search.best_params_
    same(first, found)
    assert best == search.best_params_


def test_a_search_over_what_bpx_adds() -> None:
    grid = {"dropout": [0.0, 0.2], "solver": [bpx.SGD(0.1), bpx.RMSprop(0.01)], "activation": ["gelu", ["silu"]],
            "n_init": [2]}  # fmt: skip
    search = GridSearchCV(classifier(max_iter=3), grid, cv=2).fit(X, LABELS)
    assert np.all(np.isfinite(search.cv_results_["mean_test_score"]))


def test_clone_gives_an_unfitted_equal(lib: bpx.Backend) -> None:
    est = classifier(backend=lib, alpha=0.3).fit(X, LABELS)
    copied = clone(est)
    assert copied.get_params() == est.get_params()
    with pytest.raises(NotFittedError):
        copied.predict(X)
    np.testing.assert_array_equal(flat(copied.fit(X, LABELS)), flat(est))
    module = clone(classifier(backend=lib.xp))
    assert module.backend is lib.xp


# ---------------------------------------------------------------------- pickles


@pytest.mark.parametrize("through", [pickle, joblib])
def test_a_pickle_of_a_version_with_fewer_parameters_has_their_defaults(through: Any, tmp_path: Any) -> None:
    est = bpx.MLPClassifier(max_iter=2, backend="numpy", random_state=0, tol=0.5)
    with pytest.warns(UserWarning, match="Maximum iterations"):
        est.fit(X, LABELS)
    expected = est.predict_proba(X)
    del est.metrics, est.history_.metrics
    with open(tmp_path / "est", "wb") as file:
        through.dump(est, file)
    with open(tmp_path / "est", "rb") as file:
        loaded = through.load(file)
    assert loaded.metrics is None
    assert loaded.tol == 0.5
    assert loaded.history_.metrics == {}
    assert "epochs" in str(loaded.history_)
    assert len(loaded.history_.to_frame()) == 2
    assert "MLPClassifier" in repr(loaded)
    assert clone(loaded).get_params() == loaded.get_params()
    np.testing.assert_array_equal(loaded.predict_proba(X), expected)
    loaded.partial_fit(X, LABELS)
    loaded.save(tmp_path / "est.npz")


@pytest.mark.parametrize("solver", ["adam", "lbfgs", bpx.RMSprop(0.01)])
@pytest.mark.parametrize("through", ["pickle", "joblib"])
def test_a_pickled_estimator_predicts_and_goes_on(lib: bpx.Backend, solver: Any, through: str) -> None:
    if lib.name not in {"numpy", "torch", "cupy"}:
        pytest.skip("does not apply: a backend without a name is loaded on NumPy")
    est = classifier(solver=solver, backend=lib.name).fit(X, LABELS)
    file = io.BytesIO()
    if through == "joblib":
        joblib.dump(est, file)
        file.seek(0)
        loaded = joblib.load(file)
    else:
        loaded = pickle.loads(pickle.dumps(est))
    assert loaded._net.backend == lib
    np.testing.assert_array_equal(loaded.predict_proba(X), est.predict_proba(X))
    if solver != "lbfgs":
        for one in (est, loaded):
            one.partial_fit(X, LABELS)
        np.testing.assert_array_equal(flat(loaded), flat(est))
    loaded.coefs_[0] = loaded.coefs_[0] * 0.0
    assert len(np.unique(loaded.predict_proba(X), axis=0)) == 1


def test_a_model_of_a_backend_that_is_not_here_loads_on_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    if next(b for b in bpx.backends() if b.name == "cupy").available:
        pytest.skip("a GPU is here")
    est = classifier(backend="numpy").fit(X, LABELS)
    expected = est.predict_proba(X)
    # What a pickle made beside a GPU says of its network.
    monkeypatch.setattr(est._net.backend, "name", "cupy")
    content = pickle.dumps(est)
    monkeypatch.undo()
    with pytest.warns(bpx.BackendFallbackWarning, match="'cupy' cannot be used, NumPy takes its place") as caught:
        loaded = pickle.loads(content)
    assert len(caught) == 1
    assert loaded._net.backend.name == "numpy"
    np.testing.assert_array_equal(loaded.predict_proba(X), expected)
    loaded.partial_fit(X, LABELS)


def test_a_model_of_a_namespace_loads_on_numpy() -> None:
    strict = pytest.importorskip("array_api_strict")
    on_device = strict.asarray(X, device=strict.Device("device1"))
    est = classifier().fit(on_device, CODES)
    with pytest.warns(bpx.BackendFallbackWarning, match="it is now on NumPy"):
        loaded = pickle.loads(pickle.dumps(est))
    np.testing.assert_array_equal(loaded.predict(X), est._net.backend.to_host(est.predict(on_device)))


# ---------------------------------------------------------------------- data frames

FRAMES = {"pandas": lambda a, names: pd.DataFrame(a, columns=names), "polars": lambda a, names: pl.DataFrame(a, names)}


@pytest.fixture(params=FRAMES)
def frame(request: pytest.FixtureRequest) -> Any:
    return FRAMES[request.param]


@pytest.mark.parametrize(("estimator", "y"), [(classifier, LABELS), (regressor, NUMBERS)])
def test_frames_are_their_numbers_and_their_names(frame: Any, estimator: Any, y: Any) -> None:
    table = frame(X, NAMES)
    series = pd.Series(y, index=np.arange(N)[::-1]) if isinstance(table, pd.DataFrame) else pl.Series(y)
    est = estimator(early_stopping=True).fit(table, series, pd.Series(WEIGHTS), X_val=table[60:], y_val=series[60:])
    assert est.feature_names_in_.tolist() == NAMES
    plain = estimator(early_stopping=True).fit(X, y, WEIGHTS, X_val=X[60:], y_val=y[60:])
    np.testing.assert_array_equal(flat(est), flat(plain))
    assert not hasattr(plain, "feature_names_in_")
    np.testing.assert_array_equal(est.predict(table), plain.predict(X))
    assert est.score(table, series) == plain.score(X, y)
    est.hidden_activations(table)
    est.input_gradient(table, series)


def test_changed_columns_are_scikit_learns_errors_and_warnings(frame: Any) -> None:
    for est, theirs in ((regressor(), MLPRegressor(**SMALL)),):
        est.fit(frame(X, NAMES), NUMBERS)
        theirs.fit(frame(X, NAMES), NUMBERS)
        for wrong in (frame(X, ["a", "b", "c", "x"]), frame(X, NAMES[::-1]), frame(X[:, :3], NAMES[:3])):
            with pytest.raises(ValueError, match="feature names should match") as expected:
                theirs.predict(wrong)
            for method in (est.predict, est.hidden_activations):
                with pytest.raises(ValueError, match="feature names should match") as shown:
                    method(wrong)
                assert str(shown.value) == str(expected.value)
        with pytest.warns(UserWarning, match="X does not have valid feature names, but MLPRegressor was fitted with"):
            est.predict(X)
        with pytest.raises(ValueError, match="feature names should match"):
            est.partial_fit(frame(X, NAMES[::-1]), NUMBERS)
        with pytest.raises(ValueError, match="feature names should match"):
            est.fit(frame(X, NAMES), NUMBERS, X_val=frame(X, NAMES[::-1]), y_val=NUMBERS)
    est.fit(X, NUMBERS)
    assert not hasattr(est, "feature_names_in_")


def test_set_output_of_a_pipeline_reaches_the_estimator_as_a_frame() -> None:
    for kind in ("pandas", "polars"):
        pipe = Pipeline([("scale", StandardScaler()), ("mlp", classifier())]).set_output(transform=kind)
        pipe.fit(pd.DataFrame(X, columns=NAMES), LABELS)
        assert pipe["mlp"].feature_names_in_.tolist() == NAMES
        np.testing.assert_array_equal(
            pipe.predict(pd.DataFrame(X, columns=NAMES)),
            make_pipeline(StandardScaler(), classifier()).fit(X, LABELS).predict(X),
        )


# ---------------------------------------------------------------------- sparse matrices

SPARSE = {"csr": sp.csr_matrix, "csc": sp.csc_matrix, "csr_array": sp.csr_array, "csc_array": sp.csc_array}


@pytest.mark.parametrize(
    ("kind", "params"),
    [*((kind, {}) for kind in SPARSE), ("csr", {"early_stopping": True}), ("csc", {"early_stopping": True}),
     ("csr", {"solver": "lbfgs"}), ("csc", {"solver": "cg"}), ("csc_array", {"shuffle": False}),
     ("csr_array", {"n_init": 2}), ("csc", {"batch_size": 7, "predict_batch_size": 7})],
)  # fmt: skip
def test_a_sparse_matrix_is_its_dense_one(lib: bpx.Backend, kind: str, params: dict[str, Any]) -> None:
    S = SPARSE[kind](X)
    for estimator, y in [(classifier, LABELS), (regressor, NUMBERS)]:
        est, dense = (estimator(backend=lib, **params) for _ in range(2))
        est.fit(S, y, WEIGHTS, X_val=S[50:], y_val=y[50:])
        dense.fit(X, y, WEIGHTS, X_val=X[50:], y_val=y[50:])
        same(flat(est), flat(dense))
        np.testing.assert_array_equal(est.predict(S), est.predict(X))
        same(est.score(S, y), dense.score(X, y))
        same(est.hidden_activations(S)[0], dense.hidden_activations(X)[0])
        same(est.input_gradient(S, y), dense.input_gradient(X, y))
        if hasattr(est, "partial_fit") and not params.get("early_stopping"):
            same(flat(est.partial_fit(S, y)), flat(dense.partial_fit(X, y)))
    same(classifier(early_stopping=True).fit(S, LABELS).validation_scores_,
         classifier(early_stopping=True).fit(X, LABELS).validation_scores_)  # fmt: skip


# ---------------------------------------------------------------------- arrays of other libraries


def on(lib: bpx.Backend, a: Any) -> Any:
    return lib.asarray(a)


def stays(lib: bpx.Backend, a: Any) -> np.ndarray:
    """The host copy of an array that must lie where the data lay."""
    assert type(a) is type(lib.asarray(np.zeros(1)))
    if lib.name != "numpy":
        assert a.device == lib.device
    return np.asarray(lib.to_host(a))


ARRAYS = [
    (classifier, CODES), (classifier, CODES == 3), (classifier, BITS), (classifier, np.stack([CODES, BITS[:, 0]], 1)),
    (regressor, NUMBERS), (regressor, TWO), (regressor, CODES),
]  # fmt: skip


@pytest.mark.parametrize("params", [{}, {"early_stopping": True}, {"solver": "lbfgs"}, {"predict_batch_size": 9}])
@pytest.mark.parametrize(("estimator", "y"), ARRAYS)
def test_arrays_of_a_library_and_device_stay_there(
    lib: bpx.Backend, estimator: Any, y: Any, params: dict[str, Any]
) -> None:
    A, b, w = on(lib, X), on(lib, y), on(lib, WEIGHTS)
    est, plain = estimator(**params).fit(A, b, w), estimator(**params).fit(X, y, WEIGHTS)
    assert (est.backend_, est.device_) == (lib.name, str(lib.device))
    same(flat(est), flat(plain))
    shown, expected = stays(lib, est.predict(A)), plain.predict(X)
    if estimator is regressor:
        same(shown, expected)
    else:
        np.testing.assert_array_equal(shown, expected)
        assert shown.dtype == expected.dtype
        for method in ("predict_proba", "predict_log_proba"):
            shown, expected = getattr(est, method)(A), getattr(plain, method)(X)
            lists = (shown, expected) if isinstance(expected, list) else ([shown], [expected])
            for one, other in zip(*lists, strict=True):
                same(stays(lib, one), other)
    for weight, host in ((None, None), (w, WEIGHTS)):
        assert isinstance(est.score(A, b, weight), float)
        same(est.score(A, b, weight), plain.score(X, y, host))
    same(stays(lib, est.hidden_activations(A)[0]), plain.hidden_activations(X)[0])
    same(stays(lib, est.input_gradient(A, b)), plain.input_gradient(X, y))
    if not params:
        same(flat(est.partial_fit(A, b)), flat(plain.partial_fit(X, y)))
        assert stays(lib, est.coefs_[0]).shape == (FEATURES, 6)


def on_host(value: Any) -> bool:
    """Whether a value, and whatever is in it, is Python's or NumPy's."""
    if isinstance(value, dict):
        return all(map(on_host, value.values()))
    if isinstance(value, (list, tuple)):
        return all(map(on_host, value))
    if isinstance(value, bpx.History):
        return on_host(vars(value))
    return value is None or isinstance(value, (str, int, float, np.ndarray, np.generic, bpx.StopReason))


HOST_FITS = {
    "plain": {}, "early stopping": {"early_stopping": True}, "monitor": {"monitor": "validation_score"},
    "own monitor": {"monitor": lambda run: -run.loss}, "lbfgs": {"solver": "lbfgs"}, "restarts": {"n_init": 3},
    "float32": {"dtype": "float32", "dropout": 0.2},
}  # fmt: skip


@pytest.mark.parametrize("params", HOST_FITS.values(), ids=HOST_FITS)
@pytest.mark.parametrize(("estimator", "y"), [(classifier, LABELS), (classifier, BITS), (regressor, TWO)])
def test_host_data_have_answers_and_attributes_on_the_host(
    lib: bpx.Backend, estimator: Any, y: Any, params: dict[str, Any]
) -> None:
    est = estimator(backend=lib, **params).fit(X, y, X_val=X[:9], y_val=y[:9])
    if not params.get("solver"):
        est.set_params(early_stopping=False, monitor=None).partial_fit(X, y)
    assert est.backend_ == lib.name
    public = [name for name in dir(est) if name.endswith("_") and not name.startswith("_")]
    assert {"coefs_", "intercepts_", "history_", "loss_curve_"} <= {*public, "loss_curve_"}
    for name in public:
        assert on_host(getattr(est, name)), name
    assert all(type(part) is np.ndarray for part in (*est.coefs_, *est.intercepts_))
    same(np.concatenate([np.ravel(p) for pair in zip(est.coefs_, est.intercepts_, strict=True) for p in pair]),
         flat(est))  # fmt: skip
    for answer in ("predict", "predict_proba", "predict_log_proba", "hidden_activations"):
        assert on_host(getattr(est, answer)(X) if hasattr(est, answer) else None), answer
    assert on_host(est.input_gradient(X, y))
    assert on_host(est.score(X, y))


def test_weights_on_the_host_are_replaced_and_not_written_into(lib: bpx.Backend) -> None:
    est = regressor(backend=lib).fit(X, NUMBERS)
    before = est.predict(X)
    kept = est.coefs_[0]
    if lib.name != "numpy":
        with pytest.raises(ValueError, match="read-only"):
            est.coefs_[0][...] = 0.0
    same(est.predict(X), before)
    est.coefs_[0] = 2.0 * est.coefs_[0]
    same(est.coefs_[0], 2.0 * kept)
    assert np.max(np.abs(est.predict(X) - before)) > 1e-3
    est.coefs_ = [kept, *est.coefs_[1:]]
    same(est.predict(X), before)


def test_weights_lie_where_the_data_of_the_last_fit_did(lib: bpx.Backend, tmp_path: Any) -> None:
    est = regressor(backend=lib).fit(on(lib, X), on(lib, NUMBERS))
    same(stays(lib, est.coefs_[0]), stays(lib, est._net.params["0.W"]))
    if lib.package in ("numpy", "torch", "cupy"):  # whose names a file holds
        est.save(tmp_path / "m.npz")
        stays(lib, bpx.MLPRegressor.load(tmp_path / "m.npz").coefs_[0])
    est.partial_fit(X, NUMBERS)
    assert type(est.coefs_[0]) is np.ndarray
    stays(lib, est.partial_fit(on(lib, X), on(lib, NUMBERS)).coefs_[0])


@pytest.mark.parametrize("estimator", [classifier, regressor])
def test_validation_arrays_lie_there_too(lib: bpx.Backend, estimator: Any) -> None:
    y = CODES if estimator is classifier else NUMBERS
    est, plain = (estimator(monitor="validation_score") for _ in range(2))
    est.fit(on(lib, X), on(lib, y), X_val=on(lib, X[50:]), y_val=on(lib, y[50:]),
            sample_weight_val=on(lib, WEIGHTS[50:]))  # fmt: skip
    plain.fit(X, y, X_val=X[50:], y_val=y[50:], sample_weight_val=WEIGHTS[50:])
    same(est.validation_scores_, plain.validation_scores_)
    same(est.validation_loss_curve_, plain.validation_loss_curve_)
    same(flat(est), flat(plain))


def test_labels_on_the_host_beside_inputs_on_a_device(lib: bpx.Backend) -> None:
    A = on(lib, X)
    for y in (LABELS, LABELS.tolist(), pd.Series(LABELS)):
        est, plain = classifier(early_stopping=True).fit(A, y), classifier(early_stopping=True).fit(X, LABELS)
        same(flat(est), flat(plain))
        same(est.score(A, LABELS), plain.score(X, LABELS))
        same(stays(lib, est.predict_proba(A)), plain.predict_proba(X))
    if lib.name == "numpy":
        return
    with pytest.raises(TypeError, match="labels of dtype <U5 cannot be put on device"):
        est.predict(A)
    with pytest.raises(TypeError, match="cannot be put on device"):
        classifier(max_iter=1).fit(A, np.stack([LABELS, LABELS], axis=1)).predict(A)


def test_arrays_of_a_wrong_shape_or_place_are_refused(lib: bpx.Backend) -> None:
    if lib.name == "numpy":
        pytest.skip("does not apply: host data are checked by scikit-learn itself")
    est = regressor().fit(on(lib, X), on(lib, NUMBERS))
    with pytest.raises(ValueError, match="X has 2 features, but MLPRegressor is expecting 4 features"):
        est.predict(on(lib, X[:, :2]))
    with pytest.raises(ValueError, match="Expected 2D array, got 1D array"):
        est.fit(on(lib, X[0]), on(lib, NUMBERS))
    with pytest.raises(ValueError, match="expected 80 targets"):
        est.fit(on(lib, X), on(lib, NUMBERS[:5]))
    with pytest.raises(ValueError, match="NaN or infinite"):
        est.fit(on(lib, np.where(X > 1, np.nan, X)), on(lib, NUMBERS))
    with pytest.raises(bpx.DeviceMismatchError):
        regressor(backend="numpy").fit(on(lib, X), on(lib, NUMBERS))
    with pytest.raises(bpx.DeviceMismatchError):
        regressor(backend="numpy").fit(X, NUMBERS).predict(on(lib, X))
    same(est.predict(X), lib.to_host(est.predict(on(lib, X))))


# ---------------------------------------------------------------------- metadata routing


@pytest.fixture
def routing() -> Iterator[None]:
    with sklearn.config_context(enable_metadata_routing=True):
        yield


def test_weights_are_routed_through_a_pipeline_and_a_search(routing: None) -> None:
    est = classifier().set_fit_request(sample_weight=True).set_score_request(sample_weight=True)
    pipe = make_pipeline(StandardScaler().set_fit_request(sample_weight=False), est)
    pipe.fit(X, LABELS, sample_weight=WEIGHTS)
    scaled = StandardScaler().fit_transform(X)
    same(flat(pipe[-1]), flat(classifier().fit(scaled, LABELS, WEIGHTS)))
    same(pipe.score(X, LABELS, sample_weight=WEIGHTS),
         accuracy_score(LABELS, pipe.predict(X), sample_weight=WEIGHTS))  # fmt: skip
    search = GridSearchCV(est, {"alpha": [0.1, 1.0]}, cv=2).fit(X, LABELS, sample_weight=WEIGHTS)
    same(flat(search.best_estimator_), flat(classifier(**search.best_params_).fit(X, LABELS, WEIGHTS)))
    with pytest.raises(sklearn.exceptions.UnsetMetadataPassedError):
        make_pipeline(StandardScaler(), classifier()).fit(X, LABELS, sample_weight=WEIGHTS)


@pytest.mark.parametrize("estimator", [classifier, regressor])
def test_validation_data_are_routed_and_scaled_by_the_pipeline(routing: None, estimator: Any) -> None:
    y = LABELS if estimator is classifier else NUMBERS
    est = estimator(monitor="validation_loss")
    est.set_fit_request(X_val=True, y_val=True, sample_weight_val=True)
    pipe = Pipeline([("scale", StandardScaler()), ("mlp", est)], transform_input=["X_val"])
    pipe.fit(X[:50], y[:50], X_val=X[50:], y_val=y[50:], sample_weight_val=WEIGHTS[50:])
    scale = StandardScaler().fit(X[:50])
    plain = estimator(monitor="validation_loss").fit(
        scale.transform(X[:50]), y[:50], X_val=scale.transform(X[50:]), y_val=y[50:], sample_weight_val=WEIGHTS[50:]
    )
    same(flat(pipe["mlp"]), flat(plain))
    same(pipe["mlp"].validation_loss_curve_, plain.validation_loss_curve_)


def test_partial_fit_has_its_requests() -> None:
    with sklearn.config_context(enable_metadata_routing=True):
        est = classifier().set_partial_fit_request(sample_weight=True, classes=True)
        assert est.get_metadata_routing().partial_fit.requests == {"classes": True, "sample_weight": True}
