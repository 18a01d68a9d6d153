"""The estimators keep scikit-learn's conventions: its own checks, its parameters, its messages, all or nothing."""

from __future__ import annotations

import inspect
import re
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import sklearn.neural_network as scikit
from releases import since
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.exceptions import NotFittedError
from sklearn.utils.estimator_checks import parametrize_with_checks
from sklearn.utils.validation import check_is_fitted

import bpx
from bpx.network.mlp import MLP

BOTH = ("MLPClassifier", "MLPRegressor")
X, y = load_digits(return_X_y=True)
X, y = X[:120] / 16.0, y[:120]
BROKEN = np.where(np.arange(X.size).reshape(X.shape) == 70, np.nan, X)


def quietly(action: Callable[[], Any]) -> Any:
    """What an action returns, whatever it warns of."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return action()


@parametrize_with_checks([getattr(bpx, cls)(max_iter=100) for cls in BOTH])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_scikit_learns_own_checks_pass(estimator: Any, check: Any) -> None:
    """None is expected to fail, as none is for scikit-learn's own MLP."""
    check(estimator)


# ---------------------------------------------------------------------- parameters and attributes


@pytest.mark.parametrize("cls", BOTH)
def test_every_parameter_of_scikit_learn_is_there_in_its_place_with_its_default(cls: str) -> None:
    if cls == "MLPRegressor":
        since("scikit-learn", "1.7", "loss= of its MLPRegressor")
    theirs, ours = (inspect.signature(getattr(module, cls)).parameters for module in (scikit, bpx))
    bare = {name: ours[name].replace(annotation=inspect.Parameter.empty) for name in theirs}  # theirs have no types
    assert bare == dict(theirs)
    positional = [p.name for p in theirs.values() if p.kind is p.POSITIONAL_OR_KEYWORD]
    assert [p.name for p in ours.values() if p.kind is p.POSITIONAL_OR_KEYWORD] == positional


@pytest.mark.parametrize("cls", BOTH)
def test_every_public_method_of_scikit_learn_takes_the_same_arguments(cls: str) -> None:
    since("scikit-learn", "1.7", "sample_weight of its MLP")
    theirs, ours = getattr(scikit, cls), getattr(bpx, cls)
    names = [name for name in dir(theirs) if not name.startswith("_")]
    assert set(names) <= set(dir(ours))
    for name in ("fit", "partial_fit", "predict", "predict_proba", "predict_log_proba", "score"):
        if hasattr(theirs, name):
            wanted = list(inspect.signature(getattr(theirs, name)).parameters.values())
            given = list(inspect.signature(getattr(ours, name)).parameters.values())
            same = [(p.name, p.default, p.kind) for p in given][: len(wanted)]
            assert same == [(p.name, p.default, p.kind) for p in wanted]
            assert all(p.kind is p.KEYWORD_ONLY for p in given[len(wanted) :])


@pytest.mark.parametrize("cls", BOTH)
@pytest.mark.parametrize("params", [{}, {"early_stopping": True}, {"solver": "lbfgs"}])
def test_every_documented_attribute_is_there_after_fit_and_only_then(cls: str, params: dict[str, Any]) -> None:
    text = inspect.getdoc(getattr(scikit, cls)).split("Attributes\n----------\n")[1].split("See Also")[0]
    names = set(re.findall(r"^(\w+_) :", text, flags=re.MULTILINE)) - {"feature_names_in_"}
    if params.get("solver") == "lbfgs":
        names -= {"loss_curve_", "best_loss_", "validation_scores_", "best_validation_score_"}
    assert len(names) >= 9
    est = getattr(bpx, cls)(max_iter=2, **params)
    assert not any(hasattr(est, name) for name in names)
    quietly(lambda: est.fit(X, y))
    assert [name for name in sorted(names) if not hasattr(est, name)] == []


@pytest.mark.parametrize("cls", BOTH)
def test_parameters_survive_get_set_and_clone(cls: str) -> None:
    made = getattr(bpx, cls)
    names = list(inspect.signature(made).parameters)
    values = {name: object() for name in names}
    est = made(**values)
    assert est.get_params() == values
    again = made().set_params(**values)
    assert {name: getattr(again, name) for name in names} == values
    plain = {name: p.default for name, p in inspect.signature(made).parameters.items()} | {"alpha": 0.5, "dropout": 0.1}
    assert clone(made(**plain)).get_params() == plain
    with pytest.raises(ValueError, match="Invalid parameter 'no_such'"):
        made().set_params(no_such=1)


# ---------------------------------------------------------------------- what is printed

