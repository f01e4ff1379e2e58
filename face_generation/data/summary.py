"""The file `summary.json` says what packed splits are. Here it is read, written, and compared with the splits."""

import json
import zlib
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from tqdm import tqdm

from face_generation.data.celeba import SPLITS
from face_generation.data.sources import PassedOver
from face_generation.errors import UserError
from face_generation.files import writing

HEADER_BYTES = 128  # length of the header of a .npy file of images; it does not depend on their number and size
CHEAP = 500_000_000  # bytes; arrays up to this size are read whole when a training starts, in a fraction of a second
BLOCK = 1 << 24  # bytes


@dataclass
class Summary:
    """What was packed, and from what.

    The checksums are CRC-32 of an array's pixels and of a table's file. They find every flipped bit, cost little, and
    can be continued when an interrupted packing goes on. DVC's hashes protect against changes made on purpose.
    """

    source: str  # name of the archive or folder
    split_by: str  # what decided each image's split, in words
    image_size: int  # pixels, both sides
    counts: dict[str, int]  # images by split
    damaged: dict[str, str]  # name of each image left out, and why
    fingerprint: str  # hash of the images, their splits and their attributes
    attributes_from: str = "unknown"  # where the attributes come from, in words
    description: str = "unknown"  # what the images are
    licence: str = "unknown"  # terms of use of the images and of what is trained on them
    faceless: list[str] = field(default_factory=list)  # images without a face, if faces were looked for
    several: dict[str, int] = field(default_factory=dict)  # number of faces by image, where there was more than one
    passed_over: dict[str, PassedOver] = field(default_factory=dict)  # files that are no images, by kind
    checksums: dict[str, str] = field(default_factory=dict)  # by file name, in hexadecimal

    @property
    def images(self) -> int:
        """How many images have been handled: packed, damaged or without a face."""
        more = sum(self.several.values()) - len(self.several)
        return sum(self.counts.values()) - more + len(self.damaged) + len(self.faceless)

    @property
    def row_bytes(self) -> int:
        """The size of one image in an array."""
        return self.image_size * self.image_size * 3

    def array_bytes(self, split: str) -> int:
        """The size of the file with the images of a split."""
        return HEADER_BYTES + self.counts[split] * self.row_bytes

    @classmethod
    def read(cls, folder: Path) -> "Summary | None":
        """The summary in a folder of packed splits; `None` if there is none.

        Raises:
            UserError: The summary is damaged.
        """
        path = folder / "summary.json"
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            passed_over = {kind: PassedOver(**seen) for kind, seen in content.pop("passed_over", {}).items()}
            return cls(**content, passed_over=passed_over)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (ValueError, TypeError, AttributeError) as error:
            raise _changed(f"{path} is damaged") from error

    def write(self, folder: Path) -> None:
        """Replaces the summary in `folder` atomically."""
        with writing(folder / "summary.json") as file:
            file.write((json.dumps(asdict(self), indent=2) + "\n").encode())


def check(folder: Path, *, whole: bool = False) -> Summary | None:
    """Compares packed splits with their summary: sizes, tables, and the pixels of small arrays.

    Args:
        folder: The packed splits.
        whole: Read every array, however large. It is then an error if there are no checksums to compare with.

    Returns:
        The summary; `None` if the folder has none, because something else made the arrays.

    Raises:
        UserError: The splits are not as they were packed.
    """
    summary = Summary.read(folder)
    if whole and not (summary and summary.checksums):
        raise UserError(f"{folder} has no summary.json with checksums to compare with; make the splits again")
    if summary is None:
        return None
    for split in SPLITS:
        array, table = folder / f"{split}.npy", folder / f"{split}.csv"
        for path in (array, table):
            if not path.is_file():
                raise _changed(f"{path} is missing")
        if (size := array.stat().st_size) != summary.array_bytes(split):
            raise _changed(f"{array} has {size:,} bytes, not the {summary.array_bytes(split):,} that were packed")
        shape = (summary.counts[split], summary.image_size, summary.image_size, 3)
        if (header := _header(array)) != (shape, np.uint8):
            raise _changed(f"{array} says that it holds {header[1]} of shape {header[0]}, not uint8 of shape {shape}")
        for path, start in ((table, 0), (array, HEADER_BYTES)):
            expected = summary.checksums.get(path.name)
            if expected and (whole or path.stat().st_size <= CHEAP) and checksum(path, start) != expected:
                raise _changed(f"{path} has changed since it was packed: its checksum differs")
    return summary


def checksum(path: Path, start: int = 0) -> str:
    """The CRC-32 of a file from the byte `start` on."""
    crc = 0
    with path.open("rb") as file:
        file.seek(start)
        size = path.stat().st_size - start
        with tqdm(desc=f"checking {path.name}", total=size, unit="B", unit_scale=True, delay=1) as bar:
            while block := file.read(BLOCK):
                crc = zlib.crc32(block, crc)
                bar.update(len(block))
    return f"{crc:08x}"


def _header(path: Path) -> tuple[object, object]:
    """The shape and the dtype that the header of an array's file states."""
    try:
        with path.open("rb") as file:
            np.lib.format.read_magic(file)
            shape, _, dtype = np.lib.format.read_array_header_1_0(file)
            return shape, dtype
    except (ValueError, EOFError) as error:
        raise _changed(f"{path} is not a complete array") from error


def _changed(what: str) -> UserError:
    return UserError(
        f"{what}; delete the folder and make the splits again with: python scripts/train_val_split.py data splits "
        "(or dvc checkout)"
    )
