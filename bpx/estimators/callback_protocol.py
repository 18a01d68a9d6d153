"""Support for scikit-learn's callbacks, experimental in 1.9, which are called for every epoch; none before 1.9."""

from __future__ import annotations

from typing import Any, final

import numpy as np

from bpx.training.callbacks.callback import Callback
from bpx.training.run import Run

__all__ = ["TEARDOWN", "CallbackSupport", "Ticker", "with_callbacks"]

try:
    from sklearn.callback import CallbackSupportMixin as CallbackSupport
    from sklearn.callback import with_callbacks
except ImportError:  # scikit-learn before 1.9

    class CallbackSupport:  # type: ignore[no-redef]
        """No protocol to support."""

    def with_callbacks(method: Any) -> Any:
        """The method itself."""
        return method


# scikit-learn's attributes of an estimator during fit, with which it tears callbacks down even if the fit fails.
TEARDOWN = ("_callback_fit_ctx", "_skl_callbacks_to_teardown")


@final
class Ticker(Callback):
    """Calls scikit-learn's callbacks at the begin of a fit, for each epoch, and at its end."""

    def __init__(self, estimator: Any, epochs: int) -> None:
        self._estimator, self._epochs = estimator, epochs
        wanted = bool(getattr(estimator, "_skl_callbacks", None)) or hasattr(estimator, "_parent_callback_ctx")
        self._wanted = wanted and hasattr(estimator, "_init_callback_context")
        self._context: Any = None
        self._data: dict[str, Any] = {}

    @property
    def hooks(self) -> list[Callback]:
        """The callback in a list, which is empty if the estimator has no scikit-learn callbacks."""
        return [self] if self._wanted else []

    def begin(self, X: Any, y: Any, sample_weight: Any) -> None:
        """Begin the fit, in the protocol a task whose subtasks are epochs."""
        if not self._wanted:
            return
        metadata = None if sample_weight is None else {"sample_weight": sample_weight}
        self._data = {"estimator": self._estimator, "X": X, "y": y, "metadata": metadata}
        self._context = self._estimator._init_callback_context(max_subtasks=self._epochs)
        self._context.call_on_fit_task_begin(**self._data)

    def on_epoch_end(self, run: Run) -> bool | None:
        epoch = self._context.subcontext(task_name="epoch")
        epoch.call_on_fit_task_begin(**self._data)
        return bool(epoch.call_on_fit_task_end(**self._data, reconstruction_attributes=lambda: fitted(run)))

    def end(self) -> None:
        """End the fit."""
        if self._wanted:
            self._context.call_on_fit_task_end(**self._data, reconstruction_attributes={})


def fitted(run: Run) -> dict[str, Any]:
    """The attributes with which a copy of the estimator predicts as if training had ended now."""
    return {"_net": run.net.copy() if run.net.stack is None else run.net.member(int(np.nanargmin(run.loss)))}
