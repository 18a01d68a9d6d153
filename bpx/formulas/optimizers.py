"""The optimizers: each has its recurrence, its hyperparameters, and where other libraries differ."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, final

import numpy as np

from bpx.errors.hints import explained, unknown_value
from bpx.formulas.hyperparameters import check_between, check_positive
from bpx.formulas.optimizer_base import Hyper, Optimizer
from bpx.formulas.schedules import Schedule

__all__ = ["OPTIMIZERS", "SGD", "Adagrad", "Adam", "AdamW", "Optimizer", "OptimizerName", "RMSprop", "get"]

# The keys of `OPTIMIZERS`.
OptimizerName = Literal["sgd", "rmsprop", "adagrad", "adam", "adamw"]


@final
@explained("bpx.SGD", "an optimizer")
@dataclass(frozen=True)
class SGD(Optimizer):
    """Stochastic gradient descent, with classical or Nesterov momentum.

    With parameters p_t, gradient g_t, velocity v_0 = 0 and rate r_t = ``learning_rate`` at step t = 1, 2, ...::

        p_t = p_{t-1} - r_t g_t                         momentum = 0
        v_t = momentum v_{t-1} - r_t g_t
        p_t = p_{t-1} + v_t                             momentum > 0
        p_t = p_{t-1} + momentum v_t - r_t g_t          nesterov

    Parameters
    ----------
    learning_rate : float, sequence of K floats, or Schedule
        Positive and finite; K floats give each network of a stack its own.
    momentum : float or sequence of K floats
        In [0, 1].
    nesterov : bool
        Look ahead along the velocity.
    clip_norm : float or sequence of K floats, optional
        The gradient is scaled down to this global norm where it is larger; None: never.

    Notes
    -----
    The rate is inside the velocity, as in scikit-learn and Keras. PyTorch and optax keep v_t without it and multiply
    when they step, which is the same while the rate is constant, and not where a schedule changes it.

    References
    ----------
    Polyak 1964; Sutskever et al. 2013, equation 7, at the parameters ahead.
    """

    learning_rate: Hyper | Schedule = 0.01
    momentum: Hyper = 0.0
    nesterov: bool = False

    def _check(self) -> None:
        check_between("momentum", self.momentum, 0.0, 1.0, closed=True)

    def _moments(self) -> tuple[str, ...]:
        plain = isinstance(self.momentum, (int, float)) and self.momentum == 0.0
        return () if plain else ("velocity",)

    def _equation(self, equations: Any, step: Any, learning_rate: Hyper) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        if not self._moments():
            return equations.gradient_descent, (learning_rate,)
        return equations.momentum, (learning_rate, self.momentum, self.nesterov)


@final
@explained("bpx.RMSprop", "an optimizer")
@dataclass(frozen=True)
class RMSprop(Optimizer):
    """The gradient divided by a running root mean square.

    With parameters p_t, gradient g_t, mean square s_0 = 0 and rate r_t = ``learning_rate`` at step t = 1, 2, ...::

        s_t = rho s_{t-1} + (1 - rho) g_t^2
        p_t = p_{t-1} - r_t g_t / (sqrt(s_t) + epsilon)

    Parameters
    ----------
    learning_rate : float, sequence of K floats, or Schedule
        Positive and finite; K floats give each network of a stack its own.
    rho : float or sequence of K floats
        Decay of the mean square, in [0, 1).
    epsilon : float or sequence of K floats
        Added to the root, > 0.
    clip_norm : float or sequence of K floats, optional
        The gradient is scaled down to this global norm where it is larger; None: never.

    Notes
    -----
    This is PyTorch's form, where rho is called alpha. Keras and optax, whose rho is 0.9 by default, add epsilon inside
    the root.

    References
    ----------
    Tieleman and Hinton 2012, lecture 6e.
    """

    rho: Hyper = 0.99
    epsilon: Hyper = 1e-8

    def _check(self) -> None:
        check_between("rho", self.rho, 0.0, 1.0)
        check_positive("epsilon", self.epsilon)

    def _moments(self) -> tuple[str, ...]:
        return ("square",)

    def _equation(self, equations: Any, step: Any, learning_rate: Hyper) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return equations.rmsprop, (learning_rate, self.rho, self.epsilon)


@final
@explained("bpx.Adagrad", "an optimizer")
@dataclass(frozen=True)
class Adagrad(Optimizer):
    """The gradient divided by the root of the sum of its squares.

    With parameters p_t, gradient g_t, sum s_0 = 0 and rate r_t = ``learning_rate`` at step t = 1, 2, ...::

        s_t = s_{t-1} + g_t^2
        p_t = p_{t-1} - r_t g_t / (sqrt(s_t) + epsilon)

    Parameters
    ----------
    learning_rate : float, sequence of K floats, or Schedule
        Positive and finite; K floats give each network of a stack its own.
    epsilon : float or sequence of K floats
        Added to the root, > 0.
    clip_norm : float or sequence of K floats, optional
        The gradient is scaled down to this global norm where it is larger; None: never.

    Notes
    -----
    This is PyTorch's form. Keras and optax add epsilon inside the root, and their sum starts at 0.1 by default.

    References
    ----------
    Duchi et al. 2011, diagonal form.
    """

    learning_rate: Hyper | Schedule = 0.01
    epsilon: Hyper = 1e-10

    def _check(self) -> None:
        check_positive("epsilon", self.epsilon)

    def _moments(self) -> tuple[str, ...]:
        return ("square",)

    def _equation(self, equations: Any, step: Any, learning_rate: Hyper) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return equations.adagrad, (learning_rate, self.epsilon)


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
    """Adaptive moment estimation.

    With parameters p_t, gradient g_t, moments m_0 = s_0 = 0 and rate r_t = ``learning_rate`` at step t = 1, 2, ...::

        m_t = beta_1 m_{t-1} + (1 - beta_1) g_t
        s_t = beta_2 s_{t-1} + (1 - beta_2) g_t^2
        p_t = p_{t-1} - r_t (m_t / (1 - beta_1^t)) / (sqrt(s_t / (1 - beta_2^t)) + epsilon)

    and with ``epsilon_hat``, where epsilon is added before the correction of s_t::

        p_t = p_{t-1} - r_t sqrt(1 - beta_2^t) / (1 - beta_1^t) m_t / (sqrt(s_t) + epsilon)

    Parameters
    ----------
    learning_rate : float, sequence of K floats, or Schedule
        Positive and finite; K floats give each network of a stack its own.
    beta_1, beta_2 : float or sequence of K floats
        Decay of the two moments, in [0, 1).
    epsilon : float or sequence of K floats
        Added to the root, > 0.
    epsilon_hat : bool
        Use the second form.
    clip_norm : float or sequence of K floats, optional
        The gradient is scaled down to this global norm where it is larger; None: never.

    Notes
    -----
    PyTorch and optax have the first form, scikit-learn and Keras the second (Keras with an epsilon of 1e-7).
    `bpx.MLPClassifier` and `bpx.MLPRegressor` use the second, as scikit-learn's do.

    References
    ----------
    Kingma and Ba 2015, algorithm 1; the second form stands at the end of their section 2.
    """

    epsilon_hat: bool = False

    def _equation(self, equations: Any, step: Any, learning_rate: Hyper) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return equations.adam, (step, learning_rate, self.beta_1, self.beta_2, self.epsilon, self.epsilon_hat)


@final
@explained("bpx.AdamW", "an optimizer")
@dataclass(frozen=True)
class AdamW(_Adaptive):
    """Adam with decoupled weight decay.

    With m_t, s_t and r_t as in the first form of `Adam`::

        p_t = (1 - r_t weight_decay) p_{t-1} - r_t (m_t / (1 - beta_1^t)) / (sqrt(s_t / (1 - beta_2^t)) + epsilon)

    Parameters
    ----------
    learning_rate : float, sequence of K floats, or Schedule
        Positive and finite; K floats give each network of a stack its own.
    beta_1, beta_2 : float or sequence of K floats
        Decay of the two moments, in [0, 1).
    epsilon : float or sequence of K floats
        Added to the root, > 0.
    weight_decay : float or sequence of K floats
        Not negative; acts on all parameters, biases included.
    clip_norm : float or sequence of K floats, optional
        The gradient is scaled down to this global norm where it is larger; None: never.

    Notes
    -----
    The decay is multiplied by the rate, as in PyTorch, optax and Keras, whose defaults are 0.01, 1e-4 and 0.004; in
    the paper's algorithm 2 it is multiplied by the schedule's factor alone. L2 as a part of the loss is
    ``bpx.fit(..., l2=)``.

    References
    ----------
    Loshchilov and Hutter 2019, algorithm 2.
    """

    weight_decay: Hyper = 0.01

    def _check(self) -> None:
        super()._check()
        check_between("weight_decay", self.weight_decay, 0.0, np.inf)

    def _equation(self, equations: Any, step: Any, learning_rate: Hyper) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        hypers = step, learning_rate, self.beta_1, self.beta_2, self.epsilon, False, self.weight_decay
        return equations.adam, hypers


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
