"""A sweep is what its settings give one by one: the same scores, from stacks of networks."""

from __future__ import annotations

import threading
import warnings
from functools import partial
from typing import Any

import numpy as np
import pytest

import bpx
from bpx import schedules
from bpx.search.folds import folds
from bpx.search.sweep_table import SweepTable
from bpx.search.trials import Trial, into_stacks, largest_stack
from bpx.training.array_feed import SparseRows

N, N_IN, CLASSES = 45, 4, 3


@pytest.fixture
def data(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Samples of three classes that can be told apart, more or less; classes of different sizes."""
    y = np.sort(rng.integers(0, CLASSES, N))
    return rng.normal(size=(N, N_IN)) + 1.5 * np.eye(CLASSES, N_IN)[y], y


def maker(backend: Any = "numpy", **options: Any) -> Any:
    """A function that makes a network."""

    def make(seed: int = 0, width: int = 6, **more: Any) -> bpx.MLP:
        given = {"hidden": "tanh", "dtype": "float64", "backend": backend} | options | more
        return bpx.MLP([N_IN, width, CLASSES], seed=seed, **given)

    return make


def alone(make: Any, rows: list[dict[str, Any]], X: Any, y: Any, cv: Any, **options: Any) -> np.ndarray:
    """Minus the loss on the held-out rows of each setting and fold, by `bpx.fit` one after the other."""
    architecture = ("seed", "width", "dropout", "hidden")
    fixed = ("l2", "batch_size", "epochs", "class_weight", "sampling")
    found = []
    for row in rows:
        own = dict(row)
        own.pop("score"), own.pop("std"), own.pop("rank")
        parts = {name: own.pop(name) for name in architecture if name in own}
        more = {name: own.pop(name) for name in fixed if name in own}
        kind = own.pop("optimizer", "adam")
        optimizer = bpx.optimizers.OPTIMIZERS[kind](**own) if str(kind) in bpx.optimizers.OPTIMIZERS else kind
        found.append([])
        for train, test in cv:
            net = make(**parts)
            given = {"epochs": 4, "batch_size": 7} | options | more
            if "sample_weight" in given:
                given["sample_weight"] = given["sample_weight"][train]
            bpx.fit(net, X[train], y[train], optimizer=optimizer, **given)
            loss, _ = net.loss_and_grads(X[test], y[test])
            found[-1].append(-float(net.backend.to_host(loss)))
    return np.array(found)


def of_table(table: SweepTable, rows: int) -> np.ndarray:
    """Scores of each fold, as the table's rows are sorted."""
    order = [table.cv_results_["params"].index({k: r[k] for k in table.names if k in r}) for r in table.rows]
    splits = [table.cv_results_[f"split{i}_test_score"] for i in range(rows)]
    return np.stack(splits, axis=1)[order]


GRIDS: dict[str, dict[str, list[Any]]] = {
    "rates, penalties, seeds": {"learning_rate": [0.001, 0.03], "l2": [0.0, 0.1], "seed": [0, 3]},
    "moments": {"optimizer": ["adam"], "beta_1": [0.9, 0.5], "beta_2": [0.99, 0.9], "epsilon": [1e-8, 1e-3]},
    "momentum": {"optimizer": ["sgd"], "momentum": [0.0, 0.9], "clip_norm": [0.1, 10.0]},
    "networks": {"width": [3, 5], "dropout": [0.0, 0.4], "hidden": ["tanh", "relu"], "seed": [1, 2]},
    "batches": {"batch_size": [1, 10, 100], "sampling": ["shuffle", "sequential"], "learning_rate": [0.01, 0.02]},
    "kinds": {"optimizer": ["sgd", "rmsprop", "adagrad", "adamw", bpx.SGD(0.1, 0.5, True)], "l2": [0.0, 0.2]},
    "classes": {"class_weight": [None, "balanced", {0: 3.0}], "epochs": [1, 3], "learning_rate": [0.01, 0.02]},
    "solvers": {"optimizer": ["lbfgs"], "seed": [0, 1], "l2": [0.0, 0.1]},
}
CV = [(np.arange(10, N), np.arange(10)), (np.arange(35), np.arange(35, N)), (np.arange(0, N, 2), np.arange(1, N, 2))]


@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS)
@pytest.mark.parametrize("stack", [None, 3])
def test_every_setting_has_the_score_of_single_fits(data: Any, close: Any, grid: Any, stack: int | None) -> None:
    table = bpx.sweep(
        maker(), grid, *data, cv=CV, epochs=4, batch_size=7, scoring="neg_loss", stack=stack, refit=False, workers=1
    )
    assert len(table.rows) == np.prod([len(values) for values in grid.values()])
    scores = of_table(table, len(CV))
    close(scores, alone(maker(), table.rows, *data, CV))
    close([row["score"] for row in table.rows], np.mean(scores, axis=1))
    close([row["std"] for row in table.rows], np.std(scores, axis=1))
    assert len(np.unique(np.round(scores, 12))) > len(CV)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("cv", [CV[:1], CV], ids=["one fold", "three"])
