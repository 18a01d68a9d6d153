"""The workloads of ``scale.py``: what each asks of its processes, and its figures in the suite's form."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from shutil import rmtree
from statistics import median
from typing import Any

from processes import Quiet
from workloads import n_params

from scaling import launcher

__all__ = ["ENTRIES", "Plan"]

NETWORK, BATCH = [784, 2048, 2048, 10], 1024


@dataclass(frozen=True)
class Plan:
    """How to measure.

    Parameters
    ----------
    folder : Path
        For files; removed afterwards.
    rounds, threads : int
    quick, written : bool
    environment : mapping of str to str
        Of the processes.
    """

    folder: Path
    rounds: int
    threads: int
    quick: bool
    written: bool
    environment: Mapping[str, str]

    def ask(self, module: str, task: str, threads: int | None = None, ranks: int = 0, **options: Any) -> Any:
        """A round's answer."""
        return launcher.ask(module, task, options, self.environment, threads or self.threads, ranks)


def entry(
    title: str, unit: str, values: Mapping[str, Any], over: str | None = None, notes: Mapping[str, Any] | None = None,
    busy: float = 0.0,
) -> dict[str, Any]:  # fmt: skip
    """Figures in the suite's form, from each one's rounds or failure; ratios are medians of the rounds' ratios."""
    contenders: dict[str, Any] = {}
    for name, rounds in values.items():
        if isinstance(rounds, Mapping):
            contenders[name] = dict(rounds)
        else:
            contenders[name] = {"median": median(rounds), "min": min(rounds), "max": max(rounds), "rounds": rounds}
    ratios: dict[str, Any] = {name: {} for name in contenders}
    if over is not None and "median" in contenders.get(over, {}):
        for name, rounds in values.items():
            if not isinstance(rounds, Mapping):
                pairs = [a / b for a, b in zip(rounds, values[over], strict=True)]
                ratios[name] = {"best peer": median(pairs), "peer": over}
    return {
        "title": title, "unit": unit, "contenders": contenders, "ratios": ratios, "notes": dict(notes or {}),
        "others_busy": round(busy, 4),
    }  # fmt: skip


def failure(answer: Any) -> dict[str, Any] | None:
    """What went wrong, if something did."""
    return answer if isinstance(answer, dict) and ({"failed", "missing"} & set(answer)) else None


def turns(work: Mapping[str, Callable[[], Any]], rounds: int) -> tuple[dict[str, Any], float]:
    """Answers of each, in turns whose order rotates, and what share of a processor others used meanwhile."""
    answers: dict[str, Any] = {name: [] for name in work}
    with Quiet() as quiet:
        for number in range(rounds):
            names = list(work)
            for name in names[number % len(names) :] + names[: number % len(names)]:
                if isinstance(answers[name], list):
                    answer = work[name]()
                    answers[name] = failure(answer) or [*answers[name], answer]
    return answers, quiet.others


def ranks(plan: Plan) -> dict[str, Any]:
    """A step on one rank and on two: two worlds, which take turns."""
    title = "One step: 784-2048-2048-10, batch 1024, ReLU, Adam, float32; one BLAS thread for each rank"
    names = ("one rank", "two ranks")
    away = launcher.missing()
    if away is not None:
        return entry(title, "ms", {name: {"missing": away} for name in names})
    sizes, batch = ([784, 64, 10], 128) if plan.quick else (NETWORK, BATCH)

    def train(size: int) -> Callable[[], Any]:
        steps = 2 if plan.quick else 40
        return lambda: plan.ask("ranks", "train", 1, size, sizes=sizes, batch=batch, steps=steps)

    answers, busy = turns({name: train(i + 1) for i, name in enumerate(names)}, plan.rounds)
    values: dict[str, Any] = {}
    losses = {}
    for name, answer in answers.items():
        values[name] = answer if isinstance(answer, dict) else [a["seconds"] for a in answer]
        if isinstance(answer, list):
            losses[name] = answer[0]["loss"]
    if len(losses) == 2 and not abs(losses["two ranks"] / losses["one rank"] - 1) < 1e-3:
        values["two ranks"] = {"failed": f"its loss is {losses['two ranks']}, not {losses['one rank']}"}
    made = entry(title, "ms", values, "one rank", {"loss": losses}, busy)
    ratio = made["ratios"].get("two ranks", {}).get("best peer")
    return (
        made if ratio is None else made | {"notes": made["notes"] | {"speed of two ranks over one": f"{1 / ratio:.2f}"}}
    )


