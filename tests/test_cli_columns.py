"""What a table's columns are taken for: indices, dates, units, weights; and that labels come back as they were."""

from __future__ import annotations

import datetime

import numpy as np
import pytest
from commands import as_json, network_of, refused, run, write_csv

import bpx
from bpx.cli import column_choice
from bpx.cli.table_model import TableModel
from bpx.tables import dates, encoding, reading
from bpx.tables.parsing import same_spelling
from bpx.tables.table import Column, Table, text_array


@pytest.fixture(autouse=True)
def _without_compiling(monkeypatch):
    monkeypatch.setenv("BPX_KERNELS", "numpy")


def numbers(n=60, seed=0):
    return np.random.default_rng(seed).normal(size=n).round(3).tolist()


def trained(capsys, path, *more, target="y"):
    words = ["train", path, "--target", target, "--epochs", 1, "--quiet", "--out", path.parent / "m.npz"]
    return as_json(capsys, *words, *more)


def test_a_checkpoint_that_is_there_is_not_written_over_without_resume(tmp_path, capsys):
    data = write_csv(tmp_path / "t.csv", {"x": numbers(), "y": ["a", "b"] * 30})
    run_file = tmp_path / "run.ckpt"
    trained(capsys, data, "--checkpoint", run_file)
    before = run_file.read_bytes()
    words = ["train", data, "--target", "y", "--epochs", 2, "--out", tmp_path / "m.npz", "--checkpoint", run_file]
    assert f"{run_file} is there, perhaps of another run; give --resume to continue it, or another path" in refused(
        capsys, *words
    )
    assert run_file.read_bytes() == before
    assert run(*words, "--resume", "--quiet") == 0
    run_file.unlink()  # what is left of it is `.previous`, from which --resume would go on
    assert "run.ckpt.previous is there" in refused(capsys, *words)


# ---------------------------------------------------------------------- indices and ids


def shuffled(n=60, start=0):
    return (np.random.default_rng(1).permutation(n) + start).tolist()


@pytest.mark.parametrize(
    ("name", "values", "words"),
    [
        ("", shuffled(), "has no name and is the index of a data frame"),
        ("", shuffled(90)[:60], "has no name and is the index of a data frame"),  # of a sample of the rows
        ("", range(60), "has no name and counts the rows"),
        ("", [f"n{i}" for i in range(60)], "has no name and is the index of a data frame"),
        ("row", shuffled(), "numbers the rows"),
        ("nr", shuffled(start=1), "numbers the rows"),
        ("customer_id", [i * i + 7 for i in shuffled()], "is named as an id and has a number of its own in each row"),
        ("userID", [i * i + 7 for i in shuffled()], "is named as an id"),
    ],
)
def test_an_index_or_id_is_no_input_unless_the_user_says_so(name, values, words, tmp_path, capsys):
    data = write_csv(tmp_path / "t.csv", {name: list(values), "x": numbers(), "y": ["a", "b"] * 30})
    facts = trained(capsys, data)
    shown = name or "Unnamed: 0"
    assert facts["columns"] == ["x"]
    assert any(note.startswith(f"left out: column '{shown}', {words}") for note in facts["notes"])
    assert f"--input '{shown}' keeps it" in "".join(facts["notes"])
    assert trained(capsys, data, "--input", shown)["columns"] == [shown, "x"]


def test_rows_without_a_target_do_not_hide_row_numbers(tmp_path, capsys):
    data = write_csv(tmp_path / "t.csv", {"nr": shuffled(), "x": numbers(), "y": ["a", "b", ""] * 20})
    assert trained(capsys, data)["columns"] == ["x"]


@pytest.mark.parametrize(
    "values", [[i * 3 for i in range(60)], [*range(59), 0], [1.5 + i for i in range(60)], range(1900, 1960)]
)
def test_other_integers_are_inputs(values, tmp_path, capsys):
    data = write_csv(tmp_path / "t.csv", {"n": list(values), "x": numbers(), "y": ["a", "b"] * 30})
    assert trained(capsys, data)["columns"] == ["n", "x"]


