"""Progress of training on standard error: tqdm's bar in terminals and notebooks, else plain lines."""

from __future__ import annotations

import os
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from importlib.util import find_spec
from traceback import clear_frames
from typing import Any, final

import numpy as np

from bpx.errors import say
from bpx.training.callbacks.callback import Callback, Closing
from bpx.training.history import StopReason, last_metrics, short
from bpx.training.run import Run

# Seconds between two updates of a bar, and number of updates that the samples per second are averaged over.
REFRESH, LOOKS = 0.25, 40

# ``score()`` is the validation score of the last epoch.
Score = Callable[[], float] | None


def check_progress(progress: Any) -> None:
    """TypeError if `progress` is neither a bool nor a number of epochs."""
    if not isinstance(progress, (bool, np.bool_, int, np.integer)) or progress < 0:
        raise TypeError(f"progress: expected True, False or a number of epochs, got {progress!r}")


def progress_callbacks(progress: bool | int, score: Score = None) -> list[Callback]:
    """The callback that shows a run's progress, in a list; empty if `progress` is False or 0.

    True is a bar where there can be one, else about ten lines; a number is a line every that many epochs. `score` is
    shown in place of the validation loss.
    """
    if not progress:
        return []
    if isinstance(progress, (bool, np.bool_)):
        tqdm = _tqdm()
        return [_Lines(None, score) if tqdm is None else _Bar(tqdm, score)]
    return [_Lines(int(progress), score)]


def _tqdm() -> Any:
    """tqdm's class for this terminal or notebook; None if there is neither, or tqdm is not installed."""
    notebook = _in_notebook()
    if not (notebook or _in_terminal()) or find_spec("tqdm") is None:
        return None
    # Not tqdm.auto, which warns if ipywidgets is missing.
    if notebook and find_spec("ipywidgets") is not None:
        from tqdm.notebook import tqdm
    else:
        from tqdm.std import tqdm
    # The bar is refreshed and drawn by the training thread alone: it needs neither tqdm's monitor nor its lock.
    return type("tqdm", (tqdm,), {"monitor_interval": 0, "_lock": _NoLock()})


class _NoLock(nullcontext[None]):
    """Replaces tqdm's lock, which a bar that cannot be drawn never releases, so that other threads would hang."""

    def acquire(self, *_: Any, **__: Any) -> bool:
        return True

    def release(self) -> None:
        """Do nothing."""


def _in_terminal() -> bool:
    """Whether standard error is a terminal that can move its cursor."""
    try:
        return bool(sys.stderr.isatty()) and os.environ.get("TERM") != "dumb"
    except (AttributeError, ValueError):  # there is none, or it is closed
        return False


def _in_notebook() -> bool:
    """Whether this is a Jupyter kernel, whose front end shows bars although standard error is no terminal."""
    ask = getattr(sys.modules.get("IPython"), "get_ipython", None)
    shell = None if ask is None else ask()
    return shell is not None and "IPKernelApp" in shell.config


