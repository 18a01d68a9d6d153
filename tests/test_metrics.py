"""Metrics: scikit-learn's numbers, after each epoch of every kind of run, in history, logs and stopping rules."""

from __future__ import annotations

import copy
import json
import logging
import pickle
import re
import warnings
from typing import Any

import numpy as np
import pytest
import scipy.sparse
from conftest import LIBRARIES, library
from ranks import on_ranks
from sklearn import metrics as scikit
from sklearn.exceptions import ConvergenceWarning

import bpx
from bpx.cli import main, scores
from bpx.cli.table_model import TableModel
from bpx.cli.target import Target
from bpx.errors import RankFailedError, ShapeError
from bpx.files import checkpoint, container
from bpx.formulas import metrics
from bpx.formulas.metrics import METRICS
from bpx.training.history import StopReason

CLOSE = {"rtol": 1e-12, "atol": 1e-12}
NAMES = ["accuracy", "balanced_accuracy", "auc", "log_loss"]


# ---------------------------------------------------------------------- formulas


def weighings(rng: np.random.Generator, n: int) -> list[Any]:
    """No weights, some, and some that are zero."""
    return [None, rng.uniform(0.1, 3.0, n), rng.uniform(size=n) * (rng.uniform(size=n) > 0.3)]


def ask(name: str, y: Any, p: Any, weight: Any = None) -> float:
    return METRICS[name].function(y, p, weight)


@pytest.mark.parametrize("ties", [False, True])
def test_metrics_of_two_classes_are_scikit_learns(rng: np.random.Generator, ties: bool) -> None:
    for n in (2, 7, 300):
        p = rng.uniform(size=(n, 1))
        p = np.round(p, 1) if ties else p
        y = np.arange(n) % 2
        for w in weighings(rng, n) if n > 10 else [None]:
            said, more = p[:, 0] > 0.5, {"sample_weight": w}
            target = y[:, None].astype(float)
            np.testing.assert_allclose(ask("auc", target, p, w), scikit.roc_auc_score(y, p[:, 0], **more), **CLOSE)
            np.testing.assert_allclose(ask("accuracy", target, p, w), scikit.accuracy_score(y, said, **more), **CLOSE)
            expected = scikit.balanced_accuracy_score(y, said, **more)
            np.testing.assert_allclose(ask("balanced_accuracy", target, p, w), expected, **CLOSE)
            np.testing.assert_allclose(ask("log_loss", target, p, w), scikit.log_loss(y, p[:, 0], **more), **CLOSE)


@pytest.mark.parametrize("form", ["labels", "rows"])
@pytest.mark.parametrize("ties", [False, True])
def test_metrics_of_several_classes_are_scikit_learns(rng: np.random.Generator, ties: bool, form: str) -> None:
    n, k = 240, 4
    p = rng.dirichlet(np.ones(k), n)
    if ties:
        p = np.array([[0.4, 0.3, 0.2, 0.1], [0.1, 0.4, 0.3, 0.2], [0.25, 0.25, 0.25, 0.25]])[rng.integers(0, 3, n)]
    y = rng.integers(0, k, n)
    target = y if form == "labels" else np.eye(k)[y]
    for w in weighings(rng, n):
        more = {"sample_weight": w}
        expected = {
            "accuracy": scikit.accuracy_score(y, np.argmax(p, axis=1), **more),
            "balanced_accuracy": scikit.balanced_accuracy_score(y, np.argmax(p, axis=1), **more),
            "auc": scikit.roc_auc_score(y, p, multi_class="ovr", average="macro", **more),
            "log_loss": scikit.log_loss(y, p, **more),
        }
        for name, value in expected.items():
            np.testing.assert_allclose(ask(name, target, p, w), value, **CLOSE, err_msg=name)


def test_balanced_accuracy_leaves_out_a_class_that_only_predictions_have(rng: np.random.Generator) -> None:
    y, p = np.array([0, 0, 1, 1, 1]), np.eye(3)[[0, 2, 1, 1, 0]]
    with pytest.warns(UserWarning, match="not in y_true"):
        expected = scikit.balanced_accuracy_score(y, np.argmax(p, axis=1))
    np.testing.assert_allclose(ask("balanced_accuracy", y, p), expected, **CLOSE)


def test_metrics_of_labels_are_scikit_learns(rng: np.random.Generator) -> None:
    n, k = 200, 3
    p, y = np.round(rng.uniform(size=(n, k)), 2), rng.integers(0, 2, (n, k)).astype(float)
    for w in weighings(rng, n):
        more = {"sample_weight": w}
        auc = scikit.roc_auc_score(y, p, average="macro", **more)
        np.testing.assert_allclose(metrics.auc(y, p, w), auc, **CLOSE)
        accuracy = scikit.accuracy_score(y, p > 0.5, **more)
        np.testing.assert_allclose(metrics.accuracy_of_labels(y, p, w), accuracy, **CLOSE)
        losses = [scikit.log_loss(y[:, j], p[:, j], **more) for j in range(k)]
        np.testing.assert_allclose(metrics.log_loss_of_labels(y, p, w), np.mean(losses), **CLOSE)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_log_loss_is_clipped_by_the_dtype_as_scikit_learns(dtype: str) -> None:
    y, p = np.array([0, 1, 1, 0]), np.array([1.0, 0.0, 0.25, 1e-30], dtype=dtype)
    close = {"rtol": 1e-6 if dtype == "float32" else 1e-12}  # scikit-learn takes the logarithm of a float32 in float32
    np.testing.assert_allclose(ask("log_loss", y[:, None], p[:, None]), scikit.log_loss(y, p), **close)
    both = np.stack([1 - p, p], axis=1)
    np.testing.assert_allclose(ask("log_loss", y, both), scikit.log_loss(y, both), **close)


@pytest.mark.parametrize("k", [1, 3])
def test_metrics_of_numbers_are_scikit_learns(rng: np.random.Generator, k: int) -> None:
    y = rng.normal(size=(90, k)) * [1.0, 100.0, 1e-3][:k] + [0.0, 1e3, -5.0][:k]
    p = y + rng.normal(size=y.shape)
    for w in weighings(rng, 90):
        more = {"sample_weight": w}
        np.testing.assert_allclose(ask("r2", y, p, w), scikit.r2_score(y, p, **more), **CLOSE)
        np.testing.assert_allclose(ask("mae", y, p, w), scikit.mean_absolute_error(y, p, **more), **CLOSE)
        expected = scikit.root_mean_squared_error(y, p, **more)
        np.testing.assert_allclose(ask("rmse", y, p, w), expected, **CLOSE)


@pytest.mark.parametrize("value", [0.0, 3.0, 0.1])
def test_a_constant_target_counts_one_where_it_is_met_and_zero_where_not(value: float) -> None:
    y = np.full((10, 2), value)
    off = y + np.array([[0.0, 0.5]])
    assert ask("r2", y, y) == 1.0
    assert ask("r2", y, off) == 0.5
    assert ask("r2", y, y + 1.0) == 0.0
    assert ask("r2", y, y + 1.0, np.arange(10.0)) == 0.0
    if value != 0.1:  # whose mean is rounded: scikit-learn says -6e32
        assert scikit.r2_score(y, off) == 0.5


def test_a_target_that_varies_only_in_rows_without_weight_is_constant() -> None:
    y, w = np.array([[2.0], [2.0], [7.0]]), np.array([1.0, 2.0, 0.0])
    assert ask("r2", y, y + 1.0, w) == scikit.r2_score(y, y + 1.0, sample_weight=w) == 0.0
    y, w = np.array([[0.1]] * 3 + [[7.0]]), np.array([1.0] * 3 + [0.0])
    assert ask("r2", y, y + 1.0, w) == 0.0


@pytest.mark.parametrize("scale", [1e-310, 1e-200, 1e200, 1e307])
@pytest.mark.parametrize("name", list(METRICS))
def test_weights_may_be_of_any_size(rng: np.random.Generator, name: str, scale: float) -> None:
    y, p = (np.arange(60) % 2)[:, None].astype(float), rng.uniform(size=(60, 1))
    weight = rng.integers(1, 4, 60).astype(float)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_allclose(ask(name, y, p, weight * scale), ask(name, y, p, weight), rtol=1e-12)


def test_what_cannot_be_said_of_the_targets_is_nan() -> None:
    assert np.isnan(ask("auc", np.ones((4, 1)), np.linspace(0, 1, 4)[:, None]))
    assert np.isnan(ask("auc", np.array([0, 1, 1]), np.full((3, 3), 1 / 3)))
    assert np.isnan(ask("r2", np.ones((1, 1)), np.ones((1, 1))))


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize("broken", [np.nan, np.inf])
def test_outputs_that_are_not_finite_have_no_metric(name: str, broken: float) -> None:
    y, p = np.array([[0.0], [1.0], [1.0]]), np.array([[0.1], [broken], [0.7]])
    assert np.isnan(ask(name, y, p))


@pytest.mark.parametrize("name", METRICS)
def test_no_rows_and_shapes_that_would_be_repeated_are_refused(name: str) -> None:
    with pytest.raises(ShapeError, match="at least one row"):
        ask(name, np.ones((0, 1)), np.ones((0, 1)))
    with pytest.raises(ShapeError, match=re.escape("(5, 2) and (5, 1)")):
        ask(name, np.ones((5, 1)), np.ones((5, 2)))
    with pytest.raises(ShapeError, match="one weight for each row"):
        ask(name, np.ones((5, 1)), np.ones((5, 1)), np.ones((5, 1)))
    with pytest.raises(ValueError, match="only zeros"):
        ask(name, np.ones((5, 1)), np.ones((5, 1)), np.zeros(5))


