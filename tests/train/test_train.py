"""The command that trains, run as a user runs it, on synthetic faces."""

import csv
import errno
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from mlflow import MlflowClient
from pytorch_lightning.loggers import CSVLogger

from face_generation import __version__
from face_generation.data.datamodule import SyntheticDataModule
from face_generation.generator import Generator
from face_generation.models import checkpoint

# The demo, cut to seconds. In float32 a CPU computes the same twice, to the bit.
SMALL_VAE = [
    "model.encoder.latent_channels=2",
    "model.encoder.channels=[8,8,8,8]",
    "model.decoder.channels=[8,8,8,8,8]",
    "model.discriminator.channels=[8,8]",
]
SMALL = [
    "experiment=demo",
    "data=packed",
    "data.batch_size=8",
    *SMALL_VAE,
    "model.adversarial_epoch=1",
    "trainer.max_epochs=2",
    "trainer.precision=32-true",
    "trainer.accelerator=cpu",
]
SMALL_DCGAN = [
    "model.generator.latent_dim=8",  # few, because the export draws faces for each
    "model.generator.channels=[8,8,8,8,8,8]",
    "model.discriminator.channels=[8,8,8,8,8]",
    "data.batch_size=8",
    "trainer.max_epochs=1",
    "trainer.accelerator=cpu",
    "logger=none",
    "measure_edits=false",
]
ENDS = [signal.SIGTERM, signal.SIGHUP]  # other ways to end a process: `kill`, and a terminal that closes
SHORT = ["trainer.max_epochs=1", "trainer.accelerator=cpu", "logger=none", "measure_edits=false", "data.num_workers=0"]
SMALL_PRIOR = ["model.network.width=16", "model.network.depth=1", "data.batch_size=8"]
Train = Callable[..., subprocess.CompletedProcess[str]]


def command(*options: str) -> list[str]:
    return [sys.executable, "-m", "face_generation.train", *options]


