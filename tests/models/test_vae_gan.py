"""The VAE's second stage: what it moves and leaves, that it sharpens, and that a resumed run is the same run."""

import copy
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from pytorch_lightning.callbacks import EMAWeightAveraging, ModelCheckpoint
from torch import Tensor

from face_generation.callbacks import ReportCollapse, StepSeeds
from face_generation.data.datamodule import DrawnDataModule, to_float
from face_generation.errors import UserError
from face_generation.models import DCGAN, VAE, VAEGAN, checkpoint
from face_generation.models.base import FaceModel
from face_generation.models.card import MEANINGS

NETWORKS: dict[str, Any] = {
    "latent_channels": 2,
    "encoder_channels": (8,) * 5,
    "decoder_channels": (16, 16, 16, 8, 8),
    "flow_couplings": 2,
    "flow_hidden": 8,
}
SMALL: dict[str, Any] = NETWORKS | {"discriminator_channels": (8, 8, 16, 16, 16)}


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> DrawnDataModule:
    """Drawn faces: 51 for training, in batches of 8, and 6 for validation."""
    datamodule = DrawnDataModule(str(tmp_path_factory.mktemp("drawn") / "splits"), count=64, batch_size=8)
    datamodule.prepare_data()
    return datamodule


@pytest.fixture(scope="module")
def vae(tmp_path_factory: pytest.TempPathFactory, drawn: DrawnDataModule) -> Path:
    """A checkpoint of a VAE that has learned something, with its prior."""
    torch.manual_seed(0)
    model = VAE(**NETWORKS, learning_rate=5e-3, warmup_steps=5, prior_steps=20)
    path = tmp_path_factory.mktemp("vae") / "final.ckpt"
    fit(model, drawn, epochs=20, folder=path.parent)
    model.finish(drawn)
    checkpoint.save(path, model, {})
    return path


def fit(
    model: FaceModel,
    drawn: DrawnDataModule,
    epochs: int,
    folder: Path,
    resume: Path | None = None,
    precision: Any = "32-true",
    callbacks: tuple[pl.Callback, ...] = (),
) -> pl.Trainer:
    trainer = pl.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        precision=precision,
        callbacks=[
            *callbacks,
            StepSeeds(seed=0),
            ModelCheckpoint(dirpath=folder, filename="last"),
            ModelCheckpoint(dirpath=folder, filename="step{step}", every_n_train_steps=16, save_top_k=-1),
        ],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(model, drawn, ckpt_path=resume, weights_only=True)
    return trainer


def refine(start: Path, drawn: DrawnDataModule, epochs: int, folder: Path, **options: Any) -> tuple[VAEGAN, pl.Trainer]:
    torch.manual_seed(0)
    running = {name: options.pop(name) for name in ("resume", "precision") if name in options}
    model = VAEGAN(**SMALL | options)
    checkpoint.begin_with(start, model)
    callbacks = (EMAWeightAveraging(decay=0.9), ReportCollapse())
    return model, fit(model, drawn, epochs, folder, callbacks=callbacks, **running)


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_only_decoder_and_discriminators_move(
    tmp_path: Path, drawn: DrawnDataModule, vae: Path, precision: str
) -> None:
    torch.manual_seed(0)
    before = VAEGAN(**SMALL)
    checkpoint.begin_with(vae, before)
    _, trainer = refine(vae, drawn, 1, tmp_path, precision=precision)
    after = torch.load(tmp_path / "last.ckpt", weights_only=True)["current_model_state"]

    for name, parameter in before.named_parameters():
        moves = name.startswith(("decoder.", "discriminator.heads.", "textures.", "places.")) and "noise" not in name
        if name.endswith(("logit.bias", "layers.6.bias", "energies.bias")):
            continue  # before the hinge of either side is reached, the gradients of the last biases cancel
        assert torch.equal(parameter, after[name]) != moves, name
    parameters = dict(before.named_parameters())
    for name, buffer in before.state_dict().items():  # of batch normalisations; the discriminator's are power iterates
        if name.startswith(("encoder.", "decoder.", "prior.")) and name not in parameters:
            assert torch.equal(buffer, after[name]), name
    logged = {name: value.item() for name, value in trainer.callback_metrics.items()}
    expected = {
        "adversarial",
        "features",
        "squared_error",
        "drift",
        "excess",
        "grid",
        "discriminator_loss",
        "real_logit",
        "fake_logit",
    }
    expected |= {"generator_gradient_norm", "discriminator_gradient_norm", "diversity", "collapsed"}
    assert {f"train/{name}" for name in expected} <= logged.keys()
    assert all(math.isfinite(value) for value in logged.values())


