"""Every learning-rate schedule against its equation, and the adaptive one against scikit-learn."""

from __future__ import annotations

import inspect
import math

import numpy as np
import pytest
from sklearn.neural_network import MLPRegressor

import bpx
from bpx.formulas import schedules
from bpx.formulas.schedules import (
    Adaptive,
    Clock,
    Constant,
    Cosine,
    InverseScaling,
    Schedule,
    StepDecay,
    WarmUp,
)

# Schedule, and its rate at time t from the equation.
CASES = {
    "constant": (Constant(0.3), lambda t: 0.3),
    "step decay": (StepDecay(0.3, every=4, factor=0.5), lambda t: 0.3 * 0.5 ** (t // 4)),
    "step decay by steps": (StepDecay(0.3, every=2, unit="step"), lambda t: 0.3 * 0.1 ** (t // 2)),
    "inverse scaling": (InverseScaling(0.3), lambda t: 0.3 / math.sqrt(1 + t)),
    "inverse scaling by samples": (InverseScaling(0.3, power=2.0, unit="sample"), lambda t: 0.3 / (1 + t) ** 2),
    "cosine": (Cosine(0.3, 8), lambda t: 0.15 * (1 + math.cos(math.pi * min(t, 8) / 8))),
    "cosine to a minimum": (
        Cosine(0.3, 5, minimum=0.1, unit="step"),
        lambda t: 0.1 + 0.1 * (1 + math.cos(math.pi * min(t, 5) / 5)),
    ),
    "warm-up": (WarmUp(Constant(0.3), 4), lambda t: 0.3 * min(1.0, (t + 1) / 4)),
    "warm-up by epochs, then inverse scaling": (
        WarmUp(InverseScaling(0.3, unit="epoch"), 5, unit="epoch"),
        lambda t: 0.3 / math.sqrt(1 + t) * min(1.0, (t + 1) / 5),
    ),
    "warm-up of a warm-up": (
        WarmUp(WarmUp(Constant(0.3), 2), 4),
        lambda t: 0.3 * min(1.0, (t + 1) / 2) * min(1.0, (t + 1) / 4),
    ),
    "adaptive at first": (Adaptive(0.3), lambda t: 0.3),
}


def _unit(schedule: Schedule) -> str:
    return getattr(schedule, "unit", "epoch")


def _rates(schedule: Schedule, losses) -> list:
    """The rate of the first epoch and of the one after each of these losses."""
    state = schedule.init()
    rates = [schedule.rate(state, Clock())]
    for epoch, loss in enumerate(losses, start=1):
        state = schedule.end_epoch(state, loss)
        rates.append(schedule.rate(state, Clock(epoch=epoch)))
    return rates


def test_every_schedule_is_tested():
    known = {kind for _, kind in inspect.getmembers(schedules, inspect.isclass) if issubclass(kind, Schedule)}
    assert known - {Schedule} == {type(schedule) for schedule, _ in CASES.values()}


@pytest.mark.parametrize("name", sorted(CASES))
def test_rate_follows_the_equation(name):
    schedule, equation = CASES[name]
    state = schedule.init()
    for t in range(12):
        rate = schedule.rate(state, Clock(**{_unit(schedule): t}))
        assert isinstance(rate, float)
        assert rate == pytest.approx(equation(t), rel=1e-14, abs=1e-16)


@pytest.mark.parametrize("name", sorted(CASES))
def test_only_the_schedules_own_unit_of_time_counts(name):
    schedule, _ = CASES[name]
    others = {unit: 1000 for unit in Clock._fields if unit != _unit(schedule)}
    state = schedule.init()
    assert schedule.rate(state, Clock(**others)) == schedule.rate(state, Clock())


RATES = [0.1, 0.2, 0.4]
MAKE = {
    "constant": Constant,
    "step decay": lambda r: StepDecay(r, every=2),
    "inverse scaling": InverseScaling,
    "cosine": lambda r: Cosine(r, 6, minimum=0.01),
    "warm-up": lambda r: WarmUp(Cosine(r, 6), 3, unit="epoch"),
    "adaptive": lambda r: Adaptive(r, patience=1, factor=0.5),
}


@pytest.mark.parametrize("given", [list, tuple, np.array])
@pytest.mark.parametrize("name", sorted(MAKE))
def test_a_rate_for_each_network_follows_the_equation_for_each(name, given):
    losses = [1.0, 0.9, 0.9, 0.9, 0.9, 0.9]
    together = np.array(_rates(MAKE[name](given(RATES)), losses))
    alone = np.stack([_rates(MAKE[name](rate), losses) for rate in RATES], axis=-1)
    assert together.shape == (7, 3)
    np.testing.assert_allclose(together, alone, rtol=1e-14)


def test_adaptive_lowers_the_rate_after_more_than_patience_epochs_without_progress():
    #         1.0 starts; 0.9 improves; then 0.9 + 0.9 + 0.9 wear out patience 2; 0.5 improves; 0.45 is within tol
    losses = [1.0, 0.9, 0.9, 0.9, 0.9, 0.5, 0.45, 0.45, 0.45]
    rates = _rates(Adaptive(1.0, factor=0.5, patience=2, tol=0.1), losses)
    # The step from 1.0 to 0.9 is just tol (0.9 > 1.0 - 0.1 in floating point is False), so it counts as progress.
    assert rates == [1.0, 1.0, 1.0, 1.0, 1.0, 0.5, 0.5, 0.5, 0.5, 0.25]


def test_adaptive_counts_many_improvements_within_tol_as_none():
    rates = _rates(Adaptive(1.0, factor=0.5, patience=2, tol=0.1), [1.0, 0.94, 0.88, 0.82, 0.76])
    assert rates == [1.0, 1.0, 1.0, 1.0, 0.5, 0.5]


def test_adaptive_lowers_no_rate_that_has_reached_the_minimum():
    rates = _rates(Adaptive(1.0, factor=0.1, patience=1, tol=0.0, minimum=0.05), [1.0] + 8 * [2.0])
    assert rates == pytest.approx([1.0, 1.0, 1.0, 0.1, 0.1, 0.01, 0.01, 0.01, 0.01, 0.01])


def test_adaptive_waits_for_each_network_of_a_stack_by_itself():
    losses = np.array([[1.0, 1.0], [1.0, 0.5], [1.0, 0.2], [1.0, 0.2], [1.0, 0.2]])
    rates = np.array(_rates(Adaptive(1.0, factor=0.5, patience=1), losses)[1:])
    np.testing.assert_array_equal(rates, [[1.0, 1.0], [1.0, 1.0], [0.5, 1.0], [0.5, 1.0], [0.25, 0.5]])


def test_adaptive_rates_are_scikit_learns(rng):
    X, y = rng.normal(size=(40, 3)), rng.normal(size=40)
    start, patience, tol = 0.2, 2, 5e-3
    model = MLPRegressor(
        hidden_layer_sizes=(4,), solver="sgd", learning_rate="adaptive", learning_rate_init=start, batch_size=8,
        n_iter_no_change=patience, tol=tol, random_state=3,
    )  # fmt: skip
    theirs = []
    for _ in range(40):
        model.partial_fit(X, y)
        theirs.append(model._optimizer.learning_rate)
    ours = _rates(Adaptive(start, factor=0.2, patience=patience, tol=tol), model.loss_curve_)[1:]
    assert theirs[-1] < 1e-6  # where scikit-learn's no longer falls, and neither does bpx's
    np.testing.assert_allclose(ours, theirs, rtol=1e-12)


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        (Constant(0.1), [0.1] * 4),
        (StepDecay(0.1, every=2), [0.1, 0.1, 0.01, 0.01]),
        # 10 samples in batches of 4 are 3 steps; an epoch's last step is number 2, 5, 8, 11 from zero.
        (InverseScaling(0.1, power=1.0, unit="step"), [0.1 / 3, 0.1 / 6, 0.1 / 9, 0.1 / 12]),
        # Before an epoch's last step 8, 18, 28, 38 samples have been seen.
        (InverseScaling(0.1, power=1.0, unit="sample"), [0.1 / 9, 0.1 / 19, 0.1 / 29, 0.1 / 39]),
        (WarmUp(Constant(0.1), 12), [0.025, 0.05, 0.075, 0.1]),
    ],
)
def test_history_shows_the_rate_of_each_epochs_last_step(rng, schedule, expected):
    net = bpx.MLP([2, 1], output="identity", backend="numpy")
    X = rng.normal(size=(10, 2))
    history = bpx.fit(net, X, X[:, :1], "squared_error", bpx.SGD(schedule), epochs=4, batch_size=4)
    np.testing.assert_allclose(history.learning_rate, expected, rtol=1e-14)


@pytest.mark.parametrize("name", sorted(MAKE))
def test_a_stack_with_scheduled_rates_equals_separate_trainings(lib, close, rng, name):
    X, y = rng.normal(size=(10, 2)), rng.normal(size=(10, 1))
    net = bpx.MLP([2, 3, 1], "tanh", "identity", dtype="float64", backend=lib, stack=3)
    history = bpx.fit(net, X, y, "squared_error", bpx.SGD(MAKE[name](RATES), 0.9), epochs=6, batch_size=4)
    for k, rate in enumerate(RATES):
        alone = bpx.MLP([2, 3, 1], "tanh", "identity", dtype="float64", seed=k, backend=lib)
        own = bpx.fit(alone, X, y, "squared_error", bpx.SGD(MAKE[name](rate), 0.9), epochs=6, batch_size=4)
        close(lib.to_host(net.flat)[k], lib.to_host(alone.flat))
        np.testing.assert_allclose(np.array(history.learning_rate)[:, k], own.learning_rate, rtol=1e-14)


NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize("bad", [0.0, -0.1, INF, NAN, [0.1, 0.0]])
@pytest.mark.parametrize("name", sorted(MAKE))
def test_a_first_rate_that_is_not_positive_and_finite_is_refused(name, bad):
    with pytest.raises(ValueError, match="learning rate: expected a positive and finite number"):
        MAKE[name](bad)


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (lambda: StepDecay(0.1, every=0), "every"),
        (lambda: StepDecay(0.1, factor=-1.0), "factor"),
        (lambda: StepDecay(0.1, unit="iteration"), "step, epoch, sample"),
        (lambda: InverseScaling(0.1, power=0.0), "power"),
        (lambda: InverseScaling(0.1, unit=""), "unit"),
        (lambda: Cosine(0.1, 0), "length"),
        (lambda: Cosine(0.1, 10, minimum=-0.1), "minimum"),
        (lambda: Cosine(0.1, 10, minimum=NAN), "minimum"),
        (lambda: Cosine(0.1, 10, unit="batch"), "unit"),
        (lambda: WarmUp(Constant(0.1), -3), "length"),
        (lambda: WarmUp(Constant(0.1), 3, unit="epochs"), "unit"),
        (lambda: Adaptive(0.1, factor=1.0), "factor"),
        (lambda: Adaptive(0.1, factor=0.0), "factor"),
        (lambda: Adaptive(0.1, patience=0), "patience"),
        (lambda: Adaptive(0.1, tol=-1.0), "tol"),
        (lambda: Adaptive(0.1, minimum=0.0), "minimum"),
    ],
)
def test_a_parameter_out_of_range_is_refused_by_name(make, word):
    with pytest.raises(ValueError, match=word):
        make()


def test_warm_up_of_a_number_asks_for_a_schedule():
    with pytest.raises(TypeError, match=r"Constant\(1e-3\)"):
        WarmUp(0.1, 10)


@pytest.mark.parametrize("mode", ["auto", "numpy", "reference"])
def test_a_schedules_numpy_scalar_does_not_make_a_float32_step_float64(monkeypatch, mode):
    monkeypatch.setenv("BPX_KERNELS", mode)
    X, y = np.random.default_rng(0).normal(size=(20, 3)), np.arange(20) % 2
    flats = []
    for rate in (0.1, np.float64(0.1)):
        net = bpx.MLP([3, 4, 2], backend="numpy")
        bpx.fit(net, X, y, optimizer=bpx.Adam(bpx.schedules.StepDecay(rate, 2)), epochs=5)
        flats.append(net.flat.tobytes())
    assert flats[0] == flats[1]
