"""Packing of real files: synthetic faces in CelebA's format, photos, and whatever can be wrong with them."""

import csv
import json
import os
import resource
import shutil
import signal
import struct
import subprocess
import sys
import time
import zipfile
import zlib
from collections.abc import Callable
from io import BytesIO
from itertools import chain
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from PIL import Image

from face_generation.data.packing import pack
from face_generation.data.synthetic import write_synthetic_faces
from face_generation.errors import UserError
from face_generation.generator import Generator

ROOT = Path(__file__).parents[2]
ARCHIVE, PARTITION, ATTRIBUTES = "img_align_celeba.zip", "list_eval_partition.txt", "list_attr_celeba.txt"
COUNT = 150
MANY = 1000


@pytest.fixture(scope="module")
def synthetic(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("synthetic") / "data"
    write_synthetic_faces(folder, COUNT)
    return folder


@pytest.fixture(scope="module")
def pictures(synthetic: Path) -> list[bytes]:
    with zipfile.ZipFile(synthetic / ARCHIVE) as archive:
        return [archive.read(name) for name in archive.namelist()]


@pytest.fixture
def data(synthetic: Path, tmp_path: Path) -> Path:
    """A copy of the synthetic faces that a test may spoil."""
    return Path(shutil.copytree(synthetic, tmp_path / "data"))


def write_zip(path: Path, members: dict[str, bytes]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def read_split(folder: Path, split: str) -> tuple[np.ndarray, list[dict[str, str]]]:
    with (folder / f"{split}.csv").open(encoding="utf-8", newline="") as file:
        return np.load(folder / f"{split}.npy", mmap_mode="r"), list(csv.DictReader(file))


def names(folder: Path, split: str) -> list[str]:
    return [row["name"] for row in read_split(folder, split)[1]]


def assert_shows(row: np.ndarray, picture: bytes) -> None:
    """The row is the picture's square, as if cut out by hand; Pillow may do the two passes in another order."""
    square = Image.open(BytesIO(picture)).crop((0, 20, 178, 198)).resize((150, 150), Image.Resampling.BICUBIC)
    assert np.abs(row.astype(int) - np.asarray(square)).mean() < 0.2


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def script(*arguments: object, **options: object) -> subprocess.Popen[str]:
    command = [sys.executable, str(ROOT / "scripts" / "train_val_split.py"), *map(str, arguments)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options
    )


# --- what is packed -----------------------------------------------------------------------------------------------


def test_an_image_is_in_its_split_with_its_attributes(synthetic: Path, pictures: list[bytes], tmp_path: Path) -> None:
    summary, fresh = pack(synthetic, tmp_path / "splits")

    assert fresh
    assert summary.counts == {"train": 120, "val": 15, "test": 15}
    assert json.loads((tmp_path / "splits" / "summary.json").read_text())["counts"] == summary.counts
    assert not summary.damaged
    official = [line.split() for line in (synthetic / ATTRIBUTES).read_text().splitlines()]
    number = 0
    for split, count in summary.counts.items():
        array, table = read_split(tmp_path / "splits", split)
        assert array.shape == (count, 150, 150, 3)
        assert array.dtype == np.uint8
        for row, line in zip(array, table, strict=True):
            assert list(line) == ["name", *official[1]]
            assert list(line.values()) == official[number + 2]
            assert_shows(row, pictures[number])
            number += 1
    assert number == COUNT


def test_the_bytes_do_not_depend_on_threads(synthetic: Path, tmp_path: Path) -> None:
    for threads in (1, 4):
        pack(synthetic, tmp_path / str(threads), threads=threads)
    assert contents(tmp_path / "1") == contents(tmp_path / "4")
    assert len(contents(tmp_path / "1")) == 7


def test_without_text_files_celebas_numbers_decide(pictures: list[bytes], tmp_path: Path) -> None:
    numbers = (202599, 182638, 182637, 162771, 162770, 1)
    members = {f"img_align_celeba/{number:06}.jpg": picture for number, picture in zip(numbers, pictures, strict=False)}
    write_zip(tmp_path / "data" / ARCHIVE, members)

    summary, _ = pack(tmp_path / "data", tmp_path / "splits")

    assert summary.counts == {"train": 2, "val": 2, "test": 2}
    assert names(tmp_path / "splits", "train") == ["000001.jpg", "162770.jpg"]
    assert names(tmp_path / "splits", "val") == ["162771.jpg", "182637.jpg"]
    assert list(read_split(tmp_path / "splits", "test")[1][0]) == ["name"]


def test_a_split_may_be_empty(pictures: list[bytes], tmp_path: Path) -> None:
    write_zip(tmp_path / "data" / ARCHIVE, {"img_align_celeba/000001.jpg": pictures[0]})
    pack(tmp_path / "data", tmp_path / "splits")
    array, table = read_split(tmp_path / "splits", "val")
    assert array.shape == (0, 150, 150, 3)
    assert table == []


def test_attributes_that_are_not_listed_are_zero(data: Path, tmp_path: Path) -> None:
    lines = (data / ATTRIBUTES).read_text().splitlines()
    (data / ATTRIBUTES).write_text("\n".join(["100", *lines[1:102]]))
    summary, _ = pack(data, tmp_path / "splits")
    _, table = read_split(tmp_path / "splits", "train")
    assert {value for line in table[:100] for name, value in line.items() if name != "name"} == {"1", "-1"}
    assert {value for line in table[100:] for name, value in line.items() if name != "name"} == {"0"}
    assert summary.attributes_from == f"{ATTRIBUTES}, for 100 of 150 images"


def test_any_even_size_is_packed_and_said(data: Path, pictures: list[bytes], tmp_path: Path) -> None:
    for size in (32, 64, 256):
        summary, _ = pack(data, tmp_path / str(size), size=size)
        array, _ = read_split(tmp_path / str(size), "val")
        assert array.shape == (15, size, size, 3)
        assert summary.image_size == size
        square = Image.open(BytesIO(pictures[120])).crop((0, 20, 178, 198)).resize((size, size), 3)
        assert np.abs(array[0].astype(int) - np.asarray(square)).mean() < 0.3
    with pytest.raises(UserError, match="holds something else"):
        pack(data, tmp_path / "32", size=64)


def test_an_unpacked_archive_is_split_like_the_archive(synthetic: Path, tmp_path: Path) -> None:
    shutil.copytree(synthetic, tmp_path / "data")
    with zipfile.ZipFile(tmp_path / "data" / ARCHIVE) as archive:
        archive.extractall(tmp_path / "data")
    (tmp_path / "data" / ARCHIVE).unlink()

    pack(tmp_path / "data", tmp_path / "from folder")
    pack(synthetic / ARCHIVE, tmp_path / "from zip")

    folder, archived = contents(tmp_path / "from folder"), contents(tmp_path / "from zip")
    del folder["summary.json"], archived["summary.json"]  # the source has another name
    assert folder == archived


# --- one's own photos ---------------------------------------------------------------------------------------------


def write_photos(folder: Path, pictures: list[bytes]) -> Path:
    for number, picture in enumerate(pictures):
        path = folder / f"album {number % 3}" / f"{number:07}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture)
    return folder


def test_photos_are_split_by_chance_and_seed(pictures: list[bytes], tmp_path: Path) -> None:
    photos = write_photos(tmp_path / "photos", pictures[:50])
    for folder, seed in (("one", 1), ("again", 1), ("two", 2)):
        summary, _ = pack(photos, tmp_path / folder, seed=seed, val=0.2, test=0.1)
        assert summary.counts == {"train": 35, "val": 10, "test": 5}
    assert contents(tmp_path / "one") == contents(tmp_path / "again")

    one, two = ([names(tmp_path / folder, split) for split in summary.counts] for folder in ("one", "two"))
    assert one != two
    assert all(of_split == sorted(of_split) for of_split in one)
    assert sorted(chain(*one)) == sorted(chain(*two)) == sorted(f"album {n % 3}/{n:07}.jpg" for n in range(50))


def test_a_new_photo_moves_few_others(pictures: list[bytes], tmp_path: Path) -> None:
    photos = write_photos(tmp_path / "photos", pictures[:50])
    pack(photos, tmp_path / "before")
    (photos / "Été à\u202fla mer.jpg").write_bytes(pictures[50])
    pack(photos, tmp_path / "after")
    assert len(set(names(tmp_path / "before", "train")) - set(names(tmp_path / "after", "train"))) <= 1


def test_a_zip_of_photos_beside_celebas_files_is_still_ones_own(
    data: Path, pictures: list[bytes], tmp_path: Path
) -> None:
    members = {f"faces/Ada_{number}.jpg": picture for number, picture in enumerate(pictures[:20])}
    junk = {"__MACOSX/faces/._Ada_1.jpg": b"junk", "faces/.DS_Store": b"junk", "faces/.Ada.jpg": b"", "notes.txt": b""}
    write_zip(data / "photos.zip", members | junk | {"faces/": b""})

    summary, _ = pack(data / "photos.zip", tmp_path / "splits")

    assert summary.counts == {"train": 16, "val": 2, "test": 2}
    assert "seed 0" in summary.split_by
    assert not summary.damaged
    assert sorted(chain(*(names(tmp_path / "splits", split) for split in summary.counts))) == sorted(members)
    assert list(read_split(tmp_path / "splits", "train")[1][0]) == ["name"]


def test_numbered_photos_beside_celebas_files_stay_ones_own(data: Path, pictures: list[bytes], tmp_path: Path) -> None:
    for number in range(1, 11):
        (data / "me" / f"{number}.jpg").parent.mkdir(exist_ok=True)
        (data / "me" / f"{number}.jpg").write_bytes(pictures[number])
    summary, _ = pack(data / "me", tmp_path / "splits")
    assert summary.split_by == f"chance, with seed 0 (../{PARTITION} names none of them)"
    assert summary.attributes_from == f"nowhere: ../{ATTRIBUTES} names none of the images"


def test_files_that_are_no_pictures_do_not_fill_a_split(pictures: list[bytes], tmp_path: Path) -> None:
    """Failed downloads are often the same page."""
    photos = write_photos(tmp_path / "photos", pictures[:20])
    for number in range(20):
        (photos / f"failed {number}.jpg").write_bytes(b"<html>not found</html>")
    for seed in range(5):
        summary, _ = pack(photos, tmp_path / f"splits {seed}", seed=seed, val=0.25, test=0.25)
        assert len(summary.damaged) == 20
        assert min(summary.counts.values()) > 0


def test_identical_photos_stay_together(pictures: list[bytes], tmp_path: Path) -> None:
    photos = write_photos(tmp_path / "photos", [pictures[number % 10] for number in range(60)])
    write_zip(tmp_path / "photos.zip", {path.name: path.read_bytes() for path in photos.rglob("*.jpg")})
    for source in (photos, tmp_path / "photos.zip"):
        splits = tmp_path / f"splits of {source.name}"
        summary, _ = pack(source, splits, val=0.2, test=0.2)
        assert summary.counts == {"train": 36, "val": 12, "test": 12}
        seen = [{int(name[-10:-4]) % 10 for name in names(splits, split)} for split in summary.counts]
        assert [len(of_split) for of_split in seen] == [6, 2, 2]
        assert set.union(*seen) == set(range(10))


def test_photos_that_are_all_the_same_cannot_be_split(pictures: list[bytes], tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"5 images \(1 of them different\) are too few"):
        pack(write_photos(tmp_path / "photos", [pictures[0]] * 5), tmp_path / "splits")


def test_folders_called_train_and_test_are_a_split(pictures: list[bytes], tmp_path: Path) -> None:
    parts = ("Training/a", "valid2", "testA", "testB")
    write_zip(tmp_path / "own.zip", {f"own/{part}/1.jpg": pictures[i] for i, part in enumerate(parts)})
    summary, _ = pack(tmp_path / "own.zip", tmp_path / "splits")
    assert summary.counts == {"train": 1, "val": 1, "test": 2}
    assert names(tmp_path / "splits", "test") == ["own/testA/1.jpg", "own/testB/1.jpg"]
    assert summary.split_by == "the names of folders (Training, testA, testB, …)"


def test_folders_of_splits_may_be_below_others(pictures: list[bytes], tmp_path: Path) -> None:
    parts = ("men/train", "men/test", "women/train/test", "women/valid")
    source = write_zip(tmp_path / "own.zip", {f"train/{part}/1.jpg": pictures[i] for i, part in enumerate(parts)})
    summary, _ = pack(source, tmp_path / "splits")
    assert names(tmp_path / "splits", "train") == ["train/men/train/1.jpg", "train/women/train/test/1.jpg"]
    assert summary.counts == {"train": 2, "val": 1, "test": 1}


@pytest.mark.parametrize("stray", ["preview.jpg", "more/1.jpg"])
def test_chance_does_not_replace_folders_of_splits(stray: str, pictures: list[bytes], tmp_path: Path) -> None:
    paths = [f"{split}/{number}.jpg" for split in ("train", "test") for number in range(5)]
    source = write_zip(tmp_path / "own.zip", dict(zip([stray, *paths], pictures, strict=False)))
    with pytest.raises(UserError, match=rf"folders of splits \(test, train\), and {stray} is in none of them; move"):
        pack(source, tmp_path / "splits")


def test_identical_files_in_two_splits_of_ones_own_are_named(pictures: list[bytes], tmp_path: Path) -> None:
    paths = ("test/a.jpg", "test/b.jpg", "train/c.jpg", "train/d.jpg")
    members = dict(zip(paths, (pictures[0], pictures[1], pictures[2], pictures[0]), strict=True))
    summary, _ = pack(write_zip(tmp_path / "own.zip", members), tmp_path / "splits")
    assert summary.counts == {"train": 2, "val": 0, "test": 2}
    assert summary.split_by == (
        "the names of folders (test, train), though 1 files are in two splits, such as test/a.jpg and train/d.jpg, "
        "which are identical"
    )


def test_what_images_are_and_on_which_terms(pictures: list[bytes], tmp_path: Path) -> None:
    def about(source: Path, **options: str) -> tuple[str, str]:
        pack(source, tmp_path / f"{source.stem} splits", **options)
        summary = json.loads((tmp_path / f"{source.stem} splits" / "summary.json").read_text())
        return summary["description"], summary["licence"]

    own = write_zip(tmp_path / "own.zip", {f"{number}.jpg": pictures[number] for number in range(10)})
    assert about(own) == ("unknown", "unknown")
    assert about(own, description="my family", licence="private") == ("my family", "private")
    assert about(own) == ("my family", "private")  # of the same images nothing else is known
    official = {f"img_align_celeba/{number:06}.jpg": pictures[0] for number in (1, 162771, 182638)}
    of_celeba = about(write_zip(tmp_path / "official.zip", official))
    assert of_celeba[0].startswith("CelebA")
    assert "non-commercial" in of_celeba[1]
    drawn_like = official | {PARTITION: b"000001.jpg 0\n162771.jpg 0\n182638.jpg 1\n"}
    assert about(write_zip(tmp_path / "another split.zip", drawn_like)) == ("unknown", "unknown")


def test_photos_of_many_kinds(tmp_path: Path) -> None:
    """Whatever the format, size and mode: the centred square, upright."""
    photos = tmp_path / "photos"
    photos.mkdir()
    scene = Image.new("RGB", (1200, 900), (40, 40, 200))  # blue, and in the middle square green above red
    scene.paste((200, 40, 40), (150, 450, 1050, 900))
    scene.paste((40, 200, 40), (150, 0, 1050, 450))
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned
    scene.rotate(90, expand=True).save(photos / "turned.jpg", exif=exif)
    scene.save(photos / "plain.JPEG")
    scene.save(photos / "clear.webp")
    scene.resize((120, 90)).save(photos / "small.bmp")
    scene.convert("P", palette=Image.Palette.ADAPTIVE).save(photos / "palette.png")
    scene.convert("RGBA").save(photos / "alpha.png")
    scene.convert("CMYK").save(photos / "print.jpg")

    summary, _ = pack(photos, tmp_path / "splits", val=0, test=0)

    assert summary.counts == {"train": 7, "val": 0, "test": 0}
    for row in read_split(tmp_path / "splits", "train")[0]:
        assert np.abs(row[5:70, 5:145].astype(int) - (40, 200, 40)).max() < 12
        assert np.abs(row[80:145, 5:145].astype(int) - (200, 40, 40)).max() < 12


# --- damaged images -----------------------------------------------------------------------------------------------


def bomb(side: int) -> bytes:
    """A small PNG of many black pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(bytes(side * (1 + side // 8))))
    return b"\x89PNG\r\n\x1a\n" + header + pixels + chunk(b"IEND", b"")


def test_damaged_images_are_left_out_and_named(data: Path, pictures: list[bytes], tmp_path: Path) -> None:
    damaged = {3: pictures[2][:1500], 64: b"<html>", 65: b"", 70: bomb(10_000), 71: bomb(16_000), 149: pictures[0]}
    members = {f"img_align_celeba/{number:06}.jpg": picture for number, picture in enumerate(pictures, start=1)}
    write_zip(data / ARCHIVE, members | {f"img_align_celeba/{number:06}.jpg": bad for number, bad in damaged.items()})
    archive = bytearray((data / ARCHIVE).read_bytes())
    archive[archive.index(b"000149.jpg") + 1000] ^= 255  # now its CRC is wrong
    (data / ARCHIVE).write_bytes(archive)

    process = script(data, tmp_path / "splits")
    output, _ = process.communicate()

    assert process.returncode == 0
    expected = [f"{number:06}.jpg" for number in damaged]
    summary = json.loads((tmp_path / "splits" / "summary.json").read_text())
    assert list(summary["damaged"]) == expected
    assert summary["counts"] == {"train": 115, "val": 15, "test": 14}
    assert "left out 6 damaged" in output
    assert all(f"  {name}: " in output for name in expected)

    array, table = read_split(tmp_path / "splits", "train")
    assert len(array) == len(table) == 115
    whole = [number for number in range(1, 121) if number not in damaged]
    assert [line["name"] for line in table] == [f"{number:06}.jpg" for number in whole]
    for row, number in zip(array, whole, strict=True):
        assert_shows(row, pictures[number - 1])


def test_only_damaged_images(tmp_path: Path) -> None:
    write_zip(tmp_path / "data" / ARCHIVE, {f"img_align_celeba/{number:06}.jpg": b"junk" for number in range(1, 5)})
    with pytest.raises(UserError, match=r"none of the 4 images can be read \(000001.jpg: not an image\)"):
        pack(tmp_path / "data", tmp_path / "splits")
    assert not (tmp_path / "splits").exists()


# --- again, and after a stop --------------------------------------------------------------------------------------


def test_again_does_nothing(synthetic: Path, tmp_path: Path) -> None:
    first, _ = pack(synthetic, tmp_path / "splits")
    before = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "splits").iterdir()}
    process = script(synthetic, tmp_path / "splits")
    output, _ = process.communicate()
    assert process.returncode == 0
    assert "nothing to do" in output
    assert pack(synthetic, tmp_path / "splits") == (first, False)
    assert {path.name: path.stat().st_mtime_ns for path in (tmp_path / "splits").iterdir()} == before


def test_other_data_do_not_replace_what_is_there(data: Path, tmp_path: Path) -> None:
    pack(data, tmp_path / "splits")
    before = contents(tmp_path / "splits")
    for change in (edit(ATTRIBUTES, "000001.jpg -1", "000001.jpg  1"), lambda data: (data / ATTRIBUTES).unlink()):
        change(data)
        with pytest.raises(UserError, match="splits holds something else"):
            pack(data, tmp_path / "splits")
    assert contents(tmp_path / "splits") == before


def test_an_empty_destination_is_used(synthetic: Path, tmp_path: Path) -> None:
    (tmp_path / "splits").mkdir()
    assert pack(synthetic, tmp_path / "splits")[1]
    assert len(names(tmp_path / "splits", "train")) == 120


def test_the_destination_may_be_a_link(synthetic: Path, tmp_path: Path) -> None:
    for name in ("empty", "nothing"):
        (tmp_path / name).symlink_to(tmp_path / "disk" / name)
    (tmp_path / "disk" / "empty").mkdir(parents=True)
    for name in ("empty", "nothing"):
        assert pack(synthetic, tmp_path / name)[1]
        assert not pack(synthetic, tmp_path / name)[1]
        assert len(names(tmp_path / "disk" / name, "train")) == 120


def test_letters_that_a_terminal_does_not_know_are_escaped(synthetic: Path, tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONIOENCODING", "ascii")
        process = script(synthetic, tmp_path / "Été")
        output, _ = process.communicate()
    assert process.returncode == 0
    assert output.startswith(f"{tmp_path}/\\xc9t\\xe9: packed train 120, val 15, test 15 at 150\\xd7150\n")


@pytest.fixture(scope="module")
def many(pictures: list[bytes], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Enough images that a run can be stopped on the way; some are damaged."""
    members = {f"{number:04}.jpg": pictures[number % COUNT] for number in range(MANY)}
    members |= {f"{number:04}.jpg": b"junk" for number in range(7, MANY, 100)}
    return write_zip(tmp_path_factory.mktemp("many") / "many.zip", members)


@pytest.fixture(scope="module")
def packed_in_one_go(many: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("whole") / "splits"
    pack(many, folder)
    return contents(folder)


def progress(partial: Path) -> int:
    """Images that a running pack has recorded as done."""
    try:
        summary = json.loads((partial / "summary.json").read_text())
    except FileNotFoundError:
        return 0
    return sum(summary["counts"].values()) + len(summary["damaged"])


def test_a_killed_run_goes_on_where_it_stopped(many: Path, packed_in_one_go: dict[str, bytes], tmp_path: Path) -> None:
    partial = tmp_path / "splits.partial"
    stops = []
    for wanted in (1, 400):
        process = script(many, tmp_path / "splits", "--threads", 1)
        while process.poll() is None and progress(partial) < wanted:
            time.sleep(0.001)
        process.kill()
        process.communicate()
        assert process.returncode == -signal.SIGKILL
        assert not (tmp_path / "splits").exists()
        stops.append(progress(partial))
        with (partial / "train.npy").open("ab") as file:
            file.write(b"half a row")  # as if it was killed while writing
    assert 0 < stops[0] < stops[1] < MANY

    process = script(many, tmp_path / "splits", "--threads", 1)
    _, errors = process.communicate()
    assert process.returncode == 0
    assert f"{stops[1]}/{MANY}" in errors  # the progress bar starts there
    assert contents(tmp_path / "splits") == packed_in_one_go
    assert [path.name for path in tmp_path.iterdir()] == ["splits"]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda partial: (partial / "train.npy").write_bytes(b""),
        lambda partial: (partial / "val.npy").unlink(),
        lambda partial: (partial / "summary.json").write_text("{"),
        lambda partial: (partial / "summary.json").unlink(),
    ],
    ids=["array cut off", "array gone", "summary cut off", "summary gone"],
)
def test_a_spoiled_partial_folder_is_replaced(synthetic: Path, tmp_path: Path, spoil: Callable[[Path], object]) -> None:
    pack(synthetic, tmp_path / "whole")
    shutil.copytree(tmp_path / "whole", tmp_path / "splits.partial")
    spoil(tmp_path / "splits.partial")
    pack(synthetic, tmp_path / "splits")
    assert contents(tmp_path / "splits") == contents(tmp_path / "whole")


def test_a_partial_folder_of_other_data_is_made_anew(synthetic: Path, pictures: list[bytes], tmp_path: Path) -> None:
    pack(write_zip(tmp_path / "other.zip", {f"{n}.jpg": picture for n, picture in enumerate(pictures)}), tmp_path / "o")
    shutil.copytree(tmp_path / "o", tmp_path / "splits.partial")
    pack(synthetic, tmp_path / "splits")
    assert names(tmp_path / "splits", "train")[0] == "000001.jpg"


def test_a_disk_that_refuses_more_loses_nothing(many: Path, packed_in_one_go: dict[str, bytes], tmp_path: Path) -> None:
    """A limit on the size of files stands in for a full disk."""
    limit = 30_000_000  # bytes
    process = script(
        many, tmp_path / "splits", preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    )
    _, errors = process.communicate()
    assert process.returncode == 2
    assert errors.splitlines()[-1].startswith(f"error: {tmp_path / 'splits'}: File too large; ")
    assert progress(tmp_path / "splits.partial") > 0

    pack(many, tmp_path / "splits")
    assert contents(tmp_path / "splits") == packed_in_one_go


def test_two_at_once_make_one_whole_folder(many: Path, packed_in_one_go: dict[str, bytes], tmp_path: Path) -> None:
    runs = [script(many, tmp_path / "splits", "--threads", 1) for _ in range(3)]
    outputs = [(*run.communicate(), run.returncode) for run in runs]
    assert [status for _, _, status in outputs] == [0, 0, 0]
    assert sorted("nothing to do" in output for output, _, _ in outputs) == [False, True, True]
    assert contents(tmp_path / "splits") == packed_in_one_go
    assert [path.name for path in tmp_path.iterdir()] == ["splits"]


# --- bad input ----------------------------------------------------------------------------------------------------


def cut_off(data: Path) -> None:
    content = (data / ARCHIVE).read_bytes()
    (data / ARCHIVE).write_bytes(content[: len(content) // 2])


def edit(name: str, old: str, new: str) -> Callable[[Path], None]:
    def spoil(data: Path) -> None:
        text = (data / name).read_text()
        assert old in text
        (data / name).write_text(text.replace(old, new, 1))

    return spoil


def member(name: str) -> Callable[[Path], None]:
    def spoil(data: Path) -> None:
        with zipfile.ZipFile(data / ARCHIVE, "a") as archive:
            archive.writestr(name, b"")

    return spoil


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (shutil.rmtree, "does not exist, or is not a folder or file; download the data first"),
        (lambda data: (data / ARCHIVE).unlink(), "has neither img_align_celeba.zip nor images"),
        (lambda data: (data / ARCHIVE).write_text("\n<!DOCTYPE html><html>Quota exceeded"), "is a web page"),
        (cut_off, "is cut off or damaged, or not a zip; remove it and download it again"),
        (lambda data: (data / ARCHIVE).write_bytes(b""), "is cut off or damaged, or not a zip"),
        (lambda data: write_zip(data / ARCHIVE, {"notes.txt": b""}), "has neither"),
        (member("../evil.jpg"), f"but not {ARCHIVE}/evil.jpg"),
        (member("/etc/evil.jpg"), f"but not {ARCHIVE}/etc/evil.jpg"),
        (member("a\\..\\evil.jpg"), f"but not {ARCHIVE}/a/evil.jpg"),
        (member("C:/evil.jpg"), f"but not {ARCHIVE}/evil.jpg"),
        (edit(PARTITION, "000007.jpg 0", "000007.jpg 7"), "list_eval_partition.txt, line 7: "),
        (edit(PARTITION, "000007.jpg 0\n", ""), "names 149 of the 150 images"),
        (lambda data: (data / PARTITION).write_text("Ada.jpg 0\n"), "has names such as Ada.jpg, but not"),
        (lambda data: (data / ATTRIBUTES).write_text("Bald\nAda.jpg 1\n"), "names 0 of the 150 images"),
        (lambda data: (data / "list_eval_partition.csv").write_text("000001.jpg,0\n"), "differ; keep only the right"),
        (edit(ATTRIBUTES, "000007.jpg -1", "000007.jpg"), "list_attr_celeba.txt, line 9: "),
        (member("copy/000001.jpg"), "calls two images 000001.jpg: "),
        (lambda data: (data.parent / "splits").write_text("mine"), "splits holds something else"),
    ],
    ids=lambda value: value if isinstance(value, str) else value.__name__,
)
def test_bad_input_is_one_line_and_leaves_nothing(data: Path, spoil: Callable[[Path], object], complaint: str) -> None:
    spoil(data)
    before = sorted(data.parent.rglob("*"))
    process = script(data, data.parent / "splits")
    output, errors = process.communicate()
    assert process.returncode == 2
    assert output == ""
    assert errors.startswith("error: ")
    assert errors.count("\n") == 1
    assert complaint in errors
    assert sorted(data.parent.rglob("*")) == before


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--val", "0.5", "--test", "0.5"], "give shares that sum to less than 1"),
        (["--val", "-0.1"], "give shares that sum to less than 1"),
        (["--val", "nan"], "give shares that sum to less than 1"),
        (["--threads", "0"], "0 threads are not possible"),
        (["--size", "151"], "size 151 is not possible; give an even number from 32 to 512"),
        (["--size", "1024"], "size 1024 is not possible"),
    ],
)
def test_bad_options(pictures: list[bytes], tmp_path: Path, options: list[str], complaint: str) -> None:
    photos = write_photos(tmp_path / "photos", pictures[:5])
    process = script(photos, tmp_path / "splits", *options)
    _, errors = process.communicate()
    assert process.returncode == 2
    assert complaint in errors
    assert errors.count("\n") == 1


