"""Reads and writes tables of splits and of attributes: CelebA's own, and those that people make themselves.

Fields are in columns, as in CelebA's tables, or are separated by commas, semicolons or tabs. A table may have any line
ends, a byte order mark, and a heading. It may spell image names differently from the disk.
"""

import codecs
import csv
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from face_generation.data.celeba import SPLITS
from face_generation.errors import UserError
from face_generation.files import writing

SPLIT_WORDS = {
    **dict(zip("012", SPLITS, strict=True)),
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}
ZERO = 2  # stands for a 0 until we know whether a 0 in this table means "absent" or "unknown"
PRESENCE = {"1": 1, "1.0": 1, "True": 1, "-1": -1, "-1.0": -1, "False": -1, "0": ZERO, "0.0": ZERO, "": 0}
NAME_HEADINGS = frozenset({"image_id", "image", "image_name", "img", "file", "filename", "file_name", "name", "path"})

Attributes = tuple[tuple[str, ...], dict[str, NDArray[np.int8]]]  # names of attributes; values by image


def read_partition(label: str, data: bytes) -> dict[str, str]:
    """Reads a table of a split.

    Args:
        label: Name of the file in messages.
        data: Content of the file.

    Returns:
        Image name → "train", "val" or "test".

    Raises:
        UserError: The file is empty or is not text, a line is not an image name and 0, 1 or 2 (or the name of a split),
            or an image is named twice.
    """
    lines = _lines(label, data)
    separator = _separator(lines)
    partition: dict[str, str] = {}
    for index, (number, line) in enumerate(lines):
        fields = _fields(line, separator, values=1)
        if len(fields) == 3 and not _fields(lines[0][1], separator, values=1)[0]:
            fields = fields[1:]  # pandas numbered the rows
        split = SPLIT_WORDS.get(fields[1].lower().removesuffix(".0")) if len(fields) == 2 else None
        if index == 0 and split is None and (separator or fields[0].lower() in NAME_HEADINGS):
            continue
        if split is None:
            raise _malformed(label, number, "should be an image name and 0, 1 or 2")
        if fields[0] in partition:
            raise _malformed(label, number, f"names {fields[0]} a second time")
        partition[fields[0]] = split
    if not partition:
        raise UserError(f"{label} is empty; download it again")
    return partition


def read_attributes(label: str, data: bytes) -> Attributes:
    """Reads a table of attributes.

    CelebA's table begins with a count and a line of attribute names. Each other line is an image name and its values.

    Args:
        label: Name of the file in messages.
        data: Content of the file.

    Returns:
        The K attribute names, and for each image name its values, int8 K: 1, -1, or 0 if unknown. In a table without
        any -1, a 0 means -1.

    Raises:
        UserError: The file is not text, names no image, or has a malformed line, or the count is wrong.
    """
    lines = _lines(label, data)
    separator = _separator(lines)
    count = None
    if lines and (first := lines[0][1].rstrip(f"{separator or ''} ")).isdecimal():
        count = int(first)
        del lines[0]
    number, heading = lines[0] if lines else (1, "")
    columns = [field.strip() for field in heading.split(separator)]
    while columns and not columns[-1]:
        columns.pop()  # a separator at the end makes an empty column
    skipped = 0  # columns before the name
    aligned = separator and len(lines) > 1 and len(_fields(lines[1][1], separator, 0)) == len(columns)
    if columns and (aligned or columns[0].lower() in {"", *NAME_HEADINGS}):
        skipped = int(not columns[0] and columns[1].lower() in NAME_HEADINGS)  # pandas numbered the rows
        columns = columns[skipped + 1 :]
    if not columns or len(set(columns)) != len(columns):
        raise _malformed(label, number, "should be the attribute names, each once")

    values: dict[str, list[int]] = {}
    for number, line in lines[1:]:
        name, *fields = _fields(line, separator, len(columns))[skipped:]
        row = [PRESENCE[field] for field in fields[: len(columns)] if field in PRESENCE]
        if len(row) < len(columns) or any(fields[len(columns) :]):
            raise _malformed(label, number, f"should be an image name and {len(columns)} values, each 1 or -1")
        if name in values:
            raise _malformed(label, number, f"names {name} a second time")
        values[name] = row
    if count not in (None, len(values)):
        raise UserError(f"{label} says that it has {count} images, but has {len(values)}; download it again")
    if not values:
        raise UserError(f"{label} names no image; download it again")
    table = np.array(list(values.values()), dtype=np.int8)
    table[table == ZERO] = 0 if (table == -1).any() else -1
    return tuple(columns), dict(zip(values, table, strict=True))


def write_attributes(path: Path, names: Sequence[str], rows: Mapping[str, NDArray[np.int8]]) -> None:
    """Writes a table of attributes in CelebA's form: a count, the attribute names, and a line for each image.

    Args:
        path: The file to write.
        names: The K attribute names.
        rows: Image name → values, int8 K: 1, -1 or 0.

    Raises:
        UserError: The file cannot be written.
    """
    lines = [str(len(rows)), " ".join(names), *(f"{name} {' '.join(map(str, row))}" for name, row in rows.items())]
    with writing(path) as file:
        file.write("".join(f"{line}\n" for line in lines).encode())


class Finder:
    """Finds an image's row in a table, even if the table spells the image's name differently.

    Paths are compared first, then file names, then names without their suffix, then names without leading zeros. Letter
    case, the kind of slash and the Unicode form of accents never matter.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._rows: dict[tuple[int, str], str | None] = {}
        for name in names:
            for spelling in _spellings(name):
                # A spelling that fits two rows must find neither.
                self._rows[spelling] = None if self._rows.get(spelling, name) != name else name

    def find(self, path: str) -> str | None:
        """The name that the table has for the image at `path`; `None` if it has none."""
        return next((row for spelling in _spellings(path) if (row := self._rows.get(spelling))), None)


def _spellings(path: str) -> Iterator[tuple[int, str]]:
    path = path if path.isascii() else unicodedata.normalize("NFC", path)
    path = path.replace("\\", "/").removeprefix("./").casefold()
    name = path.rpartition("/")[2]
    stem = name.rpartition(".")[0] or name
    yield 0, path
    yield 1, name
    yield 2, stem
    yield 3, stem.lstrip("0") or "0"


def _lines(label: str, data: bytes) -> list[tuple[int, str]]:
    """The number (from 1) and the text of each line that is not blank."""
    try:
        if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            text = data.decode("utf-16")
        else:
            text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("cp1252", errors="replace")  # text of an old Windows, or no text at all
    if any(control in text for control in "\0\1\2\3\4\5\6\7\b"):
        raise UserError(f"{label} is not a text file; download it again")
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return [(number, line.strip(" ")) for number, line in enumerate(lines, start=1) if line.strip()]


def _separator(lines: list[tuple[int, str]]) -> str | None:
    """The character between fields; `None` if white space separates them.

    All lines have the same number of fields, except for a count or a heading on the first.
    """
    first, *others = [line for _, line in lines[:20]] or [""]
    for separator in "\t;,":
        widths = {len(_fields(line, separator, 0)) for line in others or [first]}
        if len(widths) == 1 and widths != {1} and (separator in first or first.isdecimal()):
            return separator
    return None


def _fields(line: str, separator: str | None, values: int) -> list[str]:
    """Splits a line into an image name and its values. If white space separates them, the name may contain some."""
    if separator is None:
        return line.rsplit(None, values)
    return [field.strip() for field in next(csv.reader([line], delimiter=separator))]


def _malformed(label: str, number: int, reason: str) -> UserError:
    return UserError(f"{label}, line {number}: {reason}; download the file again or correct the line")
