"""Measures candidates against real faces: which metric is given which images."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import NamedTemporaryFile

import numpy as np
from numpy.typing import NDArray
from torch import nn
from tqdm import tqdm

from face_generation.data.packing import ROW_SHAPE
from face_generation.data.splits import PackedSplit
from face_generation.errors import UserError
from face_generation.evaluation.candidates import REAL, Candidate
from face_generation.generator import Generator
from face_generation.metrics import (
    Estimate,
    Gap,
    bootstrap,
    diversity,
    faces,
    inception,
    likelihood,
    manifold,
    memorisation,
    reconstruction,
    sharpness,
    wasserstein,
)
from face_generation.metrics.frechet import frechet_distance
from face_generation.metrics.memorisation import Neighbours

Images = NDArray[np.uint8]  # N×H×W×3, mostly a memory map
Floats = NDArray[np.float32]
Figures = dict[str, Estimate | Gap]  # by the key of the metric
CHUNK = 64  # images that are reconstructed at a time


class ImageSet:
    """Images and their features, which are taken when first asked for, and then kept.

    Args:
        network: Inception, or why there is none.
        embed: Gives the images' face embeddings.
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


@dataclass(frozen=True)
class Measured:
    """A candidate, or real faces in its place, with its figures."""

    label: str
    images: Images
    figures: Figures
    neighbours: Neighbours | None  # the training face nearest to each image; None where there are no embeddings
    reconstructions: Images | None = None  # of the test faces, where the candidate has an encoder
    candidate: Candidate | None = None


