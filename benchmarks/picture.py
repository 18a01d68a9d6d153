"""The pictures: time of a step over network size, and on a GPU over precision too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gpu_workloads import GPU, GPU_MAIN, LARGEST, PRECISIONS
from workloads import MAIN, Workload, n_params

__all__ = ["draw", "draw_gpu"]

# Okabe and Ito's colours, which most colour-blind readers can tell apart; markers and dashes say it once more.
LINES = {
    "scikit-learn": ("#E69F00", "s", "-"),
    "torch": ("#D55E00", "^", "-"),
    "torch.compile": ("#CC79A7", "v", "-"),
    "JAX": ("#009E73", "D", "-"),
    "JAX scan": ("#009E73", "d", "--"),
    "bpx on NumPy": ("#56B4E9", "o", "--"),
    "bpx": ("#0072B2", "o", "-"),
    "floor": ("#000000", "", ":"),
}
GPU_LINES = {
    "torch eager": ("#D55E00", "^", "-"),
    "torch max-autotune": ("#CC79A7", "v", "-"),
    "JAX jit": ("#009E73", "D", "-"),
    "bpx on CuPy, formulas alone": ("#E69F00", "o", ":"),
    "bpx on CuPy without capture": ("#56B4E9", "o", "--"),
    "bpx on CuPy": ("#0072B2", "o", "-"),
    "products by CuPy": ("#000000", "", ":"),
    "products by torch": ("#888888", "", "--"),
}
LABELS = {
    "floor": "gather and products alone",
    "products by CuPy": "products alone, by CuPy",
    "products by torch": "products alone, by torch, as a graph",
}
WIDE = ("bpx", "bpx on CuPy")


def draw(figures: Mapping[str, Any], path: Path) -> bool:
    """Draw the figures of a run's JSON; False where it has fewer than two networks."""
    rows = [w for w in MAIN if w.name in figures["workloads"]]
    if len(rows) < 2:
        return False
    figure = new_figure(8.4)
    times, over_floor = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    over_size(figures, rows, LINES, times, over_floor)
    over_floor.set(ylabel="times gather and products alone")
    machine = figures["machine"]
    times.set_title(f"ReLU, Adam, float32; {machine['processor']}, {machine['threads']} threads", fontsize=10)
    figure.savefig(path, dpi=100)
    return True


def draw_gpu(figures: Mapping[str, Any], path: Path) -> bool:
    """The same of a run on a GPU, with the largest network's step in each precision beside it."""
    rows = [w for w in GPU_MAIN if w.name in figures["workloads"]]
    if len(rows) < 2:
        return False
    found = {
        precision: entry
        for precision in PRECISIONS
        if (entry := medians(figures, f"step-{LARGEST}-{precision}"))
    }  # fmt: skip
    figure = new_figure(11.6 if len(found) > 1 else 8.8)
    parts = figure.subfigures(2, 1, height_ratios=(8.8, 3.4)) if len(found) > 1 else [figure]
    times, over_floor = parts[0].subplots(2, 1, sharex=True, height_ratios=(3, 2))
    over_size(figures, rows, GPU_LINES, times, over_floor)
    over_floor.set(ylabel="times the faster products alone")
    if len(found) > 1:
        over_precision(found, parts[1].subplots())
    machine = figures["machine"]
    device = (machine.get("device") or {}).get("name") or machine["processor"]
    title = f"ReLU, Adam, float32; {device}, {figures['date']}"
    times.set_title(f"{title} (a rehearsal: means nothing)" if figures["rehearsal"] else title, fontsize=10)
    figure.savefig(path, dpi=100)
    return True


def new_figure(height: float) -> Any:
    """An empty one, without a window."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def over_size(
    figures: Mapping[str, Any], rows: Sequence[Workload], lines: Mapping[str, Any], times: Any, over_floor: Any
) -> None:
    """Times over number of parameters, and below them over the floor."""
    sizes = {w.name: n_params(w.options["sizes"]) for w in rows}
    by_row = {w.name: medians(figures, w.name) for w in rows}
    floors = {w.name: [by_row[w.name][name] for name in w.floors if name in by_row[w.name]] for w in rows}
    for name in lines:
        found = {row: entry[name] for row, entry in by_row.items() if name in entry}
        if found:
            times.plot([sizes[w] for w in found], [1e6 * value for value in found.values()], **style(name, lines))
            shared = [w for w in found if floors[w]]
            over = [found[w] / min(floors[w]) for w in shared]
            over_floor.plot([sizes[w] for w in shared], over, **style(name, lines))
    times.set(xscale="log", yscale="log", ylabel="µs per training step")
    over_floor.set(yscale="log", xlabel="network, number of parameters")
    low, high = over_floor.get_ylim()
    ticks = [t for t in (0.1, 0.2, 0.5, 1, 1.5, 2, 3, 5, 10, 20, 50, 100, 200) if low <= t <= high]
    over_floor.set_yticks(ticks, [f"{t:g}" for t in ticks])
    # Every second label is lower, because neighbours would run into each other.
    labels = [
        "\n\n" * (i % 2) + f"{'-'.join(map(str, w.options['sizes']))}\n{sizes[w.name]:,}".replace(",", " ")
        for i, w in enumerate(rows)
    ]
    over_floor.set_xticks(list(sizes.values()), labels)
    for axes in (times, over_floor):
        axes.minorticks_off()
        axes.grid(alpha=0.3)
    times.legend(frameon=False)


def over_precision(found: Mapping[str, Mapping[str, float]], axes: Any) -> None:
    """The largest network's step in each precision, over the products in that precision."""
    names = [name for name in GPU_LINES if any(name in entry for entry in found.values())]
    labels = []
    for i, (precision, entry) in enumerate(found.items()):
        floors = [entry[name] for name in GPU[f"step-{LARGEST}-{precision}"].floors if name in entry]
        labels.append(f"{precision}\nproducts {1e3 * min(floors):.3g} ms" if floors else precision)
        for k, name in enumerate(names):
            if floors and name in entry:
                place, width = i + (k - (len(names) - 1) / 2) / (len(names) + 1), 1 / (len(names) + 1)
                axes.bar(place, entry[name] / min(floors), width, color=GPU_LINES[name][0])
    axes.axhline(1, color="#000000", linewidth=0.8)
    axes.set_xticks(range(len(found)), labels)
    axes.set(ylabel="times the faster products alone")
    axes.set_title(f"{LARGEST}, batch {GPU[f'step-{LARGEST}-float32'].options['batch']}", fontsize=10)
    axes.grid(axis="y", alpha=0.3)


def style(name: str, lines: Mapping[str, Any]) -> dict[str, Any]:
    """How a contender's line looks."""
    colour, marker, dashes = lines[name]
    return {
        "color": colour, "marker": marker, "linestyle": dashes, "markersize": 5,
        "linewidth": 2.4 if name in WIDE else 1.4, "label": LABELS.get(name, name),
    }  # fmt: skip


def medians(figures: Mapping[str, Any], workload: str) -> dict[str, float]:
    """A workload's medians by contender, in seconds."""
    entry = figures["workloads"].get(workload, {"contenders": {}})["contenders"]
    return {name: result["median"] for name, result in entry.items() if "median" in result}