@pytest.mark.slow
def test_on_every_library_the_scores_are_those_of_single_fits(
    lib: bpx.Backend, data: Any, close: Any, rng: np.random.Generator, weighted: bool, cv: Any
) -> None:
    options = {"sample_weight": rng.uniform(0.0, 2.0, N)} if weighted else {}
    grid = {"learning_rate": [0.01, 0.03], "seed": [0, 1], "class_weight": [None, "balanced"]}
    make = maker(lib, dropout=0.2)
    table = bpx.sweep(make, grid, *data, cv=cv, epochs=2, batch_size=8, scoring="neg_loss", refit=False, **options)
    if weighted:  # the score is weighted with them
        assert np.all(np.isfinite(of_table(table, len(cv))))
        return
    close(of_table(table, len(cv)), alone(make, table.rows, *data, cv, epochs=2, batch_size=8))


def test_sample_weights_are_those_of_single_fits(data: Any, close: Any, rng: np.random.Generator) -> None:
    weight = rng.uniform(0.0, 2.0, N)

    def plain_loss(net: bpx.MLP, X: Any, y: Any) -> float:
        return -float(net.loss_and_grads(X, y)[0])

    grid = {"learning_rate": [0.01, 0.03], "class_weight": [None, "balanced"]}
    options = {"epochs": 3, "batch_size": 8, "sample_weight": weight}
    table = bpx.sweep(maker(), grid, *data, cv=CV, scoring=plain_loss, refit=False, **options)
    assert table.scoring == "plain_loss"
    close(of_table(table, 3), alone(maker(), table.rows, *data, CV, **options))


def test_schedules_and_their_first_rates_are_swept(data: Any, close: Any) -> None:
    grid = {"learning_rate": [0.1, 0.02], "seed": [0, 1]}
    for schedule in (schedules.StepDecay(0.5, 2), schedules.WarmUp(schedules.Cosine(0.5, 4), 3)):
        table = bpx.sweep(
            maker(), grid, *data, cv=CV, epochs=4, batch_size=7, optimizer=bpx.SGD(schedule), scoring="neg_loss",
            refit=False,
        )  # fmt: skip
        expected = []
        for row in table.rows:
            rate = row["learning_rate"]
            inner = schedules.StepDecay(rate, 2)
            if isinstance(schedule, schedules.WarmUp):
                inner = schedules.WarmUp(schedules.Cosine(rate, 4), 3)
            own = row | {"optimizer": bpx.SGD(inner)}
            own.pop("learning_rate")
            expected += [own]
        close(of_table(table, 3), alone(maker(), expected, *data, CV))
    own = {"learning_rate": [schedules.StepDecay(0.1, 1), 0.1], "seed": [0, 1]}
    assert len(bpx.sweep(maker(), own, *data, cv=CV, epochs=2, optimizer="sgd", refit=False)) == 4


