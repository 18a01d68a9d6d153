"""What one sees of a run while it is trained: a bar, lines, or log records; by default nothing."""

from __future__ import annotations

import gc
import io
import logging
import os
import re
import subprocess
import sys
import warnings
from contextlib import redirect_stderr, redirect_stdout, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import bpx
from bpx.training import progress as module
from bpx.training.log import log_lines
from bpx.training.progress import progress_callbacks

N = 60
X = np.random.default_rng(0).normal(size=(N, 3))
Y = (X[:, 0] > 0).astype(int)


def fit(**options: Any) -> Any:
    """Train a small network, with progress."""
    architecture = {"stack": options.pop("stack", None)}
    net = bpx.MLP([3, 4, 2], seed=1, backend="numpy", **architecture)
    return bpx.fit(net, X, Y, **{"epochs": 5, "batch_size": 20, "progress": True} | options)


class Terminal(io.StringIO):
    """A terminal that may be standard error."""

    encoding = "utf-8"  # type: ignore[assignment]

    def isatty(self) -> bool:
        return True

    def fit(self, **options: Any) -> Any:
        """Train while it is."""
        with redirect_stderr(self):
            return fit(**options)


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """A terminal in which a bar is drawn at every step."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(module, "REFRESH", -1.0)
    return Terminal()


def drawn(stream: io.StringIO) -> list[str]:
    """What was drawn, one after the other."""
    return [text.rstrip() for text in re.split(r"[\r\n]", stream.getvalue()) if text.strip()]


def bars_left() -> int:
    """Bars of tqdm that are not closed."""
    from tqdm.std import tqdm

    gc.collect()  # tqdm 4.60 holds one that could not be drawn in a circle
    return len(getattr(tqdm, "_instances", ()))


# ---------------------------------------------------------------------- the bar


def test_a_terminal_gets_a_bar_with_epochs_losses_speed_and_time(terminal: Terminal, capsys: Any) -> None:
    history = terminal.fit(validation=(X, Y))
    assert capsys.readouterr().out == ""
    texts = drawn(terminal)
    numbers = r"loss \S+, val_loss \S+"
    assert re.fullmatch(rf"epoch 3/5 \|.*\| {numbers}, \S+ samples/s, \d+:\d\d left", texts[8])
    final = rf"epoch 5/5 \|█+\| {numbers}, \S+ samples/s, \d+\.\d s"
    assert re.fullmatch(final, texts[-1])
    assert f"loss {history.loss[-1]:.4g}, val_loss {history.val_loss[-1]:.4g}," in texts[-1]
    assert terminal.getvalue().endswith("\n")
    assert bars_left() == 0


def test_the_bar_moves_within_an_epoch(terminal: Terminal) -> None:
    terminal.fit(epochs=1, batch_size=2)
    filled = [text.count("█") for text in drawn(terminal)]
    assert filled == sorted(filled)
    assert len(set(filled)) > 5


@pytest.mark.slow
def test_the_bar_is_drawn_a_few_times_per_second_not_at_every_step(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = iter(np.arange(0.0, 1e6, 0.01))  # each look at the clock finds it 10 ms later
    monkeypatch.setattr(module, "REFRESH", 0.25)
    monkeypatch.setattr(module.time, "perf_counter", lambda: float(next(now)))
    history = terminal.fit(epochs=30, batch_size=1)
    texts = drawn(terminal)
    assert history.steps == 1800
    assert 1800 * 0.01 / 0.3 / 2 < len(texts) < 1800 * 0.01 / 0.25 * 1.2


def test_one_bar_is_left_whatever_ends_training(terminal: Terminal) -> None:
    def interrupt(run: Any) -> None:
        if run.epoch == 3:
            raise KeyboardInterrupt

    terminal.fit(callbacks=[lambda run: run.epoch == 2])
    assert re.search(r"epoch 2/5 \|.*stopped: callback$", drawn(terminal)[-1])
    terminal.fit(callbacks=[interrupt])
    assert re.search(r"epoch 3/5 \|.*stopped: interrupted$", drawn(terminal)[-1])
    with pytest.raises(ZeroDivisionError):
        terminal.fit(callbacks=[lambda run: 1 // (4 - run.epoch) > 9])
    assert re.search(r"epoch 4/5 \|.*stopped: error$", drawn(terminal)[-1])
    assert terminal.getvalue().endswith("\n")
    assert bars_left() == 0


def test_an_error_before_training_leaves_no_bar(terminal: Terminal) -> None:
    with pytest.raises(FileNotFoundError):
        terminal.fit(callbacks=[bpx.callbacks.CSVLogger("no/such/folder/log.csv")])
    assert terminal.getvalue() == ""
    assert bars_left() == 0


def test_a_stack_shows_the_range_of_its_losses(terminal: Terminal) -> None:
    history = terminal.fit(stack=3)
    low, high = np.min(history.loss[-1]), np.max(history.loss[-1])
    assert f"| loss {low:.4g} to {high:.4g}, " in drawn(terminal)[-1]


def test_a_narrow_terminal_gets_everything_but_the_speed(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_columns", lambda: 60)
    terminal.fit(validation=(X, Y))
    assert all(("samples/s" in text) == ("loss" not in text and "?:??" not in text) for text in drawn(terminal))
    assert re.search(r"\| loss \S+, val_loss \S+, \S+ s$", drawn(terminal)[-1])


def test_a_resumed_run_starts_at_its_epoch(terminal: Terminal, tmp_path: Any) -> None:
    terminal.fit(epochs=3, checkpoint=tmp_path / "c")
    before = len(drawn(terminal))
    terminal.fit(epochs=6, checkpoint=tmp_path / "c", resume=True)
    later = drawn(terminal)[before:]
    assert later[0].startswith("epoch 4/6 |")
    assert re.match(r"epoch 4/6 \|█+.? +\|", later[0])  # half of it is full
    assert all(text.startswith(("epoch 4/6", "epoch 5/6", "epoch 6/6")) for text in later)


@pytest.mark.parametrize("solver", ["lbfgs", "cg"])
def test_a_solvers_iterations_are_epochs(terminal: Terminal, solver: str) -> None:
    pytest.importorskip("scipy")
    history = terminal.fit(optimizer=solver, epochs=7)
    assert history.epochs <= 7
    assert re.search(rf"epoch {history.epochs}/7 \|", drawn(terminal)[-1])


def test_the_speed_counts_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr(module.time, "perf_counter", lambda: clock[0])
    run: Any = SimpleNamespace(epoch=0, step=0, epochs=10, batch_size=32, samples=100)
    meter = module._Meter(run)
    clock[0], run.step = 2.0, 3  # 96 of 100 samples
    meter.look()
    assert (meter.speed, meter.left) == ("48 samples/s", f"0:{round((10 - 0.96) * 2 / 0.96):02d} left")
    clock[0], run.step = 4.0, 4  # the last batch has 4
    meter.look()
    assert meter.speed == "25 samples/s"
    run.epoch = 1
    assert meter.speed == "25 samples/s"
    assert meter.left == "0:36 left"


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0"), (999, "999"), (999.7, "1k"), (12345, "12.3k"), (4.56e6, "4.56M"), (2e13, "20000G")]
)
def test_numbers_are_short(number: float, text: str) -> None:
    assert module._scaled(number) == text


def test_times_are_minutes_and_hours() -> None:
    assert [module._clock(s) for s in (0, 59.6, 3599, 3600, 93784)] == ["0:00", "1:00", "59:59", "1:00:00", "26:03:04"]


# ---------------------------------------------------------------------- where there is a bar


def test_without_progress_there_is_nothing_to_call() -> None:
    assert progress_callbacks(False) == []


@pytest.mark.parametrize("why", ["no tqdm", "a dumb terminal", "a number was asked for"])
def test_lines_where_there_can_be_no_bar(terminal: Terminal, monkeypatch: pytest.MonkeyPatch, why: str) -> None:
    if why == "no tqdm":
        monkeypatch.setattr(module, "find_spec", lambda name: None)
    elif why == "a dumb terminal":
        monkeypatch.setenv("TERM", "dumb")
    terminal.fit(progress=1 if why == "a number was asked for" else True)
    assert [text[:9] for text in drawn(terminal)] == [f"epoch {e}/5" for e in range(1, 6)]
    assert "█" not in terminal.getvalue()


def test_a_process_without_standard_error_trains() -> None:
    with redirect_stderr(None):
        assert fit().epochs == 5


@pytest.mark.parametrize("widgets", [True, False])
def test_a_notebook_gets_widgets_where_they_are_installed(monkeypatch: pytest.MonkeyPatch, widgets: bool) -> None:
    shell = SimpleNamespace(config={"IPKernelApp": {}})
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    monkeypatch.setitem(sys.modules, "tqdm.notebook", SimpleNamespace(tqdm=type("Widgets", (), {})))
    monkeypatch.setattr(module, "find_spec", lambda name: name == "tqdm" or widgets or None)
    kind = module._tqdm()
    assert (kind.__mro__[1].__name__ == "Widgets") is widgets
    shell.config = {}  # IPython in a terminal, whose standard error is no terminal here
    assert module._tqdm() is None


# ---------------------------------------------------------------------- lines


def test_lines_say_why_training_stopped(capsys: Any) -> None:
    fit(epochs=50, callbacks=[lambda run: run.epoch == 17])
    lines = capsys.readouterr().err.splitlines()
    assert [line.split()[1] for line in lines[:-1]] == ["5/50", "10/50", "15/50", "17/50"]
    assert lines[-1] == "stopped after epoch 17: a callback asked to stop"
    assert re.fullmatch(r"epoch 10/50  loss \S+  \S+ samples/s  \d+:\d\d left", lines[1])
    assert re.fullmatch(r"epoch 17/50  loss \S+  \S+ samples/s  \d+\.\d s", lines[3])


def test_lines_of_a_stack(capsys: Any) -> None:
    fit(stack=2, epochs=1)
    assert re.match(r"epoch 1/1  loss \S+ to \S+  \S+ samples/s", capsys.readouterr().err)


def test_an_estimator_shows_its_validation_score(capsys: Any) -> None:
    pytest.importorskip("sklearn")
    est = bpx.MLPClassifier((4,), early_stopping=True, max_iter=3, progress=True, random_state=0, n_iter_no_change=9)
    with pytest.warns(UserWarning, match="Maximum iterations"):
        est.fit(X, Y)
    lines = capsys.readouterr().err.splitlines()
    assert [re.search(r"val_score (\S+)", line)[1] for line in lines] == [  # type: ignore[index]
        f"{score:.6g}" for score in est.validation_scores_
    ]


# ---------------------------------------------------------------------- logging


def test_log_records_of_a_run(caplog: Any) -> None:
    with caplog.at_level(logging.DEBUG, "bpx.training"):
        history = fit(progress=False, epochs=2, validation=(X, Y))
    records = [record for record in caplog.records if record.name == "bpx.training"]
    assert [record.levelname for record in records] == ["INFO", "DEBUG", "DEBUG", "INFO"]
    assert records[0].getMessage() == (
        "training begins: network 3-4-2, float32 on numpy; 60 samples in batches of 20, at most 2 epochs"
    )
    assert re.fullmatch(r"epoch 2 of 2: loss \S+, val_loss \S+", records[2].getMessage())
    assert records[3].getMessage() == f"training ended: {history}"


def test_an_error_and_a_checkpoint_are_logged(caplog: Any, tmp_path: Any) -> None:
    caplog.set_level(logging.INFO, "bpx.training")
    with pytest.raises(ZeroDivisionError):
        fit(progress=False, callbacks=[lambda run: 1 // (2 - run.epoch) > 9], checkpoint=tmp_path / "c")
    assert caplog.records[-1].getMessage() == "training ended by an error in epoch 3, after step 6"
    fit(progress=False, checkpoint=tmp_path / "c", resume=True)
    assert "training goes on after epoch 1, step 3: network 3-4-2" in caplog.text


def test_nobody_listens_and_nothing_is_logged(capsys: Any) -> None:
    assert log_lines() == []
    assert not logging.getLogger("bpx").handlers
    assert not logging.getLogger("bpx.training").handlers
    fit(progress=False)
    assert capsys.readouterr() == ("", "")


# ---------------------------------------------------------------------- nobody listens


class Failing(Terminal):
    """A stream that takes nothing, a terminal or none."""

    def __init__(self, error: Exception, terminal: bool) -> None:
        super().__init__()
        self._error, self._terminal = error, terminal

    def isatty(self) -> bool:
        return self._terminal

    def write(self, text: str) -> int:
        raise type(self._error)(*self._error.args)  # anew: a traceback would keep what is drawn alive

    def flush(self) -> None:
        self.write("")


def deaf(kind: str) -> Any:
    """Standard error as it may become."""
    if kind == "none":
        return None
    if kind == "closed":
        stream = io.StringIO()
        stream.close()
        return stream
    error = {"gone": BrokenPipeError(), "full": OSError(28, "No space left on device"), "hung up": OSError(5, "I/O")}
    return Failing(error[kind.removeprefix("terminal ")], kind.startswith("terminal"))


DEAF = ["none", "closed", "gone", "full", "terminal gone", "terminal full", "terminal hung up"]


@pytest.mark.parametrize("kind", DEAF)
def test_training_goes_on_where_standard_error_takes_nothing(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(module, "REFRESH", -1.0)
    nets = [bpx.MLP([3, 4, 2], seed=1, backend="numpy") for _ in range(3)]
    options = {"epochs": 5, "batch_size": 20}
    quiet = bpx.fit(nets[0], X, Y, **options)
    with redirect_stderr(deaf(kind)):
        loud = bpx.fit(nets[1], X, Y, progress=True, **options)
        lines = bpx.fit(nets[2], X, Y, progress=1, stop=[bpx.stop.TargetLoss(1e9)], **options)
        grid = {"learning_rate": [0.1, 0.2]}
        table = bpx.sweep(lambda: bpx.MLP([3, 2], backend="numpy"), grid, X, Y, cv=2, epochs=1, progress=True)
    assert loud.loss == quiet.loss
    assert np.array_equal(nets[0].flat, nets[1].flat)
    assert lines.epochs == 1
    assert np.isfinite(table.best_score)
    assert bars_left() == 0


@pytest.mark.parametrize("kind", [kind for kind in DEAF if "terminal" not in kind])
def test_warnings_and_logs_that_nobody_can_read_end_nothing(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def show(message: Any, *_: Any, **__: Any) -> None:
        """As Python's own, which pytest has replaced."""
        messages.append(message)
        with suppress(OSError):
            if sys.stderr is not None:
                sys.stderr.write(str(message))

    messages: list[Any] = []
    stream = deaf(kind)
    logger = logging.getLogger("bpx")
    handler = logging.StreamHandler(stream or io.StringIO())
    logger.addHandler(handler)
    level = logger.level
    logger.setLevel(logging.DEBUG)
    try:
        with warnings.catch_warnings(), redirect_stderr(stream):
            warnings.simplefilter("always")
            monkeypatch.setattr(warnings, "_showwarnmsg_impl", lambda m: show(m.message))
            history = fit(epochs=30, optimizer=bpx.optimizers.SGD(1e30), progress=False)
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
    assert history.diverged
    assert len(messages) == 1