def test_row_numbers_are_an_input_where_there_is_no_other(tmp_path, capsys):
    data = write_csv(tmp_path / "t.csv", {"t": range(60), "y": numbers()})
    facts = trained(capsys, data)
    assert facts["columns"] == ["t"]
    assert "column 't' numbers the rows, and is an input because no other column is left" in facts["notes"]


def test_an_id_that_repeats_is_asked_about(tmp_path, capsys):
    data = write_csv(tmp_path / "t.csv", {"store_id": [1, 2, 3] * 20, "x": numbers(), "y": ["a", "b"] * 30})
    assert any(
        "'store_id' is named as an id and is taken as a number" in note for note in trained(capsys, data)["notes"]
    )
    facts = trained(capsys, data, "--id", "store_id")
    assert facts["columns"] == ["x"]
    (out,) = [one for one in facts["taken"] if one["taken_as"] == "left out"]
    assert (out["name"], out["remark"]) == ("store_id", "--id")


@pytest.mark.parametrize("named", [None, "code"])
def test_the_index_of_a_frame_in_parquet_is_no_input(named, tmp_path, capsys):
    pd = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    frame = pd.DataFrame({"x": numbers(), "y": ["a", "b"] * 30})
    frame.index = pd.Index([i * i + 5 for i in shuffled()], name=named)
    frame.to_parquet(tmp_path / "t.parquet")
    facts = trained(capsys, tmp_path / "t.parquet")
    assert facts["columns"] == ["x"]
    assert any("the index of a data frame" in note for note in facts["notes"])
    assert trained(capsys, tmp_path / "t.parquet", "--input", named or "__index_level_0__")["sizes"][0] == 2


# ---------------------------------------------------------------------- labels as they were


def predicted(tmp_path, data, ending):
    out = tmp_path / f"p{ending}"
    assert run("predict", tmp_path / "m.npz", data, "--out", out, "--quiet") == 0
    return out


@pytest.mark.parametrize("labels", [["TRUE", "FALSE"], ["TRUE", "FALSE", "UNKNOWN"], ["Yes", "no"], ["1.0", "2.0"]])
def test_labels_of_text_keep_their_spelling(labels, tmp_path, capsys):
    y = [labels[i % len(labels)] for i in range(60)]
    data = write_csv(tmp_path / "t.csv", {"x": numbers(), "y": y})
    assert trained(capsys, data, "--task", "classify")["labels"] == sorted(labels, key=same_spelling)
    lines = predicted(tmp_path, data, ".csv").read_text().splitlines()
    assert set(lines[1:]) <= set(labels)
    assert as_json(capsys, "predict", tmp_path / "m.npz", data)["scores"]["accuracy"] >= 0.0
    other = write_csv(tmp_path / "o.csv", {"x": numbers(), "y": [text.lower() for text in y]})
    if "TRUE" in labels:  # another program's spelling of a boolean is the same label
        assert any(
            "on 60 rows" in n or "on 40 rows" in n
            for n in as_json(capsys, "predict", tmp_path / "m.npz", other)["notes"]
        )


def test_labels_of_a_file_with_types_keep_their_type(tmp_path, capsys):
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    zone = datetime.timezone(datetime.timedelta(hours=2))
    for kind, (one, two) in {
        pa.bool_(): (True, False), pa.int8(): (3, 4), pa.float32(): (0.5, 2.0), pa.string(): ("true", "Other"),
        pa.date32(): (datetime.date(2024, 1, 2), datetime.date(2025, 1, 2)), pa.float64(): (0.5, 2.0),
        pa.timestamp("us"): (datetime.datetime(2024, 1, 2, 3), datetime.datetime(2025, 1, 2)),
        pa.timestamp("us", "+02:00"): [datetime.datetime(year, 1, 2, tzinfo=zone) for year in (2024, 2025)],
    }.items():  # fmt: skip
        data = tmp_path / "t.parquet"
        pq.write_table(pa.table({"x": numbers(), "y": pa.array([one, two] * 30, kind)}), data)
        trained(capsys, data, "--task", "classify")
        column = pq.read_table(predicted(tmp_path, data, ".parquet"))["prediction"]
        assert set(column.to_pylist()) <= {one, two}
        assert column.type == kind, column.type
        for ending in (".csv", ".npz"):
            predicted(tmp_path, data, ending)
        assert len(as_json(capsys, "predict", tmp_path / "m.npz", data)["predictions"]["prediction"]) == 60


