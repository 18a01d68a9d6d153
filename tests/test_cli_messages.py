"""What a newcomer meets: mistakes that once were taken for something else, and what is said of them."""

from __future__ import annotations

import csv
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
from commands import as_json, network_of, passengers, refused, run, write_csv

import bpx
from bpx.cli import train
from bpx.cli.table_model import TableModel
from bpx.files import atomic
from bpx.files.model import read_header
from bpx.tables import reading
from bpx.tables.table import TableError


@pytest.fixture(autouse=True)
def _without_compiling(monkeypatch):
    monkeypatch.setenv("BPX_KERNELS", "numpy")


def test_a_page_is_not_written_over_a_file_of_another_kind(tmp_path, capsys):
    (tmp_path / "wine.csv").write_text("a,b\n1,2\n")
    message = refused(capsys, "trace", "--html", tmp_path / "wine.csv")
    assert "--html: expected a name that ends in .html or .htm" in message
    assert (tmp_path / "wine.csv").read_text() == "a,b\n1,2\n"
    assert run("trace", "--html", tmp_path / "STEP.HTM", "--quiet") == 0


@pytest.mark.parametrize("task", [[], ["--task", "regress"]])
@pytest.mark.parametrize("spelled", ["1,{}", "{},000", "1,{:03d},000.50", "-{},5"])
def test_a_target_of_numbers_with_commas_is_refused_and_not_classified(spelled, task, tmp_path, capsys):
    y = [spelled.format(i % 7) for i in range(1, 61)] + ["3"]
    data = write_csv(tmp_path / "t.csv", {"x": range(61), "y": y})
    words = ["train", data, "--target", "y", "--epochs", 1, "--out", tmp_path / "m.npz"]
    assert f"target 'y' holds numbers with commas, such as {y[0]!r}; save" in refused(capsys, *words, *task)
    assert run(*words, "--task", "classify", "--quiet") == 0


def test_numbers_with_commas_among_whole_ones_are_no_categories(tmp_path, capsys):
    x = ["1,5" if i == 30 else str(i) for i in range(60)]
    data = write_csv(tmp_path / "t.csv", {"x": x, "y": [0, 1] * 30})
    message = refused(capsys, "train", data, "--target", "y", "--out", tmp_path / "m.npz")
    assert "column 'x' holds numbers with commas, such as '1,5'" in message


def na_classes(folder, ending):
    """Rows of the classes NA and EU, x telling which, and a category NA."""
    classes, kinds = ["NA", "EU"] * 30, ["NA", "b", "null"] * 20
    if ending == ".csv":
        return write_csv(folder / "t.csv", {"x": range(60), "kind": kinds, "y": classes})
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"x": range(60), "kind": kinds, "y": classes}), folder / "t.parquet")
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
    told = as_json(capsys, "predict", model, data)  # the model knows how it was read
    assert any("on 60 rows" in note for note in told["notes"])
    assert not [note for note in told["notes"] if "no value" in note]


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