@pytest.mark.parametrize("kind", [kind for kind in DEAF if "terminal" not in kind])
def test_an_estimators_lines_end_nothing(kind: str) -> None:
    pytest.importorskip("sklearn")
    options = {"max_iter": 3, "random_state": 0, "backend": "numpy", "early_stopping": True, "n_iter_no_change": 1,
               "tol": 10.0}  # fmt: skip
    quiet = bpx.MLPClassifier((4,), **options).fit(X, Y)
    with redirect_stdout(deaf(kind)), redirect_stderr(deaf(kind)):
        loud = bpx.MLPClassifier((4,), **options, verbose=True, progress=True).fit(X, Y)
    assert loud.loss_curve_ == quiet.loss_curve_
    assert np.array_equal(loud.coefs_[0], quiet.coefs_[0])


def test_an_estimators_lines_are_scikit_learns(capsys: Any) -> None:
    neural_network = pytest.importorskip("sklearn.neural_network")
    options = {"max_iter": 20, "random_state": 0, "verbose": True, "early_stopping": True, "n_iter_no_change": 1,
               "tol": 10.0}  # fmt: skip
    neural_network.MLPClassifier((4,), **options).fit(X, Y)
    theirs = capsys.readouterr().out
    bpx.MLPClassifier((4,), **options, backend="numpy").fit(X, Y)
    assert capsys.readouterr().out == theirs


def test_a_process_whose_standard_error_is_gone_ends_well(tmp_path: Any) -> None:
    script = (
        "import numpy as np, bpx, sys\n"
        "X = np.random.default_rng(0).normal(size=(60, 3)); y = (X[:, 0] > 0).astype(int)\n"
        "print(bpx.fit(bpx.MLP([3, 2], backend='numpy'), X, y, epochs=12, progress=True).epochs)\n"
    )
    reader, writer = os.pipe()
    os.close(reader)
    try:
        environment = os.environ | {"PYTHONPATH": str(Path(bpx.__file__).parents[1]), "PYTHONUNBUFFERED": ""}
        done = subprocess.run([sys.executable, "-c", script], stderr=writer, stdout=subprocess.PIPE, text=True,
                              check=False, timeout=60, cwd=tmp_path, env=environment)  # fmt: skip
    finally:
        os.close(writer)
    assert (done.returncode, done.stdout) == (0, "12\n")


def test_log_records_name_the_line_that_wrote_them(caplog: Any) -> None:
    with caplog.at_level(logging.DEBUG, "bpx.training"):
        fit(progress=False)
    assert {record.filename for record in caplog.records if record.name == "bpx.training"} == {"log.py"}
