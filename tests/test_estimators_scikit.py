"""Side by side with scikit-learn's own estimators: the same parameters, data and seed give the same fit."""

from __future__ import annotations

import inspect
import re
import warnings
from collections.abc import Callable
from functools import cache
from itertools import product
from typing import Any

import numpy as np
import pytest
import scipy.sparse
import sklearn.neural_network as scikit
from releases import since
from sklearn import datasets
from sklearn.preprocessing import scale

import bpx

# Largest difference relative to the largest value of the array. Never loosened to make a test pass.
FLOAT64, LBFGS, FLOAT32 = 1e-10, 1e-5, 1e-3
BOTH = ("MLPClassifier", "MLPRegressor")


@cache
def data(name: str) -> tuple[Any, Any]:
    """A small data set, scaled as a network wants it."""
    rng = np.random.default_rng(0)
    if name == "cancer":
        X, y = datasets.load_breast_cancer(return_X_y=True)
        return scale(X)[:300], np.array(["malignant", "benign"])[y][:300]
    if name == "diabetes":
        X, y = datasets.load_diabetes(return_X_y=True)
        return scale(X)[:250], y[:250] / 100.0
    if name == "multilabel":
        X, y = datasets.make_multilabel_classification(150, 12, n_classes=4, random_state=0)
        return scale(X), y
    if name == "column":
        return data("diabetes")[0], data("diabetes")[1][:, None]
    if name == "two":
        X, y = datasets.make_regression(150, 8, n_targets=2, noise=1.0, random_state=0)
        return X, y / 100.0
    if name == "counts":
        X = rng.normal(size=(150, 4))
        return X, rng.poisson(np.exp(X[:, 0] - 0.5 * X[:, 1])).astype(np.float64)
    X, y = datasets.load_digits(return_X_y=True)
    X, y = X[:300] / 16.0, y[:300]
    if name == "words":
        return X[y < 4], np.array(["null", "eins", "zwei", "drei"], dtype=object)[y[y < 4]]
    convert: dict[str, Callable[[Any], Any]] = {
        "csr": scipy.sparse.csr_matrix,
        "csc": scipy.sparse.csc_array,
        "single": np.float32,
        "list": np.ndarray.tolist,
        "digits": np.asarray,
    }
    return convert[name](X), y


def kind(name: str) -> str:
    """The estimator that the data are for."""
    return "MLPRegressor" if name in {"diabetes", "two", "counts", "column"} else "MLPClassifier"


def pair(cls: str, **params: Any) -> tuple[Any, Any]:
    """scikit-learn's estimator and bpx's."""
    params = {"hidden_layer_sizes": (12,), "max_iter": 20, "random_state": 3} | params
    return getattr(scikit, cls)(**params), getattr(bpx, cls)(**params)


def watched(action: Callable[[], Any]) -> tuple[Any, list[tuple[type, str]]]:
    """What an action returns, and the warnings it gave."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = action()
    # scikit-learn's overflows on the way to a diverged fit are NumPy's words, not its own
    return result, [(w.category, str(w.message)) for w in caught if not issubclass(w.category, RuntimeWarning)]


def close(actual: Any, expected: Any, tolerance: float) -> None:
    """Agree relative to the largest value; lists layer by layer; None is None."""
    if expected is None or actual is None:
        assert actual is expected
        return
    if isinstance(expected, list) and expected and np.ndim(expected[0]) > 0:
        assert len(actual) == len(expected)
        for a, b in zip(actual, expected, strict=True):
            close(a, b, tolerance)
        return
    a, b = np.asarray(actual), np.asarray(expected)
    assert a.shape == b.shape
    assert a.dtype == b.dtype
    np.testing.assert_array_equal(np.isfinite(a), np.isfinite(b))
    a, b = np.nan_to_num(a, posinf=0.0, neginf=0.0), np.nan_to_num(b, posinf=0.0, neginf=0.0)
    worst = np.max(np.abs(a - b), initial=0.0) / max(np.max(np.abs(b), initial=0.0), 1e-300)
    assert worst <= tolerance, f"relative difference {worst:.2e}"


def documented(cls: str) -> list[str]:
    """The fitted attributes that scikit-learn's documentation of the class lists."""
    text = inspect.getdoc(getattr(scikit, cls)).split("Attributes\n----------\n")[1].split("See Also")[0]
    return re.findall(r"^(\w+_) :", text, flags=re.MULTILINE)


