"""Optimizers: ``init(params) -> state`` and ``update(grads, state, params) -> (params, state)`` on one flat vector.

Vectors have shape (p,), or (K, p) for a stack of K networks; a hyperparameter is a number or, for a stack, K numbers.
`params` and the arrays in `state` are written in place where the library allows it: use what is returned.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any, Literal, final

import numpy as np

from bpx._typing import Array, Namespace, State
from bpx.backend.base import writable
from bpx.errors.calls import explained, unknown_value
from bpx.formulas import updates
from bpx.formulas.hyperparameters import check_between, check_positive
from bpx.formulas.schedules import Clock, Constant, Schedule

__all__ = ["OPTIMIZERS", "SGD", "Adagrad", "Adam", "AdamW", "Optimizer", "OptimizerName", "RMSprop", "get"]

# The keys of `OPTIMIZERS`.
OptimizerName = Literal["sgd", "rmsprop", "adagrad", "adam", "adamw"]

# A number, a sequence of K numbers for a stack, or after `bind` an array of shape (K, 1) on the device.
Hyper = Any


@dataclass(frozen=True)
class Optimizer(ABC):
    """What every optimizer has: a learning rate or schedule, and clipping that is off unless asked for.

    Parameters
    ----------
    learning_rate : float, sequence of K floats, or Schedule
        Positive and finite. K floats give each network of a stack its own.
    clip_norm : float or sequence of K floats, optional
        Scale the gradient down to this global norm where it is larger; None: never.
    """

    learning_rate: Hyper | Schedule = 0.001
    clip_norm: Hyper | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        for entry in fields(self):  # NumPy's scalars would make float32 steps float64, and other libraries refuse them
            value = getattr(self, entry.name)
            if isinstance(value, (np.generic, np.ndarray)) and value.ndim == 0:
                object.__setattr__(self, entry.name, value.item())
        if not isinstance(self.learning_rate, Schedule):
            check_positive("learning rate", self.learning_rate)
        if self.clip_norm is not None:
            check_positive("clip_norm", self.clip_norm)
        self._check()

    def _check(self) -> None:
        """Check the optimizer's own hyperparameters."""
        return

    @property
    @final
    def schedule(self) -> Schedule:
        """The learning rate as a schedule."""
        return self.learning_rate if isinstance(self.learning_rate, Schedule) else Constant(self.learning_rate)

    @final
    def init(self, params: Array) -> State:
        """State for a flat vector: ``step`` 0 and arrays of zeros like `params`."""
        # Updates write into the moments, so each is an array of its own, which dict.fromkeys would not give.
        return {"step": 0} | {name: params * 0.0 for name in self._moments()}  # noqa: C420 - an array each

    @final
    def bind(self, to_device: Callable[[Any], Array], stack: int | None) -> Optimizer:
        """The same optimizer with per-network hyperparameters as device arrays of shape (K, 1).

        Parameters
        ----------
        to_device : callable
            Turns a host array into one of the network's backend and dtype.
        stack : int or None
            K, or None for a single network.

        Raises
        ------
        ValueError
            If a hyperparameter is an array whose length is not K.
        """
        changes = {}
        for entry in fields(self):
            value = getattr(self, entry.name)
            shown = value.rate(value.init(), Clock()) if isinstance(value, Schedule) else value
            if isinstance(shown, (list, tuple, np.ndarray)) and np.ndim(shown) > 0:
                if stack is None or np.shape(shown) != (stack,):
                    expected = "one number for a single network" if stack is None else f"a number or {stack} of them"
                    raise ValueError(f"{entry.name}: expected {expected}, got an array of shape {np.shape(shown)}")
                if shown is value:
                    changes[entry.name] = to_device(np.asarray(value, dtype=np.float64)[:, None])
        if not changes:
            return self
        bound = object.__new__(type(self))
        for entry in fields(self):  # without __post_init__, whose checks are for host values and have been made
            object.__setattr__(bound, entry.name, changes.get(entry.name, getattr(self, entry.name)))
        return bound

    @final
    def update(
        self,
        grads: Array,
        state: State,
        params: Array,
        learning_rate: Hyper | None = None,
        xp: Namespace = None,
        equations: Any = updates,
        step: int | Array | None = None,
    ) -> tuple[Array, State]:
        """One step.

        Parameters
        ----------
        grads : Array of shape (p,) or (K, p)
            dL/dp.
        state : dict
            From `init` or the previous `update`.
        params : Array of shape (p,) or (K, p)
            Before the step.
        learning_rate : float or Array of shape (K, 1), optional
            The rate of this step; None: the optimizer's own, which must then be a number.
        xp : module, optional
            The arrays' namespace, to spare looking it up.
        equations : module, optional
            `updates`, or what has its functions in a faster form.
        step : int, or integer Array of shape (), optional
            This step's number, from 1; None: one more than the state's.

        Returns
        -------
        params, state
            Use these; the ones given may have been overwritten.
        """
        if xp is None:
            from array_api_compat import array_namespace

            xp = array_namespace(params)
            params, state = writable(params), {name: writable(value) for name, value in state.items()}
        if learning_rate is None:
            learning_rate = self.learning_rate
            if isinstance(learning_rate, Schedule):
                raise ValueError("update: with a schedule, pass learning_rate=schedule.rate(state, clock) at each step")
        if self.clip_norm is not None:
            grads = equations.clip_by_global_norm(xp, grads, self.clip_norm)
        if step is None:
            step = state["step"] + 1
        params, moments = self._apply(equations, xp, grads, state, params, step, learning_rate)
        return params, {"step": step, **moments}

    @abstractmethod
    def _moments(self) -> tuple[str, ...]:
        """Names of the state's vectors."""

    @abstractmethod
    def _apply(
        self, equations: Any, xp: Namespace, grads: Array, state: State, params: Array, step: Any, learning_rate: Hyper
    ) -> tuple[Array, State]:
        """The new parameters and moments, by the functions of `equations`."""


