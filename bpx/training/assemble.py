"""The one way to start a run: `bpx.fit`, the estimators and sweeps differ only in the arguments of `assemble`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, final

from bpx.errors.values import check_count
from bpx.formulas import losses, optimizers
from bpx.formulas.schedules import Schedule
from bpx.network.mixed_precision import check_precision
from bpx.network.mlp import MLP, check_network
from bpx.network.objective import Objective
from bpx.streams.data import Data
from bpx.streams.stream import is_stream
from bpx.training import solvers
from bpx.training.array_feed import Order, Sampling, check_sampling
from bpx.training.callbacks.callback import Callback, as_callback
from bpx.training.distributed import Ranks, agreeing, join
from bpx.training.history import History, StopReason
from bpx.training.loop import TrainingLoop
from bpx.training.progress import check_progress, progress_callbacks
from bpx.training.recorder import RunRecorder
from bpx.training.run import Run
from bpx.training.run_config import RunConfig, compare_ranks
from bpx.training.run_metrics import RunMetrics, check_metrics, make_run_metrics
from bpx.training.solvers import SciPy
from bpx.training.stopping import StopRule
from bpx.training.training_data import training_data


@final
@dataclass
class Training:
    """A run that is ready to start."""

    recorder: RunRecorder
    config: RunConfig
    objective: Objective
    # The loop of a first-order optimizer, whose state may be set before `train` and read after it; None for SciPy's.
    loop: TrainingLoop | None
    ranks: Ranks | None = None
    checkpointer: Any = None
    # The checkpoint to resume from.
    saved: Any = None

    @property
    def run(self) -> Run:
        """The run as stopping rules and callbacks see it."""
        return self.recorder.run

    def train(self) -> History:
        """Train the network and complete the history; Ctrl-C ends training and keeps the network."""
        recorder, loop, ranks = self.recorder, self.loop, self.ranks
        backend = recorder.run.net.backend
        with backend.scope(), nullcontext() if ranks is None else ranks.together():
            with recorder.closing(), backend.matmul_precision():
                try:
                    if loop is None:
                        reason = solvers.minimize(recorder, self.objective, self.config)
                    else:
                        with self._checkpoints(loop) as done:
                            reason = done or loop.train(recorder, self.objective, self.checkpointer)
                except KeyboardInterrupt:
                    if not recorder.begun or ranks is not None:  # ends the other ranks, too
                        raise
                    reason = StopReason.INTERRUPTED
                if not recorder.begun:  # resumed from a checkpoint of a finished run
                    recorder.begin()
            if ranks is None:
                return recorder.finish(reason)
            history = recorder.finish(reason) if ranks.is_first else recorder.run.history
            ranks.decide(0)
            complete: History = ranks.from_first(history)
            return complete

    def _checkpoints(self, loop: TrainingLoop) -> AbstractContextManager[StopReason | None]:
        """Resume from `saved` and write checkpoints while training; yields why the saved run ended, if it had."""
        loop.begin(self.run.net.flat)
        if self.checkpointer is not None:
            return self.checkpointer.attached(self.recorder, loop, self.saved)  # type: ignore[no-any-return]
        if self.saved is None:
            return nullcontext()
        from bpx.training.checkpoints import GOES_ON, restore

        self.saved["run"]["rules"] = []  # rank 0 alone has rules
        reason = restore(self.recorder, loop, self.saved, "rank 0's checkpoint")
        return nullcontext(None if reason in GOES_ON else reason)


def assemble(
    net: MLP,
    X: Any,
    y: Any = None,
    *,
    loss: Any,
    optimizer: Any,
    epochs: int,
    batch_size: int | None = None,
    sampling: Sampling = "shuffle",
    l2: Any = 0.0,
    sample_weight: Any = None,
    class_weight: Any = None,
    validation: Any = None,
    stop: Any = (),
    callbacks: Any = (),
    progress: bool | int = False,
    seed: int = 0,
    checkpoint: Any = None,
    checkpoint_every: int | None = 1,
    checkpoint_steps: int | None = None,
    resume: bool = False,
    comm: Any = None,
    precision: str | None = None,
    metrics: Any = None,
    order: Callable[[], Order] | None = None,
    l1: Any = 0.0,
    per_batch: bool = False,
    by_rows: bool = False,
    tolerates_divergence: bool = False,
    schedule: Schedule | None = None,
    describe: Callable[[], dict[str, Any]] | None = None,
) -> Training:
    """Check all arguments and data, before any parameter has changed, and put a run together.

    Raises and warns as `bpx.fit`. A new option of a run is an argument here, and a field of `RunConfig` if the steps
    need it; who offers it passes it on: `bpx.fit`, ``estimators.solver.options``, ``search.trial_config.OPTIONS``.

    Parameters
    ----------
    net, X, y, loss, optimizer, epochs, batch_size, sampling, l2, sample_weight, class_weight, validation
        As for `bpx.fit`; X and validation may also be `Data`, already checked and on the network's device.
    stop, callbacks, progress, seed, checkpoint, checkpoint_every, checkpoint_steps, resume, comm, precision, metrics
        As for `bpx.fit`; metrics may also be `RunMetrics`.
    order : callable, optional
        ``order()`` draws the host indices of an epoch's rows, in place of `sampling`: (n,), (K, n) if each network of a
        stack has its own, or None for the stored order.
    l1 : float, or K floats for a stack
        Adds l1 times the sum of absolute weights to the loss.
    per_batch : bool
        Whether both penalties are divided by the batch's number of samples, as in scikit-learn.
    by_rows : bool
        Whether an epoch's loss weights each batch by its number of rows, as in scikit-learn, and not by the sum of its
        sample weights.
    tolerates_divergence : bool
        Whether a loss that is not finite is recorded like any other; stopping rules and the caller then judge it.
    schedule : Schedule, optional
        Replaces the optimizer's.
    describe : callable, optional
        ``describe()`` returns the settings that callbacks log; None: those of the `RunConfig`.

    Returns
    -------
    Training
        ``train()`` trains the network and returns the history.
    """
    ranks = join(comm)
    with agreeing(ranks), net.backend.scope() if isinstance(net, MLP) else nullcontext():
        check_network(net, "bpx.fit(net, X, y)", X, y)
        loss = losses.get(loss)
        solver = solvers.get(optimizer)
        if solver is None:
            optimizer = optimizers.get(optimizer)
        epochs = check_count("epochs", epochs)
        check_sampling(sampling)
        rules = _rules(stop)
        asked = metrics if isinstance(metrics, RunMetrics) else check_metrics(metrics)
        hooks = _callbacks(callbacks, progress)
        seed = check_count("seed", seed, 0)
        if checkpoint is None and (resume or checkpoint_steps is not None):
            raise ValueError("resume and checkpoint_steps need checkpoint=, the path of a file")
        if solver is not None:
            _check_solver(solver, X, y, checkpoint, ranks)
        check_precision(net, precision, solver is None)
        objective = Objective(net, loss, l2, l1, per_batch)
        data = training_data(
            net, X, y, loss, sample_weight, class_weight, batch_size, sampling, seed, ranks, validation, order
        )
        measures = asked if isinstance(asked, RunMetrics) else make_run_metrics(
            net, asked, loss, data.unweighted, data.validation, data.targets, ranks, streams=data.streams
        )  # fmt: skip
        if solver is not None:
            solvers.check(net, solver)
        config = RunConfig(
            net=net, feed=data.feed, loss=loss, optimizer=solver or optimizer, validation=data.validation, rules=rules,
            size=data.size, sampling=sampling, seed=seed, l2=l2, class_weight=class_weight, precision=precision,
            measures=measures, by_rows=by_rows,
        )  # fmt: skip
        bound = None if solver is not None else optimizer.bind(net.asarray, net.stack)
        is_first = ranks is None or ranks.is_first
        checkpointer = saved = None
        if checkpoint is not None and is_first:
            from bpx.training.checkpoints import Checkpointer  # slow to import, and rarely needed

            checkpointer = Checkpointer(checkpoint, checkpoint_every, checkpoint_steps, config.for_checkpoint())
            saved = checkpointer.load() if resume else None
    if ranks is not None:
        compare_ranks(ranks.from_all(config.for_ranks(epochs)))
        saved = ranks.from_first(saved)
        ranks.begin(net)
    with agreeing(ranks), net.backend.scope():
        recorder = RunRecorder(config, objective, hooks if is_first else [], epochs, tolerates_divergence, ranks)
        run = recorder.run
        run.history.validation_rows = data.held_out
        run.describe = describe or (lambda: config.settings)
        run.batch_size = data.size if solver is None and data.size else None
        loop = None if bound is None else TrainingLoop(config, bound, schedule or optimizer.schedule, ranks)
    return Training(recorder, config, objective, loop, ranks, checkpointer, saved)


def _rules(stop: Any) -> list[StopRule]:
    """The `stop` argument as a list of rules."""
    rules: list[Any] = [stop] if isinstance(stop, str) or not isinstance(stop, Iterable) else list(stop)
    for rule in rules:
        if not isinstance(rule, StopRule):
            raise TypeError(f"stop: expected rules of bpx.stop such as TargetLoss(0.1), got {rule!r}")
    return rules


def _callbacks(callbacks: Any, progress: bool | int) -> list[Callback]:
    """The `callbacks` argument as a list of objects, and after them the callback that shows progress."""
    several = isinstance(callbacks, Iterable) and not isinstance(callbacks, str)
    hooks = [as_callback(callback) for callback in (callbacks if several else [callbacks])]
    check_progress(progress)
    return [*hooks, *progress_callbacks(progress)]


def _check_solver(solver: SciPy, X: Any, y: Any, checkpoint: Any, ranks: Ranks | None) -> None:
    """Refuse checkpoints, several ranks and streams, which SciPy's methods cannot handle."""
    if checkpoint is not None:
        raise ValueError(
            f"checkpoint: optimizer {solver.method!r} keeps its state inside SciPy, where it cannot be saved; use"
            " 'adam' or another first-order optimizer, or keep net.flat in a callback"
        )
    if ranks is not None:
        raise ValueError(
            f"comm: optimizer {solver.method!r} runs in one process; use 'adam' or another first-order one"
        )
    if not isinstance(X, Data) and is_stream(X, y):
        raise ValueError(
            f"X: optimizer {solver.method!r} needs all samples in memory, got a stream; use 'adam' or another"
            " first-order optimizer, or numpy.asarray(X)"
        )
