"""First-order optimizers, for ``bpx.fit(..., optimizer=)``."""

from bpx.formulas.optimizers import *
from bpx.formulas.optimizers import __all__ as __all__
