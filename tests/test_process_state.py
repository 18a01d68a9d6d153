"""What a program has set for its whole process (floating-point errors, print options) changes no result of bpx."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import bpx

RNG = np.random.default_rng(0)
# Saturated neurons, denormal numbers, and labels: exp underflows in every pass.
X = RNG.normal(size=(60, 3)) * 300.0
X[0] = 1e-300
LABELS = RNG.integers(0, 3, 60)


def net(**options):
    """A network whose softmax underflows on `X`."""
    return bpx.MLP([3, 8, 3], dtype="float64", backend="numpy", **options)


def trained(*data, **options):
    """Parameters after training."""
    one = net()
    bpx.fit(one, *data, epochs=2, **options)
    return one.flat


def classifier(**options):
    """An estimator that trains in no time."""
    return bpx.MLPClassifier((8,), max_iter=300, tol=1.0, random_state=0, backend="numpy", **options)


def answers(estimator, y):
    """All that a classifier says."""
    return [estimator.predict(X), estimator.predict_proba(X), [estimator.score(X, y, np.full(60, 1e-200))]]


def on_disk(path):
    """The inputs as a memory map, which a thread reads block by block."""
    np.save(path / "X.npy", X)
    return bpx.stream(np.load(path / "X.npy", mmap_mode="r"), LABELS, buffer=4000)


def swept():
    """Scores of a sweep on two threads."""
    grid = {"learning_rate": [1e-3, 1e-2], "seed": [0, 1]}
    table = bpx.sweep(lambda seed: net(seed=seed), grid, X, LABELS, epochs=2, cv=2, workers=2)
    return [[row["score"] for row in table.rows]]


def saved(path):
    """A network of very large and very small parameters through a file."""
    one = net()
    one.flat[:3] = [5e-324, 1e308, 1e308]
    one.save(path / "net.npz")
    return [bpx.load(path / "net.npz", backend="numpy").flat]


RESULTS = {
    "forward": lambda path: [net()(X), net()(X[0]), *net().activations(X)],
    "a batch in another dtype": lambda path: [net().to(dtype="float32")(X)],
    "gradients": lambda path: [net().loss_and_grads(X, LABELS)[1].flat, net().input_gradient(X, LABELS)],
    "predict": lambda path: [bpx.predict(net(), X), bpx.predict(net(), [X[:9], X[9:]])],
    "fit": lambda path: [trained(X, LABELS, validation=(X, LABELS), l2=1e-300, class_weight="balanced")],
    "a SciPy method": lambda path: [trained(X, LABELS, optimizer="lbfgs")],
    "a stream": lambda path: [trained(on_disk(path))],
    "a checkpoint": lambda path: [trained(X, LABELS, checkpoint=path / "run.ckpt")],
    "sweep": lambda path: swept(),
    "trace": lambda path: [bpx.trace(net(), X[:3], np.eye(3)).layers[0].new_W],
    "check_gradients": lambda path: [[bpx.check_gradients(net(), X[:4], LABELS[:4]).max_absolute_error]],
    "set_params": lambda path: [net().to(dtype="float32").set_params({"0.W": np.full((3, 8), 1e-200)}).flat],
    "a file": saved,
    "classifier": lambda path: answers(classifier().fit(X, LABELS), LABELS),
    "classifier in float32": lambda path: answers(classifier(dtype="float32").fit(X, LABELS > 0), LABELS > 0),
    "partial_fit": lambda path: answers(classifier().partial_fit(X, LABELS, classes=[0, 1, 2]), LABELS),
}


@pytest.mark.parametrize("name", RESULTS)
def test_results_do_not_depend_on_how_the_process_treats_floating_point_errors(name, tmp_path):
    for folder in ("plain", "raising", "calling"):
        (tmp_path / folder).mkdir()
    with np.errstate(all="ignore"):
        expected = RESULTS[name](tmp_path / "plain")
    with np.errstate(all="raise"):
        raising = RESULTS[name](tmp_path / "raising")
    calls = []
    with np.errstate(all="call", call=lambda *error: calls.append(error)):
        calling = RESULTS[name](tmp_path / "calling")
    assert not calls
    for one, other, third in zip(expected, raising, calling, strict=True):
        np.testing.assert_array_equal(one, other)
        np.testing.assert_array_equal(one, third)


def test_the_process_has_its_own_floating_point_state_afterwards():
    with np.errstate(divide="raise", under="call", over="print", invalid="warn"):
        before = np.geterr()
        trained(X, LABELS)
        net()(X)
        bpx.predict(net(), X)
        assert np.geterr() == before


def test_nan_in_the_data_is_refused_in_the_same_words_where_floating_point_errors_raise():
    holed = X.copy()
    holed[4, 1], holed[5, 1] = np.inf, -np.inf
    messages = []
    for state in ("ignore", "raise"):
        for call in (lambda: net()(holed), lambda: trained(holed, LABELS), lambda: classifier().fit(holed, LABELS)):
            with np.errstate(all=state), pytest.raises(ValueError, match=r"infinity|infinite") as caught:
                call()
            messages.append(str(caught.value))
    assert messages[:3] == messages[3:]


@pytest.mark.parametrize(
    "options", [{"precision": 2, "suppress": True, "linewidth": 20, "threshold": 3}, {"legacy": "1.13"}]
)
def test_a_step_is_shown_in_the_same_words_whatever_the_print_options(options):
    step = bpx.trace(net(), X[1:3], np.eye(3)[:2])
    report = bpx.check_gradients(net(), X[1:3], LABELS[1:3])
    plain = [str(step), step.to_markdown(), step.to_latex(), str(report)]
    with np.printoptions(formatter={"float": lambda x: "?"}, **options):
        assert [str(step), step.to_markdown(), step.to_latex(), str(report)] == plain


def test_pictures_are_drawn_where_floating_point_errors_raise():
    plotting = pytest.importorskip("matplotlib") and bpx.plotting
    from matplotlib import pyplot

    one = bpx.MLP([2, 8, 3], dtype="float64", backend="numpy")
    with np.errstate(all="raise"), warnings.catch_warnings():
        warnings.simplefilter("ignore", bpx.DivergenceWarning)
        plotting.DecisionBoundaryDisplay.from_network(one, X[3:, :2], LABELS[3:])
        plotting.NetworkDisplay.from_trace(bpx.trace(net(), X[0], np.eye(3)[0]))
        plotting.LossCurveDisplay.from_history(bpx.fit(one, X[:, :2], LABELS, epochs=3))
    pyplot.close("all")
