"""The DCGAN: its losses, its switches, that it learns, and that a resumed run is the same run."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import EMAWeightAveraging, ModelCheckpoint
from torch import nn

from face_generation.data.datamodule import SyntheticDataModule
from face_generation.models import DCGAN
from face_generation.models.adversarial import diversity
from face_generation.models.base import FaceModel
from face_generation.networks import DCGANDiscriminator, DCGANGenerator
from face_generation.train.callbacks import ReportCollapse, StepSeeds

Build = Callable[..., DCGAN]


@pytest.fixture(scope="module")
def synthetic(tmp_path_factory: pytest.TempPathFactory) -> SyntheticDataModule:
    """Synthetic faces: 51 for training, in batches of 8, and 6 for validation."""
    datamodule = SyntheticDataModule(str(tmp_path_factory.mktemp("synthetic") / "splits"), count=64, batch_size=8)
    datamodule.prepare_data()
    return datamodule


def train(
    model: DCGAN,
    folder: Path,
    synthetic: SyntheticDataModule,
    epochs: int,
    resume: Path | None = None,
    validate: bool = True,
    precision: Any = "32-true",
) -> pl.Trainer:
    callbacks: list[pl.Callback] = [
        EMAWeightAveraging(decay=0.9),
        StepSeeds(seed=0),
        ReportCollapse(),
        ModelCheckpoint(dirpath=folder, filename="last"),
        ModelCheckpoint(dirpath=folder, filename="step{step}", every_n_train_steps=16, save_top_k=-1),
    ]
    trainer = pl.Trainer(
        max_epochs=epochs,
        limit_val_batches=None if validate else 0,
        accelerator="cpu",
        precision=precision,
        callbacks=callbacks,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(model, synthetic, ckpt_path=resume, weights_only=True)
    return trainer


def test_samples_are_images(build_model: Build) -> None:
    model = build_model("dcgan").eval()
    faces = model.decode(torch.randn(3, 8))

    assert isinstance(model, FaceModel)
    assert not hasattr(model, "encode")
    assert faces.shape == (3, 3, 150, 150)
    assert faces.abs().max() <= 1


def test_a_resumed_run_ends_like_one_that_nothing_interrupted(
    build_model: Build, tmp_path: Path, synthetic: SyntheticDataModule
) -> None:
    """It resumes in the middle of epoch 2. Weights, their average and both optimizers are the same, bit for bit."""
    train(build_model("dcgan"), tmp_path / "whole", synthetic, epochs=2)
    (middle,) = (tmp_path / "whole").glob("*step=16.ckpt")  # 8 steps of each optimizer; an epoch has 6
    train(build_model("dcgan"), tmp_path / "resumed", synthetic, epochs=2, resume=middle)

    whole, resumed = (torch.load(tmp_path / f"{name}/last.ckpt", weights_only=True) for name in ("whole", "resumed"))
    assert whole["epoch"] == resumed["epoch"] == 1
    for part in ("state_dict", "current_model_state"):
        assert all(torch.equal(resumed[part][name], value) for name, value in whole[part].items())
    assert len(whole["optimizer_states"]) == 2
    for ours, theirs in zip(resumed["optimizer_states"], whole["optimizer_states"], strict=True):
        for mine, other in zip(ours["state"].values(), theirs["state"].values(), strict=True):
            assert all(torch.equal(mine[name], value) for name, value in other.items())


PLAIN = [
    "model.discriminator.norm=batch",
    "model.adversarial._target_=face_generation.losses.NonSaturating",
    "model.penalty.weight=0",
    "model.augment=false",
]


@pytest.mark.parametrize(
    ("options", "precision", "loss"),
    [
        ([], "32-true", math.log(2)),
        ([], "bf16-mixed", math.log(2)),
        (PLAIN, "32-true", 2 * math.log(2)),
        (["model.discriminator.norm=spectral", "model.penalty.weight=0"], "32-true", math.log(2)),
    ],
)
def test_a_step_moves_both_networks_and_logs_what_one_looks_at(
    build_model: Build, tmp_path: Path, synthetic: SyntheticDataModule, options: list[str], precision: str, loss: float
) -> None:
    model = build_model("dcgan", *options)
    before = {name: parameter.clone() for name, parameter in model.named_parameters()}
    trainer = train(model, tmp_path, synthetic, epochs=1, precision=precision)
    after = torch.load(tmp_path / "last.ckpt", weights_only=True)["current_model_state"]

    still = {name for name, parameter in before.items() if torch.equal(parameter, after[name])}
    last = f"discriminator.layers.{len(model.discriminator.layers) - 1}.bias"
    assert still <= (set() if options == PLAIN else {last})  # a constant makes no difference between pairs
    logged = {name: value.item() for name, value in trainer.callback_metrics.items()}
    expected = {
        *("train/generator_loss", "train/discriminator_loss", "train/real_logit", "train/fake_logit"),
        *("train/discriminator_gradient_norm", "train/diversity", "train/collapsed", "val/swd"),
    }
    assert expected | (set() if model.penalty.weight == 0 else {"train/gradient_penalty"}) == logged.keys()
    assert all(math.isfinite(value) for value in logged.values())
    assert logged["train/discriminator_loss"] == pytest.approx(loss, abs=0.8)  # at the start it cannot tell


def test_the_discriminator_learns_to_tell_real_from_generated(
    build_model: Build, synthetic: SyntheticDataModule, tmp_path: Path
) -> None:
    model = build_model("dcgan", "model.optimizer.lr=0", "model.augment=false", "model.penalty.weight=0")
    trainer = train(model, tmp_path, synthetic, epochs=6, validate=False)

    assert trainer.callback_metrics["train/real_logit"] > trainer.callback_metrics["train/fake_logit"] + 0.5


@pytest.mark.parametrize("norm", ["spectral", "batch", "none"])
def test_weights_start_as_in_the_paper(norm: str) -> None:
    torch.manual_seed(0)
    networks = [DCGANGenerator(128, (384, 256, 96), 30), DCGANDiscriminator((32, 64, 128), 30, norm)]
    for network in networks:
        for name, parameter in network.named_parameters():
            if parameter.ndim > 1 and parameter.numel() > 10_000:
                assert parameter.std().item() == pytest.approx(0.02, rel=0.1), name
                assert parameter.mean().item() == pytest.approx(0, abs=0.003), name


def test_spectral_normalisation_bounds_every_layer() -> None:
    torch.manual_seed(0)
    discriminator = DCGANDiscriminator((8,) * 5, 150, "spectral")
    for _ in range(50):  # power iterations
        discriminator(torch.randn(2, 3, 150, 150))
    layers = [layer for layer in discriminator.layers if isinstance(layer, nn.Conv2d | nn.Linear)]

    assert len(layers) == 6
    for layer in layers:
        assert torch.linalg.matrix_norm(layer.weight.flatten(1), 2).item() == pytest.approx(1, rel=0.01)


def test_the_plain_discriminator_normalises_all_but_the_first() -> None:
    kinds = [type(layer).__name__ for layer in DCGANDiscriminator((8,) * 5, 150, "batch").layers]
    later = ["Conv2d", "BatchNorm2d", "LeakyReLU"]
    assert kinds == ["Conv2d", "LeakyReLU", *later * 4, "Flatten", "Linear"]


def test_validation_measures_statistics_of_averaged_weights(
    build_model: Build, tmp_path: Path, synthetic: SyntheticDataModule
) -> None:
    """Images that are drawn one by one have the same contrast as images in a batch that is normalised by itself."""
    train(build_model("dcgan", "model.optimizer.lr=2e-2"), tmp_path, synthetic, epochs=2)
    model = build_model("dcgan")
    model.load_state_dict(torch.load(tmp_path / "last.ckpt", weights_only=True)["state_dict"])
    normal = torch.randn(256, 8, generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        alone = torch.cat([model.eval().decode(row) for row in normal.split(1)])
        together = model.train().decode(normal)

    assert alone.std().item() == pytest.approx(together.std().item(), rel=0.05)


def test_diversity_sees_a_generator_that_draws_one_face() -> None:
    one = torch.rand(1, 3, 150, 150) * 2 - 1
    assert diversity(one.repeat(8, 1, 1, 1)) < 1e-6
    # Noise that differs from pixel to pixel does not pass for other faces.
    noisy = one + torch.randn(8, 3, 150, 150) * 0.3
    layouts = torch.nn.functional.interpolate(torch.randn(8, 3, 5, 5) * 0.3, 150)
    assert diversity(noisy) < 0.2 * diversity(one + layouts)


def test_a_collapse_is_reported_once(
    build_model: Build, synthetic: SyntheticDataModule, caplog: pytest.LogCaptureFixture
) -> None:
    model = build_model("dcgan", "model.optimizer.lr=0")
    nn.init.zeros_(model.generator.to_rgb.weight)  # draws the same grey whatever it is given
    trainer = pl.Trainer(
        max_epochs=1,
        limit_val_batches=0,
        accelerator="cpu",
        callbacks=[ReportCollapse(patience=3)],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(model, synthetic)

    assert trainer.callback_metrics["train/collapsed"] == 1
    assert sum("has collapsed" in record.message for record in caplog.records) == 1
