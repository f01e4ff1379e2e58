"""CelebA in every layout in which people have it, and folders of photos with all that lies in them."""

import csv
import os
import tarfile
import tempfile
import zipfile
from io import BytesIO
from pathlib import Path
from random import Random
from typing import Literal

import numpy as np
import pyarrow
import pytest
from PIL import Image
from pyarrow import parquet

from face_generation.data.celeba import official_split
from face_generation.data.packing import pack
from face_generation.data.summary import Summary
from face_generation.data.synthetic import Face, draw_face
from face_generation.errors import UserError

NUMBERS = (1, 2, 3, 162770, 162771, 162772, 182638, 202599)  # four, two and two of the official splits
COLUMNS = ("Bald", "Smiling", "Young")
VALUES = {number: [1 if number % divisor else -1 for divisor in (2, 3, 5)] for number in (*NUMBERS, 4)}
CODES = {number: ("train", "val", "test").index(official_split(number)) for number in NUMBERS}

ARCHIVE, FOLDER = "img_align_celeba.zip", "img_align_celeba"
PARTITION, ATTRIBUTES = "list_eval_partition", "list_attr_celeba"
PARTITION_TXT = "".join(f"{number:06}.jpg {CODES[number]}\r\n" for number in NUMBERS).encode()
ATTRIBUTES_TXT = "\r\n".join(
    [str(len(NUMBERS)), " ".join(COLUMNS), *(f"{n:06}.jpg {' '.join(map(str, VALUES[n]))}" for n in NUMBERS), ""]
).encode()
PARTITION_CSV = b"image_id,partition\n" + PARTITION_TXT.replace(b"\r", b"").replace(b" ", b",")
ATTRIBUTES_CSV = "\n".join(
    ["image_id," + ",".join(COLUMNS), *(f"{n:06}.jpg,{','.join(map(str, VALUES[n]))}" for n in NUMBERS)]
).encode()

Members = dict[str, bytes]


@pytest.fixture(scope="module")
def pictures() -> dict[int, bytes]:
    """In PNG, whatever their names say."""
    return {number: picture(number) for number in (*NUMBERS, 4)}


def picture(seed: int, kind: str = "PNG") -> bytes:
    buffer = BytesIO()
    draw_face(Face.random(Random(seed))).save(buffer, kind)
    return buffer.getvalue()


def zipped(members: Members) -> bytes:
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    return buffer.getvalue()


def tarred(members: Members, mode: Literal["w", "w:gz"] = "w:gz") -> bytes:
    buffer = BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, BytesIO(content))
    return buffer.getvalue()


def shard(pictures: dict[int, bytes], numbers: list[int], named: bool = True) -> bytes:
    """A Parquet file as data set hubs have it."""
    images = [{"bytes": pictures[n], "path": f"{n:06}.jpg" if named else None} for n in numbers]
    columns = {column: [VALUES[n][i] > 0 for n in numbers] for i, column in enumerate(COLUMNS)}
    buffer = BytesIO()
    table = pyarrow.table({"image": images, "celeb_id": numbers, **columns})
    parquet.write_table(table, buffer, row_group_size=2)
    return buffer.getvalue()


def write(folder: Path, members: Members) -> Path:
    for name, content in members.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def packed(source: Path, destination: Path) -> tuple[Summary, dict[str, bytes]]:
    summary, _ = pack(source, destination, threads=1)
    return summary, {path.name: path.read_bytes() for path in destination.iterdir() if path.name != "summary.json"}


def names(folder: Path, split: str) -> list[str]:
    with (folder / f"{split}.csv").open(encoding="utf-8", newline="") as file:
        return [row["name"] for row in csv.DictReader(file)]


