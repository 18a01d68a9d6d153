"""Nested plain data from the JSON and named arrays that `bpx.files.nested_encoder` made of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, final

import numpy as np

from bpx.errors import FileFormatError
from bpx.files import function_json
from bpx.files.header import check_entries, short_repr
from bpx.files.nested_encoder import STORED_CLASSES, TIMES, StoredClass


@final
class Decoder:
    """The inverse of an `Encoder`.

    Parameters
    ----------
    arrays : dict of str to host array
        The arrays of the file; each can be used once.
    classes : iterable of StoredClass
        As for the `Encoder`.
    """

    def __init__(self, arrays: dict[str, np.ndarray[Any, Any]], classes: Iterable[StoredClass] = ()) -> None:
        self._arrays = dict(arrays)
        self._classes = {stored.type.__name__: stored for stored in (*STORED_CLASSES, *classes)}
        self._special: dict[str, Callable[[Any, str], Any]] = {
            "tuple": lambda entry, place: tuple(self._items(entry, place)),
            "objects": self._objects,
            "dict": self._dict,
            "float": self._float,
            "array": self._take,
            "floats": lambda entry, place: self._take(entry, place, np.float64, 1).tolist(),
            "rows": self._rows,
            "strings": self._strings,
            "times": self._times,
            "activation": lambda entry, place: function_json.activation_from_json(entry, place, 0, {}),
            "loss": function_json.loss_from_json,
            "RandomState": lambda entry, place: _build(_random_state, place, *self._items(entry, place)),
        }

    def decode(self, entry: Any, place: str) -> Any:
        """The value that was encoded; FileFormatError for anything that an `Encoder` does not make."""
        if isinstance(entry, list):
            return self._items(entry, place)
        if not isinstance(entry, dict):
            return entry
        if len(entry) == 1:
            ((name, content),) = entry.items()
            if name in self._special:
                return self._special[name](content, place)
            if name in self._classes:
                return self._object(self._classes[name], content, place)
        raise FileFormatError(f"{place}: expected plain data, got {short_repr(entry)}")

    def _items(self, entry: Any, place: str) -> list[Any]:
        if not isinstance(entry, list):
            raise FileFormatError(f"{place}: expected a list, got {short_repr(entry)}")
        return [self.decode(item, f"{place}.{i}") for i, item in enumerate(entry)]

    def _objects(self, entry: Any, place: str) -> np.ndarray[Any, Any]:
        if isinstance(entry, dict) and list(entry) == ["strings"]:
            return self._strings(entry["strings"], place).astype(object)
        return np.array([*self._items(entry, place), None], dtype=object)[:-1]

    def _dict(self, entry: Any, place: str) -> dict[Any, Any]:
        made: dict[Any, Any] = {}
        for pair in self._items(entry, place):
            match pair:
                case [None | bool() | int() | float() | str() as key, value]:
                    made[key] = value
                case _:
                    raise FileFormatError(f"{place}: expected pairs of a name and a value, got {short_repr(pair)}")
        return made

    def _float(self, entry: Any, place: str) -> float:
        if entry not in ("inf", "-inf", "nan"):
            raise FileFormatError(f"{place}: expected inf, -inf or nan, got {short_repr(entry)}")
        return float(entry)

    def _take(self, name: Any, place: str, dtype: Any = None, ndim: int | None = None) -> np.ndarray[Any, Any]:
        array = self._arrays.pop(name, None) if isinstance(name, str) else None
        if array is None or dtype not in (None, array.dtype) or ndim not in (None, array.ndim):
            raise FileFormatError(f"{place}: expected the name of an array of the file, got {short_repr(name)}")
        return array

    def _rows(self, entry: Any, place: str) -> list[Any]:
        rows = self._take(entry, place)
        if rows.ndim < 2:
            raise FileFormatError(f"{place}: expected rows, got an array of {rows.ndim} dimensions")
        return [row.copy() for row in rows]

    def _strings(self, entry: Any, place: str) -> np.ndarray[Any, Any]:
        points = self._take(entry, place, np.uint32, 2)
        if points.size == 0 or points.max() > 0x10FFFF:
            raise FileFormatError(f"{place}: expected the code points of strings, got others")
        return np.ascontiguousarray(points, np.uint32).view(f"U{points.shape[1]}").reshape(-1)

    def _times(self, entry: Any, place: str) -> np.ndarray[Any, Any]:
        match entry:
            case [str(dtype), name] if TIMES.fullmatch(dtype):
                return self._take(name, place, np.int64).view(dtype)
        raise FileFormatError(f"{place}: expected dates or times, got {short_repr(entry)}")

    def _object(self, stored: StoredClass, entry: Any, place: str) -> Any:
        check_entries(entry, place, **dict.fromkeys(stored.entries))
        return _build(stored.build, place, **{n: self.decode(entry[n], f"{place}.{n}") for n in stored.entries})


def _build(make: Callable[..., Any], place: str, *values: Any, **entries: Any) -> Any:
    """Call `make`; its errors are those of the file."""
    try:
        return make(*values, **entries)
    except (TypeError, ValueError, OverflowError) as error:
        raise FileFormatError(f"{place}: {short_repr(error)}") from error


def _random_state(keys: Any, position: Any, has_gauss: Any, gauss: Any) -> np.random.RandomState:
    """A legacy generator; NumPy does not check the position, and would read past the keys."""
    if np.shape(keys) != (624,) or np.asarray(keys).dtype != np.uint32 or not 0 <= position <= 624:
        raise ValueError("expected the state of a Mersenne Twister")
    random = np.random.RandomState()
    random.set_state(("MT19937", keys, position, has_gauss, float(gauss)))
    return random
