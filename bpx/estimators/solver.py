"""Training of an estimator: from its parameters and checked data to a trained network and fitted attributes."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from copy import copy
from dataclasses import replace
from functools import partial, wraps
from typing import Any, TypeVar, cast

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.metaestimators import available_if

from bpx.backend.select import to_host
from bpx.errors import DivergenceWarning, warn_caller
from bpx.estimators.callback_protocol import Ticker
from bpx.estimators.early_stopping import EarlyStopping, EpochRate, monitoring, restores, scores, watches_metric
from bpx.formulas.losses import Loss
from bpx.formulas.metrics import METRICS, Metric
from bpx.formulas.optimizers import SGD, Adam, Optimizer
from bpx.formulas.schedules import Schedule
from bpx.network import validation
from bpx.network.mlp import MLP
from bpx.streams.data import Data
from bpx.training import solvers
from bpx.training.array_feed import Order
from bpx.training.assemble import assemble
from bpx.training.callbacks.callback import as_callback
from bpx.training.history import StopReason
from bpx.training.progress import progress_callbacks
from bpx.training.run import Run
from bpx.training.run_config import plain
from bpx.training.run_metrics import RunMetrics, check_metrics, make_run_metrics
from bpx.training.solvers import SciPy
from bpx.training.training_data import check_data

STOCHASTIC = ("sgd", "adam")
F = TypeVar("F", bound=Callable[..., Any])
BUILT_IN = [metric.function for metric in METRICS.values()]


def scipy(est: Any) -> SciPy | None:
    """The parameter ``solver`` as a SciPy method, lbfgs with scikit-learn's limits; None if it is first-order."""
    if isinstance(est.solver, Optimizer) or est.solver in STOCHASTIC:
        return None
    solver = solvers.get(est.solver)
    if est.solver == "lbfgs":
        return SciPy("lbfgs", {"maxfun": est.max_fun, "gtol": est.tol})
    return solver


def stochastic(estimator: Any) -> bool:
    """True for a first-order solver; else an AttributeError, as in scikit-learn."""
    if scipy(estimator) is not None:
        raise AttributeError(
            f"partial_fit is only available for stochastic optimizers. {estimator.solver} is not stochastic."
        )
    return True


def for_stochastic_solvers(method: F) -> F:
    """Decorator of methods that only estimators with a `stochastic` solver have."""
    return cast(F, available_if(stochastic)(method))


def measured(est: Any) -> tuple[Metric, ...]:
    """The metrics to measure: those of the parameter ``metrics``, and the monitored one."""
    metrics = check_metrics(est.metrics)
    missing = watches_metric(est) and est.monitor not in [metric.name for metric in metrics]
    return (*metrics, METRICS[est.monitor]) if missing else metrics


def first_order(est: Any) -> tuple[Optimizer, Schedule, EpochRate | None]:
    """The optimizer, its schedule, and the schedule once more if it is one of scikit-learn's, which epochs change."""
    if isinstance(est.solver, Optimizer):
        if est.clip_norm is not None or isinstance(est.learning_rate, Schedule):
            raise ValueError("with an optimizer object as solver, give clip_norm and the schedule to that object")
        return est.solver, est.solver.schedule, None
    custom = est.learning_rate if isinstance(est.learning_rate, Schedule) else None
    first: Any = custom if custom is not None else est.learning_rate_init
    if est.solver == "adam":
        adam = Adam(first, est.beta_1, est.beta_2, est.epsilon, epsilon_hat=True, clip_norm=est.clip_norm)
        return adam, adam.schedule, None
    sgd = SGD(first, est.momentum, est.nesterovs_momentum, clip_norm=est.clip_norm)
    if custom is not None:
        return sgd, custom, None
    rate = EpochRate(est.learning_rate, est.learning_rate_init, est.power_t)
    return sgd, rate, rate


def batch_size(est: Any, n: int) -> int:
    """Samples per step, clipped to n as in scikit-learn."""
    if est.batch_size == "auto":
        return min(200, n)
    if est.batch_size > n:
        warn_caller("Got `batch_size` less than 1 or larger than sample size. It is going to be clipped", UserWarning)
    return int(np.clip(est.batch_size, 1, n))


def options(est: Any) -> dict[str, Any]:
    """The arguments of `assemble` that are the same for a single fit and for a stack of fits."""
    return {
        "loss": est._loss(), "l2": est.alpha, "l1": est.l1, "per_batch": True, "by_rows": True,
        "precision": est.precision,
    }  # fmt: skip


