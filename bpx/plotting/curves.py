"""The loss or a metric over epochs, of one network, of a few, or of a stack."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from bpx.errors import ShapeError
from bpx.formulas.metrics import METRICS
from bpx.plotting.arguments import HostArray, numbers, received
from bpx.plotting.decorations import add_legend, set_title
from bpx.plotting.style import COLOURS, MARKERS, add_grid, canvas
from bpx.training.history import short

# For more networks the median and a band are drawn.
MOST_LINES = 8
# A loss that falls by more than this factor gets a logarithmic axis.
LOGARITHMIC = 20.0
# The name of curves of validation data.
VALIDATION = "validation"
VALIDATION_COLOUR = "#D55E00"
DASHES = (0, (4, 1.5))


class LossCurveDisplay:
    """Loss curves; made by `from_history` or `from_estimator`.

    Parameters
    ----------
    loss : array of shape (epochs,) or (epochs, K)
        Training loss after each epoch; may contain NaN and infinity.
    val_loss : array of the same shape, optional
        Validation loss; its last epoch may be missing, as after a divergence.
    name : str, optional
        Name in the legend, which distinguishes several histories in the same axes.
    best_epoch : int or array of shape (K,), optional
        The epoch (from 1) whose parameters were restored.
    quantity : str
        What `loss` and `val_loss` are: "loss", or the name of a metric.

    Attributes
    ----------
    lines_, val_lines_ : lists of matplotlib Line2D
        One per network, or the median.
    band_, val_band_ : matplotlib collections or None
        From the 10th to the 90th percentile, for many networks.
    best_, lost_ : lists of matplotlib Line2D
        Markers of the restored epoch, and of the last finite loss of a network that diverged.
    legend_ : matplotlib Legend or None
    ax_, figure_ : matplotlib Axes and Figure
    """

    def __init__(
        self, *, loss: Any, val_loss: Any = None, name: str | None = None, best_epoch: Any = None,
        quantity: str = "loss",
    ) -> None:  # fmt: skip
        self.loss = _curves(loss, "loss")
        if self.loss.shape[0] == 0:
            raise ValueError("loss: expected at least one epoch, got an empty history; train first, with bpx.fit")
        given = val_loss is not None and len(val_loss) > 0
        self.val_loss = _curves(val_loss, "val_loss") if given else None
        if self.val_loss is not None:
            epochs = self.loss.shape[0]
            if self.val_loss.shape[1:] != self.loss.shape[1:] or len(self.val_loss) not in (epochs, epochs - 1):
                raise ShapeError(
                    f"val_loss: expected shape {self.loss.shape}, one value for each of loss, got {self.val_loss.shape}"
                )
        self.name, self.quantity = name, quantity
        self.best_epoch = None if best_epoch is None else np.atleast_1d(np.asarray(best_epoch, dtype=np.int64))

    @classmethod
    def from_history(
        cls, history: Any, *, metric: str | None = None, name: str | None = None, ax: Axes | None = None, **kwargs: Any
    ) -> LossCurveDisplay:
        """Draw the history that `bpx.fit` returned.

        Parameters
        ----------
        history : History
            Of one network or of a stack.
        metric : str, optional
            The metric to draw in place of the loss: a name in ``history.metrics``, without ``val_``.
        name : str, optional
            Name in the legend. To compare histories, call this again with the same `ax`.
        ax : matplotlib Axes, optional
            None makes a figure.
        **kwargs
            For `plot`.

        Returns
        -------
        LossCurveDisplay
        """
        fitted = hasattr(history, "loss_curve_") or hasattr(history, "get_params")  # an estimator's loss is a name
        if fitted or not hasattr(history, "loss"):
            hint = "; use from_estimator" if fitted else ""
            raise TypeError(f"history: expected what bpx.fit returns, got {type(history).__name__}{hint}")
        best = getattr(history, "best_epoch", None)
        if metric is None:
            made = cls(loss=history.loss, val_loss=getattr(history, "val_loss", None), name=name, best_epoch=best)
        else:
            made = cls(**_metric(getattr(history, "metrics", {}), metric, name), best_epoch=best)
        return made.plot(ax=ax, **kwargs)

    @classmethod
    def from_estimator(
        cls, estimator: Any, *, metric: str | None = None, name: str | None = None, ax: Axes | None = None,
        **kwargs: Any,
    ) -> LossCurveDisplay:  # fmt: skip
        """Draw the ``loss_curve_`` (and ``validation_loss_curve_``) of a fitted estimator, bpx's or scikit-learn's.

        Parameters
        ----------
        estimator : MLPClassifier or MLPRegressor
            Fitted by gradient descent.
        metric : str, optional
            The metric to draw in place of the loss: a name in ``estimator.metrics_``, without ``val_``.
        name : str, optional
            Name in the legend.
        ax : matplotlib Axes, optional
            None makes a figure.
        **kwargs
            For `plot`.

        Returns
        -------
        LossCurveDisplay
        """
        if not hasattr(estimator, "loss_curve_"):
            hint = (
                "use from_history"
                if hasattr(estimator, "stop_reason")
                else "fit it first, with solver='adam' or 'sgd' (the last step of a pipeline is pipeline[-1])"
            )
            raise TypeError(
                f"estimator: expected a fitted one with loss_curve_, got {type(estimator).__name__}; {hint}"
            )
        if metric is not None:
            return cls(**_metric(getattr(estimator, "metrics_", {}), metric, name)).plot(ax=ax, **kwargs)
        made = cls(loss=estimator.loss_curve_, val_loss=getattr(estimator, "validation_loss_curve_", None), name=name)
        return made.plot(ax=ax, **kwargs)

    def plot(
        self, ax: Axes | None = None, *, yscale: str = "auto", ylabel: str | None = None, max_lines: int = MOST_LINES,
        legend: bool = True, title: str | None = None, line_kw: dict[str, Any] | None = None,
    ) -> LossCurveDisplay:  # fmt: skip
        """Draw the curves.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            None makes a figure.
        yscale : {"auto", "linear", "log", "symlog"}
            "auto": logarithmic for positive losses that differ by more than a factor of 20.
        ylabel : str, optional
            Such as "cross-entropy (nats)"; a history does not know which loss it is. None: "loss", or the metric's
            name.
        max_lines : int
            For a stack of more networks the median and the band of the middle 80 % are drawn.
        legend : bool
            Whether to draw the legend.
        title : str, optional
            None: the last losses, in a figure of its own and for a single history; "" leaves it out.
        line_kw : dict, optional
            Passed to ``ax.plot``.

        Returns
        -------
        LossCurveDisplay
            This display.
        """
        if not isinstance(yscale, str) or yscale not in ("auto", "linear", "log", "symlog"):
            raise ValueError(f"yscale: expected 'auto', 'linear', 'log' or 'symlog', got {received(yscale)}")
        with canvas(ax) as (self.figure_, self.ax_):
            self.lines_: list[Any] = []
            self.val_lines_: list[Any] = []
            self.best_: list[Any] = []
            self.lost_: list[Any] = []
            self.band_: Any = None
            self.val_band_: Any = None
            self._line_kw = line_kw or {}
            if self.loss.ndim == 1:
                self._draw_one(self.loss, self.val_loss, None)
            elif self.loss.shape[1] > max_lines:
                self._draw_spread()
            else:
                for k in range(self.loss.shape[1]):
                    self._draw_one(self.loss[:, k], None if self.val_loss is None else self.val_loss[:, k], k)
            self._set_scale(yscale)
            self.ax_.set(xlabel="epoch", ylabel=self.quantity if ylabel is None else ylabel)
            self.ax_.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
            if len(self.loss) == 1 and self.ax_.get_xlim()[1] < 2:
                self.ax_.set_xlim(0, 2)
            add_grid(self.ax_)
            if title is not None or ax is None:
                made = set_title(self.ax_, self._title() if title is None else title, own=ax is None)
                made.set_gid("bpx-losses" if title is None else None)
            else:
                for text in self.ax_.findobj(lambda artist: artist.get_gid() == "bpx-losses"):
                    text.set_text(f"{self._word} of several histories")  # the numbers were those of the first
            self.legend_ = self._legend(own=ax is None) if legend else None
        return self

    # ------------------------------------------------------------------ inside

    @property
    def _word(self) -> str:
        """The quantity, as a title begins with it."""
        return "Loss" if self.quantity == "loss" else self.quantity

    def _title(self) -> str:
        """The last values as a title."""
        epochs = len(self.loss)
        after = f"after {epochs} epoch{'s' if epochs > 1 else ''}"
        if self.loss.ndim == 2:
            return f"{self._word} of {self.loss.shape[1]} networks {after}: {short(self.loss[-1])}"
        validation = "" if self.val_loss is None else f", validation {short(self.val_loss[-1])}"
        training = "" if self.name == VALIDATION else "training "
        return f"{self._word} {after}: {training}{short(self.loss[-1])}{validation}"

    def _line(self, values: HostArray, **look: Any) -> Any:
        """Draw one curve over epochs 1, 2, ...; a single epoch gets a marker, as a line would be invisible."""
        marker = "o" if len(values) == 1 else None
        return self.ax_.plot(np.arange(1, len(values) + 1), values, **({"marker": marker} | look | self._line_kw))[0]

    def _colour(self) -> Any:
        """The first colour that no training curve in these axes has."""
        taken = sum(line.get_gid() == "bpx-loss" for line in self.ax_.get_lines())
        return self._line_kw.get("color") or COLOURS[taken % len(COLOURS)]

    def _draw_one(self, loss: HostArray, val_loss: HostArray | None, k: int | None) -> None:
        """Draw the curves of one network; `k` is its number in a stack."""
        colour, name, look = self._colour(), self.name, {}
        if k is not None:
            name = f"{self.name + ', ' if self.name else ''}network {k}"
            # Markers, for readers who cannot tell the colours apart.
            look = {"marker": MARKERS[k % len(MARKERS)], "markevery": (0.03 + 0.012 * k, 0.12)}
        self.lines_.append(self._line(loss, label=name or "training", color=colour, gid="bpx-loss", **look))
        shown, curve = loss, colour
        if val_loss is not None:
            shown, curve = val_loss, colour if name else VALIDATION_COLOUR
            label = None if name else VALIDATION
            self.val_lines_.append(self._line(val_loss, label=label, color=curve, linestyle=DASHES, linewidth=1.8))
        best = None if self.best_epoch is None else self.best_epoch[k or 0]
        if best is not None and 1 <= best <= len(shown) and np.isfinite(shown[best - 1]):
            label = f"epoch {best}, restored" if k is None else None
            self.best_ += self.ax_.plot(
                best, shown[best - 1], "D", color=curve, markeredgecolor="black", markersize=8, label=label, zorder=4
            )
        broken = np.flatnonzero(~np.isfinite(loss))
        if broken.size and self.quantity == "loss":  # a metric may be missing in some epochs
            first = int(broken[0])
            label = f"{name + ' ' if name else ''}not finite from epoch {first + 1} on"
            at = (first, loss[first - 1]) if first else (np.nan, np.nan)  # else only the legend says it
            self.lost_ += self.ax_.plot(
                *at, "X", color=colour, markersize=11, markeredgecolor="black", label=label, zorder=5
            )

    def _draw_spread(self) -> None:
        """Draw the medians and bands of a stack."""
        count, colour = self.loss.shape[1], self._colour()
        kind, prefix = "training", f"{self.name}: " if self.name else ""
        if self.name == VALIDATION:
            kind, prefix = VALIDATION, ""
        line, self.band_ = self._spread(self.loss, f"{prefix}{kind}", color=colour, linestyle="-")
        line.set_gid("bpx-loss")
        self.lines_ = [line]
        if self.val_loss is not None:
            shade = colour if self.name else VALIDATION_COLOUR
            line, self.val_band_ = self._spread(self.val_loss, f"{prefix}{VALIDATION}", color=shade, linestyle=DASHES)
            self.val_lines_ = [line]
        lost = int(np.count_nonzero(~np.all(np.isfinite(self.loss), axis=0)))
        if lost and self.quantity == "loss":
            label = f"{prefix}{lost} of {count} not finite at last, left out from there"
            self.lost_ += self.ax_.plot(np.nan, np.nan, "X", color=colour, label=label)

    def _spread(self, losses: HostArray, name: str, **look: Any) -> tuple[Any, Any]:
        """Draw the median and the band from the 10th to the 90th percentile of the networks with finite losses."""
        finite = [row[np.isfinite(row)] for row in losses]
        low, middle, high = np.transpose(
            [np.percentile(row, (10, 50, 90)) if row.size else (np.nan,) * 3 for row in finite]
        )
        line = self._line(middle, label=f"{name}, median of {losses.shape[1]} networks", **look)
        band = self.ax_.fill_between(
            np.arange(1, len(middle) + 1), low, high, color=look["color"], alpha=0.2, linewidth=0,
            label=f"{name}, middle 80 %",
        )  # fmt: skip
        return line, band

    def _set_scale(self, yscale: str) -> None:
        """Set the vertical scale; of several histories in the same axes any may make it logarithmic, none linear."""
        parts = [part[np.isfinite(part)] for part in (self.loss, self.val_loss) if part is not None]
        finite = np.concatenate(parts)
        falls = self.quantity == "loss" or (self.quantity in METRICS and not METRICS[self.quantity].larger)
        if yscale == "symlog":
            sizes = np.abs(finite[finite != 0])
            self.ax_.set_yscale("symlog", linthresh=float(sizes.min()) if sizes.size else 1.0)
        elif yscale != "auto":
            self.ax_.set_yscale(yscale)
        elif falls and finite.size and finite.min() > 0 and finite.max() > LOGARITHMIC * finite.min():
            self.ax_.set_yscale("log")
        if not finite.size:
            self.ax_.set_yticks([])
            middle: Any = {"transform": self.ax_.transAxes, "ha": "center", "va": "center"}
            self.ax_.text(0.5, 0.5, f"no finite {self.quantity}", fontsize=14, **middle)

    def _legend(self, own: bool) -> Any:
        """Draw the legend, with an entry that explains dashes if no entry names validation."""
        handles, names = self.ax_.get_legend_handles_labels()
        if self.val_lines_ and not any(VALIDATION in name for name in names):
            handles.append(self.ax_.plot([], [], color="#555555", linestyle=DASHES)[0])
            names.append("dashed: validation")
        return add_legend(self.ax_, handles, names, own=own, beside=len(names) > 6)


def _metric(measured: Mapping[str, Any], metric: str, name: str | None) -> dict[str, Any]:
    """The display's arguments for the curves of a metric; after training on a stream there is validation alone."""
    training, validation = measured.get(metric), measured.get(f"val_{metric}")
    if training is None and validation is None:
        known = ", ".join(dict.fromkeys(column.removeprefix("val_") for column in measured))
        raise ValueError(
            f"metric: expected the name of something that was measured ({known or 'nothing was; give metrics=[...]'}),"
            f" got {metric!r}"
        )
    if training is None:
        return {"loss": validation, "name": name or VALIDATION, "quantity": metric}
    return {"loss": training, "val_loss": validation, "name": name, "quantity": metric}


def _curves(values: Any, name: str) -> HostArray:
    """Losses as an array of shape (epochs,) or (epochs, K)."""
    array = numbers(values, name)
    if array.ndim not in (1, 2):
        raise ShapeError(f"{name}: expected shape (epochs,), or (epochs, K) of a stack, got {array.shape}")
    return array
