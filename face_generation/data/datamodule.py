"""The datamodule: turns packed splits into float batches on the device."""

import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from face_generation.data.celeba import SPLITS
from face_generation.data.packing import pack
from face_generation.data.splits import OrderedSampler, PackedSplit, ShuffledSampler, TrainLoader
from face_generation.data.summary import Summary, check
from face_generation.data.synthetic import DESCRIPTION, LICENCE, write_synthetic_faces
from face_generation.data.versioning import pull_splits
from face_generation.errors import UserError

SHARED_MEMORY = Path("/dev/shm")
# They say how many batches can wait in memory. There is a loader for training and one for validation. Each process of a
# loader prefetches two batches, which is torch's default, and Lightning holds two.
LOADERS, PREFETCHED, IN_HAND = 2, 2, 2


def to_float(images: Tensor) -> Tensor:
    """Turns images uint8 N×H×W×3 into float32 N×3×H×W in [-1, 1], `channels_last`."""
    return images.permute(0, 3, 1, 2).float().div_(127.5).sub_(1)


class PackedDataModule(pl.LightningDataModule):
    """Train, validation and test loaders over the packed splits in a folder.

    Batches cross to the device as uint8. There they become floats and, in training, are flipped at random.

    Args:
        folder: Where `train.npy`, `val.npy` and `test.npy` are.
        batch_size: Images per step and process.
        num_workers: Number of loader processes. 0 loads in the training process, which is fast enough on local disks.
        flip: Mirror each training image with probability one half.
        seed: Seed of the shuffle and the flips. Both depend only on it and the epoch or step.
        description: Says in the model's card what it was trained on. `None` takes the text of the splits.
        licence: Terms of use of the images, and so of such a model. `None` takes them from the splits.

    Raises:
        UserError: A split is missing, malformed or not as it was packed, or the batch size is not positive.
    """

    def __init__(
        self,
        folder: str,
        batch_size: int = 64,
        num_workers: int = 0,
        flip: bool = True,
        seed: int = 0,
        description: str | None = None,
        licence: str | None = None,
    ) -> None:
        super().__init__()
        if batch_size < 1:
            raise UserError(f"data.batch_size={batch_size}; give a whole number of at least 1")
        self.folder = Path(folder)
        self.batch_size = batch_size
        self.num_workers = num_workers
        self.flip = flip
        self.seed = seed
        self._description = description
        self._licence = licence

    def prepare_data(self) -> None:
        """Pulls missing splits from the DVC remote."""
        if not all((self.folder / f"{name}.npy").exists() for name in SPLITS):
            pull_splits(self.folder)

    def setup(self, stage: str) -> None:
        check(self.folder)
        self.splits = {name: PackedSplit(self.folder, name) for name in SPLITS}

    @property
    def image_size(self) -> int:
        """Height and width of the images, in pixels. Known after `setup`."""
        return self.splits["train"].image_size

    @property
    def description(self) -> str:
        """What the images are, in words; "unknown" before there are splits."""
        summary = Summary.read(self.folder)
        return self._description or (summary.description if summary else "unknown")

    @property
    def licence(self) -> str:
        """Terms of use of the images and of a model trained on them; "unknown" before there are splits."""
        summary = Summary.read(self.folder)
        return self._licence or (summary.licence if summary else "unknown")

    @property
    def sources(self) -> list[tuple[Path, int, str, str]]:
        """The splits that a training sees: file, number of images, checksum (or "unknown"), and use."""
        checksums = summary.checksums if (summary := Summary.read(self.folder)) else {}
        uses = {"train": "training", "val": "validation"}
        paths = {name: self.folder / f"{name}.npy" for name in uses}
        return [
            (path, len(self.splits[name]), checksums.get(path.name, "unknown"), uses[name])
            for name, path in paths.items()
        ]

    @property
    def shapes(self) -> dict[str, Any]:
        """Arguments of a model's constructor that only the data knows. Known after `setup`."""
        return {"image_size": self.image_size}

    def train_dataloader(self) -> TrainLoader:
        rank, world_size = self._place()
        split = self.splits["train"]
        sampler = ShuffledSampler(split, world_size, rank, shuffle=True, seed=self.seed)
        if len(sampler) < self.batch_size:
            raise UserError(
                f"{split.path} has {len(sampler)} images for each process, fewer than data.batch_size="
                f"{self.batch_size}; make the batch smaller"
            )
        return TrainLoader(split, self.batch_size, sampler=sampler, drop_last=True, **self._options(split))

    def val_dataloader(self) -> DataLoader[Tensor]:
        return self.ordered_loader("val")

    def test_dataloader(self) -> DataLoader[Tensor]:
        return self.ordered_loader("test")

    def on_after_batch_transfer(self, batch: Tensor, dataloader_idx: int) -> Tensor:
        if self.trainer is not None and self.trainer.training:
            # Flipping half of the batch as bytes is cheaper than flipping all of it as floats.
            for i in self._flipped(len(batch)).nonzero().flatten().tolist():
                batch[i] = batch[i].flip(1)
        return to_float(batch)

    def ordered_loader(self, name: str) -> DataLoader[Tensor]:
        """Yields batches uint8 B×S×S×3 of the split `name`, in order, without augmentation."""
        rank, world_size = self._place()
        split = self.splits[name]
        sampler = OrderedSampler(split, world_size, rank, shuffle=False)
        return DataLoader(split, self.batch_size, sampler=sampler, **self._options(split))

    def _flipped(self, count: int) -> Tensor:
        """Which of N = `count` images to mirror, bool N.

        It depends on the seed, the step, and the image's place in the batch of all processes, and on nothing else.
        """
        assert self.trainer is not None
        rank, processes = self._place()
        step = self.trainer.fit_loop.epoch_loop.batch_progress.total.ready
        generator = torch.Generator().manual_seed(int(np.random.SeedSequence((self.seed, step)).generate_state(1)[0]))
        return (torch.rand(count * processes, generator=generator)[rank::processes] < 0.5) & self.flip

    def _place(self) -> tuple[int, int]:
        return (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)

    def _options(self, split: PackedSplit) -> dict:
        workers = self._workers(split)
        return {
            "num_workers": workers,
            "collate_fn": _already_a_batch,
            "pin_memory": torch.cuda.is_available(),
            "persistent_workers": workers > 0,
        }

    def _workers(self, split: PackedSplit) -> int:
        """The number of loader processes: as configured, or 0 if their waiting batches do not fit into shared memory.

        A process that writes more than fits is killed by a bus error.
        """
        if not (self.num_workers and SHARED_MEMORY.is_dir()):
            return self.num_workers
        waiting = LOADERS * (PREFETCHED * self.num_workers + IN_HAND) * self._place()[1]
        needed = waiting * self.batch_size * split.sample_bytes
        free = shutil.disk_usage(SHARED_MEMORY).free
        if needed <= free:
            return self.num_workers
        print(
            f"warning: data.num_workers={self.num_workers} needs {needed / 1e6:,.0f} MB of shared memory, and "
            f"{SHARED_MEMORY} has {free / 1e6:,.0f}, so the training process loads the data itself; in Docker, give it "
            "more with --shm-size=1g",
            file=sys.stderr,
        )
        self.num_workers = 0
        return 0


class SyntheticDataModule(PackedDataModule):
    """Synthetic faces, which are drawn and packed on first use. Nothing is downloaded.

    Args:
        folder: Where the splits go. Their archive goes to `<folder>-raw` beside it.
        count: Number of faces in all three splits together.
        options: Options of `PackedDataModule`.
    """

    def __init__(self, folder: str, count: int, **options: Any) -> None:
        super().__init__(folder, **options)
        self.count = count

    def prepare_data(self) -> None:
        raw = self.folder.with_name(f"{self.folder.name}-raw")
        write_synthetic_faces(raw, self.count, seed=0)
        pack(raw, self.folder, description=self._description or DESCRIPTION, licence=self._licence or LICENCE)


def _already_a_batch(batch: Tensor) -> Tensor:
    return batch
