"""Callbacks that log every epoch: as CSV, JSON lines, TensorBoard's event files and MLflow's metrics."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import struct
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bpx
from bpx.callbacks import CSVLogger, JSONLinesLogger, MLflow, TensorBoard
from bpx.errors import how_to_install

X = np.random.default_rng(0).normal(size=(40, 3))
Y = (X[:, 0] > 0).astype(int)
FILES = {"csv": CSVLogger, "jsonl": JSONLinesLogger}


class DiedError(Exception):
    """What ends a process in the middle."""


def fit(*callbacks: Any, dies_after: int | None = None, **options: Any) -> bpx.History:
    """Train a small network; with `dies_after` an error ends it in that epoch, before it is logged."""
    net = bpx.MLP([3, 4, 2], seed=1, backend="numpy", stack=options.pop("stack", None))

    def dies(run: Any) -> None:
        if run.epoch == dies_after:
            raise DiedError

    hooks = [*callbacks] if dies_after is None else [*callbacks, dies]
    return bpx.fit(net, X, Y, **{"epochs": 4, "batch_size": 16, "callbacks": hooks} | options)


def rows(path: Path) -> list[dict[str, Any]]:
    """A log's epochs, whichever kind it is."""
    if path.suffix == ".csv":
        with path.open(newline="") as file:
            return [{name: float(text) for name, text in row.items()} for row in csv.DictReader(file)]
    return [json.loads(line) for line in path.read_text().splitlines()]


def column(path: Path, name: str) -> list[Any]:
    """One of its columns."""
    return [row[name] for row in rows(path)]


# ---------------------------------------------------------------------- text files


