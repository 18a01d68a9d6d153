"""scikit-learn's multilayer perceptrons, drop-in, with what scikit-learn declines."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, final

import numpy as np
from sklearn.base import ClassifierMixin, RegressorMixin, _fit_context
from sklearn.metrics import accuracy_score, r2_score
from sklearn.neural_network import MLPClassifier as _ScikitClassifier
from sklearn.neural_network import MLPRegressor as _ScikitRegressor
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted, column_or_1d

from bpx.backend.base import library_of
from bpx.faces.callback_protocol import with_callbacks
from bpx.faces.fitting import STOCHASTIC, BaseMLP, _to_host
from bpx.faces.labels import Labels
from bpx.formulas import losses
from bpx.formulas.activations import ACTIVATIONS, Activation
from bpx.formulas.losses import LOSSES, Loss
from bpx.formulas.optimizers import Optimizer
from bpx.formulas.schedules import Schedule
from bpx.training.solvers import METHODS, SciPy

__all__ = ["MLPClassifier", "MLPRegressor"]

HostArray = np.ndarray[Any, Any]

_HIDDEN = {name for name, a in ACTIVATIONS.items() if a.differentiable and not a.output_only}
_OUTPUT = {name for name, a in ACTIVATIONS.items() if a.differentiable}
# What may be given beyond scikit-learn's own constraints.
_MORE: dict[str, Any] = {
    "activation": [StrOptions(_HIDDEN), list, tuple, Activation],
    "solver": [StrOptions({*STOCHASTIC, *METHODS}), Optimizer, SciPy],
    "learning_rate": [StrOptions({"constant", "invscaling", "adaptive"}), Schedule],
    "backend": [object],
    "device": [str, Integral, None],
    "dtype": [StrOptions({"float32", "float64"}), None],
    "output_activation": [StrOptions(_OUTPUT), Activation, None],
    "dropout": [Interval(Real, 0, 1, closed="left"), list, tuple],
    "l1": [Interval(Real, 0, None, closed="left")],
    "clip_norm": [Interval(Real, 0, None, closed="neither"), None],
    "monitor": [StrOptions({"loss", "validation_loss", "validation_score"}), callable, None],
    "restore_best": ["boolean"],
    "callbacks": [list, tuple, None],
    "progress": ["boolean", Interval(Integral, 1, None, closed="left")],
    "n_init": [Interval(Integral, 1, None, closed="left")],
    "predict_batch_size": [Interval(Integral, 1, None, closed="left"), None],
}

_SHARED = """
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
    device : int, str or None, default=None
        Goes behind the backend's name: ``backend="cupy", device=1``.
    dtype : {"float32", "float64"} or None, default=None
        Of the network; None is that of the data, as in scikit-learn.
    output_activation : str, Activation or None, default=None
        None is the one that belongs to the targets.
    dropout : float or list with one per hidden layer, default=0.0
        Share of a hidden layer's outputs dropped in training.
    l1 : float, default=0.0
        L1 penalty, divided like `alpha`.
    clip_norm : float or None, default=None
        Largest norm of the gradient.
    monitor : {"loss", "validation_loss", "validation_score"}, callable or None, default=None
        What decides when to stop; a callable is given the run, and larger is better. None is scikit-learn's choice.
    restore_best : bool, default=True
        With `monitor`: whether the best epoch's weights are restored.
    callbacks : list or None, default=None
        bpx callbacks, or functions of the run.
    progress : bool or int, default=False
        Lines on standard error.
    n_init : int, default=1
        Restarts, trained at once as a stack; the best is kept.
    predict_batch_size : int or None, default=None
        Rows per forward pass in prediction, to bound memory; None is all.
"""
_FIT = """
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


def _stochastic(estimator: Any) -> bool:
    """partial_fit exists for first-order solvers only."""
    if estimator._scipy() is not None:
        raise AttributeError(
            f"partial_fit is only available for stochastic optimizers. {estimator.solver} is not stochastic."
        )
    return True


