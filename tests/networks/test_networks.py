"""The networks, with few channels: shapes, sizes, what they are at the start, and that the flow is a flow."""

import copy
import math
from collections.abc import Iterable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from face_generation.data.datamodule import to_float
from face_generation.generator import Generator
from face_generation.networks import (
    DCGANDiscriminator,
    DCGANGenerator,
    Decoder,
    Encoder,
    FeatureNetwork,
    Flow,
    PlaceDiscriminator,
    ProjectedDiscriminator,
    TextureDiscriminator,
)
from face_generation.networks.blocks import ResidualBlock, Upsample, pyramid
from face_generation.networks.decoder import LatentNoise
from face_generation.networks.features import CHANNELS as FEATURES

LATENT_CHANNELS = 2
LATENT_DIM = LATENT_CHANNELS * 5 * 5
CHANNELS = (4, 6, 8, 10, 12)


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


def share_at_period_two(images: Tensor) -> float:
    """The share of the energy of images N×C×H×W, their mean aside, that repeats every two pixels in x or in y."""
    energy = torch.fft.fft2(images).abs().square().sum((0, 1))
    energy[0, 0] = 0
    height, width = energy.shape
    total = energy.sum()
    energy[height // 2, :] = energy[:, width // 2] = 0
    return float(1 - energy.sum() / total)


@pytest.mark.parametrize("image_size", [150, 64, 42])
def test_images_become_latents_and_back(image_size: int) -> None:
    images = torch.rand(3, 3, image_size, image_size) * 2 - 1
    mean, log_variance = Encoder(LATENT_CHANNELS, CHANNELS)(images)
    assert mean.shape == log_variance.shape == (3, LATENT_CHANNELS * pyramid(image_size, 5)[-1] ** 2)
    assert Decoder(LATENT_CHANNELS, CHANNELS[::-1], image_size)(mean).shape == images.shape


def test_feature_maps_have_exact_sizes() -> None:
    assert pyramid(150, 5) == [75, 38, 19, 10, 5]
    encoder, decoder = Encoder(LATENT_CHANNELS, CHANNELS), Decoder(LATENT_CHANNELS, CHANNELS[::-1])
    assert feature_sizes(encoder, encoder.features, torch.zeros(2, 3, 150, 150)) == [75, 38, 19, 10, 5]
    layers = [decoder.smallest, *decoder.larger]
    assert feature_sizes(decoder, layers, torch.zeros(2, LATENT_DIM)) == [5, 10, 19, 38, 75]


def test_every_parameter_gets_a_gradient() -> None:
    encoder, decoder = Encoder(LATENT_CHANNELS, CHANNELS), Decoder(LATENT_CHANNELS, CHANNELS[::-1])
    mean, log_variance = encoder(torch.randn(2, 3, 150, 150))
    (decoder(mean).square().sum() + log_variance.sum()).backward()
    networks = nn.ModuleDict({"encoder": encoder, "decoder": decoder})
    fixed = {name for name, parameter in networks.named_parameters() if parameter.grad is None}
    assert fixed == {f"decoder.larger.{i}.noise.combine.weight" for i in range(3)}


def test_a_new_encoder_is_near_the_standard_normal() -> None:
    mean, log_variance = Encoder(LATENT_CHANNELS, CHANNELS)(torch.randn(4, 3, 150, 150))
    kl = 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance).sum(1)
    assert kl.max() < 0.01


def test_latents_stay_in_float32_under_autocast() -> None:
    with torch.autocast("cpu", torch.bfloat16):
        mean, log_variance = Encoder(LATENT_CHANNELS, CHANNELS)(torch.randn(2, 3, 150, 150))
    assert mean.dtype == log_variance.dtype == torch.float32


def test_log_variance_is_bounded_whatever_comes_in() -> None:
    encoder = Encoder(LATENT_CHANNELS, CHANNELS).eval()
    _, log_variance = encoder(torch.randn(2, 3, 150, 150) * 1e6)
    assert log_variance.min() == -10
    assert log_variance.max() == 5


def test_a_new_decoders_sub_pixels_are_alike() -> None:
    weight, bias = Decoder(LATENT_CHANNELS, CHANNELS[::-1]).to_rgb.parameters()

    assert torch.equal(weight, weight[::4].repeat_interleave(4, dim=0))
    assert not bias.any()


def test_no_weights_make_the_decoder_draw_the_finest_grid() -> None:
    """Sub-pixels that differ as much as they can: without the filter all of the energy is there."""
    decoder = Decoder(LATENT_CHANNELS, CHANNELS[::-1]).eval()
    nn.init.zeros_(decoder.to_rgb.weight)
    decoder.to_rgb.bias.data = torch.tensor([1.0, -1.0, -1.0, 1.0]).repeat(3)  # type: ignore[union-attr]
    with torch.no_grad():
        images = decoder(torch.randn(2, LATENT_DIM))

    assert images.abs().max() < 1e-6


