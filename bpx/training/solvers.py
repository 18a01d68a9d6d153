"""SciPy's gradient-based minimisers on the flat parameter vector: full batch, a single network."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass, field
from typing import Any, Literal, final

import numpy as np

from bpx.errors import how_to_install
from bpx.errors.hints import unknown_value
from bpx.formulas.optimizers import OPTIMIZERS
from bpx.kernels import select
from bpx.network import memory
from bpx.network.mlp import MLP
from bpx.network.objective import Objective
from bpx.training.array_feed import rows_between
from bpx.training.history import StopReason
from bpx.training.recorder import RunRecorder
from bpx.training.run_config import RunConfig

# The keys of `METHODS`.
MethodName = Literal["cg", "bfgs", "lbfgs", "l-bfgs-b", "newton-cg", "tnc", "slsqp", "trust-constr"]

# bpx's name -> SciPy's name, and the option that limits its iterations; TNC has none, so `minimize` counts them.
METHODS: dict[str, tuple[str, str | None]] = {
    "cg": ("CG", "maxiter"),
    "bfgs": ("BFGS", "maxiter"),
    "lbfgs": ("L-BFGS-B", "maxiter"),
    "l-bfgs-b": ("L-BFGS-B", "maxiter"),
    "newton-cg": ("Newton-CG", "maxiter"),
    "tnc": ("TNC", None),
    "slsqp": ("SLSQP", "maxiter"),
    "trust-constr": ("trust-constr", "maxiter"),
}


@final
@dataclass(frozen=True)
class SciPy:
    """A gradient-based method of ``scipy.optimize.minimize`` as an optimizer.

    Parameters
    ----------
    method : str
        cg, bfgs, lbfgs (or l-bfgs-b), newton-cg, tnc, slsqp, trust-constr; in any case.
    options : dict
        Passed on to SciPy, such as ``{"gtol": 1e-5}``. The iteration limit is ``fit``'s ``epochs``.
    tol : float, optional
        SciPy's ``tol``.
    """

    method: str
    options: dict[str, Any] = field(default_factory=dict)
    tol: float | None = None

    def __post_init__(self) -> None:
        if self.method.lower() not in METHODS:
            raise ValueError(f"unknown SciPy method {self.method!r}; known are {', '.join(sorted(METHODS))}")


def get(optimizer: Any) -> SciPy | None:
    """The `optimizer` argument as a SciPy method; None if it is a first-order optimizer. ValueError for other names."""
    if isinstance(optimizer, SciPy):
        return optimizer
    if isinstance(optimizer, str) and optimizer.lower() in METHODS:
        return SciPy(optimizer)
    if isinstance(optimizer, str) and optimizer.lower() not in OPTIMIZERS:
        known = ", ".join([*sorted(OPTIMIZERS), *sorted(METHODS)])
        raise ValueError(unknown_value("optimizer", optimizer, known))
    return None


class _Stop(StopIteration):
    """Raised in SciPy's callback to end its loop; not every method has another way."""


def check(net: MLP, solver: SciPy) -> None:
    """Refuse (ValueError) a stack and a network with dropout; ImportError if SciPy is missing."""
    if net.stack is not None:
        raise ValueError(
            f"optimizer {solver.method!r} trains one network, got a stack of {net.stack}; use 'adam' or another"
            " first-order optimizer for a stack"
        )
    if any(net.dropout):
        raise ValueError(
            f"optimizer {solver.method!r} needs a loss without randomness, got dropout={list(net.dropout)};"
            " set dropout=0, or use a first-order optimizer such as 'adam'"
        )
    try:
        import scipy.optimize  # noqa: F401 - to see that it is installed
    except ImportError as error:
        raise ImportError(
            f"optimizer {solver.method!r} needs SciPy: {how_to_install('sklearn', 'scipy')}, or scipy alone"
        ) from error


def minimize(recorder: RunRecorder, objective: Objective, config: RunConfig) -> StopReason:
    """Minimise `objective` over all data with the config's SciPy method; an iteration counts as an epoch.

    SciPy's vectors are float64 on the host; parameters and gradients are copied between host and device once per
    evaluation.
    """
    from scipy.optimize import minimize as scipy_minimize

    run = recorder.run
    net, backend = run.net, run.net.backend
    objective = copy(objective)
    objective.use(select.for_backend(backend, net.dtype))
    solver, data = config.optimizer, config.feed.data
    data = rows_between(data, 0, data.n)  # sparse rows become dense: every evaluation needs them all
    method, limit = METHODS[solver.method.lower()]
    reasons: list[StopReason] = []
    last: dict[str, Any] = {}  # point and loss of the last evaluation

    def place(x: np.ndarray[Any, Any]) -> None:
        net.flat[...] = backend.asarray(np.asarray(x), backend.dtype(net.dtype))

    def evaluate(x: np.ndarray[Any, Any]) -> tuple[float, np.ndarray[Any, Any]]:
        place(x)
        recorder.end_steps()
        loss, grad = objective.value_and_grad(*data)
        last.update(x=np.array(x), loss=loss)
        return float(loss), np.array(backend.to_host(grad), dtype=np.float64)

    def end_iteration(x: np.ndarray[Any, Any], *_: Any) -> None:
        place(x)
        loss = last["loss"] if np.array_equal(x, last["x"]) else objective.value(*data)
        reason = recorder.end_epoch(loss)
        iterate[...] = net.flat
        if reason is None and limit is None and run.epoch >= run.epochs:
            reason = StopReason.EPOCHS
        if reason is not None:
            reasons.append(reason)
            raise _Stop

    recorder.begin()
    start = np.array(backend.to_host(net.flat), dtype=np.float64)
    iterate = net.flat * 1.0
    options = {limit: run.epochs} if limit is not None else {"maxfun": 2**31 - 1}
    try:
        result = scipy_minimize(
            evaluate, start, jac=True, method=method, tol=solver.tol, callback=end_iteration,
            options=options | solver.options,
        )  # fmt: skip
    except _Stop:
        return reasons[0]
    except BaseException as error:  # perhaps at a trial point of a line search; going back needs no memory
        net.flat[...] = iterate
        smaller = "take optimizer='adam' with batch_size={rows}"
        message = memory.explain(net, error, memory.step(data.n, smaller, doing="in an evaluation of all rows"))
        if message is None:
            raise
        raise memory.ExplainedMemoryError(message) from None
    place(result.x)
    if reasons:
        return reasons[0]
    run.solution = result
    if run.epoch == 0:  # no iteration was completed
        run.history.loss.append(float(objective.value(*data)))
    run.history.message = str(result.message)
    if result.success:
        return StopReason.CONVERGED
    return StopReason.EPOCHS if getattr(result, "nit", 0) >= run.epochs else StopReason.NO_PROGRESS