def test_too_few_photos(pictures: list[bytes], tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"2 images .* too few"):
        pack(write_photos(tmp_path / "photos", pictures[:2]), tmp_path / "splits")


def test_a_file_name_that_is_not_unicode(pictures: list[bytes], tmp_path: Path) -> None:
    photos = write_photos(tmp_path / "photos", pictures[:5])
    (photos / os.fsdecode(b"caf\xe9.jpg")).write_bytes(pictures[5])
    pack(photos, tmp_path / "splits", val=0, test=0)
    assert names(tmp_path / "splits", "train")[-1] == r"caf\xe9.jpg"


def test_a_destination_that_cannot_be_made(synthetic: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="file: File exists; "):
        pack(synthetic, tmp_path / "file" / "splits")
    with pytest.raises(UserError, match="/ holds something else"):
        pack(synthetic, Path("/"))


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a folder that even root cannot write to")
def test_a_destination_that_nobody_may_write(synthetic: Path) -> None:
    with pytest.raises(UserError, match="/proc/splits.lock: No such file"):
        pack(synthetic, Path("/proc/splits"))


# --- faces anywhere in a photo ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def album(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photos with one face, with two and with none. Nobody has these faces: a model drew them."""
    folder = tmp_path_factory.mktemp("album")
    large, small = (Image.fromarray(face) for face in Generator.load("vae").sample(2, seed=0))
    for name, faces in {"one": [large], "two": [large, small], "none": []}.items():
        photo = Image.new("RGB", (700, 400), (80, 110, 140))
        for face, (side, left) in zip(faces, ((300, 50), (200, 450)), strict=False):
            photo.paste(face.resize((side, side), Image.Resampling.BICUBIC), (left, 60))
        photo.save(folder / f"{name}.png")
    return folder


