"""The benchmark suite runs, writes what it says, and judges by its bounds; no test here looks at a time."""

from __future__ import annotations

import ast
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.slow

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
TINIEST = "step-2-8-2-relu-adam-float32"
MIDDLE = "step-784-100-10-relu-adam-float32"

sys.path.insert(0, str(BENCHMARKS))
try:
    import machine
    from bounds import BOUNDS, GPU_BOUNDS, check
    from contenders import CONTENDERS
    from contenders.on_device import multiplies_in, probe
    from gpu_workloads import BPX, GPU, LARGEST
    from processes import Processes
    from report import SCALES, ratios
    from run import same_work
    from workloads import ALL, DEFAULT, MAIN
finally:
    sys.path.remove(str(BENCHMARKS))


def run(*arguments: str | Path, program: str = "run.py") -> subprocess.CompletedProcess[str]:
    """The suite as a user runs it."""
    environment = os.environ | {"PYTHONPATH": str(BENCHMARKS.parent), "MPLBACKEND": "Agg"}
    return subprocess.run(
        [sys.executable, str(BENCHMARKS / program), *map(str, arguments)],
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
        assert set(entry["ratios"][name]) == {"best peer", "peer", "least", "floor"}
    # With and without compiled kernels it is the same training.
    losses = [entry["contenders"][name]["notes"]["loss"] for name in ("bpx", "bpx on NumPy")]
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
    figures = made_up(bpx=0.005, bpx_on_NumPy=0.1)
    done = run("--check", "--load", saved(figures, tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    listed = done.stdout.partition("Bounds")[2].splitlines()[1:]
    assert len(listed) == sum((bound.limit is not None) + (bound.on_numpy is not None) for bound in BOUNDS)
    assert all(line.split()[0] == "pass" for line in listed)


def test_a_figure_above_its_bound_is_a_miss(tmp_path):
    done = run("--check", "--load", saved(made_up(bpx=0.35, bpx_on_NumPy=0.2), tmp_path))
    assert done.returncode == 1
    missed = [line.split() for line in done.stdout.partition("Bounds")[2].splitlines() if line.split()[:1] == ["miss"]]
    assert [TINIEST, "0.35"] in [[line[7], line[1]] for line in missed]
    assert {tuple(line[8:10]) for line in missed} == {("bpx", "x"), ("bpx", "ms")}
    assert "step-64-100-10-relu-adam-float32" not in {line[7] for line in missed}  # its bound is 0.45


def test_a_bound_is_not_kept_where_a_peer_was_not_measured():
    figures = made_up(bpx=0.1, bpx_on_NumPy=0.1)["workloads"]
    figures[MIDDLE]["contenders"]["JAX"] = {"missing": "not asked for (--peers)"}
    outcomes = {(o.workload, o.contender, o.over): o.verdict for o in check(figures)}
    assert outcomes[MIDDLE, "bpx", "x best peer"] == "not measured"
    assert outcomes[MIDDLE, "bpx", "x products"] == "pass"


def test_the_best_peer_is_the_fastest_one():
    outcomes = check(made_up(bpx=0.3, JAX=0.5, torch=0.6)["workloads"])
    figures = {(o.workload, o.contender): (o.over, o.figure) for o in outcomes if o.over.startswith("x best peer")}
    assert figures[MIDDLE, "bpx"] == ("x best peer, JAX", pytest.approx(0.6))
    assert figures["predict-1-float32", "bpx on NumPy"] == ("x best peer, torch", pytest.approx(1 / 0.6))


def test_a_bound_on_a_difference_and_one_on_the_time_itself():
    workloads = made_up(bpx=0.11, bpx_on_NumPy=0.1)["workloads"]
    workloads["first-use"]["contenders"]["bpx"] |= {"median": 0.012, "min": 0.009}
    outcomes = {(o.workload, o.over): o for o in check(workloads)}
    above = outcomes["process-digits", "ms above bpx on NumPy"]
    assert (above.verdict, above.figure) == ("pass", pytest.approx(10.0))
    first = outcomes["first-use", "ms"]
    assert (first.verdict, first.figure, first.least) == ("miss", pytest.approx(12.0), pytest.approx(9.0))


def test_a_workload_that_says_how_many_threads_gets_processes_of_its_own(tmp_path):
    name = f"{TINIEST}-1-thread"
    with Processes(tmp_path, 2, 1, True) as processes:
        for workload, threads in ((ALL[TINIEST], 2), (ALL[name], 1)):
            results, _ = processes.measure(workload, ["floor"], lambda _: None)
            assert results["floor"]["median"] > 0
            assert [process.threads for process in processes._running.values()] == [threads]


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
    for workload in [*ALL.values(), *GPU.values()]:
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


def rehearse(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """The suite for a GPU as a user runs it, on the CPU."""
    return run("--device", "cpu", "--quick", "--rounds", "1", *arguments, program="gpu.py")


def made_up_on_gpu(**seconds: float) -> dict:
    """Figures of a GPU in which every contender took 1 second, but for those given (underscores are spaces)."""
    given = {name.replace("_", " "): value for name, value in seconds.items()}
    figures = {
        "machine": machine.describe(threads=2) | machine.device() | {"libraries": {}},
        "date": "2026-01-01", "rounds": 5, "rehearsal": False, "workloads": {}, "not begun": [], "seconds": 1,
    }  # fmt: skip
    for name, workload in GPU.items():
        results = {}
        for contender in workload.contenders:
            value = 60.0 if contender.endswith("separate runs") else given.get(contender, 1.0)
            results[contender] = {"median": value, "min": value, "max": value, "rounds": [value] * 5, "notes": {}}
        figures["workloads"][name] = {
            "title": workload.title, "unit": workload.unit, "contenders": results,
            "ratios": ratios(workload, results), "others_busy": 0.0,
        }  # fmt: skip
    return figures


def gpu_verdicts(figures: dict) -> dict:
    return {(o.workload, o.over): (o.verdict, o.figure) for o in check(figures["workloads"], GPU_BOUNDS, BPX)}


def test_a_rehearsal_of_the_gpu_suite_measures_each_kind_of_workload(tmp_path):
    names = ["step-2-8-2-float32", "stack-1000", "epoch-60000"]
    done = rehearse("--only", *names, "--without", "*torch*", "JAX*", "--json", tmp_path / "figures.json")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "these times mean nothing" in done.stdout
    assert "Bounds" not in done.stdout
    figures = json.loads((tmp_path / "figures.json").read_text(encoding="utf-8"))
    assert figures["rehearsal"]
    assert set(figures["workloads"]) == set(names)
    assert (figures["not begun"], figures["bounds"]) == ([], [])
    for name, entry in figures["workloads"].items():
        results = entry["contenders"]
        assert tuple(results) == GPU[name].contenders
        assert results["torch eager"] == {"missing": "left out (--without)"}
        with_bpx = [results[c] for c in results if c.startswith(BPX) and "missing" not in results[c]]
        assert len(with_bpx) == 3 + (name == "stack-1000")
        assert all(result["median"] > 0 and result["notes"]["products"] == "float32" for result in with_bpx)
        # Kernels, formulas and single networks are the same training.
        losses = [result["notes"]["loss"] for result in with_bpx]
        assert losses == pytest.approx([losses[0]] * len(losses), rel=1e-4)
    apart = figures["workloads"]["stack-1000"]["contenders"]["bpx on CuPy, separate runs"]
    assert apart["notes"]["multiplied"] == "2 of 4 runs were timed, and their time multiplied by 2"
    assert "runs were timed" in done.stdout


def test_torch_and_its_peers_train_the_same_network_as_bpx_in_a_rehearsal(tmp_path):
    pytest.importorskip("torch")
    names = ["step-784-2048-2048-10-float16", "stack-1000"]
    left_out = ["*max-autotune", "*formulas*", "products by CuPy"]
    done = rehearse("--only", *names, "--without", *left_out, "--json", tmp_path / "figures.json")
    assert done.returncode == 0, done.stdout + done.stderr
    figures = json.loads((tmp_path / "figures.json").read_text(encoding="utf-8"))
    for name in names:
        results = figures["workloads"][name]["contenders"]
        losses = [r["notes"]["loss"] for r in results.values() if "loss" in r.get("notes", {})]
        tolerance = 1e-3 if name == "stack-1000" else 0.05
        assert losses == pytest.approx([losses[0]] * len(losses), rel=tolerance), name
        assert results["torch eager"]["notes"]["optimizer"] == "Adam(fused=True)"
        assert importlib.util.find_spec("jax") is None or "median" in results["JAX jit"]
        if name.startswith("step"):
            assert results["products by torch"]["median"] > 0


def test_a_resumed_gpu_run_measures_what_the_file_lacks_and_keeps_the_rest(tmp_path):
    without = ["--without", "*torch*", "JAX*", "bpx*", "--json", tmp_path / "figures.json"]
    first, second = "step-2-8-2-float32", "step-64-100-10-float32"
    assert rehearse("--only", first, *without).returncode == 0
    before = json.loads((tmp_path / "figures.json").read_text(encoding="utf-8"))
    done = rehearse("--only", first, second, "--resume", tmp_path / "figures.json", *without)
    assert done.returncode == 0, done.stdout + done.stderr
    after = json.loads((tmp_path / "figures.json").read_text(encoding="utf-8"))
    assert list(after["workloads"]) == [first, second]
    assert after["workloads"][first] == before["workloads"][first]
    assert first not in done.stdout.partition("figures:")[0]


@pytest.mark.parametrize(("key", "value"), [("name", "another"), ("versions", {"numpy": "1.0"})])
def test_a_run_elsewhere_is_not_resumed(tmp_path, key, value):
    figures = made_up_on_gpu()
    figures["machine"] |= machine.describe(threads=2) | {key: value}
    figures["rehearsal"] = True
    done = rehearse("--only", "epoch-digits", "--resume", saved(figures, tmp_path))
    assert done.returncode == 1
    assert f"--resume: its figures are of another {'machine' if key == 'name' else key}" in done.stderr


def test_a_gpu_run_without_time_says_what_it_did_not_begin(tmp_path):
    done = rehearse("--budget", "0", "--json", tmp_path / "figures.json")
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads((tmp_path / "figures.json").read_text(encoding="utf-8"))["not begun"] == list(GPU)
    assert "Not begun, because the time was up" in done.stdout


def test_a_contender_that_does_not_answer_in_time_has_failed(tmp_path):
    with Processes(tmp_path, 1, 1, True, limit=lambda: 0.01) as processes:
        results, _ = processes.measure(GPU["step-2-8-2-float32"], [BPX], print)
    assert results == {BPX: {"failed": "no answer within 0 s (prepare)"}}


def test_gpu_figures_within_the_bounds_pass(tmp_path):
    figures = made_up_on_gpu(bpx_on_CuPy=0.2, products_by_CuPy=0.2, products_by_torch=0.18)
    done = run("--check", "--load", saved(figures, tmp_path), "--json", tmp_path / "again.json", program="gpu.py")
    assert done.returncode == 0, done.stdout + done.stderr
    listed = done.stdout.partition("Bounds")[2].splitlines()[1:]
    assert len(listed) == len(GPU_BOUNDS)
    assert all(line.split()[0] == "pass" for line in listed)
    again = json.loads((tmp_path / "again.json").read_text(encoding="utf-8"))
    assert [outcome["verdict"] for outcome in again["bounds"]] == ["pass"] * len(GPU_BOUNDS)
    assert (tmp_path / "again.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("seconds", "workload", "over", "figure"),
    [
        ({"bpx_on_CuPy": 0.26}, "step-784-100-10-float32", "x torch eager", 0.26),
        ({"bpx_on_CuPy": 0.26}, "step-784-256-128-10-float32", "x torch eager", 0.26),
        ({"bpx_on_CuPy": 1.3, "JAX_jit": 1.25}, "epoch-60000", "x best peer, torch eager", 1.3),
        ({"bpx_on_CuPy": 0.5, "products_by_CuPy": 0.41}, f"step-{LARGEST}-tf32", "x products by CuPy", 0.5 / 0.41),
        ({"bpx_on_CuPy": 0.5, "products_by_torch": 0.41}, f"step-{LARGEST}-float32", "x products by torch", 0.5 / 0.41),
        ({"bpx_on_CuPy": 1.3}, "stack-1000", "x separate runs", 1.3 / 60),
    ],
)  # fmt: skip
def test_a_gpu_figure_above_its_bound_is_a_miss(seconds, workload, over, figure):
    assert gpu_verdicts(made_up_on_gpu(**seconds))[workload, over] == ("miss", pytest.approx(figure))


def test_a_bound_over_the_best_of_some_peers_is_shown_but_is_no_verdict(tmp_path):
    figures = made_up_on_gpu(bpx_on_CuPy=0.1)
    figures["workloads"]["epoch-digits"]["contenders"]["JAX jit"] = {"failed": "MemoryError: no"}
    assert gpu_verdicts(figures)["epoch-digits", "x best peer"] == ("not measured", pytest.approx(0.1))
    done = run("--check", "--load", saved(figures, tmp_path), "--only", "epoch-digits", program="gpu.py")
    assert done.returncode == 1
    assert "x best peer (without JAX jit)" in done.stdout
    assert "JAX jit failed: MemoryError: no" in done.stdout


def test_products_that_round_as_tf32_does_fail_where_float32_is_wanted():
    a, b = probe()
    rounded = (a.view(np.uint32) & np.uint32(0xFFFFE000)).view(np.float32) @ b
    assert multiplies_in("float32", lambda: a @ b) == multiplies_in("tf32", lambda: a @ b) == {"products": "float32"}
    assert multiplies_in("tf32", lambda: rounded) == {"products": "tf32"}
    with pytest.raises(RuntimeError, match="not true float32"):
        multiplies_in("float32", lambda: rounded)


def test_a_file_of_the_other_suite_is_an_error_in_words(tmp_path):
    done = run("--load", saved(made_up(), tmp_path), program="gpu.py")
    assert done.returncode == 2
    assert "--load: expected a file of figures" in done.stderr


def test_every_bound_on_a_gpu_is_on_a_workload_and_every_workload_has_one():
    assert {bound.workload for bound in GPU_BOUNDS} == set(GPU)
