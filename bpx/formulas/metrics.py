"""Metrics: what people judge a network by, beside the loss that it is trained on.

Each is a function ``f(y_true, y_pred, sample_weight=None) -> float`` of host arrays, equal to scikit-learn's where that
has one, and NaN where `y_pred` is not finite:

====================== =========================================================== =================================
tasks                  y_true                                                      y_pred
====================== =========================================================== =================================
"binary"               (n, 1), 0 or 1                                              (n, 1), of class 1
"classes"              integer labels (n,), or rows (n, k) with a single 1         (n, k), the largest is the class
"labels"               (n, k), 0 or 1: several yes/no questions (multi-label)      (n, k), of each label
"numbers"              (n, k)                                                      (n, k)
====================== =========================================================== =================================
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, final

import numpy as np

from bpx._typing import Array, Namespace
from bpx.errors import ShapeError
from bpx.errors.hints import unknown_value

__all__ = [
    "METRICS", "Metric", "MetricName", "accuracy", "auc", "balanced_accuracy", "get", "log_loss", "mae", "missed", "r2",
    "rmse", "undefined",
]  # fmt: skip

# The keys of `METRICS`.
MetricName = Literal["accuracy", "balanced_accuracy", "auc", "log_loss", "r2", "mae", "rmse"]

HostArray = np.ndarray[Any, Any]
CLASSES = ("binary", "classes", "labels")


@final
@dataclass(frozen=True)
class Metric:
    """A metric, what it can be asked of, and which way is better.

    Parameters
    ----------
    name : str
        Its column in histories and logs.
    function : callable
        ``function(y_true, y_pred)``, or with a third argument ``sample_weight``, which then is given.
    larger : bool or None
        Whether larger is better; None: not known, for one's own function.
    tasks : tuple of str
        Of "binary", "classes", "labels" and "numbers".
    hard : bool
        Whether targets between 0 and 1 are refused.
    """

    name: str
    function: Callable[..., Any]
    larger: bool | None = None
    tasks: tuple[str, ...] = (*CLASSES, "numbers")
    hard: bool = False

    @property
    def own(self) -> bool:
        """Whether it is a function of the user's own."""
        return self.larger is None


def missed(xp: Namespace, y: Array, output: Array, cutoff: float = 0.5) -> Array:
    """Which rows' class is predicted wrongly, (..., n): whether one output exceeds `cutoff`, or the largest of several.

    Any array library; output (..., n, k), y (n, k), (..., n, k) or integer labels (..., n).
    """
    if output.shape[-1] == 1:
        return ((output > cutoff) != (y > cutoff))[..., 0]
    target = xp.argmax(y, axis=-1) if xp.isdtype(y.dtype, "real floating") else y
    return xp.argmax(output, axis=-1) != target


def accuracy(y_true: HostArray, y_pred: HostArray, sample_weight: Any = None) -> float:
    """Share of rows whose class is predicted: sum_i w_i [right_i] / sum_i w_i."""
    y, p, w = _checked(y_true, y_pred, sample_weight)
    if not np.all(np.isfinite(p)):
        return float("nan")
    return _mean(~missed(np, y, p), w)


def accuracy_of_labels(y_true: HostArray, y_pred: HostArray, sample_weight: Any = None) -> float:
    """Share of rows all of whose labels are predicted (scikit-learn's subset accuracy)."""
    y, p, w = _checked(y_true, y_pred, sample_weight)
    if not np.all(np.isfinite(p)):
        return float("nan")
    return _mean(np.all((p > 0.5) == (y > 0.5), axis=1), w)


def balanced_accuracy(y_true: HostArray, y_pred: HostArray, sample_weight: Any = None) -> float:
    """Mean over the classes that `y_true` has of the share of their rows that is predicted."""
    y, p, w = _checked(y_true, y_pred, sample_weight)
    if not np.all(np.isfinite(p)):
        return float("nan")
    right, of = ~missed(np, y, p), _labels(y)
    w = np.ones(len(of)) if w is None else w
    total = np.bincount(of, w)
    there = total > 0.0
    return float(np.mean(np.bincount(of, w * right)[there] / total[there]))


def auc(y_true: HostArray, y_pred: HostArray, sample_weight: Any = None) -> float:
    """Area under the ROC curve: P(score of a positive row > of a negative one) + P(they are equal) / 2.

    With several classes, or labels, the mean over them of the area of each against the rest (scikit-learn's
    ``multi_class="ovr", average="macro"``). NaN where a class has no row, or has all.
    """
    y, p, w = _checked(y_true, y_pred, sample_weight)
    if not np.all(np.isfinite(p)):
        return float("nan")
    return float(np.mean([_area(column, score, w) for column, score in zip(_columns(y, p).T, p.T, strict=True)]))


