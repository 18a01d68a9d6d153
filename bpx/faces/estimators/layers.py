"""An estimator's weights as a list that writes through to the network."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, final

from bpx.errors import ShapeError
from bpx.network.mlp import MLP

__all__ = ["LayerArrays"]


@final
class LayerArrays(list[Any]):
    """Views of every layer's weights (or biases); assigning an item copies it into the network.

    Parameters
    ----------
    net : MLP
    letter : {"W", "b"}
    """

    def __init__(self, net: MLP, letter: str) -> None:
        self._net, self._letter = net, letter
        super().__init__(net.params[f"{layer}.{letter}"] for layer in range(len(net.sizes) - 1))

    def __setitem__(self, layer: Any, value: Any) -> None:
        layers = range(len(self))[layer]
        values = [value] if isinstance(layers, int) else list(value)
        names = [layers] if isinstance(layers, int) else list(layers)
        if len(values) != len(names):
            raise ShapeError(f"expected {len(names)} arrays, one per layer, got {len(values)}")
        self._net.set_params({f"{i}.{self._letter}": v for i, v in zip(names, values, strict=True)})

    def replace(self, values: Iterable[Any]) -> None:
        """Set every layer at once."""
        self[:] = list(values)

    def __reduce__(self) -> Any:
        return (list, (list(self),))
