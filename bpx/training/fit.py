"""Training: arguments and data checked, then the one loop of `descent`, or a SciPy solver."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from os import PathLike
from typing import Any, Literal

import numpy as np

from bpx.formulas import losses, optimizers
from bpx.formulas.losses import LossLike
from bpx.formulas.optimizers import Optimizer, OptimizerName
from bpx.formulas.precision import Precision
from bpx.network import memory
from bpx.network.mlp import MLP
from bpx.network.objective import Objective
from bpx.network.precision import check_precision
from bpx.streams.stream import Stream, is_stream
from bpx.training import solvers
from bpx.training.batches import Sampling, check_sampling
from bpx.training.callbacks.base import Callback, as_callback
from bpx.training.data import given_data
from bpx.training.distributed import Ranks, agreeing, join
from bpx.training.history import History, StopReason
from bpx.training.loop import Descent
from bpx.training.metrics import MetricsLike, check_metrics, measures_of
from bpx.training.progress import check_progress, progress_callbacks
from bpx.training.run import Run
from bpx.training.run_config import RunConfig, compare_ranks
from bpx.training.solvers import MethodName, SciPy
from bpx.training.stopping import StopRule
from bpx.training.validation import check_network

__all__ = ["fit"]


def _fitting(given: Mapping[str, Any]) -> memory.Attempt:
    """Training, where memory ran out neither in a step nor in an evaluation."""
    rows, size = memory.rows_of(given["X"]), given["batch_size"]
    rows = rows if size is None else size if rows is None else min(rows, size)
    return memory.step(rows, "give a smaller batch, such as batch_size={rows}", doing="in bpx.fit")


@memory.explains_memory_errors(_fitting)
def fit(
    net: MLP,
    X: Any,
    y: Any = None,
    loss: LossLike = "cross_entropy",
    optimizer: OptimizerName | MethodName | Optimizer | SciPy = "adam",
    epochs: int = 20,
    batch_size: int | None = 128,
    sampling: Sampling = "shuffle",
    l2: Any = 0.0,
    sample_weight: Any = None,
    class_weight: Mapping[int, float] | Literal["balanced"] | None = None,
    validation: Sequence[Any] | Stream | float | None = None,
    stop: StopRule | Sequence[StopRule] = (),
    callbacks: Sequence[Callback | Callable[[Run], Any]] = (),
    progress: bool | int = False,
    seed: int = 0,
    checkpoint: str | PathLike[str] | None = None,
    checkpoint_every: int | None = 1,
    checkpoint_steps: int | None = None,
    resume: bool = False,
    comm: Any = None,
    precision: Precision | None = None,
    metrics: MetricsLike = None,
) -> History:
    """Train a network in place.

    Parameters
    ----------
    net : MLP
        Changed in place.
    X : array or SciPy sparse matrix of shape (n, n_in), or what `bpx.stream` takes
        On the host, or on the network's backend and device; copied there once. Sparse rows become dense batch by batch.
        Memory maps, zarr, dask and HDF5 arrays and iterables of batches are read while training goes on, and need not
        fit into memory.
    y : array of shape (n, n_out), or (n,) for one output or integer class labels
        Targets; None where X has them.
    loss : str, Loss or function
        squared_error, absolute_error, huber, quantile, binary_cross_entropy, cross_entropy, poisson, or one's own.
    optimizer : str, Optimizer or SciPy
        sgd, rmsprop, adagrad, adam, adamw; or cg, lbfgs, bfgs, newton-cg, tnc, slsqp, trust-constr by SciPy, on the
        full batch. In a stack of K networks every hyperparameter may be a list of K.
    epochs : int
        Passes over the data at most (iterations, for SciPy's methods).
    batch_size : int or None
        Samples per step: 1 is online, None the full batch. With fewer samples than that an epoch is one step: small
        data want a smaller batch or more epochs. SciPy's methods always take the full batch. Of a stream of batches,
        None takes each as it comes.
    sampling : {"shuffle", "sequential", "replacement"}
        A new order each epoch, the order they have, or n random draws. What streams do is in `bpx.stream`.
    l2 : float, or K floats for a stack
        Adds l2/2 times the sum of squared weights (biases excluded, not divided by the batch) to the loss.
    sample_weight : array of shape (n,), or (K, n) for a stack, optional
        Not negative, not all zero.
    class_weight : dict of int to float, or "balanced", optional
        Factor for the samples of each class; a class that is not named has 1. "balanced" is n / (classes * count).
    validation : (X, y), (X, y, sample_weight), stream, or float, optional
        Loss on it is recorded after each epoch, without penalty. 0.2 holds out a fifth of the rows, drawn by `seed`, of
        class targets a fifth of each class; ``history.validation_rows`` says which. Rows whose order matters, such as
        those of a time series, want (X_val, y_val).
    stop : StopRule or list of them
        See `bpx.stop`.
    callbacks : list of Callback or functions f(run)
        A function is called after each epoch; one that returns True ends training. `bpx.callbacks` has some that log.
    progress : bool or int
        On standard error: True is a bar in terminals and notebooks where tqdm is installed (extra ``progress``), else
        about ten lines; a number is a line every that many epochs.
    seed : int
        Of the batch order and, with the network's own seed, of the dropout masks.
    checkpoint : str or path-like, optional
        File from which another process can go on as if this one had not ended; the one before it stays beside it, with
        ``.previous`` after its name. Also written when Ctrl-C or SIGTERM (on Windows Ctrl-Break) arrives, and at the
        end. First-order optimizers only.
    checkpoint_every, checkpoint_steps : int or None
        Epochs, and steps, between two checkpoints.
    resume : bool
        Go on from `checkpoint` where it exists, with the same data and arguments (`epochs` may be larger): parameters,
        history and predictions are then those of a run that never stopped. Callbacks begin anew. Other data are an
        error; other hyperparameters (learning rate, l2, class weights, ...) are taken as they are now, with a warning.
    comm : "mpi" or mpi4py communicator, optional
        Train with all processes that ``mpiexec -n 4 python -m mpi4py script.py`` has started (extra ``mpi``): each
        computes its share of every batch, and their sum is the step of a single process. All give the same arguments
        and data, or ``bpx.stream(batches, sharded=True)`` with their own. Stopping rules, callbacks, progress and
        checkpoints are rank 0's.
    precision : {"tf32", "float16", "bfloat16"}, optional
        Of the steps of a float32 network, for GPUs; None is the network's own dtype, and a process's TF32 setting is
        off while training runs. "tf32" rounds the operands of products to 10 bits where the GPU has TF32. The other
        two also store inputs, activations and their gradients in 16 bits; parameters, their gradients, the loss and
        the optimizer's state stay float32. See Notes.
    metrics : list of str and functions, or dict of name to either, optional
        Measured after each epoch, into ``history.metrics`` and all logs: accuracy, balanced_accuracy, auc, log_loss for
        classes, r2, mae, rmse for numbers, or ``f(y_true, y_pred) -> float`` of host arrays. ``"val_"`` before a name
        means validation data, as in ``bpx.stop.Patience("val_auc")``. See Notes.

    Returns
    -------
    History
        With ``loss``, ``val_loss``, ``metrics``, ``stop_reason``, ``epochs``, ``seconds``.

    Raises
    ------
    ShapeError, NonFiniteError, TypeError, ValueError, DeviceMismatchError, NotDifferentiableError
        Before any parameter has changed.
    ImportError
        If a package for `precision` or `comm` is missing; names the extra.
    FileFormatError
        If `resume` finds only damaged checkpoints, or `checkpoint` is another kind of file.
    FileNotFoundError
        If there is no folder for `checkpoint`.
    RankFailedError
        If another process of `comm` failed; says its error.
    MemoryError
        If memory ran out, on the device or the host: says in what, how much that needs and how much is free, and what
        to do. Parameters are those before the failed step, and checkpoints stay valid.

    Warns
    -----
    DivergenceWarning
        If the loss or a parameter was no longer finite: the last finite parameters are restored.
    UserWarning
        If a resumed run has other hyperparameters than its checkpoint, or a metric is not defined for the targets, such
        as the auc of rows of one class: it is NaN.

    Notes
    -----
    Ctrl-C ends training and keeps the network as it is after the last step; with `comm` it ends every process.

    On NumPy, where Numba is installed, compiled kernels do part of the work: their first use on a machine takes some
    seconds to compile, a later process about one to load. ``BPX_KERNELS=reference`` in the environment turns them off.

    Metrics are scikit-learn's (auc of several classes: the mean of each against the rest; of several yes/no outputs
    their mean), with sample weights and without class weights. Those of training data cost a forward pass over all rows
    after each epoch, about a third of the epoch, and are left out where the data are a stream; those of validation data
    are measured wherever they come from, with all outputs in the host's memory. Targets tell what is meant: several 0/1
    outputs with a single 1 in each row are classes (the largest output), others are labels of their own (above 0.5;
    accuracy is the share of rows with all of them right). A stream's targets are read for that before training, as far
    as they can change the answer: give integer labels where they are classes. One's own function is given y_true as
    training has it, integer labels (n,) or (n, n_out), and y_pred as `bpx.predict` gives it, (n, n_out);
    ``sample_weight``, of shape (n,) or None, where it has an argument of that name. In a stack it is asked for each
    network.

    A lower `precision` trades accuracy of a step for speed and memory on a GPU; on a processor "tf32" is float32, and
    the other two give the same numbers as on a GPU (to rounding), slowly. ``val_loss``, `predict` and everything else
    outside a step are true float32; ``loss`` is what the steps have computed. With "float16" gradients are scaled, and
    a step whose gradient overflows is skipped (`bpx.formulas.precision`); it cannot hold numbers beyond 65 504.
    "bfloat16" has float32's range and needs the extra ``bfloat16`` except on PyTorch. Largest differences from float32:

    ========== ======== ============= ======== ==================== ================================
    precision  rounding loss of batch gradient gradient, with relu  share of held-out digits right
    ========== ======== ============= ======== ==================== ================================
    "tf32"     2^-11    1e-3          1e-3     3e-2                 0.01
    "float16"  2^-11    1e-3          1e-3     3e-2                 0.01
    "bfloat16" 2^-8     5e-3          1e-2     1e-1                 0.01
    ========== ======== ============= ======== ==================== ================================

    The first three are relative differences of networks with up to three layers (of a gradient the difference's norm,
    where relu differs most: a sum near 0 may change its side), the last one is absolute, 64-100-10 after 8 epochs.
    """
    ranks = join(comm)
    with agreeing(ranks), net.backend.scope() if isinstance(net, MLP) else nullcontext():
        check_network(net, "bpx.fit(net, X, y)", X, y)
        chosen = losses.get(loss)
        solver = solvers.get(optimizer)
        first_order = optimizers.get(optimizer) if solver is None else None  # type: ignore[arg-type]
        epochs = _check_epochs(epochs)
        check_sampling(sampling)
        rules = _check_rules(stop)
        asked = check_metrics(metrics)
        hooks = _check_callbacks(callbacks, progress)
        seed = _check_seed(seed)
        if checkpoint is None and (resume or checkpoint_steps is not None):
            raise ValueError("resume and checkpoint_steps need checkpoint=, the path of a file")
        if solver is not None:
            _check_solver(solver, X, y, checkpoint, ranks)
        check_precision(net, precision, solver is None)
        objective = Objective(net, chosen, l2)
        data = given_data(
            net, X, y, chosen, sample_weight, class_weight, batch_size, sampling, seed, ranks, validation
        )  # fmt: skip
        feed, size, held_out = data.feed, data.size, data.validation
        measures = measures_of(net, asked, chosen, data.unweighted, held_out, data.targets, ranks,
                               streams=data.streams)  # fmt: skip
        scipy_minimize = None if solver is None else solvers.check(net, solver)
        bound = None if first_order is None else first_order.bind(net.asarray, net.stack)
        how = solver or first_order
        plan = RunConfig(net, feed, held_out, chosen, how, rules, size, sampling, seed, l2, class_weight, precision,
                    measures)  # fmt: skip
        watches = ranks is None or ranks.is_first
        keeper = saved = None
        if checkpoint is not None and watches:
            from bpx.training.checkpoints import Checkpointer  # files cost time to import, and most runs write none

            keeper = Checkpointer(checkpoint, checkpoint_every, checkpoint_steps, plan.for_checkpoint())
            saved = keeper.load() if resume else None
    if ranks is not None:
        compare_ranks(ranks.from_all(plan.for_ranks(epochs)))
        saved = ranks.from_first(saved)
        ranks.begin(net)

    with net.backend.scope(), nullcontext() if ranks is None else ranks.together():
        run = Run(
            net, feed.data, objective, held_out, rules if watches else [], hooks if watches else [], epochs,
            _advice(net, first_order, precision), ranks=ranks, measures=measures,
        )  # fmt: skip
        run.history.validation_rows = data.held_out

        run.describe = lambda: plan.settings
        run.batch_size = size if solver is None and size else None

        def train() -> StopReason:
            if solver is not None:
                return solvers.minimize(scipy_minimize, run, objective, feed.data, solver)
            assert bound is not None
            assert first_order is not None
            descent = Descent(bound, first_order.schedule, feed, seed, ranks=ranks, precision=precision)
            if keeper is not None:
                with keeper.keeps(run, descent, saved) as done:
                    return done or descent.train(run, objective, keeper)
            return _train_with_first(descent, run, objective, saved)

        reason = run.carry_out(train)
        history = run.finish(reason) if watches else run.history
        if ranks is not None:
            ranks.decide(0)
            history = ranks.from_first(history)
    return history


def _train_with_first(descent: Descent, run: Run, objective: Objective, saved: Any) -> StopReason:
    """Train; from where rank 0's checkpoint was made, on a rank that has none itself."""
    if saved is not None:
        from bpx.training.checkpoints import GOES_ON, restore

        saved["run"]["rules"] = []  # are rank 0's
        reason = restore(run, descent, saved, "rank 0's checkpoint")
        if reason not in GOES_ON:
            assert reason is not None
            return reason
    return descent.train(run, objective)


