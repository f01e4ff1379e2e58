"""Reads packed splits: memory-mapped arrays, a batch at a time.

`scripts/train_val_split.py` writes a split as `<split>.npy` (uint8, N×S×S×3) and `<split>.csv` (names and attributes).
An array N×H×W×C in memory is what torch calls `channels_last`, so pixels reach the network without being rearranged.
"""

import csv
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, DistributedSampler

from face_generation.errors import UserError


class PackedSplit(Dataset[Tensor]):
    """One packed split. `split[i]` is image i as uint8 S×S×3; `split.gather(indices)` is a batch of them.

    Attributes:
        image_size: S, in pixels.

    Raises:
        UserError: The file is missing, or is not a packed array of square RGB images.
    """

    def __init__(self, folder: Path, name: str) -> None:
        path = folder / f"{name}.npy"
        remedy = "make the splits with: python scripts/train_val_split.py data splits"
        if not path.exists():
            raise UserError(f"{path} is missing; {remedy}")
        try:
            images = np.load(path, mmap_mode="r")
        except (ValueError, EOFError) as error:
            raise UserError(f"{path} is not a complete array ({error}); delete the folder and {remedy}") from error
        square = images.ndim == 4 and images.shape[1] == images.shape[2] and images.shape[3] == 3
        if images.dtype != np.uint8 or not square or not len(images):
            raise UserError(
                f"{path} holds {images.dtype} of shape {images.shape}, not uint8 N×S×S×3 with N > 0; "
                f"delete the folder and {remedy}"
            )
        self.path = path
        self.image_size: int = images.shape[1]
        self._images = images

    def __len__(self) -> int:
        return len(self._images)

    @property
    def sample_bytes(self) -> int:
        """Memory that one sample of a batch takes, in bytes."""
        return self._images[0].nbytes

    def __getitem__(self, index: int) -> Tensor:
        return torch.from_numpy(np.array(self._images[index]))

    def gather(self, indices: list[int]) -> Tensor:
        """Copies the images at B indices out of the map at once: uint8 B×S×S×3."""
        return torch.from_numpy(np.take(self._images, indices, axis=0))

    __getitems__ = gather  # the name that torch's DataLoader looks for

    def __getstate__(self) -> dict[str, Any]:
        # A worker process maps the file itself; the pixels are not sent to it.
        return {"path": self.path, "image_size": self.image_size}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.path, self.image_size = state["path"], state["image_size"]
        self._images = np.load(self.path, mmap_mode="r")


def packed_attributes(folder: Path, name: str) -> tuple[list[str], NDArray[np.int8]]:
    """The K attribute names of a packed split and their values, int8 N×K: 1, -1, or 0 if unknown.

    Raises:
        UserError: The table is missing.
    """
    path = folder / f"{name}.csv"
    if not path.exists():
        raise UserError(f"{path} is missing; make the splits again with scripts/train_val_split.py")
    with path.open(newline="", encoding="utf-8") as file:
        _, *names = next(csv.reader(file))
        values = [row[1:] for row in csv.reader(file)]
    return names, np.array(values, dtype=np.int8).reshape(len(values), len(names))


class ShuffledSampler(DistributedSampler[int]):
    """This process's share of a shuffle that depends only on the seed and the epoch, from sample `start` on."""

    start = 0

    def __iter__(self) -> Iterator[int]:
        return itertools.islice(super().__iter__(), self.start, None)


class OrderedSampler(DistributedSampler[int]):
    """This process's share of the samples, in order.

    torch's own sampler repeats samples to make all shares equal, so a metric would count some of them twice.
    """

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.rank, len(self.dataset), self.num_replicas))  # type: ignore[arg-type]

    def __len__(self) -> int:
        return len(range(self.rank, len(self.dataset), self.num_replicas))  # type: ignore[arg-type]


class TrainLoader(DataLoader[Tensor]):
    """A loader that resumes in the middle of an epoch. Lightning keeps its `state_dict` in checkpoints."""

    sampler: ShuffledSampler
    batch_size: int
    _delivered = 0
    _resume_at = 0

    def __iter__(self) -> Iterator[Tensor]:  # type: ignore[override]
        self._delivered, self._resume_at = self._resume_at, 0
        self.sampler.start = self._delivered * self.batch_size
        for batch in super().__iter__():
            self._delivered += 1
            yield batch

    def state_dict(self) -> dict[str, int]:
        return {"batches_delivered": self._delivered, "batches": len(self)}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self._resume_at = state["batches_delivered"] % len(self)
