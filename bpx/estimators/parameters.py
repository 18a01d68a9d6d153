"""The parameters of both estimators: what is allowed beyond scikit-learn's own, and what each means."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from numbers import Integral, Real
from typing import Any, Literal, TypeVar, cast

import numpy as np
from sklearn.base import _fit_context
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.metaestimators import available_if

from bpx.activations import ACTIVATIONS, Activation, HiddenName
from bpx.errors.wrong_calls import named
from bpx.estimators.callback_protocol import with_callbacks
from bpx.estimators.solver import STOCHASTIC, scipy
from bpx.formulas.metrics import METRICS, MetricName
from bpx.formulas.precision import PRECISIONS
from bpx.optimizers import Optimizer
from bpx.schedules import Schedule
from bpx.training.callbacks.base import Callback
from bpx.training.run import Run
from bpx.training.solvers import METHODS, MethodName, SciPy

# What the constructors take, for type checkers; what they check is below.
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
# What may be given beyond scikit-learn's own constraints.
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
        Neurons of each hidden layer.
    activation : str or Activation, or a list with one per hidden layer, default="relu"
        identity, logistic, tanh, relu, and bpx's others.
    solver : {"adam", "sgd", "lbfgs"}, SciPy method, Optimizer or SciPy, default="adam"
        scikit-learn's three behave as there; "cg" and the like are SciPy's, an object is used as it is.
    alpha : float, default=0.0001
        L2 penalty, divided by the batch's number of samples (sum of weights).
    batch_size : int or "auto", default="auto"
        "auto" is min(200, n).
    learning_rate : {"constant", "invscaling", "adaptive"} or Schedule, default="constant"
        The three are for "sgd"; a bpx schedule is followed by "sgd" and "adam".
    learning_rate_init : float, default=0.001
        First learning rate.
    power_t : float, default=0.5
        Exponent of "invscaling".
    max_iter : int, default=200
        Epochs at most (iterations for SciPy's methods).
    shuffle : bool, default=True
        Whether each epoch has a new order.
    random_state : int, RandomState or None, default=None
        Of initial weights, order and validation split: the same draws as scikit-learn's.
    tol : float, default=1e-4
        Smallest improvement that counts.
    verbose : bool, default=False
        Print the loss of each epoch.
    warm_start : bool, default=False
        Go on from the last fit's weights.
    momentum : float, default=0.9
        For "sgd".
    nesterovs_momentum : bool, default=True
        For "sgd".
    early_stopping : bool, default=False
        Hold out a part and stop when its score does not improve; the best weights are restored.
    validation_fraction : float, default=0.1
        That part.
    beta_1, beta_2 : float, default=0.9 and 0.999
        Decay of "adam"'s moments.
    epsilon : float, default=1e-8
        For "adam".
    n_iter_no_change : int, default=10
        Epochs without improvement before training stops.
    max_fun : int, default=15000
        Evaluations at most, for "lbfgs".
    backend : str, module, Backend or None, default=None
        Where to compute; None is the device of the data, or for host data the backend in force.
    device : int, str, device object or None, default=None
        Goes behind the backend's name (``backend="cupy", device=1``), or is one of the backend module's.
    dtype : {"float32", "float64"} or None, default=None
        Of the network; None is that of the data, as in scikit-learn.
    output_activation : str, Activation or None, default=None
        None is the one that belongs to the targets.
    dropout : float, or list or array with one per hidden layer, default=0.0
        Share of a hidden layer's outputs dropped in training.
    l1 : float, default=0.0
        L1 penalty, divided like `alpha`.
    clip_norm : float or None, default=None
        Largest norm of the gradient, for "sgd" and "adam".
    monitor : {"loss", "validation_loss", "validation_score"}, a metric, callable or None, default=None
        What decides when to stop, after `n_iter_no_change` epochs. A metric such as "auc" is that of the validation
        data; one of which less is better counts negative. A callable is given the run, and larger is better. None is
        scikit-learn's choice.
    restore_best : bool, default=True
        With `monitor`: whether the best epoch's weights are restored.
    callbacks : list or None, default=None
        bpx callbacks, or functions of the run.
    progress : bool or int, default=False
        On standard error: True is a bar in terminals and notebooks where tqdm is installed, else about ten lines; a
        number is a line every that many epochs.
    n_init : int, default=1
        Restarts of `fit`, trained at once as a stack; the best is kept. Not for SciPy's methods; `partial_fit` has one.
    predict_batch_size : int or None, default=None
        Rows per forward pass in prediction, to bound memory; None is all.
    precision : {"tf32", "float16", "bfloat16"} or None, default=None
        Of training's steps on a GPU, for ``dtype="float32"`` and first-order solvers, as in `bpx.fit`; None is the
        dtype's own.
    metrics : list of str and functions, dict of name to either, or None, default=None
        Measured after each epoch, as in `bpx.fit`. A function ``f(y_true, y_pred)`` is given the network's targets and
        its outputs: numbers of classes, as ``classes_`` has them, and probabilities of shape (n, classes); columns of 0
        and 1 for two classes and several labels; columns of numbers in regression.
"""
ATTRIBUTES = """
    Attributes
    ----------
    coefs_, intercepts_ : lists of arrays of shape (n_in, n_out) and (n_out,)
        Views of the weights: writing into one, or replacing one, changes the model. Host data have NumPy arrays
        here: after a fit on another library or device they are read-only copies, and replacing one changes the model.
    loss_, best_loss_, loss_curve_, n_iter_, t_ : float, float, list, int, int
        As in scikit-learn.
    validation_scores_, best_validation_score_ : list and float, or None
        With early stopping, or a monitored score or metric.
    validation_loss_curve_ : list of float
        Loss on the validation data after each epoch, where there are any.
    metrics_ : dict of str to list of float
        What `metrics` asks for, after each epoch: ``metrics_["auc"]`` of the training data, ``metrics_["val_auc"]`` of
        the validation data; and what callbacks recorded.
    n_layers_, n_outputs_, out_activation_, n_features_in_, feature_names_in_
        As in scikit-learn.
    backend_, device_ : str
        What the last fit really ran on.
    history_ : History
        bpx's record of the last fit.
    losses_of_restarts_ : array of shape (n_init,)
        What each restart reached, with ``n_init > 1``.
"""

