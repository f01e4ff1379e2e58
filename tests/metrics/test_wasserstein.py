"""The sliced Wasserstein distance, compared with a plain implementation, and on sets whose order is known."""

import tracemalloc

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from face_generation.generator import parallel
from face_generation.metrics import Gap, wasserstein
from face_generation.metrics.wasserstein import laplacian_level, mean_sliced_wasserstein, sliced_wasserstein

SIZE = 150
KEYS = ["swd", "swd_full", "swd_half", "swd_quarter", "swd_eighth"]
BINOMIAL = np.outer([1, 4, 6, 4, 1], [1, 4, 6, 4, 1]) / 256


def blotches(n: int, seed: int, grain: float = 8.0) -> NDArray[np.uint8]:
    """Images of random colours in squares of 5 pixels, under fine noise."""
    random = np.random.default_rng(seed)
    coarse = random.normal(128, 40, size=(n, 30, 30, 3)).repeat(5, axis=1).repeat(5, axis=2)
    return (coarse + random.normal(0, grain, size=(n, SIZE, SIZE, 3))).round().clip(0, 255).astype(np.uint8)


def blur(image: NDArray[np.float64]) -> NDArray[np.float64]:
    """Blurs an image H×W×3, one tap at a time."""
    height, width = image.shape[:2]
    padded = np.pad(image, ((2, 2), (2, 2), (0, 0)), mode="reflect")
    return sum(BINOMIAL[i, j] * padded[i : i + height, j : j + width] for i in range(5) for j in range(5))


def pyramid(image: NDArray[np.float64], levels: int) -> list[NDArray[np.float64]]:
    if levels == 1:
        return [image]
    smaller = blur(image)[::2, ::2]
    larger = np.zeros_like(image)
    larger[::2, ::2] = smaller
    return [image - 4 * blur(larger), *pyramid(smaller, levels - 1)]


def by_the_book(images: NDArray[np.uint8], real: NDArray[np.uint8], seed: int) -> list[float]:
    """The distance at each level, as in section 5 of the paper, with its own patches and directions."""
    random = np.random.default_rng(seed)
    distances = []
    for level in range(4):
        clouds = []
        for a_set in (images, real):
            patches = []
            for image in a_set:
                plane = pyramid(image.astype(np.float64), 4)[level]
                for y, x in random.integers(len(plane) - 6, size=(128, 2)):
                    patches.append(plane[y : y + 7, x : x + 7])
            cloud = np.stack(patches)
            cloud = (cloud - cloud.mean(axis=(0, 1, 2))) / cloud.std(axis=(0, 1, 2))
            clouds.append(cloud.reshape(len(cloud), -1))
        directions = random.normal(size=(147, 512))
        directions /= np.linalg.norm(directions, axis=0)
        a, b = (np.sort(cloud @ directions, axis=0) for cloud in clouds)
        distances.append(1000 * float(np.abs(a - b).mean()))
    return distances


def test_levels_have_half_the_size_and_are_the_pyramid_s() -> None:
    image = np.random.default_rng(0).uniform(0, 255, size=(SIZE, SIZE, 3))
    expected = pyramid(image, 4)
    planes = torch.from_numpy(image).permute(2, 0, 1).unsqueeze(0).float()
    for level, size in enumerate([150, 75, 38, 19]):
        found = laplacian_level(planes, level, 4)

        assert found.shape == (1, 3, size, size)
        np.testing.assert_allclose(found[0].permute(1, 2, 0).numpy(), expected[level], atol=1e-3)


def test_a_level_shows_what_the_smaller_ones_cannot() -> None:
    stripes = torch.zeros(1, 3, SIZE, SIZE)
    stripes[..., ::2] = 100
    even = torch.full((1, 3, SIZE, SIZE), 100.0)

    assert laplacian_level(stripes, 0, 4).std() == pytest.approx(50, rel=0.01)
    assert laplacian_level(stripes, 1, 4).std() < 1e-3
    assert laplacian_level(even, 0, 4).abs().max() < 1e-3
    assert laplacian_level(even, 3, 4) == pytest.approx(torch.full((1, 3, 19, 19), 100.0), rel=1e-5)


