"""A stack made of single networks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bpx.network.mlp import MLP


def stacked(nets: Sequence[MLP]) -> MLP:
    """A stack with copies of networks of one architecture, each with its parameters and seed."""
    one = nets[0]
    flat = np.stack([net.backend.to_host(net.flat) for net in nets])
    return MLP.with_parameters(
        flat, sizes=one.sizes, hidden=list(one.hidden), output=one.output, bias=list(one.bias), init=list(one.init),
        dropout=list(one.dropout), dtype=one.dtype, seed=[net.seeds[0] for net in nets], backend=one.backend,
        stack=len(nets),
    )  # fmt: skip
