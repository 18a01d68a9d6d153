"""Rows on disk that are never in memory all at once; and, started by mpiexec, several processes that share the work.

python examples/larger_than_memory.py
mpiexec -n 2 python -m mpi4py examples/larger_than_memory.py --comm mpi
"""

import argparse
import os
import tempfile

import numpy as np

import bpx

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--rows", type=int, default=200_000)
parser.add_argument("--buffer", type=float, default=8.0, help="MB of rows in memory")
parser.add_argument("--comm", choices=["mpi"], help="share the rows with the other processes that mpiexec started")
options = parser.parse_args()


def write_rows(path, n, k=50):
    """Rows on disk: k numbers, and as the last one whether a hidden linear rule with some noise holds."""
    rng = np.random.default_rng(0)
    rule = rng.normal(size=k)
    rows = np.lib.format.open_memmap(path, "w+", "float32", (n, k + 1))
    for start in range(0, n, 10_000):
        X = rng.normal(size=(min(10_000, n - start), k))
        rows[start : start + len(X), :k] = X
        rows[start : start + len(X), k] = X @ rule + rng.normal(size=len(X)) > 0.0


path = os.path.join(tempfile.gettempdir(), f"bpx_rows_{options.rows}.npy")
if not os.path.exists(path):
    write_rows(f"{path}.{os.getpid()}.npy", options.rows)
    os.replace(f"{path}.{os.getpid()}.npy", path)
rows, held_out = np.load(path, mmap_mode="r"), options.rows // 10
train, test = rows[held_out:], rows[:held_out]
net = bpx.MLP([rows.shape[1] - 1, 32, 1], output="sigmoid", backend="numpy")
stream = bpx.stream(train[:, :-1], train[:, -1], buffer=int(options.buffer * 2**20))
history = bpx.fit(
    net, stream, loss="binary_cross_entropy", epochs=3, batch_size=256, validation=(test[:, :-1], test[:, -1]),
    comm=options.comm,
)  # fmt: skip

outputs = bpx.predict(net, test[:, :-1])
accuracy = np.mean((outputs[:, 0] > 0.5) == (test[:, -1] > 0.5))
if options.comm:
    from mpi4py import MPI

    if MPI.COMM_WORLD.Get_rank() > 0:
        raise SystemExit  # one of the processes is enough to report
print(f"{rows.nbytes / 2**20:.0f} MB of rows through a buffer of {options.buffer:g} MB: {history.steps} steps,")
print(f"validation loss {history.val_loss[-1]:.3f}, {accuracy:.1%} of {held_out} held-out rows right")

# %% Expected output
# 39 MB of rows through a buffer of 8 MB: 2112 steps,
# validation loss 0.112, 95.1% of 20000 held-out rows right