@final
class MLPClassifier(ClassifierMixin, BaseMLP):  # type: ignore[misc]
    __doc__ = f"""Multilayer perceptron classifier: scikit-learn's, with bpx's backends, losses and training.

    Labels may be numbers or strings; binary, multiclass, multilabel, or several multiclass targets at once.

    Parameters
    ----------{_SHARED}    loss : str, Loss or function, default="log_loss"
        "log_loss" is cross-entropy in the form that belongs to the targets; others are bpx's, on 0/1 targets.
    class_weight : dict, "balanced", list of dicts or None, default=None
        Factor for the samples of each class.
    """

    _parameter_constraints: dict[str, Any] = {
        **_ScikitClassifier._parameter_constraints,
        **_MORE,
        "loss": [StrOptions({"log_loss", *LOSSES}), Loss, callable],
        "class_weight": [dict, list, StrOptions({"balanced"}), None],
    }

    def __init__(
        self, hidden_layer_sizes=(100,), activation="relu", *, solver="adam", alpha=0.0001, batch_size="auto",
        learning_rate="constant", learning_rate_init=0.001, power_t=0.5, max_iter=200, shuffle=True,
        random_state=None, tol=1e-4, verbose=False, warm_start=False, momentum=0.9, nesterovs_momentum=True,
        early_stopping=False, validation_fraction=0.1, beta_1=0.9, beta_2=0.999, epsilon=1e-8, n_iter_no_change=10,
        max_fun=15000, backend=None, device=None, dtype=None, loss="log_loss", output_activation=None, dropout=0.0,
        l1=0.0, class_weight=None, clip_norm=None, monitor=None, restore_best=True, callbacks=None, progress=False,
        n_init=1, predict_batch_size=None,
    ):  # type: ignore[no-untyped-def]  # fmt: skip
        _store(self, locals())

    @with_callbacks
    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y, sample_weight=None, *, X_val=None, y_val=None, sample_weight_val=None):  # type: ignore[no-untyped-def]
        return self._fit(
            X, y, sample_weight, X_val=X_val, y_val=y_val, sample_weight_val=sample_weight_val
        )

    @available_if(_stochastic)
    @with_callbacks
    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y, sample_weight=None, classes=None):  # type: ignore[no-untyped-def]
        """One epoch more.

        Parameters
        ----------
        X, y, sample_weight
            As for `fit`.
        classes : array, optional
            All classes there will be; needed at the first call.

        Returns
        -------
        self
        """
        if not hasattr(self, "classes_"):
            if classes is None:
                raise ValueError("classes must be passed on the first call to partial_fit.")
            from sklearn.utils.multiclass import type_of_target

            known = y if type_of_target(_to_host(y)).startswith("multilabel") else np.unique(classes)
            self._pending = Labels(np.asarray(_to_host(known)))
        elif classes is not None and not np.array_equal(self.classes_, np.unique(classes)):
            raise ValueError(
                f"`classes={classes!r}` is not the same as on last call to partial_fit, was: {self.classes_!r}"
            )
        return self._fit(X, y, sample_weight, incremental=True)

    def predict(self, X):  # type: ignore[no-untyped-def]
        """Labels for `X`, of shape (n,), or (n, targets) for several targets."""
        check_is_fitted(self)
        output = self._outputs(self._checked(X))
        if library_of(X) == "host":
            return self._labels.decode(self._net.backend.to_host(output))
        backend, labels = self._net.backend, self._labels
        if labels.kind not in {"binary", "multiclass"} or np.asarray(labels.classes).dtype.kind not in "biuf":
            decoded = labels.decode(backend.to_host(output))
            if decoded.dtype.kind not in "biuf":
                raise TypeError(
                    f"labels of dtype {decoded.dtype} cannot be put on device {backend.device}; pass host data to"
                    " predict, or train on integer labels"
                )
            return backend.asarray(decoded)
        xp = backend.xp
        index = xp.astype(output[:, 0] > 0.5, xp.int64) if labels.kind == "binary" else xp.argmax(output, axis=-1)
        return xp.take(backend.asarray(labels.classes), index, axis=0)

    def predict_proba(self, X):  # type: ignore[no-untyped-def]
        """Probabilities of shape (n, n_classes); a list of them, one per target, for several multiclass targets."""
        check_is_fitted(self)
        output = self._outputs(self._checked(X))
        if self._labels.kind == "multioutput":
            from bpx.formulas.blocks import split

            return [self._as_given(part, X) for part in split(output, self._labels.widths)]
        if self.n_outputs_ == 1:
            output = self._net.backend.xp.concat([1.0 - output, output], axis=-1)
        return self._as_given(output, X)

    def predict_log_proba(self, X):  # type: ignore[no-untyped-def]
        """Logarithm of `predict_proba`."""
        probabilities = self.predict_proba(X)
        if isinstance(probabilities, list):
            return [self._log(p) for p in probabilities]
        return self._log(probabilities)

    def _log(self, p: Any) -> Any:
        """log p in whatever library holds it."""
        return np.log(p) if isinstance(p, np.ndarray) else self._net.backend.xp.log(p)

    # ------------------------------------------------------------------ targets

    _stratifies = True

    def _begin_targets(self, y: Any, incremental: bool) -> None:
        host = np.asarray(_to_host(y))
        if host.ndim == 2 and host.shape[1] == 1:
            host = column_or_1d(host, warn=True)
        pending = self.__dict__.pop("_pending", None)
        if pending is not None:
            self._labels, self.classes_ = pending, pending.classes
        if not hasattr(self, "classes_") or (not self.warm_start and not incremental):
            from sklearn.utils.multiclass import check_classification_targets

            check_classification_targets(host)
            self._labels = Labels(host)
            self.classes_ = self._labels.classes
        else:
            self._labels.check_known(host, self.warm_start)

    def _encode(self, y: Any) -> HostArray:
        host = np.asarray(_to_host(y))
        return self._labels.encode(host.ravel() if host.ndim == 2 and host.shape[1] == 1 else host)

    def _output(self) -> tuple[Any, str]:
        return self._labels.output()

    def _loss(self) -> Loss:
        return self._labels.log_loss() if self.loss == "log_loss" else losses.get(self.loss)

    def _class_weighted(self, y: Any, sample_weight: Any) -> Any:
        if self.class_weight is None:
            return sample_weight
        factor = self._labels.weights(_to_host(y), self.class_weight)
        return factor if sample_weight is None else sample_weight * factor

    def _metric(self, y: Any, output: HostArray, weight: Any) -> float:
        predicted = self._labels.decode(output)
        if self._labels.kind == "multioutput":
            return float(np.average(np.mean(predicted == y, axis=1), weights=weight))
        return float(accuracy_score(y, predicted, sample_weight=weight))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags


@final
class MLPRegressor(RegressorMixin, BaseMLP):  # type: ignore[misc]
    __doc__ = f"""Multilayer perceptron regressor: scikit-learn's, with bpx's backends, losses and training.

    Parameters
    ----------
    loss : str, Loss or function, default="squared_error"
        "squared_error" and "poisson" as in scikit-learn, and bpx's others. With ``bpx.losses.quantile([...])`` and one
        target, `predict` gives one column per quantile.{_SHARED}
    Notes
    -----
    With several targets the reported squared error is their mean, as scikit-learn reports it, while the gradient
    followed is that of their sum (scikit-learn issue 8349).
    """

    _parameter_constraints: dict[str, Any] = {
        **_ScikitRegressor._parameter_constraints,
        **_MORE,
        "loss": [StrOptions(set(LOSSES)), Loss, callable],
    }
    _target_checks = {"y_numeric": True}

    def __init__(
        self, loss="squared_error", hidden_layer_sizes=(100,), activation="relu", *, solver="adam", alpha=0.0001,
        batch_size="auto", learning_rate="constant", learning_rate_init=0.001, power_t=0.5, max_iter=200,
        shuffle=True, random_state=None, tol=1e-4, verbose=False, warm_start=False, momentum=0.9,
        nesterovs_momentum=True, early_stopping=False, validation_fraction=0.1, beta_1=0.9, beta_2=0.999,
        epsilon=1e-8, n_iter_no_change=10, max_fun=15000, backend=None, device=None, dtype=None,
        output_activation=None, dropout=0.0, l1=0.0, clip_norm=None, monitor=None, restore_best=True, callbacks=None,
        progress=False, n_init=1, predict_batch_size=None,
    ):  # type: ignore[no-untyped-def]  # fmt: skip
        _store(self, locals())

    @with_callbacks
    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y, sample_weight=None, *, X_val=None, y_val=None, sample_weight_val=None):  # type: ignore[no-untyped-def]
        return self._fit(
            X, y, sample_weight, X_val=X_val, y_val=y_val, sample_weight_val=sample_weight_val
        )

    @available_if(_stochastic)
    @with_callbacks
    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y, sample_weight=None):  # type: ignore[no-untyped-def]
        """One epoch more; parameters as for `fit`."""
        return self._fit(X, y, sample_weight, incremental=True)

    def predict(self, X):  # type: ignore[no-untyped-def]
        """Numbers for `X`, of shape (n,), or (n, n_outputs) where there are several."""
        check_is_fitted(self)
        output = self._as_given(self._outputs(self._checked(X)), X)
        return output[:, 0] if output.shape[1] == 1 else output

    # ------------------------------------------------------------------ targets

    def _begin_targets(self, y: Any, incremental: bool) -> None:
        if getattr(y, "ndim", 1) == 2 and y.shape[1] == 1 and library_of(y) == "host":
            column_or_1d(y, warn=True)

    def _encode(self, y: Any) -> Any:
        columns = self._loss_given().columns
        if library_of(y) == "host":
            column = np.asarray(y, dtype=np.float64)
            column = column.reshape(-1, 1) if column.ndim == 1 else column
            return np.repeat(column, columns, axis=1) if columns and column.shape[1] == 1 else column
        column = y[:, None] if y.ndim == 1 else y
        if columns and column.shape[1] == 1:
            xp = self._net.backend.xp if "_net" in vars(self) else self._choose_backend(y).xp
            return xp.concat([column] * columns, axis=1)
        return column

    def _loss_given(self) -> Loss:
        """The loss that was asked for."""
        return losses.get(self.loss)

    def _output(self) -> tuple[Any, str]:
        return ("exp", "exp") if self.loss == "poisson" else ("identity", "identity")

    def _loss(self) -> Loss:
        return _scikit_squared_error(self.n_outputs_) if self.loss == "squared_error" else self._loss_given()

    def _metric(self, y: Any, output: HostArray, weight: Any) -> float:
        if not np.all(np.isfinite(output)):
            return float("nan")
        shown = np.mean(output, axis=1, keepdims=True) if np.ndim(y) == 1 and output.shape[1] > 1 else output
        return float(r2_score(y, shown, sample_weight=weight))


def _scikit_squared_error(columns: int) -> Loss:
    """squared_error, its value (not its gradient) divided by the number of outputs, as scikit-learn reports it."""
    if columns == 1:
        return LOSSES["squared_error"]

    def mean_of_outputs(xp: Any, a: Any, y: Any) -> tuple[Any, Any]:
        values, grad = losses.squared_error(xp, a, y)
        return values * (1.0 / columns), grad

    return Loss("squared_error", mean_of_outputs)


def _store(estimator: Any, arguments: dict[str, Any]) -> None:
    """Keep every constructor argument under its own name, as scikit-learn's conventions want it."""
    for name, value in arguments.items():
        if name not in {"self", "__class__"}:
            setattr(estimator, name, value)


MLPClassifier.fit.__doc__ = f"Fit to data and labels.\n{_FIT}        "
MLPRegressor.fit.__doc__ = f"Fit to data and numbers.\n{_FIT}        "