VERBOSE: dict[str, dict[str, Any]] = {
    "adam": {"max_iter": 4},
    "patience": {"tol": 1.0, "n_iter_no_change": 2},
    "early": {"early_stopping": True, "tol": 1.0, "n_iter_no_change": 2},
    "adaptive": {"solver": "sgd", "learning_rate": "adaptive", "tol": 1.0, "n_iter_no_change": 1, "max_iter": 60},
    "adaptive-early": {"solver": "sgd", "learning_rate": "adaptive", "early_stopping": True, "tol": 1.0,
                       "n_iter_no_change": 1, "max_iter": 60},
}  # fmt: skip


@pytest.mark.parametrize("case", VERBOSE)
@pytest.mark.parametrize("verbose", [True, 2, False])
def test_the_same_lines_are_printed(case: str, verbose: Any, capsys: pytest.CaptureFixture[str]) -> None:
    lines = []
    for module in (scikit, bpx):
        est = module.MLPRegressor(hidden_layer_sizes=4, random_state=0, verbose=verbose, **VERBOSE[case])
        quietly(lambda est=est: est.fit(X, y))
        lines.append(capsys.readouterr().out)
    assert lines[1] == lines[0]
    assert bool(lines[1]) == bool(verbose)


def test_partial_fit_prints_the_same_lines(capsys: pytest.CaptureFixture[str]) -> None:
    lines = []
    for module in (scikit, bpx):
        est = module.MLPRegressor(random_state=0, verbose=True, **VERBOSE["adaptive"])
        for _ in range(6):
            est.partial_fit(X, y)
        lines.append(capsys.readouterr().out)
    assert lines[1] == lines[0]
    assert "Setting learning rate" in lines[1]


# ---------------------------------------------------------------------- bad parameters, bad input


def raised(action: Callable[[], Any]) -> tuple[type, str]:
    """The exception that an action ends with."""
    with pytest.raises(Exception) as caught:  # noqa: PT011 - which one is what the caller compares
        quietly(action)
    return type(caught.value), str(caught.value)


