"""The model of a data-parallel step keeps to its formulas, and the measurements of scale.py run and are judged."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"

sys.path.insert(0, str(BENCHMARKS))
try:
    import machine
    from model import (
        ADAM,
        FLOAT,
        Machine,
        Way,
        all_reduce,
        fastest,
        ring_steps,
        rows_needed,
        step,
        strong_efficiency,
        switch_steps,
        tree_steps,
        weak_efficiency,
        widest,
    )  # fmt: skip
    from on_paper import GPUS, NETWORK, WIDTHS, as_measured, beside, network
    from published import FIGURES, PRECISIONS, h100
    from scale import BOUNDS, check
    from scaling import launcher
    from scaling.entries import ENTRIES, entry, turns
    from workloads import n_params
finally:
    sys.path.remove(str(BENCHMARKS))

RING = Way("ring", ring_steps, start=1e-5, inside=2e-6, across=1e-5, in_node=1e11, between=5e10)
PLAIN = Machine("plain", products=1e12, memory=1e12, launch=0.0, per_node=8, ways=(RING,))


def run(script: str, *arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """A program of the suite as a user runs it."""
    path = {"PYTHONPATH": str(BENCHMARKS.parent), "MPLBACKEND": "Agg"}
    return subprocess.run(
        [sys.executable, str(BENCHMARKS / script), *map(str, arguments)],
        env=os.environ | path | environment, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip


def test_a_ring_moves_2_g_minus_1_over_g_of_the_message():
    # 4 devices of one node: 10 us, six messages of 2 us, 1.5 times 1 GB at 100 GB/s
    assert RING.seconds(1e9, 4, 8) == pytest.approx(10e-6 + 6 * 2e-6 + 1.5e9 / 1e11)
    # 16 devices on two nodes: 30 messages, of which 4 between nodes; 2 x 15/16 of the message at 50 GB/s
    assert ring_steps(16, 8) == (26, 4)
    assert RING.seconds(1e9, 16, 8) == pytest.approx(10e-6 + 26 * 2e-6 + 4 * 10e-6 + 1.875e9 / 5e10)


def test_steps_of_trees_grow_with_the_logarithm_of_the_nodes():
    assert tree_steps(8, 8) == (14, 0)
    assert tree_steps(64, 8) == (14, 6)
    assert tree_steps(1024, 8) == (14, 14)
    assert switch_steps(8, 8) == (1, 0)
    assert switch_steps(1024, 8) == (1, 14)


def test_a_full_node_has_its_own_bandwidth():
    way = Way("switch", switch_steps, 0.0, 0.0, 0.0, in_node=1e11, between=5e10, full_node=2e11)
    seconds = {gpus: way.seconds(1e9, gpus, 8) for gpus in (4, 8, 16)}
    assert seconds == pytest.approx({4: 1.5e9 / 1e11, 8: 1.75e9 / 2e11, 16: 1.875e9 / 5e10})


def test_the_fastest_way_is_taken():
    quick = Way("quick", tree_steps, 1e-6, 0.0, 0.0, in_node=1e9, between=1e9)
    both = Machine("both", 1e12, 1e12, 0.0, 8, (RING, quick))
    assert all_reduce(1e3, 8, both)[1] == "quick"
    assert all_reduce(1e9, 8, both)[1] == "ring"


@pytest.mark.parametrize("machine", [PLAIN, h100("float32"), h100("TF32")], ids=lambda m: m.name)
def test_one_device_does_not_talk(machine):
    alone = step((784, 100, 10), 200, 1, machine)
    assert alone.all_reduce == 0.0
    assert all_reduce(1e6, 1, machine) == (0.0, "none")
    assert weak_efficiency((784, 100, 10), 200, 1, machine) == 1.0
    assert strong_efficiency((784, 100, 10), 200, 1, machine) == 1.0


def test_a_step_is_its_products_its_passes_and_its_update():
    # 2-3-1: products 2x3 and 3x1 forward, both again for the weights, one for the hidden layer's gradient
    rows, fast_memory = 1000, Machine("", products=1e6, memory=1e15, launch=1e-3, per_node=8, ways=(RING,))
    done = step((2, 3, 1), rows, 1, fast_memory)
    assert done.products == pytest.approx(2 * rows * (2 * 6 + 3 * 3) / 1e6)
    assert done.launches == pytest.approx((6 * 2 + 5) * 1e-3)
    slow_memory = Machine("", products=1e15, memory=1e6, launch=0.0, per_node=8, ways=(RING,))
    done = step((2, 3, 1), rows, 1, slow_memory)
    assert done.update == pytest.approx(28 * (3 * 3 + 4 * 1) / 1e6)
    assert done.between == pytest.approx(4 * rows * (6 * (3 + 1) + 2 * 2) / 1e6)
    assert done.seconds == pytest.approx(done.products + done.between + done.update)


def test_products_that_read_more_than_they_compute_take_the_time_of_reading():
    one_row = step((1000, 1000), 1, 1, Machine("", 1e15, 1e9, 0.0, 8, (RING,)))
    # forward, and the gradient of the weights: a matrix of a million numbers each time
    assert one_row.products == pytest.approx(2 * 4 * (1000 + 1000 + 1e6) / 1e9)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("width", WIDTHS)
def test_a_split_batch_is_less_efficient_on_more_devices(width, precision):
    efficiencies = [strong_efficiency(network(width), 4096, gpus, h100(precision)) for gpus in GPUS]
    assert efficiencies == sorted(efficiencies, reverse=True)
    assert efficiencies[0] == 1.0
    assert 0 < efficiencies[-1] < 0.02


@pytest.mark.parametrize("width", WIDTHS)
def test_efficiency_falls_with_the_devices_and_rises_with_their_rows(width):
    by_gpus = [weak_efficiency(network(width), 4096, gpus, PLAIN) for gpus in GPUS]
    assert by_gpus == sorted(by_gpus, reverse=True)
    by_rows = [weak_efficiency(network(width), rows, 64, h100()) for rows in (2**k for k in range(20))]
    assert by_rows[5:] == sorted(by_rows[5:])
    assert by_rows[-1] > 0.98


def test_the_rows_needed_are_where_the_efficiency_is_reached():
    machine = h100("TF32")
    rows = rows_needed(network(4096), 8, machine, 0.8)
    assert weak_efficiency(network(4096), rows, 8, machine) == pytest.approx(0.8, abs=1e-3)
    assert weak_efficiency(network(4096), rows / 2, 8, machine) < 0.8
    # faster products need more rows for the same sum
    assert rows > 2 * rows_needed(network(4096), 8, h100("float32"), 0.8)


def test_the_widest_and_the_fastest_split_are_those_of_the_efficiencies():
    machine, sizes = h100("TF32"), network(1024)
    most = widest(sizes, 65536, machine, GPUS)
    assert strong_efficiency(sizes, 65536, most, machine) >= 0.5 > strong_efficiency(sizes, 65536, 2 * most, machine)
    best, gain = fastest(sizes, 65536, machine, GPUS)
    speeds = {gpus: gpus * strong_efficiency(sizes, 65536, gpus, machine) for gpus in GPUS}
    assert gain == max(speeds.values()) == speeds[best]
    assert fastest(sizes, 4, machine, GPUS)[0] <= 4  # no more devices than rows


def test_every_published_figure_says_who_says_so():
    assert all(figure.value > 0 and figure.source for figure in FIGURES.values())
    assert h100("TF32").products == pytest.approx(0.8 * 494.7e12)
    # 23.4 MB on eight GPUs by the switches: 23 us, and 1.75 times that at 480 GB/s
    assert min(w.seconds(23.4e6, 8, 8) for w in h100().ways) == pytest.approx(23e-6 + 1.75 * 23.4e6 / 480e9)


def made_up() -> dict:
    """Figures as scale.py gives them, of a machine of 100 Gflop/s, 10 GB/s of memory and 1 GB/s between its ranks."""
    operations = 2 * 1024 * (2 * 784 * 2048 + 3 * 2048 * 2048 + 3 * 2048 * 10)
    params = n_params(NETWORK)
    sizes = [1024, FLOAT * params]
    alone = {"products of 1024 rows": [operations / 1e11], "update": [ADAM * params / 1e10]}
    at_once = {"products of 512 rows": [operations / 2 / 0.5e11], "update": [ADAM * params / 0.5e10]}
    return {
        "step-parts": entry("", "ms", alone | {f"{name}, on two ranks at once": v for name, v in at_once.items()}),
        "all-reduce": entry("", "µs", {str(s): [1e-6 + (s > 1024) * s / 1e9] for s in sizes}) | {"bytes": sizes},
        "ranks": entry("", "ms", {"one rank": [0.4, 0.4], "two ranks": [0.22, 0.18]}, "one rank"),
    }


def test_the_model_takes_what_was_measured_alone():
    figures = made_up()
    own = as_measured(figures)
    assert own.products == pytest.approx(1e11)
    assert own.memory == pytest.approx(1e10)
    both = as_measured(figures, 2)
    assert (both.products, both.memory) == pytest.approx((0.5e11, 0.5e10))
    assert all_reduce(FLOAT * n_params(NETWORK), 2, own)[0] == pytest.approx(1e-6 + FLOAT * n_params(NETWORK) / 1e9)
    one = step(NETWORK, 1024, 1, own).seconds
    message = beside(figures)
    assert f"{one / 0.4 - 1:+.0%}" in message
    assert "measured 2.00" in message


def test_ratios_are_medians_of_the_rounds_ratios():
    made = entry("", "ms", {"one": [1.0, 2.0, 4.0], "two": [0.9, 1.0, 1.0], "three": {"failed": "x"}}, "one")
    assert made["ratios"]["two"] == {"best peer": 0.5, "peer": "one"}  # of 0.9, 0.5 and 0.25
    assert made["ratios"]["three"] == {}
    assert made["contenders"]["two"]["median"] == 1.0


def test_turns_rotate():
    order = []
    turns({name: lambda name=name: order.append(name) or {} for name in "abc"}, 3)
    assert "".join(order) == "abcbcacab"


def test_a_failure_ends_a_contenders_turns():
    order = []
    answers, _ = turns({"a": lambda: order.append("a") or {}, "b": lambda: order.append("b") or {"failed": "no"}}, 3)
    assert order == ["a", "b", "a", "a"]
    assert answers["b"] == {"failed": "no"}
    assert answers["a"] == [{}, {}, {}]


def test_bounds_of_scaling_are_judged():
    figures = made_up()
    figures["ranks"] = entry("", "ms", {"one rank": [1.7], "two ranks": [1.0]}, "one rank")
    figures["stream-memory"] = entry("", "MB", {"peak": [1.2e9]})
    figures["sweep-64"] = entry("", "s", {"bpx.sweep": {"missing": "this bpx has no sweep"}})
    verdicts = {outcome.workload: outcome.verdict for outcome in check(figures)}
    assert verdicts == {"ranks": "pass", "stream-memory": "miss", "sweep-64": "not measured"}
    assert {name for name, *_ in BOUNDS} <= set(ENTRIES)


def test_an_unknown_workload_of_scaling_is_an_error_that_names_those_there_are():
    done = run("scale.py", "--only", "sorting")
    assert done.returncode == 2
    assert all(name in done.stderr for name in ENTRIES)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="private memory is read from /proc")
@pytest.mark.slow
def test_a_run_of_scale_writes_its_figures_and_leaves_no_file(tmp_path):
    target, rows = tmp_path / "figures.json", tmp_path / "rows"
    rows.mkdir()
    arguments = ["--only", "stream-memory", "step-parts", "--quick", "--rounds", "1", "--folder", rows]
    done = run("scale.py", *arguments, "--json", target, BPX_KERNELS="numpy", OPENBLAS_CORETYPE="")
    assert done.returncode == 0, done.stdout + done.stderr
    figures = json.loads(target.read_text(encoding="utf-8"))
    assert {"machine", "date", "rounds", "workloads", "seconds"} <= set(figures)
    assert figures["machine"]["name"] == machine.name()
    contenders = figures["workloads"]["stream-memory"]["contenders"]
    # The file has 314 MB: what is held is the buffer, and not the file.
    assert 0 < contenders["before the fit"]["median"] < contenders["peak"]["median"] < 0.5e9
    assert contenders["at the end, by smaps_rollup"]["median"] == pytest.approx(contenders["peak"]["median"], rel=0.1)
    assert list(rows.iterdir()) == []


@pytest.mark.skipif(launcher.missing() is not None, reason="needs mpi4py and an mpiexec beside this Python")
@pytest.mark.slow
def test_two_ranks_do_the_work_of_one(tmp_path):
    target = tmp_path / "figures.json"
    done = run("scale.py", "--only", "ranks", "--quick", "--rounds", "1", "--json", target, BPX_KERNELS="numpy")
    assert done.returncode == 0, done.stdout + done.stderr
    figures = json.loads(target.read_text(encoding="utf-8"))["workloads"]["ranks"]
    assert {"one rank", "two ranks"} == set(figures["contenders"]) == set(figures["notes"]["loss"])
    losses = figures["notes"]["loss"]
    assert losses["two ranks"] == pytest.approx(losses["one rank"], rel=1e-5)


@pytest.mark.slow
def test_the_paper_is_printed_and_drawn(tmp_path):
    measured = tmp_path / "made_up.json"
    measured.write_text(json.dumps({"workloads": made_up()}), encoding="utf-8")
    done = run("on_paper.py", "--figures", "--picture", tmp_path / "model.png", "--measured", measured)
    assert done.returncode == 0, done.stdout + done.stderr
    assert all(name in done.stdout for name in FIGURES)
    assert "off by" in done.stdout
    assert (tmp_path / "model.png").read_bytes().startswith(b"\x89PNG")
