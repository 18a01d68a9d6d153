"""The parameters of both estimators: their types, constraints beyond scikit-learn's, and docstrings."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from numbers import Integral, Real
from typing import Any, Literal, TypeVar, cast

import numpy as np
from sklearn.base import _fit_context
from sklearn.utils._param_validation import Interval, StrOptions

from bpx.activations import ACTIVATIONS, Activation, HiddenName
from bpx.errors.hints import named
from bpx.estimators.callback_protocol import with_callbacks
from bpx.estimators.solver import STOCHASTIC
from bpx.formulas.metrics import METRICS, MetricName
from bpx.formulas.precision import PRECISIONS
from bpx.optimizers import Optimizer
from bpx.schedules import Schedule
from bpx.training.callbacks.callback import Callback
from bpx.training.run import Run
from bpx.training.solvers import METHODS, MethodName, SciPy

# Types of the constructors' arguments, for type checkers; fit checks them by the constraints below.
Hidden = int | Sequence[int] | np.ndarray[Any, Any]
HiddenActivations = HiddenName | Activation | Sequence[HiddenName | Activation]
Solver = Literal["adam", "sgd"] | MethodName | Optimizer | SciPy
BatchSize = int | Literal["auto"]
Rate = Literal["constant", "invscaling", "adaptive"] | Schedule
Monitor = Literal["loss", "validation_loss", "validation_score"] | MetricName | Callable[[Run], Any] | None

Callbacks = Sequence[Callback | Callable[[Run], Any]] | None
ClassWeight = Mapping[Any, float] | Sequence[Mapping[Any, float]] | Literal["balanced"] | None

F = TypeVar("F", bound=Callable[..., Any])

HIDDEN = {name for name, a in ACTIVATIONS.items() if a.differentiable and not a.output_only}
OUTPUT = {name for name, a in ACTIVATIONS.items() if a.differentiable}
# Constraints of parameters that scikit-learn does not have, or for which it allows less.
MORE: dict[str, Any] = {
    "activation": [StrOptions(HIDDEN), list, tuple, Activation],
    "solver": [StrOptions({*STOCHASTIC, *METHODS}), Optimizer, SciPy],
    "learning_rate": [StrOptions({"constant", "invscaling", "adaptive"}), Schedule],
    "backend": [object],
    "device": [object],
    "dtype": [StrOptions({"float32", "float64"}), None],
    "output_activation": [StrOptions(OUTPUT), Activation, None],
    "dropout": [Interval(Real, 0, 1, closed="left"), list, tuple, np.ndarray],
    "l1": [Interval(Real, 0, None, closed="left")],
    "clip_norm": [Interval(Real, 0, None, closed="neither"), None],
    "monitor": [StrOptions({"loss", "validation_loss", "validation_score", *METRICS}), callable, None],
    "metrics": [str, list, tuple, dict, callable, None],
    "restore_best": ["boolean"],
    "callbacks": [list, tuple, None],
    "progress": ["boolean", Interval(Integral, 1, None, closed="left")],
    "n_init": [Interval(Integral, 1, None, closed="left")],
    "precision": [StrOptions(set(PRECISIONS)), None],
    "predict_batch_size": [Interval(Integral, 1, None, closed="left"), None],
}

SHARED = """
    hidden_layer_sizes : array-like of int, default=(100,)
        Number of neurons in each hidden layer.
    activation : str or Activation, or a list with one per hidden layer, default="relu"
        identity, logistic, tanh, relu, or another activation of bpx.
    solver : {"adam", "sgd", "lbfgs"}, SciPy method, Optimizer or SciPy, default="adam"
        scikit-learn's three behave as in scikit-learn; others such as "cg" are SciPy's; an object is used as it is.
    alpha : float, default=0.0001
        L2 penalty, divided by the batch's number of samples (sum of weights).
    batch_size : int or "auto", default="auto"
        Samples per step; "auto" is min(200, n).
    learning_rate : {"constant", "invscaling", "adaptive"} or Schedule, default="constant"
        The names are for "sgd"; a schedule of bpx is for "sgd" and "adam".
    learning_rate_init : float, default=0.001
        Initial learning rate.
    power_t : float, default=0.5
        Exponent of "invscaling".
    max_iter : int, default=200
        Largest number of epochs (of iterations for SciPy's methods).
    shuffle : bool, default=True
        Whether each epoch has a new order.
    random_state : int, RandomState or None, default=None
        Seed of initial weights, order and validation split, which are drawn as in scikit-learn.
    tol : float, default=1e-4
        Smallest improvement that counts.
    verbose : bool, default=False
        Whether to print the loss of each epoch.
    warm_start : bool, default=False
        Whether `fit` continues from the weights of the last fit.
    momentum : float, default=0.9
        For "sgd".
    nesterovs_momentum : bool, default=True
        For "sgd".
    early_stopping : bool, default=False
        Whether to hold out a part of the data, to stop when its score no longer improves, and to restore the best
        weights.
    validation_fraction : float, default=0.1
        Share of the data held out by `early_stopping`.
    beta_1, beta_2 : float, default=0.9 and 0.999
        Decay rates of the moments of "adam".
    epsilon : float, default=1e-8
        For "adam".
    n_iter_no_change : int, default=10
        Number of epochs without improvement after which training stops.
    max_fun : int, default=15000
        Largest number of evaluations, for "lbfgs".
    backend : str, module, Backend or None, default=None
        Where to compute; None is the device of the data, or for host data the current backend.
    device : int, str, device object or None, default=None
        Device of the backend, as in ``backend="cupy", device=1``; or a device object of the backend's module.
    dtype : {"float32", "float64"} or None, default=None
        Of the network; None is the dtype of the data, as in scikit-learn.
    output_activation : str, Activation or None, default=None
        None is the one for the kind of targets.
    dropout : float, or list or array with one per hidden layer, default=0.0
        Share of a hidden layer's outputs that are set to 0 in training.
    l1 : float, default=0.0
        L1 penalty, divided like `alpha`.
    clip_norm : float or None, default=None
        Largest norm of the gradient, for "sgd" and "adam".
    monitor : {"loss", "validation_loss", "validation_score"}, a metric, callable or None, default=None
        The value that decides when to stop. A metric such as "auc" is measured on the validation data, and negated if
        less is better. A callable takes the run and returns a number, larger is better. None is as in scikit-learn.
    restore_best : bool, default=True
        With `monitor`: whether to restore the weights of the best epoch.
    callbacks : list or None, default=None
        Callbacks of bpx, or functions of the run.
    progress : bool or int, default=False
        Shown on standard error: True is a bar in terminals and notebooks if tqdm is installed, else about ten lines; a
        number is a line every that many epochs.
    n_init : int, default=1
        Number of restarts of `fit`, trained at once as a stack; the best is kept. Not for SciPy's methods, nor for
        `partial_fit`, which makes one network.
    predict_batch_size : int or None, default=None
        Rows per forward pass in prediction, to limit memory; None is all.
    precision : {"tf32", "float16", "bfloat16"} or None, default=None
        Lower precision of steps on a GPU, for ``dtype="float32"`` and first-order solvers, as in `bpx.fit`; None is
        that of the dtype.
    metrics : list of str and functions, dict of name to either, or None, default=None
        Measured after each epoch, as in `bpx.fit`. Your own ``f(y_true, y_pred)`` gets the network's targets and
        outputs: for several classes their indices in ``classes_`` and probabilities (n, classes), for two classes and
        for several labels columns of 0 and 1 and of probabilities, in regression columns of numbers.
"""
ATTRIBUTES = """
    Attributes
    ----------
    coefs_, intercepts_ : lists of arrays of shape (n_in, n_out) and (n_out,)
        Views of the weights: writing into one, or replacing one, changes the model. After a fit on host data with a
        backend other than NumPy they are read-only NumPy copies; replacing one changes the model.
    loss_, best_loss_, loss_curve_, n_iter_, t_ : float, float, list, int, int
        As in scikit-learn.
    validation_scores_, best_validation_score_ : list and float, or None
        With early stopping, or a monitored score or metric.
    validation_loss_curve_ : list of float
        Loss on the validation data after each epoch, if there are any.
    metrics_ : dict of str to list of float
        The `metrics` after each epoch, ``metrics_["auc"]`` on the training data and ``metrics_["val_auc"]`` on the
        validation data; and values that callbacks recorded.
    n_layers_, n_outputs_, out_activation_, n_features_in_, feature_names_in_
        As in scikit-learn.
    backend_, device_ : str
        Backend and device of the last fit.
    history_ : History
        bpx's record of the last fit.
    losses_of_restarts_ : array of shape (n_init,)
        The last loss of each restart, with ``n_init > 1``.
"""

FIT = """
        Parameters
        ----------
        X : array-like or sparse matrix of shape (n, n_features)
            Inputs, on the host, or a device array of the backend.
        y : array-like of shape (n,) or (n, n_outputs)
            Targets.
        sample_weight : array-like of shape (n,), optional
            Not negative.
        X_val, y_val, sample_weight_val : array-like, optional
            Validation data; their loss is recorded in ``validation_loss_curve_``.

        Returns
        -------
        self
"""


def fitting(method: F) -> F:
    """Decorator of methods that fit: scikit-learn's check of the parameters, its callbacks, and clear wrong calls."""
    explaining = named(f"bpx.{method.__qualname__}", f"an estimator's {method.__name__}")
    return cast(F, with_callbacks(_fit_context(prefer_skip_nested_validation=True)(explaining(method))))


def store(estimator: Any, arguments: dict[str, Any]) -> None:
    """Set every argument of the constructor as an attribute, as scikit-learn's conventions require."""
    for name, value in arguments.items():
        if name not in {"self", "__class__"}:
            setattr(estimator, name, value)