@final
@explained("bpx.SGD", "an optimizer")
@dataclass(frozen=True)
class SGD(Optimizer):
    """Stochastic gradient descent with classical or Nesterov momentum; see `updates.momentum`.

    Parameters
    ----------
    learning_rate : float, sequence of K floats, or Schedule
        Positive and finite; K floats give each network of a stack its own.
    momentum : float or sequence of K floats
        In [0, 1].
    nesterov : bool
        Look ahead along the velocity.
    clip_norm : float or sequence of K floats, optional
        Largest global norm of the gradient; None: no clipping.
    """

    learning_rate: Hyper | Schedule = 0.01
    momentum: Hyper = 0.0
    nesterov: bool = False

    def _check(self) -> None:
        check_between("momentum", self.momentum, 0.0, 1.0, closed=True)

    def _plain(self) -> bool:
        """Without momentum there is no velocity to keep."""
        return isinstance(self.momentum, (int, float)) and self.momentum == 0.0

    def _moments(self) -> tuple[str, ...]:
        return () if self._plain() else ("velocity",)

    def _apply(
        self, equations: Any, xp: Namespace, grads: Array, state: State, params: Array, step: Any, learning_rate: Hyper
    ) -> tuple[Array, State]:
        if self._plain():
            return equations.gradient_descent(xp, grads, params, learning_rate), {}
        params, velocity = equations.momentum(
            xp, grads, state["velocity"], params, learning_rate, self.momentum, self.nesterov
        )
        return params, {"velocity": velocity}


@final
@explained("bpx.RMSprop", "an optimizer")
@dataclass(frozen=True)
class RMSprop(Optimizer):
    """Gradient divided by a running root mean square; see `updates.rmsprop`.

    Parameters
    ----------
    learning_rate : float, sequence of K floats, or Schedule
        Positive and finite; K floats give each network of a stack its own.
    rho : float or sequence of K floats
        Decay of the running mean, in [0, 1).
    epsilon : float or sequence of K floats
        Added to the root, > 0.
    clip_norm : float or sequence of K floats, optional
        Largest global norm of the gradient; None: no clipping.
    """

    rho: Hyper = 0.99
    epsilon: Hyper = 1e-8

    def _check(self) -> None:
        check_between("rho", self.rho, 0.0, 1.0)
        check_positive("epsilon", self.epsilon)

    def _moments(self) -> tuple[str, ...]:
        return ("square",)

    def _apply(
        self, equations: Any, xp: Namespace, grads: Array, state: State, params: Array, step: Any, learning_rate: Hyper
    ) -> tuple[Array, State]:
        params, square = equations.rmsprop(xp, grads, state["square"], params, learning_rate, self.rho, self.epsilon)
        return params, {"square": square}


@final
@explained("bpx.Adagrad", "an optimizer")
@dataclass(frozen=True)
class Adagrad(Optimizer):
    """Gradient divided by the root of the sum of its squares; see `updates.adagrad`.

    Parameters
    ----------
    learning_rate : float, sequence of K floats, or Schedule
        Positive and finite; K floats give each network of a stack its own.
    epsilon : float or sequence of K floats
        Added to the root, > 0.
    clip_norm : float or sequence of K floats, optional
        Largest global norm of the gradient; None: no clipping.
    """

    learning_rate: Hyper | Schedule = 0.01
    epsilon: Hyper = 1e-10

    def _check(self) -> None:
        check_positive("epsilon", self.epsilon)

    def _moments(self) -> tuple[str, ...]:
        return ("square",)

    def _apply(
        self, equations: Any, xp: Namespace, grads: Array, state: State, params: Array, step: Any, learning_rate: Hyper
    ) -> tuple[Array, State]:
        params, square = equations.adagrad(xp, grads, state["square"], params, learning_rate, self.epsilon)
        return params, {"square": square}