# ---------------------------------------------------------------------- numbers with units


@pytest.mark.parametrize(
    ("cells", "value"),
    [
        (["{}%", "{} %"], 1), (["${}", "$ {}.00"], 1), (["{} kg", "{}kg"], 1), (["{}'000"], 1000),
        (["{} 000", "{}"], 1000),
        (["{}\N{NO-BREAK SPACE}000"], 1000), (["{},000.5"], 1000), (["{},000,000"], 1e6), (["{}.000,50 €"], 1000),
        (["$-{},500"], -1000), (["-${}"], -1), (["\N{MINUS SIGN}{}"], -1), (["\N{MINUS SIGN}{} °C"], -1),
        (["{}e2 m"], 100),
    ],
)  # fmt: skip
def test_numbers_with_a_clear_unit_or_thousands_are_numbers(cells, value, tmp_path, capsys):
    n = [i % 29 + 1 for i in range(60)]
    spelled = [cells[i % len(cells)].format(number) for i, number in enumerate(n)]
    data = write_csv(tmp_path / "t.csv", {"x": spelled, "y": ["a", "b"] * 30})
    facts = trained(capsys, data)
    assert (facts["columns"], facts["sizes"][0]) == (["x"], 1)
    taken = {one["name"]: one for one in facts["taken"]}["x"]
    assert (taken["taken_as"], taken["inputs"]) == ("numbers", 1)
    if "\N{MINUS SIGN}" not in spelled[0] or "C" in spelled[0]:
        assert any(note.startswith("column 'x' holds numbers ") and "is read as" in note for note in facts["notes"])
    model = TableModel.of(bpx.read_header(tmp_path / "m.npz"), "")
    (column,) = model.encoding.columns
    read = reading.read(data)["x"] if column.name != "x" or not hasattr(column, "form") else None
    values = read.numbers if read is not None else [column.form.read(cell) for cell in spelled]
    assert all(
        np.sign(got) == np.sign(value) and abs(got) >= abs(number) for got, number in zip(values, n, strict=True)
    )
    assert run("predict", tmp_path / "m.npz", data, "--quiet") == 0


def test_a_model_reads_the_same_numbers_as_its_training(tmp_path, capsys):
    values = [1000 + 37 * i for i in range(60)]
    y = [3 * value for value in values]
    plain = write_csv(tmp_path / "p.csv", {"x": values, "y": y})
    trained(capsys, plain)
    expected = as_json(capsys, "predict", tmp_path / "m.npz", plain)
    unclear = write_csv(tmp_path / "t.csv", {"x": values, "y": [f"{v:,} km" for v in y]})
    assert "target 'y' looks like numbers that are written in several or unclear ways, such as '3,000 km'" in refused(
        capsys, "train", unclear, "--target", "y", "--out", tmp_path / "m.npz"
    )
    clear = write_csv(
        tmp_path / "t.csv", {"x": [f"${value:,}.00" for value in values], "y": [f"{v:,}.0 km" for v in y]}
    )
    facts = trained(capsys, clear)
    assert any("target 'y' holds numbers in km, with commas between thousands" in note for note in facts["notes"])
    got = as_json(capsys, "predict", tmp_path / "m.npz", clear)
    assert got["predictions"] == expected["predictions"]
    assert got["scores"] == expected["scores"]


def test_numbers_in_several_units_are_said_and_not_mixed(tmp_path, capsys):
    x = [f"{i} kg" if i % 2 else f"{i}000 g" for i in range(1, 61)]
    data = write_csv(tmp_path / "t.csv", {"x": x, "z": numbers(), "y": ["a", "b"] * 30})
    facts = trained(capsys, data)
    assert any("'x' looks like numbers that are written in several or unclear ways" in note for note in facts["notes"])
    assert facts["columns"] == ["z"]


