"""Pictures in scikit-learn's Display manner (extra ``plot``)."""

from bpx.faces.plotting import (
    COLOURS,
    STYLE,
    ConfusionMatrixDisplay,
    DecisionBoundaryDisplay,
    GradientCheckDisplay,
    HiddenWeightsDisplay,
    ImageGridDisplay,
    LossCurveDisplay,
    NetworkDisplay,
    SweepDisplay,
    style,
)

__all__ = [
    "COLOURS",
    "STYLE",
    "ConfusionMatrixDisplay",
    "DecisionBoundaryDisplay",
    "GradientCheckDisplay",
    "HiddenWeightsDisplay",
    "ImageGridDisplay",
    "LossCurveDisplay",
    "NetworkDisplay",
    "SweepDisplay",
    "style",
]
