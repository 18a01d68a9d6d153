"""Forward passes outside training, in chunks of samples, so that memory does not grow with the data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, final

import numpy as np

from bpx._typing import Array
from bpx.formulas import linear
from bpx.kernels import select
from bpx.network.dense import LayerCache
from bpx.network.memory import forget, in_chunks
from bpx.network.objective import propagate
from bpx.network.state import NetworkState
from bpx.network.validation import cast, check_finite, sums_to_a_number

# Layer outputs of a chunk, in numbers: a few megabytes, which fit into a CPU's cache.
CHUNK = 2**21


@final
class Inference:
    """Computes a network's outputs without dropout, with the kernels that need no compiler."""

    def __init__(self, net: NetworkState) -> None:
        # The network holds this object, so this does not hold the network: without a cycle arrays are freed at once.
        kernels = select.in_place(net.backend, net.dtype)
        self._activations = tuple(kernels.activation(activation) for activation in (*net.hidden, net.output))
        self._linear = kernels.module(linear)
        self._size = max(256, CHUNK // (sum(net.sizes) * (net.stack or 1)))

    def outputs(self, net: NetworkState, x: Array, columns: Sequence[str] | None = None) -> Array:
        """Outputs (..., n, n_out) for `x` (n, n_in), of any dtype and on any device; `columns` name its columns."""
        xp, n = net.backend.xp, x.shape[0]
        with net.backend.scope(), net.backend.matmul_precision():
            size, tried = self._size, None
            if n <= size:
                try:
                    return self._propagate(net, x, columns=columns)[-1].a
                except BaseException as error:
                    if n == 1 or not net.backend.is_out_of_memory(error):
                        raise
                    forget(error)
                    size, tried = n // 2, n
            out = xp.empty((*net.flat.shape[:-1], n, net.sizes[-1]), dtype=net.flat.dtype, device=net.flat.device)

            def fill(start: int, stop: int) -> None:
                out[..., start:stop, :] = self._propagate(net, x[start:stop, ...], start, columns)[-1].a

            in_chunks(net, n, size, fill, tried)
        return out

    def activations(self, net: NetworkState, x: Array, columns: Sequence[str] | None = None) -> list[Array]:
        """Outputs of every layer, for all samples at once."""
        with net.backend.scope(), net.backend.matmul_precision():
            return [cache.a for cache in self._propagate(net, x, columns=columns)]

    def _propagate(
        self, net: NetworkState, x: Any, first: int = 0, columns: Sequence[str] | None = None
    ) -> list[LayerCache]:
        """A forward pass; `first` is the index of the first sample in the user's array, for messages."""
        xp, on_host = net.backend.xp, isinstance(x, np.ndarray)
        if xp is not np or x.dtype != net.flat.dtype:
            x = cast(net.backend, x, net.flat.dtype)
        product = self._linear.product(xp, x, net.layer_params[0].W)
        # NaN or infinity in a sample makes the product not finite, and the product is smaller. Device data are not
        # checked, because that would wait for the device.
        if on_host and not sums_to_a_number(xp, product):
            check_finite(net.backend, x, "X", first, columns)
        return propagate(xp, x, net.layer_params, self._activations, linear=self._linear, product=product)
