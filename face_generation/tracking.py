"""Tracking: what a run logs goes to MLflow, and a server that is down costs no training."""

import json
import logging
import os
import re
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import requests
from matplotlib.figure import Figure
from mlflow import MlflowClient
from mlflow.entities import Metric
from mlflow.exceptions import MlflowException
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID
from numpy.typing import NDArray
from pytorch_lightning.loggers import MLFlowLogger
from pytorch_lightning.loggers.logger import rank_zero_experiment
from pytorch_lightning.utilities import rank_zero_only

from face_generation.errors import UserError
from face_generation.generator.bundle import MLFLOW_STORE as LOCAL_STORE

# MLflow's defaults make one call to a dead server last for minutes.
PATIENCE = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "30", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2"}  # seconds; times
RECORD = "mlflow_run.json"  # in a run's folder: its id in each store
log = logging.getLogger(__name__)


class Tracker(MLFlowLogger):
    """Lightning's MLflow logger, with pictures, artefacts and registered models, that outlives its server.

    Where a server stops answering in the middle of training, the run goes on in the local store: what was logged before
    stays on the server.

    Args:
        run_dir: The run's folder; `mlflow_run.json` in it keeps the run's id in each store.
        experiment_name: MLflow experiment.
        run_name: What the UI calls the run, and what its bundle is registered as.
        tracking_uri: `sqlite:///mlflow.db`, or a server such as `http://127.0.0.1:8080`.
        when_unreachable: `stop` before the first step, or go on in the `local` store.
        resume: The checkpoint that training goes on from, if any: the MLflow run that the folder remembers goes on too.
        study: The search that the run is a trial of, if any: the run is then a child of the one that stands for it.

    Raises:
        UserError: An argument is out of range, or MLflow does not answer at the start and `when_unreachable` is `stop`.
    """

    def __init__(
        self,
        run_dir: str,
        experiment_name: str,
        run_name: str,
        tracking_uri: str = LOCAL_STORE,
        when_unreachable: str = "stop",
        resume: str | None = None,
        study: str | None = None,
    ) -> None:
        if when_unreachable not in ("stop", "local"):
            raise UserError(f"logger.mlflow.when_unreachable={when_unreachable}; choose stop or local")
        if set(run_name) & set("/:"):
            raise UserError(f"name={run_name}; the name of a registered model has no / and no :")
        for variable, value in PATIENCE.items():
            os.environ.setdefault(variable, value)
        try:
            experiment_name = _experiment_for(tracking_uri, experiment_name)
        except MlflowException as error:
            if when_unreachable == "stop" or tracking_uri == LOCAL_STORE:
                raise UserError(
                    f"MLflow does not answer at {tracking_uri}; start the server, correct logger.mlflow.tracking_uri, "
                    f"or set logger.mlflow.when_unreachable=local ({_gist(error)})"
                ) from error
            log.warning("MLflow does not answer at %s (%s): logging to %s.", tracking_uri, _gist(error), LOCAL_STORE)
            tracking_uri = LOCAL_STORE
            experiment_name = _experiment_for(tracking_uri, experiment_name)
        self._record = Path(run_dir) / RECORD
        self._runs: dict[str, str] = json.loads(self._record.read_text()) if resume and self._record.exists() else {}
        self._params: dict[str, Any] = {}
        self._study = study
        self._git_tags = _git_tags()
        run_id = self._recorded_run(tracking_uri)
        super().__init__(experiment_name, run_name, tracking_uri, tags=dict(self._git_tags), run_id=run_id)

    @property
    @rank_zero_experiment
    def experiment(self) -> MlflowClient:
        """The client of the store. The first use starts the run, or reopens it."""
        started = self._initialized
        if self._study and self._run_id is None:
            self.tags = {**(self.tags or {}), MLFLOW_PARENT_RUN_ID: self._run_of_study()}
        client = super().experiment
        if not started:
            assert self._run_id is not None
            client.update_run(self._run_id, status="RUNNING")
            self._remember(self._run_id)
        return client

    @rank_zero_only
    def log_hyperparams(self, params: dict[str, Any]) -> None:  # type: ignore[override]
        self._params |= _flat(params)
        self._send(self._log_params)

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
        """Logs a file as an artefact."""
        self._send(lambda: self.experiment.log_artifact(self.run_id, str(path)))

    @rank_zero_only
    def register(self, bundle: Path, name: str) -> None:
        """Logs a bundle as an artefact and makes it the next version of the registered model `name`."""

        def send() -> None:
            client = self.experiment
            client.log_artifacts(self.run_id, str(bundle), bundle.name)
            if not client.search_registered_models(f"name='{name}'"):
                client.create_registered_model(name)
            source = f"{client.get_run(self.run_id).info.artifact_uri}/{bundle.name}"
            client.create_model_version(name, source, self.run_id, await_creation_for=0)

        self._send(send)

    @rank_zero_only
    def finalize(self, status: str = "success") -> None:
        self._send(lambda: super(Tracker, self).finalize(status))

    def _run_of_study(self) -> str:
        """The run that all trials of the study are children of, which the first of them makes."""
        client, name = self._mlflow_client, self._experiment_name
        experiment = client.get_experiment_by_name(name)
        experiment_id = experiment.experiment_id if experiment else client.create_experiment(name)
        found = client.search_runs([experiment_id], f"tags.study = '{self._study}'", max_results=1)
        if found:
            return found[0].info.run_id
        run = client.create_run(experiment_id, tags={"study": self._study, **self._git_tags}, run_name=self._study)
        client.set_terminated(run.info.run_id)
        return run.info.run_id

    def _remember(self, run_id: str) -> None:
        self._runs[self._tracking_uri] = run_id
        self._record.parent.mkdir(parents=True, exist_ok=True)
        partial = self._record.with_suffix(".partial")
        partial.write_text(json.dumps(self._runs, indent=2) + "\n")
        partial.replace(self._record)

    def _recorded_run(self, tracking_uri: str) -> str | None:
        if tracking_uri not in self._runs:
            return None
        try:
            run = MlflowClient(tracking_uri).get_run(self._runs[tracking_uri])
        except MlflowException:  # the store was deleted: a new run begins
            return None
        return run.info.run_id if run.info.lifecycle_stage == "active" else None

    def _log_params(self) -> None:
        """Logs those that the run does not have yet. A resumed run keeps its first ones: MLflow changes none."""
        known = self.experiment.get_run(self.run_id).data.params
        super().log_hyperparams({name: value for name, value in self._params.items() if name not in known})

    def _send(self, call: Callable[[], None]) -> None:
        try:
            call()
        except (MlflowException, requests.RequestException) as error:
            if self._tracking_uri == LOCAL_STORE:
                raise
            log.warning("MLflow at %s failed (%s): logging to %s.", self._tracking_uri, _gist(error), LOCAL_STORE)
            self._go_local()
            call()

    def _go_local(self) -> None:
        self.tags = self._git_tags | {"continues": f"{self._tracking_uri} run {self._run_id}"}
        self._tracking_uri = LOCAL_STORE
        self._mlflow_client = MlflowClient(LOCAL_STORE)
        self._run_id = self._recorded_run(LOCAL_STORE)
        self._experiment_name = _experiment_for(LOCAL_STORE, self._experiment_name)
        self._experiment_id = None
        self._initialized = False
        self._log_params()


