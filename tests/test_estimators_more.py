"""What the estimators add to scikit-learn's: each addition against its definition, or against a plain fit."""

from __future__ import annotations

import copy
import re
import subprocess
import sys
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from estimator_samples import (
    BINARY,
    FEATURES,
    LABELS,
    NUMBERS,
    SEVERAL,
    SMALL,
    WEIGHTS,
    N,
    X,
    classifier,
    regressor,
    same,
)
from sklearn import config_context
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.utils.class_weight import compute_class_weight, compute_sample_weight

import bpx
from bpx import losses, optimizers, schedules
from bpx.network.objective import Objective
from bpx.training.solvers import METHODS

# Two ways to the same numbers, relative to the largest; central differences with their step.
CENTRAL, STEP = 1e-7, 1e-6

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

X_VAL, LABELS_VAL, NUMBERS_VAL, W_VAL = X[:30] + 0.05, LABELS[:30], NUMBERS[:30], WEIGHTS[:30]


def different(a: Any, b: Any) -> None:
    assert max(float(np.max(np.abs(p - q))) for p, q in zip(a.coefs_, b.coefs_, strict=True)) > 1e-4


def weights(est: Any) -> list[np.ndarray]:
    return [*est.coefs_, *est.intercepts_]


# ---------------------------------------------------------------------- where and in what precision


@pytest.mark.parametrize("estimator", [classifier, regressor])
def test_every_library_trains_host_data_to_the_same_weights(lib: bpx.Backend, estimator: Any) -> None:
    y = LABELS if estimator is classifier else NUMBERS
    est = estimator(backend=lib).fit(X, y, WEIGHTS)
    assert (est.backend_, est.device_) == (lib.name, str(lib.device))
    plain = estimator(backend="numpy").fit(X, y, WEIGHTS)
    same(weights(est), weights(plain))  # on the host, as the data are
    shown = est.predict(X)
    assert isinstance(shown, np.ndarray)
    if estimator is classifier:
        np.testing.assert_array_equal(shown, plain.predict(X))
    else:
        same(shown, plain.predict(X))


@pytest.mark.parametrize(("dtype", "given"), [("float32", np.float64), ("float64", np.float32), (None, np.float32)])
def test_dtype_is_the_networks_and_by_default_the_datas(dtype: str | None, given: Any) -> None:
    est = regressor(dtype=dtype).fit(X.astype(given), NUMBERS)
    expected = dtype or np.dtype(given).name
    assert {w.dtype.name for w in weights(est)} == {expected}
    assert est.predict(X.astype(given)).dtype.name == expected


def test_device_goes_behind_the_backends_name_or_is_the_modules() -> None:
    xs = pytest.importorskip("array_api_strict")
    est = classifier(backend=xs, device=xs.Device("device1")).fit(X, LABELS)
    assert (est.backend_, est.device_) == ("array_api_strict", "array_api_strict.Device('device1')")
    with pytest.raises(ValueError, match="device='cuda' needs backend"):
        classifier(device="cuda").fit(X, LABELS)
    for backend in (None, "numpy"):  # the name that `device_` reports
        assert classifier(backend=backend, device="cpu").fit(X, LABELS).device_ == "cpu"
    with pytest.raises(ValueError, match="unknown backend 'numpy:7'"):
        classifier(backend="numpy", device=7).fit(X, LABELS)


def test_cupy_without_a_gpu_falls_back_with_one_warning_per_fit() -> None:
    if next(b for b in bpx.backends() if b.name == "cupy").available:
        pytest.skip("a GPU is here")
    est = classifier(backend="cupy", early_stopping=True, n_init=2)
    for train in (est.fit, est.fit, est.set_params(early_stopping=False).partial_fit):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            train(X, LABELS)
            est.predict(X)
        fallbacks = [w for w in caught if w.category is bpx.BackendFallbackWarning]
        assert len(fallbacks) == 1
        assert "'cupy' cannot be used, NumPy takes its place" in str(fallbacks[0].message)
        assert (est.backend_, est.device_) == ("numpy", "cpu")


