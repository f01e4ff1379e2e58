"""A classifier of attributes, such as a smile, trained on real faces.

It is trained from scratch on the labelled faces of the training split and has never seen a generator. So it can judge
what generated faces look like and what an edit changes.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn
from tqdm import tqdm

from face_generation.data.datamodule import to_float
from face_generation.data.splits import PackedSplit, packed_attributes
from face_generation.errors import UserError
from face_generation.files import writing
from face_generation.hardware import best_precision
from face_generation.metrics import Estimate, Gap, bootstrap, roc
from face_generation.networks import blocks
from face_generation.networks.blocks import ConvNormAct, ResidualBlock

MAX_FACES = {"train": 10_000, "val": 2_000, "test": 2_000}  # more would take too much time and memory
MIN_TRAIN = 30  # fewest faces with an attribute, and without it, to learn it from
MIN_HELD_OUT = 5  # fewest of each to test it on
CHANNELS = (32, 64, 128, 256)  # on maps of 38, 19, 10 and 5 pixels
DROPOUT = 0.3
EPOCHS = 16
BATCH_SIZE = 64
LEARNING_RATE = 4e-3  # peak
WEIGHT_DECAY = 0.05
# Largest augmentations: shift in pixels, blur as a factor of resizing, change of contrast and brightness.
SHIFT, BLUR, LIGHT = 3, 3, 0.1


@dataclass(frozen=True)
class Faces:
    """Images, uint8 N×H×W×3 of even size, with their attributes N×K."""

    images: NDArray[np.uint8]
    labels: NDArray[np.bool_]


@dataclass(frozen=True)
class LabelledFaces:
    """Faces to learn K attributes from, and others to test on. Without attributes there are no faces."""

    names: list[str]  # in lower case
    train: Faces
    held_out: Faces
    held_out_from: str  # "val and test", or "train" if no face of those splits is labelled

    @classmethod
    def load(cls, splits: Path) -> "LabelledFaces":
        """Loads the labelled faces of packed splits, up to 10,000 to learn from. An attribute is kept if enough faces
        have it and enough lack it.

        Faces of the validation and the test split are held out. If none of them is labelled, every fifth labelled face
        of the training split is held out instead.

        Raises:
            UserError: A split is missing or malformed.
        """
        names, _ = packed_attributes(splits, "train")
        train, val, test = (_read(splits, split) for split in ("train", "val", "test"))
        held_out = Faces(np.concatenate([val.images, test.images]), np.concatenate([val.labels, test.labels]))
        held_out_from = "val and test" if len(held_out.images) else "train"
        if held_out_from == "train":
            fifth = np.arange(len(train.images)) % 5 == 4
            train, held_out = (Faces(train.images[rows], train.labels[rows]) for rows in (~fifth, fifth))
        kept = enough(train.labels, MIN_TRAIN) & enough(held_out.labels, MIN_HELD_OUT)
        return cls(
            [name.lower() for name, keep in zip(names, kept, strict=True) if keep],
            Faces(train.images, train.labels[:, kept]),
            Faces(held_out.images, held_out.labels[:, kept]),
            held_out_from,
        )


def enough(labels: NDArray[np.bool_], least: int) -> NDArray[np.bool_]:
    """Labels N×K → for each of K attributes, whether at least `least` faces have it and as many lack it."""
    return np.minimum(labels.sum(0), (~labels).sum(0)) >= least


@dataclass(frozen=True)
class Accuracy:
    """How well a score tells an attribute, on faces that it was not fitted to."""

    accuracy: float  # share of faces that are judged right
    majority: float  # the accuracy of always giving the more frequent answer
    auc: float  # area under the ROC curve: the probability that a face with the attribute ranks above one without

    @classmethod
    def of(cls, scores: NDArray[np.floating], present: NDArray[np.bool_]) -> "Accuracy":
        """Measures N scores, which are positive for faces judged to have the attribute. Some faces must have it, and
        some must not."""
        return cls(
            accuracy=float(np.mean((scores > 0) == present)),
            majority=float(max(present.mean(), 1 - present.mean())),
            auc=roc.auc(scores[present], scores[~present]),
        )


class AttributeClassifier:
    """Tells K attributes of faces.

    Attributes:
        names: Names of the attributes, in lower case.
        accuracies: Accuracies on held-out faces, one for each attribute.
    """

    def __init__(self, network: nn.Module, names: list[str], accuracies: list[Accuracy]) -> None:
        self.names = names
        self.accuracies = accuracies
        self._network = network.eval()
        self._device = next(network.parameters()).device

    @torch.no_grad()
    def scores(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Images, uint8 N×H×W×3 → the log odds of each attribute, float32 N×K. Positive means that it is there."""
        out = np.empty((len(images), len(self.names)), dtype=np.float32)
        for start in range(0, len(images), BATCH_SIZE):
            rows = slice(start, start + BATCH_SIZE)
            out[rows] = (
                _forward(self._network, to_float(torch.from_numpy(_halve(images[rows])).to(self._device))).cpu().numpy()
            )
        return out

    def probabilities(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Images, uint8 N×H×W×3 → the probability of each attribute, float32 N×K."""
        return torch.from_numpy(self.scores(images)).sigmoid().numpy()


def attribute_classifier(faces: LabelledFaces, cache: Path, seed: int = 0) -> AttributeClassifier:
    """Trains a classifier of the attributes of `faces` and tests it on the held-out ones.

    It is a small residual network (He et al. 2016) on the halved image. It also learns from blurred images, so that it
    judges soft pictures as well as sharp ones. 3,800 faces take two minutes on two cores.

    Args:
        cache: Folder that keeps the classifier, under a name that depends on the faces, the seed and this code.

    Raises:
        UserError: The cache cannot be written.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    kept = cache / f"attributes-{_fingerprint(faces, seed)}.pt"
    try:
        content = torch.load(kept, map_location=device, weights_only=True)
    except FileNotFoundError:
        network = _train(faces, seed, device)
        scores = AttributeClassifier(network, faces.names, []).scores(faces.held_out.images)
        accuracies = [Accuracy.of(*column) for column in zip(scores.T, faces.held_out.labels.T, strict=True)]
        content = {"network": network.state_dict(), "accuracies": [asdict(accuracy) for accuracy in accuracies]}
        with writing(kept) as file:
            torch.save(content, file)
    except Exception as error:  # torch raises errors of many classes for broken files
        raise UserError(f"{kept} is damaged; delete it") from error
    network = _network(len(faces.names)).to(device)
    network.load_state_dict(content["network"])
    return AttributeClassifier(network, faces.names, [Accuracy(**figures) for figures in content["accuracies"]])


@dataclass(frozen=True)
class Asked:
    """How often the classifier finds an attribute in faces that were asked to have it."""

    found: Estimate  # share of those faces in which it finds the attribute
    found_in_photos: Estimate  # share of photos with the attribute in which it does: the best that can be expected


def asked(judge: AttributeClassifier, faces: Mapping[str, NDArray[np.uint8]], photos: Faces) -> dict[str, Asked | Gap]:
    """Measures how often the classifier finds attributes in faces that were drawn to have them, and in photos that have
    them.

    Args:
        faces: Drawn faces, uint8 N×H×W×3, by the attribute that was asked for.
        photos: Faces that the classifier was not trained on, with the attributes of `judge.names`, such as the
            `held_out` ones of the `LabelledFaces` that it was trained on.

    Returns:
        The figures by attribute, with 95 % intervals; a `Gap` if the classifier does not know the attribute, or if
        there are no faces or photos of it.
    """
    present = judge.scores(photos.images) > 0

    def measure(name: str, drawn: NDArray[np.uint8]) -> Asked:
        if name not in judge.names:
            raise Gap(f"the classifier has not learned {name}, because too few labelled faces have it, or lack it")
        k = judge.names.index(name)
        having = present[photos.labels[:, k], k]
        found = judge.scores(drawn)[:, k] > 0
        return Asked(_share(found), _share(having))

    measured: dict[str, Asked | Gap] = {}
    for name, drawn in tqdm(faces.items(), desc="Looking for attributes", unit="attribute", delay=1):
        try:
            measured[name] = measure(name, drawn)
        except Gap as gap:
            measured[name] = gap
    return measured


def _share(present: NDArray[np.bool_]) -> Estimate:
    return bootstrap.share(int(present.sum()), len(present))


def _read(splits: Path, name: str) -> Faces:
    _, labels = packed_attributes(splits, name)
    known = np.flatnonzero((labels != 0).all(1)) if labels.shape[1] else np.empty(0, int)
    if len(known) > MAX_FACES[name]:
        known = known[np.linspace(0, len(known) - 1, MAX_FACES[name]).round().astype(int)]
    return Faces(PackedSplit(splits, name).gather(known.tolist()).numpy(), labels[known] > 0)


def _network(attributes: int) -> nn.Module:
    """Images N×3×H×W in [-1, 1] → log odds N×attributes."""
    layers: list[nn.Module] = [ConvNormAct(3, CHANNELS[0], stride=2)]
    for wide, deep in pairwise(CHANNELS):
        layers += [ConvNormAct(wide, deep, stride=2), ResidualBlock(deep)]
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(DROPOUT), nn.Linear(CHANNELS[-1], attributes)]
    return nn.Sequential(*layers, *head).to(memory_format=torch.channels_last)