def log_loss(y_true: HostArray, y_pred: HostArray, sample_weight: Any = None) -> float:
    """Mean over rows of -log p of their class; over labels their mean. As scikit-learn's, p is held in [eps, 1 - eps].

    eps is that of y_pred's dtype: 2.2e-16 for float64, 1.2e-7 for float32.
    """
    _, p, w = _checked(y_true, y_pred, sample_weight)
    y = _columns(np.asarray(y_true), p)
    given = np.asarray(y_pred)
    given = given if given.dtype.kind == "f" and given.dtype.itemsize > 2 else given.astype(np.float64)
    if not np.all(np.isfinite(p)):
        return float("nan")
    each = -y * _log(given)
    if y.shape[1] == 1:
        each = each - (1.0 - y) * _log(1 - given)
    return _mean(np.sum(each, axis=1), w)


def log_loss_of_labels(y_true: HostArray, y_pred: HostArray, sample_weight: Any = None) -> float:
    """Mean over labels of each one's `log_loss`."""
    y, p = np.asarray(y_true), np.asarray(y_pred)
    _checked(y, p, sample_weight)
    return float(np.mean([log_loss(y[:, j : j + 1], p[:, j : j + 1], sample_weight) for j in range(p.shape[1])]))


def r2(y_true: HostArray, y_pred: HostArray, sample_weight: Any = None) -> float:
    """1 - sum_i w_i (y_i - p_i)^2 / sum_i w_i (y_i - mean y)^2, the mean over outputs.

    An output whose target does not vary counts 1 where it is met and 0 where not (scikit-learn says the same, but takes
    a target such as 0.1, whose mean is rounded, for one that varies). NaN of fewer than two rows.
    """
    y, p, w = _checked(y_true, y_pred, sample_weight)
    if len(y) < 2 or not np.all(np.isfinite(p)):
        return float("nan")
    column = 1.0 if w is None else w[:, None]
    residual = np.sum(column * (y - p) ** 2, axis=0)
    total = np.sum(column * (y - np.average(y, axis=0, weights=w)) ** 2, axis=0)
    counted = y if w is None else y[w > 0.0]
    varies = (np.max(counted, axis=0) > np.min(counted, axis=0)) & (total > 0.0)
    return float(np.mean(np.where(varies, 1.0 - residual / np.where(varies, total, 1.0), residual == 0.0)))


def mae(y_true: HostArray, y_pred: HostArray, sample_weight: Any = None) -> float:
    """Mean absolute error: sum_i w_i |y_i - p_i| / sum_i w_i, the mean over outputs."""
    y, p, w = _checked(y_true, y_pred, sample_weight)
    return float(np.mean(np.average(np.abs(y - p), axis=0, weights=w))) if np.all(np.isfinite(p)) else float("nan")


def rmse(y_true: HostArray, y_pred: HostArray, sample_weight: Any = None) -> float:
    """Root of the mean squared error: sqrt(sum_i w_i (y_i - p_i)^2 / sum_i w_i), the mean over outputs."""
    y, p, w = _checked(y_true, y_pred, sample_weight)
    if not np.all(np.isfinite(p)):
        return float("nan")
    return float(np.mean(np.sqrt(np.average((y - p) ** 2, axis=0, weights=w))))


METRICS: dict[str, Metric] = {
    "accuracy": Metric("accuracy", accuracy, True, CLASSES),
    "balanced_accuracy": Metric("balanced_accuracy", balanced_accuracy, True, ("binary", "classes"), hard=True),
    "auc": Metric("auc", auc, True, CLASSES, hard=True),
    "log_loss": Metric("log_loss", log_loss, False, CLASSES),
    "r2": Metric("r2", r2, True, ("numbers",)),
    "mae": Metric("mae", mae, False, ("numbers",)),
    "rmse": Metric("rmse", rmse, False, ("numbers",)),
}
# What a name means for several yes/no labels, where that is another formula.
OF_LABELS: dict[Callable[..., Any], Callable[..., Any]] = {accuracy: accuracy_of_labels, log_loss: log_loss_of_labels}


def get(name: str) -> Metric:
    """The metric of that name.

    Raises
    ------
    ValueError
        If the name is not known; the message lists the known ones.
    """
    if name not in METRICS:
        raise ValueError(unknown_value("metric", name, f"{', '.join(METRICS)}, or a function f(y_true, y_pred)"))
    return METRICS[name]


