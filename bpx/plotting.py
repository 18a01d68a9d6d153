"""Pictures in scikit-learn's Display manner (extra ``plot``)."""

from bpx.faces.plotting import *
from bpx.faces.plotting import __all__ as __all__
