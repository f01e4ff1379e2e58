"""The Fréchet distance between two sets of features, as in the Fréchet Inception distance."""

import numpy as np

from face_generation.metrics import Features, Metric
from face_generation.metrics.recognition import RECOGNISER

FACE_FRECHET = Metric(
    "face_frechet",
    "Fréchet distance of faces",
    "lower",
    "Like FID, but with the embeddings of a face recogniser in place of Inception's features. It says whether samples "
    "show as varied people as real faces, and the same kinds of people.",
    "Heusel et al. 2017; features of King 2017, High Quality Face Recognition with Deep Metric Learning",
    judges=(RECOGNISER,),
)


def frechet_distance(a: Features, b: Features) -> float:
    """The squared Fréchet distance between Gaussians fitted to two sets of features (Heusel et al. 2017):
    |μa − μb|² + tr(Σa + Σb − 2 (Σa Σb)^½).

    It is biased upwards, by about C / N for N images (Chong & Forsyth 2020), so compare it only at equal numbers.

    Args:
        a, b: Finite features, N×D and M×D, with N and M at least 2. They may be smaller than D.

    Example:
        >>> a = np.random.default_rng(0).normal(size=(100, 4))
        >>> round(frechet_distance(a, a + [3.0, 0.0, 0.0, 0.0]), 6)
        9.0
    """
    a, b = a.astype(np.float64), b.astype(np.float64)
    root_a, root_b = _root(a), _root(b)
    # Σa Σb = Raᵀ Ra Rbᵀ Rb has the eigenvalues of (Ra Rbᵀ)(Ra Rbᵀ)ᵀ, so the trace of its root is the sum of the
    # singular values of Ra Rbᵀ. That avoids the root of a matrix that may be asymmetric or singular.
    mixed = np.linalg.norm(root_a @ root_b.T, "nuc")
    squared_shift = np.square(a.mean(axis=0) - b.mean(axis=0)).sum()
    return max(0.0, float(squared_shift + np.square(root_a).sum() + np.square(root_b).sum() - 2 * mixed))


def _root(features: Features) -> Features:
    """A root R of the covariance of features N×D: RᵀR is the covariance, and R is min(N, D)×D."""
    deviations = (features - features.mean(axis=0)) / np.sqrt(len(features) - 1)
    return deviations if len(deviations) <= deviations.shape[1] else np.linalg.qr(deviations).R
