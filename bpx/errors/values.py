"""Checks of single values."""

from __future__ import annotations

from typing import Any

import numpy as np


def check_count(name: str, value: Any, least: int = 1, otherwise: str = "") -> int:
    """`value` as an int; TypeError if it is not an integer, ValueError if it is less than `least`.

    `name` is the argument in messages; `otherwise` says what else the caller allows, such as ", or None".
    """
    kind = "a positive integer" if least == 1 else f"an integer >= {least}"
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"{name}: expected {kind}{otherwise}, got {value!r}")
    if value < least:
        raise ValueError(f"{name}: expected {kind if least == 0 else f'at least {least}'}{otherwise}, got {value}")
    return int(value)
