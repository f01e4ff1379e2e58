"""What CelebA is: its files, its official split, its forty attributes, and how its two text files are read.

Liu et al., Deep Learning Face Attributes in the Wild, ICCV 2015, https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from face_generation.errors import UserError
from face_generation.generator.pictures import writing


@dataclass(frozen=True)
class RawFile:
    """One official file: its name, size in bytes, MD5, Google Drive id, and direct addresses that have it too."""

    name: str
    size: int
    md5: str
    drive_id: str
    urls: tuple[str, ...] = ()


ARCHIVE_FILE = "img_align_celeba.zip"
PARTITION_FILE = "list_eval_partition.txt"
ATTRIBUTE_FILE = "list_attr_celeba.txt"

FILES = {
    file.name: file
    for file in (
        RawFile(
            name=ARCHIVE_FILE,
            size=1_443_490_838,
            md5="00d2c5bc6d35e252742224ab0c1e8fcb",
            drive_id="0B7EVK8r0v71pZjFTYXZWM3FlRnM",
            urls=(
                "https://www.dropbox.com/scl/fi/di9wevuxwd4ks0cvhk0lg/img_align_celeba.zip"
                "?rlkey=yzi4rakarun7fxj8yl0oy5v6t&st=8demnpch&dl=1",
            ),
        ),
        RawFile(
            name=PARTITION_FILE,
            size=2_836_386,
            md5="d32c9cbf5e040fd4025c592c306e6668",
            drive_id="0B7EVK8r0v71pd0FJY3Blby1HUTQ",
        ),
        RawFile(
            name=ATTRIBUTE_FILE,
            size=26_721_026,
            md5="75e246fa4810816ffd6ee81facbd244c",
            drive_id="0B7EVK8r0v71pblRyaVFSWGxPY0U",
        ),
    )
}

IMAGE_FOLDER = "img_align_celeba"  # inside the archive
IMAGE_WIDTH, IMAGE_HEIGHT = 178, 218  # pixels

SPLITS = ("train", "val", "test")  # the partition file calls them 0, 1 and 2
OFFICIAL_SPLIT = {  # image numbers; the first is 1
    "train": range(1, 162_771),
    "val": range(162_771, 182_638),
    "test": range(182_638, 202_600),
}

ATTRIBUTES = tuple(
    """
    5_o_Clock_Shadow Arched_Eyebrows Attractive Bags_Under_Eyes Bald Bangs Big_Lips Big_Nose Black_Hair Blond_Hair
    Blurry Brown_Hair Bushy_Eyebrows Chubby Double_Chin Eyeglasses Goatee Gray_Hair Heavy_Makeup High_Cheekbones
    Male Mouth_Slightly_Open Mustache Narrow_Eyes No_Beard Oval_Face Pale_Skin Pointy_Nose Receding_Hairline
    Rosy_Cheeks Sideburns Smiling Straight_Hair Wavy_Hair Wearing_Earrings Wearing_Hat Wearing_Lipstick
    Wearing_Necklace Wearing_Necktie Young
    """.split()
)


def official_split(name: str) -> str | None:
    """The official split of an image by its number; `None` if the name is not one of CelebA's.

    >>> official_split("162771.jpg")
    'val'
    """
    if not re.fullmatch(r"[0-9]{6}\.jpg", name):
        return None
    number = int(name[:6])
    return next((split for split, numbers in OFFICIAL_SPLIT.items() if number in numbers), None)


def read_partition(path: Path) -> dict[str, str]:
    """Reads `list_eval_partition.txt`: image name → "train", "val" or "test".

    Raises:
        UserError: the file cannot be read, or a line is not an image name and 0, 1 or 2.
    """
    partition: dict[str, str] = {}
    codes = dict(zip("012", SPLITS, strict=True))
    for number, fields in _lines(path):
        if len(fields) != 2 or fields[1] not in codes:
            raise _malformed(path, number, "should be an image name and 0, 1 or 2")
        if fields[0] in partition:
            raise _malformed(path, number, f"names {fields[0]} a second time")
        partition[fields[0]] = codes[fields[1]]
    if not partition:
        raise UserError(f"{path} is empty; download it again")
    return partition


def read_attributes(path: Path) -> tuple[tuple[str, ...], dict[str, np.ndarray]]:
    """Reads `list_attr_celeba.txt`: a count, a line of attribute names, then an image name and 1 or -1 for each, or 0
    where nobody knows, which CelebA has not.

    Returns:
        The attribute names, and for each image name its values as int8, in the order of the names.

    Raises:
        UserError: the file cannot be read, a line does not have that form, or there are not as many as it promises.
    """
    lines = _lines(path)
    number, fields = next(lines, (1, []))
    if len(fields) != 1 or not fields[0].isdecimal():
        raise _malformed(path, number, "should be the number of images")
    count = int(fields[0])

    number, columns = next(lines, (2, []))
    if not columns or len(set(columns)) != len(columns):
        raise _malformed(path, number, "should be the attribute names, each once")

    attributes: dict[str, np.ndarray] = {}
    for number, (name, *values) in lines:
        if len(values) != len(columns) or not {"1", "-1", "0"}.issuperset(values):
            raise _malformed(path, number, f"should be an image name and {len(columns)} values, each 1, -1 or 0")
        if name in attributes:
            raise _malformed(path, number, f"names {name} a second time")
        attributes[name] = np.array(values, dtype=np.int8)
    if len(attributes) != count:
        raise UserError(f"{path} promises {count} images but has {len(attributes)}; download it again")
    return tuple(columns), attributes


def write_attributes(path: Path, names: Sequence[str], rows: Mapping[str, np.ndarray]) -> None:
    """Writes what `read_attributes` reads: attribute names, and for each image name its values, 1, -1 or 0.

    Raises:
        UserError: It cannot be written there.
    """
    lines = [str(len(rows)), " ".join(names), *(f"{name} {' '.join(map(str, row))}" for name, row in rows.items())]
    with writing(path) as file:
        file.write("".join(f"{line}\n" for line in lines).encode())


def _lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    """The number (from 1) and the fields of each line that has any; the official files end lines in CR LF."""
    try:
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, start=1):
                if fields := line.split():
                    yield number, fields
    except UnicodeDecodeError:
        raise UserError(f"{path} is not a text file; download it again") from None
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}; check the file and its permissions") from None


def _malformed(path: Path, number: int, reason: str) -> UserError:
    return UserError(f"{path}, line {number}: {reason}; download the file again or put the line right")