def test_the_decoders_filter_keeps_a_plain_area_plain() -> None:
    decoder = Decoder(LATENT_CHANNELS, CHANNELS[::-1]).eval()
    nn.init.zeros_(decoder.to_rgb.weight)
    nn.init.constant_(decoder.to_rgb.bias, 0.3)  # type: ignore[arg-type]
    with torch.no_grad():
        images = decoder(torch.randn(2, LATENT_DIM))

    assert torch.allclose(images, torch.tensor(0.3))


def test_noise_differs_from_place_to_place_and_from_face_to_face_and_not_with_truncation() -> None:
    noise = LatentNoise((LATENT_CHANNELS, 5, 5), 38)
    latents = torch.randn(100, LATENT_CHANNELS, 5, 5)
    drawn = noise(latents)

    assert drawn.shape == (100, 1, 38, 38)
    assert torch.allclose(drawn.square().mean((1, 2, 3)), torch.tensor(1.0), atol=1e-2)
    assert torch.allclose(noise(0.3 * latents), drawn, atol=1e-2)
    assert drawn.mean(0).square().mean() < 0.05  # of what all have at a place; 0.01 of independent values
    neighbours = (drawn[..., 1:] * drawn[..., :-1]).mean()
    assert neighbours.abs() < 0.1


def test_what_the_decoder_draws_may_depend_on_noise_but_at_the_largest_map() -> None:
    decoder = Decoder(LATENT_CHANNELS, CHANNELS[::-1]).eval()
    latents = torch.randn(2, LATENT_DIM)
    *noisy, largest = decoder.larger
    assert largest.noise is None
    with torch.no_grad():
        plain = decoder(latents)
        for larger in noisy:
            assert not larger.strength.any()  # at first it does not
            larger.strength.fill_(1)
        assert not torch.allclose(decoder(latents), plain, atol=1e-2)


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


# --- the second stage ---------------------------------------------------------------------------------------------


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
    """Against the difference quotient, along the gradient and a random direction, in double precision."""
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


@pytest.mark.parametrize("image_size", [150, 64, 42])
def test_each_resolution_is_judged(image_size: int) -> None:
    discriminator = ProjectedDiscriminator(FEATURES, CHANNELS, pyramid(image_size, 5))
    logits = discriminator(maps_of(2, image_size))

    assert all(logit.shape[:2] == (2, 1) and logit.shape[2] <= 10 for logit in logits)
    assert len(logits) == len(FEATURES)


def test_fine_maps_are_judged_with_the_coarser_ones_and_not_the_other_way_round() -> None:
    discriminator = ProjectedDiscriminator(FEATURES, CHANNELS, pyramid(150, 5))
    maps = [seen.requires_grad_(True) for seen in maps_of(2, 150)]
    for place, logit in enumerate(discriminator(maps)):
        gradients = torch.autograd.grad(logit.sum(), maps, retain_graph=True, allow_unused=True)
        assert [gradient is not None for gradient in gradients] == [coarser >= place for coarser in range(5)]


def test_batches_of_one_face_look_unlike_others_and_each_batch_is_seen_apart() -> None:
    discriminator = ProjectedDiscriminator(FEATURES, CHANNELS, pyramid(150, 5)).eval()
    various = maps_of(4, 150)
    same = [seen[:1].expand_as(seen) for seen in various]
    with torch.no_grad():
        together = discriminator([torch.cat(pair) for pair in zip(various, same, strict=True)], batches=2)
        apart = [torch.cat(pair) for pair in zip(discriminator(various), discriminator(same), strict=True)]
    for one, other in zip(together, apart, strict=True):
        torch.testing.assert_close(one, other)
        assert (one[0] - one[4]).abs().max() > 1e-3  # the same face, among others and among itself


def test_only_the_heads_of_the_discriminator_learn_and_their_gain_is_bounded() -> None:
    discriminator = ProjectedDiscriminator(FEATURES, CHANNELS, pyramid(150, 5))
    assert {name.split(".")[0] for name, weight in discriminator.named_parameters() if weight.requires_grad} == {
        "heads"
    }
    for _ in range(100):  # power iterations
        discriminator(maps_of(1, 150))
    layers = [layer for layer in discriminator.heads.modules() if isinstance(layer, nn.Conv2d)]
    assert len(layers) == 3 + 2 + 1 + 1 + 1 + 5
    for layer in layers:
        assert torch.linalg.matrix_norm(layer.weight.flatten(1), 2).item() == pytest.approx(1, rel=0.02)


