"""Finds faces in photos and cuts them out like CelebA's: upright, with eyes and mouth always at the same places.

A photo is searched with YuNet at several sizes. Each face that is found is cut out roughly, searched again in that
cutout, and then cut out exactly. Positions are complex numbers x + iy in pixels from the upper left corner, so that a
similarity transform (a rotation, a scale and a shift) is one multiplication and one addition.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from face_generation.errors import UserError
from face_generation.generator import yunet

# Places of the eyes and the corners of the mouth in the square that packing cuts from CelebA's images, as shares of its
# side: the mean of what YuNet finds in 500 images, made symmetrical. The nose is left out, because it moves when a head
# turns.
LANDMARKS = np.array([0.3928 + 0.5174j, 0.6072 + 0.5174j, 0.4082 + 0.7435j, 0.5918 + 0.7435j])
FOUR = [0, 1, 3, 4]  # which of YuNet's five landmarks are used
MIRRORED = [1, 0, 3, 2]  # the order of these in a mirror image
TOLERANCE = 0.04  # as a share of the side; landmarks of 99 % of CelebA's images are nearer to `LANDMARKS` than this
LOOK = 176  # pixels of the rough cutout; CelebA's images have 178
FIRST_SIDE, LAST_SIDE = 320, 4096  # the longer side of a photo in the search, from the smallest to the largest size
TILE, OVERLAP = 512, 128  # pixels; faces larger than the overlap are found at a smaller size of the photo
CANDIDATE, FACE = 0.5, 0.8  # lowest scores in the search and in the rough cutout
LEAST_EYES = 4.0  # pixels; the smallest distance of eyes that somebody places
CROWD = 32  # how many faces are looked at again at each size, the largest first, when one face is wanted
PART = 0.5  # two boxes belong to one face if they share more than this part of the smaller one

_Box = NDArray[np.float32]  # left, top, right, bottom, in pixels of the photo


class WrongEyes(UserError):
    """The places that were given for the eyes cannot be eyes."""


@dataclass(frozen=True)
class Square:
    """A square in a photo, at any angle. Its point p, from 0 to 1 + 1i, is the photo's point `corner + side · p`."""

    corner: complex  # the upper left corner
    side: complex  # the vector along the upper edge

    @classmethod
    def centred(cls, photo: Image.Image) -> "Square":
        """The largest square in the middle of a photo."""
        side = min(photo.size)
        return cls(complex(photo.width - side, photo.height - side) / 2, complex(side))

    @classmethod
    def around(cls, landmarks: NDArray[np.complexfloating]) -> "Square":
        """The square in which a photo's four landmarks are nearest to `LANDMARKS`, by least squares."""
        middle, model = landmarks.mean(), LANDMARKS - LANDMARKS.mean()
        side = model.conj() @ (landmarks - middle) / (model.conj() @ model).real
        return cls(complex(middle - side * LANDMARKS.mean()), complex(side))

    @classmethod
    def by_eyes(cls, photo: Image.Image, left: complex, right: complex) -> "Square":
        """The square in which two points of a photo are at the places of the eyes.

        Raises:
            WrongEyes: The points are not in the photo, or are too near to each other.
        """
        inside = all(0 <= eye.real <= photo.width and 0 <= eye.imag <= photo.height for eye in (left, right))
        if not inside or not abs(right - left) >= LEAST_EYES:
            raise WrongEyes(
                f"the eyes are two points in the photo, at least {LEAST_EYES:g} pixels apart; place them again"
            )
        side = complex((right - left) / (LANDMARKS[1] - LANDMARKS[0]))
        return cls(complex(left - side * LANDMARKS[0]), side)

    def in_photo(self, points: NDArray[np.complexfloating]) -> NDArray[np.complexfloating]:
        """Converts points of the square to points of the photo."""
        return self.corner + self.side * points

    def near(self, other: "Square") -> bool:
        """Whether a face would be at about the same place in both squares."""
        distances = abs(self.in_photo(LANDMARKS) - other.in_photo(LANDMARKS))
        return bool(np.sqrt(np.mean(distances**2)) <= TOLERANCE * abs(other.side))


def find_faces(photo: Image.Image, *, every: bool = False) -> list[Square]:
    """Finds the squares in which the faces of a photo are placed like CelebA's.

    If the photo's centred square already has a face in place, that square is returned exactly.

    Args:
        photo: Upright RGB photo of any size. Faces of less than 20 pixels are not found. Photos with a longer side of
            more than 4096 pixels are shrunk to that first.
        every: Find all faces. Otherwise the face that is already in place is found, or else the largest.

    Returns:
        The squares, from the largest face to the smallest; empty if there is no face.
    """
    centred = Square.centred(photo)
    boxes: list[_Box] = []
    squares: list[Square] = []
    for found in _search(photo):
        for box, rough in found if every else found[:CROWD]:
            if any(_share(box, other) for other in boxes):
                continue
            if square := _look(photo, rough):
                boxes.append(box)
                squares.append(centred if square.near(centred) else square)
        if squares and not every:
            break  # faces that only a larger copy of the photo shows are smaller than these
    squares.sort(key=lambda square: abs(square.side), reverse=True)
    if every:
        return squares
    return [centred] if centred in squares else squares[:1]


def has_face(face: NDArray[np.uint8]) -> bool:
    """Whether an image that was cut from a photo, uint8 RGB N×N×3, shows a face."""
    found = _nearest(np.asarray(Image.fromarray(face).resize((LOOK, LOOK), Image.Resampling.BICUBIC)))
    return found is not None and found[0] >= FACE


