"""Times the packed loader and the plain way, by turns, over the same training images.

python benchmarks/loader.py
python benchmarks/loader.py --data data

The plain way is torchvision's ImageFolder of 178×218 JPEGs, Resize, CenterCrop, ToTensor, and a DataLoader with one
worker. It neither flips images nor scales them to [-1, 1]. The packed loader delivers bytes, which the device that
trains turns into floats and flips. The last row includes that work, on this CPU. The first round is not timed, and
after it the files are in memory. If an archive is larger than the memory, the disk is measured instead.
"""

import argparse
import logging
import os
import statistics
import tempfile
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder
from torchvision.transforms import CenterCrop, Compose, Resize, ToTensor

from face_generation import hardware
from face_generation.data.celeba import ARCHIVE_FILE
from face_generation.data.datamodule import PackedDataModule
from face_generation.data.packing import IMAGE_SIZE, pack
from face_generation.data.synthetic import write_synthetic_faces
from face_generation.errors import exit_on_user_error

TARGET = 20  # times the plain way


def packed(folder: Path, batch_size: int, on_device: bool) -> Iterator[Iterator[Tensor]]:
    """Epochs of bytes, as the loader delivers them, or of float batches, as a training step gets them."""
    datamodule = PackedDataModule(str(folder), batch_size)
    datamodule.trainer = pl.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)
    datamodule.trainer.training = True  # images are flipped in training only
    datamodule.setup("fit")
    loader = datamodule.train_dataloader()
    while True:
        yield (datamodule.on_after_batch_transfer(batch, 0) if on_device else batch for batch in loader)


def plain(folder: Path, batch_size: int) -> Iterator[Iterator[Tensor]]:
    """Epochs of float batches, as most tutorials load them."""
    transform = Compose([Resize(IMAGE_SIZE), CenterCrop(IMAGE_SIZE), ToTensor()])
    loader = DataLoader(
        ImageFolder(str(folder), transform),
        batch_size,
        shuffle=True,
        drop_last=True,
        num_workers=1,
        persistent_workers=True,  # its start is not timed
    )
    while True:
        yield (images for images, _ in loader)


def unpack(archive: Path, table: Path, folder: Path) -> None:
    """Writes the images of a split's table to `folder`/faces: an ImageFolder of one class."""
    names = {line.partition(",")[0] for line in table.read_text(encoding="utf-8").splitlines()}
    (folder / "faces").mkdir(parents=True)
    with zipfile.ZipFile(archive) as images:
        for path in images.namelist():
            if Path(path).name in names:
                (folder / "faces" / Path(path).name).write_bytes(images.read(path))


def rate(epoch: Iterator[Tensor]) -> float:
    """Images/s."""
    start = time.perf_counter()
    images = sum(len(batch) for batch in epoch)
    return images / (time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help=f"folder with {ARCHIVE_FILE} (default: synthetic ones)")
    parser.add_argument("--count", type=int, default=2000, help="faces to draw; eight tenths are for training")
    parser.add_argument("--batch-size", type=int, default=64, help="images (default: 64)")
    parser.add_argument("--rounds", type=int, default=7, help="timed rounds (default: 7)")
    arguments = parser.parse_args()

    hardware.keep_memory()  # as training does
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        data = arguments.data or folder / "data"
        if not arguments.data:
            write_synthetic_faces(data, arguments.count)
        summary, _ = pack(data, folder / "splits")
        unpack(data / ARCHIVE_FILE, folder / "splits" / "train.csv", folder / "images")

        ways = {
            "plain": plain(folder / "images", arguments.batch_size),
            "packed": packed(folder / "splits", arguments.batch_size, on_device=False),
            "packed, made float here": packed(folder / "splits", arguments.batch_size, on_device=True),
        }
        rates: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(1 + arguments.rounds):  # by turns, so that other work on the machine slows all ways equally
            for name, epochs in ways.items():
                rates[name].append(rate(next(epochs)))

    medians = {name: statistics.median(values[1:]) for name, values in rates.items()}
    print(
        f"{os.cpu_count()} cores, {torch.get_num_threads()} threads, load {os.getloadavg()[0]:.1f}, "
        f"{summary.counts['train']} images, batches of {arguments.batch_size}, {arguments.rounds} rounds, "
        f"target {TARGET}x"
    )
    print(f"{'':24}{'median img/s':>14}{'best img/s':>14}{'ratio':>10}")
    for name, values in rates.items():
        print(f"{name:24}{medians[name]:14,.0f}{max(values[1:]):14,.0f}{medians[name] / medians['plain']:10.1f}")


if __name__ == "__main__":
    with exit_on_user_error():
        main()
