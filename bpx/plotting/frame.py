"""Title, legend and colour bar: around a figure of our own, within the cell of axes that were given."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes

from bpx.plotting.style import wide

__all__ = ["colour_bar", "legend", "title"]

# Axes narrower than this, in points, have a smaller title.
NARROW = 330.0
# The sizes of a legend inside given axes, in points, and the share of their height and width that it may take.
INSIDE_SIZES, INSIDE_HEIGHT, INSIDE_WIDTH = (9.0, 8.0, 7.0), 0.62, 0.8


def title(ax: Axes, text: str, *, own: bool, loc: Any = None) -> Any:
    """The title, wrapped: to a figure of our own, or to the width that given axes have whenever they are drawn."""
    made: Any = ax.set_title(text, loc=loc, wrap=True)
    if not own:
        # What comes later (colour bars, other axes) changes the width, so it is asked for each time. Matplotlib has no
        # public way to wrap to anything but the figure.
        made._get_wrap_line_width = lambda: ax.get_window_extent().width
        if wide(ax) < NARROW:
            made.set_fontsize(10.0)
    return made


def legend(ax: Axes, handles: Any, names: list[str], *, own: bool, beside: bool, **look: Any) -> Any:
    """The legend: beside the axes or in them; in given ones always inside, cut to what there is room for."""
    if own and beside:
        place: dict[str, Any] = {"loc": "upper left", "bbox_to_anchor": (1.0, 1.0), "borderaxespad": 0.4}
        return ax.legend(handles, names, **(place | look))
    if own:
        return ax.legend(handles, names, loc="best", **look)
    figure: Any = ax.get_figure(root=True)
    handles, names = list(handles), list(names)
    tight = {"handlelength": 1.4, "labelspacing": 0.25, "borderpad": 0.3, "handletextpad": 0.5, "framealpha": 0.8}
    for kept in range(len(names), 0, -1):
        shown = list(names[:kept])
        if kept < len(names):
            shown[-1] += f"  (and {len(names) - kept} more)"
        for size in INSIDE_SIZES:
            # "best" is slow over many points, and over an image finds nothing.
            made = ax.legend(handles[:kept], shown, loc="best", fontsize=size, title_fontsize=size, **(tight | look))
            made.set_in_layout(False)
            figure.draw_without_rendering()
            box, room = made.get_window_extent(), ax.get_window_extent()
            if box.height <= INSIDE_HEIGHT * room.height and box.width <= INSIDE_WIDTH * room.width:
                return made
    return made


def colour_bar(ax: Axes, image: Any, *, own: bool, **look: Any) -> Any:
    """The colour bar; without a layout engine its numbers and label get their room from given axes, not beside them."""
    figure: Any = ax.get_figure(root=True)
    if not own and figure.get_layout_engine() is None:
        share = float(np.clip(76.0 / max(wide(ax), 1.0), 0.15, 0.4))
        look = look | {"fraction": share}
    return figure.colorbar(image, ax=ax, **look)
