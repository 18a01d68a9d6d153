"""Compare gradients by back-propagation with central differences."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from bpx._formatting import TextTable
from bpx.errors.hints import named
from bpx.formulas import losses
from bpx.formulas.losses import LossLike
from bpx.network import validation
from bpx.network.mlp import MLP
from bpx.network.objective import Objective

HostArray = np.ndarray[Any, np.dtype[np.float64]]

# Factors of epsilon: a smaller step is tried where two estimates disagree, as they do across a kink.
SHRINK = (1.0, 0.1, 0.01, 0.001)
# The most numbers that one forward pass over perturbed networks may hold.
BUDGET = 4_000_000


@dataclass(frozen=True)
class ParameterCheck:
    """The m entries of one parameter array that were checked; arrays are float64 of shape (m,), or (K, m) of a stack.

    Parameters
    ----------
    name : str
        Such as ``"0.W"``.
    analytic, numerical : host arrays
        The gradient by back-propagation and by central differences.
    relative_error : float
        The largest difference over the largest gradient; see `check_gradients`.
    kinks : int
        How many entries lie at a kink.
    """

    name: str
    analytic: HostArray
    numerical: HostArray
    relative_error: float
    kinks: int

    @property
    def absolute_error(self) -> float:
        """The largest difference; like `relative_error` it leaves out kinks."""
        return float(np.max(np.abs(self.analytic - self.numerical), initial=0.0))


@final
@dataclass(frozen=True, repr=False)
class GradientReport:
    """The result of `check_gradients`; prints as a table.

    Parameters
    ----------
    parameters : tuple of ParameterCheck
        Each with ``.name``, ``.analytic``, ``.numerical``, ``.relative_error`` and ``.kinks``.
    tolerance : float
        The largest relative error that passes.
    loss : float or host array of shape (K,)
        The loss at the network's parameters, with its penalty.
    """

    parameters: tuple[ParameterCheck, ...]
    tolerance: float
    loss: Any

    @property
    def max_relative_error(self) -> float:
        """The largest relative error of any parameter; NaN if one is NaN."""
        return float(np.max([check.relative_error for check in self.parameters]))

    @property
    def max_absolute_error(self) -> float:
        """The largest difference between the two gradients."""
        return max(check.absolute_error for check in self.parameters)

    @property
    def passed(self) -> bool:
        """Whether the largest relative error is within the tolerance."""
        return bool(self.max_relative_error <= self.tolerance)

    def __str__(self) -> str:
        table = TextTable(("parameter", "checked", "largest |gradient|", "absolute error", "relative error", "kinks"))
        for check in self.parameters:
            largest = f"{float(np.max(np.abs(check.analytic), initial=0.0)):.6g}"
            errors = f"{check.absolute_error:.2e}", f"{check.relative_error:.2e}"
            table.add(check.name, str(check.analytic.size), largest, *errors, str(check.kinks))
        verdict = "passed" if self.passed else "FAILED"
        return (
            f"gradients by back-propagation against central differences, float64\n{table.to_text()}\n"
            f"{verdict}: largest relative error {self.max_relative_error:.2e}, tolerance {self.tolerance:.0e}"
        )

    __repr__ = __str__


@named("bpx.check_gradients")
def check_gradients(
    net: MLP,
    X: Any,
    y: Any,
    loss: LossLike = "cross_entropy",
    *,
    l2: Any = 0.0,
    sample_weight: Any = None,
    epsilon: float = 1e-3,
    tolerance: float = 1e-7,
    max_entries: int = 2000,
    seed: int = 0,
) -> GradientReport:
    """Compare every gradient with central differences of the loss, in float64 on a copy of the network.

    The difference (L(p + h) - L(p - h)) / 2h is extrapolated from h and h/2 (Richardson), which leaves an error of
    order h^4. A second extrapolation, from h/2 and h/4, shows how far the first can be trusted. If the two disagree,
    as across the kink of a ReLU, a one-sided difference or a smaller h is used. If the kink is exactly at the point,
    any slope between the one-sided ones is right: such entries are counted, but not compared.

    Parameters
    ----------
    net : MLP
        Not changed. Dropout is off.
    X : array of shape (n, n_in), or (n_in,) for one sample
        Inputs, on the host or on the network's device.
    y : array of shape (n, n_out), or as for ``net.loss_and_grads``
        Targets.
    loss : str, Loss or function
        Mean over samples of the sum over outputs.
    l2 : float, or K floats for a stack
        Adds l2/2 times the sum of squared weights.
    sample_weight : array of shape (n,) or (K, n), optional
        Not negative, not all zero.
    epsilon : float
        The first h.
    tolerance : float
        The largest relative error that passes.
    max_entries : int
        How many entries of each parameter are checked at most; these are drawn at random.
    seed : int
        Seed of that draw.

    Returns
    -------
    GradientReport
        The relative error of a parameter is its largest difference divided by its largest gradient, or by
        1e-5 max(1, loss) if that is larger: differences of the loss cannot resolve less.

    Raises
    ------
    ValueError, TypeError
        For data, a loss or weights that ``net.loss_and_grads`` refuses, too.
    """
    copy, function = net.to(net.backend, dtype="float64"), losses.get(loss)
    objective = Objective(copy, function, l2)
    backend, dtype = copy.backend, copy.backend.dtype("float64")
    with backend.scope():
        x, single = validation.inputs(backend, dtype, X, copy.sizes[0])
        t = validation.targets(backend, dtype, y, x.shape[0], copy.sizes[-1], function, single=single)
        w = validation.sample_weights(backend, dtype, sample_weight, x.shape[0], copy.stack)
        value, grad = objective.value_and_grad(x, t, w)
        at, analytic, centre = (backend.to_host(array) for array in (copy.flat, grad, value))

        def evaluate(flat: HostArray) -> HostArray:
            return backend.to_host(objective.value(x, t, w, backend.asarray(flat, dtype)))

        rng = np.random.default_rng(seed)
        widest = max(copy.n_params, x.shape[0] * max(copy.sizes)) * (copy.stack or 1)
        chunk = max(1, BUDGET // (widest * 6))
        checks = []
        for name, (start, stop, _) in copy.layout.entries.items():
            columns = np.arange(start, stop)
            if stop - start > max_entries:
                columns = np.sort(rng.choice(columns, max_entries, replace=False))
            parts = [
                _differentiate(evaluate, at, centre, columns[i : i + chunk], epsilon)
                for i in range(0, len(columns), chunk)
            ]
            low, high, numerical = (np.concatenate(part, axis=-1) for part in zip(*parts, strict=True))
            checks.append(_compare(name, analytic[..., columns], numerical, low, high, centre))
    return GradientReport(tuple(checks), tolerance, float(centre) if centre.ndim == 0 else centre)


def _perturbed(at: HostArray, columns: Any, h: float) -> Iterator[HostArray]:
    """The m parameter vectors with +h, then those with -h, added to one column each; shape (m, ..., p)."""
    for sign in (1.0, -1.0):
        flats = np.repeat(at[None, ...], len(columns), axis=0)
        flats[np.arange(len(columns)), ..., columns] += sign * h
        yield flats


def _differentiate(
    evaluate: Callable[[HostArray], HostArray], at: HostArray, centre: HostArray, columns: Any, epsilon: float
) -> tuple[HostArray, HostArray, HostArray]:
    """Lower slope, upper slope and numerical derivative for each column; shape (..., m).

    The slopes differ at a kink alone, where they are the one-sided ones. Near a kink only a one-sided difference that
    does not reach across it can be trusted.
    """
    best = np.full((*centre.shape, len(columns)), np.nan)
    trust = np.full_like(best, np.inf)
    low, high, at_kink = best, best, np.zeros_like(best, dtype=np.bool_)
    noise = 1e-15 * np.maximum(1.0, np.abs(centre))[..., None]
    for shrink in SHRINK:
        h = epsilon * shrink
        forward, backward = [], []
        for step in (h, h / 2, h / 4):
            above, below = (np.moveaxis(evaluate(flats), 0, -1) for flats in _perturbed(at, columns, step))
            forward.append((above - centre[..., None]) / step)
            backward.append((centre[..., None] - below) / step)
        central = [(f + b) / 2 for f, b in zip(forward, backward, strict=True)]
        coarse, fine = ((4 * central[i + 1] - central[i]) / 3 for i in (0, 1))
        guesses = [(coarse, np.abs(coarse - fine) + noise / h)]
        for side in (forward, backward):  # errors of order h and h^2 are extrapolated away; noise is magnified more
            line = [2 * side[i + 1] - side[i] for i in (0, 1)]
            guess = (4 * line[1] - line[0]) / 3
            guesses.append((guess, np.abs(guess - line[1]) + 16 * noise / h))
        for guess, doubt in guesses:
            better = doubt < trust
            best, trust = np.where(better, guess, best), np.where(better, doubt, trust)
        low, high = np.minimum(forward[2], backward[2]), np.maximum(forward[2], backward[2])
        # For a smooth function the one-sided slopes differ four times less at h/4 than at h.
        jump = np.where(np.abs(forward[0] - backward[0]) < 2 * (high - low), high - low, 0.0)
        at_kink = jump > 1e-6 * np.maximum(1.0, np.abs(best))
        if np.all(trust <= 1e-9 * np.maximum(np.max(np.abs(best), initial=0.0), 1e-5)) and not np.any(at_kink):
            break
    return np.where(at_kink, low, best), np.where(at_kink, high, best), best


def _compare(
    name: str, analytic: HostArray, numerical: HostArray, low: HostArray, high: HostArray, centre: HostArray
) -> ParameterCheck:
    """Compare the gradients of one parameter; at a kink any slope between the one-sided ones counts as equal."""
    slack = 1e-6 * np.maximum(1.0, np.abs(high))
    kink = (low < high) & (analytic >= low - slack) & (analytic <= high + slack)
    compared = np.where(kink, analytic, numerical)
    scale = np.maximum(np.max(np.abs(analytic), axis=-1), np.max(np.abs(compared), axis=-1))
    scale = np.maximum(scale, 1e-5 * np.maximum(1.0, np.abs(centre)))
    error = np.max(np.abs(analytic - compared), axis=-1) / scale
    return ParameterCheck(name, analytic, compared, float(np.max(error)), int(np.count_nonzero(kink)))
