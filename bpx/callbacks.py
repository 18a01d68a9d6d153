"""Callbacks of a training: the base class `Callback`, and callbacks that log every epoch."""

from bpx.training.callbacks.callback import Callback
from bpx.training.callbacks.mlflow_runs import MLflow
from bpx.training.callbacks.tensorboard_events import TensorBoard
from bpx.training.callbacks.text_files import CSVLogger, JSONLinesLogger

__all__ = ["CSVLogger", "Callback", "JSONLinesLogger", "MLflow", "TensorBoard"]
