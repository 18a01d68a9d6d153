"""Checks of a stream's rows, which are also converted to the network's dtype."""

from __future__ import annotations

from collections.abc import Mapping
from typing import final

from bpx.backend.base import Backend, library_of
from bpx.backend.numpy_backend import NumpyBackend
from bpx.formulas.losses import Loss
from bpx.network import validation
from bpx.network.class_weight import class_weights
from bpx.network.mlp import MLP
from bpx.streams.data import Data
from bpx.streams.row_sources import Part


@final
class RowValidator:
    """Checks a stream's rows as arrays in memory are checked; without a loss there are only inputs."""

    def __init__(self, net: MLP, loss: Loss | None, class_weight: Mapping[int, float] | None = None) -> None:
        self._net, self._loss, self._class_weight = net, loss, class_weight
        self._host = NumpyBackend()

    def __call__(self, part: Part, where: str) -> Data:
        """The checked rows, on the host or the device where they were; errors, as of `bpx.fit`, name `where`."""
        net, (X, y, weight) = self._net, part
        backend: Backend = self._host if library_of(X) == "host" else net.backend
        dtype, n_out = backend.dtype(net.dtype), net.sizes[-1]
        x, single = validation.inputs(backend, dtype, X, net.sizes[0], name=f"X of {where}")
        if self._loss is None:
            return Data(x, None, None)
        if y is None:
            raise TypeError("y: expected targets in the stream, got none; give them, bpx.stream(X, y)")
        t = validation.targets(backend, dtype, y, x.shape[0], n_out, self._loss, single=single, name=f"y of {where}")
        w = validation.sample_weights(
            backend, dtype, weight, x.shape[0], None, name=f"sample_weight of {where}", whole=False
        )
        if self._class_weight is not None:
            factor = class_weights(backend.to_host(t), self._class_weight, n_out, whole=False)
            factor = backend.asarray(factor, dtype)
            w = factor if w is None else w * factor
        return Data(x, t, w)
