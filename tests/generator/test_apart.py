"""Strangers' photos in formats whose decoders cannot be trusted to obey their headers."""

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


def avif(width: int, height: int) -> bytes:
    buffer = BytesIO()
    Image.linear_gradient("L").resize((width, height)).convert("RGB").save(buffer, "AVIF", speed=10)
    return buffer.getvalue()


@pytest.mark.parametrize("data", [HEIC, avif(120, 90)], ids=["heic", "avif"])
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
