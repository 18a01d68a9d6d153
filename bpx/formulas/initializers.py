"""Initial weights, drawn on the host by a NumPy generator in float64, so that every backend starts from the same ones.

An initializer is ``draw(rng, n_in, n_out) -> (W, b)`` with W of shape (n_in, n_out) and b of shape (n_out,).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np

from bpx.errors.hints import unknown_value

__all__ = [
    "INITIALIZERS",
    "Initializer",
    "InitializerLike",
    "InitializerName",
    "get",
    "glorot_uniform",
    "normal",
    "uniform",
]

# The keys of `INITIALIZERS`.
InitializerName = Literal[
    "glorot_uniform", "glorot_normal", "he_uniform", "he_normal", "lecun_uniform", "lecun_normal", "zeros"
]

HostArray = np.ndarray[Any, np.dtype[np.float64]]
# draw(rng, shape, n_in, n_out): an array of that shape for a layer of n_in inputs and n_out outputs. Not spelt out with
# np.random.Generator: naming that at import would load numpy.random, which costs 15 ms.
Draw = Callable[..., HostArray]


@dataclass(frozen=True)
class Initializer:
    """How a layer's first weights are drawn.

    Parameters
    ----------
    name : str
        Shown in error messages.
    draw : callable
        ``draw(rng, shape, n_in, n_out)`` returns a float64 array of that shape.
    biases : bool
        Whether biases are drawn in the same way, after the weights; otherwise they start at zero.
    """

    name: str
    draw: Draw
    biases: bool = False

    def __call__(
        self, rng: np.random.Generator | np.random.RandomState, n_in: int, n_out: int
    ) -> tuple[HostArray, HostArray]:
        """Weights of shape (n_in, n_out) and biases of shape (n_out,), both float64."""
        W = self.draw(rng, (n_in, n_out), n_in, n_out)
        b = self.draw(rng, (n_out,), n_in, n_out) if self.biases else np.zeros(n_out)
        return W, b


# What ``init=`` takes for a layer.
InitializerLike = InitializerName | Initializer | Callable[..., Any]


def _uniform(
    rng: np.random.Generator, shape: tuple[int, ...], n_in: int, n_out: int, limit: Callable[[int, int], float]
) -> HostArray:
    """Uniform in [-limit, limit)."""
    bound = limit(n_in, n_out)
    return rng.uniform(-bound, bound, shape)


def _normal(
    rng: np.random.Generator, shape: tuple[int, ...], n_in: int, n_out: int, std: Callable[[int, int], float]
) -> HostArray:
    """Normal with mean 0 and that standard deviation."""
    return rng.normal(0.0, std(n_in, n_out), shape)


def _constant(n_in: int, n_out: int, value: float) -> float:
    """The same for every layer."""
    return value


def _by_fan_in(n_in: int, n_out: int, numerator: float) -> float:
    """sqrt(numerator / n_in)."""
    return math.sqrt(numerator / n_in)


def _by_both_fans(n_in: int, n_out: int, numerator: float) -> float:
    """sqrt(numerator / (n_in + n_out))."""
    return math.sqrt(numerator / (n_in + n_out))


def uniform(limit: float, *, biases: bool = True) -> Initializer:
    """Uniform in [-limit, limit), weights and (unless ``biases=False``) biases; limit > 0."""
    if not (math.isfinite(limit) and limit > 0.0):
        raise ValueError(f"uniform: expected a finite limit > 0, got {limit}")
    return Initializer("uniform", partial(_uniform, limit=partial(_constant, value=limit)), biases)


def normal(std: float, *, biases: bool = False) -> Initializer:
    """Normal with mean 0 and standard deviation `std` > 0, weights and (with ``biases=True``) biases."""
    if not (math.isfinite(std) and std > 0.0):
        raise ValueError(f"normal: expected a finite std > 0, got {std}")
    return Initializer("normal", partial(_normal, std=partial(_constant, value=std)), biases)


def glorot_uniform(numerator: float = 6.0, *, biases: bool = False) -> Initializer:
    """Uniform in ±sqrt(numerator / (n_in + n_out)), Glorot and Bengio 2010, equation 16."""
    if not (math.isfinite(numerator) and numerator > 0.0):
        raise ValueError(f"glorot_uniform: expected a finite numerator > 0, got {numerator}")
    draw = partial(_uniform, limit=partial(_by_both_fans, numerator=numerator))
    return Initializer("glorot_uniform", draw, biases)


def _zeros(rng: np.random.Generator, shape: tuple[int, ...], n_in: int, n_out: int) -> HostArray:
    """Zeros: for a single layer, or for weights that `set_params` will fill."""
    return np.zeros(shape)


INITIALIZERS: dict[str, Initializer] = {
    "glorot_uniform": glorot_uniform(),
    "glorot_normal": Initializer("glorot_normal", partial(_normal, std=partial(_by_both_fans, numerator=2.0))),
    # He et al. 2015, equation 10, for ReLU layers.
    "he_uniform": Initializer("he_uniform", partial(_uniform, limit=partial(_by_fan_in, numerator=6.0))),
    "he_normal": Initializer("he_normal", partial(_normal, std=partial(_by_fan_in, numerator=2.0))),
    # LeCun et al. 1998, equation 16: standard deviation 1 / sqrt(n_in).
    "lecun_uniform": Initializer("lecun_uniform", partial(_uniform, limit=partial(_by_fan_in, numerator=3.0))),
    "lecun_normal": Initializer("lecun_normal", partial(_normal, std=partial(_by_fan_in, numerator=1.0))),
    "zeros": Initializer("zeros", _zeros),
}


def get(init: InitializerLike) -> Initializer | Callable[..., Any]:
    """The initializer of that name, the object itself, or a function ``f(rng, n_in, n_out) -> (W, b)``.

    Raises
    ------
    ValueError
        If the name is not known; the message lists the known ones.
    TypeError
        If it is neither a name nor callable.
    """
    if callable(init):
        return init
    if not isinstance(init, str):
        raise TypeError(f"expected an initializer's name or a function, got {type(init).__name__}")
    if init not in INITIALIZERS:
        known = ", ".join(sorted(INITIALIZERS))
        raise ValueError(unknown_value("initializer", init, f"{known}, and bpx.initializers.uniform and normal"))
    return INITIALIZERS[init]