def layouts(pictures: dict[int, bytes]) -> dict[str, tuple[str, Members]]:
    """What people have: the path that they name, and the files around it."""
    images = {f"{number:06}.jpg": pictures[number] for number in NUMBERS}
    inside = {f"{FOLDER}/{name}": content for name, content in images.items()}
    texts = {f"{PARTITION}.txt": PARTITION_TXT, f"{ATTRIBUTES}.txt": ATTRIBUTES_TXT}
    tables = {f"{PARTITION}.csv": PARTITION_CSV, f"{ATTRIBUTES}.csv": ATTRIBUTES_CSV}
    kaggle = {f"{FOLDER}/{path}": content for path, content in inside.items()} | tables
    drive = {f"Anno/{ATTRIBUTES}.txt": ATTRIBUTES_TXT, f"Eval/{PARTITION}.txt": PARTITION_TXT}
    everything = {f"CelebA/{path}": content for path, content in drive.items()}
    everything["CelebA/Img/img_align_celeba.zip"] = zipped(inside)
    part = "CelebA-20240101T101112Z"
    mac = {f"__MACOSX/._{name}": b"junk" for name in images} | {".DS_Store": b"junk"}
    png = {path.replace(".jpg", ".png"): content for path, content in inside.items()}
    shards = {
        "data/train-00000-of-00002.parquet": shard(pictures, [1, 2]),
        "data/train-00001-of-00002.parquet": shard(pictures, [3, 162770]),
        "data/valid-00000-of-00001.parquet": shard(pictures, [162771, 162772]),
        "data/test-00000-of-00001.parquet": shard(pictures, [182638, 202599]),
    }
    return {
        "official": ("data", write_under("data", {ARCHIVE: zipped(inside)} | texts)),
        "its archive": ("data/img_align_celeba.zip", write_under("data", {ARCHIVE: zipped(inside)} | texts)),
        "torchvision": ("celeba/img_align_celeba", write_under("celeba", inside | texts)),
        "torchvision's root": ("root", write_under("root/celeba", inside | texts)),
        "drive": ("CelebA", write_under("CelebA", drive | {"Img/img_align_celeba.zip": zipped(inside)})),
        "drive's archive": ("CelebA/Img/img_align_celeba.zip", everything),
        "drive's download": (f"{part}-001.zip", {f"{part}-001.zip": zipped(everything)}),
        "drive's downloads": (
            f"{part}-001.zip",
            {f"{part}-00{i}.zip": zipped({path: everything[path]}) for i, path in enumerate(everything, start=1)},
        ),
        "a folder of downloads": (
            "down",
            {f"down/{part}-00{i}.zip": zipped({path: everything[path]}) for i, path in enumerate(everything, start=1)},
        ),
        "kaggle": ("celeba-dataset", write_under("celeba-dataset", kaggle)),
        "kaggle's archive": ("archive.zip", {"archive.zip": zipped(kaggle)}),
        "from Windows": ("img.zip", {"img.zip": zipped({k.replace("/", "\\"): v for k, v in kaggle.items()})}),
        "with a drive": (
            "img.zip",
            {"img.zip": zipped({f"C:\\me\\{k}".replace("/", "\\"): v for k, v in kaggle.items()})},
        ),
        "from a Mac": ("img.zip", {"img.zip": zipped({f"./{k}": v for k, v in kaggle.items()} | mac)}),
        "with the root": ("img.zip", {"img.zip": zipped({f"/home/me/{k}": v for k, v in kaggle.items()})}),
        "upper case": ("IMG.ZIP", {"IMG.ZIP": zipped({k.upper(): v for k, v in kaggle.items()})}),
        "flat": ("data", write_under("data", {ARCHIVE: zipped(images)} | texts)),
        "tar": ("celeba.tar.gz", {"celeba.tar.gz": tarred({f"./{k}": v for k, v in kaggle.items()})}),
        "unpacked as well": ("data", write_under("data", {ARCHIVE: zipped(inside)} | inside | texts)),
        "converted": ("data", write_under("data", png | texts)),
        "copies of the tables": ("data", write_under("data", inside | texts | tables)),
        "parquet": ("celeba", write_under("celeba", shards)),
        "with another suffix": (
            "data",
            write_under("data", {f"{FOLDER}/{name}.png": content for name, content in images.items()} | texts),
        ),
        "a copy beside it": (
            "data",
            write_under("data", {ARCHIVE: zipped(inside), "img_align_celeba (1).zip": b"cut off"} | texts),
        ),
        "packed again": ("data", write_under("data", {"img_align_celeba (1).zip": zipped(inside)} | texts)),
        "packed again, beside a picture": (
            "data",
            write_under("data", {f"{FOLDER}.tar.gz": tarred(inside), "README.png": pictures[1]} | texts),
        ),
        "a link": ("faces", {f"celeba/{path}": content for path, content in (inside | texts).items()}),
        "steps upwards": ("data/img_align_celeba/..", write_under("data", inside | texts)),
    }


def write_under(folder: str, members: Members) -> Members:
    return {f"{folder}/{path}": content for path, content in members.items()}


