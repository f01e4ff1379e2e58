import struct
import zlib
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from face_generation.errors import UserError
from face_generation.generator import photos


def read_photo(data: bytes, size: int, **options: int) -> np.ndarray:
    """None of these photos has a face."""
    return photos.read_photo(data, size, **options, align=False)


def file_of(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def gradient(width: int, height: int) -> Image.Image:
    across = np.linspace(0, 255, width).astype(np.uint8)
    return Image.fromarray(
        np.stack(np.broadcast_arrays(across[None], np.uint8(90), np.zeros((height, 1), np.uint8)), -1)
    )


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_of_zeros(width: int, height: int, rows: int) -> bytes:
    """A PNG whose header says width×height, with `rows` rows of data."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = zlib.compress(bytes((1 + 3 * width) * rows), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_the_square_in_the_middle(kind: str) -> None:
    photo = read_photo(file_of(gradient(300, 100), kind), 50)
    assert photo.shape == (50, 50, 3)
    assert photo.dtype == np.uint8
    middle = photo[25, :, 0].astype(int)
    assert middle[0] == pytest.approx(86, abs=6)  # a third of the way from 0 to 255
    assert middle[-1] == pytest.approx(169, abs=6)


def test_a_camera_held_upright_gives_an_upright_face() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise
    photo = read_photo(file_of(gradient(100, 100), "JPEG", exif=exif.tobytes()), 50)
    assert photo[0, 25, 0] < 20
    assert photo[-1, 25, 0] > 235


def test_all_kinds_of_pixels_become_rgb() -> None:
    grey = Image.fromarray(np.full((40, 40), 128, np.uint8))
    sixteen = Image.fromarray(np.full((40, 40), 128 * 256 + 7, np.uint16))
    for image in (grey, sixteen, grey.convert("P"), grey.convert("LA"), grey.convert("RGBA")):
        assert (read_photo(file_of(image), 20) == 128).all(), image.mode
    cmyk = read_photo(file_of(Image.new("CMYK", (40, 40), (0, 255, 255, 0)), "JPEG"), 20)[10, 10]
    assert cmyk[0] > 200
    assert cmyk[1:].max() < 80


def test_what_is_transparent_lies_on_white() -> None:
    clear = Image.new("RGBA", (40, 40), (200, 0, 0, 0))
    assert (read_photo(file_of(clear), 20) == 255).all()


def test_an_animation_is_its_first_picture() -> None:
    frames = [Image.new("RGB", (40, 40), colour) for colour in ("black", "white")]
    data = file_of(frames[0], "WEBP", save_all=True, append_images=frames[1:], lossless=True)
    assert (read_photo(data, 20) == 0).all()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "not a PNG, JPEG or WebP"),
        (b"\x89PNG\r\n\x1a\n", "not a PNG|damaged"),
        (b"<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/>", "not a PNG, JPEG or WebP"),
        (file_of(Image.new("RGB", (20, 20)), "GIF"), "not a PNG, JPEG or WebP"),
        (file_of(Image.new("RGB", (20, 20)), "TIFF"), "not a PNG, JPEG or WebP"),
        (file_of(gradient(300, 300))[:-400], "damaged"),
        (file_of(gradient(300, 300), "JPEG")[:2000], "damaged"),
        (file_of(gradient(300, 300), "WEBP")[:-100], "damaged|not a PNG"),
        (png_of_zeros(9000, 9000, 1), "has 9000×9000 pixels"),
        (png_of_zeros(60_000, 60_000, 1), "more than 40 million pixels"),
    ],
    ids="empty signature svg gif tiff cut-png cut-jpeg cut-webp large huge".split(),
)
def test_what_is_no_photo(data: bytes, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_photo(data, 50)


def test_data_beyond_the_picture_is_never_unpacked() -> None:
    """A bomb: a 100×100 PNG with 300 MB of compressed zeros behind its pixels."""
    tail = zlib.compressobj(9)
    data = b"".join([tail.compress(bytes((1 + 3 * 100) * 1_000_000)), tail.flush()])
    header = struct.pack(">IIBBBBB", 100, 100, 8, 2, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    assert len(bomb) < 400_000
    assert (read_photo(bomb, 50) == 0).all()


def test_a_photo_without_a_face_says_what_to_do() -> None:
    with pytest.raises(UserError, match="no face was found in the photo; .* align=false"):
        photos.read_photo(file_of(gradient(300, 100)), 50)


def test_the_limit_is_the_callers() -> None:
    with pytest.raises(UserError, match=r"more than 0\.005 million"):
        read_photo(file_of(gradient(100, 100)), 50, max_pixels=5000)