# ---------------------------------------------------------------------- fit

N, K = 90, 3


@pytest.fixture
def data(rng: np.random.Generator) -> Any:
    X = rng.normal(size=(N, 4))
    return X, (np.abs(X[:, 0]) + X[:, 1] > 0.5).astype(int) + (X[:, 2] > 0.6)


def network(lib: Any = "numpy", **options: Any) -> bpx.MLP:
    return bpx.MLP([4, 6, K], hidden="tanh", dtype="float64", seed=1, backend=lib, **options)


def trained(X: Any, y: Any, lib: Any = "numpy", net: Any = None, **options: Any) -> Any:
    made = network(lib) if net is None else net
    return made, bpx.fit(made, X, y, **{"epochs": 3, "batch_size": 20, "metrics": NAMES, **options})


def expected_of(y: Any, p: Any, weight: Any = None) -> dict[str, float]:
    more = {"sample_weight": weight}
    return {
        "accuracy": scikit.accuracy_score(y, np.argmax(p, axis=1), **more),
        "balanced_accuracy": scikit.balanced_accuracy_score(y, np.argmax(p, axis=1), **more),
        "auc": scikit.roc_auc_score(y, p, multi_class="ovr", **more),
        "log_loss": scikit.log_loss(y, p, **more),
    }


def test_metrics_are_those_of_the_network_after_each_epoch(lib: bpx.Backend, data: Any) -> None:
    X, y = data
    seen: list[Any] = []
    held = X[:30], y[:30]

    def look(run: Any) -> None:
        seen.append([lib.to_host(run.net(X[30:])), lib.to_host(run.net(X[:30]))])

    _, history = trained(X[30:], y[30:], lib, validation=held, callbacks=[look])
    assert list(history.metrics) == [*NAMES, *(f"val_{name}" for name in NAMES)]
    for epoch, (p, p_val) in enumerate(seen):
        for name, value in expected_of(y[30:], p).items():
            np.testing.assert_allclose(history.metrics[name][epoch], value, rtol=1e-9)
        for name, value in expected_of(y[:30], p_val).items():
            np.testing.assert_allclose(history.metrics[f"val_{name}"][epoch], value, rtol=1e-9)
    assert all(type(value) is float for values in history.metrics.values() for value in values)


def test_measuring_changes_nothing_in_training(data: Any) -> None:
    (one, with_metrics), (two, plain) = trained(*data), trained(*data, metrics=None)
    np.testing.assert_array_equal(one.flat, two.flat)
    assert with_metrics.loss == plain.loss
    assert plain.metrics == {}


def test_sample_weights_count_and_class_weights_do_not(data: Any) -> None:
    X, y = data
    w, w_val = np.linspace(0.0, 2.0, 60), np.linspace(1.0, 0.0, 30)
    net, history = trained(
        X[30:], y[30:], sample_weight=w, class_weight={0: 5.0, 2: 0.0}, validation=(X[:30], y[:30], w_val)
    )
    for name, value in expected_of(y[30:], net(X[30:]), w).items():
        np.testing.assert_allclose(history.metrics[name][-1], value, **CLOSE)
    for name, value in expected_of(y[:30], net(X[:30]), w_val).items():
        np.testing.assert_allclose(history.metrics[f"val_{name}"][-1], value, **CLOSE)


def test_each_network_of_a_stack_has_its_own(lib: bpx.Backend, data: Any) -> None:
    X, y = data
    w = np.stack([np.linspace(0.1, 2.0, N), np.ones(N)])
    own = lambda y_true, y_pred: float(np.mean(y_pred[:, 0]) + y_true[0])  # noqa: E731
    net, history = trained(
        X,
        y,
        net=network(lib, stack=2),
        sample_weight=w,
        metrics={"auc": "auc", "own": own},
        validation=(X[:20], y[:20]),
    )
    outputs = lib.to_host(net(X))
    for k in range(2):
        np.testing.assert_allclose(history.metrics["auc"][-1][k], expected_of(y, outputs[k], w[k])["auc"], rtol=1e-9)
        np.testing.assert_allclose(history.metrics["own"][-1][k], own(y, outputs[k]), rtol=1e-9)
    assert [value.shape for value in history.metrics["val_auc"]] == [(2,)] * 3


def test_one_output_several_labels_and_numbers_are_told_apart_by_their_targets(data: Any) -> None:
    X, _ = data
    two = (X[:, :1] > 0).astype(float)
    net = bpx.MLP([4, 1], output="sigmoid", dtype="float64", backend="numpy")
    _, history = trained(X, two, net=net, loss="binary_cross_entropy")
    np.testing.assert_allclose(history.metrics["auc"][-1], scikit.roc_auc_score(two[:, 0], net(X)[:, 0]), **CLOSE)
    net = bpx.MLP([4, 1], output="sigmoid", dtype="float64", backend="numpy")
    _, history = trained(X, two, net=net, loss="squared_error", metrics=["accuracy", "r2"])
    np.testing.assert_allclose(history.metrics["r2"][-1], scikit.r2_score(two, net(X)), **CLOSE)
    np.testing.assert_allclose(history.metrics["accuracy"][-1], np.mean((net(X) > 0.5) == two), **CLOSE)

    labels = (X[:, :3] > 0).astype(float)
    net = bpx.MLP([4, 3], output="sigmoid", dtype="float64", backend="numpy")
    asked = ["accuracy", "auc", "log_loss"]
    _, history = trained(X, labels, net=net, loss="binary_cross_entropy", metrics=asked)
    p = net(X)
    np.testing.assert_allclose(history.metrics["accuracy"][-1], scikit.accuracy_score(labels, p > 0.5), **CLOSE)
    np.testing.assert_allclose(history.metrics["auc"][-1], scikit.roc_auc_score(labels, p), **CLOSE)
    losses = [scikit.log_loss(labels[:, j], p[:, j]) for j in range(3)]
    np.testing.assert_allclose(history.metrics["log_loss"][-1], np.mean(losses), **CLOSE)

    net = bpx.MLP([4, 2], output="identity", dtype="float64", backend="numpy")
    _, history = trained(X, X[:, :2] ** 2, net=net, loss="huber", metrics=["r2", "mae", "rmse"])
    np.testing.assert_allclose(history.metrics["r2"][-1], scikit.r2_score(X[:, :2] ** 2, net(X)), **CLOSE)


def test_integer_labels_of_sigmoid_outputs_are_classes(data: Any) -> None:
    X, y = data
    net = bpx.MLP([4, K], output="sigmoid", dtype="float64", backend="numpy")
    _, history = trained(X, y, net=net, loss="binary_cross_entropy", metrics="accuracy")
    assert history.metrics["accuracy"][-1] == np.mean(np.argmax(net(X), axis=1) == y)


def test_labels_that_only_validation_rows_have_together_are_labels_in_both(data: Any) -> None:
    X, y = data
    rows = np.eye(K)[y]
    several = np.ones((5, K))
    net = bpx.MLP([4, K], output="sigmoid", dtype="float64", backend="numpy")
    _, history = trained(
        X, rows, net=net, loss="binary_cross_entropy", metrics=["accuracy"], validation=(X[:5], several)
    )
    assert history.metrics["accuracy"][-1] == scikit.accuracy_score(rows, net(X) > 0.5)


@pytest.mark.parametrize("validation_streamed", [False, True])
@pytest.mark.parametrize("training_streamed", [False, True])
@pytest.mark.parametrize("several_in", ["training", "validation"])
def test_labels_are_labels_wherever_the_rows_that_say_so_are_read_from(
    data: Any, several_in: str, training_streamed: bool, validation_streamed: bool
) -> None:
    X, y = data
    single, several = np.eye(K)[y], np.eye(K)[y]
    several[-1] = 1.0  # the last row alone
    Y, Y_val = (several, single) if several_in == "training" else (single, several)
    held, rows = [(X[:45], Y_val[:45]), (X[45:], Y_val[45:])], [(X[:45], Y[:45]), (X[45:], Y[45:])]
    net = bpx.MLP([4, K], output="sigmoid", dtype="float64", backend="numpy", seed=0)
    _, history = trained(
        rows if training_streamed else X,
        None if training_streamed else Y,
        net=net,
        loss="binary_cross_entropy",
        metrics="accuracy",
        validation=bpx.stream(held) if validation_streamed else (X, Y_val),
    )
    expected = scikit.accuracy_score(Y_val, net(X) > 0.5)
    assert expected != np.mean(np.argmax(net(X), axis=1) == np.argmax(Y_val, axis=1))
    assert history.metrics["val_accuracy"][-1] == expected


def test_rows_of_a_stream_with_a_single_one_each_are_classes_as_in_memory(data: Any) -> None:
    X, y = data
    net = bpx.MLP([4, K], output="sigmoid", dtype="float64", backend="numpy", seed=0)
    options = {"loss": "binary_cross_entropy", "metrics": "accuracy", "validation": (X, np.eye(K)[y])}
    _, history = trained([(X, np.eye(K)[y])], None, net=net, **options)
    assert history.metrics["val_accuracy"][-1] == np.mean(np.argmax(net(X), axis=1) == y)