def train_apart(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Trains in a process of its own, which may start others."""
    return subprocess.run(command(*options), cwd=folder, capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> Path:
    """A folder with packed splits of synthetic faces: 48 for training, in six batches, and 6 for validation."""
    folder = tmp_path_factory.mktemp("train")
    SyntheticDataModule(str(folder / "splits"), count=60).prepare_data()
    shutil.copy(empty_store, folder)
    return folder


@pytest.fixture(scope="module")
def run(workspace: Path, train: Train) -> Path:
    """The folder of a run that nothing interrupted."""
    done = train(workspace, *SMALL, "logger=none", "hydra.run.dir=whole")
    assert done.returncode == 0, done.stdout + done.stderr
    return workspace / "whole"


def test_a_run_leaves_checkpoints_metrics_and_a_bundle(run: Path) -> None:
    assert {path.name for path in (run / "checkpoints").iterdir()} == {"last.ckpt", "final.ckpt"}
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics.keys() == {f"val/{name}" for name in ("loss", "pixels", "features", "kl", "psnr", "ssim")}
    assert all(np.isfinite(value) for value in metrics.values())

    generator = Generator.load(run / "bundle")
    assert generator.bundle.name == "demo"
    assert generator.bundle.metrics == metrics
    assert generator.bundle.training["config"]["model"]["encoder"]["latent_channels"] == 2
    assert generator.bundle.training["version"] == __version__
    assert generator.sample(2, seed=0).shape == (2, 150, 150, 3)


@pytest.mark.parametrize("batches", [4, pytest.param(1000, marks=pytest.mark.slow)])
def test_a_killed_run_resumes_to_the_same_weights(workspace: Path, run: Path, train: Train, batches: int) -> None:
    """Killed in the middle of an epoch, or as soon as the first one has its last batch, before it is validated:
    weights, their average and the optimizer's state end alike, bit for bit."""
    options = [*SMALL, "logger=none", f"runs_dir=killed{batches}", f"callbacks.last.every_n_batches={batches}"]
    process = subprocess.Popen(command(*options), cwd=workspace, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 200
    while not (found := list(workspace.glob(f"killed{batches}/*/checkpoints/last.ckpt"))):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert 4 <= checkpoint.read(found[0])["global_step"] < 18

    resumed = train(workspace, *options, "ckpt_path=last")

    assert resumed.returncode == 0, resumed.stdout + resumed.stderr
    whole = torch.load(run / "checkpoints/last.ckpt", weights_only=True)
    ours = torch.load(found[0], weights_only=True)
    # One optimizer steps in the first epoch, and two step in the second.
    assert ours["global_step"] == whole["global_step"] == 18
    for part in ("state_dict", "current_model_state"):
        assert all(torch.equal(ours[part][name], value) for name, value in whole[part].items())
    for optimizer, other in zip(ours["optimizer_states"], whole["optimizer_states"], strict=True):
        for mine, theirs in zip(optimizer["state"].values(), other["state"].values(), strict=True):
            assert all(torch.equal(mine[name], value) for name, value in theirs.items())
    assert ours["lr_schedulers"] == whole["lr_schedulers"]
    assert len(list((workspace / f"killed{batches}").iterdir())) == 1  # it went on in the folder that it began in


def test_a_resumed_run_takes_changed_options_and_says_so(workspace: Path, run: Path, train: Train) -> None:
    shutil.copytree(run, workspace / "changed")
    options = ["ckpt_path=changed/checkpoints/last.ckpt", "logger=none", "model.optimizer.adamw_lr=1e-4"]
    done = train(workspace, *SMALL, *options, "trainer.max_epochs=3")

    assert done.returncode == 0, done.stdout + done.stderr
    assert "From here on model.optimizer.adamw_lr is 0.0001; it was 0.002" in done.stdout
    last = checkpoint.read(workspace / "changed/checkpoints/last.ckpt")
    assert [group["initial_lr"] for group in last["optimizer_states"][0]["param_groups"]] == [1e-4]
    first, *others = checkpoint.read(run / "checkpoints/last.ckpt")["lr_schedulers"]
    assert first["base_lrs"] == [2e-3]
    assert [schedule["base_lrs"] for schedule in last["lr_schedulers"]] == [
        [1e-4],
        *(schedule["base_lrs"] for schedule in others),
    ]
    change = {"batch": 12, "option": "model.optimizer.adamw_lr", "before": 2e-3, "now": 1e-4}
    assert change in last["provenance"]["changes"]


@pytest.mark.slow  # the stages of the recipe, below, are several runs of one command as well
def test_multirun_trains_one_after_the_other(workspace: Path, train: Train) -> None:
    done = train(
        workspace,
        *SMALL,
        "model.encoder.latent_channels=2,4",
        "trainer.max_epochs=1",
        "trainer.limit_train_batches=1",
        "logger=none",
        "hydra.sweep.dir=many",
        "-m",
    )

    assert done.returncode == 0, done.stdout + done.stderr
    bundles = sorted(workspace.glob("many/*/*/bundle"))
    assert [Generator.load(bundle).bundle.latent_dim for bundle in bundles] == [200, 400]


def test_the_stages_of_the_recipe(workspace: Path, train: Train) -> None:
    """The autoencoder, then a prior on its latents, which begins with the newest bundle that the first stage left."""
    done = train(workspace, "experiment=celeba", "data.batch_size=8", *SMALL_VAE, *SHORT)
    assert done.returncode == 0, done.stdout + done.stderr
    done = train(workspace, "experiment=celeba_prior", "truncation=0.8", *SMALL_PRIOR, *SHORT)
    assert done.returncode == 0, done.stdout + done.stderr

    (autoencoder,) = (workspace / "outputs/celeba").glob("*/bundle")
    (bundle,) = (workspace / "outputs/celeba_prior").glob("*/bundle")
    first, both = Generator.load(autoencoder), Generator.load(bundle)
    assert both.bundle.training["model"] == "VAE"
    assert both.bundle.files["decoder.onnx"] == first.bundle.files["decoder.onnx"]
    assert both.bundle.training["autoencoder"]["config"]["name"] == "celeba"
    assert both.bundle.truncation == 0.8
    assert len(both.attributes.names) == 40
    assert both.sample(2, seed=0, attributes={"smiling": 1}).shape == (2, 150, 150, 3)
    metrics = json.loads((bundle.parent / "metrics.json").read_text())
    assert metrics.keys() == {"val/loss", "val/loss_told", "val/loss_untold"}


@pytest.mark.parametrize("choice", ["model=dcgan", pytest.param("experiment=dcgan_2016", marks=pytest.mark.slow)])
def test_a_dcgan_becomes_a_bundle_that_draws_and_has_no_encoder(workspace: Path, train: Train, choice: str) -> None:
    folder = workspace / choice
    done = train(workspace, *SMALL_DCGAN, choice, f"hydra.run.dir='{choice}'")

    assert done.returncode == 0, done.stdout + done.stderr
    assert {path.name for path in (folder / "checkpoints").iterdir()} == {"last.ckpt", "final.ckpt"}
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics.keys() == {"val/swd"}
    assert metrics["val/swd"] > 0
    generator = Generator.load(folder / "bundle")
    assert generator.bundle.name == ("dcgan" if choice == "model=dcgan" else "dcgan-2016")
    assert generator.bundle.training["model"] == "DCGAN"
    assert not (folder / "bundle/encoder.onnx").exists()
    averaged = "current_model_state" in torch.load(folder / "checkpoints/last.ckpt", weights_only=True)
    assert averaged == (choice == "model=dcgan")
    # The bundle draws what the model does.
    model, _ = checkpoint.load(folder / "checkpoints/final.ckpt")
    with torch.no_grad():
        faces = model.eval().decode(torch.from_numpy(generator.latents(2, seed=0)))
    expected = faces.add(1).mul(127.5).permute(0, 2, 3, 1).numpy()
    assert np.abs(generator.sample(2, seed=0) - expected).max() < 4  # weights of a bundle are in half precision


@pytest.mark.gpu
@pytest.mark.parametrize(
    ("choice", "recipe"),
    [
        ("model=vae", SMALL),
        ("model=dcgan", SMALL_DCGAN),
        ("experiment=prior", [*SMALL_PRIOR, "data.autoencoder=whole/bundle", "measure_edits=false"]),
    ],
)
def test_a_gpu_trains_a_model_that_then_draws_without_one(
    workspace: Path, run: Path, train: Train, choice: str, recipe: list[str]
) -> None:
    folder = f"gpu-{choice.partition('=')[2]}"
    options = ["trainer.accelerator=gpu", "trainer.precision=auto", "trainer.max_epochs=1", "logger=none"]
    done = train(workspace, *recipe, choice, *options, f"hydra.run.dir={folder}")

    assert done.returncode == 0, done.stdout + done.stderr
    assert Generator.load(workspace / folder / "bundle").sample(1).shape == (1, 150, 150, 3)


@pytest.mark.slow
def test_two_processes_train_a_dcgan_together(workspace: Path) -> None:
    done = train_apart(workspace, *SMALL_DCGAN, "model=dcgan", "trainer.devices=2", "hydra.run.dir=two-dcgan")

    assert done.returncode == 0, done.stdout + done.stderr
    assert checkpoint.read(workspace / "two-dcgan/checkpoints/last.ckpt")["global_step"] == 6  # 3 of each optimizer
    assert Generator.load(workspace / "two-dcgan/bundle").sample(1).shape == (1, 150, 150, 3)


@pytest.mark.slow
def test_two_processes_train_a_prior_together(workspace: Path, run: Path) -> None:
    options = ["data.autoencoder=whole/bundle", "trainer.devices=2", "hydra.run.dir=two-prior"]
    done = train_apart(workspace, "experiment=prior", *options, *SMALL_PRIOR, *SHORT)

    assert done.returncode == 0, done.stdout + done.stderr
    assert checkpoint.read(workspace / "two-prior/checkpoints/last.ckpt")["global_step"] == 3
    assert Generator.load(workspace / "two-prior/bundle").sample(1).shape == (1, 150, 150, 3)


@pytest.mark.slow
def test_two_processes_train_together(workspace: Path) -> None:
    options = ["trainer.devices=2", "trainer.strategy=ddp", "logger=none", "hydra.run.dir=two"]
    done = train_apart(workspace, *SMALL, *options)

    assert done.returncode == 0, done.stdout + done.stderr
    assert checkpoint.read(workspace / "two/checkpoints/last.ckpt")["global_step"] == 9  # half as many as alone
    assert Generator.load(workspace / "two/bundle").sample(1).shape == (1, 150, 150, 3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["model.latents=8"], "Could not override 'model.latents'"),
        (["model=gan"], "Could not find 'model/gan'"),
        (["model.decoder.channels=[8,8,8]"], "one number more"),
        (["data.folder=nowhere"], "no packed splits in nowhere"),
        (["ckpt_path=last", "runs_dir=empty"], "no checkpoint to go on from in empty"),
        (["ckpt_path=nowhere.ckpt"], "no checkpoint at nowhere.ckpt"),
        (["ckpt_path=splits/train.npy"], "damaged, cut short, or not a checkpoint"),
        (["ckpt_path=whole/checkpoints/last.ckpt", "model.encoder.latent_channels=4"], "of another architecture"),
        (
            ["ckpt_path=whole/checkpoints/last.ckpt", "data.batch_size=4", "trainer.max_epochs=3"],
            "6 batches an epoch, and now there are 12",
        ),
        (["ckpt_path=whole/checkpoints/last.ckpt", "model.optimizer._target_=torch.optim.SGD"], "cannot become"),
        (["ckpt_path=whole/checkpoints/final.ckpt"], "without its state"),
        (["model.optimizer.adamw_lr=1e30", "model.clip=1e30"], "the loss is"),
        (["trainer.max_epochs=abc"], "trainer.max_epochs=abc; give a whole number"),
        (["trainer.max_time=abc"], "error: trainer: "),
        (["trainer.gradient_clip_val=1.0"], "a VAE steps its optimizers by itself"),
        (["model.optimizer._target_=torch.optim.SGD"], "SGD.__init__() got an unexpected keyword argument 'adamw_lr'"),
        (["callbacks=early_stopping", "monitor=val/los", "trainer.max_epochs=1"], "conditioned on metric `val/los`"),
        (["start=nowhere"], "no finished training in nowhere"),
        (["start=nowhere.ckpt"], "no checkpoint at nowhere.ckpt"),
        (["start=whole/checkpoints/final.ckpt", "model.encoder.latent_channels=4"], "of another architecture"),
    ],
)
def test_a_mistake_is_one_line_and_exit_status_2(
    workspace: Path, run: Path, train: Train, options: list[str], message: str
) -> None:
    done = train(workspace, *SMALL, "logger=none", *options)

    assert done.returncode == 2
    (line,) = (line for line in done.stderr.splitlines() if line.startswith("error: "))
    assert message in line
    assert "Traceback" not in done.stderr + done.stdout


