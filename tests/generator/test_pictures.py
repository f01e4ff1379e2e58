import stat
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from face_generation.errors import UserError
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


def test_writing_makes_folders_and_replaces(tmp_path: Path) -> None:
    path = tmp_path / "some" / "where" / "file.png"
    for content in (b"first", b"second"):
        with pictures.writing(path) as file:
            file.write(content)
            assert path.exists() == (content == b"second"), "only a whole file has the name"
        assert path.read_bytes() == content
    assert list(path.parent.iterdir()) == [path]


def test_written_file_has_ordinary_permissions(tmp_path: Path) -> None:
    with pictures.writing(tmp_path / "ours") as file:
        file.write(b"content")
    (tmp_path / "ordinary").write_bytes(b"content")

    assert stat.S_IMODE((tmp_path / "ours").stat().st_mode) == stat.S_IMODE((tmp_path / "ordinary").stat().st_mode)


def test_an_error_keeps_the_older_file(tmp_path: Path) -> None:
    path = tmp_path / "file.png"
    path.write_bytes(b"older")

    with pytest.raises(KeyboardInterrupt), pictures.writing(path) as file:
        file.write(b"half of")
        raise KeyboardInterrupt

    assert path.read_bytes() == b"older"
    assert list(tmp_path.iterdir()) == [path]


def test_unwritable_places(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "folder").mkdir()

    for path in (tmp_path / "file" / "x.png", tmp_path / "folder", tmp_path / f"{'x' * 300}.png"):
        with pytest.raises(UserError, match="cannot write .*; choose another place"), pictures.writing(path) as file:
            file.write(b"content")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_full_disk(tmp_path: Path) -> None:
    with (
        pytest.raises(UserError, match="no space left for .*; free some, or choose another place"),
        pictures.writing(tmp_path / "x.png") as file,
        open("/dev/full", "wb", buffering=0) as full,
    ):
        file.write(b"content")
        full.write(b"content")
    assert not list(tmp_path.iterdir())


def test_a_labelled_grid_keeps_its_pictures(image: np.ndarray) -> None:
    sheet = pictures.grid([image, 255 - image], 2, columns=2)
    labelled = pictures.labelled(sheet, ["smiling"], ["-1", "+1"])
    assert np.array_equal(labelled[-sheet.shape[0] :, -sheet.shape[1] :], sheet)
    margin = labelled[:, : -sheet.shape[1]]
    assert (margin < 100).any()  # the name
    assert (margin[0] == 255).all()
