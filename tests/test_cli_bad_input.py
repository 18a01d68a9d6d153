"""A user's mistake is one line on stderr that says what and what to do, exit code 2, and no file written."""

from __future__ import annotations

import os
import sys

import numpy as np
import pytest
from commands import TABLES, houses, passengers, refused, run, write_csv

import bpx
from bpx.cli import main
from bpx.errors import how_to_install
from bpx.files import atomic


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


# ---------------------------------------------------------------------- the list, one by one


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


def test_numbers_with_decimal_commas(tmp_path, capsys):
    area = [f"{cell:.1f}".replace(".", ",") for cell in TABLES["houses"]()["area"]]
    assert "holds numbers with commas, such as '104,0'" in refused_training(
        capsys, houses(tmp_path, area=area), "price"
    )


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
    told = refused(capsys, command, *first, tmp_path / "file.csv", *words, "--out", tmp_path / out)
    assert message in told
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
    assert "expected data, got a model file of bpx's" in refused(capsys, "predict", model, model)


@pytest.mark.parametrize(
    "entry",
    [
        5, {}, {"version": 2}, {"version": 1},
        {"version": 1, "task": "regress", "target": "y", "labels": [], "mean": 0, "scale": 0, "markers": [],
         "encoding": [], "about": {}},
        {"version": 1, "task": "classify", "target": "y", "labels": [], "mean": 0, "scale": 1, "markers": [],
         "encoding": [{"kind": "number", "name": "x", "median": 0, "mean": 0, "scale": 1, "had_missing": False}],
         "about": {}},
    ],
)  # fmt: skip
def test_a_model_whose_recipe_makes_no_sense(entry, tmp_path, capsys):
    bpx.MLP([1, 1], output="identity", backend="numpy").save(tmp_path / "m.npz", metadata={"bpx table": entry})
    assert "m.npz: " in refused(capsys, "predict", tmp_path / "m.npz", houses(tmp_path))


# ---------------------------------------------------------------------- the other options


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
        (["--unknown"], "unrecognized arguments: --unknown"),
    ],
)
def test_an_option_that_makes_no_sense(words, message, table, capsys):
    assert message in refused_training(capsys, table, "survived", *words)


def test_no_command_and_an_unknown_one(capsys):
    assert "COMMAND" in refused(capsys)
    assert "invalid choice: 'frobnicate'" in refused(capsys, "frobnicate")


def test_training_that_diverges_writes_nothing(tmp_path, capsys):
    message = refused_training(capsys, houses(tmp_path), "price", "--optimizer", "sgd", "--learning-rate", "1e9")
    assert "training diverged" in message
    assert "smaller --learning-rate" in message


def test_a_checkpoint_of_another_run(tmp_path, capsys):
    data = houses(tmp_path)
    checkpoint = ["--checkpoint", tmp_path / "run.ckpt"]
    words = ["train", data, "--target", "price", "--epochs", 1, "--out", tmp_path / "m.npz", *checkpoint, "--quiet"]
    assert run(*words) == 0
    assert "got one with other arguments (sizes: " in refused_training(
        capsys, data, "price", *checkpoint, "--resume", "--hidden", "7"
    )


def test_only_useless_columns(tmp_path, capsys):
    data = write_csv(tmp_path / "t.csv", {"x": [1] * 20, "y": ["a", "b"] * 10})
    assert "expected a column besides the target 'y' that tells rows apart" in refused_training(capsys, data, "y")


def test_too_many_categories_for_a_file(tmp_path, capsys):
    columns = {f"c{j}": [f"{'long' * 250} {i % 40}" for i in range(100)] for j in range(15)}
    data = write_csv(tmp_path / "t.csv", columns | {"y": range(100)})
    assert "give a smaller --max-categories" in refused_training(capsys, data, "y")


def test_predict_options_that_make_no_sense(model, tmp_path, capsys):
    data = houses(tmp_path)
    assert "--proba goes with classes" in refused(capsys, "predict", model, data, "--proba")
    assert "no column 'id'; it has" in refused(capsys, "predict", model, data, "--keep", "id")
    data = houses(tmp_path, prediction=["x"] * 2000)
    assert "a column 'prediction' would be written twice" in refused(
        capsys, "predict", model, data, "--keep", "prediction"
    )


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


# ---------------------------------------------------------------------- what is no user's mistake


def test_an_error_of_bpx_itself_has_a_code_of_its_own_and_a_hint(table, tmp_path, capsys, monkeypatch):
    from bpx.cli import train

    monkeypatch.setattr(train, "_prepare", lambda *_: 1 / 0)
    words = ["train", str(table), "--target", "survived", "--out", str(tmp_path / "m.npz")]
    assert main(words) == 3
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert "unexpected ZeroDivisionError: division by zero; this is an error in bpx; run again with --traceback" in told
    assert main([*words, "--traceback"]) == 3
    assert "Traceback (most recent call last)" in capsys.readouterr().err


def test_a_mistakes_traceback_is_shown_where_it_is_asked_for(tmp_path, capsys):
    assert run("predict", tmp_path / "none.npz", tmp_path / "t.csv", "--traceback") == 2
    told = capsys.readouterr().err
    assert "Traceback" in told
    assert told.splitlines()[-1].startswith("bpx predict: error: ")


def test_ctrl_c_outside_training_has_its_code(table, tmp_path, capsys, monkeypatch):
    from bpx.cli import train

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(train, "_prepare", interrupted)
    assert run("train", table, "--target", "survived", "--out", tmp_path / "m.npz") == 130
    assert "interrupted; nothing was written" in capsys.readouterr().err
