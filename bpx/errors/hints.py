"""Messages for calls with an unknown argument, and for unknown names of losses, activations, ..."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import numpy as np

from bpx.errors.hint_tables import INSTEAD, OFF, VALUES

P = ParamSpec("P")
R = TypeVar("R")
C = TypeVar("C", bound=type)

# Keys of `INSTEAD` that stand for several classes. Not all of them take the argument that a hint names, so a hint may
# have alternatives with "|" between them.
_SEVERAL = ("an optimizer", "a schedule", "a stopping rule")
_OPTIMIZERS = {"sgd": "SGD", "rmsprop": "RMSprop", "adagrad": "Adagrad", "adam": "Adam", "adamw": "AdamW"}
# The key of `VALUES` for the values of an argument, where it is not the argument's name.
_KINDS = {
    **dict.fromkeys(("hidden", "output", "activation", "output_activation"), "activation"),
    "solver": "optimizer", "init": "initializer", "scoring": "metric",
}  # fmt: skip


_TINY, _INF = 5e-324, float("inf")
# Arguments by the numbers that they take (type, minimum, and bound above): a hint repeats such a number.
_ARGUMENTS: dict[tuple[type, float, float], str] = {
    (int, 1, _INF): "epochs max_iter patience length every batch_size workers stack",
    (float, _TINY, _INF): "learning_rate learning_rate_init initial clip_norm epsilon",
    (float, 0.0, _INF): "l2 alpha weight_decay minimum min_delta",
    (float, 0.0, 1.0): "momentum dropout",
    (float, _TINY, 1.0): "validation rho factor",
    (int, 0, 2**32): "seed random_state",
}
_BOUNDS = {name: bounds for bounds, names in _ARGUMENTS.items() for name in names.split()}


def instead_of(owner: str, name: str, known: Any, given: Mapping[str, Any] | None = None) -> str:
    """A hint for an unknown name: what to write for it in bpx, or the most similar of the `known` names.

    `owner` is a key of `INSTEAD`, `given` holds the call's arguments by name.
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
    """The message for an unknown name of a loss, an activation, ...

    `kind` is a key of `VALUES` or an argument that takes such a value; `known` lists in words what there is.
    """
    from difflib import get_close_matches  # only for messages

    table = _KINDS.get(kind, kind)
    meant = _meant(table, value) or "".join(get_close_matches(value.casefold(), VALUES[table], n=1, cutoff=0.75))
    return f"unknown {kind} {value!r}{f' (did you mean {meant!r}?)' if meant else ''}; known are {known}"


def is_wrong_call(error: BaseException) -> bool:
    """Whether an error caught around a call says that the function does not take these arguments."""
    return isinstance(error, TypeError) and error.__traceback__ is not None and error.__traceback__.tb_next is None


def is_wrong_call_within(error: BaseException, begin: str) -> bool:
    """Whether an error was raised by this module somewhere inside a call, with a message that begins so."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace is not None and trace.tb_frame.f_globals.get("__name__") == __name__ and str(error).startswith(begin)


def wrong_call(
    function: Callable[..., Any], error: BaseException, given: Mapping[str, Any], name: str = "", owner: str = ""
) -> TypeError:
    """The error to raise for a call for which `is_wrong_call` is true: one line with a hint.

    `error` is Python's own error, `given` holds the call's arguments by name. `name` is the function's public name and
    `owner` its key in `INSTEAD`; empty ones are derived from the function.
    """
    if not name:
        cls, _, method = function.__qualname__.rpartition(".")
        name = f"net.{method}" if cls == "MLP" else f"bpx.{method}"
    parameters = {p: parameter for p, parameter in inspect.signature(function).parameters.items() if p != "self"}
    unknown = next((one for one in given if one not in parameters), None)
    if unknown is not None:
        return TypeError(f"{name} has no {unknown}=; {instead_of(owner or name, unknown, parameters, given)}")
    # Python's own words, after the public name and the required arguments.
    words = str(error).partition("() ")[2]
    needed = [p for p, parameter in parameters.items() if parameter.default is parameter.empty]
    return TypeError(f"{name}({', '.join([*needed, '...'])}) {words}" if words else str(error))


def named(name: str, owner: str = "") -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Decorate a public function so that it explains wrong calls; arguments as for `wrong_call`."""

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
    """Decorate a public class so that it explains wrong calls; arguments as for `wrong_call`."""

    def decorate(cls: C) -> C:
        cls.__init__ = named(name, owner)(cls.__init__)  # type: ignore[misc]
        return cls

    return decorate


def _plain(value: Any) -> Any:
    """A NumPy scalar as a Python one, with the digits that NumPy prints; anything else as it is."""
    if isinstance(value, np.floating):
        return float(str(value))
    return value.item() if isinstance(value, np.generic) else value


def _repeated(argument: str, value: Any) -> str:
    """A value as the hint writes it, by bpx's name for it; "..." where the argument would refuse it."""
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
    kind_of_number, low, high = _BOUNDS.get(argument, (int, 0.0, 0.0))
    if isinstance(value, bool) or not isinstance(value, (int, kind_of_number)):
        return "..."
    number: Any = value
    return repr(number) if low <= number < high else "..."


def _meant(kind: str, value: str) -> str | None:
    """bpx's name for a value, given by that name or by another library's; None if it is unknown."""

    def bare(name: str) -> str:
        name = re.sub(r"[_\- ]", "", name.casefold())
        return name.removesuffix("loss") if kind == "loss" else name

    if kind == "backend" and (device := re.fullmatch(r"(?:cuda|gpu):(\d+)", value.casefold())):
        return "cupy" if device[1] == "0" else f"cupy:{device[1]}"
    for one, others in VALUES[kind].items():
        if bare(value) in map(bare, (one, *others.split())):
            return one
    return None
