"""Several classifications at once: softmax and cross-entropy over blocks of outputs, one block per target.

Each block is the plain softmax and its cross-entropy; the loss of a sample is the sum over the blocks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

from bpx._typing import Array, Namespace
from bpx.formulas import losses
from bpx.formulas.activations import ACTIVATIONS, Activation, softmax
from bpx.formulas.losses import Loss

__all__ = ["block_cross_entropy", "block_softmax", "split"]


def split(a: Array, widths: Sequence[int]) -> Iterator[Array]:
    """The blocks of the last axis, as views."""
    start = 0
    for width in widths:
        yield a[..., start : start + width]
        start += width


def _forward(xp: Namespace, z: Array, widths: tuple[int, ...]) -> Array:
    """Softmax of each block."""
    return xp.concat([softmax(xp, part) for part in split(z, widths)], axis=-1)


def _jacobian(xp: Namespace, grad_a: Array, z: Array, a: Array, widths: tuple[int, ...]) -> Array:
    """Each block's product with the Jacobian of its softmax."""
    parts = zip(split(grad_a, widths), split(z, widths), split(a, widths), strict=True)
    plain = ACTIVATIONS["softmax"]
    return xp.concat([plain.backward(xp, *part) for part in parts], axis=-1)


def _on_outputs(xp: Namespace, a: Array, y: Array, widths: tuple[int, ...]) -> tuple[Array, Array]:
    """Cross-entropy of each block of probabilities."""
    pairs = [losses.cross_entropy(xp, *part) for part in zip(split(a, widths), split(y, widths), strict=True)]
    return xp.concat([p[0] for p in pairs], axis=-1), xp.concat([p[1] for p in pairs], axis=-1)


def _on_logits(xp: Namespace, z: Array, y: Array, widths: tuple[int, ...]) -> tuple[Array, Array]:
    """Cross-entropy of the softmax of each block of pre-activations."""
    parts = zip(split(z, widths), split(y, widths), strict=True)
    pairs = [losses.cross_entropy_with_softmax(xp, *part) for part in parts]
    return xp.concat([p[0] for p in pairs], axis=-1), xp.concat([p[1] for p in pairs], axis=-1)


def block_softmax(widths: Sequence[int]) -> Activation:
    """Softmax over consecutive blocks of that many outputs each."""
    sizes = tuple(widths)
    return Activation(
        "block_softmax",
        partial(_forward, widths=sizes),
        jacobian=partial(_jacobian, widths=sizes),
        outputs="unit",
        output_only=True,
    )


def block_cross_entropy(widths: Sequence[int]) -> Loss:
    """Cross-entropy summed over consecutive blocks; targets are one-hot (or soft) rows for each block."""
    sizes = tuple(widths)
    return Loss(
        "block_cross_entropy",
        partial(_on_outputs, widths=sizes),
        "unit",
        "unit",
        "block_softmax",
        partial(_on_logits, widths=sizes),
        columns=sum(sizes),
    )