def train(est: Any, prepared: Any, incremental: bool) -> list[tuple[str, type[Warning]]]:
    """Train on data that are `BaseMLP._prepare`d, and set the fitted attributes.

    Returns the warnings to give afterwards: as errors they would otherwise discard what was learnt.
    """
    net, loss, solver = est._net, est._loss(), scipy(est)
    data = check_data(net, prepared.X, prepared.target, loss, prepared.weight)
    val_data, metric = monitoring(est, prepared.held_out, loss)
    before = len(getattr(est, "loss_curve_", ()))
    hooks = [as_callback(c) for c in (est.callbacks if isinstance(est.callbacks, Iterable) else [])]
    hooks += progress_callbacks(est.progress, (lambda: est.validation_scores_[-1]) if scores(est) else None)
    epochs = 1 if incremental else est.max_iter
    ticker = Ticker(est, epochs)
    hooks += ticker.hooks
    restore = restores(est)
    est.n_iter_ = 0
    if solver is not None and est.clip_norm is not None:
        raise ValueError(f"clip_norm is for first-order solvers, got solver={est.solver!r}")
    resumed = est._resume if incremental and solver is None else None
    if resumed is not None:  # with its optimizer, even if set_params has changed it since, as in scikit-learn
        optimizer, schedule, rate = resumed["optimizer"]
        if rate is not None:
            schedule = rate = copy(rate)
    else:
        optimizer, schedule, rate = first_order(est) if solver is None else (solver, None, None)
    epoch_end = EarlyStopping(est, rate, metric, restore)
    if solver is None and est._resume is not None:
        epoch_end.waited, epoch_end.best = est._resume["waited"], est._resume["best"]
        epoch_end.restores = est.monitor is not None
    n = data.X.shape[0]
    size = batch_size(est, n) if solver is None else n
    training = assemble(
        net, data, optimizer=optimizer, epochs=epochs, batch_size=size, order=_order(est, n, size, prepared.random),
        validation=val_data, **options(est),
        # scikit-learn monitors nothing with a SciPy method, unless the parameter says so.
        stop=[] if solver is not None and est.monitor is None else epoch_end, tolerates_divergence=net.stack is None,
        callbacks=hooks, schedule=schedule, metrics=_run_metrics(est, data, prepared.sample_weight, val_data, loss),
        describe=partial(settings, est),
    )  # fmt: skip
    run, loop = training.run, training.loop
    if resumed is not None:
        _restore(est, resumed, loop, rate)
    ticker.begin(prepared.X, prepared.y, prepared.sample_weight)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DivergenceWarning)
        training.train()
    if loop is not None:
        est._resume = {"optimizer": (optimizer, schedule, rate)} | _kept(net, loop, epoch_end)
    # As in scikit-learn the weights decide, which early stopping may have restored; of restarts one is enough.
    finite = np.all(np.isfinite(net.backend.to_host(net.flat)), axis=-1)
    if run.loss is not None and not restore:  # weights may stay finite where scikit-learn's overflow
        finite = finite & np.isfinite(run.loss)
    if not np.any(finite & ~np.asarray(run.history.diverged)):
        raise ValueError(
            "Solver produced non-finite parameter weights. The input data may contain large values and need to be"
            " preprocessed."
        )
    messages = _late_warnings(est, run, incremental) if solver is None else finish_scipy(est, run)
    if run.history.stop_reason is StopReason.INTERRUPTED:
        messages.append(("Training interrupted by user.", UserWarning))
    est.history_ = run.history
    if run.history.val_loss:
        est.validation_loss_curve_ = [*getattr(est, "validation_loss_curve_", []), *run.history.val_loss]
    keep_metrics(est, run, before)
    if net.stack is not None:
        keep_best(est, run, epoch_end)
    ticker.end()
    return messages


def _late_warnings(est: Any, run: Run, incremental: bool) -> list[tuple[str, type[Warning]]]:
    """scikit-learn's warning if a first-order method has not converged."""
    if run.history.stop_reason is not StopReason.EPOCHS or incremental:
        return []
    late = f"Stochastic Optimizer: Maximum iterations ({est.max_iter}) reached and the optimization hasn't"
    return [(f"{late} converged yet.", ConvergenceWarning)]


def shuffle(rows: np.ndarray[Any, Any], random_state: np.random.RandomState) -> np.ndarray[Any, Any]:
    """The rows in the order that ``sklearn.utils.shuffle`` gives them, whose checks take longer."""
    places = np.arange(len(rows))
    random_state.shuffle(places)
    return rows[places]


def _order(est: Any, n: int, size: int, random: np.random.RandomState) -> Callable[[], Order]:
    """Draws the order of an epoch's rows as scikit-learn."""
    rows = np.arange(n, dtype=np.int64)

    def order() -> Order:
        nonlocal rows
        if est.shuffle:
            rows = shuffle(rows, random_state=random)
        return rows if est.shuffle and size < n else None

    return order


def _restore(est: Any, kept: dict[str, Any], loop: Any, rate: EpochRate | None) -> None:
    """Set the loop to the state in which the last partial_fit left it."""
    net = est._net
    for name in ("schedule_state", "step", "epoch", "samples"):
        setattr(loop, name, kept[name])
    loop.state = {
        name: value if np.isscalar(value) else net.backend.asarray(value) for name, value in kept["state"].items()
    }
    if rate is not None:
        rate.now = kept["rate"]
    if est.precision == "float16" and kept.get("scaling"):
        loop.scaling = {name: net.asarray(value) for name, value in kept["scaling"].items()}


