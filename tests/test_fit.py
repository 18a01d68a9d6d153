"""Training: which samples make a step, what is recorded, and what happens when it is interrupted or diverges."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import bpx
from bpx import StopReason, schedules

N, N_IN = 11, 3
CUT_SHORT = pytest.mark.parametrize("batch_size", [1, 4, None])


@pytest.fixture
def data(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A small regression problem of N samples, one target each."""
    X = rng.normal(size=(N, N_IN))
    return X, np.sin(X[:, :1]) + 0.5 * X[:, 1:2]


@pytest.fixture
def labelled(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Two classes, five samples and ten."""
    labels = np.array([0] * 5 + [1] * 10)
    return rng.normal(size=(15, N_IN)) + labels[:, None], labels


def regressor(backend: Any = "numpy", dtype: str = "float64", **options: Any) -> bpx.MLP:
    """A small network for one number."""
    return bpx.MLP([N_IN, 4, 1], hidden="tanh", output="identity", dtype=dtype, backend=backend, **options)


def host(net: bpx.MLP) -> np.ndarray:
    """A copy of the parameters on the host."""
    return np.array(net.backend.to_host(net.flat))


def visited(lib: bpx.Backend, **options: Any) -> list[list[int]]:
    """The samples of each step: their targets are their numbers, and a loss of the test's own writes them down."""
    steps: list[list[int]] = []

    def loss(xp: Any, output: Any, target: Any) -> tuple[Any, Any]:
        steps.append(lib.to_host(target)[:, 0].astype(int).tolist())
        return output - target, xp.ones_like(output)

    net = bpx.MLP([1, 1], output="identity", dtype="float64", backend=lib)
    bpx.fit(net, np.ones((N, 1)), np.arange(float(N)), loss, "sgd", **options)
    return steps


class Recorder(bpx.Callback):
    """Keeps a copy of the parameters after every step and after every epoch."""

    def __init__(self) -> None:
        self.steps: list[np.ndarray] = []
        self.epochs: list[np.ndarray] = []

    def on_step_end(self, run: Any) -> None:
        self.steps.append(host(run.net))

    def on_epoch_end(self, run: Any) -> None:
        self.epochs.append(host(run.net))


class At(bpx.Callback):
    """Does something once, after a given step."""

    def __init__(self, step: int, action: Callable[[Any], None]) -> None:
        self.step, self.action = step, action

    def on_step_end(self, run: Any) -> None:
        if run.step == self.step:
            self.action(run)


def raising(error: BaseException) -> Callable[[Any], None]:
    """A function of the run that raises."""

    def action(run: Any) -> None:
        raise error

    return action


# ---------------------------------------------------------------------- batches


@CUT_SHORT
@pytest.mark.parametrize("sampling", ["shuffle", "sequential", "replacement"])
def test_batches_are_the_same_on_every_library(lib: bpx.Backend, sampling: str, batch_size: int | None) -> None:
    options = {"sampling": sampling, "batch_size": batch_size, "epochs": 3, "seed": 5}
    assert visited(lib, **options) == visited(bpx.get_backend("numpy"), **options)


@CUT_SHORT
@pytest.mark.parametrize("sampling", ["shuffle", "sequential", "replacement"])
def test_an_epoch_is_n_samples_in_batches_of_which_the_last_may_be_smaller(
    sampling: str, batch_size: int | None
) -> None:
    steps = visited(bpx.get_backend("numpy"), sampling=sampling, batch_size=batch_size, epochs=2)
    expected = {1: [1] * N, 4: [4, 4, 3], None: [N]}[batch_size]
    assert [len(step) for step in steps] == 2 * expected


def test_sequential_keeps_the_order_and_shuffle_draws_a_new_one_each_epoch_and_seed() -> None:
    numpy, options = bpx.get_backend("numpy"), {"batch_size": N, "epochs": 1}
    assert visited(numpy, sampling="sequential", **options) == [list(range(N))]
    orders = [np.ravel(visited(numpy, batch_size=1, epochs=2, seed=seed)).reshape(2, N) for seed in (0, 1)]
    distinct = {tuple(order) for order in np.concatenate(orders).tolist()}
    assert len(distinct) == 4
    assert all(sorted(order) == list(range(N)) and list(order) != sorted(order) for order in distinct)


def test_replacement_draws_samples_more_than_once_and_uniformly() -> None:
    drawn = np.array(visited(bpx.get_backend("numpy"), sampling="replacement", batch_size=1, epochs=400)).ravel()
    assert any(len(set(epoch)) < N for epoch in drawn.reshape(400, N))
    # Binomial(4400, 1/11): within five standard deviations.
    assert np.all(np.abs(np.bincount(drawn, minlength=N) - 400) < 5 * math.sqrt(400 * (1 - 1 / N)))


# ---------------------------------------------------------------------- what is recorded


def test_history_counts_epochs_and_steps_and_prints_them(data: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bpx.training.run.Run.seconds", property(lambda run: 2.5 * run.epoch))
    history = bpx.fit(regressor(), *data, "squared_error", "sgd", epochs=3, batch_size=4, validation=data)
    assert (history.epochs, history.steps, history.seconds) == (3, 9, 7.5)
    assert history.stop_reason is StopReason.EPOCHS
    assert len(history.loss) == len(history.val_loss) == len(history.learning_rate) == 3
    assert all(type(value) is float for value in [*history.loss, *history.val_loss])
    assert history.learning_rate == [0.01] * 3
    assert (history.best_epoch, history.diverged) == (None, False)
    expected = f"3 epochs, 9 steps in 7.50 s, loss {history.loss[-1]:.6g}, validation loss {history.val_loss[-1]:.6g}"
    assert str(history) == expected + "; stopped: the epoch limit was reached"


@CUT_SHORT
@pytest.mark.parametrize("weighted", [False, True])
def test_recorded_loss_is_the_weighted_mean_over_the_steps_losses(
    data: Any, rng: np.random.Generator, close: Any, batch_size: int | None, weighted: bool
) -> None:
    X, y = data
    weight = rng.uniform(0.1, 3.0, N) if weighted else np.ones(N)
    net, recorder = regressor(), Recorder()
    before = net.copy()
    history = bpx.fit(
        net, X, y, "squared_error", "sgd", epochs=2, batch_size=batch_size, sampling="sequential", l2=0.3,
        sample_weight=weight if weighted else None, callbacks=[recorder],
    )  # fmt: skip
    size = batch_size or N
    total = np.zeros(2)
    for step, flat in enumerate([host(before), *recorder.steps[:-1]]):
        epoch, start = divmod(step * size, -(-N // size) * size)
        rows = slice(start, start + size)
        before.flat[...] = flat
        loss, _ = before.loss_and_grads(X[rows], y[rows], "squared_error", 0.3, weight[rows])
        total[epoch] += float(loss) * weight[rows].sum()
    close(history.loss, total / weight.sum())


@pytest.mark.parametrize("weighted", [False, True])
def test_validation_loss_is_that_of_the_network_after_each_epoch_without_penalty(
    lib: bpx.Backend, data: Any, rng: np.random.Generator, close: Any, weighted: bool
) -> None:
    X_val, y_val = rng.normal(size=(6, N_IN)), rng.normal(size=6)
    weight = rng.uniform(0.0, 2.0, 6) if weighted else None
    expected: list[float] = []

    def measure(run: Any) -> None:
        expected.append(float(run.net.loss_and_grads(X_val, y_val, "squared_error", sample_weight=weight)[0]))

    validation = (X_val, y_val, weight) if weighted else (X_val, y_val)
    net = regressor(lib, dropout=0.5)
    history = bpx.fit(net, *data, "squared_error", epochs=3, l2=0.5, validation=validation, callbacks=[measure])
    close(history.val_loss, expected)


@pytest.mark.parametrize("unit", ["step", "epoch", "sample"])
def test_schedules_are_followed_step_by_step(unit: str, close: Any) -> None:
    # A loss whose gradient is always 1, on inputs of 1: each step lowers the one weight by the rate.
    def slope(xp: Any, output: Any, target: Any) -> tuple[Any, Any]:
        return output, xp.ones_like(output)

    schedule = schedules.WarmUp(schedules.InverseScaling(0.5, power=1.0, unit=unit), length=3)
    net, recorder = bpx.MLP([1, 1], output="identity", bias=False, dtype="float64", backend="numpy"), Recorder()
    start = host(net)
    history = bpx.fit(
        net, np.ones((5, 1)), np.zeros(5), slope, bpx.SGD(schedule), epochs=3, batch_size=2, callbacks=[recorder]
    )
    clocks = {
        "step": range(9),
        "epoch": np.repeat(range(3), 3),
        "sample": np.ravel(5 * np.arange(3)[:, None] + [0, 2, 4]),
    }
    rates = [0.5 / (1 + t) * min(1.0, (step + 1) / 3) for step, t in enumerate(clocks[unit])]
    close(-np.diff(np.ravel([start, *recorder.steps])), rates)
    close(history.learning_rate, rates[2::3])


def test_adaptive_schedule_lowers_the_rate_when_the_loss_stalls(close: Any) -> None:
    def flat(xp: Any, output: Any, target: Any) -> tuple[Any, Any]:
        return xp.ones_like(output), xp.ones_like(output)

    net = bpx.MLP([1, 1], output="identity", dtype="float64", backend="numpy")
    optimizer = bpx.SGD(schedules.Adaptive(0.5, factor=0.5, patience=2))
    history = bpx.fit(net, np.ones((2, 1)), np.zeros(2), flat, optimizer, epochs=8)
    # The first epoch sets the best loss, epochs 2 to 4 do not improve on it: more than 2.
    close(history.learning_rate, [0.5] * 4 + [0.25] * 3 + [0.125])


# ---------------------------------------------------------------------- weights


def trained(X: Any, y: Any, n_out: int, **options: Any) -> np.ndarray:
    """Parameters after some full-batch epochs, as sigmoid or softmax classifier."""
    kind = ("sigmoid", "binary_cross_entropy") if n_out == 1 else ("softmax", "cross_entropy")
    net = bpx.MLP([N_IN, 4, n_out], hidden="tanh", output=kind[0], dtype="float64", backend="numpy")
    bpx.fit(net, X, y, kind[1], bpx.SGD(0.5), epochs=5, batch_size=None, **options)
    return host(net)


def test_integer_sample_weights_equal_repeated_rows(labelled: Any, rng: np.random.Generator, close: Any) -> None:
    X, labels = labelled
    times = rng.integers(0, 4, len(X))
    repeated = trained(np.repeat(X, times, axis=0), np.repeat(labels, times), 2)
    close(trained(X, labels, 2, sample_weight=times), repeated)


@pytest.mark.parametrize("form", ["labels", "one-hot", "column"])
@pytest.mark.parametrize(("class_weight", "times"), [({0: 3}, (3, 1)), ({0: 1, 1: 2.0}, (1, 2)), ("balanced", (2, 1))])
def test_class_weights_equal_repeated_rows(
    labelled: Any, close: Any, form: str, class_weight: Any, times: tuple[int, int]
) -> None:
    X, labels = labelled
    y = {"labels": labels, "one-hot": np.eye(2)[labels], "column": labels[:, None]}[form]
    n_out = 1 if form == "column" else 2
    count = np.array(times)[labels]
    repeated = trained(np.repeat(X, count, axis=0), np.repeat(y, count, axis=0), n_out)
    close(trained(X, y, n_out, class_weight=class_weight), repeated)


def test_class_weights_multiply_sample_weights(labelled: Any, rng: np.random.Generator, close: Any) -> None:
    X, labels = labelled
    weight = rng.uniform(0.5, 2.0, len(X))
    both = trained(X, labels, 2, sample_weight=weight, class_weight={1: 3.0})
    close(both, trained(X, labels, 2, sample_weight=weight * np.where(labels == 1, 3.0, 1.0)))


@pytest.mark.parametrize("stack", [None, 2])
def test_an_epoch_that_drew_only_samples_without_weight_is_no_divergence(lib: bpx.Backend, stack: int | None) -> None:
    net = bpx.MLP([1, 2], backend=lib, stack=stack)
    options = {"epochs": 12, "batch_size": 1, "sampling": "replacement", "sample_weight": [1.0, 0, 0, 0]}
    history = bpx.fit(net, np.arange(4.0)[:, None], [0, 1, 0, 1], **options)
    assert history.stop_reason is StopReason.EPOCHS
    assert 0 < np.count_nonzero(np.reshape(history.loss, (12, -1))[:, 0]) < 12


# ---------------------------------------------------------------------- callbacks and progress


def test_callback_methods_are_called_in_order(data: Any) -> None:
    calls: list[tuple[Any, ...]] = []

    class Log(bpx.Callback):
        def on_fit_begin(self, run: Any) -> None:
            calls.append(("begin", run.epoch, run.step, run.loss))

        def on_step_end(self, run: Any) -> None:
            calls.append(("step", run.epoch, run.step))

        def on_epoch_end(self, run: Any) -> None:
            calls.append(("epoch", run.epoch, run.step, run.loss))

        def on_fit_end(self, run: Any) -> None:
            calls.append(("end", run.history.stop_reason, run.history.epochs))

    net = regressor()
    history = bpx.fit(net, *data, "squared_error", epochs=2, batch_size=6, callbacks=[Log()])
    first, second = history.loss
    assert calls == [
        ("begin", 0, 0, None), ("step", 0, 1), ("step", 0, 2), ("epoch", 1, 2, first),
        ("step", 1, 3), ("step", 1, 4), ("epoch", 2, 4, second), ("end", StopReason.EPOCHS, 2),
    ]  # fmt: skip


def test_a_callback_that_returns_true_stops_training(data: Any) -> None:
    seen: list[int] = []
    callbacks = [lambda run: run.epoch == 3, lambda run: seen.append(run.epoch)]
    history = bpx.fit(regressor(), *data, "squared_error", epochs=10, callbacks=callbacks)
    assert history.stop_reason is StopReason.CALLBACK
    assert history.epochs == 3
    assert seen == [1, 2, 3]


def test_an_error_in_a_callback_propagates_and_leaves_finite_parameters(data: Any) -> None:
    net = regressor()
    before = host(net)
    with pytest.raises(ZeroDivisionError):
        bpx.fit(net, *data, "squared_error", batch_size=4, callbacks=[At(5, lambda run: 1 / 0)])
    assert np.all(np.isfinite(host(net)))
    assert not np.array_equal(host(net), before)


@pytest.mark.parametrize(("progress", "lines"), [(False, 0), (True, 10), (7, 3)])
def test_progress_lines_go_to_standard_error_only(
    data: Any, capsys: pytest.CaptureFixture[str], progress: bool | int, lines: int
) -> None:
    history = bpx.fit(regressor(), *data, "squared_error", epochs=20, validation=data, progress=progress)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == lines
    if progress:
        form = rf"epoch 20/20  loss {re.escape(f'{history.loss[-1]:.6g}')}  val_loss \S+  \S+ samples/s  \d+\.\d s"
        assert re.fullmatch(form, err.splitlines()[-1])


@pytest.mark.parametrize("where", ["step", "epoch"])
def test_keyboard_interrupt_keeps_the_network_as_it_is_after_the_last_step(data: Any, where: str) -> None:
    recorder, net = Recorder(), regressor()
    interrupt = At(5, raising(KeyboardInterrupt())) if where == "step" else raising(KeyboardInterrupt())
    history = bpx.fit(net, *data, "squared_error", batch_size=4, callbacks=[recorder, interrupt])
    assert history.stop_reason is StopReason.INTERRUPTED
    assert (history.epochs, history.steps) == ((1, 5) if where == "step" else (1, 3))
    assert np.array_equal(host(net), recorder.steps[-1])


# ---------------------------------------------------------------------- divergence


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_divergence_restores_the_last_finite_parameters_and_says_what_to_try(
    lib: bpx.Backend, data: Any, dtype: str
) -> None:
    net, recorder = bpx.MLP([N_IN, 4, 1], output="identity", dtype=dtype, backend=lib), Recorder()
    recorder.epochs.append(host(net))
    with pytest.warns(bpx.DivergenceWarning, match=r"smaller learning rate \(now 10000000000.0\)") as caught:
        history = bpx.fit(net, *data, "squared_error", bpx.SGD(1e10), epochs=100, callbacks=[recorder])
    assert history.stop_reason is StopReason.DIVERGED
    assert history.diverged is True
    assert 1 <= history.epochs < 100
    assert all(map(math.isfinite, history.loss[:-1]))
    assert not math.isfinite(history.loss[-1])
    assert np.all(np.isfinite(host(net)))
    assert any(np.array_equal(host(net), parameters) for parameters in recorder.epochs)
    assert math.isfinite(float(net.loss_and_grads(*data, "squared_error")[0]))
    advice = str(caught[0].message)
    assert "clip_norm=1.0" in advice
    assert ("dtype='float64'" in advice) == (dtype == "float32")
    assert caught[0].filename == __file__


def test_an_interrupt_after_parameters_became_infinite_restores_finite_ones(data: Any) -> None:
    def spoil(run: Any) -> None:
        run.net.flat[...] = np.inf
        raise KeyboardInterrupt

    net, recorder = regressor(), Recorder()
    with pytest.warns(bpx.DivergenceWarning):
        history = bpx.fit(net, *data, "squared_error", batch_size=4, callbacks=[recorder, At(8, spoil)])
    assert history.stop_reason is StopReason.INTERRUPTED
    assert np.array_equal(host(net), recorder.epochs[-1])


def test_one_diverging_network_of_a_stack_does_not_spoil_the_others(data: Any, close: Any) -> None:
    rates = [0.01, 1e10, 0.1]

    def network(**options: Any) -> bpx.MLP:
        return bpx.MLP([N_IN, 4, 1], output="identity", dtype="float64", backend="numpy", **options)

    stack = network(stack=3)
    with pytest.warns(bpx.DivergenceWarning, match=r"network\(s\) \[1\]"):
        history = bpx.fit(stack, *data, "squared_error", bpx.SGD(rates), epochs=30)
    assert history.stop_reason is StopReason.EPOCHS
    assert history.diverged.tolist() == [False, True, False]
    assert np.all(np.isfinite(stack.flat))
    for k in (0, 2):
        alone = network(seed=k)
        losses = bpx.fit(alone, *data, "squared_error", bpx.SGD(rates[k]), epochs=30).loss
        close(stack.flat[k], alone.flat)
        close([loss[k] for loss in history.loss], losses)


# ---------------------------------------------------------------------- what data may be


def test_data_on_the_networks_device_train_as_host_data_do(
    lib: bpx.Backend, data: Any, rng: np.random.Generator
) -> None:
    X, y = data
    weight = rng.uniform(0.5, 1.0, N)
    there, here = regressor(lib), regressor(lib)
    options = {"epochs": 2, "batch_size": 4}
    on_device = [lib.asarray(x) for x in (X, y, weight)]
    validation = (on_device[0], on_device[1])
    first = bpx.fit(
        there, *on_device[:2], "squared_error", sample_weight=on_device[2], validation=validation, **options
    )
    second = bpx.fit(here, X, y, "squared_error", sample_weight=weight, validation=(X, y), **options)
    assert (first.loss, first.val_loss) == (second.loss, second.val_loss)
    assert np.array_equal(host(there), host(here))


def test_targets_of_shape_n_and_n_by_1_mean_the_same(lib: bpx.Backend, data: Any) -> None:
    X, y = data
    nets = [regressor(lib), regressor(lib)]
    losses = [
        bpx.fit(net, X, form, "squared_error", epochs=2).loss for net, form in zip(nets, (y, y[:, 0]), strict=True)
    ]
    assert losses[0] == losses[1]
    assert np.array_equal(host(nets[0]), host(nets[1]))


def test_a_float32_network_takes_float64_data_and_stays_float32(lib: bpx.Backend, data: Any) -> None:
    X, y = data
    nets = [regressor(lib, "float32"), regressor(lib, "float32")]
    for optimizer in (bpx.SGD(0.1, 0.9), bpx.Adam(), bpx.RMSprop(), bpx.Adagrad(), bpx.AdamW()):
        bpx.fit(nets[0], X, y, "squared_error", optimizer, epochs=2, l2=0.1)
        bpx.fit(nets[1], X.astype("float32"), y.astype("float32"), "squared_error", optimizer, epochs=2, l2=0.1)
    assert nets[0].flat.dtype == lib.dtype("float32")
    assert np.array_equal(host(nets[0]), host(nets[1]))
