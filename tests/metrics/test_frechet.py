"""The Fréchet distance, compared with closed forms and with another form of the formula."""

import numpy as np
import pytest
from numpy.typing import NDArray

from face_generation.metrics.frechet import frechet_distance

Floats = NDArray[np.float64]


def gaussian(n: int, mean: Floats, root: Floats, seed: int = 0) -> Floats:
    """n rows whose mean and covariance are exactly `mean` and rootᵀ root."""
    rows = np.random.default_rng(seed).normal(size=(n, len(mean)))
    rows -= rows.mean(axis=0)
    white = rows @ np.linalg.inv(np.linalg.cholesky(np.cov(rows, rowvar=False))).T
    return white @ root + mean


def by_the_book(a: Floats, b: Floats) -> float:
    """The distance from the eigenvalues of the product of the covariances, which is not symmetric."""
    covariance_a, covariance_b = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    eigenvalues = np.linalg.eigvals(covariance_a @ covariance_b).real.clip(min=0)
    shift = a.mean(axis=0) - b.mean(axis=0)
    return float(shift @ shift + np.trace(covariance_a + covariance_b) - 2 * np.sqrt(eigenvalues).sum())


def test_gaussians_differ_by_means_and_deviations() -> None:
    mean_a, mean_b = np.array([0.0, 1.0, 2.0]), np.array([3.0, 1.0, 0.0])
    stds_a, stds_b = np.array([1.0, 2.0, 3.0]), np.array([1.0, 0.5, 5.0])
    distance = frechet_distance(gaussian(50, mean_a, np.diag(stds_a)), gaussian(80, mean_b, np.diag(stds_b), seed=1))

    assert distance == pytest.approx(9 + 4 + 1.5**2 + 2**2)


@pytest.mark.parametrize(("n", "m"), [(300, 200), (12, 9), (300, 9)], ids=["more", "fewer", "mixed"])
def test_of_correlated_features_it_is_the_formula(n: int, m: int) -> None:
    """This also holds if there are fewer features than dimensions, so that covariances are singular."""
    random = np.random.default_rng(0)
    a = random.normal(size=(n, 20)) @ random.normal(size=(20, 20))
    b = random.normal(size=(m, 20)) @ random.normal(size=(20, 20)) + 0.5

    assert frechet_distance(a, b) == pytest.approx(by_the_book(a, b), rel=1e-5)
    assert frechet_distance(a, b) == pytest.approx(frechet_distance(b, a))


@pytest.mark.parametrize("n", [200, 5])
def test_of_a_set_to_itself_it_is_0(n: int) -> None:
    features = np.random.default_rng(0).normal(size=(n, 16)).astype(np.float32)

    assert frechet_distance(features, features[::-1]) == pytest.approx(0, abs=1e-9)


def test_it_sees_a_collapse() -> None:
    """Copies of one face are at the mean, and have no variance."""
    features = gaussian(100, np.zeros(4), np.diag([1.0, 2.0, 3.0, 4.0]))

    assert frechet_distance(features, np.zeros((100, 4))) == pytest.approx(1 + 4 + 9 + 16)
