"""The networks, with few channels: shapes, sizes, and what new ones compute."""

import copy
from collections.abc import Iterable

import pytest
import torch
from torch import Tensor, nn

from face_generation.data.datamodule import to_float
from face_generation.generator import Generator
from face_generation.networks import (
    DCGANDiscriminator,
    DCGANGenerator,
    Decoder,
    Encoder,
    FeatureNetwork,
    FlowSampler,
    FlowTransformer,
    PatchDiscriminator,
)
from face_generation.networks.blocks import ResidualBlock, Upsample, pyramid
from face_generation.networks.features import CHANNELS as FEATURES

LATENT_CHANNELS = 2
LATENT_DIM = 7
CHANNELS = (4, 6, 8, 10)
UPWARDS = (*reversed(CHANNELS), 8)  # of the decoder, up to the image


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


def feature_sizes(network: nn.Module, layers: Iterable[nn.Module], x: Tensor) -> list[int]:
    """Widths of the feature maps after each of the `layers` of `network`, each once."""
    sizes: list[int] = []
    for layer in layers:
        layer.register_forward_hook(lambda module, inputs, output: sizes.append(output.shape[-1]))
    network(x)
    return list(dict.fromkeys(sizes))


# --- the autoencoder ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("image_size", [150, 128, 64, 42])
def test_images_become_latents_and_back(image_size: int) -> None:
    images = torch.rand(3, 3, image_size, image_size) * 2 - 1
    mean, log_variance = Encoder(LATENT_CHANNELS, CHANNELS)(images)
    side = pyramid(image_size, 4)[-1]
    assert mean.shape == log_variance.shape == (3, LATENT_CHANNELS, side, side)
    assert Decoder(LATENT_CHANNELS, UPWARDS, image_size)(mean).shape == images.shape


def test_feature_maps_have_exact_sizes() -> None:
    assert pyramid(150, 5) == [75, 38, 19, 10, 5]
    encoder, decoder = Encoder(LATENT_CHANNELS, CHANNELS), Decoder(LATENT_CHANNELS, UPWARDS, 150)
    assert feature_sizes(encoder, encoder.features, torch.zeros(2, 3, 150, 150)) == [75, 38, 19, 10]
    assert feature_sizes(decoder, decoder.features, torch.zeros(2, LATENT_CHANNELS, 10, 10)) == [10, 19, 38, 75, 150]


def test_every_parameter_gets_a_gradient() -> None:
    encoder, decoder = Encoder(LATENT_CHANNELS, CHANNELS), Decoder(LATENT_CHANNELS, UPWARDS, 150)
    mean, log_variance = encoder(torch.randn(2, 3, 150, 150))
    (decoder(mean).square().sum() + log_variance.sum()).backward()
    assert all(parameter.grad is not None for parameter in [*encoder.parameters(), *decoder.parameters()])


def test_latents_stay_in_float32_under_autocast() -> None:
    with torch.autocast("cpu", torch.bfloat16):
        mean, log_variance = Encoder(LATENT_CHANNELS, CHANNELS)(torch.randn(2, 3, 150, 150))
    assert mean.dtype == log_variance.dtype == torch.float32


def test_log_variance_is_bounded_whatever_comes_in() -> None:
    encoder = Encoder(LATENT_CHANNELS, CHANNELS).eval()
    _, log_variance = encoder(torch.randn(2, 3, 150, 150) * 1e6)
    assert log_variance.min() == -10
    assert log_variance.max() == 5


def test_patches_are_judged_each_by_itself() -> None:
    discriminator = PatchDiscriminator(CHANNELS[:3])
    image = torch.randn(1, 3, 150, 150)
    changed = image.clone()
    changed[:, :, :8, :8] = 0
    with torch.no_grad():
        before, after = discriminator(image), discriminator(changed)
    assert before.shape == (1, 1, 18, 18)
    differing = (before != after)[0, 0].nonzero()
    assert differing.min() >= 0
    assert differing.max() <= 5


