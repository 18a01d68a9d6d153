"""What `MLPClassifier` and `MLPRegressor` share: from scikit-learn's parameters to a bpx training run and back."""

from __future__ import annotations

import warnings
from abc import abstractmethod
from collections.abc import Iterable
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state, gen_batches, shuffle
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from bpx._typing import Array
from bpx.backend.base import Backend, library_of
from bpx.backend.select import backend_of, get_backend
from bpx.errors import DivergenceWarning
from bpx.faces.callback_protocol import CallbackSupport, Ticker
from bpx.faces.epochs import EpochEnd, EpochRate
from bpx.faces.layers import LayerArrays
from bpx.formulas.initializers import glorot_uniform
from bpx.formulas.losses import Loss
from bpx.formulas.optimizers import SGD, Adam, Optimizer
from bpx.formulas.schedules import Schedule
from bpx.network import inputs
from bpx.network.mlp import MLP
from bpx.network.objective import Objective
from bpx.training import solvers
from bpx.training.batches import Data, SparseRows
from bpx.training.callbacks import ProgressLines, as_callback
from bpx.training.descent import Descent
from bpx.training.history import StopReason
from bpx.training.monitor import Run
from bpx.training.solvers import SciPy

__all__ = ["BaseMLP"]

HostArray = np.ndarray[Any, Any]
STOCHASTIC = ("sgd", "adam")


