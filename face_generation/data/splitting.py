"""Plans which image goes into which split, with which attributes, before any image is decoded."""

import hashlib
import json
import os
import re
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from face_generation.data.annotations import SPLIT_WORDS, Finder, read_attributes, read_partition
from face_generation.data.celeba import (
    ATTRIBUTE_FILE,
    ATTRIBUTES,
    IMAGE_HEIGHT,
    IMAGE_WIDTH,
    OFFICIAL_SPLIT,
    PARTITION_FILE,
    SPLITS,
    official_number,
    official_split,
)
from face_generation.data.sources import ATTRIBUTE_TABLE, PARTITION, File, Source, Splits, image_size
from face_generation.errors import UserError

Table = TypeVar("Table")
MAX_TABLE_BYTES = 500_000_000  # CelebA's largest table has 27 MB
FIRST_WORD = re.compile("[A-Z]?[a-z]+|[A-Z]+")  # of train_2, TrainA, TRAIN or train-00000-of-00002.parquet
SAMPLE = 20  # images whose size is looked at
FORMAT = 2  # version of packed splits; splits of an older version count as different and are packed again


@dataclass(frozen=True)
class Plan:
    """Which images to pack, and how they are split and labelled."""

    split_by: str  # what decides each image's split, in words
    attributes_from: str  # where the attributes come from, in words
    is_celeba: bool  # whether these are CelebA's images, in its official split
    rows: dict[str, list[tuple[str, File]]]  # split → the name and the file of each image, in order of the names
    columns: tuple[str, ...]  # attributes
    attributes: dict[str, NDArray[np.int8]]  # image name → values
    fingerprint: str  # hash of the images, their splits and their attributes


def plan(source: Source, size: int, *, seed: int, val: float, test: float) -> Plan:
    """Decides which image of a source goes into which split.

    The first of these that exists decides: a table of the split, folders called train, val and test, and the numbers of
    CelebA's images. If there is none, chance decides.

    Args:
        source: The images and their tables.
        size: Pixels of the packed images. It goes into the fingerprint.
        seed: Seed of a split by chance.
        val: Share of images that chance gives to validation, from 0 to 1.
        test: Share of images that chance gives to testing, from 0 to 1.

    Raises:
        UserError: A table does not fit the images, or there are too few images to split.
    """
    numbers = _official_numbers(source)
    splits, split_by = (
        source.splits
        or _tabled_splits(source, celeba=bool(numbers))
        or _foldered_splits(source)
        or _numbered_splits(source, numbers)
        or _random_splits(source, seed, val, test)
    )
    all_numbered = len(numbers) == len(source.images)
    names = {path: f"{numbers[path]:06}.jpg" if all_numbered else path for path in splits}
    _require_distinct(source, names, "two images are called")

    columns, attributes, attributes_from = _attributes(source, names, celeba=bool(numbers))
    official = all_numbered and all(split == official_split(numbers[path]) for path, split in splits.items())
    if not official:
        split_by += _twins(source, splits)
    rows: dict[str, list[tuple[str, File]]] = {split: [] for split in SPLITS}
    digest = hashlib.sha256(json.dumps([FORMAT, size, columns]).encode())
    for name, path in sorted((name, path) for path, name in names.items()):
        rows[splits[path]].append((name, source.images[path]))
        digest.update(json.dumps([splits[path], name, source.images[path].mark]).encode())
        digest.update(attributes[name].tobytes() if name in attributes else b"")
    is_celeba = official or (source.attributes is not None and set(columns) == set(ATTRIBUTES))
    return Plan(split_by, attributes_from, is_celeba, rows, columns, attributes, digest.hexdigest())


def _official_numbers(source: Source) -> dict[str, int]:
    """The CelebA number of each image that has one.

    A source counts as CelebA if "celeba" is in the path of its images, in the source's own name or in that of the
    folder above it, or if all 202,599 images are there, or if images with CelebA's names also have CelebA's size.
    """
    above = "/".join(f"{place.parent.name}/{place.stem}" for place in source.places)
    numbers = _numbers_below(above, source)
    if not numbers:
        numbers = _numbers_below(f"{above}/celeba", source)
        if len(numbers) != OFFICIAL_SPLIT["test"][-1] and not _have_official_size(source, sorted(numbers)):
            return {}
    return numbers


def _numbers_below(folder: str, source: Source) -> dict[str, int]:
    numbers = {path: official_number(f"{folder}/{path}") for path in source.images}
    return {path: number for path, number in numbers.items() if number is not None}