@pytest.mark.parametrize(("small", "large"), [(5, 10), (10, 19), (19, 38), (38, 75)])
def test_upsampling_keeps_a_plain_area_plain(small: int, large: int) -> None:
    upsample = Upsample(3, 2, large)
    plain = torch.randn(2, 3, 1, 1)
    with torch.no_grad():
        enlarged = upsample(plain.expand(-1, -1, small, small))
        torch.testing.assert_close(enlarged, upsample.mix(plain).expand(-1, -1, large, large))


def test_a_new_residual_block_is_the_identity() -> None:
    x = torch.rand(2, 4, 7, 7)  # positive: the activation after it changes nothing
    torch.testing.assert_close(ResidualBlock(4)(x), x)


# --- the prior ----------------------------------------------------------------------------------------------------


def transformer(shape: tuple[int, int, int] = (3, 6, 6), patch: int = 2) -> FlowTransformer:
    """A transformer with random weights, because a new one always gives 0."""
    network = FlowTransformer(shape, attributes=4, patch=patch, width=16, depth=2, heads=2)
    for parameter in network.parameters():
        parameter.data.add_(0.2 * torch.randn_like(parameter))
    return network


@pytest.mark.parametrize(("shape", "patch", "tokens"), [((3, 6, 6), 2, 9), ((3, 5, 5), 2, 25), ((3, 6, 4), 1, 24)])
def test_velocities_have_the_shape_of_latents(shape: tuple[int, int, int], patch: int, tokens: int) -> None:
    network = transformer(shape, patch)
    velocity = network(torch.randn(5, *shape), torch.rand(5), torch.randn(5, 4).sign())
    assert velocity.shape == (5, *shape)
    assert len(network.position) == tokens


def test_velocities_depend_on_all_inputs_and_places() -> None:
    network = transformer()
    latents, time, attributes = torch.randn(1, 3, 6, 6), torch.rand(1), torch.ones(1, 4)
    with torch.no_grad():
        before = network(latents, time, attributes)
        assert not torch.allclose(network(latents, time / 2, attributes), before)
        for k in range(4):
            for value in (-1.0, 0.0):
                told = attributes.clone()
                told[0, k] = value
                assert not torch.allclose(network(latents, time, told), before)
        moved = latents.clone()
        moved[..., 0, 0] += 1
        assert ((network(moved, time, attributes) - before).abs().amax(1) > 0).all()


def test_a_new_prior_leaves_noise_where_it_is() -> None:
    network = FlowTransformer((3, 6, 6), attributes=4, patch=1, width=16, depth=2, heads=2)
    mean, std = torch.randn(3, 1, 1), torch.rand(3, 1, 1)
    normal = torch.randn(2, 3 * 36)
    latents = FlowSampler(network, mean, std, steps=3, guidance=2.0)(normal, torch.ones(2, 4))
    torch.testing.assert_close(latents.view(2, 3, 6, 6), normal.view(2, 3, 6, 6) * std + mean)


class Known(nn.Module):
    """Velocities of a known flow: dx/dt = 2t + what is told about the first attribute."""

    latent_shape = (1, 2, 2)

    def forward(self, latents: Tensor, time: Tensor, attributes: Tensor) -> Tensor:
        return (2 * time + attributes[:, 0]).view(-1, 1, 1, 1).expand_as(latents)


@pytest.mark.parametrize("guidance", [1.0, 2.5])
def test_the_sampler_follows_velocities_with_guidance(guidance: float) -> None:
    """Heun's method is exact if the velocity is linear in time, except for its last step, which is Euler's."""
    steps = 4
    sampler = FlowSampler(Known(), torch.zeros(1, 1, 1), torch.ones(1, 1, 1), steps, guidance)  # type: ignore[arg-type]
    normal = torch.randn(3, 4)
    told = torch.tensor([[1.0], [-1.0], [0.0]])
    last = (steps - 1) / steps
    expected = normal + last**2 + 2 * last / steps + guidance * told
    torch.testing.assert_close(sampler(normal, told), expected)