def test_a_network_that_stops_early_keeps_what_it_had(data: Any, close: Any) -> None:
    X, y = data
    grid = {"learning_rate": [0.3, 0.1, 0.03, 0.001], "seed": [0, 1]}
    for stop in ([bpx.stop.TargetLoss(0.5)], [bpx.stop.Patience("val_loss", 2)], [bpx.stop.Patience("loss", 1)]):
        table = bpx.sweep(
            maker(), grid, X, y, cv=CV, epochs=12, batch_size=7, scoring="neg_loss", refit=False, stop=stop
        )
        expected, epochs = [], []
        for row in table.cv_results_["params"]:
            for train, test in CV:
                net = maker()(row["seed"])
                history = bpx.fit(
                    net, X[train], y[train], optimizer=bpx.Adam(row["learning_rate"]), epochs=12, batch_size=7,
                    stop=stop, validation=(X[test], y[test]),
                )  # fmt: skip
                expected.append(-float(net.loss_and_grads(X[test], y[test])[0]))
                epochs.append(history.epochs)
        close(np.stack([table.cv_results_[f"split{i}_test_score"] for i in range(3)], axis=1).ravel(), expected)
        close(table.cv_results_["mean_epochs"], np.mean(np.reshape(epochs, (-1, 3)), axis=1))
        assert len(set(epochs)) > 1


@pytest.mark.parametrize("scoring", ["neg_loss", "accuracy"])
def test_a_setting_that_diverges_is_last_with_nan_and_disturbs_no_other(data: Any, close: Any, scoring: str) -> None:
    grid = {"learning_rate": [0.01, 1e300, 0.1], "seed": [0, 1]}
    options = {"optimizer": "sgd", "epochs": 3, "batch_size": 7, "cv": CV, "scoring": scoring}
    with pytest.warns(bpx.DivergenceWarning, match="2 of 6 settings diverged") as caught:
        table = bpx.sweep(maker(hidden="relu"), grid, *data, workers=1, **options)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert [row["learning_rate"] for row in table.rows[-2:]] == [1e300, 1e300]
    assert np.isnan([row["score"] for row in table.rows[-2:]]).all()
    assert [row["rank"] for row in table.rows[-2:]] == [5, 5]
    calm = bpx.sweep(maker(hidden="relu"), grid | {"learning_rate": [0.01, 0.1]}, *data, **options)
    close([row["score"] for row in table.rows[:4]], [row["score"] for row in calm.rows])
    assert table.best == calm.best
    with pytest.warns(bpx.DivergenceWarning):
        none = bpx.sweep(maker(hidden="relu"), {"learning_rate": [1e300]}, *data, **options)
    assert none.best_net is None
    assert np.isnan(none.best_score)


def test_the_best_network_is_trained_on_all_rows(data: Any) -> None:
    X, y = data
    table = bpx.sweep(
        maker(), {"seed": [0, 1], "learning_rate": [0.01, 0.1]}, X, y, cv=3, epochs=5, batch_size=9, seed=4
    )
    net = maker()(table.best["seed"])
    bpx.fit(net, X, y, optimizer=bpx.Adam(table.best["learning_rate"]), epochs=5, batch_size=9, seed=4)
    assert np.array_equal(table.best_net.flat, net.flat)
    assert bpx.sweep(maker(), {"seed": [0]}, X, y, epochs=1, refit=False).best_net is None


def test_held_out_data_and_a_held_out_share(data: Any, close: Any) -> None:
    X, y = data
    grid = {"learning_rate": [0.01, 0.1], "seed": [0, 1]}
    options = {"epochs": 3, "batch_size": 7, "scoring": "neg_loss"}
    external = bpx.sweep(maker(), grid, X[:30], y[:30], validation=(X[30:], y[30:]), **options)
    cut = [(np.arange(30), np.arange(30, N))]
    close(of_table(external, 1), alone(maker(), external.rows, X, y, cut, epochs=3))
    assert [row["std"] for row in external.rows] == [0.0] * 4
    (fold,) = folds(N, y, None, 0.3, 5, (X, y))
    share = bpx.sweep(maker(), grid, X, y, validation=0.3, seed=5, **options)
    close(of_table(share, 1), alone(maker(), share.rows, X, y, [fold], epochs=3, seed=5))
    counts = np.bincount(y)
    assert np.bincount(y[fold.test]).tolist() == [round(0.3 * c) for c in counts]
    assert sorted([*fold.train, *fold.test]) == list(range(N))


