"""The losses, compared with known densities, divergences and gradients."""

import math

import pytest
import torch
from torch import Tensor, nn

from face_generation.losses import (
    FeatureLikelihood,
    FlowMatching,
    GradientPenalty,
    KLDivergence,
    NonSaturating,
    PixelLikelihood,
    RelativisticPairing,
)
from face_generation.networks import FeatureNetwork


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


def nats_per_value(seen: Tensor, target: Tensor) -> Tensor:
    """Nats per value under the Gaussian around `seen` with the best variance."""
    squared_error = (seen - target).square().mean()
    return -torch.distributions.Normal(seen, squared_error.sqrt()).log_prob(target).mean()


def test_pixels_have_a_gaussian_with_the_best_variance() -> None:
    images, reconstructions = torch.rand(2, 4, 3, 30, 30)
    nats = PixelLikelihood()(reconstructions, images)
    torch.testing.assert_close(nats, 2700 * nats_per_value(reconstructions, images))


def test_the_feature_likelihood_is_the_mean_over_maps() -> None:
    images, reconstructions = torch.rand(2, 4, 3, 64, 64)
    network = FeatureNetwork()
    maps = [nats_per_value(*pair) for pair in zip(network(reconstructions), network(images), strict=True)]
    nats = FeatureLikelihood()(reconstructions, images)
    torch.testing.assert_close(nats, 3 * 64 * 64 * torch.stack(maps).mean())


def test_the_kl_is_that_of_the_two_gaussians() -> None:
    mean, log_variance = torch.randn(2, 4, 2, 5, 5)
    posterior = torch.distributions.Normal(mean, (0.5 * log_variance).exp())
    normal = torch.distributions.Normal(0.0, 1.0)
    expected = torch.distributions.kl_divergence(posterior, normal).flatten(1).sum(1).mean()
    torch.testing.assert_close(KLDivergence()(mean, log_variance), expected)


def test_the_plain_adversarial_loss_is_cross_entropy() -> None:
    real, fake = torch.randn(2, 8)
    entropy = nn.functional.binary_cross_entropy_with_logits
    both = entropy(real, torch.ones(8)) + entropy(fake, torch.zeros(8))
    torch.testing.assert_close(NonSaturating().discriminator(real, fake), both)
    torch.testing.assert_close(NonSaturating().generator(real, fake), entropy(fake, torch.ones(8)))


def test_pairs_are_told_apart_by_what_they_differ_in_alone() -> None:
    loss = RelativisticPairing()
    real, fake = torch.randn(2, 8)
    torch.testing.assert_close(loss.discriminator(real + 3, fake + 3), loss.discriminator(real, fake))
    torch.testing.assert_close(loss.generator(real, fake), loss.discriminator(fake, real))
    assert loss.discriminator(real, real).item() == pytest.approx(math.log(2))


def test_the_penalty_is_the_squared_norm_of_the_gradient() -> None:
    """The discriminator is linear in the image, so its gradient is known, and the same for photos and samples."""
    discriminator = nn.Sequential(nn.Flatten(), nn.Linear(27, 1))
    penalty = GradientPenalty(weight=3.0, interval=4)(discriminator, *torch.randn(2, 5, 3, 3, 3))
    squared_norm = discriminator[1].weight.square().sum()
    torch.testing.assert_close(penalty, 3.0 / 2 * 4 * 2 * squared_norm)
    assert [step for step in range(9) if GradientPenalty(1.0, interval=4).due(step)] == [0, 4, 8]
    assert not GradientPenalty(0.0, interval=1).due(0)


class Constant(nn.Module):
    """A network that always gives the same velocity."""

    def __init__(self, velocity: Tensor) -> None:
        super().__init__()
        self.velocity = velocity
        self.times: list[Tensor] = []

    def forward(self, latents: Tensor, time: Tensor, attributes: Tensor) -> Tensor:
        self.times.append(time)
        return self.velocity.expand_as(latents)


def test_flow_matching_asks_for_the_way_from_noise_to_latents() -> None:
    """All latents are at one point, so the best velocity leads there. What is left of the loss is the noise."""
    point = 3 * torch.ones(2, 4, 4)
    latents, attributes = point.expand(2000, -1, -1, -1), torch.zeros(2000, 1)
    knows, knows_nothing = Constant(point), Constant(torch.zeros(2, 4, 4))
    assert FlowMatching()(knows, latents, attributes).item() == pytest.approx(1, abs=0.02)
    assert FlowMatching()(knows_nothing, latents, attributes).item() == pytest.approx(10, abs=0.1)


def test_times_are_logit_normal() -> None:
    network = Constant(torch.zeros(1, 1, 1))
    FlowMatching(time_mean=0.5, time_std=2.0)(network, torch.zeros(20_000, 1, 1, 1), torch.zeros(20_000, 1))
    logits = network.times[0].logit()
    assert logits.mean().item() == pytest.approx(0.5, abs=0.06)
    assert logits.std().item() == pytest.approx(2.0, abs=0.06)
