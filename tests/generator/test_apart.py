"""Strangers' photos in formats whose decoders cannot be trusted to obey their headers."""

import struct
import sys
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from face_generation.errors import UserError
from face_generation.generator.decoding import Room
from face_generation.generator.photos import UPLOADS, read_photo

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux's limits of memory")
HEIC = (Path(__file__).parent / "synthetic.heic").read_bytes()
ROOM = Room(60_000_000)
ORDER = (17, 18, 0, 1, 2, 3, 4, 5, 16, 6, 7, 8)  # in which WebP writes the lengths of the code for lengths


def avif(width: int, height: int) -> bytes:
    buffer = BytesIO()
    Image.linear_gradient("L").resize((width, height)).convert("RGB").save(buffer, "AVIF", speed=10)
    return buffer.getvalue()


def lossless(groups: int) -> bytes:
    """A lossless WebP of 4·`groups` pixels a side with groups² sets of five Huffman codes, which all draw black."""
    bits = "".join(f"{value:0{size}b}"[::-1] for value, size in ((0x2F, 8), *((4 * groups - 1, 14),) * 2, (0, 4)))
    bits += "001000"  # no transform, no cache of colours; then a picture of sets, each for 4×4 pixels
    one = "1000"  # a code with a single symbol, which takes no bits
    # A code whose symbols have lengths of 0 and 8 bits, which are written as a bit each.
    eight = "0" + f"{len(ORDER) - 4:04b}"[::-1] + "".join("100" if size in (0, 8) else "000" for size in ORDER) + "0"
    bits += "0" + eight + "1" * 256 + "0" * 24 + eight + "1" * 256 + one * 3  # green and red of 8 bits, nothing else
    bits += "".join(f"{each & 255:08b}{each >> 8:08b}" for each in range(groups**2)) + one * 5 * groups**2
    bits += "0" * (-len(bits) % 16)
    content = int(bits[::-1], 2).to_bytes(len(bits) // 8, "little")
    body = b"WEBPVP8L" + struct.pack("<I", len(content)) + content
    return b"RIFF" + struct.pack("<I", len(body)) + body


def webp(**options: object) -> bytes:
    buffer = BytesIO()
    photo = Image.linear_gradient("L").resize((120, 90)).convert("RGB")
    photo.putalpha(200)
    photo.save(buffer, "WEBP", **options)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "data", [HEIC, avif(120, 90), webp(lossless=True), webp()], ids=["heic", "avif", "lossless", "alpha"]
)
def test_a_strangers_photo_is_read_as_ones_own(data: bytes) -> None:
    own = read_photo(data, 50, align=False)
    assert np.abs(read_photo(data, 50, formats=UPLOADS, room=ROOM, align=False).astype(int) - own).max() <= 1


def test_a_photo_that_is_larger_than_it_says_takes_no_more() -> None:
    data = avif(3000, 3000)
    size = (3000).to_bytes(4) * 2
    assert data.count(size) == 1
    lie = data.replace(size, (300).to_bytes(4) * 2)
    with pytest.raises(UserError, match="the photo is damaged"):
        read_photo(lie, 50, formats=UPLOADS, room=Room(20_000_000), align=False)


def test_a_photo_with_more_tables_than_pixels_takes_no_more() -> None:
    data = lossless(64)
    assert not read_photo(data, 50, align=False).any()
    with pytest.raises(UserError, match="the photo is damaged"):
        read_photo(data, 50, formats=UPLOADS, room=Room(20_000_000), align=False)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (avif(2000, 2000), "has 2000×2000 pixels, more than 3 million; make it smaller"),
        (HEIC[: len(HEIC) // 2], "the photo is damaged"),
        (b"\0\0\0\x18ftypmp42" + bytes(100), "not a PNG, JPEG, WebP, HEIC or AVIF picture"),
    ],
    ids=["large", "cut-off", "film"],
)
def test_what_is_wrong_with_it_is_said(data: bytes, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_photo(data, 50, formats=UPLOADS, room=ROOM, align=False)


def test_the_room_is_free_again() -> None:
    for _ in range(2):
        with pytest.raises(UserError):
            read_photo(HEIC[:200], 50, formats=UPLOADS, room=ROOM, align=False)
    with ROOM.hold(ROOM.memory):
        pass
