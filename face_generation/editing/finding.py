"""Finds directions in a generator's latent space that change one thing about a face, and measures what they change.

The slope of an attribute's score in latent space is the direction that changes the score most for its length (Shen et
al. 2020, *Interpreting the Latent Space of GANs for Semantic Face Editing*). But attributes go together: a step towards
a beard also leads towards men, and away from make-up. So the direction of an attribute is the v that minimises

    (slope · v - 1)² + 10 Σ (other slope · v)² + ‖v‖²

where all slopes have length 1. This v changes the attribute that it names, changes the others as little as it can, and
is short, because a face that is moved far falls apart. Lengths are measured in whitened latents, where the shortest
step is the most probable one.
"""

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from face_generation.data.splits import PackedSplit
from face_generation.editing.measure import FACES, measure_edits
from face_generation.generator import Bundle, Generator
from face_generation.generator.bundle import DIRECTIONS
from face_generation.metrics.attributes import (
    MAX_FACES,
    MIN_HELD_OUT,
    MIN_TRAIN,
    Accuracy,
    AttributeClassifier,
    Faces,
    LabelledFaces,
    attribute_classifier,
    enough,
)

CACHE = Path("outputs/attributes")  # keeps the classifier
DRAWS = 32  # faces to fit to, per latent dimension
FIT_SEED, TEST_SEED = 1_000_000_000, 2_000_000_000  # first seeds of the drawn faces to fit to and to test with
TESTED = 1000  # faces to test with
OTHERS = 10.0  # weight of changes of other attributes
MIN_AUC = 0.7  # of the linear model on held-out faces
MIN_CLASSIFIER_AUC = 0.8  # of the classifier that judges edits
PRINCIPAL = 8  # number of principal directions
THUMBNAIL = 30  # pixels, height and width
CHUNK = 256  # faces in memory at a time
DIGITS = 5  # significant digits that are written


def add_directions(bundle: Bundle, splits: Path, measure: bool = True, cache: Path = CACHE) -> Bundle:
    """Finds the directions of a bundle and writes them into it, in place of older ones.

    The arguments are those of `find_directions`.
    """
    content = find_directions(Generator(bundle), splits, measure, cache)
    return bundle.add(DIRECTIONS, json.dumps(content, indent=1) + "\n")


def find_directions(generator: Generator, splits: Path, measure: bool = True, cache: Path = CACHE) -> dict[str, Any]:
    """Finds the content of `directions.json`: directions of attributes, with their figures, and principal directions.

    A model with an encoder is fitted to training faces, labelled ones if there are enough. A model without one is
    fitted to faces that it draws and a classifier labels. An attribute is left out if too few faces have it, if a
    linear model in latent space can hardly tell it, if the classifier is too bad at it to judge edits, or if its edits
    change another attribute more.

    Args:
        splits: Packed splits. If too few of their faces are labelled, there are no attributes.
        measure: Train a classifier of attributes, which takes minutes, and measure with it what edits change. Without
            it a model that has no encoder gets principal directions only.
        cache: Folder that keeps the classifier for the next time.

    Raises:
        UserError: A split is missing or malformed, or the cache cannot be written.
    """
    faces = LabelledFaces.load(splits)
    judge = attribute_classifier(faces, cache) if measure and faces.names else None
    encoded = generator.bundle.has_encoder
    if encoded:
        fit = _encode(generator, faces.train if faces.names else _unlabelled(splits), mirror=True)
    else:
        fit = _draw(generator, FIT_SEED, DRAWS * generator.bundle.latent_dim, judge)
    content: dict[str, Any] = {"attributes": [], "principal": []}
    if faces.names and (encoded or judge):
        test = _encode(generator, faces.held_out) if encoded else _draw(generator, TEST_SEED, TESTED, judge)
        content["attributes"] = _attributes(faces.names, fit, test, judge)
        if judge:
            content["attributes"] = _measured(content["attributes"], generator, judge)
        found = {attribute["name"] for attribute in content["attributes"]}
        content["left_out"] = [name for name in faces.names if name not in found]
        content["faces"] = {  # numbers of faces
            "train": len(faces.train.images),
            "held_out": len(faces.held_out.images),
            "held_out_from": faces.held_out_from,
            "fitted": len(fit.latents),
            "tested": len(test.latents),
            "edited": FACES if judge else 0,
        }
    vectors = np.array([attribute["vector"] for attribute in content["attributes"]])
    content["principal"] = _principal(fit, vectors.reshape(-1, generator.bundle.latent_dim))
    return content