@pytest.mark.parametrize("name", ["MLPClassifier", "MLPRegressor"])
def test_without_scikit_learn_the_error_names_the_extra(name: str) -> None:
    code = f"""
import sys
sys.modules["sklearn"] = None
import bpx
try:
    bpx.{name}
except ImportError as error:
    assert bpx.errors.how_to_install("sklearn", "scikit-learn") in str(error) and "bpx.{name}" in str(error), error
else:
    raise SystemExit("no error")
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_importing_bpx_imports_no_scikit_learn() -> None:
    code = "import sys, bpx; bpx.MLP([1, 2]); assert not [m for m in sys.modules if m.startswith('sklearn')]"
    subprocess.run([sys.executable, "-c", code], check=True)


# ---------------------------------------------------------------------- network


def test_each_hidden_layer_has_its_activation() -> None:
    est = regressor(hidden_layer_sizes=(6, 4), activation=["tanh", bpx.activations.get("gelu")]).fit(X, NUMBERS)
    first, second = est.hidden_activations(X)
    same(first, np.tanh(X @ est.coefs_[0] + est.intercepts_[0]))
    same(second, bpx.activations.get("gelu").forward(np, first @ est.coefs_[1] + est.intercepts_[1]))
    same(est.predict(X), (second @ est.coefs_[2] + est.intercepts_[2])[:, 0])
    with pytest.raises(ValueError, match="a list of 2"):
        regressor(hidden_layer_sizes=(6, 4), activation=["tanh"]).fit(X, NUMBERS)


@pytest.mark.parametrize("name", ["logistic", "tanh"])
def test_a_list_of_equal_activations_is_the_one(name: str) -> None:
    sizes = {"hidden_layer_sizes": (6, 4)}
    same(
        classifier(activation=[name, name], **sizes).fit(X, LABELS),
        classifier(activation=name, **sizes).fit(X, LABELS),
    )


def test_the_output_activation_can_be_chosen() -> None:
    est = regressor(output_activation="softplus").fit(X, np.abs(NUMBERS))
    assert est.out_activation_ == "softplus"
    z = est.hidden_activations(X)[0] @ est.coefs_[1] + est.intercepts_[1]
    same(est.predict(X), np.log1p(np.exp(z[:, 0])))
    with pytest.raises(ValueError, match="binary_cross_entropy"):
        classifier(output_activation="tanh").fit(X, BINARY)


def cubic(xp: Any, a: Any, y: Any) -> tuple[Any, Any]:
    """|a - y|^3 and its derivative."""
    r = a - y
    return xp.abs(r) ** 3, 3.0 * r * xp.abs(r)


@pytest.mark.parametrize("loss", ["absolute_error", "huber", losses.huber(0.3), cubic, "squared_error"])
@pytest.mark.parametrize(("estimator", "y"), [(classifier, LABELS), (classifier, BINARY), (regressor, NUMBERS)])
def test_the_loss_is_the_one_that_is_asked_for(loss: Any, estimator: Any, y: Any) -> None:
    est = estimator(loss=loss, alpha=0.0, batch_size=N, max_iter=1, solver=bpx.SGD(1e-9)).fit(X, y)
    formula = losses.get(loss).on_outputs
    output = est.predict_proba(X)[:, -1:] if y is BINARY else est.predict_proba(X) if y is LABELS else est.predict(X)
    target = y[:, None] == est.classes_[1:] if y is BINARY else y[:, None] == est.classes_ if y is LABELS else y
    values = formula(np, np.reshape(output, (N, -1)), np.reshape(target * 1.0, (N, -1)))[0]
    same(est.loss_, np.sum(values) / N, tolerance=1e-6)


@pytest.mark.parametrize("name", sorted(losses.LOSSES))
def test_every_loss_of_bpx_trains_a_regressor_or_says_why_not(name: str) -> None:
    y = np.abs(NUMBERS) / 10.0
    if losses.LOSSES[name].outputs in {"real", "positive"}:
        est = regressor(loss=name, max_iter=40).fit(X, y)
        assert est.loss_curve_[-1] < est.loss_curve_[0]
    else:
        with pytest.raises(ValueError, match=f"loss '{name}'"):
            regressor(loss=name).fit(X, y)


def test_dropout_is_for_training_only_and_the_seed_decides() -> None:
    params = {"hidden_layer_sizes": (30, 20), "dropout": [0.5, 0.2]}
    one, again = classifier(**params).fit(X, LABELS), classifier(**params).fit(X, LABELS)
    same(one, again)
    np.testing.assert_array_equal(one.predict_proba(X), one.predict_proba(X))
    different(one, classifier(**(params | {"dropout": 0.0})).fit(X, LABELS))
    with pytest.raises(ValueError, match="needs a loss without randomness"):
        classifier(solver="lbfgs", dropout=0.1).fit(X, LABELS)


# ---------------------------------------------------------------------- penalty, weights


@pytest.mark.parametrize("per_batch", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
def test_the_l1_terms_gradient_agrees_with_central_differences(per_batch: bool, weighted: bool) -> None:
    net = bpx.MLP([FEATURES, 4, 1], "tanh", "identity", dtype="float64", backend="numpy", seed=3)
    net.biases[0][...] = 0.7
    objective = Objective(net, losses.get("squared_error"), l2=0.3, l1=0.2, per_batch=per_batch)
    batch = (X, NUMBERS[:, None], WEIGHTS[:, None] if weighted else None)
    grad = objective.value_and_grad(*batch)[1].copy()
    numeric = np.empty_like(grad)
    for i in range(net.n_params):
        ends = [net.flat.copy(), net.flat.copy()]
        ends[0][i] += STEP
        ends[1][i] -= STEP
        numeric[i] = (objective.value(*batch, ends[0]) - objective.value(*batch, ends[1])) / (2 * STEP)
    same(grad, numeric, CENTRAL)


@pytest.mark.parametrize("weighted", [False, True])
def test_l1_adds_the_sum_of_absolute_weights_over_the_batch(weighted: bool) -> None:
    w = WEIGHTS if weighted else None
    params = {"batch_size": N, "max_iter": 1, "alpha": 0.0}
    plain, held = (regressor(l1=l1, **params).fit(X, NUMBERS, w) for l1 in (0.0, 0.5))
    # The loss of the only epoch is that before its step, at the initial weights: biases are not penalised.
    start = regressor(solver=bpx.SGD(1e-12), **params).fit(X, NUMBERS, w)
    penalty = 0.5 * sum(np.sum(np.abs(W)) for W in start.coefs_) / (np.sum(WEIGHTS) if weighted else N)
    same(held.loss_ - plain.loss_, penalty, tolerance=1e-8)


def test_l1_makes_weights_small() -> None:
    plain, held = (regressor(l1=l1, max_iter=200).fit(X, NUMBERS) for l1 in (0.0, 20.0))
    assert sum(np.sum(np.abs(W)) for W in held.coefs_) < 0.5 * sum(np.sum(np.abs(W)) for W in plain.coefs_)


@pytest.mark.parametrize("own", [None, WEIGHTS])
@pytest.mark.parametrize(
    ("y", "class_weight"),
    [
        (LABELS, "balanced"), (LABELS, {"ash": 3.0, "cedar": 0.5}), (BINARY, {"yes": 2.0, "no": 1.0}),
        (BINARY, "balanced"), (SEVERAL, "balanced"), (SEVERAL, [{5: 1.0, 6: 2.0}, {0: 1.0, 1: 4.0, 2: 0.5}]),
        ((SEVERAL > 0) * 1, "balanced"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_class_weight_is_sample_weight(y: Any, class_weight: Any, own: Any, solver: str) -> None:
    factor = compute_sample_weight(class_weight, y)
    given = classifier(class_weight=class_weight, solver=solver).fit(X, y, own)
    same(given, classifier(solver=solver).fit(X, y, factor if own is None else factor * own))
    if not np.allclose(factor, factor[0]):
        different(given, classifier(solver=solver).fit(X, y, own))


@pytest.mark.parametrize("class_weight", ["balanced", ["balanced", {0: 1.0, 1: 1.0, 2: 1.0}]])
def test_partial_fit_refuses_balanced_weights_which_need_all_samples(class_weight: Any) -> None:
    y, classes = (LABELS, np.unique(LABELS)) if isinstance(class_weight, str) else (SEVERAL, [[5, 6], [0, 1, 2]])
    est = classifier(class_weight=class_weight)
    with pytest.raises(ValueError, match=r"class_weight='balanced'.*compute_class_weight\('balanced'"):
        est.partial_fit(X, y, classes=classes)
    assert not hasattr(est, "coefs_")
    est.fit(X, y)
    before = est.coefs_[0].copy()
    with pytest.raises(ValueError, match="of all samples and not of a part"):
        est.partial_fit(X, y)
    np.testing.assert_array_equal(est.coefs_[0], before)


def test_the_remedy_for_balanced_weights_works() -> None:
    classes = np.unique(LABELS)
    balanced = dict(zip(classes, compute_class_weight("balanced", classes=classes, y=LABELS), strict=True))
    whole = classifier(max_iter=1, batch_size=N, shuffle=False, class_weight="balanced").fit(X, LABELS)
    part = classifier(batch_size=N, shuffle=False, class_weight=balanced).partial_fit(X, LABELS, classes=classes)
    same(part, whole)


@pytest.mark.parametrize("class_weight", [{"ash": 3.0, "cedar": 0.5}, {"ash": 3.0}, {"birch": 2.0, "cedar": 4.0}])
def test_class_weights_do_not_depend_on_the_classes_of_a_part(class_weight: dict[str, float]) -> None:
    """One batch of every two classes and of each one."""
    given, own = (classifier(**({"class_weight": class_weight} if weighted else {})) for weighted in (True, False))
    classes = np.unique(LABELS)
    for there in (["ash"], ["birch", "cedar"], ["ash", "birch"], ["cedar"], ["birch"]):
        rows = np.isin(LABELS, there)
        given.partial_fit(X[rows], LABELS[rows], classes=classes)
        factor = np.array([class_weight.get(label, 1.0) for label in LABELS[rows]])
        own.partial_fit(X[rows], LABELS[rows], sample_weight=factor, classes=classes)
    same(given, own)


def test_a_misspelt_class_among_weights_is_refused_and_one_that_a_fold_lacks_is_not() -> None:
    with pytest.raises(ValueError, match=r"got \['birches'\] besides; \['birch'\] have no weight"):
        classifier(class_weight={"ash": 1.0, "birches": 2.0, "cedar": 1.0}).fit(X, LABELS)
    rows = LABELS != "birch"
    classifier(class_weight={"ash": 1.0, "birch": 2.0, "cedar": 3.0}).fit(X[rows], LABELS[rows])


@pytest.mark.parametrize(
    ("y", "class_weight", "words"),
    [
        (
            BINARY,
            [{"yes": 2.0, "no": 1.0}, {"yes": 1.0}],
            "expected a dict .*, got a list, which is for several targets",
        ),
        (LABELS, [{"ash": 3.0}], "expected a dict .*, got a list, which is for several targets"),
        (SEVERAL, {5: 1.0, 6: 2.0}, "expected a list of 2 dicts, one for each target, .*, got one dict"),
        (SEVERAL, [{5: 1.0}], "expected a list of 2 dicts, one for each target, .*, got a list of 1"),
        (SEVERAL, [{5: 1.0}, 3.0], "expected a dict with a weight for each class of a target, .*, got 3.0"),
        ((SEVERAL > 0) * 1, {0: 1.0, 1: 2.0}, "expected a list of 2 dicts, one for each target, .*, got one dict"),
    ],
)
def test_class_weights_of_another_form_than_the_targets_are_refused(y: Any, class_weight: Any, words: str) -> None:
    with pytest.raises((TypeError, ValueError), match="^class_weight: " + words):
        classifier(class_weight=class_weight).fit(X, y)


def own_monitor(run: Any) -> float:
    return -float(run.loss)


@pytest.mark.parametrize("monitor", ["loss", own_monitor])
def test_partial_fit_takes_a_monitor_that_restores_nothing(monitor: Any) -> None:
    watched, plain = regressor(monitor=monitor, restore_best=False), regressor()
    for start in range(0, N, 20):
        for est in (watched, plain):
            est.partial_fit(X[start : start + 20], NUMBERS[start : start + 20])
    same(watched, plain)


def test_partial_fit_goes_on_after_a_fit_with_a_monitor() -> None:
    est = regressor(monitor="loss", max_iter=3).fit(X, NUMBERS)
    with pytest.raises(ValueError, match=r"restore_best=True: .* give restore_best=False"):
        est.partial_fit(X, NUMBERS)
    before = est.coefs_[0].copy()
    est.set_params(restore_best=False).partial_fit(X, NUMBERS)
    assert np.any(est.coefs_[0] != before)


def test_partial_fit_refuses_what_is_watched_on_validation_data() -> None:
    with pytest.raises(ValueError, match="monitor='validation_loss': it has no validation data"):
        regressor(monitor="validation_loss", restore_best=False).partial_fit(X, NUMBERS)


@pytest.mark.parametrize("monitor", ["loss", "validation_loss", lambda run: -run.loss])
def test_partial_fit_refuses_a_monitor_which_would_undo_what_a_part_teaches(monitor: Any) -> None:
    with pytest.raises(ValueError, match="partial_fit does not support monitor="):
        regressor(monitor=monitor).partial_fit(X, NUMBERS)


# ---------------------------------------------------------------------- solvers, schedules, clipping


def test_an_optimizer_object_does_what_the_named_solver_does() -> None:
    for named, solver in [
        (
            {"solver": "sgd", "momentum": 0.8, "nesterovs_momentum": False},
            bpx.SGD(SMALL["learning_rate_init"], momentum=0.8),
        ),
        ({"solver": "adam"}, bpx.Adam(SMALL["learning_rate_init"], epsilon_hat=True)),
    ]:
        same(classifier(**named).fit(X, LABELS), classifier(solver=solver).fit(X, LABELS))


@pytest.mark.parametrize("name", sorted(optimizers.OPTIMIZERS))
def test_every_optimizer_trains(name: str) -> None:
    params = {"hidden_layer_sizes": (7,), "max_iter": 20, "batch_size": 10}
    est = regressor(solver=optimizers.OPTIMIZERS[name](0.01), **params).fit(X, NUMBERS)
    assert est.loss_curve_[-1] < 0.7 * est.loss_curve_[0]
    est.partial_fit(X, NUMBERS)
    assert est.n_iter_ == 1


@pytest.mark.parametrize("solver", [*sorted(METHODS), bpx.SciPy("CG", {"gtol": 1e-3})])
def test_every_scipy_method_lowers_the_loss(solver: Any) -> None:
    first = regressor(solver=bpx.SGD(1e-12), batch_size=N, max_iter=1).fit(X, NUMBERS).loss_
    est = regressor(solver=solver, max_iter=25).fit(X, NUMBERS, X_val=X_VAL, y_val=NUMBERS_VAL)
    assert est.loss_ < 0.5 * first
    assert 1 <= est.n_iter_ <= 25
    assert len(est.validation_loss_curve_) == est.n_iter_
    assert not hasattr(est, "loss_curve_")
    assert not hasattr(est, "partial_fit")


def test_cg_warns_where_it_did_not_converge() -> None:
    with pytest.warns(ConvergenceWarning, match="cg failed to converge after 2 iteration"):
        regressor(solver="cg", max_iter=2).fit(X, NUMBERS)


def test_a_scipy_method_stops_and_restores_by_its_monitor() -> None:
    est = regressor(solver="bfgs", monitor="validation_loss", max_iter=300, n_iter_no_change=3, tol=0.0)
    est.fit(X[:20], NUMBERS[:20], X_val=X_VAL + 1.0, y_val=NUMBERS_VAL)
    assert est.n_iter_ < 300
    shown = np.mean((est.predict(X_VAL + 1.0) - NUMBERS_VAL) ** 2) / 2
    same(shown, min(est.validation_loss_curve_))


@pytest.mark.parametrize("solver", ["sgd", "adam"])
def test_a_schedule_is_followed_and_continued_by_partial_fit(solver: str) -> None:
    schedule = schedules.StepDecay(0.05, every=2, factor=0.3, unit="epoch")
    params = {"solver": solver, "learning_rate": schedule, "shuffle": False, "batch_size": 30}
    whole = regressor(**params, max_iter=6).fit(X, NUMBERS)
    same(whole.history_.learning_rate, [0.05, 0.05, 0.015, 0.015, 0.0045, 0.0045])
    parts = regressor(**params)
    for _ in range(6):
        parts.partial_fit(X, NUMBERS)
    same(whole, parts)


@pytest.mark.parametrize(("clip", "share"), [(0.01, None), (1e6, 1.0)])
def test_clip_norm_bounds_the_gradient(clip: float, share: float | None) -> None:
    params = {"solver": "sgd", "momentum": 0.0, "batch_size": N, "max_iter": 1, "learning_rate_init": 0.1}
    start, step = (regressor(**(params | {"learning_rate_init": r})).fit(X, NUMBERS) for r in (1e-12, 0.1))
    clipped = regressor(clip_norm=clip, **params).fit(X, NUMBERS)
    moved, full = (np.concatenate([(a - b).ravel() for a, b in zip(weights(e), weights(start), strict=True)])
                   for e in (clipped, step))  # fmt: skip
    same(np.linalg.norm(moved), 0.1 * clip if share is None else share * np.linalg.norm(full), 1e-8)


@pytest.mark.parametrize(
    "params",
    [{"solver": "lbfgs", "clip_norm": 1.0}, {"solver": bpx.Adam(), "clip_norm": 1.0},
     {"solver": bpx.Adam(), "learning_rate": schedules.Cosine(0.1, 5)}, {"solver": "lbfgs", "n_init": 2}],
)  # fmt: skip
def test_what_a_solver_cannot_use_is_refused(params: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"clip_norm|schedule|trains one network"):
        regressor(**params).fit(X, NUMBERS)


# ---------------------------------------------------------------------- gradients, chunks

GRADIENTS: list[tuple[Any, Any, Callable[[Any], float]]] = [
    (classifier, LABELS, lambda p: log_loss(LABELS, p.predict_proba(p.at))),
    (classifier, BINARY, lambda p: log_loss(BINARY, p.predict_proba(p.at))),
    (regressor, NUMBERS, lambda p: np.mean((p.predict(p.at) - NUMBERS) ** 2) / 2),
    (regressor, np.stack([NUMBERS, X[:, 0]], 1),
     lambda p: np.sum((p.predict(p.at) - np.stack([NUMBERS, X[:, 0]], 1)) ** 2) / 2 / N),
]  # fmt: skip


@pytest.mark.parametrize(("estimator", "y", "value"), GRADIENTS)
def test_the_input_gradient_agrees_with_central_differences(estimator: Any, y: Any, value: Any) -> None:
    est = estimator(activation="tanh").fit(X, y)
    grad = est.input_gradient(X, y)
    assert grad.shape == X.shape
    for i, j in [(0, 0), (3, 4), (50, 2)]:
        ends = []
        for sign in (1.0, -1.0):
            est.at = X.copy()
            est.at[i, j] += sign * 1e-4
            ends.append(value(est))
        assert abs(grad[i, j] - (ends[0] - ends[1]) / 2e-4) <= CENTRAL * np.max(np.abs(grad))


@pytest.mark.parametrize("size", [1, 7, N, 1000])
def test_prediction_in_chunks_is_the_same(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    forward = bpx.MLP.__call__
    for estimator, y, method in [(classifier, LABELS, "predict_proba"), (regressor, NUMBERS, "predict")]:
        est = estimator().fit(X, y)
        whole = getattr(est, method)(X)
        rows: list[int] = []
        monkeypatch.setattr(bpx.MLP, "__call__", lambda net, x, rows=rows: rows.append(len(x)) or forward(net, x))
        same(getattr(est.set_params(predict_batch_size=size), method)(X), whole)
        monkeypatch.setattr(bpx.MLP, "__call__", forward)
        assert sum(rows) == N
        assert max(rows) == min(size, N)


def test_a_clone_has_every_addition() -> None:
    params = {"loss": cubic, "dropout": 0.1, "l1": 0.5, "clip_norm": 1.0, "n_init": 2, "monitor": "loss"}
    copied = clone(regressor(**params))
    assert {name: copied.get_params()[name] for name in params} == params
    assert re.search(r"l1=0\.5", repr(copied))


@pytest.mark.parametrize("given", ["balanced", {0: 2.0}])
def test_weights_of_classes_in_place_of_sample_weights_are_refused(given):
    X, y = np.random.default_rng(0).normal(size=(8, 2)), np.arange(8) % 2
    words = rf"^sample_weight: expected one weight for each row, got {re.escape(repr(given))}"
    classifier, regressor = bpx.MLPClassifier((3,)), bpx.MLPRegressor(hidden_layer_sizes=(3,))
    for est, more in ((classifier, "; weights of classes are class_weight="), (regressor, "$")):
        with pytest.raises(TypeError, match=words + more):
            est.fit(X, y, sample_weight=given)
        with pytest.raises(TypeError, match=words + more):
            est.partial_fit(X, y, given, **({"classes": [0, 1]} if est is classifier else {}))
        with pytest.raises(TypeError, match=r"^sample_weight_val: expected one weight for each row"):
            est.fit(X, y, X_val=X, y_val=y, sample_weight_val=given)
        assert not hasattr(est, "n_iter_")


def test_whole_floats_are_classes_among_weights() -> None:
    X, y = np.random.default_rng(0).normal(size=(8, 2)), np.arange(8) % 2
    nets = [bpx.MLP([2, 3, 2], seed=0, backend="numpy") for _ in range(3)]
    keys = ([0, 1], [0.0, 1.0], np.unique(y.astype(np.float32)))
    for net, (zero, one) in zip(nets, keys, strict=True):
        bpx.fit(net, X, y, epochs=2, seed=0, class_weight={zero: 1.0, one: 2.0})
    for net in nets[1:]:
        np.testing.assert_array_equal(net.flat, nets[0].flat)
    for wrong in (0.5, 2.0, -1.0, np.nan, np.inf, True):
        with pytest.raises(ValueError, match=r"^class_weight: expected classes 0\.\.1, got "):
            bpx.fit(nets[0], X, y, epochs=1, class_weight={wrong: 2.0})


class Own(bpx.MLPClassifier):  # type: ignore[misc]
    """A subclass that leaves its callbacks out of a pickle, has a parameter without a default, and passes others on."""

    def __init__(self, width: int, callbacks: Any = None, backend: Any = "numpy", max_iter: int = 2, **kw: Any) -> None:
        super().__init__((width,), max_iter=max_iter, callbacks=callbacks, backend=backend, **kw)
        self.width = width

    def __getstate__(self) -> Any:
        return super().__getstate__() | {"callbacks": None}


def test_a_clone_has_the_parameters_that_a_pickle_leaves_out() -> None:
    heard: list[Any] = []

    class Hears(bpx.callbacks.Callback):
        def on_epoch_end(self, run: Any) -> None:
            heard.append(run.epoch)

        def __deepcopy__(self, memo: Any) -> Any:
            return self

    est = Own(3, [Hears()], np)
    with config_context(enable_metadata_routing=True):
        est.set_fit_request(sample_weight=True)
    copied = clone(est)
    assert type(copied) is Own
    assert (copied.width, copied.callbacks, copied.backend) == (3, est.callbacks, np)
    assert repr(copied._metadata_request) == repr(est._metadata_request)
    cross_val_score(est, X, LABELS, cv=2)
    assert heard == [1, 2, 1, 2]
    GridSearchCV(est, {"max_iter": [1]}, cv=2).fit(X, LABELS)
    assert heard == [1, 2, 1, 2, 1, 1, 1]


def test_a_pickle_comes_back_without_attributes_that_it_did_not_have() -> None:
    est = Own(3)
    state = est.__getstate__()
    del state["width"], state["max_iter"]
    again = Own.__new__(Own)
    again.__setstate__(state)
    assert again.max_iter == 2
    assert not hasattr(again, "kw")
    assert not hasattr(again, "width")
    assert vars(copy.copy(est)) == vars(est)
