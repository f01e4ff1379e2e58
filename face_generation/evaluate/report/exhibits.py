"""Makes the pictures of a report, as uint8 RGB arrays."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from face_generation.generator import Generator

GAP = 2  # white pixels between pictures
STEPS = 8  # faces in a row of interpolations, with both ends
ENCODED = 64  # faces that are encoded at a time


def tile(images: Sequence[NDArray[np.uint8]] | NDArray[np.uint8], columns: int) -> NDArray[np.uint8]:
    """Images of one size, side by side in rows of `columns`."""
    height, width, _ = images[0].shape
    rows = -(-len(images) // columns)
    canvas = np.full((rows * (height + GAP) - GAP, columns * (width + GAP) - GAP, 3), 255, dtype=np.uint8)
    for i, image in enumerate(images):
        top, left = i // columns * (height + GAP), i % columns * (width + GAP)
        canvas[top : top + height, left : left + width] = image
    return canvas


def slerp(start: NDArray[np.floating], end: NDArray[np.floating], steps: int) -> NDArray[np.floating]:
    """Points on the great circle from one latent to another, steps×latent_dim.

    A straight line would pass nearer to the mean than any latent that a model has seen: in many dimensions a standard
    normal lies in a thin shell (White 2016, Sampling Generative Networks).
    """
    cosine = np.dot(start, end) / (np.linalg.norm(start) * np.linalg.norm(end))
    angle = np.arccos(np.clip(cosine, -1, 1))
    share = np.linspace(0, 1, steps)[:, None]
    if np.sin(angle) < 1e-6:  # one direction: the circle is a line
        return (1 - share) * start + share * end
    return (np.sin((1 - share) * angle) * start + np.sin(share * angle) * end) / np.sin(angle)


def interpolations(generator: Generator, rows: int, seed: int) -> NDArray[np.uint8]:
    """Draws `rows` rows of `STEPS` faces, each from the face of one seed to that of the next, from `seed` on."""
    ends = generator.latents(2 * rows, seed, truncation=1.0)
    latents = [slerp(ends[2 * row], ends[2 * row + 1], STEPS) for row in range(rows)]
    return tile(generator.decode(np.concatenate(latents)), STEPS)


def attribute_means(
    generators: Mapping[str, Generator], faces: NDArray[np.uint8], attributes: Mapping[str, NDArray[np.bool_]]
) -> dict[str, NDArray[np.uint8]]:
    """Draws the mean face of each attribute: the mean pixels of the faces that have it, beside the decoded mean of
    their latents for each generator.

    Args:
        generators: Generators by label. Each has an encoder.
        faces: Images N×H×W×3.
        attributes: Which of the faces have each attribute; at least one of them does.
    """
    latents = {label: _encode(generator, faces, label) for label, generator in generators.items()}
    means = {}
    for attribute, has in attributes.items():
        means[attribute] = [faces[has].mean(axis=0).round().astype(np.uint8)]
    for label, generator in generators.items():
        centres = np.stack([latents[label][has].mean(axis=0) for has in attributes.values()])
        for attribute, face in zip(attributes, generator.decode(centres), strict=True):
            means[attribute].append(face)
    return {attribute: tile(images, len(images)) for attribute, images in means.items()}


def _encode(generator: Generator, faces: NDArray[np.uint8], label: str) -> NDArray[np.float32]:
    with tqdm(total=len(faces), desc=f"Encoding for {label}", unit="face") as progress:
        latents = []
        for start in range(0, len(faces), ENCODED):
            latents.append(generator.encode(faces[start : start + ENCODED]))
            progress.update(len(latents[-1]))
    return np.concatenate(latents)
