"""Memorisation: compares how near samples and held-out real faces come to training faces.

Held-out faces are new by construction, so a model that has not memorised should have distances like theirs.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from face_generation.metrics import Estimate, Gap, Metric, bootstrap
from face_generation.metrics.distances import distance_blocks
from face_generation.metrics.recognition import RECOGNISER

NEAREST_TRAIN = Metric(
    "nearest_train",
    "Nearest training face",
    "one",
    "Median distance from a sample to the nearest training face, divided by that of held-out real faces. Well below 1 "
    "means memorising.",
    "",
    judges=(RECOGNISER,),
)
COPIES = Metric(
    "copies",
    "Copies",
    "lower",
    "Share of samples that are nearer to a training face than all but 1 % of held-out real faces. New faces give 0.01. "
    "Well above it, training faces are being copied.",
    "",
    judges=(RECOGNISER,),
)
METRICS = (NEAREST_TRAIN, COPIES)

RARE = 0.01  # a sample is a copy if it is nearer to a training face than all but this share of held-out faces


@dataclass(frozen=True)
class Neighbours:
    """The nearest training face of each of N faces."""

    distances: NDArray[np.float64]  # N Euclidean distances of embeddings
    indices: NDArray[np.intp]  # N indices of training faces

    def closest(self, n: int) -> NDArray[np.intp]:
        """Indices of the `n` faces that are nearest to a training face, the nearest first."""
        return np.argsort(self.distances, kind="stable")[:n]


def nearest(faces: NDArray[np.floating], training: NDArray[np.floating]) -> Neighbours:
    """Finds the nearest training face of each of `faces`, from embeddings N×D and M×D.

    Raises:
        Gap: One of the two is empty, or has an embedding that is not finite.

    Example:
        >>> nearest(np.array([[0.0, 1.0]]), np.array([[3.0, 1.0], [0.0, 2.0]]))
        Neighbours(distances=array([1.]), indices=array([1]))
    """
    bootstrap.check(faces, training, least=1)
    distances, indices = np.empty(len(faces)), np.empty(len(faces), dtype=np.intp)
    done = 0
    for block in distance_blocks(faces, training):
        rows = slice(done, done + len(block))
        indices[rows] = block.argmin(axis=1)
        distances[rows] = block.min(axis=1)
        done += len(block)
    return Neighbours(distances, indices)


def nearest_train(samples: Neighbours, held_out: Neighbours, seed: int) -> Estimate:
    """Median distance of samples to their nearest training face, divided by that of held-out real faces.

    Raises:
        Gap: There are fewer than 2 of either, or held-out faces are training faces.
    """
    if len(held_out.distances) and np.median(held_out.distances) == 0:
        raise Gap("most held-out faces are training faces too; give others, or the training faces of this model")
    return bootstrap.two_sets(lambda a, b: np.median(a) / np.median(b), samples.distances, held_out.distances, seed)


def copies(samples: Neighbours, held_out: Neighbours, seed: int) -> Estimate:
    """Share of samples that are nearer to a training face than all but 1 % of held-out real faces are.

    Raises:
        Gap: There are no samples, or fewer than 100 held-out faces.
    """
    bootstrap.check(samples.distances, least=2)
    bootstrap.check(held_out.distances, least=round(1 / RARE))
    return bootstrap.two_sets(
        lambda a, b: np.mean(a < np.quantile(b, RARE)), samples.distances, held_out.distances, seed
    )
