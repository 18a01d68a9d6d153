"""The formulas with NumPy's ``out=``: no array is made that is not kept. They need NumPy alone.

They compute whatever the NumPy backend gives them in float32 or float64, and so never decline.
"""

from collections.abc import Callable
from typing import Any

from bpx.formulas.activations import Activation
from bpx.kernels.kernel_table import Table
from bpx.kernels.numpy_in_place import activations, dropout, linear, losses, steps, updates

__all__ = ["KERNELS", "NEVER_DECLINE", "activations", "losses", "steps"]

KERNELS: Table = {**linear.KERNELS, **losses.KERNELS, **updates.KERNELS, **dropout.KERNELS}
NEVER_DECLINE: set[Callable[..., Any]] = {*KERNELS, Activation.after_bias, Activation.backward}