@pytest.mark.parametrize("optimizer", ["adam", "lbfgs"])
def test_held_out_data_may_have_weights_that_stopping_rules_see_too(data: Any, optimizer: str) -> None:
    X, y = data
    weight = np.linspace(0.1, 1.0, N - 30)
    options: dict[str, Any] = {"optimizer": optimizer, "stop": bpx.stop.Patience("val_loss", 2), "epochs": 6}
    table = bpx.sweep(
        maker(), {"seed": [0, 1]}, X[:30], y[:30], validation=(X[30:], y[30:], weight), scoring="neg_loss", **options
    )
    net = maker()(table.best["seed"])
    bpx.fit(net, X[:30], y[:30], validation=(X[30:], y[30:], weight), **options)
    assert np.array_equal(table.best_net.flat, net.flat)


def test_regression_is_scored_by_its_loss_or_r2(rng: np.random.Generator, close: Any) -> None:
    from sklearn.metrics import r2_score

    X = rng.normal(size=(40, 3))
    y = X @ rng.normal(size=(3, 2))

    def make(seed: int) -> bpx.MLP:
        return bpx.MLP([3, 5, 2], output="identity", seed=seed, backend="numpy", dtype="float64")

    options = {"loss": "squared_error", "epochs": 3, "batch_size": 8, "cv": 4}
    table = bpx.sweep(make, {"seed": [0, 1, 2]}, X, y, scoring="r2", **options)
    cut = folds(40, None, 4, None, 0, (X, y))
    for row in table.rows:
        scores = []
        for train, test in cut:
            net = make(row["seed"])
            bpx.fit(net, X[train], y[train], loss="squared_error", epochs=3, batch_size=8)
            scores.append(r2_score(y[test], net(X[test])))
        close(row["score"], np.mean(scores))
    assert bpx.sweep(make, {"seed": [0]}, X, y, **options).scoring == "neg_loss"


def test_sparse_inputs_give_the_scores_of_dense_ones(data: Any, close: Any) -> None:
    from scipy import sparse

    X, y = data
    X = X * (np.abs(X) > 0.5)
    grid = {"learning_rate": [0.01, 0.1], "optimizer": ["adam", "lbfgs"][:1]}
    options = {"cv": CV, "epochs": 2, "batch_size": 7, "scoring": "neg_loss"}
    dense, thin = (bpx.sweep(maker(), grid, given, y, **options) for given in (X, sparse.csr_matrix(X)))
    close(of_table(thin, 3), of_table(dense, 3))
    close(thin.best_net.flat, dense.best_net.flat)
    thin = bpx.sweep(maker(), {"optimizer": ["lbfgs"]}, X, y, **options)
    assert np.isfinite(thin.best_score)
    rows = SparseRows(bpx.get_backend("numpy"), sparse.csr_matrix(X), np.float64)
    assert np.array_equal(rows.dense(np.array([[0, 3], [2, 2]])), X[[[0, 3], [2, 2]]])


def test_threads_give_what_one_thread_gives(data: Any) -> None:
    grid = {"learning_rate": [0.01, 0.1, 0.03], "seed": [0, 1, 2], "width": [4, 5]}
    one, three = (
        bpx.sweep(maker(dtype="float32"), grid, *data, epochs=3, batch_size=7, stack=4, workers=workers)
        for workers in (1, 3)
    )
    assert one.cv_results_["mean_test_score"].tolist() == three.cv_results_["mean_test_score"].tolist()
    assert np.array_equal(one.best_net.flat, three.best_net.flat)


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_in_a_stack_ends_the_sweep(data: Any, workers: int) -> None:
    before = threading.active_count()

    def scoring(net: bpx.MLP, X: Any, y: Any) -> float:
        raise ArithmeticError("no score")

    with pytest.raises(ArithmeticError, match="no score"):
        bpx.sweep(maker(), {"seed": list(range(8))}, *data, stack=2, epochs=1, workers=workers, scoring=scoring)
    assert threading.active_count() == before


