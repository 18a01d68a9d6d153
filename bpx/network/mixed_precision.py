"""A training step in 16 bits: the 16-bit copy of the weights, and the scale of float16's gradients."""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace
from typing import Any, final

from bpx._typing import Array, State
from bpx.formulas import precision, updates
from bpx.formulas.losses import Elementwise
from bpx.formulas.optimizers import Optimizer
from bpx.formulas.precision import HALVES, PRECISIONS
from bpx.kernels.select import Kernels
from bpx.network.params import LayerParams
from bpx.network.state import NetworkState


def check_precision(net: NetworkState, name: str | None, first_order: bool = True) -> None:
    """ValueError for a precision that does not suit this network, or an optimizer that is not first-order."""
    if name is None:
        return
    if name not in PRECISIONS:
        raise ValueError(f"unknown precision {name!r}; known are None, {', '.join(map(repr, PRECISIONS))}")
    if net.dtype != "float32":
        raise ValueError(
            f"precision={name!r} is for networks of float32, got one of {net.dtype}; use precision=None, or make it"
            " with dtype='float32'"
        )
    if not first_order:
        raise ValueError(
            f"precision={name!r} is for first-order optimizers: SciPy's methods need true gradients; use"
            " precision=None, or 'adam' or another first-order one"
        )
    if name in HALVES:
        net.backend.storage_dtype(name)


@final
class MixedPrecision:
    """What a step in 16 bits does besides the usual.

    `net` is of float32, `name` is "float16" or "bfloat16". `scaling` is the state of `precision.scaling`, which
    `update` changes; without it gradients are not scaled.
    """

    def __init__(self, net: NetworkState, name: str, scaling: State | None) -> None:
        self._net, self._xp, self.name = net, net.backend.xp, name
        self.dtype = net.backend.storage_dtype(name)
        self.scaling = scaling
        self.use(Kernels())

    def use(self, kernels: Kernels) -> None:
        """Compute with kernels from now on."""
        self.formulas = kernels.module(precision)
        # These replace functions of `bpx.formulas.linear`.
        self.linear = {name: getattr(self.formulas, name) for name in ("product", "times", "column_sums")}
        self._equations = kernels.module(updates)

    def narrow(self, x: Array) -> Array:
        """`x` rounded to 16 bits."""
        return self.formulas.narrow(self._xp, x, self.dtype)

    def layers(self) -> list[LayerParams]:
        """The layers with a new 16-bit copy of the weights and the float32 biases."""
        net = self._net
        copies = net.layout.layers(self._xp, self.narrow(net.flat))
        return [LayerParams(copy.W, layer.b) for copy, layer in zip(copies, net.layer_params, strict=True)]

    def value_and_grad(
        self, xp: Any, formula: Elementwise, output: Array, target: Array, weight: Array | None
    ) -> tuple[Array, Array]:
        """`precision.value_and_grad` with the current scale."""
        scale = None if self.scaling is None else self.scaling["scale"]
        loss, grad = self.formulas.value_and_grad(xp, formula, output, target, weight, scale=scale)
        return loss, grad

    def unscale(self, grads: Array) -> Array:
        """The gradient without the scale; whether it is finite is remembered for `update`."""
        if self.scaling is None:
            return grads
        grads, self._finite, self._taken = self.formulas.unscale(self._xp, grads, self.scaling["scale"])
        return grads

    def update(
        self, optimizer: Optimizer, grads: Array, state: State, params: Array, rate: Any, number: Any
    ) -> tuple[Array, State]:
        """``optimizer.update``, without effect if the gradient is not finite; then adjusts the scale."""
        xp, now = self._xp, self.scaling
        if now is None:
            return optimizer.update(grads, state, params, rate, xp, self._equations, number)
        guarded = {name: partial(self._guarded, getattr(updates, name)) for name in updates.__all__}
        guarded["clip_by_global_norm"] = self._equations.clip_by_global_norm  # writes into the gradient only
        number = now["number"][..., None]
        params, after = optimizer.update(grads, state, params, rate, xp, SimpleNamespace(**guarded), number)
        now["scale"], now["good"], now["number"] = self.formulas.adjust(
            xp, now["scale"], now["good"], now["number"], self._finite, self._taken
        )
        return params, after | {"step": state["step"] + 1}

    def _guarded(self, equation: Any, xp: Any, grads: Array, *args: Any) -> Any:
        """An update equation inside `precision.guarded`."""
        return self.formulas.guarded(xp, self._taken, equation, grads, *args)
