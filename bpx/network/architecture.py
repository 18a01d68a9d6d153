"""Checks of the arguments of `bpx.MLP`: sizes and, for every layer, activation, bias, initializer, dropout rate."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeVar, get_args

import numpy as np

from bpx.errors.values import check_count
from bpx.formulas import activations
from bpx.formulas.activations import Activation

DType = Literal["float32", "float64"]
DTYPES: tuple[DType, ...] = get_args(DType)
DTypeLike = DType | type[np.float32] | type[np.float64] | np.dtype[Any]

T = TypeVar("T")


def check_sizes(sizes: Sequence[int]) -> tuple[int, ...]:
    """Layer sizes as a tuple of positive integers, at least two."""
    try:
        if any(isinstance(size, (bool, np.bool_)) for size in sizes):
            raise TypeError("a bool is no size")
        checked = tuple(operator.index(size) for size in sizes)
    except TypeError:
        raise TypeError(f"sizes: expected a list of integers such as [784, 256, 10], got {sizes!r}") from None
    if len(checked) < 2:
        raise ValueError(
            f"sizes: expected at least two layers (inputs and outputs), got {list(checked)}; [4, 3] has no hidden one"
        )
    if min(checked) < 1:
        raise ValueError(f"sizes: expected at least one neuron in every layer, got {list(checked)}")
    return checked


def per_layer(name: str, value: Any, count: int, convert: Callable[[Any], T]) -> tuple[T, ...]:
    """One value for all of `count` layers, or a list with one per layer, each converted."""
    if isinstance(value, (list, tuple, np.ndarray)):
        if len(value) != count:
            raise ValueError(f"{name}: expected one value, or a list of {count} (one per layer), got {len(value)}")
        return tuple(convert(item) for item in value)
    return (convert(value),) * count  # converts, and so checks, `value` even if `count` is 0


def check_bias(value: Any) -> bool:
    """`value` as a bool."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"bias: expected True or False, or a list of them, got {value!r}")
    return bool(value)


def check_dropout(value: Any) -> float:
    """`value` as a dropout rate in [0, 1)."""
    try:
        rate = float(value)
    except (TypeError, ValueError) as error:
        raise TypeError(f"dropout: expected a rate in [0, 1), or a list of them, got {value!r}") from error
    if not 0.0 <= rate < 1.0:
        raise ValueError(f"dropout: expected a rate in [0, 1), got {value}")
    return rate


def check_stack(stack: int | None) -> int | None:
    """The number of networks in a stack, at least 1, or None."""
    return None if stack is None else check_count("stack", stack, otherwise=", or None")


def check_seed(seed: int | Sequence[int] | None, stack: int | None) -> int | tuple[int, ...]:
    """A seed >= 0, or one for each network of a stack; None draws one from the operating system."""
    if seed is None:
        return int(np.random.SeedSequence().generate_state(1)[0])
    several = isinstance(seed, (list, tuple, np.ndarray))
    try:
        seeds = tuple(operator.index(item) for item in (seed if several else [seed]))  # type: ignore[arg-type,union-attr]
    except TypeError as error:
        raise TypeError(f"seed: expected an integer >= 0 or None, got {seed!r}") from error
    if several and (stack is None or len(seeds) != stack):
        raise ValueError(f"seed: expected one seed, or one for each network of a stack, got {len(seeds)} of them")
    if min(seeds) < 0:
        raise ValueError(f"seed: expected an integer >= 0, got {min(seeds)}")
    return seeds if several else seeds[0]


def layer_activations(hidden: Any, output: Any, sizes: Sequence[int]) -> tuple[tuple[Activation, ...], Activation]:
    """The activations of the hidden layers and of the output; refuses softmax in a hidden layer or for one output."""
    inner = per_layer("hidden", hidden, len(sizes) - 2, activations.get)
    for activation in inner:
        if activation.output_only:
            raise ValueError(f"hidden: {activation.name!r} is for the output layer only; use 'relu' or 'tanh', say")
    last = activations.get(output)
    if last.name == "softmax" and sizes[-1] == 1:
        raise ValueError(
            "output: softmax over one output is always 1; use output='sigmoid' for a yes/no answer,"
            " 'identity' for a number, or two outputs"
        )
    return inner, last


def check_dtype(dtype: Any) -> DType:
    """``"float32"`` or ``"float64"``, from a name, a NumPy dtype or a NumPy scalar type."""
    name = dtype if isinstance(dtype, str) else str(getattr(dtype, "__name__", dtype))
    if name not in DTYPES:
        raise ValueError(f"dtype: expected {' or '.join(DTYPES)}, got {dtype!r}")
    return name
