"""Several steps in one compiled pass, by Numba (extra ``fast``)."""

from bpx.kernels.numpy_fused import activations, dropout, linear, losses, updates
from bpx.kernels.numpy_fused.compiling import smoke_test

__all__ = ["activations", "dropout", "linear", "losses", "smoke_test", "updates"]
