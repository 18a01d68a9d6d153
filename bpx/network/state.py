"""The state of a network: architecture, backend and parameters, which all computations with a network use."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np

from bpx._typing import Array
from bpx.backend.select import BackendLike, get_backend
from bpx.formulas import initializers
from bpx.formulas.dropout import fold
from bpx.network import architecture
from bpx.network.architecture import DTypeLike
from bpx.network.params import LayerParams, Layout, overwrite


class NetworkState:
    """The data of a network, without its methods; parameters and attributes as of `MLP`.

    Attributes
    ----------
    layout : Layout
        Where each parameter is in ``flat``.
    layer_params : list of LayerParams
        Each layer's W and b, as views of ``flat``.
    """

    _flat: Array
    layer_params: list[LayerParams]

    def __init__(
        self, sizes: Any, hidden: Any, output: Any, bias: Any = True, init: Any = "glorot_uniform", dropout: Any = 0.0,
        dtype: DTypeLike = "float32", seed: Any = 0, backend: BackendLike = None, stack: int | None = None,
    ) -> None:  # fmt: skip
        """Check and store everything except the parameters, which `_place` sets."""
        self.sizes = architecture.check_sizes(sizes)
        layers = len(self.sizes) - 1
        self.hidden, self.output = architecture.layer_activations(hidden, output, self.sizes)
        self.bias = architecture.per_layer("bias", bias, layers, architecture.check_bias)
        self.init = architecture.per_layer("init", init, layers, initializers.get)
        self.dropout = architecture.per_layer("dropout", dropout, layers - 1, architecture.check_dropout)
        self.dtype = architecture.check_dtype(dtype)
        self.stack = architecture.check_stack(stack)
        self.seed = architecture.check_seed(seed, self.stack)
        self.layout = Layout(self.sizes, self.bias)
        self.backend = get_backend(backend)

    def _place(self, parameters: np.ndarray[Any, Any]) -> None:
        """Copy `parameters`, a host array of the shape of ``flat``, to the backend."""
        self.renew(self.backend.asarray(np.array(parameters, dtype=self.dtype)))

    def renew(self, flat: Array | None = None) -> None:
        """Replace the array of parameters by `flat`, or by a copy of itself; existing views keep the old array."""
        with self.backend.scope():
            self._flat = self._flat * 1.0 if flat is None else flat
            self.layer_params = self.layout.layers(self.backend.xp, self._flat)

    @property
    def flat(self) -> Array:
        """All parameters; assigning to it overwrites them, as `set_params` does."""
        return self._flat

    @flat.setter
    def flat(self, values: Any) -> None:
        if values is not self._flat:  # net.flat *= 2 assigns the array to itself
            overwrite(self.backend, {"flat": self._flat}, {"flat": values})

    @property
    def n_params(self) -> int:
        """Number of parameters of one network."""
        return self.layout.n_params

    @property
    def _xp_dtype(self) -> Any:
        """The dtype as an object of the backend's array library."""
        return self.backend.dtype(self.dtype)

    def asarray(self, x: Any) -> Array:
        """`x` on the network's backend in the network's dtype."""
        return self.backend.asarray(x, self._xp_dtype)

    @property
    def seeds(self) -> tuple[int, ...]:
        """Each network's seed."""
        if isinstance(self.seed, tuple):
            return self.seed
        return tuple(self.seed + k for k in range(self.stack or 1))

    @cached_property
    def dropout_seeds(self) -> Array:
        """The seeds, folded to 32 bits, as an int64 array of shape () or (K, 1) on the device."""
        folded = np.array([fold(seed) for seed in self.seeds], dtype=np.int64)
        return self.backend.asarray(folded[0] if self.stack is None else folded[:, None])
