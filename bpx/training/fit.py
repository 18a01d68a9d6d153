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


def _attempt(arguments: Mapping[str, Any]) -> memory.Attempt:
    """What was attempted, if memory ran out neither in a step nor in an evaluation."""
    rows, size = memory.rows_of(arguments["X"]), arguments["batch_size"]
    rows = rows if size is None else size if rows is None else min(rows, size)
    return memory.step(rows, "give a smaller batch, such as batch_size={rows}", doing="in bpx.fit")


@memory.explains_memory_errors(_attempt)
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
        On the host, or on the network's backend and device; copied there once, in the network's dtype. Sparse rows
        become dense batch by batch. Memory maps, zarr, dask and HDF5 arrays and iterables of batches are read during
        training, and need not fit into memory.
    y : array of shape (n, n_out), or (n,) for one output or integer class labels
        Targets; None if X is a stream or an iterable of batches, which contain them.
    loss : str, Loss or function
        squared_error, absolute_error, huber, quantile, binary_cross_entropy, cross_entropy, poisson, or your own.
    optimizer : str, Optimizer or SciPy
        sgd, rmsprop, adagrad, adam, adamw; or SciPy's cg, lbfgs, bfgs, newton-cg, tnc, slsqp, trust-constr, which use
        the full batch. For a stack of K networks every hyperparameter may be a list of K.
    epochs : int
        Largest number of passes over the data (of iterations, for SciPy's methods).
    batch_size : int or None
        Samples per step: 1 is online learning, None the full batch. With fewer samples an epoch is a single step, so
        small data need a smaller batch or more epochs. SciPy's methods always use the full batch. For an iterable of
        batches None uses each as it comes.
    sampling : {"shuffle", "sequential", "replacement"}
        A new order each epoch, the stored order, or n random draws with replacement. For streams see `bpx.stream`.
    l2 : float, or K floats for a stack
        Adds l2/2 times the sum of squared weights (without biases, not divided by the batch size) to the loss.
    sample_weight : array of shape (n,), or (K, n) for a stack, optional
        Not negative, not all zero.
    class_weight : dict of int to float, or "balanced", optional
        Weight of the samples of each class, 1 by default; "balanced" is n / (number of classes * samples of the class).
    validation : (X, y), (X, y, sample_weight), stream, or float, optional
        Validation data, on which the loss without penalty is recorded after each epoch. 0.2 holds out a fifth of the
        rows, drawn with `seed` (for class targets a fifth of each class); their indices are
        ``history.validation_rows``. If the order of the rows matters, as in a time series, give (X_val, y_val).
    stop : StopRule or list of them
        See `bpx.stop`.
    callbacks : list of Callback or functions f(run)
        Functions are called after each epoch, and end training by returning True. `bpx.callbacks` has loggers.
    progress : bool or int
        Shown on standard error: True is a bar in terminals and notebooks if tqdm is installed (extra ``progress``),
        else about ten lines; a number is a line every that many epochs.
    seed : int
        Seed of the batch order and, together with the network's seed, of the dropout masks.
    checkpoint : str or path-like, optional
        File from which another process can continue as if this one had not ended; the checkpoint before it is kept
        with ``.previous`` after its name. Also written on Ctrl-C or SIGTERM (on Windows Ctrl-Break), and at the end.
        First-order optimizers only.
    checkpoint_every, checkpoint_steps : int or None
        Epochs, and steps, between two checkpoints; None: no checkpoints by that count.
    resume : bool
        Continue from `checkpoint` if it exists, with the same data and arguments (`epochs` may be larger): parameters,
        history and predictions are then those of a run that never stopped. Callbacks start afresh. Different data are
        an error; changed hyperparameters (learning rate, l2, class weights, ...) are used, with a warning.
    comm : "mpi" or mpi4py communicator, optional
        Train with all processes that ``mpiexec -n 4 python -m mpi4py script.py`` has started (extra ``mpi``): each
        computes its share of every batch, and their sum is the step of a single process. All have to pass the same
        arguments and data, or ``bpx.stream(batches, sharded=True)`` with rows of their own. Stopping rules, callbacks,
        progress and checkpoints are those of rank 0.
    precision : {"tf32", "float16", "bfloat16"}, optional
        Lower precision of a float32 network's steps, for GPUs; None computes in the network's dtype, with TF32 turned
        off. "tf32" rounds the operands of products to 10 bits, if the GPU has TF32. The other two also store inputs,
        activations and their gradients in 16 bits; parameters, their gradients, the loss and the optimizer's state
        stay float32. See Notes.
    metrics : list of str and functions, or dict of name to either, optional
        Measured after each epoch, for ``history.metrics`` and all logs: accuracy, balanced_accuracy, auc, log_loss for
        classes, r2, mae, rmse for numbers, or your own ``f(y_true, y_pred) -> float`` of host arrays. ``"val_"`` before
        a name means the validation data, as in ``bpx.stop.Patience("val_auc")``. See Notes.

    Returns
    -------
    History
        ``loss``, ``val_loss`` and ``metrics`` of each epoch, ``stop_reason``, ``epochs``, ``seconds`` and more.

    Raises
    ------
    ShapeError, NonFiniteError, TypeError, ValueError, DeviceMismatchError, NotDifferentiableError
        If an argument or the data are not as described, before any parameter has changed.
    ImportError
        If a package for `precision` or `comm` is missing; names the extra.
    FileFormatError
        If `resume` finds only damaged checkpoints, or `checkpoint` is a file of another kind.
    FileNotFoundError
        If the folder of `checkpoint` does not exist.
    RankFailedError
        If another process of `comm` failed; contains its error.
    MemoryError
        If memory ran out, on the device or the host; says in what, how much is needed and free, and what to do.
        Parameters are those before the failed step, and checkpoints stay valid.

    Warns
    -----
    DivergenceWarning
        If the loss or a parameter was no longer finite: the last finite parameters are restored.
    UserWarning
        If a resumed run has other hyperparameters than its checkpoint, or a metric is NaN because it is not defined for
        the targets, such as auc if all rows are of one class.
    RuntimeWarning
        If a checkpoint could not be written, or the one before it is read because the last is damaged.

    Notes
    -----
    Ctrl-C ends training and keeps the network as it is after the last step; with `comm` it ends every process.

    On NumPy, kernels in C compute where they were compiled (``bpx info`` says whether); with ``BPX_KERNELS=numpy`` in
    the environment NumPy alone does, with ``BPX_KERNELS=reference`` the formulas do.

    Metrics are defined as in scikit-learn (auc of several classes is the mean of each class against the rest, of
    several yes/no outputs the mean over outputs), with sample weights and without class weights. Metrics on the
    training data cost a forward pass over all rows after each epoch, about a third of its time, and are left out if
    the data are a stream; metrics on validation data are measured for streams, too, with all outputs in host memory.
    The targets decide what is measured: several 0/1 columns with exactly one 1 in each row are classes (the largest
    output is predicted), others are independent labels (predicted above 0.5; accuracy is the share of rows with all
    labels right). For this a stream's targets are read before training, as long as they can change the result: give
    integer labels for classes. Your own function gets y_true as in training, integer labels (n,) or (n, n_out), and
    y_pred as from `bpx.predict`, (n, n_out); and ``sample_weight``, (n,) or None, if it has an argument of that name.
    For a stack it is called for each network.

    A lower `precision` trades the accuracy of a step for speed and memory on a GPU. On a CPU "tf32" is float32, and the
    other two give the same numbers as on a GPU (up to rounding), slowly. ``val_loss``, `predict` and everything else
    outside a step are computed in float32; ``loss`` is as the steps computed it. With "float16" gradients are scaled,
    and a step whose gradient overflows is skipped (`bpx.formulas.precision`); numbers beyond 65 504 cannot be stored.
    "bfloat16" has float32's range and needs the extra ``bfloat16`` except on PyTorch. Largest differences to float32:

    ========== ======== ============= ======== ==================== ================================
    precision  rounding loss of batch gradient gradient, with relu  share of held-out digits right
    ========== ======== ============= ======== ==================== ================================
    "tf32"     2^-10    5e-3          1e-2     3e-2                 0.01
    "float16"  2^-11    1e-3          1e-3     3e-2                 0.01
    "bfloat16" 2^-8     5e-3          1e-2     1e-1                 0.01
    ========== ======== ============= ======== ==================== ================================

    Differences of loss and gradient are relative, of networks with up to three layers: for gradients in the norm, and
    largest with relu, where a pre-activation near 0 may change its sign. Those of "tf32" hold for a GPU
    that cuts the operands' last bits off, too. The last column is absolute, of 64-100-10 after 8 epochs.
    """
    training = assemble(
        net, X, y, loss=loss, optimizer=optimizer, epochs=epochs, batch_size=batch_size, sampling=sampling, l2=l2,
        sample_weight=sample_weight, class_weight=class_weight, validation=validation, stop=stop, callbacks=callbacks,
        progress=progress, seed=seed, checkpoint=checkpoint, checkpoint_every=checkpoint_every,
        checkpoint_steps=checkpoint_steps, resume=resume, comm=comm, precision=precision, metrics=metrics,
    )  # fmt: skip
    return training.train()
