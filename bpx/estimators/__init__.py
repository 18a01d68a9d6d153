"""scikit-learn's multilayer perceptrons, drop-in, with what scikit-learn declines.

``classifier`` and ``regressor`` are the public classes and ``base_mlp`` what they share, with ``parameters``, the
encoding of ``labels``, the methods of a ``fitted`` estimator, and ``saving``. ``solver`` runs the training of an
estimator, ``stacked_fits`` that of several as one stack; ``early_stopping`` is what scikit-learn does after each epoch.
``table_encoder`` is a transformer for tables of numbers and categories, ``frame_columns`` what it reads them with.
"""

from bpx.estimators.classifier import MLPClassifier
from bpx.estimators.regressor import MLPRegressor
from bpx.estimators.table_encoder import TableEncoder

__all__ = ["MLPClassifier", "MLPRegressor", "TableEncoder"]
