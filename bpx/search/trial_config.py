"""A setting as a network and its training, and what may differ between the networks of a stack."""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from inspect import signature
from typing import Any

import numpy as np

from bpx import losses, optimizers
from bpx.errors.hint_tables import INSTEAD
from bpx.errors.hints import instead_of, is_wrong_call, is_wrong_call_within
from bpx.errors.values import check_count
from bpx.losses import Loss
from bpx.network.mlp import MLP
from bpx.optimizers import Optimizer
from bpx.schedules import Schedule, WarmUp
from bpx.search.grid import Setting, identity
from bpx.training import solvers
from bpx.training.array_feed import check_sampling
from bpx.training.solvers import SciPy

# Arguments of `bpx.fit` that a setting may contain, with the sweep's defaults.
OPTIONS: dict[str, Any] = {
    "loss": "cross_entropy",
    "optimizer": "adam",
    "epochs": 20,
    "batch_size": 128,
    "sampling": "shuffle",
    "l2": 0.0,
    "class_weight": None,
    "precision": None,
}
# Each network of a stack has its own (as it has of every numeric hyperparameter of the optimizer).
EACH = ("l2",)


@dataclass(frozen=True)
class TrialConfig:
    """A setting's network, ``make(**architecture)``, and its training: arguments of `bpx.fit`, those of `OPTIONS`."""

    make: Callable[..., MLP]
    architecture: Setting
    options: Mapping[str, Any]

    @property
    def loss(self) -> Loss:
        """The loss."""
        loss: Loss = self.options["loss"]
        return loss

    @property
    def optimizer(self) -> Optimizer | SciPy:
        """The optimizer, or the method of SciPy's."""
        optimizer: Optimizer | SciPy = self.options["optimizer"]
        return optimizer

    def network(self) -> MLP:
        """A new network; TypeError or ValueError if `make` does not return a single one."""
        try:
            net = self.make(**self.architecture)
        except TypeError as error:
            unknown = self._unknown(error)
            if unknown is not None:
                did = f"got an unexpected keyword argument {unknown!r}"
                if not is_wrong_call(error):
                    did = f"passed {unknown!r} on to bpx.MLP, which does not take it"
                raise TypeError(
                    f"grid: the function that makes a network {did}: names that are no arguments of bpx.fit and no"
                    f" hyperparameters of {type(self.optimizer).__name__} are given to it;"
                    f" {instead_of('a grid', unknown, self._names, self.architecture)}"
                ) from None
            raise TypeError(
                f"the function that makes a network was called with {self.architecture} and raised: {error}. Names of a"
                f" grid that are no arguments of fit ({', '.join(OPTIONS)}) and no hyperparameters of"
                f" {type(self.optimizer).__name__} are given to it"
            ) from error
        if not isinstance(net, MLP):
            raise TypeError(f"expected a function that returns a bpx.MLP, it returned {type(net).__name__}")
        if net.stack is not None:
            raise ValueError("expected a function that returns a single network, it returned a stack: leave out stack=")
        return net

    @property
    def _names(self) -> list[str]:
        """The names that a grid may contain besides arguments of `make`."""
        return [*OPTIONS, *(entry.name for entry in fields(self.optimizer))]

    def _unknown(self, error: TypeError) -> str | None:
        """The name that `make` does not accept, or that it passed on to bpx.MLP by mistake; None for other errors."""
        if is_wrong_call(error):
            found = re.search(r"unexpected keyword argument '(\w+)'", str(error))
            return found[1] if found and found[1] in self.architecture else None
        from difflib import get_close_matches  # only for messages

        for name in self.architecture:
            if name not in INSTEAD["a grid"] and not get_close_matches(name, self._names, n=1):
                continue
            if is_wrong_call_within(error, f"bpx.MLP has no {name}=;") and name not in signature(self.make).parameters:
                return str(name)
        return None

    @property
    def rate(self) -> float:
        """The learning rate, or the first one of a schedule; 0 if there is none."""
        given = getattr(self.optimizer, "learning_rate", 0.0)
        return float(np.min(_base(given) if isinstance(given, Schedule) else given))

    def key(self, net: MLP) -> Hashable:
        """Equal for settings whose networks can be trained in one stack."""
        shared = (
            net.sizes, net.bias, net.dropout, net.dtype, net.hidden, net.output, net.backend.name, net.backend.device,
            *(value for name, value in self.options.items() if name != "optimizer" and name not in EACH),
        )  # fmt: skip
        if isinstance(self.optimizer, SciPy):
            return *map(identity, shared), id(self)
        kinds = []
        for entry in fields(self.optimizer):
            value = getattr(self.optimizer, entry.name)
            if isinstance(value, Schedule) and (base := _base(value)) is not None:
                value = _with_base(value, 1.0) if np.ndim(base) == 0 else value
            kinds.append("number" if _is_number(value) else identity(value))
        return *map(identity, shared), type(self.optimizer), *kinds


