"""Losses: `Loss`, the named ones, and those that take a parameter."""

from bpx.formulas.losses import *
from bpx.formulas.losses import __all__ as __all__