# ---------------------------------------------------------------------- folds, stacks, table


@pytest.mark.parametrize("k", [2, 3, 5])
@pytest.mark.parametrize("shuffled", [False, True])
def test_folds_are_scikit_learns(data: Any, rng: np.random.Generator, k: int, shuffled: bool) -> None:
    from sklearn.model_selection import KFold, StratifiedKFold

    X, y = data
    y = rng.permutation(y) if shuffled else y
    for kind, labels in ((StratifiedKFold, y), (KFold, None)):
        expected = list(kind(k).split(X, y))
        found = folds(N, labels, k, None, 0, (X, y))
        given = folds(N, labels, kind(k), None, 0, (X, y))
        masks = [(np.isin(np.arange(N), train), np.isin(np.arange(N), test)) for train, test in expected]
        for one, other, mask, pair in zip(
            found, given, folds(N, labels, masks, None, 0, (X, y)), expected, strict=True
        ):
            for fold in (one, other, mask):
                assert fold.train.tolist() == pair[0].tolist()
                assert fold.test.tolist() == pair[1].tolist()


def test_stacks_hold_what_is_alike_and_no_more_than_fits() -> None:
    trials = [Trial(s, f) for s in range(10) for f in range(2)]
    stacks = into_stacks(trials, lambda trial: trial.setting % 2, lambda trial: -trial.setting, lambda _: 4)
    assert sorted(trial for stack in stacks for trial in stack) == trials
    assert [len(stack) for stack in stacks] == [3, 3, 4, 3, 3, 4]
    assert all(len({trial.setting % 2 for trial in stack}) == 1 for stack in stacks)
    assert stacks[0][0].setting == 8
    assert len(into_stacks(trials, lambda trial: 0, lambda trial: 0, lambda _: 100, workers=4)) == 4
    assert largest_stack(None, [64, 100, 10], 128, 4, True) == 19
    assert largest_stack(None, [64, 16, 10], 32, 4, True) == 165
    assert largest_stack(None, [64, 100, 10], 128, 4, False) == 1024
    assert largest_stack(None, [784, 2048, 2048, 10], 512, 4, True) == 6
    assert largest_stack(None, [784, 20000, 10], 512, 8, True) == 1
    assert largest_stack(50, [784, 20000, 10], 512, 8, True) == 50


def test_ranks_and_rows_are_those_of_a_grid_search() -> None:
    settings = [{"a": i} for i in range(5)]
    scores = [[0.5, 0.7], [0.9, 0.9], [0.9, 0.9], [np.nan, 1.0], [0.1, 0.1]]
    table = SweepTable(settings, scores, np.ones((5, 2)), "accuracy")
    assert table.cv_results_["rank_test_score"].tolist() == [3, 1, 1, 5, 4]
    assert [row["a"] for row in table.rows] == [1, 2, 0, 4, 3]
    assert (table.best, table.best_score) == ({"a": 1}, 0.9)
    assert table.to_dict()["rank"] == [1, 1, 3, 4, 5]
    assert table.rows[2]["std"] == pytest.approx(0.1)
    assert len(table) == len(list(table)) == 5


def test_a_notebook_shows_a_table_as_text_that_is_never_markup() -> None:
    settings = [{"<b>": f"<script>{i}", "rate": 0.1} for i in range(30)]
    shown = SweepTable(settings, np.arange(30.0)[:, None] / 64, np.ones((30, 1)), "accuracy")._repr_html_()
    assert shown.count("<tr>") == 21
    assert "<th>&lt;b&gt;</th>" in shown
    assert "<td>1</td><td>&lt;script&gt;29</td><td>0.1</td><td>0.453125</td>" in shown
    assert "30 settings, score: accuracy; 10 more" in shown
    assert "<script" not in shown