MEASURED = ("loss_", "best_loss_", "loss_curve_", "coefs_", "intercepts_")
SCORES = ("validation_scores_", "best_validation_score_")


def agree(theirs: Any, ours: Any, X: Any, y: Any, tolerance: float = FLOAT64) -> None:
    """Every documented attribute and every prediction is the same."""
    classifies = isinstance(theirs, scikit.MLPClassifier)
    for name in documented(type(theirs).__name__):
        assert hasattr(ours, name) == hasattr(theirs, name), name
        if not hasattr(theirs, name):
            continue
        actual, expected = getattr(ours, name), getattr(theirs, name)
        if name in MEASURED:
            close(actual, expected, tolerance)
        elif name in SCORES:
            close(actual, expected, 0.0 if classifies else tolerance)
        else:
            np.testing.assert_array_equal(actual, expected, err_msg=name)
            assert np.asarray(actual).dtype == np.asarray(expected).dtype, name
    if classifies:
        np.testing.assert_array_equal(ours.predict(X), theirs.predict(X))
        assert ours.predict(X).dtype == theirs.predict(X).dtype
        close(ours.predict_proba(X), theirs.predict_proba(X), tolerance)
        with np.errstate(divide="ignore"):
            close(ours.predict_log_proba(X), theirs.predict_log_proba(X), tolerance)
        assert ours.score(X, y) == theirs.score(X, y)
    else:
        close(ours.predict(X), theirs.predict(X), tolerance)
        close(ours.score(X, y), theirs.score(X, y), tolerance)


def compare(name: str, params: dict[str, Any], *steps: dict[str, Any], tolerance: float = FLOAT64) -> None:
    """Both estimators do the same steps; after each one they agree, and they have warned of the same."""
    if any(step.get("weighted") for step in steps):
        since("scikit-learn", "1.7", "sample_weight of its MLP")
    if "loss" in params:
        since("scikit-learn", "1.7", "loss= of its MLPRegressor")
    X, y = data(name)
    if params.get("early_stopping") and np.asarray(y).dtype.kind in "UO" and params.get("solver") != "lbfgs":
        since("scikit-learn", "1.9", "early stopping of its MLPClassifier with labels that are strings")
    theirs, ours = pair(kind(name), **params)
    for step in steps or ({},):
        rows = step.get("rows", slice(None))
        weight = np.random.default_rng(1).choice([0.0, 0.5, 1.0, 3.0], size=len(y))[rows]
        given = {"sample_weight": weight} if step.get("weighted") else {}
        if "classes" in step:
            given["classes"] = step["classes"]
        said = []
        for est in (theirs, ours):
            est.set_params(**step.get("params", {}))
            method = getattr(est, step.get("do", "fit"))
            said.append(watched(lambda method=method, rows=rows, given=given: method(X[rows], y[rows], **given))[1])
        if theirs.solver == "lbfgs":
            said = [[category for category, _ in words] for words in said]
        assert said[1] == said[0]
        agree(theirs, ours, X, y, tolerance)


# ---------------------------------------------------------------------- one fit

FITS: dict[str, tuple[str, dict[str, Any]]] = {}
MOMENTA = {"plain": {"momentum": 0.0}, "nesterov": {}, "heavy": {"nesterovs_momentum": False}}
for _set, _rate, _momentum in product(("digits", "diabetes"), ("constant", "invscaling", "adaptive"), MOMENTA):
    FITS[f"sgd-{_rate}-{_momentum}-{_set}"] = _set, {
        "solver": "sgd", "learning_rate": _rate, "learning_rate_init": 0.05, "tol": 0.02, "n_iter_no_change": 3,
    } | MOMENTA[_momentum]  # fmt: skip
for _solver, _set in product(("sgd", "adam"), ("cancer", "multilabel", "two", "words")):
    FITS[f"{_solver}-{_set}"] = _set, {"solver": _solver, "learning_rate_init": 0.01}
for _activation, _solver in product(("identity", "logistic", "tanh", "relu"), ("sgd", "adam")):
    for _set in ("digits", "diabetes"):
        FITS[f"{_activation}-{_solver}-{_set}"] = _set, {
            "activation": _activation, "solver": _solver, "learning_rate_init": 0.01,
        }  # fmt: skip
for _set, _solver in product(("digits", "cancer", "multilabel", "diabetes", "two"), ("sgd", "adam")):
    FITS[f"early-{_solver}-{_set}"] = _set, {
        "solver": _solver, "early_stopping": True, "n_iter_no_change": 3, "validation_fraction": 0.2, "tol": 1e-2,
        "learning_rate_init": 0.01,
    }  # fmt: skip
