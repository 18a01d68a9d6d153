"""Scores beside their baseline, and ``bpx explain``."""

from __future__ import annotations

import numpy as np
import pytest
from commands import as_json, network_of, refused, run, write_csv
from sklearn.metrics import balanced_accuracy_score, r2_score, roc_auc_score

import bpx
from bpx.cli.table_model import TableModel
from bpx.tables import reading


@pytest.fixture(autouse=True)
def _without_compiling(monkeypatch):
    monkeypatch.setenv("BPX_KERNELS", "numpy")


def two_columns(folder, kind, n=200, seed=0):
    """A table whose target follows x, and not z."""
    rng = np.random.default_rng(seed)
    x, z = rng.normal(size=(2, n)).round(4)
    y = {
        "two": np.where(x > 0.3, "yes", "no"),
        "three": np.array(["a", "b", "c"])[np.digitize(x, [-0.5, 0.5])],
        "number": (3 * x + 100).round(3),
        "noise": np.where(rng.random(n) < 0.9, "yes", "no"),
    }[kind]
    return write_csv(folder / f"{kind}.csv", {"x": x.tolist(), "z": z.tolist(), "y": y.tolist()})


def trained(capsys, data, *more):
    words = ["train", data, "--target", "y", "--epochs", 30, "--quiet", "--out", data.parent / "m.npz"]
    return as_json(capsys, *words, *more)


