"""Nested plain data, such as an estimator's parameters or an optimizer's state, as JSON and named arrays.

None, bool, int, str, finite floats and lists stay as they are. Everything else is a JSON object with one entry, whose
name is its type: ``{"tuple": [...]}``, ``{"dict": [[key, value], ...]}``, ``{"float": "inf"}``, ``{"array": name}``,
``{"Adam": {...}}``. A name in a file is looked up only among these, in `STORED_CLASSES`, and among the classes that a
caller adds.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from typing import Any, final

import numpy as np

from bpx.files import function_json
from bpx.formulas import optimizers, schedules
from bpx.formulas.activations import Activation
from bpx.formulas.losses import Loss

# Longer lists of floats, such as loss curves, are stored as arrays.
LONGEST_LIST = 16
TIMES = re.compile(r"(datetime|timedelta)64\[\d{0,6}(Y|M|W|D|h|m|s|ms|us|ns)\]")


class NotPlainError(TypeError):
    """A value that cannot be stored in a file, such as a function."""


@final
@dataclass(frozen=True)
class StoredClass:
    """A class whose objects can be stored: the attributes in `entries` are, and ``build(**entries)`` makes the object.

    `build` raises TypeError, ValueError or OverflowError for entries that make no sense.
    """

    type: type
    entries: tuple[str, ...]
    build: Callable[..., Any]


def stored_dataclass(cls: Any) -> StoredClass:
    """A dataclass, stored by its fields."""
    return StoredClass(cls, tuple(field.name for field in fields(cls) if field.init), cls)


STORED_CLASSES: tuple[StoredClass, ...] = (
    *(stored_dataclass(cls) for cls in optimizers.OPTIMIZERS.values()),
    *(stored_dataclass(getattr(schedules, name)) for name in schedules.__all__ if name not in {"Clock", "Schedule"}),
)


def _are_rows(values: list[Any]) -> bool:
    """Whether these are arrays of numbers, all of one shape and dtype."""
    first = values[0]
    if not isinstance(first, np.ndarray) or first.dtype.kind not in "biuf" or first.ndim == 0:
        return False
    return all(type(v) is type(first) and (v.shape, v.dtype) == (first.shape, first.dtype) for v in values)


@final
class Encoder:
    """Turns nested plain data into JSON and arrays.

    Parameters
    ----------
    classes : iterable of StoredClass
        Classes that can be stored besides bpx's optimizers and schedules.

    Attributes
    ----------
    arrays : dict of str to host array
        The arrays of all encoded values, named by their places.
    """

    def __init__(self, classes: Iterable[StoredClass] = ()) -> None:
        self._classes = {stored.type: stored for stored in (*STORED_CLASSES, *classes)}
        self.arrays: dict[str, np.ndarray[Any, Any]] = {}

    def encode(self, value: Any, place: str) -> Any:
        """`value` as JSON; `place` names its arrays, and its parts in the message of a NotPlainError."""
        if isinstance(value, np.generic):
            value = value.item()
        if value is None or type(value) in (bool, int, str):
            return value
        if type(value) is float:
            return value if math.isfinite(value) else {"float": repr(value)}
        if type(value) is list and len(value) > LONGEST_LIST and all(type(item) is float for item in value):
            return {"floats": self._aside(place, np.array(value))}
        if type(value) is list and len(value) > LONGEST_LIST and _are_rows(value):
            return {"rows": self._aside(place, np.stack(value))}
        if type(value) in (list, tuple):
            items = [self.encode(item, f"{place}.{i}") for i, item in enumerate(value)]
            return items if type(value) is list else {"tuple": items}
        if type(value) is dict:
            if not all(key is None or isinstance(key, (bool, int, float, str, np.generic)) for key in value):
                raise NotPlainError(f"{place}: expected a dict whose names are numbers or text")
            pairs = enumerate(value.items())
            return {
                "dict": [[self.encode(k, f"{place}.{i}.key"), self.encode(v, f"{place}.{i}")] for i, (k, v) in pairs]
            }
        if isinstance(value, np.ndarray):
            return self._array(value, place)
        return self._object(value, place)

    def _array(self, value: np.ndarray[Any, Any], place: str) -> Any:
        """Numbers and bools as they are, strings as their code points, objects one by one in JSON."""
        if value.dtype.kind in "biuf" and value.dtype.itemsize <= 8:
            return {"array": self._aside(place, value)}
        if value.dtype.kind == "U" and value.ndim == 1 and value.size and value.dtype.itemsize:
            points = np.ascontiguousarray(value, dtype=value.dtype.newbyteorder("=")).view(np.uint32)
            return {"strings": self._aside(place, points.reshape(value.size, -1))}
        if value.dtype.kind in "mM" and TIMES.fullmatch(value.dtype.name):
            return {"times": [value.dtype.name, self._aside(place, np.array(value).view(np.int64))]}
        if value.dtype.kind == "O" and value.ndim == 1:
            items = value.tolist()
            if len(items) > LONGEST_LIST and all(type(item) is str for item in items):
                strings = np.array(items)
                if strings.tolist() == items:  # NumPy's strings lose NUL characters at their ends
                    return {"objects": self.encode(strings, place)}
            return {"objects": [self.encode(item, f"{place}.{i}") for i, item in enumerate(items)]}
        raise NotPlainError(
            f"{place}: expected numbers, bools or strings, got an array of {value.dtype}, ndim {value.ndim}"
        )

    def _object(self, value: Any, place: str) -> Any:
        """An activation, a loss, a generator, or an object of a stored class, attribute by attribute."""
        for cls, name, to_json in (
            (Activation, "activation", function_json.activation_to_json),
            (Loss, "loss", function_json.loss_to_json),
        ):
            if isinstance(value, cls) and function_json.own_name(to_json(value)) is None:
                return {name: to_json(value)}
        if type(value) is np.random.RandomState:
            state: Any = value.get_state(legacy=False)
            if state["bit_generator"] == "MT19937":
                parts = [state["state"]["key"], state["state"]["pos"], state["has_gauss"], state["gauss"]]
                return {"RandomState": [self.encode(part, f"{place}.{i}") for i, part in enumerate(parts)]}
        stored = self._classes.get(type(value))
        if stored is not None:
            entries = {name: self.encode(getattr(value, name), f"{place}.{name}") for name in stored.entries}
            return {stored.type.__name__: entries}
        raise NotPlainError(
            f"{place}: expected plain data, got {type(value).__name__}; no file holds functions or objects"
        )

    def _aside(self, place: str, array: np.ndarray[Any, Any]) -> str:
        """Keep an array; returns its name, the place."""
        self.arrays[place] = array
        return place
