"""Times that need a new interpreter: imports, the first fit, and short scripts as a whole."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
from data import digits

from contenders.measure import Job, Measure, timed

__all__ = ["first_fit", "import_time", "whole_process"]

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
# The same network, batches and number of epochs.
_READ = """
import sys
import numpy as np
data = np.load(sys.argv[1])
X, y, epochs = data["X"], data["y"], int(sys.argv[2])
"""
TRAINS = {
    "bpx": f"""{_READ}
import bpx
bpx.fit(bpx.MLP([64, 100, 10], backend="numpy"), X, y, optimizer=bpx.Adam(1e-3), epochs=epochs, batch_size=200)
""",
    "scikit-learn": f"""{_READ}
from sklearn.neural_network import MLPClassifier
MLPClassifier((100,), max_iter=epochs, batch_size=200, n_iter_no_change=10**6).fit(X, y)
""",
}


def import_time(job: Job) -> Measure:
    """A process that imports, from its start to its end."""
    command = [sys.executable, "-c", IMPORTS[job.contender]]
    return Measure(timed(lambda: subprocess.run(command, stdin=subprocess.DEVNULL, check=True)))


def first_fit(job: Job) -> Measure:
    """The first fit of a process, without its imports, by that process's own clock."""
    del job
    command = [sys.executable, "-c", FIRST_FIT]

    def run(_: int) -> float:
        return float(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)

    return Measure(run)


def whole_process(job: Job) -> Measure:
    """A process that imports, trains on digits and ends, from its start to its end."""
    path = job.scratch / "digits.npz"
    if not path.exists():
        X, y = digits("float32")
        unfinished = path.with_name(f"{os.getpid()}.npz")
        np.savez(unfinished, X=X, y=y)
        unfinished.rename(path)
    script = TRAINS["scikit-learn" if job.contender == "scikit-learn" else "bpx"]
    command = [sys.executable, "-W", "ignore", "-c", script, str(path), str(job.workload.options["epochs"])]
    return Measure(timed(lambda: subprocess.run(command, stdin=subprocess.DEVNULL, check=True)))
