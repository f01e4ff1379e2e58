"""95 % intervals, which say how much a figure would vary with another set of as many images.

A counted share of images has an exact interval (`share`). Other figures resample the images in one of two ways, both
seeded.

**With replacement** (`mean`, `two_sets`): resamples have as many images as the set, and the interval is made of
percentiles of their figures (Efron & Tibshirani 1993). It suits means, medians, shares and their ratios.

**Halves without replacement** (`set_distance`): for figures that repeated images would bias. In a set drawn with
replacement, an image's nearest neighbour is often the image itself, and a covariance or a quantile function is that of
fewer images, so the interval would miss the figure. Random halves repeat nothing. The mean of a random half of n values
differs from the mean of all by as much as the mean of n fresh values differs from the truth, so nothing is rescaled
(the delete-d jackknife at d = n/2, Shao & Wu 1989; subsampling, Politis & Romano 1994). Halves have more of the bias
that falls with the number of images, but all of them have the same bias, so their median is shifted onto the figure
itself. The interval shows the spread and not the bias. The figure of real faces against real faces, at the same
numbers, shows the bias. If two sets are almost the same, the interval is too wide rather than too narrow, because a
distance is then as flat as a square at 0.
"""

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import binomtest
from tqdm import tqdm

from face_generation.metrics import Estimate, Gap

Statistic = Callable[[NDArray[Any], NDArray[Any]], float]

RESAMPLES = 1000
HALVES = 200
PERCENTILES = (2.5, 97.5)


def share(count: int, n: int) -> Estimate:
    """The share of `count` in n images, with its exact binomial interval (Clopper & Pearson 1934). The interval is not
    empty even if none or all of the images were counted.

    Raises:
        Gap: There are no images.

    Example:
        >>> share(0, 100)
        Estimate(value=0.0, low=0.0, high=0.03621669264517642)
    """
    if not n:
        raise Gap("there are no images to count; give some")
    interval = binomtest(count, n).proportion_ci(0.95, method="exact")
    return Estimate(count / n, float(interval.low), float(interval.high))


def mean(values: ArrayLike, seed: int) -> Estimate:
    """The mean of N values, one for each image, with its interval.

    Raises:
        Gap: There are fewer than 2 values, or one is not finite.

    Example:
        >>> mean([1.0, 2.0, 3.0, 4.0], seed=0).value
        2.5
    """
    values = np.asarray(values, dtype=np.float64)
    check(values, least=2)
    random = np.random.default_rng(seed)
    resampled = [values[random.integers(len(values), size=len(values))].mean() for _ in range(RESAMPLES)]
    return _estimate(values.mean(), resampled)


def two_sets(statistic: Statistic, a: NDArray[Any], b: NDArray[Any], seed: int, resamples: int = RESAMPLES) -> Estimate:
    """A figure of two independent sets that repeated images do not bias, such as a ratio of means, with its interval.

    Args:
        statistic: Computes the figure of two sets. It gets rows of `a` and of `b`, in any order and repeated.
        a, b: Sets N×… and M×…, with a row for each image.

    Raises:
        Gap: A set has fewer than 2 rows, or a value that is not finite.
    """
    check(a, b, least=2)
    random = np.random.default_rng(seed)

    def draw(rows: NDArray[Any]) -> NDArray[Any]:
        return rows[random.integers(len(rows), size=len(rows))]

    return _estimate(statistic(a, b), [statistic(draw(a), draw(b)) for _ in range(resamples)])


def set_distance(
    statistic: Statistic,
    a: NDArray[Any],
    b: NDArray[Any],
    seed: int,
    bounds: tuple[float, float] = (0.0, math.inf),
) -> Estimate:
    """A figure of two independent sets that repeated images would bias, with its interval from halves.

    Args:
        statistic: Computes the figure of two sets. It gets rows of `a` and of `b`, in order and without repeats.
        a, b: Sets N×… and M×…, with a row for each image.
        bounds: Smallest and largest possible figure. The interval is kept within.

    Raises:
        Gap: A set has fewer than 4 rows, or a value that is not finite.
    """
    check(a, b, least=4)
    resampled = [statistic(a[rows_a], b[rows_b]) for rows_a, rows_b in halves(len(a), len(b), seed)]
    return centred(statistic(a, b), resampled, bounds)


def halves(n: int, m: int, seed: int, resamples: int = HALVES) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Yields `resamples` times the rows of a random half of n images and of a random half of m others, in order. The
    seed decides them. Shows a progress bar."""
    random = np.random.default_rng(seed)
    for _ in tqdm(range(resamples), desc="Resampling", unit="half", delay=1, leave=False):
        yield np.sort(random.permutation(n)[: n // 2]), np.sort(random.permutation(m)[: m // 2])


def centred(value: float, resampled: ArrayLike, bounds: tuple[float, float] = (0.0, math.inf)) -> Estimate:
    """The figure `value` of two sets, with an interval around it from the figures of their halves."""
    resampled = np.asarray(resampled, dtype=np.float64)
    return _estimate(value, np.clip(value + resampled - np.median(resampled), *bounds))


def equal_rows(n: int, m: int, seed: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Chooses equally many rows of two sets of n and m, in order: all of the smaller and a random part of the
    larger."""
    random = np.random.default_rng(seed)
    size = min(n, m)
    return np.sort(random.permutation(n)[:size]), np.sort(random.permutation(m)[:size])


def check(*sets: NDArray[Any], least: int) -> None:
    """Raises `Gap` unless each of `sets` has at least `least` rows (images), all of them finite."""
    for rows in sets:
        if len(rows) < least:
            raise Gap(f"this metric needs at least {least} images, and there are {len(rows)}; give more")
        finite = np.isfinite(rows).reshape(len(rows), -1).all(axis=1)
        if not finite.all():
            raise Gap(f"{len(rows) - finite.sum()} of {len(rows)} images have a value that is NaN or infinite")


def _estimate(value: float, resampled: ArrayLike) -> Estimate:
    low, high = np.percentile(np.asarray(resampled), PERCENTILES)
    return Estimate(float(value), float(low), float(high))
