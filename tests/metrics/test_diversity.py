"""Diversity, on images and embeddings whose similarity is known."""

import itertools

import numpy as np
import pytest
from numpy.typing import NDArray

from face_generation.metrics import Gap
from face_generation.metrics.diversity import face_diversity, ms_ssim

SIZE = 150


def noise(n: int, seed: int) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(256, size=(n, SIZE, SIZE, 3), dtype=np.uint8)


def test_ms_ssim_of_even_images_compares_brightness() -> None:
    """Even images have the same structure, none, at all scales, and differ only in luminance, which counts at the last
    scale with weight 0.1333 (Wang et al. 2003)."""
    darkness, brightness, constant = 50.0, 200.0, (0.01 * 255) ** 2
    likeness = ((2 * darkness * brightness + constant) / (darkness**2 + brightness**2 + constant)) ** 0.1333
    images = np.full((40, SIZE, SIZE, 3), 50, dtype=np.uint8)
    images[20:] = 200
    estimate = ms_ssim(images, seed=0)
    unlike = (1 - estimate.value) / (1 - likeness) * 20  # pairs of the 20

    assert unlike == pytest.approx(round(unlike), abs=0.05)
    assert 4 <= round(unlike) <= 16
    assert estimate.low < estimate.value < estimate.high


def test_ms_ssim_of_one_picture_again_and_again_is_1() -> None:
    estimate = ms_ssim(np.repeat(noise(1, seed=0), 6, axis=0), seed=0)

    assert (estimate.value, estimate.low, estimate.high) == pytest.approx((1, 1, 1), abs=1e-5)


def test_ms_ssim_sees_how_alike_images_are() -> None:
    images = noise(12, seed=0)
    alike = (images // 2 + noise(1, seed=1) // 2).astype(np.uint8)

    assert ms_ssim(images, seed=0).high < 0.1
    assert ms_ssim(images, seed=0).high < ms_ssim(alike, seed=0).low < 0.95


def test_ms_ssim_pairs_no_image_twice() -> None:
    """2 of 6 images are the same. There are at most 3 pairs, and at most one of them has both."""
    images = noise(6, seed=0)
    images[5] = images[0]
    values = [ms_ssim(images, seed).value for seed in range(8)]

    assert any(value > 0.3 for value in values)
    assert any(value < 0.1 for value in values)
    assert all(value < 0.4 for value in values)


def test_ms_ssim_takes_as_many_pairs_as_asked_for() -> None:
    images = np.zeros((8, SIZE, SIZE, 3), dtype=np.uint8)
    images[::2] = 255
    one_of_two = {round(ms_ssim(images, seed, pairs=2).value, 3) for seed in range(8)}

    assert len(one_of_two) == 3  # both images are the same in none, one or two of the pairs


def test_ms_ssim_is_the_same_for_a_seed() -> None:
    images = noise(10, seed=0)

    assert ms_ssim(images, seed=1) == ms_ssim(images, seed=1)
    assert ms_ssim(images, seed=1) != ms_ssim(images, seed=2)


@pytest.mark.parametrize("size", [48, 64, 128, 256])
def test_ms_ssim_of_images_of_any_size(size: int) -> None:
    images = np.random.default_rng(0).integers(256, size=(4, size, size, 3), dtype=np.uint8)

    assert ms_ssim(np.repeat(images[:1], 4, axis=0), seed=0).value == pytest.approx(1)
    assert ms_ssim(images, seed=0).value < 0.5


def test_ms_ssim_needs_4_images() -> None:
    with pytest.raises(Gap, match="needs at least 4 images, and there are 3"):
        ms_ssim(noise(3, seed=0), seed=0)


def mean_distance(rows: NDArray[np.float64]) -> float:
    return float(np.mean([np.linalg.norm(a - b) for a, b in itertools.combinations(rows, 2)]))


def test_face_diversity_is_the_ratio_of_mean_distances() -> None:
    random = np.random.default_rng(0)
    embeddings, real = random.normal(size=(30, 16)), random.normal(size=(40, 16)) @ random.normal(size=(16, 16))
    estimate = face_diversity(embeddings, real, seed=0)

    assert estimate.value == pytest.approx(mean_distance(embeddings) / mean_distance(real))
    assert estimate.low < estimate.value < estimate.high


def test_face_diversity_is_relative_to_real_faces() -> None:
    real = np.random.default_rng(0).normal(size=(50, 16)).astype(np.float32)

    assert face_diversity(real, real, seed=0).value == 1
    assert face_diversity(real / 2, real, seed=0).value == pytest.approx(0.5)
    assert face_diversity(np.repeat(real[:1], 50, axis=0), real, seed=0).high == 0


def test_face_diversity_has_gaps() -> None:
    real = np.random.default_rng(0).normal(size=(50, 16))
    with pytest.raises(Gap, match="real faces are all the same"):
        face_diversity(real, np.ones((50, 16)), seed=0)
    with pytest.raises(Gap, match="needs at least 4 images, and there are 3"):
        face_diversity(real[:3], real, seed=0)
    with pytest.raises(Gap, match="NaN or infinite"):
        face_diversity(np.full((50, 16), np.nan), real, seed=0)
