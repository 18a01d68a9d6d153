"""scikit-learn's multilayer perceptrons, drop-in, with what scikit-learn declines.

``classifier`` and ``regressor`` are the public classes; ``base`` is what they share, ``running`` turns their parameters
into a bpx training run, ``epochs`` does what scikit-learn does at an epoch's end, ``labels`` encodes classes.
"""

from bpx.estimators.classifier import MLPClassifier
from bpx.estimators.regressor import MLPRegressor

__all__ = ["MLPClassifier", "MLPRegressor"]
