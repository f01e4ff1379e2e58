"""Packed splits as batches."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
import torch

from face_generation.data.datamodule import PackedDataModule, SyntheticDataModule, to_float
from face_generation.data.packing import pack
from face_generation.data.splits import OrderedSampler, PackedSplit, ShuffledSampler
from face_generation.data.summary import check
from face_generation.errors import UserError


@pytest.fixture(scope="module")
def splits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Synthetic faces, packed: 80 for training, 10 for validation, 10 for test."""
    folder = tmp_path_factory.mktemp("synthetic") / "splits"
    SyntheticDataModule(str(folder), count=100).prepare_data()
    return folder


def loaders(splits: Path, **options: int) -> PackedDataModule:
    datamodule = PackedDataModule(str(splits), batch_size=16, **options)
    datamodule.setup("fit")
    return datamodule


def test_an_epoch_is_every_image_once_as_uint8(splits: Path) -> None:
    batches = list(loaders(splits).train_dataloader())

    assert [batch.shape for batch in batches] == [(16, 150, 150, 3)] * 5
    assert {batch.dtype for batch in batches} == {torch.uint8}
    packed = np.load(splits / "train.npy")
    assert sorted(image.numpy().tobytes() for batch in batches for image in batch) == sorted(map(bytes, packed))


def test_worker_processes_deliver_the_same_batches(splits: Path) -> None:
    here, workers = (list(loaders(splits, num_workers=n).train_dataloader()) for n in (0, 2))

    assert all(torch.equal(a, b) for a, b in zip(here, workers, strict=True))


def test_the_order_depends_on_seed_and_epoch_alone(splits: Path) -> None:
    def order(seed: int, epoch: int) -> list[int]:
        loader = loaders(splits, seed=seed).train_dataloader()
        loader.sampler.set_epoch(epoch)
        return list(loader.sampler)

    assert order(0, 0) == order(0, 0)
    assert order(0, 0) != order(0, 1)
    assert order(0, 0) != order(1, 0)


def test_a_loader_goes_on_where_its_state_says(splits: Path) -> None:
    first = loaders(splits).train_dataloader()
    batches = iter(first)
    for _ in range(2):
        next(batches)
    second = loaders(splits).train_dataloader()
    second.load_state_dict(first.state_dict())

    assert all(torch.equal(a, b) for a, b in zip(batches, second, strict=True))
    assert len(list(second)) == 5  # the epoch after it is whole again


@pytest.mark.parametrize("world_size", [2, 3])
def test_processes_share_an_epoch(splits: Path, world_size: int) -> None:
    split = PackedSplit(splits, "val")
    shares = [list(OrderedSampler(split, world_size, rank, shuffle=False)) for rank in range(world_size)]

    assert sorted(chain(*shares)) == list(range(len(split)))  # each once, although 10 is no multiple of 3
    train = PackedSplit(splits, "train")
    shuffled = [list(ShuffledSampler(train, world_size, rank, seed=0)) for rank in range(world_size)]
    assert set(chain(*shuffled)) == set(range(len(train)))
    assert len({len(share) for share in shuffled}) == 1  # or a process would wait for the others for ever


def test_float_images_are_in_minus_one_to_one_and_channels_last() -> None:
    images = torch.arange(256, dtype=torch.uint8).reshape(1, 16, 16, 1).expand(2, 16, 16, 3)
    floats = to_float(images)

    assert floats.shape == (2, 3, 16, 16)
    assert (floats.min(), floats.max()) == (-1, 1)
    assert to_float(images.contiguous()).is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(floats.add(1).mul(127.5).round().byte().permute(0, 2, 3, 1), images)


def test_a_batch_larger_than_the_split_is_refused(splits: Path) -> None:
    with pytest.raises(UserError, match=r"80 images .* data\.batch_size=100"):
        datamodule = PackedDataModule(str(splits), batch_size=100)
        datamodule.setup("fit")
        datamodule.train_dataloader()


@pytest.mark.parametrize("size", [0, -1])
def test_a_batch_of_nothing_is_refused(size: int) -> None:
    with pytest.raises(UserError, match="at least 1"):
        PackedDataModule("splits", batch_size=size)


def test_missing_splits_name_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"no packed splits in splits.*train_val_split\.py.*experiment=demo"):
        PackedDataModule("splits").prepare_data()


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((4, 64, 48, 3), np.uint8),
        np.zeros((4, 150, 150, 3), np.float32),
        np.zeros((4, 3, 150, 150), np.uint8),
        np.zeros((0, 150, 150, 3), np.uint8),
    ],
    ids=["oblong", "float", "channels first", "empty"],
)
def test_an_array_of_another_kind_is_refused(tmp_path: Path, array: np.ndarray) -> None:
    np.save(tmp_path / "train.npy", array)
    with pytest.raises(UserError, match=r"not uint8 N×S×S×3"):
        PackedSplit(tmp_path, "train")


