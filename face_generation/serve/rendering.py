"""From what a request says of a face to its picture."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from face_generation.errors import UserError
from face_generation.generator import Generator, pictures
from face_generation.generator.latents import slerp
from face_generation.generator.origin import Recipe
from face_generation.serve.schemas import Face


def check(generator: Generator, face: Face) -> None:
    """Says, before anything is drawn, whether the bundle can draw a face.

    Raises:
        UserError: It gives latents of another length than the bundle's, or an edit or an attribute that the bundle
            does not know.
    """
    dimensions = generator.bundle.latent_dim
    if face.latents is not None and len(face.latents) != dimensions:
        raise UserError(f"the latents of {generator.bundle.name} are {dimensions} numbers; give as many")
    generator.attributes.check(face.asked)
    generator.directions.move(np.zeros(dimensions), face.edits)


def latent(generator: Generator, face: Face) -> NDArray[np.float32]:
    """The latents of a face that was checked. A new face takes the prior a moment: this is work for a worker."""
    start = of_seed(generator, face, face.seed) if face.seed is not None else np.array(face.latents, dtype=np.float32)
    if face.toward is not None:
        start = slerp(start, of_seed(generator, face, face.toward), face.amount)
    return generator.directions.move(start, face.edits)


def of_seed(generator: Generator, face: Face, seed: int) -> NDArray[np.float32]:
    """The latents of a seed, drawn as `face` says."""
    return generator.latents(1, seed, face.truncation, attributes=face.asked)[0]


def between(generator: Generator, start: Face, end: Face, t: float) -> NDArray[np.float32]:
    """The latents on the way from one face to another: 0 is the first, 1 the second."""
    return slerp(latent(generator, start), latent(generator, end), t)


def image(generator: Generator, latent: NDArray[np.float32]) -> NDArray[np.uint8]:
    """The face of a latent, H×W×3."""
    return generator.decode(latent[None])[0]


def picture(generator: Generator, latent: NDArray[np.float32], suffix: str, recipe: Recipe) -> bytes:
    """The face of a latent as a picture file that says by which recipe it was drawn."""
    return pictures.encode(image(generator, latent), suffix, recipe)


def recipe(generator: Generator, face: Face | None = None) -> Recipe:
    """How a face was drawn. What came from latents, which may be somebody's, says no more than which bundle drew it."""
    bundle = generator.bundle
    said: dict[str, Any] = {"bundle": bundle.name, "version": bundle.version}
    if face is None or face.seed is None:
        return said
    said |= {
        "mode": "sample",
        "seed": face.seed,
        "truncation": bundle.truncation if face.truncation is None else face.truncation,
        "attributes": face.asked,
        "edits": dict(face.edits),
    }
    return said if face.toward is None else said | {"toward": face.toward, "amount": face.amount}
