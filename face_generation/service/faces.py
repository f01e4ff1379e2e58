"""From what a request says of a face to its picture."""

import numpy as np
from numpy.typing import NDArray

from face_generation.errors import UserError
from face_generation.generator import Generator, pictures
from face_generation.generator.latents import draw, slerp
from face_generation.service.schemas import Face


def latent(generator: Generator, face: Face) -> NDArray[np.float32]:
    """The latent of a face.

    Raises:
        UserError: It gives latents of another length than the bundle's, or an edit that the bundle does not know.
    """
    dimensions = generator.bundle.latent_dim
    if face.seed is not None:
        start = draw(dimensions, face.seed, face.truncation)
    elif face.latents is not None and len(face.latents) == dimensions:
        start = np.array(face.latents, dtype=np.float32)
    else:
        raise UserError(f"the latents of {generator.bundle.name} are {dimensions} numbers; give as many")
    if face.toward is not None:
        start = slerp(start, draw(dimensions, face.toward, face.truncation), face.amount)
    return generator.directions.move(start, face.edits)


def image(generator: Generator, latent: NDArray[np.float32]) -> NDArray[np.uint8]:
    """The face of a latent, H×W×3."""
    return generator.decode(latent[None])[0]


def picture(generator: Generator, latent: NDArray[np.float32], suffix: str) -> bytes:
    """The face of a latent as a picture file."""
    return pictures.encode(image(generator, latent), suffix)
