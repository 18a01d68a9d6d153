"""Activation functions: `Activation`, the named ones, and those that take a parameter."""

from bpx.formulas.activations import *
from bpx.formulas.activations import __all__ as __all__
