"""What may run during training: `Callback`, and callbacks that log every epoch."""

from bpx.training.callbacks import *
from bpx.training.callbacks import __all__ as __all__
