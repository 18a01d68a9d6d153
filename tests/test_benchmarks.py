"""The benchmark suite runs, writes what it says, and judges by its bounds; no test here looks at a time."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
TINIEST = "step-2-8-2-relu-adam-float32"

sys.path.insert(0, str(BENCHMARKS))
try:
    import machine
    from bounds import BOUNDS, check
    from contenders import CONTENDERS
    from report import SCALES, ratios
    from run import same_work
    from workloads import ALL, DEFAULT, MAIN
finally:
    sys.path.remove(str(BENCHMARKS))


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """The suite as a user runs it."""
    environment = os.environ | {"PYTHONPATH": str(BENCHMARKS.parent), "MPLBACKEND": "Agg"}
    return subprocess.run(
        [sys.executable, str(BENCHMARKS / "run.py"), *map(str, arguments)],
        env=environment, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip


def made_up(**seconds: float) -> dict:
    """Figures in which every contender took 1 second, but for those given (underscores are spaces)."""
    given = {name.replace("_", " "): value for name, value in seconds.items()}
    figures = {"machine": machine.describe(threads=2), "workloads": {}}
    for name, workload in DEFAULT.items():
        results = {}
        for contender in workload.contenders:
            value = given.get(contender, 1.0)
            notes = {"peak MB": 100 * value}
            results[contender] = {"median": value, "min": value, "max": value, "rounds": [value] * 5, "notes": notes}
        figures["workloads"][name] = {
            "title": workload.title, "unit": workload.unit, "contenders": results,
            "ratios": ratios(workload, results), "others_busy": 0.0,
        }  # fmt: skip
    return figures


def saved(figures: dict, folder: Path) -> Path:
    path = folder / "made_up.json"
    path.write_text(json.dumps(figures), encoding="utf-8")
    return path


def test_a_run_prints_a_table_and_writes_its_figures(tmp_path):
    done = run("--only", TINIEST, "--rounds", "1", "--quick", "--json", tmp_path / "figures.json")
    assert done.returncode == 0, done.stdout + done.stderr
    figures = json.loads((tmp_path / "figures.json").read_text(encoding="utf-8"))
    assert {"machine", "date", "rounds", "workloads", "seconds"} <= set(figures)
    assert {"name", "processor", "cores", "python", "versions", "BLAS", "threads"} <= set(figures["machine"])
    assert list(figures["workloads"]) == [TINIEST]
    entry = figures["workloads"][TINIEST]
    assert tuple(entry["contenders"]) == ALL[TINIEST].contenders
    for name, result in entry["contenders"].items():
        if CONTENDERS[name].extra == "peers":
            assert result == {"missing": "not asked for (--peers)"}
            continue
        assert result["min"] == result["median"] == result["max"] > 0
        assert result["units_per_round"] == 50
        assert set(entry["ratios"][name]) == {"best peer", "peer", "floor"}
    # With and without compiled kernels it is the same training.
    losses = [entry["contenders"][name]["notes"]["loss"] for name in ("bpx", "bpx without fast")]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    assert ALL[TINIEST].title in done.stdout
    assert list(tmp_path.iterdir()) == [tmp_path / "figures.json"]  # one network makes no picture


def test_an_unknown_workload_is_an_error_that_names_those_there_are():
    done = run("--only", TINIEST, "sorting")
    assert done.returncode == 2
    assert "no workload 'sorting'" in done.stderr
    assert set(ALL) <= set(done.stderr.split())


@pytest.mark.parametrize("arguments", [["--rounds", "1"], ["--quick"]])
def test_a_check_wants_a_full_run(arguments):
    done = run("--check", "--only", TINIEST, *arguments)
    assert done.returncode == 2
    assert "at least 5" in done.stderr


def test_figures_within_the_bounds_pass(tmp_path):
    figures = made_up(bpx=0.1, bpx_without_fast=0.1)
    done = run("--check", "--load", saved(figures, tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    listed = done.stdout.partition("Bounds")[2].splitlines()[1:]
    assert len(listed) == sum((bound.fast is not None) + (bound.without is not None) for bound in BOUNDS)
    assert all(line.split()[0] == "pass" for line in listed)


def test_a_figure_above_its_bound_is_a_miss(tmp_path):
    done = run("--check", "--load", saved(made_up(bpx=0.52, bpx_without_fast=0.1), tmp_path))
    assert done.returncode == 1
    missed = [line.split() for line in done.stdout.partition("Bounds")[2].splitlines() if line.split()[:1] == ["miss"]]
    assert [TINIEST, "0.52"] in [[line[4], line[1]] for line in missed]
    assert {line[5] for line in missed} == {"bpx"}
    assert "step-64-100-10-relu-adam-float32" not in {line[4] for line in missed}  # its bound is 0.55


def test_a_bound_is_not_kept_where_a_peer_was_not_measured():
    figures = made_up(bpx=0.1, bpx_without_fast=0.1)["workloads"]
    figures[TINIEST]["contenders"]["JAX"] = {"missing": "not asked for (--peers)"}
    outcomes = {(o.workload, o.contender, o.over): o.verdict for o in check(figures)}
    assert outcomes[TINIEST, "bpx", "x best peer"] == "not measured"
    assert outcomes[TINIEST, "bpx", "x products"] == "pass"


def test_the_best_peer_is_the_fastest_one():
    outcomes = check(made_up(bpx=0.3, JAX=0.5, torch=0.6)["workloads"])
    figures = {(o.workload, o.contender): (o.over, o.figure) for o in outcomes if o.over.startswith("x best peer")}
    assert figures[TINIEST, "bpx"] == ("x best peer, JAX", pytest.approx(0.6))
    assert figures["predict-1-float32", "bpx"] == ("x best peer, torch", pytest.approx(0.5))


def test_a_failed_contender_is_shown_and_fails_the_run(tmp_path):
    figures = made_up()
    figures["workloads"][TINIEST]["contenders"]["bpx"] = {"failed": "ValueError: no"}
    done = run("--load", saved(figures, tmp_path), "--only", TINIEST)
    assert done.returncode == 1
    assert "failed: ValueError: no" in done.stdout


@pytest.mark.parametrize("loss", [1.03, float("nan")])
def test_a_contender_that_did_other_work_has_failed(loss):
    results = {name: {"median": 1.0, "notes": {"loss": 1.0}} for name in ("bpx", "torch", "JAX")}
    results |= {"torch": {"median": 0.1, "notes": {"loss": loss}}, "floor": {"median": 0.1, "notes": {}}}
    checked = same_work(results)
    assert "it did other work" in checked["torch"]["failed"]
    assert [name for name, result in checked.items() if "median" in result] == ["bpx", "JAX", "floor"]


def test_the_picture_is_drawn(tmp_path):
    done = run("--load", saved(made_up(), tmp_path), "--json", tmp_path / "again.json")
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "again.png").read_bytes().startswith(b"\x89PNG")
    assert json.loads((tmp_path / "again.json").read_text(encoding="utf-8")) == made_up()


def test_every_workload_has_its_contenders_and_they_can_do_it():
    defined = {}
    for path in (BENCHMARKS / "contenders").glob("*.py"):
        names = [node for node in ast.parse(path.read_text(encoding="utf-8")).body if isinstance(node, ast.Assign)]
        exported = [node.value for node in names if ast.unparse(node.targets[0]) == "__all__"]
        defined[path.stem] = ast.literal_eval(exported[0]) if exported else []
    for workload in ALL.values():
        assert workload.unit in SCALES
        assert set(workload.peers) | set(workload.versus) | set(workload.versus.values()) <= set(workload.contenders)
        for name in workload.contenders:
            assert workload.kind in defined[CONTENDERS[name].module], (workload.name, name)


def test_every_bound_is_on_a_workload_of_the_default_run():
    assert {bound.workload for bound in BOUNDS} <= set(DEFAULT)
    assert {workload.name for workload in MAIN} <= set(DEFAULT)


def test_what_a_bound_is_on_has_as_many_rounds_as_the_run():
    assert all(ALL[bound.workload].rounds is None for bound in BOUNDS)


@pytest.mark.parametrize(
    "content",
    [b"not JSON", b"\xff\xfe\x00", b"[1, 2]", b"{}", b'{"workloads": 3}', b'{"workloads": {"a": {"unit": "ms"}}}', b""],
)
def test_a_file_that_holds_no_figures_is_an_error_in_words(tmp_path, content):
    (tmp_path / "other.json").write_bytes(content)
    done = run("--load", tmp_path / "other.json", "--check")
    assert done.returncode == 2
    assert "--load: expected a file of figures" in done.stderr
    assert "Traceback" not in done.stderr