def test_a_table_prints_aligned_and_becomes_a_data_frame() -> None:
    import pandas as pd

    settings = [{"l2": 0.001, "activation": "relu"}, {"l2": 10.0, "seed": 3}]
    table = SweepTable(settings, [[0.25], [0.5]], [[1], [1]], "accuracy")
    assert str(table).splitlines() == [
        "rank     l2  activation  seed  score  std",
        "----  -----  ----------  ----  -----  ---",
        "   1     10                 3    0.5    0",
        "   2  0.001        relu         0.25    0",
    ]
    frame = pd.DataFrame(table.rows)
    assert frame["score"].tolist() == [0.5, 0.25]
    assert repr(table) == "<SweepTable of 2 settings, best accuracy 0.5 with {'l2': 10.0, 'seed': 3}>"
    long = SweepTable([{"a": i} for i in range(30)], np.arange(30.0)[:, None], np.ones((30, 1)), "accuracy")
    assert str(long).endswith("... 10 more")
    assert len(long.to_text().splitlines()) == 32


# ---------------------------------------------------------------------- bad input

BAD: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"grid": {}}, ValueError, "expected at least one name"),
    ({"grid": "l2"}, TypeError, "grid: expected a dict"),
    ({"grid": {"l2": []}}, ValueError, "at least one value for 'l2'"),
    ({"grid": {"l2": 0.1}}, TypeError, "expected a list of values for 'l2', got 0.1"),
    ({"grid": {"hidden": "relu"}}, TypeError, "expected a list of values for 'hidden'"),
    ({"grid": {"l2": np.ones((2, 2))}}, TypeError, "expected a list of values for 'l2'"),
    ({"grid": {"score": [1]}}, ValueError, "'score' is what a row"),
    ({"grid": {1: [1]}}, TypeError, "names as keys"),
    ({"grid": [{"l2": [0.1]}, 3]}, TypeError, "expected dicts"),
    ({"grid": {"learnin_rate": [0.1]}}, TypeError, "passed 'learnin_rate' on to bpx.MLP.*did you mean learning_rate"),
    ({"grid": {"momentum": [0.1]}}, TypeError, "no hyperparameters of Adam"),
    ({"grid": {"learning_rate": [-0.1]}}, ValueError, "learning rate: expected a positive"),
    ({"grid": {"l2": [-0.1]}}, ValueError, "l2: expected a finite number"),
    ({"grid": {"l2": [[0.1, 0.2]]}}, ValueError, "several go into the grid"),
    ({"optimizer": bpx.Adam([0.1, 0.2])}, ValueError, "several go into the grid"),
    ({"grid": {"epochs": [0]}}, ValueError, "epochs: expected"),
    ({"grid": {"batch_size": [10, 0]}}, ValueError, "batch_size: expected at least 1"),
    ({"grid": {"loss": ["hinge"]}}, ValueError, "unknown loss 'hinge'"),
    ({"lost": 3}, TypeError, r"unknown arguments \['lost'\]"),
    ({"cv": 1}, ValueError, "at least 2 folds"),
    ({"cv": 100}, ValueError, "as many folds as rows"),
    ({"cv": 40}, ValueError, "as many folds as members of a class"),
    ({"cv": 0.3}, TypeError, "cv: expected a number of folds"),
    ({"cv": []}, ValueError, "at least one fold"),
    ({"cv": [(np.arange(4), np.array([99]))]}, ValueError, "row numbers in 0..44"),
    ({"cv": [3]}, TypeError, "expected pairs"),
    ({"cv": 3, "validation": 0.2}, ValueError, "got both"),
    ({"validation": 1.5}, TypeError, "a share of the rows"),
    ({"validation": 0.001}, ValueError, "leaves none"),
    ({"scoring": "acuracy"}, ValueError, "unknown scoring 'acuracy'"),
    ({"scoring": 3}, TypeError, "scoring: expected a name"),
    ({"stack": 0}, ValueError, "stack: expected at least 1"),
    ({"workers": 1.5}, TypeError, "workers: expected a positive integer"),
    ({"comm": "nccl"}, ValueError, "comm: expected None, 'mpi'"),
    ({"stop": [bpx.stop.ErrorRate(0.1)]}, ValueError, "ErrorRate looks at all rows"),
    ({"stop": [bpx.stop.Patience()]}, ValueError, "refit=False"),
    ({"stop": [3]}, TypeError, "stop: expected rules"),
    ({"sample_weight": np.repeat([1.0, 0.0], [9, N - 9]), "cv": CV[:1]}, ValueError, "weight zero"),
    ({"model": maker()()}, TypeError, "got a network"),
    ({"model": 3}, TypeError, "expected a function that makes a network"),
    ({"model": lambda **_: 3}, TypeError, "it returned int"),
    ({"model": lambda **_: bpx.MLP([4, 3], stack=2)}, ValueError, "it returned a stack"),
    ({"X": np.ones((N, 3))}, bpx.ShapeError, "expected 4 columns"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "error", "message"), BAD)