class BaseMLP(CallbackSupport, BaseEstimator):  # type: ignore[misc]
    """Everything but targets: those belong to the classifier and the regressor."""

    # ------------------------------------------------------------------ what the two differ in

    @abstractmethod
    def _begin_targets(self, y: Any, incremental: bool) -> None:
        """Learn or check the classes."""

    @abstractmethod
    def _encode(self, y: Any) -> Any:
        """Targets of shape (n, n_outputs) for the network, on the host or the backend."""

    @abstractmethod
    def _output(self) -> tuple[Any, str]:
        """The output activation, and scikit-learn's name for it."""

    @abstractmethod
    def _loss(self) -> Loss:
        """The loss to train with."""

    @abstractmethod
    def _metric(self, y: Any, output: HostArray, weight: Any) -> float:
        """The score of outputs, larger is better; NaN where they are not finite."""

    # ------------------------------------------------------------------ fit

    def _fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        incremental: bool = False,
        X_val: Any = None,
        y_val: Any = None,
        sample_weight_val: Any = None,
    ) -> BaseMLP:
        """Fit, or leave the estimator as it was."""
        before = dict(vars(self))
        net: MLP | None = before.get("_net")
        kept = None if net is None else net.flat * 1.0
        resume = before.get("_resume")
        if resume is not None:
            before["_resume"] = resume | {
                "state": {k: v * 1.0 if hasattr(v, "ndim") else v for k, v in resume["state"].items()}
            }
        try:
            return self._train(X, y, sample_weight, incremental, X_val, y_val, sample_weight_val)
        except BaseException:
            vars(self).clear()
            vars(self).update(before)
            if net is not None:
                net.flat[...] = kept
            raise

    def _train(
        self, X: Any, y: Any, sample_weight: Any, incremental: bool, X_val: Any, y_val: Any, sample_weight_val: Any
    ) -> BaseMLP:
        """Validate, build the network where it is the first pass, train, and set the fitted attributes."""
        sizes = list(self.hidden_layer_sizes) if np.iterable(self.hidden_layer_sizes) else [self.hidden_layer_sizes]
        if np.any(np.array(sizes) <= 0):
            raise ValueError(f"hidden_layer_sizes must be > 0, got {sizes}.")
        first = not hasattr(self, "_net") or (not self.warm_start and not incremental)
        if self.early_stopping and incremental:
            raise ValueError("partial_fit does not support early_stopping=True")
        backend = self._choose_backend(X)
        X, y = self._validate_training(X, y, reset=first)
        if sample_weight is not None:
            sample_weight = _check_sample_weight(_to_host(sample_weight), np.empty((X.shape[0], 1)))
        self._begin_targets(y, incremental)
        target = self._encode(y)
        weight = self._class_weighted(y, sample_weight)
        random = check_random_state(self.random_state)
        if first:
            self._initialize(backend, [X.shape[1], *sizes, target.shape[1]], random, X)
        elif self._net.backend != backend:
            self._net = self._net.to(backend)

        held_out = None
        train = np.arange(X.shape[0])
        if X_val is not None:
            X_val, y_val = self._validate_validation(X_val, y_val)
            held_out = (X_val, y_val, sample_weight_val)
        elif self.early_stopping:
            train, test = self._split(target, random)
            host_y = _to_host(y)
            held_out = (X[test], host_y[test], None if sample_weight is None else sample_weight[test])
            X = X[train]
            target = target[train]
            weight = None if weight is None else weight[train]
        self._run(X, target, weight, held_out, random, incremental)
        return self

    def _choose_backend(self, X: Any) -> Backend:
        """The backend of the parameters; that of a device array where none is asked for."""
        name = self.backend
        if isinstance(name, str) and self.device is not None:
            name = f"{name}:{self.device}"
        if name is None and self.device is not None:
            raise ValueError(f"device={self.device!r} needs backend='cupy' or 'torch'")
        if name is None and library_of(X) != "host":
            return backend_of(X)
        return get_backend(name)

    def _validate_training(self, X: Any, y: Any, reset: bool) -> tuple[Any, Any]:
        """scikit-learn's checks for host data; shape and number of columns for arrays on a device."""
        if library_of(X) != "host":
            return self._validate_device(X, reset), y
        wanted = (np.float64, np.float32) if self.dtype is None else self.dtype
        checks = {"accept_sparse": ["csr", "csc"], "multi_output": True, "dtype": wanted, "reset": reset}
        return validate_data(self, X, _to_host(y), **checks, **self._target_checks)  # type: ignore[no-any-return]

    _target_checks: dict[str, Any] = {}

    def _validate_device(self, X: Any, reset: bool) -> Any:
        """Shape, number of columns and dtype of an array on a device; the gate checks its values."""
        if X.ndim != 2:
            raise ValueError(f"Expected 2D array, got {X.ndim}D array instead")
        if X.shape[0] == 0:
            raise ValueError("Found array with 0 sample(s) while a minimum of 1 is required.")
        if reset:
            self.n_features_in_ = int(X.shape[1])
        elif X.shape[1] != self.n_features_in_:
            raise ValueError(
                f"X has {X.shape[1]} features, but {type(self).__name__} is expecting {self.n_features_in_}"
                " features as input"
            )
        return X

    def _validate_validation(self, X_val: Any, y_val: Any) -> tuple[Any, Any]:
        """Checks of validation data, which never change what the estimator knows."""
        if y_val is None:
            raise ValueError("X_val was given without y_val")
        return self._validate_training(X_val, y_val, reset=False)

    def _class_weighted(self, y: Any, sample_weight: Any) -> Any:
        """Sample weights; the classifier multiplies in its class weights."""
        return sample_weight

    def _initialize(self, backend: Backend, sizes: list[int], random: np.random.RandomState, X: Any) -> None:
        """A new network with scikit-learn's initial weights: Glorot-uniform, biases too, layer by layer."""
        self._random_state = random
        self.n_layers_ = len(sizes)
        output, self.out_activation_ = self._output()
        if self.output_activation is not None:
            output = self.output_activation
            self.out_activation_ = output if isinstance(output, str) else output.name
        stack = self.n_init if self.n_init > 1 else None
        dtype = self.dtype or ("float32" if str(X.dtype).endswith("float32") else "float64")
        draw = glorot_uniform(2.0 if self.activation == "logistic" else 6.0, biases=True)
        flat = np.concatenate(
            [
                np.concatenate([part.ravel() for pair in layers for part in pair])[None]
                for layers in (
                    [draw(random, n_in, n_out) for n_in, n_out in zip(sizes, sizes[1:], strict=False)]
                    for _ in range(self.n_init)
                )
            ]
        )
        hidden = list(self.activation) if isinstance(self.activation, (list, tuple)) else self.activation
        dropout = list(self.dropout) if isinstance(self.dropout, (list, tuple)) else self.dropout
        seed = int(random.randint(2**31 - 1)) if np.any(np.asarray(dropout) > 0) else 0
        net = MLP(sizes, hidden, output, init="zeros", dropout=dropout, dtype=dtype, seed=seed, backend=backend,
                  stack=stack)  # fmt: skip
        net.flat[...] = net.backend.asarray(flat if stack else flat[0], net.backend.dtype(net.dtype))
        self._net = net
        self._resume = None
        self.n_iter_ = self.t_ = 0
        self.n_outputs_ = sizes[-1]
        self.backend_, self.device_ = net.backend.name, str(net.backend.device)
        self.loss_curve_: list[float] = []
        self.validation_loss_curve_: list[float] = []
        self._solver_is_stochastic = not self._scipy()
        if not self._solver_is_stochastic:
            del self.loss_curve_
        else:
            self.best_loss_ = None if self._scores() else np.inf
            self.validation_scores_: Any = [] if self._scores() else None
            self.best_validation_score_ = -np.inf if self._scores() else None

    def _split(self, target: Any, random: np.random.RandomState) -> tuple[HostArray, HostArray]:
        """Row numbers of the training and the validation part, drawn as scikit-learn draws them."""
        host = _to_host(target)
        stratify = host if self._stratifies and host.shape[1] == 1 else None
        rows = np.arange(host.shape[0])
        train, test = train_test_split(
            rows, random_state=random, test_size=self.validation_fraction, stratify=stratify
        )
        if len(test) < 2:
            raise ValueError(
                "The validation set is too small. Increase 'validation_fraction' or the size of your dataset."
            )
        return train, test

    _stratifies = False

    # ------------------------------------------------------------------ the run

    def _scipy(self) -> SciPy | None:
        """The SciPy method that `solver` means, with scikit-learn's limits for lbfgs; None for the others."""
        if isinstance(self.solver, Optimizer) or self.solver in STOCHASTIC:
            return None
        solver = solvers.get(self.solver)
        if self.solver == "lbfgs":
            return SciPy("lbfgs", {"maxfun": self.max_fun, "gtol": self.tol})
        return solver

    def _scores(self) -> bool:
        """Whether a validation score is computed after each epoch."""
        return bool(self.early_stopping) or self.monitor == "validation_score" or callable(self.monitor)

    def _first_order(self) -> tuple[Optimizer, Schedule, EpochRate | None]:
        """The optimizer, its schedule, and the part of it that scikit-learn's epochs steer."""
        if isinstance(self.solver, Optimizer):
            return self.solver, self.solver.schedule, None
        own = self.learning_rate if isinstance(self.learning_rate, Schedule) else None
        first: Any = own if own is not None else self.learning_rate_init
        if self.solver == "adam":
            adam = Adam(first, self.beta_1, self.beta_2, self.epsilon, epsilon_hat=True, clip_norm=self.clip_norm)
            return adam, adam.schedule, None
        sgd = SGD(first, self.momentum, self.nesterovs_momentum, clip_norm=self.clip_norm)
        if own is not None:
            return sgd, own, None
        rate = EpochRate(self.learning_rate, self.learning_rate_init, self.power_t)
        return sgd, rate, rate

    def _gate(self, X: Any, target: Any, weight: Any, loss: Loss) -> Data:
        """Bring data that scikit-learn has checked to the network's backend."""
        backend, dtype = self._net.backend, self._net.backend.dtype(self._net.dtype)
        n = X.shape[0]
        if hasattr(X, "tocsr"):
            rows: Any = SparseRows(backend, X, dtype)
        else:
            rows, _ = inputs.inputs(backend, dtype, X, self._net.sizes[0])
        t = inputs.targets(backend, dtype, target, n, self._net.sizes[-1], loss)
        return Data(rows, t, inputs.sample_weights(backend, dtype, weight, n, None))

    def _batch_size(self, n: int) -> int:
        """Samples per step, as scikit-learn takes and clips it."""
        if self.batch_size == "auto":
            return min(200, n)
        if self.batch_size > n:
            warnings.warn(
                "Got `batch_size` less than 1 or larger than sample size. It is going to be clipped", stacklevel=2
            )
        return int(np.clip(self.batch_size, 1, n))

    def _run(
        self, X: Any, target: Any, weight: Any, held_out: Any, random: np.random.RandomState, incremental: bool
    ) -> None:
        """Train on checked data."""
        net, loss, solver = self._net, self._loss(), self._scipy()
        data = self._gate(X, target, weight, loss)
        val_data, metric = self._monitoring(held_out, loss)
        objective = Objective(net, loss, self.alpha, self.l1, per_batch=True)
        hooks = [as_callback(c) for c in (self.callbacks if isinstance(self.callbacks, Iterable) else [])]
        if self.progress:
            hooks.append(ProgressLines(None if self.progress is True else int(self.progress)))
        ticker = Ticker(self)
        hooks += ticker.hooks
        epochs = 1 if incremental else self.max_iter
        restore = bool(self.early_stopping) or (self.monitor is not None and self.restore_best)
        self.n_iter_ = 0
        with net.backend.scope(), np.errstate(all="ignore"), ticker.task(X, target), warnings.catch_warnings():
            warnings.simplefilter("ignore", DivergenceWarning)
            if solver is None:
                reason, run = self._descend(data, val_data, metric, objective, hooks, epochs, restore, random, incremental)
            else:
                minimize = solvers.check(net, solver)
                run = Run(net, data, objective, val_data, [], hooks, epochs, "")
                reason = _guarded(run, lambda: solvers.minimize(minimize, run, objective, data, solver))
            run.finish(reason)
        if reason is StopReason.DIVERGED or np.any(run.history.diverged):
            raise ValueError(
                "Solver produced non-finite parameter weights. The input data may contain large values and need to be"
                " preprocessed."
            )
        if solver is not None:
            self._finish_scipy(run)
        elif reason is StopReason.EPOCHS and not incremental:
            warnings.warn(
                f"Stochastic Optimizer: Maximum iterations ({self.max_iter}) reached and the optimization hasn't"
                " converged yet.",
                ConvergenceWarning,
                stacklevel=2,
            )
        if reason is StopReason.INTERRUPTED:
            warnings.warn("Training interrupted by user.", stacklevel=2)
        self.history_ = run.history
        if net.stack is not None:
            self._keep_best(run, objective, data, metric)
        if not self.validation_loss_curve_:
            del self.validation_loss_curve_

    def _descend(
        self, data: Data, val_data: Any, metric: Any, objective: Objective, hooks: Any, epochs: int, restore: bool,
        random: np.random.RandomState, incremental: bool,
    ) -> tuple[StopReason, Run]:  # fmt: skip
        """Train by the first-order loop, continuing where partial_fit left off."""
        net, n = self._net, data.X.shape[0]
        optimizer, schedule, rate = self._first_order()
        epoch_end = EpochEnd(self, rate, metric, restore)
        if not hasattr(self, "validation_loss_curve_"):
            self.validation_loss_curve_ = []
        size = self._batch_size(n)
        rows = np.arange(n, dtype=np.int64)

        def order() -> Any:
            nonlocal rows
            if self.shuffle:
                rows = shuffle(rows, random_state=random)
            return rows if self.shuffle and size < n else None

        bound = optimizer.bind(lambda a: net.backend.asarray(a, net.backend.dtype(net.dtype)), net.stack)
        descent = Descent(bound, schedule, size, order, by_rows=True)
        if self._resume is not None:
            epoch_end.waited, epoch_end.best = self._resume["waited"], self._resume["best"]
            if incremental:
                descent.step, descent.samples = self._resume["step"], self._resume["samples"]
                descent.state = {
                    name: value if np.isscalar(value) else net.backend.asarray(value)
                    for name, value in self._resume["state"].items()
                }
                if rate is not None:
                    rate.now = self._resume["rate"]
        run = Run(net, data, objective, val_data, [epoch_end], hooks, epochs, "")
        reason = _guarded(run, lambda: descent.train(run, objective, data))
        self._resume = {
            "state": descent.state,
            "step": descent.step,
            "samples": descent.samples,
            "rate": None if rate is None else rate.now,
            "waited": epoch_end.waited,
            "best": epoch_end.best,
        }
        return reason, run

    def _monitoring(self, held_out: Any, loss: Loss) -> tuple[Data | None, Any]:
        """Validation data for the loss curve, and the metric that is watched (larger is better)."""
        if held_out is None:
            if self.monitor not in (None, "loss"):
                raise ValueError(f"monitor={self.monitor!r} needs early_stopping=True or fit(..., X_val=, y_val=)")
            return None, None
        X_val, y_val, weight = held_out
        val_data = self._gate(X_val, self._encode(y_val), weight, loss)
        if callable(self.monitor):
            return val_data, self.monitor
        if self.monitor == "validation_loss":
            return val_data, lambda run: -np.asarray(run.val_loss)
        if self.monitor == "loss":
            return val_data, lambda run: -np.asarray(run.loss)
        if not self._scores():
            return val_data, None
        return val_data, lambda run: self._score_of(X_val, y_val, weight)

    def _score_of(self, X: Any, y: Any, weight: Any) -> Any:
        """The score of the network as it is; of each network of a stack."""
        output = self._net.backend.to_host(self._outputs(X))
        if self._net.stack is None:
            return self._metric(_to_host(y), output, weight)
        return [self._metric(_to_host(y), one, weight) for one in output]

    def _finish_scipy(self, run: Run) -> None:
        """scikit-learn's attributes and warning after a SciPy method."""
        result = run.solution
        self.n_iter_ = run.epoch if result is None else min(int(result.nit), self.max_iter)
        self.loss_ = float(run.loss if result is None else result.fun)
        if result is not None and not result.success:
            warnings.warn(
                f"{self.solver} failed to converge after {self.n_iter_} iteration(s) (status={result.status}):\n"
                f"{result.message}\n\nIncrease the number of iterations to improve the convergence"
                f" (max_iter={self.max_iter}).\nYou might also want to scale the data as shown in:\n"
                "    https://scikit-learn.org/stable/modules/preprocessing.html",
                ConvergenceWarning,
                stacklevel=2,
            )

    def _keep_best(self, run: Run, objective: Objective, data: Data, metric: Any) -> None:
        """Of several restarts keep the network with the best score, or the smallest loss."""
        worth = -np.asarray(run.history.loss[-1]) if metric is None else np.asarray(metric(run))
        best = int(np.argmax(worth))
        flat = self._net.backend.to_host(self._net.flat)[best]
        net = self._net
        self.losses_of_restarts_ = np.asarray(run.history.loss[-1])
        self._net = MLP(net.sizes, list(net.hidden), net.output, dropout=list(net.dropout), dtype=net.dtype,
                        seed=net.seeds[best], init="zeros", backend=net.backend)  # fmt: skip
        self._net.flat[...] = self._net.backend.asarray(flat)
        self._resume = None

    # ------------------------------------------------------------------ answers

    def _outputs(self, X: Any) -> Array:
        """The network's outputs, in chunks that bound memory."""
        net = self._net
        size = self.predict_batch_size or X.shape[0]
        if X.shape[0] <= size and not hasattr(X, "tocsr"):
            return net(X)
        parts = (X[rows] for rows in gen_batches(X.shape[0], min(size, 4096) if hasattr(X, "tocsr") else size))
        return net.backend.xp.concat([net(p.toarray() if hasattr(p, "toarray") else p) for p in parts], axis=-2)

    def _checked(self, X: Any) -> Any:
        """Inputs for prediction, as scikit-learn checks them."""
        check_is_fitted(self, "_net")
        if library_of(X) != "host":
            return self._validate_device(X, reset=False)
        return validate_data(self, X, accept_sparse=["csr", "csc"], dtype=(np.float64, np.float32), reset=False)

    def _as_given(self, values: Array, X: Any) -> Any:
        """Numbers in the kind of array that came in: NumPy for host data, the network's own for device arrays."""
        return self._net.backend.to_host(values) if library_of(X) == "host" else values

    def hidden_activations(self, X: Any) -> list[Any]:
        """Every hidden layer's outputs for `X`, each of shape (n, units)."""
        checked = self._checked(X)
        dense = checked.toarray() if hasattr(checked, "toarray") else checked
        return [self._as_given(a, X) for a in self._net.activations(dense)[:-1]]

    def input_gradient(self, X: Any, y: Any) -> Any:
        """Derivative of the mean loss with respect to every input, of the shape of `X`."""
        checked = self._checked(X)
        dense = checked.toarray() if hasattr(checked, "toarray") else checked
        return self._as_given(self._net.input_gradient(dense, self._encode(_to_host(y)), loss=self._loss()), X)

    # ------------------------------------------------------------------ weights

    @property
    def coefs_(self) -> LayerArrays:
        """Every layer's weights of shape (n_in, n_out): writing into one, or replacing one, changes the model."""
        return LayerArrays(self._fitted_net(), "W")

    @coefs_.setter
    def coefs_(self, values: Iterable[Any]) -> None:
        LayerArrays(self._fitted_net(), "W").replace(values)

    @property
    def intercepts_(self) -> LayerArrays:
        """Every layer's biases of shape (n_out,): writing into one, or replacing one, changes the model."""
        return LayerArrays(self._fitted_net(), "b")

    @intercepts_.setter
    def intercepts_(self, values: Iterable[Any]) -> None:
        LayerArrays(self._fitted_net(), "b").replace(values)

    def _fitted_net(self) -> MLP:
        """The network; an AttributeError before fit, as for any fitted attribute."""
        if "_net" not in vars(self):
            raise AttributeError(f"this {type(self).__name__} is not fitted yet: it has no weights")
        return self._net

    def __sklearn_is_fitted__(self) -> bool:
        return "_net" in vars(self)

    def __getstate__(self) -> Any:
        state = dict(super().__getstate__())
        if state.get("_resume"):
            to_host = self._net.backend.to_host
            arrays = {k: to_host(v) if hasattr(v, "ndim") else v for k, v in state["_resume"]["state"].items()}
            state["_resume"] = state["_resume"] | {"state": arrays}
        return state

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags


def _guarded(run: Run, train: Any) -> StopReason:
    """Run a training function; Ctrl-C ends it and keeps the model."""
    run.begin()
    try:
        return train()  # type: ignore[no-any-return]
    except KeyboardInterrupt:
        return StopReason.INTERRUPTED


def _to_host(a: Any) -> Any:
    """A device array's copy on the host; anything else as it is."""
    return a if library_of(a) == "host" else backend_of(a).to_host(a)

