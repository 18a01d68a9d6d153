"""The scores of a sweep over its parameters: a line, a heat map, or points where there is no grid."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from bpx.plotting.arrays import HostArray, got, host
from bpx.plotting.cells import draw_cells, name_ticks, write_cells
from bpx.plotting.frame import colour_bar
from bpx.plotting.frame import legend as write_legend
from bpx.plotting.frame import title as heading
from bpx.plotting.style import COLOURS, INK, SEQUENTIAL, canvas, grid

__all__ = ["SweepDisplay"]

# Columns of a table that are results, no parameters.
RESULTS = ("score", "std", "rank")
# A plane with more cells than this, most of them empty, is no grid.
FEW_CELLS = 36

# Scores that need more are written with a power of ten.
MOST_DECIMALS = 6


class SweepDisplay:
    """Scores over one or two parameters; made by `from_sweep`.

    Parameters
    ----------
    rows : list of dict
        One per setting: parameters by name, "score", and perhaps "std" and "rank" (1 is best).
    x, y : str
        Parameters to draw over; `y` None draws a line.
    value : str
        What to draw.
    reduce : {"best", "mean"}
        What stands for settings that differ in other parameters alone.
    scoring : str, optional
        What the scores are, such as "accuracy".

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
                raise TypeError(f"{axis}: expected the name of a parameter, got {got(name)}")
        if x == y:
            raise ValueError(f"x and y: expected two parameters, got {x!r} twice; leave y out for a line")
        wanted = (x, *(() if y is None else (y,)), value)
        columns = list(dict.fromkeys(name for row in rows for name in row))
        for name in wanted:
            if name not in columns:
                few = ", ".join(map(repr, columns[:20])) + (
                    f" and {len(columns) - 20} more" if len(columns) > 20 else ""
                )
                raise KeyError(f"{got(name)} is no column of the sweep; it has {few}")
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
        self.y_values: list[Any] = [""]
        self._y_at = [0] * len(rows)
        if y is not None:
            self.y_values, self._y_at = _distinct([row[y] for row in rows])
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
            What `bpx.sweep` returns, or your own.
        x, y : str, optional
            Parameters to draw over; None takes the first one or two that vary. With `x` alone given it is a line.
        value : str
            Column to draw.
        reduce : {"best", "mean"}
            What stands for settings that differ in other parameters alone.
        ax : matplotlib Axes, optional
            None makes a figure.
        **kwargs
            For `plot`.

        Returns
        -------
        SweepDisplay

        Raises
        ------
        TypeError, ValueError, KeyError
        """
        if hasattr(table, "to_dict") and hasattr(table, "columns"):  # a data frame
            table = table.to_dict("records") if hasattr(table, "iloc") else table.to_dicts()
        given = getattr(table, "rows", table)
        if callable(given) or isinstance(given, (str, Mapping)) or not np.iterable(given):
            raise TypeError(f"table: expected what bpx.sweep returns or a list of dicts, got {type(table).__name__}")
        rows = list(given)
        if any(not isinstance(row, Mapping) for row in rows):
            kind = next(type(row).__name__ for row in rows if not isinstance(row, Mapping))
            raise TypeError(f"table: expected rows that are dicts, got {kind}")
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
            Of the scores; None is 3, or as many as the best one needs for three digits.
        cmap : str or matplotlib Colormap
            From low to high.
        colorbar : bool
            Whether it stands beside the heat map.
        title : str, optional
            None names the best setting; "" leaves it out.

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
            self._own, self._decimals = ax is None, self._enough() if decimals is None else decimals
            heading(self.ax_, self._title() if title is None else title, own=ax is None)
            if is_grid:
                self._draw_grid(cmap, colorbar)
            elif self.y is not None:
                self._draw_points(cmap, colorbar)
            else:
                self._draw_line()
        return self

    # ------------------------------------------------------------------ inside

    def _ranked(self) -> list[int]:
        """The rows from best to worst: by rank where there is one, else by score, the largest first; NaN last."""
        by_rank = self.value == "score" and all("rank" in row for row in self.rows)
        keys = [(math.isnan(v), row["rank"] if by_rank else -v) for v, row in zip(self.values, self.rows, strict=True)]
        return sorted(range(len(keys)), key=lambda i: keys[i])

    def _cells(self) -> tuple[HostArray, HostArray, HostArray]:
        """Value, its deviation and the number of settings of each cell, shape (y, x)."""
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
        if not np.any(deviations > 0):  # one fold has none
            deviations[:] = np.nan
        return values, deviations, counts

    def _number(self, value: float) -> str:
        """A score, with the same decimals in every cell."""
        if self._decimals > MOST_DECIMALS or abs(value) >= 1e5:
            return f"{value:.3g}"
        return f"{value or 0.0:.{self._decimals}f}"  # no minus before 0

    def _enough(self) -> int:
        """Decimals that leave three digits of the best score: a small error is not 0.000."""
        sizes = [abs(float(self.values[i])) for i in self._order]  # the best comes first
        size = next((size for size in sizes if math.isfinite(size) and size > 0), 1.0)
        return max(3, 2 - math.floor(math.log10(size)))

    def _label(self) -> str:
        """What the values are."""
        _, _, counts = self._cells()
        others = [n for row in self.rows for n in row if n not in (self.x, self.y, self.value, *RESULTS)]
        others = [n for n in dict.fromkeys(others) if len(_distinct([row.get(n) for row in self.rows])[0]) > 1]
        over = f" over {', '.join(others)}" if others else " over repetitions"
        return self.scoring if counts.max() <= 1 else f"{self.scoring}, {self.reduce}{over}"

    def _title(self) -> str:
        """The best setting."""
        best = self._order[0]
        if math.isnan(self.values[best]):
            return "No setting has a score"
        names = [n for n in self.rows[best] if n not in (self.value, *RESULTS)]
        setting = ", ".join(f"{n} {_text(self.rows[best][n])}" for n in names)
        return f"Best {self.scoring} {self._number(self.values[best])}: {setting}"

    def _draw_grid(self, cmap: Any, colorbar: bool) -> None:
        """The heat map."""
        values, deviations, counts = self._cells()
        finite = values[np.isfinite(values)]
        low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
        self.im_ = draw_cells(self.ax_, values, cmap, low, high)
        self.ax_.set(xlabel=self.x, ylabel=self.y)
        if colorbar:
            self.colorbar_ = colour_bar(self.ax_, self.im_, own=self._own, label=self._label(), pad=0.02)
        name_ticks(self.ax_, [_text(v) for v in self.x_values], [_text(v) for v in self.y_values])
        texts = [["" for _ in row] for row in values]
        for r, c in np.ndindex(*values.shape):
            if counts[r, c] and not np.isfinite(values[r, c]):
                texts[r][c] = "no score"
            elif counts[r, c]:
                texts[r][c] = self._number(float(values[r, c]))
                if np.isfinite(deviations[r, c]):
                    texts[r][c] += f"\n±{self._number(float(deviations[r, c]))}"
        self.text_ = write_cells(self.ax_, self.im_, texts)
        if _numeric(self.y_values):
            self.ax_.invert_yaxis()
        i = self._order[0]
        self.best_ = self.ax_.add_patch(_frame(self._x_at[i], self._y_at[i]))

    def _draw_points(self, cmap: Any, colorbar: bool) -> None:
        """One point per setting, where few cells of the grid would be filled."""
        xs, ys = _positions(self.x_values, self._x_at), _positions(self.y_values, self._y_at)
        known = np.isfinite(self.values)
        if not np.all(known):
            self.ax_.scatter(xs[~known], ys[~known], marker="x", s=50, color=INK, label="no score")
            write_legend(self.ax_, *self.ax_.get_legend_handles_labels(), own=self._own, beside=True)
        # The best lie on top.
        order = [i for i in reversed(self._order) if known[i]]
        self.im_ = self.ax_.scatter(xs[order], ys[order], c=self.values[order], cmap=cmap, s=90, edgecolors=INK,
                                    linewidths=0.6)  # fmt: skip
        if colorbar:
            self.colorbar_ = colour_bar(self.ax_, self.im_, own=self._own, label=self.scoring, pad=0.02)
        i = self._order[0]
        self.best_ = self.ax_.scatter(xs[i], ys[i], s=320, facecolors="none", edgecolors="#D55E00", linewidths=2.4)
        self.ax_.set(xlabel=self.x, ylabel=self.y)
        for axis, values in (("x", self.x_values), ("y", self.y_values)):
            self._axis(axis, values)
        grid(self.ax_)

    def _draw_line(self) -> None:
        """Score over the one parameter, with the deviation."""
        values, deviations, _ = self._cells()
        xs = _positions(self.x_values, range(len(self.x_values)))
        self.lines_ = self.ax_.plot(xs, values[0], "o-" if _numeric(self.x_values) else "o", color=COLOURS[0])
        if np.any(np.isfinite(deviations)):
            self.errors_ = self.ax_.errorbar(xs, values[0], deviations[0], fmt="none", ecolor=COLOURS[0], capsize=4)
        i = self._order[0]
        self.best_ = self.ax_.scatter(
            xs[self._x_at[i]], values[0][self._x_at[i]], s=320, facecolors="none", edgecolors="#D55E00",
            linewidths=2.4, zorder=4,
        )  # fmt: skip
        deviation = " ± standard deviation" if self.errors_ is not None else ""
        self.ax_.set(xlabel=self.x, ylabel=self._label() + deviation)
        self._axis("x", self.x_values)
        grid(self.ax_)

    def _axis(self, axis: str, values: list[Any]) -> None:
        """Logarithmic for positive numbers over two decades or more; names for what are no numbers."""
        if not _numeric(values):
            getattr(self.ax_, f"set_{axis}ticks")(range(len(values)), [_text(v) for v in values])
        elif len(values) <= 6 and max(values) < 50 * max(min(values), 0):
            getattr(self.ax_, f"set_{axis}ticks")(values, [_text(v) for v in values])
        elif min(values) > 0 and max(values) >= 50 * min(values):
            getattr(self.ax_, f"set_{axis}scale")("log")


def _frame(column: int, row: int) -> Any:
    """An orange frame around a cell."""
    from matplotlib.patches import Rectangle

    return Rectangle((column - 0.48, row - 0.46), 0.96, 0.92, fill=False, edgecolor="#D55E00", linewidth=3.0, zorder=5)


def _score(value: Any, name: str) -> float:
    """A score as a float; None, of a setting that has none, as NaN."""
    if value is None:
        return math.nan
    try:
        found = float(host(value))
    except (TypeError, ValueError) as error:
        raise TypeError(f"{name}: expected numbers, got {got(value)}") from error
    return found if math.isfinite(found) else math.nan


def _numeric(values: list[Any]) -> bool:
    """Whether all are numbers."""
    return all(isinstance(v, (int, float, np.number)) and not isinstance(v, bool) for v in values)


def _distinct(values: list[Any]) -> tuple[list[Any], list[int]]:
    """The different values, numbers in order and others as they come, and where each one stands."""
    found = {repr(value): value for value in values}
    keys = sorted(found, key=lambda k: found[k]) if _numeric(list(found.values())) else list(found)
    place = {key: i for i, key in enumerate(keys)}
    return [found[key] for key in keys], [place[repr(value)] for value in values]


def _positions(values: list[Any], at: Any) -> HostArray:
    """Where settings lie on an axis: numbers at their value, others at 0, 1, ..."""
    scale = np.asarray(values, dtype=np.float64) if _numeric(values) else np.arange(len(values), dtype=np.float64)
    return scale[np.asarray(at, dtype=np.int64)]


def _text(value: Any) -> str:
    """A parameter's value as a name."""
    if isinstance(value, (float, np.floating)):
        return f"{value:.3g}".replace("e-0", "e-").replace("e+0", "e").replace("-", "\N{MINUS SIGN}")
    if isinstance(value, (list, tuple)):
        return "-".join(_text(part) for part in value)
    return str(getattr(value, "name", value))
