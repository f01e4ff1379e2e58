"""Logs runs to MLflow. A locked store or a server that is down does not delay training."""

import json
import logging
import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import mlflow
import numpy as np
import requests
from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric
from mlflow.exceptions import MlflowException
from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor
from mlflow.utils.mlflow_tags import (
    MLFLOW_DATASET_CONTEXT,
    MLFLOW_GIT_COMMIT,
    MLFLOW_PARENT_RUN_ID,
    MLFLOW_RUN_NOTE,
)
from numpy.typing import NDArray
from pytorch_lightning.loggers import MLFlowLogger
from pytorch_lightning.loggers.logger import rank_zero_experiment
from pytorch_lightning.utilities import rank_zero_only
from sqlalchemy.exc import SQLAlchemyError

from face_generation.data.locking import alone
from face_generation.errors import UserError
from face_generation.export.registered import write_mlflow_model
from face_generation.files import writing
from face_generation.generator.bundle import CARD, Bundle
from face_generation.generator.bundle import MLFLOW_STORE as LOCAL_STORE
from face_generation.outbox import Outbox

# Seconds to wait at the end of a run that succeeded, of one that failed, and of one that somebody stopped.
LAST_PATIENCE, SHORT_PATIENCE, HURRY = 120, 10, 2
FAILURES = (MlflowException, SQLAlchemyError, OSError)  # errors of requests are OSErrors
MISSING = "RESOURCE_DOES_NOT_EXIST"
REFUSED = {"INVALID_PARAMETER_VALUE", MISSING, "BAD_REQUEST"}  # later attempts would fail as well
DELETED = "must be in the 'active' state"  # said of a run that was deleted, by itself or with its experiment
DENIED = re.compile(r"error code 40[13]|^UNAUTHENTICATED|^PERMISSION_DENIED")
CREDENTIALS = "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
MAX_DESCRIPTION = 5000  # characters
# MLflow's defaults make one call to a dead server last for minutes.
PATIENCE = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "30", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2"}  # seconds; retries
RECORD = "mlflow_run.json"  # a file in the run's folder with its id in each store
log = logging.getLogger(__name__)


