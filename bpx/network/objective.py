"""The loss of a network as a function of its parameters: forward, loss, backward, penalty.

All gradients are computed here: for `MLP.loss_and_grads`, `bpx.fit`, SciPy's solvers and the checks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, final

import numpy as np

from bpx._typing import Array, Namespace
from bpx.errors import NotDifferentiableError
from bpx.formulas import dropout, linear, losses
from bpx.formulas.activations import ACTIVATIONS, Activation
from bpx.formulas.hyperparameters import numbers
from bpx.formulas.losses import Loss
from bpx.formulas.precision import Stored
from bpx.kernels.select import Kernels
from bpx.network import dense
from bpx.network.dense import LayerCache
from bpx.network.mixed_precision import MixedPrecision
from bpx.network.params import LayerParams
from bpx.network.state import NetworkState

Mask = Callable[[int, Array], Array | None]


@dataclass(frozen=True)
class DropoutKey:
    """Determines dropout masks: the run's seed in [0, 2^32), the update's number, the position of the first row."""

    run: int
    step: int | Array
    first: int = 0


def propagate(
    xp: Namespace,
    x: Array,
    layers: Sequence[LayerParams],
    activations: Sequence[Activation],
    mask: Mask | None = None,
    linear: Any = linear,
    product: Array | None = None,
) -> list[LayerCache]:
    """Forward through every layer; a layer with a mask passes a * mask on.

    `linear` has the functions of `bpx.formulas.linear`; `product` is x W of the first layer if it is known already.
    """
    caches = []
    for i, (params, activation) in enumerate(zip(layers, activations, strict=True)):
        cache = dense.forward(xp, x, params, activation, linear, product if i == 0 else None)
        cache.mask = mask(i, cache.a) if mask is not None else None
        x = cache.a if cache.mask is None else linear.times(xp, cache.a, cache.mask)
        caches.append(cache)
    return caches


def backpropagate(
    xp: Namespace,
    caches: Sequence[LayerCache],
    layers: Sequence[LayerParams],
    grads: Sequence[LayerParams],
    activations: Sequence[Activation],
    grad: Array,
    linear: Any = linear,
) -> None:
    """Backward through every layer, from `grad`, dL/da of the last one; writes into `grads` and the caches."""
    for i in reversed(range(len(caches))):
        cache = caches[i]
        cache.grad_a = grad if cache.mask is None else linear.times(xp, grad, cache.mask, out=grad)
        cache.grad_z = activations[i].backward(xp, cache.grad_a, cache.z, cache.a, out=cache.grad_a)
        grad = dense.backward(xp, cache, layers[i], grads[i], i > 0, linear)


@final
class Objective:
    """Loss (mean over samples of the sum over outputs) + l2/2 sum_w w^2 + l1 sum_w |w|, over weights without biases.

    Parameters
    ----------
    net, loss
        The network and its loss.
    l2, l1 : float, or K floats for a stack
        Not negative.
    per_batch : bool
        Whether both penalties are divided by the batch's number of samples (sum of weights), as in scikit-learn.

    Raises
    ------
    NotDifferentiableError
        If an activation of the network has no derivative.
    ValueError
        If the loss is not defined on the network's output, or a penalty is negative or has the wrong length.
    """

    def __init__(self, net: NetworkState, loss: Loss, l2: Any = 0.0, l1: Any = 0.0, per_batch: bool = False) -> None:
        for activation in (*net.hidden, net.output):
            if not activation.differentiable:
                raise NotDifferentiableError(
                    f"activation {activation.name!r} has no derivative to learn by: it is for forward only;"
                    " train with 'sigmoid', its smooth form"
                )
        loss.check_output(net.output, net.sizes[-1])
        self._net = net
        self._xp = net.backend.xp
        self.loss = loss
        fused = loss.takes_logits(net.output)
        self._formula = loss.on_logits if fused and loss.on_logits is not None else loss.on_outputs
        # If the loss takes pre-activations, the last layer passes them on unchanged.
        self._activations: tuple[Any, ...] = (*net.hidden, ACTIVATIONS["identity"] if fused else net.output)
        self._linear: Any = linear
        self._dropout_mask: Any = dropout.dropout_mask
        self._value_and_grad: Any = losses.value_and_grad
        self._l2 = _on_weights(net, "l2", l2)
        self._l1 = _on_weights(net, "l1", l1)
        self._per_batch = per_batch
        self._mixed: MixedPrecision | None = None
        self._combine: Callable[[Array, Array, Array, int], tuple[Array, Array]] | None = None
        with net.backend.scope():
            self.grad = net.flat * 0.0
        self._grads = net.layout.layers(self._xp, self.grad)
        self.caches: list[LayerCache] = []

    def use(self, kernels: Kernels, mixed: MixedPrecision | None = None) -> None:
        """Compute with kernels from now on; results are the same, but z in `caches` may be overwritten.

        With `mixed`, `value_and_grad` stores in 16 bits, see `bpx.formulas.precision`; `value` does not.
        """
        self._linear = kernels.module(linear)
        self._dropout_mask = kernels.of(dropout.dropout_mask)
        self._value_and_grad = kernels.of(losses.value_and_grad)
        if mixed is not None:
            mixed.use(kernels)
            self._mixed = mixed
            self._activations = tuple(Stored(activation) for activation in self._activations)
            self._linear = SimpleNamespace(**vars(self._linear) | mixed.linear)
            self._value_and_grad = mixed.value_and_grad
        self._activations = tuple(kernels.activation(activation) for activation in self._activations)

    def combine_by(
        self, combine: Callable[[Array, Array, Array, int], tuple[Array, Array]], grad: Array | None
    ) -> None:
        """Compute a share of each batch, whose loss and gradient ``combine(loss, grads, weight, rows)`` returns.

        For its arguments see `bpx.training.distributed.Ranks.combine`; `grad`, of ``flat``'s shape, is an array to
        write the gradient into, so that it need not be copied.
        """
        self._combine = combine
        if grad is not None:
            self.grad, self._grads = grad, self._net.layout.layers(self._xp, grad)

    def value(self, X: Array, y: Array, weight: Array | None = None, flat: Array | None = None) -> Array:
        """Loss and penalty, of shape (...), without dropout; `flat` (..., n_params) replaces the network's parameters.

        X, y and weight are as `bpx.network.validation` returns them.
        """
        xp = self._xp
        at = self._net.flat if flat is None else flat
        layers = self._net.layer_params if flat is None else self._net.layout.layers(xp, flat)
        z = propagate(xp, X, layers, self._activations, linear=self._linear)[-1].a
        loss, _ = self._value_and_grad(xp, self._formula, z, y, weight)
        if self._l2 is None and self._l1 is None:
            return loss
        value, _ = linear.penalty(xp, at, self._l2, self._l1, self._samples(X, weight))
        return loss + value

    def value_and_grad(
        self, X: Array, y: Array, weight: Array | None = None, dropout: DropoutKey | None = None
    ) -> tuple[Array, Array]:
        """Loss and penalty, and their gradient with respect to the flat vector (a buffer that the next call reuses)."""
        xp, net, mixed = self._xp, self._net, self._mixed
        batch_weight = None if self._combine is None else self._weight_of(X, weight)
        if X.shape[-2] == 0:  # a process may have no rows of a small last batch, but takes part in the sum
            loss = xp.zeros(net.flat.shape[:-1], dtype=net.flat.dtype, device=net.flat.device)
            self.grad[...] = 0.0
        else:
            mask = None if dropout is None or not any(net.dropout) else self._mask(dropout)
            self.caches = []  # frees the arrays of the last batch
            layers = net.layer_params
            if mixed is not None:
                X, layers = mixed.narrow(X), mixed.layers()
            self.caches = propagate(xp, X, layers, self._activations, mask, self._linear)
            loss, grad = self._value_and_grad(xp, self._formula, self.caches[-1].a, y, weight)
            if batch_weight is not None and mixed is None:
                grad = self._linear.times(xp, grad, batch_weight[..., None, None], out=grad)
            backpropagate(xp, self.caches, layers, self._grads, self._activations, grad, self._linear)
            if batch_weight is not None and mixed is not None:  # in 16 bits the product might overflow
                self.grad *= batch_weight[..., None]
        if self._combine is not None:
            loss, self.grad = self._combine(loss, self.grad, batch_weight, X.shape[-2])
        if mixed is not None:  # after the sum over all processes, so that all make the same decision
            self.grad = mixed.unscale(self.grad)
        if self._l2 is not None or self._l1 is not None:
            samples = self._samples(X, weight)
            loss, self.grad = self._linear.add_penalty(xp, loss, net.flat, self._l2, self._l1, samples, self.grad)
        return loss, self.grad

    def input_gradient(self, X: Array, y: Array, weight: Array | None = None) -> Array:
        """dL/dX, of shape (..., n, n_in), for arguments as of `value`."""
        self.value_and_grad(X, y, weight)
        W = self._net.layer_params[0].W
        return self._linear.product(self._xp, self.caches[0].grad_z, self._xp.matrix_transpose(W))

    def _weight_of(self, X: Array, weight: Array | None) -> Array:
        """The number of rows of a batch, or the sum of their weights, as an array of shape () or (K,)."""
        if weight is not None:
            return self._linear.weight_sum(self._xp, weight)
        flat = self._net.flat
        return self._xp.full((), X.shape[-2], dtype=flat.dtype, device=flat.device)

    def _samples(self, X: Array, weight: Array | None) -> Any:
        """The divisor of the penalty: None for 1, else the batch's number of samples or the sum of their weights."""
        if not self._per_batch:
            return None
        return X.shape[-2] if weight is None else self._linear.weight_sum(self._xp, weight)

    def _mask(self, key: DropoutKey) -> Mask:
        """The dropout masks of an update, as a function of the layer's index and its outputs."""
        net = self._net

        def mask(layer: int, a: Array) -> Array | None:
            if layer >= len(net.dropout) or net.dropout[layer] == 0.0:
                return None
            shape = (a.shape[-2], a.shape[-1])
            drawn = self._dropout_mask(
                self._xp, shape, net.dropout[layer], net.dropout_seeds, key.run, key.step, layer, a.dtype, key.first
            )
            # A product of bfloat16 and a Python float is float32 in NumPy.
            return drawn if self._mixed is None else self._mixed.narrow(drawn)

        return mask


def _on_weights(net: NetworkState, name: str, strength: Any) -> Array | None:
    """A penalty's strength for each weight and 0 for each bias, (n_params,) or (K, n_params); None if it is 0."""
    values = numbers(name, strength, "a finite number >= 0")
    allowed = [()] if net.stack is None else [(), (net.stack,)]
    if values.shape not in allowed:
        raise ValueError(f"{name}: expected shape {' or '.join(map(str, allowed))}, got {values.shape}")
    if not np.all(np.isfinite(values)) or np.any(values < 0.0):
        raise ValueError(f"{name}: expected a finite number >= 0, got {strength}")
    if not np.any(values):
        return None
    return net.asarray(values[..., None] * net.layout.weight_mask())