LAYOUTS = list(layouts(dict.fromkeys(NUMBERS, b"")))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_celeba_is_the_same_however_it_comes(layout: str, pictures: dict[int, bytes], tmp_path: Path) -> None:
    path, members = layouts(pictures)[layout]
    write(tmp_path / "got", members)
    if layout == "a link":
        (tmp_path / "got" / path).symlink_to(f"celeba/{FOLDER}")
    summary, splits = packed(tmp_path / "got" / path, tmp_path / "splits")

    assert summary.counts == {"train": 4, "val": 2, "test": 2}
    assert not summary.damaged
    assert summary.description.startswith("CelebA")
    for split in summary.counts:
        numbers = [number for number in NUMBERS if official_split(number) == split]
        rows = [",".join([f"{number:06}.jpg", *map(str, VALUES[number])]) for number in numbers]
        assert splits[f"{split}.csv"].decode() == "\n".join([",".join(["name", *COLUMNS]), *rows, ""])
        for row, number in zip(np.load(tmp_path / "splits" / f"{split}.npy"), numbers, strict=True):
            square = Image.open(BytesIO(pictures[number])).resize(
                (150, 150), Image.Resampling.BICUBIC, (0, 20, 178, 198)
            )
            assert np.array_equal(row, square)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["got", "splits"]


def test_the_numbers_decide_without_a_table(pictures: dict[int, bytes], tmp_path: Path) -> None:
    images = {f"{FOLDER}/{FOLDER}/{number:06}.JPEG": pictures[number] for number in NUMBERS}
    summary, _ = packed(write(tmp_path / "kaggle", images), tmp_path / "splits")
    assert summary.counts == {"train": 4, "val": 2, "test": 2}
    assert summary.split_by == "CelebA's image numbers"
    assert summary.attributes_from == "nowhere: there are none"


@pytest.mark.parametrize("source", ["faces", "faces.zip"])
def test_celeba_is_known_by_the_size_of_its_images(source: str, pictures: dict[int, bytes], tmp_path: Path) -> None:
    images = {f"{number:06}.jpg": pictures[number] for number in NUMBERS}
    mine = write(tmp_path / "mine", write_under("faces", images) | {"faces.zip": zipped(images)})
    summary, _ = packed(mine / source, tmp_path / "splits")
    assert summary.counts == {"train": 4, "val": 2, "test": 2}
    assert summary.description.startswith("CelebA")

    square = BytesIO()
    Image.new("RGB", (178, 178)).save(square, "PNG")
    (mine / "faces" / "162772.jpg").write_bytes(square.getvalue())  # so somebody numbered photos of their own
    summary, _ = packed(mine / "faces", tmp_path / "own splits")
    assert summary.split_by == "chance, with seed 0"


def test_a_users_own_split_is_obeyed(pictures: dict[int, bytes], tmp_path: Path) -> None:
    own = b"file,split\n" + b"".join(b"%06d,%s\n" % (n, b"test" if n < 4 else b"train") for n in NUMBERS)
    images = {f"{FOLDER}/{number:06}.png": pictures[number] for number in NUMBERS}
    source = write(tmp_path / "data", images | {f"{PARTITION}.csv": own})
    summary, _ = packed(source, tmp_path / "splits")
    assert names(tmp_path / "splits", "test") == ["000001.jpg", "000002.jpg", "000003.jpg"]
    assert summary.counts == {"train": 5, "val": 0, "test": 3}
    assert summary.split_by == f"{PARTITION}.csv"


def test_parquet_without_names_of_images(pictures: dict[int, bytes], tmp_path: Path) -> None:
    shards = {"train-0.parquet": shard(pictures, [1, 2, 3], named=False), "test-0.parquet": shard(pictures, [4], False)}
    summary, _ = packed(write(tmp_path / "celeba", shards), tmp_path / "splits")
    assert summary.split_by == "the names of folders (test-0.parquet, train-0.parquet)"
    assert names(tmp_path / "splits", "train") == [f"train-0.parquet/row {row:07}" for row in range(3)]
    assert summary.description == "unknown"


def test_few_pictures_beside_an_archive(pictures: dict[int, bytes], tmp_path: Path) -> None:
    source = write(tmp_path / "data", {"logo.png": pictures[1], "faces.zip": b""})
    with pytest.raises(
        UserError, match=r"1 images .* too few to split; .* \(passed over: archives: 1, such as faces.zip"
    ):
        pack(source, tmp_path / "splits")


