"""The formulas by CUDA kernels of our own, for CuPy arrays; see `sources` for how they are compiled.

Functions here check that arrays are in one piece and of the dtypes that their CUDA kernels read, allocate what they
fill, and hand the work to `bpx.kernels.recording.launch`. No kernel adds floating-point numbers in an order that may
change. All of this can be imported without CuPy.
"""

from collections.abc import Callable
from typing import Any

from bpx.kernels.cuda import activations, dropout, linear, losses, precision, steps, updates
from bpx.kernels.cuda.compiling import smoke_test
from bpx.kernels.kernel_table import Table

__all__ = ["KERNELS", "NEVER_DECLINE", "activations", "losses", "smoke_test", "steps"]

KERNELS: Table = {**linear.KERNELS, **losses.KERNELS, **updates.KERNELS, **dropout.KERNELS, **precision.KERNELS}
NEVER_DECLINE: frozenset[Callable[..., Any]] = frozenset()
