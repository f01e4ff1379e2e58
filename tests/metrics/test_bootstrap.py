"""Intervals, against the spread of fresh draws that they stand for."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from face_generation.metrics import Estimate, Gap
from face_generation.metrics.bootstrap import check, equal_rows, halves, mean, set_distance, share, two_sets
from face_generation.metrics.frechet import frechet_distance

Floats = NDArray[np.float64]


def normal(n: int, dimensions: int, seed: int, shift: float = 0.0) -> Floats:
    return np.random.default_rng(seed).normal(size=(n, dimensions)) + shift


def ratio_of_means(a: Floats, b: Floats) -> float:
    return float(a.mean() / b.mean())


def sigma(estimate: Estimate) -> float:
    """The standard deviation whose 95 % interval this is."""
    return (estimate.high - estimate.low) / 3.92


def test_the_interval_of_a_mean_is_that_of_its_standard_error() -> None:
    values = normal(400, 1, seed=1)[:, 0]
    estimate = mean(values, seed=0)

    assert estimate.value == values.mean()
    assert estimate.low < estimate.value < estimate.high
    assert sigma(estimate) == pytest.approx(values.std() / 20, rel=0.1)


def test_the_interval_of_a_share_stays_within_0_and_1() -> None:
    estimate = mean(np.arange(100) > 0, seed=0)

    assert estimate.value == 0.99
    assert 0.95 < estimate.low < 0.99
    assert estimate.high == 1.0


def test_intervals_of_counts_hold_the_share_as_often_as_said() -> None:
    """It holds the share with a probability of at least 95 %, whatever the true share is."""
    for probability in (0.01, 0.05, 0.3):
        counts = np.random.default_rng(0).binomial(100, probability, size=2000)
        intervals = {count: share(int(count), 100) for count in set(counts)}

        assert np.mean([intervals[count].low <= probability <= intervals[count].high for count in counts]) >= 0.945
    assert share(100, 100) == Estimate(1.0, pytest.approx(0.025 ** (1 / 100)), 1.0)
    with pytest.raises(Gap, match="no images to count"):
        share(0, 0)


def test_the_interval_of_a_ratio_is_that_of_the_delta_method() -> None:
    a, b = normal(400, 1, seed=1, shift=10), normal(900, 1, seed=2, shift=5)
    estimate = two_sets(ratio_of_means, a, b, seed=0)
    relative = math.hypot(a.std() / 20 / a.mean(), b.std() / 30 / b.mean())

    assert estimate.value == ratio_of_means(a, b)
    assert sigma(estimate) == pytest.approx(estimate.value * relative, rel=0.1)


@pytest.mark.parametrize(("shift", "widest"), [(0.3, 1.5), (1.0, 1.2)], ids=["close", "apart"])
def test_intervals_of_distances_are_as_wide_as_fresh_draws(shift: float, widest: float) -> None:
    """They are somewhat wider if the sets are close."""
    fresh = [frechet_distance(normal(60, 8, 2 * i), normal(90, 8, 2 * i + 1, shift)) for i in range(300)]
    sigmas = [
        sigma(set_distance(frechet_distance, normal(60, 8, 2 * i), normal(90, 8, 2 * i + 1, shift), seed=i))
        for i in range(10)
    ]

    assert 0.85 < np.mean(sigmas) / np.std(fresh) < widest


def test_the_interval_of_a_biased_distance_holds_the_distance() -> None:
    a, b = normal(60, 30, seed=1), normal(60, 30, seed=2)
    estimate = set_distance(frechet_distance, a, b, seed=0)

    assert two_sets(frechet_distance, a, b, seed=0, resamples=100).low > estimate.value  # why there are two ways
    assert estimate.value == frechet_distance(a, b)
    assert 0 <= estimate.low < estimate.value < estimate.high


def test_the_interval_stays_within_its_bounds() -> None:
    a, b = normal(20, 1, seed=1), normal(20, 1, seed=2)

    def difference(a: Floats, b: Floats) -> float:
        return float(a.mean() - b.mean())

    free = set_distance(difference, a, b, seed=0, bounds=(-math.inf, math.inf))
    bounded = set_distance(difference, a, b, seed=0, bounds=(free.value - 0.01, free.value + 0.02))

    assert free.low < free.value - 0.01 < free.value + 0.02 < free.high
    assert (bounded.low, bounded.high) == (free.value - 0.01, free.value + 0.02)


@pytest.mark.parametrize(
    "interval",
    [
        lambda seed: mean(normal(50, 1, seed=1)[:, 0], seed),
        lambda seed: two_sets(ratio_of_means, normal(50, 1, 1, shift=5), normal(50, 1, 2, shift=5), seed),
        lambda seed: set_distance(frechet_distance, normal(50, 2, 1), normal(50, 2, 2), seed),
    ],
    ids=["mean", "two_sets", "set_distance"],
)
def test_a_seed_gives_the_same_interval_again(interval: Callable[[int], Estimate]) -> None:
    assert interval(3) == interval(3)
    assert interval(3) != interval(4)


def test_halves_repeat_no_row() -> None:
    drawn = list(halves(11, 8, seed=0, resamples=50))

    assert all(len(set(a)) == 5 and len(set(b)) == 4 for a, b in drawn)
    assert all((a == np.sort(a)).all() for a, _ in drawn)
    assert np.unique(np.concatenate([a for a, _ in drawn])).tolist() == list(range(11))
    assert np.unique(np.concatenate([b for _, b in drawn])).tolist() == list(range(8))


def test_equal_rows_keep_the_whole_of_the_smaller_set() -> None:
    large, small = equal_rows(100, 7, seed=0)

    assert small.tolist() == list(range(7))
    assert len(set(large)) == 7
    assert large.max() > 50  # not just the first


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_value_that_is_not_finite_is_a_gap(bad: float) -> None:
    features = normal(10, 3, seed=0)
    features[4, 1] = bad

    with pytest.raises(Gap, match="1 of 10 images have a value that is NaN or infinite"):
        set_distance(frechet_distance, normal(10, 3, seed=1), features, seed=0)
    with pytest.raises(Gap, match="NaN"):
        mean(features[:, 1], seed=0)


def test_too_few_images_are_a_gap_that_says_how_many_it_takes() -> None:
    with pytest.raises(Gap, match="needs at least 4 images, and there are 3"):
        set_distance(frechet_distance, normal(3, 2, 0), normal(10, 2, 1), seed=0)
    with pytest.raises(Gap, match="needs at least 2 images, and there are 0"):
        mean([], seed=0)
    check(normal(3, 2, 0), least=3)