class Tracker(MLFlowLogger):
    """Lightning's MLflow logger, extended by pictures, files, data sets and registered models. It never delays
    training.

    Everything is sent on a separate thread. If a store is locked or full for a while, it is sent later. If a server
    stops answering, the run continues in the local store, and what was logged before stays on the server.

    Args:
        run_dir: Folder of the run. `mlflow_run.json` in it keeps the run's id in each store.
        experiment_name: MLflow experiment.
        run_name: Name of the run in the UI, and of its registered model.
        tracking_uri: `sqlite:///mlflow.db`, or a server such as `http://127.0.0.1:8080`.
        when_unreachable: `stop` before the first step, or continue in the `local` store.
        resume: Checkpoint that training resumes from, if any. The MLflow run of that folder is then continued.
        system_metrics: Log the use of processors, memory, disk, network and GPUs every 10 seconds.
        study: Search that the run is a trial of, if any. The run is then a child of the search's run.

    Raises:
        UserError: An argument is out of range, the experiment was deleted, or MLflow does not answer at the start and
            `when_unreachable` is `stop`.
    """

    def __init__(
        self,
        run_dir: str,
        experiment_name: str,
        run_name: str,
        tracking_uri: str = LOCAL_STORE,
        when_unreachable: str = "stop",
        resume: str | None = None,
        system_metrics: bool = False,
        study: str | None = None,
    ) -> None:
        if when_unreachable not in ("stop", "local"):
            raise UserError(f"logger.mlflow.when_unreachable={when_unreachable}; choose stop or local")
        if set(run_name) & set("/:"):
            raise UserError(f"name={run_name}; the name of a registered model has no / and no :")
        for variable, value in PATIENCE.items():
            os.environ.setdefault(variable, value)
        self._when_unreachable = when_unreachable
        self._system_metrics = system_metrics
        self._monitor: SystemMetricsMonitor | None = None
        self._outbox = Outbox(self._recover)
        self._begun = self._ended = False
        self._waiting = False  # whether it waits for a store in a file
        self._refusals: set[str] = set()
        self._record = Path(run_dir) / RECORD
        self._runs: dict[str, str] = json.loads(self._record.read_text()) if resume and self._record.exists() else {}
        self._params: dict[str, Any] = {}
        self._study = study
        self._own_tags = _own_tags()
        try:
            _make_store(tracking_uri)
            super().__init__(experiment_name, run_name, tracking_uri, tags=dict(self._own_tags))
        except FAILURES as error:  # this can only be a store in a file, because no server has been asked yet
            raise UserError(_advice(tracking_uri, error)) from error
        self._at_the_start(self._open)

    @property
    @rank_zero_experiment
    def experiment(self) -> MlflowClient:
        """The client of the store. Its first use, by Lightning, starts or reopens the run.

        Raises:
            UserError: MLflow cannot be written to at the start.
        """
        if not self._begun:
            self._begun = True
            self._at_the_start(self._start)
        elif not self._initialized:  # the run continues in another store
            self._start()
        return self._mlflow_client

    @rank_zero_only
    def log_hyperparams(self, params: dict[str, Any]) -> None:  # type: ignore[override]
        """Logs settings. Nested ones are named by path, such as `model/latent_dim`. The first call starts the run.

        Raises:
            UserError: MLflow cannot be written to at the start.
        """
        self._params |= _flat(params)
        if self._initialized:
            self._send(self._log_params)
        else:
            self._at_the_start(self._log_params)

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        now = int(1000 * time.time())
        values = [Metric(name, float(value), now, step or 0) for name, value in metrics.items()]
        self._send(lambda: self.experiment.log_batch(self.run_id, values))

    @rank_zero_only
    def log_picture(self, name: str, picture: NDArray[np.uint8], step: int) -> None:
        """Logs an array H×W×3, which the UI shows as a series over steps."""
        self._send(lambda: self.experiment.log_image(self.run_id, picture, key=name, step=step))

    @rank_zero_only
    def log_file(self, path: Path) -> None:
        """Logs a file as an artefact."""
        self._send(lambda: self.experiment.log_artifact(self.run_id, str(path)))

    @rank_zero_only
    def log_split(self, path: Path, images: int, checksum: str, context: str) -> None:
        """Logs the packed split that a run uses, with its checksum.

        Args:
            context: `training` or `validation`.
        """
        dataset = Dataset(
            name=f"{path.parent.name}/{path.stem}",
            digest=checksum,
            source_type="local",
            source=json.dumps({"uri": str(path.absolute())}),
            profile=json.dumps({"num_rows": images}),
        )
        tags = [InputTag(MLFLOW_DATASET_CONTEXT, context)]
        self._send(lambda: self.experiment.log_inputs(self.run_id, [DatasetInput(dataset, tags)]))

    @rank_zero_only
    def register(self, bundle: Path, name: str) -> None:
        """Logs a bundle as an MLflow model and makes it the next version of the registered model `name`, with its card
        as description."""

        card = _description((bundle / CARD).read_text(encoding="utf-8")) if (bundle / CARD).exists() else ""

        def send() -> None:
            client = self.experiment
            with TemporaryDirectory() as folder:
                model = Path(folder) / bundle.name
                tags = write_mlflow_model(Bundle.load(bundle), model)
                client.log_artifacts(self.run_id, str(model), bundle.name)
            try:
                client.update_registered_model(name, card)
            except MlflowException as error:
                if error.error_code != MISSING:
                    raise
                client.create_registered_model(name, description=card)
            source = f"{client.get_run(self.run_id).info.artifact_uri}/{bundle.name}"
            client.create_model_version(name, source, self.run_id, tags, description=card, await_creation_for=0)

        self._send(send)

    @rank_zero_only
    def finalize(self, status: str = "success") -> None:
        """Lightning calls this when fitting is over. The run stays open, because its bundle is yet to come, and because
        Lightning takes Ctrl-C for a failure. `end` ends it."""

    @rank_zero_only
    def end(self, status: str = "success") -> None:
        """Ends the run with the status `success`, `failed`, or `KILLED` if somebody stopped it, when everything is
        logged.

        If the store refuses for two minutes (ten seconds after a failure), a warning says how much was not logged. If
        somebody stopped the run and a server hangs, the local store gets what the server did not take.
        """
        if self._monitor:
            self._monitor.finish()
            self._monitor = None
        if not self._ended:  # or somebody did not wait for the end of a run that is finished
            self._ended = True
            self._send(lambda: super(Tracker, self).finalize(status))
        stopped = status == "KILLED"
        if stopped and (left := self._outbox.flush(HURRY, hurry=True)):
            if is_file(self._tracking_uri):
                log.warning("Waiting for MLflow at %s to take %d entries; Ctrl-C ends this.", self._tracking_uri, left)
            else:
                self._outbox.abandon(TimeoutError("it hangs"))
        patience = LAST_PATIENCE if status == "success" else SHORT_PATIENCE
        if left := self._outbox.flush(patience, hurry=stopped):
            known = " The figures are in metrics.json." if status == "success" else ""
            what = "MLflow at %s still does not take it: %d entries were not logged.%s"
            log.warning(what, self._tracking_uri, left, known)

    def _start(self) -> None:
        if self._study and self._run_id is None:
            self.tags = {**(self.tags or {}), MLFLOW_PARENT_RUN_ID: self._run_of_study()}
        client = super().experiment
        assert self._run_id is not None
        client.update_run(self._run_id, status="RUNNING")
        self._remember(self._run_id)
        if self._system_metrics and not self._monitor:
            self._monitor = _Machine(self, self._run_id, self._tracking_uri)
            self._monitor.start()

    def _open(self) -> None:
        """Finds the experiment and, if a run is resumed, the run."""
        self._experiment_id = _experiment(self._mlflow_client, self._tracking_uri, self._experiment_name)
        self._run_id = self._recorded_run(self._tracking_uri)

    def _at_the_start(self, call: Callable[[], None]) -> None:
        try:
            call()
        except FAILURES as error:
            if is_file(self._tracking_uri):
                raise UserError(_advice(self._tracking_uri, error)) from error
            if self._when_unreachable == "stop":
                if DENIED.search(str(error)):
                    problem, remedy = "lets nobody in with this name and password", CREDENTIALS
                else:
                    problem, remedy = "does not answer", "start the server, correct logger.mlflow.tracking_uri"
                raise UserError(
                    f"MLflow {problem} at {self._tracking_uri}; {remedy}, or set logger.mlflow.when_unreachable=local "
                    f"({_gist(error)})"
                ) from error
            self._leave_server(error, "does not answer")
            self._at_the_start(call)

    def _run_of_study(self) -> str:
        """The parent run of all trials of the study. The first trial creates it."""
        client, experiment = self._mlflow_client, self._experiment_id
        assert experiment is not None
        for found in client.search_runs([experiment], "tags.study != ''"):  # a name may have quotes in it
            if found.data.tags["study"] == self._study:
                return found.info.run_id
        run = client.create_run(experiment, tags=self._own_tags | {"study": str(self._study)}, run_name=self._study)
        client.set_terminated(run.info.run_id)
        return run.info.run_id

    def _remember(self, run_id: str) -> None:
        self._runs[self._tracking_uri] = run_id
        with writing(self._record) as file:
            file.write((json.dumps(self._runs, indent=2) + "\n").encode())

    def _recorded_run(self, tracking_uri: str) -> str | None:
        if tracking_uri not in self._runs:
            return None
        try:
            run = MlflowClient(tracking_uri).get_run(self._runs[tracking_uri])
        except MlflowException:  # the store was deleted, so a new run begins
            return None
        return run.info.run_id if run.info.lifecycle_stage == "active" else None

    def _log_params(self) -> None:
        """Logs the parameters that the run does not have yet. MLflow never changes parameters, so a resumed run keeps
        its first ones."""
        known = self.experiment.get_run(self.run_id).data.params
        super().log_hyperparams({name: value for name, value in self._params.items() if name not in known})

    def _send(self, call: Callable[[], None]) -> None:
        def attempt() -> None:
            try:
                call()
            except Exception as error:
                if _may_work_later(error):
                    raise
                if (gist := _gist(error)) not in self._refusals:  # warn once, because every step may be refused
                    self._refusals.add(gist)
                    log.warning("what was to be logged to MLflow was not (%s)", gist)
            if self._waiting:
                self._waiting = False
                log.warning("MLflow at %s answers again: what was kept is logged.", self._tracking_uri)

        self._outbox.put(attempt)

    def _recover(self, error: Exception) -> None:
        """Prepares the next attempt to log something."""
        advice = _advice(self._tracking_uri, error)
        if not is_file(self._tracking_uri):
            try:
                self._leave_server(error, "failed")
            except UserError as trouble:
                advice = f"MLflow failed at {self._tracking_uri} ({_gist(error)}), and {trouble}"
            else:
                self._outbox.put_first(self._log_params)
                return
        if not self._waiting:
            self._waiting = True
            log.warning("%s. Training goes on, and what it logs is kept until then.", advice)
        raise error

    def _leave_server(self, error: Exception, how: str) -> None:
        """Continues in the local store. If that cannot be used, nothing changes.

        Raises:
            UserError: The local store cannot be used.
        """
        try:
            _make_store(LOCAL_STORE)
            client = MlflowClient(LOCAL_STORE)
            experiment = _experiment(client, LOCAL_STORE, self._experiment_name)
            run = self._recorded_run(LOCAL_STORE)
        except FAILURES as trouble:
            raise UserError(_advice(LOCAL_STORE, trouble)) from trouble
        log.warning("MLflow %s at %s (%s): logging to %s.", how, self._tracking_uri, _gist(error), LOCAL_STORE)
        if self._run_id:
            self.tags = self._own_tags | {"continues": f"{self._tracking_uri} run {self._run_id}"}
        self._tracking_uri, self._mlflow_client = LOCAL_STORE, client
        self._experiment_id, self._run_id = experiment, run
        self._initialized = False