@pytest.mark.parametrize(
    "mistake",
    [
        "trainer.max_epochs=abc",
        "trainer.devices=abc",
        "trainer.val_check_interval=1000",
        "trainer.limit_train_batches=0.01",
        "data.batch_size=5000",
        "model.decoder.channels=[8,8,8]",
    ],
)
def test_what_could_not_start_leaves_nothing(mistake: str, workspace: Path, tmp_path: Path, train: Train) -> None:
    done = train(tmp_path, *SMALL, f"data.folder={workspace}/splits", mistake)

    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("change", ["data.batch_size=4", "model.encoder.latent_channels=4"])
def test_a_change_that_is_refused_is_not_recorded(workspace: Path, run: Path, train: Train, change: str) -> None:
    before = (run / "config.yaml").read_text()
    done = train(workspace, *SMALL, "logger=none", "ckpt_path=whole/checkpoints/last.ckpt", change)

    assert done.returncode == 2
    assert (run / "config.yaml").read_text() == before


class FullDisk(CSVLogger):
    """A logger whose disk is full."""

    def save(self) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_disk_that_is_full_for_a_logger_is_one_line(workspace: Path, tmp_path: Path, train: Train) -> None:
    full = [f"+logger.full._target_={__name__}.FullDisk", "+logger.full.save_dir=logs"]
    done = train(tmp_path, *SMALL, f"data.folder={workspace}/splits", "logger=none", *full)

    assert done.returncode == 2
    (line,) = (line for line in done.stderr.splitlines() if line.startswith("error: "))
    assert line.startswith("error: no space left ")
    assert line.endswith("ckpt_path=last")