def test_what_makes_no_sense_is_refused_before_anything_is_trained(
    data: Any, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any], error: type[Exception], message: str
) -> None:
    def trained(*_: Any) -> None:
        raise AssertionError("it trained")

    monkeypatch.setattr("bpx.search.networks.NetworkSearch.train", trained)
    given: dict[str, Any] = {"model": maker(), "grid": {"l2": [0.1]}, "X": data[0], "y": data[1]} | change
    with pytest.raises(error, match=message):
        bpx.sweep(**given)


def test_grids_may_be_lists_of_grids_and_hold_numpys_numbers(data: Any) -> None:
    grid = [{"learning_rate": np.geomspace(0.001, 0.1, 2)}, {"l2": (0.1,), "seed": range(2)}]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        table = bpx.sweep(maker(dtype="float32"), grid, *data, epochs=1, cv=2)
    assert table.cv_results_["params"] == [
        {"learning_rate": 0.001}, {"learning_rate": 0.1}, {"l2": 0.1, "seed": 0}, {"l2": 0.1, "seed": 1}
    ]  # fmt: skip
    assert all(type(row.get("learning_rate", 0.1)) is float for row in table.rows)
    assert table.cv_results_["param_seed"] == [None, None, 0, 1]


def test_a_table_is_kept_where_memory_runs_out_in_the_last_training(data: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from bpx.search import networks

    def full(*_: Any) -> None:
        raise MemoryError("no room")

    monkeypatch.setattr(networks.NetworkSearch, "refit", full)
    with pytest.warns(RuntimeWarning, match=r"on all rows: no room; the table is complete, its best_net is None"):
        table = bpx.sweep(maker(), {"seed": [0, 1]}, *data, cv=CV, epochs=1)
    assert table.best_net is None
    assert np.isfinite(table.best_score)


def test_what_the_function_raises_itself_is_told_with_its_own_words(data: Any) -> None:
    def takes(activation: str) -> bpx.MLP:
        return bpx.MLP([N_IN, CLASSES], activation=activation)  # type: ignore[call-arg]

    def raises(activation: str) -> bpx.MLP:
        raise TypeError(f"bpx.MLP has no activation=; of mine, {activation!r}")

    def passes(**more: Any) -> bpx.MLP:
        return bpx.MLP([N_IN, CLASSES], **more)

    given = {"activation": ["relu"]}
    for make, words in ((takes, "give hidden='relu'"), (raises, "of mine, 'relu'"), (passes, "give hidden='relu'")):
        with pytest.raises(TypeError, match=r"and raised: bpx\.MLP has no activation=; " + words) as caught:
            bpx.sweep(make, given, *data, cv=CV, epochs=1)
        assert "unexpected" not in str(caught.value)
        assert isinstance(caught.value.__cause__, TypeError)
    with pytest.raises(TypeError, match=r"passed 'max_iter' on to bpx\.MLP, which does not take it: .*; use 'epochs'"):
        bpx.sweep(passes, {"max_iter": [3]}, *data, cv=CV)
    with pytest.raises(TypeError, match=r"got an unexpected keyword argument 'alpha': .*; use 'l2'"):
        bpx.sweep(takes, {"alpha": [0.1], "activation": ["relu"]}, *data, cv=CV)
    with pytest.raises(TypeError, match="multiple values for argument 'activation'") as caught:
        bpx.sweep(partial(takes, "tanh"), given, *data, cv=CV)
    assert "unexpected" not in str(caught.value)
