"""Measures how faces in photos are found and aligned: how many are found, how exactly, how often by mistake, how fast.

python benchmarks/alignment.py --splits splits
python benchmarks/alignment.py --splits splits --split val --count 500

Faces of a packed split are placed in larger pictures without a face: at random places, turned by up to 30 degrees to
either side, and 60 to 300 pixels wide. A face is taken to be 0.485 of its packed square, the median of YuNet's boxes.

The places of the eyes are known in two ways. *As it was* compares with the eyes that the same code finds in the packed
image itself, moved to where the face was placed. This is the error that place, size and angle cause. *As CelebA*
compares with CelebA's own alignment. People marked the landmarks for that, so it needs no detector, but their errors
are part of the result. The first row has the packed images themselves. Errors are distances in the aligned square, in
pixels of 150×150.

Pictures without a face are clouds of coloured noise, drawings of shapes and letters, magnified corners of packed images
(which may show a passer-by), and packed images whose blocks of 25×25 pixels are shuffled. A picture counts as wrong if
any face is found. Rates are per second of CPU time of one thread, so other work on the machine matters little.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from tqdm import tqdm

from face_generation.errors import UserError, exit_on_user_error
from face_generation.generator.alignment import LANDMARKS, Square, find_faces

PACKED = 150  # pixels; errors are given at this size
FACE = 0.485  # width of a face, as a share of its square
WIDTHS = (60.0, 300.0)  # pixels of a face in a photo
DEGREES = 30.0
CANVAS = (480, 1280)  # pixels, both sides
EYES = LANDMARKS[:2]
ELSEWHERE = 0.25  # as a share of the square; if the eyes are farther off, it is another face, or none
TARGETS = {"error": 1.5, "found": 0.98, "wrong": 0.01}

Random = np.random.RandomState


def clouds(random: Random, images: NDArray[np.uint8], width: int, height: int) -> Image.Image:
    """Coloured noise at one scale, between blurred and single pixels."""
    grain = 2 ** random.uniform(0, 7)
    size = (max(2, int(width / grain)), max(2, int(height / grain)))
    noise = Image.fromarray(random.randint(0, 256, (size[1], size[0], 3), dtype=np.uint8))
    return noise.resize((width, height), Image.Resampling.BICUBIC)


def drawing(random: Random, images: NDArray[np.uint8], width: int, height: int) -> Image.Image:
    """Discs, boxes, lines and letters of any colour and size."""
    picture = Image.new("RGB", (width, height), tuple(random.randint(0, 256, 3).tolist()))
    pen = ImageDraw.Draw(picture)
    for _ in range(random.randint(10, 60)):
        x, y = random.uniform(0, width), random.uniform(0, height)
        across, down = random.uniform(5, width / 3), random.uniform(5, height / 3)
        colour = tuple(random.randint(0, 256, 3).tolist())
        kind = random.randint(4)
        if kind == 0:
            pen.ellipse((x, y, x + across, y + down), colour)
        elif kind == 1:
            pen.rectangle((x, y, x + across, y + down), colour)
        elif kind == 2:
            pen.line((x, y, x + across, y + down), colour, random.randint(1, 12))
        else:
            pen.text((x, y), "".join(map(chr, random.randint(33, 127, 8))), colour, ImageFont.load_default(across / 4))
    return picture


def corner(random: Random, images: NDArray[np.uint8], width: int, height: int) -> Image.Image:
    """An upper corner of a packed image, a quarter of it wide. It shows what is beside somebody's head."""
    image, part = images[random.randint(len(images))], images.shape[1] // 4
    area = image[:part, :part] if random.randint(2) else image[:part, -part:]
    return Image.fromarray(area).resize((width, height), Image.Resampling.BICUBIC)


def shuffled(random: Random, images: NDArray[np.uint8], width: int, height: int) -> Image.Image:
    """A photo whose blocks are in a random order."""
    side = images.shape[1] // 6
    image = images[random.randint(len(images))][: 6 * side, : 6 * side]
    blocks = image.reshape(6, side, 6, side, 3).swapaxes(1, 2).reshape(36, side, side, 3)
    mixed = blocks[random.permutation(36)].reshape(6, 6, side, side, 3).swapaxes(1, 2).reshape(6 * side, 6 * side, 3)
    return Image.fromarray(mixed).resize((width, height), Image.Resampling.BICUBIC)


EMPTY: tuple[Callable[[Random, NDArray[np.uint8], int, int], Image.Image], ...] = (clouds, drawing, corner, shuffled)


def empty(random: Random, images: NDArray[np.uint8], kind: int) -> Image.Image:
    return EMPTY[kind % len(EMPTY)](random, images, *random.randint(*CANVAS, 2).tolist())


