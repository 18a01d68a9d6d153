"""Who hears of an estimator's training: callbacks of bpx and of scikit-learn, progress lines."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from estimator_samples import LABELS, NUMBERS, WEIGHTS, N, X, classifier, regressor, same
from sklearn.metrics import accuracy_score
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import bpx

sklearn_callback = pytest.importorskip("sklearn.callback", reason="scikit-learn's callbacks came with 1.9")

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

VAL = slice(50, N)


# ---------------------------------------------------------------------- bpx's callbacks, progress


class Diary(bpx.Callback):
    """What happened, in order."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def on_fit_begin(self, run: Any) -> None:
        self.lines.append("begin")

    def on_step_end(self, run: Any) -> None:
        self.lines.append("step")

    def on_epoch_end(self, run: Any) -> bool:
        self.lines.append(f"epoch {run.epoch} of {run.epochs}")
        return run.epoch == 2

    def on_fit_end(self, run: Any) -> None:
        self.lines.append(f"end: {run.history.stop_reason.name}")


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_callbacks_hear_of_everything_and_may_stop(solver: str) -> None:
    diary, losses = Diary(), []
    est = classifier(callbacks=[diary, lambda run: losses.append(run.loss)], batch_size=N // 2, solver=solver)
    est.fit(X, LABELS)
    lines = [line for line in diary.lines if line != "step"]
    assert lines == ["begin", "epoch 1 of 8", "epoch 2 of 8", "end: CALLBACK"]
    assert est.history_.stop_reason is bpx.StopReason.CALLBACK
    assert est.n_iter_ == len(losses) == 2
    assert est.loss_ == losses[-1]
    if solver == "adam":
        assert diary.lines.count("step") == 4
        assert est.loss_curve_ == losses


@pytest.mark.parametrize(("progress", "epochs"), [(False, []), (3, [3, 6, 8]), (True, list(range(1, 9)))])
def test_progress_prints_lines_on_standard_error(progress: Any, epochs: list[int], capsys: Any) -> None:
    regressor(progress=progress).fit(X, NUMBERS, X_val=X[VAL], y_val=NUMBERS[VAL])
    shown = capsys.readouterr()
    assert shown.out == ""
    assert [int(line.split()[1].partition("/")[0]) for line in shown.err.splitlines()] == epochs
    assert shown.err.count("val_loss") == len(epochs)


# ---------------------------------------------------------------------- scikit-learn's callback protocol


class Recorder:
    """A callback of scikit-learn's protocol that writes everything down."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.events: list[tuple[str, str, Any]] = []
        self.seen: list[Any] = []
        self.stop_after = stop_after

    def setup(self, estimator: Any, context: Any) -> None:
        self.events.append(("setup", context.task_name, context.max_subtasks))

    def teardown(self, estimator: Any, context: Any) -> None:
        self.events.append(("teardown", context.task_name, context.max_subtasks))

    def on_fit_task_begin(self, estimator: Any, context: Any) -> None:
        self.events.append(("begin", context.task_name, context.task_id))

    def on_fit_task_end(
        self, estimator: Any, context: Any, *, X: Any, y: Any, metadata: Any, fitted_estimator: Any
    ) -> bool:
        self.events.append(("end", context.task_name, context.task_id))
        self.seen.append((X, y, metadata, fitted_estimator.predict(X), fitted_estimator.predict_proba(X)))
        return self.stop_after is not None and context.task_id + 1 == self.stop_after


class Everywhere(Recorder):
    """The same, handed on by scikit-learn to the estimators inside others."""

    max_propagation_depth = None

    def on_fit_task_end(self, estimator: Any, context: Any) -> None:  # type: ignore[override]
        self.events.append(("end", context.task_name, type(estimator).__name__))


@pytest.mark.parametrize("params", [{}, {"solver": "lbfgs"}, {"early_stopping": True}, {"n_init": 3}])
def test_scikit_learns_callbacks_hear_of_the_fit_and_of_each_epoch(params: dict[str, Any]) -> None:
    recorder = Recorder()
    est = classifier(**params).set_callbacks(recorder).fit(X, LABELS, WEIGHTS)
    epochs = [(what, "epoch", i) for i in range(est.history_.epochs) for what in ("begin", "end")]
    assert recorder.events == [
        ("setup", "fit", 8), ("begin", "fit", 0), *epochs, ("end", "fit", 0), ("teardown", "fit", 8)
    ]  # fmt: skip
    for shown_X, shown_y, metadata, predicted, _ in recorder.seen:
        assert set(shown_y) == set(LABELS)
        assert len(shown_X) == len(shown_y) == len(metadata["sample_weight"]) == len(predicted)
    np.testing.assert_array_equal(recorder.seen[-1][4], est.predict_proba(recorder.seen[-1][0]))
    assert len({p[4][0, 0] for p in recorder.seen}) > 2
    same(est, classifier(**params).fit(X, LABELS, WEIGHTS))


@pytest.mark.parametrize("solver", ["sgd", "lbfgs"])
def test_one_of_scikit_learns_callbacks_may_stop(solver: str) -> None:
    est = classifier(solver=solver).set_callbacks(Recorder(stop_after=3)).fit(X, LABELS)
    assert est.n_iter_ == 3
    assert est.history_.stop_reason is bpx.StopReason.CALLBACK


def test_partial_fit_is_a_fit_of_one_epoch_to_scikit_learns_callbacks() -> None:
    recorder = Recorder()
    classifier().set_callbacks(recorder).partial_fit(X, LABELS, classes=np.unique(LABELS))
    assert [what for what, *_ in recorder.events] == ["setup", "begin", "begin", "end", "end", "teardown"]
    assert recorder.events[0] == ("setup", "fit", 1)


def test_callbacks_are_torn_down_where_the_fit_fails() -> None:
    def fail(run: Any) -> None:
        raise RuntimeError("from within")

    recorder = Recorder()
    est = classifier(callbacks=[fail]).set_callbacks(recorder)
    before = dict(vars(est))
    with pytest.raises(RuntimeError, match="from within"):
        est.fit(X, LABELS)
    assert recorder.events[0][0] == "setup"
    assert recorder.events[-1][0] == "teardown"
    assert vars(est) == before


def test_the_scoring_monitor_scores_each_epoch() -> None:
    monitor = sklearn_callback.ScoringMonitor(scoring="accuracy")
    expected: list[float] = []
    est = classifier(callbacks=[lambda run: expected.append(accuracy_score(LABELS, names(run)))])
    est.set_callbacks(monitor).fit(X, LABELS)
    logged = [row["accuracy"] for row in monitor.get_logs().data if row["task_name"] == "epoch"]
    same(logged, expected)
    assert len(set(logged)) > 2


def names(run: Any) -> np.ndarray:
    return np.unique(LABELS)[np.argmax(run.net(X), axis=1)]


def test_the_progress_bar_shows_the_epochs(capsys: Any) -> None:
    pytest.importorskip("rich")
    classifier().set_callbacks(sklearn_callback.ProgressBar()).fit(X, LABELS)
    shown = capsys.readouterr().out
    assert "MLPClassifier" in shown
    assert "100%" in shown


def test_callbacks_come_down_from_a_pipeline_and_a_grid_search() -> None:
    recorder = Everywhere()
    pipe = make_pipeline(StandardScaler(), classifier(max_iter=3)).set_callbacks(recorder).fit(X, LABELS)
    epoch = ("end", "epoch", "MLPClassifier")
    assert recorder.events.count(epoch) == 3
    assert not hasattr(pipe[-1], "_parent_callback_ctx")

    recorder = Everywhere()
    grid = {"mlpclassifier__alpha": [0.1, 1.0]}
    GridSearchCV(make_pipeline(StandardScaler(), classifier(max_iter=3)), grid, cv=2).set_callbacks(recorder).fit(
        X, LABELS
    )
    assert recorder.events.count(epoch) == 3 * (2 * 2 + 1)
    assert [what for what, *_ in recorder.events].count("teardown") == 1
