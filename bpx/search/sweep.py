"""`bpx.sweep`: a grid of settings trained at once, for networks and estimators."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from bpx.errors.values import check_count
from bpx.network.mlp import MLP
from bpx.search.driver import Search, run
from bpx.search.grid import settings
from bpx.search.networks import NetworkSearch
from bpx.search.sweep_table import SweepTable


def sweep(
    model: Callable[..., MLP] | Any,
    grid: Mapping[str, Iterable[Any]] | Sequence[Mapping[str, Iterable[Any]]],
    X: Any,
    y: Any,
    *,
    cv: Any = None,
    validation: Any = None,
    scoring: str | Callable[..., float] | None = None,
    refit: bool = True,
    stack: int | None = None,
    workers: int | None = None,
    comm: Any = None,
    progress: bool = False,
    **fit_options: Any,
) -> SweepTable:
    """Train and cross-validate every setting of a grid, in stacks of networks; returns a table sorted by score.

    Parameters
    ----------
    model : callable, MLPClassifier or MLPRegressor
        A function that makes a single network, such as ``lambda seed=0, width=50: bpx.MLP([64, width, 10],
        seed=seed)``; or an estimator, which is cloned.
    grid : dict of str to list, or a list of such dicts
        For an estimator its parameters, as for ``GridSearchCV``. For networks arguments of `bpx.fit` (loss, optimizer,
        epochs, batch_size, sampling, l2, class_weight, precision), hyperparameters of the optimizer (learning_rate,
        momentum, ...; with a schedule, learning_rate is its first rate); all other names are arguments of `model`.
    X : array or SciPy sparse matrix of shape (n, n_in)
        Inputs.
    y : array of shape (n,) or (n, n_out)
        Targets.
    cv : int, splitter or list of (train, test) rows, optional
        Folds; an int means those of ``StratifiedKFold`` for classes, else of ``KFold``. 5 by default.
    validation : float, or (X_val, y_val), optional
        Used in place of folds: a share of the rows to hold out once, or separate data.
    scoring : str or callable, optional
        A metric of `bpx.fit`, such as "auc" or "rmse"; one that is better when smaller is negated, and so called
        ("neg_rmse"). For networks also "neg_loss" or ``f(net, X, y)``, larger is better; by default accuracy if the
        loss is for classes, else minus the loss. For an estimator also whatever scikit-learn accepts.
    refit : bool
        Whether to train the best setting once more, on all rows.
    stack : int, optional
        Largest number of networks trained at once. By default as many as need 8 MiB on NumPy, about the size of a
        cache, but at least 8; on other backends as many as need 1 GiB.
    workers : int, optional
        Number of threads that train stacks. By default one per processor on NumPy if threadpoolctl, which comes with
        scikit-learn, is installed and can keep BLAS from using threads; else 1.
    comm : {"mpi"} or an mpi4py communicator, optional
        Distribute the stacks over the ranks of an MPI job; all get the whole table. All have to pass the same
        arguments.
    progress : bool
        Whether to write a line to standard error for each stack that is done.
    **fit_options
        For networks: loss, optimizer, epochs, batch_size, sampling, l2, class_weight, precision, sample_weight, stop
        and seed (of the batch order), as for `bpx.fit`. For an estimator: sample_weight. Scores use sample_weight, too,
        if their function has such an argument.

    Returns
    -------
    SweepTable
        Print it, or use ``.rows``, ``.best``, ``.best_score``, ``.best_net`` or ``.best_estimator``, ``.cv_results_``,
        ``.to_dict()``.

    Raises
    ------
    TypeError, ValueError
        If `grid` is no grid, a name is unknown, or `bpx.fit` would raise; before anything is trained.

    Warns
    -----
    DivergenceWarning
        Once, if settings diverged: their score is NaN, and they are last in the table.

    Notes
    -----
    A network in a stack is trained on the same rows in the same batches as it would be alone: held-out rows of a fold
    are never used, and each network of a stack has its own rows. Scores agree with those of `bpx.fit` (for an estimator
    of ``GridSearchCV``) up to rounding, for any batch size.

    Learning rate, l2, other numeric hyperparameters of the optimizer, seeds and folds can differ within a stack.
    Whatever changes the network or its batches (sizes, activations, dropout, batch size, kind of optimizer or schedule)
    splits the grid into several stacks. SciPy's methods train one network at a time.

    A stack is trained until its last network is done; those that stop earlier keep their parameters.

    Examples
    --------
    >>> import bpx, numpy as np
    >>> X = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]] * 5)
    >>> y = (X[:, 0] != X[:, 1]).astype(int)
    >>> make = lambda seed: bpx.MLP([2, 8, 2], hidden="tanh", seed=seed, backend="numpy")
    >>> table = bpx.sweep(make, {"learning_rate": [1e-5, 0.1], "seed": [0, 1]}, X, y, cv=2, epochs=60, batch_size=4)
    >>> table.best["learning_rate"], table.best_score
    (0.1, 1.0)
    """
    listed = settings(grid)
    for name, count in (("stack", stack), ("workers", workers)):
        if count is not None:
            check_count(name, count, otherwise=" or None")
    if isinstance(model, MLP):
        raise TypeError(
            "expected a function that makes a network for each setting, got a network; write lambda: MLP(...)"
        )
    search: Callable[..., Search] = NetworkSearch
    if hasattr(model, "get_params") and not isinstance(model, type):
        from bpx.search.estimators import EstimatorSearch  # scikit-learn takes time to import

        search = EstimatorSearch
    elif not callable(model) or (isinstance(model, type) and model is not MLP):
        raise TypeError(f"expected a function that makes a network, or a bpx estimator, got {model!r:.80}")
    else:
        NetworkSearch.check_options(fit_options)

    make = partial(
        search, model, listed, X, y, cv=cv, validation=validation, scoring=scoring, refit=refit, stack=stack,
        options=fit_options,
    )  # fmt: skip
    with np.errstate(all="ignore"):  # scores of diverged networks overflow
        return run(make, listed, refit=refit, workers=workers, comm=comm, progress=progress)
