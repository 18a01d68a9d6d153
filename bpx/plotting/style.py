"""The style of all pictures: colours that colour-blind readers can distinguish, sizes for a width of 800 pixels."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

# Okabe and Ito's colours, with a darker yellow. Blue, orange and black, which differ in a grey print too, come first.
COLOURS = ("#0072B2", "#E69F00", "#000000", "#009E73", "#D55E00", "#56B4E9", "#CC79A7", "#8C6D00")
# The colours of classes: black comes last, as its tint is a grey.
CLASS_COLOURS = tuple(sorted(COLOURS, key=lambda colour: colour == "#000000"))
# Shapes of points, in addition to their colours.
MARKERS = ("o", "^", "s", "D", "v", "P", "X", "*", "<", ">", "h")
INK = "#222222"
SEQUENTIAL = "viridis"
DIVERGING = "RdBu_r"

# DejaVu Sans comes with matplotlib and has all signs used here; Chinese, Japanese and Korean names need one of these.
CJK = (
    "Noto Sans CJK SC", "Noto Sans CJK JP", "Noto Sans SC", "Source Han Sans SC", "WenQuanYi Zen Hei",
    "WenQuanYi Micro Hei", "PingFang SC", "Heiti SC", "Hiragino Sans GB", "Microsoft YaHei", "SimHei",
    "Droid Sans Fallback",
)  # fmt: skip


def _families() -> list[str]:
    """Font families in order of preference; only installed ones, as matplotlib warns of others."""
    found = [family for name in CJK if (family := _in_both_weights(name))]
    return ["DejaVu Sans", *found, "sans-serif"]


def _in_both_weights(name: str) -> str | None:
    """A name by which the family has a normal and a bold face; None if it is not installed.

    Matplotlib logs a warning for each family without a face of the wanted weight, even if no sign of it is used. A
    family with one weight only is therefore registered under another name, with its nearest face for both weights.
    """
    faces = [face for face in font_manager.fontManager.ttflist if face.name == name and face.style == "normal"]
    weights = [font_manager.weight_dict.get(face.weight, face.weight) for face in faces]
    if not faces or {400, 700} <= set(weights):
        return name if faces else None
    alias = f"{name} (bpx)"
    if alias not in font_manager.get_font_names():
        for wanted in (400, 700):
            nearest = min(range(len(faces)), key=lambda i: abs(int(weights[i]) - wanted))
            font_manager.fontManager.ttflist.append(replace(faces[nearest], name=alias, weight=wanted))
    return alias


STYLE: dict[str, Any] = {
    "figure.figsize": (8.0, 5.0),
    "figure.dpi": 100,
    "savefig.dpi": 100,
    "figure.constrained_layout.use": True,
    "figure.constrained_layout.w_pad": 0.1,
    "figure.constrained_layout.h_pad": 0.08,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "font.family": _families(),
    "font.size": 11,
    "axes.titlesize": 12,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 8,
    "axes.labelsize": 11,
    "axes.facecolor": "white",
    "axes.edgecolor": "#666666",
    "axes.labelcolor": INK,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": False,
    "axes.prop_cycle": mpl.cycler(color=COLOURS),
    "text.color": INK,
    "xtick.labelsize": 10,
    "ytick.labelsize": 10,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.fontsize": 10,
    "legend.title_fontsize": 10,
    "legend.frameon": True,
    "legend.framealpha": 0.9,
    "legend.edgecolor": "#cccccc",
    "lines.linewidth": 2.0,
    "lines.markersize": 6,
    "image.interpolation": "nearest",
    "image.cmap": SEQUENTIAL,
    "mathtext.fontset": "dejavusans",
    "text.usetex": False,
}


@contextmanager
def style() -> Iterator[None]:
    """A context in which Matplotlib uses the style of bpx's pictures, as for a figure with several axes.

    Figures are 8 x 5 inches. The rcParams of before are restored at the end.
    """
    interactive = mpl.is_interactive()
    try:
        with mpl.rc_context(STYLE):
            try:
                yield
            finally:
                interactive = mpl.is_interactive()
    finally:
        # The first figure in a notebook selects the backend and switches interactive mode on, which has to stay: with
        # the rcParams of before, no later picture would be displayed.
        mpl.interactive(interactive)


@contextmanager
def canvas(ax: Any, height: float = 5.0, layout: str = "constrained") -> Iterator[tuple[Figure, Axes]]:
    """A context in the style, with the figure and axes to draw in: those of `ax`, or new ones 800 pixels wide.

    `height` is in inches, `layout` a layout engine of Matplotlib; both are for a new figure.

    Raises
    ------
    TypeError
        If `ax` is not one Axes.
    """
    if ax is not None and not isinstance(ax, Axes):
        raise TypeError(f"ax: expected a matplotlib Axes, got {type(ax).__name__}; of several subplots pass one")
    if ax is not None:
        with np.errstate(all="ignore"), style():
            yield ax.get_figure(root=True), ax
        return
    from matplotlib import pyplot  # selects Matplotlib's backend, so it is imported as late as possible

    # The first figure of a process loads Matplotlib's backend, which may set rcParams: it has to come before the style,
    # whose end undoes all changes since its beginning.
    figure = pyplot.figure(figsize=(8.0, height), dpi=STYLE["figure.dpi"], facecolor=STYLE["figure.facecolor"])
    try:
        with np.errstate(all="ignore"), style():
            figure.set_layout_engine(layout)
            yield figure, figure.subplots()
    except BaseException:
        pyplot.close(figure)
        raise


def add_grid(ax: Axes) -> None:
    """Draw pale grid lines, and set the style of ticks."""
    ax.grid(True, color="#e6e6e6", linewidth=0.8)
    style_ticks(ax)


def style_ticks(ax: Axes) -> None:
    """Set the style of ticks, also of those that are made later."""
    ax.tick_params(labelsize=mpl.rcParams["xtick.labelsize"], color="#666666", labelcolor=INK)


def width_in_points(ax: Axes) -> float:
    """The present width of axes, in points."""
    return float(ax.get_window_extent().width * 72 / ax.get_figure(root=True).dpi)


def tint(colour: Any, share: float) -> tuple[float, float, float]:
    """A colour mixed with white; `share` is the share of the colour."""
    red, green, blue = (share * part + 1 - share for part in to_rgb(colour))
    return red, green, blue


def contrasting(colour: Any) -> str:
    """Black or white, whichever has more contrast with a colour, by its relative luminance (WCAG 2, section 1.4.3)."""
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in to_rgb(colour)]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return "black" if luminance > 0.179 else "white"


def shortened(name: str, most: int) -> str:
    """A name with its middle left out if it is too long: related names differ at their beginning or end."""
    tail = (most - 1) // 2
    return name if len(name) <= most else f"{name[: most - 1 - tail]}…{name[-tail:]}"


def short_number(value: float, decimals: int = 4) -> str:
    """A number as a short text, such as 0.1, 0.0994 or 1.1e-05, with a minus sign and not a hyphen."""
    value = float(value)
    rounded = round(value, decimals)
    if value != value or value in (float("inf"), float("-inf")):
        text = str(value).replace("inf", "∞").replace("nan", "NaN")
    elif abs(value) >= 1e5 or 0 < abs(value) < 0.5 * 10.0 ** (1 - decimals):
        text = f"{value:.1e}"
    elif abs(value - rounded) <= 1e-7 * abs(value):  # as float32 holds 0.1
        text = f"{rounded:.{decimals}f}".rstrip("0").rstrip(".") if decimals > 0 else f"{rounded:.0f}"
    else:
        text = f"{value:.{decimals}f}"
    return ("0" if text == "-0" else text).replace("-", "\N{MINUS SIGN}")
