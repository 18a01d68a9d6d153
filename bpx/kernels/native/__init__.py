"""Formulas in C: one compiled library for each platform, whose operations run alone or as programs of many steps."""

from bpx.formulas.linear import product
from bpx.kernels.kernel_table import Table
from bpx.kernels.native import activations, dropout, linear, losses, steps, updates
from bpx.kernels.native.library import NoLibraryError, load, threads

__all__ = ["KERNELS", "NEVER_DECLINE", "NoLibraryError", "activations", "load", "losses", "steps", "threads"]

KERNELS: Table = {**linear.KERNELS, **losses.KERNELS, **updates.KERNELS, **dropout.KERNELS}
NEVER_DECLINE = {product}
