"""The prior: that it learns the distribution of latents, and what attributes change in them."""

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from hydra.errors import InstantiationException
from torch import Tensor
from torch.utils.data import DataLoader

from face_generation.data.latents import LatentDataModule
from face_generation.models import Prior
from face_generation.train.callbacks import StepSeeds

Build = Callable[..., Prior]
MEAN = Tensor([0.5, -0.5]).view(2, 1, 1)
STD = Tensor([2.0, 1.0]).view(2, 1, 1)


def latents_of(attributes: Tensor) -> Tensor:
    """Latents whose first channel says whether somebody smiles, by its sign at every place."""
    noise = torch.randn(len(attributes), 2, 4, 4)
    noise[:, 0] = 0.9 * attributes[:, :1, None] + 0.3 * noise[:, 0]
    return (noise * STD + MEAN).flatten(1)


@pytest.fixture(scope="module")
def trained(build_model: Build) -> Prior:
    options = ["model.network.width=64", "model.network.depth=2", "model.scheduler.warmup_steps=20"]
    model = build_model("prior", *options)
    attributes = torch.randint(0, 2, (4096, 3)).float() * 2 - 1
    rows = list(zip(latents_of(attributes), attributes, strict=True))
    trainer = pl.Trainer(
        max_epochs=12,
        accelerator="cpu",
        callbacks=[StepSeeds(seed=0)],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(model, DataLoader(rows, 128, shuffle=True), DataLoader(rows[:512], 256))  # type: ignore[arg-type]
    model.logged = {name: value.item() for name, value in trainer.callback_metrics.items()}  # type: ignore[assignment]
    return model.eval()


def draw(model: Prior, smiling: float) -> Tensor:
    told = torch.tensor([[smiling, 0.0, 0.0]]).expand(256, -1)
    with torch.no_grad():
        return model.to_latents(torch.randn(256, 32), told).unflatten(1, (2, 4, 4))


def test_it_learns_to_draw_what_it_is_told(trained: Prior) -> None:
    for smiling in (1.0, -1.0):
        first, second = ((draw(trained, smiling) - MEAN) / STD).unbind(1)
        assert (first.mean((1, 2)).sign() == smiling).float().mean() > 0.97
        assert second.mean().item() == pytest.approx(0, abs=0.15)
        assert second.std().item() == pytest.approx(1, abs=0.2)


def test_told_nothing_it_draws_both(trained: Prior) -> None:
    first = ((draw(trained, 0.0) - MEAN) / STD)[:, 0].mean((1, 2))
    assert 0.25 < (first > 0).float().mean() < 0.75
    assert first.abs().mean().item() == pytest.approx(0.9, abs=0.25)


def test_losses_are_logged_told_and_untold(trained: Prior) -> None:
    logged: dict[str, float] = trained.logged  # type: ignore[assignment]
    assert {"train/loss", "train/gradient_norm", "val/loss", "val/loss_told", "val/loss_untold"} == logged.keys()
    assert logged["val/loss_told"] < logged["val/loss_untold"]
    assert logged["val/loss"] == pytest.approx((logged["val/loss_told"] + logged["val/loss_untold"]) / 2)


def test_preview_decodes_by_the_autoencoder(build_model: Build, synthetic_splits: Path, tmp_path: Path) -> None:
    data = LatentDataModule("vae", str(tmp_path), folder=str(synthetic_splits), batch_size=8)
    data.prepare_data()
    data.setup("fit")
    batch = next(iter(data.val_dataloader()))
    model = build_model("prior", **data.shapes).eval()
    normal = torch.randn(2, math.prod(model.latent_shape))
    with torch.no_grad():
        previews = model.preview(normal, data.on_after_batch_transfer(batch, 0))
    assert {name: tuple(faces.shape) for name, faces in previews.items()} == {
        "samples": (2, 3, 150, 150),
        "untold": (2, 3, 150, 150),
    }


@pytest.mark.parametrize(
    ("option", "message"),
    [("model.told_nothing=0.7", "shares"), ("model.steps=0", "from 1 on"), ("model.guidance=-1", "from 0 on")],
)
def test_impossible_options_are_refused(build_model: Build, option: str, message: str) -> None:
    with pytest.raises(InstantiationException, match=message):
        build_model("prior", option)
