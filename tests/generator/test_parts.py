"""Files that are made of more parts than any photo."""

import random
import re
import struct
import zlib
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from face_generation.errors import UserError
from face_generation.generator.photos import read_photo

PHOTO = Image.fromarray(np.random.RandomState(0).randint(0, 256, (90, 120, 3), dtype=np.uint8))
COMMENT = b"\xff\xfe\0\2"
EXIF = b"\xff\xe1\0\x0cExif\0\0abcd"


def saved(kind: str, **options: object) -> bytes:
    buffer = BytesIO()
    PHOTO.save(buffer, kind, **options)
    return buffer.getvalue()


def chunk(name: bytes, content: bytes = b"") -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def in_head(jpeg: bytes, more: bytes) -> bytes:
    return jpeg[:2] + more + jpeg[2:]


def scanned(times: int) -> bytes:
    """A progressive JPEG whose last scan comes several times."""
    jpeg = saved("JPEG", progressive=True)
    last = jpeg[jpeg.rindex(b"\xff\xda") : -2]
    return jpeg[:-2] + times * last + jpeg[-2:]


def webp(more: bytes) -> bytes:
    return WEBP[:4] + struct.pack("<I", len(WEBP) - 8 + len(more)) + WEBP[8:] + more


JPEG, PNG, WEBP = saved("JPEG"), saved("PNG"), saved("WEBP")
ROWS = zlib.compress(bytes(200 * 301), 0)
BYTE_BY_BYTE = b"".join(chunk(b"IDAT", ROWS[i : i + 1]) for i in range(len(ROWS)))
HEADER = chunk(b"IHDR", struct.pack(">IIBBBBB", 100, 200, 8, 2, 0, 0, 0))
NAMELESS = b"\xff\xf0" + struct.pack(">H", 60_000)  # Pillow takes no length after this marker


@pytest.mark.parametrize(
    ("data", "parts"),
    [
        (in_head(JPEG, COMMENT * 100_000), "1,000 segments"),
        (in_head(JPEG, EXIF * 100_000), "1,000 segments"),
        (in_head(JPEG, NAMELESS + COMMENT * 14_000), "1,000 segments"),
        (in_head(JPEG, COMMENT + b"a" * 500_000), "100,000 stray bytes"),
        (in_head(JPEG, b"\xff" * 500_000), "100,000 stray bytes"),
        (scanned(100), "50 scans"),
        (PNG[:33] + chunk(b"aaAa") * 100_000 + PNG[33:], "50,000 chunks"),
        (PNG[:-12] + chunk(b"aaAa") * 100_000 + PNG[-12:], "50,000 chunks"),
        (PNG[:8] + HEADER + BYTE_BY_BYTE + chunk(b"IEND"), "50,000 chunks"),
        (in_head(JPEG, (b"\xff\xe1\xff\x02Exif\0\0" + bytes(0xFF02 - 8)) * 20), "1,000,000 bytes of Exif"),
        (PNG[:33] + chunk(b"eXIf", bytes(2_000_000)) + PNG[33:], "1,000,000 bytes of Exif"),
        (webp(b"EXIF" + struct.pack("<I", 2_000_000) + bytes(2_000_000)), "1,000,000 bytes of Exif"),
        (webp(b"abcd\0\0\0\0" * 100_000), "50,000 chunks"),
    ],
    ids="comments exif nameless junk fill scans before behind byte-by-byte jpeg-exif png-exif webp-exif webp".split(),
)
def test_a_file_of_too_many_parts_is_refused_at_once(data: bytes, parts: str) -> None:
    with pytest.raises(UserError, match=re.escape(f"the photo has more than {parts}; make it smaller")):
        read_photo(data, 50, align=False)


@pytest.mark.parametrize("frame", [b"\xff\xc3", b"\xff\xc9", b"\xff\xca"], ids="lossless arithmetic both".split())
def test_a_jpeg_that_no_browser_shows_is_refused(frame: bytes) -> None:
    with pytest.raises(UserError, match="the photo is not a picture that can be read"):
        read_photo(JPEG.replace(b"\xff\xc0", frame, 1), 50, align=False)


@pytest.mark.parametrize(
    "data",
    [
        scanned(20),
        in_head(JPEG, COMMENT * 500 + b"\xff" * 1000),
        JPEG + random.Random(0).randbytes(1_000_000),  # as phones put a film behind a photo
        saved("JPEG", progressive=True, exif=b"Exif\0\0" + b"\xff\xda" * 1000),
        PNG[:33] + chunk(b"aaAa") * 20_000 + PNG[33:],
        PNG + b"\0" * 1_000_000,
        WEBP + b"\0" * 100_000,
    ],
    ids="scans segments film markers-in-exif chunks padded-png padded-webp".split(),
)
def test_other_unusual_files_are_read(data: bytes) -> None:
    assert read_photo(data, 50, align=False).shape == (50, 50, 3)
