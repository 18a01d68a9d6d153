"""Pictures as scikit-learn's displays: ``from_...`` computes and draws, ``.plot(ax=)`` draws again.

Every display keeps its data and its artists: ``figure_``, ``ax_``, and ``lines_``, ``im_``, ``text_`` or the like.
Without ``ax`` it makes a figure 800 pixels wide; for several in one figure use
``plt.subplots(2, 2, layout="constrained")``. All share one style (`style`); the user's rcParams stay as they are.
"""

try:
    import matplotlib as _matplotlib  # noqa: F401
except ModuleNotFoundError as error:
    from bpx.errors import how_to_install

    raise ImportError(f"bpx.plotting needs matplotlib: {how_to_install('plot', 'matplotlib')}") from error

from bpx.plotting.boundary import DecisionBoundaryDisplay
from bpx.plotting.curves import LossCurveDisplay
from bpx.plotting.diagram import NetworkDisplay
from bpx.plotting.gradient_check import GradientCheckDisplay
from bpx.plotting.images import HiddenWeightsDisplay, ImageGridDisplay
from bpx.plotting.importance import ImportanceDisplay
from bpx.plotting.style import COLOURS, STYLE, style
from bpx.plotting.sweep_scores import SweepDisplay

__all__ = [
    "COLOURS",
    "STYLE",
    "DecisionBoundaryDisplay",
    "GradientCheckDisplay",
    "HiddenWeightsDisplay",
    "ImageGridDisplay",
    "ImportanceDisplay",
    "LossCurveDisplay",
    "NetworkDisplay",
    "SweepDisplay",
    "style",
]


def __dir__() -> list[str]:
    """The public names; the modules behind them are left out of completion."""
    return sorted([*__all__, *(name for name in globals() if name.startswith("__"))])
