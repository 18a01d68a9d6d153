"""The result of a sweep: settings and their scores, best first."""

from __future__ import annotations

import html
from collections.abc import Iterator, Sequence
from typing import Any, final

import numpy as np

from bpx._formatting import aligned
from bpx.network.mlp import MLP
from bpx.search.grid import Setting


@final
class SweepTable:
    """Settings sorted by score, the result of `bpx.sweep`; ``pandas.DataFrame(table.rows)`` makes a data frame.

    Parameters
    ----------
    settings : list of dict
        In the grid's order.
    scores : array of shape (settings, folds)
        Larger is better; NaN where training diverged.
    epochs : array of shape (settings, folds)
        Epochs of each training.
    scoring : str
        Name of the score.

    Attributes
    ----------
    rows : list of dict
        The best setting first: its parameters by name, "score" (mean over folds), "std" (over folds) and "rank" (from
        1; equal scores share a rank, as in scikit-learn). Settings that diverged in a fold are last, with NaN.
    best : dict
        The best setting; of several equal ones the first in the grid.
    best_score : float
        Its score.
    best_net : MLP or None
        In a sweep over networks: one with the best setting, trained on all rows.
    best_estimator : estimator or None
        In a sweep over estimators: one with the best setting, fitted to all rows.
    cv_results_ : dict
        As ``GridSearchCV.cv_results_``, in the grid's order: params, param_<name>, mean_test_score, std_test_score,
        rank_test_score, split<i>_test_score; and mean_epochs.
    seconds : float
        Wall time of the sweep, without the last training of the best setting.
    """

    def __init__(self, settings: Sequence[Setting], scores: Any, epochs: Any, scoring: str) -> None:
        scores = np.asarray(scores, dtype=np.float64)
        mean, std = np.mean(scores, axis=1), np.std(scores, axis=1)
        known = np.where(np.isnan(mean), -np.inf, mean)
        rank = 1 + np.sum(known[None, :] > known[:, None], axis=1)
        self.scoring = scoring
        self.names = list(dict.fromkeys(name for setting in settings for name in setting))
        self.cv_results_: dict[str, Any] = {
            "params": [dict(setting) for setting in settings],
            **{f"param_{name}": [setting.get(name) for setting in settings] for name in self.names},
            **{f"split{i}_test_score": scores[:, i] for i in range(scores.shape[1])},
            "mean_test_score": mean,
            "std_test_score": std,
            "rank_test_score": rank.astype(np.int32),
            "mean_epochs": np.mean(np.asarray(epochs, dtype=np.float64), axis=1),
        }
        self.rows = [
            settings[i] | {"score": float(mean[i]), "std": float(std[i]), "rank": int(rank[i])}
            for i in np.argsort(rank, kind="stable")
        ]
        self.best: Setting = {name: self.rows[0][name] for name in self.names if name in self.rows[0]}
        self.best_score: float = self.rows[0]["score"]
        self.best_net: MLP | Any = None  # MLP | None, but type checkers need no test for None
        self.best_estimator: Any = None
        self.seconds = 0.0

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self.rows)

    def to_dict(self) -> dict[str, list[Any]]:
        """Columns by name, the best setting first; None if a setting has no such parameter."""
        return {name: [row.get(name) for row in self.rows] for name in [*self.names, "score", "std", "rank"]}

    def to_text(self, most: int | None = None) -> str:
        """The table as text in aligned columns, at most `most` rows."""
        more = "" if most is None or most >= len(self.rows) else f"\n... {len(self.rows) - most} more"
        return aligned([self._header, *self._cells(most)], ">", rule=True) + more

    @property
    def _header(self) -> list[str]:
        return ["rank", *self.names, "score", "std"]

    def _cells(self, most: int | None) -> list[list[str]]:
        """The cells of the first rows as text."""
        return [[_cell(row.get(name, "")) for name in self._header] for row in self.rows[:most]]

    def _repr_html_(self) -> str:
        """The first 20 rows, for notebooks."""

        def line(tag: str, cells: list[str]) -> str:
            return f"<tr>{''.join(f'<{tag}>{html.escape(cell)}</{tag}>' for cell in cells)}</tr>"

        body = "".join(line("td", cells) for cells in self._cells(20))
        more = f"; {len(self.rows) - 20} more" if len(self.rows) > 20 else ""
        end = f"<p>{len(self.rows)} settings, score: {html.escape(self.scoring)}{more}</p>"
        return f"<table><thead>{line('th', self._header)}</thead><tbody>{body}</tbody></table>{end}"

    def __str__(self) -> str:
        return self.to_text(20)

    def __repr__(self) -> str:
        return (
            f"<SweepTable of {len(self.rows)} settings, best {self.scoring} {_cell(self.best_score)} with {self.best}>"
        )


def _cell(value: Any) -> str:
    """A value as text."""
    if isinstance(value, float):
        return f"{value:.6g}"
    return str(getattr(value, "name", value))