def test_another_unit_or_none_is_refused_in_a_table_to_predict(tmp_path, capsys):
    data = write_csv(tmp_path / "t.csv", {"x": [f"{i % 30} kg" for i in range(60)], "y": ["a", "b"] * 30})
    trained(capsys, data)
    for cells, words in (
        (["1 kg", "2 g"], "line 3: column 'x' held numbers such as 12.5 kg in training, got '2 g'"),
        ([1, 2], "line 2: column 'x' held numbers with 'kg' in training, got 1 without"),
    ):
        other = write_csv(tmp_path / "o.csv", {"x": cells})
        assert words in refused(capsys, "predict", tmp_path / "m.npz", other)
    assert run("predict", tmp_path / "m.npz", write_csv(tmp_path / "o.csv", {"x": ["", "3kg"], "z": [1, 1]})) == 0


@pytest.mark.parametrize("cells", ["{}A", "Q{}", "v{}", "{}th", "5'{}", "555 123 4{:02d}", "{} widgets"])
def test_codes_are_no_quantities(cells, tmp_path, capsys):
    x = [cells.format(i % 10 + 10) for i in range(60)]
    facts = trained(capsys, write_csv(tmp_path / "t.csv", {"x": x, "y": ["a", "b"] * 30}))
    assert facts["sizes"][0] == 10


# ---------------------------------------------------------------------- dates

DATES = {
    "2024-{m:02d}-{d:02d}": "year first", "{d}.{m}.2024": "day before month", "{d}/{m}/2024": "day before month",
    "{m}/{d}/2024": "month before day", "2024-{m:02d}-{d:02d}T{h:02d}:30:00Z": "year first",
    "{m}/{d}/2024 {h}:05 AM": "month before day", "2024/{m}/{d} {h:02d}:30": "year first",
}  # fmt: skip


@pytest.mark.parametrize(("form", "words"), DATES.items())
def test_dates_are_numbers(form, words, tmp_path, capsys):
    moments = [{"m": 1 + i % 12, "d": 1 + i % 28, "h": 1 + i % 11} for i in range(60)]
    data = write_csv(tmp_path / "t.csv", {"when": [form.format(**m) for m in moments], "y": ["a", "b"] * 30})
    facts = trained(capsys, data, "--test-size", 0)
    assert f"column 'when' holds dates ({words}), taken as numbers" in "".join(facts["notes"])
    code = TableModel.of(bpx.read_header(tmp_path / "m.npz"), "").encoding
    parts = ["month", "day of week", "day of year", "days since 1970", *(["hour"] if "{h" in form else [])]
    assert code.inputs == [f"when {part}" for part in parts]
    (column,) = code.columns
    for m, row in zip(moments, data.read_text().splitlines()[1:], strict=True):
        day = datetime.date(2024, m["m"], m["d"])
        year, month, weekday, of_year, days, hour = column.form.read(row.rpartition(",")[0])
        assert (year, month, weekday, of_year) == (2024, m["m"], day.weekday(), day.timetuple().tm_yday)
        assert int(days) == (day - datetime.date(1970, 1, 1)).days
        assert int(hour) == (m["h"] if "{h" in form else 0)
    assert run("predict", tmp_path / "m.npz", data, "--quiet") == 0
    wrong = write_csv(tmp_path / "o.csv", {"when": ["soon"], "z": [1]})
    assert "line 2: column 'when' held dates or times in training, got 'soon'" in refused(
        capsys, "predict", tmp_path / "m.npz", wrong
    )


