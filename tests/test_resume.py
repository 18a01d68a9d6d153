"""A run that goes on from its checkpoint is the run that never stopped, to the last bit."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from conftest import posix

import bpx
from bpx.files import checkpoint
from bpx.formulas.schedules import Adaptive, Constant, Cosine, InverseScaling, StepDecay, WarmUp

EPOCHS, STOP_EPOCH = 12, 5
SAMPLES, BATCH = 50, 16  # four steps in an epoch, the last one smaller


class DiedError(Exception):
    """What ends a run in the middle, as far as its process is concerned."""


def data(n_out=3):
    rng = np.random.default_rng(5)
    return rng.normal(size=(SAMPLES, 6)), rng.integers(0, n_out, SAMPLES)


def run(lib, path=None, epochs=EPOCHS, dies_after=None, resume=False, **options):
    """One call of fit on a new network; `dies_after` a step an error ends it."""
    X, y = data()
    architecture = {name: options.pop(name) for name in ("stack", "dropout", "hidden") if name in options}
    if options.pop("validate", False):
        options["validation"] = (X[::-1].copy(), y)
    net = bpx.MLP([6, 5, 3], dtype="float64", seed=3, backend=lib, **architecture)

    class Dies(bpx.Callback):
        def on_step_end(self, run):
            if run.step == dies_after:
                raise DiedError

    kept = {} if path is None else {"checkpoint": path, "resume": resume}
    every = {} if path is None else {"checkpoint_steps": options.pop("checkpoint_steps", 1)}
    callbacks = [] if dies_after is None else [Dies()]
    options.pop("checkpoint_steps", None)
    history = bpx.fit(net, X, y, epochs=epochs, batch_size=BATCH, callbacks=callbacks, **kept, **every, **options)
    return net, history


def same(lib, one, other):
    """Parameters, predictions and history equal to the last bit."""
    (net, history), (again, resumed) = one, other
    assert lib.to_host(net.flat).tobytes() == lib.to_host(again.flat).tobytes()
    X, _ = data()
    assert lib.to_host(net(X)).tobytes() == lib.to_host(again(X)).tobytes()
    for name in ("loss", "val_loss", "learning_rate"):
        assert np.asarray(getattr(history, name)).tobytes() == np.asarray(getattr(resumed, name)).tobytes(), name
    assert (history.epochs, history.steps, history.stop_reason) == (resumed.epochs, resumed.steps, resumed.stop_reason)
    assert np.array_equal(history.best_epoch, resumed.best_epoch)


RUNS = {
    **{name: {"optimizer": name} for name in ("sgd", "rmsprop", "adagrad", "adam", "adamw")},
    "momentum": {"optimizer": bpx.SGD(0.1, momentum=0.9)},
    "nesterov, clipped": {"optimizer": bpx.SGD(0.1, momentum=0.9, nesterov=True, clip_norm=0.5)},
    "constant": {"optimizer": bpx.Adam(Constant(0.01))},
    "step decay": {"optimizer": bpx.SGD(StepDecay(0.1, 0.5, 3))},
    "inverse scaling": {"optimizer": bpx.SGD(InverseScaling(0.1, unit="step"))},
    "cosine": {"optimizer": bpx.Adam(Cosine(0.05, 40, unit="step"))},
    "warm-up": {"optimizer": bpx.Adam(WarmUp(Cosine(0.05, EPOCHS), 9))},
    "adaptive": {"optimizer": bpx.SGD(Adaptive(0.5, patience=1, tol=0.5))},
    "dropout": {"dropout": 0.4, "l2": 0.01},
    "sequential": {"sampling": "sequential", "class_weight": "balanced"},
    "replacement": {"sampling": "replacement", "sample_weight": np.linspace(0.0, 1.0, SAMPLES)},
    "early stopping": {"validate": True, "stop": bpx.stop.Patience(patience=100), "optimizer": bpx.Adam(0.05)},
    "patience ends it": {"validate": True, "stop": bpx.stop.Patience(patience=2), "optimizer": bpx.Adam(0.2)},
    "weight change": {"stop": [bpx.stop.MaxWeightChange(1e-9), bpx.stop.TargetLoss(1e-9)]},
    "stack": {"stack": 3, "dropout": 0.2, "optimizer": bpx.Adam([0.01, 0.02, 0.5]), "l2": [0.0, 0.1, 0.2]},
    "stack, adaptive": {"stack": 2, "optimizer": bpx.SGD(Adaptive([0.5, 0.1], patience=1, tol=0.5))},
    "stack, patience": {
        "stack": 2,
        "validate": True,
        "stop": bpx.stop.Patience(patience=3),
        "optimizer": bpx.Adam(0.2),
    },
}


MIDDLES = {"at an epoch's end": 0, "after one step": 1, "before the last step": 3}


@pytest.mark.parametrize("name", RUNS)
@pytest.mark.slow
def test_a_resumed_run_is_the_run_that_never_stopped(lib, tmp_path, name):
    """On NumPy from each moment, elsewhere from one."""
    whole, of = run(lib, **dict(RUNS[name])), list(RUNS).index(name)
    epoch = min(STOP_EPOCH, whole[1].epochs - 1)
    for i, (when, middle) in enumerate(MIDDLES.items()):
        if lib.name != "numpy" and i != of % len(MIDDLES):
            continue
        path = tmp_path / f"{middle}.ckpt"
        with pytest.raises(DiedError):
            run(lib, path, dies_after=epoch * 4 + middle + 1, **dict(RUNS[name]))
        kept = checkpoint.read(path)["descent"]
        assert (kept["epoch"], kept["batch"]) == (epoch, [0, 1, 0, 3][middle]), when
        same(lib, whole, run(lib, path, resume=True, **dict(RUNS[name])))


@pytest.mark.parametrize("mode", ["auto", "numpy", "reference"])
def test_with_every_kind_of_kernels(monkeypatch, tmp_path, mode):
    monkeypatch.setenv("BPX_KERNELS", mode)
    numpy = bpx.get_backend("numpy")
    whole = run(numpy, dropout=0.3)
    with pytest.raises(DiedError):
        run(numpy, tmp_path / "run.ckpt", dies_after=11, dropout=0.3)
    same(numpy, whole, run(numpy, tmp_path / "run.ckpt", resume=True, dropout=0.3))


def test_more_epochs_go_on_and_a_finished_run_is_not_trained_again(lib, tmp_path):
    path = tmp_path / "run.ckpt"
    whole = run(lib)
    run(lib, path, epochs=7)
    same(lib, whole, run(lib, path, resume=True))
    same(lib, whole, run(lib, path, resume=True))  # there is nothing left to do
    ended = run(lib, **RUNS["patience ends it"] | {"epochs": 40})
    assert ended[1].stop_reason == bpx.StopReason.PATIENCE
    run(lib, path, **RUNS["patience ends it"] | {"epochs": 40})
    same(lib, ended, run(lib, path, resume=True, **RUNS["patience ends it"] | {"epochs": 40}))


def test_steps_between_checkpoints_and_epochs_between_them(lib, tmp_path):
    path = tmp_path / "run.ckpt"
    with pytest.raises(DiedError):
        run(lib, path, dies_after=4 * 4 + 3, checkpoint_steps=None)
    assert checkpoint.read(path)["descent"]["step"] == 16
    assert checkpoint.read(f"{path}.previous")["descent"]["step"] == 12
    with pytest.raises(DiedError):
        run(lib, path, dies_after=4 * 4 + 3, checkpoint_steps=5)
    assert checkpoint.read(path)["descent"]["step"] == 16
    assert checkpoint.read(f"{path}.previous")["descent"]["step"] == 15
    assert sorted(os.listdir(tmp_path)) == ["run.ckpt", "run.ckpt.previous"]


def test_without_a_checkpoint_it_starts_anew(lib, tmp_path):
    same(lib, run(lib), run(lib, tmp_path / "run.ckpt", resume=True))


@pytest.mark.parametrize("damage", ["cut", "bit", "empty", "other"])
def test_a_damaged_checkpoint_gives_way_to_the_one_before(lib, tmp_path, damage):
    path = tmp_path / "run.ckpt"
    whole = run(lib)
    with pytest.raises(DiedError):
        run(lib, path, dies_after=30)
    content = bytearray(path.read_bytes())
    if damage == "bit":
        content[len(content) // 2] ^= 4
    path.write_bytes({"cut": content[:-40], "bit": content, "empty": b"", "other": b"{}" * 50}[damage])
    with pytest.warns(RuntimeWarning, match=r"run\.ckpt: .*; training goes on from .*run\.ckpt\.previous"):
        same(lib, whole, run(lib, path, resume=True))
    for each in (path, tmp_path / "run.ckpt.previous"):
        each.write_bytes(b"nothing of the kind")
    with pytest.raises(bpx.FileFormatError, match=r"run\.ckpt"):
        run(lib, path, resume=True)


def test_a_file_of_another_kind_is_not_a_checkpoint(tmp_path):
    net = bpx.MLP([6, 5, 3], backend="numpy")
    net.save(tmp_path / "model.npz")
    with pytest.raises(bpx.FileFormatError, match="expected a checkpoint"):
        run("numpy", tmp_path / "model.npz", resume=True)


def test_another_run_is_refused_with_what_differs(lib, tmp_path):
    path = tmp_path / "run.ckpt"
    run(lib, path, epochs=2)
    before = path.read_bytes()
    with pytest.raises(ValueError, match=r"optimizer: 'Adam' there, 'SGD' here"):
        run(lib, path, resume=True, optimizer="sgd")
    with pytest.raises(ValueError, match="dropout"):
        run(lib, path, resume=True, dropout=0.5)
    with pytest.raises(ValueError, match=r"stop: \[\] there, \['TargetLoss'\] here"):
        run(lib, path, resume=True, stop=bpx.stop.TargetLoss(0.1))
    assert path.read_bytes() == before


Elu = bpx.activations.elu
CHANGES = {
    "learning rate": ({"optimizer": bpx.Adam(0.01)}, {"optimizer": bpx.Adam(0.02)}, "0.01 there, 0.02 here"),
    "momentum": ({"optimizer": bpx.SGD(0.1, 0.9)}, {"optimizer": bpx.SGD(0.1, 0.8)}, "optimizer.momentum: 0.9 there"),
    "clip_norm": ({}, {"optimizer": bpx.Adam(clip_norm=1.0)}, "optimizer.clip_norm: None there, 1.0 here"),
    "schedule": (
        {"optimizer": bpx.SGD(Cosine(0.1, 9))}, {"optimizer": bpx.SGD(Cosine(0.1, 12))},
        "optimizer.learning_rate.length: 9 there, 12 here",
    ),
    "l2": ({}, {"l2": 0.1}, "l2: 0.0 there, 0.1 here"),
    "rates of a stack": (
        {"stack": 2, "optimizer": bpx.Adam([0.1, 0.2])}, {"stack": 2, "optimizer": bpx.Adam([0.1, 0.3])},
        r"\[0.1, 0.2\] there, \[0.1, 0.3\] here",
    ),
    "class weight": ({"class_weight": {0: 2.0}}, {"class_weight": {0: 3.0}}, "class_weight.0: 2.0 there, 3.0 here"),
    "sample weight": (
        {"sample_weight": np.linspace(0.0, 1.0, SAMPLES)}, {"sample_weight": np.linspace(1.0, 0.0, SAMPLES)},
        r"\(sample_weight\)",
    ),
    "stopping": (
        {"stop": bpx.stop.TargetLoss(1e-9)}, {"stop": bpx.stop.TargetLoss(1e-8)}, "stop.0.loss: 1e-09 there, 1e-08 here"
    ),
    "an activation's number": ({"hidden": Elu(1.0)}, {"hidden": Elu(0.5)}, r"elu\(alpha=1.0\)', 'softmax'\] there"),
    "validation": ({}, {"validate": True}, "validation samples: None there, 50 here"),
}  # fmt: skip


@pytest.mark.parametrize("name", CHANGES)
def test_other_hyperparameters_are_taken_with_a_warning_that_names_them(lib, tmp_path, name):
    first, then, message = CHANGES[name]
    path = tmp_path / "run.ckpt"
    run(lib, path, epochs=2, **dict(first))
    with pytest.warns(UserWarning, match="goes on with other hyperparameters") as caught:
        _, history = run(lib, path, epochs=3, resume=True, **dict(then))
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert re.search(message, str(caught[0].message))
    assert history.epochs == 3
    run(lib, path, epochs=4, resume=True, **dict(then))  # which the checkpoint now knows


def test_a_changed_learning_rate_is_that_of_the_epochs_to_come(lib, tmp_path):
    path = tmp_path / "run.ckpt"
    run(lib, path, epochs=2, optimizer=bpx.SGD(0.1))
    with pytest.warns(UserWarning, match="optimizer.learning_rate"):
        _, history = run(lib, path, epochs=4, resume=True, optimizer=bpx.SGD(0.025))
    assert history.learning_rate == [0.1, 0.1, 0.025, 0.025]


@pytest.mark.parametrize("what", ["X", "y", "order"])
def test_other_data_of_the_same_shape_are_refused(lib, tmp_path, what):
    X, y = data()
    options = {"epochs": 2, "checkpoint": tmp_path / "run.ckpt"}
    bpx.fit(bpx.MLP([6, 5, 3], backend=lib), X, y, **options)
    before = (tmp_path / "run.ckpt").read_bytes()
    other = {"X": (X + 0.1, y), "y": (X, (y + 1) % 3), "order": (X[::-1].copy(), y[::-1].copy())}[what]
    with pytest.raises(ValueError, match=f"got {what if what != 'order' else 'X and y'} with other values"):
        bpx.fit(bpx.MLP([6, 5, 3], backend=lib), *other, resume=True, **options)
    assert (tmp_path / "run.ckpt").read_bytes() == before


def test_data_that_another_machine_rounds_another_way_are_the_same(tmp_path):
    X, y = data()
    options = {"checkpoint": tmp_path / "run.ckpt", "validation": None}
    bpx.fit(bpx.MLP([6, 5, 3], backend="numpy"), X, y, epochs=2, **options)
    X = np.nextafter(X.astype(np.float32), np.float32(9.0))
    assert bpx.fit(bpx.MLP([6, 5, 3], backend="numpy"), X, y, epochs=3, resume=True, **options).epochs == 3


def test_sparse_and_dense_data_are_the_same(tmp_path):
    sparse = pytest.importorskip("scipy.sparse")
    X, y = data()
    X[X < 0.5] = 0.0
    bpx.fit(bpx.MLP([6, 5, 3], backend="numpy"), X, y, epochs=2, checkpoint=tmp_path / "run.ckpt")
    history = bpx.fit(
        bpx.MLP([6, 5, 3], backend="numpy"), sparse.csr_array(X), y, epochs=3, checkpoint=tmp_path / "run.ckpt",
        resume=True,
    )  # fmt: skip
    assert history.epochs == 3


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"resume": True}, "need checkpoint="),
        ({"checkpoint_steps": 3}, "need checkpoint="),
        ({"checkpoint": "run.ckpt", "checkpoint_every": 0}, "checkpoint_every: expected at least 1"),
        ({"checkpoint": "run.ckpt", "checkpoint_steps": -1}, "checkpoint_steps: expected at least 1"),
        ({"checkpoint": "run.ckpt", "optimizer": "lbfgs"}, "inside SciPy"),
    ],
    ids=str,
)
def test_arguments_that_make_no_sense(tmp_path, monkeypatch, options, match):
    monkeypatch.chdir(tmp_path)
    X, y = data()
    net = bpx.MLP([6, 5, 3], backend="numpy")
    before = net.flat.copy()
    with pytest.raises(ValueError, match=match):
        bpx.fit(net, X, y, **options)
    assert net.flat.tobytes() == before.tobytes()
    assert not os.listdir(tmp_path)
    with pytest.raises(TypeError, match="checkpoint_every"):
        bpx.fit(net, X, y, checkpoint="run.ckpt", checkpoint_every=1.5)


def test_a_folder_that_is_not_there_is_said_before_training(tmp_path):
    for path in (tmp_path / "no" / "run.ckpt", tmp_path):
        with pytest.raises(FileNotFoundError, match="a folder that exists"):
            run("numpy", path, epochs=1)


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), MemoryError("No space left in memory")])
def test_a_checkpoint_that_cannot_be_written_leaves_both_and_training_goes_on(error, tmp_path, monkeypatch):
    path, write, wholes = tmp_path / "run.ckpt", checkpoint.write, []

    def fills_up(to, tree):
        if len(wholes) == 2:
            raise error
        write(to, tree)
        wholes.append(tree["descent"]["epoch"])

    monkeypatch.setattr(checkpoint, "write", fills_up)
    with pytest.warns(RuntimeWarning, match="No space left"):
        net, history = run("numpy", path, epochs=6, checkpoint_steps=None)
    assert history.epochs == 6
    np.testing.assert_array_equal(net.flat, run("numpy", epochs=6)[0].flat)
    assert [checkpoint.read(p)["descent"]["epoch"] for p in (path, f"{path}.previous")] == [2, 1]
    assert sorted(os.listdir(tmp_path)) == ["run.ckpt", "run.ckpt.previous"]


# ---------------------------------------------------------------------- processes

SCRIPT = """
import json, os, signal, sys, time
import numpy as np
import bpx