class _Machine(SystemMetricsMonitor):
    """MLflow's measurements of the machine. MLflow itself stops measuring at the first error of its store, so the
    tracker sends what is measured."""

    def __init__(self, tracker: Tracker, run_id: str, tracking_uri: str) -> None:
        super().__init__(run_id, resume_logging=True, tracking_uri=tracking_uri)
        self._tracker = tracker

    def monitor(self) -> None:
        while not self._shutdown_event.wait(self.sampling_interval):
            self.collect_metrics()
            measured = {f"{self._metrics_prefix}{name}": value for name, value in self.aggregate_metrics().items()}
            self._tracker.log_metrics(measured, self._logging_step)
            self._logging_step += 1
            for each in self.monitors:
                each.clear_metrics()


def _may_work_later(error: Exception) -> bool:
    if isinstance(error, MlflowException):
        return error.error_code not in REFUSED or DELETED in str(error)
    return isinstance(error, FAILURES) and not isinstance(error, FileNotFoundError)


def is_file(tracking_uri: str) -> bool:
    """Whether a store is a database in a file, and not a server."""
    return tracking_uri.startswith("sqlite:///")


def _experiment(client: MlflowClient, tracking_uri: str, name: str) -> str:
    """The id of the experiment to log to, which is created if it is missing.

    It is `name`, or `name`-local if a server made the experiment in this store, because its artefacts cannot be written
    without the server.
    """
    found = client.get_experiment_by_name(name)
    if found and is_file(tracking_uri) and found.artifact_location.startswith("mlflow-artifacts:"):
        return _experiment(client, tracking_uri, f"{name}-local")
    if found is None:
        try:
            return client.create_experiment(name)
        except MlflowException:
            found = client.get_experiment_by_name(name)  # another run has just created it
            if found is None:
                raise
    if found.lifecycle_stage == "deleted":
        restore = f"MLFLOW_TRACKING_URI={tracking_uri} mlflow experiments restore -x {found.experiment_id}"
        raise UserError(
            f"the MLflow experiment {name} was deleted; bring it back with: {restore}; or log to another one: "
            "logger.mlflow.experiment_name=…"
        )
    return found.experiment_id


