"""Programs of the compiled library: many steps and epochs in one call, by one thread or several, are those steps."""

from __future__ import annotations

import gc
import itertools
import os
import signal
import subprocess
import sys
import textwrap
import threading
import weakref
from pathlib import Path

import numpy as np
import pytest
from conftest import TOLERANCES, posix
from native_samples import HIDDEN, OUTPUTS, SETTINGS, LooksAtSteps, Team, arrays_of, bits, restore, result, train
from test_concurrency import at_once
from test_native import DTYPES, needs_library

import bpx
from bpx.formulas.optimizers import OPTIMIZERS
from bpx.formulas.schedules import Schedule
from bpx.kernels.native import steps
from bpx.network.inference import Inference
from bpx.training.array_feed import Sampler

pytestmark = needs_library
ROOT = Path(bpx.__file__).parents[1]


@pytest.fixture(autouse=True)
def _compiled(monkeypatch):
    """Compiled kernels, whatever the environment says."""
    monkeypatch.setenv("BPX_KERNELS", "auto")


def looks(run):
    """A callback that sees every epoch."""


# ---------------------------------------------------------------------- threads


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("options", SETTINGS.values(), ids=SETTINGS)
def test_any_number_of_threads_gives_the_same_bits(monkeypatch, options, dtype):
    results = []
    for threads in ((1,), (2,), (3,), (3, 1, 2)):
        team = Team(monkeypatch, *threads)
        results.append(result(train(dtype, **options)))
        assert team.parts == set(threads[: team.calls])
    assert all(each == results[0] for each in results[1:])


def test_the_number_of_threads_that_the_environment_gives_changes_no_bit(monkeypatch):
    monkeypatch.setattr(steps, "WORTH_A_TEAM", 0.0)
    results, seen = [], set()
    run = steps.Table.run

    def seen_run(table, program, at=None):
        run(table, program, at)
        seen.add(program.parts)

    monkeypatch.setattr(steps.Table, "run", seen_run)
    for threads in ("1", "2", "3"):
        monkeypatch.setenv("BPX_THREADS", threads)
        seen.clear()
        results.append([result(train(**{**options, "epochs": 20})) for options in SETTINGS.values()])
        assert max(seen) == int(threads)
    assert results[1:] == results[:1] * 2


# ---------------------------------------------------------------------- who looks, and when


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("options", SETTINGS.values(), ids=SETTINGS)
def test_many_epochs_or_steps_in_one_call_are_those_that_somebody_watches(monkeypatch, options, dtype):
    options = {**options, "epochs": 7}
    in_few = Team(monkeypatch, 1)
    expected = result(train(dtype, **options))
    assert expected["counts"][1] == 7
    in_many = Team(monkeypatch, 1, seconds=-1.0)  # each call comes back as soon as it may
    assert result(train(dtype, **options)) == expected
    assert in_many.calls > in_few.calls
    Team(monkeypatch, 1)
    for callbacks in ([looks], [LooksAtSteps()]):
        assert result(train(dtype, callbacks=callbacks, **options)) == expected


def test_epochs_that_have_become_slow_are_made_one_by_one(monkeypatch):
    expected = result(train(epochs=5))
    seconds = itertools.chain([1e-6, 0.04], itertools.repeat(1.0))
    monkeypatch.setattr(steps.Epochs, "seconds", property(lambda epochs: next(seconds)))
    assert result(train(epochs=5)) == expected


@pytest.mark.parametrize("options", ["adam", "dropout", "stack, weights", "replacement", "decay"])
@pytest.mark.parametrize("every", [1, 3])
def test_a_run_that_ends_after_any_step_goes_on_as_if_it_had_not(monkeypatch, tmp_path, options, every):
    class Fails(bpx.Callback):
        def on_step_end(self, run):
            if run.step == last:
                raise ZeroDivisionError

    options = SETTINGS[options]
    Team(monkeypatch, 1)
    expected = result(train(epochs=3, **options))
    for last in (1, 3, 4, 5, 11) if every == 1 else (2, 8):
        kept = {"checkpoint": tmp_path / f"{last}", "checkpoint_steps": every, "resume": True}
        with pytest.raises(ZeroDivisionError):
            train(epochs=3, callbacks=[Fails()], **options, **kept)
        assert result(train(epochs=3, **options, **kept)) == expected


