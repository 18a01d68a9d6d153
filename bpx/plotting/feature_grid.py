"""The grid that a decision boundary is computed on, and the targets of the points in it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from bpx.errors import ShapeError
from bpx.errors.values import check_count
from bpx.network.data_frames import column_names
from bpx.plotting.arguments import HostArray, numbers, received

# The most numbers of a layer that are computed at once.
BUDGET = 4_000_000
# How far the grid extends beyond the points, as a share of their range.
MARGIN = 0.08


class FeatureGrid:
    """A grid over two features; the others are held at their median."""

    def __init__(self, points: HostArray, features: Any, resolution: int, names: Sequence[Any] | None) -> None:
        if points.ndim != 2 or not len(points):
            raise ShapeError(f"X: expected samples of shape (n, 2), got {points.shape}")
        if not np.all(np.isfinite(points)):
            raise ValueError("X: expected finite numbers, got NaN or infinity; remove or impute them")
        width = points.shape[1]
        first, second = _two_features(features, width)
        resolution = check_count("grid_resolution", resolution, 2)
        self.points = points[:, (first, second)]
        low, high = self.points.min(axis=0), self.points.max(axis=0)
        pad = np.where(high > low, MARGIN * (high - low), 1.0)
        self.xx0, self.xx1 = np.meshgrid(*np.linspace(low - pad, high + pad, resolution).T)
        self._rows = np.tile(np.median(points, axis=0), (self.xx0.size, 1))
        self._rows[:, first], self._rows[:, second] = self.xx0.ravel(), self.xx1.ravel()
        names = [f"feature {f + 1}" for f in range(width)] if names is None else list(names)
        if len(names) not in (2, width):
            raise ValueError(f"feature_names: expected 2 or {width} names, got {len(names)}")
        self.names = [names[first], names[second]] if len(names) == width else names
        self.note = "" if width == 2 else "other features at their median"

    def outputs(self, predict: Callable[[HostArray], HostArray], widest: int) -> HostArray:
        """The outputs over the grid, float64 of shape (..., r, r, n_out), computed in chunks to bound memory."""
        size = max(1, BUDGET // max(1, widest))
        parts = [predict(self._rows[i : i + size]) for i in range(0, len(self._rows), size)]
        outputs = np.concatenate(parts, axis=-2).astype(np.float64)
        return outputs.reshape(*outputs.shape[:-2], *self.xx0.shape, outputs.shape[-1])

    def for_display(self) -> dict[str, Any]:
        """The grid as arguments of `DecisionBoundaryDisplay`."""
        return {"xx0": self.xx0, "xx1": self.xx1, "X": self.points, "feature_names": self.names, "note": self.note}


def _two_features(features: Any, width: int) -> tuple[int, int]:
    """The indices of the two features that are drawn."""
    if features is None and width == 2:
        return 0, 1
    if features is None:
        choose = "choose two with features=(0, 1), which holds the others at their median, or train on two"
        hint = "draw its answers over the one feature instead" if width < 2 else choose
        raise ShapeError(f"X: a plane has two features, this has {width}; {hint}")
    if (
        not isinstance(features, (tuple, list, np.ndarray))
        or len(features) != 2
        or not all(isinstance(f, (int, np.integer)) and 0 <= f < width for f in features)
        or features[0] == features[1]
    ):
        raise ValueError(
            f"features: expected the numbers of two different columns in 0..{width - 1}, got {received(features)}"
        )
    return int(features[0]), int(features[1])


def columns(X: Any) -> list[str] | None:
    """The column names of a data frame; None for an array."""
    names = column_names(X)
    return names if names is not None or not hasattr(X, "columns") else [str(name) for name in X.columns]


def target_values(y: Any, n: int, n_out: int, by_class: bool, output: int | None) -> HostArray:
    """Targets as class numbers (int64) or as values (float64), shape (n,)."""
    targets = numbers(y, "y")
    if targets.ndim == 0 or len(targets) != n:
        found = "a single number" if targets.ndim == 0 else len(targets)
        raise ShapeError(f"y: expected {n} targets, one for each row of X, got {found}")
    if targets.ndim == 2 and targets.shape[1] > 1:
        if targets.shape[1] != n_out:
            raise ShapeError(f"y: expected shape ({n},) or ({n}, {n_out}), got {targets.shape}")
        if by_class and not np.all((targets >= 0) & (targets <= 1)):
            raise ValueError("y: expected class numbers or one-hot rows, got a table with numbers outside of 0..1")
        return targets.argmax(axis=1) if by_class else targets[:, output or 0]
    targets = targets.reshape(n)
    if not by_class:
        return targets if n_out == 1 else np.asarray(targets == (output or 0), dtype=np.float64)
    if not np.all(np.isfinite(targets)):
        raise ValueError("y: expected class numbers, got NaN or infinity; drop these samples")
    allowed = max(n_out, 2)
    if not np.all(np.isin(targets, np.arange(allowed))):
        raise ValueError(
            f"y: expected class numbers in 0..{allowed - 1}, got values from {targets.min():g} to {targets.max():g};"
            " with other labels, numpy.unique(y, return_inverse=True)"
        )
    return targets.astype(np.int64)


def class_positions(labels: HostArray, classes: HostArray) -> HostArray:
    """Each label's position in the estimator's classes."""
    positions = {label: i for i, label in enumerate(classes.tolist())}
    unknown = sorted({str(label) for label in labels.tolist() if label not in positions})
    if unknown:
        few = [name if len(name) <= 20 else f"{name[:19]}…" for name in unknown[:5]]
        raise ValueError(f"y: expected the classes {received(list(positions))}, got {few} too")
    return np.array([positions[label] for label in labels.tolist()])
