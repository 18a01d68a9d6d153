"""What is said to a call with a name that bpx does not have."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from bpx.errors.names import INSTEAD, OFF
from bpx.errors.values import plain, repeated

__all__ = ["explained", "instead_of", "is_told_of", "is_wrong_call", "named", "wrong_call"]

P = ParamSpec("P")
R = TypeVar("R")
C = TypeVar("C", bound=type)

# Owners whose hints are of several classes, which do not all have what is told to give: alternatives between "|".
_OF_SOME = ("an optimizer", "a schedule", "a stopping rule")
_OPTIMIZERS = {"sgd": "SGD", "rmsprop": "RMSprop", "adagrad": "Adagrad", "adam": "Adam", "adamw": "AdamW"}


def instead_of(owner: str, name: str, known: Any, given: Mapping[str, Any] | None = None) -> str:
    """What to write in place of a name that there is not: what is meant by it elsewhere, or one spelt like it.

    Parameters
    ----------
    owner : str
        Of the name, such as "bpx.fit".
    name : str
        That is not known.
    known : iterable of str
        Names that there are.
    given : dict, optional
        The call's arguments by name.
    """
    given, known = given or {}, [one for one in known if not one.startswith("_")]
    hint = INSTEAD.get(owner, {}).get(name)
    if hint is not None and owner in _OF_SOME:
        hints = [(one, re.match(r"give (\w+)=", one)) for one in hint.split(" | ")]
        hint = next((one for one, told in hints if told is None or told[1] in known), None)
    if hint is not None:
        value = plain(given.get(name, ...))
        if (value is None or (isinstance(value, (bool, int, float)) and not value)) and name in OFF.get(owner, {}):
            return OFF[owner][name]
        optimizer = given.get("optimizer", "adam")
        optimizer = optimizer if isinstance(optimizer, str) else type(optimizer).__name__
        told = re.search(r"(?:(\w+)=|\()\{value\}", hint.replace("{name}", name))
        shown = repeated(told[1] or "learning_rate", value) if told else "..."
        return hint.format(name=name, value=shown, optimizer=_OPTIMIZERS.get(optimizer.lower(), "Adam"))
    from difflib import get_close_matches  # only for messages

    close = get_close_matches(name.casefold(), known, n=1)
    return f"did you mean {close[0]}?" if close else f"there are {', '.join(known)}"


def is_wrong_call(error: BaseException) -> bool:
    """Whether an error caught around a call is the call's own: of arguments that the function does not take."""
    return isinstance(error, TypeError) and error.__traceback__ is not None and error.__traceback__.tb_next is None


def is_told_of(error: BaseException, begin: str) -> bool:
    """Whether an error caught around a call is bpx's own for a wrong call somewhere in it, with words that so begin."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace is not None and trace.tb_frame.f_globals.get("__name__") == __name__ and str(error).startswith(begin)


def wrong_call(
    function: Callable[..., Any], error: BaseException, given: Mapping[str, Any], name: str = "", owner: str = ""
) -> TypeError:
    """The error for a call that `is_wrong_call`, in a line that says what there is.

    Parameters
    ----------
    function : callable
        That was called.
    error : TypeError
        Python's own.
    given : dict
        The call's arguments by name.
    name, owner : str
        The function's public name, and whose names `instead_of` looks at; made from the function's where empty.
    """
    if not name:
        cls, _, method = function.__qualname__.rpartition(".")
        name = f"net.{method}" if cls == "MLP" else f"bpx.{method}"
    signature = inspect.signature(function)
    known = [p for p in signature.parameters if p != "self"]
    unknown = [one for one in given if one not in known]
    if unknown:
        return TypeError(f"{name} has no {unknown[0]}=; {instead_of(owner or name, unknown[0], known, given)}")
    # Python's own words, with the public name and what a call needs at least.
    words = str(error).partition("() ")[2]
    needed = [p.name for p in signature.parameters.values() if p.default is p.empty and p.name in known]
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
                told = wrong_call(function, error, kwargs, name, owner)
            raise told

        return call

    return decorate


def explained(name: str, owner: str = "") -> Callable[[C], C]:
    """A public class that explains wrong calls; arguments as `wrong_call`'s."""

    def decorate(cls: C) -> C:
        cls.__init__ = named(name, owner)(cls.__init__)  # type: ignore[misc]
        return cls

    return decorate
