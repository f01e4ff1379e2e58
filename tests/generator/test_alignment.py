"""Faces that the shipped VAE draws, placed in photos at known places. The detector finds them; they are nobody's."""

import hashlib

import numpy as np
import pytest
from PIL import Image

from face_generation.generator import Generator, alignment, yunet
from face_generation.generator.alignment import LANDMARKS, Square, align, cut, find_faces


@pytest.fixture(scope="module")
def faces() -> np.ndarray:
    return Generator.load("vae").sample(8, seed=0)


def laid(photo: Image.Image, face: np.ndarray, square: Square) -> Image.Image:
    """A photo with a face of 150×150 pixels in a square of it."""
    turn = len(face) / square.side  # pixels of the face in one of the photo
    start = -square.corner * turn
    affine = (turn.real, -turn.imag, start.real, turn.imag, turn.real, start.imag)
    layer = Image.fromarray(face).transform(photo.size, Image.Transform.AFFINE, affine, Image.Resampling.BICUBIC)
    full = Image.new("L", (len(face), len(face)), 255)
    photo = photo.copy()
    photo.paste(layer, mask=full.transform(photo.size, Image.Transform.AFFINE, affine))
    return photo


def plain(width: int, height: int) -> Image.Image:
    return Image.new("RGB", (width, height), (80, 110, 140))


def turned(middle: complex, side: float, degrees: float) -> Square:
    way = side * np.exp(1j * np.radians(degrees))
    return Square(complex(middle - way * (0.5 + 0.5j)), complex(way))


def distance(found: Square, true: Square) -> float:
    """How far apart the landmarks of a face are in two squares, in pixels of a face of 150×150."""
    return float(abs((found.in_photo(LANDMARKS) - true.in_photo(LANDMARKS)) / true.side).max() * 150)


@pytest.mark.parametrize(
    ("width", "height", "middle", "side", "degrees"),
    [
        (400, 300, 230 + 140j, 200, 0),
        (900, 700, 600 + 300j, 350, 20),
        (900, 700, 300 + 400j, 500, -35),
        (3000, 2000, 2300 + 500j, 124, 10),  # a face 60 pixels wide
        (5000, 500, 4500 + 250j, 150, -10),
        (1200, 1600, 600 + 800j, 1500, 15),
    ],
)
def test_a_face_anywhere_is_found_where_it_is(
    faces: np.ndarray, width: int, height: int, middle: complex, side: float, degrees: float
) -> None:
    true = turned(middle, side, degrees)  # of a face that is where CelebA has faces
    photo = laid(plain(width, height), faces[0], true)
    (found,) = find_faces(photo)

    assert distance(found, true) < 5
    (square,) = align(photo, 150)
    assert np.array_equal(square, cut(photo, found, 150))
    assert square.shape == (150, 150, 3)
    assert square.dtype == np.uint8
    assert np.abs(cut(photo, true, 150).astype(int) - faces[0])[40:120, 40:110].mean() < 8


@pytest.mark.parametrize("size", [64, 150, 178, 256, 512])
def test_what_is_aligned_comes_out_as_it_is(faces: np.ndarray, size: int) -> None:
    for face in faces:
        photo = Image.fromarray(face).resize((size, size), Image.Resampling.BICUBIC)
        (square,) = align(photo, size)
        assert np.array_equal(square, np.asarray(photo))


def test_celebas_own_geometry_gives_the_centred_square(faces: np.ndarray) -> None:
    photo = plain(178, 218)
    photo.paste(Image.fromarray(faces[0]).resize((178, 178), Image.Resampling.BICUBIC), (0, 20))
    assert find_faces(photo) == [Square(20j, 178)]


def test_the_largest_face_or_every_face(faces: np.ndarray) -> None:
    places = [turned(1000 + 400j, 400, 0), turned(400 + 350j, 250, 15), turned(1500 + 700j, 130, -10)]
    photo = plain(1700, 900)
    for face, place in zip(faces, places, strict=False):
        photo = laid(photo, face, place)

    (largest,) = find_faces(photo)
    assert distance(largest, places[0]) < 5
    found = find_faces(photo, every=True)
    assert [distance(square, place) < 5 for square, place in zip(found, places, strict=True)] == [True] * 3
    assert len(align(photo, 150, every=True)) == 3


def test_a_face_that_lies_as_it_should_goes_before_a_larger_one(faces: np.ndarray) -> None:
    photo = plain(900, 300)
    photo.paste(Image.fromarray(faces[0]).resize((300, 300), Image.Resampling.BICUBIC), (300, 0))
    photo = laid(photo, faces[1], turned(750 + 150j, 330, 0))

    assert find_faces(photo) == [Square.centred(photo)]
    assert len(find_faces(photo, every=True)) == 2


def test_without_a_face_there_is_nothing() -> None:
    random = np.random.RandomState(0)
    noise = random.randint(0, 256, (300, 400, 3), dtype=np.uint8)
    clouds = Image.fromarray(random.randint(0, 256, (6, 8, 3), dtype=np.uint8)).resize((800, 600))
    for photo in (plain(300, 200), Image.fromarray(noise), clouds, plain(1, 1), plain(5000, 2)):
        assert find_faces(photo) == []
        assert align(photo, 64, every=True) == []


def test_a_face_at_the_edge_is_completed_with_the_edges_pixels(faces: np.ndarray) -> None:
    true = turned(140 + 90j, 300, 0)  # its corner lies at -10 - 60i
    photo = laid(plain(600, 400), faces[1], true)
    square = cut(photo, true, 150)

    assert np.abs(square.astype(int) - faces[1])[35:, 10:].mean() < 3
    assert np.ptp(square[:29, 20:140].astype(int), axis=0).max() <= 2, "the first row, repeated"


def test_a_cut_is_antialiased() -> None:
    """A chequerboard of single pixels becomes grey, at any angle, when it is shrunk to a tenth."""
    board = Image.fromarray(np.indices((1000, 1000)).sum(0).astype(np.uint8) % 2 * 255).convert("RGB")
    for degrees in (0, 30):
        square = cut(board, turned(500 + 500j, 600, degrees), 60)
        assert np.abs(square.astype(int) - 127).max() < 8


def test_a_cut_keeps_pixels_where_they_are() -> None:
    across = np.broadcast_to(np.linspace(0, 255, 256).astype(np.uint8)[None, :, None], (256, 256, 3))
    square = cut(Image.fromarray(across), Square(28 + 28j, 200), 100)
    assert np.abs(square[50, :, 0].astype(float) - (28 + 2 * np.arange(100) + 0.5)).max() < 1.5


def test_the_network_is_the_one_that_its_description_names() -> None:
    digest = hashlib.sha256(yunet.NETWORK.read_bytes()).hexdigest()
    assert digest in yunet.NETWORK.with_name("README.md").read_text(encoding="utf-8")
    assert "Apache License" in yunet.NETWORK.with_name("LICENSE").read_text(encoding="utf-8")


def test_memory_is_bounded_by_tiles(faces: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    shapes = []
    detect = yunet.detect
    monkeypatch.setattr(yunet, "detect", lambda image, least: shapes.append(image.shape) or detect(image, least))
    find_faces(plain(3000, 2000))
    assert max(max(shape[:2]) for shape in shapes) == alignment.TILE
