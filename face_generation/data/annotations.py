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
PRESENCE = {
    **dict.fromkeys(("1", "1.0", "True", "true", "TRUE"), 1),  # spreadsheets write words in capitals
    **dict.fromkeys(("-1", "-1.0", "False", "false", "FALSE"), -1),
    **dict.fromkeys(("0", "0.0"), ZERO),
    "": 0,
}
NAME_HEADINGS = frozenset({"image_id", "image", "image_name", "img", "file", "filename", "file_name", "name", "path"})
SPLIT_HEADINGS = frozenset({"partition", "split", "set", "subset"})
NUMBER = 3  # likeness of names that only have the same number; lower is nearer
LONGEST_LINE = 100_000  # characters; the lines of a web page may be longer

Attributes = tuple[tuple[str, ...], dict[str, NDArray[np.int8]]]  # names of attributes; values by image


def read_partition(label: str, data: bytes) -> dict[str, str]:
    """Reads a table of a split.

    Args:
        label: Name of the file in messages.
        data: Content of the file.

    Returns:
        Image name → "train", "val" or "test".

    Raises:
        UserError: The file is empty or is not text, a line has no image name and 0, 1 or 2 (or the name of a split), or
            an image is named twice.
    """
    lines = _lines(label, data)
    separator = _separator(lines)
    columns = _without_empty_end(_fields(lines[0][1], separator, values=1)) if lines else []
    name_at, split_at = 0, 1
    if columns and split_of(columns[-1]) is None:
        headings = [column.lower() for column in columns]
        if separator or headings[0] in NAME_HEADINGS:
            del lines[0]
            name_at, split_at = _columns(headings)
    partition: dict[str, str] = {}
    for number, line in lines:
        fields = _without_empty_end(_fields(line, separator, values=1))
        fits = max(name_at, split_at) < len(fields) <= len(columns)
        split = split_of(fields[split_at]) if fits else None
        if split is None:
            raise _malformed(label, number, "should be an image name and 0, 1 or 2")
        name = fields[name_at]
        if name in partition:
            raise _malformed(label, number, f"names {name} a second time")
        partition[name] = split
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
    if lines and (first := lines[0][1].rstrip(f"{separator or ''} ")).isdecimal() and len(first) < 10:
        count = int(first)
        del lines[0]
    number, heading = lines[0] if lines else (1, "")
    columns = _without_empty_end(_fields(heading, separator, values=-1))
    name_at, other = 0, {0}  # columns of a row: its name's, and those without a value
    aligned = separator and len(lines) > 1 and len(_fields(lines[1][1], separator, 0)) == len(columns)
    if columns and (aligned or columns[0].lower() in {"", *NAME_HEADINGS}):
        named = (place for place, column in enumerate(columns) if separator and column.lower() in NAME_HEADINGS)
        name_at = next(named, 0)
        # If nothing stands above the first column, pandas numbered the rows.
        other = {name_at} if columns[0] else {name_at, 0}
        columns = [column for place, column in enumerate(columns) if place not in other]
    if not columns or len(set(columns)) != len(columns):
        raise _malformed(label, number, "should be the attribute names, each once")

    values: dict[str, bytes] = {}  # lists would take eight times the memory, and CelebA has eight million values
    for number, line in lines[1:]:
        every = _fields(line, separator, len(columns))
        name = every[name_at] if name_at < len(every) else ""
        fields = [field for place, field in enumerate(every) if place not in other]
        row = [PRESENCE[field] for field in fields[: len(columns)] if field in PRESENCE]
        if len(row) < len(columns) or any(fields[len(columns) :]):
            raise _malformed(label, number, f"should be an image name and {len(columns)} values, each 1 or -1")
        if name in values:
            raise _malformed(label, number, f"names {name} a second time")
        values[name] = np.array(row, np.int8).tobytes()
    if count not in (None, len(values)):
        raise UserError(f"{label} says that it has {count} images, but has {len(values)}; download it again")
    if not values:
        raise UserError(f"{label} names no image; download it again")
    table = settled(np.frombuffer(b"".join(values.values()), np.int8).reshape(-1, len(columns)))
    return tuple(columns), dict(zip(values, table, strict=True))


def settled(values: NDArray[np.int8]) -> NDArray[np.int8]:
    """Values of `PRESENCE` in which each `ZERO` became -1, or 0 if there is a -1 already."""
    return np.where(values == ZERO, 0 if (values == -1).any() else -1, values).astype(np.int8)


def split_of(text: str) -> str | None:
    """The split that a field of a table names; `None` if it names none."""
    return SPLIT_WORDS.get(text.lower().removesuffix(".0"))


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
        self._rows: list[dict[str, str | None]] = [{} for _ in range(NUMBER + 1)]  # by likeness
        for name in names:
            for likeness, spelling in _spellings(name):
                rows = self._rows[likeness]
                # A spelling that fits two rows must find neither.
                rows[spelling] = None if rows.get(spelling, name) != name else name

    def find(self, paths: Iterable[str], *, numbers: bool = True) -> dict[str, str]:
        """The name that the table has for each image that it names.

        With `numbers`, leading zeros do not matter, so `1.jpg` is `000001.jpg`.

        A row belongs to the image whose path is nearest to the name in it. So if a table has `a/1.jpg` and does not
        mention `b/1.jpg`, the second image has no row. If two paths are equally near, both images have the row.
        """
        found = {path: match for path in paths if (match := self._most_alike(path)) and (numbers or match[0] < NUMBER)}
        best: dict[str, int] = {}
        for likeness, row in found.values():
            best[row] = min(likeness, best.get(row, likeness))
        return {path: row for path, (likeness, row) in found.items() if likeness == best[row]}

    def _most_alike(self, path: str) -> tuple[int, str] | None:
        for likeness, spelling in _spellings(path):
            if row := self._rows[likeness].get(spelling):
                return likeness, row
        return None


def _spellings(path: str) -> Iterator[tuple[int, str]]:
    path = path if path.isascii() else unicodedata.normalize("NFC", path)
    path = path.replace("\\", "/").removeprefix("./").casefold()
    name = path.rpartition("/")[2]
    stem = name.rpartition(".")[0] or name
    stem = stem.removesuffix(".jpg").removesuffix(".png")  # a converter may have added its own
    yield 0, path
    yield 1, name
    yield 2, stem
    yield NUMBER, stem.lstrip("0") or "0"


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
    if max(map(len, lines)) > LONGEST_LINE:
        raise UserError(
            f"{label} is not a table, because a line has more than {LONGEST_LINE:,} characters; download it again"
        )
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
        return line.replace('"', "").rsplit(None, values)
    return [field.strip() for field in next(csv.reader([line], delimiter=separator))]


def _without_empty_end(fields: list[str]) -> list[str]:
    """Fields without the empty ones at the end, which spreadsheets add."""
    while fields and not fields[-1]:
        fields.pop()
    return fields


def _columns(headings: Sequence[str]) -> tuple[int, int]:
    """Which columns of a table have the image names and the splits.

    If the headings do not say it, they are the last two columns, because pandas puts the numbers of the rows first.
    """
    name = next((index for index, heading in enumerate(headings) if heading in NAME_HEADINGS), None)
    split = next((index for index, heading in enumerate(headings) if heading in SPLIT_HEADINGS), None)
    last = len(headings) - 1
    if name is None:
        name = last - 1 if split in (None, last) else last
    if split is None:
        split = last if name != last else last - 1
    return name, split


def _malformed(label: str, number: int, reason: str) -> UserError:
    return UserError(f"{label}, line {number}: {reason}; download the file again or correct the line")
