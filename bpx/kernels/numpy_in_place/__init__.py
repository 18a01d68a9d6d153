"""The formulas with NumPy's ``out=``: no array is made that is not kept. They need NumPy alone."""

from bpx.kernels.numpy_in_place import activations, dropout, linear, losses, steps, updates

__all__ = ["activations", "dropout", "linear", "losses", "steps", "updates"]
