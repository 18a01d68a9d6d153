"""The floor: the matrix products of a step alone, by cuBLAS, into arrays that are there already.

With the device "cpu" NumPy takes CuPy's place.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from contenders.measure import Job, Measure
from contenders.on_device import HALVES, Task, host_clock, multiplies_in, probe, task_of

__all__ = ["stack", "step"]


def library(device: str) -> Any:
    """CuPy, or NumPy in its place."""
    if device == "cpu":
        return np
    import cupy

    return cupy


def clock_of(xp: Any) -> Callable[[Callable[[], Any]], float]:
    """Seconds by the device's events."""
    if xp is np:
        return host_clock()

    def clock(work: Callable[[], Any]) -> float:
        start, end = xp.cuda.Event(), xp.cuda.Event()
        start.record()
        work()
        end.record()
        end.synchronize()
        return float(xp.cuda.get_elapsed_time(start, end)) / 1e3

    return clock


def timed_by(xp: Any) -> dict[str, str]:
    """A note of the clock, and of the library."""
    if xp is np:
        return {"clock": "host", "with": f"NumPy {np.__version__}"}
    runtime = xp.cuda.runtime
    versions = f"CUDA {runtime.runtimeGetVersion()}, driver {runtime.driverGetVersion()}"
    device = runtime.getDeviceProperties(runtime.getDevice())["name"].decode()
    try:
        blas = str(xp.cuda.cublas.getVersion(xp.cuda.Device().cublas_handle))
    except Exception as error:  # is only a note
        blas = f"({type(error).__name__})"
    return {"clock": "CuPy's events", "with": f"CuPy {xp.__version__}, {versions}, cuBLAS {blas}, {device}"}


def set_precision(xp: Any, precision: str) -> Any:
    """Have CuPy compute float32 products so; the dtype of the arrays."""
    if xp is not np:
        from cupy._core import _routines_linalg as linalg

        kind = linalg.COMPUTE_TYPE_TF32 if precision == "tf32" else linalg.COMPUTE_TYPE_FP32
        linalg.set_compute_type(np.float32, kind)
    if precision == "bfloat16":
        import ml_dtypes

        return np.dtype(ml_dtypes.bfloat16)
    return np.dtype("float16" if precision == "float16" else "float32")


def product_of(xp: Any, precision: str) -> Callable[[Any, Any, Any], Any]:
    """A product into an array that is there. Transposed factors are read as they lie: CuPy copies those of a stack."""
    if xp is np:
        return lambda a, b, out: np.matmul(a, b, out=out)
    import bpx
    from bpx.kernels.cuda.products import product

    backend = bpx.get_backend("cupy", strict=True)

    def multiply(a: Any, b: Any, out: Any) -> None:
        if product(xp, a, b, out) is NotImplemented:
            raise TypeError(f"no product of {a.dtype} and {b.dtype} into {out.dtype}")

    def rounded(a: Any, b: Any, out: Any) -> None:
        with backend.matmul_precision(tf32=True, process=False):
            multiply(a, b, out)

    return rounded if precision == "tf32" else multiply


def arrays(task: Task, put: Callable[[Any], Any], empty: Callable[[Any], Any]) -> list[tuple[Any, Any, Any]]:
    """Factors and result of each product: forward a W; backward aᵀ g and, but for the first layer, g Wᵀ."""
    lead = () if task.stack is None else (task.stack,)
    rng = np.random.default_rng(2)
    widths = [task.X.shape[1]] + [W.shape[-1] for W, _ in task.layers]
    outputs, grads = (
        [put(rng.standard_normal((*lead, task.batch, n), dtype=np.float32)) for n in widths] for _ in range(2)
    )
    weights = [put(W) for W, _ in task.layers]
    forward = [(outputs[i], W, empty(outputs[i + 1])) for i, W in enumerate(weights)]
    backward = []
    for i in reversed(range(len(weights))):
        backward.append((outputs[i].swapaxes(-1, -2), grads[i + 1], empty(weights[i])))
        if i:
            backward.append((grads[i + 1], weights[i].swapaxes(-1, -2), empty(grads[i])))
    return forward + backward


def step(job: Job) -> Measure:
    """The products, launched one after the other."""
    xp, task = library(job.device), task_of(job)
    dtype = set_precision(xp, task.precision)
    clock, notes = clock_of(xp), timed_by(xp)
    if task.precision not in HALVES:
        a, b = map(xp.asarray, probe())
        notes |= multiplies_in(task.precision, lambda: (a @ b).tolist())
    multiply = product_of(xp, task.precision)
    products = arrays(task, lambda x: xp.asarray(x).astype(dtype), xp.empty_like)

    def several(steps: int) -> None:
        for _ in range(steps):
            for a, b, out in products:
                multiply(a, b, out)

    def run(repeats: int) -> float:
        clock(lambda: several(task.units))
        return clock(lambda: several(repeats * task.units))

    run(1)
    return Measure(run, task.units, notes)


stack = step
