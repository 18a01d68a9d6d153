"""Learning-rate schedules, for an optimizer's ``learning_rate=``."""

from bpx.formulas.schedules import *
from bpx.formulas.schedules import __all__ as __all__