def _experiment_for(tracking_uri: str, name: str) -> str:
    """The name of the experiment to log to: `name`, or `name`-local where we have the store without the server that
    made the experiment in it, for then we cannot write its artefacts."""
    experiment = MlflowClient(tracking_uri).get_experiment_by_name(name)
    if experiment is None or tracking_uri.startswith("http"):
        return name
    return f"{name}-local" if experiment.artifact_location.startswith("mlflow-artifacts:") else name


def _gist(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]


def _flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings → values by path, such as `model/latent_dim`."""
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        flat |= _flat(value, f"{prefix}{name}/") if isinstance(value, Mapping) else {f"{prefix}{name}": value}
    return flat


@dataclass(frozen=True)
class Run:
    """A run in a store, after its training."""

    store: str  # tracking URI
    id: str

    def log_evaluation(self, figures: Mapping[str, float], report: Path) -> None:
        """Logs figures as metrics `evaluation/<name>`, and a report as an artefact.

        Raises:
            UserError: The store does not answer, or has no such run.
        """
        for variable, value in PATIENCE.items():
            os.environ.setdefault(variable, value)
        database = Path(self.store.removeprefix("sqlite:///"))
        if self.store.startswith("sqlite:///") and not database.exists():  # asking for it would make an empty one
            raise UserError(f"no figures are logged to MLflow: there is no {database} here; run it where training ran")
        try:
            client = MlflowClient(self.store)
            now = int(1000 * time.time())
            client.log_batch(self.id, [Metric(f"evaluation/{name}", figures[name], now, step=0) for name in figures])
            client.log_artifact(self.id, str(report), "evaluation")
        except (MlflowException, requests.RequestException, OSError) as error:
            raise UserError(
                f"MLflow at {self.store} did not take the figures for run {self.id} ({_gist(error)}); "
                "start the server, and evaluate again to log them"
            ) from error


def recorded_run(path: Path) -> Run | None:
    """The run in whose folder a checkpoint or a bundle is, if any."""
    for folder in path.absolute().parents[:2]:
        if (folder / RECORD).is_file():
            runs: dict[str, str] = json.loads((folder / RECORD).read_text())
            return Run(*list(runs.items())[-1])  # a run that lost its server went on in the local store
    return None


def run_of_uri(uri: str) -> Run | None:
    """The run that the files at an MLflow URI come from: `runs:/<run>/…`, `models:/<name>/<version>` or
    `models:/<name>@<alias>`. None where that is not known, or MLflow does not answer."""
    store = mlflow.get_tracking_uri()
    if match := re.match(r"runs:/+([^/]+)", uri):
        return Run(store, match[1])
    client = MlflowClient(store)
    try:
        if match := re.fullmatch(r"models:/+([^/@]+)/(\d+)", uri):
            run_id = client.get_model_version(match[1], match[2]).run_id
        elif match := re.fullmatch(r"models:/+([^/@]+)@([^/@]+)", uri):
            run_id = client.get_model_version_by_alias(match[1], match[2]).run_id
        else:
            return None
    except (MlflowException, requests.RequestException):
        return None
    return Run(store, run_id) if run_id else None


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
