"""What a rank of tests/test_mpi.py does: ``mpiexec -n 2 python -m mpi4py mpi_script.py NAME FOLDER``."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from pathlib import Path

import numpy as np

import bpx

rng = np.random.default_rng(1)
X, y = rng.normal(size=(203, 6)), rng.integers(0, 3, 203)


def network(seed=1, sizes=(6, 9, 3)):
    return bpx.MLP(sizes, hidden="tanh", dtype="float64", seed=seed, backend="numpy", dropout=0.1)


def train(net=None, data=(X, y), **options):
    net = network() if net is None else net
    given = {"epochs": 9, "batch_size": 32, "comm": "mpi", **options}
    history = bpx.fit(net, *data, **given)
    return net, history


def equals_serial(rank, folder):
    """63 Adam steps with dropout, twice, and from rows on disk; each rank leaves what it has."""
    serial, _ = train(comm=None)
    first, history = train()
    again, _ = train()
    stream = bpx.stream(np.load(folder / "X.npy", mmap_mode="r"), y, buffer=12_000)
    streamed, _ = train(data=(stream,))
    alone, _ = train(data=(stream,), comm=None)
    flats = {"serial": serial, "first": first, "again": again, "streamed": streamed, "alone": alone}
    np.savez(folder / f"{rank}.npz", steps=history.steps, **{name: net.flat for name, net in flats.items()})


def raises(rank, folder):
    """The last rank fails in its own stream."""

    class Batches:
        def __iter__(self):
            for start in range(0, 203, 29):
                if rank == 1 and start > 100:
                    raise ZeroDivisionError("planted on rank 1")
                yield X[start : start + 29], y[start : start + 29]

    train(data=(bpx.stream(Batches(), sharded=True),))


def raises_outside(rank, folder):
    """A rank fails where bpx does not see it, while the others train."""
    if rank == 1:
        raise ZeroDivisionError("planted on rank 1")
    train()


def killed(rank, folder):
    """A rank is killed in the middle of a run that writes checkpoints."""

    class Kill(bpx.Callback):
        def on_step_end(self, run):
            if run.step == 30:
                os.kill(int((folder / "1.pid").read_text()), signal.SIGKILL)

    (folder / f"{rank}.pid").write_text(str(os.getpid()))
    options = {"checkpoint": folder / "run.ckpt", "checkpoint_steps": 1}
    train(callbacks=[Kill()], epochs=10_000, **options)


def signalled(rank, folder):
    """Ctrl-C for all ranks at about the same time, again and again, while they train."""
    from mpi4py import MPI

    class Batches:
        passes, timer = 0, None

        def __iter__(self):
            self.passes += 1
            if self.passes == 3:  # the first only looks at the first batch
                self.timer = threading.Timer(0.05 * rng.random(), os.kill, (os.getpid(), signal.SIGINT))
                self.timer.start()
            for start in range(0, 203, 29):
                yield X[start : start + 29], y[start : start + 29]

    for turn in range(8):
        MPI.COMM_WORLD.Barrier()
        batches, path = Batches(), folder / "run.ckpt" if turn % 2 else None
        stream = bpx.stream(batches, sharded=True)
        with contextlib.suppress(KeyboardInterrupt, bpx.errors.RankFailedError):
            train(data=(stream,), epochs=10_000, checkpoint=path)
        with contextlib.suppress(KeyboardInterrupt):  # one that comes after the other rank's
            if batches.timer is not None:
                batches.timer.join()
            time.sleep(0.01)
    (folder / f"{rank}.txt").write_text("done")


def resumes(rank, folder):
    """Goes on from that checkpoint."""
    net, history = train(checkpoint=folder / "run.ckpt", resume=True, epochs=8)
    np.savez(folder / f"{rank}.npz", flat=net.flat, steps=history.steps)


def other_seed(rank, folder):
    train(seed=rank)


def empty_shard(rank, folder):
    batches = [(X, y)] if rank == 0 else []
    train(data=(bpx.stream(batches, sharded=True),))


def other_width(rank, folder):
    train(data=(X[:, :5] if rank == 1 else X, y))


SCENARIOS = {
    f.__name__: f
    for f in (equals_serial, raises, raises_outside, killed, signalled, resumes, other_seed, empty_shard, other_width)
}

if __name__ == "__main__":
    from mpi4py import MPI

    SCENARIOS[sys.argv[1]](MPI.COMM_WORLD.Get_rank(), Path(sys.argv[2]))
