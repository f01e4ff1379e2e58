"""People's photos as a model sees them: upright squares of its size."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from io import BytesIO
from threading import Lock

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from face_generation.errors import UserError
from face_generation.generator import alignment

FORMATS = ("PNG", "JPEG", "WEBP")  # what cameras, phones and browsers make; every other decoder stays out of reach
MAX_PIXELS = 40_000_000
LARGE = 4_000_000  # pixels; larger images are decoded one at a time, to bound memory
_large_image = Lock()


def read_photo(data: bytes, size: int, max_pixels: int = MAX_PIXELS, *, align: bool = True) -> NDArray[np.uint8]:
    """A photo's file → the face in it, as CelebA has faces (see `aligned_faces`), uint8 RGB size×size×3.

    Without `align` it is the square in the photo's middle, turned upright.

    The file may come from anyone: its type is told by its content, and its size in pixels before they are decoded.

    Raises:
        UserError: It is no whole PNG, JPEG or WebP picture, has more than `max_pixels`, or no face where one is sought.
    """
    kinds = "a PNG, JPEG or WebP picture"
    try:
        with Image.open(BytesIO(data), formats=FORMATS) as image:
            if image.width * image.height > max_pixels:
                raise UserError(
                    f"the photo has {image.width}×{image.height} pixels, more than {max_pixels / 1e6:g} million; "
                    "make it smaller"
                )
            faces = aligned_faces(image, size) if align else [centred_square(image, size)]
    except UserError:
        raise
    except UnidentifiedImageError as error:
        raise UserError(f"the photo is not {kinds}; choose one that is") from error
    except Image.DecompressionBombError as error:
        raise UserError(f"the photo has more than {max_pixels / 1e6:g} million pixels; make it smaller") from error
    except Exception as error:  # broken files make Pillow and its decoders raise many kinds
        raise UserError(f"the photo is damaged; choose another file that is {kinds}") from error
    if not faces:
        raise UserError("no face was found in the photo; choose another, or take the square in its middle: align=false")
    return faces[0]


def centred_square(image: Image.Image, size: int) -> NDArray[np.uint8]:
    """The square in the middle of an opened image, turned upright, uint8 RGB size×size×3. Raises as Pillow does."""
    # Twice the final size, so that the resize has the last word. CelebA's 178×218 are too small for it.
    with _upright(image, 2 * size) as photo:
        return alignment.cut(photo, alignment.Square.centred(photo), size)


def aligned_faces(image: Image.Image, size: int, *, every: bool = False) -> list[NDArray[np.uint8]]:
    """The largest face of an opened image, or every face, as `alignment.align` has it. Raises as Pillow does."""
    with _upright(image, alignment.LAST_SIDE // 2) as photo:
        return alignment.align(photo, size, every=every)


@contextmanager
def _upright(image: Image.Image, least: int) -> Iterator[Image.Image]:
    """An opened image as upright RGB, of at least `least` pixels both ways if it has them. Large ones take turns."""
    image.draft("RGB", (least, least))  # the JPEG decoder can shrink many megapixels at a fraction of the cost
    with _large_image if image.width * image.height > LARGE else nullcontext():
        ImageOps.exif_transpose(image, in_place=True)
        yield _rgb(image)


def _rgb(image: Image.Image) -> Image.Image:
    """Any image as RGB: 16 bits become 8, and what is transparent lies on white."""
    if image.mode == "RGB":
        return image
    if image.mode.startswith("I"):  # Pillow would clip its 65,536 greys at 255
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        white.alpha_composite(image.convert("RGBA"))
        return white.convert("RGB")
    return image.convert("RGB")
