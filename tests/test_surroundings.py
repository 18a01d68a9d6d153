"""The whole public surface gives the same numbers, bit for bit, whatever surrounds it.

Surroundings are NumPy's floating-point errors raised, warnings that are errors, print options, and standard streams
that are closed, full or gone. As a script (``python tests/test_surroundings.py FILE STREAMS``) it writes what the calls
give.
"""

from __future__ import annotations

import functools
import hashlib
import os
import pickle
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib import pyplot
from sklearn import neural_network

import bpx
from bpx import activations, callbacks, initializers, losses, optimizers, plotting, schedules, stop

# Saturated neurons, underflowing exponentials and numbers near the smallest ones, where a result may depend on how
# the process treats floating-point errors.
_rng = np.random.default_rng(0)
N = 60
X = _rng.normal(size=(N, 3)) * 3e4
X[0], X[1, 0] = 1e-300, 0.0
SMALL = X / 3e4
LABELS = _rng.integers(0, 3, N)
NUMBERS = SMALL[:, 0] - SMALL[:, 1] ** 2
WEIGHTS = _rng.uniform(0.0, 2.0, N)


def net(sizes: Any = (3, 5, 3), **options: Any) -> Any:
    return bpx.MLP(list(sizes), **{"dtype": "float64", "seed": 1, "backend": "numpy"} | options)


def fitted(one: Any, *data: Any, **options: Any) -> Any:
    """A training's whole outcome."""
    history = bpx.fit(one, *(data or (X, LABELS)), **{"epochs": 3, "batch_size": 20} | options)
    return one.flat, history.loss, history.val_loss, history.learning_rate, history.stop_reason, history.best_epoch


def measured() -> Any:
    one, metrics = net(), ["accuracy", "balanced_accuracy", "auc", "log_loss"]
    history = bpx.fit(one, X, LABELS, epochs=3, validation=0.2, metrics=metrics, stop=stop.Patience("val_auc"))
    line = bpx.fit(net((3, 4, 2)), SMALL, X[:, :2], loss="squared_error", epochs=3, metrics=["r2", "mae", "rmse"])
    return one.flat, history.metrics, history.validation_rows, history.best_epoch, line.metrics


def classifier(**options: Any) -> Any:
    return bpx.MLPClassifier(**{"hidden_layer_sizes": (5,), "random_state": 0, "backend": "numpy", "tol": 1e9,
                                "n_iter_no_change": 2, "max_iter": 50} | options)  # fmt: skip


def regressor(**options: Any) -> Any:
    own = {name: value for name, value in classifier().get_params().items() if name not in ("loss", "class_weight")}
    return bpx.MLPRegressor(**own | options)


def learnt(estimator: Any, y: Any, X: Any = X, **more: Any) -> Any:
    """All that an estimator says after it is fitted."""
    estimator.fit(X, y, **more)
    answers = [getattr(estimator, name)(X) for name in ("predict", "predict_proba", "predict_log_proba")
               if hasattr(estimator, name)]  # fmt: skip
    names = ("loss_", "loss_curve_", "validation_scores_", "validation_loss_curve_", "losses_of_restarts_", "n_iter_")
    return (
        answers, estimator.score(X, y), estimator.coefs_, estimator.hidden_activations(X),
        estimator.input_gradient(X, y), [getattr(estimator, name, None) for name in names],
    )  # fmt: skip


def parts(**options: Any) -> Any:
    """What partial_fit has learnt from three parts."""
    est = classifier(**options)
    for rows in np.split(np.arange(N), 3):
        est.partial_fit(X[rows], LABELS[rows], classes=[0, 1, 2])
    return est.coefs_, est.loss_curve_, est.predict_proba(X)


def swept(model: Any, grid: Any, **options: Any) -> Any:
    table = bpx.sweep(model, grid, X, LABELS, cv=2, **options)
    best = table.best_net if table.best_net is not None else table.best_estimator._net
    return [row["score"] for row in table.rows], best.flat, table.to_text()


def saved(one: Any, ending: str, load: Callable[..., Any]) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"m{ending}")
        one.save(path)
        content = path.read_bytes()
        again = load(path, backend="numpy")
        if not hasattr(again, "flat"):  # of an estimator, whose history has the seconds that it took
            return again.coefs_, again.predict(X), bpx.read_header(path)["network"]
        return content, bpx.read_header(path), again.flat


