"""Facts about CelebA: its files, its official split, its forty attributes, and its terms.

Liu et al., Deep Learning Face Attributes in the Wild, ICCV 2015, https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html
"""

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class RawFile:
    """One official file: its name, size in bytes, MD5, Google Drive id, and other addresses that have it."""

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

DESCRIPTION = "CelebA (Liu et al. 2015), aligned and cropped faces"
LICENCE = (
    "The CelebA data set is for non-commercial research purposes only, and so is a model trained on it "
    "(https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html)."
)

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


def official_number(path: str) -> int | None:
    """The number of a CelebA image, from 1 to 202,599, read from its path; `None` if the image is not one of CelebA's.

    The file is named 000001 to 202599 with any suffixes, and a folder or archive in the path is named after CelebA.
    CelebA-HQ does not count, because it numbers its images in another way.

    >>> official_number("img_align_celeba/162771.jpg")
    162771
    """
    folders, _, name = path.casefold().rpartition("/")
    if "celeba" not in folders or "hq" in folders or not re.fullmatch(r"[0-9]{6}(\.\w+)*", name):
        return None
    number = int(name[:6])
    return number if 1 <= number <= OFFICIAL_SPLIT["test"][-1] else None


def official_split(number: int) -> str:
    """The official split of the image with this number."""
    return next(split for split, numbers in OFFICIAL_SPLIT.items() if number in numbers)
