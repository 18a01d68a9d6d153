"""``bpx info``, ``check``, ``trace``, ``bench``, the help, and the command as a process."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys

import numpy as np
import pytest
from commands import as_json, passengers, refused, run

import bpx
from bpx.backend import select
from bpx.cli import check, kernel_choice, main, parser


@pytest.fixture(autouse=True)
def _without_compiling(monkeypatch):
    monkeypatch.setenv("BPX_KERNELS", "numpy")


# ---------------------------------------------------------------------- help


@pytest.mark.parametrize("command", ["", *parser.COMMANDS])
def test_help_has_examples_exit_codes_and_fits_a_terminal(command, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert main([*command.split(), "--help"]) == 0
    shown = capsys.readouterr().out
    assert "examples:\n  bpx" in shown
    assert "exit codes:" in shown
    assert max(map(len, shown.splitlines())) <= 80
    for name in parser.COMMANDS:
        assert command or f"\n    {name} " in shown


@pytest.mark.parametrize("command", parser.COMMANDS)
def test_every_example_of_the_help_is_understood(command, capsys):
    main([command, "--help"])
    shown = capsys.readouterr().out
    examples = re.findall(r"^  (?:\w+=\w+ |cat \S+ \| )?bpx (.*)$", shown.replace("\\\n", " "), re.MULTILINE)
    assert len(examples) >= 3
    for example in examples:
        words = shlex.split(re.split(r" {3,}| [|>] ", re.sub(r" {6,}(?=--)", " ", example))[0])
        assert parser.build(words).parse_args(words).command == command


def test_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"bpx {bpx.__version__}\n"


# ---------------------------------------------------------------------- info


def test_info_says_what_there_is_and_why_the_rest_is_not(capsys):
    facts = as_json(capsys, "info")
    assert facts["bpx"] == bpx.__version__
    assert facts["packages"]["numpy"] == np.__version__
    assert facts["environment"]["BPX_KERNELS"] == "numpy"
    statuses = {status["name"]: status for status in facts["backends"]}
    assert set(statuses) == {"numpy", "cupy", "torch", "torch:cuda"}
    assert all(status["available"] or status["reason"] for status in statuses.values())
    assert facts["kernels on numpy"] == {
        "in use": ["numpy_in_place"], "description": "NumPy alone (BPX_KERNELS=numpy)",
    }  # fmt: skip
    assert run("info") == 0
    shown = capsys.readouterr().out
    assert str(bpx.backends()) in shown
    assert "in force" in shown
    assert "CPU kernels  NumPy alone (BPX_KERNELS=numpy)" in shown


def test_info_says_where_the_other_project_of_that_import_name_is_installed(capsys, tmp_path, monkeypatch):
    assert as_json(capsys, "info")["another bpx"] is None
    (tmp_path / "bpx-1.2.0.dist-info").mkdir()
    (tmp_path / "bpx-1.2.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: bpx\nVersion: 1.2.0\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert as_json(capsys, "info")["another bpx"] == "1.2.0"
    assert run("info") == 0
    assert "bpx 1.2.0 is Battery Parameter eXchange" in capsys.readouterr().out


# ---------------------------------------------------------------------- check


def test_check_passes_here_and_names_what_did_not_run(capsys):
    facts = as_json(capsys, "check", "--quiet")
    assert facts["passed"]
    numpy = [one for one in facts["checks"] if one["backend"] == "numpy"]
    assert [one["check"] for one in numpy] == ["gradients"] * 3 + ["kernels"] * 2
    assert all(0 < one["difference"] <= one["tolerance"] for one in numpy if one["check"] == "gradients")
    idle = {status.name for status in bpx.backends() if not status.available}
    assert set(facts["did not run"]) == idle


@pytest.mark.parametrize("name", ["torch", "cupy"])
def test_other_backends_are_compared_with_numpy(name, capsys):
    if not any(status.name == name and status.available for status in bpx.backends()):
        pytest.skip({"torch": "PyTorch is not installed", "cupy": "CuPy does not work here"}[name])
    facts = as_json(capsys, "check", "--backend", name, "--quiet")
    wanted = ["gradients"] * 3 + ["parity"] * 2 + ["kernels"] * (2 if kernel_choice.names(bpx.get_backend(name)) else 0)
    assert [one["check"] for one in facts["checks"]] == wanted


def test_check_fails_with_code_1_where_a_backend_that_was_asked_for_is_missing(capsys, monkeypatch):
    monkeypatch.setitem(select._probed, "cupy", (None, "", "no such thing"))
    assert run("check", "--backend", "cupy", "--quiet") == 1
    shown = capsys.readouterr().out
    assert "cupy did not run: backend 'cupy' cannot be used: no such thing" in shown
    assert shown.endswith("FAILED: cupy did not run\n")
    assert "--backend: unknown backend" in refused(capsys, "check", "--backend", "abacus")


@pytest.mark.parametrize("wrong", ["gradients", "kernels"])
def test_check_finds_a_planted_error(wrong, capsys, monkeypatch):
    if wrong == "gradients":
        from bpx.formulas import activations

        tanh = activations.ACTIVATIONS["tanh"]
        monkeypatch.setitem(
            activations.ACTIVATIONS, "tanh", bpx.Activation("tanh", tanh.forward, lambda xp, z, a: 1 - a)
        )
    else:
        from bpx.formulas import linear
        from bpx.kernels import numpy_in_place

        monkeypatch.setitem(numpy_in_place.KERNELS, linear.column_sums, lambda xp, grad_z, out: out)
    assert run("check", "--quiet") == 1
    shown = capsys.readouterr().out
    assert re.search(rf"{wrong}: .*FAILED", shown)
    assert "checks FAILED in" in shown
    assert check.Finding("", "", "", float("nan"), 1.0).passed is False


# ---------------------------------------------------------------------- trace


def test_trace_is_article_001s_worked_step(capsys):
    step = as_json(capsys, "trace")
    hidden, output = step["layers"]
    assert [round(v, 10) for v in output["a"]] == [0.7987314002, 0.8374488853]
    assert round(step["loss"], 10) == 0.3226845322
    assert round(output["grad_W"][0][0], 10) == 0.0818667050
    assert round(output["new_W"][0][0], 10) == 0.4590666475
    assert round(hidden["new_W"][0][0], 10) == 0.0994410630


def shown(capsys, *words):
    assert run("trace", *words) == 0
    return capsys.readouterr().out


def test_trace_in_text_markdown_and_latex(capsys):
    assert "0.4590666475" in shown(capsys)
    assert "| W[1, 1] | 0.5000000000 | 0.0818667050 | 0.4590666475 |" in shown(capsys, "--markdown")
    assert r"\begin{tabular}" in shown(capsys, "--latex")


def test_ones_own_numbers_come_from_options_toml_or_json(tmp_path, capsys):
    weights = {"0.W": [[0.5, -1.0], [0.25, 2.0]], "0.b": [0.1, 0.2], "1.W": [[1.0], [-1.0]], "1.b": [0.0]}
    (tmp_path / "w.json").write_text(json.dumps(weights))
    given = {"sizes": [2, 2, 1], "inputs": [-1, 2], "targets": [1], "hidden": "tanh", "loss": "binary_cross_entropy",
             "learning_rate": 0.1}  # fmt: skip
    (tmp_path / "step.json").write_text(json.dumps(given | {"weights": weights}))
    toml = "\n".join(f"{name} = {json.dumps(value)}" for name, value in given.items())
    toml += "\n[weights]\n" + "\n".join(f'"{name}" = {value}' for name, value in weights.items())
    (tmp_path / "step.toml").write_text(toml)
    options = ["--sizes", "2,2,1", "--inputs=-1,2", "--targets", 1, "--hidden", "tanh", "--learning-rate", 0.1]
    options += ["--loss", "binary_cross_entropy"]
    steps = [
        as_json(capsys, "trace", *words)
        for words in (
            [tmp_path / "step.json"], [tmp_path / "step.toml"], [*options, "--weights", tmp_path / "w.json"],
            [*options, "--weights", json.dumps(weights)],
        )
    ]  # fmt: skip
    assert all(step == steps[0] for step in steps)
    net = bpx.MLP([2, 2, 1], hidden="tanh", output="sigmoid", dtype="float64", backend="numpy").set_params(weights)
    assert steps[0] == bpx.trace(net, [-1, 2], [1], "binary_cross_entropy", 0.1).to_dict()
    assert as_json(capsys, "trace", tmp_path / "step.json", "--learning-rate", 0.2)["learning_rate"] == 0.2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--sizes", "3,1"], "a network of other sizes than article 001's needs its own inputs"),
        (["--inputs", "1,2,3"], "--inputs: expected 2 numbers, as many as the network has inputs, got 3"),
        (["--hidden", "tangens"], "unknown activation 'tangens'; known are"),
        (["--loss", "sadness"], "unknown loss 'sadness'"),
        (["--weights", '{"0.X": [1]}'], "weights: no parameter '0.X'; there are 0.W"),
        (["--weights", '{"0.b": [1]}'], "0.b: expected shape (2,), got (1,)"),
        (["--weights", '{"0.b": "x"}'], "could not convert"),
        (["--weights", "{"], "--weights: expected JSON"),
        (["--weights", "none.json"], "none.json: No such file"),
        (["none.toml"], "none.toml: No such file"),
        (["--learning-rate", "0"], "expected a number > 0"),
    ],
)
def test_a_step_that_makes_no_sense(words, message, capsys):
    assert message in refused(capsys, "trace", *words)


@pytest.mark.parametrize(
    ("content", "message"),
    [("sizes = ", "expected TOML"), ("size = [1]", "got 'size' too"), ("weights = 1", "expected weights by name")],
)
def test_a_step_file_that_makes_no_sense(content, message, tmp_path, capsys):
    (tmp_path / "step.toml").write_text(content)
    assert message in refused(capsys, "trace", tmp_path / "step.toml")


def test_trace_writes_a_page_to_watch(tmp_path, capsys, monkeypatch):
    assert run("trace", "--html", tmp_path / "step.html") == 0
    assert str(tmp_path / "step.html") in capsys.readouterr().out
    assert "0.4590666" in (tmp_path / "step.html").read_text(encoding="utf-8")
    assert run("trace", "--html", tmp_path / "none" / "step.html") == 2
    ones = ",".join(["1"] * 10)
    large = ["--sizes", ",".join(["10"] * 200), "--inputs", ones, "--targets", ones]  # 199 layers
    assert run("trace", *large, "--html", tmp_path / "large.html") == 2
    assert "trace fewer samples at once" in capsys.readouterr().err


# ---------------------------------------------------------------------- bench


def test_bench_measures_every_way_to_do_a_step_beside_its_products(capsys, monkeypatch):
    monkeypatch.setattr("bpx.kernels.select._native", lambda: None)
    words = ["bench", "--network", "2-8-2", "--rounds", 1, "--backend", "numpy", "--quiet"]
    (network,) = as_json(capsys, *words)["networks"]
    assert [one["way"] for one in network["contenders"]] == [
        "products alone", "kernels of NumPy alone", "plain formulas",
    ]  # fmt: skip
    for one in network["contenders"]:
        assert one["steps per second"] == pytest.approx(1e6 / one["microseconds per step"])
        assert one["microseconds per step"] > 0
    assert run(*words) == 0
    assert "2-8-2, batch 32, float32" in capsys.readouterr().out
    assert "--backend: unknown backend" in refused(capsys, "bench", "--backend", "abacus")


# ---------------------------------------------------------------------- a process


def process(*words, **options):
    environment = os.environ | {"BPX_KERNELS": "numpy", "BPX_BACKEND": "numpy"}
    return subprocess.run([sys.executable, "-m", "bpx", *map(str, words)], env=environment, timeout=120, check=False,
                          **options)  # fmt: skip


@pytest.mark.slow
def test_a_session_in_processes_keeps_stdout_for_results(tmp_path):
    data, model = passengers(tmp_path), tmp_path / "m.npz"
    train = ["train", data, "--target", "survived", "--epochs", 2, "--out", model]
    done = process(*train, capture_output=True, text=True)
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, f"written   {model}")
    assert "epoch" in done.stderr
    assert "note: " in done.stderr
    done = process(*train, "--json", "--quiet", capture_output=True, text=True)
    assert (json.loads(done.stdout)["epochs"], done.stderr) == (2, "")
    with open(data, "rb") as file:
        done = process("predict", model, "-", "--keep", "id", capture_output=True, stdin=file)
    lines = done.stdout.split(b"\n")
    assert (lines[0], len(lines)) == (b"id,prediction", 902)
    assert b"\r" not in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_reader_that_has_enough_ends_predict_in_silence_as_a_signal_would(unbuffered, tmp_path):
    data, model = passengers(tmp_path, note=["x" * 2000] * 900), tmp_path / "m.npz"
    assert process("train", data, "--target", "survived", "--epochs", 1, "--out", model, "--quiet").returncode == 0
    environment = os.environ | {"BPX_KERNELS": "numpy", "BPX_BACKEND": "numpy", "PYTHONUNBUFFERED": unbuffered}
    command = [sys.executable, "-m", "bpx", "predict", model, data, "--keep", "note", "--quiet"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment) as child:
        assert child.stdout.readline() == b"note,prediction\n"
        child.stdout.close()
        output = child.stderr.read()
    assert (child.returncode, output) == (141, b"")


@pytest.mark.slow
def test_help_and_train_import_no_optional_library():
    script = (
        "import sys, json; from bpx.cli import main; main(sys.argv[1:]);"
        "print(json.dumps(sorted({m.partition('.')[0] for m in sys.modules})))"
    )
    optional = {"scipy", "sklearn", "pyarrow", "safetensors", "pandas", "matplotlib", "torch", "cupy", "tqdm"}
    for words in (["--help"], ["train", "--help"], ["predict", "--help"], ["trace", "--json"]):
        done = subprocess.run([sys.executable, "-c", script, *words], capture_output=True, text=True, check=True)
        assert not optional & set(json.loads(done.stdout.splitlines()[-1])), words
