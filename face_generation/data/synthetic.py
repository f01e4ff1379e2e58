"""Draws simple faces in CelebA's file formats, so that anyone can try everything in a minute, without CelebA.

    python -m face_generation.data.synthetic faces --count 2000

A `Face` describes a face. Its picture and its attributes both follow from that description.
"""

import argparse
import cmath
import math
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from random import Random

from PIL import Image, ImageDraw
from tqdm import tqdm

from face_generation.data.celeba import (
    ARCHIVE_FILE,
    ATTRIBUTE_FILE,
    ATTRIBUTES,
    IMAGE_FOLDER,
    IMAGE_HEIGHT,
    IMAGE_WIDTH,
    PARTITION_FILE,
)
from face_generation.data.locking import alone
from face_generation.errors import UserError, exit_on_user_error
from face_generation.files import replacing, sweep

Colour = tuple[int, int, int]

DESCRIPTION = "Faces drawn by this package (face_generation.data.synthetic). They show no real person."
LICENCE = "MIT, like the code."

SCALE = 3  # pictures are drawn this many times larger and averaged, which smooths edges
JPEG_QUALITY = 90
EYES = complex(88.5, 111)  # pixels; CelebA's alignment puts the middle between the eyes there

SKINS = {
    "pale": (251, 229, 213),
    "light": (240, 200, 170),
    "tan": (214, 163, 122),
    "brown": (165, 113, 78),
    "dark": (112, 76, 56),
}
HAIRS = {
    "Black_Hair": (40, 34, 37),
    "Brown_Hair": (107, 68, 42),
    "Blond_Hair": (228, 190, 110),
    "Gray_Hair": (172, 172, 176),
}
STYLES = ("short", "straight", "wavy", "curly", "bald")
BACKGROUNDS = (
    (150, 188, 214),
    (176, 204, 170),
    (228, 198, 160),
    (198, 176, 208),
    (122, 134, 154),
    (234, 222, 200),
    (216, 146, 130),
    (96, 128, 126),
)
CLOTHES = (
    (52, 70, 110),
    (150, 54, 60),
    (60, 110, 90),
    (232, 228, 220),
    (70, 64, 70),
    (214, 160, 70),
    (120, 92, 150),
)
IRISES = ((92, 60, 38), (74, 112, 156), (84, 124, 84), (58, 44, 38))
BLACK, WHITE, GOLD, RED = (30, 24, 26), (255, 255, 255), (226, 184, 84), (196, 48, 70)


def write_synthetic_faces(folder: Path, count: int, seed: int = 0) -> bool:
    """Draws faces into CelebA's three files in `folder`, which appears when the files are complete.

    The last tenth is for testing, and the tenth before it for validation. Face i is the same whatever the count.

    Args:
        folder: Folder to make.
        count: Number of faces, 3 to 999,999.
        seed: Another seed draws other faces.

    Returns:
        Whether faces were drawn: `False` if `folder` already holds these faces.

    Raises:
        UserError: The count is out of range, `folder` holds something else, or it cannot be written.
    """
    if not 3 <= count <= 999_999:
        raise UserError(f"cannot draw {count} faces; ask for 3 to 999999")
    recipe = f"{count} synthetic faces, seed {seed}".encode()  # kept in the archive as its comment
    folder = folder.absolute()
    try:
        with alone(folder):
            if _recipe(folder) == recipe:
                return False
            if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
                raise UserError(f"{folder} holds something else; remove it or choose another folder")
            sweep(folder.parent)
            with replacing(folder) as work:
                _write(work, count, seed, recipe)
    except OSError as error:
        raise UserError(f"cannot write {folder}: {error.strerror}; make room or choose another folder") from error
    return True


def _recipe(folder: Path) -> bytes | None:
    """The recipe of the faces in a folder; `None` if it holds none."""
    try:
        with zipfile.ZipFile(folder / ARCHIVE_FILE) as archive:
            return archive.comment
    except (FileNotFoundError, NotADirectoryError, zipfile.BadZipFile):
        return None