# A job that a shell put into the background has Ctrl-C ignored, and so have the processes that it starts.
signal.signal(signal.SIGINT, signal.default_int_handler)
if hasattr(signal, "pthread_sigmask"):
    signal.pthread_sigmask(signal.SIG_SETMASK, [])

path, epochs, go_on, steps = sys.argv[1], int(sys.argv[2]), sys.argv[3], eval(sys.argv[4])
rng = np.random.default_rng(5)
X, y = rng.normal(size=(50, 6)), rng.integers(0, 3, 50)
net = bpx.MLP([6, 5, 3], dtype="float64", seed=3, backend="numpy", dropout=0.2)

class Tells(bpx.Callback):
    def on_step_end(self, run):
        print(run.step, flush=True)
        while go_on and run.step == 3 and not os.path.exists(go_on):
            time.sleep(0.01)

history = bpx.fit(net, X, y, epochs=epochs, batch_size=16, checkpoint=path, checkpoint_steps=steps, resume=True,
                  callbacks=[Tells()])
losses = np.array(history.loss).tobytes().hex()
print(json.dumps([history.stop_reason.name, history.steps, net.flat.tobytes().hex(), losses]))
"""


def process(path, epochs=EPOCHS, go_on="", steps=1):
    """A run that goes on from its checkpoint and tells its steps; at the third it waits for the file `go_on`."""
    environment = os.environ | {"BPX_KERNELS": "numpy", "OPENBLAS_NUM_THREADS": "1"}
    arguments = [sys.executable, "-c", SCRIPT, str(path), str(epochs), str(go_on), str(steps)]
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


def ended(child):
    out, err = child.communicate(timeout=120)
    assert child.returncode == 0, err
    return json.loads(out.splitlines()[-1])


@posix
@pytest.mark.slow
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGKILL"])
def test_a_signal_leaves_a_checkpoint_that_another_process_goes_on_from(tmp_path, name):
    whole = ended(process(tmp_path / "whole.ckpt"))
    path, number = tmp_path / "run.ckpt", getattr(signal, name)
    child = process(path, go_on=tmp_path / "sent")
    assert [child.stdout.readline().strip() for _ in range(3)] == ["1", "2", "3"]
    child.send_signal(number)
    (tmp_path / "sent").touch()
    out, err = child.communicate(timeout=120)
    if name == "SIGINT":  # the history says so, and the network stays
        assert json.loads(out.splitlines()[-1])[0] == "INTERRUPTED", (out[-400:], err)
    else:
        assert child.returncode == -number, err
    # The step that was under way is still made; a process that is killed has told it before its checkpoint.
    assert checkpoint.read(path)["descent"]["step"] == (2 if name == "SIGKILL" else 3)
    assert ended(process(path)) == whole


@posix
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGBREAK"])
def test_a_signal_waits_for_the_end_of_the_step_and_finds_its_old_action_again(tmp_path, monkeypatch, name):
    """SIGBREAK is what Windows has where others have SIGTERM; here another signal plays it."""
    monkeypatch.setattr(signal, "SIGBREAK", signal.SIGUSR1, raising=False)
    number, came = getattr(signal, name), []

    class Sends(bpx.Callback):
        def on_step_end(self, run):
            if run.step == 6:
                signal.raise_signal(number)
                assert not came

    X, y = data()
    with monkeypatch.context():
        former = signal.signal(
            number, lambda *_: came.append(checkpoint.read(tmp_path / "run.ckpt")["descent"]["step"])
        )
        try:
            options = {"epochs": 3, "batch_size": BATCH, "checkpoint": tmp_path / "run.ckpt", "callbacks": [Sends()]}
            bpx.fit(bpx.MLP([6, 5, 3], backend="numpy"), X, y, **options)
        finally:
            signal.signal(number, former)
    assert came == [6]


@posix
@pytest.mark.slow
def test_processes_killed_at_any_moment_lose_at_most_one_step(tmp_path):
    """Each process tells its steps before their checkpoints; `BPX_KILLS` says how many are killed (200 by hand)."""
    path, rng, kills = tmp_path / "run.ckpt", np.random.default_rng(0), int(os.environ.get("BPX_KILLS", "5"))
    last = 0
    for _ in range(kills):
        child = process(path, 100_000)
        first = "".join(child.stdout.readline() for _ in range(rng.integers(1, 30)))
        time.sleep(float(rng.uniform(0.0, 0.01)))  # anywhere within a step
        child.kill()
        out, err = child.communicate(timeout=120)
        assert child.returncode == -signal.SIGKILL, err
        printed = [int(line) for line in (first + out).splitlines() if line.isdigit()]
        # It may have been killed before the first checkpoint of all was there.
        kept = checkpoint.read(path)["descent"]["step"] if path.exists() else 0
        assert printed[0] == last + 1
        assert printed[-1] - 1 <= kept
        last = kept
    epochs = last // 4 + 2
    assert ended(process(path, epochs)) == ended(process(tmp_path / "whole.ckpt", epochs, steps=None))
    assert set(os.listdir(tmp_path)) <= {
        "run.ckpt",
        "run.ckpt.previous",
        "run.ckpt.previous.tmp",
        "run.ckpt.next",
        "whole.ckpt",
        "whole.ckpt.previous",
    }


@pytest.mark.parametrize("resume", [False, True])
def test_a_file_that_is_no_checkpoint_is_not_written_over(tmp_path, resume):
    path = tmp_path / "diary.md"
    path.write_text("dear diary")
    bpx.MLP([2, 3, 2], backend="numpy").save(tmp_path / "model.npz")
    before = (tmp_path / "model.npz").read_bytes()
    for name in ("diary.md", "model.npz"):
        with pytest.raises(bpx.FileFormatError, match="expected a new file or a checkpoint"):
            bpx.fit(
                bpx.MLP([2, 3, 2], backend="numpy"), np.zeros((4, 2)), [0, 1, 0, 1], epochs=1,
                checkpoint=tmp_path / name, resume=resume,
            )  # fmt: skip
    assert path.read_text() == "dear diary"
    assert (tmp_path / "model.npz").read_bytes() == before
    assert sorted(os.listdir(tmp_path)) == ["diary.md", "model.npz"]
