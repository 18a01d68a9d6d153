"""Measure bpx against its peers. Run: python benchmarks/run.py; README.md beside it says what the figures mean."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from fnmatch import fnmatchcase
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import machine
from bounds import check
from contenders import CONTENDERS
from picture import draw
from processes import Processes
from report import bounds_table, print_failures, ratios, table, write
from workloads import ALL, DEFAULT, Workload

# Kinds of workloads in which all contenders follow one trajectory; conjugate gradients part ways by rounding.
SAME_LOSS = ("step", "fit", "full_batch")
RESULTS = Path(__file__).with_name("results")


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line, checked."""
    parser = argparse.ArgumentParser(description="Measure bpx, its peers and the floor.")
    add = parser.add_argument
    add("--only", nargs="+", metavar="NAME", help="these workloads; a name may be a pattern such as 'step-*'")
    add("--full", action="store_true", help="every network, activation, optimizer and dtype")
    add("--peers", action="store_true", help="torch and JAX too; any peer that is missing is an error")
    add("--check", action="store_true", help="compare with the bounds; exit 1 where one is not kept")
    add("--json", type=Path, metavar="FILE", help="where the figures go, in place of results/MACHINE.json")
    add("--load", type=Path, metavar="FILE", help="do not measure: take the figures of that file")
    add("--rounds", type=int, default=5, metavar="N", help="of each contender (5)")
    add("--threads", type=int, default=min(2, os.cpu_count() or 1), metavar="N", help="of each contender (2)")
    add("--quick", action="store_true", help="shortest rounds, to see whether everything runs")
    options = parser.parse_args(arguments)
    if options.rounds < 1 or options.threads < 1:
        parser.error("--rounds and --threads: expected at least 1")
    if options.load is not None and not options.load.is_file():
        parser.error(f"--load: there is no file {options.load}")
    options.figures = None if options.load is None else load(parser, options.load)
    if options.check and (options.quick or options.rounds < 5) and options.load is None:
        parser.error("--check: the bounds are for medians of at least 5 full rounds")
    pool = ALL if options.full or options.only else DEFAULT
    for pattern in options.only or ():
        if not any(fnmatchcase(name, pattern) for name in pool):
            parser.error(f"--only: no workload {pattern!r}; there are\n  " + "\n  ".join(pool))
    options.workloads = [
        w for w in pool.values() if not options.only or any(fnmatchcase(w.name, pattern) for pattern in options.only)
    ]
    if options.peers and options.load is None:
        taking_part = {name for w in options.workloads for name in w.contenders}
        missing = sorted({(c.needs, c.extra) for n, c in CONTENDERS.items() if n in taking_part and not c.installed})
        if missing:
            extras = ",".join(sorted({extra for _, extra in missing}))
            parser.error(f"--peers: not installed: {', '.join(p for p, _ in missing)}; pip install -e '.[{extras}]'")
    return options


def load(parser: argparse.ArgumentParser, path: Path) -> dict[str, Any]:
    """The figures in a file that an earlier run wrote."""
    try:
        figures: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        for name, entry in figures["workloads"].items():
            table(name, entry)
        check(figures["workloads"])
    except (ValueError, KeyError, TypeError, AttributeError, OSError) as error:
        parser.error(
            f"--load: expected a file of figures that this program wrote, such as one of {RESULTS.name}/, got"
            f" {path} ({type(error).__name__}: {error})"
        )
    return figures


def absent(name: str, peers: bool) -> str | None:
    """Why a contender does not take part."""
    contender = CONTENDERS[name]
    if contender.extra == "peers" and not peers:
        return "not asked for (--peers)"
    return None if contender.installed else f"missing (extra '{contender.extra}')"


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Run the workloads one after the other, printing each table as it is done."""
    start = time.time()
    figures: dict[str, Any] = {
        "machine": machine.describe(options.threads),
        "date": time.strftime("%Y-%m-%d", time.gmtime(start)),
        "rounds": options.rounds,
        "workloads": {},
    }
    with TemporaryDirectory(prefix="bpx-benchmarks-") as folder:
        with Processes(Path(folder), options.threads, options.rounds, options.quick) as processes:
            for workload in options.workloads:
                figures["workloads"][workload.name] = entry = one(workload, processes, options.peers)
                print(f"{table(workload.name, entry)}\n", flush=True)
        if any("failed" in r for w in figures["workloads"].values() for r in w["contenders"].values()):
            sys.stderr.write((Path(folder) / "errors.txt").read_text(encoding="utf-8"))
    figures["seconds"] = round(time.time() - start)
    return figures


def one(workload: Workload, processes: Processes, peers: bool) -> dict[str, Any]:
    """A workload's figures, with those who do not take part."""
    start = time.time()
    away = {name: why for name in workload.contenders if (why := absent(name, peers)) is not None}
    measured, busy = processes.measure(workload, [n for n in workload.contenders if n not in away], progress)
    progress("")
    if workload.kind in SAME_LOSS:
        measured = same_work(measured)
    results = {n: {"missing": away[n]} if n in away else measured[n] for n in workload.contenders}
    return {
        "title": workload.title, "unit": workload.unit, "contenders": results,
        "ratios": ratios(workload, results), "others_busy": round(busy, 4),
        "seconds": round(time.time() - start, 1),
    }  # fmt: skip


def same_work(results: dict[str, Any], own: str = "bpx", tolerance: float = 0.02) -> dict[str, Any]:
    """Results in which a contender has failed whose loss is not bpx's: a time of other work says nothing."""
    losses = {name: result["notes"]["loss"] for name, result in results.items() if "loss" in result.get("notes", {})}
    expected = losses.get(own)
    checked = dict(results)
    for name, loss in losses.items():
        if expected is not None and not abs(loss - expected) <= tolerance * abs(expected):  # also where it is NaN
            checked[name] = {"failed": f"its loss is {loss:.4g}, that of bpx {expected:.4g}: it did other work"}
    return checked


def progress(line: str) -> None:
    """What is being done, on a terminal's last line."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\033[K{line}")
        sys.stderr.flush()


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, write, check; the exit status."""
    options = parse(arguments)
    if options.load is not None:
        figures = options.figures
        chosen = {workload.name for workload in options.workloads} if options.only else set(figures["workloads"])
        figures["workloads"] = {name: entry for name, entry in figures["workloads"].items() if name in chosen}
        for name, entry in figures["workloads"].items():
            print(f"{table(name, entry)}\n")
    else:
        figures = measure(options)
    # A part of the suite goes to a file only where one is named.
    target = options.json or (None if options.only or options.load else RESULTS / f"{figures['machine']['name']}.json")
    if target is not None:
        write(figures, target)
        print(f"figures: {target}")
        if find_spec("matplotlib") is not None and draw(figures, target.with_suffix(".png")):
            print(f"picture: {target.with_suffix('.png')}")
    failed = print_failures(figures)
    outcomes = check(figures["workloads"]) if options.check else []
    if options.check:
        print(f"Bounds (figure <= bound):\n{bounds_table(outcomes)}")
    return int(bool(failed) or any(outcome.verdict != "pass" for outcome in outcomes))


if __name__ == "__main__":
    sys.exit(main())
