"""The logger by itself, on a store in a file: what a run says about itself, and a store that fails for a while."""

import re
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from mlflow import MlflowClient
from sqlalchemy import Engine, event

from face_generation import tracking
from face_generation.errors import UserError
from face_generation.tracking import Tracker, git_commit


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def store(folder: Path, empty_store: Path) -> str:
    """The address of the store of this test: MLflow keeps those open that it knows."""
    return f"sqlite:///{shutil.copy(empty_store, folder)}"


@pytest.fixture
def tracker(store: str) -> Iterator[Tracker]:
    tracker = Tracker("run", "faces", "demo", store)
    tracker.log_hyperparams({"seed": 1, "model": {"width": 8}})
    yield tracker
    tracker.end()


def wait_for(condition: Callable[[], object]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.02)


def status(tracker: Tracker) -> str:
    return MlflowClient(tracker._tracking_uri).get_run(tracker.run_id).info.status


def test_a_run_is_finished_when_its_bundle_is_registered(tracker: Tracker, tiny_bundle: Path) -> None:
    tracker.finalize("success")  # Lightning, at the end of fitting
    assert status(tracker) == "RUNNING"
    tracker.register(tiny_bundle, "demo")
    tracker.end()
    tracker.end("KILLED")  # somebody did not wait
    assert status(tracker) == "FINISHED"
    model = MlflowClient(tracker._tracking_uri).get_model_version("demo", "1")
    assert model.tags["image_size"] == "150"


@pytest.mark.parametrize(("given", "shown"), [("failed", "FAILED"), ("KILLED", "KILLED")])
def test_a_run_that_ends_early_says_so(tracker: Tracker, given: str, shown: str) -> None:
    tracker.finalize("failed")  # Lightning, also after Ctrl-C
    tracker.end(given)
    assert status(tracker) == shown


def test_a_run_says_what_it_was_trained_on_and_with(tracker: Tracker, folder: Path) -> None:
    tracker.log_split(folder / "splits/train.npy", 96, "0123abcd", "training")
    tracker.end()

    run = MlflowClient(tracker._tracking_uri).get_run(tracker.run_id)
    (logged,) = run.inputs.dataset_inputs
    assert (logged.dataset.name, logged.dataset.digest) == ("splits/train", "0123abcd")
    assert run.data.params == {"seed": "1", "model/width": "8"}
    assert "python -m face_generation.train" in run.data.tags["mlflow.note.content"]


