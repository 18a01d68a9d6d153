"""scikit-learn's multilayer perceptrons, drop-in, with what scikit-learn declines.

``classifier`` and ``regressor`` are the public classes and ``base`` what they share: ``parameters`` that they take,
``labels`` that they encode, ``inference`` and ``saving``. ``solver`` makes a training run of an estimator and its data,
``stacked_fits`` one of many estimators; ``early_stopping`` does what scikit-learn does at an epoch's end.
"""

from bpx.estimators.classifier import MLPClassifier
from bpx.estimators.regressor import MLPRegressor

__all__ = ["MLPClassifier", "MLPRegressor"]
