"""How sharp images are: the energy of their Laplacian, relative to that of real faces."""

import numpy as np
from numpy.typing import NDArray

from face_generation.metrics import Estimate, Gap, Metric
from face_generation.metrics.bootstrap import two_sets

SHARPNESS = Metric(
    "sharpness",
    "Sharpness",
    "one",
    "Energy of the images' Laplacian over that of real faces: below 1 is blurred, above 1 noisy or too crisp.",
    "Pech-Pacheco et al. 2000, Diatom Autofocusing in Brightfield Microscopy",
    judges=("Laplacian",),
)

Images = NDArray[np.uint8]

LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)  # of R, G and B (ITU-R BT.601)
BATCH = 128  # images: 12 MB of luma


def sharpness(images: Images, real: Images, seed: int) -> Estimate:
    """Mean Laplacian energy of `images` over that of `real`: 1 is as sharp, below is blurred, above is noisier.

    Args:
        images, real: N×H×W×3 and M×H×W×3, of one size.

    Raises:
        Gap: A set has fewer than 2 images, or the real ones are without any detail.
    """
    energies, real_energies = laplacian_energy(images), laplacian_energy(real)
    if not real_energies.any():
        raise Gap(
            "the real images have no detail, so there is no sharpness to compare with; check the reference images"
        )
    return two_sets(lambda a, b: a.mean() / b.mean(), energies, real_energies, seed)


def laplacian_energy(images: Images) -> NDArray[np.float64]:
    """The variance of each image's Laplacian (that of the four neighbours) over its pixels, in squared levels of luma:
    N×H×W×3 → N. The usual measure of focus (Pech-Pacheco et al. 2000)."""
    energies = [np.empty(0)]
    for start in range(0, len(images), BATCH):
        luma = images[start : start + BATCH] @ LUMA
        neighbours = luma[:, :-2, 1:-1] + luma[:, 2:, 1:-1] + luma[:, 1:-1, :-2] + luma[:, 1:-1, 2:]
        energies.append((neighbours - 4 * luma[:, 1:-1, 1:-1]).var(axis=(1, 2), dtype=np.float64))
    return np.concatenate(energies)
