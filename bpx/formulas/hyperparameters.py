"""Checks of hyperparameters: a number, or K numbers for a stack, each of which must hold."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["check_between", "check_positive", "numbers"]


def numbers(name: str, value: Any, expected: str) -> np.ndarray[Any, Any]:
    """A hyperparameter as a host array; refuses what is not a real number or an array of them."""
    array = np.asarray(value)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{name}: expected {expected}, got {value!r}")
    return array


def check_positive(name: str, value: Any) -> None:
    """Refuse a rate, length or factor that is not positive and finite; arrays element by element."""
    array = numbers(name, value, "a positive and finite number")
    if not (np.all(np.isfinite(array)) and np.all(array > 0.0)):
        raise ValueError(f"{name}: expected a positive and finite number, got {value}")


def check_between(name: str, value: Any, low: float, high: float, *, closed: bool = False) -> None:
    """Refuse a hyperparameter outside [low, high), or [low, high] where `closed`; arrays element by element."""
    expected = f"a number in [{low}, {high}{']' if closed else ')'}"
    array = numbers(name, value, expected)
    if not (np.all(array >= low) and np.all(array <= high if closed else array < high)):
        raise ValueError(f"{name}: expected {expected}, got {value}")