@pytest.mark.parametrize("schedule", ["cosine", "warm-up", "step"])
@pytest.mark.parametrize("rate", [0.1, [0.1, 0.3]], ids=["one", "each network's"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_schedule_by_steps_gives_each_step_of_a_call_its_rate(monkeypatch, schedule, rate, dtype):
    made = {
        "cosine": bpx.schedules.Cosine(rate, 13, unit="step"),
        "warm-up": bpx.schedules.WarmUp(bpx.schedules.Constant(rate), 6, unit="step"),
        "step": bpx.schedules.StepDecay(rate, every=3, factor=0.5, unit="step"),
    }
    options = {"optimizer": bpx.Adam(made[schedule]), "stack": None if rate == 0.1 else 2}
    team = Team(monkeypatch, 1)
    expected = result(train(dtype, **options))
    assert team.calls < 16
    assert result(train(dtype, callbacks=[LooksAtSteps()], **options)) == expected
    monkeypatch.setenv("BPX_KERNELS", "eager")
    assert result(train(dtype, **options)) == expected


def test_rates_that_become_one_for_each_network_within_an_epoch_are_followed(monkeypatch):
    class Splitting(Schedule):
        def rate(self, state, clock):
            return np.array([0.1, 0.01]) if 5 <= clock.step < 10 else 0.1

    options = {"optimizer": bpx.SGD(Splitting(), momentum=0.5), "stack": 2}
    team = Team(monkeypatch, 1)
    expected = result(train(**options))
    assert team.calls < 16
    monkeypatch.setenv("BPX_KERNELS", "eager")
    assert result(train(**options)) == expected


# ---------------------------------------------------------------------- divergence


@pytest.mark.filterwarnings("ignore::bpx.DivergenceWarning")
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(
    "options",
    [
        {"optimizer": bpx.SGD(30.0)},
        {"optimizer": bpx.SGD(30.0, momentum=0.9)},
        {"optimizer": bpx.SGD([1e-3, 30.0, 1e-3]), "stack": 3},
        {"optimizer": bpx.SGD([30.0, 60.0]), "stack": 2},
    ],
    ids=["one", "momentum", "one of three", "both"],
)
def test_divergence_in_the_middle_of_many_epochs_leaves_what_a_watched_run_leaves(
    monkeypatch, options, weighted, dtype
):
    options = {"loss": "squared_error", "hidden": "softplus", "output": "identity", "epochs": 60, **options}
    team = Team(monkeypatch, 1)
    alone = train(dtype, weighted=weighted, **options)
    expected = result(alone)
    assert np.any(alone.history.diverged)
    assert np.all(np.isfinite(alone.run.net.flat))
    watched = train(dtype, weighted=weighted, callbacks=[looks], **options)
    del expected["order"]  # what was drawn for epochs that were never made
    assert {name: value for name, value in result(watched).items() if name != "order"} == expected
    assert alone.history.epochs > 2
    assert team.parts == {1}


# ---------------------------------------------------------------------- Ctrl-C


def check_interrupted(training, **options):
    """Whether what an interrupted training left is what so many steps leave."""
    history, per_epoch = training.history, 4
    assert history.stop_reason is bpx.StopReason.INTERRUPTED
    assert history.epochs == len(history.loss) == len(history.learning_rate)
    # The steps of an epoch may be done, and its end not.
    assert 0 <= history.steps - history.epochs * per_epoch <= per_epoch
    seen = LooksAtSteps()
    again = train(epochs=max(1, -(-history.steps // per_epoch)), callbacks=[seen], **options)
    flat = training.run.net.flat
    assert np.array_equal(flat, seen.flats[history.steps - 1] if history.steps else train(epochs=1).run.net.flat)
    assert again.history.loss[: history.epochs] == history.loss
    assert training.loop.step == history.steps
    assert training.loop.state["step"] == history.steps


@pytest.mark.parametrize("seconds", [1e9, -1.0], ids=["many", "few"])
@pytest.mark.parametrize("watched", [False, True])
@pytest.mark.parametrize("options", ["adam", "dropout", "weights"])
def test_ctrl_c_in_any_call_leaves_the_steps_that_it_has_done(monkeypatch, options, watched, seconds):
    options = SETTINGS[options]
    callbacks = [looks] if watched else []
    for which in range(1, 8):
        team = Team(monkeypatch, 1, seconds=seconds)
        run = team.run

        def interrupted(table, program, run=run, team=team, which=which):
            run(table, program)
            if team.calls == which:
                raise KeyboardInterrupt  # as Python does when a call comes back

        team.run = interrupted
        training = train(epochs=20, callbacks=callbacks, **options)
        if team.calls < which:
            break
        check_interrupted(training, **options)
    assert which > 3


@posix
@pytest.mark.parametrize("watched", [False, True])
def test_a_signal_while_epochs_run_ends_training_soon(monkeypatch, watched):
    began, run = threading.Event(), steps.Table.run

    def tells(table, program, at=None):
        began.set()
        run(table, program, at)

    def send():
        began.wait()
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

    monkeypatch.setattr(steps.Table, "run", tells)
    former = signal.signal(signal.SIGINT, signal.default_int_handler)
    sender = threading.Thread(target=send)
    sender.start()
    try:
        # One epoch that would take hours, or very many.
        rows = {"batch_size": 1, "sampling": "sequential"} if watched else {}
        training = train(epochs=10**9, callbacks=[looks] if watched else [], **rows)
    finally:
        sender.join()
        signal.signal(signal.SIGINT, former)
    history = training.history
    assert history.stop_reason is bpx.StopReason.INTERRUPTED
    assert history.steps == training.loop.step
    assert history.epochs == len(history.loss)


# ---------------------------------------------------------------------- lives and deaths


def test_a_program_outlives_its_network(monkeypatch):
    made, run = [], steps.Recorded.__call__
    monkeypatch.setattr(steps.Recorded, "__call__", lambda *call: made.append(call) or run(*call))
    training = train(hidden="gelu", dropout=0.3)
    recorded, *given = made[0]
    arrays = arrays_of(recorded.table._calls)
    before = [a.copy() for a in arrays]
    recorded(*given)
    expected = bits(arrays)
    restore(arrays, before)
    gone = weakref.ref(training.run.net)
    del training
    gc.collect()
    assert gone() is None
    fresh = [np.full(a.shape, 7, dtype=a.dtype) for a in arrays for _ in range(20)]
    recorded(*given)
    assert bits(arrays) == expected
    assert all(np.all(a == 7) for a in fresh)


@pytest.mark.parametrize("first", ["network", "program"])
def test_a_recorded_prediction_and_its_network_die_in_any_order(first):
    net = bpx.MLP([5, 8, 8, 2], hidden=["selu", "mish"], backend="numpy")
    x = np.random.default_rng(0).normal(size=(6, 5)).astype(np.float32)
    expected = net(x)
    np.testing.assert_array_equal(net(x), expected)  # recorded when a number of rows comes again
    (inference,) = (value for value in vars(net).values() if isinstance(value, Inference))
    ((_, forward),) = inference._passes.values()
    if first == "network":
        gone = weakref.ref(net)
        del net, inference
        gc.collect()
        assert gone() is None
        fresh = [np.full(1000, 7.0, dtype=np.float32) for _ in range(50)]
        assert np.array_equal(forward(x), expected)
        assert all(np.all(a == 7) for a in fresh)
    else:
        del forward
        inference._passes.clear()
        gc.collect()
        assert np.array_equal(net(x), expected)


def test_recorded_predictions_of_some_sizes_are_kept_and_the_oldest_make_room():
    net = bpx.MLP([400, 20, 2], backend="numpy")
    net(np.zeros((1, 400), dtype=np.float32))
    (inference,) = (value for value in vars(net).values() if isinstance(value, Inference))

    def kept_after(*rows):
        for n in rows:
            x = np.zeros((n, 400), dtype=np.float32)
            assert [net(x).shape for _ in range(3)] == [(n, 2)] * 3
        return list(inference._passes)

    assert kept_after(1000) == [1000]  # 422 000 numbers, as of 1 000 rows of a picture
    assert kept_after(1000, 2000, 2100) == [2000, 2100]
    assert kept_after(4000) == [2000, 2100]  # too large
    assert kept_after(*range(1, 21)) == [*range(13, 21)]
    forward = inference._passes[20][1]
    net(np.zeros((20, 400), dtype=np.float32))
    assert inference._passes[20][1] is forward


def test_a_team_that_was_slower_is_tried_again_after_longer_and_longer(monkeypatch):
    """Another program may have had the other cores for a moment."""
    net = bpx.MLP([64, 100, 10], backend="numpy")
    x = np.zeros((200, 64), dtype=np.float32)
    assert [net(x) is not None for _ in range(3)] == [True] * 3
    (inference,) = (value for value in vars(net).values() if isinstance(value, Inference))
    table = inference._passes[200][1]._table
    table._alone, table._team, table.most = 1.0, 2.0, 2
    asked = []

    def run(address):
        asked.append(table.program.threads)
        table.program.steps_done, table.program.parts = 0, 1

    monkeypatch.setattr(table, "_run", run)
    for _ in range(40):
        table.once()
    assert [i for i, threads in enumerate(asked) if threads == 2] == [0, 2, 5, 10, 19, 36]
    table._team = 0.5
    table.once()
    table._team = 2.0
    asked.clear()
    for _ in range(3):
        table.once()
    assert 2 in asked[:3]


def test_garbage_that_is_collected_at_every_turn_changes_nothing():
    def work():
        made = [result(train(**{**options, "epochs": 2})) for options in SETTINGS.values()]
        net = bpx.MLP([5, 8, 2], hidden="gelu", backend="numpy")
        return made, [net(np.ones((n, 5))).tobytes() for n in (1, 3, 1, 100, 3)]

    expected, threshold = work(), gc.get_threshold()
    gc.set_threshold(1, 1, 1)
    try:
        assert work() == expected
    finally:
        gc.set_threshold(*threshold)


# ---------------------------------------------------------------------- processes and Python's threads

FORK = """
    import os, sys, threading
    sys.path.insert(0, {tests!r})
    import numpy as np
    from native_samples import SETTINGS, result, train
    from bpx.kernels.native import steps
    import bpx

    seen, run = set(), steps.Table.run

    def seen_run(table, program, at=None):
        run(table, program, at)
        seen.add(program.parts)

    steps.Table.run = seen_run

    def work():
        made = [result(train(epochs=20, **SETTINGS[name])) for name in ("adam", "stack", "dropout", "weights")]
        net = bpx.MLP([5, 8, 2], hidden="gelu", backend="numpy")
        return made, [net(np.ones((n, 5))).tobytes() for n in (1, 3, 1, 100, 3)]

    # All is imported, and the library loaded: a fork while another thread imports hangs in Python itself.
    steps.WORTH_A_TEAM = 0.0 if {before} else float("inf")
    expected = work()
    assert max(seen) == (3 if {before} else 1)
    stop, others = threading.Event(), []

    def busy():
        while not stop.is_set():
            train(epochs=1)

    if {during}:
        others = [threading.Thread(target=busy) for _ in range(2)]
        for other in others:
            other.start()
    for _ in range({forks}):
        pid = os.fork()
        if pid == 0:
            try:
                steps.WORTH_A_TEAM = 0.0
                seen.clear()
                assert work() == expected
                assert seen == {{1}}, seen
                grandchild = os.fork()
                if grandchild == 0:
                    train()
                    os._exit(0)
                assert os.waitstatus_to_exitcode(os.waitpid(grandchild, 0)[1]) == 0
            except BaseException as error:
                print(repr(error), flush=True)
                os._exit(1)
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    steps.WORTH_A_TEAM = 0.0
    stop.set()
    for other in others:
        other.join()
    seen.clear()
    assert work() == expected
    assert max(seen) == 3  # the parent has its threads still
"""


@posix
@pytest.mark.slow
@pytest.mark.parametrize(("before", "during"), [(True, False), (False, False), (True, True), (False, True)])
def test_a_fork_trains_and_predicts_alone_with_the_same_numbers(before, during):
    given = {"before": before, "during": during, "forks": 10 if during else 2, "tests": str(Path(__file__).parent)}
    script = textwrap.dedent(FORK).format(**given)
    environment = os.environ | {"PYTHONPATH": str(ROOT), "BPX_THREADS": "3", "BPX_KERNELS": "auto"}
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", script]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("team", [True, False])
def test_sixteen_threads_that_fit_and_predict_at_once_get_the_numbers_of_one(monkeypatch, team):
    monkeypatch.setenv("BPX_THREADS", "4")
    if team:
        monkeypatch.setattr(steps, "WORTH_A_TEAM", 0.0)
    settings = [*SETTINGS.values()][:16]

    def work(options):
        training = train(**{**options, "epochs": 10})
        k = training.run.net.sizes[0]
        x = np.linspace(-1.0, 1.0, 31 * k).reshape(31, k)
        return result(training), [training.run.net(x[:n]).tobytes() for n in (1, 31, 2, 31)]

    expected = [work(options) for options in settings]
    assert at_once([lambda options=options: work(options) for options in settings]) == expected


def test_eight_threads_that_predict_with_one_network_get_the_numbers_of_one(monkeypatch):
    monkeypatch.setenv("BPX_THREADS", "3")
    monkeypatch.setattr(steps, "WORTH_A_TEAM", 0.0)
    net = bpx.MLP([20, 64, 64, 3], hidden=["gelu", "softplus"], backend="numpy")
    x = np.random.default_rng(2).normal(size=(400, 20))
    sizes = [1, 7, 100, 400, 1, 7, 100, 400]
    expected = [net(x[:n]) for n in sizes]

    def predict(n):
        return [net(x[:n]) for _ in range(50)]

    for results, one in zip(at_once([lambda n=n: predict(n) for n in sizes]), expected, strict=True):
        assert all(np.array_equal(each, one) for each in results)


# ---------------------------------------------------------------------- orders


@pytest.mark.parametrize("sampling", ["shuffle", "sequential", "replacement"])
@pytest.mark.parametrize(("n", "size"), [(50, 16), (50, 50), (1, 1), (7, 1)])
@pytest.mark.parametrize("epochs", [0, 1, 2, 13])
def test_orders_drawn_together_are_those_drawn_one_by_one(sampling, n, size, epochs):
    one, several = Sampler(sampling, n, size, 5), Sampler(sampling, n, size, 5)
    one(), several()
    each = [one() for _ in range(epochs)]
    together = several.many(epochs)
    assert several.state == one.state
    if together is None:
        assert each == [None] * epochs
    else:
        stored = np.arange(n)
        assert together.dtype == np.int64
        assert together.shape == (epochs, n)
        for row, order in zip(together, each, strict=True):
            assert np.array_equal(row, stored if order is None else order)


# ---------------------------------------------------------------------- as the formulas

EVERY = [*itertools.product(OUTPUTS, HIDDEN, OPTIMIZERS)]


def compare_with_formulas(monkeypatch, close, dtype, **options):
    """A hundred steps."""
    options = {"epochs": 25, "dtype": dtype, **options}
    monkeypatch.setenv("BPX_KERNELS", "auto")
    fast = train(**options).history
    monkeypatch.setenv("BPX_KERNELS", "reference")
    slow = train(**options).history
    assert fast.steps == slow.steps == 100
    factor = conditioning(dtype, options)
    for actual, expected in zip(fast.loss, slow.loss, strict=True):
        close(actual, expected, dtype, factor)


def conditioning(dtype, options):
    """How many times the tolerance an exact computation may be off, for what is sensitive to its last digits.

    Adagrad's first steps are the gradient's sign where it is not tiny: with a softmax and a loss that bears no relation
    to it, relu leaves gradients that are. It is what the formulas' own losses differ by, where the parameters begin
    with others in the last place.
    """
    if (
        options.get("optimizer") != "adagrad"
        or options.get("output") != "softmax"
        or options["loss"] == "cross_entropy"
    ):
        return 1.0
    losses = [np.asarray(train(**options, nudge=nudge).history.loss) for nudge in range(6)]
    worst = max(float(np.max(np.abs(each / losses[0] - 1.0))) for each in losses[1:])
    return max(1.0, 2.0 * worst / TOLERANCES[dtype])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("options", [*SETTINGS.values()], ids=SETTINGS)
def test_a_hundred_steps_have_the_losses_of_the_formulas(monkeypatch, close, options, dtype):
    rows = 4 if options.get("batch_size", 16) in (1, None) else 50
    options = {**options, "rows": rows, "epochs": 100 if options.get("batch_size", 16) is None else 25}
    compare_with_formulas(monkeypatch, close, dtype, **options)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("loss", "hidden", "optimizer"), EVERY[::29])
def test_some_networks_have_the_losses_of_the_formulas(monkeypatch, close, loss, hidden, optimizer, dtype):
    every = {"loss": loss[0], "output": loss[1], "hidden": hidden, "optimizer": optimizer}
    compare_with_formulas(monkeypatch, close, dtype, **every)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("output", OUTPUTS, ids="-".join)
def test_all_networks_have_the_losses_of_the_formulas(monkeypatch, close, output, dtype):
    failed = []
    # A twelfth of them, another one for each kind of output; BPX_EVERY_NETWORK=1 takes all.
    pairs = [*itertools.product(HIDDEN, OPTIMIZERS)]
    if not os.environ.get("BPX_EVERY_NETWORK"):
        pairs = pairs[OUTPUTS.index(output) % 12 :: 12]
    for hidden, optimizer in pairs:
        every = {"loss": output[0], "output": output[1], "hidden": hidden, "optimizer": optimizer}
        try:
            compare_with_formulas(monkeypatch, close, dtype, **every)
        except AssertionError as error:
            failed.append((hidden, optimizer, str(error).partition("\n")[0]))
    assert not failed


def test_a_schedule_by_steps_is_asked_once_for_each_step(monkeypatch):
    asked = []

    class Counting(Schedule):
        def rate(self, state, clock):
            asked.append(clock.step)
            return 0.1 / (1 + clock.step)

    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(600, 3)), rng.normal(size=(600, 2))
    rates = []
    for loss in ("squared_error", lambda xp, a, t: (0.5 * (a - t) ** 2, a - t)):
        asked.clear()
        net = bpx.MLP([3, 4, 2], output="identity", dtype="float64", backend="numpy")
        history = bpx.fit(
            net, X, y, loss=loss, optimizer=bpx.SGD(Counting()), epochs=2, batch_size=2, sampling="sequential"
        )
        assert len(asked) <= 602 + 2  # and once at the beginning of each epoch
        rates.append((history.learning_rate, np.asarray(net.flat)))
    assert rates[0][0] == rates[1][0]
    np.testing.assert_allclose(rates[0][1], rates[1][1], rtol=1e-12)
