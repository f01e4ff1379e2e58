"""`summary.json` of packed splits: what they are, and whether they are still as they were packed."""

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

HEADER_BYTES = 128  # of a .npy file of images, whatever their number and size
CHEAP = 500_000_000  # bytes of an array that are read whole when a training starts, which takes a fraction of a second
BLOCK = 1 << 24  # bytes


@dataclass
class Summary:
    """What was packed, and from what.

    The checksums are CRC-32, of an array's pixels and of a table's file: they find every flipped bit, cost little, and
    go on growing where a packing that was stopped goes on. Against intent, DVC's hashes protect.
    """

    source: str  # name of the archive or folder
    split_by: str  # what decided each image's split, in words
    image_size: int  # pixels, both sides
    counts: dict[str, int]  # images by split
    damaged: dict[str, str]  # name of each image left out, and why
    fingerprint: str  # of the images, their splits and their attributes
    attributes_from: str = "unknown"  # where the attributes come from, in words
    description: str = "unknown"  # what the images are
    licence: str = "unknown"  # on which terms they, and what is trained on them, may be used
    faceless: list[str] = field(default_factory=list)  # images without a face, where faces were looked for
    several: dict[str, int] = field(default_factory=dict)  # images that more than one face was cut from, and how many
    passed_over: dict[str, PassedOver] = field(default_factory=dict)  # files that are no images, by kind
    checksums: dict[str, str] = field(default_factory=dict)  # by file name, in hexadecimal

    @property
    def images(self) -> int:
        """How many images have been dealt with, whatever became of them."""
        more = sum(self.several.values()) - len(self.several)
        return sum(self.counts.values()) - more + len(self.damaged) + len(self.faceless)

    @property
    def row_bytes(self) -> int:
        return self.image_size * self.image_size * 3

    def array_bytes(self, split: str) -> int:
        """The size of the file with the images of a split."""
        return HEADER_BYTES + self.counts[split] * self.row_bytes

    @classmethod
    def read(cls, folder: Path) -> "Summary | None":
        """The summary in a folder of packed splits; `None` if there is none.

        Raises:
            UserError: It is damaged.
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
        """Replaces the summary in `folder` at once."""
        with writing(folder / "summary.json") as file:
            file.write((json.dumps(asdict(self), indent=2) + "\n").encode())


def check(folder: Path, *, whole: bool = False) -> Summary | None:
    """Compares packed splits with their summary: sizes, tables, and the pixels of arrays where that is cheap.

    Args:
        folder: The packed splits.
        whole: Whether to read every array, however large; it is then an error if there is nothing to compare with.

    Returns:
        The summary; `None` if the folder has none, as with arrays of another origin, of which nothing is known.

    Raises:
        UserError: They are not as they were packed.
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
                raise _changed(f"{path} is not what was packed: its checksum is another")
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
    """The shape and the type of the values that an array's file says it has."""
    try:
        with path.open("rb") as file:
            np.lib.format.read_magic(file)
            shape, _, dtype = np.lib.format.read_array_header_1_0(file)
            return shape, dtype
    except (ValueError, EOFError) as error:
        raise _changed(f"{path} is not a whole array") from error


def _changed(what: str) -> UserError:
    return UserError(
        f"{what}; delete the folder and make the splits again with: python scripts/train_val_split.py data splits "
        "(or dvc checkout)"
    )
