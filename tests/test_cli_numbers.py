"""``bpx train --numbers piecewise``: bins beside numbers, through training, file and prediction."""

from __future__ import annotations

import numpy as np
import pytest
from commands import as_json, network_of, refused, run, write_csv

import bpx
from bpx.cli.table_model import TableModel
from bpx.tables import encoding, reading
from bpx.tables.column_encoders import CategoryColumn, NumberColumn
from bpx.tables.piecewise_column import PairColumn, PiecewiseColumn


@pytest.fixture(autouse=True)
def _without_compiling(monkeypatch):
    monkeypatch.setenv("BPX_KERNELS", "numpy")


@pytest.fixture
def data(tmp_path):
    rng = np.random.default_rng(0)
    x = rng.normal(size=120)
    x[:5] = np.nan
    days = [f"20{10 + i % 9}-0{1 + i % 7}-1{i % 10}" for i in range(120)]
    return write_csv(tmp_path / "t.csv", {
        "x": ["" if v != v else repr(round(float(v), 3)) for v in x], "day": days,
        "sex": rng.choice(["f", "m"], 120).tolist(), "town": rng.choice(["A", "B", "C"], 120).tolist(),
        "y": (np.nan_to_num(x) > 0).astype(int).tolist(),
    })  # fmt: skip


def train(data, *more):
    assert run("train", data, "--target", "y", "--epochs", 3, "--quiet", "--out", data.parent / "m.npz", *more) == 0
    return data.parent / "m.npz"


def test_numbers_get_bins_and_predictions_come_from_the_file(data, tmp_path):
    model = train(data, "--numbers", "piecewise")
    read = TableModel.of(bpx.read_header(model), str(model))
    x, day, sex, town = read.encoding.columns
    assert isinstance(x, PiecewiseColumn)
    assert len(x.inputs) == 1 + 24 + 1
    assert all(isinstance(part, PiecewiseColumn) for part in day.columns)
    assert isinstance(sex, PairColumn)
    assert isinstance(town, CategoryColumn)
    assert network_of(model).sizes[0] == read.encoding.width
    assert run("predict", model, data, "--out", tmp_path / "p.csv") == 0
    answers = reading.read(tmp_path / "p.csv")
    assert answers.n_rows == 120


def test_standard_is_the_default(data):
    plain = train(data)
    assert isinstance(TableModel.of(bpx.read_header(plain), "m").encoding.columns[0], NumberColumn)
    weights = network_of(plain).flat
    np.testing.assert_array_equal(network_of(train(data, "--numbers", "standard")).flat, weights)


def test_columns_says_how_many_inputs_there_would_be(data, capsys):
    assert as_json(capsys, "columns", data, "--target", "y", "--numbers", "piecewise")["columns"][1]["inputs"] == 26
    assert as_json(capsys, "columns", data, "--target", "y")["columns"][1]["inputs"] == 1
    assert "--numbers" in refused(capsys, "columns", data, "--numbers", "no")


def test_the_bins_are_those_of_table_encoder(data):
    pd = pytest.importorskip("pandas")
    pytest.importorskip("sklearn")
    frame = pd.read_csv(data)[["x", "sex", "town"]]
    encoder = bpx.TableEncoder().fit(frame)
    table = reading.read(data).without(["day", "y"])
    code = encoding.learn(table, ["sex", "town"], bins=24)
    assert code.to_json() == encoder.encoding_.to_json()
    assert code.encode(table, "float32")[0].tobytes() == encoder.transform(frame).tobytes()