def test_what_becomes_of_dates_can_be_chosen(tmp_path, capsys):
    when = [f"2024-01-{1 + i % 9:02d}" for i in range(60)]
    data = write_csv(tmp_path / "t.csv", {"when": when, "x": numbers(), "y": ["a", "b"] * 30})
    assert trained(capsys, data)["sizes"][0] == 3 + 1
    assert trained(capsys, data, "--dates", "categories")["sizes"][0] == 9 + 1
    facts = trained(capsys, data, "--dates", "drop")
    assert facts["columns"] == ["x"]
    assert any("'when', holds dates or times (--dates numbers keeps it)" in note for note in facts["notes"])
    assert trained(capsys, data, "--categorical", "when")["sizes"][0] == 9 + 1


def test_times_of_day_are_hours_and_missing_dates_are_counted(tmp_path, capsys):
    data = write_csv(tmp_path / "t.csv", {"at": ["08:30", "17:45:36", ""] * 20, "y": ["a", "b"] * 30})
    trained(capsys, data)
    column = TableModel.of(bpx.read_header(tmp_path / "m.npz"), "").encoding.columns[0]
    assert (column.inputs, column.form.read("17:45:36")[-1]) == (["at hour"], pytest.approx(17.76))
    assert column.columns[0].had_missing


def test_dates_whose_day_and_month_may_be_exchanged_are_said(tmp_path, capsys):
    data = write_csv(tmp_path / "t.csv", {"when": ["1/2/2024", "3/4/2024"] * 30, "y": ["a", "b"] * 30})
    facts = trained(capsys, data)
    assert any("day and month cannot be told apart, such as '1/2/2024', taken as text" in n for n in facts["notes"])
    assert facts["sizes"][0] == 2


def test_dates_and_booleans_of_parquet_are_those_of_csv(tmp_path, capsys):
    pd = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    frame = pd.DataFrame({
        "when": pd.date_range("2024-01-01 06:00", periods=60, freq="31h"), "x": numbers(),
        "flag": pd.array([True, False, None] * 20, dtype="boolean"),
        "whole": pd.array([1, 2, None, 4] * 15, dtype="Int64"), "y": ["a", "b"] * 30,
    })  # fmt: skip
    frame.to_parquet(tmp_path / "t.parquet")
    frame.to_csv(tmp_path / "t.csv", index=False)
    nets = []
    for name in ("t.parquet", "t.csv"):
        facts = trained(capsys, tmp_path / name)
        assert facts["columns"] == ["when", "x", "flag", "whole"]
        nets.append(network_of(tmp_path / "m.npz").flat)
    np.testing.assert_array_equal(*nets)


# ---------------------------------------------------------------------- what was understood


def test_one_table_says_what_each_column_is_before_training(tmp_path, capsys):
    data = write_csv(tmp_path / "t.csv", {
        "nr": shuffled(), "x": [*numbers(59), ""], "kind": ["p", "q", ""] * 20, "same": [1] * 60, "y": ["a", "b"] * 30,
    })  # fmt: skip
    words = ["train", data, "--target", "y", "--epochs", 1, "--out", tmp_path / "m.npz"]
    assert run(*words) == 0
    printed = capsys.readouterr()
    lines = printed.err.splitlines()
    assert "taken as" not in printed.out
    (start,) = [i for i, line in enumerate(lines) if line.startswith("column ")]
    assert [line.split()[:2] for line in lines[start + 2 : start + 7]] == [
        ["y", "target,"], ["nr", "left"], ["x", "numbers"], ["kind", "categories"], ["same", "left"],
    ]  # fmt: skip
    assert "epoch" in "".join(lines[start + 7 :])
    assert run(*words, "--quiet") == 0
    assert capsys.readouterr().err == ""
    taken = {one["name"]: one for one in trained(capsys, data)["taken"]}
    assert (taken["x"]["missing"], taken["kind"]["inputs"], taken["nr"]["inputs"]) == (1, 3, 0)
    alone = as_json(capsys, "columns", data, "--target", "y")
    assert (alone["rows"], alone["inputs"], alone["columns"]) == (60, 4, [*taken.values()])
    assert run("columns", data, "--target", "y") == 0
    assert "60 rows, 4 inputs" in capsys.readouterr().out


