"""Logs of epochs as metrics of an MLflow run."""

from __future__ import annotations

from typing import Any, final

from bpx.errors import how_to_install
from bpx.training.callbacks.epoch_logger import EpochLogger, series
from bpx.training.run import Run

__all__ = ["MLflow"]

# Length of a parameter's value that every MLflow server accepts.
LONGEST = 500


@final
class MLflow(EpochLogger):
    """Logs each epoch's loss, val_loss, learning_rate, metrics and seconds to MLflow, and the settings as params.

    An active MLflow run is used and left open. Otherwise one is started, and ended with training as FINISHED, KILLED
    (by Ctrl-C) or FAILED (by an error or divergence). ``epochs`` is a tag, because a resumed run may have more and
    MLflow's params cannot change. MLflow's own settings say where it logs to (``mlflow.set_tracking_uri``,
    ``MLFLOW_TRACKING_URI``). Each network of a stack has metrics of its own (``loss/0``, ``loss/1``, ...).

    Parameters
    ----------
    experiment : str, optional
        Created if it does not exist; None is MLflow's current one.
    run_name : str, optional
        Name of the run that is started. Training resumed from a checkpoint continues the latest MLflow run of that
        name.
    run_id : str, optional
        Id of an MLflow run to continue.

    Notes
    -----
    Needs MLflow, of which mlflow-skinny is enough (extra ``mlflow``).
    """

    def __init__(self, experiment: str | None = None, run_name: str | None = None, run_id: str | None = None) -> None:
        self.experiment, self.run_name, self.run_id = experiment, run_name, run_id

    def _open(self, run: Run) -> None:
        try:
            import mlflow as package
        except ImportError as error:
            command = how_to_install("mlflow", "mlflow-skinny")
            raise ImportError(f"bpx.callbacks.MLflow needs MLflow: {command}") from error
        mlflow: Any = package
        self._mlflow = mlflow
        active = mlflow.active_run()
        self._owns = active is None
        if self._owns:
            home = None if self.experiment is None else self._experiment_id(self.experiment)
            run_id = self.run_id or (self._latest(home) if run.epoch > 0 and self.run_name is not None else None)
            active = mlflow.start_run(run_id, home if run_id is None else None, self.run_name)
        self._id = active.info.run_id
        try:
            self._log_params(run)
        except BaseException:
            self._close("FAILED")
            raise

    def _log_params(self, run: Run) -> None:
        """Log the settings that the run does not have yet; logged params and metrics cannot be changed."""
        there = self._mlflow.get_run(self._id).data
        self._logged = int(there.metrics.get("epoch", 0)) if run.epoch > 0 else 0
        params = {name: str(value)[:LONGEST] for name, value in run.settings.items() if name not in there.params}
        epochs = params.pop("epochs", None)  # a tag, which can be changed
        self._mlflow.log_params(params, run_id=self._id)
        if epochs is not None:
            self._mlflow.MlflowClient().set_tag(self._id, "epochs", epochs)

    def _experiment_id(self, name: str) -> str:
        """The id of the experiment with that name, which is created if it does not exist."""
        found = self._mlflow.get_experiment_by_name(name)
        return str(self._mlflow.create_experiment(name) if found is None else found.experiment_id)

    def _latest(self, home: str | None) -> str | None:
        """The id of the latest MLflow run with the name."""
        found = self._mlflow.search_runs(
            None if home is None else [home], f"attributes.run_name = '{self.run_name}'", max_results=1,
            order_by=["attributes.start_time DESC"], output_format="list",
        )  # fmt: skip
        return str(found[0].info.run_id) if found else None

    def _write(self, run: Run) -> None:
        if run.epoch > self._logged:
            self._mlflow.log_metrics({"epoch": float(run.epoch)} | series(run, "/"), run.epoch, run_id=self._id)

    def _close(self, ended: str) -> None:
        if self._owns:
            self._mlflow.end_run(ended)
