"""A gradient check as a picture: back-propagation over central differences, entry by entry."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes

from bpx.errors import ShapeError
from bpx.plotting.arguments import numbers
from bpx.plotting.decorations import add_legend, set_title
from bpx.plotting.style import COLOURS, INK, MARKERS, add_grid, canvas

# The most parameters that the legend names.
MOST_NAMES = 12


class GradientCheckDisplay:
    """Both gradients of a gradient check; made by `from_report`.

    Parameters
    ----------
    names : sequence of str
        Names of the parameters, such as "0.W".
    analytic, numerical : sequences of arrays
        For each parameter the gradient by back-propagation and by central differences.
    relative_errors : sequence of float
        One per parameter.
    tolerance : float
        The largest relative error that passes.

    Attributes
    ----------
    points_ : list of matplotlib PathCollection
        One per parameter.
    failed_ : list of matplotlib PathCollection
        Rings around the worst entry of each parameter that failed.
    line_ : matplotlib Line2D
        The line on which both gradients are equal, or the tolerance.
    legend_ : matplotlib Legend
    ax_, figure_ : matplotlib Axes and Figure
    """

    def __init__(self, *, names: Any, analytic: Any, numerical: Any, relative_errors: Any, tolerance: float) -> None:
        self.names = [str(name) for name in names]
        self.analytic = [numbers(part, "analytic").ravel() for part in analytic]
        self.numerical = [numbers(part, "numerical").ravel() for part in numerical]
        self.relative_errors = [float(error) for error in relative_errors]
        self.tolerance = float(tolerance)
        if not self.names:
            raise ValueError("names: expected at least one parameter, got none")
        sizes = [[part.size for part in parts] for parts in (self.analytic, self.numerical)]
        if sizes[0] != sizes[1] or not len(self.names) == len(sizes[0]) == len(self.relative_errors):
            raise ShapeError(
                f"analytic and numerical: expected one entry each for {len(self.names)} parameters, of equal sizes, got"
                f" sizes {sizes[0]} and {sizes[1]}"
            )

    @classmethod
    def from_report(cls, report: Any, *, ax: Axes | None = None, **kwargs: Any) -> GradientCheckDisplay:
        """Draw the report of `bpx.check_gradients`.

        Parameters
        ----------
        report : GradientReport
            Of one network or of a stack.
        ax : matplotlib Axes, optional
            None makes a figure.
        **kwargs
            For `plot`.

        Returns
        -------
        GradientCheckDisplay
        """
        if not hasattr(report, "parameters") or not hasattr(report, "tolerance"):
            raise TypeError(f"report: expected what bpx.check_gradients returns, got {type(report).__name__}")
        checks = report.parameters
        return cls(
            names=[check.name for check in checks], analytic=[check.analytic for check in checks],
            numerical=[check.numerical for check in checks], tolerance=report.tolerance,
            relative_errors=[check.relative_error for check in checks],
        ).plot(ax=ax, **kwargs)  # fmt: skip

    def plot(self, ax: Axes | None = None, *, kind: str = "scatter") -> GradientCheckDisplay:
        """Draw the entries.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            None makes a figure.
        kind : {"scatter", "difference"}
            Back-propagation over central differences, where correct gradients lie on the line; or the size of their
            difference over the size of the gradient, which shows how exact they are.

        Returns
        -------
        GradientCheckDisplay
            This display.
        """
        if kind not in ("scatter", "difference"):
            raise ValueError(f"kind: expected 'scatter' or 'difference', got {kind!r}")
        with canvas(ax) as (self.figure_, self.ax_):
            self.points_: list[Any] = []
            self.failed_: list[Any] = []
            failed = [not error <= self.tolerance for error in self.relative_errors]
            for i in range(len(self.names)):
                x, y = self._coordinates(i, kind)
                colour, marker = COLOURS[i % len(COLOURS)], MARKERS[i % len(MARKERS)]
                self.points_.append(
                    self.ax_.scatter(
                        x, y, s=30, marker=marker, facecolors="none", edgecolors=colour, linewidths=1.2, zorder=3
                    )
                )
                if failed[i]:
                    difference = np.abs(self.analytic[i] - self.numerical[i])
                    worst = int(np.argmax(np.where(np.isfinite(difference), difference, -1.0)))
                    ring: Any = {"facecolors": "none", "edgecolors": "#D55E00", "linewidths": 2.4}
                    self.failed_.append(self.ax_.scatter(x[worst], y[worst], s=260, zorder=4, **ring))
            reference = self._draw_reference(kind)
            verdict = "failed" if any(failed) else "passed"
            worst_error = float(np.max(self.relative_errors))
            said = f"Gradient check {verdict}: largest relative error {worst_error:.1e}"
            set_title(self.ax_, f"{said}, tolerance {self.tolerance:.0e}", own=ax is None)
            self.legend_ = self._legend(failed, reference, own=ax is None)
        return self

    # ------------------------------------------------------------------ inside

    def _coordinates(self, i: int, kind: str) -> tuple[Any, Any]:
        """The coordinates of a parameter's entries."""
        if kind == "scatter":
            return self.numerical[i], self.analytic[i]
        # On the logarithmic axes 0 is drawn at 1e-17, below what float64 resolves.
        scale = max(float(np.max(np.abs(part), initial=1e-5)) for part in (self.analytic[i], self.numerical[i]))
        difference = np.abs(self.analytic[i] - self.numerical[i]) / scale
        return np.maximum(np.abs(self.numerical[i]), 1e-17), np.maximum(difference, 1e-17)

    def _draw_reference(self, kind: str) -> str:
        """Set up the axes, and draw the line of equal values or of the tolerance; returns its name."""
        add_grid(self.ax_)
        if kind == "difference":
            self.ax_.set(
                xscale="log", yscale="log", xlabel="size of the gradient, by central differences",
                ylabel="difference over the parameter's largest gradient",
            )  # fmt: skip
            self.line_ = self.ax_.axhline(self.tolerance, color=INK, linewidth=1.2, linestyle="--")
            return "tolerance"
        both = np.concatenate([*self.analytic, *self.numerical])
        finite = both[np.isfinite(both)]
        low, high = (finite.min(), finite.max()) if finite.size else (-1.0, 1.0)
        pad = 0.05 * (high - low) or 1.0
        ends = [low - pad, high + pad]
        (self.line_,) = self.ax_.plot(ends, ends, color=INK, linewidth=1.0, zorder=2)
        self.ax_.set(
            xlim=ends, ylim=ends, xlabel="gradient by central differences", ylabel="gradient by back-propagation"
        )
        return "equal"

    def _legend(self, failed: list[bool], reference: str, own: bool) -> Any:
        """Draw the legend: parameters with their relative errors; of many those that failed and the first ones."""
        count = len(self.names)
        shown = sorted(sorted(range(count), key=lambda i: not failed[i])[:MOST_NAMES])
        texts = [
            f"{self.names[i]}: {self.relative_errors[i]:.1e}{' FAILED' if failed[i] else ''}" for i in shown
        ]  # fmt: skip
        title = "relative error" + (f", {MOST_NAMES} of {count}" if count > MOST_NAMES else "")
        handles = [*(self.points_[i] for i in shown), self.line_]
        return add_legend(self.ax_, handles, [*texts, reference], own=own, beside=True, title=title, alignment="left")