def test_columns_needs_no_target_and_sums_up_a_wide_table(tmp_path, capsys):
    wide = {f"x{j}": numbers(30, j) for j in range(50)} | {"kind": ["p", "q"] * 15}
    data = write_csv(tmp_path / "t.csv", wide)
    assert len(as_json(capsys, "columns", data)["columns"]) == 51
    assert run("columns", data) == 0
    shown = capsys.readouterr().out
    assert [line.split() for line in shown.splitlines()[2:4]] == [
        ["numbers", "50", "50", "0"],
        ["categories", "1", "2", "0"],
    ]
    assert "no column 'z' for --target" in refused(capsys, "columns", data, "--target", "z")


# ---------------------------------------------------------------------- weights


def test_weights_go_into_training_and_scores(tmp_path, capsys):
    x, y = numbers(80), ["a", "b"] * 40
    weights = [1 + i % 4 for i in range(80)]
    data = write_csv(tmp_path / "t.csv", {"x": x, "w": weights, "y": y})
    facts = trained(capsys, data, "--weight", "w", "--test-size", 0, "--epochs", 5)
    assert facts["columns"] == ["x"]
    net = network_of(tmp_path / "m.npz")
    model = TableModel.of(bpx.read_header(tmp_path / "m.npz"), "")
    table = reading.read(data)
    X, _ = model.encoding.encode(table, "float32")
    again = bpx.MLP([1, 100, 1], hidden="relu", output="sigmoid", dtype="float32", seed=0, backend="numpy")
    wanted = np.array([0, 1] * 40)
    bpx.fit(
        again, X, wanted, "binary_cross_entropy", epochs=5, batch_size=64, l2=1e-4, sample_weight=table["w"].numbers
    )
    np.testing.assert_array_equal(net.flat, again.flat)
    right = (net(X)[:, 0] > 0.5) == wanted
    assert facts["scores"]["training"]["accuracy"] == pytest.approx(np.average(right, weights=weights))
    assert (
        as_json(capsys, "predict", tmp_path / "m.npz", data, "--weight", "w")["scores"] == facts["scores"]["training"]
    )
    assert as_json(capsys, "predict", tmp_path / "m.npz", data)["scores"]["accuracy"] == pytest.approx(np.mean(right))
    assert run("train", data, "--target", "y", "--weight", "w", "--patience", 2, "--epochs", 3, "--quiet",
               "--out", tmp_path / "m.npz") == 0  # fmt: skip


@pytest.mark.parametrize(
    ("w", "words"),
    [
        ([1] * 59 + [-1], "line 61: --weight: expected a weight >= 0 in each row, got -1"),
        ([""] + [1] * 59, "line 2: --weight: expected a weight >= 0 in each row, got none"),
        (["heavy"] * 60, "--weight: column 'w' holds text such as 'heavy', not numbers"),
        ([0] * 60, "--weight: column 'w' is 0 in all rows"),
        ([1] * 59 + ["inf"], "got inf"),
    ],
)
def test_weights_that_make_no_sense(w, words, tmp_path, capsys):
    data = write_csv(tmp_path / "t.csv", {"x": numbers(), "w": w, "y": ["a", "b"] * 30})
    base = ["train", data, "--target", "y", "--out", tmp_path / "m.npz", "--weight"]
    assert words in refused(capsys, *base, "w")
    assert "--weight: 'y' is the target" in refused(capsys, *base, "y")
    assert "no column 'v'" in refused(capsys, *base, "v")


# ---------------------------------------------------------------------- model files of before


def test_a_model_file_of_the_first_version_predicts_the_same(tmp_path, capsys):
    data = write_csv(tmp_path / "t.csv", {"x": numbers(), "k": ["TRUE", "b"] * 30, "y": ["true", "FALSE"] * 30})
    trained(capsys, data)
    expected = as_json(capsys, "predict", tmp_path / "m.npz", data)["predictions"]
    metadata = bpx.read_header(tmp_path / "m.npz")["metadata"]
    entry = metadata["bpx table"]
    entry |= {"version": 1, "labels": ["false", "true"]}  # as they were spelled
    del entry["dtype"], entry["form"]
    assert entry["encoding"][1]["categories"] == ["b", "true"]
    network_of(tmp_path / "m.npz").save(tmp_path / "m.npz", metadata=metadata)
    again = as_json(capsys, "predict", tmp_path / "m.npz", data)["predictions"]
    assert again["prediction"] == [text.lower() for text in expected["prediction"]]