@pytest.mark.parametrize("kind", ["two", "three"])
def test_classes_have_scores_counts_and_a_baseline(kind, tmp_path, capsys):
    data = two_columns(tmp_path, kind)
    facts = trained(capsys, data, "--test-size", 0)
    model = TableModel.of(bpx.read_header(tmp_path / "m.npz"), "")
    table = reading.read(data)
    y = table["y"].texts.tolist()
    p = model.predict(network_of(tmp_path / "m.npz"), model.encoding.encode(table, "float32")[0])
    labels = facts["labels"]
    found, base = facts["scores"]["training"], facts["baseline"]["training"]
    assert facts["classes"] == {label: {"training": y.count(label), "held out": 0} for label in labels}
    got = np.array(labels)[p.argmax(axis=1)]
    assert found["accuracy"] == np.mean(got == y)
    assert found["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(y, got))
    assert found["log_loss"] == pytest.approx(
        -np.mean(np.log(p[np.arange(len(y)), [labels.index(label) for label in y]]))
    )
    shares = np.array([y.count(label) / len(y) for label in labels])
    assert base["accuracy"] == pytest.approx(shares.max())
    assert base["balanced_accuracy"] == pytest.approx(1 / len(labels))
    assert base["log_loss"] == pytest.approx(-np.sum(shares * np.log(shares)))
    assert ("auc" in found) == (kind == "two")
    if kind == "two":
        assert found["auc"] == pytest.approx(roc_auc_score(np.array(y) == "yes", p[:, 1]))
        assert base["auc"] == 0.5
    assert not [note for note in facts["notes"] if "worse" in note]
    assert run("train", data, "--target", "y", "--epochs", 1, "--quiet", "--out", tmp_path / "m.npz") == 0
    assert f"{labels[0]} ({y.count(labels[0])})" in capsys.readouterr().out


def test_a_number_has_the_mean_as_its_baseline(tmp_path, capsys):
    facts = trained(capsys, two_columns(tmp_path, "number"))
    base, found = facts["baseline"], facts["scores"]
    assert base["training"]["r2"] == pytest.approx(0.0, abs=1e-12)
    assert base["held out"]["rmse"] > found["held out"]["rmse"] > 0.0
    assert set(base["held out"]) == {"r2", "rmse", "mae"}
    assert run("train", tmp_path / "number.csv", "--target", "y", "--quiet", "--out", tmp_path / "m.npz") == 0
    assert "(always the mean: R2 " in capsys.readouterr().out


@pytest.mark.parametrize("kind", ["noise", "number"])
def test_a_network_that_is_worse_than_no_inputs_is_said(kind, tmp_path, capsys):
    data = two_columns(tmp_path, kind)
    more = ["--learning-rate", 0.1, "--epochs", 60] if kind == "noise" else ["--learning-rate", 1e-9, "--epochs", 1]
    facts = trained(capsys, data, *more)
    (note,) = [note for note in facts["notes"] if "worse" in note]
    assert note.startswith("on the rows held out the network is worse than always the ")
    assert ("RMSE" if kind == "number" else "accuracy") in note


def test_one_class_alone_has_no_auc_and_fails_nothing(tmp_path, capsys):
    data = two_columns(tmp_path, "two")
    trained(capsys, data)
    one = write_csv(tmp_path / "o.csv", {"x": [1.0, 2.0], "z": [0.0, 0.0], "y": ["yes", "yes"]})
    scores = as_json(capsys, "predict", tmp_path / "m.npz", one)["scores"]
    assert "auc" not in scores
    assert scores["accuracy"] in (0.0, 0.5, 1.0)


# ---------------------------------------------------------------------- explain


@pytest.mark.parametrize(("kind", "metric"), [("two", "accuracy"), ("three", "accuracy"), ("number", "r2")])
def test_the_column_that_the_target_follows_matters(kind, metric, tmp_path, capsys):
    data = two_columns(tmp_path, kind)
    trained(capsys, data)
    words = ["explain", tmp_path / "m.npz", data, "--repeats", 4]
    facts = as_json(capsys, *words)
    assert (facts["metric"], facts["rows"], facts["repeats"]) == (metric, 200, 4)
    assert [one["name"] for one in facts["columns"]] == ["x", "z"]
    x, z = facts["columns"]
    assert x["mean"] > 0.2 > abs(z["mean"]) + 0.1
    assert as_json(capsys, "predict", tmp_path / "m.npz", data)["scores"][metric] == facts["score"]
    assert as_json(capsys, *words) == facts
    assert as_json(capsys, *words, "--seed", 1)["columns"] != facts["columns"]
    assert run(*words) == 0
    printed = capsys.readouterr()
    assert printed.out.splitlines()[2].split()[:3] == ["column", "fall", "of"]
    assert "shuffling 2 columns of 200 rows, 4 times each" in printed.err


def test_importance_is_the_score_that_shuffling_takes(tmp_path, capsys):
    data = two_columns(tmp_path, "number")
    trained(capsys, data)
    facts = as_json(capsys, "explain", tmp_path / "m.npz", data, "--repeats", 3, "--seed", 5)
    model = TableModel.of(bpx.read_header(tmp_path / "m.npz"), "")
    net, table, rng = network_of(tmp_path / "m.npz"), reading.read(data), np.random.default_rng(5)
    X, y = model.encoding.encode(table, "float32")[0], table["y"].numbers
    whole, wanted = r2_score(y, model.predict(net, X)), {}
    for j, name in enumerate("xz"):
        falls = []
        for _ in range(3):
            shuffled = X.copy()
            shuffled[:, j] = X[rng.permutation(len(X)), j]
            falls.append(whole - r2_score(y, model.predict(net, shuffled)))
        wanted[name] = (np.mean(falls), np.std(falls))
    for one in facts["columns"]:
        assert (one["mean"], one["std"]) == pytest.approx(wanted[one["name"]])


def test_categories_and_dates_are_shuffled_as_one_column(tmp_path, capsys):
    rng = np.random.default_rng(0)
    kind = rng.choice(["p", "q", "r"], 120)
    when = [f"2024-{1 + i % 12:02d}-{1 + i % 28:02d}" for i in range(120)]
    data = write_csv(tmp_path / "t.csv", {"when": when, "kind": kind, "y": np.where(kind == "p", "a", "b")})
    trained(capsys, data)
    facts = as_json(capsys, "explain", tmp_path / "m.npz", data, "--metric", "log_loss")
    assert [one["name"] for one in facts["columns"]] == ["kind", "when"]
    assert facts["columns"][0]["mean"] > 0.0  # a log loss rises
    shown = as_text(capsys, "explain", tmp_path / "m.npz", data, "--metric", "log_loss")
    assert "rise of log loss" in shown[2]


def as_text(capsys, *words):
    capsys.readouterr()
    assert run(*words) == 0
    return capsys.readouterr().out.splitlines()


@pytest.mark.parametrize(("ending", "magic"), [(".png", b"\x89PNG"), (".svg", b"<?xml"), (".pdf", b"%PDF")])
def test_importance_is_drawn(ending, magic, tmp_path, capsys):
    pyplot = pytest.importorskip("matplotlib.pyplot")
    data = two_columns(tmp_path, "two")
    trained(capsys, data)
    before, out = pyplot.get_fignums(), tmp_path / f"importance{ending}"
    assert as_json(capsys, "explain", tmp_path / "m.npz", data, "--out", out)["out"] == str(out)
    assert out.read_bytes().startswith(magic)
    assert pyplot.get_fignums() == before


def test_bars_are_means_in_order_and_many_are_cut():
    plotting = pytest.importorskip("bpx.plotting")
    from matplotlib import pyplot

    values = np.arange(80.0).reshape(40, 2)
    display = plotting.ImportanceDisplay(
        names=[f"c{i}" for i in range(40)], importances=values, score=0.5, scoring="R2"
    ).plot()
    assert [bar.get_width() for bar in display.bars_] == values.mean(axis=1)[::-1][:30].tolist()
    assert [text.get_text() for text in display.ax_.get_yticklabels()][:2] == ["c39", "c38"]
    assert "30 of 40 shown" in display.ax_.get_title("left")
    pyplot.close(display.figure_)
    with pytest.raises(bpx.ShapeError, match=r"importances: expected shape \(2, repeats\), a row for each name"):
        plotting.ImportanceDisplay(names="ab", importances=[1.0, 2.0], score=0.5, scoring="R2")


def test_what_cannot_be_explained_is_refused(tmp_path, capsys):
    data = two_columns(tmp_path, "two")
    trained(capsys, data)
    words = ["explain", tmp_path / "m.npz"]
    assert "no column 'y', the target" in refused(capsys, *words, write_csv(tmp_path / "o.csv", {"x": [1], "z": [1]}))
    assert "--metric: 'r2' is not for a target of classes" in refused(capsys, *words, data, "--metric", "r2")
    assert "expected a name that ends in .png or .svg or .pdf" in refused(
        capsys, *words, data, "--out", tmp_path / "o.gif"
    )
    one = write_csv(tmp_path / "o.csv", {"x": [1, 2, 3], "z": [1, 2, 3], "y": ["yes"] * 3})
    assert "--metric: auc is not defined" in refused(capsys, *words, one, "--metric", "auc")
    none = write_csv(tmp_path / "o.csv", {"x": [1, 2], "z": [1, 2], "y": ["", ""]})
    assert "expected at least 2 rows with a known target 'y'" in refused(capsys, *words, none)
