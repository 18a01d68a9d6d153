"""Forward passes outside training, in chunks of samples, so that memory does not grow with the data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, final

import numpy as np

from bpx._typing import Array
from bpx.formulas import linear
from bpx.kernels import select
from bpx.kernels.select import Kernels
from bpx.network.dense import LayerCache
from bpx.network.memory import forget, in_chunks
from bpx.network.objective import propagate
from bpx.network.state import NetworkState
from bpx.network.validation import cast, check_finite, sums_to_a_number

# Layer outputs of a chunk, in numbers: a few megabytes, which fit into a CPU's cache.
CHUNK = 2**21
# Numbers of the recorded passes that are kept for the next call: of one, of all; and most such passes.
KEPT, ALL_KEPT, PASSES = 2**20, 2**21, 8


@final
class Inference:
    """Computes a network's outputs without dropout, with kernels where there are any."""

    def __init__(self, net: NetworkState) -> None:
        # The network holds this object, so this does not hold the network: without a cycle arrays are freed at once.
        self._kernels = select.for_backend(net.backend, net.dtype) if net.backend.xp is np else Kernels()
        self._activations = tuple(self._kernels.activation(activation) for activation in (*net.hidden, net.output))
        self._linear = self._kernels.module(linear)
        self._records = self._kernels.forwards
        self._size = max(256, CHUNK // (sum(net.sizes) * (net.stack or 1)))
        # Recorded passes that are not in use, by their number of rows: a thread takes one out while it runs it.
        self._passes: dict[int, Any] = {}
        self._seen: set[int] = set()  # numbers of rows that came lately

    def outputs(self, net: NetworkState, x: Array, columns: Sequence[str] | None = None) -> Array:
        """Outputs (..., n, n_out) for `x` (n, n_in), of any dtype and on any device; `columns` name its columns."""
        xp, n = net.backend.xp, x.shape[0]
        with net.backend.scope(), net.backend.matmul_precision():
            size, tried = self._size, None
            if n <= size:
                try:
                    return self._outputs(net, x, columns=columns)
                except BaseException as error:
                    if n == 1 or not net.backend.is_out_of_memory(error):
                        raise
                    forget(error)
                    size, tried = n // 2, n
            out = xp.empty((*net.flat.shape[:-1], n, net.sizes[-1]), dtype=net.flat.dtype, device=net.flat.device)

            def fill(start: int, stop: int) -> None:
                out[..., start:stop, :] = self._outputs(net, x[start:stop, ...], start, columns)

            in_chunks(net, n, size, fill, tried)
            self._passes.pop(size, None)
        return out

    def _outputs(self, net: NetworkState, x: Any, first: int = 0, columns: Sequence[str] | None = None) -> Array:
        """The outputs of a chunk: by a recorded pass, or layer by layer where there is none or NaN is to be explained.

        `first` is the index of its first sample in the user's array.
        """
        n = x.shape[0]
        if not self._records or not n or type(x) is not np.ndarray:
            return self._propagate(net, x, first, columns)[-1].a
        if x.dtype != net.flat.dtype:
            x = cast(net.backend, x, net.flat.dtype)
        flat, recorded = self._passes.pop(n, (None, None))
        if flat is not net.flat:
            # Once is not worth a recording, unless it is long.
            recorded = self._record(net, n) if n in self._seen or n == self._size else None
            self._seen = {n, *list(self._seen)[: PASSES - 1]}
        out = None if recorded is None else recorded(np.ascontiguousarray(x))
        of_a_row = sum(net.sizes) * (net.stack or 1)
        if recorded is not None and (n * of_a_row <= KEPT or n == self._size):
            kept = list(self._passes)  # a copy, because other threads change it too
            while kept and (len(kept) >= PASSES or (n + sum(kept)) * of_a_row > ALL_KEPT):
                self._passes.pop(kept.pop(0), None)
            self._passes[n] = net.flat, recorded
        return self._propagate(net, x, first, columns)[-1].a if out is None else out

    def activations(self, net: NetworkState, x: Array, columns: Sequence[str] | None = None) -> list[Array]:
        """Outputs of every layer, for all samples at once."""
        with net.backend.scope(), net.backend.matmul_precision():
            return [cache.a for cache in self._propagate(net, x, columns=columns)]

    def _record(self, net: NetworkState, n: int) -> Any:
        """A forward pass of n rows, recorded; None where that cannot be done."""
        x = np.empty((n, net.sizes[0]), dtype=net.flat.dtype)

        def forward(results: list[Array]) -> None:
            first = self._linear.product(np, x, net.layer_params[0].W)
            caches = propagate(np, x, net.layer_params, self._activations, linear=self._linear, product=first)
            results += first, caches[-1].a

        return self._kernels.forward(forward, x)

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
