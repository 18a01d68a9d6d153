"""The model's tables and picture, and the model beside what ``scale.py`` measured.

Run: ``python benchmarks/on_paper.py [--figures] [--picture FILE] [--measured results/MACHINE-scale.json]``.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

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
    weak_efficiency,
    widest,
)
from published import FIGURES, PRECISIONS, h100
from workloads import n_params

__all__ = ["as_measured", "beside", "draw", "main"]

GPUS = [2**k for k in range(11)]
WIDTHS = (256, 1024, 4096, 16384)
BATCHES = (4096, 65536)
# Layers of weights, all square.
LAYERS = 3
NETWORK, BATCH = (784, 2048, 2048, 10), 1024


def network(width: int) -> tuple[int, ...]:
    """Layers of an MLP of that width."""
    return (width,) * (LAYERS + 1)


def markdown(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A table."""
    lines = [head, ["--:"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def steps_table(machine: Machine, rows: int = 4096) -> str:
    """Parts of a step with so many rows on each device, by width and number of devices."""
    head = ["width", "GPUs", "products", "between", "launches", "all-reduce", "by", "update", "step", "efficiency"]
    lines = []
    for width in WIDTHS:
        sizes = network(width)
        for gpus in (1, 8, 64, 1024):
            s = step(sizes, rows, gpus, machine)
            way = all_reduce(FLOAT * n_params(sizes), gpus, machine)[1]
            parts = (s.products, s.between, s.launches, s.all_reduce)
            efficiency = f"{weak_efficiency(sizes, rows, gpus, machine):.2f}"
            lines.append([width, gpus, *map(_ms, parts), way, _ms(s.update), _ms(s.seconds), efficiency])
    return markdown(head, lines)


def limits_table(machine: Machine) -> str:
    """Where splitting a batch stops paying, and how many rows keep a device busy."""
    head = ["width", *(f"batch {b}: half efficient to, fastest at" for b in BATCHES)]
    head += [f"rows per GPU for 0.8 of {g}" for g in (2, 8, 64, 1024)]
    lines = []
    for width in WIDTHS:
        sizes, cells = network(width), []
        for batch in BATCHES:
            best, gain = fastest(sizes, batch, machine, GPUS)
            cells.append(f"{widest(sizes, batch, machine, GPUS)}, {best} ({gain:.1f} x)")
        needed = [rows_needed(sizes, g, machine) for g in (2, 8, 64, 1024)]
        lines.append([width, *cells, *("any" if n <= 1 else f"{n:.2g}" if n < 100 else _round(n) for n in needed)])
    return markdown(head, lines)


def figures_table() -> str:
    """The published figures and their sources."""
    rows = [[name, f"{figure.value:.4g}", figure.unit, figure.source] for name, figure in FIGURES.items()]
    return markdown(["figure", "value", "unit", "source"], rows)


def as_measured(workloads: dict[str, Any], ranks: int = 1) -> Machine:
    """Processors as devices, from a step's parts and the all-reduce; the parts alone, or while the other rank works."""
    parts, where = workloads["step-parts"]["contenders"], ", on two ranks at once" if ranks > 1 else ""
    rows = BATCH // ranks
    seconds = parts[f"products of {rows} rows{where}"]["median"]
    operations = sum(2 * rows * a * b * (3 if layer else 2) for layer, (a, b) in enumerate(pairwise(NETWORK)))
    entry = workloads["all-reduce"]
    times = [result["median"] for result in entry["contenders"].values()]
    # The message of this network is among the sizes: latency from the smallest, bandwidth from that one.
    size = FLOAT * n_params(NETWORK)
    bandwidth = size / (times[entry["bytes"].index(size)] - times[0])
    return Machine(
        name=f"{ranks} busy", products=operations / seconds,
        memory=ADAM * n_params(NETWORK) / parts[f"update{where}"]["median"],
        launch=0.0, per_node=2, ways=(Way("MPI", ring_steps, times[0], 0.0, 0.0, bandwidth, bandwidth),),
    )  # fmt: skip


def beside(workloads: dict[str, Any]) -> str:
    """The model's step of one and of two ranks beside the measured ones."""
    found = workloads["ranks"]["contenders"]
    head = ["ranks", "parts measured", "products", "between", "all-reduce", "update", "model", "measured", "off by"]
    lines, modelled = [], []
    rows = [(1, 1, "one rank"), (2, 1, "two ranks"), (2, 2, "two ranks")]
    if "update, on two ranks at once" not in workloads["step-parts"]["contenders"]:
        rows.pop()
    for ranks, busy, name in rows:
        s = step(NETWORK, BATCH / ranks, ranks, as_measured(workloads, busy))
        measured = found[name]["median"]
        cells = map(_ms, (s.products, s.between, s.all_reduce, s.update, s.seconds, measured))
        lines.append([ranks, "alone" if busy == 1 else "both at once", *cells, f"{s.seconds / measured - 1:+.0%}"])
        modelled.append(s.seconds)
    speeds = ", ".join(f"{modelled[0] / seconds:.2f}" for seconds in modelled[1:])
    speed = 1 / workloads["ranks"]["ratios"]["two ranks"]["best peer"]
    machine = as_measured(workloads)
    note = (
        f"Milliseconds. Products {machine.products / 1e9:.0f} Gflop/s, memory {machine.memory / 1e9:.1f} GB/s,"
        f" all-reduce {machine.ways[0].in_node / 1e9:.2f} GB/s. Speed of two ranks over one: model {speeds},"
        f" measured {speed:.2f}."
    )
    return f"{markdown(head, lines)}\n\n{note}"


def draw(path: Path) -> None:
    """Efficiency over the number of GPUs: a fixed batch that is split, and fixed rows for each GPU."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    colours = dict(zip(WIDTHS, ("#E69F00", "#009E73", "#0072B2", "#CC79A7"), strict=True))
    markers = dict(zip(WIDTHS, "osD^", strict=True))
    figure = Figure(figsize=(8, 9.6), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(3, 2, sharex=True, sharey=True)
    for column, precision in enumerate(("float32", "TF32")):
        machine = h100(precision)
        panels = [
            (f"{precision}: a batch of 4 096, split", lambda s, g, m=machine: strong_efficiency(s, BATCHES[0], g, m)),
            (f"{precision}: a batch of 65 536, split", lambda s, g, m=machine: strong_efficiency(s, BATCHES[1], g, m)),
            (f"{precision}: 4 096 rows on each GPU", lambda s, g, m=machine: weak_efficiency(s, 4096, g, m)),
        ]
        for axes, (title, efficiency) in zip(grid[:, column], panels, strict=True):
            for width in WIDTHS:
                values = [efficiency(network(width), gpus) for gpus in GPUS]
                axes.plot(
                    GPUS, values, color=colours[width], marker=markers[width], markersize=4, label=f"width {width}"
                )
            axes.axhline(0.8, color="0.6", linewidth=0.8, linestyle=":")
            axes.axvline(8, color="0.8", linewidth=0.8)
            axes.set_title(title, fontsize=10)
            axes.grid(alpha=0.25)
            axes.set(xscale="log", ylim=(0, 1.03))
    for axes in grid[-1]:
        axes.set_xticks(GPUS[::2], [str(g) for g in GPUS[::2]])
        axes.minorticks_off()
        axes.set_xlabel("GPUs (8 to a node: the grey line)")
    for axes in grid[:, 0]:
        axes.set_ylabel("efficiency")
    grid[0, 1].legend(frameon=False, fontsize=9, loc="upper right")
    figure.suptitle("Model, H100 SXM with NVLink and InfiniBand NDR: three square layers, Adam", fontsize=11)
    figure.savefig(path, dpi=100)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the tables; draw the picture."""
    parser = argparse.ArgumentParser(description="The cost of a data-parallel step, on paper.")
    parser.add_argument("--figures", action="store_true", help="the published figures and their sources too")
    parser.add_argument("--picture", type=Path, metavar="FILE", help="draw efficiency over the number of GPUs")
    parser.add_argument("--measured", type=Path, metavar="FILE", help="of scale.py: the model beside what was measured")
    options = parser.parse_args(arguments)
    if options.figures:
        print(f"{figures_table()}\n")
    for precision in PRECISIONS:
        print(f"{precision}: a step of 4 096 rows on each GPU, ms\n\n{steps_table(h100(precision))}\n")
        print(f"{precision}: limits\n\n{limits_table(h100(precision))}\n")
    if options.measured is not None:
        print(beside(json.loads(options.measured.read_text(encoding="utf-8"))["workloads"]))
    if options.picture is not None:
        draw(options.picture)
        print(f"picture: {options.picture}")
    return 0


def _ms(seconds: float) -> str:
    """Milliseconds with three figures."""
    value = 1e3 * seconds
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def _round(rows: float) -> str:
    """Two figures, with a space for thousands."""
    digits = 10 ** (len(str(int(rows))) - 2)
    return f"{round(rows / digits) * digits:,}".replace(",", " ")


if __name__ == "__main__":
    sys.exit(main())
