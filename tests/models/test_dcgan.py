"""The DCGAN: its losses, its switches, that it learns, and that a resumed run is the same run."""

import math
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import EMAWeightAveraging, ModelCheckpoint
from torch import nn

from face_generation.callbacks import ReportCollapse, StepSeeds
from face_generation.data.datamodule import DrawnDataModule
from face_generation.errors import UserError
from face_generation.models import DCGAN
from face_generation.models.base import FaceModel
from face_generation.models.dcgan import diversity

SMALL: dict[str, Any] = {
    "latent_dim": 8,
    "generator_channels": (8,) * 6,
    "discriminator_channels": (8,) * 5,
}


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> DrawnDataModule:
    """Drawn faces: 51 for training, in batches of 8, and 6 for validation."""
    datamodule = DrawnDataModule(str(tmp_path_factory.mktemp("drawn") / "splits"), count=64, batch_size=8)
    datamodule.prepare_data()
    return datamodule


def train(
    folder: Path,
    drawn: DrawnDataModule,
    epochs: int,
    resume: Path | None = None,
    validate: bool = True,
    precision: Any = "32-true",
    **options: Any,
) -> pl.Trainer:
    torch.manual_seed(0)
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
    trainer.fit(DCGAN(**SMALL | options), drawn, ckpt_path=resume, weights_only=True)
    return trainer


def test_samples_are_images() -> None:
    model = DCGAN(**SMALL).eval()
    faces = model.sample(torch.randn(3, 8))

    assert isinstance(model, FaceModel)
    assert not hasattr(model, "embed")
    assert faces.shape == (3, 3, 150, 150)
    assert faces.abs().max() <= 1


def test_a_resumed_run_ends_like_one_that_nothing_interrupted(tmp_path: Path, drawn: DrawnDataModule) -> None:
    """Weights, their average and the state of both optimizers, bit for bit, from the middle of the second epoch."""
    train(tmp_path / "whole", drawn, epochs=2)
    (middle,) = (tmp_path / "whole").glob("*step=16.ckpt")  # 8 steps of each optimizer; an epoch has 6
    train(tmp_path / "resumed", drawn, epochs=2, resume=middle)

    whole, resumed = (torch.load(tmp_path / f"{name}/last.ckpt", weights_only=True) for name in ("whole", "resumed"))
    assert whole["epoch"] == resumed["epoch"] == 1
    for part in ("state_dict", "current_model_state"):
        assert all(torch.equal(resumed[part][name], value) for name, value in whole[part].items())
    assert len(whole["optimizer_states"]) == 2
    for ours, theirs in zip(resumed["optimizer_states"], whole["optimizer_states"], strict=True):
        for mine, other in zip(ours["state"].values(), theirs["state"].values(), strict=True):
            assert all(torch.equal(mine[name], value) for name, value in other.items())


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"discriminator_norm": "batch", "augment": False},  # the plain recipe
        {"discriminator_norm": "none", "r1_weight": 10.0},
        {"precision": "bf16-mixed", "r1_weight": 10.0},
    ],
)
def test_a_step_moves_both_networks_and_logs_what_one_looks_at(
    tmp_path: Path, drawn: DrawnDataModule, options: dict[str, Any]
) -> None:
    torch.manual_seed(0)
    before = DCGAN(**SMALL | {name: value for name, value in options.items() if name != "precision"})
    trainer = train(tmp_path, drawn, epochs=1, **options)
    after = torch.load(tmp_path / "last.ckpt", weights_only=True)["current_model_state"]

    assert all(not torch.equal(parameter, after[name]) for name, parameter in before.named_parameters())
    logged = {name: value.item() for name, value in trainer.callback_metrics.items()}
    expected = {
        *("train/generator_loss", "train/discriminator_loss", "train/real_probability", "train/fake_probability"),
        *("train/generator_gradient_norm", "train/discriminator_gradient_norm", "train/diversity"),
        *("train/collapsed", "val/swd"),
    }
    assert expected | ({"train/r1"} if "r1_weight" in options else set()) == logged.keys()
    assert all(math.isfinite(value) for value in logged.values())
    # At the start the discriminator cannot tell: both outputs are near one half, both losses near their logarithm.
    assert logged["train/real_probability"] == pytest.approx(0.5, abs=0.3)
    assert logged["train/discriminator_loss"] == pytest.approx(2 * math.log(2), abs=0.8)


