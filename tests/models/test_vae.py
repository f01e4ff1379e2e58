"""The VAE: its parts, its losses, its discriminator, and its messages about mistakes."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from hydra.errors import InstantiationException
from pytorch_lightning.callbacks import EMAWeightAveraging

from face_generation.data.datamodule import SyntheticDataModule
from face_generation.models import VAE
from face_generation.train.callbacks import StepSeeds

Build = Callable[..., VAE]


@pytest.fixture(scope="module")
def synthetic(synthetic_splits: Path) -> SyntheticDataModule:
    return SyntheticDataModule(str(synthetic_splits), count=50, batch_size=8)


def images(n: int = 4, size: int = 150) -> torch.Tensor:
    return torch.rand(n, 3, size, size, generator=torch.Generator().manual_seed(1)) * 2 - 1


def train(model: VAE, synthetic: SyntheticDataModule, epochs: int = 1) -> dict[str, float]:
    """What is logged in the last step."""
    trainer = pl.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        callbacks=[StepSeeds(seed=0)],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(model, synthetic)
    return {name: value.item() for name, value in trainer.callback_metrics.items()}


@pytest.mark.parametrize(("size", "side"), [(150, 10), (128, 8), (64, 4)])
def test_its_parts_fit_each_other_at_every_size(build_model: Build, size: int, side: int) -> None:
    vae = build_model("vae", image_size=size).eval()
    assert vae.latent_shape == (2, side, side)
    latents = vae.to_latents(torch.randn(3, 2 * side * side))
    faces = vae.decode(latents)
    assert faces.shape == (3, 3, size, size)
    assert faces.abs().max() <= 1
    assert vae.encode(images(3, size)).shape == latents.shape


def test_without_a_prior_a_gaussian_fits_the_latents(build_model: Build, synthetic: SyntheticDataModule) -> None:
    vae = build_model("vae")
    train(vae, synthetic, epochs=3)
    with torch.no_grad():
        mean, log_variance = vae.train().encoder(torch.cat([batch for batch in _batches(synthetic)]))
        encoded = mean + torch.randn_like(mean) * (0.5 * log_variance).exp()
    sampled = vae.to_latents(torch.randn(500, 200)).unflatten(1, vae.latent_shape)
    torch.testing.assert_close(sampled.std((0, 2, 3)), encoded.std((0, 2, 3)), rtol=0.3, atol=0)


def _batches(synthetic: SyntheticDataModule) -> list[torch.Tensor]:
    synthetic.setup("fit")
    return [synthetic.on_after_batch_transfer(batch, 0) for batch in synthetic.ordered_loader("train")]


def _still(vae: torch.nn.Module, before: dict[str, torch.Tensor]) -> set[str]:
    """The networks with a parameter that has not moved, except for the last bias of the discriminator, because pairs
    of logits differ by no constant."""
    names = {name for name, parameter in vae.named_parameters() if torch.equal(parameter, before[name])}
    return {name.split(".")[0] for name in names - {f"discriminator.layers.{len(vae.discriminator.layers) - 1}.bias"}}


def test_with_the_discriminator_only_the_decoder_learns(build_model: Build, synthetic: SyntheticDataModule) -> None:
    vae = build_model("vae", "model.adversarial_epoch=0")
    before = {name: parameter.clone() for name, parameter in vae.named_parameters()}
    logged = train(vae, synthetic)

    assert _still(vae, before) == {"encoder"}
    assert all(torch.equal(weight, before[f"encoder.{name}"]) for name, weight in vae.encoder.named_parameters())
    expected = {
        *("train/loss", "train/pixels", "train/features", "train/kl", "train/gradient_norm", "train/adversarial"),
        *("train/discriminator_loss", "train/discriminator_gradient_norm", "train/real_logit", "train/fake_logit"),
        *(
            "train/gradient_penalty",
            "train/adversarial_gradient",
            "val/loss",
            "val/pixels",
            "val/features",
            "val/kl",
            "val/psnr",
            "val/ssim",
        ),
    }
    assert logged.keys() == expected
    assert all(math.isfinite(value) for value in logged.values())
    total = 0.5 * logged["val/pixels"] + 0.5 * logged["val/features"] + 0.3 * logged["val/kl"]
    assert logged["val/loss"] == pytest.approx(total, rel=1e-4)


def test_the_discriminator_waits_for_its_epoch(build_model: Build, synthetic: SyntheticDataModule) -> None:
    vae = build_model("vae", "model.adversarial_epoch=1")
    before = {name: parameter.clone() for name, parameter in vae.named_parameters()}
    logged = train(vae, synthetic)
    assert _still(vae, before) == {"discriminator"}
    assert "train/adversarial" not in logged


class Keep(pl.Callback):
    """Keeps a checkpoint after each batch, and one at the end."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        trainer.save_checkpoint(self.folder / f"{trainer.fit_loop.epoch_loop.batch_progress.total.ready}.ckpt")

    def on_train_end(self, trainer: pl.Trainer, *_: Any) -> None:
        trainer.save_checkpoint(self.folder / "end.ckpt")


