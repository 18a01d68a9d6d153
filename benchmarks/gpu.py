"""Measure bpx on a GPU against its peers. Run: python benchmarks/gpu.py; README.md beside it says what figures mean."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from fnmatch import fnmatchcase
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import machine
from bounds import GPU_BOUNDS, Outcome, check
from contenders import CONTENDERS
from gpu_workloads import BPX, GPU
from picture import draw_gpu
from processes import Processes
from report import bounds_table, print_failures, ratios, table, write
from run import progress, same_work
from workloads import Workload

RESULTS = Path(__file__).with_name("results")
# Seconds: no workload is begun after the first; what has not answered so much later, or in that time, is given up.
BUDGET, GRACE, LONGEST, LEAST = 450, 30, 150, 5
# Rounding makes losses differ by so much, of themselves, after two epochs.
TOLERANCE = {"float16": 0.05, "bfloat16": 0.05}
# What stands for CuPy where there is no GPU.
IN_NUMPY = ("gpu_bpx", "gpu_products")


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line, checked."""
    parser = argparse.ArgumentParser(description="Measure bpx, its peers and the matrix products alone on a GPU.")
    add = parser.add_argument
    add("--only", nargs="+", metavar="NAME", help="these workloads; a name may be a pattern such as 'step-*'")
    add("--without", nargs="+", metavar="NAME", default=[], help="not these contenders; a name may be a pattern")
    add("--check", action="store_true", help="exit 1 where a bound is not kept, or not measured")
    add("--json", type=Path, metavar="FILE", help="where the figures go, in place of results/GPU.json")
    add("--load", type=Path, metavar="FILE", help="do not measure: take the figures of that file")
    add("--resume", type=Path, metavar="FILE", help="keep that file's figures, and measure only what it lacks")
    add("--rounds", type=int, default=5, metavar="N", help="of each contender (5)")
    add("--budget", type=float, default=BUDGET, metavar="S", help=f"begin no workload after so many seconds ({BUDGET})")
    add("--quick", action="store_true", help="smallest sizes, to see whether everything runs")
    add("--device", choices=("gpu", "cpu"), default="gpu", help="cpu: a rehearsal, without meaning for any time")
    options = parser.parse_args(arguments)
    if options.rounds < 1:
        parser.error("--rounds: expected at least 1")
    for pattern in options.only or ():
        if not any(fnmatchcase(name, pattern) for name in GPU):
            parser.error(f"--only: no workload {pattern!r}; there are\n  " + "\n  ".join(GPU))
    everyone = sorted({name for workload in GPU.values() for name in workload.contenders})
    for pattern in options.without:
        if not any(fnmatchcase(name, pattern) for name in everyone):
            parser.error(f"--without: no contender {pattern!r}; there are\n  " + "\n  ".join(everyone))
    options.workloads = [
        w for w in GPU.values() if not options.only or any(fnmatchcase(w.name, pattern) for pattern in options.only)
    ]
    options.figures = None
    for name in ("load", "resume"):
        if (path := getattr(options, name)) is not None:
            options.figures = load(parser, name, path)
    if options.check and options.load is None and (options.quick or options.device == "cpu" or options.rounds < 5):
        parser.error("--check: the bounds are for medians of at least 5 full rounds on a GPU")
    return options


def load(parser: argparse.ArgumentParser, option: str, path: Path) -> dict[str, Any]:
    """The figures in a file that an earlier run wrote."""
    try:
        figures: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        for name, entry in figures["workloads"].items():
            table(name, entry)
        check(figures["workloads"], GPU_BOUNDS, BPX)
        assert {"name", "versions"} <= set(figures["machine"])
        assert {"rehearsal", "not begun", "seconds", "rounds"} <= set(figures)
    except (ValueError, KeyError, TypeError, AttributeError, AssertionError, OSError) as error:
        parser.error(
            f"--{option}: expected a file of figures that this program wrote, got {path}"
            f" ({type(error).__name__}: {error})"
        )
    return figures


def absent(name: str, options: argparse.Namespace) -> str | None:
    """Why a contender does not take part."""
    if any(fnmatchcase(name, pattern) for pattern in options.without):
        return "left out (--without)"
    contender = CONTENDERS[name]
    if contender.installed or (options.device == "cpu" and contender.module in IN_NUMPY):
        return None
    return f"missing (extra '{contender.extra}')"


def begun(options: argparse.Namespace) -> dict[str, Any]:
    """The figures to go on with: none, or those of the file to resume."""
    described = machine.describe(os.cpu_count() or 1)
    if options.device == "gpu":
        described |= machine.device()
    figures: dict[str, Any] = {
        "machine": described | {"libraries": {}},
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "rounds": options.rounds,
        "rehearsal": options.device == "cpu" or options.quick,
        "workloads": {},
        "not begun": [],
        "seconds": 0,
    }
    before = options.figures
    if before is None:
        return figures
    for what, old, new in (
        ("machine", before["machine"]["name"], described["name"]),
        ("versions", before["machine"]["versions"], described["versions"]),
        ("rehearsal", before["rehearsal"], figures["rehearsal"]),
        ("rounds", before["rounds"], options.rounds),
    ):
        if old != new:
            sys.exit(f"--resume: its figures are of another {what}, {old}; here it is {new}. Begin anew, without it.")
    return before


