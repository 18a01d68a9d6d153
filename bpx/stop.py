"""Rules that end training, for ``bpx.fit(..., stop=)``."""

from bpx.training.stopping import *
from bpx.training.stopping import __all__ as __all__