def trial_config(make: Callable[..., MLP], setting: Setting, options: Mapping[str, Any]) -> TrialConfig:
    """A setting as a TrialConfig; `options` are the defaults of `OPTIONS`, errors are those of `bpx.fit`."""
    arguments = {name: setting.get(name, value) for name, value in options.items()}
    solver = solvers.get(arguments["optimizer"])
    optimizer: Any = optimizers.get(arguments["optimizer"]) if solver is None else solver
    rest = {name: value for name, value in setting.items() if name not in options}
    if isinstance(optimizer, Optimizer):
        names = {entry.name for entry in fields(optimizer)}
        changes = {name: rest.pop(name) for name in list(rest) if name in names}
        rate, schedule = changes.get("learning_rate"), optimizer.learning_rate
        if _is_number(rate) and isinstance(schedule, Schedule):
            changes["learning_rate"] = _with_base(schedule, rate)
        optimizer = replace(optimizer, **changes)
        for name in names:
            _check_single(name, getattr(optimizer, name))
    _check_single("l2", arguments["l2"])
    checked = {
        "loss": losses.get(arguments["loss"]), "optimizer": optimizer,
        "epochs": check_count("epochs", arguments["epochs"]), "sampling": check_sampling(arguments["sampling"]),
    }  # fmt: skip
    return TrialConfig(make, rest, arguments | checked)


def _check_single(name: str, value: Any) -> None:
    """ValueError for a list of values in place of one."""
    if np.ndim(value) > 0:
        raise ValueError(f'{name}: expected one number, got {value!r}; several go into the grid, {{"{name}": [...]}}')


def stacked_optimizer(each: Sequence[Any]) -> Optimizer:
    """One optimizer with the hyperparameters of several, whose `TrialConfig.key` is equal."""
    changes: dict[str, Any] = {}
    for entry in fields(each[0]):
        values = [getattr(optimizer, entry.name) for optimizer in each]
        if isinstance(values[0], Schedule):
            bases = [_base(value) for value in values]
            if len(set(map(identity, bases))) > 1:
                changes[entry.name] = _with_base(values[0], bases)
        elif _is_number(values[0]) and len(set(values)) > 1:
            changes[entry.name] = values
    optimizer: Optimizer = replace(each[0], **changes)
    return optimizer


def _is_number(value: Any) -> bool:
    """Whether `value` is a number and no bool."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _base(schedule: Schedule) -> Any:
    """The rate that a schedule scales; None for a user's schedule."""
    return _base(schedule.after) if isinstance(schedule, WarmUp) else getattr(schedule, "initial", None)


def _with_base(schedule: Schedule, rate: Any) -> Schedule:
    """The schedule with another rate to scale."""
    if isinstance(schedule, WarmUp):
        return replace(schedule, after=_with_base(schedule.after, rate))
    if _base(schedule) is None:
        raise ValueError(
            f"learning_rate: {type(schedule).__name__} has no first rate to set; put schedules into the grid"
        )
    changed: Schedule = replace(schedule, initial=rate)  # type: ignore[type-var]
    return changed
