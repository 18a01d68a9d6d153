"""One flat vector of parameters and the named views into it.

For layer sizes (n_0, n_1, ...) the vector holds ``"0.W"`` of shape (n_0, n_1) row by row, ``"0.b"`` of shape (n_1,)
where the layer has a bias, then ``"1.W"`` and so on. Leading axes of the vector are a stack of networks and stay
leading axes of every view.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, final

import numpy as np

from bpx._typing import Array, Namespace
from bpx.backend.base import Backend
from bpx.backend.numpy_backend import NumpyBackend
from bpx.errors import ShapeError
from bpx.network import validation


class LayerParams(NamedTuple):
    """One layer's views: W of shape (..., n_in, n_out), b of shape (..., 1, n_out) or None."""

    W: Array
    b: Array | None


@final
@dataclass(frozen=True)
class Layout:
    """Where each parameter is in the flat vector; `bias` says which layers have a bias."""

    sizes: tuple[int, ...]
    bias: tuple[bool, ...]

    @cached_property
    def entries(self) -> dict[str, tuple[int, int, tuple[int, ...]]]:
        """Start, stop and shape of each parameter by name."""
        entries: dict[str, tuple[int, int, tuple[int, ...]]] = {}
        start = 0
        for layer, (n_in, n_out) in enumerate(zip(self.sizes, self.sizes[1:], strict=False)):
            shapes: dict[str, tuple[int, ...]] = {"W": (n_in, n_out)} | ({"b": (n_out,)} if self.bias[layer] else {})
            for letter, shape in shapes.items():
                stop = start + int(np.prod(shape))
                entries[f"{layer}.{letter}"] = (start, stop, shape)
                start = stop
        return entries

    @cached_property
    def n_params(self) -> int:
        """Length of the flat vector."""
        return max(stop for _, stop, _ in self.entries.values())

    def view(self, xp: Namespace, flat: Array, name: str, shape: Sequence[int] | None = None) -> Array:
        """A view of a parameter in `flat`; `shape` replaces the shape of `entries`."""
        start, stop, default = self.entries[name]
        return xp.reshape(flat[..., start:stop], (*flat.shape[:-1], *(shape or default)), copy=False)

    def layers(self, xp: Namespace, flat: Array) -> list[LayerParams]:
        """The views of every layer, with the shapes that the formulas need."""
        return [
            LayerParams(
                self.view(xp, flat, f"{layer}.W"),
                self.view(xp, flat, f"{layer}.b", (1, n_out)) if self.bias[layer] else None,
            )
            for layer, n_out in enumerate(self.sizes[1:])
        ]

    def weight_mask(self) -> np.ndarray[Any, np.dtype[np.float64]]:
        """1 for each weight and 0 for each bias of the flat vector, on the host."""
        mask = np.zeros(self.n_params)
        for name, (start, stop, _) in self.entries.items():
            mask[start:stop] = float(name.endswith("W"))
        return mask


@final
class ParamViews(Mapping[str, Array]):
    """Ordered mapping from ``"0.W"``, ``"0.b"``, ... to views of ``flat``: writing into one changes the network."""

    def __init__(self, xp: Namespace, layout: Layout, flat: Array) -> None:
        self._xp = xp
        self._layout = layout
        self.flat = flat

    def __getitem__(self, name: str) -> Array:
        if name not in self._layout.entries:
            raise KeyError(f"no parameter {name!r}; there are {', '.join(self._layout.entries)}")
        return self._layout.view(self._xp, self.flat, name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._layout.entries)

    def __len__(self) -> int:
        return len(self._layout.entries)

    def __repr__(self) -> str:
        return "ParamViews(" + ", ".join(f"{name}: {tuple(view.shape)}" for name, view in self.items()) + ")"


def check_writable(flat: Array) -> None:
    """ValueError for parameters that are locked by ``net.flat.setflags(write=False)``."""
    if isinstance(flat, np.ndarray) and not flat.flags.writeable:
        raise ValueError(
            "net: expected parameters that can be changed, got read-only ones; take net.copy(), or"
            " net.flat.setflags(write=True)"
        )


def overwrite(backend: Backend, views: Mapping[str, Array], values: Mapping[str, Any]) -> None:
    """Write values into the views of the same names, after all have been checked; errors as of `MLP.set_params`."""
    checked = []
    with backend.scope():
        for name, value in values.items():
            view = views[name]
            check_writable(view)
            new = validation.numeric(backend, value, name)
            if tuple(new.shape) != tuple(view.shape):
                raise ShapeError(f"{name}: expected shape {tuple(view.shape)}, got {tuple(new.shape)}")
            new = validation.cast(backend, new, view.dtype)
            validation.check_finite(backend, new, name)
            # A copy, because the value may be a view of a parameter that is overwritten before it.
            checked.append((view, new * 1.0))
        for view, new in checked:
            view[...] = new


def draw(layout: Layout, init: Sequence[Any], seeds: Sequence[int]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Initial parameters, drawn layer by layer for each seed, on the host in float64: shape (len(seeds), n_params).

    `init` are functions ``f(rng, n_in, n_out) -> (W, b)``, one for each layer.
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
    validation.check_finite(NumpyBackend(), flat, "initial parameters")
    return flat