def logged() -> Any:
    """What loggers write; the time they write is another one each time."""
    with tempfile.TemporaryDirectory() as folder:
        csv, lines = Path(folder, "log.csv"), Path(folder, "log.jsonl")
        outcome = fitted(net(), callbacks=[callbacks.CSVLogger(csv), callbacks.JSONLinesLogger(lines)])
        return outcome, [row.rsplit(b",", 1)[0] for file in (csv, lines) for row in file.read_bytes().splitlines()]


def resumed() -> Any:
    with tempfile.TemporaryDirectory() as folder:
        run = {"checkpoint": Path(folder, "run.ckpt")}
        return fitted(net(), epochs=2, **run), fitted(net(), epochs=4, resume=True, **run)


def on_disk() -> Any:
    """A memory map that does not fit into the buffer."""
    with tempfile.TemporaryDirectory() as folder:
        np.save(Path(folder, "X.npy"), X)
        mapped = np.load(Path(folder, "X.npy"), mmap_mode="r")
        return fitted(net(), bpx.stream(mapped, LABELS, buffer=4000)), bpx.predict(net(), mapped)


def exported() -> Any:
    with tempfile.TemporaryDirectory() as folder:
        bpx.to_onnx(net(), Path(folder, "m.onnx"))
        return Path(folder, "m.onnx").read_bytes()


def through_scikit_learn() -> Any:
    theirs = bpx.to_sklearn(net((3, 5, 3), hidden="tanh", output="softmax"))
    return bpx.from_sklearn(theirs, backend="numpy").flat, isinstance(theirs, neural_network.MLPClassifier)


def traced() -> Any:
    step = bpx.trace(net(), X[:2], [0, 2], loss="cross_entropy")
    with tempfile.TemporaryDirectory() as folder:
        page = step.animate(Path(folder, "step.html")).read_bytes()
    return step.to_dict(), str(step), step.to_markdown(), step.to_latex(), page


def checked() -> Any:
    report = bpx.check_gradients(net(), SMALL[:4], LABELS[:4])
    return report.max_absolute_error, str(report)


def picture(display: Any) -> Any:
    """What is drawn."""
    canvas = display.figure_.canvas
    canvas.draw()
    drawn = np.asarray(canvas.buffer_rgba()).copy()
    pyplot.close(display.figure_)
    return drawn


def pictures(kind: str) -> Any:
    flat, plane = net(), net((2, 4, 3))
    history = bpx.fit(plane, SMALL[:, :2], LABELS, epochs=3)
    make = {
        "DecisionBoundaryDisplay": lambda d: d.from_network(plane, SMALL[:, :2], LABELS, grid_resolution=20),
        "GradientCheckDisplay": lambda d: d.from_report(bpx.check_gradients(flat, SMALL[:4], LABELS[:4])),
        "HiddenWeightsDisplay": lambda d: d.from_network(net((4, 3, 2)), shape=(2, 2)),
        "ImageGridDisplay": lambda d: d.from_images(X[:4, :1].reshape(4, 1, 1) + np.zeros((4, 3, 3))),
        "ImportanceDisplay": lambda d: d(
            names=["a", "b"], importances=[[0.1, 0.2], [0.0, -0.1]], score=0.9, scoring="accuracy"
        ).plot(),
        "LossCurveDisplay": lambda d: d.from_history(history),
        "NetworkDisplay": lambda d: d.from_trace(bpx.trace(flat, X[0], 1, loss="cross_entropy")),
        "SweepDisplay": lambda d: d.from_sweep(
            bpx.sweep(lambda: net((3, 3)), {"learning_rate": [0.1, 0.2]}, X, LABELS, cv=2, epochs=1, refit=False)
        ),
    }[kind]
    with mpl.rc_context({"backend": "agg"}):
        return picture(make(getattr(plotting, kind)))


FIRST_ORDER = sorted(optimizers.OPTIMIZERS)
SOLVERS = ["cg", "lbfgs", "bfgs", "newton-cg", "tnc", "slsqp", "trust-constr"]
BINARY, ONE_HOT = (LABELS > 0).astype(float), np.eye(3)[LABELS]
OF_LOSS = {"cross_entropy": (LABELS, "softmax"), "binary_cross_entropy": (ONE_HOT, "sigmoid"),
           "poisson": (ONE_HOT * 3.0, "exp"), "quantile": (ONE_HOT, "identity")}  # fmt: skip