def undefined(metric: Metric, y_true: HostArray, y_pred: HostArray, sample_weight: Any = None) -> str | None:
    """Why a metric is NaN for these targets, whatever is predicted; None where it is not."""
    if metric.function is r2 and len(y_true) < 2:
        return "it needs at least two rows"
    if metric.function is not auc:
        return None
    y = _columns(np.asarray(y_true), y_pred)
    y = y if sample_weight is None else y[np.asarray(sample_weight) > 0.0]
    count = np.count_nonzero(y > 0.5, axis=0)
    none, every = np.flatnonzero(count == 0).tolist(), np.flatnonzero(count == len(y)).tolist()
    if y.shape[1] == 1:
        return f"all rows are of class {int(count[0] > 0)}" if none or every else None
    reasons = [f"no row is of class {', '.join(map(str, none[:8]))}{', ...' * (len(none) > 8)}"] if none else []
    reasons += [f"all rows are of class {', '.join(map(str, every[:8]))}{', ...' * (len(every) > 8)}"] if every else []
    return " and ".join(reasons) or None


# ---------------------------------------------------------------------- parts


def _checked(y_true: Any, y_pred: Any, sample_weight: Any) -> tuple[HostArray, HostArray, HostArray | None]:
    """Targets, outputs (n, k) and weights (n,), float64 but for labels; refuses shapes that would be repeated."""
    y, p = np.asarray(y_true), np.asarray(y_pred, dtype=np.float64)
    y = y if y.ndim == 1 and y.dtype.kind in "iu" else y.astype(np.float64)
    if p.ndim == 1:
        p = p[:, None]
    if y.ndim == 1 and p.shape[1] == 1:
        y = y.astype(np.float64)[:, None]
    if p.ndim != 2 or len(y) != len(p) or (y.ndim != 1 and y.shape != p.shape) or (y.ndim == 1 and y.dtype.kind == "f"):
        raise ShapeError(
            f"metric: expected y_pred of shape (n, k) and y_true of the same, or integer labels (n,), got"
            f" {np.shape(y_pred)} and {np.shape(y_true)}"
        )
    if len(p) == 0:
        raise ShapeError("metric: expected at least one row, got none")
    if sample_weight is None:
        return y, p, None
    w = np.asarray(sample_weight, dtype=np.float64)
    if w.shape != (len(p),):
        raise ShapeError(f"sample_weight: expected shape ({len(p)},), one weight for each row, got {w.shape}")
    w = np.ldexp(w, -np.frexp(np.max(w))[1])  # a power of two, exact: sums and their products stay in range
    if not np.sum(w) > 0.0:
        raise ValueError("sample_weight: expected at least one weight > 0, got only zeros")
    return y, p, w


def _mean(values: HostArray, w: HostArray | None) -> float:
    """Weighted mean over rows."""
    return float(np.average(values, weights=w))


def _labels(y: HostArray) -> HostArray:
    """Each row's class."""
    if y.ndim == 1:
        return y
    return (y[:, 0] > 0.5).astype(np.int64) if y.shape[1] == 1 else np.argmax(y, axis=1)


def _columns(y: HostArray, p: HostArray) -> HostArray:
    """Labels as one-hot rows; rows as they are, float64, of p's shape."""
    if y.ndim == 1 and p.shape[1] > 1:
        y = y[:, None] == np.arange(p.shape[1])
    columns: HostArray = y.astype(np.float64).reshape(p.shape)
    return columns


def _log(p: HostArray) -> HostArray:
    """Log of probabilities held in [eps, 1 - eps] of their dtype, as float64."""
    eps = np.finfo(p.dtype).eps
    logarithm: HostArray = np.log(np.clip(p, eps, 1 - eps).astype(np.float64))
    return logarithm


def _area(y: HostArray, score: HostArray, w: HostArray | None) -> float:
    """Area under one ROC curve, from the weights of both kinds of rows at each different score."""
    w = np.ones(len(y)) if w is None else w
    _, group = np.unique(score, return_inverse=True)
    group = group.reshape(-1)
    positive, negative = np.bincount(group, w * (y > 0.5)), np.bincount(group, w * (y <= 0.5))
    total = np.sum(positive) * np.sum(negative)
    if not total > 0.0:
        return float("nan")
    below = np.cumsum(negative) - negative
    return float(np.sum(positive * (below + 0.5 * negative)) / total)
