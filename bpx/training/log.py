"""Training's records in Python's `logging`: logger ``bpx.training``, INFO at begin and end, DEBUG for each epoch."""

from __future__ import annotations

import logging
from typing import final

from bpx.errors import Log
from bpx.training.callbacks.callback import Callback, Closing
from bpx.training.history import last_metrics, short
from bpx.training.run import Run

logger = Log("bpx.training")


def log_lines() -> list[Callback]:
    """The callback that writes log records, in a list; empty if the logger is not enabled."""
    return [_LogLines()] if logger.isEnabledFor(logging.INFO) else []


@final
class _LogLines(Closing):
    """Writes a run's log records."""

    def on_fit_begin(self, run: Run) -> None:
        net = run.net
        sizes = "-".join(map(str, net.sizes)) + ("" if net.stack is None else f", {net.stack} of them")
        begins = "begins" if run.epoch == 0 else f"goes on after epoch {run.epoch}, step {run.step}"
        batches = "" if run.batch_size is None else f" in batches of {run.batch_size}"
        samples = "a stream" if run.samples is None else f"{run.samples} samples"
        logger.info(
            "training %s: network %s, %s on %s; %s%s, at most %d epochs",
            begins, sizes, net.dtype, net.backend.name, samples, batches, run.epochs,
        )  # fmt: skip

    def on_epoch_end(self, run: Run) -> None:
        if logger.isEnabledFor(logging.DEBUG):
            val = "" if run.val_loss is None else f", val_loss {short(run.val_loss)}"
            val += "".join(f", {name} {short(value)}" for name, value in last_metrics(run.history, run.epoch).items())
            logger.debug("epoch %d of %d: loss %s%s", run.epoch, run.epochs, short(run.loss), val)

    def on_fit_end(self, run: Run) -> None:
        logger.info("training ended: %s", run.history)

    def on_fit_error(self, run: Run) -> None:
        logger.info("training ended by an error in epoch %d, after step %d", run.epoch + 1, run.step)
