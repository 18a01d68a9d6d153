"""How much each column of a table tells a model: bars of what a score loses when the column is shuffled."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes

from bpx.errors import ShapeError
from bpx.plotting.arguments import numbers
from bpx.plotting.decorations import set_title
from bpx.plotting.style import COLOURS, INK, add_grid, canvas, short_number, shortened

# Of more columns the first ones are drawn.
MOST_COLUMNS = 30
LONGEST_NAME = 28


class ImportanceDisplay:
    """Permutation importances as bars, the largest at the top.

    Parameters
    ----------
    names : sequence of str
        The columns.
    importances : array of shape (columns, repeats)
        How much worse the score gets each time that a column is shuffled, in the score's unit.
    score : float
        The score with all columns as they are.
    scoring : str
        The score's name.
    larger : bool
        Whether a larger score is better.

    Attributes
    ----------
    bars_ : matplotlib BarContainer
        The means; lines on them are the standard deviation over repeats.
    ax_, figure_ : matplotlib Axes and Figure
    """

    def __init__(self, *, names: Any, importances: Any, score: float, scoring: str, larger: bool = True) -> None:
        self.names = [str(name) for name in names]
        self.importances = numbers(importances, "importances")
        if self.importances.ndim != 2 or len(self.importances) != len(self.names) or not self.importances.size:
            raise ShapeError(
                f"importances: expected shape ({len(self.names)}, repeats), a row for each name, got"
                f" {self.importances.shape}"
            )
        self.score, self.scoring, self.larger = float(score), scoring, larger

    def plot(self, ax: Axes | None = None) -> ImportanceDisplay:
        """Draw the bars.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            None makes a figure.

        Returns
        -------
        ImportanceDisplay
            This display.
        """
        mean, spread = self.importances.mean(axis=1), self.importances.std(axis=1)
        order = np.argsort(-mean, kind="stable")[:MOST_COLUMNS]
        with canvas(ax, height=1.5 + 0.28 * len(order)) as (self.figure_, self.ax_):
            add_grid(self.ax_)
            self.ax_.grid(False, axis="y")
            places = np.arange(len(order))
            self.bars_ = self.ax_.barh(
                places, mean[order], xerr=spread[order], height=0.62, color=COLOURS[5],
                error_kw={"ecolor": INK, "elinewidth": 1.2, "capsize": 2.5},
            )  # fmt: skip
            self.ax_.set_yticks(places, [shortened(self.names[i], LONGEST_NAME) for i in order])
            self.ax_.set_ylim(len(order) - 0.4, -0.6)
            self.ax_.axvline(0.0, color=INK, linewidth=0.8)
            self.ax_.tick_params(axis="y", length=0)
            change = "fall" if self.larger else "rise"
            self.ax_.set_xlabel(
                f"{change} of {self.scoring} when the column is shuffled (mean and standard"
                f" deviation of {self.importances.shape[1]})"
            )
            more = f", {len(order)} of {len(self.names)} shown" if len(order) < len(self.names) else ""
            title = f"Columns by importance{more}; {self.scoring} {short_number(self.score)} with all"
            set_title(self.ax_, title, own=ax is None)
        return self

    def close(self) -> None:
        """Close the figure, which pyplot would keep."""
        from matplotlib import pyplot

        pyplot.close(self.figure_)
