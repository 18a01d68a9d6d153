"""SciPy's minimisers on the flat parameter vector."""

from __future__ import annotations

import re
import sys
from typing import Any

import numpy as np
import pytest
import scipy.optimize
from releases import since

import bpx
from bpx import StopReason
from bpx.errors import how_to_install
from bpx.training.solvers import METHODS

ALL = pytest.mark.parametrize("method", METHODS)
Data = tuple[np.ndarray, np.ndarray]
L2 = 0.1
# These take second derivatives from differences of gradients, which magnify a rounding error 1e8 times.
ROUNDING = {"newton-cg": 1e-6, "tnc": 1e-6}


@pytest.fixture
def data(rng: np.random.Generator) -> Data:
    """Forty samples of two classes that overlap."""
    X = rng.normal(size=(40, 4))
    return X, (X[:, 0] + 0.5 * rng.normal(size=40) > 0).astype(float)


def line(**options: Any) -> bpx.MLP:
    """Logistic regression: with l2 > 0 its loss has one minimum."""
    return bpx.MLP([4, 1], output="sigmoid", **({"dtype": "float64", "backend": "numpy"} | options))


def fit(net: bpx.MLP, data: Data, method: Any, epochs: int = 200, **options: Any) -> bpx.History:
    """Train on binary cross-entropy with a penalty."""
    return bpx.fit(net, *data, "binary_cross_entropy", method, epochs, **({"l2": L2} | options))


def logistic_regression(x: np.ndarray, X: np.ndarray, y: np.ndarray) -> tuple[float, np.ndarray]:
    """Its loss and gradient, written without bpx; x holds four weights and a bias."""
    z = X @ x[:4] + x[4]
    residual = (1.0 / (1.0 + np.exp(-z)) - y) / len(y)
    loss = np.mean(np.logaddexp(0.0, z) - y * z) + 0.5 * L2 * x[:4] @ x[:4]
    return float(loss), np.append(X.T @ residual + L2 * x[:4], residual.sum())


def value(net: bpx.MLP, data: Data, l2: float = L2) -> float:
    """The loss where the network is now."""
    return float(net.loss_and_grads(*data, "binary_cross_entropy", l2)[0])


@ALL
@pytest.mark.parametrize("hidden", [[], [5], [5, 4]])
def test_every_method_lowers_the_loss(data: Data, method: str, hidden: list[int]) -> None:
    net = bpx.MLP([4, *hidden, 1], hidden="tanh", output="sigmoid", dtype="float64", backend="numpy")
    before = value(net, data)
    history = fit(net, data, method, epochs=25)
    assert history.loss[-1] < 0.9 * before
    assert value(net, data) == pytest.approx(history.loss[-1], rel=1e-12)
    assert 1 <= history.epochs <= 25


@ALL
def test_every_method_reaches_the_one_minimum_of_a_convex_loss(data: Data, method: str) -> None:
    lowest = scipy.optimize.minimize(
        logistic_regression, np.zeros(5), args=data, jac=True, method="Newton-CG", options={"xtol": 1e-12}
    )
    net = line()
    history = fit(net, data, bpx.SciPy(method, tol=1e-10))
    # A loss that is flat to second order: 1e-10 in the loss leaves 1e-5 in the parameters.
    assert abs(history.loss[-1] - lowest.fun) <= 1e-10
    assert np.max(np.abs(net.flat - lowest.x)) <= 1e-4


@ALL
def test_a_method_takes_the_path_that_scipy_takes_without_bpx(data: Data, method: str) -> None:
    if method == "slsqp":
        since("scipy", "1.16", "the last step of an SLSQP that maxiter ends")
    net, path = line(), []

    def keep(x: np.ndarray, *_: Any) -> None:
        path.append(np.array(x))

    start = np.array(net.flat)
    scipy.optimize.minimize(logistic_regression, start, args=data, jac=True, method=METHODS[method][0], callback=keep)
    taken: list[np.ndarray] = []
    fit(net, data, method, epochs=4, callbacks=[lambda run: taken.append(np.array(run.net.flat))])
    assert np.max(np.abs(np.subtract(taken, path[:4]))) <= ROUNDING.get(method, 1e-10)


@ALL
@pytest.mark.parametrize("hidden", [[], [8]])
def test_history_has_an_entry_for_each_iteration(data: Data, close: Any, method: str, hidden: list[int]) -> None:
    # From such weights trust-constr tries steps and takes them back: the last evaluation is not the iterate's.
    wild = bpx.initializers.normal(10.0)
    net = bpx.MLP([4, *hidden, 1], "tanh", "sigmoid", init=wild, dtype="float64", backend="numpy")
    expected, val_expected = [], []

    def measure(run: Any) -> None:
        expected.append(value(run.net, data, l2=L2 / 100))
        val_expected.append(value(run.net, data, l2=0.0))

    history = fit(net, data, method, epochs=60 if hidden else 5, validation=data, callbacks=[measure], l2=L2 / 100)
    assert history.epochs == len(history.loss) == len(history.val_loss) >= 5
    assert history.learning_rate == []
    assert history.steps >= history.epochs
    close(history.loss, expected)
    close(history.val_loss, val_expected)


@ALL
@pytest.mark.parametrize("epochs", [1, 3])
def test_the_epoch_limit_is_a_limit_of_iterations(data: Data, method: str, epochs: int) -> None:
    history = fit(line(), data, method, epochs=epochs)
    assert history.stop_reason is StopReason.EPOCHS
    assert history.epochs == epochs


@ALL
def test_a_solver_that_converges_says_so(data: Data, method: str) -> None:
    history = fit(line(), data, method)
    assert history.stop_reason is StopReason.CONVERGED
    assert history.epochs < 200
    assert history.message