@pytest.mark.parametrize("variable", ["BPX_BACKEND", "BPX_KERNELS"])
def test_a_variable_that_names_nothing_is_a_mistake_said_before_anything_else(variable, capsys, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setenv(variable, "nonsense")
        message = refused(capsys, "info")
    assert f"{variable}: " in message
    assert "nonsense" in message


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


def test_a_target_of_labels_that_training_had_not_is_said(tmp_path, capsys):
    data = write_csv(tmp_path / "t.csv", {"x": range(40), "y": ["a", "b"] * 20})
    assert run("train", data, "--target", "y", "--out", tmp_path / "m.npz", "--epochs", 1, "--quiet") == 0
    other = write_csv(tmp_path / "o.csv", {"x": range(4), "y": ["A"] * 4})
    told = as_json(capsys, "predict", tmp_path / "m.npz", other)
    assert told["notes"] == [
        "target 'y': 4 of 4 rows with a label that training had not, such as 'A'; so there is no score"
    ]
    assert "scores" not in told
    some = write_csv(tmp_path / "o.csv", {"x": range(4), "y": ["A", "a", "b", ""]})
    told = as_json(capsys, "predict", tmp_path / "m.npz", some)
    assert told["notes"][0].startswith("target 'y': 1 of 4 rows with a label that training had not")
    assert told["notes"][1].endswith("on 2 rows")
    one = write_csv(tmp_path / "o.csv", {"x": [1], "y": ["a"]})
    assert as_json(capsys, "predict", tmp_path / "m.npz", one)["notes"][-1].endswith(" on 1 row")


def test_a_long_field_is_read_and_an_open_quotation_mark_still_found(tmp_path):
    long, before = "a" * 300_000, csv.field_size_limit()
    data = tmp_path / "t.csv"
    data.write_text(f'x,y\n1,{long}\n2,"b\nb"\n')
    assert reading.read(data)["y"].texts.tolist() == [long, "b\nb"]
    assert csv.field_size_limit() == before
    data.write_text('x,y\n1,a\n2,"b\n3,c\n4,d\n')  # as wide as its line, so that only its end tells
    with pytest.raises(TableError, match="line 3: a quotation mark is not closed"):
        reading.read(data)
    data.write_text('x\n1\n"2\n')
    with pytest.raises(TableError, match="line 3: a quotation mark is not closed"):
        reading.read(data)


def test_numbers_of_which_the_first_is_negative_are_an_options_value_on_every_python(capsys):
    for numbers in ("-1,2", "-.5,2", "-1e-3,-2"):
        step = as_json(capsys, "trace", "--inputs", numbers)
        assert step == as_json(capsys, "trace", f"--inputs={numbers}")
        assert step["x"] == [float(number) for number in numbers.split(",")]
    assert "--epochs: expected a positive integer, got '-3'" in refused(capsys, "train", "a.csv", "--epochs", "-3")
    assert "-1,2" in refused(capsys, "trace", "--json", "-1,2")  # an option that takes no value takes none
    assert "-1,2" in refused(capsys, "trace", "--", "--inputs", "-1,2")


def test_messages_speak_of_options(tmp_path, capsys):
    assert "write --hidden=-tanh" in refused(capsys, "trace", "--hidden", "-tanh")
    assert "--targets: expected 2 numbers, as many as the network has outputs, got 1" in refused(
        capsys, "trace", "--targets", "1"
    )
    assert "--output sigmoid" in refused(capsys, "trace", "--loss", "cross_entropy")
    assert "--weights: expected numbers for '0.W'" in refused(capsys, "trace", "--weights", '{"0.W": "x"}')
    np.savez(tmp_path / "arrays.npz", a=np.ones(3))
    data = write_csv(tmp_path / "t.csv", {"x": range(40), "y": ["a", "b"] * 20})
    message = refused(capsys, "predict", tmp_path / "arrays.npz", data)
    assert "; give a model that bpx train wrote" in message
    assert "keras" not in message
    words = ["train", data, "--target", "y", "--epochs", 1, "--out", tmp_path / "m.npz"]
    words += ["--checkpoint", tmp_path / "run.ckpt"]
    assert run(*words, "--quiet") == 0
    message = refused(capsys, *words, "--resume", "--hidden", 7)
    assert "or leave out --resume to start anew" in message
    assert "resume=" not in message


def test_dates_that_mostly_differ_are_no_ids(tmp_path, capsys):
    dates = [f"2024-{1 + i // 28:02d}-{1 + i % 28:02d}" for i in range(60)]
    data = write_csv(tmp_path / "t.csv", {"x": [1, 2, 3] * 20, "when": dates, "y": ["a", "b"] * 30})
    facts = as_json(capsys, "train", data, "--target", "y", "--epochs", 1, "--out", tmp_path / "m.npz")
    (told,) = [note for note in facts["notes"] if "when" in note]
    assert told.startswith("left out: column 'when', looks like dates that mostly differ (give their year, month")
    assert "id" not in told.split()


def test_validation_size_without_patience_is_refused(tmp_path, capsys):
    data = write_csv(tmp_path / "t.csv", {"x": range(40), "y": ["a", "b"] * 20})
    words = ["train", data, "--target", "y", "--out", tmp_path / "m.npz", "--validation-size", 0.2]
    assert "--validation-size goes with --patience N" in refused(capsys, *words)


@pytest.mark.parametrize(("different", "task"), [(10, "classify"), (11, "regress")])
def test_integers_of_many_values_are_a_number(different, task, tmp_path, capsys):
    data = write_csv(tmp_path / "t.csv", {"x": range(110), "y": [i % different for i in range(110)]})
    facts = as_json(capsys, "train", data, "--target", "y", "--epochs", 1, "--out", tmp_path / "m.npz")
    assert facts["task"] == task
    assert any(f"target 'y' holds {different} different integers" in note for note in facts["notes"])


def test_one_is_counted_as_one(tmp_path, capsys):
    data = write_csv(tmp_path / "t.csv", {"x": [1], "y": ["a"]})
    words = ["train", data, "--target", "y", "--out", tmp_path / "m.npz"]
    message = refused(capsys, *words)
    assert "('a' in its only row)" in message
    assert "1 rows" not in message


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


# ---------------------------------------------------------------------- after training


def _model(tmp_path, **more):
    data = write_csv(tmp_path / "t.csv", {"x": range(40), "y": [i % 3 for i in range(40)]} | more)
    return ["train", data, "--target", "y", "--epochs", 2, "--quiet", "--out", tmp_path / "m.npz"]


@pytest.mark.parametrize(
    ("error", "code", "told"),
    [
        (MemoryError("no room"), 2, "not enough memory (no room)"), (KeyboardInterrupt(), 130, "interrupted"),
        (RuntimeError("oh"), 3, "unexpected RuntimeError: oh"),
    ],
)  # fmt: skip
def test_what_fails_after_training_leaves_the_model(error, code, told, tmp_path, capsys, monkeypatch):
    def fail(*_):
        raise error

    with monkeypatch.context() as patch:
        patch.setattr("bpx.cli.scores.of_rows", fail)
        assert run(*_model(tmp_path)) == code
    message = capsys.readouterr().err
    assert message.startswith(f"bpx train: error: {told}")
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


@pytest.mark.parametrize("y", [{"y": [i % 3 for i in range(40)]}, {"y": [i * 1.5 for i in range(40)]}])
def test_rows_are_scored_in_blocks(y, tmp_path, capsys, monkeypatch):
    seen = []
    monkeypatch.setattr("bpx.cli.scores.BLOCK", 7)
    whole = TableModel.predict
    monkeypatch.setattr(TableModel, "predict", lambda self, net, X: seen.append(len(X)) or whole(self, net, X))
    blocks = as_json(capsys, *_model(tmp_path, **y))["scores"]
    assert max(seen) == 7
    assert sum(seen) == 40
    monkeypatch.setattr("bpx.cli.scores.BLOCK", 1000)
    at_once = as_json(capsys, *_model(tmp_path, **y))["scores"]
    for part, scores in blocks.items():
        assert scores == pytest.approx(at_once[part], rel=1e-5)


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


def test_rows_from_a_closed_standard_input_are_a_mistake(tmp_path, capsys, monkeypatch):
    assert run(*_model(tmp_path)) == 0
    monkeypatch.setattr("sys.stdin", None)
    assert "stdin is closed; give a file in place of -" in refused(capsys, "predict", tmp_path / "m.npz", "-")
