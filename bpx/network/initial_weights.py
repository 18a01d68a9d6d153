"""The parameters that a network begins with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from bpx.backend.select import get_backend
from bpx.errors import ShapeError
from bpx.network.params import Layout, ParamViews
from bpx.network.validation import check_finite

__all__ = ["draw"]


def draw(layout: Layout, init: Sequence[Any], seeds: Sequence[int]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """One network's parameters for each seed, on the host in float64: shape (len(seeds), n_params).

    Parameters
    ----------
    layout : Layout
        Where each parameter lies.
    init : sequence of callables
        For each layer ``f(rng, n_in, n_out) -> (W, b)``.
    seeds : sequence of int
        Each network draws by itself, layer after layer.

    Raises
    ------
    TypeError, ShapeError, NonFiniteError
        If a function does not return a finite W and b of the layer's shapes.
    """
    flat = np.empty((len(seeds), layout.n_params))
    for row, seed in zip(flat, seeds, strict=True):
        rng = np.random.default_rng(seed)
        views = ParamViews(np, layout, row)
        for layer, function in enumerate(init):
            drawn = function(rng, layout.sizes[layer], layout.sizes[layer + 1])
            if not isinstance(drawn, (tuple, list)) or len(drawn) != 2:
                raise TypeError(f"init: expected a function that returns (W, b), got one that returned {drawn!r}")
            for letter, part in zip("Wb", drawn, strict=True):
                name = f"{layer}.{letter}"
                if name not in views:
                    continue
                if np.shape(part) != views[name].shape:
                    raise ShapeError(f"init: expected {name} of shape {views[name].shape}, got {np.shape(part)}")
                views[name][...] = part
    check_finite(get_backend("numpy"), flat, "initial parameters")
    return flat