@ALL
def test_stopping_rules_end_a_solver(data: Data, method: str) -> None:
    net = line()
    history = fit(net, data, method, stop=bpx.stop.TargetLoss(0.97 * value(net, data)))
    assert history.stop_reason is StopReason.TARGET_LOSS
    assert all(loss > 0.97 * history.loss[0] for loss in history.loss[:-1])
    assert value(net, data) == pytest.approx(history.loss[-1], rel=1e-12)


@ALL
def test_patience_restores_the_best_iterate_of_a_solver(data: Data, method: str) -> None:
    seen: list[np.ndarray] = []
    watched = [5.0, 4.0, 6.0, 7.0]
    rule = bpx.stop.Patience(lambda run: watched[run.epoch - 1], patience=2)
    net = line()
    history = fit(net, data, method, stop=rule, callbacks=[lambda run: seen.append(np.array(run.net.flat))])
    assert (history.stop_reason, history.epochs, history.best_epoch) == (StopReason.PATIENCE, 4, 2)
    assert np.array_equal(net.flat, seen[1])


@ALL
def test_a_callback_ends_a_solver(data: Data, method: str) -> None:
    history = fit(line(), data, method, callbacks=[lambda run: run.epoch == 2])
    assert history.stop_reason is StopReason.CALLBACK
    assert history.epochs == 2


@ALL
@pytest.mark.parametrize("error", [KeyboardInterrupt, ZeroDivisionError])
def test_an_interrupt_in_a_line_search_leaves_the_last_iterate(data: Data, method: str, error: Any) -> None:
    seen: list[np.ndarray] = []

    class Interrupt(bpx.Callback):
        def on_step_end(self, run: Any) -> None:
            if run.epoch == 2:  # the first evaluation on the way to the third iterate
                raise error

        def on_epoch_end(self, run: Any) -> None:
            seen.append(np.array(run.net.flat))

    net = line()
    if error is KeyboardInterrupt:
        history = fit(net, data, method, callbacks=[Interrupt()])
        assert (history.stop_reason, history.epochs) == (StopReason.INTERRUPTED, 2)
    else:
        with pytest.raises(error):
            fit(net, data, method, callbacks=[Interrupt()])
    assert np.array_equal(net.flat, seen[1])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_solver_takes_the_same_path_on_every_library(lib: bpx.Backend, data: Data, close: Any, dtype: str) -> None:
    there, here = line(backend=lib, dtype=dtype), line(dtype=dtype)
    close(fit(there, data, "lbfgs", epochs=3).loss, fit(here, data, "lbfgs", epochs=3).loss, dtype)
    assert there.flat.dtype == lib.dtype(dtype)


def test_sample_weights_reach_a_solver(data: Data, rng: np.random.Generator) -> None:
    X, y = data
    times = rng.integers(0, 3, len(y))
    weighted, repeated = line(), line()
    method = bpx.SciPy("bfgs", {"gtol": 1e-9})
    fit(weighted, data, method, sample_weight=times)
    fit(repeated, (np.repeat(X, times, axis=0), np.repeat(y, times)), method)
    assert np.max(np.abs(weighted.flat - repeated.flat)) <= 1e-8


def test_options_and_upper_case_names_are_passed_on(data: Data) -> None:
    loose = fit(line(), data, bpx.SciPy("L-BFGS-B", {"gtol": 1e-2}))
    tight = fit(line(), data, bpx.SciPy("L-BFGS-B", {"gtol": 1e-8}))
    assert loose.epochs < tight.epochs


def test_a_solver_that_cannot_go_on_says_so_and_leaves_finite_parameters() -> None:
    def wrong(xp: Any, output: Any, target: Any) -> tuple[Any, Any]:
        return 0.5 * output * output, -output  # a gradient that points uphill

    net = bpx.MLP([1, 1], output="identity", dtype="float64", backend="numpy")
    history = bpx.fit(net, [[1.0]], [0.0], wrong, "bfgs", epochs=50)
    assert history.stop_reason is StopReason.NO_PROGRESS
    assert history.message
    assert np.all(np.isfinite(net.flat))


def test_without_scipy_the_error_names_the_extra(data: Data, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "scipy.optimize", None)
    net = line()
    before = np.array(net.flat)
    with pytest.raises(ImportError, match=re.escape(how_to_install("sklearn", "scipy"))):
        fit(net, data, "cg")
    assert np.array_equal(net.flat, before)


@pytest.mark.parametrize(("options", "message"), [({"stack": 3}, "a stack of 3"), ({"dropout": 0.5}, "randomness")])
def test_stacks_and_dropout_are_refused(options: dict[str, Any], message: str) -> None:
    net = bpx.MLP([2, 3, 1], output="identity", backend="numpy", **options)
    with pytest.raises(ValueError, match=message):
        bpx.fit(net, np.ones((2, 2)), [0.0, 1.0], "squared_error", "cg")


def test_an_unknown_method_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="'nelder-mead'; known are bfgs, cg, l-bfgs-b, lbfgs, newton-cg"):
        bpx.SciPy("nelder-mead")


@ALL
@pytest.mark.filterwarnings("ignore::bpx.DivergenceWarning")
def test_a_loss_that_overflows_at_the_start_leaves_the_parameters_as_they_were(method: str) -> None:
    net = bpx.MLP([1, 1], output="identity", dtype="float64", backend="numpy")
    before = np.array(net.flat)
    history = bpx.fit(net, [[1e200], [1.0]], [1.0, 2.0], "squared_error", method)
    assert history.stop_reason in {StopReason.DIVERGED, StopReason.NO_PROGRESS}
    assert np.array_equal(net.flat, before)