def test_the_discriminator_learns_to_tell_real_from_generated(drawn: DrawnDataModule, tmp_path: Path) -> None:
    trainer = train(tmp_path, drawn, epochs=6, validate=False, generator_learning_rate=0.0, augment=False)

    assert trainer.callback_metrics["train/real_probability"] > trainer.callback_metrics["train/fake_probability"] + 0.2


@pytest.mark.parametrize("norm", ["spectral", "batch", "none"])
def test_weights_start_as_in_the_paper(norm: str) -> None:
    torch.manual_seed(0)
    model = DCGAN(discriminator_norm=norm)
    for name, parameter in model.named_parameters():
        if parameter.ndim > 1 and parameter.numel() > 1000:
            assert parameter.std().item() == pytest.approx(0.02, rel=0.1), name
            assert parameter.mean().item() == pytest.approx(0, abs=0.003), name


def test_spectral_normalisation_bounds_every_layer() -> None:
    torch.manual_seed(0)
    discriminator = DCGAN(**SMALL).discriminator
    for _ in range(50):  # power iterations
        discriminator(torch.randn(2, 3, 150, 150))
    layers = [layer for layer in discriminator.layers if isinstance(layer, nn.Conv2d | nn.Linear)]

    assert len(layers) == 6
    for layer in layers:
        assert torch.linalg.matrix_norm(layer.weight.flatten(1), 2).item() == pytest.approx(1, rel=0.01)


def test_the_plain_discriminator_is_normalised_in_every_layer_but_the_first() -> None:
    layers = DCGAN(**SMALL | {"discriminator_norm": "batch"}).discriminator.layers
    kinds = [type(layer).__name__ for layer in layers]
    later = ["Conv2d", "BatchNorm2d", "LeakyReLU"]
    assert kinds == ["Conv2d", "LeakyReLU", *later * 4, "Flatten", "Linear"]


def test_the_gradient_penalty_is_the_squared_norm_of_the_gradient() -> None:
    """Of a discriminator that is linear in the image, where the gradient is known."""
    model = DCGAN(**SMALL | {"discriminator_norm": "none", "augment": False, "r1_weight": 1.0})
    model.discriminator.layers = nn.Sequential(nn.Flatten(), nn.Linear(3 * 150 * 150, 1))
    weight = model.discriminator.layers[1].weight

    penalty = model._gradient_penalty(torch.randn(4, 3, 150, 150))

    assert penalty.item() == pytest.approx(weight.square().sum().item(), rel=1e-5)


def test_validation_measures_the_statistics_of_the_averaged_generator(tmp_path: Path, drawn: DrawnDataModule) -> None:
    """What it draws one image at a time has the contrast of what it draws in a batch that is normalised by itself."""
    train(tmp_path, drawn, epochs=2, generator_learning_rate=2e-2)
    model = DCGAN(**SMALL)
    model.load_state_dict(torch.load(tmp_path / "last.ckpt", weights_only=True)["state_dict"])
    normal = torch.randn(256, 8, generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        alone = torch.cat([model.eval().sample(row) for row in normal.split(1)])
        together = model.train().sample(normal)

    assert alone.std().item() == pytest.approx(together.std().item(), rel=0.05)


def test_diversity_sees_a_generator_that_draws_one_face() -> None:
    one = torch.rand(1, 3, 150, 150) * 2 - 1
    assert diversity(one.repeat(8, 1, 1, 1)) < 1e-6
    # Noise that differs from pixel to pixel does not pass for other faces.
    noisy = one + torch.randn(8, 3, 150, 150) * 0.3
    layouts = torch.nn.functional.interpolate(torch.randn(8, 3, 5, 5) * 0.3, 150)
    assert diversity(noisy) < 0.2 * diversity(one + layouts)


def test_a_collapse_is_reported_once(tmp_path: Path, drawn: DrawnDataModule, caplog: pytest.LogCaptureFixture) -> None:
    torch.manual_seed(0)
    model = DCGAN(**SMALL | {"generator_learning_rate": 0.0})
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
    trainer.fit(model, drawn)

    assert trainer.callback_metrics["train/collapsed"] == 1
    assert sum("has collapsed" in record.message for record in caplog.records) == 1


@pytest.mark.parametrize(
    "options",
    [
        {"latent_dim": 0},
        {"generator_channels": [8, 0]},
        {"image_size": 0},
        {"discriminator_norm": "layer"},
        {"r1_weight": -1.0},
    ],
)
def test_impossible_options_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(UserError):
        DCGAN(**SMALL | options)