def test_a_resumed_run_ends_like_one_that_nothing_interrupted(
    tmp_path: Path, drawn: DrawnDataModule, vae: Path
) -> None:
    """Weights, their average and the state of both optimizers, bit for bit, from the middle of the second epoch."""
    refine(vae, drawn, 2, tmp_path / "whole")
    (middle,) = (tmp_path / "whole").glob("*step=16.ckpt")  # 8 steps of each optimizer; an epoch has 6
    refine(vae, drawn, 2, tmp_path / "resumed", resume=middle)

    whole, resumed = (torch.load(tmp_path / f"{name}/last.ckpt", weights_only=True) for name in ("whole", "resumed"))
    for part in ("state_dict", "current_model_state"):
        assert all(torch.equal(resumed[part][name], value) for name, value in whole[part].items())
    assert len(whole["optimizer_states"]) == 2
    for ours, theirs in zip(resumed["optimizer_states"], whole["optimizer_states"], strict=True):
        for mine, other in zip(ours["state"].values(), theirs["state"].values(), strict=True):
            assert all(torch.equal(mine[name], value) for name, value in other.items())


def test_learning_rates_fall_to_zero_in_the_last_fifth(tmp_path: Path, drawn: DrawnDataModule, vae: Path) -> None:
    refine(vae, drawn, 2, tmp_path, generator_learning_rate=4e-4, discriminator_learning_rate=3e-4)
    (middle,) = tmp_path.glob("*step=16.ckpt")  # 8 of 12 steps

    def rates(path: Path) -> list[float]:
        states = torch.load(path, weights_only=True)["optimizer_states"]
        return [group["lr"] for state in states for group in state["param_groups"]]

    assert rates(middle) == [4e-4, 3e-4, 5 * 3e-4]  # of decoder, projected discriminator, small ones
    assert rates(tmp_path / "last.ckpt") == [0, 0, 0]


@pytest.mark.slow
def test_what_it_draws_gets_sharper(tmp_path: Path, drawn: DrawnDataModule, vae: Path) -> None:
    drawn.setup("fit")
    faces = to_float(next(iter(drawn.ordered_loader("val"))))
    soft = checkpoint.load(vae)[0].eval()
    refined = refine(vae, drawn, 45, tmp_path, generator_learning_rate=2e-3, precision="bf16-mixed")[0].eval()

    def detail(model: Any) -> float:
        with torch.no_grad():
            drawn_again = model.decoder(model.encoder(faces)[0])
        return drawn_again.diff(dim=3).square().mean().item()

    assert detail(refined) > 1.2 * detail(soft)


def test_latents_keep_their_meaning(tmp_path: Path, drawn: DrawnDataModule, vae: Path) -> None:
    model, _ = refine(vae, drawn, 1, tmp_path)
    images = torch.rand(2, 3, 150, 150) * 2 - 1

    start = checkpoint.load(vae)[0].eval()
    assert torch.allclose(model.eval().embed(images), start.embed(images), atol=1e-5)  # type: ignore[operator]