def test_numbers_that_are_zero_and_one_in_validation_alone_are_numbers(data: Any) -> None:
    X, y = data
    net = bpx.MLP([4, 1], output="identity", dtype="float64", backend="numpy")
    with pytest.raises(ValueError, match=r"'accuracy' is for .*, and the targets are numbers"):
        trained(
            [(X, X[:, :1])], None, net=net, loss="squared_error", metrics="accuracy", validation=(X, y[:, None] > 0)
        )


def test_streams_are_read_for_the_task_only_as_far_as_it_is_open(data: Any) -> None:
    X, y = data

    class Rows:
        read = 0

        def __iter__(self) -> Any:
            for _ in range(100):
                type(self).read += 1
                yield X[:10], np.ones((10, K))

    def count(**options: Any) -> int:
        Rows.read = 0
        net = bpx.MLP([4, K], output="sigmoid", dtype="float64", backend="numpy", seed=0)
        trained(bpx.stream(Rows(), buffer=40_000), None, net=net, loss="binary_cross_entropy", epochs=1, **options)
        return Rows.read

    plain = count(metrics=None, validation=(X, np.eye(K)[y]))
    settled = count(metrics="accuracy", validation=(X, np.ones((N, K))))
    assert settled == plain
    own = count(metrics={"own": lambda y_true, y_pred: 0.0}, validation=(X, np.eye(K)[y]))
    assert own == plain


@pytest.mark.parametrize("loss", ["squared_error", "binary_cross_entropy"])
def test_smoothed_targets_of_sigmoid_outputs_have_an_accuracy(data: Any, loss: str) -> None:
    X, y = data
    net = bpx.MLP([4, 1], output="sigmoid", dtype="float64", backend="numpy", seed=0)
    _, history = trained(X, np.where(y > 0, 0.9, 0.1), net=net, loss=loss, metrics="accuracy")
    assert history.metrics["accuracy"][-1] == np.mean((net(X)[:, 0] > 0.5) == (y > 0))
    for output in ("sigmoid", "softmax"):
        net = bpx.MLP([4, K], output=output, dtype="float64", backend="numpy", seed=0)
        _, history = trained(X, 0.85 * np.eye(K)[y] + 0.05, net=net, loss=loss, metrics="accuracy")
        assert history.metrics["accuracy"][-1] == np.mean(np.argmax(net(X), axis=1) == y)
    with pytest.raises(ValueError, match="'auc' needs targets that are 0 or 1"):
        trained(X, 0.85 * np.eye(K)[y] + 0.05, net=net, loss=loss, metrics="auc")


@pytest.mark.parametrize("output", ["tanh", "identity"])
def test_targets_of_outputs_that_are_no_probabilities_are_numbers(data: Any, output: str) -> None:
    X, y = data
    net = bpx.MLP([4, 1], output=output, backend="numpy")
    for targets in (np.where(y > 0, 1.0, -1.0), np.where(y > 0, 0.9, 0.1)):
        with pytest.raises(ValueError, match=r"'accuracy' is for .*, and the targets are numbers"):
            trained(X, targets, net=net, loss="squared_error", metrics="accuracy")


REFUSED = [
    ({"metrics": ["acuracy"]}, ValueError, "unknown metric 'acuracy'.*; known are accuracy, balanced_accuracy, auc"),
    ({"metrics": [3]}, TypeError, "expected names .* or functions"),
    ({"metrics": 3}, TypeError, "expected names .* or functions"),
    ({"metrics": ["auc", "auc"]}, ValueError, "'auc' twice"),
    ({"metrics": [lambda y, p: 0.0]}, ValueError, "has no name for its column; give {'a name': function}"),
    ({"metrics": {"loss": max}}, ValueError, "'loss' cannot be a column's name"),
    ({"metrics": {"val_f1": max}}, ValueError, "val_ is put before a metric's name"),
    ({"metrics": {"a,b": max}}, ValueError, "expected letters, digits"),
    ({"metrics": {3: max}}, TypeError, "name as text"),
    ({"metrics": {"auc": max}}, ValueError, "bpx's own metric"),
    ({"metrics": {"auc": "accuracy"}}, ValueError, "'auc' is the name of bpx's own metric; give what you measure"),
    ({"metrics": {"r2": METRICS["auc"]}}, ValueError, "'r2' is the name of bpx's own metric"),
    ({"metrics": ["r2"]}, ValueError, "'r2' is for numbers, and the targets are classes; use accuracy, balanced"),
    ({"validation": 1.5}, ValueError, r"validation: expected a share of the rows in \(0, 1\)"),
    ({"validation": 5}, ValueError, r"validation: expected a share of the rows in \(0, 1\)"),
    ({"validation": True}, TypeError, "validation: expected"),
    ({"validation": 0.001}, ValueError, "leaves none to validate on"),
    ({"validation": 0.2, "sampling": "sequential"}, ValueError, "the order matters"),
    ({"stop": bpx.stop.Patience("val_auc")}, ValueError, "'val_auc'; validation data are needed"),
    ({"stop": bpx.stop.Patience("r2")}, ValueError, r"expected one of 'loss', 'accuracy', .*ask for it: .*\['r2'\]"),
    ({"stop": bpx.stop.Patience("val_r2")}, ValueError, r"ask for it: .*\['r2'\], validation=0.2\)"),
    ({"stop": bpx.stop.Patience("acc")}, ValueError, "expected one of 'loss', 'accuracy'"),
]  # fmt: skip


