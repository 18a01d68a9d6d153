"""What is said to a call with a name that bpx does not have, and to an unknown name of a loss, an activation, ..."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import numpy as np

from bpx.errors.other_libraries import INSTEAD, OFF, VALUES

P = ParamSpec("P")
R = TypeVar("R")
C = TypeVar("C", bound=type)

# Owners that are several classes, not all of which take the argument that a hint names: alternatives between "|".
_SEVERAL = ("an optimizer", "a schedule", "a stopping rule")
_OPTIMIZERS = {"sgd": "SGD", "rmsprop": "RMSprop", "adagrad": "Adagrad", "adam": "Adam", "adamw": "AdamW"}
# The kind of value, in `VALUES`, that an argument takes.
_KINDS = {
    **dict.fromkeys(("hidden", "output", "activation", "output_activation"), "activation"),
    "solver": "optimizer", "init": "initializer", "scoring": "metric",
}  # fmt: skip


def _count(value: Any) -> bool:
    return isinstance(value, int) and value >= 1


def _within(low: float, high: float) -> Callable[[Any], bool]:
    return lambda value: low <= value < high


_TINY = 5e-324
# Which numbers a hint repeats, by the argument that it says to give.
_REPEATED: dict[str, Callable[[Any], bool]] = {
    **dict.fromkeys(("epochs", "max_iter", "patience", "length", "every", "batch_size", "workers", "stack"), _count),
    **dict.fromkeys(("learning_rate", "learning_rate_init", "initial", "clip_norm", "epsilon"),
                    _within(_TINY, float("inf"))),
    **dict.fromkeys(("l2", "alpha", "weight_decay", "minimum", "min_delta"), _within(0.0, float("inf"))),
    **dict.fromkeys(("momentum", "dropout"), _within(0.0, 1.0)),
    **dict.fromkeys(("validation", "rho", "factor"), _within(_TINY, 1.0)),
    **dict.fromkeys(("seed", "random_state"), lambda value: isinstance(value, int) and 0 <= value < 2**32),
}  # fmt: skip


def instead_of(owner: str, name: str, known: Any, given: Mapping[str, Any] | None = None) -> str:
    """What to write in place of an unknown name: what is meant by it elsewhere, or a `known` one that is spelt like it.

    `owner` is a key of `INSTEAD`, `given` has the call's arguments by name.
    """
    given, known = given or {}, [one for one in known if not one.startswith("_")]
    hint = INSTEAD.get(owner, {}).get(name)
    if hint is not None and owner in _SEVERAL:
        arguments = [(one, re.match(r"give (\w+)=", one)) for one in hint.split(" | ")]
        hint = next((one for one, argument in arguments if argument is None or argument[1] in known), None)
    if hint is not None:
        value = _plain(given.get(name, ...))
        if (value is None or (isinstance(value, (bool, int, float)) and not value)) and name in OFF.get(owner, {}):
            return OFF[owner][name]
        optimizer = given.get("optimizer", "adam")
        optimizer = optimizer if isinstance(optimizer, str) else type(optimizer).__name__
        place = re.search(r"(?:(\w+)=|\()\{value\}", hint.replace("{name}", name))
        written = _repeated(place[1] or "learning_rate", value) if place else "..."
        return hint.format(name=name, value=written, optimizer=_OPTIMIZERS.get(optimizer.lower(), "Adam"))
    from difflib import get_close_matches  # only for messages

    close = get_close_matches(name.casefold(), known, n=1)
    return f"did you mean {close[0]}?" if close else f"there are {', '.join(known)}"


def unknown_value(kind: str, value: str, known: str) -> str:
    """What is said to an unknown name of a loss, an activation, ...

    `kind` is a key of `VALUES`, or an argument that takes such a value; `known` says in words what there is.
    """
    from difflib import get_close_matches  # only for messages

    table = _KINDS.get(kind, kind)
    meant = _meant(table, value) or "".join(get_close_matches(value.casefold(), VALUES[table], n=1, cutoff=0.75))
    return f"unknown {kind} {value!r}{f' (did you mean {meant!r}?)' if meant else ''}; known are {known}"


def is_wrong_call(error: BaseException) -> bool:
    """Whether an error caught around a call is the call's own: of arguments that the function does not take."""
    return isinstance(error, TypeError) and error.__traceback__ is not None and error.__traceback__.tb_next is None


