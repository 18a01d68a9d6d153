"""Logs of epochs as TensorBoard's event files.

tensorboardX writes them and needs only NumPy and protobuf; TensorBoard itself has no writer, and PyTorch's needs
PyTorch.
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
    """Writes each epoch's loss, val_loss, learning_rate, metrics and seconds as scalars for TensorBoard.

    Each network of a stack has its own series (``loss/0``, ``loss/1``, ...). The settings of the run are a text.

    Parameters
    ----------
    log_dir : str or path-like
        A folder for this run; created if it does not exist. TensorBoard hides what an earlier run logged there, for a
        run resumed from a checkpoint only the epochs after it.

    Notes
    -----
    Needs tensorboardX: the extra ``tensorboard``, which also brings TensorBoard itself.
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
        # File names have a resolution of a second, in which a run may end and be resumed.
        name = f".{run.epoch:08d}"
        self._writer = SummaryWriter(self.log_dir, purge_step=run.epoch + 1, flush_secs=5, filename_suffix=name)
        rows = "\n".join(f"| {name} | {value} |" for name, value in run.settings.items())
        self._writer.add_text("settings", f"| name | value |\n|---|---|\n{rows}", run.epoch)

    def _write(self, run: Run) -> None:
        for name, value in series(run, "/").items():
            self._writer.add_scalar(name, value, run.epoch)

    def _close(self, ended: str) -> None:
        self._writer.close()
