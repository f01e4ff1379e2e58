"""Turns people's photos into what a model sees: upright squares of its size, in sRGB.

Every photo is read in this one way, whether it is packed for training, given on the command line or uploaded.
"""

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from io import BytesIO
from typing import IO

import numpy as np
import pi_heif
from numpy.typing import NDArray
from PIL import Image, ImageCms, JpegImagePlugin, PngImagePlugin, UnidentifiedImageError

from face_generation.errors import UserError
from face_generation.generator import alignment, apart, parts
from face_generation.generator.decoding import ROOM, Room, TooLarge, decoded

pi_heif.register_heif_opener()
PngImagePlugin.MAX_TEXT_MEMORY = 8_000_000  # bytes of unpacked text, which nobody reads here; Pillow allows 64 MB

# What browsers and phones send. Strangers can reach no other decoder.
UPLOADS = ("PNG", "JPEG", "WEBP", *apart.FORMATS)
IN_WORDS = "PNG, JPEG, WebP, HEIC or AVIF" if apart.FORMATS else "PNG, JPEG or WebP"
# Pillow does not decode these formats itself: it needs another program, such as Ghostscript, or only writes them.
FOREIGN = frozenset({"EPS", "WMF", "MPEG", "BUFR", "GRIB", "HDF5", "PDF", "PALM"})
KEPT_PROFILE = 100_000  # bytes; profiles of cameras are smaller. A larger one is not kept for the next photo
# Profiles with these elements are ignored. A profile of 250 kB can name its only table a thousand times, and LittleCMS
# then makes a thousand copies of the table, a gigabyte in all. Profiles of cameras and screens have no such elements.
PROCESSING = b"mpet"
UNSIGNED = frozenset({"IM", "IMT", "IPTC", "PCD", "SPIDER", "TGA"})  # have no signature, so other files pass for them

# x and y of the eye on the left of a photo, then x and y of the other eye, in pixels of the upright photo from its
# upper left corner.
Eyes = tuple[float, float, float, float]

# The size of a photo is checked below, with a message that helps, so Pillow need not warn about it.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)


class NoFace(UserError):
    """There is no face in a photo."""


def read_photo(
    data: bytes,
    size: int,
    *,
    formats: Sequence[str] | None = None,
    room: Room = ROOM,
    align: bool = True,
    eyes: Eyes | None = None,
) -> NDArray[np.uint8]:
    """Reads a photo's file and cuts out the face, as CelebA has faces (see `aligned_faces`).

    The file may come from anyone. Its content decides its type, and its size in pixels is checked before it is decoded.

    Args:
        data: The file.
        size: Pixels, both sides.
        formats: Pillow's names of the formats that a stranger's file may have, such as `UPLOADS`. Some of them are
            decoded in a separate process (see `apart`). `None` is for one's own files, and allows all that Pillow
            decodes.
        room: The memory that photos share while they are decoded. A photo that needs more than all of it is refused.
        align: Whether to find the face. Otherwise the square in the middle of the upright photo is taken.
        eyes: Where the eyes are. If they are given, no face is looked for.

    Returns:
        The face, uint8 sRGB size×size×3.

    Raises:
        UserError: The file is not a complete picture of these formats, it is too large, its values have 32 bits or a
            sign, or `eyes` are not in it.
        NoFace: A face is looked for and there is none.
    """
    kinds = f"a {IN_WORDS} picture" if formats == UPLOADS else "a picture that can be read"
    try:
        parts.check(data)
        if formats is not None:
            if apart.is_wanted(data):
                data, formats = apart.decode(data, room), apart.PLAIN
            formats = [format for format in formats if format not in apart.FORMATS]
        with open_photo(BytesIO(data), formats) as image:
            if eyes is not None:
                faces = [face_by_eyes(image, size, eyes, room=room)]
            else:
                faces = aligned_faces(image, size, room=room) if align else [centred_square(image, size, room=room)]
    except UserError:
        raise
    except TooLarge as error:
        raise UserError(f"the photo has {error}; make it smaller") from error
    except UnidentifiedImageError as error:
        raise UserError(f"the photo is not {kinds}; choose one that is") from error
    except Image.DecompressionBombError as error:
        limit = room.pixels_of("PNG") / 1e6
        raise UserError(f"the photo has more than {limit:.3g} million pixels; make it smaller") from error
    except Exception as error:  # broken files make Pillow and its decoders raise many kinds
        raise UserError(f"the photo is damaged; choose another file that is {kinds}") from error
    if not faces:
        raise NoFace("no face was found in the photo; choose another, or take the square in its middle: align=false")
    return faces[0]


def open_photo(file: IO[bytes], formats: Sequence[str] | None = None) -> Image.Image:
    """Opens a picture without decoding it.

    Args:
        file: The picture's file.
        formats: Pillow's names of the formats that are allowed. `None` allows all.

    Raises:
        UnidentifiedImageError: The file is not a picture, or has another format. If the file is broken, Pillow raises
            many other kinds of error.
    """
    head = file.read(3)
    file.seek(0)
    if head == b"\xff\xd8\xff" and (formats is None or "JPEG" in formats):
        # Image.open refuses a JPEG of 200 megapixels, although `centred_square` never decodes one in full.
        return JpegImagePlugin.jpeg_factory(file)
    image = Image.open(file, formats=None if formats is None else tuple(formats))
    if image.format in FOREIGN:
        raise UnidentifiedImageError
    return image


