"""Draws the faces that requests describe."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from face_generation.errors import UserError
from face_generation.generator import Generator, pictures
from face_generation.generator.latents import slerp
from face_generation.generator.origin import Recipe
from face_generation.serve.schemas import Face


class Misfit(UserError):
    """A bundle cannot draw a face. `place` is the path to the mistake in the face."""

    def __init__(self, message: str, *place: str | int) -> None:
        super().__init__(message)
        self.place = place


def check(generator: Generator, face: Face) -> None:
    """Checks that the bundle can draw a face, before anything is drawn.

    Raises:
        Misfit: The face has latents of another length than the bundle's, or an unknown edit or attribute.
    """
    dimensions = generator.bundle.latent_dim
    if face.latents is not None and len(face.latents) != dimensions:
        raise Misfit(f"the latents of {generator.bundle.name} are {dimensions} numbers; give as many", "latents")
    for option, names in (("with", face.with_), ("without", face.without)):
        for i, name in enumerate(names):
            with _at(option, i):
                generator.attributes.check({name: 1})
    check_edits(generator, face.edits)


def check_edits(generator: Generator, edits: Mapping[str, float]) -> None:
    """Checks that the bundle has the directions of edits.

    Raises:
        Misfit: The bundle does not have one of them.
    """
    for name, strength in edits.items():
        with _at("edits", name):
            generator.directions.move(np.zeros(generator.bundle.latent_dim), {name: strength})


@contextmanager
def _at(*place: str | int) -> Iterator[None]:
    try:
        yield
    except UserError as error:
        raise Misfit(str(error), *place) from error


def latent(generator: Generator, face: Face) -> NDArray[np.float32]:
    """The latents of a face that has been checked. Workers should call this, because the prior takes a moment."""
    start = of_seed(generator, face, face.seed) if face.seed is not None else np.array(face.latents, dtype=np.float32)
    if face.toward is not None:
        start = slerp(start, of_seed(generator, face, face.toward), face.amount)
    return generator.directions.move(start, face.edits)


def of_seed(generator: Generator, face: Face, seed: int) -> NDArray[np.float32]:
    """The latents of a seed, with the options of `face`."""
    return generator.latents(1, seed, face.truncation, attributes=face.asked)[0]


def between(generator: Generator, start: Face, end: Face, t: float) -> NDArray[np.float32]:
    """The latents on the way from one face (`t` = 0) to another (`t` = 1)."""
    return slerp(latent(generator, start), latent(generator, end), t)


def image(generator: Generator, latent: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Decodes a latent: uint8 RGB H×W×3."""
    return generator.decode(latent[None])[0]


def picture(
    generator: Generator, latent: NDArray[np.float32], suffix: str, recipe: Recipe, side: int | None = None
) -> bytes:
    """Draws the face of a latent as a picture file with its recipe, resized to `side` pixels if that is given."""
    drawn = image(generator, latent)
    return pictures.encode(drawn if side is None else pictures.resized(drawn, side), suffix, recipe)


def recipe(generator: Generator, face: Face | None = None) -> Recipe:
    """The recipe of a face. For a face of latents, which may come from a photo, it only names the bundle."""
    bundle = generator.bundle
    content: dict[str, Any] = {"bundle": bundle.name, "version": bundle.version}
    if face is None or face.seed is None:
        return content
    content |= {
        "mode": "sample",
        "seed": face.seed,
        "truncation": bundle.truncation if face.truncation is None else face.truncation,
        "attributes": face.asked,
        "edits": dict(face.edits),
    }
    return content if face.toward is None else content | {"toward": face.toward, "amount": face.amount}
