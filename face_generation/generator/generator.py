"""Draws faces with a bundle."""

from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property, lru_cache
from math import isfinite
from numbers import Integral, Real
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from face_generation.errors import UserError
from face_generation.generator.attributes import NOTHING, Asked, Attributes
from face_generation.generator.bundle import DECODER, ENCODER, PRIOR, Bundle
from face_generation.generator.directions import Directions
from face_generation.generator.parallel import parallel_map

SEEDS = 2**32  # seeds are 0 … SEEDS - 1
MAX_TRUNCATION = 10.0  # far beyond what decoders were trained on
KEPT = 1024  # how many new faces' latents are kept, so that an edit or a mix does not run the prior again
NO_EDITS: Mapping[str, float] = {}
PROVIDERS = ("CUDAExecutionProvider", "CPUExecutionProvider")  # by preference


class Generator:
    """Turns seeds or latents into faces, and faces into latents.

    An image is a pure function of the bundle and its latents, and latents are a pure function of the bundle, a seed and
    options. To keep this exact to the last bit, each image is drawn alone on one thread, and many images on many
    threads. So neither the number of images nor that of cores can change how sums are rounded. This is as fast
    as batches are. Only another kind of processor may round differently, which changes a pixel value by 1.

    Methods may be called from several threads.

    Example:
        >>> generator = Generator.load("vae")
        >>> generator.sample(16, seed=0, attributes={"smiling": 1, "male": -1}).shape
        (16, 150, 150, 3)
    """

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle
        self._decoder = _session(bundle.folder / DECODER)
        self._prior = _session(bundle.folder / PRIOR) if bundle.has_prior else None
        self._new = lru_cache(maxsize=KEPT)(self._draw)

    @classmethod
    def load(cls, where: str | Path) -> "Generator":
        """Opens a bundle by shipped name, such as "vae", by folder, or by address. Arguments and errors are those of
        `Bundle.load`."""
        return cls(Bundle.load(where))

    @cached_property
    def _encoder(self) -> onnxruntime.InferenceSession:
        if not self.bundle.has_encoder:
            raise UserError(f"the bundle {self.bundle.name} has no encoder; use one that has, such as a VAE's")
        return _session(self.bundle.folder / ENCODER)

    @cached_property
    def directions(self) -> Directions:
        """The directions of edits."""
        return Directions.load(self.bundle)

    @cached_property
    def attributes(self) -> Attributes:
        """The attributes that a new face can be asked to have."""
        return Attributes.load(self.bundle)

    def latents(
        self,
        n: int,
        seed: int = 0,
        truncation: float | None = None,
        edits: Mapping[str, float] = NO_EDITS,
        attributes: Asked = NOTHING,
    ) -> NDArray[np.float32]:
        """Draws the latents of the seeds `seed` … `seed + n - 1`.

        Args:
            n: Number of faces.
            seed: First seed.
            truncation: Factor of the normal vectors. Below 1 faces are more ordinary, above 1 they are stranger, and at
                0 all seeds give one good face. `None` is the bundle's default.
            edits: Strengths by name of a direction, such as {"smiling": 1.5}, by which latents are moved at the end.
            attributes: What faces should have (1 or true) or lack (-1 or false), by name, such as {"smiling": 1,
                "male": -1}. The other attributes are those of a training face that the seed chooses.

        Returns:
            Latents, float32 N×latent_dim.

        Raises:
            UserError: One of the errors of `check_request`, `Attributes.check` and `Directions.move`.
        """
        check_request(n, seed, truncation)
        return np.stack([self._latents(s, truncation, edits, attributes) for s in range(seed, seed + n)])

    def sample(
        self,
        n: int,
        seed: int = 0,
        truncation: float | None = None,
        edits: Mapping[str, float] = NO_EDITS,
        attributes: Asked = NOTHING,
    ) -> NDArray[np.uint8]:
        """Draws the faces of the seeds `seed` … `seed + n - 1`, uint8 RGB N×H×W×3. Arguments and errors are those
        of `latents`."""
        check_request(n, seed, truncation)
        images = np.empty((n, *self._image_shape), dtype=np.uint8)
        for i, image in enumerate(self.stream(n, seed, truncation, edits, attributes)):
            images[i] = image
        return images

    def stream(
        self,
        n: int,
        seed: int = 0,
        truncation: float | None = None,
        edits: Mapping[str, float] = NO_EDITS,
        attributes: Asked = NOTHING,
    ) -> Iterator[NDArray[np.uint8]]:
        """Yields the faces of `sample` one after the other, uint8 RGB H×W×3, in bounded memory."""
        check_request(n, seed, truncation)
        self.attributes.check(attributes)

        def image(seed: int) -> NDArray[np.uint8]:
            return _run(self._decoder, latents=self._latents(seed, truncation, edits, attributes))

        return parallel_map(image, range(seed, seed + n))

    def said(
        self, n: int, seed: int = 0, truncation: float | None = None, attributes: Asked = NOTHING
    ) -> NDArray[np.int8]:
        """The attributes that the prior is told of the faces of `sample`, int8 N×K: 1, -1, or 0 for nothing. Arguments
        and errors are those of `latents`."""
        check_request(n, seed, truncation)
        truncation = self._truncation(truncation)
        return np.stack([self._origin(s, truncation, attributes)[1] for s in range(seed, seed + n)])

    def decode(self, latents: NDArray[np.floating]) -> NDArray[np.uint8]:
        """Latents N×latent_dim → faces, uint8 RGB N×H×W×3.

        Raises:
            UserError: The latents have another shape, or are not finite.
        """
        latents = np.asarray(latents, dtype=np.float32)
        if latents.ndim != 2 or latents.shape[1] != self.bundle.latent_dim or not np.isfinite(latents).all():
            raise UserError(
                f"latents are finite numbers of shape (n, {self.bundle.latent_dim}) for the bundle "
                f"{self.bundle.name}, not of shape {latents.shape}"
            )
        images = np.empty((len(latents), *self._image_shape), dtype=np.uint8)
        for i, image in enumerate(self._decode_each(latents)):
            images[i] = image
        return images

    def encode(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Faces, uint8 RGB N×H×W×3 → latents N×latent_dim that `decode` turns into similar faces.

        Raises:
            UserError: The bundle has no encoder, or the images have another shape or type.
        """
        encoder = self._encoder
        if images.dtype != np.uint8 or images.shape[1:] != self._image_shape:
            raise UserError(
                f"images are uint8 of shape (n, {', '.join(map(str, self._image_shape))}) for the bundle "
                f"{self.bundle.name}, not {images.dtype} of shape {images.shape}"
            )
        latents = np.empty((len(images), self.bundle.latent_dim), dtype=np.float32)
        for i, latent in enumerate(parallel_map(lambda image: _run(encoder, images=image), images)):
            latents[i] = latent
        return latents

    def reconstruct(self, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Encodes and decodes faces, uint8 RGB N×H×W×3. The errors are those of `encode`."""
        return self.decode(self.encode(images))

    @property
    def _image_shape(self) -> tuple[int, int, int]:
        return (self.bundle.image_size, self.bundle.image_size, 3)

    def _truncation(self, given: float | None) -> float:
        return float(self.bundle.truncation if given is None else given)

    def _latents(
        self, seed: int, truncation: float | None, edits: Mapping[str, float], attributes: Asked
    ) -> NDArray[np.float32]:
        new = self._new(int(seed), self._truncation(truncation), self.attributes.check(attributes))
        return self.directions.move(new, edits)

    def _draw(self, seed: int, truncation: float, attributes: tuple[tuple[str, int], ...]) -> NDArray[np.float32]:
        """The latents of a new face. They are kept, so callers must not change them."""
        normal, said = self._origin(seed, truncation, dict(attributes))
        latents = normal
        if self._prior:
            told = {"attributes": said.astype(np.float32)} if self.attributes.names else {}
            latents = _run(self._prior, normal=normal, **told)
        latents.setflags(write=False)
        return latents

    def _origin(self, seed: int, truncation: float, attributes: Asked) -> tuple[NDArray[np.float32], NDArray[np.int8]]:
        """Draws from a seed: latent_dim standard normal numbers times `truncation`, and the attributes that the prior
        is told. At truncation 0 all seeds give one face, so the prior is told only what was asked for."""
        # RandomState is used and not default_rng, because NumPy promises that its numbers never change.
        random = np.random.RandomState(seed)
        normal = random.standard_normal(self.bundle.latent_dim).astype(np.float32) * np.float32(truncation)
        return normal, self.attributes.said(attributes, random if truncation else None)

    def _decode_each(self, latents: Iterable[NDArray[np.float32]]) -> Iterator[NDArray[np.uint8]]:
        return parallel_map(lambda latent: _run(self._decoder, latents=latent), latents)


def check_request(n: int, seed: int, truncation: float | None) -> None:
    """Checks that `n` faces can be drawn from `seed` on.

    Raises:
        UserError: `n` is below 1, a seed is outside 0 … 2³² - 1, `truncation` is neither None nor in 0 … 10, or one of
            them has the wrong type.
    """
    if not _is_number(n, Integral) or n < 1:
        raise UserError(f"the number of images must be a whole number from 1 on, not {n!r}")
    if not _is_number(seed, Integral) or not 0 <= seed < SEEDS:
        raise UserError(f"the seed must be a whole number from 0 to {SEEDS - 1}, not {seed!r}")
    if seed + n > SEEDS:
        raise UserError(f"{n} images from seed {seed} on go past the last seed, {SEEDS - 1}; ask for fewer images")
    if truncation is None:
        return
    if not _is_number(truncation, Real) or not isfinite(truncation) or not 0 <= truncation <= MAX_TRUNCATION:
        raise UserError(f"the truncation must be a number from 0 to {MAX_TRUNCATION:g}, not {truncation!r}")


def _is_number(value: object, kind: type) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)


def _session(path: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # images are drawn on threads of ours: see Generator
    options.log_severity_level = 3  # errors only
    available = onnxruntime.get_available_providers()
    return onnxruntime.InferenceSession(path, options, providers=[name for name in PROVIDERS if name in available])


def _run(session: onnxruntime.InferenceSession, **row: NDArray) -> NDArray:
    """Runs the session for one row of input, given by name, and returns the output row."""
    return session.run(None, {name: value[None] for name, value in row.items()})[0][0]
