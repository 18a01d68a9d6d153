"""The settings of a grid, in the order of scikit-learn's ``ParameterGrid``."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np

Setting = dict[str, Any]

# Columns of a table besides the parameters.
RESERVED = ("score", "std", "rank")


def settings(grid: Mapping[str, Iterable[Any]] | Sequence[Mapping[str, Iterable[Any]]]) -> list[Setting]:
    """Every combination of a grid's values; of a list of grids, the combinations of each."""
    parts = [grid] if isinstance(grid, Mapping) else grid
    if isinstance(parts, (str, bytes)) or not isinstance(parts, Sequence):
        raise TypeError(
            f'grid: expected a dict such as {{"learning_rate": [0.001, 0.01]}}, or a list, got {grid!r:.80}'
        )
    found: list[Setting] = []
    for part in parts:
        if not isinstance(part, Mapping):
            raise TypeError(f"grid: expected dicts of names and lists of values, got {part!r:.80}")
        lists = {name: _values(name, part[name]) for name in sorted(part, key=str)}
        found += [dict(zip(lists, values, strict=True)) for values in product(*lists.values())]
    if not any(found):
        raise ValueError('grid: expected at least one name with a list of values, such as {"l2": [0.0, 0.001]}')
    return found


def _values(name: Any, values: Any) -> list[Any]:
    """The values for a name as a list, NumPy's scalars as Python's."""
    if not isinstance(name, str):
        raise TypeError(f"grid: expected names as keys, got {name!r}")
    if name in RESERVED:
        raise ValueError(f"grid: {name!r} is what a row of the table calls a result; give the parameter another name")
    flat = getattr(values, "ndim", 1) == 1
    if isinstance(values, (str, bytes, Mapping)) or not isinstance(values, Iterable) or not flat:
        raise TypeError(f"grid: expected a list of values for {name!r}, got {values!r:.80}; one value is a list of one")
    listed = [value.item() if isinstance(value, np.generic) else value for value in values]
    if not listed:
        raise ValueError(f"grid: expected at least one value for {name!r}, got none")
    return listed


def identity(value: Any) -> Hashable:
    """A hashable key that is equal for equal values of the same type; an object that cannot be hashed has its id."""
    if isinstance(value, (list, tuple)):
        return type(value), tuple(identity(item) for item in value)
    try:
        hash(value)
    except TypeError:
        return id(value)
    return type(value), value