@pytest.mark.parametrize("split", [["train", "train", "val", "test"], [0, 0, 1, 2]], ids=["words", "numbers"])
def test_parquet_with_columns_of_names_and_splits(
    split: list[object], pictures: dict[int, bytes], tmp_path: Path
) -> None:
    """The split is a user's own, and Kaggle's values of attributes are 1 and -1."""
    numbers = [1, 162771, 2, 3]
    buffer = BytesIO()
    columns = {"thumbnail": [b"x"] * 4, "File_Name": [f"{number:06}.jpg" for number in numbers]}
    columns |= {"image": [{"bytes": pictures[number]} for number in numbers]}
    parquet.write_table(pyarrow.table(columns | {"Partition": split, "Bald": ["1", "-1", None, "1"]}), buffer)
    summary, _ = packed(write(tmp_path / "celeba", {"all.parquet": buffer.getvalue()}), tmp_path / "splits")
    assert summary.split_by == "a column of Parquet"
    assert {split: names(tmp_path / "splits", split) for split in summary.counts} == {
        "train": ["000001.jpg", "162771.jpg"],
        "val": ["000002.jpg"],
        "test": ["000003.jpg"],
    }
    assert (tmp_path / "splits" / "train.csv").read_text() == "name,Bald\n000001.jpg,1\n162771.jpg,-1\n"


def worded(pictures: dict[int, bytes]) -> bytes:
    buffer = BytesIO()
    parquet.write_table(pyarrow.table({"image": [pictures[1]], "Bald": ["yes"]}), buffer)
    return buffer.getvalue()


def test_parquet_that_cannot_be_used(pictures: dict[int, bytes], tmp_path: Path) -> None:
    damaged = shard(pictures, [1, 2])
    at = damaged.index(b"000001.jpg") - 40
    damaged = damaged[:at] + b"U" * 100 + damaged[at + 100 :]
    for content, complaint in (
        (damaged, "data.parquet is not a complete Parquet file; download it again"),
        (worded(pictures), "data.parquet: Bald is yes in row 0; it should be 1 or -1"),
    ):
        with pytest.raises(UserError, match=complaint):
            pack(write(tmp_path / "data", {"data.parquet": content}), tmp_path / "splits")


def encrypted(members: Members) -> bytes:
    """A zip that says that its files are encrypted."""
    content = bytearray(zipped(members))
    for signature, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = -1
        while (at := content.find(signature, at + 1)) >= 0:
            content[at + flags] |= 1
    return bytes(content)


def nested(levels: int) -> bytes:
    archive = zipped({"1.png": picture(1)})
    for _ in range(levels):
        archive = zipped({"in.zip": archive})
    return archive


THREE = {f"{name}.png": name.encode() * 700 for name in ("one", "two", "three")}
TAR = tarred(THREE, "w")
IN_ZIP = zipped({"in.zip": zipped(THREE)})
TABLED = zipped({"1.png": b"", f"{PARTITION}.txt": b"1.png 0\n"})


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("own.zip", encrypted(THREE), "own.zip is encrypted; unpack it with its password"),
        ("own.zip", encrypted({"in.zip": zipped(THREE)}), "own.zip is encrypted"),
        ("own.zip", IN_ZIP.replace(b"two.png", b"TWO.png"), "own.zip/in.zip is cut off or damaged"),
        ("own.zip", TABLED.replace(b"png 0", b"png 1"), f"cannot read .*{PARTITION}.txt: Bad CRC"),
        ("own.tar", TAR.replace(b"two.png", b"TWO.png"), "own.tar is cut off or damaged"),
        ("own.tar", TAR[: TAR.index(b"two.png") + 100], "own.tar is cut off or damaged"),
        ("own.tar", TAR + TAR, "own.tar is cut off or damaged"),
        ("own.7z", b"7z\xbc\xaf\x27\x1c", "own.7z is a 7z archive, which cannot be read; unpack it"),
        ("own.rar", b"Rar!\x1a\x07\x00", "own.rar is a RAR archive"),
        ("me.png", picture(1), "me.png is not an archive; give a folder, or a zip or tar"),
        ("own.zip", nested(20), r"has neither .* images \(archives: 1"),
    ],
    ids=(
        "encrypted encrypted-inside damaged-inside damaged-table tar's-header tar-cut two-tars 7z rar photo nested"
    ).split(),
)
def test_an_archive_that_would_lose_images(name: str, content: bytes, complaint: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=complaint):
        pack(write(tmp_path / "data", {name: content}) / name, tmp_path / "splits")