def _make_store(tracking_uri: str) -> None:
    """Creates a store in a file if it is missing. A lock keeps two processes, or a kill, from corrupting it."""
    path = Path(tracking_uri.removeprefix("sqlite:///"))
    if is_file(tracking_uri) and not path.exists():
        with alone(path):
            if not path.exists():
                with writing(path) as file:
                    MlflowClient(f"sqlite:///{file.name}").search_experiments(max_results=1)


def _advice(tracking_uri: str, error: Exception) -> str:
    """Says in one line what a user can do about a store in a file that cannot be used."""
    gist = _gist(error)
    if "locked" in gist:
        remedy = "close the program that locks it"
    elif "full" in gist or "No space" in gist:
        remedy = "free some space on its disk"
    elif DELETED in gist:
        remedy = "bring back with MLflow what was deleted: mlflow experiments restore, or mlflow runs restore"
    elif "schema" in gist:
        gist, _, _ = gist.partition(". ")
        remedy = f"another version of MLflow made it: back it up, and run: mlflow db upgrade {tracking_uri}"
    else:
        remedy = "make it readable and writable, or log to another one: logger.mlflow.tracking_uri=sqlite:///other.db"
    return f"MLflow's store {tracking_uri} cannot be used ({gist}); {remedy}"


def _description(card: str) -> str:
    """As many sections of a card as fit into MLflow's databases."""
    if len(card) <= MAX_DESCRIPTION:
        return card
    rest = "\n\nThe rest is in README.md, among the model's files.\n"
    room = MAX_DESCRIPTION - len(rest)
    end = card.rfind("\n## ", 0, room)
    return card[: end if end > 0 else room].rstrip() + rest


