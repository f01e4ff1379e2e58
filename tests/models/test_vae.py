"""The VAE: its likelihood, its reconstructions, its samples."""

import math

import pytest
import pytorch_lightning as pl
import torch

from face_generation.errors import UserError
from face_generation.models import VAE
from face_generation.models.base import FaceModel
from face_generation.networks import FeatureNetwork

DIM = 2 * 5 * 5
SMALL = {"latent_channels": 2, "encoder_channels": (8,) * 5, "decoder_channels": (8,) * 5, "flow_couplings": 2}


@pytest.fixture
def vae() -> VAE:
    torch.manual_seed(0)
    return VAE(**SMALL, flow_hidden=8)


def images(n: int = 4) -> torch.Tensor:
    return torch.rand(n, 3, 150, 150, generator=torch.Generator().manual_seed(1)) * 2 - 1


def test_samples_are_images(vae: VAE) -> None:
    assert isinstance(vae, FaceModel)
    faces = vae.eval().sample(torch.randn(3, DIM))

    assert faces.shape == (3, 3, 150, 150)
    assert faces.min() >= -1
    assert faces.max() <= 1


def test_embed_is_the_inverse_of_the_map_that_sample_begins_with(vae: VAE) -> None:
    vae.eval().prior.whiten(torch.randn(DIM), torch.eye(DIM) * 3 + 0.5)
    with torch.no_grad():
        mean, _ = vae.encoder(images())
        assert torch.allclose(vae.prior.inverse(vae.embed(images())), mean, atol=1e-5)
        assert torch.allclose(vae.sample(vae.embed(images())), vae.decoder(mean).clamp(-1, 1), atol=1e-4)


def test_kl_is_that_of_the_two_gaussians(vae: VAE) -> None:
    with torch.no_grad():
        mean, log_variance = vae.encoder(images())
        _, kl = vae(images())
    posterior = torch.distributions.Normal(mean, (0.5 * log_variance).exp())
    normal = torch.distributions.Normal(torch.zeros(DIM), torch.ones(DIM))

    assert torch.allclose(kl, torch.distributions.kl_divergence(posterior, normal), atol=1e-5)


def step(vae: VAE) -> tuple[float, dict[str, torch.Tensor], torch.Tensor, torch.Tensor]:
    """A training step: its loss in nats, what it logs, and the reconstructions and KL that it came from."""
    logged: dict[str, torch.Tensor] = {}
    vae.log_dict = lambda values, **_: logged.update(values)  # type: ignore[method-assign, assignment]
    trainer = pl.Trainer(logger=False, enable_checkpointing=False, accelerator="cpu")
    trainer.strategy.connect(vae)
    vae.trainer = trainer
    torch.manual_seed(2)
    loss = vae.training_step(images(), 0)
    torch.manual_seed(2)
    with torch.no_grad():
        # Batch normalisation sees the same batch, so the second pass gives the same reconstructions.
        reconstructions, kl = VAE.forward(vae, images())
    return loss.item() * 67_500, logged, reconstructions, kl.sum(1).mean()


def nats_per_value(seen: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Under the Gaussian around `seen` with the best variance."""
    squared_error = (seen - target).square().mean()
    return -torch.distributions.Normal(seen, squared_error.sqrt()).log_prob(target).mean()


def test_the_loss_is_the_negative_elbo_at_the_optimal_variance(vae: VAE) -> None:
    loss, logged, reconstructions, kl = step(vae)
    nats = 67_500 * nats_per_value(reconstructions, images()) + kl

    assert math.isclose(logged["train/loss"].item(), nats.item(), rel_tol=1e-4)
    assert math.isclose(loss, nats.item(), rel_tol=1e-4)


def test_a_share_of_the_likelihood_is_that_of_features() -> None:
    torch.manual_seed(0)
    loss, logged, reconstructions, kl = step(VAE(**SMALL, flow_hidden=8, feature_share=0.25))
    pixels = nats_per_value(reconstructions, images())
    network = FeatureNetwork()
    maps = [nats_per_value(*pair) for pair in zip(network(reconstructions), network(images()), strict=True)]
    nats = 67_500 * (0.75 * pixels + 0.25 * torch.stack(maps).mean()) + kl

    assert math.isclose(loss, nats.item(), rel_tol=1e-4)
    assert math.isclose(logged["train/reconstruction"].item(), 67_500 * pixels.item(), rel_tol=1e-4)


def test_the_negative_elbo_of_an_image_is_that_of_its_three_densities(vae: VAE) -> None:
    vae.eval().variance.fill_(0.3)
    torch.nn.init.normal_(vae.encoder.head.bias)  # a posterior with something to say
    vae.prior.whiten(torch.randn(DIM), torch.eye(DIM) * 3 + 0.5)
    torch.manual_seed(3)
    nats = vae.negative_elbo(images())
    torch.manual_seed(3)
    mean, log_variance = vae.encoder(images())
    posterior = torch.distributions.Normal(mean, (0.5 * log_variance).exp())
    latents = posterior.sample()  # the same noise
    likelihood = torch.distributions.Normal(vae.decoder(latents), math.sqrt(0.3)).log_prob(images()).sum((1, 2, 3))
    prior = torch.distributions.MultivariateNormal(vae.prior.mean, torch.eye(DIM) * 3 + 0.5).log_prob(latents)

    assert nats.shape == (4,)
    torch.testing.assert_close(nats, posterior.log_prob(latents).sum(1) - prior - likelihood)


def test_preview_shows_samples_and_pairs(vae: VAE) -> None:
    previews = vae.eval().preview(torch.randn(4, DIM), images(16))

    assert {name: grid.shape[0] for name, grid in previews.items()} == {"samples": 4, "reconstructions": 4}
    assert torch.equal(previews["reconstructions"][0], images(16)[0])


@pytest.mark.parametrize(
    "options",
    [
        {"latent_channels": 0},
        {"latent_channels": 3},
        {"latent_channels": "many"},
        {"encoder_channels": [8, 0]},
        {"encoder_channels": [8] * 4},
        {"image_size": 151},
        {"feature_share": 1},
    ],
)
def test_impossible_options_are_refused(options: dict) -> None:
    with pytest.raises(UserError):
        VAE(**(SMALL | options))
