"""A stopping rule for stacks: each network stops by itself, with the parameters that it would have alone."""

from __future__ import annotations

from collections.abc import Sequence
from threading import Event
from typing import Any, ClassVar, final

import numpy as np

from bpx._typing import State
from bpx.stop import StopRule
from bpx.training.history import StopReason
from bpx.training.run import Run


@final
class MemberStopping(StopRule):
    """Stops each network when the first of several rules holds for it, and keeps its parameters.

    ``epochs`` (K,) is how long each was trained, ``lost`` (K,) whether its loss was no longer finite, which stops it,
    too. Once `halt` is set, the run ends after the epoch.
    """

    reason: ClassVar = StopReason.CALLBACK

    def __init__(self, rules: Sequence[StopRule], halt: Event) -> None:
        self._rules, self._halt = list(rules), halt

    def init(self, run: Run) -> State:
        k = len(run.net.seeds)
        self.epochs, self.lost, self._done = np.zeros(k, np.int64), np.zeros(k, np.bool_), np.zeros(k, np.bool_)
        self._states = [rule.init(run) for rule in self._rules]
        self._final = run.net.flat * 1.0 if self._rules else None
        return {}

    def check(self, state: State, run: Run) -> tuple[State, Any]:
        lost = ~np.isfinite(np.asarray(run.loss)) & ~self._done
        stops = lost
        for i, rule in enumerate(self._rules):
            self._states[i], done = rule.check(self._states[i], run)
            stops = stops | done
        new = stops & ~self._done
        self.epochs = np.where(self._done, self.epochs, run.epoch)
        self.lost, self._done = self.lost | lost, self._done | stops
        if self._final is not None and np.any(new):
            run.copy_rows(new, self._best(run), self._final)
        return state, self._done | self._halt.is_set()

    def _best(self, run: Run) -> Any:
        """The parameters that a rule would restore at the end, or the current ones."""
        return next((kept["params"] for kept in self._states if "params" in kept), run.net.flat)

    def finish(self, state: State, run: Run) -> None:
        for rule, kept in zip(self._rules, self._states, strict=True):
            rule.finish(kept, run)
        if self._final is not None:
            run.copy_rows(self._done, self._final, run.net.flat)