def _train(faces: LabelledFaces, seed: int, device: torch.device) -> nn.Module:
    images = torch.from_numpy(np.concatenate([_halve(part) for part in _batches(faces.train.images)]))
    labels = torch.from_numpy(faces.train.labels).float().to(device)
    batch_size = min(BATCH_SIZE, len(images))
    steps = EPOCHS * (len(images) // batch_size)
    with torch.random.fork_rng(), tqdm(total=steps, desc="Learning attributes", unit="step", delay=1) as bar:
        torch.manual_seed(seed)
        network = _network(len(faces.names)).to(device)
        optimizer = torch.optim.AdamW(network.parameters(), weight_decay=WEIGHT_DECAY, fused=True)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=steps, pct_start=0.2)
        for _ in range(EPOCHS):
            for rows in torch.randperm(len(images)).split(batch_size)[: len(images) // batch_size]:
                scores = _forward(network, _augment(to_float(images[rows].to(device))))
                loss = F.binary_cross_entropy_with_logits(scores, labels[rows])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
                bar.update()
    return network


def _forward(network: nn.Module, images: Tensor) -> Tensor:
    with torch.autocast(images.device.type, torch.bfloat16, enabled=best_precision() == "bf16-mixed"):
        scores: Tensor = network(images)
    return scores.float()


def _augment(images: Tensor) -> Tensor:
    """Mirrors, shifts and blurs each image at random, and changes its contrast and brightness."""
    count, _, size, _ = images.shape
    padded = F.pad(images, (SHIFT,) * 4, mode="replicate")
    corners, mirrored = torch.randint(0, 2 * SHIFT + 1, (count, 2)).tolist(), torch.rand(count) < 0.5
    shifted = [image[:, y : y + size, x : x + size] for image, (y, x) in zip(padded, corners, strict=True)]
    images = torch.stack([image.flip(2) if flip else image for image, flip in zip(shifted, mirrored, strict=True)])
    blurred = F.interpolate(F.avg_pool2d(images, BLUR), size=size, mode="bilinear")
    blur, contrast, brightness = torch.rand(3, count, 1, 1, 1).to(images.device)
    images = torch.lerp(images, blurred, blur)
    images = images * (1 + LIGHT * (2 * contrast - 1)) + LIGHT * (2 * brightness - 1)
    return images.contiguous(memory_format=torch.channels_last)


def _halve(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """uint8 N×H×W×3 → N×H/2×W/2×3."""
    count, height, width, channels = images.shape
    squares = images.reshape(count, height // 2, 2, width // 2, 2, channels)
    return squares.mean((2, 4), dtype=np.float32).round().astype(np.uint8)


def _batches(images: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    return np.split(images, range(BATCH_SIZE, len(images), BATCH_SIZE))


def _fingerprint(faces: LabelledFaces, seed: int) -> str:
    hashed = hashlib.sha256(f"{seed} {faces.names}".encode())
    for module in (__file__, blocks.__file__):  # a change of the code makes a new classifier
        hashed.update(Path(module).read_bytes())
    for part in (faces.train, faces.held_out):
        for array in (part.images, part.labels):
            hashed.update(f"{array.shape}".encode() + np.ascontiguousarray(array).data)
    return hashed.hexdigest()
