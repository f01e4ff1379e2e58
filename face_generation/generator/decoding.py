"""Decodes photos in bounded memory.

The memory that a photo takes is known from its header. Photos that are decoded at the same time share a `Room`, and
each waits until enough of it is free.
"""

import struct
from collections.abc import Iterator
from contextlib import closing, contextmanager
from threading import Condition, Lock

import numpy as np
from PIL import Image, JpegImagePlugin

from face_generation.errors import UserError

SIDE = 32_767  # pixels of the longest side; real photos are shorter, and each row costs Pillow some memory
MAX_PIXELS = 89_000_000  # how many pixels are decoded at most; Pillow calls more of them a decompression bomb
PIXEL = 4  # bytes of a decoded pixel, at most
# Bytes for each pixel while a picture is decoded, at most. PNG, JPEG and PPM are decoded line by line. Other decoders
# also keep planes, a canvas and copies: with Pillow 13 and libheif 1.20, WebP takes 18 bytes and AVIF takes 12.
WHILE_DECODED = {"PNG": PIXEL, "JPEG": PIXEL, "PPM": PIXEL}
OTHERWISE = 20
# Bytes for each pixel afterwards. The image and its turned copy are kept. The part that the caller takes is copied
# twice, in Pillow and as an array.
KEPT, COPIED = 2 * PIXEL, PIXEL + 3
AFTERWARDS = KEPT + COPIED
COEFFICIENT = 2  # bytes of one coefficient of a JPEG
BAND = 1_000_000  # pixels that are converted at a time
PLAIN_WITH_PROFILE = ("L", "CMYK")  # modes that stay as they are if a colour profile says what their numbers mean
TURNS = {  # by EXIF's orientation
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
ORIENTATION = 0x0112  # EXIF's tag


class TooLarge(Exception):
    """A photo needs more memory than its room has, or has too many pixels. The message says which."""


class Room:
    """Memory that photos share while they are decoded. They wait for it in the order in which they came.

    Args:
        memory: Bytes that all photos have together.
        pixels: Pixels that one photo may have, because decoding also takes time. The default is what the largest JPEG
            may have.
    """

    def __init__(self, memory: int, pixels: int = 64 * MAX_PIXELS) -> None:
        self.memory = memory
        self.pixels = pixels
        self._held = 0
        self._turn = Lock()
        self._changed = Condition()

    def pixels_of(self, format: str) -> int:
        """How many pixels any photo of a format may have. Some photos may have more, because they are shrunk.

        Args:
            format: Pillow's name of the format.
        """
        return min(self.pixels, MAX_PIXELS, self.memory // max(AFTERWARDS, WHILE_DECODED.get(format, OTHERWISE)))

    @contextmanager
    def hold(self, size: int) -> Iterator[None]:
        """Waits until `size` bytes are free, and holds them until the block ends."""
        with self._turn, self._changed:  # nobody overtakes a photo that waits, so that large photos get their turn
            self._changed.wait_for(lambda: self._held + size <= self.memory)
            self._held += size
        try:
            yield
        finally:
            with self._changed:
                self._held -= size
                self._changed.notify_all()


ROOM = Room(1_000_000_000)  # for commands; the service makes its own


@contextmanager
def decoded(
    image: Image.Image, least: int, side: int, room: Room
) -> Iterator[tuple[Image.Image, Image.Transpose | None]]:
    """Decodes an opened image to 8 bits per channel, without an alpha channel. Transparent parts become white.

    Args:
        image: An image of any format and mode that was just opened. It is closed when the block ends.
        least: Pixels. An image whose shorter side has several times as many is shrunk, but to no fewer than these. The
            decoder does it if it can.
        side: Pixels of the longer side of the largest copy that the caller makes of the image.
        room: The image waits for memory in this room, and holds it until the block ends.

    Yields:
        The image, and how to turn it upright (`None` if it is). Its mode is RGB, L, CMYK or LAB, and its colours are
        still those of its profile.

    Raises:
        TooLarge: The image has too long a side or too many pixels. If the file is broken, Pillow raises many other
            kinds of error.
        UserError: The image has values of 32 bits, or signed ones.
    """
    # Nothing says which of these values is white.
    if image.mode == "F" or (image.mode == "I" and image.format == "TIFF"):
        raise UserError("the photo has values of 32 bits, or signed ones; save it again with 8 or 16 bits")
    width, height = image.size
    form, extra = image.format or "", 0
    if isinstance(image, JpegImagePlugin.JpegImageFile):  # an MPO, too, because it is a JPEG with more pictures
        form, extra = "JPEG", _coefficients(image)
    image.draft("RGB", (least, least))  # a JPEG is shrunk while it is decoded, at a fraction of the cost
    pixels = image.width * image.height
    factor = max(1, min(image.size) // least)
    left = pixels / factor**2
    cost = max(
        extra + pixels * WHILE_DECODED.get(form, OTHERWISE),
        round(left * (KEPT + COPIED * min(1, side * factor / max(image.size)) ** 2)),
    )
    # The same photo with fewer pixels would cost less in proportion.
    limit = min(room.pixels, int(width * height * min(room.memory / cost, MAX_PIXELS / pixels)))
    if width * height > limit:
        raise TooLarge(f"{width}×{height} pixels, more than {limit / 1e6:.3g} million")
    if max(width, height) > SIDE:
        raise TooLarge(f"{width}×{height} pixels, a side of more than {SIDE:,}")
    with room.hold(cost), closing(image):  # closing frees the pixels, even if an error still refers to the image
        image.load()
        turn = TURNS.get(image.getexif().get(ORIENTATION, 1))
        with closing(_shrunk(image, factor)) as shrunk:
            yield shrunk, turn


def _coefficients(image: JpegImagePlugin.JpegImageFile) -> int:
    """Bytes of coefficients that libjpeg keeps. They are 0 if the JPEG has one scan.

    If it has several scans, libjpeg keeps the coefficients of the full picture, even if it is shrunk.
    """
    file, layers = image.fp, image.layer
    assert file is not None
    # Pillow has read the header of the first scan: its length, how many layers it has, and more.
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
    """Shrinks an image by a whole number, and makes its pixels plain (see `_plain`).

    It works in bands, so that there is never a second image of the same size.
    """
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
    """Converts an image to 8 bits per channel, and puts transparent parts on white."""
    if _is_plain(image):
        return image
    if image.mode.startswith("I"):  # it has 65,536 greys, which Pillow would clip at 255
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        white.alpha_composite(image.convert("RGBA"))
        return white.convert("RGB")
    return image.convert("RGB")
