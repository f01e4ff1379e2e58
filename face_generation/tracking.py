"""Tracking: what a run logs goes to MLflow, and a server that is down costs no training."""

import json
import logging
import os
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import requests
from matplotlib.figure import Figure
from mlflow.exceptions import MlflowException
from numpy.typing import NDArray
from pytorch_lightning.loggers import MLFlowLogger
from pytorch_lightning.utilities import rank_zero_only

from face_generation.errors import UserError

LOCAL_STORE = "sqlite:///mlflow.db"
SERVER_TIMEOUT = 10  # seconds, for one request
log = logging.getLogger(__name__)


class Tracker(MLFlowLogger):
    """Lightning's MLflow logger, with pictures, artefacts and registered models, that outlives its server.

    A run that resumes in the same folder goes on in the same MLflow run. Where a server stops answering in the middle
    of training, the run goes on in the local store: what was logged before stays on the server.

    Args:
        run_dir: The run's folder; `mlflow_run.json` in it keeps the run's id.
        experiment_name: MLflow experiment.
        run_name: What the UI calls the run.
        tracking_uri: `sqlite:///mlflow.db`, or a server such as `http://127.0.0.1:8080`.
        when_unreachable: `stop` before the first step, or go on in the `local` store.

    Raises:
        UserError: The server does not answer at the start and `when_unreachable` is `stop`.
    """

    def __init__(
        self,
        run_dir: str,
        experiment_name: str,
        run_name: str,
        tracking_uri: str = LOCAL_STORE,
        when_unreachable: str = "stop",
    ) -> None:
        if when_unreachable not in ("stop", "local"):
            raise UserError(f"logger.when_unreachable={when_unreachable}; choose stop or local")
        # MLflow's defaults make one call to a dead server last for minutes.
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", str(SERVER_TIMEOUT))
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
        if _is_server(tracking_uri) and (problem := _unreachable(tracking_uri)):
            if when_unreachable == "stop":
                raise UserError(
                    f"no MLflow server answers at {tracking_uri} ({problem}); start it with: mlflow server --port "
                    f"{tracking_uri.rpartition(':')[2].strip('/')}, or train with logger.when_unreachable=local"
                )
            log.warning("No MLflow server answers at %s: logging to %s instead.", tracking_uri, LOCAL_STORE)
            tracking_uri = LOCAL_STORE
        self._record = Path(run_dir) / "mlflow_run.json"
        super().__init__(
            experiment_name, run_name, tracking_uri, tags=_git_tags(), run_id=self._recorded_run(tracking_uri)
        )
        self._params: dict[str, Any] = {}

    @rank_zero_only
    def log_hyperparams(self, params: dict[str, Any]) -> None:  # type: ignore[override]
        self._params = params
        self._send(lambda: super(Tracker, self).log_hyperparams(params))

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        self._send(lambda: super(Tracker, self).log_metrics(metrics, step))

    @rank_zero_only
    def log_picture(self, name: str, picture: NDArray[np.uint8] | Figure, step: int) -> None:
        """Logs an array H×W×3, which the UI shows as a series over the steps, or a chart."""
        if isinstance(picture, Figure):
            self._send(lambda: self.experiment.log_figure(self.run_id, picture, f"charts/{name}.png"))
        else:
            self._send(lambda: self.experiment.log_image(self.run_id, picture, key=name, step=step))

    @rank_zero_only
    def log_file(self, path: Path) -> None:
        """Logs a file, or a folder under its name, as an artefact."""
        folder = path.name if path.is_dir() else None
        self._send(
            lambda: (
                self.experiment.log_artifacts(self.run_id, str(path), folder)
                if folder
                else self.experiment.log_artifact(self.run_id, str(path))
            )
        )

    @rank_zero_only
    def register(self, bundle: Path, name: str) -> None:
        """Logs a bundle as an artefact and makes it the next version of the registered model `name`."""
        self.log_file(bundle)

        def send() -> None:
            client = self.experiment
            if not client.search_registered_models(f"name='{name}'"):
                client.create_registered_model(name)
            source = f"{client.get_run(self.run_id).info.artifact_uri}/{bundle.name}"
            client.create_model_version(name, source, self.run_id)

        self._send(send)

    @rank_zero_only
    def finalize(self, status: str = "success") -> None:
        self._send(lambda: super(Tracker, self).finalize(status))

    @property
    def run_id(self) -> str | None:
        """The run's id; the first use starts the run, or reopens the one that the folder remembers."""
        if not self._initialized:
            client = self.experiment
            client.update_run(self._run_id, status="RUNNING")
            self._record.parent.mkdir(parents=True, exist_ok=True)
            self._record.write_text(json.dumps({"tracking_uri": self._tracking_uri, "run_id": self._run_id}))
        return self._run_id

    def _recorded_run(self, tracking_uri: str) -> str | None:
        if not self._record.exists():
            return None
        record = json.loads(self._record.read_text())
        if record["tracking_uri"] != tracking_uri:
            return None
        try:
            run = mlflow.MlflowClient(tracking_uri).get_run(record["run_id"])
        except MlflowException:  # the store was deleted: a new run begins
            return None
        return run.info.run_id if run.info.lifecycle_stage == "active" else None

    def _send(self, call: Callable[[], None]) -> None:
        try:
            call()
        except (MlflowException, requests.RequestException) as error:
            if not _is_server(self._tracking_uri):
                raise
            log.warning("MLflow at %s failed (%s): logging to %s from here on.", self._tracking_uri, error, LOCAL_STORE)
            self._go_local()
            call()

    def _go_local(self) -> None:
        self.tags = {**(self.tags or {}), "continues": f"{self._tracking_uri} run {self._run_id}"}
        self._tracking_uri = LOCAL_STORE
        self._mlflow_client = mlflow.MlflowClient(LOCAL_STORE)
        self._run_id = self._experiment_id = None
        self._initialized = False
        super().log_hyperparams(self._params)


def _is_server(tracking_uri: str) -> bool:
    return tracking_uri.startswith(("http://", "https://"))


def _unreachable(server: str) -> str | None:
    """Why a server does not answer, or None where it does."""
    try:
        answer = requests.get(f"{server.rstrip('/')}/health", timeout=SERVER_TIMEOUT)
    except requests.RequestException as error:
        return type(error).__name__
    return None if answer.ok else f"HTTP {answer.status_code}"


def git_commit() -> str | None:
    """The commit of the code that runs, with `-dirty` behind it where files differ; None outside a repository."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def _git_tags() -> dict[str, str]:
    commit = git_commit()
    return {"mlflow.source.git.commit": commit} if commit else {}