@pytest.mark.parametrize(
    "change",
    [
        {"form": {"kind": "miles"}}, {"form": {"kind": "dates", "order": "dym"}}, {"columns": []},
        {"form": {"kind": "quantity", "unit": "kg", "before": False, "thousands": "x", "decimal": "."}},
        {"form": {"kind": "dates", "order": "time"}}, {"name": "other"}, {"more": 1},
    ],
)  # fmt: skip
def test_an_encoding_of_dates_that_makes_no_sense_is_refused(change):
    when = Column("when", texts=text_array(["2024-01-02", "2023-05-06", None]))
    code = encoding.learn(Table("t.csv", [when], 3), [], forms={"when": dates.Dates("ymd")})
    (entry,) = code.to_json()
    assert encoding.Encoding.from_json([entry]).to_json() == [entry]
    with pytest.raises(bpx.FileFormatError):
        encoding.Encoding.from_json([entry | change])


@pytest.mark.parametrize("change", [{"dtype": "date"}, {"dtype": "bool"}, {"dtype": "complex"}, {"form": {}}])
def test_labels_that_are_not_of_their_type_are_refused(change, tmp_path, capsys):
    data = write_csv(tmp_path / "t.csv", {"x": numbers(), "y": ["a", "b"] * 30})
    trained(capsys, data)
    metadata = bpx.read_header(tmp_path / "m.npz")["metadata"]
    metadata["bpx table"] |= change
    network_of(tmp_path / "m.npz").save(tmp_path / "m.npz", metadata=metadata)
    assert "m.npz: " in refused(capsys, "predict", tmp_path / "m.npz", data)


def test_words_that_end_in_id_are_no_ids():
    for name in ("paid", "valid", "COVID", "price_index", "humidity", "grid", "width"):
        assert not column_choice._ID.fullmatch(name), name
    for name in ("id", "ID", "customer_id", "CustomerId", "userID", "row id", "index", "rownames", "uuid"):
        assert column_choice._ID.fullmatch(name), name


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        ([f"{i}.5 widgets" for i in range(60)], "looks like numbers that are written in several or unclear ways"),
        ([f"({i}.50)" for i in range(60)], "such as '(0.50)', '(1.50)'"),
        ([f"{i}%" if i % 9 else "n/k" for i in range(60)], "such as '1%', 'n/k'"),
        ([f"{i}%" if i % 9 else f"{i}" for i in range(60)], "such as '1%', '0', '9'"),
        ([f"{i}.000 €" for i in range(60)], "such as '0.000 €', '1.000 €'"),
        ([f"2024-{1 + i % 12:02d}-01" if i % 9 else "never" for i in range(60)], "holds dates, but for 'never'; taken"),
        ([f"{1 + i % 28} Jan 2024" for i in range(60)], "holds dates, taken as categories"),
        ([20240101 + i % 28 for i in range(60)], "looks like dates without separators, taken as numbers"),
    ],
)
def test_what_is_not_understood_is_said_as_it_was_seen(cells, words, tmp_path, capsys):
    data = write_csv(tmp_path / "t.csv", {"x": cells, "z": numbers(), "y": ["a", "b"] * 30})
    assert any(note.startswith("column 'x' ") and words in note for note in trained(capsys, data)["notes"])


def test_addresses_and_codes_are_not_said_to_be_numbers(tmp_path, capsys):
    for cells in ("192.168.0.{}", "n{}", "#{}", "AB-{}", "{}h {}m"):
        data = write_csv(tmp_path / "t.csv", {
            "x": [cells.format(i, i) for i in range(60)], "z": numbers(), "y": ["a", "b"] * 30,
        })  # fmt: skip
        assert not [note for note in trained(capsys, data)["notes"] if "looks like numbers" in note], cells
