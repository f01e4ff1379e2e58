"""What each kind of logger takes of a picture and a file."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from mlflow import MlflowClient
from pytorch_lightning.loggers import Logger, MLFlowLogger

from face_generation.command import configs_folder
from face_generation.errors import UserError
from face_generation.train.loggers import begin, end, log_file, log_picture, register

PICTURE = np.full((4, 6, 3), [255, 0, 0], dtype=np.uint8)


def configured(choice: str, *options: str) -> dict[str, Logger]:
    """The loggers of `logger=choice`, by name."""
    with initialize_config_dir(str(configs_folder()), version_base="1.3"):
        config = compose("train", [f"logger={choice}", "name=small", "run_dir=run", *options])
    return {name: instantiate(logger) for name, logger in (config.logger or {}).items()}


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Logger], None]:
    """Logs settings, a number, a picture, a file and a bundle, and ends the run."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "note.txt").write_text("hello")
    (tmp_path / "bundle").mkdir()
    (tmp_path / "bundle/bundle.json").write_text("{}")

    def to(logger: Logger) -> None:
        logger.log_hyperparams({"model": {"width": 3}})
        logger.log_metrics({"val/loss": 1.5}, step=2)
        log_picture(logger, "samples", PICTURE, 0)
        log_file(logger, tmp_path / "note.txt")
        register(logger, tmp_path / "bundle", "small")
        end(logger, "success")

    return to


def test_csv_takes_numbers_and_passes_over_the_rest(log: Callable[[Logger], None], tmp_path: Path) -> None:
    log(configured("csv")["csv"])

    assert (tmp_path / "run/csv/version_0/metrics.csv").read_text() == "step,val/loss\n2,1.5\n"


def test_tensorboard_takes_pictures(log: Callable[[Logger], None], tmp_path: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    log(configured("tensorboard")["tensorboard"])

    events = accumulator.EventAccumulator(str(tmp_path / "run/tensorboard")).Reload()
    (image,) = events.Images("samples")
    assert (image.width, image.height) == (6, 4)
    assert [scalar.value for scalar in events.Scalars("val/loss")] == [1.5]


def test_wandb_takes_pictures_and_files(
    log: Callable[[Logger], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("wandb").teardown()  # forgets what another test has set up
    monkeypatch.setenv("WANDB_SILENT", "true")
    log(configured("wandb", "logger.wandb.offline=true")["wandb"])

    (files,) = (tmp_path / "run/wandb").glob("offline-run-*/files")
    assert (files / "note.txt").read_text() == "hello"
    assert len(list((files / "media/images").glob("samples_*.png"))) == 1


def test_wandb_without_an_account_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wandb = pytest.importorskip("wandb")
    monkeypatch.chdir(tmp_path)
    wandb.teardown()  # forgets that a run was offline
    for variable in ("WANDB_API_KEY", "WANDB_MODE"):  # Lightning sets the second then
        monkeypatch.delenv(variable, raising=False)
    for variable in ("HOME", "WANDB_CONFIG_DIR"):  # where keys are kept
        monkeypatch.setenv(variable, str(tmp_path))

    with pytest.raises(UserError, match="Weights & Biases cannot be used .*; log in with: wandb login; or set"):
        begin(configured("wandb")["wandb"], {"seed": 1})


def test_mlflows_own_settings_are_obeyed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow.example.org")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "noses")
    with initialize_config_dir(str(configs_folder()), version_base="1.3"):
        logger = compose("train", ["name=small", "run_dir=run"]).logger.mlflow

    assert (logger.tracking_uri, logger.experiment_name) == ("http://mlflow.example.org", "noses")


def test_lightnings_mlflow_logger_takes_pictures_and_files(
    log: Callable[[Logger], None], empty_store: Path, tmp_path: Path
) -> None:
    store = f"sqlite:///{shutil.copy(empty_store, tmp_path)}"
    logger = MLFlowLogger("other", tracking_uri=store, artifact_location=str(tmp_path / "a"))
    log(logger)

    client = MlflowClient(store)
    assert {file.path for file in client.list_artifacts(logger.run_id)} == {"images", "note.txt"}
    assert client.get_run(logger.run_id).info.status == "FINISHED"


def test_several_loggers_are_chosen_by_a_list() -> None:
    assert list(configured("[csv,tensorboard]")) == ["csv", "tensorboard"]
    assert configured("none") == {}