def _kept(net: MLP, loop: Any, epoch_end: EarlyStopping) -> dict[str, Any]:
    """The state from which the next partial_fit continues."""
    scaling = None if net.stack is not None else loop.scaling  # a stack is not continued
    return {
        **{name: getattr(loop, name) for name in ("state", "schedule_state", "step", "epoch", "samples")},
        "rate": None if epoch_end.rate is None else epoch_end.rate.now,
        "scaling": scaling and {name: float(net.backend.to_host(value)) for name, value in scaling.items()},
        "waited": epoch_end.waited,
        "best": epoch_end.best,
    }


def _run_metrics(est: Any, data: Data, sample_weight: Any, val_data: Data | None, loss: Loss) -> RunMetrics | None:
    """The metrics of the run, with sample weights and without class weights; None if there are none."""
    metrics, net = measured(est), est._net
    if not metrics:
        return None
    dtype = net.backend.dtype(net.dtype)
    weight = validation.sample_weights(net.backend, dtype, to_host(sample_weight), data.X.shape[0], net.stack)
    task = est._task()
    if task[0] == "classes":
        metrics = tuple(metric if metric.function in BUILT_IN else _of_class_numbers(metric) for metric in metrics)
    return make_run_metrics(net, metrics, loss, data._replace(weight=weight), val_data, [], task=task)


def _of_class_numbers(metric: Metric) -> Metric:
    """A user's metric, called with class numbers as by `bpx.fit` although estimators train on one-hot rows."""

    @wraps(metric.function)
    def function(y_true: Any, y_pred: Any, **more: Any) -> Any:
        return metric.function(np.argmax(y_true, axis=1), y_pred, **more)

    return replace(metric, function=function)


def settings(est: Any) -> dict[str, Any]:
    """The estimator's parameters as plain values, for logs."""
    return {name: plain(value) for name, value in est.get_params(deep=False).items() if name != "callbacks"}


def finish_scipy(est: Any, run: Run) -> list[tuple[str, type[Warning]]]:
    """Set scikit-learn's attributes after a SciPy method; returns the warnings to give."""
    result = run.solution
    est.n_iter_ = run.epoch if result is None else min(int(result.nit), est.max_iter)
    est.loss_ = float(run.loss if result is None else result.fun)
    if result is None or result.success:
        return []
    more = f"Increase the number of iterations to improve the convergence (max_iter={est.max_iter}).\n"
    more = more if est.n_iter_ == est.max_iter else ""
    failed = (
        f"{est.solver} failed to converge after {est.n_iter_} iteration(s) (status={result.status}):\n"
        f"{result.message}\n\n{more}You might also want to scale the data as shown in:\n"
        "    https://scikit-learn.org/stable/modules/preprocessing.html"
    )
    return [(failed, ConvergenceWarning)]


def keep_metrics(est: Any, run: Run, before: int) -> None:
    """Append this run's metrics to those of the `before` epochs of earlier runs."""
    found, earlier = run.history.metrics, getattr(est, "metrics_", {})
    if not found and not earlier:
        return
    new = len(run.history.loss)
    before = max([before, *map(len, earlier.values())])
    names = dict.fromkeys([*earlier, *found])
    est.metrics_ = {name: _padded(earlier.get(name, []), before) + _padded(found.get(name, []), new) for name in names}


def _padded(values: list[Any], n: int) -> list[Any]:
    """The values, with NaN appended until there are n."""
    return [*values, *[float("nan")] * (n - len(values))]


def keep_best(est: Any, run: Run, epoch_end: EarlyStopping) -> None:
    """Of several restarts, keep the network whose monitored value is best, and its curves."""
    worth = epoch_end.best if epoch_end.restore_best else epoch_end.last
    worth = np.where(np.isfinite(worth) & ~run.history.diverged, worth, -np.inf)
    est.losses_of_restarts_ = np.asarray(run.history.loss)[epoch_end.epochs - 1, np.arange(len(worth))]
    take_member(est, est._net, run, epoch_end, int(np.argmax(worth)))


def take_member(est: Any, stack: MLP, run: Run, epoch_end: EarlyStopping, k: int) -> None:
    """Set an estimator's network and fitted attributes to those of network `k` of a stack."""
    epochs = int(epoch_end.epochs[k])
    losses = np.asarray(run.history.loss)
    est.n_iter_, est.t_ = epochs, epochs * (epoch_end.rows or run.data.X.shape[0])
    est.loss_curve_ = losses[:epochs, k].tolist()
    est.loss_ = est.loss_curve_[-1]
    if run.history.val_loss:
        est.validation_loss_curve_ = np.asarray(run.history.val_loss)[:epochs, k].tolist()
    if run.history.metrics:
        est.metrics_ = {name: np.asarray(v)[:epochs, k].tolist() for name, v in run.history.metrics.items()}
    if est.validation_scores_ is None:
        est.best_loss_ = min(est.loss_curve_)
    else:
        est.validation_scores_ = [float(value[k]) for value in epoch_end.values[:epochs]]
        est.best_validation_score_ = float(epoch_end.best[k])
    est._net = stack.member(k)
    est._resume = None