@pytest.mark.parametrize("kind", FILES)
def test_a_log_holds_every_epoch_to_the_last_digit(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"log.{kind}"
    schedule = bpx.schedules.StepDecay(0.1, every=2, factor=0.5)
    history = fit(FILES[kind](path), validation=(X, Y), optimizer=bpx.SGD(schedule))
    assert list(rows(path)[0]) == ["epoch", "step", "loss", "val_loss", "learning_rate", "seconds"]
    assert column(path, "epoch") == [1, 2, 3, 4]
    assert column(path, "step") == [3, 6, 9, 12]
    assert column(path, "loss") == history.loss
    assert column(path, "val_loss") == history.val_loss
    assert column(path, "learning_rate") == [0.1, 0.1, 0.05, 0.05]
    seconds = column(path, "seconds")
    assert seconds == sorted(seconds)
    assert 0.0 < seconds[-1] <= history.seconds


@pytest.mark.parametrize("kind", FILES)
def test_each_network_of_a_stack_has_its_numbers(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"log.{kind}"
    history = fit(FILES[kind](path), stack=2, optimizer=bpx.SGD([0.1, 0.2]))
    if kind == "csv":
        assert list(rows(path)[0]) == [
            "epoch", "step", "loss_0", "loss_1", "learning_rate_0", "learning_rate_1", "seconds"
        ]  # fmt: skip
        losses = np.transpose([column(path, "loss_0"), column(path, "loss_1")])
        rates = [[row["learning_rate_0"], row["learning_rate_1"]] for row in rows(path)]
    else:
        losses, rates = np.asarray(column(path, "loss")), column(path, "learning_rate")
    assert np.array_equal(losses, history.loss)
    assert rates == [[0.1, 0.2]] * 4


@pytest.mark.parametrize("kind", FILES)
def test_a_solver_has_no_learning_rate(tmp_path: Path, kind: str) -> None:
    pytest.importorskip("scipy")
    path = tmp_path / f"log.{kind}"
    fit(FILES[kind](path), optimizer="cg")
    assert list(rows(path)[0]) == ["epoch", "step", "loss", "seconds"]


@pytest.mark.parametrize("kind", FILES)
@pytest.mark.parametrize("died", [3, 4, 6])
def test_a_resumed_run_goes_on_in_the_file_without_an_epoch_twice(tmp_path: Path, kind: str, died: int) -> None:
    whole, path = tmp_path / f"whole.{kind}", tmp_path / f"log.{kind}"
    fit(FILES[kind](whole), epochs=7)
    kept = {"checkpoint": tmp_path / "run.ckpt", "checkpoint_every": 2, "epochs": 7}
    with pytest.raises(DiedError):
        fit(FILES[kind](path), dies_after=died, **kept)
    assert column(path, "epoch") == list(range(1, died + 1))
    fit(FILES[kind](path), resume=True, **kept)
    for name in ("epoch", "step", "loss", "learning_rate"):
        assert column(path, name) == column(whole, name)
    assert path.read_text().count("epoch,") == whole.read_text().count("epoch,")


@pytest.mark.parametrize("kind", FILES)
def test_half_a_line_at_the_end_is_dropped_when_a_run_goes_on(tmp_path: Path, kind: str) -> None:
    path, kept = tmp_path / f"log.{kind}", {"checkpoint": tmp_path / "run.ckpt"}
    fit(FILES[kind](path), epochs=2, **kept)
    with path.open("a") as file:
        file.write("3,9,0.1" if kind == "csv" else '{"epoch": 3, "lo')
    fit(FILES[kind](path), epochs=4, resume=True, **kept)
    assert column(path, "epoch") == [1, 2, 3, 4]


@pytest.mark.parametrize("kind", FILES)
@pytest.mark.parametrize("stop", [{}, {"stop": bpx.stop.TargetLoss(9.0)}], ids=["by its epochs", "by a rule"])
def test_a_run_that_was_done_changes_nothing(tmp_path: Path, kind: str, stop: dict[str, Any]) -> None:
    path, kept = tmp_path / f"log.{kind}", {"checkpoint": tmp_path / "run.ckpt"} | stop
    fit(FILES[kind](path), **kept)
    before = path.read_bytes()
    fit(FILES[kind](path), resume=True, **kept)
    assert path.read_bytes() == before


@pytest.mark.parametrize("kind", FILES)
def test_a_new_run_overwrites_its_log_or_appends_to_it(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"log.{kind}"
    logger = FILES[kind](path)
    fit(logger, epochs=3, stack=2)
    fit(logger, epochs=2)  # the same object again, and another kind of network
    assert column(path, "epoch") == [1, 2]
    fit(FILES[kind](path, append=True), epochs=3)
    assert column(path, "epoch") == [1, 2, 1, 2, 3]


KILLED = """
import os, signal, sys
import numpy as np, bpx
def at(run):
    if run.epoch == 5: os.kill(os.getpid(), signal.SIGKILL)
logger = {"csv": bpx.callbacks.CSVLogger, "jsonl": bpx.callbacks.JSONLinesLogger}[sys.argv[1]](sys.argv[2])
bpx.fit(bpx.MLP([1, 2], backend="numpy"), [[0.0], [1.0]], [0, 1], epochs=9, callbacks=[logger, at])
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="Windows has no SIGKILL")
@pytest.mark.parametrize("kind", FILES)
@pytest.mark.slow
def test_a_process_that_is_killed_leaves_all_epochs_as_whole_lines(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"log.{kind}"
    environment = os.environ | {"BPX_KERNELS": "reference", "PYTHONPATH": str(Path(bpx.__file__).parents[1])}
    done = subprocess.run([sys.executable, "-c", KILLED, kind, str(path)], env=environment, timeout=60)
    assert done.returncode == -signal.SIGKILL
    assert path.read_text().endswith("\n")
    assert column(path, "epoch") == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("kind", FILES)
@pytest.mark.parametrize("where", ["no/such/folder/log", "."])
def test_a_bad_path_is_an_error_before_training(tmp_path: Path, kind: str, where: str) -> None:
    net = bpx.MLP([3, 4, 2], backend="numpy")
    before = net.flat.copy()
    with pytest.raises(FileNotFoundError, match="expected a file in a folder that exists"):
        bpx.fit(net, X, Y, callbacks=[FILES[kind](tmp_path / where)])
    assert np.array_equal(net.flat, before)


OTHERS = {
    "a table": b"age,fare\n22,7.25\n",
    "a text without a line's end": b"hello",
    "a text that begins with an empty line": b"\nhello\n",
    "a JSON document": b'{\n "epochs": 3\n}\n',
    "something binary": b"\x89PNG\r\n\x1a\n\xff\xfe",
    "a JSON line of another kind": b'{"epoch": 1}\n',
}


@pytest.mark.parametrize("kind", FILES)
@pytest.mark.parametrize("content", OTHERS.values(), ids=OTHERS)
def test_a_file_of_another_kind_is_not_overwritten(tmp_path: Path, kind: str, content: bytes) -> None:
    path = tmp_path / f"data.{kind}"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="give another path"):
        fit(FILES[kind](path))
    assert path.read_bytes() == content


def test_a_run_with_other_columns_does_not_go_on_in_a_csv_file(tmp_path: Path) -> None:
    kept = {"checkpoint": tmp_path / "run.ckpt"}
    fit(CSVLogger(tmp_path / "log.csv"), epochs=2, **kept)
    with pytest.raises(ValueError, match="log of a run like this one"), pytest.warns(UserWarning, match="validation"):
        fit(CSVLogger(tmp_path / "log.csv"), resume=True, validation=(X, Y), **kept)


@pytest.mark.parametrize("kind", FILES)
def test_a_full_disk_is_a_warning_and_training_goes_on(tmp_path: Path, kind: str) -> None:
    logger = FILES[kind](tmp_path / f"log.{kind}")

    def fill(run: Any) -> None:
        if run.epoch == 2:
            logger._file.close()

    with pytest.warns(RuntimeWarning, match=r"Logger: epoch 3 could not be logged \(.*\); training goes on") as caught:
        history = fit(logger, fill)
    assert history.epochs == 4
    assert len(caught) == 1
    assert column(tmp_path / f"log.{kind}", "epoch") == [1, 2]


def test_what_is_not_finite_is_null_in_json(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    with pytest.warns(bpx.DivergenceWarning):
        fit(JSONLinesLogger(path), stack=2, optimizer=bpx.SGD([0.1, 1e38]), epochs=3)
    assert column(path, "loss")[-1][1] is None
    assert "NaN" not in path.read_text()


def test_files_are_closed_whatever_ends_training(tmp_path: Path) -> None:
    def interrupt(run: Any) -> None:
        raise KeyboardInterrupt

    loggers = [CSVLogger(tmp_path / "log.csv"), JSONLinesLogger(tmp_path / "log.jsonl")]
    for options in ({}, {"dies_after": 2}):
        try:
            fit(*loggers, **options)
        except DiedError:
            assert options
        assert all(logger._file.closed for logger in loggers)
    fit(*loggers, interrupt)
    assert all(logger._file.closed for logger in loggers)


@pytest.mark.slow
def test_an_estimator_logs_too(tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    est = bpx.MLPClassifier((4,), solver="lbfgs", max_iter=3, callbacks=[CSVLogger(tmp_path / "log.csv")])
    with pytest.warns(UserWarning, match="failed to converge"):
        est.fit(X, Y)
    assert column(tmp_path / "log.csv", "epoch") == [1, 2, 3]


# ---------------------------------------------------------------------- TensorBoard


def events(folder: Path) -> list[Any]:
    """The events of all files in a folder, in order: records of length, its checksum, data and their checksum."""
    from tensorboardX.proto.event_pb2 import Event

    found = []
    for path in sorted(folder.iterdir(), key=lambda path: path.stat().st_mtime_ns):
        data = path.read_bytes()
        while data:
            (length,) = struct.unpack_from("<Q", data)
            found.append(Event.FromString(data[12 : 12 + length]))
            data = data[16 + length :]
    return found


def scalars(folder: Path, name: str) -> list[tuple[int, float]]:
    """A series, as its events were written."""
    return [(e.step, v.simple_value) for e in events(folder) for v in e.summary.value if v.tag == name]


def test_tensorboard_gets_every_epoch_and_the_settings(tmp_path: Path) -> None:
    pytest.importorskip("tensorboardX", reason="tensorboardX is not installed")
    history = fit(TensorBoard(tmp_path / "run"), validation=(X, Y), optimizer=bpx.SGD(0.1, momentum=0.5))
    for name in ("loss", "val_loss", "learning_rate"):
        values = np.float32(getattr(history, name)).tolist()
        assert scalars(tmp_path / "run", name) == list(zip([1, 2, 3, 4], values, strict=True))
    assert len(scalars(tmp_path / "run", "seconds")) == 4
    assert b"| optimizer.momentum | 0.5 |" in b"".join(e.SerializeToString() for e in events(tmp_path / "run"))


def test_tensorboard_has_a_series_for_each_network_of_a_stack(tmp_path: Path) -> None:
    pytest.importorskip("tensorboardX", reason="tensorboardX is not installed")
    history = fit(TensorBoard(tmp_path / "run"), stack=2)
    for k in range(2):
        assert scalars(tmp_path / "run", f"loss/{k}") == [(i + 1, np.float32(v[k])) for i, v in enumerate(history.loss)]


def test_tensorboard_itself_reads_a_resumed_run_without_an_epoch_twice(tmp_path: Path) -> None:
    pytest.importorskip("tensorboardX", reason="tensorboardX is not installed")
    accumulators = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator",
        reason="TensorBoard is not installed",
    )
    kept = {"checkpoint": tmp_path / "run.ckpt", "checkpoint_every": 2, "epochs": 7}
    with pytest.raises(DiedError):
        fit(TensorBoard(tmp_path / "run"), dies_after=5, **kept)
    history = fit(TensorBoard(tmp_path / "run"), resume=True, **kept)
    reader = accumulators.EventAccumulator(str(tmp_path / "run")).Reload()
    assert [event.step for event in reader.Scalars("loss")] == [1, 2, 3, 4, 5, 6, 7]
    assert [event.value for event in reader.Scalars("loss")] == np.float32(history.loss).tolist()


# ---------------------------------------------------------------------- MLflow


@pytest.fixture
def tracking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """MLflow, keeping its runs in a folder of the test's own."""
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    mlflow = pytest.importorskip("mlflow", reason="MLflow is not installed")
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri((tmp_path / "runs").as_uri())
    yield mlflow
    while mlflow.active_run() is not None:
        mlflow.end_run()
    mlflow.set_tracking_uri(before)


def runs(mlflow: Any, *experiments: str) -> list[Any]:
    """The runs of an experiment, the latest first."""
    return list(mlflow.search_runs(experiment_names=list(experiments) or ["Default"], output_format="list"))


def metric(mlflow: Any, run: Any, name: str) -> list[tuple[int, float]]:
    """A metric's history."""
    return [(m.step, m.value) for m in mlflow.MlflowClient().get_metric_history(run.info.run_id, name)]


def test_mlflow_gets_metrics_of_every_epoch_and_params(tracking: Any) -> None:
    logger = MLflow(experiment="small", run_name="first")
    history = fit(logger, validation=(X, Y), optimizer=bpx.SGD(0.1, momentum=0.5), class_weight={0: 1.0, 1: 3.0})
    (run,) = runs(tracking, "small")
    assert (run.info.status, run.info.run_name) == ("FINISHED", "first")
    for name in ("loss", "val_loss", "learning_rate"):
        assert metric(tracking, run, name) == list(zip([1, 2, 3, 4], getattr(history, name), strict=True))
    expected = {
        "sizes": "[3, 4, 2]", "optimizer": "SGD", "optimizer.learning_rate": "0.1", "optimizer.momentum": "0.5",
        "batch_size": "16", "seed": "0", "loss": "cross_entropy", "class_weight.1": "3.0",
    }  # fmt: skip
    assert expected.items() <= run.data.params.items()
    assert run.data.tags["epochs"] == "4"
    assert "epochs" not in run.data.params
    assert tracking.active_run() is None
    fit(logger, stack=2)
    latest = runs(tracking, "small")[0]
    assert len(runs(tracking, "small")) == 2
    assert len(metric(tracking, latest, "loss/1")) == 4


def test_an_mlflow_run_of_the_users_own_is_taken_and_left_open(tracking: Any) -> None:
    with tracking.start_run() as own:
        fit(MLflow())
        assert tracking.active_run().info.run_id == own.info.run_id
    (run,) = runs(tracking)
    assert len(metric(tracking, run, "loss")) == 4


def test_the_status_says_how_training_ended(tracking: Any) -> None:
    def interrupt(run: Any) -> None:
        raise KeyboardInterrupt

    fit(MLflow(), interrupt)
    assert runs(tracking)[0].info.status == "KILLED"
    with pytest.raises(DiedError):
        fit(MLflow(), dies_after=2)
    assert runs(tracking)[0].info.status == "FAILED"
    assert tracking.active_run() is None


def test_a_run_that_diverged_has_failed(tracking: Any) -> None:
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        history = fit(MLflow(), optimizer=bpx.SGD(1e200))
    assert history.diverged
    assert runs(tracking)[0].info.status == "FAILED"


def test_an_mlflow_run_whose_params_fail_is_not_left_open(tracking: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracking, "log_params", lambda *args, **options: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        fit(MLflow())
    assert tracking.active_run() is None
    assert runs(tracking)[0].info.status == "FAILED"


@pytest.mark.parametrize("by", ["run_name", "run_id"])
def test_a_resumed_run_goes_on_in_its_mlflow_run(tracking: Any, tmp_path: Path, by: str) -> None:
    kept = {"checkpoint": tmp_path / "run.ckpt", "checkpoint_every": 2}
    with pytest.raises(DiedError):
        fit(MLflow(run_name="long"), dies_after=5, epochs=7, **kept)
    again = MLflow(run_name="long") if by == "run_name" else MLflow(run_id=runs(tracking)[0].info.run_id)
    history = fit(again, resume=True, epochs=8, **kept)  # which MLflow would refuse as a changed param
    (run,) = runs(tracking)
    assert metric(tracking, run, "loss") == list(zip(range(1, 9), history.loss, strict=True))
    assert run.info.status == "FINISHED"
    assert run.data.tags["epochs"] == "8"


# ---------------------------------------------------------------------- all of them


@pytest.mark.parametrize(
    ("callback", "package", "extra"), [(TensorBoard, "tensorboardX", "tensorboard"), (MLflow, "mlflow", "mlflow")]
)
def test_a_missing_package_is_an_error_that_names_the_extra(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, callback: Any, package: str, extra: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    logger = TensorBoard(tmp_path / "run") if callback is TensorBoard else MLflow()
    with pytest.raises(ImportError, match=re.escape(how_to_install(extra, package))):
        fit(logger)
    assert not (tmp_path / "run").exists()


def test_callbacks_are_told_where_a_resumed_run_goes_on(tmp_path: Path) -> None:
    class Begins(bpx.Callback):
        def on_fit_begin(self, run: Any) -> None:
            self.epoch, self.step, self.losses = run.epoch, run.step, len(run.history.loss)

    fit(epochs=3, checkpoint=tmp_path / "c")
    begins = Begins()
    fit(begins, epochs=5, checkpoint=tmp_path / "c", resume=True)
    assert (begins.epoch, begins.step, begins.losses) == (3, 9, 3)
    fit(begins, epochs=5, checkpoint=tmp_path / "c", resume=True)  # it is done
    assert (begins.epoch, begins.step, begins.losses) == (5, 15, 5)
    for _ in range(2):  # the second time it is done for good
        begins = Begins()
        fit(begins, epochs=9, checkpoint=tmp_path / "d", stop=bpx.stop.TargetLoss(9.0), resume=True)
    assert (begins.epoch, begins.step, begins.losses) == (1, 3, 1)


def test_ctrl_c_before_training_begins_is_not_swallowed() -> None:
    class Begins(bpx.Callback):
        def on_fit_begin(self, run: Any) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(Begins())
