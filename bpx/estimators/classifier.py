"""`MLPClassifier`, for labels of any type."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal, Self, final

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.metrics import accuracy_score
from sklearn.neural_network import MLPClassifier as _ScikitClassifier
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted

from bpx import losses
from bpx.activations import Activation, ActivationName
from bpx.backend.base import library_of
from bpx.backend.select import BackendLike
from bpx.errors.hints import named
from bpx.estimators import parameters, solver
from bpx.estimators.base_mlp import BaseMLP
from bpx.estimators.labels import Labels, host_labels
from bpx.formulas.blocks import split
from bpx.formulas.precision import Precision
from bpx.losses import LOSSES, Loss, LossLike
from bpx.network.architecture import DType
from bpx.training.run_metrics import MetricsLike, Task

HostArray = np.ndarray[Any, Any]


@final
class MLPClassifier(ClassifierMixin, BaseMLP):  # type: ignore[misc]  # noqa: D101 - __doc__ is an f-string
    _labels: Labels
    __doc__ = f"""Multilayer perceptron classifier: scikit-learn's, with bpx's backends, losses and training.

    Labels may be numbers or strings; binary, multiclass, multilabel, or several multiclass targets at once.

    Parameters
    ----------{parameters.SHARED}    loss : str, Loss or function, default="log_loss"
        "log_loss" is the cross-entropy for the kind of targets; others are bpx's losses, on 0/1 targets. A function is
        ``f(xp, output, target) -> (values, grad)``, see `bpx.Loss`.
    class_weight : dict, "balanced", list of dicts or None, default=None
        Weight of the samples of each class; for several targets a list with one per target.
{parameters.ATTRIBUTES}
    Notes
    -----
    If outputs saturate (probabilities within 1e-12 of 0 or 1), scikit-learn's log loss is less accurate than bpx's:
    reported losses of unscaled data can differ in the fourth digit, but not weights and predictions.

    Examples
    --------
    >>> import bpx
    >>> X, y = [[0.0], [1.0], [2.0], [3.0]], ["low", "low", "high", "high"]
    >>> bpx.MLPClassifier((8,), solver="lbfgs", random_state=0, backend="numpy").fit(X, y).predict([[0.5], [2.5]])
    array(['low', 'high'], dtype='<U4')
    """

    _kind: ClassVar[str] = "classifier"
    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **_ScikitClassifier._parameter_constraints,
        **parameters.MORE,
        "loss": [StrOptions({"log_loss", *LOSSES}), Loss, callable],
        "class_weight": [dict, list, StrOptions({"balanced"}), None],
    }

    @named("bpx.MLPClassifier", "an estimator")
    def __init__(
        self,
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
        loss: Literal["log_loss"] | LossLike = "log_loss",
        class_weight: parameters.ClassWeight = None,
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
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None, classes: Any = None) -> Self:
        """Train for one more epoch.

        Parameters
        ----------
        X, y, sample_weight
            As for `fit`.
        classes : array, optional
            All classes that will occur, for several targets a list of arrays; required in the first call.

        Returns
        -------
        self
        """
        if not hasattr(self, "classes_"):
            if classes is None:
                raise ValueError("classes must be passed on the first call to partial_fit.")
            self._pending = Labels(host_labels(y), classes)
        elif classes is not None and not self._labels.same_classes(classes):
            raise ValueError(
                f"`classes={classes!r}` is not the same as on last call to partial_fit, was: {self.classes_!r}"
            )
        try:
            return self._fit(X, y, sample_weight, incremental=True)
        finally:
            self.__dict__.pop("_pending", None)

    def predict(self, X: Any) -> Any:
        """Predicted labels of shape (n,), or (n, targets) for several targets; on a device if X is."""
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
        with backend.scope():
            index = xp.astype(output[:, 0] > 0.5, xp.int64) if labels.kind == "binary" else xp.argmax(output, axis=-1)
            return xp.take(backend.asarray(labels.classes), index, axis=0)

    def predict_proba(self, X: Any) -> Any:
        """Probabilities of shape (n, n_classes); a list of them, one per target, for several multiclass targets."""
        output = self._outputs(self._checked(X))
        if self._labels.kind == "multioutput":
            return [self._like_input(part, X) for part in split(output, self._labels.widths)]
        if self.n_outputs_ == 1:
            with self._net.backend.scope():
                output = self._net.backend.xp.concat([1.0 - output, output], axis=-1)
        return self._like_input(output, X)

    def predict_log_proba(self, X: Any) -> Any:
        """Logarithm of `predict_proba`."""
        p = self.predict_proba(X)
        return [self._log(part) for part in p] if isinstance(p, list) else self._log(p)

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Accuracy; for several labels or targets the share of samples that have all of them right."""
        check_is_fitted(self)
        if library_of(X) == "host" and library_of(y) == "host" and self._labels.kind != "multioutput":
            with np.errstate(all="ignore"):
                return float(super().score(X, y, sample_weight))
        return self._score(X, y, sample_weight)

    def _log(self, p: Any) -> Any:
        """log p in the library of `p`."""
        with self._net.backend.scope():
            return np.log(p) if isinstance(p, np.ndarray) else self._net.backend.xp.log(p)

    # ------------------------------------------------------------------ targets

    _stratifies = True

    def _begin_targets(self, y: Any, incremental: bool) -> None:
        host = host_labels(y, warn=True)
        pending = self.__dict__.pop("_pending", None)
        if pending is not None:
            self._labels, self.classes_ = pending, pending.classes
        if not hasattr(self, "classes_") or (not self.warm_start and not incremental):
            check_classification_targets(host)
            self._labels = Labels(host)
            self.classes_ = self._labels.classes
        else:
            self._labels.check_known(host, self.warm_start)

    def _encode(self, y: Any) -> HostArray:
        return self._labels.encode(host_labels(y))

    def _output(self) -> tuple[Any, str]:
        return self._labels.output()

    def _loss(self) -> Loss:
        return self._labels.log_loss() if self.loss == "log_loss" else losses.get(self.loss)

    def _check_validation_targets(self, y_val: Any) -> None:
        self._labels.check_known(host_labels(y_val), warm_start=False)

    def _check_incremental(self) -> None:
        super()._check_incremental()
        several = self.class_weight if isinstance(self.class_weight, list) else [self.class_weight]
        if any(isinstance(one, str) for one in several):
            raise ValueError(
                "partial_fit does not support class_weight='balanced', whose weights are of all samples and not of a"
                " part of them: give them as a dict, class_weight=dict(zip(classes,"
                " sklearn.utils.class_weight.compute_class_weight('balanced', classes=classes, y=y))), with y all"
                " labels or a large sample of them"
            )

    def _class_weighted(self, y: Any, sample_weight: Any) -> Any:
        if self.class_weight is None:
            return sample_weight
        factor = self._labels.weights(host_labels(y), self.class_weight)
        return factor if sample_weight is None else sample_weight * factor

    def _task(self) -> Task:
        kinds = {"binary": "binary", "multiclass": "classes", "multilabel": "labels", "multioutput": "targets"}
        return kinds[self._labels.kind], True

    def _metric(self, y: Any, output: HostArray, weight: Any) -> float:
        predicted = self._labels.decode(output)
        if self._labels.kind == "multioutput":
            return float(np.average(np.all(predicted == y, axis=1), weights=weight))
        return float(accuracy_score(y, predicted, sample_weight=weight))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags


MLPClassifier.fit.__doc__ = f"Fit to data and labels.\n{parameters.FIT}        "
