"""Grids that upsampling leaves: peaks in the spectrum of the samples that real faces lack."""

import itertools

import numpy as np
from numpy.typing import NDArray

from face_generation.metrics import Estimate, Gap, Metric
from face_generation.metrics.bootstrap import two_sets
from face_generation.metrics.sharpness import BATCH, LUMA

GRID_ARTEFACT = Metric(
    "grid_artefact",
    "Grid artefact, dB",
    "lower",
    "How far the highest peak of a grid with a period of 8 pixels or fewer stands out in the spectrum of the samples, "
    "beyond what it does in that of real faces: about 0 is no grid.",
    "Durall et al. 2020, Watch Your Up-Convolution",
    judges=("spectrum",),
)

Images = NDArray[np.uint8]

STEPS = 8  # of the sampling frequency: a grid that three doublings leave has a period of 8 pixels, or divides it
NEAR, FROM, TO = 1, 3, 5  # bins: how far a peak reaches, and from where to where its surroundings do


def grid_artefact(images: Images, real: Images, seed: int) -> Estimate:
    """How far the highest peak that a grid of period 8, 4, 8/3 or 2 pixels makes in the mean spectrum of `images`
    stands above its surroundings, beyond what it does in that of `real`, in decibels: about 0 is no grid.

    Repeating pixels, transposed and sub-pixel convolutions leave such peaks (Odena et al. 2016; Durall et al. 2020).

    Args:
        images, real: N×H×W×3 and M×H×W×3, of one size.

    Raises:
        Gap: A set has fewer than 2 images, or its images are without any detail.
    """
    peaks, real_peaks = grid_energies(images), grid_energies(real)
    if not (peaks.mean(axis=0).all() and real_peaks.mean(axis=0).all()):
        raise Gap("images without detail have no spectrum to look for grids in; check them")
    return two_sets(lambda a, b: float((_prominence(a) - _prominence(b)).max()), peaks, real_peaks, seed)


def grid_places(height: int, width: int) -> list[tuple[int, int]]:
    """The 36 frequencies, as rows and columns of a spectrum H×W, at which a grid of a period in `STEPS` shows."""
    half = STEPS // 2
    return [
        (round(y * height / STEPS), round(x * width / STEPS))
        for y, x in itertools.product(range(-half + 1, half + 1), range(half + 1))
        if x > 0 or y > 0  # the rest of the plane mirrors this half
    ]


def grid_energies(images: Images) -> NDArray[np.float64]:
    """The energy at each of 36 frequencies, and around it, in the spectrum of each image's luma: N×H×W×3 → N×36×2."""
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
