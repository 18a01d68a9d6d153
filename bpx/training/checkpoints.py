"""Checkpoints: everything that a later process needs to continue a run as if it had never stopped."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, final

import numpy as np

from bpx._typing import State
from bpx.backend.base import Backend, library_of
from bpx.errors import FileFormatError, warn_caller
from bpx.errors.values import check_count
from bpx.files import atomic, checkpoint
from bpx.training.history import StopReason
from bpx.training.loop import TrainingLoop
from bpx.training.recorder import RunRecorder
from bpx.training.run_config import compare
from bpx.training.signals import give_back, noted

Path = str | os.PathLike[str]

# A run that ended for one of these reasons is continued up to its `epochs`; after any other it is finished.
GOES_ON = {None, StopReason.EPOCHS, StopReason.INTERRUPTED}


@final
class Checkpointer:
    """Writes a run's checkpoints, every `every` epochs and `steps` steps, and loads the newest one.

    The checkpoint before the newest stays, with ``.previous`` after its name, and is read if the newest is damaged.
    `config` are the run's arguments (`RunConfig.for_checkpoint`), which `load` compares with the saved ones. Raises
    FileNotFoundError if the folder does not exist, FileFormatError if `path` is a file of another kind.
    """

    def __init__(self, path: Path, every: int | None, steps: int | None, config: Mapping[str, Any]) -> None:
        self._path = os.path.abspath(os.fspath(path))
        self._previous = self._path + ".previous"
        if not os.path.isdir(os.path.dirname(self._path)) or os.path.isdir(self._path):
            raise FileNotFoundError(f"checkpoint: expected a file in a folder that exists, got {os.fspath(path)!r}")
        self._refuse_another_file()
        interval = partial(check_count, otherwise=", or None for never")
        self._every = None if every is None else interval("checkpoint_every", every)
        self._steps = None if steps is None else interval("checkpoint_steps", steps)
        self._config = dict(config)
        self._signal: int | None = None
        self._written: tuple[int, int, StopReason | None] | None = None

    def _refuse_another_file(self) -> None:
        """Refuse to overwrite a file that is no checkpoint; with a ``.previous`` beside it, it is a damaged one."""
        if not os.path.exists(self._path) or os.path.exists(self._previous):
            return
        try:
            checkpoint.read(self._path)
        except FileFormatError as error:
            raise FileFormatError(
                f"checkpoint: expected a new file or a checkpoint of bpx.fit, got {self._path}, which is another file"
                f" or damaged ({error}); give another path, or delete it"
            ) from error

    def load(self) -> State | None:
        """The newest checkpoint that can be read; None if there is none.

        FileFormatError if all are damaged, ValueError if it is of a run with other arguments.
        """
        broken: FileFormatError | None = None
        for path in (self._path, self._previous):
            try:
                saved = checkpoint.read(path)
            except FileNotFoundError:
                continue
            except FileFormatError as error:
                broken = broken or error
                continue
            compare(saved.get("plan"), self._config, path)
            if broken is not None:
                warn_caller(f"{broken}; training goes on from {path}, the checkpoint before it", RuntimeWarning)
            return saved
        if broken is not None:
            raise broken
        return None

    @contextmanager
    def attached(self, recorder: RunRecorder, loop: TrainingLoop, saved: State | None) -> Iterator[StopReason | None]:
        """Resume from `saved`, if there is one, and write this run's checkpoints; yields why a finished run ended."""
        self._recorder, self._run, self._loop = recorder, recorder.run, loop
        reason = None
        if saved is not None:
            reason = restore(recorder, loop, saved, self._path)
            self._written = (self._run.step, self._run.epoch, reason)
        # Ctrl-C and SIGTERM wait for the end of the step, so that no checkpoint is of half a step.
        with noted(self._note) as self._former:
            yield None if reason in GOES_ON else reason

    @property
    def steps_to_next(self) -> int:
        """Steps up to the next checkpoint by `steps`; many if there is none."""
        return sys.maxsize if self._steps is None else self._steps - self._run.step % self._steps

    def after_step(self) -> None:
        """Write a checkpoint if one is due after this step, or if a signal asked the process to end; then it ends."""
        if self._signal is not None:
            self._leave()
        elif self._steps is not None and self._run.step % self._steps == 0:
            self.write()

    def after_epoch(self, reason: StopReason | None) -> None:
        """Write a checkpoint if one is due after this epoch, or if training ends with it."""
        if self._signal is not None and reason is None:
            self._leave()
        elif reason is not None or self._run.epoch >= self._run.epochs:
            self.write(reason or StopReason.EPOCHS)
        elif self._every is not None and self._run.epoch % self._every == 0:
            self.write()

    def write(self, reason: StopReason | None = None) -> None:
        """Write a checkpoint; the existing one becomes the previous one."""
        run = self._run
        if self._written == (run.step, run.epoch, reason):
            return
        tree = {
            "plan": self._config,
            "reason": None if reason is None else reason.name,
            "flat": run.net.flat,
            "descent": self._loop.snapshot(),
            "run": self._recorder.snapshot(),
        }
        try:
            checkpoint.write(self._path + ".next", on_host(tree, run.net.backend))
            self._keep_previous()  # only once the new one is safe: a full disk must leave both files as they were
            atomic.replace(self._path + ".next", self._path)
        except (OSError, MemoryError) as error:  # hours of training are not thrown away for a full disk
            warn_caller(
                f"{self._path}: the checkpoint of epoch {run.epoch}, step {run.step} could not be written"
                f" ({error}); training goes on, and the last one that was written stays",
                RuntimeWarning,
            )
            return
        self._written = (run.step, run.epoch, reason)

    def _keep_previous(self) -> None:
        """Give the existing checkpoint its second name; it keeps the first until the new file takes it."""
        if not os.path.exists(self._path):
            return
        temporary = self._previous + ".tmp"
        with suppress(FileNotFoundError):
            os.unlink(temporary)
        try:
            os.link(self._path, temporary)
        except OSError:  # a file system without links
            shutil.copyfile(self._path, temporary)
        atomic.replace(temporary, self._previous)

    def _note(self, number: int, frame: Any) -> None:
        """Remember the signal; a second Ctrl-C does not wait."""
        if self._signal is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        self._signal = number

    def _leave(self) -> None:
        """Write a checkpoint and let the signal take its usual effect."""
        assert self._signal is not None
        number, self._signal = self._signal, None
        self.write()
        give_back(self._former)
        signal.raise_signal(number)


