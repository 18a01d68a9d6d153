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
# Numbers of a pass that is recorded, and how many of such passes are kept.
RECORDED, PASSES = 2**20, 8


@final
class Inference:
    """Computes a network's outputs without dropout, with kernels where there are any."""

    def __init__(self, net: NetworkState) -> None:
        # The network holds this object, so this does not hold the network: without a cycle arrays are freed at once.
        kernels = select.in_place(net.backend, net.dtype)
        self._activations = tuple(kernels.activation(activation) for activation in (*net.hidden, net.output))
        self._linear = kernels.module(linear)
        self._size = max(256, CHUNK // (sum(net.sizes) * (net.stack or 1)))
        self._native = select.for_backend(net.backend, net.dtype) if net.backend.xp is np else kernels
        # Recorded passes that are not in use, by their number of rows: a thread takes one out while it runs it.
        self._passes: dict[int, Any] = {}

    def outputs(self, net: NetworkState, x: Array, columns: Sequence[str] | None = None) -> Array:
        """Outputs (..., n, n_out) for `x` (n, n_in), of any dtype and on any device; `columns` name its columns."""
        xp, n = net.backend.xp, x.shape[0]
        with net.backend.scope(), net.backend.matmul_precision():
            out = self._in_one_call(net, x)
            if out is not None:
                return out
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

    def _in_one_call(self, net: NetworkState, x: Any) -> Array | None:
        """The outputs for a few rows by a recorded pass; None where there is none, or where NaN is to be explained."""
        n = x.shape[0]
        if not self._native.forwards or not n or type(x) is not np.ndarray or n * sum(net.sizes) > RECORDED:
            return None
        if x.dtype != net.flat.dtype or not x.flags.c_contiguous:
            if x.dtype.kind not in "biuf":
                return None
            x = np.ascontiguousarray(x, dtype=net.flat.dtype)
        kept = self._passes.pop(n, None)
        if kept is None or kept[0] is not net.flat:
            kept = net.flat, self._record(net, n)
        if kept[1] is None:
            return None
        out = kept[1](x)
        if len(self._passes) >= PASSES:
            self._passes.clear()
        self._passes[n] = kept
        return out

    def _record(self, net: NetworkState, n: int) -> Any:
        """A forward pass of n rows, recorded; None where that cannot be done."""
        kernels, x = self._native, np.empty((n, net.sizes[0]), dtype=net.flat.dtype)
        functions = kernels.module(linear)
        activations = [kernels.activation(activation) for activation in (*net.hidden, net.output)]

        def forward(results: list[Array]) -> None:
            first = functions.product(np, x, net.layer_params[0].W)
            results += first, propagate(np, x, net.layer_params, activations, linear=functions, product=first)[-1].a

        return kernels.forward(forward, x)

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
