"""Training against a real `mlflow server`: what it logs, what the pages show, and a server that is not there."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from mlflow import MlflowClient
from mlflow.entities import Run
from PIL import Image
from playwright.sync_api import BrowserContext, Locator, expect

from face_generation.generator import Generator

ROOT = Path(__file__).parents[1]
STEPS = 3  # per epoch
# The demo, cut to seconds.
SMALL = [
    "experiment=demo",
    "data.count=60",
    "data.batch_size=8",
    "model.encoder.latent_channels=2",
    "model.encoder.channels=[8,8,8,8]",
    "model.decoder.channels=[8,8,8,8,8]",
    "model.discriminator.channels=[8,8]",
    "trainer.max_epochs=1",
    f"trainer.limit_train_batches={STEPS}",
    "trainer.log_every_n_steps=1",
    "trainer.accelerator=cpu",
]
AT_ONCE = {"MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "0", "MLFLOW_HTTP_REQUEST_BACKOFF_JITTER": "0"}  # it asks again
Train = Callable[..., subprocess.CompletedProcess[str]]


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@contextmanager
def mlflow_server(folder: Path, empty_store: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """A server started in `folder`, over the store that training there logs to by default: its address and process.

    It runs no jobs, because it would start a process for each kind of job, and each imports MLflow for seconds."""
    shutil.copy(empty_store, folder)
    port = free_port()
    command = [sys.executable, "-m", "mlflow", "server", "--workers", "1", "--port", str(port)]
    environment = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with (folder / "server.log").open("wb") as log:
        server = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True)
    try:
        address = f"http://127.0.0.1:{port}"
        wait_for(lambda: answers(address), server)
        yield address, server
    finally:
        kill(server)


def answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"{address}/health", timeout=5) as answer:
            return answer.status == 200
    except OSError:
        return False


def wait_for(condition: Any, process: subprocess.Popen[Any]) -> None:
    end = time.monotonic() + 240
    while not condition():
        assert process.poll() is None, "the process ended early"
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.05)


def kill(server: subprocess.Popen[bytes]) -> None:
    """Kills a server with its workers."""
    if server.poll() is None:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def python(module: str, *options: str) -> list[str]:
    return [sys.executable, "-m", f"face_generation.{module}", *options]


def training(folder: Path, *options: str, **streams: Any) -> subprocess.Popen[str]:
    """The command, which runs in `folder` and asks a server that does not answer again at once."""
    return subprocess.Popen(
        python("train", *SMALL, *options), cwd=folder, env=os.environ | AT_ONCE, text=True, **streams
    )


def flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """As MLflow shows it: model/encoder/channels."""
    items: dict[str, str] = {}
    for name, value in settings.items():
        items |= flat(value, f"{prefix}{name}/") if isinstance(value, dict) else {f"{prefix}{name}": str(value)}
    return items


def only_run(client: MlflowClient, experiment: str = "face-generation") -> Run:
    (run,) = client.search_runs([client.get_experiment_by_name(experiment).experiment_id])
    return run


def steps(client: MlflowClient, run: Run, metric: str) -> list[int]:
    return [point.step for point in client.get_metric_history(run.info.run_id, metric)]


def artifacts(client: MlflowClient, run: Run, folder: str) -> list[str]:
    return [file.path for file in client.list_artifacts(run.info.run_id, folder)]


@dataclass
class Trained:
    address: str
    folder: Path  # of the run
    splits: Path  # of the faces that it drew
    first_config: dict[str, Any]
    client: MlflowClient
    run: Run


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tracking")


@pytest.fixture(scope="module")
def trained(workspace: Path, train: Train, empty_store: Path) -> Iterator[Trained]:
    """A run of one epoch, resumed for a second one, on a server."""
    with mlflow_server(workspace, empty_store) as (address, _):
        options = [*SMALL, f"logger.mlflow.tracking_uri={address}", "hydra.run.dir=outputs/demo/run"]
        done = train(workspace, *options)
        assert done.returncode == 0, done.stdout + done.stderr
        folder = workspace / "outputs/demo/run"
        first_config = yaml.safe_load((folder / "config.yaml").read_text())

        done = train(workspace, *options, "hydra.run.dir=other", "trainer.max_epochs=2", "ckpt_path=last")
        assert done.returncode == 0, done.stdout + done.stderr
        client = MlflowClient(address)
        yield Trained(address, folder, workspace / "outputs/synthetic/splits", first_config, client, only_run(client))


def test_parameters_are_the_whole_configuration(trained: Trained) -> None:
    assert flat(trained.first_config).items() <= trained.run.data.params.items()
    assert trained.run.data.params["model/encoder/channels"] == "[8, 8, 8, 8]"


def test_metrics_of_every_step_and_epoch_and_of_the_end(trained: Trained) -> None:
    every_step = list(range(2 * STEPS))
    for name in ("loss", "pixels", "kl", "images_per_second"):
        assert steps(trained.client, trained.run, f"train/{name}") == every_step
    for network in ("autoencoder", "decoder", "discriminator"):
        assert steps(trained.client, trained.run, f"lr/{network}") == every_step
    for name in ("loss", "pixels", "features", "kl", "psnr", "ssim"):
        assert steps(trained.client, trained.run, f"val/{name}") == [STEPS - 1, 2 * STEPS - 1]
    for name, value in json.loads((trained.folder / "metrics.json").read_text()).items():
        assert trained.run.data.metrics[f"final/{name}"] == pytest.approx(value)
    assert trained.run.info.status == "FINISHED"


@pytest.mark.parametrize("name", ["samples", "reconstructions"])
def test_a_grid_of_every_epoch(trained: Trained, tmp_path: Path, name: str) -> None:
    pictures = [path for path in artifacts(trained.client, trained.run, "images") if path.endswith(".png")]
    grids = {path: int(re.search(r"step\+(\d+)", path)[1]) for path in pictures if path.startswith(f"images/{name}+")}

    assert sorted(grids.values()) == [0, 1]
    for path in grids:
        local = trained.client.download_artifacts(trained.run.info.run_id, path, str(tmp_path))
        with Image.open(local) as grid:
            assert grid.width == 6 * 152 + 2


def test_configuration_as_a_file(trained: Trained, tmp_path: Path) -> None:
    logged = trained.client.download_artifacts(trained.run.info.run_id, "config.yaml", str(tmp_path))
    assert Path(logged).read_text() == (trained.folder / "config.yaml").read_text()


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="not a Git repository")
def test_commit(trained: Trained) -> None:
    head = subprocess.run(["git", "-C", ROOT, "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
    assert trained.run.data.tags["mlflow.source.git.commit"].removesuffix("-dirty") == head.stdout.strip()


def test_a_registered_model_draws_what_its_bundle_draws(trained: Trained, tmp_path: Path) -> None:
    versions = trained.client.search_model_versions("name='demo'")
    assert {(version.version, version.run_id) for version in versions} == {
        ("1", trained.run.info.run_id),
        ("2", trained.run.info.run_id),
    }

    subprocess.run(
        python("inference", "bundle=models:/demo/2", "seed=1", "output=face.png"),
        cwd=tmp_path,
        env=os.environ | {"MLFLOW_TRACKING_URI": trained.address},
        check=True,
    )

    with Image.open(tmp_path / "face.png") as face:
        assert np.array_equal(face, Generator.load(trained.folder / "bundle").sample(1, seed=1)[0])


def test_the_run_page_shows_curves_and_grids(trained: Trained, context: BrowserContext) -> None:
    run = trained.run.info
    page = context.new_page()
    page.set_viewport_size({"width": 1400, "height": 1000})
    page.goto(f"{trained.address}/#/experiments/{run.experiment_id}/runs/{run.run_id}/model-metrics")

    search = page.get_by_placeholder("Search metric charts")
    search.fill("train/loss")
    curve = page.locator(".js-plotly-plot path.js-line").first
    expect(curve).to_be_visible()
    # Waits for it: the page filters its charts a moment after the typing.
    expect(curve).to_have_attribute("d", re.compile(f"^([ML][^ML]*){{{2 * STEPS}}}$"))

    for name in ("samples", "reconstructions"):
        search.fill(name)
        grid = page.locator(f"img[src*='images%2F{name}']").first
        grid.scroll_into_view_if_needed()
        expect(grid).to_be_visible()
        assert loaded(grid)


def loaded(image: Locator) -> bool:
    return image.evaluate("image => image.decode().then(() => image.naturalWidth > 0)")


def test_no_server_stops_before_the_first_step(
    trained: Trained, train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in AT_ONCE.items():
        monkeypatch.setenv(name, value)
    address = f"http://127.0.0.1:{free_port()}"
    options = [f"data.folder={trained.splits}", f"logger.mlflow.tracking_uri={address}", "hydra.run.dir=run"]
    done = train(tmp_path, *SMALL, *options, "logger.mlflow.when_unreachable=stop")

    assert done.returncode == 2
    assert re.fullmatch(rf"error: MLflow does not answer at {address}; [^\n]+\n", done.stderr)
    assert not (tmp_path / "run/checkpoints").exists()


def test_no_server_and_on_to_the_local_store(trained: Trained, tmp_path: Path, empty_store: Path) -> None:
    shutil.copy(empty_store, tmp_path)
    address = f"http://127.0.0.1:{free_port()}"
    options = [f"data.folder={trained.splits}", f"logger.mlflow.tracking_uri={address}", "hydra.run.dir=run"]
    pipe = subprocess.PIPE
    process = training(tmp_path, *options, "logger.mlflow.when_unreachable=local", stdout=pipe, stderr=pipe)
    out, errors = process.communicate(timeout=300)

    assert process.returncode == 0, errors
    assert f"MLflow does not answer at {address}" in out
    assert "Retrying" not in out + errors
    client = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    assert steps(client, only_run(client), "train/loss") == list(range(STEPS))
    assert len(client.search_model_versions("name='demo'")) == 1


def test_a_server_that_dies_costs_no_training(trained: Trained, tmp_path: Path, empty_store: Path) -> None:
    record = tmp_path / "run/mlflow_run.json"
    with mlflow_server(tmp_path, empty_store) as (address, server):
        options = [f"data.folder={trained.splits}", f"logger.mlflow.tracking_uri={address}", "trainer.max_epochs=4"]
        process = training(tmp_path, *options, "hydra.run.dir=run", stdout=subprocess.PIPE)
        wait_for(record.exists, process)
        client = MlflowClient(address)
        wait_for(lambda: "val/loss" in only_run(client).data.metrics, process)
        kill(server)
        output, _ = process.communicate(timeout=300)

    assert process.returncode == 0, output
    store = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    first, second = only_run(store), only_run(store, "face-generation-local")
    assert second.data.tags["continues"] == f"{address} run {first.info.run_id}"
    assert json.loads(record.read_text()) == {
        address: first.info.run_id,
        "sqlite:///mlflow.db": second.info.run_id,
    }
    logged = {*steps(store, first, "train/loss"), *steps(store, second, "train/loss")}
    assert logged == set(range(4 * STEPS))
    assert second.data.params == first.data.params
    assert "final/val/loss" in second.data.metrics
    assert [version.run_id for version in store.search_model_versions("name='demo'")] == [second.info.run_id]
