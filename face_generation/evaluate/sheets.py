"""Sheets of a hundred fresh faces for the eye: which of them are broken, a person sees and no metric says."""

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

SEED = 4_000_000_000  # of face 0, before the seed of the evaluation is added; no figure uses faces from there on
FACES = 100
COLUMNS = 10
STRIP = 18  # pixels below a face, for its number
LETTERS = 14  # pixels


@dataclass(frozen=True)
class Sheet:
    """Faces 0 to 99, row by row, each above its number: that of seed `seed` + number."""

    seed: int
    truncation: float
    picture: NDArray[np.uint8]

    def write(self, path: Path) -> None:
        """Writes the picture as the file `path`, in the format that its name ends with.

        Raises:
            UserError: It cannot be written there.
        """
        with writing(path) as file:
            file.write(pictures.encode(self.picture, path.suffix[1:]))


def draw(generator: Generator, seed: int, truncation: float) -> list[Sheet]:
    """A sheet at `truncation`, and one at the truncation that the bundle is drawn with by default, if that is another.

    Raises:
        UserError: The seed is too large, or the truncation is none.
    """
    default = generator.bundle.truncation
    return [
        Sheet(SEED + seed, each, pictures.grid(_numbered(generator, SEED + seed, each), FACES, COLUMNS))
        for each in dict.fromkeys((truncation, default))
    ]


def record(bundle: Bundle, broken: int, seed: int, truncation: float) -> dict[str, Any]:
    """Writes into the manifest of a bundle how many faces of a sheet are broken, with today's date, in place of an
    earlier count of the same sheet.

    Returns:
        The record: `broken`, of how many (`of`), their `share` with `low` and `high`, `truncation`, the `seed` of face
        0 and the `date`.

    Raises:
        UserError: `broken` is no number from 0 to 100.
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