# --- features -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def features() -> FeatureNetwork:
    return FeatureNetwork()


def maps_of(batch: int, image_size: int) -> list[Tensor]:
    return [torch.randn(batch, *(c, s, s)) for c, s in zip(FEATURES, pyramid(image_size, 5), strict=True)]


@pytest.mark.parametrize("image_size", [150, 64, 42])
def test_features_have_exact_sizes(features: FeatureNetwork, image_size: int) -> None:
    maps = features(torch.rand(2, 3, image_size, image_size) * 2 - 1)
    assert [seen.shape for seen in maps] == [seen.shape for seen in maps_of(2, image_size)]


def test_features_of_faces_have_about_unit_variance(features: FeatureNetwork) -> None:
    with torch.no_grad():
        maps = features(to_float(torch.from_numpy(Generator.load("dcgan").sample(16, seed=0))))
    for seen in maps:
        assert 0.7 < seen.std() < 1.4


def test_features_are_frozen_and_in_no_checkpoint(features: FeatureNetwork) -> None:
    assert features.state_dict() == {}
    assert list(features.parameters()) == []


@pytest.mark.parametrize("image_size", [150, 42])
def test_the_gradient_through_the_features_is_the_gradient(features: FeatureNetwork, image_size: int) -> None:
    """It is compared with difference quotients along the gradient and a random direction, in double precision."""
    network = copy.deepcopy(features).double()
    images = torch.rand(1, 3, image_size, image_size, dtype=torch.double) * 2 - 1
    images.requires_grad_(True)

    def loss(at: Tensor) -> Tensor:
        return torch.stack([seen.sin().sum() for seen in network(at)]).sum()

    (gradient,) = torch.autograd.grad(loss(images), images)
    for direction in (gradient, torch.randn_like(images)):
        direction = direction / direction.norm()
        with torch.no_grad():
            quotient = (loss(images + 1e-6 * direction) - loss(images - 1e-6 * direction)) / 2e-6
        assert (gradient * direction).sum().item() == pytest.approx(quotient.item(), abs=1e-5 * gradient.norm().item())


# --- the DCGAN ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("image_size", [150, 64, 41])
def test_the_dcgan_generates_and_judges_images_of_any_size(image_size: int) -> None:
    images = DCGANGenerator(LATENT_DIM, (*CHANNELS[::-1], 4), image_size)(torch.randn(3, LATENT_DIM))
    assert images.shape == (3, 3, image_size, image_size)
    for norm in ("spectral", "batch", "none"):
        assert DCGANDiscriminator(CHANNELS, image_size, norm)(images).shape == (3,)


def test_the_dcgans_feature_maps_have_exact_sizes() -> None:
    generator = DCGANGenerator(LATENT_DIM, (12, *CHANNELS[::-1], 4), 150)
    assert generator.stem(torch.zeros(2, LATENT_DIM)).shape[-1] == 5
    assert feature_sizes(generator, generator.features, torch.zeros(2, LATENT_DIM)) == [10, 19, 38, 75, 150]


def test_the_dcgan_cannot_draw_a_checkerboard() -> None:
    generator = DCGANGenerator(LATENT_DIM, (12, *CHANNELS[::-1], 4), 150).eval()
    generator.stem[0] = nn.Sequential(nn.Linear(LATENT_DIM, 12), nn.Unflatten(1, (12, 1, 1)), nn.Upsample(5))
    generator.stem[1] = nn.Identity()
    for parameter in generator.parameters():
        nn.init.normal_(parameter)
    with torch.no_grad():
        centre = generator.to_rgb(generator.features(generator.stem(torch.ones(1, LATENT_DIM))))[:, :, 60:90, 60:90]
    assert centre.std((2, 3)).max() < 1e-3 * centre.abs().max()