for _size in ("auto", 1, 7, 300, 301):
    FITS[f"batch-{_size}"] = "digits", {"batch_size": _size, "max_iter": 3}
for _layers in ((), (8, 6), [9, 8, 7], 5, np.array([6, 5])):
    FITS[f"layers-{_layers}"] = "digits", {"hidden_layer_sizes": _layers}
for _alpha in (0, 0.0, 10.0):
    FITS[f"alpha-{_alpha!r}"] = "diabetes", {"alpha": _alpha}
FITS |= {
    "adam-digits-100-epochs": ("digits", {"max_iter": 100, "hidden_layer_sizes": (30,)}),
    "adam-own-betas": ("digits", {"beta_1": 0.8, "beta_2": 0.95, "epsilon": 1e-3}),
    "sgd-power": ("digits", {"solver": "sgd", "learning_rate": "invscaling", "power_t": 0.1, "learning_rate_init": 1}),
    "in-order": ("digits", {"shuffle": False}),
    "in-order-early": ("diabetes", {"shuffle": False, "early_stopping": True, "solver": "sgd"}),
    "no-layer-regression": ("two", {"hidden_layer_sizes": (), "solver": "sgd"}),
    "patience": ("diabetes", {"tol": 0.05, "n_iter_no_change": 2, "max_iter": 60}),
    "adaptive-to-the-end": ("two", {"solver": "sgd", "learning_rate": "adaptive", "tol": 1.0, "n_iter_no_change": 1,
                                    "max_iter": 60}),
    "adaptive-early": ("diabetes", {"solver": "sgd", "learning_rate": "adaptive", "early_stopping": True, "tol": 1.0,
                                    "n_iter_no_change": 1, "max_iter": 60}),
    "no-tolerance": ("diabetes", {"tol": 0.0, "max_iter": 30}),
    "never-stops": ("diabetes", {"tol": 1e9, "n_iter_no_change": np.inf}),
    "poisson-adam": ("counts", {"loss": "poisson"}),
    "poisson-sgd": ("counts", {"loss": "poisson", "solver": "sgd", "early_stopping": True}),
    "csr": ("csr", {"max_iter": 5}),
    "csc-early": ("csc", {"max_iter": 5, "early_stopping": True}),
    "csr-in-order": ("csr", {"max_iter": 5, "solver": "sgd", "shuffle": False}),
    "list": ("list", {"max_iter": 3}),
    "column": ("column", {"max_iter": 3, "early_stopping": True}),
    "largest-seed": ("digits", {"random_state": 2**32 - 1, "max_iter": 4}),
    "diverges-and-restores": ("diabetes", {"solver": "sgd", "learning_rate_init": 1.0, "early_stopping": True,
                                          "activation": "identity", "max_iter": 30}),
}  # fmt: skip


@pytest.mark.parametrize("case", FITS)
def test_a_fit_is_scikit_learns(case: str) -> None:
    compare(FITS[case][0], FITS[case][1])


@pytest.mark.parametrize("name", ["digits", "diabetes", "multilabel", "two", "cancer"])
@pytest.mark.parametrize("solver", ["sgd", "adam"])
@pytest.mark.parametrize("early_stopping", [False, True])
def test_a_weighted_fit_is_scikit_learns(name: str, solver: str, early_stopping: bool) -> None:
    params = {"solver": solver, "early_stopping": early_stopping, "batch_size": 40, "alpha": 0.1}
    compare(name, params, {"weighted": True})


LBFGS_FITS: dict[str, tuple[str, dict[str, Any]]] = {
    **{f"{name}": (name, {}) for name in ("digits", "cancer", "words", "multilabel", "diabetes", "two", "csr")},
    **{a: ("diabetes", {"activation": a, "alpha": 0.5}) for a in ("identity", "logistic", "tanh")},
    "converges": ("diabetes", {"max_iter": 500, "alpha": 1.0, "tol": 0.01, "activation": "tanh"}),
    "few-evaluations": ("digits", {"max_fun": 10}),
    "poisson": ("counts", {"loss": "poisson", "alpha": 1.0}),
    "no-layer": ("cancer", {"hidden_layer_sizes": (), "alpha": 1.0}),
    "early_stopping-means-nothing": ("digits", {"early_stopping": True}),
}


