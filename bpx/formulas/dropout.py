"""Dropout masks from a counter-based generator, so that every backend computes the same mask where the data is.

The generator is Philox 4x32-10 (Salmon, Moraes, Dror, Shaw: Parallel random numbers: as easy as 1, 2, 3, SC 2011,
section 4). Its key is (network's seed, run's seed), its counter (element / 4, step, layer, step / 2^32); four elements
share one call, so that word e % 4 belongs to element e of the row-major (n, k) activations.
"""

from __future__ import annotations

from typing import Any

from bpx._typing import Array, Namespace

__all__ = ["dropout_mask", "fold", "philox"]

# Multipliers and key increments of Philox 4x32, from the paper's reference implementation.
MULTIPLIERS = 0xD2511F53, 0xCD9E8D57
INCREMENTS = 0x9E3779B9, 0xBB67AE85
_LOW16, _LOW32 = 0xFFFF, 0xFFFFFFFF

Words = tuple[Array, Array, Array, Array]


def fold(seed: int) -> int:
    """A seed of any length as 32 bits: its words, XORed."""
    folded = 0
    while seed:
        folded, seed = folded ^ (seed & _LOW32), seed >> 32
    return folded


def _multiply(a: Array, m: int) -> tuple[Array, Array]:
    """High and low 32 bits of a * m, in 16-bit halves: signed 64-bit products then never overflow."""
    low = (a & _LOW16) * m
    high = (a >> 16) * m + (low >> 16)
    return high >> 16, ((high & _LOW16) << 16) | (low & _LOW16)


def philox(counter: Words, key: tuple[Array, Array]) -> Words:
    """Philox 4x32-10: four random 32-bit words for each counter and key.

    Parameters
    ----------
    counter : tuple of four int64 Arrays
        Values in [0, 2^32), shapes that broadcast together.
    key : tuple of two int64 Arrays or int
        Values in [0, 2^32).

    Returns
    -------
    tuple of four int64 Arrays
        Values in [0, 2^32), independent and uniform.
    """
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(10):
        high0, low0 = _multiply(c0, MULTIPLIERS[0])
        high1, low1 = _multiply(c2, MULTIPLIERS[1])
        c0, c1, c2, c3 = high1 ^ c1 ^ k0, low1, high0 ^ c3 ^ k1, low0
        k0, k1 = (k0 + INCREMENTS[0]) & _LOW32, (k1 + INCREMENTS[1]) & _LOW32
    return c0, c1, c2, c3


def dropout_mask(
    xp: Namespace, shape: tuple[int, int], rate: float, seeds: Array, run: int, step: int, layer: int, dtype: Any,
    first: int = 0,
) -> Array:  # fmt: skip
    """Inverted dropout (Srivastava et al. 2014): 0 with probability `rate`, else 1 / (1 - rate).

    Parameters
    ----------
    xp : module
        Array API namespace.
    shape : tuple of int
        (n, k) of the activations.
    rate : float
        Probability of dropping an element, in [0, 1).
    seeds : int64 Array of shape () or (K, 1)
        Each network's seed, in [0, 2^32).
    run, step, layer : int
        The training run's seed in [0, 2^32), the update's number and the layer's.
    dtype : dtype
        Of the mask.
    first : int
        Row of the whole batch at which these n begin, where several processes share a batch.

    Returns
    -------
    Array of shape (n, k) or (K, n, k)
        On the device of `seeds`.
    """
    n, k = shape
    block, skipped = divmod(first * k, 4)
    blocks = -(-(skipped + n * k) // 4)
    counter = xp.arange(block, block + blocks, dtype=xp.int64, device=seeds.device)
    rest = [
        xp.full((1,), word & _LOW32, dtype=xp.int64, device=seeds.device) for word in (step, layer, step >> 32, run)
    ]
    words = xp.stack(philox((counter, rest[0], rest[1], rest[2]), (seeds, rest[3])), axis=-1)
    lead = words.shape[:-2]
    words = xp.reshape(words, (*lead, 4 * blocks))[..., skipped : skipped + n * k]
    kept = xp.reshape(words >= int(rate * 2**32), (*lead, n, k))
    return xp.astype(kept, dtype) * (1.0 / (1.0 - rate))
