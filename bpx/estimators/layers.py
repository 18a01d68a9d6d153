"""`LayerArrays`: an estimator's weights as a list, whose assignments change the network."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, final

import numpy as np

from bpx.errors import ShapeError
from bpx.network.mlp import MLP


@final
class LayerArrays(list[Any]):
    """Weights (or biases) of every layer as views; assigning an item copies it into the network.

    Arrays that were taken before an assignment keep their values, so that these can be restored later; not if it is
    `in_place`, as it has to be while the network is trained. With `copies` the arrays are on the host, and read-only
    because writing into them would not change the network.
    """

    def __init__(self, net: MLP, letter: str, in_place: bool = False, copies: bool = False) -> None:
        self._net, self._letter, self._in_place, self._copies = net, letter, in_place, copies
        super().__init__(self._views())

    def _views(self) -> list[Any]:
        """Views (or copies) of the network's current parameters."""
        views = [self._net.params[f"{layer}.{self._letter}"] for layer in range(len(self._net.sizes) - 1)]
        if not self._copies:
            return views
        copies = [np.array(self._net.backend.to_host(view)) for view in views]
        for array in copies:
            array.flags.writeable = False
        return copies

    def __setitem__(self, layer: Any, value: Any) -> None:
        layers = range(len(self))[layer]
        values = [value] if isinstance(layers, int) else list(value)
        names = [layers] if isinstance(layers, int) else list(layers)
        if len(values) != len(names):
            raise ShapeError(f"expected {len(names)} arrays, one per layer, got {len(values)}")
        before = self._net.flat
        if not self._in_place:
            self._net.renew()
        try:
            self._net.set_params({f"{i}.{self._letter}": v for i, v in zip(names, values, strict=True)})
        except BaseException:
            self._net.renew(before)
            raise
        super().__setitem__(slice(None), self._views())

    def replace(self, values: Iterable[Any]) -> None:
        """Assign all layers at once."""
        self[:] = list(values)

    def __reduce__(self) -> Any:
        return (list, (list(self),))