def test_a_repository_around_the_code_is_not_its_commit(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def git(*arguments: str) -> str:
        who = ["-c", "user.name=Ann", "-c", "user.email=ann@example.org"]
        return subprocess.run(["git", *who, *arguments], check=True, capture_output=True, text=True).stdout.strip()

    code = folder / "site-packages/tracking.py"
    code.parent.mkdir()
    code.write_text("installed")
    monkeypatch.setattr(tracking, "__file__", str(code))
    git("init", "-q")
    git("commit", "-q", "--allow-empty", "-m", "theirs")
    assert git_commit() is None

    git("add", "site-packages")
    git("commit", "-q", "-m", "ours")
    assert git_commit() == git("rev-parse", "HEAD")
    code.write_text("changed")
    assert git_commit() == git("rev-parse", "HEAD") + "-dirty"


def test_names_may_have_quotes(tracker: Tracker, store: str, tiny_bundle: Path) -> None:
    name = """Ann's "faces\""""
    tracker.register(tiny_bundle, name)
    tracker.register(tiny_bundle, name)
    tracker.end()
    for trial in ("one", "two"):
        other = Tracker(trial, "faces", name, store, study=name)
        other.log_hyperparams({"seed": 1})
        other.end()

    client = MlflowClient(store)
    assert client.get_model_version(name, "2").run_id == tracker.run_id
    runs = client.search_runs([client.get_experiment_by_name("faces").experiment_id])
    (parent,) = (run.info.run_id for run in runs if run.data.tags.get("study") == name)
    assert [run.data.tags.get("mlflow.parentRunId") for run in runs].count(parent) == 2


def test_a_folder_may_have_any_name(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    odd = folder / "faces #1 [é], a=b"
    odd.mkdir()
    monkeypatch.chdir(odd)
    (odd / "note").touch()
    tracker = Tracker("run", "faces", "demo", f"sqlite:///{odd}/mlflow.db")
    tracker.log_hyperparams({"seed": 1})
    tracker.log_file(odd / "note")
    tracker.end()

    assert [path.name for path in folder.iterdir()] == [odd.name]
    assert {path.name for path in odd.iterdir()} == {"mlflow.db", "mlruns", "note", "run"}
    assert len(list(odd.glob("mlruns/*/*/artifacts/note"))) == 1


def test_a_locked_store_delays_what_is_logged(tracker: Tracker, folder: Path) -> None:
    other = sqlite3.connect(folder / "mlflow.db", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    for step in range(20):
        tracker.log_metrics({"loss": step / 2}, step)
    other.execute("COMMIT")
    other.close()
    tracker.end()

    client = MlflowClient(tracker._tracking_uri)
    assert [point.step for point in client.get_metric_history(tracker.run_id, "loss")] == list(range(20))


@pytest.fixture
def impatient() -> Iterator[None]:
    """SQLite waits a moment for a lock, where MLflow tells it to wait for 20 seconds."""

    def hurry(connection: Any, cursor: Any, statement: str, parameters: Any, *_: Any) -> tuple[str, Any]:
        return re.sub(r"busy_timeout = \d+", "busy_timeout = 10", statement), parameters

    listened = (Engine, "before_cursor_execute", hurry)
    event.listen(*listened, retval=True)
    yield
    event.remove(*listened)


def test_a_store_that_is_locked_at_the_start_is_one_line(impatient: None, store: str, folder: Path) -> None:
    tracker = Tracker("run", "faces", "demo", store)
    other = sqlite3.connect(folder / "mlflow.db", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(UserError, match="locked.*; close the program that locks it"):
        _ = tracker.experiment  # as Lightning begins
    other.execute("COMMIT")
    other.close()


def test_a_deleted_experiment_is_one_line_with_the_remedy(store: str) -> None:
    client = MlflowClient(store)
    deleted = client.create_experiment("faces")
    client.delete_experiment(deleted)

    with pytest.raises(UserError, match=f"was deleted; .* mlflow experiments restore -x {deleted}"):
        Tracker("other", "faces", "demo", store)


def test_an_experiment_that_is_deleted_in_mid_run_may_come_back(
    tracker: Tracker, store: str, caplog: pytest.LogCaptureFixture
) -> None:
    client = MlflowClient(store)
    client.delete_experiment(tracker.experiment_id)
    for step in range(3):
        tracker.log_metrics({"loss": step / 2}, step)
    wait_for(lambda: "mlflow experiments restore" in caplog.text)
    client.restore_experiment(tracker.experiment_id)
    tracker.end()

    assert [point.step for point in client.get_metric_history(tracker.run_id, "loss")] == [0, 1, 2]


@contextmanager
def logging_to_a_locked_server(folder: Path, empty_store: Path) -> Iterator[Tracker]:
    """A tracker that has logged three steps to a server that hangs.

    The server is a locked database, for which SQLite waits 20 seconds. The tracker does not take it for a file.
    """
    shutil.copy(empty_store, folder / "server.db")
    tracker = Tracker("run", "faces", "demo", f"sqlite+pysqlite:///{folder}/server.db")
    tracker.log_hyperparams({"seed": 1})
    with closing(sqlite3.connect(folder / "server.db", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        for step in range(3):
            tracker.log_metrics({"loss": step / 2}, step)
        yield tracker


def test_a_server_may_go_while_the_local_store_cannot_be_used(
    impatient: None,
    store: str,
    folder: Path,
    empty_store: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tracking, "LOCAL_STORE", store)
    local = MlflowClient(store)
    experiment = local.create_experiment("faces")
    local.delete_experiment(experiment)
    with logging_to_a_locked_server(folder, empty_store) as tracker:
        wait_for(lambda: "and the MLflow experiment faces was deleted" in caplog.text)
        local.restore_experiment(experiment)
        tracker.end()

    (run,) = local.search_runs([experiment])
    assert [point.step for point in local.get_metric_history(run.info.run_id, "loss")] == [0, 1, 2]
    assert run.data.params == {"seed": "1"}


def test_a_stopped_run_does_not_wait_for_a_server_that_hangs(
    store: str, folder: Path, empty_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracking, "LOCAL_STORE", store)
    with logging_to_a_locked_server(folder, empty_store) as tracker:
        begun = time.monotonic()
        tracker.end("KILLED")
        assert time.monotonic() - begun < 15

    local = MlflowClient(store)
    (run,) = local.search_runs([local.get_experiment_by_name("faces").experiment_id])
    assert [point.step for point in local.get_metric_history(run.info.run_id, "loss")] == [0, 1, 2]
    assert run.info.status == "KILLED"


def test_a_locked_store_stops_no_measurement_of_the_machine(
    impatient: None, store: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "0.05")
    tracker = Tracker("run", "faces", "demo", store, system_metrics=True)
    tracker.log_hyperparams({"seed": 1})

    def measured() -> list[int]:  # MLflow itself would not wait long, because these tests are impatient
        steps = "SELECT step FROM metrics WHERE key = 'system/cpu_utilization_percentage' ORDER BY step"
        with closing(sqlite3.connect(folder / "mlflow.db", timeout=60)) as database:
            return [step for (step,) in database.execute(steps)]

    wait_for(measured)
    with closing(sqlite3.connect(folder / "mlflow.db", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        time.sleep(0.5)
    before = len(measured())
    wait_for(lambda: len(measured()) > before + 3)
    tracker.end()

    assert measured() == list(range(len(measured())))


def test_a_store_of_another_version_is_one_line(store: str, folder: Path) -> None:
    with sqlite3.connect(folder / "mlflow.db") as other:
        other.execute("UPDATE alembic_version SET version_num = '0'")
    other.close()

    with pytest.raises(UserError, match=f"out-of-date database schema .*; .* run: mlflow db upgrade {store}"):
        Tracker("run", "faces", "demo", store)


def test_a_server_that_asks_for_a_password_is_one_line() -> None:
    class Closed(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(401)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Closed) as server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        with pytest.raises(UserError, match="lets nobody in .*; set MLFLOW_TRACKING_USERNAME and"):
            Tracker("run", "faces", "demo", f"http://127.0.0.1:{server.server_port}")
        server.shutdown()
        thread.join()


def test_a_store_that_cannot_be_read_is_one_line(folder: Path) -> None:
    (folder / "other.db").write_bytes(b"no database" * 1000)

    with pytest.raises(UserError, match=r"sqlite:///.*other.db cannot be used \(.*not a database.*\); "):
        Tracker("run", "faces", "demo", f"sqlite:///{folder}/other.db")


def test_the_first_runs_of_a_folder_may_begin_at_once(folder: Path) -> None:
    program = (
        "import sys; from face_generation.tracking import Tracker\n"
        "print('ready', flush=True); sys.stdin.readline()\n"
        "tracker = Tracker(sys.argv[1], 'faces', 'demo'); tracker.log_hyperparams({'seed': 1}); tracker.end()\n"
    )
    pipe = subprocess.PIPE
    begun = [
        subprocess.Popen([sys.executable, "-c", program, name], cwd=folder, stdin=pipe, stdout=pipe, text=True)
        for name in ("one", "two")
    ]
    for process in begun:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
    for process in begun:
        process.communicate("go\n", timeout=300)

    assert [process.returncode for process in begun] == [0, 0]
    client = MlflowClient(f"sqlite:///{folder}/mlflow.db")
    assert len(client.search_runs([client.get_experiment_by_name("faces").experiment_id])) == 2