CALLS: dict[str, Callable[[], Any]] = {
    "MLP": lambda: [net()(X), net()(X[2]), *net().activations(X), net(stack=2)(X), net().input_gradient(X, LABELS)],
    "loss_and_grads": lambda: [net().loss_and_grads(X, LABELS)[0], net().loss_and_grads(X, LABELS)[1].flat],
    "MLP.to": lambda: net().to("numpy", dtype="float32")(X),
    "predict": lambda: [bpx.predict(net(), X), bpx.predict(net(), [X[:9], X[9:]])],
    "fit with everything": lambda: fitted(
        net(dropout=0.3), validation=(X, LABELS), l2=1e-300, class_weight="balanced", sample_weight=WEIGHTS,
        stop=[stop.Patience("val_loss", 2), stop.TimeLimit(1e6)], epochs=6, callbacks=[lambda run: None],
    ),
    "fit with metrics": measured,
    "fit with progress": lambda: fitted(net(), progress=True),
    "fit with lines": lambda: fitted(net(), progress=1),
    "fit in a stack": lambda: fitted(net(stack=3), optimizer=optimizers.SGD([0.1, 0.2, 0.3])),
    "fit online, with replacement": lambda: fitted(net(), batch_size=1, sampling="replacement"),
    "fit in float32": lambda: fitted(net(dtype="float32")),
    "fit in half precision": lambda: fitted(net(dtype="float32"), SMALL, LABELS, precision="float16"),
    "stream": on_disk,
    "stream of batches": lambda: fitted(net(), bpx.stream([(X[:30], LABELS[:30]), (X[30:], LABELS[30:])])),
    "checkpoint": resumed,
    "callbacks": logged,
    "schedules": lambda: [
        fitted(net(), optimizer=optimizers.SGD(schedule))
        for schedule in (schedules.StepDecay(0.1, every=1, factor=0.5, unit="epoch"), schedules.Constant(0.1))
    ],
    "initializers": lambda: [net(init=name).flat for name in initializers.INITIALIZERS],
    "set_params": lambda: net().set_params({"0.W": np.full((3, 5), 1e-200)}).flat,
    "sweep": lambda: swept(lambda seed: net(seed=seed), {"seed": [0, 1], "learning_rate": [1e-3, 1e-2]}, epochs=2,
                           progress=True),
    "sweep of an estimator": lambda: swept(classifier(), {"alpha": [1e-4, 1e-2]}),
    "trace": traced,
    "check_gradients": checked,
    "check_parity": lambda: str(bpx.check_parity(net(), SMALL, LABELS, backends=["numpy"])),
    "load, read_header, .npz": lambda: saved(net(), ".npz", bpx.load),
    "load, .safetensors": lambda: saved(net(), ".safetensors", bpx.load),
    "estimator's load": lambda: saved(classifier().fit(X, LABELS), ".npz", bpx.MLPClassifier.load),
    "to_onnx": exported,
    "to_sklearn, from_sklearn": through_scikit_learn,
    "from_keras_weights": lambda: bpx.from_keras_weights([np.eye(3), np.full(3, 1e-310)], backend="numpy")(X),
    "classifier": lambda: learnt(classifier(verbose=True, progress=True), LABELS),
    "classifier of several labels": lambda: learnt(classifier(), (X > 0).astype(int)),
    "classifier, early stopping": lambda: learnt(classifier(early_stopping=True), LABELS > 0),
    "classifier, weights": lambda: learnt(classifier(class_weight="balanced"), LABELS, sample_weight=WEIGHTS + 0.1),
    "classifier, restarts": lambda: learnt(classifier(n_init=3, solver="sgd"), LABELS),
    "classifier, adaptive": lambda: learnt(classifier(solver="sgd", learning_rate="adaptive", tol=10.0), LABELS),
    "classifier, lbfgs": lambda: learnt(classifier(solver="lbfgs", tol=1e3), LABELS, SMALL),
    "regressor": lambda: learnt(regressor(verbose=True, progress=True), NUMBERS),
    "regressor, validation": lambda: learnt(regressor(), NUMBERS, X_val=X[:9], y_val=NUMBERS[:9]),
    "partial_fit": parts,
    "partial_fit, class weights": lambda: parts(class_weight={0: 1.0, 1: 2.0}),
    **{f"optimizer {name}": functools.partial(lambda o: fitted(net(), optimizer=o), name) for name in FIRST_ORDER},
    **{f"solver {name}": functools.partial(
        lambda o: fitted(net((3, 2, 3)), SMALL, LABELS, optimizer=o, batch_size=None), name) for name in SOLVERS},
    **{f"loss {name}": functools.partial(
        lambda n, y, output: fitted(net(output=output), SMALL, y, loss=losses.quantile([0.1, 0.5, 0.9])
                                    if n == "quantile" else n),
        name, *OF_LOSS.get(name, (ONE_HOT, "identity"))) for name in sorted(losses.LOSSES)},
    **{f"activation {name}": functools.partial(lambda n: [net(hidden=n)(X), fitted(net(hidden=n))], name)
       for name, one in activations.ACTIVATIONS.items() if one.differentiable and not one.output_only},
    **{name: functools.partial(pictures, name) for name in plotting.__all__ if name.endswith("Display")},
}  # fmt: skip

