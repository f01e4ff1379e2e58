"""Turns images into picture files, grids and animations."""

import math
from collections.abc import Iterable, Sequence
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from face_generation.generator import origin
from face_generation.generator.origin import Recipe

# Pillow's options for each format, by suffix.
FORMATS: dict[str, dict[str, Any]] = {
    "png": {"format": "PNG", "compress_level": 2},  # a tenth larger than the default 6, in a quarter of the time
    "webp": {"format": "WEBP", "quality": 90},
    "jpg": {"format": "JPEG", "quality": 95},
    "jpeg": {"format": "JPEG", "quality": 95},
}
ANIMATIONS: dict[str, dict[str, Any]] = {"webp": FORMATS["webp"], "gif": {"format": "GIF"}}
SAMPLED = 8  # how many frames of an animation its palette is chosen from
GAP = 2  # white pixels between the pictures of a grid
LETTERS = 16  # height of the names beside a grid, in pixels
MAX_GRID = 1024  # pictures; WebP takes minutes and gigabytes for many more


def encode(image: NDArray[np.uint8], suffix: str, recipe: Recipe | None = None) -> bytes:
    """Encodes an image, uint8 RGB H×W×3, as a picture file. `suffix` is png, webp, jpg or jpeg.

    With a recipe, the file says that a network drew it, and how (see `origin`).
    """
    mark = {} if recipe is None else origin.options(recipe, FORMATS[suffix]["format"])
    buffer = BytesIO()
    Image.fromarray(image).save(buffer, **FORMATS[suffix], **mark)
    return buffer.getvalue()


def resized(image: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Resizes a square image, uint8 RGB N×N×3, to side×side×3."""
    return np.asarray(Image.fromarray(image).resize((side, side), Image.Resampling.BICUBIC))


def animate(
    frames: Iterable[NDArray[np.uint8]], suffix: str, frame_seconds: float, recipe: Recipe | None = None
) -> bytes:
    """Encodes images of one size, uint8 RGB H×W×3, as an animation that loops and shows each for `frame_seconds`.
    `suffix` is webp, or gif, whose frames share 256 colours.

    With a recipe, the file says that a network drew it, and how (see `origin`).
    """
    gif = suffix == "gif"
    images = [Image.fromarray(frame) for frame in frames]
    first, *rest = _in_one_palette(images) if gif else images
    mark = {} if recipe is None else origin.options(recipe, ANIMATIONS[suffix]["format"])
    buffer = BytesIO()
    milliseconds = max(20, round(1000 * frame_seconds))  # browsers slow down faster animations
    first.save(buffer, save_all=True, append_images=rest, duration=milliseconds, loop=0, **ANIMATIONS[suffix], **mark)
    return buffer.getvalue() if recipe is None or not gif else origin.in_gif(buffer.getvalue(), recipe)


def _in_one_palette(images: Sequence[Image.Image]) -> list[Image.Image]:
    """Reduces images to 256 colours that suit all of them. Choosing colours for each image would take longer than
    drawing it."""
    thinned = images[:: math.ceil(len(images) / SAMPLED)]
    width, height = images[0].size
    sheet = Image.new("RGB", (width, height * len(thinned)))
    for i, image in enumerate(thinned):
        sheet.paste(image, (0, height * i))
    palette = sheet.quantize(256, Image.Quantize.FASTOCTREE)  # five times as fast as others, and no worse for faces
    return [image.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG) for image in images]


def grid(images: Iterable[NDArray[np.uint8]], n: int, columns: int | None = None) -> NDArray[np.uint8]:
    """Lays `n` images of one size, uint8 RGB H×W×3, out in a grid, row by row. Without `columns` the grid has about as
    many columns as rows."""
    columns = columns or math.ceil(math.sqrt(n))
    rows = math.ceil(n / columns)
    canvas = np.empty((0, 0, 3), dtype=np.uint8)
    for i, image in enumerate(images):
        height, width, _ = image.shape
        if i == 0:
            canvas = np.full((rows * (height + GAP) - GAP, columns * (width + GAP) - GAP, 3), 255, dtype=np.uint8)
        top, left = i // columns * (height + GAP), i % columns * (width + GAP)
        canvas[top : top + height, left : left + width] = image
    return canvas


def labelled(picture: NDArray[np.uint8], rows: Sequence[str], columns: Sequence[str]) -> NDArray[np.uint8]:
    """Adds a name beside each row of a grid, uint8 RGB H×W×3, and above each column."""
    font = ImageFont.load_default(LETTERS)
    left, top = round(max(map(font.getlength, rows))) + LETTERS, 2 * LETTERS
    height, width, _ = picture.shape
    canvas = Image.new("RGB", (left + width, top + height), "white")
    canvas.paste(Image.fromarray(picture), (left, top))
    pen = ImageDraw.Draw(canvas)
    for i, name in enumerate(columns):
        pen.text((left + width * (i + 0.5) / len(columns), top / 2), name, "black", font, anchor="mm")
    for i, name in enumerate(rows):
        pen.text((left - LETTERS / 2, top + height * (i + 0.5) / len(rows)), name, "black", font, anchor="rm")
    return np.asarray(canvas)
