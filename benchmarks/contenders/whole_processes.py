"""Times that need a new interpreter: imports, and the first use of kernels."""

from __future__ import annotations

import os
import subprocess
import sys
from tempfile import TemporaryDirectory

from contenders.measure import Job, Measure, timed

__all__ = ["first_fit", "import_time"]

IMPORTS = {
    "python": "pass",
    "floor": "import numpy",
    "bpx": "from bpx import MLP, fit",  # `import bpx` alone imports nothing that trains
    "torch": "import torch",
    "JAX": "import jax",
    "scikit-learn": "import sklearn.neural_network",
}
FIRST_FIT = """
from time import perf_counter
import numpy as np
from bpx import MLP, fit
X = np.random.default_rng(0).standard_normal((64, 2), dtype=np.float32)
y = (X[:, 0] > 0).astype(int)
net = MLP([2, 8, 2], backend="numpy")
start = perf_counter()
fit(net, X, y, epochs=1, batch_size=32)
print(perf_counter() - start)
"""


def import_time(job: Job) -> Measure:
    """A process that imports, from its start to its end."""
    command = [sys.executable, "-c", IMPORTS[job.contender]]
    return Measure(timed(lambda: subprocess.run(command, stdin=subprocess.DEVNULL, check=True)))


def first_fit(job: Job) -> Measure:
    """The first fit of a process, without its imports; compiled kernels are kept in a folder of this run."""
    cache = job.options.get("cache")
    filled = job.scratch / "kernels"
    if cache == "filled":
        _first_fit(str(filled))

    def run(_: int) -> float:
        if cache != "empty":
            return _first_fit(str(filled))
        with TemporaryDirectory(dir=job.scratch) as empty:
            return _first_fit(empty)

    return Measure(run)


def _first_fit(cache: str) -> float:
    """Seconds, by that process's own clock."""
    environment = os.environ | {"NUMBA_CACHE_DIR": cache}
    done = subprocess.run(
        [sys.executable, "-c", FIRST_FIT], env=environment, check=True, stdout=subprocess.PIPE, text=True
    )
    return float(done.stdout)
