"""Sheets of a hundred fresh faces to look at, because a person sees which faces are broken, and no metric does."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from face_generation.errors import UserError
from face_generation.files import writing
from face_generation.generator import Bundle, Generator, pictures
from face_generation.metrics import bootstrap

SEED = 4_000_000_000  # seed of face 0, to which the evaluation's seed is added; no figure uses faces from here on
FACES = 100
COLUMNS = 10
STRIP = 18  # pixels below a face, for its number
LETTERS = 14  # height of the numbers, in pixels


@dataclass(frozen=True)
class Sheet:
    """A picture of faces 0 to 99, row by row, each above its number. Face i has the seed `seed` + i."""

    seed: int
    truncation: float
    picture: NDArray[np.uint8]

    def write(self, path: Path) -> None:
        """Writes the picture to `path`, in the format of its suffix.

        Raises:
            UserError: The file cannot be written.
        """
        with writing(path) as file:
            file.write(pictures.encode(self.picture, path.suffix[1:]))


def draw(generator: Generator, seed: int, truncation: float) -> list[Sheet]:
    """Draws a sheet at `truncation`, and one at the bundle's default truncation if that differs.

    Raises:
        UserError: The seed is too large, or the truncation is out of range.
    """
    default = generator.bundle.truncation
    return [
        Sheet(SEED + seed, each, pictures.grid(_numbered(generator, SEED + seed, each), FACES, COLUMNS))
        for each in dict.fromkeys((truncation, default))
    ]


def record(bundle: Bundle, broken: int, seed: int, truncation: float) -> dict[str, Any]:
    """Records in a bundle's manifest how many faces of a sheet are broken, with today's date. An earlier count of the
    same sheet is replaced.

    Returns:
        The record: `broken` of how many (`of`), their `share` with `low` and `high`, `truncation`, the `seed` of face 0
        and the `date`.

    Raises:
        UserError: `broken` is not a number from 0 to 100.
    """
    if isinstance(broken, bool) or not isinstance(broken, int) or not 0 <= broken <= FACES:
        raise UserError(f"broken={broken}; give how many of the {FACES} faces of a sheet are broken, 0 to {FACES}")
    share = bootstrap.share(broken, FACES)
    counted = {
        "broken": broken,
        "of": FACES,
        "share": share.value,
        "low": round(share.low, 4),
        "high": round(share.high, 4),
        "truncation": float(truncation),
        "seed": SEED + seed,
        "date": date.today().isoformat(),
    }
    sheet = ("truncation", "seed")
    others = [
        count for count in bundle.evaluation.get("broken", []) if any(count[key] != counted[key] for key in sheet)
    ]
    counts = sorted([*others, counted], key=lambda count: [count[key] for key in sheet])
    bundle.record({**bundle.evaluation, "broken": counts})
    return counted


def _numbered(generator: Generator, seed: int, truncation: float) -> Iterator[NDArray[np.uint8]]:
    font = ImageFont.load_default(LETTERS)
    for number, face in enumerate(generator.stream(FACES, seed, truncation)):
        height, width, _ = face.shape
        cell = Image.new("RGB", (width, height + STRIP), "white")
        cell.paste(Image.fromarray(face))
        ImageDraw.Draw(cell).text((width / 2, height + STRIP / 2), str(number), "black", font, anchor="mm")
        yield np.asarray(cell)
