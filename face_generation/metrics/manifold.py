"""Improved precision and recall: which samples lie among the real faces, and which real faces among the samples."""

import numpy as np
from numpy.typing import NDArray

from face_generation.metrics import Estimate
from face_generation.metrics.bootstrap import centred, check, equal_rows, halves
from face_generation.metrics.distances import distance_blocks

Features = NDArray[np.floating]


def precision_recall(real: Features, fake: Features, seed: int, k: int = 3) -> tuple[Estimate, Estimate]:
    """Precision and recall, each in [0, 1], higher is better (Kynkäänniemi et al. 2019).

    A set's manifold is the union of balls around its features, each reaching to the k-th nearest other one. Precision
    is the share of fakes on the manifold of the real ones; recall is the share of real ones on that of the fakes. Both
    grow with the number of features that the manifold is made of, so of the larger set a random part is taken.

    Args:
        real, fake: Features, N×D and M×D.

    Raises:
        Gap: A set has fewer than 2 (k + 1) rows, or a value that is not finite.
    """
    check(real, fake, least=2 * (k + 1))  # a half still has a k-th neighbour
    rows_real, rows_fake = equal_rows(len(real), len(fake), seed)
    real, fake = real[rows_real], fake[rows_fake]

    def both(real: Features, fake: Features) -> tuple[float, float]:
        return _share_on_manifold(fake, real, k), _share_on_manifold(real, fake, k)

    resampled = [both(real[i], fake[j]) for i, j in halves(len(real), len(fake), seed)]
    precision, recall = (
        centred(value, values, bounds=(0.0, 1.0))
        for value, values in zip(both(real, fake), np.transpose(resampled), strict=True)
    )
    return precision, recall


def _share_on_manifold(points: Features, manifold: Features, k: int) -> float:
    """The share of `points` in a ball around a row of `manifold` that reaches to its k-th nearest other row."""
    # Column k and not k − 1: the nearest of all is the row itself.
    radii = np.concatenate([np.partition(block, k, axis=1)[:, k] for block in distance_blocks(manifold, manifold)])
    return float(np.concatenate([(block <= radii).any(axis=1) for block in distance_blocks(points, manifold)]).mean())
