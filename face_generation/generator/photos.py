"""People's photos as a model sees them: upright squares of its size."""

from contextlib import nullcontext
from io import BytesIO
from threading import Lock

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from face_generation.errors import UserError

FORMATS = ("PNG", "JPEG", "WEBP")  # what cameras, phones and browsers make; every other decoder stays out of reach
MAX_PIXELS = 40_000_000
LARGE = 4_000_000  # pixels; larger images are decoded one at a time, to bound memory
_large_image = Lock()


def read_photo(data: bytes, size: int, max_pixels: int = MAX_PIXELS) -> NDArray[np.uint8]:
    """A photo's file → the square in its middle, turned upright, uint8 RGB size×size×3.

    The file may come from anyone: its type is told by its content, and its size in pixels before they are decoded.

    Raises:
        UserError: It is no whole PNG, JPEG or WebP picture, or has more than `max_pixels`.
    """
    kinds = "a PNG, JPEG or WebP picture"
    try:
        with Image.open(BytesIO(data), formats=FORMATS) as image:
            if image.width * image.height > max_pixels:
                raise UserError(
                    f"the photo has {image.width}×{image.height} pixels, more than {max_pixels / 1e6:g} million; "
                    "make it smaller"
                )
            return centred_square(image, size)
    except UserError:
        raise
    except UnidentifiedImageError as error:
        raise UserError(f"the photo is not {kinds}; choose one that is") from error
    except Image.DecompressionBombError as error:
        raise UserError(f"the photo has more than {max_pixels / 1e6:g} million pixels; make it smaller") from error
    except Exception as error:  # broken files make Pillow and its decoders raise many kinds
        raise UserError(f"the photo is damaged; choose another file that is {kinds}") from error


def centred_square(image: Image.Image, size: int) -> NDArray[np.uint8]:
    """The square in the middle of an opened image, turned upright, uint8 RGB size×size×3. Raises as Pillow does."""
    # The JPEG decoder can shrink a photo of many megapixels at a fraction of the cost; it stops at twice the final
    # size, so the resize below still has the last word. CelebA's 178×218 are too small for it.
    image.draft("RGB", (2 * size, 2 * size))
    with _large_image if image.width * image.height > LARGE else nullcontext():
        ImageOps.exif_transpose(image, in_place=True)
        rgb = _rgb(image)
        side = min(rgb.size)
        left, top = (rgb.width - side) / 2, (rgb.height - side) / 2
        # Bicubic is antialiased by Pillow. Lanczos is a little sharper, but a model would learn its halos at edges.
        return np.asarray(rgb.resize((size, size), Image.Resampling.BICUBIC, box=(left, top, left + side, top + side)))


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