def _gist(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]


def _flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Flattens nested settings to values by path, such as `model/latent_dim`."""
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
        if self.store.startswith("sqlite:///") and not database.exists():  # MLflow would create an empty one
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
    """The run whose folder holds a checkpoint or a bundle; `None` if there is none."""
    for folder in path.absolute().parents[:2]:
        if (folder / RECORD).is_file():
            runs: dict[str, str] = json.loads((folder / RECORD).read_text())
            return Run(*list(runs.items())[-1])  # a run that lost its server continued in the local store
    return None


def run_of_uri(uri: str) -> Run | None:
    """The run that the files at an MLflow URI come from: `runs:/<run>/…`, `models:/<name>/<version>` or
    `models:/<name>@<alias>`. `None` if it is unknown or MLflow does not answer."""
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
    """The Git commit of this code, with `-dirty` if files differ from it. `None` if Git does not track this code, even
    if it is installed within a repository."""
    here = Path(__file__)
    try:
        _git(here.parent, "ls-files", "--error-unmatch", here.name)
        return _git(here.parent, "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*")
    except (OSError, subprocess.CalledProcessError):
        return None


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def _own_tags() -> dict[str, str]:
    """The tags that the UI shows as source and description of a run."""
    commit = git_commit()
    tags = {MLFLOW_RUN_NOTE: f"`{shlex.join(['python', '-m', 'face_generation.train', *sys.argv[1:]])}`"}
    return tags | ({MLFLOW_GIT_COMMIT: commit} if commit else {})