@pytest.mark.parametrize("case", LBFGS_FITS)
@pytest.mark.parametrize("weighted", [False, True])
def test_an_lbfgs_fit_is_scikit_learns(case: str, weighted: bool) -> None:
    name, params = LBFGS_FITS[case]
    compare(name, {"solver": "lbfgs", "max_iter": 15} | params, {"weighted": weighted}, tolerance=LBFGS)


# ---------------------------------------------------------------------- several calls

CALLS: dict[str, tuple[str, dict[str, Any], list[dict[str, Any]]]] = {}
HALVES = (slice(0, 90), slice(60, 150), slice(None))
for _name, _classes in {"digits": range(10), "words": ["drei", "eins", "null", "zwei"], "multilabel": range(4)}.items():
    for _solver, _rate in (("adam", "constant"), ("sgd", "constant"), ("sgd", "invscaling"), ("sgd", "adaptive")):
        CALLS[f"partial-{_solver}-{_rate}-{_name}"] = (
            _name,
            {"solver": _solver, "learning_rate": _rate, "tol": 0.1, "n_iter_no_change": 1, "learning_rate_init": 0.05},
            [{"do": "partial_fit", "rows": HALVES[i % 3], "weighted": i > 6} | ({} if i else {"classes": _classes})
             for i in range(9)],
        )  # fmt: skip
PARTIAL, MORE = {"do": "partial_fit"}, {"params": {"max_iter": 7}}
for _solver in ("sgd", "adam"):
    CALLS |= {
        f"partial-{_solver}-regression": ("two", {"solver": _solver}, [PARTIAL] * 4),
        f"partial-after-fit-{_solver}": ("diabetes", {"solver": _solver}, [{}, PARTIAL, PARTIAL, {}, PARTIAL]),
        f"warm-{_solver}": (
            "digits", {"solver": _solver, "warm_start": True, "tol": 0.01, "n_iter_no_change": 3},
            [{}, {}, MORE, {"rows": slice(0, 200)}, {}]),
        f"warm-early-{_solver}": (
            "diabetes", {"solver": _solver, "warm_start": True, "early_stopping": True, "learning_rate_init": 0.02},
            [{}, {}, MORE, {}]),
        f"refit-{_solver}": ("cancer", {"solver": _solver}, [{}, {"params": {"hidden_layer_sizes": (5, 4)}}]),
        f"warm-partial-{_solver}": ("diabetes", {"solver": _solver, "warm_start": True}, [PARTIAL, {}, PARTIAL, {}]),
    }  # fmt: skip
CALLS |= {
    "warm-adaptive": ("two", {"solver": "sgd", "learning_rate": "adaptive", "tol": 1.0, "n_iter_no_change": 1,
                              "warm_start": True}, [{}, {}, {}]),
    "warm-invscaling": ("two", {"solver": "sgd", "learning_rate": "invscaling", "warm_start": True}, [{}, {}]),
    "new-rate-is-ignored": ("two", {"solver": "sgd"},
                            [PARTIAL, PARTIAL | {"params": {"learning_rate_init": 0.5, "momentum": 0.1}}, PARTIAL]),
    "new-solver-is-ignored": ("two", {"solver": "sgd"}, [PARTIAL, PARTIAL | {"params": {"solver": "adam"}}]),
    "new-classes-without-warm-start": ("digits", {"max_iter": 4}, [{"rows": slice(0, 20)}, {"rows": slice(0, 9)}]),
}  # fmt: skip


@pytest.mark.parametrize("case", CALLS)
def test_several_calls_are_scikit_learns(case: str) -> None:
    name, params, steps = CALLS[case]
    compare(name, params, *steps)


@pytest.mark.parametrize("name", ["digits", "diabetes"])
def test_a_warm_lbfgs_goes_on_where_it_was(name: str) -> None:
    compare(name, {"solver": "lbfgs", "warm_start": True, "max_iter": 6}, {}, {}, {}, tolerance=LBFGS)


def test_a_random_state_object_is_drawn_from_in_the_same_order() -> None:
    X, y = data("digits")
    states = [np.random.RandomState(5), np.random.RandomState(5)]
    theirs, ours = (pair("MLPClassifier", random_state=state, early_stopping=True)[i] for i, state in enumerate(states))
    for _ in range(2):
        watched(lambda: theirs.fit(X, y))
        watched(lambda: ours.fit(X, y))
        agree(theirs, ours, X, y)
        assert states[0].randint(2**31) == states[1].randint(2**31)