def _check_rules(stop: Any) -> list[StopRule]:
    """Stopping rules as a list."""
    rules: list[Any] = [stop] if isinstance(stop, str) or not isinstance(stop, Iterable) else list(stop)
    for rule in rules:
        if not isinstance(rule, StopRule):
            raise TypeError(f"stop: expected rules of bpx.stop such as TargetLoss(0.1), got {rule!r}")
    return rules


def _check_callbacks(given: Any, progress: bool | int) -> list[Callback]:
    """Callbacks as objects, with the one that shows progress."""
    hooks = [as_callback(c) for c in (given if isinstance(given, Iterable) and not isinstance(given, str) else [given])]
    check_progress(progress)
    return [*hooks, *progress_callbacks(progress)]


def _check_solver(solver: SciPy, X: Any, y: Any, checkpoint: Any, ranks: Ranks | None) -> None:
    """Refuse what SciPy's methods cannot do."""
    if checkpoint is not None:
        raise ValueError(
            f"checkpoint: optimizer {solver.method!r} keeps its state inside SciPy, where it cannot be saved; use"
            " 'adam' or another first-order optimizer, or keep net.flat in a callback"
        )
    if ranks is not None:
        raise ValueError(
            f"comm: optimizer {solver.method!r} runs in one process; use 'adam' or another first-order one"
        )
    if is_stream(X, y):
        raise ValueError(
            f"X: optimizer {solver.method!r} needs all samples in memory, got a stream; use 'adam' or another"
            " first-order optimizer, or numpy.asarray(X)"
        )


def _check_epochs(epochs: int) -> int:
    """An epoch limit of at least 1."""
    if isinstance(epochs, bool) or not isinstance(epochs, (int, np.integer)):
        raise TypeError(f"epochs: expected a positive integer, got {epochs!r}")
    if epochs < 1:
        raise ValueError(f"epochs: expected at least 1, got {epochs}")
    return int(epochs)


def _check_seed(seed: int) -> int:
    """An integer seed that is not negative."""
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)):
        raise TypeError(f"seed: expected an integer >= 0, got {seed!r}")
    if seed < 0:
        raise ValueError(f"seed: expected an integer >= 0, got {seed}")
    return int(seed)


def _advice(net: MLP, optimizer: Optimizer | None, precision: str | None) -> str:
    """What to try when training diverges."""
    tips = []
    if optimizer is not None:
        tips.append(f"a smaller learning rate (now {optimizer.learning_rate})")
        if optimizer.clip_norm is None:
            tips.append("clip_norm=1.0 in the optimizer")
    tips.append("inputs and targets scaled to about zero mean and unit variance")
    if precision == "float16":
        tips.append("precision='bfloat16', which can hold larger numbers")
    if net.dtype == "float32":
        tips.append("dtype='float64'")
    return ", ".join(tips)
