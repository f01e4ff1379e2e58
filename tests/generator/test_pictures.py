from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from face_generation.generator import pictures


@pytest.fixture
def image() -> np.ndarray:
    """A smooth one, that lossy formats keep well."""
    y, x = np.mgrid[:150, :150]
    return np.stack([x, y, (x + y) // 2], axis=-1).astype(np.uint8)


@pytest.mark.parametrize(
    ("suffix", "form", "error"), [("png", "PNG", 0), ("webp", "WEBP", 3), ("jpg", "JPEG", 3), ("jpeg", "JPEG", 3)]
)
def test_encode(image: np.ndarray, suffix: str, form: str, error: float) -> None:
    with Image.open(BytesIO(pictures.encode(image, suffix))) as picture:
        assert picture.format == form
        assert picture.mode == "RGB"
        assert np.abs(np.asarray(picture).astype(float) - image).mean() <= error


@pytest.mark.parametrize(("n", "shape"), [(1, (1, 1)), (2, (1, 2)), (3, (2, 2)), (5, (2, 3)), (10, (3, 4))])
def test_grid_is_row_by_row(n: int, shape: tuple[int, int]) -> None:
    images = [np.full((4, 6, 3), i, dtype=np.uint8) for i in range(n)]

    grid = pictures.grid(images, n)

    rows, columns = shape
    assert grid.shape == (rows * 6 - 2, columns * 8 - 2, 3)
    for i in range(n):
        row, column = divmod(i, columns)
        assert (grid[row * 6 :, column * 8 :][:4, :6] == i).all()
    assert (grid == 255).sum() == grid.size - n * 4 * 6 * 3, "the rest is white"


@pytest.mark.slow
def test_largest_grid_in_every_format(image: np.ndarray) -> None:
    grid = pictures.grid((image for _ in range(pictures.MAX_GRID)), pictures.MAX_GRID)

    for suffix in pictures.FORMATS:
        assert pictures.encode(grid, suffix)


def test_a_labelled_grid_keeps_its_pictures(image: np.ndarray) -> None:
    sheet = pictures.grid([image, 255 - image], 2, columns=2)
    labelled = pictures.labelled(sheet, ["smiling"], ["-1", "+1"])
    assert np.array_equal(labelled[-sheet.shape[0] :, -sheet.shape[1] :], sheet)
    margin = labelled[:, : -sheet.shape[1]]
    assert (margin < 100).any()  # the name
    assert (margin[0] == 255).all()
