"""A user's script that type checkers accept in their strict modes: fit, predict, load, trace, estimators, pictures."""

from pathlib import Path
from typing import assert_type

import numpy as np

import bpx
from bpx.callbacks import CSVLogger
from bpx.losses import LossName, huber
from bpx.schedules import Cosine
from bpx.stop import Patience


class Watcher(bpx.Callback):
    """Remembers losses, and ends training where they are small."""

    def __init__(self) -> None:
        self.seen: list[float] = []

    def on_epoch_end(self, run: bpx.Run) -> bool | None:
        self.seen.append(float(run.loss))
        return run.epoch >= run.epochs or bool(run.net.stack is None and self.seen[-1] < 0.01)


def report(run: bpx.Run) -> None:
    """A plain function is a callback, too."""
    print(f"epoch {run.epoch}: loss {run.loss}, {run.seconds:.1f} s, {run.history.steps} steps")


def train(X: np.ndarray, y: np.ndarray, folder: Path, loss: LossName = "cross_entropy") -> bpx.History:
    net = bpx.MLP([2, 8, 2], hidden=["tanh"], init="he_normal", dtype="float64", backend="numpy", seed=1)
    history = bpx.fit(
        net, X, y, loss, bpx.Adam(Cosine(0.01, 5)), epochs=5, batch_size=None, sampling="sequential", validation=(X, y),
        stop=[Patience("val_loss", 3)], callbacks=[Watcher(), report, CSVLogger(folder / "log.csv")],
    )  # fmt: skip
    net.save(folder / "net.npz", metadata={"classes": 2})
    again = bpx.load(folder / "net.npz", backend="numpy")
    assert_type(again, bpx.MLP)
    print(bpx.predict(again, X).argmax(axis=1), bpx.read_header(folder / "net.npz")["kind"])
    assert history.stop_reason in bpx.StopReason
    bpx.plotting.LossCurveDisplay.from_history(history).figure_.savefig(folder / "loss.png")
    return history


def check(X: np.ndarray, y: np.ndarray) -> None:
    net = bpx.MLP([2, 1], output="identity", backend="numpy")
    found: bpx.GradientReport = bpx.check_gradients(net, X, y, huber(0.5))
    parity: bpx.ParityReport = bpx.check_parity(net, X, y, "squared_error", backends=["numpy"])
    step: bpx.StepTrace = bpx.trace(net, X[0], y[0], "squared_error", learning_rate=0.1)
    table = bpx.sweep(lambda: bpx.MLP([2, 1], output="identity"), {"learning_rate": [0.1]}, X, y, loss="squared_error")
    assert_type(table, bpx.SweepTable)
    print(found.passed, parity.max_difference, step.layers[0].delta, step.new_loss, table.best_net.n_params)


def estimate(X: np.ndarray, y: np.ndarray, path: Path) -> float:
    model = bpx.MLPClassifier((8,), "relu", solver="adam", max_iter=3, early_stopping=True, callbacks=[report])
    print(model.fit(X, y).predict(X), model.predict_proba(X), model.loss_curve_[-1], model.history_.epochs)
    model.save(path)
    again = bpx.MLPClassifier.load(path, backend="numpy", callbacks=[report])
    assert_type(again, bpx.MLPClassifier)
    numbers = bpx.MLPRegressor(solver=bpx.SGD(0.1, momentum=0.9), loss="huber").fit(X, y).predict(X)
    return again.score(X, y) + float(np.mean(numbers))