def test_a_few_archives_in_archives_are_opened(tmp_path: Path) -> None:
    source = write(tmp_path / "data", {"own.zip": nested(4)}) / "own.zip"
    summary, _ = pack(source, tmp_path / "splits", val=0, test=0)
    assert summary.counts["train"] == 1


def test_files_with_two_names_in_a_tar(tmp_path: Path) -> None:
    source = tmp_path / "own.tar"
    with tarfile.open(source, "w") as archive:
        for number in range(4):
            info = tarfile.TarInfo(f"train/{number}.png")
            info.size = len(picture(number))
            archive.addfile(info, BytesIO(picture(number)))
        for name, kind, target in (
            ("test/0.png", tarfile.LNKTYPE, "train/0.png"),
            ("test/1.png", tarfile.LNKTYPE, "nowhere.png"),
            ("test/2.png", tarfile.SYMTYPE, "../train/2.png"),
        ):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, target
            archive.addfile(info)
    summary, _ = packed(source, tmp_path / "splits")
    assert summary.counts == {"train": 4, "val": 0, "test": 1}
    assert summary.passed_over["links in archives"].examples == ["test/2.png", "test/1.png"]


def test_a_packed_table_beside_the_images_stops(pictures: dict[int, bytes], tmp_path: Path) -> None:
    images = {f"{FOLDER}/{number:06}.jpg": pictures[number] for number in NUMBERS}
    data = write(tmp_path / "data", images | {f"{PARTITION}.csv.zip": zipped({f"{PARTITION}.csv": PARTITION_CSV})})
    with pytest.raises(UserError, match=f"{PARTITION}.csv.zip may belong to the images; unpack it, or move it away"):
        pack(data / FOLDER, tmp_path / "splits")
    assert packed(data, tmp_path / "splits")[0].split_by == f"{PARTITION}.csv.zip/{PARTITION}.csv"


def test_names_in_a_tar_that_are_not_unicode(tmp_path: Path) -> None:
    images = {os.fsdecode(b"caf\xe9 %d.png" % number): picture(number) for number in range(3)}
    packed(write(tmp_path / "data", {"own.tar.gz": tarred(images)}) / "own.tar.gz", tmp_path / "splits")
    assert names(tmp_path / "splits", "train")[0].startswith(r"caf\xe9 ")


@pytest.mark.parametrize(
    ("members", "complaint"),
    [
        ({"a.7z": b"7z", "b.7z": b"7z", "readme.txt": b"hi"}, r"has neither .* images \(.7z: 2, such as a.7z; .txt: 1"),
        (
            {"data.parquet": b"PAR1" + bytes(100) + b"PAR1"},
            "data.parquet is not a complete Parquet file; download it again",
        ),
        ({"a.zip": b"PK\x03\x04 cut"}, "a.zip is cut off or damaged, or not a zip; remove it and download it again"),
        ({"a.tar.gz": b"\x1f\x8b cut"}, "a.tar.gz is cut off or damaged, or not a zip"),
        ({f"{FOLDER}/000001.jpg": b"", f"{FOLDER}/me.jpg": b""}, "only 1 of the 2 images in .*me.jpg has none"),
    ],
    ids=["7z", "parquet", "zip", "tar", "mixed"],
)
def test_what_cannot_be_used_is_named(members: Members, complaint: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=complaint):
        pack(write(tmp_path / "data", members), tmp_path / "splits")
    assert not (tmp_path / "splits").exists()


# --- folders of photos --------------------------------------------------------------------------------------------


@pytest.fixture
def album(tmp_path: Path) -> Path:
    return write(tmp_path / "album", {f"{number}.png": picture(number) for number in range(10)})


