"""bpx's and scikit-learn's classifier, which take the same parameters, doing the same work."""

from __future__ import annotations

import warnings
from typing import Any

from data import digits, many_rows, samples

from contenders.measure import Job, Measure, peak_above_output, timed

__all__ = ["fit", "predict_proba"]


def fit(estimator: Any, job: Job, **more: Any) -> Measure:
    """A whole fit, of the same number of epochs for all."""
    o = job.workload.options
    X, y = digits(o["dtype"]) if o["data"] == "digits" else samples(5_000, 784, 10, o["dtype"])
    notes: dict[str, Any] = {}

    def work() -> None:
        model = estimator(
            (o["hidden"],), max_iter=o["epochs"], batch_size=200, random_state=0, n_iter_no_change=10**6, **more
        )
        with warnings.catch_warnings():  # "has not converged yet"
            warnings.simplefilter("ignore")
            model.fit(X, y)
        assert model.n_iter_ == o["epochs"]
        notes["loss"] = float(model.loss_)

    return Measure(timed(work), notes=notes)


def predict_proba(estimator: Any, job: Job, **more: Any) -> Measure:
    """Class probabilities, after one epoch of training on few rows."""
    o = job.workload.options
    X, y = samples(200, o["sizes"][0], o["sizes"][-1], o["dtype"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = estimator(o["sizes"][1:-1], max_iter=1, random_state=0, **more).fit(X, y)
    rows = many_rows(o["rows"], o["sizes"][0], o["dtype"], job.scratch)
    model.predict_proba(rows[:1000])
    return Measure(timed(lambda: model.predict_proba(rows)), notes=peak_above_output(lambda: model.predict_proba(rows)))
