"""The picture: time of a step over network size."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from workloads import MAIN, n_params

__all__ = ["draw"]

# Okabe and Ito's colours, which most colour-blind readers can tell apart; markers and dashes say it once more.
LINES = {
    "scikit-learn": ("#E69F00", "s", "-"),
    "torch": ("#D55E00", "^", "-"),
    "torch.compile": ("#CC79A7", "v", "-"),
    "JAX": ("#009E73", "D", "-"),
    "bpx without fast": ("#56B4E9", "o", "--"),
    "bpx": ("#0072B2", "o", "-"),
    "floor": ("#000000", "", ":"),
}


def draw(figures: Mapping[str, Any], path: Path) -> bool:
    """Draw the figures of a run's JSON; False where it has fewer than two networks."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = [w for w in MAIN if w.name in figures["workloads"]]
    if len(rows) < 2:
        return False
    figure = Figure(figsize=(8, 8.4), layout="constrained")
    FigureCanvasAgg(figure)
    times, over_floor = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    sizes = {w.name: n_params(w.options["sizes"]) for w in rows}
    floor = medians(figures, "floor")
    for name, (colour, marker, dashes) in LINES.items():
        found = medians(figures, name)
        style = {
            "color": colour, "marker": marker, "linestyle": dashes, "markersize": 5,
            "linewidth": 2.4 if name == "bpx" else 1.4,
            "label": "gather and products alone" if name == "floor" else name,
        }  # fmt: skip
        if found:
            times.plot([sizes[w] for w in found], [1e6 * value for value in found.values()], **style)
            shared = [w for w in found if w in floor]
            over_floor.plot([sizes[w] for w in shared], [found[w] / floor[w] for w in shared], **style)
    times.set(xscale="log", yscale="log", ylabel="µs per training step")
    over_floor.set(yscale="log", ylabel="times gather and products alone", xlabel="network, number of parameters")
    ticks = [t for t in (0.5, 1, 1.5, 2, 3, 5, 10, 20, 50) if over_floor.get_ylim()[0] <= t <= over_floor.get_ylim()[1]]
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
    machine = figures["machine"]
    times.set_title(f"ReLU, Adam, float32; {machine['processor']}, {machine['threads']} threads", fontsize=10)
    figure.savefig(path, dpi=100)
    return True


def medians(figures: Mapping[str, Any], contender: str) -> dict[str, float]:
    """A contender's medians of the networks, in seconds."""
    entries = {w.name: figures["workloads"].get(w.name, {"contenders": {}})["contenders"] for w in MAIN}
    return {name: entry[contender]["median"] for name, entry in entries.items() if "median" in entry.get(contender, {})}