def lacks(entry: dict[str, Any] | None) -> int:
    """0 where a workload's figures are all there, 1 where it was not measured, 2 where a contender failed."""
    if entry is None:
        return 1
    return 2 * any("failed" in result for result in entry["contenders"].values())


def measure(options: argparse.Namespace, target: Path | None) -> dict[str, Any]:
    """Run the workloads one after the other; each is printed, and all figures written, as soon as it is done."""
    start = time.monotonic()
    figures = begun(options)
    there, before = figures["workloads"], figures["seconds"]
    # What was never measured comes before what failed.
    todo = sorted((w for w in options.workloads if lacks(there.get(w.name))), key=lambda w: lacks(there.get(w.name)))

    figures["not begun"] = [w.name for w in todo]

    def limit() -> float:
        return min(LONGEST, max(LEAST, start + options.budget + GRACE - time.monotonic()))

    with TemporaryDirectory(prefix="bpx-benchmarks-") as folder:
        arguments = (Path(folder), os.cpu_count() or 1, options.rounds, options.quick, options.device, 1, limit)
        with Processes(*arguments) as processes:
            for workload in todo:
                if time.monotonic() - start > options.budget:
                    break
                there[workload.name] = entry = one(workload, processes, options, figures["machine"]["libraries"])
                if any("imitation" in text for text in figures["machine"]["libraries"].values()):
                    figures["rehearsal"] = True  # CUDA on the CPU, as the tests have it
                figures["seconds"] = round(before + time.monotonic() - start)
                figures["not begun"].remove(workload.name)
                print(f"{table(workload.name, entry)}\n{remarks(entry)}", flush=True)
                if target is not None:
                    write(figures, target)
        if any(lacks(there.get(w.name)) == 2 for w in todo):
            errors = (Path(folder) / "errors.txt").read_text(encoding="utf-8", errors="replace")
            sys.stderr.write(errors[-4_000:])
            if options.json is not None:
                options.json.with_suffix(".errors.txt").write_text(errors[-1_000_000:], encoding="utf-8")
    return figures


def one(
    workload: Workload, processes: Processes, options: argparse.Namespace, libraries: dict[str, str]
) -> dict[str, Any]:
    """A workload's figures, with those who do not take part."""
    start = time.monotonic()
    away = {name: why for name in workload.contenders if (why := absent(name, options)) is not None}
    measured, busy = processes.measure(workload, [n for n in workload.contenders if n not in away], progress)
    progress("")
    measured = same_work(measured, BPX, TOLERANCE.get(workload.options["precision"], 0.02))
    results = {n: {"missing": away[n]} if n in away else measured[n] for n in workload.contenders}
    for name, result in results.items():
        if "with" in result.get("notes", {}):
            libraries[name] = result["notes"].pop("with")
    entry = {
        "title": workload.title, "unit": workload.unit, "contenders": results,
        "ratios": ratios(workload, results), "others_busy": round(busy, 4),
        "seconds": round(time.monotonic() - start, 1),
    }  # fmt: skip
    return entry | ({"state": machine.device_state()} if options.device == "gpu" else {})


def remarks(entry: dict[str, Any]) -> str:
    """What contenders said of how they did it."""
    lines = []
    for name, result in entry["contenders"].items():
        notes = result.get("notes", {})
        said = [str(notes[key]) for key in ("launches", "multiplied", "data") if key in notes] + notes.get("log", [])
        lines += [f"  {name}: {line}\n" for line in said]
    return "".join(lines)


def judged(figures: dict[str, Any]) -> list[Outcome]:
    """The bounds; none of them on a rehearsal."""
    return [] if figures["rehearsal"] else check(figures["workloads"], GPU_BOUNDS, BPX)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, write, check; the exit status."""
    options = parse(arguments)
    if options.load is not None:
        figures, target = options.figures, options.json
        chosen = {workload.name for workload in options.workloads}
        figures["workloads"] = {name: entry for name, entry in figures["workloads"].items() if name in chosen}
        for name, entry in figures["workloads"].items():
            print(f"{table(name, entry)}\n{remarks(entry)}")
    else:
        # A part of the suite, and what was no measurement, goes to a file only where one is named.
        whole = not (options.only or options.without or options.quick or options.device == "cpu")
        target = options.json or (RESULTS / f"{machine.device()['name']}.json" if whole else None)
        figures = measure(options, target)
    outcomes = judged(figures)
    figures["bounds"] = [asdict(outcome) | {"verdict": outcome.verdict} for outcome in outcomes]
    if target is not None:
        write(figures, target)
        print(f"figures: {target}")
        if find_spec("matplotlib") is not None and draw_gpu(figures, target.with_suffix(".png")):
            print(f"picture: {target.with_suffix('.png')}")
    failed = print_failures(figures)
    nothing = bool(failed) and not any(
        "median" in result for entry in figures["workloads"].values() for result in entry["contenders"].values()
    )
    if figures["not begun"]:
        print(f"Not begun, because the time was up (go on with --resume): {', '.join(figures['not begun'])}")
    if figures["rehearsal"]:
        print("A rehearsal: these times mean nothing.")
    else:
        print(f"Bounds (figure <= bound):\n{bounds_table(outcomes)}")
    kept = not figures["not begun"] and all(o.verdict == "pass" for o in outcomes)
    # A contender that failed is a line, but a run without a single figure has failed.
    return int(nothing or (options.check and not kept))


if __name__ == "__main__":
    sys.exit(main())
