"""Images as picture files."""

import errno
import math
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from face_generation.errors import UserError

# How Pillow writes each format, by suffix.
FORMATS: dict[str, dict[str, Any]] = {
    "png": {"format": "PNG"},
    "webp": {"format": "WEBP", "quality": 90},
    "jpg": {"format": "JPEG", "quality": 95},
    "jpeg": {"format": "JPEG", "quality": 95},
}
GAP = 2  # white pixels between the pictures of a grid
MAX_GRID = 1024  # pictures; many more take WebP minutes and gigabytes


def encode(image: NDArray[np.uint8], suffix: str) -> bytes:
    """An image, uint8 RGB H×W×3, as a picture file of the format that `suffix` names: png, webp, jpg or jpeg."""
    buffer = BytesIO()
    Image.fromarray(image).save(buffer, **FORMATS[suffix])
    return buffer.getvalue()


def grid(images: Iterable[NDArray[np.uint8]], n: int) -> NDArray[np.uint8]:
    """`n` images of one size as one, row by row, about as wide as high."""
    columns = math.ceil(math.sqrt(n))
    rows = math.ceil(n / columns)
    canvas = np.empty((0, 0, 3), dtype=np.uint8)
    for i, image in enumerate(images):
        height, width, _ = image.shape
        if i == 0:
            canvas = np.full((rows * (height + GAP) - GAP, columns * (width + GAP) - GAP, 3), 255, dtype=np.uint8)
        top, left = i // columns * (height + GAP), i % columns * (width + GAP)
        canvas[top : top + height, left : left + width] = image
    return canvas


@contextmanager
def writing(path: Path) -> Iterator[BinaryIO]:
    """Opens a new file that appears at `path`, in place of any older one, only when it is whole.

    Raises:
        UserError: It cannot be written there.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        if not path.parent.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            yield file
        temporary.replace(path)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise UserError(f"no space left for {path}; free some, or choose another place") from error
        raise UserError(f"cannot write {path}: {error.strerror}; choose another place") from error
    finally:
        with suppress(OSError):
            temporary.unlink()