def test_refining_begins_with_noise_and_goes_on_with_what_was_learned_of_it(
    tmp_path: Path, drawn: DrawnDataModule, vae: Path
) -> None:
    def strengths(model: Any, decoder: str = "decoder") -> torch.Tensor:
        return torch.cat([larger.strength.detach().flatten() for larger in getattr(model, decoder).larger[:-1]])

    first, _ = refine(vae, drawn, 1, tmp_path / "first")
    checkpoint.save(tmp_path / "final.ckpt", first, {})
    second = VAEGAN(**SMALL)
    checkpoint.begin_with(tmp_path / "final.ckpt", second)

    assert strengths(first).std() > 0.03
    assert torch.allclose(strengths(first, "first_decoder"), strengths(checkpoint.load(vae)[0]), atol=1e-6)
    assert torch.equal(strengths(second), strengths(first))


def test_refining_on_keeps_the_first_decoder(tmp_path: Path, drawn: DrawnDataModule, vae: Path) -> None:
    first, _ = refine(vae, drawn, 1, tmp_path / "first")
    checkpoint.save(tmp_path / "final.ckpt", first, {})
    second, _ = refine(tmp_path / "final.ckpt", drawn, 1, tmp_path / "second")

    latents, start = torch.randn(2, second.latent_dim), checkpoint.load(vae)[0].eval()
    for model in (first, second):
        wanted = start.decoder(latents)  # type: ignore[operator]
        assert torch.allclose(model.eval().first_decoder(latents), wanted, atol=1e-5)
        assert not torch.allclose(model.decoder(latents), wanted, atol=1e-3)


def test_samples_keep_the_colours_that_the_first_decoder_gave_them(
    tmp_path: Path, drawn: DrawnDataModule, vae: Path
) -> None:
    start = checkpoint.load(vae)[0].eval()
    normal = torch.randn(64, start.latent_dim, generator=torch.Generator().manual_seed(0))

    def drift(weight: float) -> Tensor:
        # Without what holds reconstructions to their colours, and so samples too.
        options = {"pixel_weight": 0, "drift_weight": weight, "generator_learning_rate": 2e-3}
        model, _ = refine(vae, drawn, 2, tmp_path / f"{weight}", **options)
        with torch.no_grad():
            return _errors(model.eval().sample(normal), start.sample(normal), 15).mean()  # type: ignore[operator]

    assert drift(50) < 0.5 * drift(0)


def test_samples_drift_no_farther_than_reconstructions_do(
    tmp_path: Path, drawn: DrawnDataModule, vae: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = checkpoint.load(vae)[0].eval()
    start.prior.mean += 20  # so that samples are far from what the decoder is held to
    checkpoint.save(tmp_path / "far.ckpt", start, {})
    normal = torch.randn(64, start.latent_dim, generator=torch.Generator().manual_seed(0))
    photos = to_float(torch.from_numpy(np.load(drawn.splits["train"].path)))

    def farther(weight: float) -> Tensor:
        monkeypatch.setattr("face_generation.models.vae_gan.EXCESS", weight)
        options = {"drift_weight": 0, "generator_learning_rate": 2e-3}
        model, _ = refine(tmp_path / "far.ckpt", drawn, 3, tmp_path / f"{weight}", **options)
        with torch.no_grad():
            samples, first = model.eval().sample(normal), start.sample(normal)  # type: ignore[operator]
            usual = _errors(model.decoder(model.encoder(photos)[0]), photos, 8).mean()
        return F.relu(_errors(samples, first, 8) - usual).mean()

    assert farther(1000) < 0.1 * farther(0)


def _errors(images: Tensor, others: Tensor, factor: int) -> Tensor:
    """Mean squared error of each image from another, both shrunk by `factor`."""
    return F.avg_pool2d(images - others, factor, ceil_mode=True).square().mean((1, 2, 3))


def test_the_discriminators_learn_from_samples_alone(tmp_path: Path, drawn: DrawnDataModule, vae: Path) -> None:
    torch.manual_seed(0)
    model = VAEGAN(**SMALL)
    checkpoint.begin_with(vae, model)
    seen: list[int] = []
    model.places[0].register_forward_hook(lambda _, inputs, __: seen.append(len(inputs[0])))
    texture: list[int] = []
    model.textures[0].register_forward_hook(lambda _, inputs, __: texture.append(len(inputs[0])))
    fit(model, drawn, 1, tmp_path)

    # Of a batch of 8, 2 are reconstructions and 6 samples, of which 1 is truncated. First the discriminators' step,
    # with as many photos, then the decoder's, in which all are judged.
    assert seen[:2] == [2 * 5, 2 + 5]
    assert texture[:2] == [2 * 6, 2 + 6]


@pytest.mark.parametrize("epochs", [0, 1])
def test_at_the_end_detail_is_matched_by_the_decoder_alone(drawn: DrawnDataModule, vae: Path, epochs: int) -> None:
    model = VAEGAN(**SMALL, detail_epochs=epochs)
    checkpoint.begin_with(vae, model)
    before = copy.deepcopy(model.state_dict())
    figures = model.finish(drawn)

    units = {"before_db", "after_db", "before_levels", "after_levels"}
    assert figures.keys() == ({f"detail/{unit}" for unit in units} if epochs else set())
    assert figures.keys() <= MEANINGS.keys()  # the card says what they are
    moved = {name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])}
    assert {name.split(".")[0] for name in moved} == ({"decoder"} if epochs else set())


