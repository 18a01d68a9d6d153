"""Divergence: which networks have a loss or a parameter that is not finite, and their last finite parameters."""

from __future__ import annotations

from typing import Any, final

import numpy as np

from bpx._typing import Array, State
from bpx.errors import DivergenceWarning, warn_caller
from bpx.training.run import Run


@final
class Divergence:
    """Watches for a loss that is not finite, and restores the last finite parameters at the end.

    `found`, a bool array of shape () or (K,), says which networks have diverged; none ever does if `tolerated`.
    `any` says whether one has; `advice` is for the warning.
    """

    def __init__(self, run: Run, advice: str, tolerated: bool) -> None:
        self._run, self._advice, self._tolerated = run, advice, tolerated
        net = run.net
        # Parameters whose loss is known to be finite, and those after the last epoch, whose own loss is not known yet.
        self._proven, self._latest = net.flat * 1.0, net.flat * 1.0
        self.found = np.zeros(() if net.stack is None else (net.stack,), dtype=np.bool_)
        self._epochs = np.zeros(self.found.shape, dtype=np.int64)
        self.any = False

    def after_epoch(self, finite: bool, loss: Any) -> bool:
        """Check an epoch's host loss, which may be known to be `finite`; returns whether every network has diverged."""
        run, flat = self._run, self._run.net.flat
        if finite and not self.any:
            self._proven, self._latest = self._latest, self._proven
            self._latest[...] = flat
            return False
        self._note(~np.isfinite(loss))
        run.copy_rows(~self.found, self._latest, self._proven)
        run.copy_rows(~self.found, flat, self._latest)
        return bool(np.all(self.found))

    @property
    def kept(self) -> tuple[Array, Array]:
        """The parameters whose loss is known to be finite, and those after the last epoch; also written elsewhere."""
        return self._proven, self._latest

    def within_epoch(self) -> None:
        """Check the parameters in the middle of an epoch."""
        self._note(~self._finite_parameters())

    def _finite_parameters(self) -> Any:
        """Whether each network's parameters are all finite, on the host."""
        xp, net = self._run.net.backend.xp, self._run.net
        return net.backend.to_host(xp.all(xp.isfinite(net.flat), axis=-1))

    def _note(self, lost: Any) -> None:
        """Remember which networks have diverged, and in which epoch."""
        lost = lost & (not self._tolerated)
        self._epochs = np.where(lost & ~self.found, max(self._run.epoch, 1), self._epochs)
        self.found = self.found | lost
        self.any = bool(np.any(self.found))

    def restore_finite(self) -> None:
        """Restore the last finite parameters of each network that diverged, and warn."""
        if not self.any:
            return
        run, net = self._run, self._run.net
        # The best epoch's parameters, which a stopping rule may have restored, stay if they are finite.
        broken = self.found if run.history.best_epoch is None else self.found & ~self._finite_parameters()
        if np.any(broken):
            run.copy_rows(broken, self._latest, net.flat)
            # Finite parameters may still be so large that their loss is not finite; then those before them are used.
            run.copy_rows(broken & ~np.isfinite(run.evaluate(run.data)), self._proven, net.flat)
        if self.found.ndim == 0:
            which = f" in epoch {int(self._epochs)}"
        else:
            which = f" of network(s) {np.flatnonzero(self.found).tolist()} in epoch(s)"
            which += f" {self._epochs[self.found].tolist()}"
        warn_caller(
            f"the loss or a parameter{which} was no longer finite; the last parameters with a finite loss are restored."
            f" Try {self._advice}",
            DivergenceWarning,
        )

    def snapshot(self) -> State:
        """The state for a checkpoint; arrays are not copied."""
        epochs = {"diverged": self.found, "diverged_in": self._epochs}
        return {"proven": self._proven, "latest": self._latest} | epochs

    def restore(self, saved: State) -> None:
        """Continue from a `snapshot`."""
        self._proven, self._latest = saved["proven"], saved["latest"]
        self.found, self._epochs = saved["diverged"], saved["diverged_in"]
        self.any = bool(np.any(self.found))