@dataclass(frozen=True)
class _Examples:
    """Latents N×D with the attributes and thumbnails of their faces."""

    latents: NDArray[np.float32]
    presence: NDArray[np.float32]  # N×K: the probability of each attribute; 1 or 0 if it is known
    thumbnails: NDArray[np.float32]  # N×P pixel values, 0 to 1

    @property
    def labels(self) -> NDArray[np.bool_]:
        return self.presence > 0.5


def _draw(generator: Generator, seed: int, count: int, judge: AttributeClassifier | None) -> _Examples:
    """Draws faces with the model. The classifier, if any, labels them."""
    latents = generator.latents(count, seed, truncation=1.0)
    presence, thumbnails = [], []
    for chunk in tqdm(_chunks(latents), desc="Drawing faces", unit="chunk", delay=1):
        images = generator.decode(chunk)
        presence.append(judge.probabilities(images) if judge else np.empty((len(chunk), 0), np.float32))
        thumbnails.append(_thumbnails(images))
    return _Examples(latents, np.concatenate(presence), np.concatenate(thumbnails))


def _unlabelled(splits: Path) -> Faces:
    """Up to `MAX_FACES` faces of the training split, evenly spaced, with no attributes."""
    split = PackedSplit(splits, "train")
    count = min(len(split), MAX_FACES["train"])
    rows = np.linspace(0, len(split) - 1, count).round().astype(int)
    return Faces(split.gather(rows.tolist()).numpy(), np.empty((count, 0), dtype=bool))


def _encode(generator: Generator, faces: Faces, mirror: bool = False) -> _Examples:
    """Encodes real faces and, with `mirror`, their mirror images."""
    views = [faces.images, faces.images[:, :, ::-1]] if mirror else [faces.images]
    chunks = [chunk for view in views for chunk in _chunks(view)]
    bar = tqdm(chunks, desc="Encoding faces", unit="chunk", delay=1)
    latents = np.concatenate([generator.encode(np.ascontiguousarray(chunk)) for chunk in bar])
    presence = np.concatenate([faces.labels.astype(np.float32)] * len(views))
    return _Examples(latents, presence, np.concatenate([_thumbnails(chunk) for chunk in chunks]))


def _attributes(
    names: list[str], fit: _Examples, test: _Examples, judge: AttributeClassifier | None
) -> list[dict[str, Any]]:
    """Finds the directions of the attributes that enough faces have, and that the classifier and a linear model can
    tell. The attributes that the linear model tells best come first."""
    kept = enough(fit.labels, MIN_TRAIN) & enough(test.labels, MIN_HELD_OUT)
    if judge:
        kept &= [accuracy.auc >= MIN_CLASSIFIER_AUC for accuracy in judge.accuracies]
    names = [name for name, keep in zip(names, kept, strict=True) if keep]
    fit, test = (replace(examples, presence=examples.presence[:, kept]) for examples in (fit, test))
    # Where latents are white, the shortest step is the most probable one.
    whiten, colour = _whitening(fit.latents)
    fit, test = (replace(examples, latents=examples.latents @ whiten) for examples in (fit, test))
    slopes, offsets = _linear_model(fit.latents, fit.presence)
    units = slopes / np.linalg.norm(slopes, axis=1, keepdims=True)
    steps = [_step(units, k) for k in range(len(units))]
    probabilities = test.latents @ slopes.T + offsets
    found = []
    for k, (name, slope, step) in enumerate(zip(names, slopes, steps, strict=True)):
        accuracy = Accuracy.of(probabilities[:, k] - 0.5, test.labels[:, k])
        if accuracy.auc < MIN_AUC:
            continue
        # The length changes the score by its mean difference between faces with and without the attribute.
        having, lacking = (fit.latents[fit.labels[:, k] == has].mean(0) for has in (True, False))
        vector = step * (slope @ (having - lacking)) / (slope @ step) @ colour
        found.append({"name": name, "vector": _rounded(vector), "figures": _rounded(asdict(accuracy))})
    return sorted(found, key=lambda attribute: -attribute["figures"]["auc"])


