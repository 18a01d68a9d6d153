"""`bpx.sweep`: a grid of settings trained at once, for networks and for estimators."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
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
    """Train every setting of a grid, cross-validated, as stacks of networks; a table sorted by score.

    Parameters
    ----------
    model : callable, MLPClassifier or MLPRegressor
        A function that makes a single network, such as ``lambda seed=0, width=50: bpx.MLP([64, width, 10],
        seed=seed)``; or an estimator, which is cloned.
    grid : dict of str to list, or a list of such dicts
        For an estimator its parameters, as for ``GridSearchCV``. Otherwise arguments of `bpx.fit` (loss, optimizer,
        epochs, batch_size, sampling, l2, class_weight, precision), hyperparameters of the optimizer (learning_rate,
        momentum, ...; with a schedule, learning_rate is its first rate), and all other names are arguments of `model`.
    X : array or SciPy sparse matrix of shape (n, n_in)
        Inputs.
    y : array of shape (n,) or (n, n_out)
        Targets.
    cv : int, splitter or list of (train, test) rows, optional
        Folds; an int gives those of ``StratifiedKFold`` for classes and of ``KFold`` else. By default 5.
    validation : float, or (X_val, y_val), optional
        In place of folds: a share of the rows to hold out once, or data of their own.
    scoring : str or callable, optional
        A metric of `bpx.fit`, such as "auc" or "rmse"; those of which less is better count negative, and are called so
        ("neg_rmse"). For networks also "neg_loss" or ``f(net, X, y)`` where larger is better; by default accuracy for
        losses of classes, else minus the loss. For an estimator also whatever scikit-learn takes.
    refit : bool
        Whether to train the best setting once more, on all rows.
    stack : int, optional
        Networks trained at once at most. By default as many as take 8 MiB on NumPy, about what caches hold, but at
        least 8; elsewhere as many as take 1 GiB.
    workers : int, optional
        Threads that each train stacks. By default one for each processor on NumPy where threadpoolctl (it comes with
        scikit-learn) is installed, which keeps BLAS from starting its own; else 1.
    comm : {"mpi"} or an mpi4py communicator, optional
        Split the stacks across the ranks of an MPI job; all get the whole table. All must give the same arguments.
    progress : bool
        A line on standard error for each stack that is done.
    **fit_options
        For networks: loss, optimizer, epochs, batch_size, sampling, l2, class_weight, precision, sample_weight, stop
        and seed (of the batch order), as for `bpx.fit`. For an estimator: sample_weight. Scores are weighted with
        sample_weight too, where their function takes it.

    Returns
    -------
    SweepTable
        Print it, or use ``.rows``, ``.best``, ``.best_score``, ``.best_net`` or ``.best_estimator``, ``.cv_results_``,
        ``.to_dict()``.

    Raises
    ------
    TypeError, ValueError
        For what is no grid, unknown names, and whatever `bpx.fit` refuses: before anything is trained.

    Warns
    -----
    DivergenceWarning
        Once, if settings diverged: their score is NaN, and they are last.

    Notes
    -----
    A training in a stack sees the same rows in the same batches as it would alone: a fold's held-out rows are never
    gathered, and each network of a stack has its own rows. Scores are those of `bpx.fit` (of ``GridSearchCV`` for an
    estimator) to rounding, with batches of any size.

    Learning rate, l2, other numeric hyperparameters of the optimizer, seeds and folds differ inside a stack. What
    changes the network or its batches (sizes, activations, dropout, batch size, kind of optimizer or schedule) splits
    the grid into several stacks. SciPy's methods train one network at a time.

    A stack trains until its last network is done; those that stopped before keep the parameters they had then.

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

    def checked() -> Search:
        return search(
            model, listed, X, y, cv=cv, validation=validation, scoring=scoring, refit=refit, stack=stack,
            options=fit_options,
        )  # fmt: skip

    with np.errstate(all="ignore"):  # in scores, too
        return run(checked, listed, refit=refit, workers=workers, comm=comm, progress=progress)
