import struct
import time
import zlib
from io import BytesIO
from pathlib import Path
from random import Random
from threading import Thread
from typing import Any

import numpy as np
import pytest
from PIL import Image

from face_generation.data.synthetic import Face, draw_face
from face_generation.errors import UserError
from face_generation.generator import photos
from face_generation.generator.decoding import Room, decoded
from face_generation.generator.photos import UPLOADS


def read_photo(data: bytes, size: int, **options: Any) -> np.ndarray:
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


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "AVIF", "GIF", "TIFF", "BMP", "JPEG2000", "PPM", "TGA"])
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


@pytest.mark.parametrize("kind", [np.float32, np.int32])
def test_values_whose_white_is_unknown_are_refused(kind: type) -> None:
    with pytest.raises(UserError, match=r"^the photo has values of 32 bits, or signed ones; save it again with 8 or"):
        read_photo(file_of(Image.fromarray(np.ones((60, 60), kind)), "TIFF"), 32)


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
        (b"", "not a picture that can be read"),
        (b"\x89PNG\r\n\x1a\n", "not a picture|damaged"),
        (b"<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/>", "not a picture"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n", "not a picture"),
        (file_of(gradient(300, 300))[:-400], "damaged"),
        (file_of(gradient(300, 300), "JPEG")[:2000], "damaged"),
        (file_of(gradient(300, 300), "WEBP")[:-100], "damaged|not a picture"),
        (png_of_zeros(10_000, 9_000, 1), "has 10000×9000 pixels, more than 89 million; make it smaller"),
        (png_of_zeros(60_000, 60_000, 1), "more than 66.7 million pixels"),
    ],
    ids="empty signature svg eps cut-png cut-jpeg cut-webp large huge".split(),
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


def test_text_in_a_png_is_not_unpacked_without_end() -> None:
    photo = file_of(gradient(100, 100))
    text = chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(1_000_000), 9))
    assert read_photo(photo[:33] + 5 * text + photo[33:], 50).shape == (50, 50, 3)
    with pytest.raises(UserError, match="the photo is damaged"):
        read_photo(photo[:33] + 20 * text + photo[33:], 50)


def test_a_photo_without_a_face_says_what_to_do() -> None:
    with pytest.raises(UserError, match="no face was found in the photo; .* align=false"):
        photos.read_photo(file_of(gradient(300, 100)), 50)


def test_the_limit_is_the_callers() -> None:
    for kind in ("PNG", "JPEG"):
        with pytest.raises(UserError, match=r"has 100×100 pixels, more than 0\.005 million"):
            read_photo(file_of(gradient(100, 100), kind), 50, room=Room(1_000_000, 5000))


def test_a_photo_is_judged_by_what_its_format_costs() -> None:
    room = Room(memory=100_000)
    sizes = {"PNG": 150, "WEBP": 70, "AVIF": 70, "GIF": 70}  # pixels a side that fit
    for kind, side in sizes.items():
        assert read_photo(file_of(gradient(side, side), kind), 20, room=room).shape == (20, 20, 3)
        with pytest.raises(UserError, match="more than .* million; make it smaller"):
            read_photo(file_of(gradient(side + 20, side + 20), kind), 20, room=room)


def test_a_jpeg_costs_what_is_left_of_it_and_all_of_its_scans() -> None:
    room = Room(memory=100_000)
    large = gradient(600, 600)
    assert read_photo(file_of(large, "JPEG"), 20, room=room).shape == (20, 20, 3)
    for options in ({"progressive": True}, {"progressive": True, "subsampling": 0}):
        with pytest.raises(UserError, match="more than .* million"):
            read_photo(file_of(large, "JPEG", **options), 20, room=room)
    assert read_photo(file_of(gradient(160, 160), "JPEG", progressive=True), 20, room=room).shape == (20, 20, 3)


def test_a_side_of_millions_of_pixels_is_refused() -> None:
    with pytest.raises(UserError, match="1×39999999 pixels, a side of more than 32,767"):
        read_photo(file_of(Image.new("1", (1, 39_999_999))), 50)


def test_large_photos_of_all_modes_are_shrunk_alike() -> None:
    photo = gradient(1500, 1300)
    expected = read_photo(file_of(photo), 50).astype(int)
    opaque = photo.copy()
    opaque.putalpha(255)
    sixteen = Image.fromarray(np.asarray(photo.getchannel("R")).astype(np.uint16) * 257)
    for image in (opaque, photo.quantize(256)):
        assert np.abs(read_photo(file_of(image), 50) - expected).mean() < 3, image.mode
    assert np.abs(read_photo(file_of(sixteen), 50)[..., 0] - expected[..., 0]).mean() < 2


def test_photos_wait_until_there_is_room() -> None:
    room = Room(memory=100)
    order: list[int] = []

    def read(number: int, size: int) -> None:
        with room.hold(size):
            order.append(number)

    with room.hold(60):
        readers = [Thread(target=read, args=given) for given in ((1, 80), (2, 10), (3, 30))]
        for reader in readers:
            reader.start()
            time.sleep(0.05)
        assert order == []  # the second would fit, but not overtake
    for reader in readers:
        reader.join()
    assert order[0] == 1
    assert sorted(order) == [1, 2, 3]