def reduce(plan: Plan) -> dict[str, Any]:
    """The sum over two ranks alone, by the message's size."""
    title = "MPI's all-reduce of float32 in place, two ranks, by the message's size"
    if (away := launcher.missing()) is not None:
        return entry(title, "µs", {"two ranks": {"missing": away}})
    largest = 16 if plan.quick else 26
    sizes = sorted([2**k for k in range(10, largest + 1, 2)] + ([] if plan.quick else [4 * n_params(tuple(NETWORK))]))
    work = {"": lambda: plan.ask("ranks", "reduce", 1, 2, sizes=sizes, seconds=0.01 if plan.quick else 0.3)}
    answers, busy = turns(work, plan.rounds)
    found = answers[""]
    if isinstance(found, dict):
        return entry(title, "µs", {"two ranks": found})
    values = {_bytes(size): [answer[str(size)] for answer in found] for size in sizes}
    speed = {_bytes(size): f"{size / median(values[_bytes(size)]) / 1e9:.2f} GB/s" for size in sizes}
    return entry(title, "µs", values, notes={"bandwidth": speed}, busy=busy) | {"bytes": sizes}


def parts(plan: Plan) -> dict[str, Any]:
    """What a step of `ranks` consists of: on one thread alone, and on two ranks at once, which share memory."""
    sizes, batch = ([784, 64, 10], 128) if plan.quick else (NETWORK, BATCH)
    options = {"sizes": sizes, "batch": batch, "repeats": 1 if plan.quick else 5}
    work = {"": lambda: plan.ask("ranks", "parts", 1, **options)}
    if launcher.missing() is None:
        work[", on two ranks at once"] = lambda: plan.ask("ranks", "parts", 1, 2, at_once=True, **options)
    answers, busy = turns(work, plan.rounds)
    values: dict[str, Any] = {}
    for where, found in answers.items():
        if isinstance(found, dict):
            values[f"parts{where}"] = found
        else:
            values |= {f"{name}{where}": [answer[name] for answer in found] for name in found[0]}
    return entry("Parts of that step, one thread each", "ms", values, busy=busy)


def stream_memory(plan: Plan) -> dict[str, Any]:
    """The peak of private memory in an epoch over 20 GB."""
    rows = 100_000 if plan.quick else 20 * 10**9 // (784 * 4) + 1
    folder = _large(plan, rows)
    title = f"Private memory, pages of files not counted: one epoch over {rows * 784 * 4 / 1e9:.3g} GB of rows"
    answers, busy = turns({"": lambda: plan.ask("stream", "memory", folder=folder, rows=rows)}, 1)
    found = answers[""]
    if isinstance(found, dict):
        return entry(title, "MB", {"peak": found})
    names = {"peak": "peak", "before": "before the fit", "at the end, smaps_rollup": "at the end, by smaps_rollup"}
    measured = found[0]
    notes = {
        "rows per second, whole fit": f"{measured['rows'] / measured['seconds']:.4g}",
        "GB per second": f"{measured['bytes per second'] / 1e9:.3g}",
        "resident with pages of the file, MB": f"{measured['with pages of the file'] / 1e6:.0f}",
        "file": _kind(plan),
    }
    return entry(title, "MB", {names[key]: [float(measured[key])] for key in names}, notes=notes, busy=busy)