def is_photo(file: IO[bytes]) -> bool:
    """Whether a file is a picture. Only its content counts, not its name."""
    try:
        with open_photo(file) as image:
            return image.format not in UNSIGNED
    except Exception:  # broken files make Pillow and its decoders raise many kinds
        return False


def suffixes() -> frozenset[str]:
    """The suffixes of all pictures that can be read, in lower case, with the dot."""
    return frozenset(suffix for suffix, format in Image.registered_extensions().items() if format not in FOREIGN)


def centred_square(image: Image.Image, size: int, *, room: Room = ROOM) -> NDArray[np.uint8]:
    """The square in the middle of an opened image, turned upright, uint8 sRGB size×size×3.

    Raises:
        TooLarge: The image needs more memory than `room` has. If the file is broken, Pillow raises many other kinds of
            error.
    """
    # Decoding shrinks to no less than twice the final size, so that the resize below decides how sharp the result is.
    with decoded(image, 2 * size, size, room) as (photo, turn):
        side = min(photo.size)
        left, top = (photo.width - side) / 2, (photo.height - side) / 2
        box = (left, top, left + side, top + side)
        # Pillow antialiases bicubic. Lanczos is a little sharper, but a model would learn its halos at edges.
        square = photo.resize((size, size), Image.Resampling.BICUBIC, box=box)
        square = _srgb(square, photo.info.get("icc_profile"))  # after the resize, because it is slow
    return np.asarray(square if turn is None else square.transpose(turn))


def aligned_faces(image: Image.Image, size: int, *, every: bool = False, room: Room = ROOM) -> list[NDArray[np.uint8]]:
    """Cuts the largest face, or every face, out of an opened image with `alignment.align`, uint8 sRGB size×size×3 each.

    Raises:
        TooLarge: The image needs more memory than `room` has.
    """
    with _upright(image, room) as (photo, profile):
        faces = alignment.align(photo, size, every=every)
    return [np.asarray(_srgb(Image.fromarray(face), profile)) for face in faces]


def face_by_eyes(image: Image.Image, size: int, eyes: Eyes, *, room: Room = ROOM) -> NDArray[np.uint8]:
    """Cuts out the face of an opened image whose eyes somebody has placed, uint8 sRGB size×size×3.

    Raises:
        TooLarge: The image needs more memory than `room` has.
        UserError: The eyes are not in the image, or are too near to each other.
    """
    longest = max(image.size)
    with _upright(image, room) as (photo, profile):
        left, right = (complex(*eye) * max(photo.size) / longest for eye in (eyes[:2], eyes[2:]))
        face = alignment.cut(photo, alignment.Square.by_eyes(photo, left, right), size)
    return np.asarray(_srgb(Image.fromarray(face), profile))


def plain(image: Image.Image, room: Room) -> Image.Image:
    """Decodes an opened image as it is when faces are looked for: upright, in sRGB, and not much larger than is useful.

    Raises:
        TooLarge: As in `decoded`.
    """
    with _upright(image, room) as (photo, profile):
        return _srgb(photo, profile).copy()


@contextmanager
def _upright(image: Image.Image, room: Room) -> Iterator[tuple[Image.Image, bytes | None]]:
    """Decodes an opened image, to find faces in it. Yields it upright and in RGB, and its colour profile."""
    with decoded(image, alignment.LAST_SIDE // 2, alignment.LAST_SIDE, room) as (photo, turn):
        profile = photo.info.get("icc_profile")
        if turn is not None:
            photo = photo.transpose(turn)
        if photo.mode != "RGB":
            photo, profile = _srgb(photo, profile), None
        yield photo, profile


def _srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Converts an image to sRGB. If its profile is missing, is broken or does not fit its mode, the colours stay."""
    conversion = _conversion if len(profile or b"") <= KEPT_PROFILE else _conversion.__wrapped__
    convert = conversion(profile, image.mode) if profile or image.mode == "LAB" else None
    converted = convert(image) if convert else None
    return converted or (image if image.mode == "RGB" else image.convert("RGB"))


@lru_cache(maxsize=16)  # photos of a camera share a profile, and reading one takes a millisecond
def _conversion(profile: bytes | None, mode: str) -> Callable[[Image.Image], Image.Image | None] | None:
    if profile and PROCESSING in profile:
        return None
    try:
        lab = mode == "LAB"  # needs no profile, because its numbers are absolute colours
        source = ImageCms.createProfile("LAB") if lab else ImageCms.ImageCmsProfile(BytesIO(profile or b""))
        if mode == "RGB" and "srgb" in ImageCms.getProfileDescription(source).lower():
            return None
        # A transform with a cache of its last colour cannot be used by several threads.
        flags = ImageCms.Flags.NOCACHE | ImageCms.Flags.BLACKPOINTCOMPENSATION
        intent = ImageCms.Intent.RELATIVE_COLORIMETRIC
        transform = ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB", intent, flags)
    except (ImageCms.PyCMSError, OSError, ValueError):
        return None
    return lambda image: ImageCms.applyTransform(image, transform)
