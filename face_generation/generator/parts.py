"""Refuses picture files that are made of far more parts than photos are.

Pillow reads the segments of a JPEG and the chunks of a PNG one by one in Python, and keeps most of them. libjpeg goes
through the whole picture for every scan of a JPEG. So a file of a few megabytes that is made of a million parts would
take minutes and hundreds of megabytes, although its header promises a small picture.
"""

import re

from PIL import UnidentifiedImageError

from face_generation.generator.decoding import TooLarge

SEGMENTS = 1_000  # of a JPEG; a file of 64 MB needs no more, and files of cameras have some dozens
SCANS = 50  # of a JPEG; a progressive JPEG has about 10
JUNK = 100_000  # bytes of a JPEG's head that belong to no segment
CHUNKS = 50_000  # of a PNG or WebP; a file of 400 MB needs no more
EXIF = 1_000_000  # bytes; cameras write at most 64 kB, and Pillow needs some hundred bytes for every eight of them

JPEG, PNG, WEBP = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF"
MARKER = re.compile(rb"\xff([^\x00\xd0-\xd7\xff])")  # of a segment; other markers are inside a scan
LONE = frozenset([0x01, 0xC8, 0xD8, 0xD9, *range(0xF0, 0xFE)])  # markers that no length follows
FRAMES = frozenset([*range(0xC0, 0xD0)]) - {0xC4, 0xC8, 0xCC}
PROGRESSIVE = 0xC2
SHOWN = frozenset([0xC0, 0xC1, PROGRESSIVE])  # frames that browsers show; others are lossless, arithmetic or in layers
START_OF_SCAN, END, APP1 = 0xDA, 0xD9, 0xE1


def check(data: bytes) -> None:
    """Checks a picture's file, before anything else reads it. Files of other formats pass.

    Raises:
        TooLarge: The file is made of too many parts.
        UnidentifiedImageError: It is a kind of JPEG that only a few programs know, and its decoders are little tested.
    """
    if data.startswith(JPEG):
        _check_jpeg(data)
    elif data.startswith(PNG):
        _check_png(data)
    elif data.startswith(WEBP):
        _check_webp(data)


def _check_jpeg(data: bytes) -> None:
    at, segments, scans, junk, exif = 2, 0, 0, 0, 0
    layers, progressive = 0, False
    while found := MARKER.search(data, at):
        kind = found[1][0]
        segments += 1
        if not scans:
            junk += found.start() - at
        at = found.end()
        if kind == START_OF_SCAN:
            scans += 1
            if not progressive and data[at + 2 : at + 3] == bytes([layers]):
                return  # there is no other scan, and millions of bytes may follow
        elif kind in FRAMES:
            if kind not in SHOWN:
                raise UnidentifiedImageError
            layers, progressive = int.from_bytes(data[at + 7 : at + 8]), kind == PROGRESSIVE
        elif kind == END and scans:
            return
        size = 0 if kind in LONE else int.from_bytes(data[at : at + 2])
        if kind == APP1 and data.startswith(b"Exif", at + 2):
            exif += size
        _expect(segments, SEGMENTS, "segments")
        _expect(scans, SCANS, "scans")
        _expect(junk, JUNK, "stray bytes")
        _expect(exif, EXIF, "bytes of Exif")
        at += size


def _check_png(data: bytes) -> None:
    at = len(PNG)
    for _ in range(CHUNKS):
        size, name = int.from_bytes(data[at : at + 4]), data[at + 4 : at + 8]
        if name in (b"", b"IEND"):
            return
        _expect(size if name == b"eXIf" else 0, EXIF, "bytes of Exif")
        at += 12 + size
    raise TooLarge(f"more than {CHUNKS:,} chunks")


def _check_webp(data: bytes) -> None:
    at, end = 12, min(len(data), 8 + int.from_bytes(data[4:8], "little"))
    for _ in range(CHUNKS):
        if at >= end:
            return
        name, size = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "little")
        _expect(size if name == b"EXIF" else 0, EXIF, "bytes of Exif")
        at += 8 + size + size % 2
    raise TooLarge(f"more than {CHUNKS:,} chunks")


def _expect(number: int, most: int, what: str) -> None:
    if number > most:
        raise TooLarge(f"more than {most:,} {what}")