def placed(random: Random, images: NDArray[np.uint8], index: int) -> tuple[Image.Image, Square]:
    """A picture with the face of `images[index]` in it, and the square of the picture where the face is."""
    picture = empty(random, images, index)
    width = np.exp(random.uniform(*np.log(WIDTHS)))
    way = width / FACE * np.exp(1j * np.radians(random.uniform(-DEGREES, DEGREES)))
    x, y = (random.uniform(min(width, side / 2), max(side - width, side / 2)) for side in picture.size)
    square = Square(complex(x + 1j * y - way * (0.5 + 0.5j)), complex(way))

    face = Image.fromarray(images[index])
    turn = face.width / square.side  # pixels of the packed image in one of the picture
    start = -square.corner * turn
    affine = (turn.real, -turn.imag, start.real, turn.imag, turn.real, start.imag)
    layer = face.transform(picture.size, Image.Transform.AFFINE, affine, Image.Resampling.BICUBIC)
    mask = Image.new("L", face.size, 255).transform(picture.size, Image.Transform.AFFINE, affine)
    picture.paste(layer, mask=mask)
    return picture, square


def unplaced(image: NDArray[np.uint8]) -> tuple[Image.Image, Square]:
    """A packed image at the left of a wider one, so that it does not count as already aligned."""
    height, width, _ = image.shape
    picture = Image.new("RGB", (2 * width, height), "grey")
    picture.paste(Image.fromarray(image))
    return picture, Square(0j, complex(width))


def errors(found: Square, true: Square, expected: NDArray[np.complexfloating]) -> list[float]:
    """The error of each eye, in pixels of the packed image.

    Args:
        found: The square that was found in a picture.
        true: The square where the face really is.
        expected: The places of the eyes in `true`.
    """
    return (abs((true.in_photo(expected) - found.corner) / found.side - EYES) * PACKED).tolist()


def timed(photo: Image.Image, seconds: list[float]) -> list[Square]:
    start = time.process_time()
    faces = find_faces(photo)
    seconds.append(time.process_time() - start)
    return faces


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--splits", type=Path, required=True, help="folder of packed splits")
    parser.add_argument("--split", default="test", help="which of them (default: test)")
    parser.add_argument("--count", type=int, default=200, help="faces (default: 200)")
    parser.add_argument("--empty", type=int, default=400, help="pictures without a face (default: 400)")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    path = arguments.splits / f"{arguments.split}.npy"
    if not path.is_file():
        raise UserError(f"{path} does not exist; pack the data first: python scripts/train_val_split.py data splits")
    images = np.load(path, mmap_mode="r")[: arguments.count]
    random = Random(arguments.seed)

    kept = found = 0
    itself: list[float] = []
    as_it_was: list[float] = []
    as_celeba: list[float] = []
    seconds: dict[str, list[float]] = {"aligned already": [], "with a face": [], "without a face": []}
    for index in tqdm(range(len(images)), desc="faces", unit=" photos"):
        photo = Image.fromarray(images[index])
        kept += timed(photo, seconds["aligned already"]) == [Square.centred(photo)]

        original, whole = unplaced(images[index])
        before = find_faces(original)
        if before:
            itself += errors(before[0], whole, EYES)
        photo, square = placed(random, images, index)
        after = timed(photo, seconds["with a face"])
        distances = errors(after[0], square, EYES) if after else [PACKED]
        if max(distances) > ELSEWHERE * PACKED:
            continue
        found += 1
        as_celeba += distances
        if before:
            as_it_was += errors(after[0], square, (before[0].in_photo(EYES) - whole.corner) / whole.side)

    wrong = dict.fromkeys((make.__name__ for make in EMPTY), 0)
    for kind in tqdm(range(arguments.empty), desc="no faces", unit=" photos"):
        wrong[EMPTY[kind % len(EMPTY)].__name__] += bool(timed(empty(random, images, kind), seconds["without a face"]))

    n = len(images)
    print(f"load {os.getloadavg()[0]:.1f}, {n} faces of {path.name}, seed {arguments.seed}")
    print(f"found where they are: {found} of {n}, {found / n:.1%} (target {TARGETS['found']:.0%})")
    print(f"kept as they are, of those that are aligned already: {kept} of {n}, {kept / n:.1%}")
    print(
        f"found where there is none: {sum(wrong.values())} of {arguments.empty} pictures "
        f"({', '.join(f'{name} {count}' for name, count in wrong.items())}; target below {TARGETS['wrong']:.0%})"
    )
    print(f"{'error of an eye':28}{'median px':>11}{'95 % px':>10}   target {TARGETS['error']} px at {PACKED}")
    for name, distances in {
        "packed, as CelebA": itself,
        "placed, as it was": as_it_was,
        "placed, as CelebA": as_celeba,
    }.items():
        print(f"{name:28}{np.median(distances):11.2f}{np.percentile(distances, 95):10.2f}")
    print(f"{'photos':28}{'median ms':>11}{'a second, on one core':>24}")
    for name, times in seconds.items():
        print(f"{name:28}{1000 * statistics.median(times):11.1f}{len(times) / sum(times):24.1f}")


if __name__ == "__main__":
    with exit_on_user_error():
        main()
