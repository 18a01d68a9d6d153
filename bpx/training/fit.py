"""`bpx.fit`: train a network."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from typing import Any, Literal

from bpx.formulas.losses import LossLike
from bpx.formulas.optimizers import Optimizer, OptimizerName
from bpx.formulas.precision import Precision
from bpx.network import memory
from bpx.network.mlp import MLP
from bpx.streams.stream import Stream
from bpx.training.array_feed import Sampling
from bpx.training.assemble import assemble
from bpx.training.callbacks.callback import Callback
from bpx.training.history import History
from bpx.training.run import Run
from bpx.training.run_metrics import MetricsLike
from bpx.training.solvers import MethodName, SciPy
from bpx.training.stopping import StopRule


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
    training = assemble(
        net, X, y, loss=loss, optimizer=optimizer, epochs=epochs, batch_size=batch_size, sampling=sampling, l2=l2,
        sample_weight=sample_weight, class_weight=class_weight, validation=validation, stop=stop, callbacks=callbacks,
        progress=progress, seed=seed, checkpoint=checkpoint, checkpoint_every=checkpoint_every,
        checkpoint_steps=checkpoint_steps, resume=resume, comm=comm, precision=precision, metrics=metrics,
    )  # fmt: skip
    return training.train()
