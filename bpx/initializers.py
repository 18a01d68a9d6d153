"""Initial weights: `Initializer`, the named ones, and those that take a parameter."""

from bpx.formulas.initializers import *
from bpx.formulas.initializers import __all__ as __all__