def done(run: Run) -> float:
    """Epochs done, with the fraction of the current one where it is known."""
    n = run.samples
    if run.batch_size is None or n is None:  # a SciPy method or a stream, whose epochs have no known number of steps
        return run.epoch
    steps = run.step - run.epoch * -(-n // run.batch_size)
    return run.epoch + min(steps * run.batch_size, n) / n


@final
class _Meter:
    """RunMetrics a run's speed and estimates the time left."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._looks = deque([(time.perf_counter(), self._rows)], maxlen=LOOKS)
        self._since = time.perf_counter(), done(run)

    @property
    def _rows(self) -> float:
        """Samples on which gradients were computed so far, in this process."""
        run = self._run
        if run.samples is None:
            return run.step * float(run.batch_size or 1)
        passes: float = run.step if run.batch_size is None else done(run)
        return passes * float(run.samples)

    def look(self) -> None:
        """Record the time and the samples so far."""
        self._looks.append((time.perf_counter(), self._rows))

    @property
    def speed(self) -> str:
        """Samples per second between the oldest and the newest record, as text."""
        (start, before), (now, rows) = self._looks[0], self._looks[-1]
        return f"{_scaled((rows - before) / max(now - start, 1e-9))} samples/s"

    @property
    def left(self) -> str:
        """The time for the remaining epochs at the speed so far, as text."""
        start, before = self._since
        now = done(self._run)
        if now <= before:
            return "?:?? left"
        return f"{_clock((self._run.epochs - now) * (time.perf_counter() - start) / (now - before))} left"


def _scaled(number: float) -> str:
    """A number with three digits and a unit: 987, 12.3k, 4.56M."""
    units = ["", "k", "M", "G"]
    while number >= 999.5 and len(units) > 1:
        number, units = number / 1000.0, units[1:]
    return f"{number:.3g}{units[0]}" if number < 999.5 else f"{number:.0f}{units[0]}"


def _clock(seconds: float) -> str:
    """Seconds as m:ss or h:mm:ss."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def _figures(run: Run, score: Score, digits: int) -> list[str]:
    """Texts with the last epoch's loss, validation score or loss, and metrics (on validation data if there are any)."""
    if run.loss is None:
        return []
    texts = [f"loss {short(run.loss, digits)}"]
    if score is not None:
        texts.append(f"val_score {short(score(), digits)}")
    elif run.val_loss is not None:
        texts.append(f"val_loss {short(run.val_loss, digits)}")
    for name, value in last_metrics(run.history, run.epoch).items():
        if name in run.columns and (name.startswith("val_") or "val_" + name not in run.columns):
            texts.append(f"{name} {short(value, digits)}")
    return texts


@final
class _Lines(Callback):
    """A line every few epochs."""

    def __init__(self, every: int | None, score: Score) -> None:
        self._every, self._score = every, score

    def on_fit_begin(self, run: Run) -> None:
        self._meter = _Meter(run)
        self._begun = self._printed = run.epoch

    def on_epoch_end(self, run: Run) -> None:
        if run.epoch == run.epochs or run.epoch % (self._every or max(1, run.epochs // 10)) == 0:
            self._print(run, run.epoch == run.epochs)
        if run.epoch == self._begun + 1:  # the first epoch may have included compilation of kernels
            self._meter = _Meter(run)

    def on_fit_end(self, run: Run) -> None:
        reason = run.history.stop_reason
        if self._printed < run.epoch:
            self._print(run, True)
        if reason is not StopReason.EPOCHS:
            say(f"stopped after epoch {run.epoch}: {reason.value}", sys.stderr)

    def _print(self, run: Run, last: bool) -> None:
        """Print the line of the last epoch."""
        self._meter.look()
        counted = f"epoch {run.epoch:>{len(str(run.epochs))}}/{run.epochs}"
        when = f"{run.seconds:.1f} s" if last else self._meter.left
        say("  ".join([counted, *_figures(run, self._score, 6), self._meter.speed, when]), sys.stderr)
        self._printed = run.epoch


@final
class _Bar(Closing):
    """A bar that moves a few times per second, also within an epoch, without reading from the device."""

    def __init__(self, tqdm: Any, score: Score) -> None:
        self._tqdm, self._score = tqdm, score
        self._bar: Any = None

    def on_fit_begin(self, run: Run) -> None:
        self._meter: _Meter | None = None
        self._figures: list[str] = []
        self._due = 0.0
        form = self._form(run, run.epoch + 1, ["?:?? left"])
        with self._drawing():
            self._bar = self._tqdm(total=run.epochs, initial=run.epoch, dynamic_ncols=True, bar_format=form)

    @contextmanager
    def _drawing(self) -> Iterator[None]:
        """A block in which an error, such as a closed terminal, ends the bar and nothing else."""
        try:
            yield
        except Exception as error:
            if self._bar is not None:
                self._bar.disable = True  # else it would be drawn once more when it is freed
            clear_frames(error.__traceback__)  # these hold the bar, for which later bars would leave a line free
            self._bar = None

    def on_step_end(self, run: Run) -> None:
        now = time.perf_counter()
        if now < self._due:
            return
        self._due = now + REFRESH
        if self._meter is None:  # the first step may have included compilation of kernels
            self._meter = _Meter(run)
        else:
            self._meter.look()
            self._show(run, run.epoch + 1, [self._meter.speed, self._meter.left])

    def on_epoch_end(self, run: Run) -> None:
        self._figures = _figures(run, self._score, 4)
        self.on_step_end(run)

    def on_fit_end(self, run: Run) -> None:
        reason = run.history.stop_reason
        if run.loss is not None:
            self._figures = _figures(run, self._score, 4)
        if reason not in (StopReason.INTERRUPTED, StopReason.DIVERGED):
            self._as_success(run)
        self._end(run, "" if reason is StopReason.EPOCHS else f", stopped: {reason.name.lower().replace('_', ' ')}")

    def on_fit_error(self, run: Run) -> None:
        if self._bar is not None:
            self._end(run, ", stopped: error")

    def _as_success(self, run: Run) -> None:
        """Fill a notebook's bar, which would otherwise turn red after a run that stopped early on purpose."""
        if hasattr(self._bar, "container") and run.epoch > 0:
            with self._drawing():
                self._bar.total = self._bar.container.children[1].max = run.epoch

    def _end(self, run: Run, ended: str) -> None:
        """Draw the bar for the last time, and leave it on the screen."""
        meter = self._meter or _Meter(run)
        meter.look()
        self._show(run, run.epoch, [meter.speed, f"{run.seconds:.1f} s{ended}"])
        if self._bar is not None:
            with self._drawing():
                self._bar.close()
        self._bar = None

    def _show(self, run: Run, epoch: int, speed: list[str]) -> None:
        """Draw the bar, if there still is one."""
        if self._bar is None:
            return
        form, n = self._form(run, epoch, speed), done(run)
        with self._drawing():
            self._bar.n, self._bar.bar_format = n, form
            self._bar.refresh()

    def _form(self, run: Run, epoch: int, speed: list[str]) -> str:
        """tqdm's format of the bar; a narrow terminal leaves out the samples per second first, then metrics."""
        left = f"epoch {min(epoch, run.epochs)}/{run.epochs}"
        most = len(self._figures)
        fewer = [self._figures[:k] + speed[-1:] for k in range(most, min(2, most) - 1, -1)]
        for texts in [self._figures + speed, *fewer]:
            right = ", ".join(texts)
            if len(left) + len(right) + 10 <= _columns():
                break
        return f"{left} |{{bar}}| {right}"


def _columns() -> int:
    """Width of the terminal in characters; unlimited in a notebook."""
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns
    except (OSError, ValueError, AttributeError):
        return sys.maxsize