def test_it_is_the_paper_s() -> None:
    """They agree as far as random patches allow."""
    images, real = blotches(6, seed=1), blotches(6, seed=2, grain=30)
    found = sliced_wasserstein(images, real, seed=0)

    assert list(found) == KEYS
    assert [found[key].value for key in KEYS[1:]] == pytest.approx(by_the_book(images, real, seed=1), rel=0.1)
    assert found["swd"].value == pytest.approx(np.mean([found[key].value for key in KEYS[1:]]))


def test_every_level_tells_unlike_sets_from_like_ones() -> None:
    real, unlike = blotches(8, seed=1), blotches(8, seed=3)
    unlike[:, :, :120] = 128  # four fifths of each image without any detail
    near = sliced_wasserstein(blotches(8, seed=2), real, seed=0)
    far = sliced_wasserstein(unlike, real, seed=0)

    for key in KEYS:
        assert 0 <= near[key].low < near[key].value < near[key].high < far[key].low < far[key].value < far[key].high


def test_the_coarsest_level_sees_a_collapse() -> None:
    real, one = blotches(8, seed=1), blotches(1, seed=2)
    estimate = sliced_wasserstein(np.repeat(one, 8, axis=0), real, seed=0)["swd_eighth"]

    assert estimate.low > sliced_wasserstein(blotches(8, seed=3), real, seed=0)["swd_eighth"].value


def test_it_is_blind_to_contrast() -> None:
    """Each set is measured in units of its own deviation."""
    images, real = blotches(8, seed=1), blotches(8, seed=2)
    pale = (images // 2 + 60).astype(np.uint8)
    found, expected = (sliced_wasserstein(a_set, real, seed=0) for a_set in (pale, images))

    assert [found[key].value for key in KEYS] == pytest.approx([expected[key].value for key in KEYS], rel=0.1)


def test_of_sets_of_unequal_size_equal_numbers_are_compared() -> None:
    small, large = blotches(6, seed=1), blotches(40, seed=2)
    unequal, equal = sliced_wasserstein(large, small, seed=0), sliced_wasserstein(large[:6], small, seed=0)

    assert unequal["swd"].value == pytest.approx(equal["swd"].value, rel=0.3)
    assert unequal != equal  # another part of the large set than its beginning


def test_of_large_sets_a_part_is_compared_in_bounded_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    images, real = blotches(40, seed=1), blotches(50, seed=2)
    expected = mean_sliced_wasserstein(images[:8], real[:8], seed=0)
    monkeypatch.setattr(wasserstein, "IMAGES", 8)
    monkeypatch.setattr(parallel, "cores", lambda: 2)  # each has its own projections

    tracemalloc.start()
    found = mean_sliced_wasserstein(images, real, seed=0)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert found == pytest.approx(expected, rel=0.3)
    assert found != expected  # another part than the beginning
    assert peak < 5 * 8 * 75_264  # the patches of both sets and what is made of them, but not all again as doubles


def test_it_is_the_same_for_a_seed() -> None:
    images, real = blotches(4, seed=1), blotches(4, seed=2)
    found = sliced_wasserstein(images, real, seed=0)

    assert sliced_wasserstein(images, real, seed=0) == found
    assert sliced_wasserstein(images, real, seed=1) != found


def test_images_without_detail_are_a_gap() -> None:
    with pytest.raises(Gap, match="no detail at some scale"):
        sliced_wasserstein(np.full((4, SIZE, SIZE, 3), 200, dtype=np.uint8), blotches(4, seed=1), seed=0)


def test_other_sizes_have_the_same_levels_while_patches_fit() -> None:
    images, real = blotches(4, seed=1), blotches(4, seed=2)

    assert list(sliced_wasserstein(images[:, :64, :64], real[:, :64, :64], seed=0)) == KEYS
    with pytest.raises(Gap, match="images of 48 pixels are too small for this metric"):
        sliced_wasserstein(images[:, :48, :48], real[:, :48, :48], seed=0)


def test_too_few_images_are_a_gap() -> None:
    with pytest.raises(Gap, match="needs at least 4 images, and there are 3"):
        sliced_wasserstein(blotches(9, seed=1), blotches(3, seed=2), seed=0)


def test_the_mean_alone_is_that_of_the_estimates() -> None:
    images, real = blotches(6, seed=0), blotches(6, seed=1, grain=12.0)

    assert mean_sliced_wasserstein(images, real, seed=3) == sliced_wasserstein(images, real, seed=3)["swd"].value