def test_pixels_go_with_their_room() -> None:
    image = Image.open(BytesIO(file_of(gradient(60, 60))))
    with decoded(image, 150, 150, Room(1_000_000)) as (photo, _):
        photo.load()

    for either in (image, photo):
        with pytest.raises(ValueError, match="closed"):
            either.load()


@pytest.mark.parametrize("kind", ["GIF", "TIFF", "PPM", "BMP"])
def test_uploads_are_of_few_kinds(kind: str) -> None:
    data = file_of(gradient(100, 100), kind)
    assert read_photo(data, 50).shape == (50, 50, 3)
    with pytest.raises(UserError, match="not a PNG, JPEG, WebP, HEIC or AVIF picture"):
        read_photo(data, 50, formats=UPLOADS)


def test_a_photo_of_an_iphone() -> None:
    data = (Path(__file__).parent / "synthetic.heic").read_bytes()
    drawn = draw_face(Face.random(Random("heic"))).resize((89, 109))
    assert np.abs(read_photo(data, 80).astype(int) - read_photo(file_of(drawn), 80)).mean() < 6


def test_huge_jpegs_are_shrunk_while_they_are_decoded() -> None:
    data = file_of(Image.new("RGB", (16_320, 12_240), (200, 150, 120)), "JPEG", quality=60)
    assert np.abs(read_photo(data, 64).astype(int) - (200, 150, 120)).max() < 4


SKIN = (205, 120, 95)


def profile(*primaries: tuple[float, float, float]) -> bytes:
    """A small ICC profile: red, green and blue as XYZ under D50, and a gamma of 2.2."""

    def fixed(*values: float) -> bytes:
        return struct.pack(f">{len(values)}i", *(round(value * 65536) for value in values))

    curve = b"curv" + struct.pack(">IIHH", 0, 1, round(2.2 * 256), 0)
    points = [b"XYZ \0\0\0\0" + fixed(*point) for point in ((0.9642, 1, 0.8249), *primaries)]
    description = b"desc" + struct.pack(">II", 0, 5) + b"wide\0" + bytes(78)
    contents = [description + b"\0" * (-len(description) % 4), *points, curve, curve, curve]
    names = ("desc", "wtpt", "rXYZ", "gXYZ", "bXYZ", "rTRC", "gTRC", "bTRC")
    return tagged(dict(zip(names, contents, strict=True)))


def tagged(contents: dict[str, bytes]) -> bytes:
    """An ICC profile with these tags, whose contents are of multiples of 4 bytes."""
    table, body = b"", b""
    for name, content in contents.items():
        table += name.encode() + struct.pack(">II", 132 + 12 * len(contents) + len(body), len(content))
        body += content
    head = b"none" + struct.pack(">I", 0x04400000) + b"mntrRGB XYZ " + bytes(12) + b"acsp" + bytes(28)
    head += struct.pack(">3i", *(round(value * 65536) for value in (0.9642, 1, 0.8249))) + bytes(48)
    size = 4 + len(head) + 4 + len(table) + len(body)
    return struct.pack(">I", size) + head + struct.pack(">I", len(contents)) + table + body


DISPLAY_P3 = profile((0.5151, 0.2412, -0.0011), (0.2920, 0.6922, 0.0419), (0.1571, 0.0666, 0.7841))
ADOBE_RGB = profile((0.6097, 0.3111, 0.0195), (0.2053, 0.6257, 0.0609), (0.1492, 0.0632, 0.7446))


@pytest.mark.parametrize(("icc", "stored"), [(DISPLAY_P3, (192, 123, 100)), (ADOBE_RGB, (184, 119, 96))])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_colours_become_srgb(icc: bytes, stored: tuple[int, int, int], kind: str) -> None:
    options = {"JPEG": {"quality": 95}, "WEBP": {"lossless": True}}.get(kind, {})
    data = file_of(Image.new("RGB", (178, 218), stored), kind, icc_profile=icc, **options)
    assert np.abs(read_photo(data, 50).astype(int) - SKIN).max() <= 3
    plain = file_of(Image.new("RGB", (178, 218), stored), kind, **options)
    assert np.abs(read_photo(plain, 50).astype(int) - stored).max() <= 2


def test_a_broken_profile_is_no_profile() -> None:
    data = file_of(Image.new("RGB", (40, 40), SKIN), "PNG", icc_profile=DISPLAY_P3[:200])
    assert (read_photo(data, 20) == SKIN).all()


def test_a_profile_that_could_take_gigabytes_is_not_obeyed() -> None:
    table = b"clut" + struct.pack(">IHH16s", 0, 3, 3, bytes([2] * 3)) + struct.pack(">24f", *[0.5] * 24)
    for times in (1, 3000):
        head = b"mpet" + struct.pack(">IHHI", 0, 3, 3, times)
        elements = head + struct.pack(">II", len(head) + 8 * times, len(table)) * times + table
        icc = tagged({"desc": b"desc" + struct.pack(">II", 0, 5) + b"wide\0" + bytes(79), "D2B1": elements})
        data = file_of(Image.new("RGB", (178, 218), SKIN), icc_profile=icc)
        assert (read_photo(data, 20) == SKIN).all()


def test_a_large_profile_is_obeyed() -> None:
    large = ADOBE_RGB + bytes(200_000)
    data = file_of(Image.new("RGB", (40, 40), (184, 119, 96)), "PNG", icc_profile=large)
    assert np.abs(read_photo(data, 20).astype(int) - SKIN).max() <= 3
