"""`BaseMLP`, the base class of the estimators: from parameters and data to a fitted network."""

from __future__ import annotations

from abc import abstractmethod
from itertools import pairwise
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state
from sklearn.utils.validation import _check_sample_weight, validate_data

from bpx.backend.base import Backend, library_of
from bpx.backend.select import backend_of, get_backend, to_host
from bpx.errors import warn_caller
from bpx.estimators.callback_protocol import TEARDOWN, CallbackSupport
from bpx.estimators.early_stopping import scores
from bpx.estimators.fitted import FittedMixin, with_arrays
from bpx.estimators.saving import SavingMixin
from bpx.estimators.solver import scipy, train
from bpx.initializers import glorot_uniform
from bpx.network.architecture import DType
from bpx.network.data_frames import check_in_memory, check_no_dates
from bpx.network.memory import explains_memory_errors
from bpx.network.mlp import MLP
from bpx.network.validation import check_weights

HostArray = np.ndarray[Any, Any]
LOGISTIC = ("logistic", "sigmoid")


class Prepared(NamedTuple):
    """Checked data, before the first step."""

    # Of the rows to train on: inputs, encoded targets, sample weights with class weights; y and weights of the user.
    X: Any
    target: Any
    weight: Any
    y: Any
    sample_weight: Any
    # Validation data (X, y, sample_weight), or None.
    held_out: Any
    # Indices of the rows to train on and of those held out, if early stopping splits the data.
    split: tuple[HostArray, HostArray] | None
    random: np.random.RandomState


