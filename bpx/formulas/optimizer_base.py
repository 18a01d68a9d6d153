"""An optimizer: ``init(params) -> state``, and ``update(grads, state, params) -> (params, state)`` on a flat vector.

Vectors have shape (p,), or (K, p) for a stack of K networks; a hyperparameter is a number or, for a stack, K numbers.
`params` and the arrays in `state` are written in place where the library allows it: use what is returned.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any, final

import numpy as np

from bpx._typing import Array, Namespace, State
from bpx.backend.base import writable
from bpx.formulas import updates
from bpx.formulas.hyperparameters import check_positive
from bpx.formulas.schedules import Clock, Constant, Schedule

__all__ = ["Hyper", "Optimizer"]

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
            given = value.rate(value.init(), Clock()) if isinstance(value, Schedule) else value
            if isinstance(given, (list, tuple, np.ndarray)) and np.ndim(given) > 0:
                if stack is None or np.shape(given) != (stack,):
                    expected = "one number for a single network" if stack is None else f"a number or {stack} of them"
                    raise ValueError(f"{entry.name}: expected {expected}, got an array of shape {np.shape(given)}")
                if given is value:
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
        names = self._moments()
        equation, hypers = self._equation(equations, step, learning_rate)
        written = equation(xp, grads, *(state[name] for name in names), params, *hypers)
        params, *moments = written if names else (written,)
        return params, {"step": step, **dict(zip(names, moments, strict=True))}

    @abstractmethod
    def _moments(self) -> tuple[str, ...]:
        """Names of the state's vectors."""

    @abstractmethod
    def _equation(self, equations: Any, step: Any, learning_rate: Hyper) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        """The function of `equations` that does a step, and its hyperparameters."""
