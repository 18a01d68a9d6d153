"""Several steps in one compiled pass, by Numba (extra ``fast``)."""

from bpx.formulas.linear import product
from bpx.kernels.kernel_table import Table
from bpx.kernels.numba import activations, dropout, linear, losses, updates
from bpx.kernels.numba.compiling import smoke_test

__all__ = ["KERNELS", "NEVER_DECLINE", "activations", "losses", "smoke_test"]

KERNELS: Table = {**linear.KERNELS, **losses.KERNELS, **updates.KERNELS, **dropout.KERNELS}
NEVER_DECLINE = {product}
