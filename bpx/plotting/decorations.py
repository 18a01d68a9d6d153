"""Title, legend and colour bar. `own` says whether the display made the figure; else the user passed the axes."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes

from bpx.plotting.style import width_in_points

# Points; narrower axes have a smaller title.
NARROW = 330.0
# Font sizes of a legend in the user's axes, in points, and the share of their height and width that it may take.
LEGEND_SIZES, LEGEND_HEIGHT, LEGEND_WIDTH = (9.0, 8.0, 7.0), 0.62, 0.8


def set_title(ax: Axes, text: str, *, own: bool, loc: Any = None) -> Any:
    """Set the title, wrapped to the width of an own figure, or of the user's axes at the time of drawing."""
    title: Any = ax.set_title(text, loc=loc, wrap=True)
    if not own:
        # Later colour bars and axes change the width, so it is computed at each drawing. Matplotlib has no public way
        # to wrap to anything but the figure.
        title._get_wrap_line_width = lambda: ax.get_window_extent().width
        if width_in_points(ax) < NARROW:
            title.set_fontsize(10.0)
    return title


def add_legend(ax: Axes, handles: Any, names: list[str], *, own: bool, beside: bool, **look: Any) -> Any:
    """Draw the legend beside or inside the axes; in the user's axes it is always inside and cut to fit."""
    if own:
        place: Any = {"loc": "upper left", "bbox_to_anchor": (1.0, 1.0), "borderaxespad": 0.4} if beside else {}
        return ax.legend(handles, names, **(place | look))
    figure: Any = ax.get_figure(root=True)
    handles = list(handles)
    tight = {"handlelength": 1.4, "labelspacing": 0.25, "borderpad": 0.3, "handletextpad": 0.5, "framealpha": 0.8}
    for kept in range(len(names), 0, -1):
        labels = names[:kept]
        if kept < len(names):
            labels[-1] += f"  (and {len(names) - kept} more)"
        for size in LEGEND_SIZES:
            made = ax.legend(handles[:kept], labels, fontsize=size, title_fontsize=size, **(tight | look))
            made.set_in_layout(False)
            figure.draw_without_rendering()
            box, room = made.get_window_extent(), ax.get_window_extent()
            if box.height <= LEGEND_HEIGHT * room.height and box.width <= LEGEND_WIDTH * room.width:
                return made
    return made


def add_colorbar(ax: Axes, image: Any, *, own: bool, **look: Any) -> Any:
    """Draw the colour bar; in the user's axes without a layout engine the axes shrink for its label."""
    figure: Any = ax.get_figure(root=True)
    if not own and figure.get_layout_engine() is None:
        look |= {"fraction": float(np.clip(76.0 / max(width_in_points(ax), 1.0), 0.15, 0.4))}
    return figure.colorbar(image, ax=ax, **look)
