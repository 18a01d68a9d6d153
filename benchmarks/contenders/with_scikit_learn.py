"""scikit-learn's MLPClassifier."""

from __future__ import annotations

import warnings
from time import perf_counter
from typing import Any

import numpy as np
from data import samples
from sklearn.neural_network import MLPClassifier

from contenders import estimators
from contenders.measure import Job, Measure, peak_memory
from contenders.whole_processes import import_time, whole_process

__all__ = ["fit", "import_time", "memory", "predict", "predict_estimator", "step", "whole_process"]


class Stamped(MLPClassifier):
    """Notes the time at each epoch's end, which scikit-learn's fit reports to this method."""

    def _update_no_improvement_count(self, *args: Any, **kwargs: Any) -> None:
        self.__dict__.setdefault("stamps", []).append(perf_counter())
        super()._update_no_improvement_count(*args, **kwargs)


def train(X: Any, y: Any, o: Any, epochs: int) -> float:
    """Train for one epoch and then for so many more; the seconds that those took."""
    model = Stamped(
        o["sizes"][1:-1], activation={"sigmoid": "logistic"}.get(o["hidden"], o["hidden"]), solver=o["optimizer"],
        alpha=0.0, batch_size=o["batch"], learning_rate_init=1e-3 if o["optimizer"] == "adam" else 0.01, momentum=0.9,
        nesterovs_momentum=False, max_iter=epochs + 1, n_iter_no_change=10**6, random_state=0,
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(X, y)
    return model.stamps[-1] - model.stamps[0]


def data_of(o: Any) -> tuple[Any, Any]:
    """Data; two classes are given as two columns, which scikit-learn fits with two outputs, not one."""
    X, y = samples(o["batch"] * o["steps"], o["sizes"][0], o["sizes"][-1], o["dtype"])
    return X, np.eye(2, dtype=int)[y] if o["sizes"][-1] == 2 else y


def step(job: Job) -> Measure:
    """Steps of MLPClassifier.fit."""
    o = job.workload.options
    X, y = data_of(o)
    return Measure(lambda repeats: train(X, y, o, repeats), o["steps"])


def memory(job: Job) -> Measure:
    """Peak of a fit of two epochs; a tiny one before it loads what is loaded at first use."""
    o = job.workload.options
    X, y = data_of(o)
    train(X[:4], y[:4], {**o, "sizes": (X.shape[1], 3, o["sizes"][-1]), "batch": 2}, 1)
    return Measure(lambda _: peak_memory(lambda: train(X, y, o, 1))[0])


def fit(job: Job) -> Measure:
    """A whole fit."""
    return estimators.fit(MLPClassifier, job)


def predict(job: Job) -> Measure:
    """Class probabilities."""
    return estimators.predict_proba(MLPClassifier, job)


predict_estimator = predict
