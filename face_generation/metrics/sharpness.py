"""Sharpness: the energy of images' Laplacian, relative to that of real faces."""

import numpy as np
from numpy.typing import NDArray

from face_generation.metrics import Estimate, Gap, Images, Metric
from face_generation.metrics.bootstrap import two_sets

SHARPNESS = Metric(
    "sharpness",
    "Sharpness",
    "one",
    "Energy of the images' Laplacian divided by that of real faces. Below 1 is blurred, above 1 noisy or too crisp.",
    "Pech-Pacheco et al. 2000, Diatom Autofocusing in Brightfield Microscopy",
    judges=("Laplacian",),
)

LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)  # weights of R, G and B (ITU-R BT.601)
BATCH = 128  # images at a time, whose luma takes 12 MB


def sharpness(images: Images, real: Images, seed: int) -> Estimate:
    """Mean Laplacian energy of `images` divided by that of `real`. 1 is as sharp, below is blurred, above is noisier.

    Args:
        images, real: Images N×H×W×3 and M×H×W×3 of one size.

    Raises:
        Gap: A set has fewer than 2 images, or the real ones have no detail.
    """
    energies, real_energies = laplacian_energy(images), laplacian_energy(real)
    if not real_energies.any():
        raise Gap(
            "the real images have no detail, so there is no sharpness to compare with; check the reference images"
        )
    return two_sets(lambda a, b: a.mean() / b.mean(), energies, real_energies, seed)


def laplacian_energy(images: Images) -> NDArray[np.float64]:
    """Images N×H×W×3 → the variance over pixels of each image's Laplacian (of four neighbours), N, in squared levels of
    luma. It is the usual measure of focus (Pech-Pacheco et al. 2000)."""
    energies = [np.empty(0)]
    for start in range(0, len(images), BATCH):
        luma = images[start : start + BATCH] @ LUMA
        neighbours = luma[:, :-2, 1:-1] + luma[:, 2:, 1:-1] + luma[:, 1:-1, :-2] + luma[:, 1:-1, 2:]
        energies.append((neighbours - 4 * luma[:, 1:-1, 1:-1]).var(axis=(1, 2), dtype=np.float64))
    return np.concatenate(energies)
