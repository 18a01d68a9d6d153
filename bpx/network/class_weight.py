"""Class weights: from one factor per class to one weight per sample."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

HostArray = np.ndarray[Any, Any]


def class_weights(y: HostArray, class_weight: Mapping[int, float] | str, n_out: int, whole: bool = True) -> HostArray:
    """The weight of each sample's class, of shape (n, 1) on the host.

    `y` are labels (n,), one-hot or soft rows (n, n_out), whose largest value is the class, or one column, class 1 above
    0.5. Classes are 0 to n_out - 1, two for one output. `class_weight` has the weight of each class, 1 by default;
    "balanced" is n / (classes present * samples of the class). If these are `whole` data, not all weights may be 0.
    """
    if y.ndim == 2 and (np.min(y) < 0.0 or np.max(y) > 1.0):
        raise ValueError(
            f"class_weight: expected targets that are classes (labels, or columns of 0 and 1), got numbers from"
            f" {np.min(y):g} to {np.max(y):g}; weigh such samples with sample_weight"
        )
    if y.ndim == 1:
        labels = y.astype(np.int64)
    else:
        labels = (y[:, 0] > 0.5).astype(np.int64) if y.shape[1] == 1 else np.argmax(y, axis=1)
    classes = max(n_out, 2)
    counts = np.bincount(labels, minlength=classes)
    factors = np.ones(classes)
    if isinstance(class_weight, str):
        if class_weight != "balanced":
            raise ValueError(f"class_weight: expected a dict or 'balanced', got {class_weight!r}")
        factors = len(labels) / (np.count_nonzero(counts) * np.maximum(counts, 1))
    elif isinstance(class_weight, Mapping):
        for label, factor in class_weight.items():
            whole_float = isinstance(label, (float, np.floating)) and float(label).is_integer()  # from numpy.unique
            known = whole_float or (isinstance(label, (int, np.integer)) and not isinstance(label, bool))
            if not known or not 0 <= label < classes:
                raise ValueError(f"class_weight: expected classes 0..{classes - 1}, got {label!r}")
            if not (np.isfinite(factor) and factor >= 0.0):
                raise ValueError(f"class_weight: expected finite weights >= 0, got {factor} for class {label}")
            factors[int(label)] = factor
    else:
        raise TypeError(f"class_weight: expected a dict or 'balanced', got {type(class_weight).__name__}")
    weights: HostArray = factors[labels][:, None]
    if whole and not np.any(weights > 0.0):
        raise ValueError("class_weight: every sample would have weight 0; give a class that occurs a positive weight")
    return weights