def restore(recorder: RunRecorder, loop: TrainingLoop, saved: State, name: str) -> StopReason | None:
    """Set a run that has not started to a checkpoint's state; returns why the saved run ended, if it had.

    FileFormatError, with the file's `name`, if it is not the state of such a run.
    """
    net, backend = recorder.run.net, recorder.run.net.backend
    try:
        flat = backend.asarray(_like(saved["flat"], net.flat.shape, "flat"), net.flat.dtype)
        fresh, kept = loop.snapshot(), dict(saved["descent"])
        kept.setdefault("scaling", None)  # missing in the oldest checkpoints
        for part in ("state", "schedule_state", "scaling"):
            kept[part] = placed(kept[part], fresh[part], backend, part)
        if kept["sums"] is not None:
            rows = kept["sums"]["rows"]
            kept["sums"] = {k: backend.asarray(kept["sums"][k]) for k in ("total", "weights")} | {"rows": rows}
        saved["run"]["history"].setdefault("metrics", [])  # missing in the oldest checkpoints
        of_run = placed(saved["run"], recorder.snapshot(), backend, "run")
        reason = None if saved["reason"] is None else StopReason[saved["reason"]]
    except (KeyError, TypeError, AttributeError) as error:
        raise FileFormatError(f"{name}: expected the state of a run, got another ({error!r})") from error
    net.flat[...] = flat
    loop.restore(kept)
    recorder.restore(of_run)
    return reason


def on_host(tree: Any, backend: Backend) -> Any:
    """The same tree with host copies of its arrays."""
    if isinstance(tree, dict):
        return {name: on_host(value, backend) for name, value in tree.items()}
    if isinstance(tree, (list, tuple)):
        return [on_host(value, backend) for value in tree]
    if isinstance(tree, (np.ndarray, np.generic)):
        return np.array(tree)
    return tree if library_of(tree) == "host" else np.array(backend.to_host(tree))


def placed(saved: Any, like: Any, backend: Backend, name: str) -> Any:
    """A saved tree with its arrays on the device and in the dtype of those of `like`, a fresh tree of the same form.

    FileFormatError if the forms differ; `name` is the tree's in messages.
    """
    if isinstance(like, dict):
        if not isinstance(saved, dict) or set(saved) != set(like):
            raise FileFormatError(f"{name}: expected {sorted(like)}, got {saved!r:.80}")
        return {key: placed(saved[key], value, backend, f"{name}.{key}") for key, value in like.items()}
    if isinstance(like, list) and like and isinstance(like[0], dict):  # the rules' states
        if not isinstance(saved, list) or len(saved) != len(like):
            raise FileFormatError(f"{name}: expected the states of {len(like)} rules, got {saved!r:.80}")
        return [placed(s, one, backend, f"{name}[{i}]") for i, (s, one) in enumerate(zip(saved, like, strict=True))]
    if isinstance(like, (np.ndarray, np.generic)) or library_of(like) != "host":
        array = _like(saved, like.shape, name)
        on_device = library_of(like) != "host" or backend.xp is np
        return backend.asarray(array, like.dtype) if on_device else array.astype(like.dtype)
    return saved


def _like(saved: Any, shape: Any, name: str) -> np.ndarray[Any, Any]:
    """A saved array of this shape; any shape if `shape` is (): a number may have become one for each network."""
    array = np.array(saved)
    if array.dtype.kind not in "biuf" or (shape and array.shape != tuple(shape)):
        raise FileFormatError(f"{name}: expected numbers of shape {tuple(shape)}, got {saved!r:.80}")
    return array
