"""What the tests of the native kernels have in common: recorded steps, their operations, and teams of any size."""

from __future__ import annotations

import ast
import ctypes
import re
from pathlib import Path

import numpy as np

import bpx
from bpx.formulas.activations import ACTIVATIONS
from bpx.formulas.losses import _ACCEPTS, LOSSES
from bpx.kernels import native, recording
from bpx.kernels.native import library, operations, steps
from bpx.training.assemble import assemble

C_SOURCES = Path(native.__file__).parent / "c"
FUNCTION = ctypes.CFUNCTYPE(None, ctypes.POINTER(library.Operation), ctypes.c_int64, ctypes.c_int64)
# The names that the sources in C give their operations.
NAMES = sorted(
    {name for path in C_SOURCES.glob("*.[ch]") for name in re.findall(r'\{"(\w+)", \w+\}', path.read_text())}
)


def asked_for():
    """The names of all operations that the package can ask for."""
    names = set(native.losses.TABLE.values())
    for made in native.activations.TABLE.values():
        names |= {made.forward, made.backward}
    for path in Path(native.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("operate", "Call", "_update"):
                names |= {a.value for a in node.args[:1] if isinstance(a, ast.Constant)}
    return names - {None}


def name_of(call):
    """An operation's name."""
    known = {address: name for (name, _), address in library.load()._functions.items()}
    return known[call.row.run]


def recorded(function, *args):
    """The operations that a function of kernels would launch."""
    replay = recording.record(function, *args)
    assert replay is not None
    assert all(launched is operations.run for launched, _ in replay.calls)
    return [args[0] for _, args in replay.calls]


def run_share(call, part, parts):
    """Do one share of an operation."""
    FUNCTION(call.row.run)(ctypes.byref(call.row), part, parts)


def arrays_of(calls):
    """All arrays that operations use and that can be written, each once."""
    return list({id(a): a for call in calls for a in call.arrays if a is not None and a.flags.writeable}.values())


def restore(arrays, copies):
    """Give arrays the contents that they had."""
    for array, copy in zip(arrays, copies, strict=True):
        array[...] = copy


def run_as_team(calls, parts, rng):
    """Do operations as a team may: between two meetings each thread goes through its shares at its own pace."""
    order, phases = operations.in_phases(calls), []
    for call in order:
        if call.row.waits or not phases:
            phases.append([])
        phases[-1].append(call)
    for phase in phases:
        left = {part: list(phase) for part in range(parts)}
        while left:
            part = int(rng.choice(list(left)))
            for _ in range(int(rng.integers(1, 4))):
                run_share(left[part].pop(0), part, parts)
                if not left[part]:
                    del left[part]
                    break


def bits(arrays):
    """The contents of arrays, to the last bit; but one NaN is as good as another."""
    return [(np.where(np.isnan(a), np.nan, a) if a.dtype.kind == "f" else a).tobytes() for a in map(np.asarray, arrays)]


class Team:
    """A stand-in for `Table.run`: so many threads, or alternately several numbers of them, and no clock.

    Where it is known that a step is fast, epochs follow one another in one call.
    """

    def __init__(self, monkeypatch, *threads, seconds=1e9):
        self.threads, self.seconds, self.parts, self.tables, self.calls = threads, seconds, set(), {}, 0
        monkeypatch.setattr(steps.library, "threads", lambda: max(threads))
        monkeypatch.setattr(steps.Table, "run", lambda table, program, at=None: self.run(table, program))

    def run(self, table, program):
        program.threads = self.threads[self.calls % len(self.threads)]
        if program.threads > 1:
            table.prepare_for_a_team()
        self.calls += 1
        program.seconds = self.seconds
        table._alone = 1e-9
        self.tables[table] = None
        table._run(ctypes.addressof(program))
        self.parts.add(program.parts)


class LooksAtSteps(bpx.Callback):
    """Sees every step, and keeps the parameters."""

    def __init__(self):
        self.flats = []

    def on_step_end(self, run):
        self.flats.append(run.net.flat.copy())


def data(loss, n, k_in, k_out, rng, weighted=False):
    """X, targets that suit a loss, and weights, some of them 0."""
    X = rng.normal(size=(n, k_in))
    if loss == "cross_entropy":
        y = rng.integers(0, k_out, n)
    elif loss == "binary_cross_entropy":
        y = rng.integers(0, 2, (n, k_out)).astype(float)
    elif loss == "poisson":
        y = rng.poisson(2.0, (n, k_out)).astype(float)
    else:
        y = rng.normal(size=(n, k_out))
    return X, y, rng.choice([0.0, 0.5, 1.0, 2.0], n) if weighted else None


def result(training):
    """All that a training leaves, to the last bit: parameters, history, the optimizer's state, the generator's."""
    history, loop = training.history, training.loop
    return {
        "flat": training.run.net.flat.tobytes(),
        "losses": np.asarray(history.loss).tobytes(),
        "rates": [np.asarray(rate).tobytes() for rate in history.learning_rate],
        "state": {name: np.asarray(value).tobytes() for name, value in loop.state.items()},
        "counts": (history.steps, history.epochs, loop.step, loop.epoch, loop.samples, loop.batch),
        "reason": history.stop_reason,
        "diverged": np.asarray(history.diverged).tolist(),
        "order": training.config.feed.state,
    }


# Every loss with every output that it may have, and every activation of a hidden layer.
OUTPUTS = [
    (loss.name, output)
    for loss in LOSSES.values()
    for output, activation in ACTIVATIONS.items()
    if activation.differentiable and activation.outputs in _ACCEPTS[loss.outputs] and output != "logistic"
]
HIDDEN = [name for name, a in ACTIVATIONS.items() if a.differentiable and not a.output_only and name != "logistic"]

SETTINGS = {
    "adam": {},
    "sgd": {"optimizer": bpx.SGD(0.05)},
    "nesterov, clipped": {"optimizer": bpx.SGD(0.05, momentum=0.9, nesterov=True, clip_norm=0.3)},
    # Whose parameters are several blocks of those that are summed together.
    "clipped, wide": {"sizes": (100, 90, 3), "optimizer": bpx.Adam(0.01, clip_norm=0.1), "l2": 0.01, "epochs": 1},
    "rmsprop": {"optimizer": "rmsprop"},
    "adagrad": {"optimizer": "adagrad"},
    "adamw": {"optimizer": bpx.AdamW(0.01, weight_decay=0.1)},
    "dropout": {"dropout": 0.4, "hidden": "gelu"},
    "weights": {"weighted": True, "l2": 0.01},
    "replacement": {"sampling": "replacement", "weighted": True},
    "full batch": {"batch_size": None, "hidden": "tanh"},
    "sequential": {"sampling": "sequential", "loss": "squared_error", "output": "identity"},
    "stack": {"stack": 3, "optimizer": bpx.Adam([0.01, 0.1, 0.001]), "l2": [0.0, 0.1, 0.01], "dropout": 0.2},
    "stack, weights": {"stack": 2, "weighted": True, "optimizer": bpx.SGD([0.1, 0.2], [0.5, 0.9], clip_norm=0.1)},
    "decay": {"optimizer": bpx.Adam(bpx.schedules.InverseScaling(0.1))},
    "online": {"batch_size": 1, "loss": "huber", "output": "identity", "epochs": 2},
    "quantile": {"loss": "quantile", "output": "softplus", "hidden": "mish"},
    "poisson": {"loss": "poisson", "output": "exp", "hidden": "selu", "optimizer": "sgd"},
    "binary": {"loss": "binary_cross_entropy", "output": "sigmoid", "hidden": "elu"},
}  # fmt: skip


def train(dtype="float64", epochs=4, sizes=(7, 9, 5, 3), rows=50, batch_size=16, optimizer="adam", nudge=0, **options):
    """A training on made-up data that has ended; `nudge` changes the last places of the first parameters."""
    options = {"loss": "cross_entropy"} | options
    rng = np.random.default_rng(7)
    X, y, weight = data(options["loss"], rows, sizes[0], sizes[-1], rng, options.pop("weighted", False))
    made = {name: options.pop(name) for name in ("hidden", "output", "stack", "dropout") if name in options}
    net = bpx.MLP(list(sizes), dtype=dtype, seed=3, backend="numpy", **made)
    if nudge:
        signs = np.random.default_rng(nudge).choice([-1.0, 0.0, 1.0], net.flat.size).astype(dtype)
        net.flat[...] *= 1.0 + signs.reshape(net.flat.shape) * np.finfo(dtype).eps
    training = assemble(
        net, X, y, epochs=epochs, batch_size=batch_size, sample_weight=weight, optimizer=optimizer, **options
    )
    training.history = training.train()
    return training