class Yardstick:
    """Real faces, and measuring against them. What is random depends on the seed alone.

    Args:
        splits: The folder of packed splits.
        reference: The names of those that hold the faces to compare samples with.
        n: Samples of each candidate; of each kind of real faces at most as many are chosen, at random.
        seed: Of the first sample, of that choice, and of the metrics.
        inception_weights: A file, or None to fetch them.
        cache: A folder that keeps face embeddings from one run to the next.
        temporary: A folder for images.

    Raises:
        UserError: A split is missing or malformed, the weights are, or the disk is full.
    """

    def __init__(
        self,
        splits: Path,
        reference: Sequence[str],
        n: int,
        seed: int,
        inception_weights: Path | None,
        cache: Path,
        temporary: Path,
    ) -> None:
        self.splits, self.seed = splits, seed
        self._n, self._cache, self._temporary = n, cache, temporary
        packed = {
            name: np.load(PackedSplit(splits, name).path, mmap_mode="r") for name in ("train", "test", *reference)
        }
        try:
            self._network: nn.Module | Gap = inception.load(inception_weights)
        except Gap as gap:
            self._network = gap
        self.train = self._set(packed["train"])
        self.held_out = self._set(self._choose("held-out", [packed[name] for name in reference])[0])
        self.test = self._set(self._choose("test", [packed["test"]])[0])
        chosen, rows = self._choose("training", [packed["train"]])
        # Training faces in the place of samples. All of them are embedded anyway.
        self.substitutes = ImageSet(chosen, self._network, lambda: self.train.embeddings[rows])

    def measure(self, candidate: Candidate) -> Measured:
        """Draws samples from a candidate and measures them.

        Raises:
            UserError: An image of a folder is broken or of another kind, or the disk is full.
        """
        label, generator = candidate.label, candidate.generator
        samples = self._set(self._store(candidate.images(self._n, self.seed), self._n, f"Drawing {label}"))
        figures = self._distances(samples) | self._qualities(samples)
        reconstructions = None
        if generator and generator.bundle.has_encoder:
            stream = _reconstruct(generator, self.test.images)
            rebuilt = self._set(self._store(stream, len(self.test.images), f"Reconstructing with {label}"))
            figures |= self._fidelity(rebuilt)
            reconstructions = rebuilt.images
        else:
            gap = Gap("nothing is reconstructed without an encoder; evaluate a bundle or a checkpoint that has one")
            figures |= dict.fromkeys(("psnr", "ssim", "lpips", "face_distance"), gap)
        figures |= self._likelihood(candidate)
        memorised, neighbours = self._memorisation(samples)
        return Measured(label, samples.images, figures | memorised, neighbours, reconstructions, candidate)

    def floor(self) -> Measured:
        """What real faces get: training faces in the place of samples where sets are compared, as which they are drawn
        from the same source as the held-out ones; the held-out faces themselves elsewhere."""
        memorised, neighbours = self._memorisation(self.held_out)
        figures = self._distances(self.substitutes) | self._qualities(self.held_out) | memorised
        return Measured(REAL, self.held_out.images, figures, neighbours)

    def _distances(self, samples: ImageSet) -> Figures:
        real, seed = self.held_out, self.seed
        return {
            **_attempt("fid", lambda: inception.fid(samples.inception, real.inception, seed)),
            **_attempt("kid", lambda: inception.kid(samples.inception, real.inception, seed)),
            **_attempt(
                "face_frechet",
                lambda: bootstrap.set_distance(frechet_distance, samples.embeddings, real.embeddings, seed),
            ),
            **_attempt(
                "precision recall", lambda: manifold.precision_recall(real.embeddings, samples.embeddings, seed)
            ),
            **_attempt(
                "swd swd_150 swd_75 swd_38 swd_19",
                lambda: wasserstein.sliced_wasserstein(samples.images, real.images, seed).values(),
            ),
        }

    def _qualities(self, samples: ImageSet) -> Figures:
        real, seed = self.held_out, self.seed
        return {
            **_attempt("detection_rate", lambda: bootstrap.mean(faces.detection(samples.images), seed)),
            **_attempt("sharpness", lambda: sharpness.sharpness(samples.images, real.images, seed)),
            **_attempt("ms_ssim", lambda: diversity.ms_ssim(samples.images, seed)),
            **_attempt("face_diversity", lambda: diversity.face_diversity(samples.embeddings, real.embeddings, seed)),
        }

    def _fidelity(self, rebuilt: ImageSet) -> Figures:
        test, seed = self.test, self.seed
        return {
            **_attempt("psnr", lambda: reconstruction.psnr(test.images, rebuilt.images, seed)),
            **_attempt("ssim", lambda: reconstruction.ssim(test.images, rebuilt.images, seed)),
            **_attempt("lpips", lambda: reconstruction.lpips(test.images, rebuilt.images, seed)),
            **_attempt(
                "face_distance", lambda: reconstruction.face_distance(test.embeddings, rebuilt.embeddings, seed)
            ),
        }

    def _likelihood(self, candidate: Candidate) -> Figures:
        negative_elbo = getattr(candidate.model, "negative_elbo", None)
        if negative_elbo is None:
            return {"bits_per_dim": Gap("only the checkpoint of a VAE has a likelihood; evaluate that")}
        return _attempt("bits_per_dim", lambda: likelihood.bits_per_dim(negative_elbo, self.test.images, self.seed))

    def _memorisation(self, samples: ImageSet) -> tuple[Figures, Neighbours | None]:
        try:
            found = memorisation.nearest(samples.embeddings, self.train.embeddings)
            known = self._known
        except Gap as gap:
            return {"nearest_train": gap, "copies": gap}, None
        figures = {
            **_attempt("nearest_train", lambda: memorisation.nearest_train(found, known, self.seed)),
            **_attempt("copies", lambda: memorisation.copies(found, known, self.seed)),
        }
        return figures, found

    @cached_property
    def _known(self) -> Neighbours:
        """The training faces nearest to the held-out ones."""
        return memorisation.nearest(self.held_out.embeddings, self.train.embeddings)

    def _set(self, images: Images) -> ImageSet:
        return ImageSet(images, self._network, lambda: faces.embeddings(images, self._cache))

    def _choose(self, kind: str, splits: Sequence[Images]) -> tuple[Images, NDArray[np.intp]]:
        """At most n faces of several splits as one array, and their rows there, in order."""
        rows = np.sort(np.random.default_rng(self.seed).permutation(sum(map(len, splits)))[: self._n])
        ends = np.cumsum([len(split) for split in splits])
        places = zip(np.searchsorted(ends, rows, side="right"), rows, strict=True)
        stream = (splits[number][row - ends[number]] for number, row in places)  # counted from the split's end
        return self._store(stream, len(rows), f"Choosing {kind} faces"), rows

    def _store(self, images: Iterable[NDArray[np.uint8]], n: int, title: str) -> Images:
        """Writes n images to a temporary file, and maps it."""
        try:
            with NamedTemporaryFile(dir=self._temporary, suffix=".npy", delete=False) as file:
                header = {"descr": "|u1", "fortran_order": False, "shape": (n, *ROW_SHAPE)}
                np.lib.format.write_array_header_1_0(file, header)
                for image in tqdm(images, desc=title, total=n, unit="image", delay=1):
                    file.write(image.tobytes())
        except OSError as error:
            raise UserError(
                f"cannot keep images in {self._temporary} ({error.strerror}); free some space, or set TMPDIR to "
                "another folder"
            ) from error
        return np.load(file.name, mmap_mode="r")


def _attempt(keys: str, measure: Callable[[], Estimate | Iterable[Estimate]]) -> Figures:
    """What `measure` gives, by its key or keys, or why it gives nothing."""
    try:
        found = measure()
    except Gap as gap:
        return dict.fromkeys(keys.split(), gap)
    return dict(zip(keys.split(), [found] if isinstance(found, Estimate) else found, strict=True))


def _reconstruct(generator: Generator, images: Images) -> Iterator[NDArray[np.uint8]]:
    for start in range(0, len(images), CHUNK):
        yield from generator.decode(generator.encode(np.array(images[start : start + CHUNK])))
