"""Sharpness, on images whose Laplacian is known."""

import numpy as np
import pytest
from numpy.typing import NDArray

from face_generation.metrics import Gap
from face_generation.metrics.sharpness import laplacian_energy, sharpness

SIZE = 150


def noise(n: int, std: float, seed: int) -> NDArray[np.uint8]:
    """Grey images of independent pixels."""
    grey = 128 + np.random.default_rng(seed).normal(scale=std, size=(n, SIZE, SIZE, 1))
    return np.repeat(grey.round().clip(0, 255).astype(np.uint8), 3, axis=3)


def test_the_energy_of_a_chessboard_is_that_of_its_steps() -> None:
    """Each of the four neighbours is 30 lower or 30 higher, so the Laplacian is ±120."""
    board = np.where(np.indices((SIZE, SIZE)).sum(axis=0) % 2, 100, 130)
    image = np.repeat(board[np.newaxis, :, :, np.newaxis], 3, axis=3).astype(np.uint8)

    assert laplacian_energy(image) == pytest.approx([120**2], rel=1e-4)


def test_colours_count_by_their_luma() -> None:
    board = np.where(np.indices((SIZE, SIZE)).sum(axis=0) % 2, 0, 100).astype(np.uint8)
    images = np.zeros((3, SIZE, SIZE, 3), dtype=np.uint8)
    for channel in range(3):
        images[channel, :, :, channel] = board

    assert laplacian_energy(images) == pytest.approx((400 * np.array([0.299, 0.587, 0.114])) ** 2, rel=1e-4)


def test_a_ramp_and_an_even_colour_have_none() -> None:
    ramp = np.broadcast_to(np.arange(SIZE, dtype=np.uint8)[:, np.newaxis, np.newaxis], (SIZE, SIZE, 3))
    images = np.stack([ramp, np.full_like(ramp, 200)])

    assert laplacian_energy(images) == pytest.approx([0, 0], abs=1e-6)


def test_it_is_the_ratio_of_energies() -> None:
    """The energy of noise grows with the square of its deviation. There are more images than a batch holds."""
    estimate = sharpness(noise(140, std=10, seed=1), noise(130, std=20, seed=2), seed=0)

    assert estimate.value == pytest.approx(0.25, rel=0.01)
    assert estimate.low < estimate.value < estimate.high
    assert estimate.high - estimate.low < 0.01


def test_blurring_lowers_it_and_noise_raises_it() -> None:
    real = noise(8, std=20, seed=1)
    blurred = ((real.astype(np.uint16) + np.roll(real, 1, axis=2)) // 2).astype(np.uint8)
    noisy = np.maximum(real, noise(8, std=40, seed=2))

    assert sharpness(blurred, real, seed=0).high < 1
    assert sharpness(real, real, seed=0).value == 1
    assert sharpness(noisy, real, seed=0).low > 1


def test_images_to_compare_with_need_detail() -> None:
    with pytest.raises(Gap, match="the real images have no detail"):
        sharpness(noise(4, std=10, seed=1), np.full((4, SIZE, SIZE, 3), 100, dtype=np.uint8), seed=0)


def test_one_image_is_too_few() -> None:
    with pytest.raises(Gap, match="needs at least 2 images, and there are 1"):
        sharpness(noise(1, std=10, seed=1), noise(4, std=10, seed=2), seed=0)
