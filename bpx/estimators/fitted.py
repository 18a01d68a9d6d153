"""Methods of a fitted estimator: outputs, activations, gradients and weights."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable
from inspect import Parameter, signature
from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted, validate_data

from bpx._typing import Array
from bpx.backend.base import library_of
from bpx.backend.select import to_host
from bpx.estimators.layers import LayerArrays
from bpx.losses import Loss
from bpx.network.data_frames import check_in_memory, check_no_dates
from bpx.network.memory import in_chunks
from bpx.network.mlp import MLP
from bpx.training.history import History
from bpx.training.run_metrics import Task

# Rows of a sparse matrix that are dense at once.
SPARSE_ROWS = 4096


class FittedMixin:
    """Methods of an estimator that need its trained network, ``_net``."""

    _net: MLP
    _validate_device: Any
    # Fitted attributes, documented in `bpx.estimators.parameters.ATTRIBUTES`.
    n_features_in_: int
    n_layers_: int
    n_outputs_: int
    n_iter_: int
    t_: int
    out_activation_: str
    backend_: str
    device_: str
    loss_: float
    best_loss_: float | None
    loss_curve_: list[float]
    validation_loss_curve_: list[float]
    validation_scores_: list[float] | None
    best_validation_score_: float | None
    losses_of_restarts_: np.ndarray[Any, Any]
    history_: History
    predict_batch_size: int | None

    @abstractmethod
    def _encode(self, y: Any) -> Any:
        """Targets of shape (n, n_outputs) for the network, on the host or the backend."""

    @abstractmethod
    def _loss(self) -> Loss:
        """The loss to train with."""

    def _outputs(self, X: Any) -> Array:
        """The network's outputs, computed in chunks of ``predict_batch_size`` rows."""
        net = self._net
        sparse = hasattr(X, "tocsr")
        size = self.predict_batch_size or X.shape[0]
        if X.shape[0] <= size and not sparse:
            return net(X)
        X = X.tocsr() if sparse else X
        outputs: list[Array] = []

        def add(start: int, stop: int) -> None:
            outputs.append(net(_dense(X[start:stop, ...])))

        in_chunks(net, X.shape[0], min(size, SPARSE_ROWS) if sparse else size, add)
        with net.backend.scope():
            return net.backend.xp.concat(outputs, axis=-2)

    def _checked(self, X: Any) -> Any:
        """Inputs for prediction, checked as in scikit-learn."""
        if self._needs_no_check(X):
            return X
        check_is_fitted(self, "_net")
        if library_of(X) != "host":
            return self._validate_device(X, reset=False)
        check_in_memory(X, "X")
        check_no_dates(X, "X")
        with np.errstate(all="ignore"):
            return validate_data(self, X, accept_sparse=["csr", "csc"], dtype=(np.float64, np.float32), reset=False)

    def _needs_no_check(self, X: Any) -> bool:
        """Whether scikit-learn's checks, which take longer than a small network, would return this very array."""
        attributes = vars(self)
        if type(X) is not np.ndarray or X.ndim != 2 or X.dtype.char not in "fd" or not X.dtype.isnative:
            return False
        if "_net" not in attributes or "feature_names_in_" in attributes or not len(X):
            return False
        with np.errstate(all="ignore"):
            return X.shape[1] == attributes.get("n_features_in_") and bool(np.isfinite(np.add.reduce(X, axis=None)))

    def _like_input(self, values: Array, X: Any) -> Any:
        """`values` as a NumPy array if X is on the host, else as an array of the network's backend."""
        return self._net.backend.to_host(values) if library_of(X) == "host" else values

    def _score(self, X: Any, y: Any, sample_weight: Any) -> float:
        """The score, for arrays or outputs that scikit-learn's method does not support."""
        output = self._net.backend.to_host(self._outputs(self._checked(X)))
        with np.errstate(all="ignore"):
            return self._metric(np.asarray(to_host(y)), output, to_host(sample_weight))

    @abstractmethod
    def _task(self) -> Task:
        """The task of the targets, for metrics."""

    @abstractmethod
    def _metric(self, y: Any, output: Any, weight: Any) -> float:
        """The score of outputs, larger is better; NaN if they are not finite."""

    def hidden_activations(self, X: Any) -> list[Any]:
        """The outputs of every hidden layer for `X`, each of shape (n, units)."""
        return [self._like_input(a, X) for a in self._net.activations(_dense(self._checked(X)))[:-1]]

    def input_gradient(self, X: Any, y: Any) -> Any:
        """Derivative of the mean loss with respect to the inputs, of the shape of `X`."""
        dense, target = _dense(self._checked(X)), self._encode(to_host(y))
        return self._like_input(self._net.input_gradient(dense, target, loss=self._loss()), X)

    # ------------------------------------------------------------------ weights

    @property
    def coefs_(self) -> LayerArrays:
        """The weights (n_in, n_out) of every layer; replacing one, or writing into one, changes the model.

        After a fit on host data with a backend other than NumPy, they are read-only copies on the host.
        """
        return self._layer_arrays("W")

    @coefs_.setter
    def coefs_(self, values: Iterable[Any]) -> None:
        self._layer_arrays("W").replace(values)

    @property
    def intercepts_(self) -> LayerArrays:
        """The biases (n_out,) of every layer; otherwise as `coefs_`."""
        return self._layer_arrays("b")

    @intercepts_.setter
    def intercepts_(self, values: Iterable[Any]) -> None:
        self._layer_arrays("b").replace(values)

    def _layer_arrays(self, letter: str) -> LayerArrays:
        """Weights or biases of every layer, on the host unless the data of the last fit were on a device."""
        attributes = vars(self)
        if "_net" not in attributes:
            raise AttributeError(f"this {type(self).__name__} is not fitted yet: it has no weights")
        copies = "_on_device" not in attributes and self._net.backend.xp is not np
        return LayerArrays(self._net, letter, in_place="_training" in attributes, copies=copies)

    def _network_and_labels(self) -> tuple[MLP, str | None, Any]:
        """The network, and for a classifier the kind of labels and the classes; for exports."""
        check_is_fitted(self, "_net")
        labels = vars(self).get("_labels")
        return self._net, getattr(labels, "kind", None), getattr(labels, "classes", None)

    def __sklearn_is_fitted__(self) -> bool:
        return "_net" in vars(self)

    def __getstate__(self) -> Any:
        state: dict[str, Any] = dict(super().__getstate__())  # type: ignore[call-overload]
        if state.get("_resume"):
            state["_resume"] = with_arrays(state["_resume"], self._net.backend.to_host)
        return state

    def __setstate__(self, state: Any) -> None:
        super().__setstate__(state)  # type: ignore[misc]
        for name, parameter in signature(type(self).__init__).parameters.items():
            named = parameter.kind not in (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)
            if named and parameter.default is not Parameter.empty:
                # The pickle may be of a version without this parameter.
                vars(self).setdefault(name, parameter.default)
        if "_net" in vars(self):  # its backend may not be available here
            self.backend_, self.device_ = self._net.backend.name, str(self._net.backend.device)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()  # type: ignore[misc]
        tags.input_tags.sparse = True
        return tags


def with_arrays(resume: dict[str, Any], convert: Callable[[Any], Any]) -> dict[str, Any]:
    """The state from which `partial_fit` continues, with the optimizer's arrays converted."""
    return resume | {"state": {k: convert(v) if hasattr(v, "ndim") else v for k, v in resume["state"].items()}}


def _dense(X: Any) -> Any:
    """A sparse matrix as a dense array; anything else unchanged."""
    return X.toarray() if hasattr(X, "toarray") else X
