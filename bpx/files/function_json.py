"""Activations, initializers and losses as JSON, and back.

One of bpx's functions is its name (``"relu"``), or ``{"name": "leaky_relu", "arguments": [0.2]}`` if it was made from
numbers. A user's own function is code, which a file cannot hold: it is ``{"own": its name}``, and has to be passed when
the file is loaded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from functools import partial
from typing import Any

from bpx.errors import FileFormatError
from bpx.files.header import check_entries, of_type, short_repr
from bpx.formulas import activations, initializers, losses
from bpx.formulas.blocks import block_softmax
from bpx.formulas.initializers import Initializer

# The functions by name, and the functions by name that make one from numbers.
Registry = tuple[Mapping[str, Any], Mapping[str, Callable[..., Any]]]
ACTIVATIONS: Registry = (activations.ACTIVATIONS, {
    "leaky_relu": activations.leaky_relu, "elu": activations.elu, "block_softmax": block_softmax,
})  # fmt: skip
INITIALIZERS: Registry = (initializers.INITIALIZERS, {
    "uniform": initializers.uniform, "normal": initializers.normal, "glorot_uniform": initializers.glorot_uniform,
})  # fmt: skip
LOSSES: Registry = (losses.LOSSES, {"huber": losses.huber, "quantile": losses.quantile})


def activation_to_json(given: Any) -> Any:
    """An `Activation` as JSON."""
    return _to_json(given, ACTIVATIONS)


def loss_to_json(given: Any) -> Any:
    """A `Loss` as JSON."""
    return _to_json(given, LOSSES)


def initializer_to_json(given: Any) -> Any:
    """An `Initializer`, or a function that draws, as JSON."""
    biases = {"biases": given.biases} if isinstance(given, Initializer) else {}
    return _to_json(given, INITIALIZERS, **biases)


def name_and_arguments(activation: Any) -> tuple[str | None, list[Any]]:
    """The name of one of bpx's activations and the numbers it was made from; None and [] for a user's own."""
    entry = activation_to_json(activation)
    return (entry, []) if isinstance(entry, str) else (entry.get("name"), entry.get("arguments", []))


def own_name(entry: Any) -> str | None:
    """The name of a user's own function; None for one of bpx's."""
    match entry:
        case {"own": str(name)} if len(entry) == 1:
            return name
    return None


def activation_from_json(entry: Any, place: str, outputs: int, own: Mapping[str, Any]) -> Any:
    """The activation of a layer with that many outputs; `own` has the user's by name. FileFormatError if unknown."""
    name = own_name(entry)
    if name is not None:
        if name in own:
            return own[name]
        raise FileFormatError(
            f"{place} uses the activation {short_repr(name)}, which is not one of bpx's, and no file holds code: give"
            f" it, load(path, activations={{{short_repr(name)}: ...}})"
        )
    made = _from_json(entry, place, ACTIVATIONS)
    if made.name == "block_softmax":
        widths = entry["arguments"][0]
        if not all(type(width) is int and width > 0 for width in widths) or sum(widths) != outputs:
            raise FileFormatError(f"{place}: expected blocks of {outputs} outputs in all, got {short_repr(widths)}")
    return made


def initializer_from_json(entry: Any, place: str) -> Any:
    """The initializer of a layer; a user's own becomes a placeholder that keeps the name."""
    name = own_name(entry)
    if name is not None:
        return Initializer(name, partial(_not_in_the_file, name))
    return _from_json(entry, place, INITIALIZERS, biases=of_type(bool))


def loss_from_json(entry: Any, place: str) -> Any:
    """One of bpx's losses; FileFormatError if it is none."""
    return _from_json(entry, place, LOSSES)


def _to_json(given: Any, registry: Registry, **keywords: Any) -> Any:
    """The name, or the name and arguments, by which bpx makes an object that equals `given`; else a user's own name."""
    named, made = registry
    name: Any = getattr(given, "name", None)
    if name in named and _same(named[name], given):
        return name
    if name in made:
        arguments = _bound_numbers(given)
        try:
            again = made[name](*arguments, **keywords)
        except (TypeError, ValueError, OverflowError):  # a user's own with that name
            again = None
        if _same(again, given):
            return {"name": name, "arguments": arguments} | keywords
    own = name if isinstance(name, str) else getattr(given, "__name__", type(given).__name__)
    return {"own": str(own)}


def _bound_numbers(given: Any) -> list[Any]:
    """The numbers bound in the first function of a dataclass, in nested partials too, as plain Python values."""
    function: Any = next((getattr(given, f.name) for f in fields(given) if callable(getattr(given, f.name))), None)
    values = []
    while isinstance(function, partial) and function.keywords:
        function = next(iter(function.keywords.values()))
        if not callable(function):
            plain = function.tolist() if hasattr(function, "tolist") else function
            values.append(list(plain) if isinstance(plain, tuple) else plain)
    return values


def _same(a: Any, b: Any) -> bool:
    """Whether two functions, or two dataclasses of functions, are the same and have the same numbers bound."""
    if isinstance(a, partial) and isinstance(b, partial):
        bound = a.keywords.keys() == b.keywords.keys() and all(_same(a.keywords[k], b.keywords[k]) for k in a.keywords)
        return a.func is b.func and not (a.args or b.args) and bound
    if is_dataclass(a) and type(a) is type(b):
        return all(_same(getattr(a, f.name), getattr(b, f.name)) for f in fields(a))
    try:
        return bool(a == b)
    except ValueError:  # arrays, which none of bpx's functions has bound
        return False


def _from_json(entry: Any, place: str, registry: Registry, **more: Callable[[Any], bool]) -> Any:
    """The inverse of `_to_json`; `more` has a check for each keyword."""
    named, made = registry
    if isinstance(entry, str) and entry in named:
        return named[entry]
    if not isinstance(entry, dict):
        raise FileFormatError(f"{place}: expected one of {', '.join(sorted(named))}, got {short_repr(entry)}")
    check_entries(
        entry, place, name=lambda name: isinstance(name, str) and name in made, arguments=_are_numbers, **more
    )
    try:
        return made[entry["name"]](*entry["arguments"], **{name: entry[name] for name in more})
    except (TypeError, ValueError, OverflowError) as error:
        raise FileFormatError(
            f"{place}: {entry['name']} refuses {short_repr(entry['arguments'])} ({short_repr(error)})"
        ) from error


def _are_numbers(values: Any) -> bool:
    """Whether it is a list of numbers, or a list with one list of numbers."""
    numbers = values[0] if isinstance(values, list) and len(values) == 1 and isinstance(values[0], list) else values
    return isinstance(numbers, list) and bool(numbers) and all(map(of_type(int, float), numbers))


def _not_in_the_file(name: str, *_: Any) -> Any:
    """The placeholder for a user's own initializer: the parameters are in the file, the function is not."""
    raise ValueError(f"the initializer {name!r} was a function, which no file holds; give the network's init anew")
