"""Title, legend and colour bar, in a figure of our own or in axes that were given."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes

from bpx.plotting.style import width_in_points

# Axes narrower than this, in points, have a smaller title.
NARROW = 330.0
# The sizes of a legend inside given axes, in points, and the share of their height and width that it may take.
LEGEND_SIZES, LEGEND_HEIGHT, LEGEND_WIDTH = (9.0, 8.0, 7.0), 0.62, 0.8


def set_title(ax: Axes, text: str, *, own: bool, loc: Any = None) -> Any:
    """The title, wrapped to a figure of our own, or to the width that given axes have whenever they are drawn."""
    title: Any = ax.set_title(text, loc=loc, wrap=True)
    if not own:
        # What comes later (colour bars, other axes) changes the width, so it is asked for each time. Matplotlib has no
        # public way to wrap to anything but the figure.
        title._get_wrap_line_width = lambda: ax.get_window_extent().width
        if width_in_points(ax) < NARROW:
            title.set_fontsize(10.0)
    return title


def add_legend(ax: Axes, handles: Any, names: list[str], *, own: bool, beside: bool, **look: Any) -> Any:
    """The legend, beside the axes or in them; in given axes always inside, and cut to what there is room for."""
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
    """The colour bar; in given axes without a layout engine it takes room for its label from the axes themselves."""
    figure: Any = ax.get_figure(root=True)
    if not own and figure.get_layout_engine() is None:
        look |= {"fraction": float(np.clip(76.0 / max(width_in_points(ax), 1.0), 0.15, 0.4))}
    return figure.colorbar(image, ax=ax, **look)