def test_a_training_resumed_after_any_batch_ends_the_same(
    build_model: Build, synthetic: SyntheticDataModule, tmp_path: Path
) -> None:
    """Before the discriminator joins, after the last batch before it does, and after."""

    def end(folder: Path, resume: Path | None = None) -> dict[str, Any]:
        trainer = pl.Trainer(
            max_epochs=2,
            accelerator="cpu",
            callbacks=[EMAWeightAveraging(decay=0.9), StepSeeds(seed=0), Keep(folder)],
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        trainer.fit(build_model("vae", "model.adversarial_epoch=1"), synthetic, ckpt_path=resume, weights_only=True)
        return torch.load(folder / "end.ckpt", weights_only=True)

    whole = end(tmp_path / "whole")
    for batch in (3, 5, 7):  # of five in each epoch
        ours = end(tmp_path / f"from{batch}", tmp_path / f"whole/{batch}.ckpt")
        for part in ("state_dict", "current_model_state"):
            differing = [name for name, value in whole[part].items() if not torch.equal(value, ours[part][name])]
            assert differing == [], f"{part}, from batch {batch}"
        assert ours["lr_schedulers"] == whole["lr_schedulers"]


def test_a_training_may_have_no_last_epoch(build_model: Build, synthetic: SyntheticDataModule) -> None:
    class Stop(pl.Callback):
        def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
            trainer.should_stop = trainer.fit_loop.epoch_loop.batch_progress.total.ready == 7

    vae = build_model("vae", "model.adversarial_epoch=1", "model.scheduler.warmup_steps=0")
    trainer = pl.Trainer(
        max_epochs=-1,
        accelerator="cpu",
        callbacks=[StepSeeds(seed=0), Stop()],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(vae, synthetic)

    assert trainer.lr_scheduler_configs[1].scheduler.last_epoch == 2  # of the decoder, in two batches
    rates = [group["lr"] for optimizer in trainer.optimizers[1:] for group in optimizer.param_groups]
    assert rates == [schedule.scheduler.base_lrs[0] for schedule in trainer.lr_scheduler_configs[1:]]  # the peaks


def test_without_a_weight_there_are_no_features(build_model: Build, synthetic: SyntheticDataModule) -> None:
    logged = train(build_model("vae", "model.feature_weight=0"), synthetic)
    assert "train/features" not in logged


def test_noise_on_latents_reaches_the_decoder_alone(build_model: Build, synthetic: SyntheticDataModule) -> None:
    """With so much noise nothing can be reconstructed, but the KL divergence stays the same."""
    options = ("model.kl_weight=0", "model.adversarial_weight=0", "model.optimizer.lr=0", "model.optimizer.adamw_lr=0")
    quiet, noisy = (train(build_model("vae", f"model.noise={noise}", *options), synthetic) for noise in (0, 100))
    assert noisy["train/kl"] == pytest.approx(quiet["train/kl"], rel=1e-5)
    assert noisy["train/pixels"] != pytest.approx(quiet["train/pixels"], rel=1e-3)


def test_preview_shows_pairs_and_samples(build_model: Build) -> None:
    previews = build_model("vae").eval().preview(torch.randn(4, 200), images(16))

    assert {name: len(grid) for name, grid in previews.items()} == {"samples": 4, "reconstructions": 4}
    assert torch.equal(previews["reconstructions"][0], images(16)[0])


@pytest.mark.parametrize(
    ("options", "shapes", "message"),
    [
        ([], {"image_size": 151}, "even size"),
        (["model.decoder.channels=[8,8,8]"], {}, "one number more"),
        (["model.decoder.latent_channels=3"], {}, "latents of shape"),
    ],
)
def test_impossible_options_are_refused(
    build_model: Build, options: list[str], shapes: dict[str, Any], message: str
) -> None:
    with pytest.raises(InstantiationException, match=message):
        build_model("vae", *options, **shapes)