# Public names that compute nothing, or that the calls above need in any case.
OTHERS = {
    "Activation", "Backend", "Callback", "History", "Loss", "SciPy", "StopReason", "backends", "free_memory",
    "get_backend", "set_backend", "use_backend", "from_torch", "to_torch", "losses", "activations", "optimizers",
    "SGD", "Adagrad", "Adam", "AdamW", "RMSprop", "errors", "stop", "BackendStatus", "GradientReport", "LayerTrace",
    "ParityReport", "Run", "StepTrace", "Stream", "SweepTable", "thread_limit",
}  # fmt: skip


def exact(value: Any) -> Any:
    """A value as what can be compared and pickled, to the last bit."""
    if isinstance(value, dict):
        return {str(name): exact(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [exact(one) for one in value]
    if isinstance(value, (np.ndarray, np.generic)):
        array = np.asarray(value)
        plain = repr(array.tolist()) if array.dtype == object else array.tobytes()
        return str(array.dtype), array.shape, plain if len(plain) < 10_000 else hashlib.sha256(plain).hexdigest()
    if isinstance(value, float):
        return value.hex()
    return value if isinstance(value, (str, int, bytes, type(None))) else repr(value)


@functools.cache
def plain(name: str) -> Any:
    """What a call gives where nothing is special."""
    with np.errstate(all="warn"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return exact(CALLS[name]())


@contextmanager
def hostile() -> Iterator[None]:
    """Floating-point errors raise, warnings are errors, numbers are printed otherwise; and is the same afterwards."""
    options = {"precision": 1, "threshold": 2, "suppress": True, "linewidth": 20}
    with np.errstate(all="raise"), np.printoptions(**options), warnings.catch_warnings():
        warnings.simplefilter("error")
        before = np.geterr(), np.get_printoptions(), list(warnings.filters)
        yield
        assert (np.geterr(), np.get_printoptions(), list(warnings.filters)) == before


@pytest.mark.parametrize("name", CALLS)
def test_a_call_gives_the_same_to_the_last_bit(name: str) -> None:
    expected = plain(name)
    with hostile():
        given = CALLS[name]()
    assert exact(given) == expected


def test_the_calls_are_the_whole_public_surface() -> None:
    computing = {name for name in bpx.__all__ if not name.endswith(("Error", "Warning"))} - OTHERS
    called = {word.strip(",") for name in CALLS for word in name.split()}
    assert sorted(computing - called) == []
    assert sorted(OTHERS - set(bpx.__all__)) == []


# ---------------------------------------------------------------------- standard streams


STREAMS = {
    "stderr closed": "2>&-",
    "both full": ">/dev/full 2>/dev/full",
    "all closed": "<&- >&- 2>&-",
    "both gone": "",
}
# Pictures take the longest, and say nothing: once is enough.
ALL, QUIET = "all closed", [call for call in CALLS if not call.endswith("Display")]


def in_a_process(path: Path, name: str) -> dict[str, Any]:
    """What all calls give in a process with such streams."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        gone = {"stdout": writer, "stderr": writer} if name == "both gone" else {}
        done = subprocess.run(
            ["sh", "-c", f'"$0" "$1" "$2" "$3" {STREAMS[name]}', sys.executable, __file__, str(path), name],
            env=os.environ | {"PYTHONPATH": str(Path(bpx.__file__).parents[1]), "MPLBACKEND": "agg"}, timeout=300,
            check=False, **{"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE} | gone,
        )  # fmt: skip
    finally:
        os.close(writer)
    assert done.returncode == 0, done
    with path.open("rb") as file:
        found: dict[str, Any] = pickle.load(file)
    return found


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a system's /dev/full")
@pytest.mark.parametrize("name", STREAMS)
def test_standard_streams_change_nothing(name: str, tmp_path: Path) -> None:
    found = in_a_process(tmp_path / "found", name)
    assert found.keys() == set(CALLS if name == ALL else QUIET)
    assert [call for call in found if found[call] != plain(call)] == []


if __name__ == "__main__":
    results = {}
    for call in CALLS if sys.argv[2] == ALL else QUIET:
        try:
            results[call] = plain(call)
        except Exception as error:
            results[call] = repr(error)
    with open(sys.argv[1], "wb") as file:
        pickle.dump(results, file)