def test_whatever_pillow_reads_is_taken_and_the_rest_is_counted(album: Path, tmp_path: Path) -> None:
    kinds = {"a.JFIF": "JPEG", "b.tif": "TIFF", "c.avif": "AVIF", "d.gif": "GIF", "e.jp2": "JPEG2000", "f.tga": "TGA"}
    wrong = {"g.jpg": "PNG", "without": "JPEG", "h.jpg.download": "JPEG", "i.dat": "WEBP", "j.mpo": "MPO"}
    for seed, (name, kind) in enumerate((kinds | wrong).items(), start=100):
        (album / name).write_bytes(picture(seed, kind))
    heic = Path(__file__).parents[1] / "generator" / "synthetic.heic"
    others = {f"IMG_{i}.MOV": b"\0\0\0\x14ftypqt  " for i in range(5)} | {"notes": b"text", ".hidden.png": b"x"}
    others |= {"__MACOSX/._1.png": b"x", "@eaDir/1.png/SYNOPHOTO_THUMB_M.jpg": b"x"}
    write(album, {"IMG_1.HEIC": heic.read_bytes(), "broken.png": b"x"} | others)

    summary, _ = packed(album, tmp_path / "splits")

    assert sum(summary.counts.values()) == 10 + len(kinds | wrong) + 1
    assert summary.damaged == {"broken.png": "not an image"}
    assert {kind: seen.count for kind, seen in summary.passed_over.items()} == {
        ".mov": 5,
        "hidden": 3,
        "without a suffix": 1,
    }
    assert summary.passed_over[".mov"].examples == ["IMG_0.MOV", "IMG_1.MOV", "IMG_2.MOV"]
    assert Summary.read(tmp_path / "splits") == summary


def test_links_are_followed_and_loops_are_not(album: Path, tmp_path: Path) -> None:
    elsewhere = write(tmp_path / "elsewhere", {"deep/x.png": picture(50), "deep/y.png": picture(51)})
    (album / "linked").symlink_to(elsewhere)
    (album / "again").symlink_to(elsewhere)
    (album / "loop").symlink_to(album)
    (elsewhere / "deep" / "up").symlink_to(elsewhere)
    (album / "self").symlink_to(album / "self")
    (album / "gone.png").symlink_to(album / "nowhere.png")
    (album / "file link.png").symlink_to(elsewhere / "deep" / "x.png")
    os.mkfifo(album / "pipe.png")

    summary, _ = packed(album, tmp_path / "splits")

    assert sum(summary.counts.values()) == 10 + 2 + 1
    assert summary.damaged == {"gone.png": "a link to nothing", "self": "a link to nothing"}
    assert summary.passed_over["links to folders that are read already"].count == 3
    assert summary.passed_over["pipes and devices"].examples == ["pipe.png"]


def test_what_may_not_be_read_is_listed() -> None:
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o777)
        album = write(Path(folder, "album"), {f"{number}.png": picture(number) for number in range(10)})
        (album / "3.png").chmod(0)
        (album / "locked").mkdir(mode=0)
        user = os.geteuid()
        try:
            os.seteuid(user or 65534)  # root may read everything
            summary, _ = packed(album, Path(folder, "splits"))
        finally:
            os.seteuid(user)
    assert summary.damaged == {
        "3.png": "Permission denied",
        "locked/": "a folder that cannot be read (Permission denied)",
    }
    assert sum(summary.counts.values()) == 9


def test_the_same_name_in_two_folders(album: Path, tmp_path: Path) -> None:
    write(album, {f"{folder}/Ada.png": picture(seed) for seed, folder in enumerate("abc", start=60)})
    table = "".join(f"{path.relative_to(album)} 0\n" for path in album.rglob("*.png"))
    (album / f"{PARTITION}.txt").write_text(table)
    packed(album, tmp_path / "splits")
    assert {"a/Ada.png", "b/Ada.png", "c/Ada.png"} < set(names(tmp_path / "splits", "train"))

    by_name = "".join(f"{number}.png 0\n" for number in range(10)) + "Ada.png 0\n"
    (album / f"{PARTITION}.txt").write_text(by_name)
    with pytest.raises(UserError, match=r"calls two images Ada.png: ./Ada.png and ./Ada.png"):
        pack(album, tmp_path / "other")


def test_an_attribute_table_may_name_images_of_one_folder(album: Path, tmp_path: Path) -> None:
    write(album, {f"more/{number}.png": picture(number) for number in range(100, 103)})
    for number in range(3):
        (album / "more" / f"{number + 100}.png").rename(album / "more" / f"{number}.png")
    table = "image,Bald\n" + "".join(f"./{number}.png,1\n" for number in range(10))
    (album / f"{ATTRIBUTES}.csv").write_text(table)
    summary, _ = packed(album, tmp_path / "splits")
    assert summary.attributes_from == f"{ATTRIBUTES}.csv, for 10 of 13 images"
