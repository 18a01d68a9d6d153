"""Every rule of `bpx.stop` on sequences worked out by hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

import bpx
from bpx import StopReason, stop
from bpx.training.run import Run

NAN = float("nan")


class Script(bpx.Callback):
    """Writes the parameters itself, after the one step of each epoch."""

    def __init__(self, flats: Any) -> None:
        self.flats = np.asarray(flats, dtype=np.float64)

    def on_step_end(self, run: Any) -> None:
        run.net.flat[...] = run.net.backend.asarray(self.flats[run.step - 1])


def still(xp: Any, output: Any, target: Any) -> tuple[Any, Any]:
    """A loss that is zero and never moves a parameter."""
    return output * 0.0, output * 0.0


def scripted(values: Any) -> Callable[..., Any]:
    """A loss that is values[0] the first time it is asked, and so on, and never moves a parameter."""
    calls = iter(values)

    def loss(xp: Any, output: Any, target: Any) -> tuple[Any, Any]:
        return output * 0.0 + next(calls), output * 0.0

    return loss


def line(sizes: Sequence[int] = (1, 1), **options: Any) -> bpx.MLP:
    """A network without hidden layer and biases, all weights zero."""
    options = {"backend": "numpy"} | options
    return bpx.MLP(sizes, output="identity", bias=False, init="zeros", dtype="float64", **options)


def run_rules(
    rules: Any, epochs: int, loss: Any = still, net: Any = None, X: Any = ((1.0,),), y: Any = (0.0,), flats: Any = None,
    callbacks: Any = (), **options: Any,
) -> tuple[bpx.MLP, bpx.History]:  # fmt: skip
    """Train under rules a line whose weight after epoch e is e, unless the test says otherwise."""
    net = line() if net is None else net
    script = Script([[e + 1.0] for e in range(epochs)] if flats is None else flats)
    history = bpx.fit(net, X, y, loss, "sgd", epochs, stop=rules, callbacks=[script, *callbacks], **options)
    return net, history


# ---------------------------------------------------------------------- Patience

PATIENCE = [
    # values, options, last epoch (None: the limit), best epoch
    ([5, 4, 4.5, 4.25, 3, 9], {"patience": 2}, 4, 2),
    ([5, 4, 4.5, 4.25, 3, 9, 9, 9], {"patience": 3}, 8, 5),
    ([5, 5, 5, 5], {"patience": 2}, 3, 1),  # as good is not better
    ([5, 4.75, 4.5, 4.25], {"patience": 2, "min_delta": 0.5}, 3, 1),  # 4.5 is not below 5 - 0.5
    ([5, 4.75, 4.25, 4.0], {"patience": 3, "min_delta": 0.5}, None, 3),
    ([1, 2, 1.5, 1.75, 3], {"patience": 2, "mode": "max"}, 4, 2),
    ([-1, -2, -0.5, -0.75, -0.25], {"patience": 2, "mode": "max"}, None, 5),
    ([1, 1.25, 1.5, 1.75], {"patience": 1, "mode": "max", "min_delta": 0.5}, 2, 1),
]


@pytest.mark.parametrize("monitor", ["function", "loss", "val_loss"])
@pytest.mark.parametrize(("values", "options", "last", "best"), PATIENCE)
def test_patience_stops_when_nothing_better_came_and_restores_the_best(
    monitor: str, values: list[float], options: dict[str, Any], last: int | None, best: int
) -> None:
    watched = (lambda run: values[run.epoch - 1]) if monitor == "function" else monitor
    # With validation data the loss is asked twice an epoch: for the step, then for them.
    asked = {"function": [0.0] * len(values), "loss": values, "val_loss": np.ravel([(7.0, v) for v in values])}[monitor]
    validation = ([[1.0]], [0.0]) if monitor == "val_loss" else None
    net, history = run_rules(stop.Patience(watched, **options), len(values), scripted(asked), validation=validation)
    assert history.epochs == (last or len(values))
    assert history.stop_reason is (StopReason.PATIENCE if last else StopReason.EPOCHS)
    assert history.best_epoch == best
    assert net.flat.tolist() == [best]


@pytest.mark.parametrize(
    ("values", "last", "best"), [([NAN, NAN, 4], 2, None), ([3, NAN, 2, NAN, NAN], 5, 3), ([NAN, 4, NAN, 5], 4, 2)]
)
def test_a_monitored_value_that_is_not_a_number_is_no_improvement(
    values: list[float], last: int, best: int | None
) -> None:
    net, history = run_rules(stop.Patience(lambda run: values[run.epoch - 1], patience=2), len(values))
    assert (history.epochs, history.best_epoch) == (last, best)
    assert net.flat.tolist() == [best or last]


def test_patience_can_leave_the_last_parameters() -> None:
    rule = stop.Patience("loss", patience=2, restore_best=False)
    net, history = run_rules(rule, 9, scripted([5, 4, 4.5, 4.25, 3]))
    assert (history.epochs, history.best_epoch, net.flat.tolist()) == (4, None, [4.0])
    assert "restored" not in str(history)


def interrupt(run: Any) -> None:
    """Ctrl-C after the fifth epoch."""
    if run.epoch == 5:
        raise KeyboardInterrupt


WAYS = {
    StopReason.EPOCHS: {"epochs": 5},
    StopReason.TARGET_LOSS: {"extra": [stop.TargetLoss(6.0, monitor=lambda run: 11 - run.epoch)]},
    StopReason.CALLBACK: {"callbacks": [lambda run: run.epoch == 5]},
    StopReason.INTERRUPTED: {"callbacks": [interrupt]},
    StopReason.DIVERGED: {"values": [5, 3, 4, 4, NAN]},
}


@pytest.mark.parametrize("reason", WAYS)
def test_patience_restores_the_best_however_training_ends(reason: StopReason) -> None:
    options = dict(WAYS[reason])
    rules = [stop.Patience("loss", patience=9), *options.pop("extra", [])]
    loss = scripted(options.pop("values", [5, 3, 4, 4, 4, 4]))
    arguments = {"epochs": 6} | options
    if reason is StopReason.DIVERGED:
        with pytest.warns(bpx.DivergenceWarning):
            net, history = run_rules(rules, loss=loss, **arguments)
    else:
        net, history = run_rules(rules, loss=loss, **arguments)
    assert history.stop_reason is reason
    assert (history.epochs, history.best_epoch) == (5, 2)
    assert net.flat.tolist() == [2.0]
    assert "parameters of epoch 2 restored" in str(history)


@pytest.mark.parametrize("restore_best", [True, False])
def test_patience_judges_each_network_of_a_stack_by_itself(lib: bpx.Backend, restore_best: bool) -> None:
    values = np.array([[5, 4, 4.5, 4.25, 1, 1, 1], [7, 6, 5, 4, 4.5, 4.25, 3], [1, 2, 3, 4, 5, 6, 7]]).T
    flats = [[[10 * k + e] for k in (1, 2, 3)] for e in range(1, 8)]
    rule = stop.Patience(lambda run: values[run.epoch - 1], patience=2, restore_best=restore_best)
    net, history = run_rules(rule, 7, net=line(stack=3, backend=lib), flats=flats)
    assert history.stop_reason is StopReason.PATIENCE
    assert history.epochs == 6  # network 0 is done after epoch 4, network 2 after epoch 3, network 1 after epoch 6
    expected = [[12], [24], [31]] if restore_best else [[16], [26], [36]]
    assert lib.to_host(net.flat).tolist() == expected
    assert (history.best_epoch.tolist() == [2, 4, 1]) if restore_best else (history.best_epoch is None)


def test_patience_on_a_stack_equals_separate_runs(rng: np.random.Generator, close: Any) -> None:
    X, y = rng.normal(size=(30, 3)), rng.normal(size=30)
    X_val, y_val = rng.normal(size=(30, 3)), rng.normal(size=30)

    def train(**options: Any) -> tuple[bpx.MLP, bpx.History]:
        net = bpx.MLP([3, 8, 1], hidden="tanh", output="identity", dtype="float64", backend="numpy", **options)
        rule = stop.Patience(patience=3)
        return net, bpx.fit(net, X, y, "squared_error", bpx.Adam(0.05), 60, 10, validation=(X_val, y_val), stop=rule)

    stack, history = train(stack=4)
    alone = [train(seed=k) for k in range(4)]
    assert history.best_epoch.tolist() == [h.best_epoch for _, h in alone]
    assert history.epochs == max(h.epochs for _, h in alone)
    assert len({h.epochs for _, h in alone}) > 1, "the case is meant to have networks that stop apart"
    close(stack.flat, np.stack([net.flat for net, _ in alone]))


# ---------------------------------------------------------------------- the other rules


@pytest.mark.parametrize(("threshold", "last"), [(0.5, 3), (0.51, 2), (0.25, 4), (0.2, 4), (0.1, None)])
def test_max_weight_change_looks_at_the_largest_change_over_an_epoch(
    lib: bpx.Backend, threshold: float, last: int | None
) -> None:
    # Largest change: 1, 0.5, 0.25, 0.125; a change as large as the threshold does not stop.
    flats = [[1.0, 0.0], [1.25, 0.5], [1.0, 0.5], [1.125, 0.5]]
    net, history = run_rules(
        stop.MaxWeightChange(threshold), 4, net=line((2, 1), backend=lib), X=[[1.0, 1.0]], flats=flats
    )
    assert history.epochs == (last or 4)
    assert history.stop_reason is (StopReason.MAX_WEIGHT_CHANGE if last else StopReason.EPOCHS)
    assert lib.to_host(net.flat).tolist() == flats[history.epochs - 1]


@pytest.mark.parametrize(("threshold", "last"), [(0.8, 1), (0.75, 2), (0.5, 3), (0.3, 3), (0.25, 5), (0.01, 5)])
def test_error_rate_counts_misclassified_samples_with_one_output(lib: bpx.Backend, threshold: float, last: int) -> None:
    # Outputs e * x against 0.5, all of class 1. Wrong: 3/4 after epoch 1, then 2/4, 1/4, 1/4, 0.
    X = [[1.0], [0.26], [0.2], [0.11]]
    _, history = run_rules(stop.ErrorRate(threshold), 5, net=line(backend=lib), X=X, y=[1.0] * 4)
    assert history.stop_reason is StopReason.ERROR_RATE
    assert history.epochs == last


def test_error_rate_compares_outputs_and_targets_with_its_cutoff() -> None:
    # tanh-like targets -1 and 1, cut at 0: outputs e - 2.5 and 2.5 - e are right from epoch 3 on.
    X, y = [[1.0, 1.0], [1.0, -1.0]], [1.0, -1.0]
    flats = [[0.0, e - 2.5] for e in range(1, 6)]
    _, history = run_rules(stop.ErrorRate(0.4, cutoff=0.0), 5, net=line((2, 1)), X=X, y=y, flats=flats)
    assert history.epochs == 3


@pytest.mark.parametrize("form", ["labels", "one-hot"])
def test_error_rate_takes_the_largest_of_several_outputs(lib: bpx.Backend, form: str) -> None:
    # Outputs (1, 0, e * x) for input (1, x): class 2 once e * x exceeds 1. Wrong: 3/4, 2/4, 1/4 (the first is class 0).
    X = [[1.0, 0.0], [1.0, 0.6], [1.0, 0.4], [1.0, 0.3]]
    labels = np.array([0, 2, 2, 2])
    y = labels if form == "labels" else np.eye(3)[labels]
    flats = [[1.0, 0.0, 0.0, 0.0, 0.0, float(e)] for e in range(1, 6)]
    loss = bpx.Loss("still", still, targets="classes")
    _, history = run_rules(stop.ErrorRate(0.3), 5, loss, net=line((2, 3), backend=lib), X=X, y=y, flats=flats)
    assert history.stop_reason is StopReason.ERROR_RATE
    assert history.epochs == 3


@pytest.mark.parametrize(("target", "last"), [(4.0, 2), (3.99, 4), (1.0, None)])
@pytest.mark.parametrize("monitor", ["function", "loss", "val_loss"])
def test_target_loss_stops_at_or_below_the_target(monitor: str, target: float, last: int | None) -> None:
    values = [5.0, 4.0, 4.5, 3.0]
    watched = (lambda run: values[run.epoch - 1]) if monitor == "function" else monitor
    asked = np.ravel([(7.0, v) for v in values]) if monitor == "val_loss" else values
    validation = ([[1.0]], [0.0]) if monitor == "val_loss" else None
    _, history = run_rules(stop.TargetLoss(target, watched), 4, scripted(asked), validation=validation)
    assert history.epochs == (last or 4)
    assert history.stop_reason is (StopReason.TARGET_LOSS if last else StopReason.EPOCHS)


@pytest.mark.parametrize(("seconds", "last"), [(5.0, 2), (5.1, 3), (100.0, None)])
def test_time_limit_ends_with_the_epoch_in_which_the_time_passed(
    monkeypatch: pytest.MonkeyPatch, seconds: float, last: int | None
) -> None:
    monkeypatch.setattr(Run, "seconds", property(lambda run: 2.5 * run.epoch))
    _, history = run_rules(stop.TimeLimit(seconds), 4)
    assert history.epochs == (last or 4)
    assert history.stop_reason is (StopReason.TIME_LIMIT if last else StopReason.EPOCHS)


def test_the_epoch_limit_ends_training_without_rules() -> None:
    net, history = run_rules((), 3)
    assert (history.epochs, history.stop_reason) == (3, StopReason.EPOCHS)
    assert net.flat.tolist() == [3.0]


STACK_RULES = [
    # rule, parameters of two networks by epoch, last epoch: when the rule holds for both
    (stop.MaxWeightChange(0.5), [[4, 2], [4, 4], [5, 4], [5, 4]], 4),
    (stop.ErrorRate(0.5), [[0, 1], [1, 0], [1, 1], [0, 0]], 3),
    (stop.TargetLoss(2.0, monitor=lambda run: run.net.flat[:, 0]), [[1, 4], [4, 1], [2, 2], [9, 9]], 3),
]


@pytest.mark.parametrize(("rule", "flats", "last"), STACK_RULES)
def test_a_stack_stops_when_the_rule_holds_for_all_of_it(rule: Any, flats: Any, last: int) -> None:
    net, history = run_rules(rule, 4, net=line(stack=2), y=[1.0], flats=np.array(flats)[..., None])
    assert history.epochs == last
    assert history.stop_reason is rule.reason
    assert net.flat[:, 0].tolist() == flats[last - 1]


def test_the_rule_that_holds_first_ends_training_and_the_first_named_wins_a_tie() -> None:
    rules = [stop.TargetLoss(3.0), stop.MaxWeightChange(0.5), stop.Patience("loss", patience=3)]
    moving = run_rules(rules, 6, scripted([5, 4, 3, 2, 1, 0]))[1]
    assert (moving.epochs, moving.stop_reason, moving.best_epoch) == (3, StopReason.TARGET_LOSS, 3)
    resting = run_rules(rules, 6, scripted([5, 6, 7, 8, 9, 9]), flats=[[1.0], [2], [3], [3], [3], [3]])[1]
    assert (resting.epochs, resting.stop_reason, resting.best_epoch) == (4, StopReason.MAX_WEIGHT_CHANGE, 1)
    tie = [rules[2], rules[1]]
    history = run_rules(tie, 6, scripted([5, 6, 7, 8, 9, 9]), flats=[[1.0], [2], [3], [3], [3], [3]])[1]
    assert (history.epochs, history.stop_reason) == (4, StopReason.PATIENCE)


def test_a_rule_of_ones_own_is_asked_after_each_epoch_and_keeps_its_state_as_data() -> None:
    class Third(stop.StopRule):
        reason = StopReason.CALLBACK

        def init(self, run: Any) -> dict[str, Any]:
            return {"asked": 0}

        def check(self, state: dict[str, Any], run: Any) -> tuple[dict[str, Any], bool]:
            asked = state["asked"] + 1
            return {"asked": asked}, asked == 3

    rule = Third()
    for _ in range(2):  # the rule itself holds nothing over from one run to the next
        assert run_rules(rule, 5)[1].epochs == 3


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: stop.Patience(patience=0), "at least 1"),
        (lambda: stop.Patience(min_delta=-1.0), "min_delta"),
        (lambda: stop.Patience(mode="best"), "'auto', 'min' or 'max'"),
        (lambda: stop.MaxWeightChange(0.0), "threshold"),
        (lambda: stop.ErrorRate(float("inf")), "threshold"),
        (lambda: stop.TimeLimit(-1.0), "seconds"),
        (lambda: run_rules(stop.Patience(), 1), "needs validation data"),
        (lambda: run_rules(stop.TargetLoss(0.1, "accuracy"), 1), "one of 'loss', or a function of the run, got"),
    ],
)
def test_rules_that_make_no_sense_are_refused(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_something_that_is_no_rule_is_refused() -> None:
    with pytest.raises(TypeError, match=r"expected rules of bpx\.stop"):
        run_rules(["patience"], 1)
