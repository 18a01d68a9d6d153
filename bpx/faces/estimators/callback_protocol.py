"""scikit-learn's callback protocol (1.9, experimental): its callbacks hear of every epoch. Before 1.9: nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, final

from bpx.training.callbacks import Callback
from bpx.training.monitor import Run

try:
    from sklearn.callback import CallbackSupportMixin as CallbackSupport
    from sklearn.callback import with_callbacks
except ImportError:  # scikit-learn before 1.9

    class CallbackSupport:  # type: ignore[no-redef]
        """No protocol to support."""

    def with_callbacks(method: Any) -> Any:
        """The method itself."""
        return method


__all__ = ["CallbackSupport", "Ticker", "with_callbacks"]


@final
class Ticker(Callback):
    """Tells scikit-learn's callbacks of a fit's begin, of each epoch, and of its end."""

    def __init__(self, estimator: Any) -> None:
        self._estimator = estimator
        wanted = bool(getattr(estimator, "_skl_callbacks", None)) or hasattr(estimator, "_parent_callback_ctx")
        self._wanted = wanted and hasattr(estimator, "_init_callback_context")
        self._context: Any = None
        self._data: dict[str, Any] = {}

    @property
    def hooks(self) -> list[Callback]:
        """Itself, where anybody listens."""
        return [self] if self._wanted else []

    @contextmanager
    def task(self, X: Any, y: Any) -> Iterator[None]:
        """The fit as a task of the protocol, its epochs as subtasks."""
        if not self._wanted:
            yield
            return
        self._data = {"estimator": self._estimator, "X": X, "y": y}
        self._context = self._estimator._init_callback_context(max_subtasks=self._estimator.max_iter)
        self._context.call_on_fit_task_begin(**self._data)
        yield
        self._context.call_on_fit_task_end(**self._data)

    def on_epoch_end(self, run: Run) -> bool | None:
        epoch = self._context.subcontext()
        epoch.call_on_fit_task_begin(**self._data)
        return bool(epoch.call_on_fit_task_end(**self._data)) or None
