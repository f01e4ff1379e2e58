"""Draws faces with a bundle."""

from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from math import isfinite
from numbers import Integral, Real
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from face_generation.errors import UserError
from face_generation.generator.bundle import DECODER, ENCODER, Bundle
from face_generation.generator.directions import Directions
from face_generation.generator.latents import draw
from face_generation.generator.parallel import parallel_map

SEEDS = 2**32  # seeds are 0 … SEEDS - 1
MAX_TRUNCATION = 10.0  # far beyond what a decoder knows
NO_EDITS: Mapping[str, float] = {}
PROVIDERS = ("CUDAExecutionProvider", "CPUExecutionProvider")  # by preference


class Generator:
    """Turns seeds or latents into faces, and faces into latents.

    An image is a pure function of the bundle and its latent. To keep that true to the last bit, each image is decoded
    by itself on one thread, and many images on many threads: neither the number of images nor of cores can change how
    sums are rounded. It is as fast as batches are. Only another kind of processor may round differently, and then a
    pixel value by 1.

    Methods may be called from several threads.

    Example:
        >>> generator = Generator.load("vae")
        >>> generator.sample(16, seed=0).shape
        (16, 150, 150, 3)
    """

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle
        self._decoder = _session(bundle.folder / DECODER)

    @classmethod
    def load(cls, where: str | Path) -> "Generator":
        """Opens a bundle: a shipped name such as "vae", a folder, or an MLflow URI. See `Bundle.load`."""
        return cls(Bundle.load(where))

    @cached_property
    def _encoder(self) -> onnxruntime.InferenceSession:
        if not self.bundle.has_encoder:
            raise UserError(f"the bundle {self.bundle.name} has no encoder; use one that has, such as a VAE's")
        return _session(self.bundle.folder / ENCODER)

    @cached_property
    def directions(self) -> Directions:
        """What edits there are. See `Directions`."""
        return Directions.load(self.bundle)

    def latents(
        self, n: int, seed: int = 0, truncation: float = 1.0, edits: Mapping[str, float] = NO_EDITS
    ) -> NDArray[np.float32]:
        """The latents of the seeds `seed` … `seed + n - 1`, N×latent_dim, each drawn from a standard normal.

        `truncation` multiplies them: 0 is the average face, below 1 more ordinary ones, above 1 stranger ones. Then
        `edits` moves them: strengths by name of the direction, such as {"smiling": 1.5}.

        Raises:
            UserError: As `check_request` and `Directions.move`.
        """
        check_request(n, seed, truncation)
        return np.stack([self._latent(s, truncation, edits) for s in range(seed, seed + n)])

    def sample(
        self, n: int, seed: int = 0, truncation: float = 1.0, edits: Mapping[str, float] = NO_EDITS
    ) -> NDArray[np.uint8]:
        """The faces of the seeds `seed` … `seed + n - 1`, uint8 RGB N×H×W×3. Arguments as for `latents`."""
        return self.decode(self.latents(n, seed, truncation, edits))

    def stream(
        self, n: int, seed: int = 0, truncation: float = 1.0, edits: Mapping[str, float] = NO_EDITS
    ) -> Iterator[NDArray[np.uint8]]:
        """The same faces as `sample` one after the other, H×W×3, in bounded memory whatever their number."""
        check_request(n, seed, truncation)
        return self._decode_each(self._latent(s, truncation, edits) for s in range(seed, seed + n))

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
        """Faces, uint8 RGB N×H×W×3 → latents N×latent_dim that `decode` turns into like faces.

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
        """Faces → what the model makes of them, both uint8 RGB N×H×W×3. Raises as `encode`."""
        return self.decode(self.encode(images))

    @property
    def _image_shape(self) -> tuple[int, int, int]:
        return (self.bundle.image_size, self.bundle.image_size, 3)

    def _latent(self, seed: int, truncation: float, edits: Mapping[str, float]) -> NDArray[np.float32]:
        return self.directions.move(draw(self.bundle.latent_dim, seed, truncation), edits)

    def _decode_each(self, latents: Iterable[NDArray[np.float32]]) -> Iterator[NDArray[np.uint8]]:
        return parallel_map(lambda latent: _run(self._decoder, latents=latent), latents)


def check_request(n: int, seed: int, truncation: float) -> None:
    """Says whether `n` faces can be drawn from `seed` on.

    Raises:
        UserError: `n` is below 1, a seed is outside 0 … 2³² - 1, `truncation` is outside 0 … 10, or one of them is not
            a number of its kind.
    """
    if not _is_number(n, Integral) or n < 1:
        raise UserError(f"the number of images must be a whole number from 1 on, not {n!r}")
    if not _is_number(seed, Integral) or not 0 <= seed < SEEDS:
        raise UserError(f"the seed must be a whole number from 0 to {SEEDS - 1}, not {seed!r}")
    if seed + n > SEEDS:
        raise UserError(f"{n} images from seed {seed} on go past the last seed, {SEEDS - 1}; ask for fewer images")
    if not _is_number(truncation, Real) or not isfinite(truncation) or not 0 <= truncation <= MAX_TRUNCATION:
        raise UserError(f"the truncation must be a number from 0 to {MAX_TRUNCATION:g}, not {truncation!r}")


def _is_number(value: object, kind: type) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)


def _session(path: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # the threads are above: see Generator
    options.log_severity_level = 3  # errors only
    available = onnxruntime.get_available_providers()
    return onnxruntime.InferenceSession(path, options, providers=[name for name in PROVIDERS if name in available])


def _run(session: onnxruntime.InferenceSession, **row: NDArray) -> NDArray:
    """The session's output for one row of its input, which is given by its name."""
    return session.run(None, {name: value[None] for name, value in row.items()})[0][0]