@pytest.mark.parametrize("name", ["single", "diabetes", "multilabel"])
@pytest.mark.parametrize("solver", ["sgd", "adam", "lbfgs"])
def test_single_precision_stays_single(name: str, solver: str) -> None:
    X, y = data(name)
    X = X.astype(np.float32)
    theirs, ours = pair(kind(name), solver=solver, max_iter=10)
    watched(lambda: theirs.fit(X, y))
    watched(lambda: ours.fit(X, y))
    close(np.float64(ours.loss_), np.float64(theirs.loss_), FLOAT32)
    if solver != "lbfgs":
        close(np.float64(ours.loss_curve_), np.float64(theirs.loss_curve_), FLOAT32)
    asked = ["predict"] if name == "diabetes" else ["predict", "predict_proba", "predict_log_proba"]
    for attribute in ("coefs_", "intercepts_"):
        dtypes = [[a.dtype for a in getattr(est, attribute)] for est in (theirs, ours)]
        # scikit-learn's lbfgs leaves float64 weights behind; bpx keeps the dtype of X
        assert dtypes[1] == (dtypes[0] if solver != "lbfgs" else [np.float32] * 2)
    if solver != "lbfgs":
        assert [getattr(ours, ask)(X).dtype for ask in asked] == [getattr(theirs, ask)(X).dtype for ask in asked]


@pytest.mark.parametrize("cls", BOTH)
def test_feature_names_are_kept_and_checked(cls: str) -> None:
    pandas = pytest.importorskip("pandas")
    X, y = data("digits")
    frame = pandas.DataFrame(X[:, :3], columns=["a", "b", "c"])
    theirs, ours = (est.fit(frame, y) for est in pair(cls, n_iter_no_change=1, tol=10.0))
    agree(theirs, ours, frame, y)
    assert ours.feature_names_in_.tolist() == ["a", "b", "c"]
    for est in (theirs, ours):
        with pytest.raises(ValueError, match="feature names should match"):
            est.predict(frame.rename(columns={"a": "z"}))
        with pytest.warns(UserWarning, match="X does not have valid feature names"):
            est.predict(X[:, :3])


# ---------------------------------------------------------------------- interrupted, and weights set by hand


@pytest.mark.parametrize("early_stopping", [False, True])
def test_ctrl_c_warns_and_keeps_the_model(early_stopping: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """It comes as the fourth epoch begins, while the samples are shuffled."""
    X, y = data("digits")
    for est, module in zip(
        ests := pair("MLPClassifier", early_stopping=early_stopping),
        ("sklearn.neural_network._multilayer_perceptron", "bpx.estimators.solver"),
        strict=True,
    ):
        calls: list[int] = []

        def interrupted(rows: Any, random_state: Any, calls: list[int] = calls) -> Any:
            calls.append(1)
            if len(calls) > 3:
                raise KeyboardInterrupt
            return random_state.permutation(rows)

        monkeypatch.setattr(f"{module}.shuffle", interrupted)
        _, said = watched(lambda est=est: est.fit(X, y))
        assert said == [(UserWarning, "Training interrupted by user.")]
        assert est.n_iter_ == 3
    agree(*ests, X, y)


def whole(est: Any) -> None:
    est.coefs_ = [2.0 * W for W in est.coefs_]
    est.intercepts_ = [b - 1.0 for b in est.intercepts_]


def item(est: Any) -> None:
    est.coefs_[0] = 0.5 * est.coefs_[0]
    est.intercepts_[-1] = est.intercepts_[-1] + 3.0


def augmented(est: Any) -> None:
    est.coefs_[-1] *= -1.5
    est.intercepts_[0] += 0.25


def in_place(est: Any) -> None:
    est.coefs_[0][2, :] = 0.125
    est.coefs_[1][...] -= 0.5
    est.intercepts_[0][0] = 7.0


@pytest.mark.parametrize("change", [whole, item, augmented, in_place])
@pytest.mark.parametrize("name", ["digits", "two", "cancer"])
def test_weights_set_by_hand_change_predictions_as_in_scikit_learn(change: Any, name: str) -> None:
    X, y = data(name)
    theirs, ours = pair(kind(name), max_iter=2)
    for est in (theirs, ours):
        watched(lambda est=est: est.fit(X, y))
    ask = "predict" if kind(name) == "MLPRegressor" else "predict_proba"
    before = getattr(ours, ask)(X)
    change(theirs)
    change(ours)
    agree(theirs, ours, X, y)
    assert np.max(np.abs(getattr(ours, ask)(X) - before)) > 0.01