@pytest.mark.parametrize(
    ("align", "rows"), [("largest", ["one.png", "two.png"]), ("all", ["one.png", "two.png", "two.png#2"])]
)
def test_faces_are_aligned(album: Path, tmp_path: Path, align: Literal["largest", "all"], rows: list[str]) -> None:
    summary, _ = pack(album, tmp_path / "splits", align=align, val=0, test=0)
    images, _ = read_split(tmp_path / "splits", "train")
    large, small = Generator.load("vae").sample(2, seed=0).astype(int)

    assert names(tmp_path / "splits", "train") == rows
    assert summary.counts == {"train": len(rows), "val": 0, "test": 0}
    assert summary.faceless == ["none.png"]
    candidates = np.stack([large, small, large[::-1], small[::-1]])
    for image, face in zip(images, (0, 0, 1), strict=False):
        assert np.abs(candidates - image)[:, 40:120, 40:110].mean((1, 2, 3)).argmin() == face
    assert pack(album, tmp_path / "splits", align=align, val=0, test=0) == (summary, False)
    with pytest.raises(UserError, match="holds something else"):
        pack(album, tmp_path / "splits", val=0, test=0)


def test_photos_without_a_face_are_listed(album: Path, tmp_path: Path) -> None:
    process = script(album, tmp_path / "splits", "--val", 0, "--test", 0, "--align")
    out, _ = process.communicate()
    assert process.returncode == 0
    assert "left out 1 without a face: none.png" in out

    shutil.copytree(album, tmp_path / "empty", ignore=shutil.ignore_patterns("one.png", "two.png"))
    with pytest.raises(UserError, match="no face was found in any of the 1 images; leave out --align"):
        pack(tmp_path / "empty", tmp_path / "none", align="largest", val=0, test=0)
