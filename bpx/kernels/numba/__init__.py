"""Several steps in one compiled pass, by Numba (extra ``fast``)."""

from bpx.kernels.numba import activations, dropout, linear, losses, updates
from bpx.kernels.numba.compiling import smoke_test

__all__ = ["activations", "dropout", "linear", "losses", "smoke_test", "updates"]
