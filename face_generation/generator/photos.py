"""People's photos as a model sees them: upright squares of its size, in sRGB.

This is the one way in which a photo is read, whether it is packed for training, given on the command line or uploaded.
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

# What browsers and phones send; every other decoder stays out of strangers' reach.
UPLOADS = ("PNG", "JPEG", "WEBP", *apart.FORMATS)
IN_WORDS = "PNG, JPEG, WebP, HEIC or AVIF" if apart.FORMATS else "PNG, JPEG or WebP"
# Of these Pillow leaves the pixels to other programs, such as Ghostscript, or it only writes them.
FOREIGN = frozenset({"EPS", "WMF", "MPEG", "BUFR", "GRIB", "HDF5", "PDF", "PALM"})
KEPT_PROFILE = 100_000  # bytes; those of cameras are smaller, and what is larger is not kept for the next photo
# Profiles with these elements are not obeyed: one of 250 kB can name its only table a thousand times, of which
# LittleCMS makes as many copies, a gigabyte in all. Those of cameras and screens have none.
PROCESSING = b"mpet"
UNSIGNED = frozenset({"IM", "IMT", "IPTC", "PCD", "SPIDER", "TGA"})  # have no signature, so other files pass for them

# x and y of the eye on the left of a photo, and then of the other: in pixels of the upright photo, from the upper left.
Eyes = tuple[float, float, float, float]

# A photo's size is judged below, in words that help, so Pillow need not warn of it as well.
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
    """A photo's file → the face in it, as CelebA has faces (see `aligned_faces`), uint8 sRGB size×size×3.

    The file may come from anyone: its type is told by its content, and its size in pixels before they are decoded.

    Args:
        data: The file.
        size: Pixels, both sides.
        formats: What a stranger's file may be, in Pillow's words, such as `UPLOADS`. Some are then decoded apart (see
            `apart`). If `None`, the file is one's own, and may be anything that Pillow decodes.
        room: What photos that are read side by side have together. A larger one is refused.
        align: Whether to find the face; otherwise it is the square in the photo's middle, turned upright.
        eyes: Where the eyes are, in place of finding them.

    Raises:
        UserError: It is no whole picture of these formats, is too large, or has no face where one is sought (`NoFace`).
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

    Raises:
        UnidentifiedImageError: It is none, or not of these formats. Pillow raises many kinds of error on broken files.
    """
    head = file.read(3)
    file.seek(0)
    if head == b"\xff\xd8\xff" and (formats is None or "JPEG" in formats):
        # Image.open refuses a JPEG of 200 megapixels, which `centred_square` never decodes in full.
        return JpegImagePlugin.jpeg_factory(file)
    image = Image.open(file, formats=None if formats is None else tuple(formats))
    if image.format in FOREIGN:
        raise UnidentifiedImageError
    return image


def is_photo(file: IO[bytes]) -> bool:
    """Whether a file is a picture by its content alone, whatever it is called."""
    try:
        with open_photo(file) as image:
            return image.format not in UNSIGNED
    except Exception:  # as above
        return False


def suffixes() -> frozenset[str]:
    """How the names of pictures end, in lower case, with the dot."""
    return frozenset(suffix for suffix, format in Image.registered_extensions().items() if format not in FOREIGN)


def centred_square(image: Image.Image, size: int, *, room: Room = ROOM) -> NDArray[np.uint8]:
    """The square in the middle of an opened image, turned upright, uint8 sRGB size×size×3.

    Raises:
        TooLarge: As `decoded`. Pillow raises many kinds of error on broken files.
    """
    # Twice the final size, so that the resize has the last word. CelebA's 178×218 are too small for it.
    with decoded(image, 2 * size, size, room) as (photo, turn):
        side = min(photo.size)
        left, top = (photo.width - side) / 2, (photo.height - side) / 2
        box = (left, top, left + side, top + side)
        # Bicubic is antialiased by Pillow. Lanczos is a little sharper, but a model would learn its halos at edges.
        square = photo.resize((size, size), Image.Resampling.BICUBIC, box=box)
        square = _srgb(square, photo.info.get("icc_profile"))  # after the resize, because it is dear
    return np.asarray(square if turn is None else square.transpose(turn))


def aligned_faces(image: Image.Image, size: int, *, every: bool = False, room: Room = ROOM) -> list[NDArray[np.uint8]]:
    """The largest face of an opened image, or every face, as `alignment.align` has it, uint8 sRGB size×size×3 each.

    Raises:
        TooLarge: As `decoded`.
    """
    with _upright(image, room) as (photo, profile):
        faces = alignment.align(photo, size, every=every)
    return [np.asarray(_srgb(Image.fromarray(face), profile)) for face in faces]


def face_by_eyes(image: Image.Image, size: int, eyes: Eyes, *, room: Room = ROOM) -> NDArray[np.uint8]:
    """The face of an opened image whose eyes somebody has placed, uint8 sRGB size×size×3. See `Eyes`.

    Raises:
        TooLarge: As `decoded`.
        UserError: As `Square.by_eyes`.
    """
    longest = max(image.size)
    with _upright(image, room) as (photo, profile):
        left, right = (complex(*eye) * max(photo.size) / longest for eye in (eyes[:2], eyes[2:]))
        face = alignment.cut(photo, alignment.Square.by_eyes(photo, left, right), size)
    return np.asarray(_srgb(Image.fromarray(face), profile))


def plain(image: Image.Image, room: Room) -> Image.Image:
    """An opened image as aligned faces are sought in it: upright, in sRGB, and not much larger than is of use.

    Raises:
        TooLarge: As `decoded`.
    """
    with _upright(image, room) as (photo, profile):
        return _srgb(photo, profile).copy()


@contextmanager
def _upright(image: Image.Image, room: Room) -> Iterator[tuple[Image.Image, bytes | None]]:
    """An opened image for faces to be found in, turned upright, RGB, and its colour profile."""
    with decoded(image, alignment.LAST_SIDE // 2, alignment.LAST_SIDE, room) as (photo, turn):
        profile = photo.info.get("icc_profile")
        if turn is not None:
            photo = photo.transpose(turn)
        if photo.mode != "RGB":
            photo, profile = _srgb(photo, profile), None
        yield photo, profile


def _srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Colours as sRGB has them; as they are where the profile is missing, broken, or of another kind of image."""
    conversion = _conversion if len(profile or b"") <= KEPT_PROFILE else _conversion.__wrapped__
    convert = conversion(profile, image.mode) if profile or image.mode == "LAB" else None
    converted = convert(image) if convert else None
    return converted or (image if image.mode == "RGB" else image.convert("RGB"))


@lru_cache(maxsize=16)  # photos of a camera share a profile, and reading one takes a millisecond
def _conversion(profile: bytes | None, mode: str) -> Callable[[Image.Image], Image.Image | None] | None:
    if profile and PROCESSING in profile:
        return None
    try:
        lab = mode == "LAB"  # says by itself what its numbers mean
        source = ImageCms.createProfile("LAB") if lab else ImageCms.ImageCmsProfile(BytesIO(profile or b""))
        if mode == "RGB" and "srgb" in ImageCms.getProfileDescription(source).lower():
            return None
        # Without a cache of its last colour a transform may be used by several threads.
        flags = ImageCms.Flags.NOCACHE | ImageCms.Flags.BLACKPOINTCOMPENSATION
        intent = ImageCms.Intent.RELATIVE_COLORIMETRIC
        transform = ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB", intent, flags)
    except (ImageCms.PyCMSError, OSError, ValueError):
        return None
    return lambda image: ImageCms.applyTransform(image, transform)
