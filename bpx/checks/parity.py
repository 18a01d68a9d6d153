"""Compare the same network on several backends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from bpx._formatting import TextTable
from bpx.backend.base import Backend
from bpx.backend.select import BackendLike, get_backend
from bpx.backend.select import backends as every_backend
from bpx.errors import BackendUnavailableError
from bpx.errors.hints import named
from bpx.formulas.losses import LossLike
from bpx.network.architecture import DType
from bpx.network.mlp import MLP
from bpx.training.fit import fit

# The largest difference from NumPy, relative to the largest value, that passes: libraries sum in different orders.
TOLERANCES: dict[DType, float] = {"float32": 1e-5, "float64": 1e-12}
STEPS = 5


@dataclass(frozen=True)
class ParityRow:
    """One backend: the largest relative differences from NumPy, or the reason why it did not run."""

    backend: str
    device: str
    forward: float = float("nan")
    gradient: float = float("nan")
    losses: float = float("nan")
    reason: str = ""

    @property
    def ran(self) -> bool:
        """Whether the backend worked here."""
        return not self.reason

    @property
    def differences(self) -> tuple[float, float, float]:
        """The differences of outputs, gradients and losses."""
        return self.forward, self.gradient, self.losses


@final
@dataclass(frozen=True, repr=False)
class ParityReport:
    """The result of `check_parity`; prints as a table.

    Parameters
    ----------
    rows : tuple of ParityRow
        ``.backend``, ``.device``, ``.forward``, ``.gradient``, ``.losses`` (over 5 Adam steps), ``.reason``.
    reference : str
        The backend that the others are compared with.
    dtype : {"float32", "float64"}
        The dtype of the network.
    tolerance : float
        The largest relative difference that passes.
    """

    rows: tuple[ParityRow, ...]
    reference: str
    dtype: DType
    tolerance: float

    @property
    def max_difference(self) -> float:
        """The largest relative difference of the backends that ran; NaN if one is NaN, 0 if none ran."""
        return float(np.max([row.differences for row in self.rows if row.ran], initial=0.0))

    @property
    def passed(self) -> bool:
        """Whether all backends ran and are within the tolerance."""
        return all(row.ran and all(d <= self.tolerance for d in row.differences) for row in self.rows)

    def __str__(self) -> str:
        table = TextTable(("backend", "device", "forward", "gradient", f"losses of {STEPS} steps"))
        for row in self.rows:
            table.add(row.backend, row.device, *(f"{d:.2e}" if row.ran else "not run" for d in row.differences))
        idle = {row.backend: row.reason for row in self.rows if not row.ran}
        reasons = "".join(f"{backend} did not run: {reason}\n" for backend, reason in idle.items())
        verdict = "passed" if self.passed else f"FAILED, {', '.join(idle)} did not run" if idle else "FAILED"
        return (
            f"largest difference from {self.reference}, relative to the largest value, {self.dtype}\n"
            f"{table.to_text()}\n{reasons}{verdict}: tolerance {self.tolerance:.0e}"
        )

    __repr__ = __str__


@named("bpx.check_parity")
def check_parity(
    net: MLP,
    X: Any,
    y: Any,
    loss: LossLike = "cross_entropy",
    *,
    backends: Sequence[BackendLike] | None = None,
    tolerance: float | None = None,
) -> ParityReport:
    """Compute outputs, gradients and 5 Adam steps (with dropout) of a network on several backends, and compare.

    Parameters
    ----------
    net : MLP
        Not changed: each backend gets a copy.
    X, y : host arrays
        Inputs of shape (n, n_in) and targets as for `bpx.fit`.
    loss : str, Loss or function
        As for `bpx.fit`.
    backends : sequence of str, module or Backend, optional
        The backends to compare with NumPy, the reference. None: all that work here.
    tolerance : float, optional
        The largest relative difference that passes. None: 1e-12 for float64, 1e-5 for float32.

    Returns
    -------
    ParityReport
        A backend that cannot be used here has a reason and no numbers, and the report does not pass.

    Raises
    ------
    ValueError, TypeError
        For an unknown backend, and for data or a loss that `bpx.fit` refuses, too.
    """
    if backends is None:
        backends = [status.name for status in every_backend() if status.available]
    reference = _results(net, X, y, loss, get_backend("numpy"))
    rows = []
    for name in backends:
        try:
            backend = get_backend(name, strict=True)
        except BackendUnavailableError as error:
            rows.append(ParityRow(str(name), "", reason=str(error)))
            continue
        results = _results(net, X, y, loss, backend)
        forward, gradient, losses = (_difference(a, b) for a, b in zip(reference, results, strict=True))
        rows.append(ParityRow(backend.name, str(backend.device), forward, gradient, losses))
    return ParityReport(tuple(rows), "numpy", net.dtype, TOLERANCES[net.dtype] if tolerance is None else tolerance)


def _results(net: MLP, X: Any, y: Any, loss: Any, backend: Backend) -> list[np.ndarray[Any, Any]]:
    """Outputs, gradient and the losses of a few steps, on the host."""
    copy = net.to(backend)
    output = backend.to_host(copy.forward(X))
    _, grads = copy.loss_and_grads(X, y, loss)
    gradient = np.array(backend.to_host(grads.flat))
    history = fit(copy, X, y, loss, "adam", epochs=STEPS, batch_size=None)
    return [output, gradient, np.asarray(history.loss)]


def _difference(a: np.ndarray[Any, Any], b: np.ndarray[Any, Any]) -> float:
    """Max |a - b| / max |a|."""
    return float(np.max(np.abs(a - b)) / max(float(np.max(np.abs(a))), float(np.finfo(a.dtype).tiny)))