@pytest.mark.parametrize(("options", "error", "message"), REFUSED)
def test_what_makes_no_sense_is_refused_before_training(
    data: Any, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    net = network()
    before = net.flat.copy()
    with pytest.raises(error, match=message):
        trained(*data, net=net, **options)
    np.testing.assert_array_equal(net.flat, before)


@pytest.mark.parametrize("name", NAMES)
def test_metrics_of_classes_are_refused_for_numbers(data: Any, name: str) -> None:
    net = bpx.MLP([4, 1], output="identity", backend="numpy")
    with pytest.raises(ValueError, match=rf"'{name}' is for .*, and the targets are numbers; use r2, mae, rmse, or"):
        trained(data[0], data[0][:, 0], net=net, loss="squared_error", metrics=[name])


def test_targets_between_zero_and_one_have_an_accuracy_and_no_auc(data: Any) -> None:
    X, soft = data[0], np.random.default_rng(0).dirichlet(np.ones(K), N)
    net, history = trained(X, soft, metrics=["accuracy"])
    assert history.metrics["accuracy"][-1] == np.mean(np.argmax(net(X), axis=1) == np.argmax(soft, axis=1))
    with pytest.raises(ValueError, match="'auc' needs targets that are 0 or 1, and some lie between"):
        trained(X, soft, metrics=["auc"])


def test_log_loss_of_outputs_that_are_no_probabilities_is_refused(data: Any) -> None:
    net = bpx.MLP([4, 1], output="identity", backend="numpy")
    with pytest.raises(ValueError, match="needs outputs that are probabilities, and output='identity'"):
        trained(data[0], (data[1] > 0).astype(float), net=net, loss="squared_error", metrics=["log_loss"])


def test_an_area_under_one_class_is_nan_with_one_warning(data: Any) -> None:
    X, y = data
    message = "'auc' is NaN on the validation data: no row is of class 1, 2"
    with pytest.warns(UserWarning, match=message) as caught:
        _, history = trained(X, y, metrics=["auc", "accuracy"], validation=(X[:3], np.zeros(3, dtype=int)))
    assert len(caught) == 1
    assert np.all(np.isnan(history.metrics["val_auc"]))
    assert np.all(np.isfinite(history.metrics["auc"]))


# ---------------------------------------------------------------------- one's own functions


def test_ones_own_function_is_given_what_predict_gives(data: Any) -> None:
    X, y = data
    given: list[Any] = []

    def spread(y_true: Any, y_pred: Any) -> Any:
        given.append((y_true, y_pred))
        return np.float32(np.ptp(y_pred))

    net = bpx.MLP([4, K], backend="numpy")
    _, history = trained(X, y, net=net, metrics=[spread], epochs=1)
    ((y_true, y_pred),) = given
    np.testing.assert_array_equal(y_true, y)
    np.testing.assert_array_equal(y_pred, bpx.predict(net, X))
    assert (y_pred.dtype, type(y_pred)) == (np.float32, np.ndarray)
    assert history.metrics == {"spread": [float(np.ptp(y_pred))]}


def test_a_function_with_sample_weight_is_given_the_weights(data: Any) -> None:
    X, _ = data
    y, w = X[:, :1] * 2.0, np.linspace(0, 1, N)
    net = bpx.MLP([4, 1], output="identity", dtype="float64", backend="numpy")
    asked = {"mse": scikit.mean_squared_error, "plain": lambda y_true, y_pred: np.mean((y_true - y_pred) ** 2)}
    _, history = trained(X, y, net=net, loss="squared_error", metrics=asked, sample_weight=w, validation=(X, y))
    assert history.metrics["mse"][-1] == scikit.mean_squared_error(y, net(X), sample_weight=w)
    assert history.metrics["plain"][-1] == np.mean((y - net(X)) ** 2)
    assert history.metrics["val_mse"][-1] == scikit.mean_squared_error(y, net(X))


@pytest.mark.parametrize("answer", [None, "0.5", np.ones(2), 1j, {}])
def test_a_function_that_gives_no_number_is_named(data: Any, answer: Any) -> None:
    with pytest.raises(TypeError, match="metrics: 'odd' on the training data after epoch 1: expected a function that"):
        trained(*data, metrics={"odd": lambda y, p: answer})


def test_an_error_of_ones_own_function_is_named_and_loses_no_work(data: Any, tmp_path: Any) -> None:
    X, y = data

    def late(y_true: Any, y_pred: Any) -> float:
        late.calls += 1
        return 1.0 / (2 - late.calls)

    late.calls = 0
    net = network()
    log = tmp_path / "log.csv"
    options = {"metrics": [late], "callbacks": [bpx.callbacks.CSVLogger(log)], "checkpoint": tmp_path / "c.npz"}
    with pytest.raises(
        RuntimeError, match="'late' failed on the training data after epoch 2 with ZeroDivision"
    ) as caught:
        trained(X, y, net=net, **options)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    two, _ = trained(X, y, epochs=2, metrics=None)
    np.testing.assert_array_equal(net.flat, two.flat)
    assert len(log.read_text().splitlines()) == 2
    late.calls = 9
    going_on, history = trained(X, y, **options | {"callbacks": []}, resume=True, epochs=2)
    np.testing.assert_array_equal(going_on.flat, two.flat)
    assert history.metrics["late"] == [1.0, -1 / 8]


def test_a_function_cannot_change_the_targets(data: Any) -> None:
    def spoils(y_true: Any, y_pred: Any) -> float:
        y_true[:] = 0
        return 0.0

    with pytest.raises(RuntimeError, match=r"'spoils' failed .* read-only"):
        trained(*data, metrics=[spoils])


@pytest.mark.parametrize("stack", [None, 2])
@pytest.mark.parametrize("name", ["y_pred", "sample_weight"])
def test_a_function_cannot_change_what_the_next_ones_are_given(data: Any, name: str, stack: int | None) -> None:
    def spoils(y_true: Any, y_pred: Any, sample_weight: Any) -> float:
        {"y_pred": y_pred, "sample_weight": sample_weight}[name][...] = 0.0
        return 0.0

    with pytest.raises(RuntimeError, match=r"'spoils' failed .* read-only"):
        trained(*data, net=network(stack=stack), metrics=[spoils, "auc"], sample_weight=np.ones(N))


# ---------------------------------------------------------------------- data of every kind


def test_sparse_data_and_streams_that_fit_are_measured_like_arrays(data: Any) -> None:
    X, y = data
    expected = trained(X, y, validation=(X[:20], y[:20]))[1].metrics
    sparse = trained(scipy.sparse.csr_matrix(X), y, validation=(scipy.sparse.csr_matrix(X[:20]), y[:20]))[1].metrics
    assert sparse == expected
    fits = trained(bpx.stream(X, y), None, validation=bpx.stream(X[:20], y[:20]))[1].metrics
    for name, values in expected.items():
        np.testing.assert_allclose(fits[name], values, rtol=1e-9)


def test_a_stream_is_measured_on_validation_data_alone(lib: bpx.Backend, data: Any) -> None:
    X, y = data
    batches = [(X[i : i + 10], y[i : i + 10]) for i in range(0, N, 10)]
    net, history = trained(batches, None, lib, validation=bpx.stream(batches[:2]))
    assert list(history.metrics) == [f"val_{name}" for name in NAMES]
    for name, value in expected_of(y[:20], lib.to_host(net(X[:20]))).items():
        np.testing.assert_allclose(history.metrics[f"val_{name}"][-1], value, rtol=1e-9)
    _, history = trained(batches, None, lib, validation=(X[:20], y[:20]))
    assert list(history.metrics) == [f"val_{name}" for name in NAMES]
    with pytest.raises(ValueError, match="read from a stream are not measured; give validation="):
        trained(batches, None, lib)
    with pytest.raises(ValueError, match="take 'val_auc'"):
        trained(batches, None, lib, validation=(X[:20], y[:20]), stop=bpx.stop.Patience("auc"))
    with pytest.raises(ValueError, match=r"validation: a share \(0.2\) is drawn from arrays in memory"):
        trained(batches, None, lib, validation=0.2)
    with pytest.raises(ValueError, match="'r2' is for numbers"):
        trained(batches, None, lib, validation=bpx.stream(batches[:2]), metrics=["r2"])


@pytest.mark.parametrize("optimizer", ["cg", "lbfgs"])
def test_scipys_methods_measure_each_iteration(data: Any, optimizer: str) -> None:
    net, history = trained(*data, optimizer=optimizer, epochs=5, stop=bpx.stop.Patience("auc", patience=50))
    assert len(history.metrics["auc"]) == len(history.loss) == history.epochs
    values = history.metrics["auc"]
    assert history.best_epoch == 1 + int(np.argmax(values))
    np.testing.assert_allclose(max(values), expected_of(data[1], net(data[0]))["auc"], **CLOSE)


@pytest.mark.parametrize("backend", LIBRARIES)
@pytest.mark.parametrize("stack", [None, 2])
def test_ranks_measure_what_one_process_does(data: Any, backend: str, stack: int | None) -> None:
    X, y = data
    lib = library(backend)
    options = {
        "validation": (X[:31], y[:31], np.linspace(0, 1, 31)), "sample_weight": np.linspace(1, 2, N),
        "stop": bpx.stop.Patience("val_auc", 2), "epochs": 6,
    }  # fmt: skip
    expected = trained(X, y, net=network(lib, stack=stack), **options)[1]
    results, _ = on_ranks(3, lambda comm: trained(X, y, net=network(lib, stack=stack), comm=comm, **options)[1])
    for history in results:
        assert history.epochs == expected.epochs
        assert list(history.metrics) == list(expected.metrics)
        for name, values in expected.metrics.items():
            np.testing.assert_allclose(history.metrics[name], values, rtol=1e-9, err_msg=name)


def test_each_row_is_measured_by_one_rank_and_only_the_first_asks(data: Any) -> None:
    X, y = data
    asked: list[Any] = []

    def rows(y_true: Any, y_pred: Any, sample_weight: Any) -> int:
        asked.append(y_true)
        assert len(y_pred) == len(sample_weight)
        return len(y_true)

    weights = {"validation": (X[:31], y[:31], np.ones(31)), "sample_weight": np.ones(N)}
    results, _ = on_ranks(3, lambda comm: trained(X, y, comm=comm, metrics=[rows], epochs=2, **weights)[1])
    assert [history.metrics for history in results] == [{"rows": [N, N], "val_rows": [31, 31]}] * 3
    assert len(asked) == 4
    np.testing.assert_array_equal(asked[0], y)


@pytest.mark.parametrize("sharded", [False, True])
def test_ranks_measure_streams(data: Any, sharded: bool) -> None:
    X, y = data
    held = [(X[i : i + 8], y[i : i + 8]) for i in range(0, 32, 8)]

    def alone(comm: Any = None) -> Any:
        number, ranks = (0, 1) if comm is None else (comm.Get_rank(), comm.Get_size())
        mine = bpx.stream(held[number::ranks], sharded=True) if comm is not None else bpx.stream(held)
        validation = mine if sharded else (X[:32], y[:32])
        batches = [(X[i : i + 20], y[i : i + 20]) for i in range(0, 80, 20)]
        given = bpx.stream(batches[number::ranks], sharded=True) if comm is not None else bpx.stream(batches)
        return trained(given, None, comm=comm, validation=validation)

    for net, history in on_ranks(2, alone)[0]:
        for name, value in expected_of(y[:32], net(X[:32])).items():
            np.testing.assert_allclose(history.metrics[f"val_{name}"][-1], value, rtol=1e-9)


def test_an_error_in_a_metric_ends_all_ranks(data: Any) -> None:
    def fails(y_true: Any, y_pred: Any) -> float:
        raise KeyError("no")

    results, _ = on_ranks(2, lambda comm: trained(*data, comm=comm, metrics=[fails]))
    assert [type(result) for result in results] == [RuntimeError, RankFailedError]
    assert "'fails' failed" in str(results[1])


def test_ranks_with_other_metrics_are_refused(data: Any) -> None:
    def ask_of(comm: Any) -> Any:
        return trained(*data, comm=comm, metrics=["auc", "accuracy"][comm.Get_rank()])

    results, _ = on_ranks(2, ask_of)
    assert all("metrics: ['auc'] on rank 0, ['accuracy'] on rank 1" in str(result) for result in results)


@pytest.mark.parametrize("stack", [None, 2])
@pytest.mark.parametrize("stops", [1, 3])
def test_a_resumed_run_has_the_metrics_of_one_that_never_stopped(
    data: Any, tmp_path: Any, stops: int, stack: int
) -> None:
    X, y = data

    def norm(run: Any) -> None:
        if run.epoch != 2:
            run.record("norm", float(np.linalg.norm(run.net.flat)))

    options = {
        "validation": 0.3,
        "callbacks": [norm],
        "metrics": ["auc", "accuracy"],
        "stop": bpx.stop.Patience("val_auc"),
    }
    whole = trained(X, y, net=network(stack=stack), epochs=5, **options)[1]
    path = tmp_path / "run.npz"
    trained(X, y, net=network(stack=stack), epochs=stops, checkpoint=path, **options)
    resumed = trained(X, y, net=network(stack=stack), epochs=5, checkpoint=path, resume=True, **options)[1]
    assert list(resumed.metrics) == list(whole.metrics)
    for name, values in whole.metrics.items():
        np.testing.assert_array_equal(resumed.metrics[name], values)
    np.testing.assert_array_equal(resumed.validation_rows, whole.validation_rows)


def test_metrics_that_come_later_or_are_left_out_are_nan_where_they_were_not_measured(data: Any, tmp_path: Any) -> None:
    path = tmp_path / "run.npz"
    first = trained(*data, epochs=2, checkpoint=path, metrics=["auc"])[1].metrics["auc"]
    with pytest.warns(UserWarning, match=r"metrics: \['auc'\] there, \['accuracy'\] here"):
        history = trained(*data, epochs=3, checkpoint=path, resume=True, metrics=["accuracy"])[1]
    assert history.metrics["auc"][:2] == first
    assert np.isnan(history.metrics["auc"][2])
    assert np.isnan(history.metrics["accuracy"][:2]).all()
    assert np.isfinite(history.metrics["accuracy"][2])


def test_the_last_epoch_of_a_run_that_diverges_has_none(data: Any) -> None:
    net = bpx.MLP([4, 1], output="identity", hidden="relu", backend="numpy")
    options = {"loss": "squared_error", "optimizer": bpx.SGD(1e30), "metrics": ["rmse"]}
    with pytest.warns(bpx.DivergenceWarning):
        _, history = trained(data[0], data[0][:, 0], net=net, **options)
    assert history.stop_reason is StopReason.DIVERGED
    assert len(history.metrics["rmse"]) == len(history.loss) - 1
    assert history.to_frame().shape[0] == len(history.loss)


def test_a_network_of_a_stack_that_diverges_has_nan_and_the_others_go_on(data: Any) -> None:
    net = bpx.MLP([4, 6, 1], output="identity", hidden="relu", stack=2, backend="numpy")
    options = {"loss": "squared_error", "optimizer": bpx.SGD([1e30, 1e-3]), "metrics": ["rmse"]}
    with pytest.warns(bpx.DivergenceWarning):
        _, history = trained(data[0], data[0][:, 0], net=net, **options)
    values = np.array(history.metrics["rmse"])
    assert np.isnan(values[-1, 0])
    assert np.isfinite(values[:, 1]).all()


# ---------------------------------------------------------------------- stopping rules


@pytest.mark.parametrize(
    ("name", "best"), [("val_auc", np.argmax), ("val_log_loss", np.argmin), ("accuracy", np.argmax)]
)
def test_patience_knows_which_way_a_metric_gets_better(data: Any, name: str, best: Any) -> None:
    X, y = data
    rule = bpx.stop.Patience(name, patience=100)
    _, history = trained(X, y, validation=0.3, stop=rule, epochs=12, optimizer=bpx.SGD(3.0, momentum=0.9), l2=1e-3)
    values = history.metrics[name]
    assert best(values) not in (0, len(values) - 1)  # else the last or the first would do as well
    assert history.best_epoch == 1 + best(values)


def test_ones_own_metric_has_to_say_which_way_is_better(data: Any) -> None:
    own = {"rise": lambda y, p: float(p[0, 0])}
    with pytest.raises(ValueError, match=r"cannot be known of your own metric; give Patience\(..., mode='max'\)"):
        trained(*data, metrics=own, stop=bpx.stop.Patience("rise"))
    with pytest.raises(ValueError, match="cannot be known of your own metric; give a function of the run"):
        trained(*data, metrics=own, stop=bpx.stop.TargetLoss(0.1, "rise"))
    for mode, best in (("max", np.argmax), ("min", np.argmin)):
        history = trained(*data, metrics=own, epochs=6, stop=bpx.stop.Patience("rise", 9, mode=mode))[1]
        assert history.best_epoch == 1 + best(history.metrics["rise"])


def test_a_target_of_a_metric_is_reached_from_its_own_side(data: Any) -> None:
    values = trained(*data, epochs=20, optimizer=bpx.Adam(0.05))[1].metrics
    for name, reached in (("accuracy", np.greater_equal), ("log_loss", np.less_equal)):
        middle = float(np.median(values[name]))
        first = 1 + int(np.argmax(reached(values[name], middle)))
        assert 1 < first < 20
        rule = bpx.stop.TargetLoss(middle, name)
        history = trained(*data, epochs=20, optimizer=bpx.Adam(0.05), stop=rule)[1]
        assert (history.epochs, history.stop_reason) == (first, StopReason.TARGET_LOSS)


# ---------------------------------------------------------------------- validation=0.2


def test_a_share_holds_out_rows_of_every_class_by_seed(lib: bpx.Backend, data: Any) -> None:
    X, y = data
    net, history = trained(X, y, lib, validation=0.2, seed=3)
    rows = history.validation_rows
    kept = np.setdiff1d(np.arange(N), rows)
    assert len(rows) == round(0.2 * N) == len(set(rows.tolist()))
    for label in range(K):
        assert abs(np.count_nonzero(y[rows] == label) - 0.2 * np.count_nonzero(y == label)) < 1
    other, same = trained(X[kept], y[kept], lib, validation=(X[rows], y[rows]), seed=3)
    np.testing.assert_array_equal(lib.to_host(net.flat), lib.to_host(other.flat))
    assert (history.val_loss, history.metrics) == (same.val_loss, same.metrics)
    assert np.array_equal(trained(X, y, lib, validation=0.2, seed=3)[1].validation_rows, rows)
    assert not np.array_equal(trained(X, y, lib, validation=0.2, seed=4)[1].validation_rows, rows)
    assert same.validation_rows is None


def test_the_settings_say_how_many_rows_a_share_is(data: Any) -> None:
    seen: list[Any] = []
    trained(*data, validation=0.2, callbacks=[lambda run: seen.append(run.settings)])
    assert (seen[0]["samples"], seen[0]["validation samples"]) == (72, 18)
    assert seen[0]["metrics"] == [*NAMES, *(f"val_{name}" for name in NAMES)]


@pytest.mark.parametrize("stack", [None, 2])
def test_weights_and_class_weights_go_with_their_rows(data: Any, stack: int | None) -> None:
    X, y = data
    w = np.linspace(0.1, 2.0, N) if stack is None else np.stack([np.linspace(0.1, 2.0, N), np.ones(N)])
    options = {"class_weight": "balanced", "seed": 5}
    net, history = trained(X, y, net=network(stack=stack), validation=0.25, sample_weight=w, **options)
    rows = history.validation_rows
    kept = np.setdiff1d(np.arange(N), rows)
    alone = network(stack=stack)
    trained(X[kept], y[kept], net=alone, sample_weight=w[..., kept], **options)
    np.testing.assert_array_equal(net.flat, alone.flat)
    if stack is None:
        np.testing.assert_allclose(history.metrics["val_log_loss"][-1], history.val_loss[-1], rtol=1e-12)


def test_sparse_rows_are_split_too(data: Any) -> None:
    X, y = data
    expected = trained(X, y, validation=0.2)[1]
    history = trained(scipy.sparse.csr_matrix(X), y, validation=0.2)[1]
    assert (history.loss, history.metrics) == (expected.loss, expected.metrics)


def test_numbers_are_split_by_chance_alone(data: Any) -> None:
    net = bpx.MLP([4, 1], output="identity", backend="numpy")
    history = bpx.fit(net, data[0], data[0][:, 0], "squared_error", validation=np.float32(0.5), epochs=1)
    assert len(history.validation_rows) == 45


def test_ranks_split_the_same_rows(data: Any) -> None:
    expected = trained(*data, validation=0.2)[1]
    for history in on_ranks(2, lambda comm: trained(*data, comm=comm, validation=0.2)[1])[0]:
        np.testing.assert_array_equal(history.validation_rows, expected.validation_rows)
        np.testing.assert_allclose(history.val_loss, expected.val_loss, rtol=1e-12)


# ---------------------------------------------------------------------- columns of callbacks


def test_a_callback_adds_a_column(data: Any) -> None:
    _, history = trained(*data, metrics=None, callbacks=[lambda run: run.record("norm", run.epoch * 2)])
    assert history.metrics == {"norm": [2.0, 4.0, 6.0]}


def test_epochs_without_a_value_have_nan(data: Any) -> None:
    def sometimes(run: Any) -> None:
        if run.epoch in (2, 3):
            run.record("rare", run.epoch)

    for stack in (None, 2):
        _, history = trained(*data, net=network(stack=stack), metrics=None, epochs=5, callbacks=[sometimes])
        values = np.array(history.metrics["rare"])
        expected = np.array([np.nan, 2, 3, np.nan, np.nan])
        np.testing.assert_array_equal(values, expected if stack is None else np.stack([expected] * 2, axis=1))


@pytest.mark.parametrize(
    ("record", "error", "message"),
    [
        (lambda run: [run.record("a", 1), run.record("a", 2)], ValueError, "once per epoch"),
        (lambda run: run.record("auc", 1), ValueError, "'auc' is a metric of this run"),
        (lambda run: run.record("loss", 1), ValueError, "'loss' cannot be a column's name"),
        (lambda run: run.record("a", None), TypeError, "record: 'a': expected a number, got None"),
        (lambda run: run.record("a", [1, 2]), TypeError, "expected a number, got"),
        (lambda run: run.record(1, 1), TypeError, "name as text"),
    ],
)
def test_columns_that_make_no_sense_are_refused(data: Any, record: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        trained(*data, callbacks=[lambda run: record(run) and None])


def test_a_column_belongs_to_an_epoch_that_has_ended_and_is_not_logged_yet(data: Any, tmp_path: Any) -> None:
    class Early(bpx.Callback):
        def on_step_end(self, run: Any) -> None:
            run.record("early", 1.0)

    with pytest.raises(RuntimeError, match="call it in on_epoch_end"):
        trained(*data, callbacks=[Early()])
    late = [bpx.callbacks.CSVLogger(tmp_path / "log.csv"), lambda run: run.record("late", 1.0)]
    with pytest.raises(RuntimeError, match=r"CSVLogger has written epoch 1 without 'late'; .* before what logs"):
        trained(*data, callbacks=late)
    trained(*data, callbacks=late[::-1])


# ---------------------------------------------------------------------- where it is shown


@pytest.mark.parametrize("stack", [None, 2])
def test_logs_have_metrics_and_columns_that_come_later(data: Any, tmp_path: Any, stack: int | None) -> None:
    def later(run: Any) -> None:
        if run.epoch >= 2:
            run.record("norm", run.epoch)

    csv, lines = tmp_path / "log.csv", tmp_path / "log.jsonl"
    callbacks = [later, bpx.callbacks.CSVLogger(csv), bpx.callbacks.JSONLinesLogger(lines)]
    options = {"metrics": ["auc"], "validation": 0.2, "callbacks": callbacks}
    _, history = trained(*data, net=network(stack=stack), **options)
    import pandas as pd

    table, frame = pd.read_csv(csv), history.to_frame()
    names = [name for name in table if name not in ("step", "seconds")]
    assert names == list(frame)
    pd.testing.assert_frame_equal(table[names], frame, check_dtype=False, rtol=1e-15)
    assert csv.read_text().splitlines()[1].split(",")[-1 - (stack or 1) : -1] == [""] * (stack or 1)
    rows = [json.loads(line) for line in lines.read_text().splitlines()]
    assert [("norm" in row, "val_auc" in row) for row in rows] == [(False, True), (True, True), (True, True)]
    assert np.shape(rows[0]["auc"]) == (() if stack is None else (2,))


def test_a_csv_log_with_a_recorded_column_goes_on(data: Any, tmp_path: Any) -> None:
    def later(run: Any) -> None:
        if run.epoch >= 2:
            run.record("norm", run.epoch)

    log, path = tmp_path / "log.csv", tmp_path / "run.npz"
    options = {"metrics": ["auc"], "checkpoint": path, "callbacks": [later, bpx.callbacks.CSVLogger(log)]}
    trained(*data, epochs=2, **options)
    history = trained(*data, epochs=4, resume=True, **options)[1]
    rows = [line.split(",") for line in log.read_text().splitlines()]
    assert rows[0] == ["epoch", "step", "loss", "learning_rate", "auc", "norm", "seconds"]
    assert [row[5] for row in rows[1:]] == ["", "2.0", "3.0", "4.0"]
    assert [float(row[4]) for row in rows[1:]] == history.metrics["auc"]
    # A new run that writes below may record it again, or not.
    trained(*data, epochs=1, metrics=["auc"], callbacks=[bpx.callbacks.CSVLogger(log, append=True)])
    assert log.read_text().splitlines()[-1].split(",")[5] == ""
    with pytest.raises(ValueError, match=r"expected .* to be a log of a run like this one"):
        trained(*data, epochs=1, metrics=["accuracy"], callbacks=[bpx.callbacks.CSVLogger(log, append=True)])


def test_progress_and_log_lines_show_what_was_asked_for(data: Any, capsys: Any, caplog: Any) -> None:
    with caplog.at_level(logging.DEBUG, "bpx.training"):
        _, history = trained(
            *data, metrics=["auc"], validation=0.2, progress=1, callbacks=[lambda r: r.record("own", 1)]
        )
    lines = capsys.readouterr().err.splitlines()
    assert [re.search(r" val_auc (\S+) ", line)[1] for line in lines] == [  # type: ignore[index]
        f"{value:.6g}" for value in history.metrics["val_auc"]
    ]
    assert not any(" auc " in line or "own" in line for line in lines)
    messages = [record.getMessage() for record in caplog.records if "epoch 2 of" in record.getMessage()]
    assert f"val_auc {history.metrics['val_auc'][1]:.6g}" in messages[0]
    trained(*data, metrics=["auc"], progress=1)
    assert " auc " in capsys.readouterr().err
    assert f"val_auc {history.metrics['val_auc'][-1]:.6g}" in str(history)


def test_a_history_becomes_a_table(data: Any, monkeypatch: Any) -> None:
    _, history = trained(*data, metrics=["auc"], validation=0.2)
    frame = history.to_frame()
    assert list(frame) == ["epoch", "loss", "val_loss", "learning_rate", "auc", "val_auc"]
    assert frame["epoch"].tolist() == [1, 2, 3]
    assert frame["val_auc"].tolist() == history.metrics["val_auc"]
    _, history = trained(*data, net=network(stack=2), metrics=["auc"], optimizer=bpx.Adam([0.1, 0.01]))
    frame = history.to_frame()
    assert list(frame) == ["epoch", *(f"{name}_{k}" for name in ("loss", "learning_rate", "auc") for k in (0, 1))]
    assert frame["learning_rate_1"].tolist() == [0.01] * 3
    np.testing.assert_array_equal(frame[["loss_0", "loss_1"]], history.loss)
    assert bpx.History().to_frame().shape == (0, 2)
    monkeypatch.setitem(__import__("sys").modules, "pandas", None)
    with pytest.raises(ImportError, match="pip install pandas"):
        history.to_frame()


@pytest.mark.parametrize("stack", [None, 2])
def test_histories_are_compared_by_what_they_hold(data: Any, stack: int | None) -> None:
    _, history = trained(*data, net=network(stack=stack), validation=0.2)
    history.metrics["own"] = [float("nan")] * 3
    same, other = pickle.loads(pickle.dumps(history)), copy.deepcopy(history)
    assert history == same
    other.validation_rows[0] += 1
    assert history != other
    other = copy.deepcopy(history)
    other.metrics["auc"][1] = other.metrics["auc"][1] + 1.0
    assert history != other
    assert history != bpx.History()
    assert history != history.loss


def test_without_metrics_nothing_is_forwarded_besides(data: Any, monkeypatch: Any) -> None:
    from bpx.training import evaluation

    monkeypatch.setattr(evaluation.Outputs, "__call__", lambda *_: pytest.fail("an output was asked for"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _, history = trained(*data, metrics=[], validation=0.2)
    assert history.metrics == {}


# ---------------------------------------------------------------------- sweeps


@pytest.mark.parametrize("scoring", [*NAMES])
def test_a_sweep_scores_by_the_same_names(data: Any, scoring: str) -> None:
    X, y = data
    make = lambda seed: bpx.MLP([4, 6, K], hidden="tanh", dtype="float64", seed=seed, backend="numpy")  # noqa: E731
    table = bpx.sweep(make, {"seed": [0, 1]}, X, y, validation=(X[:40], y[:40]), epochs=3, scoring=scoring, refit=False)
    expected = []
    for seed in (0, 1):
        net = make(seed)
        bpx.fit(net, X, y, epochs=3)
        expected.append(expected_of(y[:40], net(X[:40]))[scoring] * (-1.0 if scoring == "log_loss" else 1.0))
    found = dict(
        zip((p["seed"] for p in table.cv_results_["params"]), table.cv_results_["mean_test_score"], strict=True)
    )
    np.testing.assert_allclose([found[0], found[1]], expected, rtol=1e-9)
    assert table.scoring == ("neg_log_loss" if scoring == "log_loss" else scoring)


def test_a_sweep_refuses_a_metric_that_does_not_fit(data: Any) -> None:
    make = lambda seed: bpx.MLP([4, K], seed=seed, backend="numpy")  # noqa: E731
    with pytest.raises(ValueError, match="scoring: 'rmse' is for numbers, and the targets are classes"):
        bpx.sweep(make, {"seed": [0]}, *data, epochs=1, scoring="rmse")


def test_a_sweep_that_refuses_a_metric_says_what_its_own_function_is_given(data: Any) -> None:
    make = lambda seed: bpx.MLP([4, K], seed=seed, backend="numpy")  # noqa: E731
    with pytest.raises(ValueError, match=r"or a function f\(net, X, y\)"):
        bpx.sweep(make, {"seed": [0]}, *data, epochs=1, scoring="rmse")


@pytest.mark.parametrize("spoilt", ["X", "y"])
def test_a_function_that_scores_a_sweep_cannot_change_the_rows(data: Any, spoilt: str) -> None:
    def score(net: Any, X: Any, y: Any) -> float:
        {"X": X, "y": y}[spoilt][...] = 0
        return 0.0

    make = lambda seed: bpx.MLP([4, K], seed=seed, dtype="float64", backend="numpy")  # noqa: E731
    before = [a.copy() for a in data]
    with pytest.raises(ValueError, match="read-only"):
        bpx.sweep(make, {"seed": [0]}, *data, validation=data, epochs=1, scoring=score, refit=False)
    for a, b in zip(data, before, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_sweep_scores_smoothed_targets(data: Any) -> None:
    X, y = data
    smooth = np.where(y > 0, 0.9, 0.1)[:, None]
    make = lambda seed: bpx.MLP([4, 1], output="sigmoid", seed=seed, dtype="float64", backend="numpy")  # noqa: E731
    options = {"loss": "squared_error", "epochs": 2}
    table = bpx.sweep(
        make, {"seed": [0]}, X, smooth, validation=(X, smooth), scoring="accuracy", refit=False, **options
    )
    net = make(0)
    bpx.fit(net, X, smooth, **options)
    assert table.best_score == np.mean((net(X)[:, 0] > 0.5) == (y > 0))


def test_a_sweep_scores_labels_that_only_its_validation_rows_have_together(data: Any) -> None:
    X, y = data
    rows, labels = np.eye(K)[y], (X[:, :K] > 0).astype(float)
    make = lambda seed: bpx.MLP([4, K], output="sigmoid", seed=seed, dtype="float64", backend="numpy")  # noqa: E731
    options = {"loss": "binary_cross_entropy", "epochs": 2}
    table = bpx.sweep(make, {"seed": [0]}, X, rows, validation=(X, labels), refit=False, **options)
    net = make(0)
    bpx.fit(net, X, rows, **options)
    assert table.best_score == scikit.accuracy_score(labels, net(X) > 0.5)


def test_rules_of_a_sweep_watch_no_metrics(data: Any) -> None:
    make = lambda seed: bpx.MLP([4, K], seed=seed, backend="numpy")  # noqa: E731
    with pytest.raises(ValueError, match="a sweep's rules watch 'loss', 'val_loss' or a function of the run, got"):
        bpx.sweep(make, {"seed": [0]}, *data, epochs=1, stop=bpx.stop.Patience("val_auc"), refit=False)


def test_a_sweep_scores_several_labels_by_rows_with_all_of_them_right(data: Any) -> None:
    X = data[0]
    labels = (X[:, :3] > 0).astype(float)
    make = lambda seed: bpx.MLP([4, 3], output="sigmoid", seed=seed, backend="numpy")  # noqa: E731
    options = {"loss": "binary_cross_entropy", "epochs": 2}
    table = bpx.sweep(make, {"seed": [0]}, X, labels, validation=(X, labels), refit=False, **options)
    net = make(0)
    bpx.fit(net, X, labels, **options)
    assert table.best_score == scikit.accuracy_score(labels, net(X) > 0.5)


def test_a_sweep_over_an_estimator_takes_the_same_names(data: Any) -> None:
    X, y = data
    est = bpx.MLPClassifier((4,), max_iter=3, random_state=0, backend="numpy")
    with pytest.warns(Warning, match="max_iter"):
        tables = [
            bpx.sweep(est, {"alpha": [0.1]}, X, y, cv=3, scoring=name, refit=False)
            for name in ("auc", "roc_auc_ovr", "log_loss", "neg_log_loss")
        ]
    scores = [table.best_score for table in tables]
    assert scores[0] == scores[1] > 0.0 > scores[2] == scores[3]


# ---------------------------------------------------------------------- estimators


def classifier(**options: Any) -> Any:
    return bpx.MLPClassifier((6,), **{"max_iter": 4, "random_state": 0, "backend": "numpy", **options})


def fitted(est: Any, *given: Any, **options: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return est.fit(*given, **options)


@pytest.mark.parametrize("kind", ["binary", "multiclass", "multilabel"])
def test_a_classifier_measures_what_it_scores(data: Any, kind: str) -> None:
    X, y = data
    target: Any = {"binary": np.array(["no", "yes"])[y % 2], "multiclass": y, "multilabel": X[:, :3] > 0}[kind]
    w = np.linspace(0.0, 1.0, 60)
    est = classifier(metrics=["accuracy", "auc"], class_weight="balanced" if kind != "multilabel" else None)
    fitted(est, X[30:], target[30:], w, X_val=X[:30], y_val=target[:30])
    assert [len(values) for values in est.metrics_.values()] == [4] * 4
    assert est.metrics_ == est.history_.metrics
    assert est.metrics_["val_accuracy"][-1] == est.score(X[:30], target[:30])
    np.testing.assert_allclose(est.metrics_["accuracy"][-1], est.score(X[30:], target[30:], w), **CLOSE)
    p = est.predict_proba(X[:30])
    if kind == "binary":
        p = p[:, 1]
    expected = scikit.roc_auc_score(target[:30], p, multi_class="ovr")
    np.testing.assert_allclose(est.metrics_["val_auc"][-1], expected, **CLOSE)


def test_rows_with_a_single_label_each_stay_labels_to_a_classifier(data: Any) -> None:
    X, y = data
    est = fitted(classifier(metrics=["accuracy"]), X, np.eye(K, dtype=int)[y])
    assert est.metrics_["accuracy"][-1] == est.score(X, np.eye(K, dtype=int)[y])


def test_a_regressor_measures_what_it_scores(data: Any) -> None:
    X = data[0]
    est = bpx.MLPRegressor(hidden_layer_sizes=(6,), max_iter=4, random_state=0, backend="numpy", metrics=("r2", "mae"))
    fitted(est, X, X[:, :2] ** 2)
    np.testing.assert_allclose(est.metrics_["r2"][-1], est.score(X, X[:, :2] ** 2), **CLOSE)
    with pytest.raises(ValueError, match=r"'auc' is for .*, and the targets are numbers; use r2, mae, rmse"):
        fitted(est.set_params(metrics=["auc"]), X, X[:, 0])


@pytest.mark.parametrize("name", ["auc", "log_loss"])
@pytest.mark.parametrize("n_init", [1, 3])
def test_a_metric_decides_when_an_estimator_stops(data: Any, name: str, n_init: int) -> None:
    X, y = data
    options = {"early_stopping": True, "validation_fraction": 0.3, "monitor": name, "n_iter_no_change": 3, "tol": 0.0}
    est = fitted(classifier(solver="sgd", learning_rate_init=2.0, max_iter=40, n_init=n_init, **options), X, y)
    curve = est.metrics_[f"val_{name}"]
    best = int((np.argmin if name == "log_loss" else np.argmax)(curve))
    signed = curve if name == "auc" else [-value for value in curve]
    assert est.validation_scores_ == signed
    assert est.best_validation_score_ == signed[best]
    assert len(curve) == est.n_iter_
    if n_init == 1:
        assert est.history_.best_epoch == 1 + best < est.n_iter_ < 40


def test_a_function_is_given_class_numbers_by_estimators_as_by_fit() -> None:
    X, y = np.random.default_rng(1).normal(size=(60, 4)), np.arange(60) % 3
    seen: list[Any] = []

    def right(y_true: Any, y_pred: Any, sample_weight: Any = None) -> float:
        seen.append(y_true.copy())
        return float(np.average(y_true == y_pred.argmax(axis=1), weights=sample_weight))

    weight = np.linspace(0.5, 2.0, 60)
    est = bpx.MLPClassifier(
        (5,), metrics=[right, "accuracy"], n_iter_no_change=2, tol=1e9, backend="numpy", random_state=0
    )
    est.fit(X, np.array(["a", "b", "c"])[y], weight)
    assert np.array_equal(seen[0], y)
    assert est.metrics_["right"] == est.metrics_["accuracy"]


def test_an_estimator_goes_on_with_its_metrics(data: Any) -> None:
    X, y = data
    whole = classifier(metrics=["accuracy"])
    for _ in range(2):
        whole.partial_fit(X, y, classes=[0, 1, 2])
    whole.set_params(metrics=["auc"]).partial_fit(X, y)
    assert np.isnan(whole.metrics_["accuracy"]).tolist() == [False, False, True]
    assert np.isnan(whole.metrics_["auc"]).tolist() == [True, True, False]
    warm = classifier(metrics=["accuracy"], warm_start=True)
    fitted(fitted(warm, X, y), X, y)
    assert len(warm.metrics_["accuracy"]) == len(warm.loss_curve_) == 8
    fitted(warm.set_params(warm_start=False), X, y)
    assert len(warm.metrics_["accuracy"]) == 4
    fitted(warm.set_params(metrics=None), X, y)
    assert not hasattr(warm, "metrics_")


def test_measuring_leaves_an_estimator_as_it_was(data: Any) -> None:
    X, y = data
    options = {"early_stopping": True, "validation_fraction": 0.2}
    one, two = fitted(classifier(metrics=NAMES, **options), X, y), fitted(classifier(**options), X, y)
    np.testing.assert_array_equal(one._net.flat, two._net.flat)
    assert (one.loss_curve_, one.validation_scores_) == (two.loss_curve_, two.validation_scores_)
    assert not hasattr(two, "metrics_")


def test_scipys_solvers_measure_in_estimators(data: Any) -> None:
    est = fitted(classifier(solver="lbfgs", metrics=["accuracy"]), *data)
    assert est.metrics_["accuracy"][-1] == est.score(*data)


def test_several_targets_at_once_take_functions_alone(data: Any) -> None:
    X, y = data
    both = np.stack([y, y[::-1]], axis=1)
    with pytest.raises(ValueError, match="several class targets at once; give a function"):
        fitted(classifier(metrics=["accuracy"]), X, both)
    est = fitted(classifier(metrics={"first": lambda t, p: np.mean(p[:, :3].argmax(1) == t[:, :3].argmax(1))}), X, both)
    assert est.metrics_["first"][-1] == np.mean(est.predict(X)[:, 0] == y)


def test_saved_estimators_keep_their_metrics(data: Any, tmp_path: Any) -> None:
    est = fitted(classifier(metrics=["auc"], n_init=2), *data)
    est.save(tmp_path / "est.npz")
    loaded = bpx.MLPClassifier.load(tmp_path / "est.npz")
    assert (loaded.metrics, loaded.metrics_) == (["auc"], est.metrics_)
    own = {"own": lambda t, p: 1.0}
    fitted(classifier(metrics=own), *data).save(tmp_path / "own.npz")
    with pytest.raises(bpx.FileFormatError, match=r"the parameter metrics was .* give it"):
        bpx.MLPClassifier.load(tmp_path / "own.npz")
    assert bpx.MLPClassifier.load(tmp_path / "own.npz", metrics=own).metrics_ == {"own": [1.0] * 4}


def test_a_file_from_before_there_were_metrics_is_read(data: Any, tmp_path: Any) -> None:
    path = tmp_path / "est.npz"
    est = fitted(classifier(), *data)
    est.save(path)
    document, arrays = container.read(path, lambda *_: None)
    del document["estimator"]["params"]["metrics"]
    history = document["estimator"]["fitted"]["history_"]["History"]
    del history["metrics"], history["validation_rows"]
    container.write(path, document, arrays, ".npz")
    loaded = bpx.MLPClassifier.load(path)
    assert (loaded.history_.loss, loaded.history_.metrics, loaded.metrics) == (est.history_.loss, {}, None)


def test_a_checkpoint_from_before_there_were_metrics_goes_on(data: Any, tmp_path: Any) -> None:
    path = tmp_path / "run.npz"
    whole = trained(*data, metrics=None)[1]
    rule = bpx.stop.Patience("loss")
    trained(*data, metrics=None, epochs=2, checkpoint=path, stop=rule)
    tree = checkpoint.read(path)
    del tree["run"]["history"]["metrics"]
    tree["plan"]["hyperparameters"]["stop.0.mode"] = "min"  # what "auto" was
    checkpoint.write(path, tree)
    with pytest.warns(UserWarning, match="metrics: 'nothing' there"):
        history = trained(*data, checkpoint=path, resume=True, stop=rule, metrics=["auc"])[1]
    assert history.loss == whole.loss
    assert np.isnan(history.metrics["auc"]).tolist() == [True, True, False]
    trained(*data, metrics=None, epochs=2, checkpoint=tmp_path / "again.npz", stop=rule)
    tree = checkpoint.read(tmp_path / "again.npz")
    del tree["run"]["history"]["metrics"]
    checkpoint.write(tmp_path / "again.npz", tree)
    assert trained(*data, metrics=None, checkpoint=tmp_path / "again.npz", resume=True, stop=rule)[1].loss == whole.loss


# ---------------------------------------------------------------------- pictures


@pytest.fixture
def pyplot() -> Any:
    from matplotlib import pyplot

    yield pyplot
    pyplot.close("all")


def test_a_metric_is_drawn_in_place_of_the_loss(data: Any, pyplot: Any) -> None:
    _, history = trained(*data, validation=0.3, metrics=["auc", "log_loss"], stop=bpx.stop.Patience("val_auc"))
    shown = bpx.plotting.LossCurveDisplay.from_history(history, metric="auc")
    np.testing.assert_array_equal(shown.lines_[0].get_ydata(), history.metrics["auc"])
    np.testing.assert_array_equal(shown.val_lines_[0].get_ydata(), history.metrics["val_auc"])
    assert (shown.ax_.get_ylabel(), shown.ax_.get_yscale()) == ("auc", "linear")
    assert shown.ax_.get_title(loc="left").startswith("auc after 3 epochs: training ")
    assert shown.best_[0].get_xydata().tolist() == [
        [history.best_epoch, history.metrics["val_auc"][history.best_epoch - 1]]
    ]
    est = fitted(classifier(metrics=["auc"]), *data)
    shown = bpx.plotting.LossCurveDisplay.from_estimator(est, metric="auc")
    np.testing.assert_array_equal(shown.lines_[0].get_ydata(), est.metrics_["auc"])
    with pytest.raises(ValueError, match=r"something that was measured \(auc, log_loss\), got 'acc'"):
        bpx.plotting.LossCurveDisplay.from_history(history, metric="acc")
    with pytest.raises(ValueError, match=r"give metrics=\[...\]"):
        bpx.plotting.LossCurveDisplay.from_history(bpx.History([1.0]), metric="acc")


@pytest.mark.parametrize("stack", [None, 12])
def test_what_was_measured_on_validation_data_alone_is_called_so(data: Any, pyplot: Any, stack: int | None) -> None:
    X, y = data
    batches = [(X[i : i + 10], y[i : i + 10]) for i in range(0, N, 10)]
    _, history = trained(batches, None, net=network(stack=stack), validation=(X[:20], y[:20]), metrics=["auc"])
    shown = bpx.plotting.LossCurveDisplay.from_history(history, metric="auc")
    labels = [text.get_text() for text in shown.legend_.get_texts()]
    assert labels[0].startswith("validation")
    assert not any("training" in label for label in [*labels, shown.ax_.get_title(loc="left")])


# ---------------------------------------------------------------------- bpx train


@pytest.fixture
def table(tmp_path: Any, rng: np.random.Generator) -> str:
    X = rng.normal(size=(200, 3))
    columns = {
        "number": 1000.0 + 50.0 * (X[:, 0] + X[:, 1]), "two": np.where(X[:, 0] > 0, "yes", "no"),
        "three": np.array(list("abc"))[np.digitize(X[:, 1], [-0.5, 0.5])],
    }  # fmt: skip
    lines = [",".join(["x", "y", "z", *columns])]
    lines += [
        ",".join([*(repr(float(v)) for v in row), *map(str, rest)])
        for row, *rest in zip(X, *columns.values(), strict=True)
    ]
    (tmp_path / "t.csv").write_text("\n".join(lines) + "\n")
    return str(tmp_path / "t.csv")


def train(capsys: Any, table: str, target: str, *more: str) -> tuple[int, Any, str]:
    others = [name for name in ("number", "two", "three") if name != target]
    code = main(
        ["train", table, "--target", target, "--drop", *others, "--out", table + ".npz", "--epochs", "6", *more]
    )
    captured = capsys.readouterr()
    return code, json.loads(captured.out) if "--json" in more and captured.out else captured.out, captured.err


@pytest.mark.parametrize(
    ("target", "names"), [("two", "auc,log_loss"), ("three", "auc,accuracy"), ("number", "rmse,r2")]
)
def test_bpx_train_measures_what_is_asked_for(capsys: Any, table: str, target: str, names: str) -> None:
    code, result, lines = train(capsys, table, target, "--metrics", names, "--json")
    assert code == 0
    first, second = names.split(",")
    assert list(result["metrics"]) == [first, second]
    for name, values in result["metrics"].items():
        assert len(values) == 6
        np.testing.assert_allclose(values[-1], result["scores"]["training"][name], rtol=1e-4)
        assert f"{name} {values[-1]:.6g}"[:-2] in lines
    assert set(result["scores"]["held out"]) >= {first, second}


def test_bpx_train_stops_by_a_metric_in_the_targets_own_unit(capsys: Any, table: str) -> None:
    _, result, _ = train(capsys, table, "number", "--patience", "3", "--monitor", "rmse", "--json", "--epochs", "40")
    values = result["metrics"]["val_rmse"]
    assert result["best epoch"] == 1 + int(np.argmin(values))
    assert 5.0 < values[0] < 500.0
    _, result, _ = train(capsys, table, "three", "--patience", "2", "--monitor", "auc", "--json", "--epochs", "40")
    assert result["best epoch"] == 1 + int(np.argmax(result["metrics"]["val_auc"]))
    assert "metrics" not in train(capsys, table, "two", "--json")[1]


@pytest.mark.parametrize(
    ("target", "more", "message"),
    [
        ("two", ["--metrics", "r2"], "--metrics: 'r2' is not for a target of classes; choose from accuracy"),
        ("number", ["--metrics", "auc"], "'auc' is not for a target of numbers; choose from r2, mae, rmse"),
        ("two", ["--metrics", "acc"], "expected names with commas between them, of accuracy"),
        ("two", ["--monitor", "auc"], "--monitor goes with --patience"),
        ("number", ["--monitor", "auc", "--patience", "2"], "'auc' is not for a target of numbers"),
    ],
)
def test_bpx_train_refuses_metrics_that_do_not_fit(
    capsys: Any, table: str, target: str, more: list[str], message: str
) -> None:
    code, _, words = train(capsys, table, target, *more)
    assert code == 2
    assert message in words


def test_bpx_train_says_r2_of_a_constant_target_as_everybody_does(rng: np.random.Generator) -> None:
    table_model = TableModel(Target("y"), None, 0.0, 1.0)  # type: ignore[arg-type]
    y = np.full(5, 0.1)
    assert scores.score(table_model, y + 1.0, y)["r2"] == 0.0
    assert scores.score(table_model, y, y)["r2"] == 1.0
