"""Measures grids that upsampling leaves: peaks in the spectrum of samples that real faces do not have."""

import itertools

import numpy as np
from numpy.typing import NDArray

from face_generation.metrics import Estimate, Gap, Images, Metric
from face_generation.metrics.bootstrap import two_sets
from face_generation.metrics.sharpness import BATCH, LUMA

GRID_ARTEFACT = Metric(
    "grid_artefact",
    "Grid artefact, dB",
    "lower",
    "How far the highest peak of a grid with a period of up to 8 pixels stands out in the spectrum of samples, more "
    "than in that of real faces. About 0 means that there is no grid.",
    "Durall et al. 2020, Watch Your Up-Convolution",
    judges=("spectrum",),
)

STEPS = 8  # three doublings leave a grid with a period of 8 pixels, or a divisor of it
NEAR, FROM, TO = 1, 3, 5  # in bins of the spectrum: how far a peak reaches, and where its surroundings begin and end


def grid_artefact(images: Images, real: Images, seed: int) -> Estimate:
    """Measures the strongest grid in `images`, in decibels. About 0 means that there is none.

    A grid of period 8, 4, 8/3 or 2 pixels makes peaks in the mean spectrum. The figure is the height of the highest
    peak above its surroundings, minus the same of `real`. Repeated pixels, transposed convolutions and sub-pixel
    convolutions leave such peaks (Odena et al. 2016; Durall et al. 2020).

    Args:
        images, real: Images N×H×W×3 and M×H×W×3 of one size.

    Raises:
        Gap: A set has fewer than 2 images, or its images have no detail.
    """
    peaks, real_peaks = grid_energies(images), grid_energies(real)
    if not (peaks.mean(axis=0).all() and real_peaks.mean(axis=0).all()):
        raise Gap("images without detail have no spectrum to look for grids in; check them")
    return two_sets(lambda a, b: float((_prominence(a) - _prominence(b)).max()), peaks, real_peaks, seed)


def grid_places(height: int, width: int) -> list[tuple[int, int]]:
    """The 36 frequencies, as rows and columns of a spectrum H×W, at which a grid with a divisor of `STEPS` as period
    shows."""
    half = STEPS // 2
    return [
        (round(y * height / STEPS), round(x * width / STEPS))
        for y, x in itertools.product(range(-half + 1, half + 1), range(half + 1))
        if x > 0 or y > 0  # the other half of the plane mirrors this one
    ]


def grid_energies(images: Images) -> NDArray[np.float64]:
    """Images N×H×W×3 → the energy at 36 frequencies of each image's luma, and around each of them: N×36×2."""
    height, width = images.shape[1:3]
    window = np.outer(np.hanning(height), np.hanning(width)).astype(np.float32)  # the borders would be a cross
    places = grid_places(height, width)
    offsets = np.array(list(itertools.product(range(-TO, TO + 1), repeat=2)))
    distance = np.abs(offsets).max(axis=1)
    near, around = offsets[distance <= NEAR], offsets[distance >= FROM]
    energies = [np.empty((0, len(places), 2))]
    for start in range(0, len(images), BATCH):
        luma = images[start : start + BATCH] @ LUMA
        luma -= luma.mean(axis=(1, 2), keepdims=True)
        power = np.abs(np.fft.fft2(luma * window)) ** 2
        at = [
            [power[:, (y + some[:, 0]) % height, (x + some[:, 1]) % width].mean(axis=1) for some in (near, around)]
            for y, x in places
        ]
        energies.append(np.moveaxis(np.array(at), 2, 0))
    return np.concatenate(energies)


def _prominence(energies: NDArray[np.float64]) -> NDArray[np.float64]:
    """N×F×2 → F, in decibels."""
    peak, surroundings = energies.mean(axis=0).T
    return 10 * np.log10(peak / surroundings)
