"""The formulas by CUDA kernels of our own, for CuPy arrays; see `sources` for how they are compiled.

Twins check that arrays are in one piece and of the dtypes that their kernels read, allocate what they fill, and hand
the work to `bpx.kernels.recording.launch`. No kernel adds floating-point numbers in an order that may change.
"""

from bpx.kernels.cuda import activations, dropout, linear, losses, precision, steps, updates
from bpx.kernels.cuda.compiling import smoke_test

__all__ = ["activations", "dropout", "linear", "losses", "precision", "smoke_test", "steps", "updates"]