def frozen(value: Any) -> Any:
    """A value that stays the same only if everything in it does, to the bit."""
    if isinstance(value, np.ndarray) and value.dtype != object:
        return value.dtype.str, value.shape, value.tobytes()
    if isinstance(value, MLP):
        return frozen(value.flat), [frozen(a) for a in value.params.values()], value.sizes
    if isinstance(value, dict):
        return {name: frozen(v) for name, v in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [frozen(v) for v in value]
    if hasattr(value, "__dict__") and not isinstance(value, (type, np.random.RandomState)):
        return type(value), frozen(vars(value))
    return repr(value)


PARAMS: list[tuple[str, dict[str, Any]]] = [
    *((cls, {"hidden_layer_sizes": sizes}) for cls in BOTH for sizes in ((-1,), (4, 0), [3, -2], 0, -5, "x")),
    *(("MLPClassifier", {name: bad}) for name, values in {
        "alpha": (-1.0, "x", None), "batch_size": (0, -3, "x", 1.5), "learning_rate_init": (0, -1, "x"),
        "power_t": (-1,), "max_iter": (0, -1, 1.5), "shuffle": ("x", 1.5), "random_state": ("x", -1), "tol": (-1, "x"),
        "verbose": ("x", -1), "warm_start": ("x",), "momentum": (-0.1, 2.0), "nesterovs_momentum": ("x",),
        "early_stopping": ("x",), "validation_fraction": (1.0, -0.1), "beta_1": (1.0, -0.5), "beta_2": (1.0, -0.5),
        "epsilon": (0.0, -1.0), "n_iter_no_change": (0, -1, 2.5), "max_fun": (0, -1),
    }.items() for bad in values),
]  # fmt: skip
CHOICES = [(cls, {name: bad}) for cls in BOTH for bad in ("no_such", 7) for name in ("activation", "solver",
           "learning_rate")] + [("MLPRegressor", {"loss": "no_such"}), ("MLPRegressor", {"loss": None})]  # fmt: skip


@pytest.mark.parametrize(("cls", "params"), PARAMS + CHOICES)
@pytest.mark.parametrize("do", ["fit", "partial_fit"])
def test_a_bad_parameter_has_scikit_learns_error(cls: str, params: dict[str, Any], do: str) -> None:
    if "loss" in params:
        since("scikit-learn", "1.7", "loss= of its MLPRegressor")
    said = []
    for module in (scikit, bpx):
        est = getattr(module, cls)(max_iter=1)
        est.set_params(**params)
        before = frozen(vars(est))
        kwargs = {"classes": range(10)} if do == "partial_fit" and cls == "MLPClassifier" else {}
        if do == "partial_fit" and not hasattr(est, do):
            assert params.get("solver") is not None
            return
        kind, text = raised(lambda est=est, kwargs=kwargs: getattr(est, do)(X, y, **kwargs))
        # bpx knows more names than scikit-learn: the lists of what is allowed differ
        said.append(
            (kind, re.sub("must be .* Got", "must be one of them. Got", text) if (cls, params) in CHOICES else text)
        )
    assert said[1] == said[0]
    assert frozen(vars(est)) == before


ACTIONS: dict[str, tuple[str, dict[str, Any], Callable[[Any], Any]]] = {
    "other-columns": (BOTH[0], {}, lambda e: e.predict(X[:, :5])),
    "other-columns-proba": (BOTH[0], {}, lambda e: e.predict_proba(X[:, :5])),
    "other-columns-partial": (BOTH[0], {}, lambda e: e.partial_fit(X[:, :5], y)),
    "other-columns-warm": (BOTH[1], {"warm_start": True}, lambda e: e.fit(X[:, :5], y)),
    "nan": (BOTH[0], {}, lambda e: e.fit(BROKEN, y)),
    "nan-partial": (BOTH[1], {}, lambda e: e.partial_fit(BROKEN, y)),
    "nan-predict": (BOTH[1], {}, lambda e: e.predict(BROKEN)),
    "nan-score": (BOTH[0], {}, lambda e: e.score(BROKEN, y)),
    "infinite": (BOTH[1], {}, lambda e: e.fit(X * np.inf, y)),
    "one-dimension": (BOTH[0], {}, lambda e: e.fit(X[0], y)),
    "one-dimension-predict": (BOTH[0], {}, lambda e: e.predict(X[0])),
    "three-dimensions": (BOTH[1], {}, lambda e: e.fit(X[None], y)),
    "empty": (BOTH[0], {}, lambda e: e.fit(X[:0], y[:0])),
    "no-columns": (BOTH[1], {}, lambda e: e.fit(X[:, :0], y)),
    "text": (BOTH[1], {}, lambda e: e.fit(X.astype(str).astype(object) + "a", y)),
    "complex": (BOTH[1], {}, lambda e: e.fit(X + 1j, y)),
    "short-y": (BOTH[0], {}, lambda e: e.fit(X, y[:-1])),
    "no-y": (BOTH[0], {}, lambda e: e.fit(X, None)),
    "nan-y": (BOTH[1], {}, lambda e: e.fit(X, np.where(y == 3, np.nan, y))),
    "nan-y-classes": (BOTH[0], {}, lambda e: e.fit(X, np.where(y == 3, np.nan, y))),
    "text-y": (BOTH[1], {}, lambda e: e.fit(X, y.astype(str).astype(object) + "a")),
    "continuous-y": (BOTH[0], {}, lambda e: e.fit(X, y + 0.5)),
    "weight-length": (BOTH[0], {}, lambda e: e.fit(X, y, np.ones(5))),
    "weight-shape": (BOTH[1], {}, lambda e: e.fit(X, y, np.ones((len(y), 2)))),
    "weight-nan": (BOTH[1], {}, lambda e: e.fit(X, y, np.full(len(y), np.nan))),
    "weight-text": (BOTH[1], {}, lambda e: e.fit(X, y, ["a"] * len(y))),
    "unseen-class": (BOTH[0], {}, lambda e: e.partial_fit(X, y + 1)),
    "other-classes-list": (BOTH[0], {}, lambda e: e.partial_fit(X, y, classes=range(3))),
    "warm-fewer-classes": (BOTH[0], {"warm_start": True}, lambda e: e.fit(X[y < 5], y[y < 5])),
    "warm-other-classes": (BOTH[0], {"warm_start": True}, lambda e: e.fit(X, y + 1)),
    "small-validation": (BOTH[0], {"early_stopping": True}, lambda e: e.fit(X[:9], y[:9])),
    "small-validation-regression": (BOTH[1], {"early_stopping": True}, lambda e: e.fit(X[:9], y[:9])),
    "no-validation": (BOTH[1], {"early_stopping": True, "validation_fraction": 0.0}, lambda e: e.fit(X, y)),
    "single-member": (BOTH[0], {"early_stopping": True}, lambda e: e.fit(X, np.arange(len(y)) == 0)),
    "partial-early": (BOTH[0], {"early_stopping": True}, lambda e: e.partial_fit(X, y)),
    "partial-early-regression": (BOTH[1], {"early_stopping": True}, lambda e: e.partial_fit(X, y)),
    "not-finite": (BOTH[1], {"solver": "sgd"}, lambda e: e.fit(np.finfo(np.float64).max * X[:, :2], y)),
    "not-finite-partial": (BOTH[1], {"solver": "sgd"}, lambda e: e.partial_fit(1e300 * X, y)),
    "diverges": (BOTH[1], {"learning_rate_init": 1e9, "solver": "sgd", "activation": "identity", "max_iter": 30},
                 lambda e: e.fit(1e3 * X, y)),
    "diverges-warm": (BOTH[1], {"learning_rate_init": 1e9, "solver": "sgd", "activation": "identity", "max_iter": 30,
                                "warm_start": True}, lambda e: e.fit(1e3 * X, y)),
}  # fmt: skip


@pytest.mark.parametrize("case", ACTIONS)
@pytest.mark.parametrize("fitted", [True, False])
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_a_failure_has_scikit_learns_error_and_changes_nothing(case: str, fitted: bool, solver: str) -> None:
    cls, params, action = ACTIONS[case]
    if case.startswith("weight"):
        since("scikit-learn", "1.7", "sample_weight of its MLP")
    if case.startswith("small-validation"):
        since("scikit-learn", "1.7", "its error for too few samples to validate")
    if solver == "lbfgs" and ("partial" in case or {"solver", "early_stopping"} & set(params) or "class" in case):
        solver = "adam"
    said = []
    for module in (scikit, bpx):
        sizes = {"hidden_layer_sizes": (5,)} if cls == BOTH[0] else {}
        est = getattr(module, cls)(max_iter=3, random_state=0, **sizes)
        est.set_params(solver=solver)
        if fitted:
            quietly(lambda est=est: est.fit(X, y))
        elif case in {"unseen-class", "other-classes-list", "other-columns-partial"} or case.startswith("warm-"):
            quietly(lambda est=est: est.partial_fit(X, y, classes=range(10)))
        est.set_params(**params)
        before, answers = (
            frozen(vars(est)),
            quietly(lambda est=est: est.predict(X)) if hasattr(est, "classes_") else None,
        )
        if not fitted and case == "other-columns-warm":
            return
        said.append(raised(lambda est=est: action(est)))
    if case == "continuous-y":  # scikit-learn's MLP prints the targets here, its other classifiers and bpx a sentence
        said = [(kind, text[: len("Unknown label type: ")]) for kind, text in said]
    assert said[1] == said[0]
    assert frozen(vars(est)) == before
    if answers is not None:
        np.testing.assert_array_equal(est.predict(X), answers)
    elif not fitted:
        with pytest.raises(NotFittedError):
            check_is_fitted(est)


@pytest.mark.parametrize("fitted", [True, False])
def test_a_failed_call_leaves_no_trace_in_the_next_one(fitted: bool) -> None:
    clean, marred = (bpx.MLPClassifier((5,), max_iter=3, random_state=0, warm_start=True) for _ in range(2))
    steps: list[Callable[[Any], Any]] = [lambda e: e.fit(X, y), lambda e: e.partial_fit(X, y), lambda e: e.fit(X, y)]
    for step in steps if fitted else steps[2:]:
        for rows, labels in ((BROKEN, y), (X, y + 100)):
            for do, kwargs in (("partial_fit", {"classes": range(10)}), ("fit", {})):
                if clean.__sklearn_is_fitted__() or do == "partial_fit":
                    with pytest.raises(ValueError, match=r"NaN|classes"):
                        getattr(marred, do)(rows, labels, **kwargs)
        for est in (clean, marred):
            quietly(lambda est=est, step=step: step(est))
        for a, b in zip(marred.coefs_ + marred.intercepts_, clean.coefs_ + clean.intercepts_, strict=True):
            np.testing.assert_array_equal(a, b)
        assert marred.loss_curve_ == clean.loss_curve_


def test_partial_fit_without_classes_has_scikit_learns_error() -> None:
    assert raised(lambda: bpx.MLPClassifier().partial_fit(X, y)) == raised(
        lambda: scikit.MLPClassifier().partial_fit(X, y)
    )


@pytest.mark.parametrize("module", [scikit, bpx])
def test_partial_fit_is_not_there_for_lbfgs(module: Any) -> None:
    assert not hasattr(module.MLPClassifier(solver="lbfgs"), "partial_fit")
    assert hasattr(module.MLPClassifier(solver="sgd"), "partial_fit")
    # scikit-learn's regressor has it by mistake, where it is a fit that starts from the weights there are
    assert hasattr(module.MLPRegressor(solver="lbfgs"), "partial_fit") == (module is scikit)


@pytest.mark.parametrize("cls", BOTH)
@pytest.mark.parametrize("ask", ["predict", "score", "predict_proba", "predict_log_proba"])
def test_asking_before_fit_has_scikit_learns_error(cls: str, ask: str) -> None:
    args = (X, y) if ask == "score" else (X,)
    assert (
        raised(lambda: getattr(getattr(bpx, cls)(), ask)(*args))[0]
        is raised(lambda: getattr(getattr(scikit, cls)(), ask)(*args))[0]
    )