def test_passes_cannot_be_fewer_than_none() -> None:
    with pytest.raises(UserError, match=r"detail_epochs=-1; give 0 or more"):
        VAEGAN(**SMALL, detail_epochs=-1)


def test_a_batch_of_one_is_too_small(tmp_path: Path, drawn: DrawnDataModule, vae: Path) -> None:
    model = VAEGAN(**SMALL)
    checkpoint.begin_with(vae, model)
    single = DrawnDataModule(str(drawn.folder), count=64, batch_size=1)
    with pytest.raises(UserError, match=r"data\.batch_size=2 or more"):
        fit(model, single, 1, tmp_path)


def test_an_untrained_vae_cannot_be_refined(tmp_path: Path, drawn: DrawnDataModule) -> None:
    with pytest.raises(UserError, match=r"refines a trained VAE.*start="):
        fit(VAEGAN(**SMALL), drawn, 1, tmp_path)


def test_the_discriminator_has_a_head_for_each_resolution() -> None:
    with pytest.raises(UserError, match=r"discriminator_channels takes 5 numbers"):
        VAEGAN(**SMALL | {"discriminator_channels": (8, 8, 16)})


def test_a_vae_of_other_networks_is_named(vae: Path) -> None:
    with pytest.raises(UserError, match="another architecture; to go on with it set .*model.latent_channels=2"):
        checkpoint.begin_with(vae, VAEGAN(**SMALL | {"latent_channels": 4}))


def test_a_dcgan_is_no_start(tmp_path: Path) -> None:
    path = tmp_path / "final.ckpt"
    checkpoint.save(path, DCGAN(generator_channels=(8,) * 6, discriminator_channels=(8,) * 5), {})

    with pytest.raises(UserError, match="holds a DCGAN, of which a VAEGAN can use nothing"):
        checkpoint.begin_with(path, VAEGAN(**SMALL))


def test_a_refined_vae_gives_a_vae_its_networks_and_not_its_prior(
    tmp_path: Path, drawn: DrawnDataModule, vae: Path
) -> None:
    refined, _ = refine(vae, drawn, 1, tmp_path)
    checkpoint.save(tmp_path / "final.ckpt", refined, {})
    model = VAE(**NETWORKS | {"flow_couplings": 4})
    checkpoint.begin_with(tmp_path / "final.ckpt", model)

    latents = torch.randn(2, model.latent_dim)
    assert torch.allclose(model.eval().decoder(latents), refined.eval().decoder(latents), atol=1e-5)