FIT = """
        Parameters
        ----------
        X : array-like or sparse matrix of shape (n, n_features)
            On the host, or a device array of the backend.
        y : array-like
            Targets.
        sample_weight : array-like of shape (n,), optional
            Not negative.
        X_val, y_val, sample_weight_val : array-like, optional
            Validation data; their loss is recorded in ``validation_loss_curve_``.

        Returns
        -------
        self
"""


def stochastic(estimator: Any) -> bool:
    """partial_fit exists for first-order solvers only."""
    if scipy(estimator) is not None:
        raise AttributeError(
            f"partial_fit is only available for stochastic optimizers. {estimator.solver} is not stochastic."
        )
    return True


def fitting(method: F) -> F:
    """A method that fits, after scikit-learn's check of the parameters and heard by its callbacks; its type stays."""
    explaining = named(f"bpx.{method.__qualname__}", f"an estimator's {method.__name__}")
    return cast(F, with_callbacks(_fit_context(prefer_skip_nested_validation=True)(explaining(method))))


def for_stochastic_solvers(method: F) -> F:
    """A method that is there where `stochastic` allows it; its type stays."""
    return cast(F, available_if(stochastic)(method))


def store(estimator: Any, arguments: dict[str, Any]) -> None:
    """Keep every constructor argument under its own name, as scikit-learn's conventions want it."""
    for name, value in arguments.items():
        if name not in {"self", "__class__"}:
            setattr(estimator, name, value)
