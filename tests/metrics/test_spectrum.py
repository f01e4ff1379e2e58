"""The grid artefact, on noise with a grid of known strength."""

import numpy as np
import pytest
from numpy.typing import NDArray

from face_generation.metrics import Gap
from face_generation.metrics.spectrum import grid_artefact

SIZE = 150
STD = 20  # levels, of the noise


def noise(n: int, seed: int) -> NDArray[np.float64]:
    """Grey pictures that are smooth at every scale, as photos are."""
    white = np.random.default_rng(seed).normal(size=(n, SIZE, SIZE))
    frequency = np.hypot(np.fft.fftfreq(SIZE)[:, np.newaxis], np.fft.fftfreq(SIZE)) + 1 / SIZE
    smooth = np.fft.ifft2(np.fft.fft2(white) / frequency).real
    return STD * smooth / smooth.std()


def images(grey: NDArray[np.float64]) -> NDArray[np.uint8]:
    return np.repeat((128 + grey).round().clip(0, 255).astype(np.uint8)[..., np.newaxis], 3, axis=3)


def grid(period: int, axes: str) -> NDArray[np.float64]:
    """A sine of one level along the axes."""
    y, x = np.cos(2 * np.pi * np.indices((SIZE, SIZE)) / period)
    return {"x": x, "y": y, "xy": x * y}[axes]


@pytest.mark.parametrize("axes", ["x", "y", "xy"])
@pytest.mark.parametrize("period", [2, 4, 8])
def test_a_faint_grid_is_found(period: int, axes: str) -> None:
    real, clean = images(noise(60, seed=1)), noise(60, seed=2)

    assert grid_artefact(images(clean), real, seed=0).value < 1
    assert grid_artefact(images(clean + 3 * grid(period, axes)), real, seed=0).low > 2


def test_a_grid_that_real_images_have_too_is_none() -> None:
    gridded = grid(2, "xy") * 3
    figure = grid_artefact(images(noise(60, seed=2) + gridded), images(noise(60, seed=1) + gridded), seed=0)

    assert figure.value < 1
    assert figure.low <= figure.value <= figure.high


def test_blur_is_no_grid() -> None:
    real, other = noise(60, seed=1), noise(60, seed=2)
    blurred = sum(np.roll(other, (dy, dx), (1, 2)) for dy in (-1, 0, 1) for dx in (-1, 0, 1)) / 9

    assert grid_artefact(images(blurred), images(real), seed=0).value < 1


def test_uneven_overlap_is_found() -> None:
    """Where the kernels of a transposed convolution overlap, the picture has more contrast (Odena et al. 2016)."""
    real, other = noise(60, seed=1), noise(60, seed=2)

    assert grid_artefact(images(other * (1 + 0.2 * grid(2, "xy"))), images(real), seed=0).low > 3


def test_even_colours_have_no_spectrum() -> None:
    with pytest.raises(Gap, match="without detail"):
        grid_artefact(np.full((4, SIZE, SIZE, 3), 100, dtype=np.uint8), images(noise(4, seed=1)), seed=0)


def test_one_image_is_too_few() -> None:
    with pytest.raises(Gap, match="needs at least 2 images, and there are 1"):
        grid_artefact(images(noise(1, seed=1)), images(noise(4, seed=2)), seed=0)