def is_wrong_call_within(error: BaseException, begin: str) -> bool:
    """Whether an error is bpx's message, which begins with those words, on a wrong call somewhere within a call."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace is not None and trace.tb_frame.f_globals.get("__name__") == __name__ and str(error).startswith(begin)


def wrong_call(
    function: Callable[..., Any], error: BaseException, given: Mapping[str, Any], name: str = "", owner: str = ""
) -> TypeError:
    """The error for a call that `is_wrong_call`, in a line that says what there is.

    `error` is Python's own, `given` has the call's arguments by name. `name` is the function's public name and `owner`
    whose names `instead_of` looks at; where empty they are made from the function's.
    """
    if not name:
        cls, _, method = function.__qualname__.rpartition(".")
        name = f"net.{method}" if cls == "MLP" else f"bpx.{method}"
    parameters = {p: parameter for p, parameter in inspect.signature(function).parameters.items() if p != "self"}
    unknown = next((one for one in given if one not in parameters), None)
    if unknown is not None:
        return TypeError(f"{name} has no {unknown}=; {instead_of(owner or name, unknown, parameters, given)}")
    # Python's own words, with the public name and what a call needs at least.
    words = str(error).partition("() ")[2]
    needed = [p for p, parameter in parameters.items() if parameter.default is parameter.empty]
    return TypeError(f"{name}({', '.join([*needed, '...'])}) {words}" if words else str(error))


def named(name: str, owner: str = "") -> Callable[[Callable[P, R]], Callable[P, R]]:
    """A public function that explains wrong calls; arguments as `wrong_call`'s."""

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            try:
                return function(*args, **kwargs)
            except TypeError as error:
                if not is_wrong_call(error):
                    raise
                explanation = wrong_call(function, error, kwargs, name, owner)
            raise explanation

        return call

    return decorate


def explained(name: str, owner: str = "") -> Callable[[C], C]:
    """A public class that explains wrong calls; arguments as `wrong_call`'s."""

    def decorate(cls: C) -> C:
        cls.__init__ = named(name, owner)(cls.__init__)  # type: ignore[misc]
        return cls

    return decorate


def _plain(value: Any) -> Any:
    """A number or a switch of NumPy's as Python's, with as many digits as NumPy prints."""
    if isinstance(value, np.floating):
        return float(str(value))
    return value.item() if isinstance(value, np.generic) else value


def _repeated(argument: str, value: Any) -> str:
    """A value as a hint says to write it: by bpx's name for it, and not where the argument would refuse it."""
    kind = _KINDS.get(argument, argument)
    if kind in VALUES:
        meant = _meant(kind, str(value)) if isinstance(value, (str, bool)) else None
        return repr(meant) if meant and not (argument == "hidden" and meant in ("softmax", "exp")) else "..."
    if argument in ("bias", "restore_best"):
        return repr(value) if isinstance(value, bool) else "..."
    if argument == "monitor":
        name = value.removeprefix("val_") if isinstance(value, str) else ""
        meant = name if name == "loss" else _meant("metric", name)
        return repr("val_" * (name != value) + meant) if meant else "..."
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return repr(value) if number and argument in _REPEATED and _REPEATED[argument](value) else "..."


def _meant(kind: str, value: str) -> str | None:
    """bpx's name for what a value means here or elsewhere; None where it is not known."""

    def bare(name: str) -> str:
        name = re.sub(r"[_\- ]", "", name.casefold())
        return name.removesuffix("loss") if kind == "loss" else name

    if kind == "backend" and (device := re.fullmatch(r"(?:cuda|gpu):(\d+)", value.casefold())):
        return "cupy" if device[1] == "0" else f"cupy:{device[1]}"
    for one, others in VALUES[kind].items():
        if bare(value) in map(bare, (one, *others.split())):
            return one
    return None
