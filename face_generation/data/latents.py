"""The latents of packed splits, which a prior learns from."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset
from tqdm import tqdm

from face_generation.data.datamodule import PackedDataModule
from face_generation.data.splits import PackedSplit, packed_attributes
from face_generation.data.summary import Summary, check
from face_generation.errors import UserError
from face_generation.files import sweep, writing
from face_generation.generator import Generator
from face_generation.generator.bundle import ENCODER, MANIFEST

SPLITS = ("train", "val")  # those that a prior needs
CHUNK = 256  # images that are encoded at a time

Batch = tuple[Tensor, Tensor]  # latents and attributes


class LatentSplit(Dataset[Batch]):
    """The latents of one split and of its mirror images, with attributes.

    `split.gather(indices)` is a batch: latents, float32 B×2×latent_dim, and attributes, float32 B×K (1, -1, or 0 if
    unknown).

    Args:
        path: Array of latents that `encode_split` wrote.
        attributes: Attribute values, int8 N×K.
    """

    def __init__(self, path: Path, attributes: NDArray[np.int8]) -> None:
        self.path = path
        self.attributes = attributes
        self._latents = np.load(path, mmap_mode="r")

    def __len__(self) -> int:
        return len(self._latents)

    @property
    def sample_bytes(self) -> int:
        """Memory that one sample of a batch takes, in bytes."""
        return sum(tensor.nbytes for tensor in self.gather([0]))

    def gather(self, indices: list[int]) -> Batch:
        latents = torch.from_numpy(np.take(self._latents, indices, axis=0)).float()
        return latents, torch.from_numpy(self.attributes[indices]).float()

    __getitems__ = gather  # the name that torch's DataLoader looks for

    def moments(self, channels: int) -> tuple[Tensor, Tensor]:
        """The mean and the standard deviation of each of C channels over images and places, float32 C each."""
        latents = self._latents.reshape(len(self), 2, channels, -1)
        sums = [(chunk.sum((0, 1, 3)), (chunk**2).sum((0, 1, 3))) for chunk in _doubles(latents)]
        total, squares = (np.sum(each, axis=0) for each in zip(*sums, strict=True))
        count = latents.size / channels
        mean = total / count
        return torch.from_numpy(mean).float(), torch.from_numpy(np.sqrt(squares / count - mean**2)).float()


def _doubles(array: NDArray[np.floating]) -> Iterator[NDArray[np.float64]]:
    for start in range(0, len(array), CHUNK):
        yield array[start : start + CHUNK].astype(np.float64)


def encode_split(generator: Generator, split: PackedSplit, path: Path) -> None:
    """Writes the latents of a split's images and of their mirror images: float16 N×2×latent_dim at `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = (len(split), 2, generator.bundle.latent_dim)
    with writing(path) as file, tqdm(total=len(split), desc=f"Encoding {split.path}", unit="image") as progress:
        np.lib.format.write_array_header_1_0(file, {"descr": "<f2", "fortran_order": False, "shape": shape})
        for start in range(0, len(split), CHUNK):
            images = split.gather(list(range(start, min(start + CHUNK, len(split))))).numpy()
            views = images, np.ascontiguousarray(images[:, :, ::-1])
            file.write(np.stack([generator.encode(view) for view in views], axis=1).astype("<f2").tobytes())
            progress.update(len(images))


class LatentDataModule(PackedDataModule):
    """Train and validation loaders over the latents of packed splits.

    The splits are encoded once, by the encoder of a bundle, and kept for the next time.

    Args:
        autoencoder: A bundle with an encoder: a shipped name, a folder, or an MLflow URI. It can also be a folder of
            runs, which stands for the newest bundle in it.
        cache: Folder for the latents. It gets one folder for each encoder and data set.
        options: Options of `PackedDataModule`. `flip` replaces each training face by its mirror image half of the time.

    Raises:
        UserError: There is no such bundle, it has no encoder, or a split is missing or malformed.
    """

    def __init__(self, autoencoder: str, cache: str, **options: Any) -> None:
        super().__init__(**options)
        # The time of the encoder decides which bundle is the newest, because evaluating a bundle changes its manifest.
        found = () if (Path(autoencoder) / MANIFEST).exists() else Path(autoencoder).glob(f"**/{ENCODER}")
        newest = max(found, key=lambda path: path.stat().st_mtime, default=None)
        self.autoencoder = str(newest.parent) if newest else autoencoder
        self.cache = Path(cache)

    def prepare_data(self) -> None:
        super().prepare_data()
        check(self.folder)
        generator = Generator.load(self.autoencoder)
        folder = self._folder(generator)
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / ".lock"):  # several processes may start at once
            sweep(folder)
            for name in SPLITS:
                if not (folder / f"{name}.npy").exists():
                    encode_split(generator, PackedSplit(self.folder, name), folder / f"{name}.npy")

    def setup(self, stage: str) -> None:
        generator = Generator.load(self.autoencoder)
        folder = self._folder(generator)
        splits: Any = {}  # latent splits stand in for packed splits in the loaders
        for name in SPLITS:
            splits[name] = LatentSplit(folder / f"{name}.npy", packed_attributes(self.folder, name)[1])
        self.splits = splits
        self.bundle = generator.bundle

    @property
    def shapes(self) -> dict[str, Any]:
        shape = (*self.bundle.latent_shape, 1, 1)[:3]  # latents without places count as one place
        train: Any = self.splits["train"]
        mean, std = train.moments(shape[0])
        return {
            "latent_shape": list(shape),
            "latent_mean": mean.tolist(),
            "latent_std": std.tolist(),
            "attributes": [name.lower() for name in packed_attributes(self.folder, "train")[0]],
            "autoencoder": self.autoencoder,
            "encoder_sha256": self.bundle.files[ENCODER],
        }

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:  # type: ignore[override]
        latents, attributes = batch
        training = self.trainer is not None and self.trainer.training
        side = self._flipped(len(latents)).long() if training else torch.zeros(len(latents), dtype=torch.long)
        return latents[torch.arange(len(latents)), side.to(latents.device)], attributes

    def _folder(self, generator: Generator) -> Path:
        if not generator.bundle.has_encoder:
            raise UserError(f"the bundle {self.autoencoder} has no encoder; give one that has, such as a VAE's")
        key = hashlib.sha256(generator.bundle.files[ENCODER].encode())
        for name in SPLITS:
            key.update((self.folder / f"{name}.csv").read_bytes())
        if summary := Summary.read(self.folder):
            key.update(repr(summary.checksums).encode())
        return self.cache / key.hexdigest()[:16]