class BaseMLP(FittedMixin, SavingMixin, CallbackSupport, BaseEstimator):  # type: ignore[misc]
    """Everything that does not depend on the kind of targets."""

    @abstractmethod
    def _begin_targets(self, y: Any, incremental: bool) -> None:
        """Check the targets; the classifier learns its classes, or checks that it knows them."""

    @abstractmethod
    def _output(self) -> tuple[Any, str]:
        """The output activation, and scikit-learn's name for it."""

    def __sklearn_clone__(self) -> Any:
        """scikit-learn's clone, but backend and device, which may be modules or objects, are shared and not copied."""
        without: Any = object.__new__(type(self))
        vars(without).update(vars(self) | {"backend": None, "device": None})
        clone = BaseEstimator.__sklearn_clone__(without)
        clone.backend, clone.device = self.backend, self.device
        return clone

    # ------------------------------------------------------------------ fit

    @explains_memory_errors()
    def _fit(self, X: Any, y: Any, sample_weight: Any = None, *, incremental: bool = False, **validation: Any) -> Self:
        """Fit, or leave the estimator as it was if that fails; `validation` is X_val, y_val and sample_weight_val."""
        before = dict(self.__dict__)
        net: MLP | None = before.get("_net")
        if net is not None:
            with net.backend.scope():
                kept = net.flat * 1.0
                if before.get("_resume") is not None:
                    before["_resume"] = with_arrays(before["_resume"], lambda a: a * 1.0)
        try:
            with np.errstate(all="ignore"):  # also in scikit-learn's checks
                late = self._train(X, y, sample_weight, incremental, **validation)
        except BaseException:
            torn_down_later = {name: self.__dict__[name] for name in TEARDOWN if name in self.__dict__}
            self.__dict__.clear()
            self.__dict__.update(before | torn_down_later)
            if net is not None:
                net.flat[...] = kept
            raise
        for message, category in late:
            warn_caller(message, category)
        return self

    def _train(
        self, X: Any, y: Any, sample_weight: Any, incremental: bool, **validation: Any
    ) -> list[tuple[str, type[Warning]]]:
        """Train and set the fitted attributes; returns the warnings to give."""
        prepared = self._prepare(X, y, sample_weight, incremental, **validation)
        self._training = True
        try:
            with self._net.backend.scope():
                return train(self, prepared, incremental)
        finally:
            del self._training

    def _prepare(
        self, X: Any, y: Any, sample_weight: Any, incremental: bool = False, X_val: Any = None, y_val: Any = None,
        sample_weight_val: Any = None,
    ) -> Prepared:  # fmt: skip
        """Check parameters and data, and make the network unless training continues."""
        sizes = list(self.hidden_layer_sizes) if np.iterable(self.hidden_layer_sizes) else [self.hidden_layer_sizes]
        if np.any(np.array(sizes) <= 0):
            raise ValueError(f"hidden_layer_sizes must be > 0, got {sizes}.")
        self.__dict__.pop("_on_device", None)
        if library_of(X) != "host":
            self._on_device = True  # then `coefs_` are device arrays, too
        first = not hasattr(self, "_net") or (not self.warm_start and not incremental)
        if incremental:
            self._check_incremental()
        backend = self._choose_backend(X)
        X, y = self._validate_training(X, y, reset=first)
        check_weights(sample_weight, "sample_weight", hasattr(self, "class_weight"))
        check_weights(sample_weight_val, "sample_weight_val", hasattr(self, "class_weight"))
        if sample_weight is not None:
            sample_weight = _check_sample_weight(to_host(sample_weight), np.empty((X.shape[0], 1)))
        self._begin_targets(y, incremental)
        target = self._encode(y)
        weight = self._class_weighted(y, sample_weight)
        random = check_random_state(self.random_state)
        if first:
            self._initialize(
                backend, [X.shape[1], *sizes, target.shape[1]], random, X, 1 if incremental else self.n_init
            )
        else:
            self._apply_changes(backend)

        held_out = rows = None
        if X_val is not None:
            if y_val is None:
                raise ValueError("X_val was given without y_val")
            # Checked like training data, but without setting attributes.
            X_val, y_val = self._validate_training(X_val, y_val, reset=False, suffix="_val")
            self._check_validation_targets(y_val)
            held_out = (X_val, y_val, sample_weight_val)
        elif y_val is not None or sample_weight_val is not None:
            raise ValueError("y_val and sample_weight_val need X_val")
        elif self.early_stopping and scipy(self) is None:
            train_rows, test = rows = self._split(target, random)
            held_out = (take_rows(X, test), take_rows(y, test), take_rows(sample_weight, test))
            X, target, weight, y, sample_weight = (
                take_rows(part, train_rows) for part in (X, target, weight, y, sample_weight)
            )
        return Prepared(X, target, weight, y, sample_weight, held_out, rows, random)

    def _check_incremental(self) -> None:
        """ValueError for parameters that need all data, of which partial_fit has only a part."""
        if self.early_stopping:
            raise ValueError("partial_fit does not support early_stopping=True")
        if isinstance(self.monitor, str) and self.monitor != "loss":
            raise ValueError(
                f"partial_fit does not support monitor={self.monitor!r}: it has no validation data; give monitor=None"
            )
        if self.monitor is not None and self.restore_best:
            raise ValueError(
                f"partial_fit does not support monitor={self.monitor!r} with restore_best=True: one part's loss does"
                " not tell which weights are best, and those of an earlier part would come back; give"
                " restore_best=False, and keep what is best yourself"
            )

    def _apply_changes(self, backend: Backend) -> None:
        """Before training continues, apply parameters that have changed since the network was made."""
        if self._net.backend != backend:
            self._net = self._net.to(backend)
            if self._resume is not None:
                self._resume = with_arrays(self._resume, lambda a: backend.asarray(to_host(a)))
            self.backend_, self.device_ = self._net.backend.name, str(self._net.backend.device)
        if self._made_of() != self._made:
            net = self._network(
                backend, list(self._net.sizes), self._net.stack, self.dtype or self._net.dtype, self._net.seed
            )
            net.flat[...] = net.asarray(to_host(self._net.flat))
            if net.dtype != self._net.dtype:
                self._resume = None
            self._net = net
        if self._watches() != self._watched:
            self._watch_anew()

    def _made_of(self) -> Any:
        """The parameters that determine the network, apart from its sizes."""
        return (self.activation, self.output_activation, _plain(self.dropout), self.dtype)

    def _watches(self) -> Any:
        """The parameters that determine what is monitored."""
        return (bool(self.early_stopping), self.monitor)

    def _choose_backend(self, X: Any) -> Backend:
        """The backend of the parameters, or by default that of a device array."""
        name = self.backend
        # "cpu" is the name that `device_` has on NumPy, whose backend takes no device.
        device = None if self.device == "cpu" and name in (None, "numpy") else self.device
        if isinstance(name, str) and device is not None:
            name = f"{name}:{device}"
        if name is None and device is not None:
            raise ValueError(f"device={device!r} needs backend='cupy' or 'torch'")
        if name is None and library_of(X) != "host":
            return backend_of(X)
        if name is None and self.device == "cpu":
            return get_backend("numpy")
        return get_backend(name, device=device if hasattr(name, "__array_namespace_info__") else None)

    def _validate_training(self, X: Any, y: Any, reset: bool, suffix: str = "") -> tuple[Any, Any]:
        """scikit-learn's checks of host data; of device arrays only shape and number of columns."""
        if self._target_checks.get("y_numeric"):  # class labels may be dates
            check_no_dates(y, "y" + suffix)
        if library_of(X) != "host":
            return self._validate_device(X, reset), np.asarray(y) if library_of(y) == "host" else y
        check_in_memory(X, "X" + suffix)
        check_in_memory(y, "y" + suffix)
        check_no_dates(X, "X" + suffix)
        wanted = (np.float64, np.float32) if self.dtype is None else self.dtype
        checks = {"accept_sparse": ["csr", "csc"], "multi_output": True, "dtype": wanted, "reset": reset}
        pair: tuple[Any, Any] = validate_data(self, X, to_host(y), **checks, **self._target_checks)
        return pair

    # Further arguments of scikit-learn's `validate_data`, for targets.
    _target_checks: ClassVar[dict[str, Any]] = {}

    def _validate_device(self, X: Any, reset: bool) -> Any:
        """Check shape and number of columns of a device array; its values are checked later."""
        if X.ndim != 2:
            raise ValueError(f"Expected 2D array, got {X.ndim}D array instead")
        if X.shape[0] == 0:
            raise ValueError("Found array with 0 sample(s) while a minimum of 1 is required.")
        if reset:
            self.n_features_in_ = int(X.shape[1])
            self.__dict__.pop("feature_names_in_", None)
        elif X.shape[1] != self.n_features_in_:
            raise ValueError(
                f"X has {X.shape[1]} features, but {type(self).__name__} is expecting {self.n_features_in_}"
                " features as input"
            )
        return X

    def _check_validation_targets(self, y_val: Any) -> None:
        """ValueError from the classifier for classes that are not in the training data."""

    def _class_weighted(self, y: Any, sample_weight: Any) -> Any:
        """Sample weights; the classifier multiplies in its class weights."""
        return sample_weight

    def _initialize(
        self, backend: Backend, sizes: list[int], random: np.random.RandomState, X: Any, restarts: int
    ) -> None:
        """Make the network, with scikit-learn's initial weights: Glorot-uniform, also for biases, layer by layer."""
        self.n_layers_ = len(sizes)
        stack = restarts if restarts > 1 else None
        dtype: DType = self.dtype or ("float32" if str(X.dtype).endswith("float32") else "float64")
        draws = [self._draw(random, sizes) for _ in range(restarts)]
        flat = np.stack([np.concatenate([part.ravel() for pair in layers for part in pair]) for layers in draws])
        seed = int(random.randint(2**31 - 1)) if np.any(np.asarray(self.dropout) > 0) else 0
        net = self._network(backend, sizes, stack, dtype, seed)
        net.flat[...] = net.asarray(flat if stack else flat[0])
        self._net, self._resume = net, None
        self.n_iter_ = self.t_ = 0
        self.n_outputs_ = sizes[-1]
        self.backend_, self.device_ = net.backend.name, str(net.backend.device)
        for name in ("loss_curve_", "validation_loss_curve_", "losses_of_restarts_", "metrics_"):
            self.__dict__.pop(name, None)
        if scipy(self) is None or self.monitor is not None:
            self.loss_curve_: list[float] = []
        self._watch_anew()

    def _network(self, backend: Backend, sizes: list[int], stack: int | None, dtype: DType, seed: Any) -> MLP:
        """A network with the current parameters."""
        output, self.out_activation_ = self._output()
        if self.output_activation is not None:
            output = self.output_activation
            self.out_activation_ = output if isinstance(output, str) else output.name
        hidden = list(self.activation) if isinstance(self.activation, (list, tuple)) else self.activation
        dropout = _plain(self.dropout)
        self._made = self._made_of()
        return MLP(sizes, hidden, output, init="zeros", dropout=dropout, dtype=dtype, seed=seed, backend=backend,
                   stack=stack)  # fmt: skip

    def _watch_anew(self) -> None:
        """Reset the values that decide when to stop."""
        self._watched = self._watches()
        if getattr(self, "_resume", None) is not None:
            self._resume = self._resume | {"waited": 0, "best": -np.inf}
        if scipy(self) is None or self.monitor is not None:
            self.best_loss_ = None if scores(self) else np.inf
            self.validation_scores_: Any = [] if scores(self) else None
            self.best_validation_score_ = -np.inf if scores(self) else None

    def _draw(self, random: np.random.RandomState, sizes: list[int]) -> list[Any]:
        """The initial weights of a network; as in scikit-learn, logistic layers have narrower bounds."""
        names = self.activation if isinstance(self.activation, (list, tuple)) else [self.activation] * (len(sizes) - 1)
        names = [getattr(a, "name", a) for a in names] or ["identity"]
        layers = [names[min(i, len(names) - 1)] for i in range(len(sizes) - 1)]
        draws = {name: glorot_uniform(2.0 if name in LOGISTIC else 6.0, biases=True) for name in layers}
        return [draws[name](random, *pair) for name, pair in zip(layers, pairwise(sizes), strict=True)]

    def _split(self, target: Any, random: np.random.RandomState) -> tuple[HostArray, HostArray]:
        """Indices of the rows to train on and to validate on, drawn as in scikit-learn."""
        host = to_host(target)
        stratify = host if self._stratifies and host.shape[1] == 1 else None
        rows = np.arange(host.shape[0])
        train, test = train_test_split(rows, random_state=random, test_size=self.validation_fraction, stratify=stratify)
        if len(test) < 2:
            raise ValueError(
                "The validation set is too small. Increase 'validation_fraction' or the size of your dataset."
            )
        return train, test

    _stratifies = False


def _plain(rates: Any) -> Any:
    """A rate as a float, several as a list, which can be compared with ==."""
    return np.asarray(rates).tolist()


def take_rows(a: Any, index: HostArray) -> Any:
    """Rows of host data or of a device array; None for None."""
    if a is None or library_of(a) == "host":
        return None if a is None else a[index]
    backend = backend_of(a)
    with backend.scope():
        return backend.xp.take(a, backend.asarray(index), axis=0)
