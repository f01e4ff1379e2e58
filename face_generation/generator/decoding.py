"""Decoding photos in bounded memory: what one costs is known from its header, and there is room for so much at once."""

import struct
from collections.abc import Iterator
from contextlib import closing, contextmanager
from threading import Condition, Lock

import numpy as np
from PIL import Image, JpegImagePlugin

SIDE = 32_767  # pixels; longer ones are no photos, and each row costs Pillow memory of its own
MAX_PIXELS = 89_000_000  # that are decoded; Pillow would call more a decompression bomb
PIXEL = 4  # bytes of a decoded pixel, at most
# Bytes for a pixel while a picture is decoded, at most: decoders keep planes, a canvas and copies. Measured with
# Pillow 13 and libheif 1.20: WebP 18, AVIF 12. PNG, JPEG and PPM are decoded line by line.
WHILE_DECODED = {"PNG": PIXEL, "JPEG": PIXEL, "PPM": PIXEL}
OTHERWISE = 20
KEPT, COPIED = 2 * PIXEL, PIXEL + 3  # afterwards: itself and it turned; and a copy in Pillow and as an array
AFTERWARDS = KEPT + COPIED
COEFFICIENT = 2  # bytes of one of a JPEG's
BAND = 1_000_000  # pixels that are converted at a time
PLAIN_WITH_PROFILE = ("L", "CMYK")  # modes whose profiles say what their numbers mean
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}  # by EXIF's orientation
ORIENTATION = 0x0112


Decoded = tuple[Image.Image, Image.Transpose | None]


class TooLarge(Exception):
    """A photo is larger than there is ever room for."""


class Room:
    """Room for photos that are decoded side by side. Each waits for enough of it, in the order in which they came."""

    def __init__(self, memory: int, pixels: int = 64 * MAX_PIXELS) -> None:
        self.memory = memory  # bytes, of all together
        self.pixels = pixels  # that a photo may have, as time is limited too; by default those of the largest JPEG
        self._held = 0
        self._turn = Lock()
        self._changed = Condition()

    def pixels_of(self, format: str) -> int:
        """Pixels that every photo of a format, in Pillow's words, may have; some may have more."""
        return min(self.pixels, MAX_PIXELS, self.memory // max(AFTERWARDS, WHILE_DECODED.get(format, OTHERWISE)))

    @contextmanager
    def hold(self, size: int) -> Iterator[None]:
        """Waits until `size` bytes are free, and keeps them for the block."""
        with self._turn, self._changed:  # who waits keeps those behind waiting, so that large photos get their turn
            self._changed.wait_for(lambda: self._held + size <= self.memory)
            self._held += size
        try:
            yield
        finally:
            with self._changed:
                self._held -= size
                self._changed.notify_all()


ROOM = Room(1_000_000_000)  # of a command


@contextmanager
def decoded(
    image: Image.Image, least: int, side: int, room: Room
) -> Iterator[tuple[Image.Image, Image.Transpose | None]]:
    """Decodes an opened image to 8 bits a channel without an alpha channel: what is transparent lies on white.

    Args:
        image: Just opened, of any format and mode.
        least: Pixels that both sides keep if they have them. An image of several times as many is shrunk, where that is
            possible by the decoder.
        side: Pixels of the longer side of the largest copy that is made of what is yielded.
        room: What the image waits for, and has until the block ends; then it is closed.

    Yields:
        The image, "RGB" or "L", or "CMYK" or "LAB" where its colours are still to be told; and how to turn it upright.

    Raises:
        TooLarge: The image has too long a side, or too many pixels. Of broken files Pillow raises many kinds.
    """
    width, height = image.size
    form, extra = image.format or "", 0
    if isinstance(image, JpegImagePlugin.JpegImageFile):  # an MPO, too, which is a JPEG and more
        form, extra = "JPEG", _coefficients(image)
    image.draft("RGB", (least, least))  # a JPEG is shrunk while it is decoded, at a fraction of the cost
    pixels = image.width * image.height
    factor = max(1, min(image.size) // least)
    left = pixels / factor**2
    cost = max(
        extra + pixels * WHILE_DECODED.get(form, OTHERWISE),
        round(left * (KEPT + COPIED * min(1, side * factor / max(image.size)) ** 2)),
    )
    # The same photo in fewer pixels would cost less in proportion.
    limit = min(room.pixels, int(width * height * min(room.memory / cost, MAX_PIXELS / pixels)))
    if width * height > limit:
        raise TooLarge(f"{width}×{height} pixels, more than {limit / 1e6:.3g} million")
    if max(width, height) > SIDE:
        raise TooLarge(f"{width}×{height} pixels, a side of more than {SIDE:,}")
    with room.hold(cost), closing(image):  # pixels go with their room, although an error may still hold the image
        image.load()
        turn = TURNS.get(image.getexif().get(ORIENTATION, 1))
        with closing(_shrunk(image, factor)) as shrunk:
            yield shrunk, turn


def _coefficients(image: JpegImagePlugin.JpegImageFile) -> int:
    """Bytes in which libjpeg keeps all of a JPEG that comes in several scans, however small it becomes."""
    file, layers = image.fp, image.layer
    assert file is not None
    # Pillow stands behind the head of the first scan: its length, how many layers it has, and more.
    head, here = 6 + 2 * len(layers), file.tell()
    file.seek(max(0, here - head))
    in_one = file.read(3) == struct.pack(">HB", head, len(layers)) and "progressive" not in image.info
    file.seek(here)
    if in_one:
        return 0
    samples = sum(across * down for _, across, down, _ in layers)
    full = max(across for _, across, _, _ in layers) * max(down for _, _, down, _ in layers)
    return COEFFICIENT * image.width * image.height * samples // full


def _shrunk(image: Image.Image, factor: int) -> Image.Image:
    """An image in plain pixels, shrunk by a whole number; band by band, so that there is never a second of its size."""
    if factor == 1 and _is_plain(image):
        return image
    rows = max(1, BAND // image.width // factor) * factor
    small: Image.Image | None = None
    for top in range(0, image.height, rows):
        band = _plain(image.crop((0, top, image.width, min(top + rows, image.height)))).reduce(factor)
        small = small or Image.new(band.mode, (band.width, -(-image.height // factor)))
        small.paste(band, (0, top // factor))
    assert small is not None
    small.info = image.info
    image.close()
    return small


def _is_plain(image: Image.Image) -> bool:
    with_profile = image.mode in PLAIN_WITH_PROFILE and image.info.get("icc_profile")
    return image.mode in ("RGB", "LAB") or bool(with_profile)


def _plain(image: Image.Image) -> Image.Image:
    if _is_plain(image):
        return image
    if image.mode.startswith("I"):  # Pillow would clip its 65,536 greys at 255
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        white.alpha_composite(image.convert("RGBA"))
        return white.convert("RGB")
    return image.convert("RGB")
