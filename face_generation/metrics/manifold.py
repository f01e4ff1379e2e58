"""Improved precision and recall: how many samples lie among the real faces, and how many real faces among samples."""

from functools import partial

import numpy as np

from face_generation.metrics import Estimate, Features, Metric
from face_generation.metrics.bootstrap import check, equal_rows, set_distance
from face_generation.metrics.distances import distance_blocks
from face_generation.metrics.recognition import RECOGNISER

PAPER = "Kynkäänniemi et al. 2019, Improved Precision and Recall Metric for Assessing Generative Models"
PRECISION = Metric(
    "precision",
    "Precision",
    "higher",
    "Share of samples that lie among the real faces, nearer to one than its third nearest neighbour: realism.",
    PAPER,
    judges=(RECOGNISER,),
)
RECALL = Metric(
    "recall",
    "Recall",
    "higher",
    "Share of real faces that lie among the samples, by the same measure: how much of their variety is covered.",
    PAPER,
    judges=(RECOGNISER,),
)


def precision(real: Features, fake: Features, seed: int, k: int = 3) -> Estimate:
    """Share of fake faces on the manifold of real ones, in [0, 1]; higher is better (Kynkäänniemi et al. 2019).

    A set's manifold is the union of balls around its features, each reaching to the k-th nearest other feature. It
    grows with the number of features, so a random part of the larger set is used. If most features have near
    duplicates, such as other photos of the same person, the balls are small and fresh faces lie outside. So a set
    should be a random choice from a large set.

    Args:
        real, fake: Features N×D and M×D.

    Raises:
        Gap: A set has fewer than 2 (k + 1) rows, or a value that is not finite.
    """
    return _on_manifold(fake, real, seed, k)


def recall(real: Features, fake: Features, seed: int, k: int = 3) -> Estimate:
    """Share of real faces on the manifold of fake ones. Arguments and errors are those of `precision`."""
    return _on_manifold(real, fake, seed, k)


def _on_manifold(points: Features, manifold: Features, seed: int, k: int) -> Estimate:
    check(points, manifold, least=2 * (k + 1))  # a half still has a k-th neighbour
    rows, others = equal_rows(len(points), len(manifold), seed)
    share = partial(_share_on_manifold, k=k)
    return set_distance(share, points[rows], manifold[others], seed, bounds=(0.0, 1.0))


def _share_on_manifold(points: Features, manifold: Features, k: int) -> float:
    """The share of `points` that lie in a ball around a row of `manifold`. A ball reaches to the k-th nearest other
    row."""
    # Column k is taken, not k − 1, because the nearest row is the row itself.
    radii = np.concatenate([np.partition(block, k, axis=1)[:, k] for block in distance_blocks(manifold, manifold)])
    return float(np.concatenate([(block <= radii).any(axis=1) for block in distance_blocks(points, manifold)]).mean())