def _have_official_size(source: Source, paths: Sequence[str]) -> bool:
    """Whether some of these images, from the first to the last, all have the size of CelebA's aligned images."""
    sizes = {image_size(source.images[path]) for path in paths[:: max(1, len(paths) // SAMPLE)]}
    return sizes - {None} == {(IMAGE_WIDTH, IMAGE_HEIGHT)}


# --- splits -------------------------------------------------------------------------------------------------------


def _tabled_splits(source: Source, celeba: bool) -> Splits | None:
    inside = source.partitions
    found = _agreed(source, inside or source.beside(PARTITION), read_partition)
    if found is None:
        return None
    label, partition = found
    # Photos that people number themselves are often beside CelebA's tables.
    rows = Finder(partition).find(source.images, numbers=bool(inside) or celeba)
    if not rows and not inside and not celeba:
        return None  # the table is beside photos of the user's own
    if missing := source.images.keys() - rows.keys():
        raise UserError(
            f"{label} names {len(rows):,} of the {len(source.images):,} images in {source.path}: it has names such as "
            f"{next(iter(partition))}, but not {min(missing)}; use the {PARTITION_FILE} that belongs to these images, "
            "or remove it"
        )
    _require_distinct(source, rows, f"{label} calls two images")
    return {path: partition[row] for path, row in rows.items()}, label


def _foldered_splits(source: Source) -> Splits | None:
    """Splits by folders called train, val and test, at any depth below the folder that has all images.

    Shards of a data set hub count as folders. If a path has several such folders, the topmost decides.
    """
    folders = {path.rpartition("/")[0] for path in source.images}
    shared = os.path.commonpath(folders)
    parts = {folder: folder.removeprefix(shared).split("/") for folder in folders}
    words = {part: FIRST_WORD.match(part) for some in parts.values() for part in some}
    called = {
        part: SPLIT_WORDS[word[0].lower()] for part, word in words.items() if word and word[0].lower() in SPLIT_WORDS
    }
    if "train" not in called.values() or len(set(called.values())) == 1:
        return None
    decisive = {folder: next((part for part in some if part in called), None) for folder, some in parts.items()}
    splits: dict[str, str] = {}
    for path in source.images:
        part = decisive[path.rpartition("/")[0]]
        if part is None:
            raise UserError(
                f"{source.path} has folders of splits ({_few(called)}), and {path} is in none of them; move it into "
                f"one or elsewhere, or add a {PARTITION_FILE} that names all images"
            )
        splits[path] = called[part]
    return splits, f"the names of folders ({_few(called)})"


def _few(names: Iterable[str]) -> str:
    some = sorted(names)
    return ", ".join(some[:3]) + (", …" if len(some) > 3 else "")


def _numbered_splits(source: Source, numbers: Mapping[str, int]) -> Splits | None:
    if missing := source.images.keys() - numbers.keys():
        if not numbers:
            return None
        raise UserError(
            f"only {len(numbers):,} of the {len(source.images):,} images in {source.path} have CelebA's image numbers, "
            f"and {min(missing)} has none; add a {PARTITION_FILE} that names all images, or remove the others"
        )
    return {path: official_split(number) for path, number in numbers.items()}, "CelebA's image numbers"


def _random_splits(source: Source, seed: int, val: float, test: float) -> Splits:
    """Splits at random, by a hash of seed and path, so that adding a photo moves hardly any other to another split.

    Identical files stay together.
    """
    if not (val >= 0 and test >= 0 and val + test < 1):
        raise UserError(f"val={val} and test={test} leave nothing to train on; give shares that sum to less than 1")
    total = len(source.images)
    held_out = {split: max(1, round(share * total)) for split, share in (("val", val), ("test", test)) if share}
    groups = _identical(source.images)
    order = deque(sorted(groups, key=lambda path: hashlib.sha256(f"{seed}/{path}".encode()).digest()))
    splits: dict[str, str] = {}
    for split, count in held_out.items():
        taken = len(splits)
        while order and len(splits) < taken + count:
            splits.update(dict.fromkeys(groups[order.popleft()], split))
    if not order:
        raise UserError(
            f"{total} images ({len(groups)} of them different) are too few to split; add more, or set the val and test "
            f"shares to 0 (passed over: {source.others()})"
        )
    for first in order:
        splits.update(dict.fromkeys(groups[first], "train"))
    unused = [file.path for file in source.beside(PARTITION)]
    return splits, f"chance, with seed {seed}" + (f" ({unused[0]} names none of them)" if unused else "")


def _twins(source: Source, splits: Mapping[str, str]) -> str:
    """Says which identical files a user's own split puts into two splits. It is obeyed all the same."""
    count, example = 0, ""
    for first, *others in _identical(source.images).values():
        for other in others:
            if splits[other] != splits[first]:
                count += 1
                example = example or f"{first} and {other}"
    return f", though {count:,} files are in two splits, such as {example}, which are identical" if count else ""


def _identical(images: Mapping[str, File]) -> dict[str, list[str]]:
    """Groups paths of files with the same content. The first path of each group is its key."""
    sizes = Counter(file.size for file in images.values())
    groups: dict[str, list[str]] = defaultdict(list)
    for path in tqdm(sorted(images), desc="looking for identical files", unit=" images", delay=1):
        file = images[path]
        groups[(file.digest or _digest(file)) if sizes[file.size] > 1 else path].append(path)
    # Files that are no pictures, such as empty ones, are left out later, and must not fill a split until then.
    for key, paths in list(groups.items()):
        if len(paths) > 1 and image_size(images[paths[0]]) is None:
            groups.update({path: [path] for path in groups.pop(key)})
    return {paths[0]: paths for paths in groups.values()}


def _digest(file: File) -> str:
    try:
        with file.open() as content:
            return hashlib.file_digest(content, "sha256").hexdigest()  # type: ignore[arg-type]
    except Exception:  # the file will be listed as damaged when it is packed
        return file.path


# --- attributes ---------------------------------------------------------------------------------------------------


def _attributes(
    source: Source, names: Mapping[str, str], celeba: bool
) -> tuple[tuple[str, ...], dict[str, NDArray[np.int8]], str]:
    """The attributes' names, their values by image name, and where they come from, in words."""
    if source.attributes:
        columns, values = source.attributes
        return columns, {names[path]: row for path, row in values.items() if path in names}, "the columns of Parquet"
    inside = source.attribute_tables
    found = _agreed(source, inside or source.beside(ATTRIBUTE_TABLE), read_attributes)
    if found is None:
        return (), {}, "nowhere: there are none"
    label, (columns, values) = found
    rows = Finder(values).find(names, numbers=bool(inside) or celeba)
    if not rows and not inside and not celeba:
        return (), {}, f"nowhere: {label} names none of the images"
    if len(rows) < len(names) / 2:
        raise UserError(
            f"{label} names {len(rows):,} of the {len(names):,} images in {source.path}: it has names such as "
            f"{next(iter(values))}, but not {min(names.keys() - rows.keys())}; use the {ATTRIBUTE_FILE} that belongs "
            "to these images, or remove it"
        )
    _require_distinct(source, rows, f"{label} calls two images")
    part = "" if len(rows) == len(names) else f", for {len(rows):,} of {len(names):,} images"
    return columns, {names[path]: values[row] for path, row in rows.items()}, label + part


# --- tables -------------------------------------------------------------------------------------------------------


def _agreed(source: Source, files: Iterable[File], read: Callable[[str, bytes], Table]) -> tuple[str, Table] | None:
    """Reads tables, all of which must say the same.

    Returns:
        The path of the first file, and what `read` makes of it; `None` if there are no files.

    Raises:
        UserError: A file cannot be read, or two differ.
    """
    tables = []
    for file in files:
        label = os.path.normpath(source.path / file.path)
        try:
            with file.open() as content:
                data = content.read(MAX_TABLE_BYTES + 1)
        except OSError as error:
            raise UserError(f"cannot read {label}: {error.strerror}; check the file and its permissions") from None
        except Exception as error:  # broken archives make zipfile and zlib raise many kinds
            raise UserError(f"cannot read {label}: {error}; download the archive again, or unpack it") from None
        if len(data) > MAX_TABLE_BYTES:
            raise UserError(f"{label} has more than {MAX_TABLE_BYTES:,} bytes; remove what is not a table of images")
        tables.append((file.path, read(label, data)))
    for path, table in tables[1:]:
        if not _equal(table, tables[0][1]):
            raise UserError(f"{tables[0][0]} and {path} in {source.path} differ; keep only the right one")
    return tables[0] if tables else None


def _equal(one: object, other: object) -> bool:
    if isinstance(one, np.ndarray):
        return np.array_equal(one, other)  # type: ignore[arg-type]
    if isinstance(one, tuple) and isinstance(other, tuple):
        return len(one) == len(other) and all(map(_equal, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_equal(one[key], other[key]) for key in one)
    return one == other


def _require_distinct(source: Source, names: Mapping[str, str], called: str) -> None:
    seen: dict[str, str] = {}
    for path, name in names.items():
        if name in seen:
            raise UserError(f"{called} {name}: {seen[name]} and {path} in {source.path}; keep only one of them")
        seen[name] = path
