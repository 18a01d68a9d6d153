"""Epochs as TensorBoard's event files.

By tensorboardX: it needs NumPy and protobuf alone, where TensorBoard's own package brings a server and its writer is
experimental, and PyTorch's brings PyTorch. TensorBoard reads the files like any other's.
"""

from __future__ import annotations

import os
from typing import final

from bpx.errors import how_to_install
from bpx.training.callbacks.epoch_logger import EpochLogger, series
from bpx.training.run import Run

__all__ = ["TensorBoard"]


@final
class TensorBoard(EpochLogger):
    """Writes each epoch as scalars (loss, val_loss, learning_rate, metrics, seconds), which TensorBoard shows.

    Each network of a stack has series of its own (``loss/0``, ``loss/1``, ...). What the run was started with is shown
    as a text.

    Parameters
    ----------
    log_dir : str or path-like
        A folder for this run; made where it is missing. TensorBoard hides what an earlier run in it logged, and of a
        run that goes on from a checkpoint the epochs after it.

    Notes
    -----
    Needs tensorboardX: the extra ``tensorboard``, which brings TensorBoard itself too.
    """

    def __init__(self, log_dir: str | os.PathLike[str]) -> None:
        self.log_dir = os.fspath(log_dir)

    def _open(self, run: Run) -> None:
        try:
            from tensorboardX import SummaryWriter
        except ImportError as error:
            raise ImportError(
                f"bpx.callbacks.TensorBoard needs tensorboardX: {how_to_install('tensorboard', 'tensorboardX')}"
            ) from error
        # A file is named by the second, which a run may share with the one that it goes on from.
        name = f".{run.epoch:08d}"
        self._writer = SummaryWriter(self.log_dir, purge_step=run.epoch + 1, flush_secs=5, filename_suffix=name)
        rows = "\n".join(f"| {name} | {value} |" for name, value in run.settings.items())
        self._writer.add_text("settings", f"| name | value |\n|---|---|\n{rows}", run.epoch)

    def _write(self, run: Run) -> None:
        for name, value in series(run, "/").items():
            self._writer.add_scalar(name, value, run.epoch)

    def _close(self, ended: str) -> None:
        self._writer.close()