def stream_rate(plan: Plan) -> dict[str, Any]:
    """Time per row of a stream over that of the same rows in memory."""
    rows = 90_000 if plan.quick else 1_000_000
    folder = plan.folder / "part"
    _make(folder, rows, True)
    answers, busy = turns(
        {"": lambda: plan.ask("stream", "rate", folder=str(folder), rows=rows, rounds=plan.rounds)}, 1
    )
    rmtree(folder)
    title = f"Per row: an epoch of {rows} written rows of 784 float32, 784-100-10, batch 200, Adam"
    found = answers[""]
    if isinstance(found, dict):
        return entry(title, "µs", {"stream": found})
    made = entry(title, "µs", found[0], "in memory", busy=busy)
    shares = {name: f"{1 / ratio['best peer']:.2f}" for name, ratio in made["ratios"].items() if ratio}
    return made | {"notes": {"rows per second over those in memory": shares}}


def stream_rows(plan: Plan) -> dict[str, Any]:
    """Time per row of streams of three sizes."""
    counts = (100_000, 110_000, 120_000) if plan.quick else (100_000, 1_000_000, 10_000_000)
    folder = _large(plan, counts[-1])
    names = [f"{count:,} rows".replace(",", " ") for count in counts]
    work = {
        name: lambda count=count: plan.ask("stream", "per_row", folder=folder, rows=count)
        for name, count in zip(names, counts, strict=True)
    }
    answers, busy = turns(work, min(plan.rounds, 3))
    title = "Per row: an epoch of a stream that is read anew, 784-100-10, batch 200, Adam"
    made = entry(title, "µs", answers, names[0], busy=busy)
    medians = [result["median"] for result in made["contenders"].values() if "median" in result]
    spread = f"{max(medians) / min(medians):.2f}" if len(medians) == 3 else "-"
    return made | {"notes": {"largest over smallest": spread, "file": _kind(plan)}}


def sweep(plan: Plan, hidden: int, batch: int) -> dict[str, Any]:
    """64 settings at once and one after the other."""
    title = f"64 settings (learning rate, l2, seed) of 64-{hidden}-10 on digits, batch {batch}, Adam, float32"
    epochs, rounds = (1, 1) if plan.quick else (10, plan.rounds)
    options = {"epochs": epochs, "rounds": rounds, "hidden": hidden, "batch": batch}
    answers, busy = turns({"": lambda: plan.ask("sweep", "sweep", **options)}, 1)
    found = answers[""]
    if isinstance(found, dict):
        return entry(title, "s", {"bpx.sweep": found})
    measured = found[0]
    notes = {key: measured[key] for key in ("largest difference of scores", "ranks them alike")}
    return entry(title, "s", measured["seconds"], "64 single fits", notes, busy)


def _large(plan: Plan, rows: int) -> str:
    """A folder with at least that many rows; made once for all entries, sparse unless they are to be written."""
    folder = plan.folder / "large"
    _make(folder, rows if plan.quick else 10_000_000, plan.written)
    return str(folder)


def _make(folder: Path, rows: int, written: bool) -> None:
    """Files of rows, where there are none that are large enough."""
    from scaling.stream import COLUMNS, make

    if not (folder / "X.raw").exists() or (folder / "X.raw").stat().st_size < rows * COLUMNS * 4:
        folder.mkdir(exist_ok=True)
        make(folder, rows, written)


def _kind(plan: Plan) -> str:
    """What the large file's pages are."""
    return (
        "written, dropped from the page cache first" if plan.written else "a hole (zeros made by the kernel), dropped"
    )


def _bytes(size: int) -> str:
    """Such as ``"64 kB"``, in powers of 1024 where it is one."""
    for unit, factor in (("MB", 2**20), ("kB", 2**10)):
        if size >= factor:
            return f"{size / factor:.4g} {unit}"
    return f"{size} B"


ENTRIES: Mapping[str, Callable[[Plan], dict[str, Any]]] = {
    "ranks": ranks,
    "all-reduce": reduce,
    "step-parts": parts,
    "stream-memory": stream_memory,
    "stream-rate": stream_rate,
    "stream-rows": stream_rows,
    "sweep-64": partial(sweep, hidden=32, batch=32),
    "sweep-64-wide": partial(sweep, hidden=100, batch=200),
}
