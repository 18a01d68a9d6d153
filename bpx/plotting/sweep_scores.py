"""The scores of a sweep over its parameters: a line, a heat map, or points for settings that form no grid."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from bpx.backend.select import to_host
from bpx.plotting.arguments import HostArray, received
from bpx.plotting.decorations import add_colorbar, add_legend, set_title
from bpx.plotting.heatmap import draw_cells, name_cells, write_cells
from bpx.plotting.style import COLOURS, INK, SEQUENTIAL, add_grid, canvas

# Columns of a table that are results and not parameters.
RESULTS = ("score", "std", "rank")
# With more cells than this, most of them empty, settings are drawn as points.
FEW_CELLS = 36
# Scores that need more decimals are written with a power of ten.
MOST_DECIMALS = 6
BEST = "#D55E00"


class SweepDisplay:
    """Scores over one or two parameters; made by `from_sweep`.

    Parameters
    ----------
    rows : list of dict
        One per setting: parameters by name, "score", and perhaps "std" and "rank" (1 is best).
    x, y : str
        Parameters to draw over; `y` None draws a line.
    value : str
        The column to draw.
    reduce : {"best", "mean"}
        Which value represents settings that differ only in other parameters.
    scoring : str, optional
        The name of the scores, such as "accuracy".

    Attributes
    ----------
    im_ : matplotlib AxesImage, or PathCollection where there is no grid; None for one parameter
    text_ : array of matplotlib Text, or None
    lines_ : list of matplotlib Line2D
        For one parameter.
    errors_ : matplotlib ErrorbarContainer or None
    best_ : matplotlib artist
        Marks the best setting.
    colorbar_ : matplotlib Colorbar or None
    ax_, figure_ : matplotlib Axes and Figure
    """

    def __init__(
        self,
        *,
        rows: list[dict[str, Any]],
        x: str,
        y: str | None = None,
        value: str = "score",
        reduce: str = "best",
        scoring: str | None = None,
    ) -> None:
        if reduce not in ("best", "mean"):
            raise ValueError(f"reduce: expected 'best' or 'mean', got {reduce!r}")
        if not rows:
            raise ValueError("rows: expected at least one setting, got none")
        for axis, name in (("x", x), ("y", y)):
            if hasattr(name, "shape"):
                raise TypeError(f"{axis}: expected the name of a parameter, got {received(name)}")
        if x == y:
            raise ValueError(f"x and y: expected two parameters, got {x!r} twice; leave y out for a line")
        wanted = (x, value) if y is None else (x, y, value)
        columns = list(dict.fromkeys(name for row in rows for name in row))
        for name in wanted:
            if name not in columns:
                more = f" and {len(columns) - 20} more" if len(columns) > 20 else ""
                known = ", ".join(map(repr, columns[:20])) + more
                raise KeyError(f"{received(name)} is no column of the sweep; it has {known}")
        # Of several grids one may lack a parameter.
        rows = [row for row in rows if all(name in row for name in wanted)]
        if not rows:
            raise ValueError(
                f"x and y: expected parameters of the same settings, got {x!r} and {y!r} of different ones"
            )
        self.scoring = scoring if scoring is not None and value == "score" else value
        self.rows, self.x, self.y, self.value, self.reduce = rows, x, y, value, reduce
        self.values = np.array([_score(row[value], value) for row in rows])
        self.x_values, self._x_at = _distinct([row[x] for row in rows])
        self.y_values, self._y_at = _distinct(["" if y is None else row[y] for row in rows])
        self._order = self._ranked()

    @classmethod
    def from_sweep(
        cls, table: Any, x: str | None = None, y: str | None = None, *, value: str = "score", reduce: str = "best",
        ax: Axes | None = None, **kwargs: Any,
    ) -> SweepDisplay:  # fmt: skip
        """Draw the table of a sweep.

        Parameters
        ----------
        table : object with ``rows``, or list of dict
            The result of `bpx.sweep`, or rows of your own.
        x, y : str, optional
            Parameters to draw over; None takes the first one or two that vary. `x` alone draws a line.
        value : str
            The column to draw.
        reduce : {"best", "mean"}
            Which value represents settings that differ only in other parameters.
        ax : matplotlib Axes, optional
            None makes a figure.
        **kwargs
            For `plot`.

        Returns
        -------
        SweepDisplay
        """
        if hasattr(table, "to_dict") and hasattr(table, "columns"):  # a data frame
            table = table.to_dict("records") if hasattr(table, "iloc") else table.to_dicts()
        given = getattr(table, "rows", table)
        if callable(given) or isinstance(given, (str, Mapping)) or not np.iterable(given):
            raise TypeError(f"table: expected what bpx.sweep returns or a list of dicts, got {type(table).__name__}")
        rows = list(given)
        for row in rows:
            if not isinstance(row, Mapping):
                raise TypeError(f"table: expected rows that are dicts, got {type(row).__name__}")
        rows = [dict(row) for row in rows]
        if not rows:
            raise ValueError("table: expected at least one setting, got none")
        if x is None:
            names = list(dict.fromkeys(name for row in rows for name in row if name not in (*RESULTS, value)))
            varying = [name for name in names if len(_distinct([row.get(name) for row in rows])[0]) > 1 and name != y]
            if not varying and not names:
                raise ValueError(f"table: expected columns of parameters beside {', '.join(rows[0])}")
            x = (varying or names)[0]
            y = y if y is not None or len(varying) < 2 else varying[1]
        made = cls(rows=rows, x=x, y=y, value=value, reduce=reduce, scoring=getattr(table, "scoring", None))
        return made.plot(ax=ax, **kwargs)

    def plot(
        self, ax: Axes | None = None, *, decimals: int | None = None, cmap: Any = SEQUENTIAL, colorbar: bool = True,
        title: str | None = None,
    ) -> SweepDisplay:  # fmt: skip
        """Draw the scores; the best setting is marked.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            None makes a figure.
        decimals : int, optional
            Decimals of the scores; None is 3, or as many as the best score needs for three digits.
        cmap : str or matplotlib Colormap
            From low to high scores.
        colorbar : bool
            Whether to draw a colour bar beside the heat map or the points.
        title : str, optional
            None is the best setting; "" leaves it out.

        Returns
        -------
        SweepDisplay
            This display.
        """
        cells = len(self.x_values) * len(self.y_values)
        is_grid = self.y is not None and (cells <= FEW_CELLS or len(self.rows) >= cells / 2)
        height = 5.0 if not is_grid else min(8.0, max(3.6, 1.8 + 0.55 * len(self.y_values)))
        with canvas(ax, height) as (self.figure_, self.ax_):
            self.im_: Any = None
            self.text_: Any = None
            self.errors_: Any = None
            self.colorbar_: Any = None
            self.best_: Any = None
            self.lines_: list[Any] = []
            self._own, self._decimals = ax is None, self._enough_decimals() if decimals is None else decimals
            set_title(self.ax_, self._title() if title is None else title, own=self._own)
            if is_grid:
                self._draw_grid(cmap, colorbar)
            elif self.y is not None:
                self._draw_points(cmap, colorbar)
            else:
                self._draw_line()
        return self

    # ------------------------------------------------------------------ inside

    def _ranked(self) -> list[int]:
        """The indices of rows from best to worst: by rank if there is one, else by score; NaN comes last."""
        by_rank = self.value == "score" and all("rank" in row for row in self.rows)
        keys = [(math.isnan(v), row["rank"] if by_rank else -v) for v, row in zip(self.values, self.rows, strict=True)]
        return sorted(range(len(keys)), key=lambda i: keys[i])

    def _cells(self) -> tuple[HostArray, HostArray, HostArray]:
        """The value, its standard deviation and the number of settings of each cell, shape (y, x)."""
        shape = len(self.y_values), len(self.x_values)
        values, deviations, counts = np.full(shape, np.nan), np.full(shape, np.nan), np.zeros(shape, dtype=np.int64)
        for i in self._order:  # the best comes first
            at = self._y_at[i], self._x_at[i]
            if not counts[at]:
                values[at] = self.values[i]
                deviations[at] = _score(self.rows[i].get("std", np.nan), "std")
            elif self.reduce == "mean":
                values[at] = (values[at] * counts[at] + self.values[i]) / (counts[at] + 1)
                deviations[at] = np.nan
            counts[at] += 1
        if not np.any(deviations > 0):  # there was one fold
            deviations[:] = np.nan
        return values, deviations, counts

    def _number(self, value: float) -> str:
        """A score as text, with the same decimals in every cell."""
        if self._decimals > MOST_DECIMALS or abs(value) >= 1e5:
            return f"{value:.3g}"
        return f"{value or 0.0:.{self._decimals}f}"  # no minus before 0

    def _enough_decimals(self) -> int:
        """Enough decimals for three digits of the best score: a small error should not be 0.000."""
        sizes = [abs(float(self.values[i])) for i in self._order]  # the best comes first
        size = next((size for size in sizes if math.isfinite(size) and size > 0), 1.0)
        return max(3, 2 - math.floor(math.log10(size)))

    def _label(self, counts: HostArray) -> str:
        """A description of the values."""
        if counts.max() <= 1:
            return self.scoring
        shown = (self.x, self.y, self.value, *RESULTS)
        names = dict.fromkeys(name for row in self.rows for name in row if name not in shown)
        others = [name for name in names if len(_distinct([row.get(name) for row in self.rows])[0]) > 1]
        return f"{self.scoring}, {self.reduce} over {', '.join(others) or 'repetitions'}"

    def _title(self) -> str:
        """The best setting as a title."""
        best = self._order[0]
        if math.isnan(self.values[best]):
            return "No setting has a score"
        parameters = {name: v for name, v in self.rows[best].items() if name not in (self.value, *RESULTS)}
        setting = ", ".join(f"{name} {_text(v)}" for name, v in parameters.items())
        return f"Best {self.scoring} {self._number(self.values[best])}: {setting}"

    def _draw_grid(self, cmap: Any, colorbar: bool) -> None:
        """Draw the heat map."""
        values, deviations, counts = self._cells()
        self.im_ = draw_cells(self.ax_, values, cmap)
        self.ax_.set(xlabel=self.x, ylabel=self.y)
        if colorbar:
            self.colorbar_ = add_colorbar(self.ax_, self.im_, own=self._own, label=self._label(counts), pad=0.02)
        name_cells(self.ax_, [_text(v) for v in self.x_values], [_text(v) for v in self.y_values])
        texts = [["" for _ in row] for row in values]
        for r, c in np.argwhere(counts > 0):
            texts[r][c] = self._number(float(values[r, c])) if np.isfinite(values[r, c]) else "no score"
            if np.isfinite(values[r, c]) and np.isfinite(deviations[r, c]):
                texts[r][c] += f"\n±{self._number(float(deviations[r, c]))}"
        self.text_ = write_cells(self.ax_, self.im_, texts)
        if _numeric(self.y_values):
            self.ax_.invert_yaxis()
        x, y = self._x_at[self._order[0]], self._y_at[self._order[0]]
        frame = Rectangle((x - 0.48, y - 0.46), 0.96, 0.92, fill=False, edgecolor=BEST, linewidth=3.0, zorder=5)
        self.best_ = self.ax_.add_patch(frame)

    def _ring(self, x: float, y: float) -> None:
        """Draw an orange ring around the best point."""
        self.best_ = self.ax_.scatter(x, y, s=320, facecolors="none", edgecolors=BEST, linewidths=2.4, zorder=4)

    def _draw_points(self, cmap: Any, colorbar: bool) -> None:
        """Draw one point per setting, as few cells of a grid would be filled."""
        xs, ys = _positions(self.x_values)[self._x_at], _positions(self.y_values)[self._y_at]
        known = np.isfinite(self.values)
        if not np.all(known):
            crosses = self.ax_.scatter(xs[~known], ys[~known], marker="x", s=50, color=INK)
            add_legend(self.ax_, [crosses], ["no score"], own=self._own, beside=True)
        order = [i for i in reversed(self._order) if known[i]]  # the best ones on top
        self.im_ = self.ax_.scatter(
            xs[order], ys[order], c=self.values[order], cmap=cmap, s=90, edgecolors=INK, linewidths=0.6
        )
        if colorbar:
            self.colorbar_ = add_colorbar(self.ax_, self.im_, own=self._own, label=self.scoring, pad=0.02)
        self._ring(xs[self._order[0]], ys[self._order[0]])
        self.ax_.set(xlabel=self.x, ylabel=self.y)
        _set_axis(self.ax_, "x", self.x_values)
        _set_axis(self.ax_, "y", self.y_values)
        add_grid(self.ax_)

    def _draw_line(self) -> None:
        """Draw scores over one parameter, with their standard deviations."""
        (values,), (deviations,), counts = self._cells()
        xs = _positions(self.x_values)
        self.lines_ = self.ax_.plot(xs, values, "o-" if _numeric(self.x_values) else "o", color=COLOURS[0])
        label = self._label(counts)
        if np.any(np.isfinite(deviations)):
            self.errors_ = self.ax_.errorbar(xs, values, deviations, fmt="none", ecolor=COLOURS[0], capsize=4)
            label += " ± standard deviation"
        best = self._x_at[self._order[0]]
        self._ring(xs[best], values[best])
        self.ax_.set(xlabel=self.x, ylabel=label)
        _set_axis(self.ax_, "x", self.x_values)
        add_grid(self.ax_)


def _set_axis(ax: Axes, axis: str, values: list[Any]) -> None:
    """Set the axis: logarithmic for positive numbers over a wide range, a tick for each of a few values or names."""
    if not _numeric(values):
        ax.set(**{f"{axis}ticks": range(len(values)), f"{axis}ticklabels": [_text(v) for v in values]})
    elif len(values) <= 6 and max(values) < 50 * max(min(values), 0):
        ax.set(**{f"{axis}ticks": values, f"{axis}ticklabels": [_text(v) for v in values]})
    elif min(values) > 0 and max(values) >= 50 * min(values):
        ax.set(**{f"{axis}scale": "log"})


def _score(value: Any, name: str) -> float:
    """A score as a float; NaN for None, infinity and NaN."""
    if value is None:
        return math.nan
    try:
        found = float(to_host(value))
    except (TypeError, ValueError) as error:
        raise TypeError(f"{name}: expected numbers, got {received(value)}") from error
    return found if math.isfinite(found) else math.nan


def _numeric(values: list[Any]) -> bool:
    """Whether all values are numbers."""
    return all(isinstance(v, (int, float, np.number)) and not isinstance(v, bool) for v in values)


def _distinct(values: list[Any]) -> tuple[list[Any], list[int]]:
    """The distinct values, numbers in order and others as they come, and the index of each value among them."""
    found = {repr(value): value for value in values}
    keys = sorted(found, key=lambda k: found[k]) if _numeric(list(found.values())) else list(found)
    place = {key: i for i, key in enumerate(keys)}
    return [found[key] for key in keys], [place[repr(value)] for value in values]


def _positions(values: list[Any]) -> HostArray:
    """The positions of values on an axis: numbers at themselves, others at 0, 1, ..."""
    return np.array(values if _numeric(values) else range(len(values)), dtype=np.float64)


def _text(value: Any) -> str:
    """The value of a parameter as text."""
    if isinstance(value, (float, np.floating)):
        return f"{value:.3g}".replace("e-0", "e-").replace("e+0", "e").replace("-", "\N{MINUS SIGN}")
    if isinstance(value, (list, tuple)):
        return "-".join(_text(part) for part in value)
    return str(getattr(value, "name", value))