@pytest.mark.parametrize(
    ("name", "spoil", "complaint"),
    [
        ("val.npy", lambda content: content[:-1000], r"val.npy has .* bytes, not the"),
        ("val.npy", lambda content: content[:5000] + b"\0\1\2" + content[5003:], "val.npy has changed since it was"),
        ("val.npy", lambda content: b"junk" + content[4:], "val.npy is not a complete array"),
        ("val.npy", lambda content: content.replace(b"(10, 150, 150,", b"(15, 100, 150,"), "says that it holds"),
        ("train.csv", lambda content: content.replace(b",1,", b",-1,", 1), "train.csv has changed since it was"),
        ("train.csv", lambda content: content[: len(content) // 2], "train.csv has changed since it was"),
        ("summary.json", lambda content: content[:100], "summary.json is damaged"),
    ],
    ids=["cut", "bits flipped", "no array", "another shape", "another table", "table cut", "summary cut"],
)
def test_splits_that_are_not_as_they_were_packed(
    splits: Path, tmp_path: Path, name: str, spoil: Callable[[bytes], bytes], complaint: str
) -> None:
    damaged = Path(shutil.copytree(splits, tmp_path / "splits"))
    (damaged / name).write_bytes(spoil((damaged / name).read_bytes()))
    with pytest.raises(UserError, match=complaint):
        PackedDataModule(str(damaged)).setup("fit")
    with pytest.raises(UserError, match=complaint):
        check(damaged, whole=True)


def test_what_the_splits_are_and_how_large(splits: Path, tmp_path: Path) -> None:
    datamodule = loaders(splits)
    assert datamodule.image_size == 150
    assert datamodule.description.startswith("Faces drawn by this package")
    assert datamodule.licence == "MIT, like the code."
    assert PackedDataModule(str(splits), licence="mine").licence == "mine"

    pack(splits.with_name("splits-raw"), tmp_path / "small", size=64)
    small = loaders(tmp_path / "small")
    assert small.image_size == 64
    assert next(iter(small.train_dataloader())).shape == (16, 64, 64, 3)
    assert (small.description, small.licence) == ("unknown", "unknown")


def test_arrays_of_another_origin_are_taken_as_they_are(splits: Path, tmp_path: Path) -> None:
    for split in ("train", "val", "test"):
        shutil.copy(splits / f"{split}.npy", tmp_path)
    assert loaders(tmp_path).description == "unknown"
    with pytest.raises(UserError, match="no summary.json with checksums"):
        check(tmp_path, whole=True)


def test_an_array_that_was_cut_off_is_refused(splits: Path, tmp_path: Path) -> None:
    whole = (splits / "val.npy").read_bytes()
    for size in (0, 50, len(whole) - 1000):
        (tmp_path / "val.npy").write_bytes(whole[:size])
        with pytest.raises(UserError, match="not a complete array"):
            PackedSplit(tmp_path, "val")


MOUNT = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
CAN_MOUNT = sys.platform == "linux" and subprocess.run([*MOUNT, "mount -t tmpfs tmpfs /dev/shm"]).returncode == 0


@pytest.mark.skipif(not CAN_MOUNT, reason="no file systems can be mounted here")
def test_loaders_need_no_processes_if_shared_memory_is_small(synthetic_splits: Path) -> None:
    """40 images are 2.7 MB, and up to 12 such batches wait."""
    program = """if True:
        import os, sys
        from face_generation.data.datamodule import PackedDataModule

        for megabytes in (8, 64):
            assert os.system(f"mount -o remount,size={megabytes}m /dev/shm") == 0
            data = PackedDataModule(sys.argv[1], batch_size=40, num_workers=2)
            data.setup("fit")
            loader = data.train_dataloader()
            print(loader.num_workers, [len(batch) for batch in loader])
            print(f"that was {megabytes} MB", file=sys.stderr)"""
    script = f"mount -t tmpfs tmpfs /dev/shm && {sys.executable} - {synthetic_splits}"
    done = subprocess.run([*MOUNT, script], input=program, capture_output=True, text=True)

    assert done.stdout == "0 [40]\n2 [40]\n", done.stderr
    small, large = done.stderr.split("that was 8 MB\n")
    assert "--shm-size" in small
    assert "--shm-size" not in large