def _measured(
    attributes: list[dict[str, Any]], generator: Generator, judge: AttributeClassifier
) -> list[dict[str, Any]]:
    """Keeps the attributes whose edits change what they name, and adds what the edits change. The strongest come
    first."""
    steps = {attribute["name"]: np.array(attribute["vector"], np.float32) for attribute in attributes}
    edits = measure_edits(generator, steps, judge)
    accuracies = dict(zip(judge.names, judge.accuracies, strict=True))
    for attribute in attributes:
        if edit := edits.get(attribute["name"]):
            classifier = asdict(accuracies[attribute["name"]])
            attribute["figures"] |= {"classifier": _rounded(classifier), "edit": _rounded(edit)}
    working = [attribute for attribute in attributes if attribute["name"] in edits]
    return sorted(working, key=lambda attribute: -abs(attribute["figures"]["edit"]["change"]))


def _step(units: NDArray, k: int) -> NDArray:
    """Slopes of length 1, K×D → the step of attribute k, D: the minimiser in this module's docstring."""
    weights = np.full(len(units), OTHERS)
    weights[k] = 1
    return np.linalg.solve((units.T * weights) @ units + np.eye(units.shape[1]), units[k])


def _whitening(latents: NDArray[np.float32]) -> tuple[NDArray, NDArray]:
    """Latents N×D → a matrix D×K, which whitens them along the K axes that vary, and a matrix K×D, which undoes
    that."""
    variances, axes = np.linalg.eigh(np.cov(latents.T.astype(np.float64)))
    kept = variances > 1e-4 * variances[-1]
    deviations, axes = np.sqrt(variances[kept]), axes[:, kept]
    return axes / deviations, (axes * deviations).T


def _linear_model(inputs: NDArray[np.float32], outputs: NDArray[np.float32]) -> tuple[NDArray, NDArray]:
    """Least squares: inputs N×D and outputs N×K → slopes K×D and offsets K."""
    design = np.column_stack([inputs, np.ones(len(inputs))]).astype(np.float64)
    # Inputs that hardly vary, such as dimensions that an encoder does not use, are ignored.
    solution = np.linalg.lstsq(design, outputs.astype(np.float64), rcond=1e-3)[0]
    return solution[:-1].T, solution[-1]


def _principal(fit: _Examples, attributes: NDArray[np.floating]) -> list[dict[str, Any]]:
    """The unit steps that change the thumbnails most, according to a linear model.

    They are orthogonal to the directions of attributes (K×D) and to each other. Their sign makes faces brighter.
    """
    slopes, _ = _linear_model(fit.latents, fit.thumbnails)
    named = np.linalg.svd(attributes, full_matrices=False)[2]
    steps, changes, pictures = np.linalg.svd((slopes - slopes @ named.T @ named).T, full_matrices=False)
    signs = np.where(pictures.sum(1) < 0, -1, 1)
    shares = changes**2 / np.sum(slopes**2)
    return [
        {
            "name": f"principal_{i + 1}",
            "vector": _rounded(signs[i] * steps[:, i]),
            "figures": _rounded({"share": shares[i]}),
        }
        for i in range(min(PRINCIPAL, len(shares)))
        if shares[i] > 1e-6
    ]


def _thumbnails(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    small = [Image.fromarray(image).resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX) for image in images]
    return np.stack([np.asarray(image, dtype=np.float32).ravel() / 255 for image in small])


def _chunks(array: NDArray) -> list[NDArray]:
    return np.split(array, range(CHUNK, len(array), CHUNK))


def _rounded(value: Any) -> Any:
    """Rounds numbers, alone or in arrays and dictionaries, to five significant digits, for JSON."""
    if isinstance(value, dict):
        return {key: _rounded(each) for key, each in value.items()}
    if isinstance(value, np.ndarray):
        return [_rounded(each) for each in value.tolist()]
    return value if isinstance(value, str) else float(f"{value:.{DIGITS}g}")
