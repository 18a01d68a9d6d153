"""Messages for mistakes: a mistake is one line on stderr that says what to do, exit code 2, and no file is written."""

from __future__ import annotations

import errno
import io
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from commands import TABLES, as_json, houses, network_of, passengers, refused, run, write_csv

import bpx
from bpx.cli import main, train
from bpx.cli.table_model import TableModel
from bpx.errors import how_to_install
from bpx.files import atomic
from bpx.files.model import read_header
from bpx.kernels import select
from bpx.kernels.native import library


@pytest.fixture(autouse=True)
def _without_compiling(monkeypatch):
    monkeypatch.setenv("BPX_KERNELS", "numpy")


@pytest.fixture
def table(tmp_path):
    return passengers(tmp_path)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A model of houses.csv, and that file."""
    folder = tmp_path_factory.mktemp("model")
    data = houses(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BPX_KERNELS", "numpy")
        code = run("train", data, "--target", "price", "--epochs", 1, "--quiet", "--out", folder / "model.npz")
    assert code == 0
    return folder / "model.npz"


def changed(folder, column, row, cell):
    """houses.csv with another cell."""
    columns = {name: list(cells) for name, cells in TABLES["houses"]().items()}
    columns[column][row] = cell
    return write_csv(folder / "houses.csv", columns)


def refused_training(capsys, data, target, *more, out="model.npz"):
    """The message of a training that is refused, after which nothing is there that was not before."""
    folder = os.path.dirname(data)
    before = sorted(os.listdir(folder))
    message = refused(
        capsys, "train", data, "--target", target, "--epochs", 1, "--out", os.path.join(folder, out), *more
    )
    assert sorted(os.listdir(folder)) == before
    return message


# ---------------------------------------------------------------------- the table


def test_a_missing_file(tmp_path, capsys):
    assert "nothing.csv: No such file or directory; check the path" in refused_training(
        capsys, tmp_path / "nothing.csv", "y"
    )


def test_an_empty_file_and_one_without_rows(tmp_path, capsys):
    (tmp_path / "t.csv").write_text("")
    assert "got an empty file" in refused_training(capsys, tmp_path / "t.csv", "y")
    (tmp_path / "t.csv").write_text("a,y\n")
    assert "expected rows of data below the column names, got none" in refused_training(capsys, tmp_path / "t.csv", "y")


def test_an_unknown_column(table, capsys):
    assert "no column 'Survived' for --target; did you mean 'survived'?" in refused_training(capsys, table, "Survived")
    assert "it has 'id', 'survived', 'class'" in refused_training(capsys, table, "zzz")
    for option in ("--drop", "--categorical"):
        assert "no column 'Age'; did you mean 'age'?" in refused_training(capsys, table, "survived", option, "Age")
    assert "'survived' is the target" in refused_training(capsys, table, "survived", "--drop", "survived")


def test_a_table_without_names(tmp_path, capsys):
    (tmp_path / "t.csv").write_text("1,2.5,3\n4,5,6\n")
    assert "its first line seems to be data" in refused_training(capsys, tmp_path / "t.csv", "y")


@pytest.mark.parametrize(("column", "task"), [("area", None), ("price", None), ("price", "regress")])
def test_text_in_a_numeric_column(column, task, tmp_path, capsys):
    data = changed(tmp_path, column, 6, "abc")
    message = refused_training(capsys, data, "price", *(["--task", task] if task else []))
    assert "houses.csv, line 8: " in message
    assert f"{column!r}" in message
    assert "got 'abc'; mend it, or" in message
    assert "--na" in message


def test_a_marker_of_missing_values_that_is_not_known(tmp_path, capsys):
    area = [cell if i % 2 else "?" for i, cell in enumerate(TABLES["houses"]()["area"])]
    assert "column 'area' holds numbers, got '?'; mend it, or read it as missing with --na '?'" in refused_training(
        capsys, houses(tmp_path, area=area), "price"
    )


@pytest.mark.parametrize("x", [[f"{i},5" for i in range(60)], ["30,5" if i == 30 else str(i) for i in range(60)]])
def test_numbers_with_commas_are_no_categories(x, tmp_path, capsys):
    data = write_csv(tmp_path / "t.csv", {"x": x, "y": [0, 1] * 30})
    first = next(cell for cell in x if "," in cell)
    message = refused_training(capsys, data, "y")
    assert f"column 'x' holds numbers with commas, such as {first!r}" in message
    assert "or say what commas are with --decimal or --thousands" in message


@pytest.mark.parametrize("task", [[], ["--task", "regress"]])
@pytest.mark.parametrize("spelled", ["1,{}", "{},000", "-{},5"])
def test_a_target_of_numbers_with_commas_is_refused_and_not_classified(spelled, task, tmp_path, capsys):
    y = [spelled.format(i % 7) for i in range(1, 61)] + ["3"]
    data = write_csv(tmp_path / "t.csv", {"x": range(61), "y": y})
    words = ["train", data, "--target", "y", "--epochs", 1, "--out", tmp_path / "m.npz"]
    assert f"target 'y' holds numbers with commas, such as {y[0]!r}; save" in refused(capsys, *words, *task)
    assert run(*words, "--task", "classify", "--quiet") == 0


def test_text_in_a_numeric_column_of_a_table_to_predict(model, tmp_path, capsys):
    data = changed(tmp_path, "age", 3, "old")
    message = refused(capsys, "predict", model, data, "--out", tmp_path / "p.csv")
    assert "line 5: column 'age' held numbers in training, got 'old'; mend it" in message
    assert not (tmp_path / "p.csv").exists()


def test_one_class_only(tmp_path, capsys):
    data = write_csv(tmp_path / "t.csv", {"x": range(20), "y": ["yes"] * 20})
    message = refused_training(capsys, data, "y")
    assert "target 'y' has one value only ('yes' in all 20 rows)" in message
    data = write_csv(tmp_path / "t.csv", {"x": range(20), "y": ["1", "1.0"] * 10})
    assert "has one value only" in refused_training(capsys, data, "y")
    data = write_csv(tmp_path / "t.csv", {"x": [1], "y": ["a"]})
    message = refused_training(capsys, data, "y")
    assert "('a' in its only row)" in message
    assert "1 rows" not in message


def test_nan_is_a_missing_value_and_infinity_is_refused(tmp_path, capsys):
    data = changed(tmp_path, "area", 3, "NaN")
    assert run("train", data, "--target", "price", "--epochs", 1, "--out", tmp_path / "m.npz") == 0
    assert "filled by the median or a category of their own: 'area' 1, 'km_to_sea'" in capsys.readouterr().err
    for cell in ("inf", "1e999", "9" * 400):
        for column in ("area", "price"):
            message = refused_training(capsys, changed(tmp_path, column, 3, cell), "price")
            assert f"line 5: {'column' if column == 'area' else 'target'} {column!r}" in message
            assert "infinite or far too large" in message
    assert "'price' has no value in any row" in refused_training(
        capsys, houses(tmp_path, price=["NaN"] * 2000), "price"
    )


def test_a_target_with_too_many_classes(tmp_path, table, capsys):
    assert "target 'name' has 900 different values in 900 rows, too many for classes; choose another" in (
        refused_training(capsys, table, "name")
    )
    message = refused_training(capsys, houses(tmp_path), "price", "--task", "classify")
    assert "too many for classes; give --task regress" in message


def test_only_useless_columns(tmp_path, capsys):
    data = write_csv(tmp_path / "t.csv", {"x": [1] * 20, "y": ["a", "b"] * 10})
    assert "expected a column besides the target 'y' that tells rows apart" in refused_training(capsys, data, "y")


def test_too_many_categories_for_a_file(tmp_path, capsys):
    columns = {f"c{j}": [f"{'long' * 250} {i % 40}" for i in range(100)] for j in range(120)}
    data = write_csv(tmp_path / "t.csv", columns | {"y": range(100)})
    assert "give a smaller --max-categories" in refused_training(capsys, data, "y")


def na_classes(folder, ending):
    """Rows of the classes NA and EU, x telling which, and a category NA."""
    classes, kinds = ["NA", "EU"] * 30, ["NA", "b", "null"] * 20
    if ending == ".csv":
        return write_csv(folder / "t.csv", {"x": [*range(59), 0], "kind": kinds, "y": classes})
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"x": [*range(59), 0], "kind": kinds, "y": classes}), folder / "t.parquet")
    return folder / "t.parquet"


@pytest.mark.parametrize(("ending", "more"), [(".csv", ["--na-only"]), (".csv", ["--na-only", "?"]), (".parquet", [])])
def test_a_class_and_a_category_that_are_really_named_na_are_kept(ending, more, tmp_path, capsys):
    data, model = na_classes(tmp_path, ending), tmp_path / "m.npz"
    facts = as_json(capsys, "train", data, "--target", "y", "--epochs", 1, "--out", model, *more)
    assert facts["labels"] == ["EU", "NA"]
    assert sum(facts["rows"].values()) == 60
    assert not [note for note in facts["notes"] if "missing" in note or "left out" in note]
    kind = TableModel.of(read_header(model), str(model)).encoding.columns[1]
    assert kind.categories == ("NA", "b", "null")
    predicted = as_json(capsys, "predict", model, data)  # the model knows how it was read
    assert any("on 60 rows" in note for note in predicted["notes"])
    assert not [note for note in predicted["notes"] if "no value" in note]


def test_explicit_spellings_are_missing_in_parquet_too(tmp_path, capsys):
    data = na_classes(tmp_path, ".parquet")
    facts = as_json(capsys, "train", data, "--target", "kind", "--na", "NA", "--epochs", 1, "--out", tmp_path / "m.npz")
    assert facts["labels"] == ["b", "null"]


def test_rows_left_out_are_told_with_their_spelling(tmp_path, capsys):
    data = write_csv(tmp_path / "t.csv", {"x": range(30), "y": ["NA", "a", "b"] * 10})
    facts = as_json(capsys, "train", data, "--target", "y", "--epochs", 1, "--out", tmp_path / "m.npz")
    assert (
        "10 of 30 rows have no target 'y' (spelled 'NA'; where that is a class, give --na-only) and are left out"
        in facts["notes"]
    )


def test_a_target_of_labels_that_training_had_not_is_said(tmp_path, capsys):
    data = write_csv(tmp_path / "t.csv", {"x": range(40), "y": ["a", "b"] * 20})
    assert run("train", data, "--target", "y", "--out", tmp_path / "m.npz", "--epochs", 1, "--quiet") == 0
    other = write_csv(tmp_path / "o.csv", {"x": range(4), "y": ["A"] * 4})
    facts = as_json(capsys, "predict", tmp_path / "m.npz", other)
    assert facts["notes"] == [
        "target 'y': 4 of 4 rows with a label that training had not, such as 'A'; so there is no score"
    ]
    assert "scores" not in facts
    some = write_csv(tmp_path / "o.csv", {"x": range(4), "y": ["A", "a", "b", ""]})
    facts = as_json(capsys, "predict", tmp_path / "m.npz", some)
    assert facts["notes"][0].startswith("target 'y': 1 of 4 rows with a label that training had not")
    assert facts["notes"][1].endswith("on 2 rows")
    one = write_csv(tmp_path / "o.csv", {"x": [1], "y": ["a"]})
    assert as_json(capsys, "predict", tmp_path / "m.npz", one)["notes"][-1].endswith(" on 1 row")


def test_dates_that_mostly_differ_are_no_ids(tmp_path, capsys):
    dates = [f"2024-{1 + i // 28:02d}-{1 + i % 28:02d}" for i in range(60)]
    data = write_csv(tmp_path / "t.csv", {"x": [1, 2, 3] * 20, "when": dates, "y": ["a", "b"] * 30})
    words = ["train", data, "--target", "y", "--epochs", 1, "--out", tmp_path / "m.npz"]
    facts = as_json(capsys, *words, "--dates", "categories")
    (message,) = [note for note in facts["notes"] if "left out" in note]
    assert message.startswith("left out: column 'when', looks like dates that mostly differ (give their year, month")
    assert "id" not in message.split()


@pytest.mark.parametrize(("different", "task"), [(10, "classify"), (11, "regress")])
def test_integers_of_many_values_are_a_number(different, task, tmp_path, capsys):
    data = write_csv(tmp_path / "t.csv", {"x": range(110), "y": [i % different for i in range(110)]})
    facts = as_json(capsys, "train", data, "--target", "y", "--epochs", 1, "--out", tmp_path / "m.npz")
    assert facts["task"] == task
    assert any(f"target 'y' holds {different} different integers" in note for note in facts["notes"])


# ---------------------------------------------------------------------- options


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--epochs", "0"], "--epochs: expected a positive integer, got '0'"),
        (["--hidden", "10,x"], "--hidden: expected sizes with commas between them, such as 100,50, got '10,x'"),
        (["--hidden", "0"], "--hidden"),
        (["--dropout", "1"], "--dropout: expected a share from 0 to below 1"),
        (["--learning-rate", "nan"], "--learning-rate: expected a number > 0"),
        (["--l2", "-1"], "--l2: expected a number >= 0"),
        (["--seed", "-1"], "--seed"),
        (["--backend", "abacus"], "--backend: unknown backend 'abacus'; known are auto, numpy"),
        (["--hidden-activation", "softmax"], "--hidden-activation: invalid choice: 'softmax'"),
        (["--sep", "ab"], "--sep: expected one character, or tab"),
        (["--encoding", "klingon"], "--encoding: expected an encoding such as utf-8"),
        (["--resume"], "--resume needs --checkpoint"),
        (["--checkpoint", "/none/x.ckpt"], "expected a file in a folder that exists"),
        (["--class-weight", "balanced", "--task", "regress", "--target", "age"], "--class-weight goes with classes"),
        (["--test-size", "0.0001"], "too few rows (900) to hold some out"),
        (["--patience", "2", "--validation-size", "0"], "--patience needs validation rows"),
        (["--validation-size", "0.2"], "--validation-size goes with --patience N"),
        (["--unknown"], "unrecognized arguments: --unknown"),
    ],
)
def test_an_option_that_makes_no_sense(words, message, table, capsys):
    assert message in refused_training(capsys, table, "survived", *words)


def test_no_command_and_an_unknown_one(capsys):
    assert "COMMAND" in refused(capsys)
    assert "invalid choice: 'frobnicate'" in refused(capsys, "frobnicate")


def test_numbers_of_which_the_first_is_negative_are_an_options_value_on_every_python(capsys):
    for numbers in ("-1,2", "-.5,2", "-1e-3,-2"):
        step = as_json(capsys, "trace", "--inputs", numbers)
        assert step == as_json(capsys, "trace", f"--inputs={numbers}")
        assert step["x"] == [float(number) for number in numbers.split(",")]
    assert "--epochs: expected a positive integer, got '-3'" in refused(capsys, "train", "a.csv", "--epochs", "-3")
    assert "-1,2" in refused(capsys, "trace", "--json", "-1,2")  # an option that takes no value takes none
    assert "-1,2" in refused(capsys, "trace", "--", "--inputs", "-1,2")


def test_messages_speak_of_options(capsys):
    assert "write --hidden=-tanh" in refused(capsys, "trace", "--hidden", "-tanh")
    assert "--targets: expected 2 numbers, as many as the network has outputs, got 1" in refused(
        capsys, "trace", "--targets", "1"
    )
    assert "--output sigmoid" in refused(capsys, "trace", "--loss", "cross_entropy")
    assert "--weights: expected numbers for '0.W'" in refused(capsys, "trace", "--weights", '{"0.W": "x"}')


@pytest.mark.parametrize("variable", ["BPX_BACKEND", "BPX_KERNELS", "BPX_INSTRUCTIONS", "BPX_THREADS"])
def test_a_variable_that_names_nothing_is_a_mistake_said_before_anything_else(variable, capsys, monkeypatch):
    monkeypatch.setenv("BPX_KERNELS", "auto")
    if variable in ("BPX_INSTRUCTIONS", "BPX_THREADS") and not select.describe_cpu().startswith("compiled"):
        pytest.skip("no compiled kernels are here")
    with monkeypatch.context() as patch:
        library.load.cache_clear()
        patch.setenv(variable, "nonsense")
        message = refused(capsys, "info")
    assert f"{variable}: " in message
    assert "nonsense" in message


def test_training_that_diverges_writes_nothing(tmp_path, capsys):
    message = refused_training(capsys, houses(tmp_path), "price", "--optimizer", "sgd", "--learning-rate", "1e9")
    assert "training diverged" in message
    assert "smaller --learning-rate" in message


def test_a_checkpoint_of_another_run(tmp_path, capsys):
    data = houses(tmp_path)
    checkpoint = ["--checkpoint", tmp_path / "run.ckpt"]
    words = ["train", data, "--target", "price", "--epochs", 1, "--out", tmp_path / "m.npz", *checkpoint, "--quiet"]
    assert run(*words) == 0
    message = refused_training(capsys, data, "price", *checkpoint, "--resume", "--hidden", "7")
    assert "got one with other arguments (sizes: " in message
    assert "or leave out --resume to start anew" in message
    assert "resume=" not in message


def test_predict_options_that_make_no_sense(model, tmp_path, capsys):
    data = houses(tmp_path)
    assert "--proba goes with classes" in refused(capsys, "predict", model, data, "--proba")
    assert "no column 'id'; it has" in refused(capsys, "predict", model, data, "--keep", "id")
    data = houses(tmp_path, prediction=["x"] * 2000)
    assert "a column 'prediction' would be written twice" in refused(
        capsys, "predict", model, data, "--keep", "prediction"
    )


@pytest.mark.parametrize(("name", "extra"), [("safetensors", "io"), ("pyarrow", "tables")])
def test_a_library_that_is_not_there_is_named_with_its_extra(name, extra, model, tmp_path, capsys, monkeypatch):
    for module in [module for module in sys.modules if module.partition(".")[0] == name]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, name, None)
    data = houses(tmp_path)
    if name == "safetensors":
        message = refused_training(capsys, data, "price", out="model.safetensors")
    else:
        message = refused(capsys, "predict", model, data, "--out", tmp_path / "p.parquet")
    assert how_to_install(extra, name) in message


# ---------------------------------------------------------------------- files


@pytest.mark.parametrize("command", ["train", "predict"])
@pytest.mark.parametrize(
    ("out", "message"),
    [
        ("none/out.npz", "expected an existing folder to write into; create it first"),
        ("folder.npz", "expected a file to replace, got a folder"),
        ("out.pkl", "--out: expected a name that ends in"),
        ("file.csv/out.npz", "expected an existing folder to write into; create it first"),
    ],
)
def test_an_unwritable_output(command, out, message, model, tmp_path, capsys):
    (tmp_path / "folder.npz").mkdir()
    data = houses(tmp_path)
    data.rename(tmp_path / "file.csv")
    words = ["--target", "price"] if command == "train" else []
    first = [] if command == "train" else [model]
    before = sorted(os.listdir(tmp_path))
    line = refused(capsys, command, *first, tmp_path / "file.csv", *words, "--out", tmp_path / out)
    assert message in line
    assert sorted(os.listdir(tmp_path)) == before


def test_a_folder_or_file_without_permission_is_refused_before_training(tmp_path, capsys, monkeypatch):
    data = houses(tmp_path)
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root, as which tests may run, may write anywhere
    assert "expected a folder that may be written into" in refused_training(capsys, data, "price")
    (tmp_path / "model.npz").write_text("mine")
    assert "it is read-only" in refused_training(capsys, data, "price")
    assert (tmp_path / "model.npz").read_text() == "mine"


def test_a_disk_that_fills_up_leaves_what_was_there(tmp_path, capsys, monkeypatch):
    data = houses(tmp_path)
    (tmp_path / "model.npz").write_text("mine")

    def full(file, content):
        os.write(file, bytes(content)[:100])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(atomic, "_write_all", full)
    assert "No space left on device" in refused_training(capsys, data, "price")
    assert (tmp_path / "model.npz").read_text() == "mine"


def test_a_model_file_of_another_kind(model, tmp_path, capsys):
    data = houses(tmp_path)
    bpx.MLP([2, 2], backend="numpy").save(tmp_path / "net.npz")
    estimator = bpx.MLPClassifier(backend="numpy").partial_fit(np.eye(4), [0, 1, 0, 1], classes=[0, 1])
    estimator.save(tmp_path / "estimator.npz")
    damaged = bytearray(model.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    (tmp_path / "damaged.npz").write_bytes(damaged)
    np.savez(tmp_path / "arrays.npz", a=np.ones(3))
    for name, message in (
        ("net.npz", "expected a model that bpx train wrote, got a network saved from Python"),
        ("estimator.npz", "expected a model that bpx train wrote, got a classifier saved from Python"),
        ("damaged.npz", "damaged"),
        ("arrays.npz", "expected an archive that bpx wrote"),
        ("houses.csv", "expected a file that bpx wrote"),
        ("none.npz", "No such file"),
    ):
        assert message in refused(capsys, "predict", tmp_path / name, data)
    message = refused(capsys, "predict", tmp_path / "arrays.npz", data)
    assert "; give a model that bpx train wrote" in message  # and no function of Python's
    assert "keras" not in message
    assert "expected data, got a model file of bpx's" in refused(capsys, "predict", model, model)


@pytest.mark.parametrize(
    "entry",
    [
        5, {}, {"version": 3}, {"version": 1},
        {"version": 1, "task": "regress", "target": "y", "labels": [], "mean": 0, "scale": 0, "markers": [],
         "encoding": [], "about": {}},
        {"version": 1, "task": "classify", "target": "y", "labels": [], "mean": 0, "scale": 1, "markers": [],
         "encoding": [{"kind": "number", "name": "x", "median": 0, "mean": 0, "scale": 1, "had_missing": False}],
         "about": {}},
    ],
)  # fmt: skip
def test_a_model_of_a_table_that_makes_no_sense(entry, tmp_path, capsys):
    bpx.MLP([1, 1], output="identity", backend="numpy").save(tmp_path / "m.npz", metadata={"bpx table": entry})
    assert "m.npz: " in refused(capsys, "predict", tmp_path / "m.npz", houses(tmp_path))


def test_a_file_that_is_read_is_not_written_over(model, tmp_path, capsys):
    data = houses(tmp_path)
    np.savez(tmp_path / "t.npz", x=np.arange(9.0), y=np.arange(9.0) % 2)
    before = (tmp_path / "t.npz").read_bytes(), data.read_bytes(), model.read_bytes()
    for words in (
        ["train", tmp_path / "t.npz", "--target", "y", "--out", tmp_path / "t.npz"],
        ["train", data, "--target", "price", "--out", tmp_path / "m.npz", "--checkpoint", data],
        ["predict", model, data, "--out", data],
        ["predict", model, data, "--out", model],
    ):
        assert "is a file that is read here; give another name" in refused(capsys, *words)
    assert ((tmp_path / "t.npz").read_bytes(), data.read_bytes(), model.read_bytes()) == before


def test_a_page_is_not_written_over_a_file_of_another_kind(tmp_path, capsys):
    (tmp_path / "wine.csv").write_text("a,b\n1,2\n")
    message = refused(capsys, "trace", "--html", tmp_path / "wine.csv")
    assert "--html: expected a name that ends in .html or .htm" in message
    assert (tmp_path / "wine.csv").read_text() == "a,b\n1,2\n"
    assert run("trace", "--html", tmp_path / "STEP.HTM", "--quiet") == 0


@pytest.mark.parametrize(
    ("code", "advice"),
    [
        (errno.ENOSPC, "No space left on device; check the path, its permissions and the space on its disk"),
        (errno.EACCES, "Permission denied; check the path, its permissions"),
        (errno.ENOENT, "another path"),
    ],
)
def test_what_the_system_refuses_names_the_users_path_and_what_to_do(code, advice, tmp_path, capsys, monkeypatch):
    def refuse(file, content):
        raise OSError(code, os.strerror(code), "/a/temporary/name")

    monkeypatch.setattr(atomic, "_write_all", refuse)
    message = refused(capsys, "trace", "--html", tmp_path / "step.html")
    assert message.startswith(f"bpx trace: error: {tmp_path / 'step.html'}: ")
    assert advice in message
    assert "temporary" not in message


# ---------------------------------------------------------------------- standard streams


def as_process(tmp_path, shell, **more):
    """The command started by a shell, `bpx` in it being this one."""
    folder = Path(bpx.__file__).parents[1]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | more
    return subprocess.run(
        ["sh", "-c", shell.replace("bpx ", f"{shlex.quote(sys.executable)} -m bpx ")], text=True, cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(folder)}, timeout=60, check=False, **streams,
    )  # fmt: skip


FULL = pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a system's /dev/full")


@FULL
def test_closed_and_full_standard_output(tmp_path):
    closed = as_process(tmp_path, "bpx trace >&-")
    assert (closed.returncode, closed.stderr) == (0, "")
    full = as_process(tmp_path, "bpx trace >/dev/full")
    assert full.returncode == 2
    assert full.stderr == (
        "bpx trace: error: standard output: No space left on device;"
        " check the path, its permissions and the space on its disk\n"
    )
    silent = as_process(tmp_path, "bpx trace --hidden nonsense 2>&-")
    assert (silent.returncode, silent.stdout) == (2, "")
    no_help = as_process(tmp_path, "bpx train --help >/dev/full")
    assert (no_help.returncode, no_help.stderr) == (2, "bpx: error: standard output: No space left on device\n")
    mistake = as_process(tmp_path, "bpx nonsense 2>/dev/full")  # not 120, for what stayed in a buffer
    assert (mistake.returncode, mistake.stdout) == (2, "")


TRAIN = "bpx train passengers.csv --target survived --drop name --epochs 12 --backend numpy"
SURROUNDINGS = {
    "stderr gone": ("", 0),
    "stdout gone": ("", 141),
    "both gone": ("", 141),
    "stderr closed": ("--json 2>&-", 0),
    "stderr full": ("2>/dev/full", 0),
    "stdout closed": (">&-", 0),
    "stdout full": (">/dev/full", 2),
    "both full": (">/dev/full 2>/dev/full", 2),
    "all closed": ("<&- >&- 2>&-", 0),
}


@FULL
@pytest.mark.parametrize("name", SURROUNDINGS)
def test_training_goes_on_where_nobody_listens_and_the_code_is_true(name, tmp_path):
    data, (where, code) = passengers(tmp_path), SURROUNDINGS[name]
    reader, writer = os.pipe()
    os.close(reader)
    try:
        gone = {stream: writer for stream in ("stdout", "stderr") if name in (f"{stream[:6]} gone", "both gone")}
        done = as_process(tmp_path, f"{TRAIN} --out m.npz {where}", **gone)
    finally:
        os.close(writer)
    assert done.returncode == code, done
    assert run("train", data, *TRAIN.split()[3:], "--out", tmp_path / "own.npz", "--quiet") == 0
    found, own = (network_of(tmp_path / name) for name in ("m.npz", "own.npz"))
    assert np.array_equal(found.flat, own.flat)
    if "--json" in where:  # and nothing else
        assert json.loads(done.stdout)["epochs"] == 12
    if where == ">/dev/full":
        assert done.stderr.endswith("; the model is written to m.npz\n")


@pytest.mark.parametrize("closed", ["2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_no_file_takes_the_place_of_a_closed_stream(closed, tmp_path):
    script = (
        "import os, sys; from bpx.cli import main; main(['--version']);"
        "f = os.open('t.txt', os.O_CREAT | os.O_RDWR); sys.exit(f)"
    )
    done = as_process(tmp_path, f"{shlex.quote(sys.executable)} -c {shlex.quote(script)} {closed}")
    assert done.returncode > 2


def test_a_result_that_is_taken_in_parts_is_written_whole(tmp_path, monkeypatch):
    class Part(io.RawIOBase):
        """Takes three bytes at once, as an unbuffered stream may take less than all."""

        taken = b""

        def writable(self):
            return True

        def write(self, data):
            self.taken += bytes(data[:3])
            return len(data[:3])

    part = Part()
    monkeypatch.setattr("sys.stdout", SimpleNamespace(buffer=part, flush=lambda: None))
    assert run("trace", "--json") == 0
    assert json.loads(part.taken)


def test_rows_from_a_closed_standard_input_are_a_mistake(tmp_path, capsys, monkeypatch):
    assert run(*_model(tmp_path)) == 0
    monkeypatch.setattr("sys.stdin", None)
    assert "stdin is closed; give a file in place of -" in refused(capsys, "predict", tmp_path / "m.npz", "-")


def test_an_error_after_notes_is_the_only_line(tmp_path, capsys, monkeypatch):
    data = write_csv(tmp_path / "t.csv", {"x": range(40), "same": [1] * 40, "y": [0, 1] * 20})
    words = ["train", data, "--target", "y", "--out", tmp_path / "m.npz", "--epochs", 1]
    assert run(*words, "--test-size", 0.001) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert run(*words) == 0
    assert "note: left out: column 'same', has one value in all rows\n" in capsys.readouterr().err


def test_notes_come_before_training_and_not_after_it(tmp_path, capsys, monkeypatch):
    data = write_csv(tmp_path / "t.csv", {"x": range(40), "same": [1] * 40, "y": [0, 1] * 20})
    seen = []

    def fit(*_, **__):
        seen.append(capsys.readouterr().err)
        raise KeyboardInterrupt

    monkeypatch.setattr(train, "fit", fit)
    assert run("train", data, "--target", "y", "--out", tmp_path / "m.npz") == 130
    assert "note: left out: column 'same'" in seen[0]


# ---------------------------------------------------------------------- what fails after training, and in bpx itself


def _model(tmp_path, **more):
    data = write_csv(tmp_path / "t.csv", {"x": range(40), "y": [i % 3 for i in range(40)]} | more)
    return ["train", data, "--target", "y", "--epochs", 2, "--quiet", "--out", tmp_path / "m.npz"]


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (MemoryError("no room"), 2, "not enough memory (no room)"), (KeyboardInterrupt(), 130, "interrupted"),
        (RuntimeError("oh"), 3, "unexpected RuntimeError: oh"),
    ],
)  # fmt: skip
def test_what_fails_after_training_leaves_the_model(error, code, words, tmp_path, capsys, monkeypatch):
    def fail(*_):
        raise error

    with monkeypatch.context() as patch:
        patch.setattr("bpx.cli.scores.of_rows", fail)
        assert run(*_model(tmp_path)) == code
    message = capsys.readouterr().err
    assert message.startswith(f"bpx train: error: {words}")
    assert message.endswith(f"; the model is written to {tmp_path / 'm.npz'}, without its scores\n")
    assert "nothing was written" not in message
    assert run("predict", tmp_path / "m.npz", tmp_path / "t.csv", "--quiet") == 0
    without = network_of(tmp_path / "m.npz").flat
    assert run(*_model(tmp_path)) == 0
    assert np.array_equal(network_of(tmp_path / "m.npz").flat, without)
    assert read_header(tmp_path / "m.npz")["metadata"]["bpx table"]["about"]["scores"].keys() == {
        "training",
        "held out",
    }


def test_a_model_that_its_disk_does_not_take_any_more_is_kept_elsewhere(tmp_path, capsys, monkeypatch):
    (tmp_path / "spare").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "spare"))
    write = atomic.write

    def full(path, data):
        if str(path) == str(tmp_path / "m.npz"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        write(path, data)

    with monkeypatch.context() as patch:
        patch.setattr(atomic, "write", full)
        assert run(*_model(tmp_path)) == 2
    message = capsys.readouterr().err
    (kept,) = (tmp_path / "spare").glob("bpx-*/m.npz")
    assert f"{tmp_path / 'm.npz'}: No space left on device" in message
    assert message.endswith(f"; the model is written to {kept}, without its scores\n")
    assert run("predict", kept, tmp_path / "t.csv", "--quiet") == 0
    with monkeypatch.context() as patch:
        patch.setattr(atomic, "write", lambda path, data: full(tmp_path / "m.npz", data))
        assert run(*_model(tmp_path)) == 2
    assert "written" not in capsys.readouterr().err
    assert len(list((tmp_path / "spare").iterdir())) == 1


def test_an_error_of_bpx_itself_has_a_code_of_its_own_and_a_hint(table, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(train.preparation, "prepare", lambda *_: 1 / 0)
    words = ["train", str(table), "--target", "survived", "--out", str(tmp_path / "m.npz")]
    assert main(words) == 3
    message = capsys.readouterr().err
    assert message.count("\n") == 1
    assert (
        "unexpected ZeroDivisionError: division by zero; this is an error in bpx; run again with --traceback" in message
    )
    assert main([*words, "--traceback"]) == 3
    assert "Traceback (most recent call last)" in capsys.readouterr().err


def test_a_mistakes_traceback_is_shown_where_it_is_asked_for(tmp_path, capsys):
    assert run("predict", tmp_path / "none.npz", tmp_path / "t.csv", "--traceback") == 2
    message = capsys.readouterr().err
    assert "Traceback" in message
    assert message.splitlines()[-1].startswith("bpx predict: error: ")


def test_ctrl_c_outside_training_has_its_code(table, tmp_path, capsys, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(train.preparation, "prepare", interrupted)
    assert run("train", table, "--target", "survived", "--out", tmp_path / "m.npz") == 130
    assert "interrupted; nothing was written" in capsys.readouterr().err