@pytest.mark.parametrize("image_size", [64, 42])
def test_texture_is_judged_apart_from_colour(image_size: int) -> None:
    discriminator = TextureDiscriminator()
    images = torch.rand(2, 3, image_size, image_size) - 0.5
    colour = torch.linspace(-0.5, 0.5, 6).view(2, 3, 1, 1)
    with torch.no_grad():
        logits, recoloured, smooth = (
            discriminator(seen) for seen in (images, images + colour, F.avg_pool2d(images, 5, 1, 2))
        )
    assert logits.shape == (2, 1, image_size // 4, image_size // 4)
    torch.testing.assert_close(logits, recoloured, rtol=1e-4, atol=1e-4)
    assert (logits - smooth).abs().mean() > 0.1


def test_a_pattern_is_judged_where_it_always_is() -> None:
    """Samples get it more or less, and light or dark: none of them alone, nor their mean, is unlike a photo."""
    torch.manual_seed(0)
    size = 19
    discriminator = PlaceDiscriminator(size)
    optimizer = torch.optim.Adam(discriminator.parameters(), lr=1e-3)
    pattern = 0.1 * torch.randn(3, size, size)

    def logits(images: int, shift: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Of noise, and of noise with the pattern."""
        noise = 0.2 * torch.randn(2, images, 3, size, size)
        noise[1] += torch.randn(images, 1, 1, 1) * pattern.roll(shift, dims=2)
        return discriminator(noise[0]), discriminator(noise[1])

    for _ in range(200):
        real, fake = logits(32, shift=0)
        optimizer.zero_grad()
        (F.relu(1 - real).mean() + F.relu(1 + fake).mean()).backward()
        optimizer.step()
    with torch.no_grad():
        real, fake = logits(500, shift=0)
        _, elsewhere = logits(500, shift=5)
    assert real.shape == (500, 1)
    assert (real > 0).float().mean() > 0.95
    assert (fake < 0).float().mean() > 0.8
    assert (elsewhere < 0).float().mean() < 0.2


# --- the DCGAN ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("image_size", [150, 64, 41])
def test_the_dcgan_generates_and_judges_images_of_any_size(image_size: int) -> None:
    images = DCGANGenerator(LATENT_DIM, (*CHANNELS[::-1], 4), image_size)(torch.randn(3, LATENT_DIM))
    assert images.shape == (3, 3, image_size, image_size)
    for norm in ("spectral", "batch", "none"):
        assert DCGANDiscriminator(CHANNELS, image_size, norm)(images).shape == (3,)


def test_the_dcgans_feature_maps_have_exact_sizes() -> None:
    generator = DCGANGenerator(LATENT_DIM, (*CHANNELS[::-1], 4))
    assert generator.stem(torch.zeros(2, LATENT_DIM)).shape[-1] == 5
    assert feature_sizes(generator, generator.features, torch.zeros(2, LATENT_DIM)) == [10, 19, 38, 75, 150]


def test_no_weights_make_the_dcgan_draw_a_checkerboard_on_a_plain_area() -> None:
    generator = DCGANGenerator(LATENT_DIM, (*CHANNELS[::-1], 4)).eval()
    generator.stem[0] = nn.Sequential(nn.Linear(LATENT_DIM, 12), nn.Unflatten(1, (12, 1, 1)), nn.Upsample(5))
    generator.stem[1] = nn.Identity()
    for parameter in generator.parameters():
        nn.init.normal_(parameter)
    with torch.no_grad():
        centre = generator.to_rgb(generator.features(generator.stem(torch.ones(1, LATENT_DIM))))[:, :, 60:90, 60:90]
    assert centre.std((2, 3)).max() < 1e-3 * centre.abs().max()


# --- the flow -----------------------------------------------------------------------------------------------------


def random_flow(dim: int, dtype: torch.dtype = torch.float32) -> Flow:
    """A flow that is far from the identity."""
    flow = Flow((dim // 4, 2, 2), couplings=4, hidden=16).to(dtype)
    for coupling in flow.couplings:
        nn.init.normal_(coupling.last.weight, std=0.1)
        nn.init.normal_(coupling.last.bias, std=0.3)
    mixing = torch.randn(dim, dim, dtype=torch.float64)
    flow.whiten(torch.randn(dim, dtype=dtype), (mixing @ mixing.T + torch.eye(dim)).to(dtype))
    flow.stretch_base(1.3 * torch.randn(10 * dim, dim, dtype=dtype))
    samples = torch.randn(1000, dim, dtype=dtype)
    flow.match_moments(samples, torch.ones(dim, dtype=dtype), 2 * torch.cov(samples.T))
    return flow


def test_the_flow_inverts() -> None:
    flow = random_flow(16, torch.float64)
    latents = 3 * torch.randn(100, 16, dtype=torch.float64)
    with torch.no_grad():
        normal, _ = flow(latents)
        assert (normal - latents).abs().mean() > 0.5
        torch.testing.assert_close(flow.inverse(normal), latents, atol=1e-9, rtol=0)
        torch.testing.assert_close(flow(flow.inverse(latents))[0], latents, atol=1e-9, rtol=0)


def test_the_log_determinant_is_the_jacobians() -> None:
    flow = random_flow(8, torch.float64)
    latents = torch.randn(5, 8, dtype=torch.float64)
    _, log_determinant = flow(latents)
    for row, value in zip(latents, log_determinant, strict=True):
        jacobian = torch.autograd.functional.jacobian(lambda x: flow(x[None])[0][0], row)
        torch.testing.assert_close(value, torch.linalg.slogdet(jacobian).logabsdet)


def test_a_new_flow_maps_the_standard_normal_to_itself() -> None:
    flow, latents = Flow((2, 2, 2), couplings=4, hidden=16), torch.randn(50, 8)
    with torch.no_grad():
        normal, log_determinant = flow(latents)
        assert torch.equal(normal.sort().values, latents.sort().values)
        assert not log_determinant.any()
        expected = -torch.distributions.Normal(0, 1).log_prob(latents).sum(1)
        torch.testing.assert_close(flow.negative_log_likelihood(latents), expected)


def test_the_base_is_fitted_along_the_worst_axes_by_three_quarters() -> None:
    flow, dim = Flow((6, 5, 5), couplings=0, hidden=1), 150
    axes, _ = torch.linalg.qr(torch.randn(dim, dim))
    variances = torch.ones(dim)
    variances[:2], variances[2:100] = torch.tensor([9.0, 5.0]), 0.6
    normal = torch.randn(50_000, dim) * variances.sqrt() @ axes.T
    before = flow.negative_log_likelihood(normal).mean()
    flow.stretch_base(normal)
    drawn = (flow.inverse(torch.randn(50_000, dim)) @ axes).var(0)

    torch.testing.assert_close(drawn[:2], torch.tensor([7.0, 4.0]), rtol=0.03, atol=0)
    torch.testing.assert_close(drawn[2:100], torch.full((98,), 0.7), rtol=0.05, atol=0)
    torch.testing.assert_close(drawn[100:], torch.ones(50), rtol=0.08, atol=0)
    assert flow.negative_log_likelihood(normal).mean() < before


def test_samples_get_the_mean_and_the_covariance_along_principal_axes_and_where_it_is_clearly_another() -> None:
    few, dim = 64, 128
    axes = torch.linalg.qr(torch.randn(dim, dim)).Q
    normal = torch.randn(1000, dim)
    normal -= normal.mean(0)
    normal = torch.linalg.solve_triangular(torch.linalg.cholesky(torch.cov(normal.T)), normal.T, upper=False).T
    stds = torch.tensor([2.0] * few + [1.0] * (dim - few))
    wanted = torch.tensor([2.2] * few + [1.1] * (dim - few - 2) + [0.6, 1.5])
    expected = torch.where(wanted == 1.1, 1.0, wanted)  # which may be chance
    flow = Flow((dim, 1, 1), couplings=0, hidden=1)
    flow.whiten(torch.zeros(dim), (axes * stds**2) @ axes.T)
    flow.match_moments(flow.inverse(normal), torch.ones(dim), (axes * wanted**2) @ axes.T)
    samples = flow.inverse(normal)
    back, log_determinant = flow(samples)

    torch.testing.assert_close(samples.mean(0), torch.ones(dim), atol=1e-3, rtol=0)
    torch.testing.assert_close(torch.cov((samples @ axes).T), torch.diag(expected**2), atol=1e-2, rtol=0)
    torch.testing.assert_close(back, normal, atol=1e-3, rtol=0)
    torch.testing.assert_close(log_determinant, -expected.log().sum().expand(1000), atol=1e-2, rtol=0)


def test_whitening_makes_it_the_gaussian() -> None:
    flow, dim = Flow((2, 1, 2), couplings=2, hidden=8), 4
    mixing = torch.randn(dim, dim)
    mean, covariance = 5 * torch.randn(dim), mixing @ mixing.T + 0.1 * torch.eye(dim)
    flow.whiten(mean, covariance)
    gaussian = torch.distributions.MultivariateNormal(mean, covariance)
    with torch.no_grad():
        latents = gaussian.sample((20_000,))
        torch.testing.assert_close(
            flow.negative_log_likelihood(latents), -gaussian.log_prob(latents), atol=1e-3, rtol=1e-4
        )
        normal, _ = flow(latents)
    assert normal.mean(0).abs().max() < 5 / math.sqrt(20_000)
    torch.testing.assert_close(flow.whitening, flow.whitening.T)  # so latents stay with their places
    torch.testing.assert_close(torch.cov(normal.T), torch.eye(dim), atol=0.06, rtol=0)
