"""Measures what edits change: a classifier judges attributes before and after, and a recogniser says whether faces are
still the same people."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from face_generation.generator import Generator
from face_generation.metrics import Gap
from face_generation.metrics.attributes import AttributeClassifier
from face_generation.metrics.recognition import detection, embeddings

SEED = 3_000_000_000  # seed of the first face; directions were found with other faces
FACES = 100  # number of faces that are edited
COMPARED = 32  # how many of these the recogniser compares; it is slow
MIN_CHANGE = 0.1  # of the attribute's mean probability
STRENGTHS = (1.0, 2.0, 3.0)  # the least that turns half of the faces is reported, or else the last


def measure_edits(
    generator: Generator, steps: Mapping[str, NDArray[np.float32]], judge: AttributeClassifier
) -> dict[str, dict[str, Any]]:
    """Edits drawn faces with each of `steps`, by attribute vectors of latent_dim numbers, and measures the changes.

    Returns:
        An entry for each step that changes the mean probability of its attribute by at least 0.1 and more than any
        other's, with
        `strength`: 1, 2 or 3, the least that turns half of the faces. It is negative if most faces have the attribute,
        because more of it would hardly show;
        `before` and `after`: shares of the faces with the attribute;
        `change`: change of its mean probability;
        `others`: mean absolute change of the probabilities of all other attributes;
        `most_changed` and `most_change`: the other attribute whose mean probability changes most, and by how much;
        `found` (if dlib is installed): share of the edited faces in which a detector finds a face;
        `identity` (if dlib is installed): mean distance between the face embeddings before and after.
    """
    latents = generator.latents(FACES, SEED, truncation=1.0)
    images = generator.decode(latents)
    before = judge.probabilities(images)
    measured: dict[str, dict[str, Any]] = {}
    compared = [images[:COMPARED]]
    for name, step in tqdm(steps.items(), desc="Measuring edits", unit="edit", delay=1):
        k = judge.names.index(name)
        share = np.mean(before[:, k] > 0.5)
        for strength in STRENGTHS:
            signed = strength if share <= 0.5 else -strength
            edited = generator.decode(latents + np.float32(signed) * step)
            after = judge.probabilities(edited)
            if abs(np.mean(after[:, k] > 0.5) - share) >= 0.5:
                break
        difference = after - before
        change = difference[:, k].mean()
        difference[:, k] = 0  # what remains are the changes of the others
        most = np.abs(difference.mean(0)).argmax()
        most_change = difference[:, most].mean()
        if abs(change) < max(MIN_CHANGE, abs(most_change)):
            continue
        measured[name] = {
            "strength": signed,
            "before": share,
            "after": np.mean(after[:, k] > 0.5),
            "change": change,
            "others": np.abs(difference).mean(0).sum() / max(1, len(judge.names) - 1),
            "most_changed": judge.names[most],
            "most_change": most_change,
        }
        with suppress(Gap):
            measured[name]["found"] = detection(edited).mean()
        compared.append(edited[:COMPARED])
    with suppress(Gap):
        originals, *moved = embeddings(np.concatenate(compared)).reshape(len(compared), COMPARED, -1)
        for figures, identities in zip(measured.values(), moved, strict=True):
            figures["identity"] = np.linalg.norm(identities - originals, axis=1).mean()
    return measured