class Stopped(CSVLogger):
    """A logger that somebody stops with Ctrl-C, and once more when its run is to end."""

    def save(self) -> None:
        raise KeyboardInterrupt

    def finalize(self, status: str) -> None:
        if status == "KILLED":
            signal.raise_signal(signal.SIGINT)


def test_ctrl_c_while_a_stopped_run_ends_keeps_the_message(workspace: Path, tmp_path: Path, train: Train) -> None:
    stopped = [f"+logger.stopped._target_={__name__}.Stopped", "+logger.stopped.save_dir=logs"]
    done = train(tmp_path, *SMALL, f"data.folder={workspace}/splits", "logger=none", *stopped)

    assert done.returncode == 130
    assert "a Stopped could not end its run (KeyboardInterrupt)" in done.stderr
    assert done.stderr.splitlines()[-1] == "interrupted; there is no checkpoint yet to go on from"


def test_an_account_that_a_logger_lacks_is_one_line(
    workspace: Path, tmp_path: Path, train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("wandb").teardown()  # forgets that a run was offline
    for variable in ("WANDB_API_KEY", "WANDB_MODE"):
        monkeypatch.delenv(variable, raising=False)
    for variable in ("HOME", "WANDB_CONFIG_DIR"):  # where keys are kept
        monkeypatch.setenv(variable, str(tmp_path / "home"))
    done = train(tmp_path, *SMALL, f"data.folder={workspace}/splits", "logger=wandb")

    assert done.returncode == 2
    assert "log in with: wandb login" in done.stderr.splitlines()[-1]


def test_a_dry_run_logs_exports_and_keeps_nothing(workspace: Path, tmp_path: Path, train: Train) -> None:
    devices = "+callbacks.devices._target_=pytorch_lightning.callbacks.DeviceStatsMonitor"  # which wants a logger
    done = train(tmp_path, *SMALL, f"data.folder={workspace}/splits", "trainer.fast_dev_run=true", devices)

    assert list(tmp_path.iterdir()) == []
    assert done.stdout.endswith("dry run: all of it works; nothing was logged, exported or kept\n")


def test_lightnings_switches_and_several_loggers(workspace: Path, tmp_path: Path, train: Train) -> None:
    options = [
        "model.clip={_target_:builtins.float,_args_:[1.0]}",  # made by something that is neither ours nor torch's
        "callbacks=early_stopping",
        "+callbacks.devices._target_=pytorch_lightning.callbacks.DeviceStatsMonitor",
        "trainer.overfit_batches=2",
        "trainer.profiler=simple",
        "measure_edits=false",
    ]
    options += ["logger=[csv,tensorboard]", "trainer.log_every_n_steps=1", "hydra.run.dir=my run (1)"]
    done = train(tmp_path, *SMALL, f"data.folder={workspace}/splits", *options)

    assert done.returncode == 0, done.stdout + done.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"my run (1)"}
    kept = {"bundle", "checkpoints", "config.yaml", "csv", "metrics.json", "tensorboard"}
    assert {path.name for path in (tmp_path / "my run (1)").iterdir()} == kept
    with (tmp_path / "my run (1)/csv/version_0/metrics.csv").open() as table:
        steps = {row["step"] for row in csv.DictReader(table) if row["train/loss"]}
    assert steps == {"0", "1", "2", "3"}  # two batches of each of two epochs
    assert "Profiler Report" in done.stdout + done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, *(pytest.param(each, marks=pytest.mark.slow) for each in ENDS)])