def _write(folder: Path, count: int, seed: int, recipe: bytes) -> None:
    held_out = max(1, count // 10)
    partition, attributes = [], [str(count), " ".join(ATTRIBUTES)]
    with zipfile.ZipFile(folder / ARCHIVE_FILE, "w") as archive:
        archive.comment = recipe
        for number in tqdm(range(1, count + 1), desc="drawing", unit=" faces"):
            name = f"{number:06}.jpg"
            face = Face.random(Random(f"{seed}/{number}"))
            picture = BytesIO()
            draw_face(face).save(picture, "JPEG", quality=JPEG_QUALITY)
            archive.writestr(zipfile.ZipInfo(f"{IMAGE_FOLDER}/{name}"), picture.getvalue())  # dated 1980, always
            partition.append(f"{name} {(number > count - 2 * held_out) + (number > count - held_out)}")
            present = face.attributes()
            attributes.append(name + "".join("  1" if attribute in present else " -1" for attribute in ATTRIBUTES))
    for file, lines in ((PARTITION_FILE, partition), (ATTRIBUTE_FILE, attributes)):
        (folder / file).write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\r\n")


@dataclass(frozen=True)
class Face:
    """Description of a face. Lengths are in pixels of the 178×218 picture."""

    skin: str
    hair: str
    style: str
    bangs: bool
    hat: bool
    glasses: bool
    smile: float  # from -0.2 (serious) to 1 (beaming)
    mouth_open: bool
    lipstick: bool
    rosy: bool
    bushy: bool
    beard: str  # "", "Mustache" or "Goatee"
    earrings: bool
    iris: Colour
    width: float  # from the middle of the face to its side
    chin: float  # below the eyes
    jaw: float  # from 0 (an ellipse) to 0.3 (square)
    nose: float  # half the width
    backgrounds: tuple[Colour, Colour]  # top and bottom
    clothes: Colour
    tilt: float  # radians, clockwise
    turn: float  # how far the eyes are to the right of the middle of the face
    shift: complex

    @classmethod
    def random(cls, rng: Random) -> "Face":
        style = rng.choices(STYLES, (30, 25, 20, 15, 10))[0]
        feminine = rng.random() < {"short": 0.2, "bald": 0, "curly": 0.5}.get(style, 0.85)
        return cls(
            skin=rng.choices(list(SKINS), (15, 35, 20, 18, 12))[0],
            hair=rng.choices(list(HAIRS), (35, 30, 22, 13))[0],
            style=style,
            bangs=style in ("straight", "wavy", "short") and rng.random() < 0.3,
            hat=rng.random() < 0.1,
            glasses=rng.random() < 0.22,
            smile=rng.uniform(0.5, 1) if rng.random() < 0.55 else rng.uniform(-0.2, 0.2),
            mouth_open=rng.random() < 0.4,
            lipstick=feminine and rng.random() < 0.6,
            rosy=rng.random() < 0.25,
            bushy=not feminine and rng.random() < 0.4,
            beard="" if feminine else rng.choices(("", "Mustache", "Goatee"), (6, 2, 2))[0],
            earrings=feminine and rng.random() < 0.4,
            iris=rng.choice(IRISES),
            width=rng.uniform(39, 47),
            chin=rng.uniform(56, 68),
            jaw=rng.uniform(0, 0.3),
            nose=rng.uniform(4.5, 8.5),
            backgrounds=(rng.choice(BACKGROUNDS), rng.choice(BACKGROUNDS)),
            clothes=rng.choice(CLOTHES),
            tilt=rng.gauss(0, 0.05),
            turn=rng.uniform(-4, 4),
            shift=complex(rng.uniform(-2, 2), rng.uniform(-2, 2)),
        )

    def attributes(self) -> set[str]:
        """Names of the CelebA attributes that the picture has."""
        bald = self.style == "bald"
        has = {
            self.hair: not bald,
            self.beard: self.beard != "",
            "Bald": bald and not self.hat,
            "Bangs": self.bangs and not self.hat,
            "Big_Nose": self.nose > 7.3,
            "Bushy_Eyebrows": self.bushy,
            "Chubby": self.width > 44.5 and self.chin < 61,
            "Eyeglasses": self.glasses,
            "Mouth_Slightly_Open": self.mouth_open,
            "No_Beard": self.beard == "",
            "Oval_Face": self.jaw < 0.12 and self.chin > 61,
            "Pale_Skin": self.skin == "pale",
            "Rosy_Cheeks": self.rosy,
            "Smiling": self.smile > 0.4,
            "Straight_Hair": self.style == "straight",
            "Wavy_Hair": self.style in ("wavy", "curly"),
            "Wearing_Earrings": self.earrings,
            "Wearing_Hat": self.hat,
            "Wearing_Lipstick": self.lipstick,
        }
        return {name for name, present in has.items() if present}


class _Pen:
    """Draws on an enlarged picture.

    Points are complex numbers. The origin is the middle between the eyes. The real part is pixels to the right of it,
    the imaginary part is pixels below it.
    """

    def __init__(self, image: Image.Image, shift: complex, tilt: float) -> None:
        self._draw = ImageDraw.Draw(image)
        self._origin = (EYES + shift + 0.5 * (1 + 1j)) * SCALE
        self._turn = cmath.rect(SCALE, tilt)

    def _map(self, points: Iterable[complex]) -> list[tuple[float, float]]:
        mapped = [self._origin + self._turn * point for point in points]
        return [(point.real, point.imag) for point in mapped]

    def shape(self, points: Iterable[complex], colour: Colour) -> None:
        self._draw.polygon(self._map(points), fill=colour)

    def oval(self, centre: complex, rx: float, ry: float, colour: Colour) -> None:
        self.shape(arc(centre, rx, ry), colour)

    def line(self, points: Iterable[complex], width: float, colour: Colour) -> None:
        """A line with round ends."""
        mapped, radius = self._map(points), width * SCALE / 2
        self._draw.line(mapped, fill=colour, width=round(width * SCALE), joint="curve")
        for x, y in (mapped[0], mapped[-1]):
            self._draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)


