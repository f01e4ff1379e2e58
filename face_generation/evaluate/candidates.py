"""Opens what can be evaluated (bundles, checkpoints, folders of images) as sources of images."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from face_generation.errors import UserError
from face_generation.export.bundle import export_bundle
from face_generation.generator import Bundle, Generator
from face_generation.generator.bundle import MANIFEST, MLFLOW_URI, is_remote, shipped
from face_generation.generator.parallel import parallel_map
from face_generation.models import checkpoint
from face_generation.tracking import Run, recorded_run, run_of_uri

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp"})
REAL = "real"  # label of the column of real faces, which no candidate may have


@dataclass(frozen=True)
class Candidate:
    """A generator, or a folder of images."""

    label: str  # unique name in tables
    source: str  # as the user named it
    generator: Generator | None = None
    is_checkpoint: bool = False  # if so, the generator's bundle is temporary
    files: Sequence[Path] = ()  # the images, if it is a folder of images
    run: Run | None = None  # the MLflow run that made it, if known

    @property
    def bundle(self) -> Bundle | None:
        """The bundle on this machine that results can be written to; `None` for checkpoints and images."""
        kept = self.generator and not self.is_checkpoint and not is_remote(self.source)
        return self.generator.bundle if self.generator and kept else None

    def images(self, n: int, seed: int, truncation: float, size: int) -> Iterator[NDArray[np.uint8]]:
        """Yields `n` images, uint8 RGB size×size×3: those of the seeds from `seed` on, or the first of the folder.

        Raises:
            UserError: A file of the folder is broken or not an RGB image of this size, or the generator draws another
                size.
        """
        if not self.generator:
            return parallel_map(partial(_read, size=size), self.files[:n])
        if (drawn := self.generator.bundle.image_size) != size:
            raise UserError(
                f"{self.source} draws images of {drawn}×{drawn} pixels, and the splits have {size}×{size}; "
                f"pack splits of its size: python scripts/train_val_split.py data splits_{drawn} --size {drawn}, "
                f"and give splits=splits_{drawn}"
            )
        return self.generator.stream(n, seed, truncation)


def find(sources: Sequence[str], temporary: Path, splits: Path) -> list[Candidate]:
    """Opens each source. A checkpoint is exported to `temporary` first, so that what would be shipped is measured.

    Raises:
        UserError: A source cannot be evaluated, or is broken.
    """
    if not sources:
        raise UserError("there is nothing to evaluate; give a bundle: bundle=vae")
    candidates: list[Candidate] = []
    labels = {REAL}
    for number, source in enumerate(sources):
        candidate = _open(source, temporary / str(number), splits)
        candidate = replace(candidate, label=_distinct(candidate.label, labels))
        labels.add(candidate.label)
        candidates.append(candidate)
    return candidates


def _open(source: str, temporary: Path, splits: Path) -> Candidate:
    path = Path(source).expanduser()
    if path.suffix == ".ckpt":
        model, provenance = checkpoint.load(path)
        label = provenance["config"].get("name", path.stem)
        bundle = export_bundle(model, temporary, label, provenance, splits, directions=False)
        return Candidate(label, source, Generator(bundle), is_checkpoint=True, run=recorded_run(path))
    if source not in shipped() and path.is_dir() and not (path / MANIFEST).exists():
        files = sorted(file for file in path.iterdir() if file.suffix.lower() in SUFFIXES and file.name[0] != ".")
        if not files:
            raise UserError(
                f"the folder {source} has neither {MANIFEST} nor images ({', '.join(sorted(SUFFIXES))}); "
                "give a bundle or a folder of images"
            )
        return Candidate(path.resolve().name, source, files=files)
    generator = Generator.load(source)
    run = run_of_uri(source) if MLFLOW_URI.match(source) else recorded_run(generator.bundle.folder)
    return Candidate(generator.bundle.name, source, generator, run=run)


def _distinct(label: str, taken: set[str]) -> str:
    number, distinct = 1, label
    while distinct in taken:
        number += 1
        distinct = f"{label}-{number}"
    return distinct


def _read(path: Path, size: int) -> NDArray[np.uint8]:
    try:
        with Image.open(path) as image:
            if image.mode != "RGB" or image.size != (size, size):
                raise UserError(
                    f"{path} is an image of {image.width}×{image.height} pixels in mode {image.mode}, not of "
                    f"{size}×{size} in RGB; convert or remove it"
                )
            return np.asarray(image)
    except UnidentifiedImageError as error:
        raise UserError(f"{path} is not an image; remove it") from error
    except Image.DecompressionBombError as error:
        raise UserError(f"{path} is a damaged image, or too large ({error}); remove it") from error
    except (OSError, SyntaxError, ValueError) as error:  # Pillow raises these for damaged files
        raise UserError(f"{path} is a damaged image ({error}); fetch it again, or remove it") from error
