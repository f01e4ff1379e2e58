"""Measures candidates against real faces: gives each metric the images that it needs."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import NamedTemporaryFile

import numpy as np
from numpy.typing import NDArray
from torch import nn
from tqdm import tqdm

from face_generation.data.celeba import SPLITS
from face_generation.data.splits import PackedSplit, packed_attributes
from face_generation.errors import UserError
from face_generation.evaluate.candidates import REAL, Candidate
from face_generation.generator import Generator
from face_generation.metrics import (
    Estimate,
    Gap,
    Images,
    Metric,
    bootstrap,
    diversity,
    frechet,
    inception,
    manifold,
    memorisation,
    recognition,
    reconstruction,
    sharpness,
    spectrum,
    two_sample,
    wasserstein,
)
from face_generation.metrics.memorisation import Neighbours

Floats = NDArray[np.float32]
Figures = dict[str, Estimate | Gap]  # by the key of the metric
CHUNK = 64  # images that are reconstructed at a time


class ImageSet:
    """Images and their features, which are computed on first use and then kept.

    Args:
        network: Inception, or a `Gap` that says why it is missing.
        embed: Returns the images' face embeddings.
    """

    def __init__(self, images: Images, network: nn.Module | Gap, embed: Callable[[], Floats]) -> None:
        self.images = images
        self._network = network
        self._embed = embed

    @cached_property
    def inception(self) -> Floats:
        if isinstance(self._network, Gap):
            raise self._network
        return inception.features(self.images, self._network)

    @cached_property
    def embeddings(self) -> Floats:
        return self._embed()

    @cached_property
    def features(self) -> Floats:
        return two_sample.features(self.images)

    @cached_property
    def features_third(self) -> Floats:
        return two_sample.features(self.images, shrink=3)


@dataclass(frozen=True)
class Measured:
    """The figures of a candidate, or of real faces."""

    label: str
    images: Images
    figures: Figures
    neighbours: Neighbours | None  # the training face nearest to each image; None if there are no embeddings
    reconstructions: Images | None = None  # of the test faces, if the candidate has an encoder
    candidate: Candidate | None = None


class Yardstick:
    """Measures samples against real faces. Everything random depends only on the seed.

    There are three kinds of real faces. Samples are compared with the *reference*. The *stand-ins*, training faces that
    are not in the reference, take the place of samples, and show what samples would get if they were as good as real
    faces. The *held-out* faces, of the validation and the test split, are those that no model was trained on.

    Args:
        splits: Folder of packed splits.
        reference: Names of the splits that the reference is chosen from.
        n: Number of samples of each candidate, and the largest number of real faces of each kind.
        seed: Seed of the first sample, of the choice of real faces, and of the metrics.
        truncation: Truncation of the samples.
        inception_weights: File with the weights of Inception. `None` fetches them.
        cache: Folder that keeps face embeddings from one run to the next.
        temporary: Folder for images.

    Raises:
        UserError: A split or the weights are missing or malformed, or the disk is full.
    """

    def __init__(
        self,
        splits: Path,
        reference: Sequence[str],
        n: int,
        seed: int,
        truncation: float,
        inception_weights: Path | None,
        cache: Path,
        temporary: Path,
    ) -> None:
        packed = {name: np.load(PackedSplit(splits, name).path, mmap_mode="r") for name in SPLITS}
        training = len(packed["train"])
        self.attributes = packed_attributes(splits, "train")
        self.n = min(n, max(1, training // 2))  # stand-ins and reference may both be training faces
        self.seed, self.truncation, self._cache, self._temporary = seed, truncation, cache, temporary
        self._image_shape = packed["train"].shape[1:]
        try:
            self._network: nn.Module | Gap = inception.load(inception_weights)
        except Gap as gap:
            self._network = gap
        self.train = self._set(packed["train"])

        sources = [packed[name] for name in SPLITS if name in reference]  # the training split is the first
        chosen = self._choose(sum(map(len, sources)))
        taken = chosen if "train" in reference else chosen[:0]
        free = np.setdiff1d(np.arange(training), taken)
        rows = free[self._choose(len(free))]
        self.reference = self._set(self._pick("reference", sources, chosen))
        stand_ins = self._pick("training", [packed["train"]], rows)
        self._stand_ins = ImageSet(stand_ins, self._network, lambda: self.train.embeddings[rows])
        held_out = [packed["val"], packed["test"]]
        self.held_out = self._set(self._pick("held-out", held_out, self._choose(sum(map(len, held_out)))))
        self.test = self._set(self._pick("test", [packed["test"]], self._choose(len(packed["test"]))))

    def draw(self, candidate: Candidate) -> Images:
        """Draws samples from a candidate into the temporary folder.

        Raises:
            UserError: An image of a folder is broken or of another size or mode, or the disk is full.
        """
        return self._store(
            candidate.images(self.n, self.seed, self.truncation, self._image_shape[0]),
            self.n,
            f"Drawing {candidate.label}",
        )

    def measure(self, candidate: Candidate, drawn: Images) -> Measured:
        """Measures the samples of a candidate, and how well it reconstructs."""
        label, generator, samples = candidate.label, candidate.generator, self._set(drawn)
        figures = self._distances(samples) | self._qualities(samples)
        reconstructions = None
        if generator and generator.bundle.has_encoder:
            stream = _reconstruct(generator, self.test.images)
            rebuilt = self._set(self._store(stream, len(self.test.images), f"Reconstructing with {label}"))
            figures |= self._fidelity(rebuilt)
            reconstructions = rebuilt.images
        else:
            gap = Gap("nothing is reconstructed without an encoder; evaluate a bundle or a checkpoint that has one")
            figures |= {metric.key: gap for metric in reconstruction.METRICS}
        memorised, neighbours = self._memorisation(samples)
        return Measured(label, drawn, figures | memorised, neighbours, reconstructions, candidate)

    def real(self) -> Measured:
        """Measures real faces: the stand-ins, as if they were samples. Detection and copies are measured on held-out
        faces; for copies, one half of them stands for samples and the other for held-out faces."""
        figures = self._distances(self._stand_ins) | self._qualities(self._stand_ins)
        figures |= _attempt(
            lambda: bootstrap.mean(recognition.detection(self.held_out.images), self.seed), recognition.DETECTION_RATE
        )
        memorised, neighbours = self._memorisation_of_real()
        return Measured(REAL, self.held_out.images, figures | memorised, neighbours)

    def _distances(self, samples: ImageSet) -> Figures:
        real, seed = self.reference, self.seed

        def face_frechet() -> Estimate:
            return bootstrap.set_distance(frechet.frechet_distance, samples.embeddings, real.embeddings, seed)

        def swd() -> Iterable[Estimate]:
            return wasserstein.sliced_wasserstein(samples.images, real.images, seed).values()

        def auc_third() -> Estimate:
            return two_sample.auc(samples.features_third, real.features_third, seed)

        return {
            **_attempt(lambda: inception.fid(samples.inception, real.inception, seed), inception.FID),
            **_attempt(lambda: inception.kid(samples.inception, real.inception, seed), inception.KID),
            **_attempt(face_frechet, frechet.FACE_FRECHET),
            **_attempt(lambda: manifold.precision(real.embeddings, samples.embeddings, seed), manifold.PRECISION),
            **_attempt(lambda: manifold.recall(real.embeddings, samples.embeddings, seed), manifold.RECALL),
            **_attempt(lambda: two_sample.auc(samples.features, real.features, seed), two_sample.AUC),
            **_attempt(auc_third, two_sample.AUC_THIRD),
            **_attempt(swd, *wasserstein.METRICS),
        }

    def _qualities(self, samples: ImageSet) -> Figures:
        real, seed = self.reference, self.seed

        def face_diversity() -> Estimate:
            return diversity.face_diversity(samples.embeddings, real.embeddings, seed)

        return {
            **_attempt(lambda: bootstrap.mean(recognition.detection(samples.images), seed), recognition.DETECTION_RATE),
            **_attempt(lambda: sharpness.sharpness(samples.images, real.images, seed), sharpness.SHARPNESS),
            **_attempt(lambda: spectrum.grid_artefact(samples.images, real.images, seed), spectrum.GRID_ARTEFACT),
            **_attempt(lambda: diversity.ms_ssim(samples.images, seed), diversity.MS_SSIM),
            **_attempt(face_diversity, diversity.FACE_DIVERSITY),
        }

    def _fidelity(self, rebuilt: ImageSet) -> Figures:
        test, seed = self.test, self.seed

        def face_distance() -> Estimate:
            return reconstruction.face_distance(test.embeddings, rebuilt.embeddings, seed)

        return {
            **_attempt(lambda: reconstruction.psnr(test.images, rebuilt.images, seed), reconstruction.PSNR),
            **_attempt(lambda: reconstruction.ssim(test.images, rebuilt.images, seed), reconstruction.SSIM),
            **_attempt(lambda: reconstruction.lpips(test.images, rebuilt.images, seed), reconstruction.LPIPS),
            **_attempt(face_distance, reconstruction.FACE_DISTANCE),
        }

    def _memorisation(self, samples: ImageSet) -> tuple[Figures, Neighbours | None]:
        try:
            found, known = memorisation.nearest(samples.embeddings, self.train.embeddings), self._known
        except Gap as gap:
            return {metric.key: gap for metric in memorisation.METRICS}, None
        return self._beside(found, known), found

    def _memorisation_of_real(self) -> tuple[Figures, Neighbours | None]:
        try:
            known = self._known
        except Gap as gap:
            return {metric.key: gap for metric in memorisation.METRICS}, None
        order = np.random.default_rng(self.seed).permutation(len(known.distances))
        one, other = (Neighbours(known.distances[half], known.indices[half]) for half in np.array_split(order, 2))
        return self._beside(one, other), known

    def _beside(self, found: Neighbours, known: Neighbours) -> Figures:
        return {
            **_attempt(lambda: memorisation.nearest_train(found, known, self.seed), memorisation.NEAREST_TRAIN),
            **_attempt(lambda: memorisation.copies(found, known, self.seed), memorisation.COPIES),
        }

    @cached_property
    def _known(self) -> Neighbours:
        """The training faces nearest to the held-out ones."""
        return memorisation.nearest(self.held_out.embeddings, self.train.embeddings)

    def _set(self, images: Images) -> ImageSet:
        return ImageSet(images, self._network, lambda: recognition.embeddings(images, self._cache))

    def _choose(self, count: int) -> NDArray[np.intp]:
        """Chooses up to n of `count` rows at random, in order."""
        return np.sort(np.random.default_rng(self.seed).permutation(count)[: self.n])

    def _pick(self, kind: str, splits: Sequence[Images], rows: NDArray[np.intp]) -> Images:
        """Copies rows of several splits, numbered as if these were one array."""
        ends = np.cumsum([len(split) for split in splits])
        places = zip(np.searchsorted(ends, rows, side="right"), rows, strict=True)
        stream = (splits[number][row - ends[number]] for number, row in places)  # negative, from the split's end
        return self._store(stream, len(rows), f"Choosing {kind} faces")

    def _store(self, images: Iterable[NDArray[np.uint8]], n: int, title: str) -> Images:
        """Writes n images to a temporary file and maps it into memory."""
        try:
            with NamedTemporaryFile(dir=self._temporary, suffix=".npy", delete=False) as file:
                header = {"descr": "|u1", "fortran_order": False, "shape": (n, *self._image_shape)}
                np.lib.format.write_array_header_1_0(file, header)
                for image in tqdm(images, desc=title, total=n, unit="image", delay=1):
                    file.write(image.tobytes())
        except OSError as error:
            raise UserError(
                f"cannot keep images in {self._temporary} ({error.strerror}); free some space, or set TMPDIR to "
                "another folder"
            ) from error
        return np.load(file.name, mmap_mode="r")


def _attempt(measure: Callable[[], Estimate | Iterable[Estimate]], *metrics: Metric) -> Figures:
    """Calls `measure` and returns its figures by metric, or the gap that it raises for all of them."""
    keys = [metric.key for metric in metrics]
    try:
        found = measure()
    except Gap as gap:
        return dict.fromkeys(keys, gap)
    return dict(zip(keys, [found] if isinstance(found, Estimate) else found, strict=True))


def _reconstruct(generator: Generator, images: Images) -> Iterator[NDArray[np.uint8]]:
    for start in range(0, len(images), CHUNK):
        yield from generator.decode(generator.encode(np.array(images[start : start + CHUNK])))
