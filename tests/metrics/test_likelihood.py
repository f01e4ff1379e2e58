"""Bits per dimension of models whose likelihood is known."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from face_generation.metrics import Gap
from face_generation.metrics.likelihood import bits_per_dim

IMAGES = np.random.default_rng(0).integers(0, 256, (40, 20, 20, 3), dtype=np.uint8)


def test_a_uniform_density_takes_the_logarithm_of_the_number_of_levels() -> None:
    """Between -1 and 1 lie 255 grey levels, and a uniform density there knows nothing about them."""
    estimate = bits_per_dim(lambda images: torch.full((len(images),), images[0].numel() * math.log(2)), IMAGES, seed=0)

    assert estimate.value == pytest.approx(math.log2(255))
    assert estimate.low == pytest.approx(estimate.high)


def test_a_gaussian_takes_the_bits_of_its_rounded_levels() -> None:
    """Levels from a normal with σ = 20: their exact code length is the entropy of that normal, rounded."""
    levels = np.random.default_rng(1).normal(128, 20, (200, 20, 20, 3)).round().clip(0, 255).astype(np.uint8)
    deviation = 20 / 127.5

    def nats(images: Tensor) -> Tensor:
        mean = 128 / 127.5 - 1
        squares = (images - mean).square().sum((1, 2, 3)) / (2 * deviation**2)
        return squares + images[0].numel() * math.log(deviation * math.sqrt(2 * math.pi))

    edges = np.arange(-0.5, 256)
    cumulated = np.array([0.5 * (1 + math.erf((edge - 128) / (20 * math.sqrt(2)))) for edge in edges])
    shares = np.diff(cumulated)
    entropy = -(shares[shares > 0] * np.log2(shares[shares > 0])).sum()

    estimate = bits_per_dim(nats, levels, seed=0)
    assert estimate.value == pytest.approx(entropy, abs=0.01)
    assert estimate.low < estimate.value < estimate.high


def test_the_noise_is_as_wide_as_one_level_and_centred() -> None:
    seen = []

    def keep(images: Tensor) -> Tensor:
        seen.append(images.numpy().transpose(0, 2, 3, 1))
        return torch.ones(len(images))

    bits_per_dim(keep, IMAGES, seed=0)
    noise = (np.concatenate(seen) + 1) * 127.5 - IMAGES
    assert np.abs(noise).max() <= 0.5001
    assert noise.mean() == pytest.approx(0, abs=0.01)
    assert noise.std() == pytest.approx(1 / math.sqrt(12), rel=0.01)


def test_it_is_the_same_for_a_seed_and_leaves_torch_as_it_was() -> None:
    def random(images: Tensor) -> Tensor:
        return torch.randn(len(images)).abs() + images.mean((1, 2, 3))

    state = torch.get_rng_state()
    assert bits_per_dim(random, IMAGES, seed=3) == bits_per_dim(random, IMAGES, seed=3)
    assert bits_per_dim(random, IMAGES, seed=3) != bits_per_dim(random, IMAGES, seed=4)
    assert torch.equal(torch.get_rng_state(), state)


def test_a_likelihood_that_is_not_finite_is_a_gap() -> None:
    with pytest.raises(Gap, match="NaN or infinite"):
        bits_per_dim(lambda images: torch.full((len(images),), math.nan), IMAGES, seed=0)