@dataclass(frozen=True)
class _Adaptive(Optimizer):
    """What `Adam` and `AdamW` share: two moments."""

    beta_1: Hyper = 0.9
    beta_2: Hyper = 0.999
    epsilon: Hyper = 1e-8

    def _check(self) -> None:
        check_between("beta_1", self.beta_1, 0.0, 1.0)
        check_between("beta_2", self.beta_2, 0.0, 1.0)
        check_positive("epsilon", self.epsilon)

    def _moments(self) -> tuple[str, ...]:
        return ("mean", "square")


@final
@explained("bpx.Adam", "an optimizer")
@dataclass(frozen=True)
class Adam(_Adaptive):
    """Adaptive moment estimation; see `updates.adam`.

    Parameters
    ----------
    learning_rate : float, sequence of K floats, or Schedule
        Positive and finite; K floats give each network of a stack its own.
    beta_1, beta_2 : float or sequence of K floats
        Decay of the two moments, in [0, 1).
    epsilon : float or sequence of K floats
        Added to the root, > 0.
    epsilon_hat : bool
        Add it before the bias correction, as scikit-learn does; False as PyTorch and optax do.
    clip_norm : float or sequence of K floats, optional
        Largest global norm of the gradient; None: no clipping.
    """

    epsilon_hat: bool = False

    def _apply(
        self, equations: Any, xp: Namespace, grads: Array, state: State, params: Array, step: Any, learning_rate: Hyper
    ) -> tuple[Array, State]:
        params, mean, square = equations.adam(
            xp, grads, state["mean"], state["square"], params, step, learning_rate,
            self.beta_1, self.beta_2, self.epsilon, self.epsilon_hat,
        )  # fmt: skip
        return params, {"mean": mean, "square": square}


@final
@explained("bpx.AdamW", "an optimizer")
@dataclass(frozen=True)
class AdamW(_Adaptive):
    """Adam with decoupled weight decay: p <- p (1 - r w) before the step (Loshchilov and Hutter 2019, algorithm 2).

    Parameters
    ----------
    learning_rate : float, sequence of K floats, or Schedule
        Positive and finite; K floats give each network of a stack its own.
    beta_1, beta_2 : float or sequence of K floats
        Decay of the two moments, in [0, 1).
    epsilon : float or sequence of K floats
        Added to the root, > 0.
    weight_decay : float or sequence of K floats
        w >= 0; acts on all parameters, biases included, as PyTorch's does.
    clip_norm : float or sequence of K floats, optional
        Largest global norm of the gradient; None: no clipping.
    """

    weight_decay: Hyper = 0.01

    def _check(self) -> None:
        super()._check()
        check_between("weight_decay", self.weight_decay, 0.0, np.inf)

    def _apply(
        self, equations: Any, xp: Namespace, grads: Array, state: State, params: Array, step: Any, learning_rate: Hyper
    ) -> tuple[Array, State]:
        params, mean, square = equations.adam(
            xp, grads, state["mean"], state["square"], params, step, learning_rate,
            self.beta_1, self.beta_2, self.epsilon, False, self.weight_decay,
        )  # fmt: skip
        return params, {"mean": mean, "square": square}


OPTIMIZERS: dict[str, type[Optimizer]] = {
    "sgd": SGD,
    "rmsprop": RMSprop,
    "adagrad": Adagrad,
    "adam": Adam,
    "adamw": AdamW,
}


def get(optimizer: OptimizerName | Optimizer) -> Optimizer:
    """The optimizer of that name with its default hyperparameters, or the object itself.

    Raises
    ------
    ValueError
        If the name is not known; the message lists the known ones.
    TypeError
        If it is neither a name nor an `Optimizer`.
    """
    if isinstance(optimizer, Optimizer):
        return optimizer
    if not isinstance(optimizer, str):
        hint = f"; call it: {optimizer.__name__}()" if isinstance(optimizer, type) else ""
        raise TypeError(f"expected an optimizer's name or object, got {optimizer!r}{hint}")
    if optimizer.lower() not in OPTIMIZERS:
        raise ValueError(unknown_value("optimizer", optimizer, ", ".join(sorted(OPTIMIZERS))))
    return OPTIMIZERS[optimizer.lower()]()