def test_a_stopped_run_says_how_to_go_on(
    workspace: Path, tmp_path: Path, empty_store: Path, number: signal.Signals
) -> None:
    shutil.copy(empty_store, tmp_path)
    (tmp_path / "mine").mkdir()
    options = [*SMALL, f"data.folder={workspace}/splits", "trainer.max_epochs=1000", "runs_dir=stopped runs"]
    own = ["--config-dir", "mine"]
    process = subprocess.Popen(command(*own, *options), cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 200
    while not list(tmp_path.glob("stopped runs/*/checkpoints/last.ckpt")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(number)
    _, printed = process.communicate(timeout=100)

    assert process.returncode == 130
    (line,) = (line for line in printed.decode().splitlines() if line.startswith("interrupted"))
    before, typed = line.split("python -m face_generation.train ")
    assert before == "interrupted; go on with: "
    expected = [f"--config-dir={tmp_path}/mine", *options[:-1], "runs_dir='stopped runs'", "ckpt_path=last"]
    assert shlex.split(typed) == expected
    client = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    (stopped,) = client.search_runs([client.get_experiment_by_name("face-generation").experiment_id])
    assert stopped.info.status == "KILLED"


@pytest.mark.slow
def test_a_push_that_fails_leaves_a_finished_run(workspace: Path, tmp_path: Path, train: Train) -> None:
    done = train(tmp_path, *SMALL, f"data.folder={workspace}/splits", "trainer.max_epochs=1", "push=true")

    assert done.returncode == 2
    assert "checkpoints is here and whole, but DVC did not push it (" in done.stderr
    client = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    (run,) = client.search_runs([client.get_experiment_by_name("face-generation").experiment_id])
    assert run.info.status == "FINISHED"


@pytest.mark.slow
def test_a_search_goes_on_with_its_study(workspace: Path, tmp_path: Path) -> None:
    optuna = pytest.importorskip("optuna")
    recipe = ["hparams_search=demo", "model.decoder.channels=[8,8,8,8,8]", f"data.folder={workspace}/splits"]
    for trials in (1, 4):
        done = train_apart(tmp_path, *SMALL, *recipe, f"hydra.sweeper.n_trials={trials}", "trainer.max_epochs=1")
        assert done.returncode == 0, done.stdout + done.stderr

    study = optuna.load_study(study_name="demo_search", storage=f"sqlite:///{tmp_path}/optuna.db")
    figures = {path: json.loads(path.read_text()) for path in tmp_path.glob("outputs/demo_search/*/metrics.json")}
    assert len(study.trials) == len(figures) == 4
    assert study.best_value == pytest.approx(min(each["val/loss"] for each in figures.values()))
    assert set(study.best_params) == {"model.optimizer.adamw_lr", "model.scheduler.warmup_steps"}
    assert f"best of 4 trials: {study.best_value:.6g} with " in done.stdout
    client = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    runs = client.search_runs([client.get_experiment_by_name("face-generation").experiment_id])
    parents = [run.data.tags.get("mlflow.parentRunId") for run in runs]
    (parent,) = (run for run in runs if run.info.run_name == "demo_search" and "study" in run.data.tags)
    assert parents.count(parent.info.run_id) == 4


def test_help_names_the_groups_and_options() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "face_generation.train", "--help"],
        capture_output=True,
        text=True,
        env=os.environ | {"COLUMNS": "120"},
    )

    assert done.returncode == 0
    for word in (
        "experiment: celeba, celeba_prior, dcgan_2016, demo, demo_prior, prior, vae",
        "ckpt_path=last",
        "model: dcgan, prior, vae",
        "seed: 0",
    ):
        assert word in done.stdout
