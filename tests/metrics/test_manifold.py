"""Improved precision and recall, compared with loops that follow the paper, and on sets whose answer is known."""

import numpy as np
import pytest
from numpy.typing import NDArray

from face_generation.metrics import Estimate, Gap
from face_generation.metrics.manifold import precision, recall

Floats = NDArray[np.float64]


def normal(n: int, dimensions: int, seed: int) -> Floats:
    return np.random.default_rng(seed).normal(size=(n, dimensions))


def both(real: Floats, fake: Floats, seed: int, k: int = 3) -> tuple[Estimate, Estimate]:
    return precision(real, fake, seed, k), recall(real, fake, seed, k)


def share_inside(points: Floats, manifold: Floats, k: int) -> float:
    """Equations 1 and 2 of the paper, word for word."""
    inside = 0
    for point in points:
        for i, centre in enumerate(manifold):
            others = np.delete(manifold, i, axis=0)
            radius = sorted(np.linalg.norm(others - centre, axis=1))[k - 1]
            if np.linalg.norm(point - centre) <= radius:
                inside += 1
                break
    return inside / len(points)


@pytest.mark.parametrize("k", [1, 3])
def test_they_are_the_paper_s(k: int) -> None:
    real, fake = normal(30, 4, seed=1), 0.7 * normal(30, 4, seed=2) + 0.5
    of_fakes, of_real = both(real, fake, seed=0, k=k)

    assert of_fakes.value == share_inside(fake, real, k)
    assert of_real.value == share_inside(real, fake, k)
    assert 0 < of_real.value < of_fakes.value < 1


def test_of_a_set_and_itself_both_are_1() -> None:
    features = normal(50, 8, seed=0)
    of_fakes, of_real = both(features, features, seed=0)

    assert (of_fakes.value, of_real.value) == (1, 1)


def test_of_sets_far_apart_both_are_0() -> None:
    of_fakes, of_real = both(normal(50, 8, seed=1), normal(50, 8, seed=2) + 100, seed=0)

    assert (of_fakes.value, of_real.value) == (0, 0)
    assert (of_real.low, of_real.high) == (0, 0)


def test_a_collapse_costs_recall_alone() -> None:
    real = normal(200, 8, seed=1)
    copies = np.repeat(real[:1], 200, axis=0)  # exact copies, whose balls have no extent
    of_fakes, of_real = both(real, copies, seed=0)

    assert of_fakes.value == 1
    assert of_real.value == 1 / 200  # the one that was copied


def test_noise_costs_precision() -> None:
    real = normal(200, 8, seed=1)
    of_fakes, of_real = both(real, 3 * normal(200, 8, seed=2), seed=0)

    assert of_fakes.high < 0.2
    assert of_real.low > 0.8


def test_intervals_are_as_wide_as_fresh_draws_spread() -> None:
    drawn = [both(normal(60, 8, 2 * i), 0.8 * normal(60, 8, 2 * i + 1), seed=i) for i in range(30)]
    for estimates in zip(*drawn, strict=True):
        sigmas = [(estimate.high - estimate.low) / 3.92 for estimate in estimates]

        assert all(0 <= estimate.low <= estimate.value <= estimate.high <= 1 for estimate in estimates)
        assert np.mean(sigmas) == pytest.approx(np.std([estimate.value for estimate in estimates]), rel=0.4)


def test_equal_numbers_are_taken_of_both() -> None:
    """All 1000 fakes would cover nearly all real ones."""
    real, fake = normal(50, 8, seed=1), 0.8 * normal(1000, 8, seed=2)
    parts = [both(real, fake[50 * i : 50 * (i + 1)], seed=0)[1].value for i in range(8)]
    whole = [both(real, fake, seed)[1].value for seed in range(8)]

    assert np.mean(whole) == pytest.approx(np.mean(parts), abs=0.05)
    assert np.mean(whole) < 0.9


def test_too_few_or_broken_features_are_a_gap() -> None:
    features = normal(20, 4, seed=0)
    with pytest.raises(Gap, match="needs at least 8 images, and there are 7"):
        both(features, features[:7], seed=0)
    features[3, 2] = np.nan
    with pytest.raises(Gap, match="1 of 20 images have a value that is NaN"):
        both(features, normal(20, 4, seed=1), seed=0)