def arc(
    centre: complex, rx: float, ry: float, start: float = 0, end: float = 360, square: float = 0, steps: int = 28
) -> list[complex]:
    """Points on an ellipse, clockwise from `start` to `end` degrees (0 is on the right, 270 at the top).

    The larger `square` is, the more the shape looks like a rectangle.
    """
    angles = (math.radians(start + (end - start) * step / steps) for step in range(steps + 1))
    return [
        centre + complex(rx * math.cos(angle) * (1 + square * math.sin(angle) ** 2), ry * math.sin(angle))
        for angle in angles
    ]


def curve(start: complex, bend: complex, end: complex, steps: int = 12) -> list[complex]:
    """Points on the quadratic Bézier curve from `start` to `end`, drawn towards `bend`."""
    ts = [step / steps for step in range(steps + 1)]
    return [(1 - t) ** 2 * start + 2 * t * (1 - t) * bend + t**2 * end for t in ts]


def mix(one: Colour, other: Colour, share: float) -> Colour:
    """The colour that is `share` of the way from one to the other."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(one, other, strict=True))
    return red, green, blue


def draw_face(face: Face) -> Image.Image:
    """The picture of a face: 178×218 RGB."""
    background = Image.frombytes("RGB", (1, 2), bytes(face.backgrounds[0] + face.backgrounds[1]))
    background = background.resize((1, IMAGE_HEIGHT * SCALE), Image.Resampling.BILINEAR)
    image = background.resize((IMAGE_WIDTH * SCALE, IMAGE_HEIGHT * SCALE), Image.Resampling.NEAREST)
    head = _Pen(image, face.shift, face.tilt)
    _draw_back_hair(head, face)
    _draw_body(_Pen(image, face.shift, 0), face)
    _draw_head(head, face)
    _draw_eyes(head, face)
    _draw_nose_and_mouth(head, face)
    _draw_front_hair(head, face)
    _draw_belongings(head, face)
    return image.reduce(SCALE)


def _draw_back_hair(pen: _Pen, face: Face) -> None:
    """Draws the hair that hangs behind the head."""
    colour, middle, width = mix(HAIRS[face.hair], BLACK, 0.3), -face.turn, face.width
    if face.style in ("straight", "wavy"):
        ends = [complex(middle + width + 12, 120), complex(middle - width - 12, 120)]
        pen.shape([*arc(complex(middle, 0), width + 9, 60, 180, 360), *ends], colour)
    if face.style == "wavy":
        for side in (-1, 1):
            for y in range(0, 120, 24):
                pen.oval(complex(middle + side * (width + 4), y), 15, 16, colour)
    if face.style == "curly":
        for lock in arc(complex(middle, -6), width + 5, 54, 150, 390, steps=16):
            pen.oval(lock, 17, 17, colour)


def _draw_body(pen: _Pen, face: Face) -> None:
    throat = mix(SKINS[face.skin], BLACK, 0.2)
    pen.shape([-18 + 30j, 18 + 30j, 19 + 64j, 29 + 86j, 100j, -29 + 86j, -19 + 64j], throat)
    shoulders = [*arc(108j, 84, 28, 180, 252), *arc(81j, 26, 15, 180, 0), *arc(108j, 84, 28, 288, 360)]
    pen.shape(shoulders, face.clothes)


def _draw_head(pen: _Pen, face: Face) -> None:
    skin, middle, width = SKINS[face.skin], complex(-face.turn, 6), face.width
    shade = mix(skin, BLACK, 0.15)
    for side in (-1, 1):
        pen.oval(middle + complex(side * width - face.turn / 2, 4), 7, 11, shade)
    for colour, inset in ((shade, 0.0), (skin, 2.5)):  # a rim of shade stays on the side away from the light
        centre, rx, crown, chin = middle - inset, width - inset, 62 - inset, face.chin - 6 - inset
        pen.shape([*arc(centre, rx, crown, 180, 360, 0.12), *arc(centre, rx, chin, 0, 180, face.jaw)], colour)
    if face.rosy:
        for side in (-1, 1):
            pen.oval(complex(side * 25, 22), 9, 6.5, mix(skin, RED, 0.3))


def _draw_eyes(pen: _Pen, face: Face) -> None:
    for side in (-1, 1):
        eye = complex(side * 19.5, 0)
        pen.oval(eye, 8.6, 5.2, WHITE)
        pen.oval(eye, 4.6, 4.6, face.iris)
        pen.oval(eye, 2.2, 2.2, BLACK)
        pen.oval(eye + 1.5 - 1.6j, 1.1, 1.1, WHITE)
        pen.line(curve(eye - 9 + 0.5j, eye - 11j, eye + 9 + 0.5j), 2.6 if face.lipstick else 1.6, BLACK)
        brow = curve(eye + complex(-9 * side, -13), eye + complex(2 * side, -19), eye + complex(12 * side, -12))
        pen.line(brow, 4.5 if face.bushy else 2.2, mix(HAIRS[face.hair], BLACK, 0.35))


def _draw_nose_and_mouth(pen: _Pen, face: Face) -> None:
    skin, hair = SKINS[face.skin], HAIRS[face.hair]
    shade, tip = mix(skin, BLACK, 0.3), complex(face.turn * 0.4, 25)
    pen.line(curve(5 + 4j, 3 + 14j, tip + face.nose), 1.2, mix(skin, BLACK, 0.18))
    pen.line(curve(tip - face.nose, tip + 8j, tip + face.nose), 2, shade)

    if face.beard == "Goatee":
        pen.oval(complex(-face.turn / 2, face.chin - 9), 13, 11, hair)
    if face.beard:
        pen.shape([*curve(-17 + 43j, 20j, 17 + 43j), *curve(17 + 43j, 36j, -17 + 43j)], hair)
    half = 14 + 3 * face.smile
    left, right = complex(-half, 43 - 3 * face.smile), complex(half, 43 - 3 * face.smile)
    bend = complex(0, 43 + 8 * face.smile)  # of the line between the lips
    gap = 10j if face.mouth_open else 0j
    lips = mix(skin, RED, 0.85 if face.lipstick else 0.4)
    pen.shape([*curve(left, bend - 6j, right), *curve(right, bend + gap + 9j, left)], lips)
    if face.mouth_open:
        pen.shape([*curve(left, bend, right), *curve(right, bend + gap, left)], mix(RED, BLACK, 0.7))
        pen.shape([*curve(left, bend, right), *curve(right, bend + gap * 0.55, left)], WHITE)
    else:
        pen.line(curve(left, bend + 1j, right), 1.4, mix(lips, BLACK, 0.5))


def _draw_front_hair(pen: _Pen, face: Face) -> None:
    """Draws the hair over the forehead and in front of the ears."""
    colour, middle, width = HAIRS[face.hair], complex(-face.turn, 6), face.width
    if face.style == "bald":
        pen.oval(middle + complex(-0.4 * width, -46), 8, 4, mix(SKINS[face.skin], WHITE, 0.35))
        return
    temples = complex(width - 6, -26)
    forehead = curve(middle + temples, middle - (26j if face.bangs else 60j), middle - temples.conjugate())
    sides = [middle + complex(width - 2, -4), *forehead, middle + complex(2 - width, -4)]
    pen.shape([*arc(middle, width + 5, 68, 180, 360, 0.12), *sides], colour)
    if face.style == "curly":
        for lock in arc(middle - 6j, width, 55, 180, 360, steps=10):
            pen.oval(lock, 11, 11, colour)
    if face.style in ("straight", "wavy"):
        for side in (-1, 1):
            inner = curve(width - 6 - 26j, width - 2 + 20j, width + 7 + 76j)
            outer = curve(width + 7 + 76j, width + 14 + 30j, width + 4 - 26j)
            pen.shape([middle + complex(side * point.real, point.imag) for point in inner + outer], colour)
    pen.line(arc(middle, width - 4, 61, 222, 262), 4, mix(colour, WHITE, 0.18))


def _draw_belongings(pen: _Pen, face: Face) -> None:
    middle, width = complex(-face.turn, 6), face.width
    if face.earrings:
        for side in (-1, 1):
            pen.oval(middle + complex(side * (width + 1) - face.turn / 2, 17), 3.2, 3.2, GOLD)
    if face.glasses:
        for side in (-1, 1):
            pen.line(arc(complex(19.5 * side, 1), 14, 12), 2.2, BLACK)
            pen.line([complex(33 * side, -2), middle + complex(side * width, -9)], 2.2, BLACK)
        pen.line(curve(-6 - 1j, -4j, 6 - 1j), 2.2, BLACK)
    if face.hat:
        pen.shape(arc(middle - 36j, width + 9, 40, 180, 360, 0.12), face.clothes)
        pen.line([middle - width - 5 - 38j, middle + width + 5 - 38j], 15, mix(face.clothes, BLACK, 0.25))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="the folder to make")
    parser.add_argument("--count", type=int, default=2000, help="how many faces (default 2000)")
    parser.add_argument("--seed", type=int, default=0, help="another seed draws different faces (default 0)")
    options = parser.parse_args()
    fresh = write_synthetic_faces(options.folder, options.count, options.seed)
    print(f"{options.folder}: {'drew' if fresh else 'already has'} {options.count:,} faces, seed {options.seed}")


if __name__ == "__main__":
    with exit_on_user_error():
        main()