def cut(photo: Image.Image, square: Square, size: int) -> NDArray[np.uint8]:
    """Cuts a square from an RGB photo, with antialiasing: uint8 RGB size×size×3.

    Pixels at the photo's edge are repeated where the square reaches beyond it.
    """
    # Pillow antialiases bicubic. Lanczos is a little sharper, but a model would learn its halos at edges.
    if square == Square.centred(photo):
        left, top, side = square.corner.real, square.corner.imag, square.side.real
        box = (left, top, left + side, top + side)
        return np.asarray(photo.resize((size, size), Image.Resampling.BICUBIC, box=box))
    return np.asarray(_warped(photo, square, 2 * size).resize((size, size), Image.Resampling.BICUBIC))


def align(photo: Image.Image, size: int, *, every: bool = False) -> list[NDArray[np.uint8]]:
    """Cuts the faces of a photo out like CelebA's, each uint8 RGB size×size×3. The arguments are those of
    `find_faces`."""
    return [cut(photo, square, size) for square in find_faces(photo, every=every)]


def _search(photo: Image.Image) -> Iterator[list[tuple[_Box, Square]]]:
    """Yields the candidates for faces at each size of the photo, from small to large, each with box and rough
    square."""
    longest = max(photo.size)
    sides = [min(longest, LAST_SIDE)]
    while sides[-1] > FIRST_SIDE:
        sides.append(sides[-1] // 2)
    for scale in (longest / side for side in reversed(sides)):
        size = (max(1, round(photo.width / scale)), max(1, round(photo.height / scale)))
        copy = np.asarray(photo.resize(size, Image.Resampling.BICUBIC, reducing_gap=2))
        faces = []
        for left, top in _tiles(*size):
            for face in yunet.detect(copy[top : top + TILE, left : left + TILE], CANDIDATE):
                landmarks = (face.landmarks[FOUR] + (left, top)) @ (1, 1j) * scale
                faces.append(((face.box + np.tile((left, top), 2)) * scale, Square.around(landmarks)))
        yield sorted(faces, key=lambda face: abs(face[1].side), reverse=True)


def _tiles(width: int, height: int) -> Iterator[tuple[int, int]]:
    """Yields the left and the top of tiles that cover an image, so that the network's memory is bounded."""
    step = TILE - OVERLAP
    for top in range(0, max(1, height - OVERLAP), step):
        for left in range(0, max(1, width - OVERLAP), step):
            yield left, top


def _share(box: _Box, other: _Box) -> bool:
    """Whether two boxes belong to one face, or to a face and a part of it."""
    sides = np.minimum(box[2:], other[2:]) - np.maximum(box[:2], other[:2])
    smaller = min(np.prod(box[2:] - box[:2]), np.prod(other[2:] - other[:2]))
    return bool(np.prod(np.clip(sides, 0, None)) > PART * smaller)


def _look(photo: Image.Image, square: Square) -> Square | None:
    """The exact square of the face in a rough square; `None` if a second look finds no face."""
    for _ in range(2):  # the first look turns a face upright and centres it, which makes the second more exact
        image = np.asarray(_warped(photo, square, LOOK))
        straight, mirrored = _nearest(image), _nearest(image[:, ::-1])
        if straight is None or mirrored is None:
            return None
        score = (straight[0] + mirrored[0]) / 2
        both = straight[1] + (1 - mirrored[1].conj())[MIRRORED]
        square = Square.around(square.in_photo(np.asarray(both, dtype=np.complex128) / 2))
    return square if score >= FACE else None


def _nearest(image: NDArray[np.uint8]) -> tuple[float, NDArray[np.complexfloating]] | None:
    """The score and the landmarks, as shares of the side, of the face in an image that is nearest to its place."""
    faces = [(face.score, face.landmarks[FOUR] @ (1, 1j) / len(image)) for face in yunet.detect(image, CANDIDATE)]
    return min(faces, key=lambda face: abs(face[1] - LANDMARKS).mean(), default=None)


def _warped(photo: Image.Image, square: Square, size: int) -> Image.Image:
    """Cuts a square from a photo, size×size, by interpolation in a copy of that part with about the same resolution."""
    corners = square.in_photo(np.array([0, 1, 1j, 1 + 1j]))
    scale = max(1.0, abs(square.side) / size)  # pixels of the photo in one pixel of the copy
    reach = 2 * scale  # interpolation needs two pixels around a point
    start = np.floor([corners.real.min() - reach, corners.imag.min() - reach])
    end = np.ceil([corners.real.max() + reach, corners.imag.max() + reach])
    first = np.clip(start, 0, np.subtract(photo.size, 1))
    last = np.clip(end, first + 1, photo.size)

    width, height = np.ceil((last - first) / scale).astype(int)
    part = photo.resize((width, height), Image.Resampling.BICUBIC, box=(*first, *last), reducing_gap=2)
    zoom = (width, height) / (last - first)
    before, after = (np.ceil(np.maximum(0, gap) * zoom).astype(int) for gap in (first - start, end - last))
    padding = ((before[1], after[1]), (before[0], after[0]), (0, 0))
    part = Image.fromarray(np.pad(np.asarray(part), padding, mode="edge"))

    step = square.side / size
    (x, y), (zoom_x, zoom_y) = before + (np.array([square.corner.real, square.corner.imag]) - first) * zoom, zoom
    affine = (step.real * zoom_x, -step.imag * zoom_x, x, step.imag * zoom_y, step.real * zoom_y, y)
    return part.transform((size, size), Image.Transform.AFFINE, affine, Image.Resampling.BICUBIC)
