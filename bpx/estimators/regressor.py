"""`MLPRegressor`, for numbers, counts and quantiles."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Self, final

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.metrics import r2_score
from sklearn.neural_network import MLPRegressor as _ScikitRegressor
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.validation import column_or_1d

from bpx import losses
from bpx.activations import Activation, ActivationName
from bpx.backend.base import library_of
from bpx.backend.select import BackendLike
from bpx.errors.hints import named
from bpx.estimators import parameters, solver
from bpx.estimators.base_mlp import BaseMLP
from bpx.formulas.precision import Precision
from bpx.losses import LOSSES, Loss, LossLike
from bpx.network.architecture import DType
from bpx.network.data_frames import check_no_dates
from bpx.training.run_metrics import MetricsLike, Task

HostArray = np.ndarray[Any, Any]


@final
class MLPRegressor(RegressorMixin, BaseMLP):  # type: ignore[misc]  # noqa: D101 - __doc__ is an f-string
    __doc__ = f"""Multilayer perceptron regressor: scikit-learn's, with bpx's backends, losses and training.

    Parameters
    ----------
    loss : str, Loss or function, default="squared_error"
        "squared_error" and "poisson" as in scikit-learn, and bpx's others. With ``bpx.losses.quantile([...])`` and one
        target, `predict` has one column per quantile. A function is ``f(xp, output, target) -> (values, grad)``, see
        `bpx.Loss`.{parameters.SHARED}{parameters.ATTRIBUTES}
    Notes
    -----
    With several targets the reported squared error is the mean over targets and the gradient that of their sum, both as
    in scikit-learn (issue 8349).
    """

    _kind: ClassVar[str] = "regressor"
    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **_ScikitRegressor._parameter_constraints,
        **parameters.MORE,
        "loss": [StrOptions(set(LOSSES)), Loss, callable],
    }
    _target_checks: ClassVar[dict[str, Any]] = {"y_numeric": True}

    @named("bpx.MLPRegressor", "an estimator")
    def __init__(
        self,
        loss: LossLike = "squared_error",
        hidden_layer_sizes: parameters.Hidden = (100,),
        activation: parameters.HiddenActivations = "relu",
        *,
        solver: parameters.Solver = "adam",
        alpha: float = 0.0001,
        batch_size: parameters.BatchSize = "auto",
        learning_rate: parameters.Rate = "constant",
        learning_rate_init: float = 0.001,
        power_t: float = 0.5,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: int | np.random.RandomState | None = None,
        tol: float = 1e-4,
        verbose: bool = False,
        warm_start: bool = False,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        n_iter_no_change: int = 10,
        max_fun: int = 15000,
        backend: BackendLike = None,
        device: Any = None,
        dtype: DType | None = None,
        output_activation: ActivationName | Activation | None = None,
        dropout: float | Sequence[float] | np.ndarray[Any, Any] = 0.0,
        l1: float = 0.0,
        clip_norm: float | None = None,
        monitor: parameters.Monitor = None,
        restore_best: bool = True,
        callbacks: parameters.Callbacks = None,
        progress: bool | int = False,
        n_init: int = 1,
        predict_batch_size: int | None = None,
        precision: Precision | None = None,
        metrics: MetricsLike = None,
    ) -> None:
        parameters.store(self, locals())

    @parameters.fitting
    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        X_val: Any = None,
        y_val: Any = None,
        sample_weight_val: Any = None,
    ) -> Self:
        return self._fit(X, y, sample_weight, X_val=X_val, y_val=y_val, sample_weight_val=sample_weight_val)

    @solver.for_stochastic_solvers
    @parameters.fitting
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train for one more epoch; parameters as for `fit`."""
        return self._fit(X, y, sample_weight, incremental=True)

    def predict(self, X: Any) -> Any:
        """Predicted values of shape (n,), or (n, n_outputs) for several outputs."""
        output = self._like_input(self._outputs(self._checked(X)), X)
        return output[:, 0] if output.shape[1] == 1 else output

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Coefficient of determination R^2; if `predict` returns several quantiles, of their mean."""
        check_no_dates(y, "y")
        if library_of(X) == "host" and library_of(y) == "host" and self._chosen_loss().columns is None:
            with np.errstate(all="ignore"):
                return float(super().score(X, y, sample_weight))
        return self._score(X, y, sample_weight)

    # ------------------------------------------------------------------ targets

    def _begin_targets(self, y: Any, incremental: bool) -> None:
        if getattr(y, "ndim", 1) == 2 and y.shape[1] == 1 and library_of(y) == "host":
            column_or_1d(y, warn=True)

    def _encode(self, y: Any) -> Any:
        columns = self._chosen_loss().columns
        if library_of(y) == "host":
            check_no_dates(y, "y")
            column = np.asarray(y, dtype=np.float64)
            column = column.reshape(-1, 1) if column.ndim == 1 else column
            return np.repeat(column, columns, axis=1) if columns and column.shape[1] == 1 else column
        column = y[:, None] if y.ndim == 1 else y
        if columns and column.shape[1] == 1:
            xp = self._net.backend.xp if "_net" in vars(self) else self._choose_backend(y).xp
            return xp.concat([column] * columns, axis=1)
        return column

    def _chosen_loss(self) -> Loss:
        """The loss of the parameter ``loss``."""
        return losses.get(self.loss)

    def _output(self) -> tuple[Any, str]:
        return ("exp", "exp") if self.loss == "poisson" else ("identity", "identity")

    def _loss(self) -> Loss:
        return _scikit_squared_error(self.n_outputs_) if self.loss == "squared_error" else self._chosen_loss()

    def _task(self) -> Task:
        return "numbers", False

    def _metric(self, y: Any, output: HostArray, weight: Any) -> float:
        if not np.all(np.isfinite(output)):
            return float("nan")
        predicted = np.mean(output, axis=1, keepdims=True) if np.ndim(y) == 1 and output.shape[1] > 1 else output
        return float(r2_score(y, predicted, sample_weight=weight))


def _scikit_squared_error(columns: int) -> Loss:
    """squared_error with its value (not its gradient) divided by the number of outputs, as in scikit-learn."""
    if columns == 1:
        return LOSSES["squared_error"]

    def mean_of_outputs(xp: Any, a: Any, y: Any) -> tuple[Any, Any]:
        values, grad = losses.squared_error(xp, a, y)
        return values * (1.0 / columns), grad

    return Loss("squared_error", mean_of_outputs)


MLPRegressor.fit.__doc__ = f"Fit to data and numbers.\n{parameters.FIT}        "
